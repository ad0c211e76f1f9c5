"""A transport of a third party, from public names only."""

from __future__ import annotations

import time
from typing import Any, get_args

import pytest

from glmclient import (
    APIConnectionError,
    AsyncClient,
    CassetteError,
    ConfigurationError,
    GLMError,
    StreamInterrupted,
    SyncClient,
)
from glmclient.simulator import Simulator
from glmclient.transports import (
    AsyncChannel,
    AsyncTransport,
    FailureKind,
    Head,
    Read,
    Release,
    Send,
    SyncChannel,
    SyncTransport,
    TransportFailure,
)
from glmclient.transports.base import Route
from glmclient.transports.requests.transport import RequestsTransport

ANSWER = (
    b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hello"},"finish_reason":"stop"}]}\n\n',
    b"data: [DONE]\n\n",
)
OPTIONS: dict[str, Any] = {"base_url": "http://service.test/v1", "model": "m"}


class Channel:
    """Answers with `ANSWER`; ``transport.failures`` are raised in place of the results of ``send`` and ``read``."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport
        self.chunks: list[bytes] = []

    def send(self, step: Send) -> Head:
        self.transport.urls.append(step.request.url)
        if self.transport.refuses:
            raise TransportFailure("connect", "no route to the host")
        self._fail()
        self.chunks = list(self.transport.answer)
        return Head.of(200, [("content-type", "text/event-stream")])

    def _fail(self) -> None:
        failure = self.transport.failures.pop(0) if self.transport.failures else None
        if failure is not None:
            raise failure

    def read(self, step: Read) -> bytes:
        self._fail()
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
        self.failures: list[TransportFailure | None] = []
        self.answer = ANSWER
        self.urls: list[str] = []
        self.closed = False

    def open(self) -> SyncChannel:
        return Channel(self)

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


@pytest.mark.parametrize(("kind", "missing"), [(SyncClient, "close"), (AsyncClient, "aclose")])
def test_an_object_that_is_not_a_transport(kind: Any, missing: str) -> None:
    class Half:
        def open(self) -> None: ...

    with pytest.raises(ConfigurationError, match=f"Half lacks {missing}"):
        kind("openai", transport=Half(), **OPTIONS)


UNKNOWN = ["exploded", "", "Broken", None, 7]


async def failing(
    kind: type[SyncClient | AsyncClient], failures: list[TransportFailure | None], **further: Any
) -> GLMError:
    """Return the error of a question to a transport whose steps fail."""
    transport = Transport()
    transport.failures = failures
    transport.answer = (
        b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hello"}}]}\n\n',
    )
    with pytest.raises(GLMError) as caught:
        if kind is SyncClient:
            SyncClient("openai", transport=transport, **further, **OPTIONS).chat("Hi")
        else:
            own = AsyncTransportOfOne(transport)
            await AsyncClient("openai", transport=own, **further, **OPTIONS).chat("Hi")
    return caught.value


@pytest.mark.anyio
@pytest.mark.parametrize("client", [SyncClient, AsyncClient])
@pytest.mark.parametrize("kind", UNKNOWN)
@pytest.mark.parametrize("step", [0, 1, 2])
async def test_an_unknown_kind_of_failure(client: Any, kind: Any, step: int) -> None:
    """The first step is `send`, the second the first read, the third comes after an event."""
    error = await failing(client, [None] * step + [TransportFailure(kind, "of its own")])
    assert type(error) is (StreamInterrupted if step == 2 else APIConnectionError)
    assert "unknown kind" in str(error) and "of its own" in str(error) and "broken" in str(error)
    assert repr(str(kind)) in str(error)
    assert not error.retryable and error.attempts == 1
    assert error.partial.text == ("Hello" if step == 2 else "")
    assert isinstance(error.__cause__, TransportFailure) and "of its own" in str(error.__cause__)


@pytest.mark.anyio
@pytest.mark.parametrize("client", [SyncClient, AsyncClient])
async def test_every_known_kind_of_failure(client: Any) -> None:
    for kind in get_args(FailureKind):
        for step in (0, 1, 2):
            failure = TransportFailure(kind, "of its own")
            error = await failing(client, [*[None] * step, *[failure] * 3], retry=None)
            assert "unknown" not in str(error), kind


class Passing:
    """A transport on another one that has no method ``apart``; it notes each URL."""

    def __init__(self) -> None:
        self.inner = RequestsTransport(Route(lambda url: None, True, time.monotonic))
        self.urls: list[str] = []
        self.closed = 0

    def open(self) -> SyncChannel:
        channel = self.inner.open()
        send = channel.send

        def noted(step: Send) -> Head:
            self.urls.append(step.request.url)
            return send(step)

        channel.send = noted  # type: ignore[method-assign]
        return channel

    def close(self) -> None:
        self.closed += 1
        self.inner.close()


class ApartIsItself(Passing):
    def apart(self) -> SyncTransport:
        return self


@pytest.mark.parametrize("kind", [Passing, ApartIsItself])
@pytest.mark.parametrize("recorded", [False, True])
def test_a_stream_that_is_left_tells_the_service_by_the_same_transport(
    tmp_path: Any, kind: type[Passing], recorded: bool
) -> None:
    transport = kind()
    record = tmp_path / "a.jsonl" if recorded else None
    with Simulator(provider="qwen") as simulator:
        options: dict[str, Any] = {"base_url": simulator.url, "transport": transport}
        with SyncClient("qwen", record=record, **options) as client:
            for _ in client.stream("Hi"):
                break
            assert [url for url in transport.urls if url.endswith("/cancel")]
            assert not transport.closed
        assert transport.closed == 1


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
