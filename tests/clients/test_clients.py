"""What both clients are, side by side."""

from __future__ import annotations

import inspect
import pickle
import subprocess
import sys
from typing import Any

import pytest

from glmclient import (
    AsyncClient,
    AsyncStream,
    ChatGLM,
    ConfigurationError,
    Finish,
    Limits,
    Reply,
    RetryPolicy,
    Stream,
    SyncClient,
    Timeout,
)
from glmclient.clients.base import BaseClient
from glmclient.configuration import Configuration, configured
from glmclient.providers import BUILT_IN
from tests.faults.server import FaultServer
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .driver import Driver

ALONE = {"close": "aclose", "__enter__": "__aenter__", "__exit__": "__aexit__", "__next__": "__anext__",
         "__iter__": "__aiter__"}  # fmt: skip
AWAITED = {
    "batch",
    "chat",
    "models",
    "close",
    "until_done",
    "reply",
    "__enter__",
    "__exit__",
    "__next__",
}


def public(kind: type) -> dict[str, Any]:
    return {
        name: inspect.getattr_static(kind, name)
        for name in dir(kind)
        if not name.startswith("_") or name in {*ALONE, *ALONE.values(), "__await__"}
    }


@pytest.mark.parametrize(
    ("blocking", "waiting"), [(SyncClient, AsyncClient), (Stream, AsyncStream)]
)
def test_the_two_have_the_same_members(blocking: type, waiting: type) -> None:
    mirrored = {ALONE.get(name, name) for name in public(blocking)}
    own = set(public(waiting)) - {"__await__"}
    assert mirrored == own


@pytest.mark.parametrize(
    ("blocking", "waiting"), [(SyncClient, AsyncClient), (Stream, AsyncStream)]
)
def test_the_two_have_the_same_signatures_and_words(blocking: type, waiting: type) -> None:
    compared = 0
    for name, member in public(blocking).items():
        twin = inspect.getattr_static(waiting, ALONE.get(name, name))
        if not inspect.isfunction(member):
            assert type(member) is type(twin), name
            continue
        compared += 1
        one, other = inspect.signature(member), inspect.signature(twin)
        differs = {"rows"} if name == "map" else set()  # asynchronous rows are for one client alone
        for ours, theirs in zip(one.parameters.values(), other.parameters.values(), strict=True):
            assert ours == theirs or ours.name in differs, name
        assert inspect.iscoroutinefunction(twin) is (name in AWAITED), name
        assert not inspect.iscoroutinefunction(member)
        if not name.startswith("_"):
            assert inspect.getdoc(member), name
            if name not in ("cancel", "close"):
                assert inspect.getdoc(member) == inspect.getdoc(twin), name
    assert compared > 5


def test_the_two_are_made_alike() -> None:
    assert inspect.signature(SyncClient) == inspect.signature(AsyncClient)
    assert SyncClient.__doc__ == AsyncClient.__doc__ == BaseClient.__doc__


def test_the_base_is_no_client() -> None:
    with pytest.raises(TypeError, match="use SyncClient or AsyncClient"):
        BaseClient()


async def test_what_a_client_says_of_itself(driver: Driver) -> None:
    async with driver.client() as client:
        kind = "SyncClient" if driver.is_sync else "AsyncClient"
        assert repr(client) == f"{kind}(provider='chatglm', url='https://chatglm.cn')"
        provider = client.provider
        assert (provider.name, provider.default_model) == ("chatglm", "glm-4")


async def test_models(driver: Driver) -> None:
    async with driver.client() as client:
        assert [model.id for model in await client.models()] == ["glm-4"]


async def test_a_provider_object(driver: Driver) -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        async with driver.client(ChatGLM(base_url=server.url, device_id="mine")) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert server.requests[0].headers["x-device-id"] == "mine"


async def test_a_question_is_checked_before_anything_is_sent(driver: Driver) -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        async with driver.client(base_url=server.url) as client:
            for arguments in (
                {"messages": []},
                {"messages": "Hi", "model": "no-such"},
                {"messages": "Hi", "temperature": 1.0},
                {"messages": "Hi", "timeout": 0},
                {"messages": "Hi", "timeout": "5"},
                {"messages": "Hi", "retry": 3},
                {"messages": "Hi", "continue_from": "c1"},
                {"messages": "Hi", "continue_from": Reply("half")},
            ):
                with pytest.raises(ConfigurationError) as caught:
                    client.stream(**arguments)
                assert caught.value.attempts == 0
        assert server.connections == 0


# -- configuration -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"provider": "chatgml"}, "there is no provider 'chatgml'; use one of bigmodel, chatglm"),
        ({"provider": 5}, "there is no provider 5"),
        ({"api_key": "k"}, "takes no api_key"),
        ({"api_key": 5}, "api_key must be a string"),
        ({"model": ""}, "model must be a string that is not empty"),
        ({"model": 5}, "model must be a string"),
        ({"base_url": "chatglm.cn"}, "must start with http"),
        ({"timeout": -1}, "Timeout.total must be seconds"),
        ({"retry": 3}, "retry must be a RetryPolicy or None"),
        ({"limits": 3}, "limits must be a Limits or None, .*, not int"),
        ({"provider": "zai", "api_key": "你的密钥"}, "api_key holds a character .* plain ASCII"),
        ({"provider": "qwen", "api_key": "a\nb"}, "api_key holds a character"),
        ({"base_url": "localhost:80"}, "got 'localhost:80'"),
        ({"proxy": "proxy.example:8080"}, "proxy must be a URL"),
        ({"proxy": 5}, "proxy must be a URL"),
        ({"verify": 5}, "verify must be True, False or a path"),
        ({"verify": "/no/such/file.pem"}, "which does not exist"),
        ({"headers": {"A": "b\n"}}, "line break"),
        ({"headers": "A: b"}, "headers must be a mapping"),
        (
            {"provider": ChatGLM(), "base_url": "http://x.example"},
            "a provider object already knows",
        ),
        ({"provider": ChatGLM(), "headers": {}}, "a provider object already knows"),
    ],
)
@pytest.mark.parametrize("kind", [SyncClient, AsyncClient])
def test_arguments_that_are_wrong(kind: Any, arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        kind(**arguments)


def configuration(**arguments: Any) -> Configuration:
    given = dict.fromkeys(inspect.signature(configured).parameters)
    given.update(
        provider="chatglm", timeout=Timeout(), verify=True, trust_env=True, http_backend="httpx"
    )
    return configured(**{**given, **arguments})


def test_defaults() -> None:
    own = configuration(retry=RetryPolicy())
    assert (own.timeout, own.retry, own.limits) == (Timeout(), RetryPolicy(), Limits())
    assert configuration(retry=None).retry == RetryPolicy(attempts=1)
    assert configuration(timeout=5).timeout == Timeout(total=5)
    assert configuration(limits=Limits(line=5)).limits == Limits(line=5)


def test_the_environment_gives_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", " http://127.0.0.1:9 ")
    assert configuration().provider.url == "http://127.0.0.1:9"
    assert configuration(base_url="http://127.0.0.1:8").provider.url == "http://127.0.0.1:8"
    monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", " ")
    assert configuration().provider.url == "https://chatglm.cn"


@pytest.mark.parametrize(
    ("name", "variable"), [("zai", "ZAI_API_KEY"), ("bigmodel", "ZHIPUAI_API_KEY")]
)
def test_the_environment_gives_a_key(
    monkeypatch: pytest.MonkeyPatch, name: str, variable: str
) -> None:
    with pytest.raises(ConfigurationError, match=variable):
        configuration(provider=name)
    monkeypatch.setenv(variable, "from-the-environment.0123456789")
    assert configuration(provider=name).provider.name == name


def test_a_key_of_the_environment_is_checked_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_API_KEY", "你的密钥")
    with pytest.raises(ConfigurationError, match=r"^ZAI_API_KEY holds a character"):
        configuration(provider="zai")


def test_every_provider_can_be_made(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in BUILT_IN:
        key = {} if name == "chatglm" else {"api_key": "id.0123456789abcdef"}
        own = name in ("gradio", "openai")
        url = {"base_url": "http://127.0.0.1:9/v1"} if own else {}
        assert configuration(provider=name, **key, **url).provider.name == name


def test_a_socks_proxy_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util

    assert configuration(proxy="socks5://127.0.0.1:9").proxy == "socks5://127.0.0.1:9"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigurationError, match=r"glmclient\[socks\]"):
        configuration(proxy="socks5h://127.0.0.1:9")


def test_proxies_by_url(monkeypatch: pytest.MonkeyPatch) -> None:
    own = configuration(proxy="http://127.0.0.1:9", trust_env=True).route()
    assert own.proxy("https://chatglm.cn") == "http://127.0.0.1:9"
    assert configuration(trust_env=False).route().proxy("https://chatglm.cn") is None
    monkeypatch.setenv("HTTPS_PROXY", "127.0.0.1:8")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:7")
    monkeypatch.setenv("NO_PROXY", "inner.example")
    route = configuration(trust_env=True).route()
    assert route.proxy("https://chatglm.cn/x") == "http://127.0.0.1:8"
    assert route.proxy("http://chatglm.cn/x") == "http://127.0.0.1:7"
    assert route.proxy("https://inner.example/x") is None


def test_a_path_object_is_a_path(tmp_path: Any) -> None:
    assert configuration(verify=tmp_path).verify == str(tmp_path)
    assert configuration(verify=False).verify is False


# -- copies in other processes -----------------------------------------------------------------------------

CANARIES = {
    "headers": {"Cookie": "canary=1", "Authorization": "Bearer canary", "X-More": "1"},
    "proxy": "http://user:canary@127.0.0.1:9",
}


@pytest.mark.parametrize("kind", [SyncClient, AsyncClient])
def test_a_client_is_pickled_as_its_configuration(kind: Any) -> None:
    client = kind(
        model="glm-4", timeout=Timeout(total=9), retry=None, limits=Limits(line=9), **CANARIES
    )
    pickled = pickle.dumps(client)
    assert b"canary" not in pickled
    copy = pickle.loads(pickled)
    assert type(copy) is kind
    own, other = client._configuration, copy._configuration
    assert (other.model, other.timeout, other.retry, other.limits) == (
        own.model,
        own.timeout,
        own.retry,
        own.limits,
    )
    assert other.proxy == "http://127.0.0.1:9"
    assert other.provider.headers == {"X-More": "1"}
    assert other.provider.device_id != own.provider.device_id  # a device is a client's own


def test_a_key_is_never_pickled(monkeypatch: pytest.MonkeyPatch) -> None:
    client = SyncClient("zai", api_key="canary-0123456789.abc", base_url="http://127.0.0.1:9")
    pickled = pickle.dumps(client)
    assert b"canary" not in pickled
    with pytest.raises(ConfigurationError, match="ZAI_API_KEY"):
        pickle.loads(pickled)
    monkeypatch.setenv("ZAI_API_KEY", "another-0123456789.abc")
    assert pickle.loads(pickled).provider.url == "http://127.0.0.1:9"


PROGRAM = """
import asyncio, pickle, sys
client = pickle.load(sys.stdin.buffer)
reply = client.chat("Hello")
print(asyncio.run(reply).text if asyncio.iscoroutine(reply) else reply.text)
"""


@pytest.mark.parametrize("kind", [SyncClient, AsyncClient])
def test_a_copy_is_used_in_another_process(kind: Any) -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        run = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", PROGRAM],
            input=pickle.dumps(kind(base_url=server.url, timeout=20)),
            capture_output=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr.decode()
        assert run.stdout.decode().strip() == HELLO_TEXT
        assert len(server.requests) == 1


def test_what_can_be_continued() -> None:
    with pytest.raises(
        ConfigurationError, match="goes on in a conversation that the service keeps"
    ):
        SyncClient().stream("Hi", continue_from=Finish("stop"))
