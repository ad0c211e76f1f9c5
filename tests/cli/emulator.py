"""A terminal of our own to write to: what it shows is what a person would see."""

from __future__ import annotations

import io

import pyte

from glmclient.cli.display.cells import cells


class _Screen(pyte.HistoryScreen):
    """A screen that wraps a character of two cells as terminals do: it does not begin in the last cell."""

    def draw(self, data: str) -> None:
        for character in data:
            if self.cursor.x == self.columns - 1 and cells(character) == 2:
                self.cursor.x = self.columns
            super().draw(character)


class Emulator(io.StringIO):
    """A text file that is a terminal.

    Args:
        columns: its width.
        lines: its height.
    """

    def __init__(self, columns: int = 40, lines: int = 10) -> None:
        super().__init__()
        self.screen = _Screen(columns, lines, history=1000)
        self.stream = pyte.Stream(self.screen)
        self.writes = 0

    def write(self, text: str) -> int:
        self.writes += 1
        # The line discipline of a real terminal: a line feed also returns.
        self.stream.feed(text.replace("\n", "\r\n"))
        return super().write(text)

    def isatty(self) -> bool:
        return True

    def size(self) -> tuple[int, int]:
        return self.screen.columns, self.screen.lines

    @property
    def shown(self) -> list[str]:
        """The lines on the screen, without the empty ones at its end."""
        return _stripped([line.rstrip() for line in self.screen.display])

    @property
    def history(self) -> list[str]:
        """The lines that were scrolled out, and those on the screen."""
        columns = self.screen.columns
        above = [
            "".join(line[column].data for column in range(columns)).rstrip()
            for line in self.screen.history.top
        ]
        return _stripped(above + [line.rstrip() for line in self.screen.display])


def _stripped(lines: list[str]) -> list[str]:
    while lines and not lines[-1]:
        lines.pop()
    return lines
