"""The platform through both clients, on every event loop, against the simulated service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from glmclient import (
    ConfigurationError,
    Finish,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ReasoningDelta,
    RetryPolicy,
    SearchResult,
    SearchResults,
    ServerError,
    StreamInterrupted,
    SyncClient,
    TextDelta,
    ToolCall,
    ToolCallDelta,
    Usage,
)
from glmclient.simulator import Cut, Refusal, Script, Simulator
from glmclient.testing.factory import SimulatorFactory

from .asking import KINDS, Asker

SCRIPT = [
    ReasoningDelta("The user "),
    ReasoningDelta("wants the weather."),
    TextDelta("Let me "),
    TextDelta("看看。"),
    ToolCallDelta(0, "call_a", "weather", ""),
    ToolCallDelta(0, "", "", '{"city": '),
    ToolCallDelta(0, "", "", '"Florence"}'),
    ToolCallDelta(1, "call_b", "time", "{}"),
    Finish("tool_calls", Usage(10, 20, 30, cached_tokens=4, reasoning_tokens=5)),
]
CALLS = (ToolCall("call_a", "weather", '{"city": "Florence"}'), ToolCall("call_b", "time", "{}"))
FAST = RetryPolicy(attempts=3, base_delay=0.0)


@pytest.fixture(params=KINDS)
def asker(request: pytest.FixtureRequest) -> Callable[..., Asker]:
    """Make askers of each kind in turn."""

    def make(simulator: Simulator, provider: str = "zai", **arguments: Any) -> Asker:
        key = {} if provider == "openai" else {"api_key": "id.secret"}
        return Asker(
            request.param,
            {
                "provider": provider,
                "base_url": simulator.url,
                "trust_env": False,
                "retry": FAST,
                **key,
                **arguments,
            },
        )

    return make


Askers = Callable[..., Asker]


@pytest.mark.parametrize(
    ("provider", "options", "asked"),
    [
        ("zai", {}, {"tool_stream": True}),
        ("bigmodel", {}, {"tool_stream": True}),
        ("openai", {"flavour": "vllm"}, {}),
        ("openai", {"flavour": "sglang"}, {}),
        ("openai", {"flavour": "ollama", "tool_stream": True}, {}),
    ],
)
def test_every_event_arrives(
    asker: Askers, glm_simulator: SimulatorFactory, provider: str, options: Any, asked: Any
) -> None:
    sim = glm_simulator(SCRIPT, provider=provider, **options)
    events, reply, error = asker(sim, provider).stream("hi", **asked)
    assert error is None
    assert events[:-1] == SCRIPT[:-1]
    finish = events[-1]
    assert isinstance(finish, Finish) and reply.finish == finish
    assert (finish.reason, finish.usage) == ("tool_calls", SCRIPT[-1].usage)  # type: ignore[union-attr]
    assert finish.model == ("glm-5.3" if provider != "openai" else sim.requests[-1].json["model"])
    assert finish.response_id
    assert (reply.text, reply.reasoning) == ("Let me 看看。", "The user wants the weather.")
    assert reply.tool_calls == CALLS
    assert reply.tool_calls[0].parse_arguments() == {"city": "Florence"}


def test_whole_calls_with_early_finish_reasons_are_read_to_the_end(
    asker: Askers, glm_simulator: SimulatorFactory
) -> None:
    [reply] = asker(glm_simulator(SCRIPT, provider="zai")).chat("hi")
    assert reply.tool_calls == CALLS
    assert reply.finish is not None and reply.finish.usage == Usage(10, 20, 30, 4, 5)


def test_an_answer_without_stream_is_the_same(
    asker: Askers, glm_simulator: SimulatorFactory
) -> None:
    [reply] = asker(glm_simulator(SCRIPT, provider="zai")).chat("hi", extra_body={"stream": False})
    assert (reply.text, reply.reasoning, reply.tool_calls) == (
        "Let me 看看。",
        "The user wants the weather.",
        CALLS,
    )


def test_sources_arrive(asker: Askers, glm_simulator: SimulatorFactory) -> None:
    found = SearchResults((SearchResult("T", "https://example.org", "C", "ref_1"),))
    events, _, _ = asker(glm_simulator([found, "see [ref_1]"], provider="zai")).stream("hi")
    assert events[0] == found


def test_a_busy_model_is_asked_again_with_another_request_id(
    asker: Askers, glm_simulator: SimulatorFactory
) -> None:
    sim = glm_simulator(
        Script(Refusal("rate_limit", code=1305), [Refusal("rate_limit", code=1302)], "At last"),
        provider="zai",
    )
    [reply] = asker(sim).chat("hi")
    assert reply.text == "At last"
    ids = [request.json["request_id"] for request in sim.questions]
    assert len(set(ids)) == 3
    assert reply.finish is not None and reply.finish.request_id == ids[-1]


def test_a_balance_that_is_used_up_is_not_asked_again(
    asker: Askers, glm_simulator: SimulatorFactory
) -> None:
    sim = glm_simulator(Refusal("quota"), provider="zai")
    _, _, error = asker(sim).stream("hi")
    assert type(error) is QuotaExceededError
    assert (error.code, error.status_code, error.attempts) == ("1113", 429, 1)
    assert len(sim.questions) == 1
    assert "recharge" in str(error).lower()


def test_the_class_is_the_same_wherever_the_service_says_it(
    asker: Askers, glm_simulator: SimulatorFactory
) -> None:
    for script in (
        Refusal("rate_limit"),
        ["Hi", Refusal("rate_limit")],
        Refusal("rate_limit", status=200),
    ):
        sim = glm_simulator(script, provider="zai")
        _, partial, error = asker(sim, retry=None).stream("hi")
        assert type(error) is RateLimitError
        assert error.code == "1302" and error.retryable
        assert partial.text == ("Hi" if isinstance(script, list) else "")


def test_a_failing_inference(asker: Askers, glm_simulator: SimulatorFactory) -> None:
    failing = Finish("other", raw_reason="network_error")
    sim = glm_simulator(Script([failing], "again"), provider="zai")
    assert asker(sim).chat("hi")[0].text == "again"
    _, partial, error = asker(glm_simulator(["Half an ", failing], provider="zai")).stream("hi")
    assert type(error) is StreamInterrupted and isinstance(error.__cause__, ServerError)
    assert partial.text == "Half an "


def test_a_cut_keeps_what_came(asker: Askers, glm_simulator: SimulatorFactory) -> None:
    for framing in ("chunked", "close"):
        sim = glm_simulator(["Half an ", Cut()], provider="openai", framing=framing)
        _, partial, error = asker(sim, "openai", model="m").stream("hi")
        assert type(error) is StreamInterrupted
        assert partial.text == "Half an "


def test_content_that_was_withheld(asker: Askers, glm_simulator: SimulatorFactory) -> None:
    [reply] = asker(glm_simulator([Finish("content_filter")], provider="zai")).chat("hi")
    assert reply.finish is not None
    assert (reply.finish.reason, reply.finish.raw_reason) == ("content_filter", "sensitive")


def test_models(asker: Askers, glm_simulator: SimulatorFactory) -> None:
    sim = glm_simulator(provider="openai", flavour="sglang")
    assert [model.id for model in asker(sim, "openai").models()] == ["GLM-4.6"]
    assert "glm-5.3" in [model.id for model in asker(glm_simulator(provider="zai")).models()]


def test_without_a_model_the_server_is_asked_once(
    asker: Askers, glm_simulator: SimulatorFactory
) -> None:
    sim = glm_simulator("Hi", provider="openai", flavour="ollama")
    replies = asker(sim, "openai").chat("one", "two")
    assert [reply.text for reply in replies] == ["Hi", "Hi"]
    assert [request.path for request in sim.requests] == [
        "/models",
        "/chat/completions",
        "/chat/completions",
    ]
    assert {request.json["model"] for request in sim.questions} == {"glm-4.7-flash"}


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tell the weather of a city.",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}},
            "required": ["city"],
        },
    },
}


def test_a_tool_loop(glm_simulator: SimulatorFactory) -> None:
    sim = glm_simulator(Script(SCRIPT, "It is sunny in Florence."), provider="zai")
    functions = {"weather": lambda city: f"sunny in {city}", "time": lambda: "noon"}
    messages: list[Any] = [{"role": "user", "content": "How is the weather in Florence?"}]
    with SyncClient("zai", api_key="k", base_url=sim.url, trust_env=False) as client:
        reply = client.chat(messages, tools=[WEATHER])
        while reply.tool_calls:
            messages.append(reply.message())
            for call in reply.tool_calls:
                result = functions[call.name](**call.parse_arguments())
                messages.append({"role": "tool", "tool_call_id": call.id, "content": result})
            reply = client.chat(messages, tools=[WEATHER])
    assert reply.text == "It is sunny in Florence."
    sent = sim.questions[1].json
    assert sent["tools"] == [WEATHER]
    assert sent["messages"] == [
        {"role": "user", "content": "How is the weather in Florence?"},
        {
            "role": "assistant",
            "content": "Let me 看看。",
            "reasoning_content": "The user wants the weather.",
            "tool_calls": [
                {
                    "id": "call_a",
                    "type": "function",
                    "function": {"name": "weather", "arguments": '{"city": "Florence"}'},
                },
                {
                    "id": "call_b",
                    "type": "function",
                    "function": {"name": "time", "arguments": "{}"},
                },
            ],
        },
        {"role": "tool", "tool_call_id": "call_a", "content": "sunny in Florence"},
        {"role": "tool", "tool_call_id": "call_b", "content": "noon"},
    ]


def test_a_reply_of_a_service_that_keeps_no_conversation_cannot_be_continued(
    glm_simulator: SimulatorFactory,
) -> None:
    sim = glm_simulator(provider="zai")
    with SyncClient("zai", api_key="k", base_url=sim.url, trust_env=False) as client:
        reply = client.chat("hi")
        with pytest.raises(ConfigurationError, match=r"reply\.message\(\)"):
            client.chat("and then?", continue_from=reply)
    assert len(sim.questions) == 1


def test_structured_output(glm_simulator: SimulatorFactory) -> None:
    sim = glm_simulator(Script('{"answer": 42}', "Sorry, no."), provider="zai")
    with SyncClient("zai", api_key="k", base_url=sim.url, trust_env=False) as client:
        reply = client.chat("Answer in JSON.", response_format={"type": "json_object"})
        assert reply.json() == {"answer": 42}
        reply = client.chat("Answer in JSON.", response_format={"type": "json_object"})
        with pytest.raises(ProtocolError) as caught:
            reply.json()
    assert caught.value.frame == "Sorry, no." and caught.value.partial.text == "Sorry, no."
    assert sim.questions[0].json["response_format"] == {"type": "json_object"}


def test_think_tags(asker: Askers, glm_simulator: SimulatorFactory) -> None:
    sim = glm_simulator(["<think>hm</think>Hi"], provider="openai")
    [split] = asker(sim, "openai", model="m").chat("hi", think_tags=True)
    [raw] = asker(sim, "openai", model="m").chat("hi")
    assert (split.text, split.reasoning) == ("Hi", "hm")
    assert (raw.text, raw.reasoning) == ("<think>hm</think>Hi", "")


@pytest.mark.parametrize(
    ("provider", "key", "address"),
    [("zai", "ZAI_API_KEY", "ZAI_BASE_URL"), ("bigmodel", "ZHIPUAI_API_KEY", "ZHIPUAI_BASE_URL")],
)
def test_the_environment_gives_key_and_address(
    monkeypatch: pytest.MonkeyPatch,
    glm_simulator: SimulatorFactory,
    provider: str,
    key: str,
    address: str,
) -> None:
    sim = glm_simulator(provider=provider, key="from.environment")
    monkeypatch.setenv(key, "from.environment")
    monkeypatch.setenv(address, sim.url)
    with SyncClient(provider, trust_env=False) as client:
        assert client.chat("hi").text
