"""How many cells a text takes on a terminal, and what of it may reach one at all."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

__all__ = ["cells", "rows", "visible", "without_tabs", "wrapped"]

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\]8;[^\x1b\x07]*(?:\x1b\\|\x07)")
"""What our own rendering writes: colours and links."""
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_TAB = 8


def visible(text: str) -> str:
    """Return ``text`` without control characters: an answer must not steer the terminal.

    Each becomes U+FFFD; line ends of other systems become line feeds.
    """
    return _CONTROLS.sub("\ufffd", text.replace("\r\n", "\n").replace("\r", "\n"))


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
