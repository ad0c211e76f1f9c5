"""Lines on a terminal that change in place: only what differs is written, in one piece, so that nothing flickers."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from typing import TextIO

from .cells import rows

__all__ = ["Screen", "Size", "terminal_size"]

Size = tuple[int, int]
"""Columns and rows of a terminal."""


def terminal_size() -> Size:
    """Return the size of the terminal, or 80 by 24 where nobody knows it."""
    size = shutil.get_terminal_size()
    return max(size.columns, 2), max(size.lines, 2)


class Screen:
    """The last lines of a terminal, from where the cursor stood when it was made.

    Lines that were scrolled out of the terminal cannot be changed any more; they stay as they are.

    Args:
        out: the terminal.
        size: tells the terminal's size.
    """

    def __init__(self, out: TextIO, size: Callable[[], Size] = terminal_size) -> None:
        self._out = out
        self._size = size
        self._lines: list[str] = []
        self._lost = 0
        """Lines that were scrolled out."""

    @property
    def empty(self) -> bool:
        """Nothing was written yet, or it was all erased."""
        return not self._lines

    def show(self, lines: Sequence[str]) -> bool:
        """Let the terminal show ``lines`` in place of what it shows now.

        Args:
            lines: without line ends; colours end within their line.

        Returns:
            Whether it shows just that; a line that was scrolled out may differ.
        """
        old = self._lines
        start = _first_difference(old, lines)
        if start == len(old) == len(lines):
            return True
        if old and start == len(old) - 1 < len(lines) and lines[start].startswith(old[start]):
            # The usual case: the last line has grown, and the cursor stands at its end, however long it is.
            fresh = list(lines[start:])
            written = "\n".join((fresh[0][len(old[start]) :], *fresh[1:]))
        else:
            if start == len(lines):
                start = max(
                    start - 1, 0
                )  # the cursor must end behind the last line: write it again
            start = max(start, self._reachable())
            fresh = list(lines[start:])
            if start == len(old):
                written = "\n".join(("", *fresh) if old else fresh)
            else:
                fresh = fresh or ([""] if start else [])  # all that is left was scrolled out
                width = self._size()[0]
                up = sum(rows(line, width) for line in old[start:]) - 1
                written = "\r" + (f"\x1b[{up}A" if up else "") + "\x1b[J" + "\n".join(fresh)
        self._lines = [*old[:start], *fresh]
        self._lost = self._reachable()
        self._out.write(written)
        self._out.flush()
        return self._lines == list(lines)

    def _reachable(self) -> int:
        """Return the number of the first line that can still be changed."""
        width, height = self._size()
        used = 0
        for index in range(len(self._lines) - 1, self._lost - 1, -1):
            used += rows(self._lines[index], width)
            if used > height:
                return index + 1
        return self._lost

    def leave(self) -> None:
        """Go to the line below, for good: what follows begins anew."""
        if self._lines:
            self._lines, self._lost = [], 0
            self._out.write("\n")
            self._out.flush()


def _first_difference(old: Sequence[str], new: Sequence[str]) -> int:
    for index, (before, after) in enumerate(zip(old, new, strict=False)):
        if before != after:
            return index
    return min(len(old), len(new))
