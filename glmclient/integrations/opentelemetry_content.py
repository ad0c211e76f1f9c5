"""Questions and answers in the form that OpenTelemetry's conventions give them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from ..core.observing import ExchangeInfo
from ..reply import Reply

__all__ = ["content_attributes"]


def content_attributes(
    exchange: ExchangeInfo, reply: Reply[Any], reason: str, *, as_json: bool
) -> dict[str, Any]:
    """Return the attributes that hold a question and its answer.

    Args:
        exchange: the question.
        reply: the answer, as far as it came.
        reason: why it ended.
        as_json: write each attribute as JSON, for spans, whose attributes cannot be nested.
    """
    asked = [{"role": m["role"], "parts": [*_parts(m)]} for m in exchange.messages]
    parts = [*_parts(reply.message())]
    attributes: dict[str, Any] = {
        "gen_ai.input.messages": asked,
        "gen_ai.output.messages": [{"role": "assistant", "parts": parts, "finish_reason": reason}],
    }
    if tools := exchange.options.get("tools"):
        attributes["gen_ai.tool.definitions"] = [_tool(tool) for tool in tools]
    if not as_json:
        return attributes
    return {name: json.dumps(value, ensure_ascii=False) for name, value in attributes.items()}


def _parts(message: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the parts of a message, with its reasoning first and its calls last."""
    if reasoning := message.get("reasoning_content"):
        yield {"type": "reasoning", "content": reasoning}
    content = message.get("content") or ""
    if message["role"] == "tool":
        identifier = message.get("tool_call_id")
        yield {"type": "tool_call_response", "id": identifier, "response": content}
    elif isinstance(content, str):
        if content:
            yield {"type": "text", "content": content}
    else:
        for part in content:
            yield _part(part)
    for call in message.get("tool_calls") or ():
        function = call.get("function") or {}
        yield {
            "type": "tool_call",
            "id": call.get("id"),
            "name": function.get("name"),
            "arguments": _decoded(function.get("arguments")),
        }


def _part(part: Mapping[str, Any]) -> dict[str, Any]:
    if part["type"] == "text":
        return {"type": "text", "content": part.get("text")}
    image = part.get("image_url")
    address = image.get("url") if isinstance(image, Mapping) else image
    if part["type"] != "image_url" or not isinstance(address, str):
        return {**part}  # the conventions take parts of other types as they are
    if not address.startswith("data:"):
        return {"type": "uri", "modality": "image", "uri": address}
    head, _, content = address.partition(",")
    kind = head.removeprefix("data:").partition(";")[0]
    return {"type": "blob", "modality": "image", "mime_type": kind, "content": content}


def _decoded(arguments: Any) -> Any:
    try:
        return json.loads(arguments)
    except (TypeError, ValueError):
        return arguments


def _tool(tool: Mapping[str, Any]) -> dict[str, Any]:
    function = tool.get("function")
    return {"type": "function", **function} if isinstance(function, Mapping) else {**tool}
