"""The addresses of Hugging Face Spaces, however they are written (``docs/wire/gradio.md`` §0)."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from ...errors import ConfigurationError

__all__ = ["is_hugging_face", "space_address"]

_SPACE = re.compile(r"([0-9A-Za-z][0-9A-Za-z_-]*)/([0-9A-Za-z][0-9A-Za-z._-]*)/?")
"""``owner/name``. An owner has no dot, so that ``host.example/path`` is not a Space."""
_HOST = re.compile(r"[0-9A-Za-z-]+\.hf\.space(?:/[^?#\s]*)?", re.IGNORECASE)
_PAGES = ("huggingface.co", "www.huggingface.co", "hf.co")
_LOCAL = "localhost"


def space_address(text: str) -> str:
    """Return the address of an app; anything that does not name a Space is returned as it is.

    Raises:
        ConfigurationError: it is a page of Hugging Face that is not a Space's.
    """
    text = text.strip()
    space = _SPACE.fullmatch(text)
    if space and space[1].lower() not in (_LOCAL, "spaces"):
        return _address(space[1], space[2])
    if _HOST.fullmatch(text):
        return f"https://{text}"
    page = text if "://" in text else f"https://{text}"
    try:
        parts = urlsplit(page)
        host = (parts.hostname or "").rstrip(".").lower()
    except ValueError:
        return text  # which the check of addresses refuses with a reason
    if host not in _PAGES or not parts.path.strip("/"):
        return text
    kind, _, rest = parts.path.strip("/").partition("/")
    space = _SPACE.match(rest if rest.count("/") else f"{rest}/") if kind == "spaces" else None
    if space is None:
        raise ConfigurationError(
            f"base_url {text[:200]!r} is a page of Hugging Face that is not a Space's. Give the Space as 'owner/name', "
            "such as 'Qwen/Qwen2.5', or the address of its app, such as 'https://qwen-qwen2-5.hf.space'."
        )
    return _address(space[1], space[2])


def is_hugging_face(url: str) -> bool:
    """Tell whether a URL belongs to Hugging Face, which takes its token under a name of its own."""
    host = (urlsplit(url).hostname or "").rstrip(".").lower()
    return host == "huggingface.co" or host.endswith(".hf.space")


def _address(owner: str, name: str) -> str:
    label = re.sub(r"[^0-9a-z]+", "-", f"{owner}-{name}".lower()).strip("-")
    return f"https://{label}.hf.space"
