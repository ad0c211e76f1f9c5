"""The chunks of an answer in the habits of the platform, vLLM, SGLang or Ollama.

Source: ``docs/wire/open-platform.md`` §2 (the platform), §5 (compatible servers).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from ..._exhaustive import assert_never
from ...core.http import dump_json
from ...errors import ConfigurationError
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
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
    Usage,
)
from ...simulator.http import Cut, Pause, Reset, Wait
from ...simulator.script import EndBody, Open, Refusal, Step, unsupported
from .simulated_refusals import error_body

__all__ = ["DONE", "ChunkWriter", "Flavour", "Layout", "usage_object"]

Flavour: TypeAlias = Literal["glm", "vllm", "sglang", "ollama", "dashscope"]
"""Whose habits: the official platform's, or those of a server that hosts the models."""

DONE = b"data: [DONE]\n\n"

_READ_KEYS = (
    "choices",
    "created",
    "error",
    "id",
    "model",
    "object",
    "request_id",
    "usage",
    "web_search",
)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the chunks of one answer are laid out.

    Args:
        flavour: whose habits.
        fragments: tool calls come as the script cuts them; otherwise each comes whole, as the platform sends them
            without ``tool_stream``.
        usage: tell the usage; compatible servers do it only when they are asked to.
        model: what answers, unless the script's `Finish` says.
        response_id: the answer's id, unless the script's `Finish` says.
        created: seconds since the epoch.

    Raises:
        ConfigurationError: there is no such flavour.
    """

    flavour: Flavour = "glm"
    fragments: bool = True
    usage: bool = True
    model: str = "glm-5.3"
    response_id: str = "20250926190540c29952ed24ae4570"
    created: int = 1758884740

    def __post_init__(self) -> None:
        if self.flavour not in get_args(Flavour):
            names = ", ".join(get_args(Flavour))
            raise ConfigurationError(f"flavour must be one of {names}, not {self.flavour!r}.")


class ChunkWriter:
    """Writes the frames of one answer."""

    def __init__(self, layout: Layout, finish: Finish, calls: bool) -> None:
        if finish.conversation_id is not None or finish.message is not None:
            raise unsupported("the platform", finish)
        self._layout = layout
        self._finish = finish
        self._began = False
        self._thought = False
        # glm-4.5 tells the finish reason on each tool call already (§2.2).
        self._early = layout.flavour == "glm" and not layout.fragments and calls
        self._told: set[int] = set()
        self.raw_reason: str | None = _raw_reason(finish, layout.flavour)
        self.reasoning_field = (
            "reasoning" if layout.flavour in ("vllm", "ollama") else "reasoning_content"
        )

    def frames(self, step: Step) -> Iterator[bytes]:
        """Yield the frames for one step."""
        if isinstance(step, Refusal):
            yield _frame(error_body(step, self._layout.flavour))
            if self._layout.flavour != "glm":
                yield DONE  # vLLM and SGLang end the stream in order after an error (§5)
            return
        if not self._began:
            self._began = True
            yield from self._opening()
        match step:
            case TextDelta(text):
                yield self._delta(self._text(text))
            case ReasoningDelta(text):
                self._thought = True
                yield self._delta({self.reasoning_field: text})
            case ToolCallDelta():
                yield self._call(step)
            case SearchResults() | Unknown():
                yield _frame(self.chunk([]) | self.extra(step))
            case Finish():
                yield from self._end()
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
                raise unsupported("the platform", step)
            case _:
                assert_never(step)

    def chunk(self, choices: list[dict[str, Any]]) -> dict[str, Any]:
        """Return a chunk with these choices."""
        layout, finish = self._layout, self._finish
        chunk: dict[str, Any] = {
            "id": finish.response_id or layout.response_id,
            "created": layout.created,
            "model": finish.model or layout.model,
            "choices": choices,
        }
        if finish.request_id is not None:
            chunk["request_id"] = finish.request_id
        if layout.flavour != "glm":
            chunk["object"] = "chat.completion.chunk"  # the platform has no such key (§2)
        if layout.flavour == "ollama":
            chunk["system_fingerprint"] = "fp_ollama"
        if layout.flavour == "sglang":
            chunk["usage"] = None
        return chunk

    def call(self, step: ToolCallDelta) -> dict[str, Any]:
        """Return an element of ``tool_calls``; what was told of a call is not repeated."""
        function: dict[str, Any] = {"arguments": step.arguments}
        call: dict[str, Any] = {"index": step.index, "function": function}
        if step.index not in self._told:
            self._told.add(step.index)
            call["type"] = "function"
        elif self._layout.flavour == "sglang":
            call["id"] = function["name"] = None  # continuations name nothing (§5)
        if step.id:
            call["id"] = step.id
        if step.name:
            function["name"] = step.name
        return call

    def extra(self, step: SearchResults | Unknown) -> dict[str, Any]:
        """Return the members of a chunk that are no choices."""
        if isinstance(step, Unknown):
            if step.name in _READ_KEYS:
                raise unsupported("the platform", step)
            return {step.name: step.json()}
        if self._layout.flavour != "glm":
            raise unsupported("a compatible server", step)
        return {"web_search": [_source(result) for result in step.results]}

    def _opening(self) -> Iterator[bytes]:
        """Yield the chunk with the role alone that vLLM and SGLang begin with (§5)."""
        if self._layout.flavour in ("vllm", "sglang"):
            yield self._delta({"role": "assistant", "content": ""})

    def _text(self, text: str) -> dict[str, Any]:
        delta: dict[str, Any] = {"content": text}
        if self._layout.flavour == "glm" and self._thought:
            delta["reasoning_content"] = ""  # as recorded, once there was thinking (§2.1)
        return delta

    def _call(self, step: ToolCallDelta) -> bytes:
        delta = {"tool_calls": [self.call(step)]}
        return self._delta(delta, self.raw_reason if self._early else None)

    def _delta(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        return _frame(self.chunk([self._choice(delta, reason)]))

    def _choice(self, delta: dict[str, Any], reason: str | None) -> dict[str, Any]:
        flavour = self._layout.flavour
        choice: dict[str, Any] = {"index": 0}
        if flavour == "glm":
            # The role on every chunk but those of tools, and no finish_reason before it is due (§2).
            choice["delta"] = delta if "tool_calls" in delta else {"role": "assistant", **delta}
            if reason is not None:
                choice["finish_reason"] = reason
            return choice
        if flavour == "sglang":
            delta = {
                "role": None,
                "content": None,
                "reasoning_content": None,
                "tool_calls": None,
            } | delta
            choice["matched_stop"] = None
        if flavour == "ollama":
            delta = {"role": "assistant", "content": ""} | delta
        else:
            choice["logprobs"] = None
        return choice | {"delta": delta, "finish_reason": reason}

    def _end(self) -> Iterator[bytes]:
        usage = self._finish.usage if self._layout.usage else None
        if self._layout.flavour == "glm":
            # The usage is on the chunk that ends the choice (§2.4).
            last = self.chunk([self._choice({"content": ""}, self.raw_reason)])
            yield _frame(last if usage is None else last | {"usage": usage_object(usage)})
        else:
            yield self._delta({"content": ""}, self.raw_reason)
            if usage is not None:
                yield _frame(self.chunk([]) | {"usage": usage_object(usage)})
        yield DONE


_RAW_REASONS = {"stop": "stop", "length": "length", "tool_calls": "tool_calls"}


def _raw_reason(finish: Finish, flavour: Flavour) -> str | None:
    if finish.raw_reason is not None:
        return finish.raw_reason
    if finish.reason == "content_filter":
        return "sensitive" if flavour == "glm" else "content_filter"
    return _RAW_REASONS.get(finish.reason)


def usage_object(usage: Usage) -> dict[str, Any]:
    """Return a usage as the services write it (§2.4)."""
    told: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        told["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        told["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return told


def _source(result: SearchResult) -> dict[str, Any]:
    return {
        "title": result.title,
        "content": result.content,
        "link": result.url,
        "media": result.media,
        "refer": result.reference,
        "publish_date": result.published,
    }


def _frame(chunk: dict[str, Any]) -> bytes:
    return b"data: " + dump_json(chunk) + b"\n\n"
