"""What a stream has said so far, folded from its events."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from .._exhaustive import assert_never
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
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCall,
    ToolCallDelta,
    Unknown,
)
from ..reply import Reply

__all__ = ["GrowingText", "Transcript", "events_of"]

_MANY = 4096


class GrowingText:
    """Text that grows at its end in linear time, also if it is read after each piece, and is now and then rewritten.

    It is not safe for threads; a `Transcript` has a lock.
    """

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts: tuple[list[str], list[str]] = ([], [])

    @property
    def pieces(self) -> list[str]:
        """Where to append; to be asked for anew after anything else was called."""
        return self._parts[1]

    def value(self) -> str:
        blocks, pieces = self._parts
        if pieces or len(blocks) > 1:
            # CPython grows a string in place, without copying it, if a local variable holds its only reference: so
            # the list lets go of it first.
            text, blocks[:1] = (blocks[0] if blocks else ""), []
            text += "".join((*blocks, *pieces))
            self._parts = ([text], [])
            return text
        return blocks[0] if blocks else ""

    def replace(self, start: int, text: str) -> None:
        self._parts = ([self.value()[:start], text], [])

    def compact(self) -> None:
        # A string object costs some 50 bytes beside its text: hold the answer, not its pieces.
        blocks, pieces = self._parts
        if len(pieces) > _MANY:
            self._parts = ([*blocks, "".join(pieces)], [])


class _Call:
    __slots__ = ("arguments", "id", "name", "place")

    def __init__(self, place: int) -> None:
        self.place = place
        self.id = ""
        self.name = ""
        self.arguments = GrowingText()

    def value(self) -> ToolCall:
        return ToolCall(self.id, self.name, self.arguments.value())


class _Calls:
    """Tool calls by their index. A read makes values only of the calls that have changed since the last one."""

    __slots__ = ("_by_index", "_changed", "_values")

    def __init__(self) -> None:
        self._by_index: dict[int, _Call] = {}
        self._values: list[ToolCall | None] = []
        """In the order of the indexes; ``None`` for a call that has changed."""
        self._changed: set[int] = set()

    def add(self, delta: ToolCallDelta) -> None:
        call = self._by_index.get(delta.index)
        if call is None:
            call = self._begin(delta.index)
        call.id = call.id or delta.id
        call.name = call.name or delta.name
        call.arguments.pieces.append(delta.arguments)
        call.arguments.compact()
        self._changed.add(delta.index)
        self._values[call.place] = None  # its text can grow in place only if nothing refers to it

    def _begin(self, index: int) -> _Call:
        ordered = not self._by_index or index > next(reversed(self._by_index))
        call = self._by_index[index] = _Call(len(self._values))
        self._values.append(None)
        if not ordered:
            self._by_index = dict(sorted(self._by_index.items()))
            for place, each in enumerate(self._by_index.values()):
                each.place = place
            self._changed.update(self._by_index)
        return call

    def values(self) -> tuple[ToolCall, ...]:
        for index in self._changed:
            call = self._by_index[index]
            self._values[call.place] = call.value()
        self._changed.clear()
        return tuple(filter(None, self._values))


class Transcript:
    """The answer so far: everything that its events said, but for places in a queue."""

    __slots__ = (
        "_blocks",
        "_calls",
        "_images",
        "_notices",
        "_output",
        "_reasoning",
        "_sources",
        "_text",
        "_unknown",
        "finish",
        "lock",
    )

    def __init__(self) -> None:
        self.lock: AbstractContextManager[Any] = nullcontext()
        """Held for each access. A stream sets one, because it is read while another thread drives its exchange."""
        self._text = GrowingText()
        self._reasoning = GrowingText()
        self._calls = _Calls()
        self._blocks: dict[int, GrowingText] = {}
        self._output: list[str] = []
        self._images: list[Image] = []
        self._sources: list[SearchResult] = []
        self._notices: list[Notice] = []
        self._unknown: list[Unknown] = []
        self.finish: Finish | None = None

    @classmethod
    def of(cls, reply: Reply) -> Transcript:
        """Return the transcript of a reply."""
        transcript = cls()
        transcript.extend(events_of(reply))
        return transcript

    def extend(self, events: Iterable[Event]) -> None:
        """Apply events, in order."""
        with self.lock:
            self._extend(events)

    def _extend(self, events: Iterable[Event]) -> None:
        pieces = self._text.pieces
        for event in events:
            if type(event) is TextDelta:
                pieces.append(event.text)
            else:
                self._apply(event)
                pieces = self._text.pieces  # a rewrite begins a new list
        if len(pieces) > _MANY:
            self._text.compact()

    def _apply(self, event: Event) -> None:
        match event:
            case TextDelta(text):
                self._text.pieces.append(text)
            case ReasoningDelta(text):
                self._reasoning.pieces.append(text)
                self._reasoning.compact()
            case TextReplace(start, text):
                self._text.replace(start, text)
            case ReasoningReplace(start, text):
                self._reasoning.replace(start, text)
            case ToolCallDelta():
                self._calls.add(event)
            case CodeDelta(text, block):
                self._blocks.setdefault(block, GrowingText()).pieces.append(text)
            case CodeReplace(start, text, block):
                self._blocks.setdefault(block, GrowingText()).replace(start, text)
            case ExecutionOutput(text):
                self._output.append(text)
            case Image():
                self._images.append(event)
            case SearchResults(results):
                self._sources += results
            case Notice():
                self._notices.append(event)
            case Unknown():
                self._unknown.append(event)
            case QueueStatus():
                pass  # where the question stood before its answer is no part of the answer
            case Finish():
                self.finish = event
            case _:
                assert_never(event)

    @property
    def text(self) -> str:
        """The answer so far."""
        with self.lock:
            return self._text.value()

    @property
    def reasoning(self) -> str:
        """The thinking so far."""
        with self.lock:
            return self._reasoning.value()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far, by their index."""
        with self.lock:
            return self._calls.values()

    def reply(self) -> Reply:
        """Return all of it as a value."""
        with self.lock:
            return self._reply()

    def _reply(self) -> Reply:
        return Reply(
            self.text,
            self.reasoning,
            self.tool_calls,
            self.finish,
            code_blocks=tuple(block.value() for _, block in sorted(self._blocks.items())),
            execution_output=_lines(self._output),
            images=tuple(self._images),
            sources=tuple(self._sources),
            notices=tuple(self._notices),
            unknown=tuple(self._unknown),
        )


def events_of(reply: Reply) -> list[Event]:
    """Return events that make the reply."""
    events: list[Event] = []
    if reply.reasoning:
        events.append(ReasoningDelta(reply.reasoning))
    if reply.text:
        events.append(TextDelta(reply.text))
    events += [CodeDelta(text, block) for block, text in enumerate(reply.code_blocks)]
    if reply.execution_output:
        events.append(ExecutionOutput(reply.execution_output))
    events += reply.images
    if reply.sources:
        events.append(SearchResults(reply.sources))
    events += reply.notices
    events += reply.unknown
    events += [
        ToolCallDelta(index, call.id, call.name, call.arguments)
        for index, call in enumerate(reply.tool_calls)
    ]
    if reply.finish is not None:
        events.append(reply.finish)
    return events


def _lines(outputs: list[str]) -> str:
    """Join outputs, each on a new line; nothing is added where an output ends its line itself."""
    text = ""
    for output in outputs:
        text += "\n" if text and not text.endswith("\n") else ""
        text += output
    return text
