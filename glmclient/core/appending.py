"""The events of an answer for consumers that can only append, such as an OpenAI-compatible stream.

A service may rewrite text that it has sent (`TextReplace`). An append-only consumer cannot take that back. Each
channel of an answer (text, reasoning, one block of code) is therefore in one of two states::

    passing   deltas are handed out as they come
    held      a replacement came: nothing is handed out before `Finish`

At `Finish` the rest of a held channel is handed out if what was handed out is a prefix of its final content. Else the
consumer has text that is not part of the answer, and only an error is honest. Handing out text again as soon as a
later replacement happens to agree with it was rejected: the next replacement may disagree again, and then the consumer
has even more wrong text.
"""

from __future__ import annotations

from collections.abc import Callable

from .._exhaustive import assert_never
from ..errors import RewriteError
from ..events import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
)
from ..reply import Reply
from .transcript import GrowingText, events_of

__all__ = ["AppendOnly"]


class _Channel:
    """One part of an answer: what it reads now, and what the consumer has of it once it is held."""

    __slots__ = ("handed_out", "text")

    def __init__(self, *, hold: bool) -> None:
        self.text = GrowingText()
        self.handed_out: str | None = "" if hold else None
        """What the consumer has; ``None`` while deltas pass, since the consumer then has all of ``text``."""

    def add(self, text: str) -> bool:
        """Append text; return whether it may be handed out."""
        self.text.pieces.append(text)
        self.text.compact()
        return self.handed_out is None

    def replace(self, start: int, text: str) -> None:
        if self.handed_out is None:
            self.handed_out = self.text.value()
        self.text.replace(start, text)

    def rest(self) -> str | None:
        """Return what the consumer lacks at the end; ``None`` if what it has is not a prefix of the final text."""
        if self.handed_out is None:
            return ""
        final = self.text.value()
        return final[len(self.handed_out) :] if final.startswith(self.handed_out) else None


class AppendOnly:
    """Turns the events of one answer into events without replacements.

    Args:
        so_far: what the consumer has already.
        hold: hand out text, reasoning and code at `Finish` only, so that no rewrite can contradict them.
    """

    def __init__(self, so_far: Reply, *, hold: bool = False) -> None:
        self._hold = hold
        self._text = _Channel(hold=hold)
        self._reasoning = _Channel(hold=hold)
        self._blocks: dict[int, _Channel] = {}
        for event in events_of(so_far):
            self.events(event)
        for channel in (self._text, self._reasoning, *self._blocks.values()):
            if hold:
                channel.handed_out = channel.text.value()

    def events(self, event: Event) -> list[Event]:
        """Return the events to hand out after ``event``.

        Raises:
            RewriteError: the answer ended, and what was handed out is not the beginning of it.
        """
        match event:
            case TextDelta(text):
                return [event] if self._text.add(text) else []
            case ReasoningDelta(text):
                return [event] if self._reasoning.add(text) else []
            case CodeDelta(text, block):
                return [event] if self._block(block).add(text) else []
            case TextReplace(start, text):
                self._text.replace(start, text)
                return []
            case ReasoningReplace(start, text):
                self._reasoning.replace(start, text)
                return []
            case CodeReplace(start, text, block):
                self._block(block).replace(start, text)
                return []
            case Finish():
                return [*self._rests(), event]
            case (
                ToolCallDelta()
                | ExecutionOutput()
                | Image()
                | SearchResults()
                | QueueStatus()
                | Notice()
                | Unknown()
            ):
                return [event]
            case _:
                assert_never(event)

    def _block(self, number: int) -> _Channel:
        return self._blocks.setdefault(number, _Channel(hold=self._hold))

    def _rests(self) -> list[Event]:
        """Return what the consumer lacks, in the order in which models write: reasoning, code, text."""
        channels: list[tuple[str, _Channel, Callable[[str], Event]]] = [
            ("reasoning", self._reasoning, ReasoningDelta),
            *(
                (
                    f"code block {number}",
                    channel,
                    lambda text, number=number: CodeDelta(text, number),
                )
                for number, channel in sorted(self._blocks.items())
            ),
            ("text", self._text, TextDelta),
        ]
        events: list[Event] = []
        for name, channel, delta in channels:
            rest = channel.rest()
            if rest is None:
                raise _contradicted(name, channel)
            if rest:
                events.append(delta(rest))
        return events


def _contradicted(name: str, channel: _Channel) -> RewriteError:
    handed_out = channel.handed_out or ""
    return RewriteError(
        f"the service rewrote the {name} of its answer: the {len(handed_out)} characters that were handed out are not "
        "the beginning of the final answer. `.partial` is the whole final answer; use it in place of what was handed "
        "out, or read with stream.appending(hold=True).",
        handed_out=handed_out,
    )
