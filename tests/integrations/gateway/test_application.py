"""The application in this process: answers, errors, keys, bounds, choices of services, and what is never logged."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import httpx
import pytest

from glmclient import (
    AsyncClient,
    BadRequestError,
    ConfigurationError,
    Finish,
    GLMError,
    LimitExceeded,
    ReasoningDelta,
    ServerError,
    StreamMisuse,
    SyncClient,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Usage,
)
from glmclient.gateway import application, create_app
from glmclient.gateway.application import is_loopback
from glmclient.gateway.refusals import refusal_of
from glmclient.testing import Cut, Pause, Refusal, Simulator, Wait

from .serving import KEY, QUESTION, app_of, asking, chunks_of, until

STREAM = {**QUESTION, "stream": True}
TEXT = "你好, world"
SECRET = "secret prompt"


def run(function: Callable[..., Awaitable[Any]], *arguments: Any, **known: Any) -> Any:
    async def call() -> Any:
        return await function(*arguments, **known)

    return anyio.run(call)


def text_of(response: httpx.Response) -> str:
    chunks = chunks_of(response.text)
    assert chunks[-1] == "[DONE]"
    return "".join(chunk["choices"][0]["delta"].get("content", "") for chunk in chunks[:-1])


async def under_way(app: Any, requests: int) -> None:
    """Wait until so many requests are under way."""
    await anyio.to_thread.run_sync(until, lambda: app.state.gateway.open_requests >= requests)


def error_of(response: httpx.Response) -> Any:
    return response.json()["error"]


# -- answers -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["chatglm", "qwen", "zai", "bigmodel", "openai", "dashscope"])
def test_every_service_answers(provider: str) -> None:
    with Simulator(TEXT, provider=provider) as simulator:
        app = app_of(simulator)
        whole = run(asking, app, json={**QUESTION, "model": provider})
        stream = run(asking, app, json={**STREAM, "model": provider})
    assert whole.status_code == stream.status_code == 200
    message = whole.json()["choices"][0]["message"]
    assert message["content"] == text_of(stream) == TEXT
    assert whole.json()["model"] == provider
    assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"


def test_everything_reaches_the_service_and_comes_back() -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    answer = [
        ReasoningDelta("hm"),
        ToolCallDelta(0, "c", "f", "{}"),
        Finish("tool_calls", Usage(1, 2, 3)),
    ]
    with Simulator(answer, provider="zai") as simulator:
        app = app_of(simulator)
        body = {**QUESTION, "tools": tools, "temperature": 0.5, "max_completion_tokens": 9}
        whole = run(asking, app, json=body)
        sent = simulator.requests[-1].json
        stream = run(
            asking, app, json={**body, "stream": True, "stream_options": {"include_usage": True}}
        )
    message = whole.json()["choices"][0]["message"]
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"][0]["function"]["name"] == "f"
    assert whole.json()["usage"]["total_tokens"] == 3
    assert (sent["temperature"], sent["max_tokens"], sent["tools"]) == (0.5, 9, tools)
    assert "max_completion_tokens" not in sent
    chunks = chunks_of(stream.text)
    assert chunks[-2]["usage"]["total_tokens"] == 3
    assert chunks[-3]["choices"][0]["finish_reason"] == "tool_calls"


def test_images_are_passed_on_where_the_service_reads_them() -> None:
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    body = {**QUESTION, "messages": [{"role": "user", "content": content}]}
    with Simulator(TEXT, provider="openai") as simulator:
        assert run(asking, app_of(simulator), json={**body, "model": "m"}).status_code == 200
        assert simulator.requests[-1].json["messages"][0]["content"] == content
    with Simulator(TEXT, provider="chatglm") as simulator:
        response = run(asking, app_of(simulator), json={**body, "model": "chatglm"})
        assert simulator.received == 0
    assert response.status_code == 400
    assert "image_url" in error_of(response)["message"]


# -- answers that are rewritten ------------------------------------------------------------------------

AGREES = [TextDelta("Hello"), TextReplace(2, "LLO"), TextReplace(2, "llo!"), Finish("stop")]
DIFFERS = [TextDelta("Wrong"), TextReplace(0, "Right"), Finish("stop")]


@pytest.mark.parametrize("rewrites", ["append", "hold"])
def test_a_rewrite_that_keeps_what_was_sent_is_no_error(rewrites: Any) -> None:
    with Simulator(AGREES, provider="qwen") as simulator:
        response = run(
            asking, app_of(simulator, rewrites=rewrites), json={**STREAM, "model": "qwen"}
        )
    assert text_of(response) == "Hello!"


def test_a_rewrite_of_what_was_sent_is_an_error_event() -> None:
    with Simulator(DIFFERS, provider="qwen") as simulator:
        response = run(asking, app_of(simulator), json={**STREAM, "model": "qwen"})
    *_, last = chunks_of(response.text)
    assert last["error"]["code"] == "answer_rewritten"
    assert "[DONE]" not in response.text
    assert '"finish_reason":"stop"' not in response.text


def test_held_and_whole_answers_are_always_exact() -> None:
    with Simulator(DIFFERS, provider="qwen") as simulator:
        app = app_of(simulator, rewrites="hold")
        held = run(asking, app, json={**STREAM, "model": "qwen"})
        whole = run(asking, app_of(simulator), json={**QUESTION, "model": "qwen"})
    assert text_of(held) == "Right"
    assert whole.json()["choices"][0]["message"]["content"] == "Right"


# -- errors --------------------------------------------------------------------------------------------

REFUSALS = [
    ("authentication", 401, "invalid_api_key"),
    ("permission", 403, "permission_denied"),
    ("not_found", 404, "model_not_found"),
    ("quota", 429, "insufficient_quota"),
    ("rate_limit", 429, "rate_limit_exceeded"),
    ("bad_request", 400, "bad_request"),
    ("blocked", 503, "service_blocked"),
    ("server", 500, "server_error"),
]


@pytest.mark.parametrize("body", [QUESTION, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize(("kind", "status", "code"), REFUSALS)
def test_a_refusal_has_its_own_status(body: Any, kind: Any, status: int, code: str) -> None:
    with Simulator(Refusal(kind, retry_after=7), provider="zai") as simulator:
        app = create_app(simulator.async_client(retry=None))
        response = run(asking, app, json=body)
    assert response.status_code == status
    assert error_of(response)["code"] == code
    assert error_of(response)["service"]["provider"] == "zai"
    if kind == "rate_limit":
        assert response.headers["retry-after"] == "7"
        assert response.headers["x-should-retry"] == "true"
    if kind == "quota":
        assert response.headers["x-should-retry"] == "false"


@pytest.mark.parametrize("step", [Cut(), Refusal("server")], ids=["cut", "refusal"])
def test_an_error_inside_a_stream_is_an_event_and_never_a_clean_end(step: Any) -> None:
    with Simulator([TextDelta("one"), step], provider="zai") as simulator:
        stream = run(asking, app_of(simulator), json=STREAM)
        whole = run(asking, app_of(simulator), json=QUESTION)
    first, last = chunks_of(stream.text)
    assert stream.status_code == 200
    assert first["choices"][0]["delta"]["content"] == "one"
    assert last["error"]["type"] == "server_error"
    assert "[DONE]" not in stream.text
    assert whole.status_code >= 500


def test_a_service_that_cannot_be_reached() -> None:
    client = AsyncClient("openai", base_url="http://127.0.0.1:1", trust_env=False, retry=None)
    response = run(asking, create_app(client), json={**STREAM, "model": "m"})
    assert response.status_code == 502
    assert error_of(response)["code"] == "connection_error"


def test_a_time_limit() -> None:
    with Simulator([Wait(threading.Event())], provider="zai") as simulator:
        app = create_app(simulator.async_client(timeout=0.2, retry=None))
        response = run(asking, app, json=QUESTION)
    assert response.status_code == 504
    assert error_of(response)["code"] == "timeout"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (BadRequestError("m", status_code=422), 422),
        (BadRequestError("m", status_code=401), 400),
        (BadRequestError("m", status_code=200), 400),
        (ServerError("m", status_code=503), 503),
        (ServerError("m", status_code=200), 502),
        (LimitExceeded("m"), 502),
        (StreamMisuse("m"), 500),
        (ConfigurationError("m"), 400),
    ],
)
def test_the_class_decides_and_the_status_of_the_service_says_more(
    error: GLMError, status: int
) -> None:
    assert refusal_of(error, "zai").status == status


def test_a_fault_of_the_gateway_is_a_500_without_words_of_callers(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*arguments: Any) -> Any:
        raise ZeroDivisionError(SECRET)

    monkeypatch.setattr(application, "completion", fails)
    with Simulator(TEXT, provider="zai") as simulator, caplog.at_level(logging.DEBUG):
        response = run(asking, app_of(simulator), json=QUESTION)
    assert response.status_code == 500
    assert "ZeroDivisionError" in caplog.text
    assert SECRET not in caplog.text + response.text


@pytest.mark.parametrize("body", [QUESTION, STREAM], ids=["whole", "stream"])
def test_a_caller_that_cannot_be_written_to_has_left(body: Any) -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator)
        sent: list[Any] = []

        async def ask() -> None:
            messages = iter(
                [{"type": "http.request", "body": json.dumps(body).encode(), "more_body": False}]
            )

            async def receive() -> Any:
                for message in messages:
                    return message
                await anyio.sleep_forever()

            async def send(message: Any) -> None:
                sent.append(message["type"])
                if message["type"] == "http.response.body":
                    raise BrokenPipeError

            await app(scope_of("/v1/chat/completions", "POST"), receive, send)

        anyio.run(ask)
        assert app.state.gateway.open_requests == 0
    assert sent == ["http.response.start", "http.response.body"]


def scope_of(path: str, method: str) -> dict[str, Any]:
    return {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": [],
        "scheme": "http",
        "server": ("gateway", 80),
        "http_version": "1.1",
    }


# -- options -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("provider", "option"),
    [
        ("zai", {"frequency_penalty": 0.5}),
        ("zai", {"tool_choice": "required"}),
        ("zai", {"chat_template_kwargs": {}}),
        ("openai", {"top_k": 4}),
        ("chatglm", {"temperature": 0.5}),
        ("chatglm", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ("qwen", {"response_format": {"type": "json_object"}}),
    ],
)
def test_an_option_that_the_service_cannot_honour(provider: str, option: dict[str, Any]) -> None:
    (name,) = option
    body = {**QUESTION, "model": provider, **option}
    with Simulator(TEXT, provider=provider) as simulator:
        refused = run(asking, app_of(simulator), json=body)
        assert simulator.received == 0
        dropping = app_of(simulator, drop_unsupported=True)
        dropped = run(asking, dropping, json=body)
        streamed = run(asking, dropping, json={**body, "stream": True})
    assert refused.status_code == 400
    assert error_of(refused)["param"] == name
    assert name in error_of(refused)["message"]
    assert dropped.status_code == streamed.status_code == 200
    assert dropped.headers["x-dropped-options"] == name
    assert streamed.headers["x-dropped-options"] == name


def test_several_options_that_are_dropped_are_all_named() -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator, drop_unsupported=True)
        body = {**QUESTION, "logit_bias": {"1": 1}, "top_p": 0.5, "presence_penalty": 1}
        response = run(asking, app, json=body)
        assert simulator.requests[-1].json["top_p"] == 0.5
    assert response.headers["x-dropped-options"] == "logit_bias, presence_penalty"


def test_a_wrong_value_is_refused_even_if_options_are_dropped() -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator, drop_unsupported=True)
        assert run(asking, app, json={**QUESTION, "temperature": 1.5}).status_code == 400
        assert run(asking, app, json={**QUESTION, "user": "ab"}).status_code == 400
        assert simulator.received == 0


def test_values_that_ask_for_nothing_need_no_option() -> None:
    nothing = {
        "response_format": {"type": "text"},
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "presence_penalty": 0,
        "stop": [],
    }
    with Simulator(TEXT) as simulator:
        response = run(asking, app_of(simulator), json={**QUESTION, "model": "chatglm", **nothing})
    assert response.status_code == 200
    assert "x-dropped-options" not in response.headers


def test_names_of_openai_are_translated_where_they_mean_the_same() -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator)
        run(asking, app, json={**QUESTION, "user": "user-17", "max_completion_tokens": 5})
        sent = simulator.requests[-1].json
        assert (sent["user_id"], sent["max_tokens"]) == ("user-17", 5)
    with Simulator(TEXT, provider="openai") as simulator:
        body = {**QUESTION, "model": "m", "user": "u", "max_completion_tokens": 5}
        run(asking, app_of(simulator), json=body)
        sent = simulator.requests[-1].json
        assert (sent["user"], sent["max_completion_tokens"]) == ("u", 5)


def test_a_provider_that_does_not_declare_its_options_is_asked() -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        client = simulator.async_client()
        import dataclasses

        client.provider.supports = dataclasses.replace(client.provider.supports, options=None)
        app = create_app(client)
        assert run(asking, app, json={**QUESTION, "temperature": 0.5}).status_code == 200
        assert run(asking, app, json={**QUESTION, "logprobs": True}).status_code == 400


# -- models --------------------------------------------------------------------------------------------


def test_the_models_of_one_service() -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator)
        listed = run(asking, app, "GET", "/v1/models").json()
        one = run(asking, app, "GET", "/v1/models/glm-4.6")
        named = run(asking, app, "GET", "/v1/models/zai/glm-4.6")
        missing = run(asking, app, "GET", "/v1/models/none")
    assert listed["object"] == "list"
    assert "glm-4.6" in [model["id"] for model in listed["data"]]
    assert all(model["object"] == "model" and model["owned_by"] for model in listed["data"])
    assert (one.json()["id"], named.json()["id"]) == ("glm-4.6", "zai/glm-4.6")
    assert missing.status_code == 404
    assert error_of(missing)["code"] == "model_not_found"


def test_a_service_that_does_not_list_its_models_offers_known_ones() -> None:
    client = AsyncClient("zai", api_key="k" * 20, base_url="http://127.0.0.1:1", retry=None)
    listed = run(asking, create_app(client), "GET", "/v1/models")
    assert "glm-4.6" in [model["id"] for model in listed.json()["data"]]
    unknown = AsyncClient("openai", base_url="http://127.0.0.1:1", retry=None, trust_env=False)
    assert run(asking, create_app(unknown), "GET", "/v1/models").status_code == 502


def test_the_name_of_a_model_chooses_the_service() -> None:
    with (
        Simulator("I am zai", provider="zai") as zai,
        Simulator("I am chatglm", provider="chatglm") as guest,
        Simulator("I am openai", provider="openai") as server,
    ):
        app = create_app(zai.async_client(), guest.async_client(), server.async_client())

        def says(model: str) -> str:
            response = run(asking, app, json={**QUESTION, "model": model})
            content: str = response.json()["choices"][0]["message"]["content"]
            assert response.json()["model"] == model
            return content

        assert says("zai/glm-4.6") == "I am zai"
        assert says("chatglm/glm-4") == "I am chatglm"
        assert says("chatglm") == "I am chatglm"
        assert says("glm-4") == "I am chatglm"
        assert says("openai/zai-org/GLM-4.6") == "I am openai"
        assert server.requests[-1].json["model"] == "zai-org/GLM-4.6"
        assert says("glm-of-tomorrow") == "I am zai"
        assert zai.requests[-1].json["model"] == "glm-of-tomorrow"
        assert says("zai-org/GLM-4.6") == "I am zai"
        listed = run(asking, app, "GET", "/v1/models").json()["data"]
        one = run(asking, app, "GET", "/v1/models/chatglm/glm-4").json()
    names = [model["id"] for model in listed]
    assert {"zai/glm-4.6", "chatglm/glm-4", "openai/zai-org/GLM-4.6"} <= set(names)
    assert one["id"] == "chatglm/glm-4"


# -- keys, methods, bounds -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "status"),
    [
        (f"Bearer {KEY}", 200),
        (f"bearer  {KEY} ", 200),
        (None, 401),
        ("", 401),
        (KEY, 401),
        (f"Basic {KEY}", 401),
        ("Bearer wrong", 401),
        (f"Bearer {KEY[:-1]}", 401),
        (f"Bearer {KEY}x", 401),
        ("Bearer ключ".encode().decode("latin-1"), 401),
    ],
)
def test_callers_present_the_key(header: str | None, status: int) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator, api_key=KEY)
        chat = run(asking, app, json=QUESTION, headers=headers)
        models = run(asking, app, "GET", "/v1/models", headers=headers)
        health = run(asking, app, "GET", "/healthz", headers=headers)
        if status == 401:
            assert simulator.received == 0
    assert (chat.status_code, models.status_code, health.status_code) == (status, status, 200)
    if status == 401:
        assert error_of(chat)["code"] == "invalid_api_key"
        assert chat.headers["www-authenticate"] == "Bearer"


def test_health_needs_no_service() -> None:
    client = AsyncClient("openai", base_url="http://127.0.0.1:1")
    response = run(asking, create_app(client), "GET", "/healthz")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
    assert run(asking, create_app(client), "HEAD", "/healthz").status_code == 200


def test_other_paths_and_methods_are_errors_in_json() -> None:
    with Simulator(TEXT) as simulator:
        app = app_of(simulator)
        missing = run(asking, app, "GET", "/v1/embeddings")
        method = run(asking, app, "GET", "/v1/chat/completions")
    assert (missing.status_code, method.status_code) == (404, 405)
    assert method.headers["allow"] == "POST"
    assert error_of(missing)["type"] == error_of(method)["type"] == "invalid_request_error"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded; a=b"])
def test_a_page_of_a_web_site_cannot_ask(kind: str) -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        response = run(
            asking, app_of(simulator), content=json.dumps(QUESTION), headers={"content-type": kind}
        )
        assert simulator.received == 0
    assert response.status_code == 415


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("localhost:8000", 200),
        ("LOCALHOST", 200),
        ("[::1]:8000", 200),
        ("evil.example:8000", 403),
        ("[::1", 403),
        ("", 403),
    ],
)
def test_a_gateway_of_this_machine_answers_to_its_names_alone(host: str, status: int) -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator)
        app.state.gateway.local_only = True
        response = run(asking, app, "GET", "/v1/models", headers={"host": host})
    assert response.status_code == status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost.", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("example.com", False),
    ],
)
def test_addresses_of_this_machine(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_body_is_bounded() -> None:
    async def pieces() -> Any:
        for _ in range(3):
            yield b" " * 600

    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator, max_body=1000)
        declared = run(asking, app, content=b" " * 1001)
        chunked = run(asking, app, content=pieces())
        fits = run(asking, app, content=json.dumps(QUESTION).encode().ljust(1000))
    assert (declared.status_code, chunked.status_code, fits.status_code) == (413, 413, 200)
    assert error_of(declared)["code"] == "request_too_large"


def test_requests_under_way_are_bounded() -> None:
    held = threading.Event()

    async def ask() -> tuple[int, str, int]:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: asking(app, json=QUESTION))
            await under_way(app, 1)
            refused = await asking(app, json=QUESTION)
            health = await asking(app, "GET", "/healthz")
            held.set()
        after = await asking(app, json=QUESTION)
        assert error_of(refused)["code"] == "too_many_requests"
        assert health.status_code == 200
        return refused.status_code, refused.headers["retry-after"], after.status_code

    with Simulator([TextDelta("a"), Wait(held), Finish("stop")], provider="zai") as simulator:
        app = app_of(simulator, max_requests=1)
        assert run(ask) == (429, "1", 200)


def test_a_body_that_does_not_arrive(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(application, "BODY_SECONDS", 0.1)
    with Simulator(TEXT, provider="zai") as simulator:
        app = app_of(simulator)
        statuses = [run(raw, app, [None]), run(raw, app, [{"type": "http.disconnect"}])]
        assert simulator.received == 0
    assert statuses == [[408], []]


async def raw(app: Any, messages: list[Any]) -> list[int]:
    """Send messages to the application, ``None`` for none; return the statuses that it answers with."""
    statuses: list[int] = []

    async def receive() -> Any:
        message = messages.pop(0)
        if message is None:
            await anyio.sleep_forever()
        return message

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    await app(scope_of("/v1/chat/completions", "POST"), receive, send)
    return statuses


def test_a_gateway_that_stops_refuses_and_ends_what_is_under_way() -> None:
    async def ask() -> list[int]:
        statuses: list[int] = []

        async def one(**known: Any) -> None:
            statuses.append((await asking(app, **known)).status_code)

        async with anyio.create_task_group() as group:
            group.start_soon(lambda: one(json=QUESTION))
            group.start_soon(slow)
            await under_way(app, 2)
            await anyio.sleep(0.1)
            app.state.gateway.stop()
        await one(json=QUESTION)
        return statuses

    async def slow() -> None:
        assert await raw(app, [None]) == [503]

    with Simulator([Wait(threading.Event())], provider="zai") as simulator:
        app = app_of(simulator)
        assert run(ask) == [503, 503]


def test_the_clients_are_open_while_the_application_runs() -> None:
    async def ask() -> int:
        async with app.router.lifespan_context(app):
            return (await asking(app, json=QUESTION)).status_code

    with Simulator(TEXT, provider="zai") as simulator:
        client = simulator.async_client()
        app = create_app(client)
        assert run(ask) == 200
        assert client._closed
        assert run(ask) == 200


# -- keep-alive ----------------------------------------------------------------------------------------


def test_a_silent_service_keeps_the_stream_alive() -> None:
    answer = [Pause(0.5), TextDelta("a"), Pause(0.5), TextDelta("b"), Finish("stop")]
    with Simulator(answer, provider="zai") as simulator:
        response = run(asking, app_of(simulator, keep_alive=0.1), json=STREAM)
        whole = run(asking, app_of(simulator, keep_alive=0.1), json=QUESTION)
    before, _, after = response.text.partition('"content":"a"')
    assert before.startswith(": keep-alive\n\n")
    assert ": keep-alive\n\n" in after
    assert text_of(response) == "ab"
    assert whole.json()["choices"][0]["message"]["content"] == "ab"


def test_a_refusal_after_a_keep_alive_is_an_event() -> None:
    with Simulator([Pause(0.5), Refusal("server")], provider="zai") as simulator:
        app = create_app(simulator.async_client(retry=None), keep_alive=0.1)
        response = run(asking, app, json=STREAM)
    assert response.status_code == 200
    (error,) = chunks_of(response.text)
    assert error["error"]["type"] == "server_error"


# -- arguments and logs --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("clients", "known"),
    [
        ([], {}),
        (["zai"], {}),
        ([AsyncClient(), AsyncClient()], {}),
        ([AsyncClient()], {"rewrites": "never"}),
        ([AsyncClient()], {"api_key": ""}),
        ([AsyncClient()], {"api_key": "with space"}),
        ([AsyncClient()], {"api_key": "ключ"}),
        ([AsyncClient()], {"api_key": 3}),
        ([AsyncClient()], {"keep_alive": 0}),
        ([AsyncClient()], {"max_body": True}),
        ([AsyncClient()], {"max_requests": "many"}),
    ],
)
def test_wrong_arguments(clients: list[Any], known: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        create_app(*clients, **known)


def test_a_blocking_client_lends_its_configuration() -> None:
    with Simulator(TEXT, provider="zai") as simulator:
        client = simulator.client(model="glm-4.5")
        assert isinstance(client, SyncClient)
        response = run(asking, create_app(client), json={**QUESTION, "model": "zai"})
        assert simulator.requests[-1].json["model"] == "glm-4.5"
        assert client.chat("Hello").text == TEXT
        client.close()
    assert response.status_code == 200


def test_neither_prompts_nor_keys_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    prompt, service_key = "my secret prompt", "0123456789abcdef.0123"
    body = {**STREAM, "messages": [{"role": "user", "content": prompt}]}
    with (
        Simulator("secret answer", provider="zai") as simulator,
        caplog.at_level(logging.DEBUG),
    ):
        app = create_app(simulator.async_client(api_key=service_key), api_key=KEY)
        for headers in ({"authorization": f"Bearer {KEY}"}, {"authorization": "Bearer wrongkey"}):
            run(asking, app, json=body, headers=headers)
            run(asking, app, json={**body, "temperature": "x"}, headers=headers)
    assert "POST '/v1/chat/completions': 200" in caplog.text
    assert "POST '/v1/chat/completions': 401" in caplog.text
    for secret in (prompt, service_key, KEY, "wrongkey", "secret answer"):
        assert secret not in caplog.text
