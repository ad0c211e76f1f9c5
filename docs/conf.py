"""How the documents are built: MyST Markdown, docstrings in Google style, warnings are errors in `make docs`."""

from __future__ import annotations

from glmclient import __version__

project = "glmclient"
author = "glmclient contributors"
copyright = "glmclient contributors"
release = version = __version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
]
source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}
exclude_patterns = ["_build", "performance/*.md"]  # included in a page
# The notebooks stand there with what they show; that they show it is tested.
nb_execution_mode = "off"
default_role = "py:obj"
highlight_language = "text"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented"
autodoc_default_options = {"members": True}
# It reads the source of a method, and the clients have signatures that are written elsewhere.
autodoc_preserve_defaults = False
napoleon_google_docstring = True
napoleon_numpy_docstring = False

html_theme = "furo"
html_title = f"glmclient {release}"
html_static_path: list[str] = []
