"""Events as the platform and compatible servers write them: frames of a stream, or one whole answer.

Source: ``docs/wire/open-platform.md`` §2 (streams), §4 (whole answers).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ..._exhaustive import assert_never
from ...events import (
    CodeDelta,
    CodeReplace,
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
from ...simulator.http import BodyItem, Cut, Pause, Reset, Wait
from ...simulator.script import EndBody, Open, Refusal, Step, unsupported
from .encoder import ChunkWriter, Layout, usage_object

__all__ = ["encode", "encoded", "whole_answer"]

_PASSED = (bytes, Pause, Wait, Cut, Reset)


def encode(steps: Iterable[Step], layout: Layout | None = None) -> list[BodyItem]:
    """Return what the service writes for ``steps``: a frame for each event, and the end mark.

    Bytes, pauses, waits, cuts and resets stay where they are.

    Raises:
        ConfigurationError: the service has no way to say a step.
    """
    return list(encoded(tuple(steps), layout if layout is not None else Layout()))


def encoded(steps: tuple[Step, ...], layout: Layout) -> Iterator[BodyItem]:
    """Yield what `encode` returns, one item at a time."""
    if not layout.fragments:
        steps = _with_whole_calls(steps)
    writer = ChunkWriter(
        layout, _ending(steps), any(isinstance(step, ToolCallDelta) for step in steps)
    )
    for step in steps:
        if isinstance(step, EndBody):
            return
        if isinstance(step, _PASSED):
            yield step
        else:
            yield from writer.frames(step)


def whole_answer(steps: tuple[Step, ...], layout: Layout) -> dict[str, Any]:
    """Return the answer as it is told without ``stream``.

    Raises:
        ConfigurationError: it does not end with a `Finish`, or says what a whole answer cannot.
    """
    finish = _ending(steps)
    writer = ChunkWriter(layout, finish, calls=False)
    message: dict[str, Any] = {"role": "assistant", "content": ""}
    answer = writer.chunk([])
    answer["object"] = "chat.completion"
    for step in _with_whole_calls(steps):
        match step:
            case TextDelta(text):
                message["content"] += text
            case ReasoningDelta(text):
                field = writer.reasoning_field
                message[field] = message.get(field, "") + text
            case ToolCallDelta():
                message.setdefault("tool_calls", []).append(writer.call(step))
            case SearchResults() | Unknown():
                answer.update(writer.extra(step))
            case Finish():
                pass
            case (
                bytes()
                | Pause()
                | Wait()
                | Cut()
                | Reset()
                | Open()
                | EndBody()
                | Refusal()
                | TextReplace()
                | ReasoningReplace()
                | CodeDelta()
                | CodeReplace()
                | Image()
                | ExecutionOutput()
                | QueueStatus()
                | Notice()
            ):
                raise unsupported("a whole answer of the platform", step)
            case _:
                assert_never(step)
    if layout.flavour == "glm":
        del answer["object"]
        answer["request_id"] = finish.request_id or answer["id"]
    answer["choices"] = [{"index": 0, "finish_reason": writer.raw_reason, "message": message}]
    if finish.usage is not None:
        answer["usage"] = usage_object(finish.usage)
    return answer


def _ending(steps: Iterable[Step]) -> Finish:
    return next((step for step in steps if isinstance(step, Finish)), Finish("stop"))


def _with_whole_calls(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """Return the steps with every tool call in one piece, where its last fragment was."""
    calls: dict[int, ToolCallDelta] = {}
    places: dict[int, int] = {}
    for place, step in enumerate(steps):
        if isinstance(step, ToolCallDelta):
            known = calls.get(step.index, ToolCallDelta(step.index, "", "", ""))
            calls[step.index] = ToolCallDelta(
                step.index,
                known.id or step.id,
                known.name or step.name,
                known.arguments + step.arguments,
            )
            places[step.index] = place
    return tuple(
        calls[step.index] if isinstance(step, ToolCallDelta) else step
        for place, step in enumerate(steps)
        if not isinstance(step, ToolCallDelta) or places[step.index] == place
    )
