"""What the chunks of an answer mean: text, thinking, tool calls, sources, usage and the end.

Source: ``docs/wire/open-platform.md`` §2.1 to §2.6 and §5. Nothing is required of a chunk: ``null``, missing and
``""`` are the same.
"""

from __future__ import annotations

import json
from typing import Any

from ..errors import GLMError, ServerError, StreamInterrupted
from ..events import (
    Event,
    Finish,
    FinishReason,
    ReasoningDelta,
    SearchResult,
    SearchResults,
    TextDelta,
    Unknown,
    Usage,
)
from .think_tags import ThinkTags
from .tool_fragments import ToolFragments

__all__ = ["FINISH_REASONS", "AnswerReader"]

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "model_context_window_exceeded": "length",
    "sensitive": "content_filter",
    "content_filter": "content_filter",
}
"""The services' words for the end of an answer (``docs/wire/open-platform.md`` §2.5); others are ``"other"``."""

_NETWORK_ERROR = "network_error"

_READ_CHUNK = frozenset({"choices", "error", "id", "model", "request_id", "usage", "web_search"})
_READ_CHOICE = frozenset({"delta", "finish_reason", "index", "message"})
_READ_DELTA = frozenset(
    {"content", "reasoning", "reasoning_content", "refusal", "role", "tool_calls"}
)
_LABELS = frozenset({"created", "object", "service_tier", "system_fingerprint"})
"""Constant labels of every chunk that say nothing about the answer."""


class AnswerReader:
    """Reads one answer, chunk by chunk.

    Args:
        service: how messages name the service.
        think_tags: split ``<think>`` tags off the text.
        include_unknown: hand out what no event describes as `Unknown`.
        request_id: of the request, where the service repeats none.
    """

    def __init__(
        self,
        service: str,
        *,
        think_tags: bool = False,
        include_unknown: bool = False,
        request_id: str | None = None,
    ) -> None:
        self._service = service
        self._tags = ThinkTags() if think_tags else None
        self._include_unknown = include_unknown
        self._request_id = request_id
        self._tools = ToolFragments()
        self._first: dict[str, Any] | None = None
        self._last: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self._reason = ""
        self._refusal: list[str] = []
        self._shown = False

    @property
    def finish_seen(self) -> bool:
        """A finish reason came: an end of the body is the end of the answer (§2.8)."""
        return bool(self._reason)

    def read(self, chunk: dict[str, Any], out: list[Event]) -> None:
        """Append the events of one chunk to ``out``.

        Raises:
            ServerError: the service's inference failed before anything was said.
            StreamInterrupted: it failed in the middle of the answer.
        """
        before = len(out)
        self._last = chunk
        if self._first is None:
            self._first = chunk
        choices = chunk.get("choices")
        if "web_search" in chunk:
            self._sources(chunk["web_search"], out)
        if choices:
            self._choices(choices, out)
        if "usage" in chunk and isinstance(chunk["usage"], dict) and chunk["usage"]:
            self._usage = chunk["usage"]  # the last one wins (§2.4)
        if self._include_unknown:
            self._unknown(chunk, _READ_CHUNK, out)
        if len(out) > before:
            self._shown = True
        if self._reason == _NETWORK_ERROR:
            raise self._failed()

    def _choices(self, choices: Any, out: list[Event]) -> None:
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            index = choice.get("index")
            if index and type(index) is int:  # a stream has one answer
                self._hand_out("choice", choice, out)
                continue
            # A message is a whole answer; a gateway that adds one to its last chunk repeats what was shown.
            delta = choice.get("delta") or (None if self._shown else choice.get("message"))
            if isinstance(delta, dict):
                self._delta(delta, out)
            reason = choice.get("finish_reason")
            if reason:
                # Early on every tool call, and again at the end: only [DONE] or the end of the body ends it (§2.2).
                self._reason = str(reason)
            if self._include_unknown:
                self._unknown(choice, _READ_CHOICE, out)

    def _delta(self, delta: dict[str, Any], out: list[Event]) -> None:
        reasoning = delta.get("reasoning_content") or delta.get("reasoning")
        if reasoning:
            self._thinking(reasoning, out)
        content = delta.get("content")
        if content:
            if type(content) is not str:
                self._hand_out("content", content, out)
            elif self._tags is None:
                out.append(TextDelta(content))
            else:
                self._tags.feed(content, out)
        if "tool_calls" in delta:
            self._tool_calls(delta["tool_calls"], out)
        if isinstance(delta.get("refusal"), str):
            self._refusal.append(delta["refusal"])
        if self._include_unknown:
            self._unknown(delta, _READ_DELTA, out)

    def _thinking(self, reasoning: Any, out: list[Event]) -> None:
        if type(reasoning) is not str:
            self._hand_out("reasoning", reasoning, out)
            return
        if self._tags is not None:
            self._tags.reasoning_came()
        out.append(ReasoningDelta(reasoning))

    def _tool_calls(self, fragments: Any, out: list[Event]) -> None:
        for fragment in fragments if isinstance(fragments, list) else ():
            if not isinstance(fragment, dict):
                continue
            if (fragment.get("type") or "function") != "function":
                self._hand_out("tool_calls", fragment, out)  # a tool that the service runs itself
                continue
            event = self._tools.add(fragment)
            if event is not None:
                out.append(event)

    def _sources(self, found: Any, out: list[Event]) -> None:
        results = (
            tuple(_source(each) for each in found if isinstance(each, dict))
            if isinstance(found, list)
            else ()
        )
        if results:
            out.append(SearchResults(results))

    # -- the end -----------------------------------------------------------------------------------------------

    def finish(self, out: list[Event]) -> None:
        """Append the end of the answer."""
        if self._tags is not None:
            self._tags.end(out)
        raw = self._reason or None
        out.append(
            Finish(
                FINISH_REASONS.get(self._reason, "other"),
                usage=None if self._usage is None else _usage(self._usage),
                raw_reason=raw,
                model=self._told("model"),
                response_id=self._told("id"),
                request_id=self._told("request_id") or self._request_id,
                message="".join(self._refusal) or None,
            )
        )

    def _told(self, name: str) -> str | None:
        """Return what the last chunk tells under ``name``, or the first."""
        value = self._last.get(name) or (self._first or {}).get(name)
        return value if isinstance(value, str) else None

    def _failed(self) -> GLMError:
        """Return the error for an inference that broke with HTTP 200 (§2.5)."""
        cause = ServerError(
            f"{self._service} failed in the middle of its work (finish_reason network_error). Try again.",
            status_code=200,
            code=_NETWORK_ERROR,
            reason="the inference failed",
            request_id=self._told("request_id"),
            retryable=True,
        )
        if not self._shown:
            return cause
        error = StreamInterrupted(
            f"{self._service} failed in the middle of the answer (finish_reason network_error). "
            "What came is on `error.partial`; ask again for a whole answer.",
            request_id=cause.request_id,
            retryable=True,
        )
        error.__cause__ = cause
        return error

    # -- what no event describes -------------------------------------------------------------------------------

    def _unknown(self, fields: dict[str, Any], read: frozenset[str], out: list[Event]) -> None:
        for name, value in fields.items():
            if name not in read and name not in _LABELS and value not in (None, "", [], {}):
                self._hand_out(name, value, out)

    def _hand_out(self, name: str, value: Any, out: list[Event]) -> None:
        if self._include_unknown:
            out.append(Unknown(name, json.dumps(value, ensure_ascii=False)))


def _source(found: dict[str, Any]) -> SearchResult:
    def told(name: str) -> str:
        value = found.get(name)
        return value if isinstance(value, str) else ""

    return SearchResult(
        title=told("title"),
        url=told("link"),
        content=told("content"),
        reference=told("refer"),
        media=told("media"),
        published=told("publish_date"),
    )


def _usage(usage: dict[str, Any]) -> Usage:
    prompt = _count(usage.get("prompt_tokens")) or 0
    completion = _count(usage.get("completion_tokens")) or 0
    total = _count(usage.get("total_tokens"))
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion if total is None else total,
        cached_tokens=_detail(usage, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_detail(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def _detail(usage: dict[str, Any], group: str, name: str) -> int | None:
    details = usage.get(group)
    return _count(details.get(name)) if isinstance(details, dict) else None


def _count(value: Any) -> int | None:
    return value if type(value) is int else None
