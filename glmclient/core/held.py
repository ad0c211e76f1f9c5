"""How much of an answer is held in memory, and the bounds on it.

`Limits.answer` bounds characters, `Limits.parts` bounds objects: an object costs memory even if it has no characters.
Both are checked before events are handed over, so that every event before the bound is on ``error.partial``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import astuple
from typing import Any

from .._exhaustive import assert_never
from ..errors import LimitExceeded
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
from .limits import Limits

__all__ = ["AnswerSize", "HeldState", "answer_too_large", "size_of", "too_many_parts"]


class AnswerSize:
    """The characters and the parts of one answer, counted from its events.

    Args:
        limits: the bounds.
    """

    __slots__ = ("_blocks", "_calls", "_limits", "_others", "_parts", "_reasoning", "_text")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._text = 0
        self._reasoning = 0
        self._blocks: dict[int, int] = {}
        self._calls: set[int] = set()
        self._others = 0
        """Characters of everything that only grows."""
        self._parts = 0

    def cut(self, batch: list[Event]) -> LimitExceeded | None:
        """Remove the events of ``batch`` from the first one on that passes a bound; return the error, if one does."""
        maximum = self._limits.answer
        for index, event in enumerate(batch):
            if type(event) is TextDelta:  # nearly every event: counted without a call
                self._text += len(event.text)
            else:
                self._count(event)
            size = self._text + self._reasoning + self._others
            if size > maximum:
                del batch[index:]
                return answer_too_large(self._limits, size)
            if self._parts > self._limits.parts:
                del batch[index:]
                return too_many_parts(self._limits, self._parts)
        return None

    def _count(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._text += len(text)
            case ReasoningDelta(text):
                self._reasoning += len(text)
            case TextReplace(start, text):
                self._text = start + len(text)
            case ReasoningReplace(start, text):
                self._reasoning = start + len(text)
            case CodeDelta(text, block):
                self._block(block, self._blocks.get(block, 0) + len(text))
            case CodeReplace(start, text, block):
                self._block(block, start + len(text))
            case ToolCallDelta(index, call_id, name, arguments):
                self._others += len(call_id) + len(name) + len(arguments)
                if index not in self._calls:
                    self._calls.add(index)
                    self._parts += 1
            case ExecutionOutput(text):
                self._part(len(text))
            case Image(url):
                self._part(len(url))
            case SearchResults(results):
                for result in results:
                    self._part(sum(map(len, astuple(result))))
            case Notice(text, level, title):
                self._part(len(text) + len(level) + len(title))
            case Unknown(name, data):
                self._part(len(name) + len(data))
            case QueueStatus() | Finish():
                pass  # not held, and held once
            case _:
                assert_never(event)

    def _block(self, number: int, length: int) -> None:
        if number not in self._blocks:
            self._parts += 1
        self._others += length - self._blocks.get(number, 0)
        self._blocks[number] = length

    def _part(self, characters: int) -> None:
        self._parts += 1
        self._others += characters


class HeldState:
    """What a decoder holds beside the text, such as a chatbot's whole value or items that are not finished.

    Measuring it costs as much as it is large. It is measured after as many received characters as the bound, so that
    the time stays linear in what was received; until then it can become twice as large as the bound.

    Args:
        limits: `Limits.answer` is the bound.
        value: returns what is held, as JSON values and tuples.
    """

    __slots__ = ("_limits", "_unmeasured", "_value")

    def __init__(self, limits: Limits, value: Callable[[], Any]) -> None:
        self._limits = limits
        self._value = value
        self._unmeasured = 0

    def received(self, characters: int) -> None:
        """Count characters that may have been added to what is held.

        Raises:
            LimitExceeded: more is held than the bound.
        """
        self._unmeasured += characters
        if self._unmeasured > self._limits.answer:
            self._unmeasured = 0
            size = size_of(self._value())
            if size > self._limits.answer:
                raise answer_too_large(self._limits, size)

    def reset(self) -> None:
        """Note that what was held was dropped."""
        self._unmeasured = 0


def size_of(value: Any, *, characters: bool = True) -> int:
    """Return the number of parts of a JSON value, with the characters of all its strings.

    An object that is held at several places counts once.

    Args:
        value: of JSON, or a tuple of such.
        characters: count them; otherwise a string counts as one part.
    """
    size = 0
    seen: set[int] = set()
    waiting = [value]
    while waiting:  # no recursion: the value may be nested deeper than Python's stack
        each = waiting.pop()
        size += 1
        if isinstance(each, str):
            size += len(each) if characters else 0
        elif isinstance(each, (list, tuple, dict)) and id(each) not in seen:
            seen.add(id(each))
            waiting.extend(each)
            if isinstance(each, dict):
                waiting.extend(each.values())
    return size


def answer_too_large(limits: Limits, actual: int) -> LimitExceeded:
    """Return the error for an answer with more characters than the bound."""
    return LimitExceeded(
        f"the answer has more than {limits.answer} characters ({actual} received). Raise Limits.answer if that is "
        "right; what came before is on `error.partial`.",
        limit="answer",
        maximum=limits.answer,
        actual=actual,
    )


def too_many_parts(limits: Limits, actual: int) -> LimitExceeded:
    """Return the error for an answer of more parts than the bound."""
    return LimitExceeded(
        f"the answer has more than {limits.parts} parts ({actual} received). Raise Limits.parts if that is right; "
        "what came before is on `error.partial`.",
        limit="parts",
        maximum=limits.parts,
        actual=actual,
    )
