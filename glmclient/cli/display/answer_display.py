"""One answer on its way to the screen: its text on standard output, everything else on standard error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TextIO

from ...core.transcript import Transcript
from ...events import (
    CodeDelta,
    CodeReplace,
    Event,
    Finish,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    TextDelta,
    TextReplace,
)
from .cells import visible, wrapped
from .extras import CodeBlocks, lines_of, summary, tool_call
from .markdown_lines import GrowingMarkdown
from .painter import Painter
from .progress import Progress
from .rendering import dim, plain, rich_is_there
from .screen import Size, terminal_size
from .voices import PlainVoice, ScreenVoice, Voice, check_reader, rewindable

__all__ = ["Display", "LiveDisplay", "Look"]

ON_A_TERMINAL = 1 / 12
ON_A_PIPE = 1 / 20
"""Seconds between two paintings."""
TICK = 0.5
"""Seconds after which to look whether the wait is worth mentioning, and whether somebody still reads."""


@dataclass(frozen=True, slots=True)
class Look:
    """Where an answer is shown, and how much of it.

    Args:
        out: standard output.
        err: standard error.
        markdown: render Markdown on a terminal, if rich is there.
        stream: show the text as it comes.
        reasoning: show the model's thinking.
        usage: show tokens and timing at the end.
        quiet: show nothing on standard error.
        out_is_terminal: lines on ``out`` can be changed in place.
        err_is_terminal: lines on ``err`` can be changed in place.
        size: tells the terminal's size.
        clock: seconds that only grow.
    """

    out: TextIO
    err: TextIO
    markdown: bool = True
    stream: bool = True
    reasoning: bool = True
    usage: bool = False
    quiet: bool = False
    out_is_terminal: bool = False
    err_is_terminal: bool = False
    size: Callable[[], Size] = terminal_size
    clock: Callable[[], float] = time.monotonic

    def note(self, line: str) -> None:
        """Write a line to standard error, unless it is to be quiet."""
        if not self.quiet:
            self.say(line)

    def remark(self, sentence: str) -> None:
        """Write a sentence to standard error, unless it is to be quiet; a terminal gets it wrapped."""
        self.note(wrapped(sentence, self.size()[0]) if self.err_is_terminal else sentence)

    def say(self, line: str) -> None:
        """Write a line to standard error: what the user has asked for."""
        self.err.write(f"{visible(line)}\n")
        self.err.flush()


class Display(Protocol):
    """What shows one answer."""

    def begin(self, cancel: Callable[[], None]) -> None:
        """Begin to show; ``cancel`` frees the reader if there is nobody left to show it to."""

    def add(self, event: Event) -> None:
        """Take in an event."""

    def end(self, *, whole: bool) -> None:
        """Show the rest, and end the line; ``whole`` tells whether the answer ended by itself."""


class LiveDisplay:
    """Shows an answer to people, as it comes.

    Args:
        look: where and how.
        service: the name of the service, for the time before anything comes.
    """

    def __init__(self, look: Look, service: str) -> None:
        self._look = look
        self._lock = threading.Lock()
        """Held while what was said is read or changed."""
        self._painting = threading.RLock()
        """Held while something is shown; rendering a long answer takes a while."""
        self._said = Transcript()
        self._shared = look.out_is_terminal and look.err_is_terminal
        self._voice = self._text_voice()
        self._thinking = self._reasoning_voice()
        self._code = CodeBlocks()
        self._speaking: str | None = None
        on_screen = look.err if look.err_is_terminal and not look.quiet else None
        self._progress = Progress(on_screen, service, look.clock, look.size)
        self._began = look.clock()
        self._first: float | None = None
        self._painter: Painter | None = None

    def _text_voice(self) -> Voice:
        look = self._look
        if look.out_is_terminal:
            render = GrowingMarkdown() if look.markdown and rich_is_there() else plain
            return ScreenVoice(look.out, render, look.note, look.size)
        return PlainVoice(look.out, look.note, rewindable(look.out, look.err))

    def _reasoning_voice(self) -> Voice:
        look = self._look
        if look.err_is_terminal:
            return ScreenVoice(look.err, dim, look.note, look.size)
        return PlainVoice(look.err, look.note)

    # -- as the answer comes -------------------------------------------------------------------------------

    def begin(self, cancel: Callable[[], None]) -> None:
        """Begin to paint, in a thread of its own."""
        terminal = self._look.out_is_terminal or self._look.err_is_terminal
        self._painter = Painter(
            self._paint,
            cancel,
            every=ON_A_TERMINAL if terminal else ON_A_PIPE,
            tick=TICK,
        )

    def add(self, event: Event) -> None:
        """Take in an event; what is of another kind than the one before is shown behind it."""
        kind = _kind(event)
        if isinstance(event, QueueStatus):
            self._progress.queued(event)
        elif kind == self._speaking or isinstance(event, Finish):
            self._take(event, kind)  # the usual case, which waits for no painting
        else:
            with self._painting:
                self._turn_to(kind)
                self._take(event, kind)
        if self._painter is not None:
            self._painter.touch()

    def _take(self, event: Event, kind: str) -> None:
        with self._lock:
            self._said.extend([event])
        if kind == "text" and self._first is None:
            self._first = self._look.clock() - self._began
        if isinstance(event, (CodeDelta, CodeReplace)):
            self._code.add(event)
        elif kind == "other":
            for line in lines_of(event):
                self._look.note(line)

    def log(self, line: str) -> None:
        """Write a line of the log to standard error, on a line of its own."""
        with self._painting:
            if self._speaking is None:
                self._progress.clear()
            else:
                self._turn_to("log")  # what follows begins on a new line
            self._look.say(line)

    def _turn_to(self, kind: str) -> None:
        self._paint()
        before, self._speaking = self._speaking, kind
        if before == "text" and self._shared:
            self._voice.pause()
        elif before == "reasoning" and self._shows_reasoning:
            self._thinking.pause()
            if self._shared:
                self._look.note("")
        elif before == "code":
            for line in self._code.take():
                self._look.note(line)
        self._progress.end()

    @property
    def _shows_reasoning(self) -> bool:
        return self._look.reasoning and not self._look.quiet

    def _paint(self) -> None:
        with self._painting:
            if not self._look.out_is_terminal:
                check_reader(self._look.out)
            speaking = self._speaking
            if speaking is None:
                self._progress.paint()
                return
            with self._lock:
                text, reasoning = self._said.text, self._said.reasoning
            if speaking == "text" and self._look.stream:
                self._voice.show(text)
            elif speaking == "reasoning" and self._shows_reasoning:
                self._thinking.show(reasoning)

    # -- the end -------------------------------------------------------------------------------------------

    def end(self, *, whole: bool) -> None:
        """Show the rest, end the line, and tell of what else there was."""
        if self._painter is not None:
            self._painter.stop()
        with self._painting:
            self._turn_to("end")
            self._progress.end()
            if whole or self._look.stream:
                self._voice.show(self._said.text)
                self._voice.leave()
            for call in self._said.tool_calls:
                self._look.note(tool_call(call))
            self._tell(self._said.finish)

    def _tell(self, finish: Finish | None) -> None:
        if finish is not None and finish.reason in _REMARKS:
            told = f" The service said: {finish.message}" if finish.message else ""
            self._look.remark(f"[{finish.reason}] {_REMARKS[finish.reason]}{told}")
        if finish is not None and finish.empty and finish.reason not in _REMARKS:
            self._look.remark("[empty] the answer has neither text nor tool calls; ask again.")
        if self._look.usage:
            self._look.remark(summary(finish, self._first, self._look.clock() - self._began))


_REMARKS = {
    "length": "the answer was cut at its longest; a larger max_tokens may give the rest.",
    "content_filter": "the service withheld the answer, or a part of it.",
    "other": "the answer ended for a reason of the service's own.",
}


def _kind(event: Event) -> str:
    if isinstance(event, (TextDelta, TextReplace)):
        return "text"
    if isinstance(event, (ReasoningDelta, ReasoningReplace)):
        return "reasoning"
    if isinstance(event, (CodeDelta, CodeReplace)):
        return "code"
    return "other"
