"""Answers in notebooks: ``%load_ext glmclient``, ``%glm``, and streams that render live in the cell that shows them.

An answer is somebody else's text in a page that may run scripts for you. It is never handed to the page as
Markdown: it is rendered here, with HTML shown as text, links only to the web and to mail, and no image that the
text asks for.
"""

from __future__ import annotations

from .extension import load_ipython_extension, unload_ipython_extension
from .live import AnswerInterrupted, ashow, show
from .live import display_stream as display_stream
from .parts import error_html as error_html
from .view import reply_html as reply_html

__all__ = [
    "AnswerInterrupted",
    "ashow",
    "load_ipython_extension",
    "show",
    "unload_ipython_extension",
]
