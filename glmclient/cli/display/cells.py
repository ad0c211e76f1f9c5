"""How many cells a text takes on a terminal, and what of it may reach one at all."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ..._visible import CONTROLS, HIDDEN, escaped

__all__ = ["cells", "json_text", "rows", "visible", "visible_line", "without_tabs", "wrapped"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)")
"""What our own rendering writes: colours and links."""
_HIDDEN_IN_JSON = re.compile(f"{CONTROLS.pattern}|{HIDDEN.pattern}")
_TAB = 8


def visible(text: str) -> str:
    """Return ``text`` as a terminal may show it: text from outside must not control the terminal.

    Each control character becomes U+FFFD, and line ends of other systems become line feeds. Characters that are
    invisible and change the order of a line, or hide text, become escapes such as ``\\u202e``.
    """
    if text.isascii() and text.isprintable():
        return text
    text = CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))
    return HIDDEN.sub(lambda match: escaped(match[0]), text)


def visible_line(text: str) -> str:
    """Return ``text`` as `visible` does, on one line: for lists that have one entry a line."""
    return visible(text).replace("\n", "\\n").replace("\t", "\\t")


def json_text(text: str, encoding: str | None = None) -> str:
    """Return JSON with escapes for invisible characters, and for those that ``encoding`` lacks; its value is the same.

    Args:
        text: JSON, in which such characters stand within strings only.
        encoding: of the stream that the JSON is written to; ``None`` has every character.
    """
    text = _HIDDEN_IN_JSON.sub(_json_escape, text)
    if encoding is None or text.isascii():
        return text
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return _NOT_ASCII.sub(_json_escape, text)
    return text


_NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def _json_escape(match: re.Match[str]) -> str:
    code = ord(match[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"


@lru_cache(maxsize=4096)
def _width(character: str) -> int:
    if unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def cells(text: str) -> int:
    """Return the cells that a line without tabs takes; colours and links take none."""
    plain = _ANSI.sub("", text) if "\x1b" in text else text
    return len(plain) if plain.isascii() else sum(map(_width, plain))


def rows(line: str, width: int) -> int:
    """Return the rows that a line takes on a terminal of ``width`` cells, which wraps it.

    A character of two cells does not begin in the last one.
    """
    plain = _ANSI.sub("", line) if "\x1b" in line else line
    if plain.isascii():
        return max(1, -(-len(plain) // width))
    count, used = 1, 0
    for character in plain:
        size = _width(character)
        if used + size > width:
            count, used = count + 1, 0
        used += size
    return count


def without_tabs(text: str) -> str:
    """Return ``text`` with spaces for tabs: how far a tab moves depends on where it stands."""
    if "\t" not in text:
        return text
    return "\n".join(_expanded(line) for line in text.split("\n"))


def _expanded(line: str) -> str:
    pieces: list[str] = []
    used = 0
    for piece in line.split("\t"):
        if pieces:
            gap = _TAB - used % _TAB
            pieces.append(" " * gap)
            used += gap
        pieces.append(piece)
        used += cells(piece)
    return "".join(pieces)


def wrapped(text: str, width: int) -> str:
    """Return ``text`` with line ends for spaces, so that no line is wider than ``width`` unless a word is."""
    lines: list[str] = []
    used = 0
    for word in text.split():
        size = cells(word)
        if lines and used + 1 + size <= width:
            lines[-1] += f" {word}"
            used += 1 + size
        else:
            lines.append(word)
            used = size
    return "\n".join(lines)
