"""Answers that were lost or mixed up without an error, through every kind of client."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
import trio

from glmclient import AsyncClient, Finish, GLMError, SyncClient, ToolCall
from glmclient.simulator import EndBody, Simulator

KINDS = ("sync", "asyncio", "trio", "aiohttp")


def asked(kind: str, simulator: Simulator) -> Any:
    """Return the reply of one kind of client, or its error."""
    arguments: dict[str, Any] = {"base_url": simulator.url, "model": "m", "retry": None}
    if kind == "sync":
        with SyncClient("openai", trust_env=False, **arguments) as client:
            try:
                return client.chat("q")
            except GLMError as error:
                return error

    async def main() -> Any:
        backend: Any = "aiohttp" if kind == "aiohttp" else "httpx"
        async with AsyncClient(
            "openai", trust_env=False, http_backend=backend, **arguments
        ) as client:
            try:
                return await client.chat("q")
            except GLMError as error:
                return error

    return trio.run(main) if kind == "trio" else asyncio.run(main())


def frame(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def call(call_id: str, name: str, arguments: str) -> bytes:
    function = {"name": name, "arguments": arguments}
    return frame(tool_calls=[{"index": 0, "id": call_id, "type": "function", "function": function}])


@pytest.mark.parametrize("kind", KINDS)
def test_text_in_content_parts(kind: str) -> None:
    script = [frame(content=[{"type": "text", "text": "Hi"}]), Finish("stop")]
    with Simulator(script, provider="openai") as simulator:
        reply = asked(kind, simulator)
    assert (reply.text, reply.finish.empty) == ("Hi", False)


@pytest.mark.parametrize("kind", KINDS)
def test_parallel_calls_with_one_number(kind: str) -> None:
    script = [call("t1", "now", ""), call("t2", "get", '{"u":"c"}'), Finish("tool_calls")]
    with Simulator(script, provider="openai") as simulator:
        reply = asked(kind, simulator)
    assert reply.tool_calls == (ToolCall("t1", "now", ""), ToolCall("t2", "get", '{"u":"c"}'))


@pytest.mark.parametrize("kind", KINDS)
def test_an_end_mark_without_any_answer(kind: str) -> None:
    script = [b'data: {"detail":"no such pool"}\n\ndata: [DONE]\n\n', EndBody()]
    with Simulator(script, provider="openai") as simulator:
        error = asked(kind, simulator)
    assert isinstance(error, GLMError)
    assert "no such pool" in str(error)


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_without_text(kind: str) -> None:
    with Simulator([frame(reasoning_content="only thought")], provider="openai") as simulator:
        reply = asked(kind, simulator)
    assert (reply.text, reply.reasoning, reply.finish.empty) == ("", "only thought", True)
