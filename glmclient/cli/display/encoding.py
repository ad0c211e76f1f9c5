"""Standard streams whose encoding lacks characters: they are written as escapes, and one line of warning says so."""

from __future__ import annotations

import codecs
import io
from typing import TextIO

__all__ = ["escape_what_is_missing", "take_lacking_encoding"]

_ERRORS = "glmclient.escape"
_lacking: list[str] = []
"""The encodings that lacked a character since the last warning."""


def escape_what_is_missing(*streams: TextIO) -> None:
    """Let streams write characters that their encoding lacks as escapes such as ``\\u4f60``."""
    codecs.register_error(_ERRORS, _escaped)
    for stream in streams:
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=_ERRORS)


def take_lacking_encoding() -> str | None:
    """Return the encoding that lacked a character since the last call, or ``None``."""
    encoding = _lacking[0] if _lacking else None
    _lacking.clear()
    return encoding


def _escaped(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError):
        _lacking.append(error.encoding)
    return codecs.backslashreplace_errors(error)
