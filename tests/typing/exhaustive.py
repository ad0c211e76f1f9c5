"""A ``match`` over every event: a checker accepts it, and would name the event that is forgotten."""

from __future__ import annotations

from typing_extensions import assert_never

from glmclient import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    FinishReason,
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


def told(event: Event) -> str:
    match event:
        case TextDelta(text) | ReasoningDelta(text) | CodeDelta(text):
            return text
        case TextReplace(start, text) | ReasoningReplace(start, text) | CodeReplace(start, text):
            return f"{start}: {text}"
        case ExecutionOutput(text):
            return text
        case Image(url):
            return url
        case SearchResults(results):
            return ", ".join(result.title for result in results)
        case ToolCallDelta(index, _, name, arguments):
            return f"{index}: {name}{arguments}"
        case QueueStatus(position, size, eta):
            return f"{position} of {size}, {eta}"
        case Notice(message):
            return message
        case Unknown(name, data):
            return name + data
        case Finish(reason):
            return ended(reason)
        case _:
            assert_never(event)


def ended(reason: FinishReason) -> str:
    match reason:
        case "stop" | "length" | "tool_calls" | "content_filter" | "other":
            return reason
        case _:
            assert_never(reason)
