"""A transport of a third party, from public names only."""

from __future__ import annotations

from typing import Any

import pytest

from glmclient import (
    APIConnectionError,
    AsyncClient,
    CassetteError,
    ConfigurationError,
    SyncClient,
)
from glmclient.transports import (
    AsyncChannel,
    AsyncTransport,
    Head,
    Read,
    Release,
    Send,
    SyncChannel,
    SyncTransport,
    TransportFailure,
)

ANSWER = (
    b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)
OPTIONS: dict[str, Any] = {"base_url": "http://service.test/v1", "model": "m"}


class Channel:
    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.chunks: list[bytes] = []

    def send(self, step: Send) -> Head:
        self.transport.urls.append(step.request.url)
        if self.transport.refuses:
            raise TransportFailure("connect", "no route to the host")
        self.chunks = list(ANSWER)
        return Head.of(200, [("content-type", "text/event-stream")])

    def read(self, step: Read) -> bytes:
        return self.chunks.pop(0) if self.chunks else b""

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing waits")

    def release(self, step: Release) -> None:
        self.chunks.clear()

    def close(self) -> None:
        self.chunks.clear()

    def abandon(self) -> None:
        self.chunks.clear()

    def cancel(self) -> None:
        self.chunks.clear()


class Transport:
    def __init__(self, *, refuses: bool = False) -> None:
        self.refuses = refuses
        self.urls: list[str] = []
        self.closed = False

    def open(self) -> SyncChannel:
        return Channel(self)

    def apart(self) -> SyncTransport:
        return self

    def close(self) -> None:
        self.closed = True


class AsyncChannelOfOne:
    def __init__(self, channel: Channel) -> None:
        self.channel = channel

    async def send(self, step: Send) -> Head:
        return self.channel.send(step)

    async def read(self, step: Read) -> bytes:
        return self.channel.read(step)

    async def sleep(self, seconds: float) -> None:
        self.channel.sleep(seconds)

    async def release(self, step: Release) -> None:
        self.channel.release(step)

    async def aclose(self) -> None:
        self.channel.close()

    def cancel(self) -> None:
        self.channel.cancel()

    def spawn(self, function: Any) -> None:
        raise AssertionError("nothing is left to do")


class AsyncTransportOfOne:
    def __init__(self, inner: Transport) -> None:
        self.inner = inner

    def open(self) -> AsyncChannel:
        return AsyncChannelOfOne(Channel(self.inner))

    async def aclose(self) -> None:
        self.inner.close()


def test_the_sync_client(tmp_path: Any) -> None:
    transport = Transport()
    with SyncClient("openai", transport=transport, record=tmp_path / "a.jsonl", **OPTIONS) as c:
        assert c.chat("Hi").text == "Hello"
    assert transport.urls == ["http://service.test/v1/chat/completions"]
    assert transport.closed
    with SyncClient("openai", replay=tmp_path / "a.jsonl", **OPTIONS) as client:
        assert client.chat("Hi").text == "Hello"


@pytest.mark.anyio
async def test_the_asynchronous_client(tmp_path: Any) -> None:
    inner = Transport()
    transport: AsyncTransport = AsyncTransportOfOne(inner)
    path = tmp_path / "a.jsonl"
    async with AsyncClient("openai", transport=transport, record=path, **OPTIONS) as client:
        assert (await client.chat("Hi")).text == "Hello"
    assert inner.closed
    async with AsyncClient("openai", replay=path, **OPTIONS) as client:
        assert (await client.chat("Hi")).text == "Hello"


def test_a_failure_of_a_step() -> None:
    with (
        SyncClient("openai", transport=Transport(refuses=True), retry=None, **OPTIONS) as client,
        pytest.raises(APIConnectionError, match="no route to the host"),
    ):
        client.chat("Hi")


@pytest.mark.parametrize(
    ("kind", "missing"), [(SyncClient, "apart and close"), (AsyncClient, "aclose")]
)
def test_an_object_that_is_not_a_transport(kind: Any, missing: str) -> None:
    class Half:
        def open(self) -> None: ...

    with pytest.raises(ConfigurationError, match=f"Half lacks {missing}"):
        kind("openai", transport=Half(), **OPTIONS)


def test_a_transport_and_a_replay() -> None:
    with pytest.raises(ConfigurationError, match="transport and replay"):
        SyncClient("openai", transport=Transport(), replay="missing.jsonl", **OPTIONS)


def test_an_unknown_kind_of_failure_in_a_cassette(tmp_path: Any) -> None:
    path = tmp_path / "a.jsonl"
    with (
        SyncClient(
            "openai", transport=Transport(refuses=True), record=path, retry=None, **OPTIONS
        ) as client,
        pytest.raises(APIConnectionError),
    ):
        client.chat("Hi")
    path.write_text(path.read_text().replace('"kind": "connect"', '"kind": "odd"'))
    with pytest.raises(CassetteError, match="'odd'"):
        SyncClient("openai", replay=path, **OPTIONS)
