"""Real clients of OpenAI's API in front of the gateway: streams, whole answers, tools, schemas, errors."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import litellm
import openai
import pydantic
import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_openai import ChatOpenAI
from pydantic_ai import Agent, ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel
from pydantic_ai.providers.openai import OpenAIProvider
from zai import ZaiClient

from glmclient import Finish, ReasoningDelta, TextDelta, ToolCallDelta, Usage
from glmclient.gateway import create_app
from glmclient.testing import Cut, Refusal, SimulatedRequest, Simulator

from .serving import KEY, served

TEXT = "你好, world"
MODEL = "zai/glm-4.6"
USER: Any = [{"role": "user", "content": "Hello"}]
TOOL: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def answer(request: SimulatedRequest) -> Any:
    """Answer by what the question says: a tool call, JSON, a cut, a refusal, or text."""
    asked = request.json
    if request.path.endswith("guest/stream"):
        return TEXT  # a service without options and usage
    last = asked["messages"][-1]
    words = str(last["content"])
    if "rate" in words:
        return Refusal("rate_limit")
    if "cut" in words:
        return [TextDelta("half"), Cut()]
    if asked.get("tools") and last["role"] == "user":
        name = asked["tools"][0]["function"]["name"]
        arguments = '{"city": "Hangzhou"}'
        return [
            ToolCallDelta(0, "call_1", name, arguments[:5]),
            ToolCallDelta(0, "", "", arguments[5:]),
            Finish("tool_calls", Usage(5, 6, 11)),
        ]
    if (asked.get("response_format") or {}).get("type") == "json_schema":
        return ['{"city": "Hangzhou"}', Finish("stop", Usage(5, 6, 11))]
    return [ReasoningDelta("hm"), *map(TextDelta, TEXT), Finish("stop", Usage(5, 6, 11))]


class City(pydantic.BaseModel):
    city: str


@pytest.fixture(scope="module")
def gateway() -> Iterator[str]:
    with Simulator(answer, provider="all") as simulator:
        app = create_app(
            simulator.async_client(provider="zai", retry=None),
            simulator.async_client(provider="openai", retry=None),
            simulator.async_client(provider="chatglm", retry=None),
            api_key=KEY,
        )
        with served(app) as url:
            yield url


@pytest.fixture
def client(gateway: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=gateway, api_key=KEY, max_retries=0) as made:
        yield made


# -- openai --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", [MODEL, "openai/m", "chatglm"])
def test_openai_reads_a_stream(client: openai.OpenAI, model: str) -> None:
    options: Any = {"stream_options": {"include_usage": True}}
    chunks = list(
        client.chat.completions.create(model=model, messages=USER, stream=True, **options)
    )
    pieces = [chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices]
    assert "".join(pieces) == TEXT
    if model == MODEL:
        assert pieces.count("") == 2  # the reasoning and the finish: each delta is one chunk
        assert chunks[0].choices[0].delta.reasoning_content == "hm"  # type: ignore[attr-defined]
        assert chunks[-1].usage is not None
        assert chunks[-1].usage.total_tokens == 11
    assert chunks[-2].choices[0].finish_reason == "stop"


@pytest.mark.parametrize("model", [MODEL, "openai/m", "chatglm"])
def test_openai_reads_a_whole_answer(client: openai.OpenAI, model: str) -> None:
    reply = client.chat.completions.create(model=model, messages=USER)
    assert reply.choices[0].message.content == TEXT
    assert reply.choices[0].finish_reason == "stop"
    assert (reply.usage is None) == (model == "chatglm")


def test_openai_calls_tools(client: openai.OpenAI) -> None:
    reply = client.chat.completions.create(model=MODEL, messages=USER, tools=[TOOL])
    (call,) = reply.choices[0].message.tool_calls or []
    assert json.loads(call.function.arguments) == {"city": "Hangzhou"}  # type: ignore[union-attr]
    messages = [
        *USER,
        reply.choices[0].message.model_dump(),  # with all its empty members
        {"role": "tool", "tool_call_id": call.id, "content": "sunny"},
    ]
    second = client.chat.completions.create(model=MODEL, messages=messages, tools=[TOOL])
    assert second.choices[0].message.content == TEXT


def test_the_helpers_of_openai_stream_and_parse(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=USER, tools=[TOOL]) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    calls = final.choices[0].message.tool_calls or []
    assert calls[0].function.name == "weather"
    parsed = client.chat.completions.parse(model="openai/m", messages=USER, response_format=City)
    assert parsed.choices[0].message.parsed == City(city="Hangzhou")


def test_openai_raises_its_own_errors(client: openai.OpenAI) -> None:
    refused: Any = [{"role": "user", "content": "rate"}]
    with pytest.raises(openai.RateLimitError) as caught:
        client.chat.completions.create(model=MODEL, messages=refused)
    assert caught.value.code == "rate_limit_exceeded"
    with pytest.raises(openai.BadRequestError) as wrong:
        client.chat.completions.create(model=MODEL, messages=USER, logprobs=True)
    assert wrong.value.param == "logprobs"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("none")
    with pytest.raises(openai.AuthenticationError):
        client.with_options(api_key="wrong").models.list()
    cut: Any = [{"role": "user", "content": "cut"}]
    pieces = []
    with pytest.raises(openai.APIError) as broken:
        for chunk in client.chat.completions.create(model=MODEL, messages=cut, stream=True):
            pieces.append(chunk.choices[0].delta.content)  # noqa: PERF401 - what came before the error
    assert pieces == ["half"]
    assert broken.value.code == "stream_interrupted"


def test_openai_lists_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert {"zai/glm-4.6", "chatglm/glm-4"} <= set(names)
    assert client.models.retrieve("zai/glm-4.6").object == "model"


def test_openai_reads_asynchronously_and_leaves_early(gateway: str) -> None:
    async def ask() -> tuple[str, int]:
        async with openai.AsyncOpenAI(base_url=gateway, api_key=KEY) as client:
            text = ""
            stream = await client.chat.completions.create(model=MODEL, messages=USER, stream=True)
            async for chunk in stream:
                text += chunk.choices[0].delta.content or ""
            left = await client.chat.completions.create(model=MODEL, messages=USER, stream=True)
            count = 0
            async for _ in left:
                count += 1
                break
            await left.close()
            return text, count

    assert asyncio.run(ask()) == (TEXT, 1)


# -- others --------------------------------------------------------------------------------------------


def test_zai_sdk(gateway: str) -> None:
    client = ZaiClient(base_url=gateway, api_key=KEY, disable_token_cache=True)
    reply = client.chat.completions.create(model=MODEL, messages=USER, thinking={"type": "enabled"})
    assert reply.choices[0].message.content == TEXT
    assert reply.choices[0].message.reasoning_content == "hm"
    stream = client.chat.completions.create(model=MODEL, messages=USER, stream=True)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT


def test_langchain(gateway: str) -> None:
    model = ChatOpenAI(base_url=gateway, api_key=KEY, model=MODEL, max_tokens=50)  # type: ignore[call-arg,arg-type]
    reply = model.invoke([HumanMessage("Hello")])
    assert reply.content == TEXT
    assert reply.usage_metadata is not None
    assert reply.usage_metadata["total_tokens"] == 11
    assert "".join(str(chunk.content) for chunk in model.stream("Hello")) == TEXT
    called = model.bind_tools([TOOL]).invoke("Hello")
    assert isinstance(called, AIMessage)
    assert called.tool_calls[0]["args"] == {"city": "Hangzhou"}
    compatible = ChatOpenAI(base_url=gateway, api_key=KEY, model="openai/m")  # type: ignore[arg-type]
    assert compatible.with_structured_output(City).invoke("Hello") == City(city="Hangzhou")

    async def read() -> str:
        return "".join([str(chunk.content) async for chunk in model.astream("Hello")])

    assert asyncio.run(read()) == TEXT


def test_pydantic_ai(gateway: str) -> None:
    def agent(name: str, **known: Any) -> Agent[None, Any]:
        provider = OpenAIProvider(base_url=gateway, api_key=KEY)
        return Agent(OpenAIChatModel(name, provider=provider), **known)

    reply = agent(MODEL).run_sync("Hello")
    assert reply.output == TEXT

    weather = agent(MODEL)
    cities: list[str] = []

    @weather.tool_plain
    def tell(city: str) -> str:
        """Tell the weather."""
        cities.append(city)
        return "sunny"

    assert weather.run_sync("Hello").output == TEXT
    assert cities == ["Hangzhou"]

    async def stream() -> str:
        async with agent(MODEL).run_stream("Hello") as run:
            return str(await run.get_output())

    assert asyncio.run(stream()) == TEXT
    with pytest.raises(ModelHTTPError) as caught:
        agent(MODEL).run_sync("rate")
    assert caught.value.status_code == 429


def test_litellm(gateway: str) -> None:
    known: Any = {"api_base": gateway, "api_key": KEY, "num_retries": 0, "max_retries": 0}
    reply: Any = litellm.completion(model=f"openai/{MODEL}", messages=USER, **known)
    assert reply.choices[0].message.content == TEXT
    stream: Any = litellm.completion(model=f"openai/{MODEL}", messages=USER, stream=True, **known)
    assert "".join(chunk.choices[0].delta.content or "" for chunk in stream) == TEXT
    with pytest.raises(litellm.RateLimitError):
        litellm.completion(
            model=f"openai/{MODEL}", messages=[{"role": "user", "content": "rate"}], **known
        )


def test_llm(gateway: str, tmp_path: Path) -> None:
    (tmp_path / "extra-openai-models.yaml").write_text(
        f"- model_id: gateway\n  model_name: {MODEL}\n  api_base: {gateway}\n  api_key_name: gateway\n",
        encoding="utf-8",
    )
    (tmp_path / "keys.json").write_text(json.dumps({"gateway": KEY}), encoding="utf-8")
    for arguments in (["Hello"], ["--no-stream", "Hello"]):
        run = subprocess.run(
            [sys.executable, "-m", "llm", "-m", "gateway", *arguments],
            env={**os.environ, "LLM_USER_PATH": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert run.stdout.strip() == TEXT, run.stderr
