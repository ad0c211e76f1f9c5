"""Answers of a simulated service to the questions of LangChain's own suites, and pictures without the internet."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import httpx

from glmclient import Finish, ReasoningDelta, ToolCallDelta, Usage
from glmclient.simulator import SimulatedRequest

PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
USAGE = Usage(12, 30, 42, 4, 20)
_VALUES = {"integer": 3, "string": "purple", "number": 3.0, "boolean": True}
_NAMES = {"Hello Group": "你好啊集团", "Hello Corporation": "こんにちは株式会社"}


def answer(request: SimulatedRequest) -> list[Any]:
    """Call the tool that is offered, give a joke in JSON to those who want JSON, and talk to all others."""
    asked = request.json
    last = asked["messages"][-1]
    thought = [ReasoningDelta("Let me "), ReasoningDelta("think.")]
    if asked.get("tools") and last["role"] == "user":
        return [*thought, *_call(asked, str(last["content"])), Finish("tool_calls", USAGE)]
    if asked.get("response_format"):
        joke = {"setup": "Why do cats purr?", "punchline": "They have no horn."}
        return [*thought, json.dumps(joke), Finish("stop", USAGE)]
    return [*thought, "Hello! How are you?", Finish("stop", USAGE)]


def _call(asked: dict[str, Any], question: str) -> list[ToolCallDelta]:
    choice = asked.get("tool_choice")
    chosen = choice["function"]["name"] if isinstance(choice, dict) else None
    instruction = str(asked["messages"][0]["content"])
    functions = [tool["function"] for tool in asked["tools"]]
    function = next(
        (f for f in functions if f["name"] == chosen or f" {f['name']}," in instruction),
        functions[0],
    )
    properties = function.get("parameters", {}).get("properties", {})
    arguments = {name: _value(name, kind, question) for name, kind in properties.items()}
    text = json.dumps(arguments, ensure_ascii=False)
    return [
        ToolCallDelta(0, "call-1", function["name"], ""),
        ToolCallDelta(0, "", "", text[: len(text) // 2]),
        ToolCallDelta(0, "", "", text[len(text) // 2 :]),
    ]


def _value(name: str, kind: dict[str, Any], question: str) -> Any:
    if name == "customer_name":
        return next(native for words, native in _NAMES.items() if words in question)
    return _VALUES.get(kind.get("type", "string"), "purple")


def files_from_nowhere(get: Callable[..., httpx.Response]) -> Callable[..., httpx.Response]:
    """Return an ``httpx.get`` that answers with a small file where the suite would load one from the internet."""

    def loaded(url: str, **arguments: Any) -> httpx.Response:
        if url.startswith("http://127.0.0.1"):
            return get(url, **arguments)
        return httpx.Response(200, content=PIXEL)

    return loaded
