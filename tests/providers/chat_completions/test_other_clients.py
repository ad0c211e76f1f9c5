"""Clients of others against the simulated services: from one script they get what ours gets."""

from __future__ import annotations

from typing import Any

import openai
import pytest
import zai

from glmclient import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    Finish,
    NotFoundError,
    QuotaExceededError,
    RateLimitError,
    ReasoningDelta,
    Reply,
    ServerError,
    SyncClient,
    TextDelta,
    ToolCallDelta,
    Usage,
)
from glmclient.simulator import Refusal, Simulator
from glmclient.testing.factory import SimulatorFactory

HI: Any = [{"role": "user", "content": "hi"}]

SCRIPTS: dict[str, list[Any]] = {
    "text": ["Hello there, 你好！ 😀", Finish("stop", Usage(1, 2, 3))],
    "thinking": [
        ReasoningDelta("hm, "),
        ReasoningDelta("so"),
        "Hi",
        Finish("length", Usage(1, 2, 3, 1, 2)),
    ],
    "a tool": [ToolCallDelta(0, "call_1", "f", '{"a": "ü"}'), Finish("tool_calls", Usage(1, 2, 3))],
    "tools in fragments": [
        TextDelta("\n"),
        ToolCallDelta(0, "call_1", "f", ""),
        ToolCallDelta(0, "", "", '{"a":'),
        ToolCallDelta(0, "", "", " 1}"),
        ToolCallDelta(1, "call_2", "g", "{}"),
        Finish("tool_calls", Usage(5, 6, 11)),
    ],
    "nothing": [Finish("stop", Usage(1, 0, 1))],
}

Told = dict[str, Any]


def ours(sim: Simulator, provider: str, **options: Any) -> Told:
    """Return what our client gets."""
    with SyncClient(
        provider, api_key="id.secret", base_url=sim.url, model="glm-4.6", trust_env=False
    ) as client:
        return as_told(client.chat(HI, **options))


def as_told(reply: Reply) -> Told:
    assert reply.finish is not None and reply.finish.usage is not None
    usage = reply.finish.usage
    return {
        "text": reply.text,
        "reasoning": reply.reasoning,
        "tools": [(call.id, call.name, call.arguments) for call in reply.tool_calls],
        "usage": (
            usage.prompt_tokens,
            usage.completion_tokens,
            usage.total_tokens,
            usage.cached_tokens,
        ),
        "reason": reply.finish.raw_reason,
        "model": reply.finish.model,
    }


def theirs(chunks: Any) -> Told:
    """Return what another client's stream adds up to."""
    told: Told = {"text": "", "reasoning": "", "reason": None, "usage": None, "model": None}
    calls: dict[int, list[str]] = {}
    for chunk in chunks:
        told["model"] = chunk.model
        if chunk.usage is not None:
            told["usage"] = usage_of(chunk.usage)
        for choice in chunk.choices:
            told["text"] += choice.delta.content or ""
            told["reasoning"] += (
                getattr(choice.delta, "reasoning_content", None)
                or getattr(choice.delta, "reasoning", None)
                or ""
            )
            told["reason"] = choice.finish_reason or told["reason"]
            for call in choice.delta.tool_calls or ():
                kept = calls.setdefault(call.index, ["", "", ""])
                kept[0] = kept[0] or call.id or ""
                kept[1] = kept[1] or call.function.name or ""
                kept[2] += call.function.arguments or ""
    return told | {"tools": [tuple(call) for _, call in sorted(calls.items())]}


def theirs_whole(answer: Any) -> Told:
    """Return what another client's whole answer says."""
    [choice] = answer.choices
    message = choice.message
    return {
        "text": message.content or "",
        "reasoning": getattr(message, "reasoning_content", None)
        or getattr(message, "reasoning", None)
        or "",
        "tools": [(c.id, c.function.name, c.function.arguments) for c in message.tool_calls or ()],
        "usage": usage_of(answer.usage),
        "reason": choice.finish_reason,
        "model": answer.model,
    }


def usage_of(usage: Any) -> tuple[int, int, int, int | None]:
    details = usage.prompt_tokens_details
    cached = details.cached_tokens if details is not None else None
    return usage.prompt_tokens, usage.completion_tokens, usage.total_tokens, cached


each_script = pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS)


@each_script
@pytest.mark.parametrize("flavour", ["glm", "vllm", "sglang", "ollama"])
@pytest.mark.parametrize("streamed", [True, False])
def test_openai_gets_the_same(
    glm_simulator: SimulatorFactory, script: list[Any], flavour: str, streamed: bool
) -> None:
    sim = glm_simulator(script, provider="openai", flavour=flavour)
    with openai.OpenAI(api_key="id.secret", base_url=sim.url) as client:
        if streamed:
            stream = client.chat.completions.create(
                model="glm-4.6", messages=HI, stream=True, stream_options={"include_usage": True}
            )
            got = theirs(stream)
        else:
            got = theirs_whole(client.chat.completions.create(model="glm-4.6", messages=HI))
    assert got == ours(sim, "openai")


@each_script
@pytest.mark.parametrize("tool_stream", [True, False])
def test_zai_sdk_gets_the_same(
    glm_simulator: SimulatorFactory, script: list[Any], tool_stream: bool
) -> None:
    sim = glm_simulator(script, provider="zai")
    client = zai.ZaiClient(api_key="id.secret", base_url=sim.url)
    try:
        stream = client.chat.completions.create(
            model="glm-4.6", messages=HI, stream=True, tool_stream=tool_stream
        )
        got = theirs(stream)
        whole = theirs_whole(client.chat.completions.create(model="glm-4.6", messages=HI))
    finally:
        client.close()
    assert got == whole == ours(sim, "zai", tool_stream=tool_stream)
    assert sim.questions[0].json["model"] == sim.questions[2].json["model"]


def test_zhipuai_client_gets_the_same(glm_simulator: SimulatorFactory) -> None:
    sim = glm_simulator(SCRIPTS["thinking"], provider="bigmodel")
    client = zai.ZhipuAiClient(api_key="id.secret", base_url=sim.url)
    try:
        got = theirs(client.chat.completions.create(model="glm-4.6", messages=HI, stream=True))
    finally:
        client.close()
    assert got == ours(sim, "bigmodel")


def test_models_are_the_same(glm_simulator: SimulatorFactory) -> None:
    sim = glm_simulator(provider="openai", models=["b", "a"])
    with (
        openai.OpenAI(api_key="k", base_url=sim.url) as client,
        SyncClient("openai", base_url=sim.url, trust_env=False) as own,
    ):
        assert (
            [model.id for model in client.models.list()]
            == [model.id for model in own.models()]
            == ["b", "a"]
        )


@pytest.mark.parametrize(
    ("kind", "own", "openais"),
    [
        ("authentication", AuthenticationError, openai.AuthenticationError),
        ("bad_request", BadRequestError, openai.BadRequestError),
        ("not_found", NotFoundError, openai.NotFoundError),
        ("rate_limit", RateLimitError, openai.RateLimitError),
        ("quota", QuotaExceededError, openai.RateLimitError),
        ("server", ServerError, openai.InternalServerError),
    ],
)
def test_refusals_are_of_like_classes(
    glm_simulator: SimulatorFactory,
    kind: Any,
    own: type[APIStatusError],
    openais: type[openai.APIStatusError],
) -> None:
    sim = glm_simulator(Refusal(kind), provider="openai")
    with (
        openai.OpenAI(api_key="k", base_url=sim.url, max_retries=0) as client,
        pytest.raises(openais) as theirs_raised,
    ):
        client.chat.completions.create(model="m", messages=HI, stream=True)
    with (
        SyncClient(
            "openai", base_url=sim.url, model="m", retry=None, trust_env=False
        ) as client_of_ours,
        pytest.raises(own) as ours_raised,
    ):
        client_of_ours.chat(HI)
    assert ours_raised.value.status_code == theirs_raised.value.status_code
    body: Any = theirs_raised.value.body
    assert ours_raised.value.message == body["message"]
