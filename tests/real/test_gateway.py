"""Our clients against a real gateway of others, which answers itself or asks simulated services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from glmclient import (
    BadRequestError,
    Finish,
    RateLimitError,
    ReasoningDelta,
    RetryPolicy,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from glmclient.simulator import Refusal, SimulatedRequest, Simulator
from tests.providers.chat_completions.asking import KINDS, Asker

from .gateway import KEY, LITELLM, SCRIPTED, Gateway

pytestmark = pytest.mark.xdist_group("litellm")

SCRIPTS: dict[str, Any] = {
    "think": [
        ReasoningDelta("hm, "),
        ReasoningDelta("so"),
        "Hello there, 你好！ 😀",
        Finish("stop", Usage(10, 5, 15, cached_tokens=2)),
    ],
    "tools": [
        ToolCallDelta(0, "call_1", "f", ""),
        ToolCallDelta(0, "", "", '{"a":'),
        ToolCallDelta(0, "", "", ' "ü"}'),
        ToolCallDelta(1, "call_2", "g", "{}"),
        Finish("tool_calls", Usage(1, 2, 3)),
    ],
    "length": ["and so", Finish("length", Usage(1, 2, 3))],
    "withheld": ["no", Finish("content_filter", Usage(1, 2, 3))],
    "busy": Refusal("rate_limit"),
    "half": ["Half an ", Refusal("rate_limit")],
}


def script(request: SimulatedRequest) -> Any:
    return SCRIPTS[request.json["messages"][-1]["content"]]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    python = LITELLM.python()
    folder = tmp_path_factory.mktemp("gateway")
    with (
        Simulator(script, provider="zai") as platform,
        Simulator(script, provider="openai") as local,
        Gateway(python, folder, platform=platform.url, local=local.url) as running,
    ):
        yield running


@pytest.fixture(params=KINDS)
def asker(request: pytest.FixtureRequest, gateway: Gateway) -> Asker:
    return Asker(
        request.param,
        {
            "provider": "openai",
            "api_key": KEY,
            "base_url": gateway.url,
            "trust_env": False,
            "retry": RetryPolicy(attempts=1),
        },
    )


def test_the_gateways_own_answer(asker: Asker) -> None:
    events, reply, error = asker.stream("hi", model="scripted")
    assert error is None
    assert reply.text == SCRIPTED
    assert sum(isinstance(event, TextDelta) for event in events) > 3
    assert isinstance(events[-1], Finish) and reply.finish == events[-1]
    assert (events[-1].reason, events[-1].model) == ("stop", "scripted")
    assert events[-1].usage is not None and events[-1].usage.total_tokens > 0


def test_the_gateways_own_answer_without_stream(asker: Asker) -> None:
    [reply] = asker.chat("hi", model="scripted", extra_body={"stream": False})
    assert reply.text == SCRIPTED
    assert reply.finish is not None and reply.finish.reason == "stop"


def test_the_gateways_own_refusals(asker: Asker) -> None:
    _, _, error = asker.stream("hi", model="limited")
    assert type(error) is RateLimitError
    assert error.status_code == 429 and error.retryable
    _, _, error = asker.stream("hi", model="there is none")
    assert type(error) is BadRequestError
    assert "Invalid model name" in error.message


def test_models(asker: Asker) -> None:
    assert [model.id for model in asker.models()] == ["scripted", "limited", "glm", "local"]


def test_the_first_model_is_used_without_one(asker: Asker) -> None:
    assert asker.chat("hi")[0].text == SCRIPTED


@pytest.mark.parametrize("model", ["glm", "local"])
class TestThroughTheGateway:
    def test_thinking_text_and_usage(self, asker: Asker, model: str) -> None:
        events, reply, error = asker.stream("think", model=model)
        assert error is None
        assert (reply.reasoning, reply.text) == ("hm, so", "Hello there, 你好！ 😀")
        assert reply.finish is not None and reply.finish.usage is not None
        usage = reply.finish.usage
        assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_tokens) == (10, 5, 2)
        assert isinstance(events[0], ReasoningDelta)

    def test_tool_calls(self, asker: Asker, model: str) -> None:
        [reply] = asker.chat("tools", model=model)
        assert reply.tool_calls == (
            ToolCall("call_1", "f", '{"a": "ü"}'),
            ToolCall("call_2", "g", "{}"),
        )
        assert reply.finish is not None and reply.finish.reason == "tool_calls"

    @pytest.mark.parametrize(
        ("said", "reason"), [("length", "length"), ("withheld", "content_filter")]
    )
    def test_reasons(self, asker: Asker, model: str, said: str, reason: str) -> None:
        [reply] = asker.chat(said, model=model)
        assert reply.finish is not None and reply.finish.reason == reason

    def test_a_refusal(self, asker: Asker, model: str) -> None:
        _, _, error = asker.stream("busy", model=model)
        assert type(error) is RateLimitError

    def test_a_refusal_in_the_middle(self, asker: Asker, model: str) -> None:
        _, partial, error = asker.stream("half", model=model)
        assert type(error) is RateLimitError
        assert partial.text == "Half an "
