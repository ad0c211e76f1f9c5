"""Files in a chatbot's messages, as events (``docs/wire/gradio.md`` §4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from ...core.http import is_web_address
from ...events import Image, Notice

__all__ = ["file_event"]

_IMAGES = (
    ".apng", ".avif", ".bmp", ".gif", ".ico", ".jpeg", ".jpg", ".png", ".svg", ".tif", ".tiff", ".webp",
)  # fmt: skip
_OF_IMAGES = ("gallery", "image")


def file_event(file: Mapping[str, Any], files_at: str) -> Image | Notice | None:
    """Return the event for a file of an answer: an `Image`, or a `Notice` that names any other file.

    Args:
        file: its description: ``path`` on the server, ``url``, ``orig_name``, ``mime_type``, and the ``component``
            that shows it.
        files_at: the beginning of the addresses at which the app serves its files.
    """
    address = _address(file, files_at)
    if address is None:
        return None
    if _is_image(file, address):
        return Image(address)
    name = file.get("orig_name")
    title = f"file {name[:200]}" if isinstance(name, str) and name else "file"
    return Notice(address, "info", title)


def _address(file: Mapping[str, Any], files_at: str) -> str | None:
    for value in (file.get("url"), file.get("path")):
        if isinstance(value, str) and is_web_address(value):
            return value
    path = file.get("path")
    return f"{files_at}{quote(path, safe='/:')}" if isinstance(path, str) and path else None


def _is_image(file: Mapping[str, Any], address: str) -> bool:
    kind = file.get("mime_type")
    if isinstance(kind, str) and kind:
        return kind.startswith("image/")
    name = file.get("orig_name")
    names = (name if isinstance(name, str) else "", address.partition("?")[0])
    return file.get("component") in _OF_IMAGES or any(
        each.lower().endswith(_IMAGES) for each in names
    )
