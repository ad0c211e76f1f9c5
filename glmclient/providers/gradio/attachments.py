"""The images and files of a message: read and checked before anything is sent, then uploaded to the app."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from ...core.http import is_web_address, load_json
from ...errors import ConfigurationError
from .wire import file_data

__all__ = ["Attachment", "attachment_of", "upload_body", "uploaded_paths"]

_DATA_URL = re.compile(r"data:([A-Za-z0-9.+/-]*)((?:;[^,;]*)*),", re.IGNORECASE)
_NAME = re.compile(r"[^\w.\- ]")
_LONGEST_NAME = 120

_TYPES = {
    # The standard library's table depends on files of the machine.
    "csv": "text/csv",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "json": "application/json",
    "md": "text/markdown",
    "pdf": "application/pdf",
    "png": "image/png",
    "txt": "text/plain",
    "webp": "image/webp",
}
_ENDINGS = {kind: ending for ending, kind in _TYPES.items()}


@dataclass(frozen=True, slots=True)
class Attachment:
    """One image or file of a message.

    Args:
        name: its file name.
        kind: its media type.
        content: its bytes; ``None`` if it is an address.
        url: its address; the app's server fetches it.
    """

    name: str
    kind: str
    content: bytes | None = field(default=None, repr=False)
    url: str | None = None

    def described(self, path: str | None) -> dict[str, Any]:
        """Return what an input holds for it.

        Args:
            path: where the server put it; ``None`` for one that is an address.
        """
        return file_data(path or self.url or "", self.name, self.kind, url=self.url)

    @property
    def is_image(self) -> bool:
        """Its media type says that it is an image."""
        return self.kind.startswith("image/")


def attachment_of(part: Mapping[str, Any], where: str) -> Attachment | None:
    """Return the file in a content part; ``None`` if the part is of a type that holds no file.

    ``image_url`` holds an address or a ``data:`` URL; ``file`` holds ``file_data`` and ``filename``.

    Args:
        part: ``{"type": ..., ...}``.
        where: the part's place among the messages, for errors.

    Raises:
        ConfigurationError: the part is not complete, or its data is not base64.
    """
    kind = part.get("type")
    if kind not in ("image_url", "file_url", "file"):
        return None
    value = part.get(kind)
    name = ""
    if isinstance(value, dict):
        filename = value.get("filename")
        name = filename if isinstance(filename, str) else ""
        value = value.get("file_data" if kind == "file" else "url")
    if not isinstance(value, str) or not value:
        needed = "{'filename': ..., 'file_data': ...}" if kind == "file" else "{'url': ...}"
        raise ConfigurationError(f"{where} of type {kind!r} needs {kind!r}: {needed}.")
    if is_web_address(value) and kind != "file":
        name = name or unquote(urlsplit(value).path.rpartition("/")[2])
        return Attachment(_safe(name), _type_of(name, str(kind)), url=value)
    media, content = _decoded(value, where, bare=kind == "file")
    media = media or _type_of(name, str(kind))
    # Apps tell images by the endings of their names.
    return Attachment(_safe(name or f"file.{_ENDINGS.get(media, 'bin')}"), media, content)


def _decoded(value: str, where: str, *, bare: bool) -> tuple[str, bytes]:
    """Return the media type and the bytes of a ``data:`` URL (RFC 2397), or of ``bare`` base64."""
    match = _DATA_URL.match(value)
    if match is None and not bare:
        raise ConfigurationError(
            f"{where} must hold an http or https address or a data: URL, not {value[:60]!r}."
        )
    data = value if match is None else value[match.end() :]
    if match is not None and not match[2].lower().endswith(";base64"):
        return match[1].lower(), unquote_to_bytes(data)
    try:
        content = base64.b64decode("".join(data.split()), validate=True)
    except (binascii.Error, ValueError):
        raise ConfigurationError(f"{where} holds data that is not base64.") from None
    return "" if match is None else match[1].lower(), content


def _type_of(name: str, kind: str) -> str:
    usual = "image/png" if kind == "image_url" else "application/octet-stream"
    return _TYPES.get(name.rpartition(".")[2].lower(), usual)


def _safe(name: str) -> str:
    """Return a file name that cannot be mistaken for a path or for a header of its own."""
    return _NAME.sub("_", name.replace("\\", "/").rpartition("/")[2])[-_LONGEST_NAME:] or "file"


def upload_body(files: Sequence[Attachment]) -> tuple[str, bytes]:
    """Return the content type and the body of an upload: ``multipart/form-data`` (RFC 7578).

    The boundary is a digest of the files: no file holds it, and equal questions have equal bodies, so that a recorded
    upload can be replayed.
    """
    digest = hashlib.sha256()
    for each in files:
        digest.update(each.content or b"")
    boundary = f"glmclient{digest.hexdigest()[:32]}"
    pieces: list[bytes] = []
    for each in files:
        head = (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="files"; filename="{each.name}"\r\n'
            f"Content-Type: {each.kind}\r\n\r\n"
        )
        pieces += [head.encode(), each.content or b"", b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(pieces)


def uploaded_paths(body: bytes, count: int) -> list[str] | None:
    """Return where the server put the files, in their order; ``None`` if the body does not tell it."""
    paths = load_json(body)
    if not isinstance(paths, list) or len(paths) != count:
        return None
    return paths if all(isinstance(each, str) and each for each in paths) else None
