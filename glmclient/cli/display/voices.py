"""How a text that grows, and is now and then rewritten, reaches a pipe, a file or a terminal."""

from __future__ import annotations

import codecs
import os
import select
import stat
from collections.abc import Callable
from typing import Protocol, TextIO

from .markdown_lines import GrowingMarkdown
from .rendering import Renderer
from .screen import Screen, Size, terminal_size

__all__ = ["PlainVoice", "ScreenVoice", "Voice", "check_reader", "rewindable"]

AGAIN = "the service rewrote its answer; here is the whole of it:"


class Voice(Protocol):
    """One text on its way out. ``show`` takes all of it; ``pause`` and ``leave`` end its line."""

    def show(self, text: str) -> None: ...

    def pause(self) -> None: ...

    def leave(self) -> None: ...


class PlainVoice:
    """A text on its way to a pipe or a file, and nothing else.

    What a pipe has taken cannot be taken back: after a rewrite of that nothing more is written, and at the end the
    whole text again, on a line of its own. A file is rewritten in place.

    Args:
        out: where to.
        note: told when the text is written again.
        start: where in the file the text begins, if it is one that can be rewritten.
    """

    def __init__(self, out: TextIO, note: Callable[[str], None], start: int | None = None) -> None:
        self._out = out
        self._note = note
        self._start = start
        self._written = ""
        self._text = ""
        self._in_line = False

    def show(self, text: str) -> None:
        """Write what is new of ``text``."""
        self._text = text
        if not text.startswith(self._written):
            if self._start is None:
                return
            self._out.flush()
            os.lseek(self._out.fileno(), self._start, os.SEEK_SET)
            os.ftruncate(self._out.fileno(), self._start)
            self._written, self._in_line = "", False
        self._write(text)

    def _write(self, text: str) -> None:
        fresh = text[len(self._written) :]
        if fresh:
            self._written, self._in_line = text, not text.endswith("\n")
            self._out.write(fresh)
            self._out.flush()

    def pause(self) -> None:
        """End the line, because something else is to be written; the text may go on."""
        if self._in_line:
            self._in_line = False
            self._out.write("\n")
            self._out.flush()

    def leave(self) -> None:
        """End the text with a line end, if it has none."""
        self.pause()
        if not self._text.startswith(self._written):
            self._note(AGAIN)
            self._written = ""
            self._write(self._text)
            self.pause()


def check_reader(out: TextIO) -> None:
    """Notice without writing that nobody reads a pipe any more.

    Raises:
        BrokenPipeError: nobody does.
    """
    try:
        number = out.fileno()
        if stat.S_ISREG(os.fstat(number).st_mode):
            return
    except (OSError, ValueError):
        return  # no file at all: io.StringIO, for one
    poll = getattr(select, "poll", None)
    if poll is not None:  # where there is none, the next write notices
        asked = poll()
        asked.register(number, 0)
        if any(event & select.POLLERR for _, event in asked.poll(0)):
            raise BrokenPipeError


def rewindable(out: TextIO, other: TextIO) -> int | None:
    """Return where in its file ``out`` stands, if what follows can be rewritten there; else ``None``.

    That is so for a plain file that is not appended to, and that ``other`` does not write to as well.
    """
    try:
        out.flush()
        number = out.fileno()
        known = os.fstat(number)
        if not stat.S_ISREG(known.st_mode) or _appends(number):
            return None
        if codecs.lookup(out.encoding).name in ("utf-16", "utf-32"):
            return None  # the mark at their beginning is written once, and would be cut off
        if os.path.samestat(known, os.fstat(other.fileno())):
            return None
        return os.lseek(number, 0, os.SEEK_CUR)
    except (OSError, ValueError):
        return None  # no file at all: io.StringIO, for one


def _appends(number: int) -> bool:
    try:
        import fcntl
    except ImportError:
        return True  # where nobody can tell, nothing is rewritten
    return bool(fcntl.fcntl(number, fcntl.F_GETFL) & os.O_APPEND)


class ScreenVoice:
    """A text on a terminal: a rewrite of what is still on the screen is drawn in its place.

    A rewrite of what was scrolled out, or stands before something else, cannot be: the whole text follows at the end.

    Args:
        out: the terminal.
        render: makes lines of the text.
        note: told when the text is shown again.
        size: tells the terminal's size.
    """

    def __init__(
        self,
        out: TextIO,
        render: Renderer,
        note: Callable[[str], None],
        size: Callable[[], Size] = terminal_size,
    ) -> None:
        self._render = render
        self._note = note
        self._size = size
        self._screen = Screen(out, size)
        self._text = ""
        self._base = 0
        """Where in the text this part of the screen begins."""
        self._before = ""
        """What stands on the screen before this part."""
        self._rewritten = self._stale = False
        self._drawn: tuple[str, Size] | None = None
        self._owed = False
        """What stands before this part is out of date."""

    def show(self, text: str) -> None:
        """Show the text as it is now; nothing is done if it is shown already."""
        if (text, self._size()) == self._drawn:
            return
        self._rewritten = self._rewritten or not text.startswith(self._text)
        self._text = text
        self._stale = self._owed or not text.startswith(self._before)
        if not self._stale:
            self._draw()

    def _draw(self) -> None:
        size = self._size()
        text = self._text[self._base :]
        exact = True
        if isinstance(self._render, GrowingMarkdown):
            for lines in self._render.steps(text, size[0]):
                exact = self._screen.show(lines)
            exact = exact if text else self._screen.show([])
        else:
            exact = self._screen.show(self._render(text, size[0]))
        self._drawn = (self._text, size)
        self._stale = not exact and self._rewritten

    def pause(self) -> None:
        """Go to a new line, because something else is to be shown; the text may go on."""
        if not self._screen.empty:
            self._screen.leave()
            self._owed = self._stale
            self._base, self._before = len(self._text), self._text

    def leave(self) -> None:
        """End the text, and show it again if what stands there is out of date."""
        if self._stale:
            self._screen.leave()
            self._note(AGAIN)
            self._base = 0
            self._draw()
        self._screen.leave()
