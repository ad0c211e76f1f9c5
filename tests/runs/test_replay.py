"""Runs that are recorded, replayed, sent again and saved; scripts that play rounds of tools."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from glmclient import ConfigurationError, Finish, SyncClient, ToolCall, ToolCallDelta, ToolResult
from glmclient.testing import Script, Simulator

from .modes import MODES, Mirror, run_body, run_on

each_mode = pytest.mark.parametrize("mode", MODES)
LONG_ID = "call_2dbb7568bf254f7cb91b4a09"


def weather(city: str) -> str:
    """Return the weather."""
    return f"rain in {city}"


def script() -> Script:
    return Script(
        ["Let me look.", ToolCall(LONG_ID, "weather", '{"city": "Oslo"}')],
        "Take an umbrella.",
    )


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai"])
def test_a_recorded_run_is_replayed(mode: str, provider: str, tmp_path: Path) -> None:
    file = tmp_path / "run.jsonl"

    async def body(client: Any) -> Any:
        run = client.run("Oslo?", [weather])
        events = [event async for event in run]
        return events, run.messages

    with Simulator(script(), provider=provider) as simulator:
        events, messages = run_on(mode, simulator, body, record=file)
    with Simulator("never", provider=provider) as simulator:
        again, same = run_on(mode, simulator, body, replay=file)
        assert not simulator.requests

    def shape(messages: Any) -> Any:
        return [(each["role"], each["content"]) for each in messages]

    assert shape(same) == shape(messages)
    assert [type(each) for each in again] == [type(each) for each in events]
    results = [each.content for each in again if isinstance(each, ToolResult)]
    assert results == ["rain in Oslo"]


@each_mode
def test_messages_are_sent_again(mode: str, tmp_path: Path) -> None:
    async def body(client: Any) -> Any:
        run = client.run("Oslo?", [weather])
        await run.reply()
        saved = json.loads(json.dumps(run.messages))
        reply = await client.chat([*saved, {"role": "user", "content": "And Rome?"}])
        conversation = client.conversation()
        await conversation.run("Oslo?", [weather]).reply()
        conversation.save(tmp_path / "saved")
        inner = getattr(client, "blocking", client)
        inside = getattr(conversation, "blocking", conversation)
        loaded = type(inside).load(tmp_path / "saved", inner)
        assert loaded.messages == conversation.messages
        await (Mirror(loaded) if inner is not client else loaded).chat("And Rome?")
        return reply.text

    calls = script().answers
    text, sent = run_body(
        mode, Script(*map(_steps, calls), "sun", *map(_steps, calls), "sun"), body
    )
    assert text == "sun"
    assert sent[2]["messages"] == sent[5]["messages"]
    assert [each["role"] for each in sent[2]["messages"]] == [
        *("user", "assistant", "tool", "assistant", "user"),
    ]


def _steps(answer: Any) -> Any:
    return list(answer.steps)


def test_a_script_plays_rounds_of_tools() -> None:
    one = ToolCall("a", "weather", "{}")
    answer = Script(["x", one, one, ToolCallDelta(5, "b", "f", ""), one]).answers[0]
    steps = answer.steps  # type: ignore[union-attr]
    assert [each.index for each in steps if isinstance(each, ToolCallDelta)] == [0, 1, 5, 6]
    assert steps[-1] == Finish("tool_calls")
    assert Script([one, Finish("stop")]).answers[0].steps[-1] == Finish("stop")  # type: ignore[union-attr]
    # The fragments alone do not tell the end: ChatGLM sends calls of its own and ends with "stop".
    fragments = Script([ToolCallDelta(0, "a", "f", "{}")]).answers[0]
    assert fragments.steps[-1] == Finish("stop")  # type: ignore[union-attr]
    with pytest.raises(ConfigurationError, match="after its end"):
        Script([Finish("stop"), one])
    with pytest.raises(ConfigurationError, match="ToolCall"):
        Script([3])  # type: ignore[list-item]


@pytest.mark.parametrize("provider", ["chatglm", "qwen"])
def test_a_service_without_tools_plays_none(provider: str) -> None:
    with pytest.raises(ConfigurationError, match="no way to say"):
        Simulator([ToolCall("a", "f", "{}")], provider=provider)


def test_a_script_with_a_function_of_the_request() -> None:
    def answer(request: Any) -> Any:
        last = request.json["messages"][-1]
        if last["role"] == "tool":
            return f"The tool says: {last['content']}"
        return [ToolCall("c", "weather", json.dumps({"city": last["content"]}))]

    with Simulator(answer, provider="zai") as simulator, simulator.client() as client:
        assert isinstance(client, SyncClient)
        assert client.run("Rome", [weather]).reply().text == "The tool says: rain in Rome"
