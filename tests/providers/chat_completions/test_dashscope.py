"""Alibaba Cloud's compatible endpoint for Qwen, through every kind of client against its simulated service."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient import (
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    Finish,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ReasoningDelta,
    RetryPolicy,
    ServerError,
    SyncClient,
    Usage,
)
from glmclient.providers import service
from glmclient.providers.chat_completions.provider import DashScope, DashScopeIntl
from glmclient.simulator import Refusal, Simulator
from tests.providers.chat_completions.asking import KINDS, Asker
from tests.providers.chat_completions.driving import Answered, ask, decoded, frames, of_json

NAMES = ("dashscope", "dashscope-intl")
KEY = "sk-0123456789abcdef"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", NAMES)
def test_an_answer_with_reasoning_on_every_client(name: str, kind: str) -> None:
    script: list[Any] = [ReasoningDelta("hm"), "你好", Finish("stop", Usage(1, 2, 3))]
    with Simulator(script, provider=name) as sim:
        asker = Asker(kind, {"provider": name, "api_key": KEY, "base_url": sim.url})
        _, reply, error = asker.stream("hi", enable_thinking=True, thinking_budget=50)
        body = sim.requests[0].json
    assert error is None
    assert (reply.text, reply.reasoning) == ("你好", "hm")
    assert reply.finish is not None
    assert reply.finish.usage == Usage(1, 2, 3)
    assert body["model"] == "qwen-plus"
    assert (body["enable_thinking"], body["thinking_budget"]) == (True, 50)
    assert body["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("login", AuthenticationError),
        ("authentication", AuthenticationError),
        ("quota", QuotaExceededError),
        ("rate_limit", RateLimitError),
        ("permission", PermissionDeniedError),
        ("bad_request", BadRequestError),
        ("not_found", NotFoundError),
        ("server", ServerError),
    ],
)
@pytest.mark.parametrize("late", [False, True])
def test_refusals_mean_the_same_by_status_and_in_a_stream(
    kind: Any, expected: type[GLMError], late: bool
) -> None:
    script = ["a", Refusal(kind)] if late else Refusal(kind)
    with (
        Simulator(script, provider="dashscope") as sim,
        SyncClient("dashscope", api_key=KEY, base_url=sim.url, retry=None) as client,
        pytest.raises(expected) as caught,
    ):
        client.chat("hi")
    assert type(caught.value) is expected
    assert caught.value.partial.text == ("a" if late else "")


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("Throttling", RateLimitError),
        ("Throttling.AllocationQuota", RateLimitError),
        ("Throttling.BurstRate", RateLimitError),
        ("limit_requests", RateLimitError),
        ("limit_burst_rate", RateLimitError),
        ("insufficient_quota", QuotaExceededError),
        ("Arrearage", QuotaExceededError),
        ("InternalError.Timeout", ServerError),
    ],
)
def test_codes_in_frames_and_bodies(code: str, expected: type[GLMError]) -> None:
    provider = DashScope(api_key=KEY)
    refusal = {"request_id": "r-1", "code": code, "message": "the words"}
    frame = f"id:1\nevent:error\n:HTTP_STATUS/429\ndata:{json.dumps(refusal)}\n\n".encode()
    responses = [Answered(body=[frame]), of_json(refusal, 429)]
    for response in responses:
        turn = ask(provider, [response], retry=RetryPolicy(attempts=1))
        assert type(turn.error) is expected
        assert "the words" in str(turn.error)
        assert turn.error.request_id == "r-1"
        assert turn.error.retryable is (expected is not QuotaExceededError)


def test_a_key_is_needed() -> None:
    with pytest.raises(ConfigurationError, match="DASHSCOPE_API_KEY"):
        DashScope()
    with pytest.raises(ConfigurationError, match="modelstudio"):
        DashScopeIntl()
    assert DashScope(headers={"Authorization": "Bearer x"}).default_model == "qwen-plus"


def test_the_simulated_service_wants_a_key() -> None:
    with (
        Simulator("hi", provider="dashscope", key="sk-another-key-of-it") as sim,
        SyncClient("dashscope", api_key=KEY, base_url=sim.url) as client,
    ):
        with pytest.raises(AuthenticationError):
            client.models()


def test_models_are_listed() -> None:
    with (
        Simulator("hi", provider="dashscope-intl") as sim,
        SyncClient("dashscope-intl", api_key=KEY, base_url=sim.url) as client,
    ):
        assert "qwen-plus" in [model.id for model in client.models()]


@pytest.mark.parametrize("option", ["thinking", "chat_template_kwargs", "guided_json", "functions"])
def test_options_of_other_services_are_refused(option: str) -> None:
    with pytest.raises(ConfigurationError, match=option):
        DashScope(api_key=KEY).prepare("hi", None, {option: {}})


@pytest.mark.parametrize("name", NAMES)
def test_the_key_goes_to_its_own_region_only(name: str) -> None:
    info, other = (service(each) for each in (name, NAMES[name == NAMES[0]]))
    assert info.is_own_address(info.provider_class().default_url)
    assert not info.is_own_address(other.provider_class().default_url)


# -- values of compatible servers -------------------------------------------------------------------------


def chunk(**members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": {"content": "a"}, "finish_reason": "stop"}]} | members


@pytest.mark.parametrize(
    ("usage", "expected"),
    [
        (
            {"prompt_tokens": 1.0, "completion_tokens": 2.0, "total_tokens": 3.0},
            Usage(1, 2, 3),
        ),
        (
            {"prompt_tokens": 1, "completion_tokens": 2, "reasoning_tokens": 1},
            Usage(1, 2, 3, reasoning_tokens=1),
        ),
        ({"input": 1, "output": 2}, None),
        ({"prompt_tokens": "many"}, None),
        ({"prompt_tokens": 1.5}, None),
    ],
)
@pytest.mark.parametrize("in_choice", [False, True])
def test_usage_as_servers_write_it(
    usage: dict[str, Any], expected: Usage | None, in_choice: bool
) -> None:
    sent = chunk()
    (sent["choices"][0] if in_choice else sent)["usage"] = usage
    events, error, done = decoded([frames(sent)])
    assert (error, done) == (None, True)
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.usage == expected


def test_builtin_functions_are_handed_out() -> None:
    call = {
        "index": 0,
        "id": "c1",
        "type": "builtin_function",
        "function": {"name": "$web_search", "arguments": "{}"},
    }
    sent = {
        "choices": [{"index": 0, "delta": {"tool_calls": [call]}, "finish_reason": "tool_calls"}]
    }
    events, _, _ = decoded([frames(sent)])
    assert getattr(events[0], "name", None) == "$web_search"


# -- requests ---------------------------------------------------------------------------------------------


def test_streams_ask_for_identity() -> None:
    turn = ask(DashScope(api_key=KEY), [Answered(body=[frames(chunk())])])
    headers = {name.lower(): value for name, value in turn.requests[0].headers.items()}
    assert headers["accept-encoding"] == "identity"


def test_the_coding_none_is_identity() -> None:
    headers = {"content-type": "text/event-stream", "content-encoding": "none"}
    turn = ask(DashScope(api_key=KEY), [Answered(200, headers, [frames(chunk())])])
    assert turn.error is None


def test_stream_options_can_be_left_out() -> None:
    turn = ask(DashScope(api_key=KEY), [Answered(body=[frames(chunk())])], stream_options=None)
    assert "stream_options" not in turn.bodies[0]


def test_content_null_beside_tool_calls_is_sent() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    turn = ask(DashScope(api_key=KEY), [Answered(body=[frames(chunk())])], messages)
    sent = turn.bodies[0]["messages"][1]
    assert "content" in sent
    assert sent["content"] is None


@pytest.mark.parametrize(
    ("location", "words"),
    [
        (
            "https://other.example/v2/chat/completions?token=s",
            "other.example/v2/chat/completions. ",
        ),
        ("/v2/chat/completions?token=s", "to /v2/chat/completions. "),
        ("?token=s", "another path of this host"),
    ],
)
def test_the_target_of_a_redirect_is_shown_without_its_query(location: str, words: str) -> None:
    turn = ask(DashScope(api_key=KEY), [Answered(308, {"location": location}, [b""])])
    assert words in str(turn.error)
    assert "token" not in str(turn.error)
