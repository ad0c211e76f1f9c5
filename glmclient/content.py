"""Parts of a message beside its text: images, checked before they are sent."""

from __future__ import annotations

import base64
import binascii
import os
import re
from typing import Any

from .errors import ConfigurationError
from .private_file import read_regular

__all__ = ["image", "image_part", "media_type"]

MAX_BYTES = 5 * 1024 * 1024
MAX_SIDE = 6_000
"""The platform's limits on an image (``docs/wire/open-platform.md`` §1.4)."""
LARGEST_FILE = 100_000_000
"""Bytes of a file that is read at all."""

_TYPES: tuple[tuple[re.Pattern[bytes], str], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), "image/png"),
    (re.compile(rb"\xff\xd8\xff"), "image/jpeg"),
    (re.compile(rb"GIF8[79]a"), "image/gif"),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), "image/webp"),
)
_DATA_URL = re.compile(r"data:([\w.+-]+/[\w.+-]+)?(;[^,]*)?,(.*)", re.DOTALL | re.IGNORECASE)


def image(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview,
    *,
    max_bytes: int | None = MAX_BYTES,
    max_side: int | None = MAX_SIDE,
) -> dict[str, Any]:
    """Return the content part of an image, for the ``content`` of a user message beside ``text`` parts.

    A URL of the web is passed on as it is: the service fetches it. A file or bytes are sent inside the message.

    Args:
        source: a path, the bytes of an image (PNG, JPEG, GIF or WebP), or a URL (``https:``, ``http:`` or ``data:``).
        max_bytes: bytes from which on an image is refused, ``None`` for no limit. The default is the GLM platform's.
        max_side: pixels of a side at most, ``None`` for no limit. The default is the GLM platform's.

    Returns:
        ``{"type": "image_url", "image_url": {"url": ...}}``.

    Raises:
        ConfigurationError: the source cannot be read, is not an image, or is too large.
    """
    if isinstance(source, (bytes, bytearray, memoryview)):
        return _checked(bytes(source), "the image", max_bytes, max_side)
    if isinstance(source, str):
        scheme = source.lstrip()[:6].lower()
        if scheme.startswith("data:"):
            content = _content_of(source.strip())
            return _checked(content, "the image of the data URL", max_bytes, max_side)
        if scheme.startswith(("http:/", "https:")):
            return {"type": "image_url", "image_url": {"url": _checked_url(source.strip())}}
        if scheme.startswith("file:/"):
            raise ConfigurationError("an image cannot be a file: URL; give the path of the file.")
    if not isinstance(source, (str, os.PathLike)):
        raise ConfigurationError(
            f"an image must be a path, bytes or a URL, not {type(source).__name__}."
        )
    path = os.path.expanduser(os.fspath(source))
    try:
        content = read_regular(path, LARGEST_FILE)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise ConfigurationError(f"the image {path!r:.200} cannot be read: {reason}.") from None
    return _checked(content, f"the image {path!r:.200}", max_bytes, max_side)


def media_type(content: bytes) -> str | None:
    """Return the media type of an image by its first bytes, ``None`` if it is not a known image."""
    return next((name for pattern, name in _TYPES if pattern.match(content)), None)


def image_part(content: bytes, media: str) -> dict[str, Any]:
    """Return the content part of an image that is sent inside the message."""
    data = base64.b64encode(content).decode("ascii")
    return {"type": "image_url", "image_url": {"url": f"data:{media};base64,{data}"}}


def _checked(
    content: bytes, name: str, max_bytes: int | None, max_side: int | None
) -> dict[str, Any]:
    media = media_type(content)
    if media is None:
        raise ConfigurationError(
            f"{name} is not a PNG, JPEG, GIF or WebP file ({len(content)} bytes). Convert it first."
        )
    if max_bytes is not None and len(content) >= max_bytes:
        raise ConfigurationError(
            f"{name} has {len(content):,} bytes; images must have less than {max_bytes:,}. Make it smaller, or raise "
            "max_bytes for a service that takes it."
        )
    width, height = dimensions(content, media)
    if max_side is not None and max(width, height) > max_side:
        raise ConfigurationError(
            f"{name} has {width} x {height} pixels; a side must have at most {max_side}. Make it smaller, or raise "
            "max_side for a service that takes it."
        )
    return image_part(content, media)


def _content_of(url: str) -> bytes:
    match = _DATA_URL.fullmatch(url)
    if match is None or not (match[2] or "").lower().endswith(";base64"):
        raise ConfigurationError(
            f"{url[:40]!r} is not a data URL in base64, such as 'data:image/png;base64,...'."
        )
    try:
        return base64.b64decode("".join(match[3].split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise ConfigurationError(f"the data URL of the image is not base64: {error}.") from None


def _checked_url(url: str) -> str:
    rest = url.partition(":")[2]
    if not rest.startswith("//") or rest[2:3] in ("", "/") or re.search(r"\s", url):
        raise ConfigurationError(f"{url!r:.200} is not the URL of an image.")
    return url


def dimensions(content: bytes, media: str) -> tuple[int, int]:
    """Return width and height of an image in pixels, 0 if its head does not tell them."""
    if media == "image/png":
        return _number(content[16:20]), _number(content[20:24])
    if media == "image/gif":
        return _number(content[6:8], "little"), _number(content[8:10], "little")
    if media == "image/webp":
        return _webp(content)
    return _jpeg(content)


def _number(data: bytes, order: Any = "big") -> int:
    return int.from_bytes(data, order)


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        return _number(content[24:27], "little") + 1, _number(content[27:30], "little") + 1
    if kind == b"VP8L":
        bits = _number(content[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    return _number(content[26:28], "little") & 0x3FFF, _number(content[28:30], "little") & 0x3FFF


_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
"""Markers of the segments with the size of the image."""


def _jpeg(content: bytes) -> tuple[int, int]:
    position = 2
    while position + 9 <= len(content) and content[position] == 0xFF:
        marker = content[position + 1]
        if marker in _JPEG_FRAMES:
            height, width = (
                content[position + 5 : position + 7],
                content[position + 7 : position + 9],
            )
            return _number(width), _number(height)
        if marker == 0xFF:  # a fill byte
            position += 1
        else:
            position += 2 + _number(content[position + 2 : position + 4])
    return 0, 0
