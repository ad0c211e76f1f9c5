"""Copies of clients, providers, conversations and streams: what they keep within a process, and what pickles lose."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glmclient import (
    AsyncClient,
    ConfigurationError,
    Limiter,
    OpenAICompatible,
    RetryPolicy,
    SyncClient,
    Timeout,
)
from tests.faults.server import FaultServer, Peer
from tests.providers.chatglm.wire import HELLO, HELLO_EVENTS, HELLO_TEXT

from .driver import EVERY_BACKEND, Driver

COPIES = [copy.copy, copy.deepcopy, lambda value: copy.deepcopy({"of a folder": [value]})]
every_copy = pytest.mark.parametrize(
    "copied", [COPIES[0], COPIES[1], lambda value: COPIES[2](value)["of a folder"][0]]
)
every_client = pytest.mark.parametrize("kind", [SyncClient, AsyncClient])

Copied = Callable[[Any], Any]


def hello(peer: Peer) -> None:
    peer.stream(*HELLO)


@every_copy
@every_client
def test_a_copy_has_the_key_and_every_argument(
    kind: Any, copied: Copied, monkeypatch: pytest.MonkeyPatch
) -> None:
    limiter = Limiter()
    client = kind(
        "zai",
        api_key="key-of-the-argument",
        model="glm-x",
        timeout=Timeout(total=7),
        retry=RetryPolicy(attempts=9),
        proxy="http://user:password@127.0.0.1:9",
        headers={"Cookie": "session=1"},
        limiter=limiter,
    )
    monkeypatch.setenv("ZAI_API_KEY", "key-of-another-account")
    twin = copied(client)
    assert type(twin) is kind and twin is not client
    assert twin._configuration.provider._key.reveal() == "key-of-the-argument"
    assert twin.provider.headers["Cookie"] == "session=1"
    own, other = client._configuration, twin._configuration
    assert (other.model, other.timeout, other.retry) == (own.model, own.timeout, own.retry)
    assert other.proxy == own.proxy and twin._limiter is limiter
    assert twin._transport is not client._transport
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(twin.provider)
    pickled = pickle.dumps(twin)
    assert not any(secret in pickled for secret in (b"key-of-", b"session=1", b"password"))
    assert pickle.loads(pickled).provider._key.reveal() == "key-of-another-account"


@EVERY_BACKEND
@every_copy
async def test_a_copy_has_connections_of_its_own(driver: Driver, copied: Copied) -> None:
    with FaultServer(hello) as server:
        client = driver.client(base_url=server.url)
        assert (await client.chat("Hello")).text == HELLO_TEXT
        stream = client.stream("Hello")
        assert await anext(aiter(stream)) == HELLO_EVENTS[0]
        own = client.image if driver.is_sync else client
        twin = copied(own)
        assert twin._streams == {}
        await client.aclose()
        if driver.is_sync:
            assert twin.chat("Hello").text == HELLO_TEXT
            assert copied(own).chat("Hello").text == HELLO_TEXT  # also of a client that was closed
            twin.close()
        else:
            assert (await twin.chat("Hello")).text == HELLO_TEXT
            await twin.aclose()


@every_copy
def test_copies_of_a_client_that_records_or_replays(copied: Copied, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with FaultServer(hello) as server:
        with SyncClient(base_url=server.url, record=path) as client, copied(client) as twin:
            assert client.chat("one").text == twin.chat("two").text == HELLO_TEXT
        with SyncClient(replay=path) as client, copied(client) as twin:
            assert client.chat("one").text == twin.chat("two").text == HELLO_TEXT


@every_copy
def test_a_copy_shares_a_transport_of_the_caller_s(copied: Copied) -> None:
    transport: Any = type("Own", (), {"open": lambda self: None, "close": lambda self: None})()
    assert copied(SyncClient(transport=transport))._transport is transport


@every_copy
def test_a_copy_of_a_provider(copied: Copied) -> None:
    headers = {"X-Api-Key": "secret", "X-More": "1"}
    provider = OpenAICompatible(
        base_url="http://service.test/v1", api_key="secret", headers=headers
    )
    twin = copied(provider)
    assert twin is not provider and twin._key.reveal() == "secret"
    assert twin.headers == provider.headers and twin.headers is not provider.headers
    with pytest.raises(ConfigurationError):
        SyncClient(twin, api_key="other")


@EVERY_BACKEND
@every_copy
async def test_a_stream_cannot_be_copied(driver: Driver, copied: Copied) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            own = stream.image if driver.is_sync else stream
            for make in (copied, pickle.dumps):
                with pytest.raises(TypeError, match="cannot be copied or pickled"):
                    make(own)
            assert (await stream.reply()).text == HELLO_TEXT
            with pytest.raises(TypeError, match="cannot be copied or pickled"):
                copied(own)
            assert copied(stream.partial).text == HELLO_TEXT


@every_copy
def test_a_copy_of_a_conversation_is_a_fork(copied: Copied) -> None:
    with FaultServer(hello) as server, SyncClient(base_url=server.url) as client:
        conversation = client.conversation()
        conversation.chat("Hello")
        twin = copied(conversation)
        twin.chat("And now?")
        assert twin.client is client
        assert len(twin.messages) == 4 and len(conversation.messages) == 2
        assert twin.messages[:2] == conversation.messages
