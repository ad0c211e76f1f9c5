"""Bad arguments, missing keys, options that a service cannot honour: told before anything is sent."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import glmclient
from glmclient import (
    AsyncClient,
    AsyncStream,
    ConfigurationError,
    RetryPolicy,
    Stream,
    SyncClient,
    Timeout,
)

from .flavours import Flavour
from .frames import HI, PLATFORM_HI
from .loopback import Server, stream

Serve = Callable[..., Server]
SERVICES = ["chatglm", "qwen", "zai", "bigmodel", "openai"]


def make(client: Flavour, service: str, url: str, **options: Any) -> Any:
    if service in ("zai", "bigmodel"):
        options.setdefault("api_key", "id.secret")
    if service == "openai":
        options.setdefault("model", "m")
    return client(service, base_url=url, **options)


# -- making a client -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["", "gpt", "ChatGLM ", "zhipu", None, 7, object()])
def test_an_unknown_provider(client: Flavour, name: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client(name)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, glmclient.GLMError)
    if isinstance(name, str):
        for known in SERVICES:
            assert known in str(caught.value)
    assert caught.value.attempts == 0
    assert caught.value.partial.text == ""


@pytest.mark.parametrize(
    ("service", "variable"), [("zai", "ZAI_API_KEY"), ("bigmodel", "ZHIPUAI_API_KEY")]
)
def test_a_missing_key_names_its_variable(client: Flavour, service: str, variable: str) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        client(service).chat()


@pytest.mark.parametrize(
    ("service", "variable"), [("zai", "ZAI_API_KEY"), ("bigmodel", "ZHIPUAI_API_KEY")]
)
def test_the_key_comes_from_the_environment_and_the_argument_wins(
    client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch, service: str, variable: str
) -> None:
    server = serve(stream(*PLATFORM_HI))
    monkeypatch.setenv(variable, "from.environment")
    monkeypatch.setenv(variable.replace("API_KEY", "BASE_URL"), server.url)
    client(service).chat()
    client(service, base_url=server.url, api_key="from.argument").chat()
    assert [each.headers["authorization"] for each in server.requests] == [
        "Bearer from.environment",
        "Bearer from.argument",
    ]


@pytest.mark.parametrize(
    ("service", "wrong", "right"),
    [("zai", "ZHIPUAI_API_KEY", "ZAI_API_KEY"), ("bigmodel", "ZAI_API_KEY", "ZHIPUAI_API_KEY")],
)
def test_a_key_of_one_region_is_not_sent_to_the_other(
    client: Flavour, monkeypatch: pytest.MonkeyPatch, service: str, wrong: str, right: str
) -> None:
    monkeypatch.setenv(wrong, "other.region")
    with pytest.raises(ConfigurationError, match=right):
        client(service)
    monkeypatch.setenv(right, "  ")
    with pytest.raises(ConfigurationError, match=right):
        client(service)


def test_chatglm_needs_and_sends_no_key(
    client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(stream(*HI))
    for name in ("ZAI_API_KEY", "ZHIPUAI_API_KEY", "HF_TOKEN", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "sk-canary")
    client(base_url=server.url).chat()
    assert b"canary" not in server.request.raw


def test_openai_sends_a_key_only_if_there_is_one(
    client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(stream(*PLATFORM_HI))
    for name in ("ZAI_API_KEY", "ZHIPUAI_API_KEY", "HF_TOKEN"):
        monkeypatch.setenv(name, "sk-canary")
    client("openai", base_url=server.url, model="m").chat()
    client("openai", base_url=server.url, model="m", api_key="sk-1").chat()
    assert "authorization" not in server.requests[0].headers
    assert server.requests[1].headers["authorization"] == "Bearer sk-1"
    assert b"canary" not in server.requests[0].raw


def test_openai_requires_a_base_url(client: Flavour) -> None:
    with pytest.raises(ConfigurationError, match="base_url"):
        client("openai", model="m").chat()


@pytest.mark.parametrize(
    "url", ["", "   ", "nowhere", "ftp://example.org", "//example.org", "http://", "https:///x", 7, "http://[::1"]
)  # fmt: skip
@pytest.mark.parametrize("service", SERVICES)
def test_a_base_url_that_is_none(client: Flavour, service: str, url: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"base_url|URL|url|address"):
        make(client, service, url)


@pytest.mark.parametrize(
    "options",
    [
        {"timeout": -1},
        {"timeout": "soon"},
        {"timeout": float("nan")},
        {"retry": 3},
        {"proxy": "nonsense"},
        {"proxy": "gopher://127.0.0.1:1"},
        {"headers": {"X-A": "b\r\nX-C: d"}},
        {"headers": {"X A": "b"}},
        {"headers": {"X-A": 7}},
        {"headers": "X-A: b"},
        {"verify": "/nowhere/ca.pem"},
        {"model": 7},
        {"model": ""},
        {"api_key": 7},
        {"api_key": "a\nb"},
    ],
    ids=str,
)
def test_arguments_that_are_wrong(client: Flavour, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        client("zai", **{"api_key": "id.secret", **options}).chat()
    assert str(caught.value)
    assert caught.value.attempts == 0


@pytest.mark.parametrize(
    "make_value",
    [
        lambda: Timeout(connect=-1),
        lambda: Timeout(idle="x"),  # type: ignore[arg-type]
        lambda: Timeout(first_event=float("nan")),
        lambda: RetryPolicy(attempts=0),
        lambda: RetryPolicy(attempts=-1),
        lambda: RetryPolicy(attempts=1.5),  # type: ignore[arg-type]
        lambda: RetryPolicy(base_delay=-1),
        lambda: RetryPolicy(max_delay=-1),
    ],
)
def test_values_that_are_wrong(make_value: Callable[[], object]) -> None:
    with pytest.raises(ConfigurationError):
        make_value()


# -- asking ----------------------------------------------------------------------------------------

BAD_MESSAGES: list[Any] = [
    None,
    7,
    [],
    (),
    {},
    {"role": "user", "content": "hi"},
    ["hi"],
    [None],
    [{}],
    [{"role": "user"}],
    [{"content": "hi"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": 7}],
    [{"role": "boss", "content": "hi"}],
    [{"role": 7, "content": "hi"}],
    b"hi",
    "",
    "  ",
    [{"role": "user", "content": ""}],
]


@pytest.mark.parametrize("messages", BAD_MESSAGES, ids=repr)
@pytest.mark.parametrize("service", SERVICES)
def test_bad_messages_are_told_before_anything_is_sent(
    client: Flavour, serve: Serve, service: str, messages: Any
) -> None:
    server = serve(stream(*HI))
    asking = make(client, service, server.url)
    with pytest.raises(ConfigurationError):
        asking.stream(messages)
    with pytest.raises(ConfigurationError):
        asking.chat(messages)
    assert server.connections == 0


@pytest.mark.parametrize("role", ["system", "assistant"])
@pytest.mark.parametrize("service", ["zai", "bigmodel"])
def test_the_platform_wants_more_than_system_or_assistant(
    client: Flavour, serve: Serve, service: str, role: str
) -> None:
    server = serve(stream(*PLATFORM_HI))
    with pytest.raises(ConfigurationError):
        make(client, service, server.url).stream([{"role": role, "content": "only this"}])
    assert server.connections == 0


@pytest.mark.parametrize("service", SERVICES)
def test_an_unknown_option_is_named(client: Flavour, serve: Serve, service: str) -> None:
    server = serve(stream(*HI))
    asking = make(client, service, server.url)
    with pytest.raises(ConfigurationError, match="temprature"):
        asking.stream("hi", temprature=1)
    assert server.connections == 0


@pytest.mark.parametrize("service", ["chatglm", "qwen"])
@pytest.mark.parametrize(
    "option",
    [
        {"temperature": 0.5},
        {"max_tokens": 10},
        {"tools": [{"type": "function", "function": {"name": "f"}}]},
        {"thinking": {"type": "enabled"}},
        {"response_format": {"type": "json_object"}},
        {"stop": ["x"]},
    ],
    ids=str,
)
def test_options_that_a_service_cannot_honour(
    client: Flavour, serve: Serve, service: str, option: dict[str, Any]
) -> None:
    server = serve(stream(*HI))
    asking = make(client, service, server.url)
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        asking.stream("hi", **option)
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        asking.chat("hi", **option)
    assert server.connections == 0


def test_chatglm_has_one_model(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    asking = client(base_url=server.url)
    assert asking.chat("hi", model="glm-4").text == "hi"
    with pytest.raises(ConfigurationError, match="no-such-model"):
        asking.chat("hi", model="no-such-model")


def test_pictures_are_not_for_chatglm(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    picture = [{"type": "image_url", "image_url": {"url": "https://example.org/a.png"}}]
    with pytest.raises(ConfigurationError):
        client(base_url=server.url).chat([{"role": "user", "content": picture}])
    assert server.connections == 0


@pytest.mark.parametrize(
    "option",
    [
        {"temperature": 1.5},
        {"temperature": -0.1},
        {"temperature": "hot"},
        {"top_p": 0},
        {"top_p": 1.1},
        {"max_tokens": 0},
        {"max_tokens": 131073},
        {"max_tokens": 1.5},
        {"thinking": {"type": "perhaps"}},
        {"reasoning_effort": "superb"},
        {"tool_choice": "required"},
        {"user_id": "short"},
        {"user_id": "x" * 129},
        {"request_id": "short"},
        {"request_id": "x" * 65},
        {"tools": [{"type": "function", "function": {"name": "no spaces"}}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}] * 129},
        {"do_sample": "yes"},
    ],
    ids=lambda option: (
        next(iter(option.items()), "")[0] + "=" + str(next(iter(option.values())))[:20]
    ),
)
def test_the_platforms_documented_limits(
    client: Flavour, serve: Serve, option: dict[str, Any]
) -> None:
    server = serve(stream(*PLATFORM_HI))
    asking = client("zai", api_key="k", base_url=server.url)
    with pytest.raises(ConfigurationError, match=next(iter(option))):
        asking.stream("hi", **option)
    assert server.connections == 0


@pytest.mark.parametrize("wrong", ["text", 7, object()])
def test_continue_from_takes_what_was_answered(client: Flavour, wrong: Any) -> None:
    with pytest.raises(ConfigurationError):
        client().stream("hi", continue_from=wrong)
    with pytest.raises(ConfigurationError):
        client().stream("hi", continue_from=glmclient.Reply("half", "", (), None))


# -- what a provider tells -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "url", "default"),
    [
        ("chatglm", "https://chatglm.cn", "glm-4"),
        ("qwen", "https://qwen-qwen2-5.hf.space", "qwen-2.5"),
        ("zai", "https://api.z.ai/api/paas/v4", "glm-5.3"),
        ("bigmodel", "https://open.bigmodel.cn/api/paas/v4", "glm-5.3"),
    ],
)
def test_a_provider_tells_what_it_is(client: Flavour, service: str, url: str, default: str) -> None:
    provider = client(service, api_key=None if service == "chatglm" else "k").client.provider
    assert (provider.name, provider.url, provider.default_model) == (service, url, default)
    assert provider.default_model in provider.models


def test_what_providers_support() -> None:
    abilities = ["streaming", "system_messages", "message_history", "tools", "reasoning", "usage"]
    told = {}
    for provider in (
        glmclient.ChatGLM(),
        glmclient.Gradio(),
        glmclient.Zai(api_key="k"),
        glmclient.BigModel(api_key="k"),
        glmclient.OpenAICompatible(base_url="http://127.0.0.1:1"),
    ):
        told[provider.name] = "".join(
            "-x"[bool(getattr(provider.supports, ability))] for ability in abilities
        )
    assert told == {
        "chatglm": "x---x-",
        "qwen": "xxx---",
        "zai": "xxxxxx",
        "bigmodel": "xxxxxx",
        "openai": "xxxxxx",
    }


@pytest.mark.parametrize(("service", "model"), [("chatglm", "glm-4"), ("qwen", "qwen-2.5")])
def test_services_without_a_list_tell_the_models_that_are_known(
    client: Flavour, serve: Serve, service: str, model: str
) -> None:
    server = serve(stream(*HI))
    asking = client(service, base_url=server.url)
    assert model in [each.id for each in asking.models()]
    with pytest.raises(ConfigurationError):
        asking.stream("hi", model="glm-99")
    assert server.connections == 0


def test_a_provider_object_is_a_provider(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    assert client(glmclient.ChatGLM(base_url=server.url)).chat().text == "hi"
    server = serve(stream(*PLATFORM_HI))
    assert client(glmclient.Zai(api_key="k", base_url=server.url)).chat().text == "hi"


# -- base_url --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "tail", ["", "/", "/api/paas/v4", "/api/paas/v4/", "/v1/chat/completions", "/v1/chat/completions/"]
)  # fmt: skip
@pytest.mark.parametrize("service", ["zai", "bigmodel", "openai"])
def test_base_urls_of_the_platform_are_joined_as_text(
    client: Flavour, serve: Serve, service: str, tail: str
) -> None:
    server = serve(stream(*PLATFORM_HI))
    make(client, service, server.url + tail).chat()
    prefix = tail.rstrip("/").removesuffix("/chat/completions")
    assert server.request.target == f"{prefix}/chat/completions"


# -- the two clients are mirrors -------------------------------------------------------------------


def parameters(function: Any) -> list[tuple[str, Any, Any]]:
    return [
        (each.name, each.kind, each.default)
        for each in inspect.signature(function).parameters.values()
    ]


def test_both_clients_have_the_same_methods_and_signatures() -> None:
    assert parameters(SyncClient) == parameters(AsyncClient)
    mine = {name for name in dir(SyncClient) if not name.startswith("_")}
    theirs = {name for name in dir(AsyncClient) if not name.startswith("_")}
    assert mine - {"close"} == theirs - {"aclose"}
    for name in mine - {"close"}:
        one, other = getattr(SyncClient, name), getattr(AsyncClient, name)
        if callable(one):
            assert parameters(one) == parameters(other), name
            assert one.__doc__ == other.__doc__, name
    mine = {name for name in dir(Stream) if not name.startswith("_")}
    theirs = {name for name in dir(AsyncStream) if not name.startswith("_")}
    assert mine - {"close"} == theirs - {"aclose"}
    assert mine >= {
        *("text_stream", "text", "reasoning", "tool_calls", "finish"),
        *("until_done", "reply", "close", "cancel"),
    }


def test_the_signature_is_the_documented_one() -> None:
    names = list(inspect.signature(SyncClient).parameters)
    documented = [
        *("provider", "model", "api_key", "base_url", "timeout", "retry"),
        *("proxy", "verify", "headers", "trust_env"),
    ]
    assert names[: len(documented)] == documented
    kinds = inspect.signature(SyncClient).parameters
    assert kinds["provider"].default == "chatglm"
    assert all(kinds[name].kind is inspect.Parameter.KEYWORD_ONLY for name in names[1:])
    assert {name: kinds[name].default for name in ("proxy", "verify", "headers", "trust_env")} == {
        "proxy": None,
        "verify": True,
        "headers": None,
        "trust_env": True,
    }
