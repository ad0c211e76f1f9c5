"""What a stream has said so far, folded from its events."""

from __future__ import annotations

from collections.abc import Iterable

from ..events import (
    Event,
    Finish,
    ReasoningDelta,
    ReasoningReplace,
    Reply,
    TextDelta,
    TextReplace,
    ToolCall,
    ToolCallDelta,
)

__all__ = ["Transcript"]

_MANY = 4096


class _Text:
    """Text that grows at its end in linear time, and is now and then rewritten.

    What it is made of is swapped as a whole, so that a thread that reads it meanwhile gets a whole text.
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
            blocks = ["".join((*blocks, *pieces))]
            self._parts = (blocks, [])
        return blocks[0] if blocks else ""

    def replace(self, start: int, text: str) -> None:
        self._parts = ([self.value()[:start], text], [])

    def compact(self) -> None:
        # A string object costs some 50 bytes beside its text: hold the answer, not its pieces.
        blocks, pieces = self._parts
        if len(pieces) > _MANY:
            self._parts = ([*blocks, "".join(pieces)], [])


class _Call:
    __slots__ = ("arguments", "id", "name")

    def __init__(self) -> None:
        self.id = ""
        self.name = ""
        self.arguments: list[str] = []

    def add(self, delta: ToolCallDelta) -> None:
        self.id = self.id or delta.id
        self.name = self.name or delta.name
        self.arguments.append(delta.arguments)


class Transcript:
    """The answer so far: text, reasoning, tool calls and finish."""

    __slots__ = ("_calls", "_reasoning", "_text", "finish")

    def __init__(self) -> None:
        self._text = _Text()
        self._reasoning = _Text()
        self._calls: dict[int, _Call] = {}
        self.finish: Finish | None = None

    def extend(self, events: Iterable[Event]) -> None:
        """Apply events, in order."""
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
        if isinstance(event, ReasoningDelta):
            self._reasoning.pieces.append(event.text)
            self._reasoning.compact()
        elif isinstance(event, TextReplace):
            self._text.replace(event.start, event.text)
        elif isinstance(event, ReasoningReplace):
            self._reasoning.replace(event.start, event.text)
        elif isinstance(event, ToolCallDelta):
            self._calls.setdefault(event.index, _Call()).add(event)
        elif isinstance(event, Finish):
            self.finish = event

    @property
    def text(self) -> str:
        """The answer so far."""
        return self._text.value()

    @property
    def reasoning(self) -> str:
        """The thinking so far."""
        return self._reasoning.value()

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far, by their index."""
        return tuple(
            ToolCall(call.id, call.name, "".join(call.arguments))
            for _, call in sorted(self._calls.items())
        )

    def reply(self) -> Reply:
        """Return all of it as a value."""
        return Reply(self.text, self.reasoning, self.tool_calls, self.finish)
