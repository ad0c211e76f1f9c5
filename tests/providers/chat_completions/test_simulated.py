"""The simulated platform: what it answers to which request, with no server in between."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient.core.http import Head
from glmclient.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from glmclient.events import Finish, TextDelta, ToolCallDelta, Usage
from glmclient.providers.chat_completions.refusals import Refusals
from glmclient.providers.chat_completions.simulated import OpenAICompatible, Platform
from glmclient.simulator.http import Cut, Pause, SimulatedRequest, SimulatedResponse
from glmclient.simulator.script import Answer, Answers, Refusal, ScriptLike
from tests.providers.chat_completions.driving import NOW, decoded

KEY = {"authorization": "Bearer id.secret"}
HI = {"model": "glm-4.6", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def asked(
    dialect: Platform,
    script: ScriptLike = "Hi",
    *,
    method: str = "POST",
    path: str = "/api/paas/v4/chat/completions",
    headers: dict[str, str] | None = None,
    body: Any = HI,
) -> SimulatedResponse:
    given = KEY if headers is None else headers
    request = SimulatedRequest(method, path, {}, given, json.dumps(body).encode())
    assert dialect.handles(request)
    return dialect.respond(request, Answers(script, dialect.check))


def content(response: SimulatedResponse) -> bytes:
    return b"".join(item for item in response.body if isinstance(item, bytes))


def refusal(response: SimulatedResponse) -> APIStatusError:
    head = Head.of(response.status, response.headers)
    return Refusals("the simulator", head, lambda: NOW).of_body(content(response))


def chunks(response: SimulatedResponse) -> list[dict[str, Any]]:
    return [
        json.loads(line[6:])
        for line in content(response).decode().splitlines()
        if line.startswith("data: {")
    ]


def test_a_question_gets_a_stream() -> None:
    response = asked(Platform())
    assert dict(response.headers)["Content-Type"].startswith("text/event-stream")
    events, error, done = decoded([content(response)])
    assert events[0] == TextDelta("Hi") and error is None and done
    assert isinstance(events[-1], Finish) and events[-1].model == "glm-4.6"


def test_answers_have_ids_of_their_own() -> None:
    dialect = Platform()
    assert chunks(asked(dialect))[0]["id"] != chunks(asked(dialect))[0]["id"]


def test_a_question_without_stream_gets_a_whole_answer() -> None:
    response = asked(Platform(), body={**HI, "stream": False})
    assert dict(response.headers)["Content-Type"].startswith("application/json")
    assert json.loads(content(response))["choices"][0]["message"]["content"] == "Hi"


def test_without_stream_a_refusal_in_the_middle_is_a_refusal() -> None:
    response = asked(Platform(), ["Hi", Refusal("rate_limit")], body={**HI, "stream": False})
    assert response.status == 429


TOOLS = [ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(0, "", "", "}"), Finish("tool_calls")]


@pytest.mark.parametrize(
    ("dialect", "body", "fragments"),
    [
        (Platform(), HI, 1),
        (Platform(), {**HI, "tool_stream": True}, 2),
        (Platform(tool_stream=True), HI, 2),
        (OpenAICompatible(), HI, 2),
        (OpenAICompatible(flavour="sglang"), HI, 2),
        (OpenAICompatible(flavour="ollama"), HI, 1),
        (OpenAICompatible(tool_stream=False), HI, 1),
    ],
)
def test_tool_calls_come_in_fragments_where_they_would(
    dialect: Platform, body: Any, fragments: int
) -> None:
    found = [
        c
        for c in chunks(asked(dialect, TOOLS, body=body))
        if c["choices"] and c["choices"][0]["delta"].get("tool_calls")
    ]
    assert len(found) == fragments


def test_compatible_servers_tell_the_usage_when_they_are_asked() -> None:
    script = ["Hi", Finish("stop", Usage(1, 2, 3))]
    told = asked(OpenAICompatible(), script, body={**HI, "stream_options": {"include_usage": True}})
    assert chunks(told)[-1]["usage"]["total_tokens"] == 3
    for options in ({}, {"stream_options": None}, {"stream_options": {"include_usage": False}}):
        assert all(
            "usage" not in c
            for c in chunks(asked(OpenAICompatible(), script, body={**HI, **options}))
        )
    assert chunks(asked(Platform(), script))[-1]["usage"]["total_tokens"] == 3


@pytest.mark.parametrize(
    ("dialect", "headers", "status"),
    [
        (Platform(), {}, 401),
        (Platform(), {"authorization": "Basic x"}, 401),
        (Platform(), {"authorization": "Bearer "}, 401),
        (Platform(), {"authorization": "Bearer any"}, 200),
        (Platform(key="k"), {"authorization": "bearer k"}, 200),
        (Platform(key="k"), {"authorization": "Bearer other"}, 401),
        (OpenAICompatible(), {}, 200),
        (OpenAICompatible(key="k"), {}, 401),
    ],
)
def test_keys(dialect: Platform, headers: dict[str, str], status: int) -> None:
    response = asked(dialect, headers=headers)
    assert response.status == status
    if status == 401:
        assert type(refusal(response)) is AuthenticationError


def test_models_are_listed() -> None:
    for dialect, first in (
        (Platform(), "glm-5.3"),
        (OpenAICompatible(), "zai-org/GLM-4.6"),
        (OpenAICompatible(flavour="ollama"), "glm-4.7-flash"),
        (Platform(models=["mine"]), "mine"),
    ):
        listed = json.loads(content(asked(dialect, method="GET", path="/v1/models")))
        assert listed["object"] == "list" and listed["data"][0]["id"] == first


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"model": "m"},
        {"model": "m", "messages": []},
        {"model": "m", "messages": ["x"]},
        {**HI, "model": 5},
    ],
)
def test_what_is_no_question_is_refused(body: Any) -> None:
    response = asked(Platform(), body=body)
    assert response.status == 400 and type(refusal(response)) is BadRequestError


def test_methods() -> None:
    assert asked(Platform(), method="GET").status == 405
    assert asked(Platform(), method="POST", path="/models").status == 405


def test_other_paths_are_not_the_platforms() -> None:
    assert not Platform().handles(SimulatedRequest("POST", "/chatglm/mainchat-api/guest/stream"))


@pytest.mark.parametrize("dialect", [Platform(), OpenAICompatible()], ids=["glm", "vllm"])
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("login", AuthenticationError),
        ("quota", QuotaExceededError),
        ("rate_limit", RateLimitError),
        ("authentication", AuthenticationError),
        ("permission", PermissionDeniedError),
        ("bad_request", BadRequestError),
        ("not_found", NotFoundError),
        ("server", ServerError),
        ("blocked", ServiceBlockedError),
    ],
)
def test_every_refusal_is_read_as_what_it_is(
    dialect: Platform, kind: Any, expected: type[APIStatusError]
) -> None:
    assert type(refusal(asked(dialect, Refusal(kind)))) is expected
    assert type(refusal(asked(dialect, Refusal(kind, message="in these words")))) is expected


def test_every_part_of_a_refusal_can_be_set() -> None:
    response = asked(
        Platform(), Refusal("quota", "until 2025-12-02 18:56:15", code=1308, retry_after=7)
    )
    error = refusal(response)
    assert (response.status, error.code, error.retry_after) == (
        429,
        "1308",
        7.0,
    ) or error.retry_after is not None
    assert asked(Platform(), Refusal("server", status=503)).status == 503
    assert asked(OpenAICompatible(), Refusal("not_found")).status == 404
    assert json.loads(content(asked(Platform(), Refusal(body={"x": 1})))) == {"x": 1}
    page = asked(Platform(), Refusal(body="<html>no</html>"))
    assert content(page) == b"<html>no</html>" and "html" in dict(page.headers)["Content-Type"]


def test_an_error_can_be_played_again() -> None:
    error = refusal(asked(Platform(), Refusal("rate_limit", code=1305)))
    again = refusal(asked(Platform(), error))
    assert (type(again), again.code, again.status_code, again.message) == (
        RateLimitError,
        "1305",
        429,
        error.message,
    )


def test_what_happens_before_the_head() -> None:
    assert asked(Platform(), [Pause(1), "Hi"]).before == (Pause(1),)
    assert asked(Platform(), [Pause(1), Refusal("quota")]).before == (Pause(1),)
    assert asked(Platform(), [Cut()]).before == (Cut(),)


def test_scripts_are_checked_ahead() -> None:
    from glmclient.events import Image

    with pytest.raises(ConfigurationError):
        asked(Platform(), [Image("http://x")])
    Platform().check(Answer.of(Refusal("quota")))


def test_options_are_checked() -> None:
    with pytest.raises(ConfigurationError):
        Platform(flavour="tgi")  # type: ignore[arg-type]
    for models in ("glm", [5]):
        with pytest.raises(ConfigurationError):
            Platform(models=models)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("messages", "prompt"),
    [
        ([{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "a"),
        (
            [{"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]}],
            "a",
        ),
        ([{"role": "user"}], ""),
        ([{"role": "tool", "content": "x"}], ""),
    ],
)
def test_what_the_user_said(messages: Any, prompt: str) -> None:
    request = SimulatedRequest(
        "POST", "/chat/completions", body=json.dumps({"messages": messages}).encode()
    )
    assert Platform().prompt(request) == prompt
