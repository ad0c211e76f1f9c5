"""What a stream hands out: frozen, slotted, comparable, picklable values for use in ``match``.

Every stream obeys one law: applying its deltas and replacements in order gives ``stream.text``, and at
:class:`Finish` that is the service's own final answer, character for character.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .json_text import parse_json

__all__ = [
    "CodeDelta",
    "CodeReplace",
    "Event",
    "ExecutionOutput",
    "Finish",
    "FinishReason",
    "Image",
    "Notice",
    "QueueStatus",
    "ReasoningDelta",
    "ReasoningReplace",
    "RunEvent",
    "SearchResult",
    "SearchResults",
    "TextDelta",
    "TextReplace",
    "ToolCall",
    "ToolCallDelta",
    "ToolResult",
    "Unknown",
    "Usage",
]

FinishReason: TypeAlias = Literal["stop", "length", "tool_calls", "content_filter", "other"]
"""Why an answer ended, in one vocabulary for every service."""


@dataclass(frozen=True, slots=True)
class TextDelta:
    """More of the answer: append ``text``."""

    text: str


@dataclass(frozen=True, slots=True)
class TextReplace:
    """The service rewrote its answer: from character ``start`` on it now reads ``text``."""

    start: int
    text: str


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    """More of the model's thinking; never part of the answer's text."""

    text: str


@dataclass(frozen=True, slots=True)
class ReasoningReplace:
    """The service rewrote the thinking: from character ``start`` on it now reads ``text``."""

    start: int
    text: str


@dataclass(frozen=True, slots=True)
class CodeDelta:
    """More of the code that the service's interpreter will run, in code block number ``block``."""

    text: str
    block: int = 0


@dataclass(frozen=True, slots=True)
class CodeReplace:
    """The service rewrote code block ``block``: from character ``start`` on it now reads ``text``."""

    start: int
    text: str
    block: int = 0


@dataclass(frozen=True, slots=True)
class ExecutionOutput:
    """What the service's interpreter printed."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image that belongs to the answer, by its address."""

    url: str


@dataclass(frozen=True, slots=True)
class SearchResult:
    """One source that the service found; ``reference`` is the mark by which the text cites it."""

    title: str
    url: str
    content: str = ""
    reference: str = ""
    media: str = ""
    published: str = ""


@dataclass(frozen=True, slots=True)
class SearchResults:
    """The sources that the service found for this answer."""

    results: tuple[SearchResult, ...]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a tool call: append ``arguments`` to call number ``index``.

    ``id`` and ``name`` are told once, with the first piece, and are ``""`` afterwards.
    """

    index: int
    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """Where the request stands in the service's queue.

    Args:
        position: requests ahead of this one; 0 is next.
        size: requests in the queue.
        eta: the service's own estimate in seconds, or ``None``.
    """

    position: int
    size: int
    eta: float | None = None


@dataclass(frozen=True, slots=True)
class Notice:
    """A message of the service to its user that is not part of the answer."""

    message: str
    level: str = "info"
    title: str = ""


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that no event describes yet; handed out only with ``include_unknown=True``.

    Args:
        name: the service's own name of it.
        data: its payload as JSON text, so that the event stays comparable and hashable.
    """

    name: str
    data: str

    def json(self) -> Any:
        """Return the payload parsed."""
        return json.loads(self.data)


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens, as the service counted them."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None

    def __add__(self, other: Usage) -> Usage:
        """Return the sum; a count that neither side has stays ``None``."""
        if not isinstance(other, Usage):
            return NotImplemented
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
            self.total_tokens + other.total_tokens,
            _sum(self.cached_tokens, other.cached_tokens),
            _sum(self.reasoning_tokens, other.reasoning_tokens),
        )

    def __radd__(self, other: int | Usage) -> Usage:
        """Add to 0, with which ``sum()`` begins."""
        return self if other == 0 else NotImplemented


def _sum(one: int | None, other: int | None) -> int | None:
    return other if one is None else one + (other or 0)


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of the answer; exactly one, and the last event.

    Args:
        reason: why it ended, in the vocabulary of every service.
        usage: the tokens, where the service tells.
        raw_reason: the service's own word for the reason.
        model: the model that answered, where the service tells.
        response_id: the service's id of this answer.
        conversation_id: the service's id of the conversation, to go on with.
        request_id: the id by which the service's support finds this request.
        message: the service's words when it withheld or withdrew the answer.
        continuation: opaque; what ``continue_from=`` gives back to the service to go on. Not compared
            and not shown, because it may hold the conversation.
        empty: the answer ended with neither text nor tool calls. It may have reasoning, images or code.
        reasoning_name: the member of a message under which the service told its reasoning, where that is not
            ``reasoning_content``; empty if the reasoning stood in the text. ``Reply.message()`` sends it back so.
    """

    reason: FinishReason
    usage: Usage | None = None
    raw_reason: str | None = None
    model: str | None = None
    response_id: str | None = None
    conversation_id: str | None = None
    request_id: str | None = None
    message: str | None = None
    continuation: str | None = field(default=None, compare=False, repr=False)
    empty: bool = False
    reasoning_name: str | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A whole tool call; ``arguments`` is the raw string that the service sent."""

    id: str
    name: str
    arguments: str

    def parse_arguments(self) -> Any:
        """Return the arguments parsed from JSON; an empty string is no arguments.

        Raises:
            ProtocolError: they are not JSON; the raw string is in ``.frame``.
        """
        if not self.arguments.strip():
            return {}
        return parse_json(self.arguments, f"the arguments of tool call {self.name!r}")


def in_notebook(function: str, value: object) -> Any:
    """Have `glmclient.notebook` show ``value``; it is looked up when a notebook asks, and only then.

    Nothing here depends on what stands above it, so it is named and not imported.
    """
    import importlib

    return getattr(importlib.import_module(".notebook", __package__), function)(value)


Event: TypeAlias = (
    TextDelta
    | TextReplace
    | ReasoningDelta
    | ReasoningReplace
    | ToolCallDelta
    | CodeDelta
    | CodeReplace
    | ExecutionOutput
    | Image
    | SearchResults
    | QueueStatus
    | Notice
    | Unknown
    | Finish
)
"""Everything that a stream can hand out."""


@dataclass(frozen=True, slots=True)
class ToolResult:
    """What a function returned for a tool call of the model. Runs hand it out; streams do not.

    Args:
        id: the id of the call.
        name: the name of the tool that the model asked for.
        content: what the model reads: the function's text, anything else as JSON, or the problem.
        is_error: the function raised an exception, does not exist, or the arguments do not fit.
    """

    id: str
    name: str
    content: str
    is_error: bool = False


RunEvent: TypeAlias = Event | ToolResult
"""Everything that a run can hand out."""
