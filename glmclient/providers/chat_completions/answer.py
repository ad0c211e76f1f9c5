"""What the chunks of an answer mean: text, thinking, tool calls, sources, usage and the end.

Source: ``docs/wire/open-platform.md`` §2.1 to §2.6 and §5. Nothing is required of a chunk: ``null``, missing and
``""`` are the same.
"""

from __future__ import annotations

import json
from typing import Any, TypeAlias

from ...core.held import HeldState
from ...core.limits import Limits
from ...core.surrogates import Halves
from ...errors import GLMError, ServerError, StreamInterrupted
from ...events import Event, Finish, FinishReason, ReasoningDelta, SearchResults, TextDelta, Unknown
from .think_tags import ThinkTags
from .tool_calls import ToolFragments
from .values import sources_of, usage_of
from .wire import REASONING

__all__ = ["FINISH_REASONS", "AnswerReader", "ChoiceFailed", "Path"]

Path: TypeAlias = tuple[str | int, ...]
"""Keys and indices that lead to a value of a JSON document."""

FINISH_REASONS: dict[str, FinishReason] = {
    "stop": "stop",
    "tool_calls": "tool_calls",
    "length": "length",
    "model_context_window_exceeded": "length",
    "sensitive": "content_filter",
    "content_filter": "content_filter",
}
"""The services' words for the end of an answer (``docs/wire/open-platform.md`` §2.5); others are ``"other"``."""

_FAILED = frozenset({"network_error", "error"})
"""Finish reasons by which services say that the inference failed (§2.5)."""

_READ_CHUNK = frozenset({"choices", "error", "id", "model", "request_id", "usage", "web_search"})
_READ_CHOICE = frozenset({"delta", "finish_reason", "index", "message", "usage"})
_READ_DELTA = frozenset(
    {"content", "reasoning", "reasoning_content", "refusal", "role", "tool_calls"}
)
_TEXTS = ("content", "reasoning_content", "reasoning")
_SAYING = (*_TEXTS, "tool_calls", "refusal")
_FUNCTIONS = ("function", "builtin_function")
"""Types of tool calls that are handed out; Kimi marks its own functions with the second."""
_LABELS = frozenset({"created", "object", "service_tier", "system_fingerprint"})
"""Constant labels of every chunk that say nothing about the answer."""


class ChoiceFailed(Exception):
    """A choice carries an error object in place of an answer."""

    def __init__(self, error: Any) -> None:
        super().__init__("the choice carries an error")
        self.error = error


class AnswerReader:
    """Reads one answer, chunk by chunk.

    Args:
        service: how messages name the service.
        think_tags: split ``<think>`` tags off the text.
        include_unknown: hand out what no event describes as `Unknown`.
        request_id: of the request, where the service repeats none.
        limits: bounds on what is held.
    """

    def __init__(
        self,
        service: str,
        *,
        think_tags: bool = False,
        include_unknown: bool = False,
        request_id: str | None = None,
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
    ) -> None:
        self._service = service
        self._tags = ThinkTags() if think_tags else None
        self._include_unknown = include_unknown
        self._request_id = request_id
        self._tools = ToolFragments()
        self._halves = Halves()
        self._reasoning_halves = Halves()
        self._first: dict[str, Any] | None = None
        self._last: dict[str, Any] = {}
        self._usage: dict[str, Any] | None = None
        self._reason = ""
        self._refusal: list[str] = []
        self._refusal_held = HeldState(limits, lambda: self._refusal)
        self._shown = False
        self._chosen = False
        self._complete = False
        self._reasoning_names: set[str] = set()
        self._expected: dict[str, Any] = {}
        self._expected_text = True

    @property
    def began(self) -> bool:
        """Whether the service sent any choice or a finish reason: without both, ``[DONE]`` ends no answer."""
        return self._chosen or bool(self._reason)

    def nothing(self) -> dict[str, Any]:
        """Return the last chunk that came without a choice, for the error that quotes it."""
        return self._last

    @property
    def finish_seen(self) -> bool:
        """A finish reason came: an end of the body is the end of the answer (§2.8)."""
        return bool(self._reason)

    @property
    def complete(self) -> bool:
        """A finish reason came in a chunk without tool calls, so that nothing of the answer can follow.

        One beside a tool call may come before further calls (§2.2): taking it for the end would lose them silently.
        """
        return self._complete

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
        if self._reason in _FAILED:
            raise self._failed()

    def _choices(self, choices: Any, out: list[Event]) -> None:
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            self._chosen = True
            if choice.get("error"):
                raise ChoiceFailed(choice["error"])
            index = choice.get("index")
            if index and type(index) is int:  # a stream has one answer
                self._hand_out("choice", choice, out)
                continue
            # A message is a whole answer; a gateway that adds one to its last chunk repeats what was shown.
            delta = choice.get("delta") or (None if self._shown else choice.get("message"))
            if isinstance(delta, dict):
                self._delta(delta, out)
            if isinstance(choice.get("usage"), dict) and choice["usage"]:
                self._usage = choice["usage"]  # Kimi reports the usage here
            reason = choice.get("finish_reason")
            if reason:
                # Early on every tool call, and again at the end: only [DONE] or the end of the body ends it (§2.2).
                self._reason = str(reason)
                self._complete = not (isinstance(delta, dict) and delta.get("tool_calls"))
            if self._include_unknown:
                self._unknown(choice, _READ_CHOICE, out)

    def _delta(self, delta: dict[str, Any], out: list[Event]) -> None:
        name = REASONING
        reasoning = delta.get(name)
        if not reasoning:
            name = "reasoning"
            reasoning = delta.get(name)
        if reasoning:
            self._reasoning_names.add(name)
            self._thinking(reasoning, out)
        content = delta.get("content")
        if content:
            if type(content) is str:
                self._text(content, out)
            else:
                self._parts("content", content, out)
        if "tool_calls" in delta:
            self._tool_calls(delta["tool_calls"], out)
        if isinstance(delta.get("refusal"), str):
            self._refusal.append(delta["refusal"])
            self._refusal_held.received(len(delta["refusal"]) + 1)
        if self._include_unknown:
            self._unknown(delta, _READ_DELTA, out)

    def _text(self, text: str, out: list[Event]) -> None:
        if text and self._halves.needed(text):
            text = self._halves.join(text)
        if not text:
            return
        if self._tags is None:
            out.append(TextDelta(text))
        else:
            self._tags.feed(text, out)

    def _parts(self, name: str, content: Any, out: list[Event]) -> None:
        """Read content that is a list of parts, or a single part, in place of a string.

        Relays of GLM-5 send text as ``{"type": "text", "text": ...}`` and reasoning as
        ``{"type": "thinking", "thinking": [{"type": "text", ...}]}``.
        """
        for part in content if isinstance(content, list) else [content]:
            if isinstance(part, str):
                part = {"type": "text", "text": part}
            thinking = _thinking_of(part)
            text = _text_of(part)
            if thinking is not None:
                if thinking:
                    self._thinking(thinking, out)
            elif text is None:
                self._hand_out(name, part, out)
            elif text and name == "content":
                self._text(text, out)
            elif text:
                self._thinking(text, out)

    def _thinking(self, reasoning: Any, out: list[Event]) -> None:
        if type(reasoning) is not str:
            self._parts("reasoning", reasoning, out)
            return
        if self._tags is not None:
            self._tags.reasoning_came()
        if self._reasoning_halves.needed(reasoning):
            reasoning = self._reasoning_halves.join(reasoning)
        if reasoning:
            out.append(ReasoningDelta(reasoning))

    def _tool_calls(self, fragments: Any, out: list[Event]) -> None:
        for fragment in fragments if isinstance(fragments, list) else ():
            if not isinstance(fragment, dict):
                continue
            if (fragment.get("type") or "function") not in _FUNCTIONS:
                self._hand_out("tool_calls", fragment, out)  # a tool that the service runs itself
                continue
            event = self._tools.add(fragment)
            if event is not None:
                out.append(event)

    def _sources(self, found: Any, out: list[Event]) -> None:
        results = sources_of(found)
        if results:
            out.append(SearchResults(results))

    # -- chunks that differ from one before in one string alone ------------------------------------------------

    def news(self, chunk: dict[str, Any]) -> Path | None:
        """Return the way to the one string in which the next chunk may differ.

        There is none if the chunk says anything else, because chunks like it would say it again.
        """
        choices = chunk.get("choices")
        if self._include_unknown or chunk.get("usage") or chunk.get("web_search"):
            return None
        if not isinstance(choices, list) or len(choices) != 1 or not isinstance(choices[0], dict):
            return None
        delta = choices[0].get("delta")
        if (
            choices[0].get("index")
            or choices[0].get("finish_reason")
            or not isinstance(delta, dict)
        ):
            return None
        said = [name for name in _SAYING if delta.get(name)]
        if len(said) != 1 or said[0] not in _TEXTS or type(delta[said[0]]) is not str:
            return None
        return ("choices", 0, "delta", said[0])

    def expect(self, chunk: dict[str, Any], path: Path) -> None:
        """Take it that what `repeat` gets stands in chunks like ``chunk``, at ``path``."""
        self._expected = chunk
        self._expected_text = path[-1] == "content"
        if not self._expected_text:
            self._reasoning_names.add(str(path[-1]))

    def repeat(self, texts: list[str], out: list[Event]) -> None:
        """Append the events of chunks that differ from the expected one in these texts."""
        before = len(out)
        self._last = self._expected
        if not self._expected_text:
            for text in texts:
                if text:
                    self._thinking(text, out)
        elif self._tags is None:
            halves = self._halves
            for text in texts:
                if text:
                    if halves.needed(text):
                        self._text(text, out)
                    else:
                        out.append(TextDelta(text))
        else:
            for text in texts:
                self._text(text, out)
        self._shown = self._shown or len(out) > before

    # -- the end -----------------------------------------------------------------------------------------------

    def finish(self, out: list[Event]) -> None:
        """Append the end of the answer."""
        if half := self._reasoning_halves.end():
            out.append(ReasoningDelta(half))
        if half := self._halves.end():
            out.append(TextDelta(half))
        if self._tags is not None:
            self._tags.end(out)
        if (half_call := self._tools.end()) is not None:
            out.append(half_call)
        raw = self._reason or None
        out.append(
            Finish(
                FINISH_REASONS.get(self._reason, "other"),
                usage=None if self._usage is None else usage_of(self._usage),
                raw_reason=raw,
                model=self._told("model"),
                response_id=self._told("id"),
                request_id=self._told("request_id") or self._request_id,
                message="".join(self._refusal) or None,
                reasoning_name=self._reasoning_name(),
            )
        )

    def _reasoning_name(self) -> str | None:
        """Return under which name reasoning goes back, where that is not ``reasoning_content``.

        A server that sends its reasoning in tags has no member for it.
        """
        if self._reasoning_names:
            return None if REASONING in self._reasoning_names else "reasoning"
        return "" if self._tags is not None and self._tags.split else None

    def _told(self, name: str) -> str | None:
        """Return what the last chunk tells under ``name``, or the first."""
        value = self._last.get(name) or (self._first or {}).get(name)
        return value if isinstance(value, str) else None

    def _failed(self) -> GLMError:
        """Return the error for an inference that broke with HTTP 200 (§2.5)."""
        cause = ServerError(
            f"{self._service} failed in the middle of its work (finish_reason {self._reason}). Try again.",
            status_code=200,
            code=self._reason,
            reason="the inference failed",
            request_id=self._told("request_id"),
            retryable=True,
        )
        if not self._shown:
            return cause
        error = StreamInterrupted(
            f"{self._service} failed in the middle of the answer (finish_reason {self._reason}). "
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


_TEXT_TYPES = ("text", "output_text", "input_text")
_THINKING_TYPES = ("thinking", "reasoning")


def _text_of(part: Any) -> str | None:
    """Return the text of a part; ``None`` if it is not a text part."""
    if not isinstance(part, dict) or part.get("type", "text") not in _TEXT_TYPES:
        return None
    text = part.get("text")
    # OpenAI's assistants API nests it: {"type": "text", "text": {"value": ...}}.
    text = text.get("value") if isinstance(text, dict) else text
    return text if isinstance(text, str) else None


def _thinking_of(part: Any) -> str | None:
    """Return the reasoning of a part, nested parts joined; ``None`` if it is not a thinking part."""
    if not isinstance(part, dict) or part.get("type") not in _THINKING_TYPES:
        return None
    for name in (*_THINKING_TYPES, "text", "content"):
        value = part.get(name)
        if isinstance(value, str):
            return value
        if isinstance(value, list):
            texts = [each if isinstance(each, str) else _text_of(each) for each in value]
            return "".join(text for text in texts if text)
    return None
