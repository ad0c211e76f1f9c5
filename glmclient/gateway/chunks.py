"""Answers as OpenAI's API writes them: an event of a stream as a chunk, a reply as a whole completion."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

from .._exhaustive import assert_never
from ..events import (
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
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
    Usage,
)
from ..reply import Reply

__all__ = ["DONE", "Chunks", "completion", "dumped", "error_frame"]

DONE = b"data: [DONE]\n\n"


def dumped(data: Any) -> bytes:
    """Return data as compact JSON in UTF-8; a lone surrogate, which UTF-8 cannot hold, makes all of it ASCII."""
    try:
        return json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        return json.dumps(data, separators=(",", ":")).encode()


def error_frame(body: dict[str, Any]) -> bytes:
    """Return the frame of an error inside a stream; no end mark follows it."""
    return b"data: " + dumped(body) + b"\n\n"


def _quoted(text: str) -> bytes:
    try:
        return encode_basestring(text).encode()
    except UnicodeEncodeError:
        return encode_basestring_ascii(text).encode()


def _reason(reason: FinishReason) -> str:
    # OpenAI's vocabulary has no word for other reasons, and strict clients refuse words of our own.
    return "stop" if reason == "other" else reason


def _call_id(given: str) -> str:
    """Return the id of a tool call; services without ids get one, since the result has to name it."""
    return given or f"call_{secrets.token_hex(12)}"


class Chunks:
    """Writes the events of one stream as frames.

    Args:
        model: the model as the caller named it.
        created: seconds since the epoch.
        with_usage: the caller asked for usage, which follows the last chunk.
    """

    def __init__(self, model: str, created: int, *, with_usage: bool) -> None:
        self._with_usage = with_usage
        head = {
            "id": f"chatcmpl-{secrets.token_hex(16)}",
            "object": "chat.completion.chunk",
            "created": created,
            "model": model,
        }
        self._head = b"data: " + dumped(head)[:-1]
        tail = b',"usage":null}\n\n' if with_usage else b"}\n\n"
        # Every chunk repeats all of this, so that only the text is written anew for each.
        self._text = self._head + b',"choices":[{"index":0,"delta":{"content":'
        self._reasoning = self._head + b',"choices":[{"index":0,"delta":{"reasoning_content":'
        self._end = b'},"finish_reason":null}]' + tail
        self._tail = tail
        self._begun = False
        self._calls: set[int] = set()

    def frames(self, event: Event) -> bytes:
        """Return the frames of an event of `Stream.appending`; most are one chunk."""
        if self._begun:
            if type(event) is TextDelta:
                return self._text + _quoted(event.text) + self._end
            if type(event) is ReasoningDelta:
                return self._reasoning + _quoted(event.text) + self._end
        match event:
            case Finish():
                return self._finish(event)
            case _:
                delta = self._delta(event)
        return self._chunk(delta, None) if delta else b""

    def _finish(self, finish: Finish) -> bytes:
        frames = self._chunk({}, _reason(finish.reason), finish.message)
        if self._with_usage:
            frames += self._head + b',"choices":[],"usage":' + dumped(_usage(finish.usage))
            frames += b"}\n\n"
        return frames + DONE

    def _chunk(
        self, delta: dict[str, Any], reason: str | None, refusal: str | None = None
    ) -> bytes:
        if not self._begun:
            self._begun = True
            delta = {"role": "assistant", **delta}
        if refusal and reason == "content_filter":
            delta["refusal"] = refusal
        choice = {"index": 0, "delta": delta, "finish_reason": reason}
        return self._head + b',"choices":' + dumped([choice]) + self._tail

    def _delta(self, event: Event) -> dict[str, Any]:
        match event:
            case TextDelta(text):
                return {"content": text}
            case ReasoningDelta(text):
                return {"reasoning_content": text}
            case ToolCallDelta():
                return {"tool_calls": [self._call(event)]}
            case Image(url):
                return {"images": [_image(url)]}
            case SearchResults(results):
                return {"annotations": [_citation(result) for result in results]}
            case CodeDelta(text, block):
                return {"code": {"index": block, "content": text}}
            case ExecutionOutput(text):
                return {"execution_output": text}
            case Notice() | QueueStatus() | Unknown() | Finish():
                return {}
            case TextReplace() | ReasoningReplace() | CodeReplace():
                raise TypeError("an append-only stream has no replacements")
            case _:
                assert_never(event)

    def _call(self, delta: ToolCallDelta) -> dict[str, Any]:
        function: dict[str, Any] = {"arguments": delta.arguments}
        if delta.name:
            function = {"name": delta.name, **function}
        call: dict[str, Any] = {"index": delta.index, "function": function}
        if delta.index not in self._calls:
            self._calls.add(delta.index)
            call |= {"id": _call_id(delta.id), "type": "function"}
        return call


def completion(reply: Reply, model: str, created: int) -> dict[str, Any]:
    """Return a whole answer as OpenAI's API writes it.

    Args:
        reply: the answer.
        model: the model as the caller named it.
        created: seconds since the epoch.
    """
    finish = reply.finish or Finish("stop")
    choice = {
        "index": 0,
        "message": _message(reply, finish),
        "finish_reason": _reason(finish.reason),
        "logprobs": None,
    }
    return {
        "id": f"chatcmpl-{secrets.token_hex(16)}",
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": _usage(reply.usage),
    }


def _message(reply: Reply, finish: Finish) -> dict[str, Any]:
    calls = [
        {
            "id": _call_id(call.id),
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for call in reply.tool_calls
    ]
    refusal = finish.message if finish.reason == "content_filter" else None
    further = {
        "reasoning_content": reply.reasoning,
        "tool_calls": calls,
        "images": [_image(image.url) for image in reply.images],
        "annotations": [_citation(source) for source in reply.sources],
        "code": _blocks(reply.code_blocks),
        "execution_output": reply.execution_output,
    }
    return {
        "role": "assistant",
        "content": None if calls and not reply.text else reply.text,
        "refusal": refusal,
        **{name: value for name, value in further.items() if value},
    }


def _blocks(blocks: Iterable[str]) -> list[dict[str, Any]]:
    return [{"index": index, "content": text} for index, text in enumerate(blocks)]


def _image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def _citation(source: SearchResult) -> dict[str, Any]:
    # OpenAI's citations mark a part of the text; services tell sources of the whole answer.
    citation = {"url": source.url, "title": source.title, "start_index": 0, "end_index": 0}
    return {"type": "url_citation", "url_citation": citation}


def _usage(usage: Usage | None) -> dict[str, Any] | None:
    if usage is None:
        return None
    written: dict[str, Any] = {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }
    if usage.cached_tokens is not None:
        written["prompt_tokens_details"] = {"cached_tokens": usage.cached_tokens}
    if usage.reasoning_tokens is not None:
        written["completion_tokens_details"] = {"reasoning_tokens": usage.reasoning_tokens}
    return written
