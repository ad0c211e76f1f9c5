"""The three doors: keys, addresses, plans, headers, attempts, models."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from glmclient.core.identity import Identity
from glmclient.core.limits import Limits
from glmclient.core.retry import RetryPolicy
from glmclient.errors import (
    APIStatusError,
    AuthenticationError,
    ConfigurationError,
    LimitExceeded,
    NotFoundError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportFailure,
)
from glmclient.events import Finish, TextDelta, Unknown
from glmclient.options import ChatOptions
from glmclient.providers.base import Model
from glmclient.providers.chat_completions.provider import (
    BigModel,
    DashScope,
    OpenAICompatible,
    Platform,
    Zai,
)

from .driving import Answered, ask, ask_for_models, frames, of_json
from .wire import chunk, end

HI = Answered(body=[frames(chunk({"content": "Hi"}, "stop"))])


def zai(**arguments: Any) -> Zai:
    numbers = iter(range(100))
    identity = Identity(ids=lambda: f"request-{next(numbers)}")
    return Zai(**{"api_key": "id.secret-of-mine", "identity": identity, **arguments})


def local(**arguments: Any) -> OpenAICompatible:
    return OpenAICompatible(**{"base_url": "http://localhost:8000/v1", **arguments})


@pytest.mark.parametrize("make", [zai, local])
@pytest.mark.parametrize("model", [5, "", " "])
def test_a_model_is_a_name(make: Any, model: Any) -> None:
    with pytest.raises(ConfigurationError, match="model must be a string that is not empty"):
        make().prepare("hi", model, {})


# -- addresses, keys, plans -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "url"),
    [
        (Zai(api_key="k"), "https://api.z.ai/api/paas/v4"),
        (Zai(api_key="k", plan="coding"), "https://api.z.ai/api/coding/paas/v4"),
        (BigModel(api_key="k"), "https://open.bigmodel.cn/api/paas/v4"),
        (BigModel(api_key="k", plan="coding"), "https://open.bigmodel.cn/api/coding/paas/v4"),
        (Zai(api_key="k", base_url="http://host/prefix/"), "http://host/prefix"),
        (Zai(api_key="k", base_url="http://host/prefix/chat/completions"), "http://host/prefix"),
        (Zai(api_key="k", base_url=" http://host/prefix/chat/completions/ "), "http://host/prefix"),
        (local(base_url="http://localhost:11434/v1/chat/completions"), "http://localhost:11434/v1"),
    ],
)
def test_addresses(provider: Platform, url: str) -> None:
    assert provider.url == url
    model = "m" if isinstance(provider, OpenAICompatible) else None
    turn = ask(provider, [HI], model=model)
    assert [(r.method, r.url) for r in turn.requests] == [("POST", f"{url}/chat/completions")]


@pytest.mark.parametrize(
    "provider", [zai(), BigModel(api_key="k"), local(), DashScope(api_key="k")]
)
def test_the_options_that_are_declared_are_those_that_are_taken(provider: Platform) -> None:
    declared = provider.supports.options
    assert declared is not None and provider.supports.images
    assert {"temperature", "tools", "extra_body", "include_unknown"} <= declared
    forced = {"type": "function", "function": {"name": "f"}}
    if provider.supports.tool_choice == "auto":
        with pytest.raises(ConfigurationError, match="tool_choice must be 'auto'"):
            provider.prepare("Hi", "m", {"tool_choice": forced})
    else:
        assert provider.prepare("Hi", "m", {"tool_choice": forced})
    for name in declared | set(ChatOptions.__annotations__):
        # No option takes this value: one that is taken is refused for its value, any other for its name.
        with pytest.raises(ConfigurationError) as caught:
            provider.prepare("Hi", "m", {name: object()})
        assert ("cannot honour the option" in str(caught.value)) == (name not in declared), name


def test_names_and_what_they_support() -> None:
    for provider, name, model in (
        (zai(), "zai", "glm-5.3"),
        (BigModel(api_key="k"), "bigmodel", "glm-5.3"),
    ):
        assert (provider.name, provider.default_model) == (name, model)
        assert provider.default_model in provider.models
        assert (
            provider.supports.streaming and provider.supports.tools and provider.supports.reasoning
        )
        assert (
            provider.supports.system_messages
            and provider.supports.message_history
            and provider.supports.usage
        )
    assert (local().name, local().default_model, local().models) == ("openai", None, ())
    assert "glm-4-long" in BigModel.models and "glm-4-long" not in Zai.models


@pytest.mark.parametrize(
    ("door", "variable"), [(Zai, "ZAI_API_KEY"), (BigModel, "ZHIPUAI_API_KEY")]
)
def test_a_missing_key_names_its_variable(
    door: type[Zai], variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "from-the-environment")  # not read here
    with pytest.raises(ConfigurationError, match=variable) as caught:
        door()
    assert "https://" in str(caught.value)


@pytest.mark.parametrize("key", ["", "sec\nret", " secret ", 5, "秘密secret"])
def test_a_key_that_cannot_be_sent_is_refused_without_showing_it(key: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Zai(api_key=key)
    assert "sec" not in str(caught.value) and "秘密" not in str(caught.value)


def test_a_compatible_server_needs_an_address_and_no_key() -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        OpenAICompatible(api_key="k")
    turn = ask(local(), [HI], model="m")
    assert "Authorization" not in turn.requests[0].headers


def test_a_plan_is_explicit() -> None:
    with pytest.raises(ConfigurationError, match="coding"):
        Zai(api_key="k", plan="pro")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="base_url"):
        Zai(api_key="k", plan="coding", base_url="http://host")
    assert zai().plan == "standard"


def test_a_bad_address_is_refused() -> None:
    for url in ("host/v1", "", 5):
        with pytest.raises(ConfigurationError, match="base_url"):
            OpenAICompatible(base_url=url)  # type: ignore[arg-type]


def test_headers() -> None:
    headers = ask(zai(), [HI]).requests[0].headers
    assert headers["Authorization"] == "Bearer id.secret-of-mine"
    assert headers["Content-Type"] == "application/json"
    assert headers["Accept"] == "text/event-stream"
    assert headers["Accept-Language"] == "en-US,en"
    assert "Accept-Language" not in ask(BigModel(api_key="k"), [HI]).requests[0].headers
    own = ask(zai(headers={"accept-language": "zh", "X-Mine": "1"}), [HI]).requests[0].headers
    assert own["accept-language"] == "zh" and "Accept-Language" not in own and own["X-Mine"] == "1"


def test_an_authorization_of_ones_own_stands_for_a_key() -> None:
    provider = Zai(headers={"authorization": "Basic eDp5"})
    headers = ask(provider, [HI]).requests[0].headers
    assert headers["authorization"] == "Basic eDp5" and "Authorization" not in headers


def test_the_key_is_not_shown_and_not_pickled() -> None:
    provider = zai()
    assert "secret" not in repr(provider) and "secret" not in repr(vars(provider))
    with pytest.raises(TypeError):
        pickle.dumps(provider._key)


# -- attempts -------------------------------------------------------------------------------------------------


def test_an_answer_is_streamed() -> None:
    turn = ask(
        zai(),
        [
            Answered(
                body=[
                    frames(chunk({"content": "H"}), done=False),
                    frames(chunk({"content": "i"}, "stop")),
                ]
            )
        ],
    )
    assert turn.error is None
    assert turn.events == [TextDelta("H"), TextDelta("i"), end(request_id="request-0")]


def test_an_answer_that_is_not_streamed_is_told_the_same() -> None:
    whole = {
        "id": "2025",
        "model": "glm-4.6",
        "choices": [{"message": {"content": "Hi"}, "finish_reason": "stop"}],
    }
    turn = ask(zai(), [of_json(whole)])
    assert turn.events == [TextDelta("Hi"), end(request_id="request-0")]


def test_options_of_the_reading_reach_the_decoder() -> None:
    body = frames(chunk({"content": "<think>h</think>i", "audio": 1}, "stop"))
    turn = ask(zai(), [Answered(body=[body])], think_tags=True, include_unknown=True)
    assert Unknown("audio", "1") in turn.events
    assert TextDelta("i") in turn.events


def test_request_ids_are_renewed_for_every_attempt() -> None:
    busy = of_json({"error": {"code": "1305", "message": "overloaded"}}, 429)
    turn = ask(zai(), [busy, busy, HI])
    assert [body["request_id"] for body in turn.bodies] == ["request-0", "request-1", "request-2"]
    assert turn.events[-1] == end(request_id="request-2")
    turn = ask(zai(), [busy, busy, HI], request_id="my-request")
    assert [body["request_id"] for body in turn.bodies] == [
        "my-request",
        "my-request-2",
        "my-request-3",
    ]
    turn = ask(zai(), [busy, HI], request_id="x" * 64)
    assert [body["request_id"] for body in turn.bodies] == ["x" * 64, "x" * 62 + "-2"]
    assert all(len(body) == 4 for body in turn.bodies), "nothing else was added"


def test_a_request_id_in_extra_body_stays() -> None:
    assert ask(zai(), [HI], extra_body={"request_id": "mine"}).bodies[0]["request_id"] == "mine"


def test_the_services_request_id_is_the_better_one() -> None:
    answered = Answered(
        headers={"content-type": "text/event-stream", "x-request-id": "theirs"}, body=HI.body
    )
    assert ask(zai(), [answered]).events[-1] == end(request_id="theirs")


def test_compatible_servers_get_no_request_id() -> None:
    assert "request_id" not in ask(local(), [HI], model="m").bodies[0]


def test_an_error_knows_the_request() -> None:
    turn = ask(zai(), [of_json({"error": {"code": "1113", "message": "no balance"}}, 429)])
    assert type(turn.error) is QuotaExceededError
    assert turn.error.request_id == "request-0"
    assert turn.error.attempts == 1 and turn.sleeps == []
    assert turn.error.partial.text == ""


@pytest.mark.parametrize("code", ["1302", "1305", "1312", "1200", "1234"])
def test_codes_that_pass_are_tried_again(code: str) -> None:
    refused = of_json({"error": {"code": code, "message": "later"}}, 400)
    assert ask(zai(), [refused, HI]).events[0] == TextDelta("Hi")
    turn = ask(zai(), [refused] * 3)
    assert turn.error is not None and turn.error.attempts == 3 and len(turn.sleeps) == 2


def test_a_refusal_in_the_first_frame_is_tried_again_too() -> None:
    refused = Answered(body=[frames({"error": {"code": "1302", "message": "later"}}, done=False)])
    assert ask(zai(), [refused, HI]).events[0] == TextDelta("Hi")


@pytest.mark.parametrize("code", ["1113", "1308", "1310", "1214", "1301", "1211", "1002"])
def test_codes_that_stay_are_not_tried_again(code: str) -> None:
    turn = ask(zai(), [of_json({"error": {"code": code, "message": "no"}}, 500)])
    assert turn.error is not None and turn.error.attempts == 1


def test_retry_after_is_honoured() -> None:
    busy = of_json({"error": {"code": "1302", "message": "later"}}, 429, **{"retry-after": "7"})
    assert ask(zai(), [busy, HI]).sleeps == [7.0]


def test_nothing_is_tried_again_once_something_was_shown() -> None:
    broken = frames(
        chunk({"content": "Hi"}), {"error": {"code": "1302", "message": "later"}}, done=False
    )
    turn = ask(zai(), [Answered(body=[broken])])
    assert type(turn.error) is RateLimitError
    assert turn.error.partial.text == "Hi" and turn.error.retryable and turn.error.attempts == 1


def test_a_network_error_of_the_service() -> None:
    failed = Answered(body=[frames(chunk({"content": ""}, "network_error"))])
    assert ask(zai(), [failed, HI]).events[0] == TextDelta("Hi")
    turn = ask(zai(), [failed], retry=RetryPolicy(attempts=1))
    assert type(turn.error) is ServerError and turn.error.partial.text == ""
    turn = ask(
        zai(),
        [
            Answered(
                body=[frames(chunk({"content": "Hi"}), chunk({"content": ""}, "network_error"))]
            )
        ],
    )
    assert type(turn.error) is StreamInterrupted
    assert turn.error.partial.text == "Hi" and isinstance(turn.error.__cause__, ServerError)


def test_a_stream_that_is_cut_is_interrupted() -> None:
    cut = frames(chunk({"content": "Hi"}), done=False)
    for body in ([cut], [cut, b"data: {"], [cut, TransportFailure("broken", "reset")]):
        turn = ask(zai(), [Answered(body=body)])
        assert type(turn.error) is StreamInterrupted
        assert turn.error.partial.text == "Hi"


def test_pages_and_texts_under_200_and_elsewhere() -> None:
    for status in (200, 502):
        page = Answered(
            status, {"content-type": "text/html"}, [b"<html><title>nginx</title></html>"]
        )
        turn = ask(zai(), [page], retry=RetryPolicy(attempts=1))
        assert isinstance(turn.error, APIStatusError) and "nginx" in str(turn.error)


def test_limits_reach_the_decoder() -> None:
    turn = ask(
        zai(), [Answered(body=[frames(chunk({"content": "x" * 100}))])], limits=Limits(frame=50)
    )
    assert isinstance(turn.error, LimitExceeded)


def test_the_key_is_not_repeated() -> None:
    turn = ask(
        zai(), [of_json({"error": {"code": "1002", "message": "bad token id.secret-of-mine"}}, 401)]
    )
    assert type(turn.error) is AuthenticationError
    assert "id.secret-of-mine" not in str(turn.error) + turn.error.body


# -- models ---------------------------------------------------------------------------------------------------

LISTED = {
    "object": "list",
    "data": [
        {"id": "glm-5.3", "object": "model", "created": 1786636800, "owned_by": "z-ai"},
        {"id": "m", "created": "x", "owned_by": None},
        {"id": None},
        "x",
    ],
}


def test_models_are_listed() -> None:
    turn = ask_for_models(zai(), [of_json(LISTED)])
    assert turn.models == (Model("glm-5.3", "z-ai", 1786636800), Model("m"))
    [request] = turn.requests
    assert (request.method, request.url, request.body) == (
        "GET",
        "https://api.z.ai/api/paas/v4/models",
        None,
    )
    assert request.headers["Authorization"] == "Bearer id.secret-of-mine"
    assert request.headers["Accept"] == "application/json"


@pytest.mark.parametrize("status", [404, 405])
def test_where_models_are_not_listed_those_that_are_known_are(status: int) -> None:
    turn = ask_for_models(zai(), [of_json({"error": "Not Found"}, status)])
    assert [model.id for model in turn.models] == list(Zai.models)
    turn = ask_for_models(local(), [of_json({"detail": "Not Found"}, status)])
    assert type(turn.error) is NotFoundError


def test_other_refusals_of_the_list_are_raised() -> None:
    for answered, expected in (
        (of_json({"error": {"code": "1001", "message": "no"}}, 401), AuthenticationError),
        (of_json({"error": {"code": "1113", "message": "no"}}, 200), QuotaExceededError),
        (of_json({"data": None}), ProtocolError),
        (of_json([1]), APIStatusError),
        (Answered(200, {}, [b"no JSON"]), APIStatusError),
    ):
        assert isinstance(ask_for_models(zai(), [answered]).error, expected)
    turn = ask_for_models(
        zai(), [of_json({"error": {"code": "1305", "message": "busy"}}, 429), of_json(LISTED)]
    )
    assert turn.models[0].id == "glm-5.3"


def test_without_a_model_the_servers_first_is_used_and_kept() -> None:
    provider = local()
    turn = ask(provider, [of_json(LISTED), HI])
    assert [(r.method, r.url) for r in turn.requests] == [
        ("GET", "http://localhost:8000/v1/models"),
        ("POST", "http://localhost:8000/v1/chat/completions"),
    ]
    assert turn.bodies[1]["model"] == "glm-5.3"
    assert isinstance(turn.events[-1], Finish)
    assert [body["model"] for body in ask(provider, [HI]).bodies] == ["glm-5.3"]


def test_a_model_that_is_gone_is_asked_for_anew() -> None:
    provider = local()
    ask(provider, [of_json(LISTED), HI])
    gone = ask(provider, [of_json({"error": {"message": "no such model", "code": 404}}, 404)])
    assert type(gone.error) is NotFoundError
    other = {"data": [{"id": "other"}]}
    assert ask(provider, [of_json(other), HI]).bodies[1]["model"] == "other"


def test_a_server_without_models_wants_one_named() -> None:
    turn = ask(local(), [of_json({"object": "list", "data": []})])
    assert type(turn.error) is NotFoundError and "model=" in str(turn.error)
    assert turn.error.status_code == 200
    turn = ask(local(), [of_json({"detail": "Not Found"}, 404)])
    assert type(turn.error) is NotFoundError


def test_a_model_in_the_extra_body_is_a_model() -> None:
    turn = ask(local(), [HI], extra_body={"model": "mine"})
    assert [json.loads(r.body or b"")["model"] for r in turn.requests] == ["mine"]
