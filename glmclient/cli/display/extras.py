"""What an event that is neither text nor thinking looks like on standard error."""

from __future__ import annotations

from ..._exhaustive import assert_never
from ...events import (
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
    ToolCall,
    ToolCallDelta,
    Unknown,
    Usage,
)

__all__ = ["CodeBlocks", "lines_of", "summary", "tool_call"]


class CodeBlocks:
    """The code that the service's interpreter will run: shown when a block is whole, or is rewritten."""

    def __init__(self) -> None:
        self._blocks: dict[int, str] = {}
        self._fresh: dict[int, None] = {}

    def add(self, event: CodeDelta | CodeReplace) -> None:
        """Take in a piece of a block."""
        before = self._blocks.get(event.block, "")
        kept = before[: event.start] if isinstance(event, CodeReplace) else before
        self._blocks[event.block] = kept + event.text
        self._fresh[event.block] = None

    def take(self) -> list[str]:
        """Return the lines of the blocks that changed since the last time."""
        changed, self._fresh = self._fresh, {}
        lines: list[str] = []
        for block in changed:
            lines += ["[code]", *(f"    {line}" for line in self._blocks[block].splitlines())]
        return lines


def lines_of(event: Event) -> list[str]:
    """Return the lines that tell of an event; none for what is shown in another way."""
    match event:
        case Image(url):
            return [f"[image] {url}"]
        case ExecutionOutput(text):
            return ["[output]", *(f"    {line}" for line in text.splitlines())]
        case SearchResults(results):
            sources = (
                f"    {r.reference or n}. {r.title} {r.url}" for n, r in enumerate(results, 1)
            )
            return ["[sources]", *sources]
        case Notice(message, level, title):
            return [f"[{level}] {f'{title}: ' if title else ''}{message}"]
        case Unknown(name, data):
            return [f"[{name}] {data}"]
        case TextDelta() | TextReplace() | ReasoningDelta() | ReasoningReplace():
            return []  # shown as they grow
        case CodeDelta() | CodeReplace() | ToolCallDelta():
            return []  # shown when they are whole
        case QueueStatus() | Finish():
            return []  # shown by the progress line, and as a remark at the end
        case _:
            assert_never(event)


def tool_call(call: ToolCall) -> str:
    """Return the line that tells of a whole tool call."""
    return f"[tool call] {call.name}({call.arguments})"


def summary(finish: Finish | None, first: float | None, elapsed: float) -> str:
    """Return the line that ``--usage`` shows.

    Args:
        finish: the end of the answer, if it came.
        first: seconds to the first piece of the answer.
        elapsed: seconds to its end.
    """
    known = [_usage(finish.usage if finish is not None else None)]
    known.append(
        f"{elapsed:.2f} s" + (f", first text after {first:.2f} s" if first is not None else "")
    )
    if finish is not None:
        known.append(f"end: {finish.raw_reason or finish.reason}")
        known += [
            f"{name} {value}"
            for name, value in (("model", finish.model), ("request", finish.request_id))
            if value
        ]
    return f"[usage] {'; '.join(known)}"


def _usage(usage: Usage | None) -> str:
    if usage is None:
        return "the service counts no tokens"
    parts = [
        f"{usage.prompt_tokens} + {usage.completion_tokens} = {usage.total_tokens} tokens",
        *(f"{n} {word}" for n, word in _parts(usage) if n),
    ]
    return ", ".join(parts)


def _parts(usage: Usage) -> list[tuple[int | None, str]]:
    return [(usage.cached_tokens, "cached"), (usage.reasoning_tokens, "for reasoning")]
