"""Both transports against the stand-ins for the network that users' tests know: `responses`, and httpx's own."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
import requests
import responses
import trio

from glmclient import (
    APIConnectionError,
    AsyncClient,
    AuthenticationError,
    ProtocolError,
    RetryPolicy,
    StreamCancelled,
    StreamInterrupted,
    SyncClient,
)
from glmclient.core.exchange import Read, Release, Send
from glmclient.core.http import Request
from glmclient.errors import TransportFailure
from glmclient.transports.httpx.transport import HttpxTransport
from tests.providers.chatglm.wire import HELLO, HELLO_EVENTS, HELLO_TEXT

URL = "https://chatglm.cn/chatglm/mainchat-api/guest/stream"
BODY = b"".join(HELLO)
SEND = Send(Request("POST", URL, {}, b"{}"), 5, 5, None, 65536)


# -- responses ---------------------------------------------------------------------------------------------


@responses.activate
def test_responses_answers_in_place_of_the_network() -> None:
    responses.post(URL, body=BODY, content_type="text/event-stream")
    with SyncClient() as client:
        assert list(client.stream("Hello")) == HELLO_EVENTS
        assert client.chat("Hello").text == HELLO_TEXT
        for _ in client.stream("Hello"):
            break
    assert len(responses.calls) == 3
    assert responses.calls[0].request.headers["App-Name"] == "chatglm"


@responses.activate
def test_responses_refuses() -> None:
    responses.post(URL, json={"status": 40102, "message": "unauthorized"}, status=401)
    with SyncClient() as client, pytest.raises(AuthenticationError, match="unauthorized"):
        client.chat("Hello")


@responses.activate
def test_responses_breaks() -> None:
    responses.post(URL, body=requests.exceptions.ConnectionError("no route"))
    with SyncClient(retry=None) as client, pytest.raises(APIConnectionError, match="no route"):
        client.chat("Hello")


@responses.activate
def test_responses_cuts() -> None:
    responses.post(URL, body=BODY[:200], content_type="text/event-stream")
    with SyncClient(retry=None) as client, pytest.raises((StreamInterrupted, APIConnectionError)):
        client.chat("Hello")


@responses.activate
def test_responses_and_a_cancel() -> None:
    responses.post(URL, body=BODY, content_type="text/event-stream")
    with SyncClient() as client:
        stream = client.stream("Hello")
        with stream:
            stream.cancel()
            with pytest.raises(StreamCancelled):
                next(stream)


def test_a_url_that_requests_refuses() -> None:
    with SyncClient(retry=None, base_url="http://127.0.0.1:9") as client:
        channel = client._transport.open()
        step = Send(Request("GET", "http://[::1"), 1, 1, None, 100)
        with pytest.raises((TransportFailure, ValueError)):
            channel.send(step)
        channel.close()


# -- httpx's mock transport --------------------------------------------------------------------------------


class Stream(httpx.AsyncByteStream):
    """A body in pieces; an exception among them is raised."""

    def __init__(self, *pieces: Any) -> None:
        self.pieces = pieces
        self.closed = False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for piece in self.pieces:
            if isinstance(piece, Exception):
                raise piece
            yield piece

    async def aclose(self) -> None:
        self.closed = True


def answering(
    *pieces: Any, status: int = 200, kind: str = "text/event-stream"
) -> Callable[..., Any]:
    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(status, headers={"Content-Type": kind}, stream=Stream(*pieces))

    return handler


@contextlib.asynccontextmanager
async def client_of(handler: Callable[..., Any], **options: Any) -> AsyncIterator[AsyncClient]:
    async with AsyncClient(**options) as client:
        client._transport = HttpxTransport(
            client._configuration.route(), lambda key: httpx.MockTransport(handler)
        )
        yield client


def runs(test: Callable[[], Any]) -> Callable[[str], None]:
    """Run a body on both event loops."""

    @pytest.mark.parametrize("kind", ["asyncio", "trio"])
    def on_both(kind: str) -> None:
        if kind == "asyncio":
            asyncio.run(test())
        else:
            trio.run(test)

    return on_both


@runs
async def test_the_mock_transport_answers() -> None:
    pieces = [BODY[i : i + 11] for i in range(0, len(BODY), 11)]
    async with client_of(answering(*pieces)) as client:
        assert [event async for event in client.stream("Hello")] == HELLO_EVENTS
        assert (await client.chat("Hello")).text == HELLO_TEXT


@runs
async def test_empty_pieces_are_no_end() -> None:
    async with client_of(answering(b"", BODY[:50], b"", b"", BODY[50:], b"")) as client:
        assert (await client.chat("Hello")).text == HELLO_TEXT


@runs
async def test_the_mock_transport_refuses() -> None:
    body = b'{"status": 40102, "message": "unauthorized"}'
    async with client_of(answering(body, status=401, kind="application/json")) as client:
        with pytest.raises(AuthenticationError):
            await client.chat("Hello")


KINDS: list[tuple[Exception, type[Exception], str]] = [
    (httpx.ConnectError("no route"), APIConnectionError, "could not connect: no route"),
    (httpx.ReadError(""), APIConnectionError, "ReadError"),
    (httpx.WriteError("gone"), APIConnectionError, "gone"),
    (httpx.CloseError("gone"), APIConnectionError, "gone"),
    (httpx.ConnectTimeout("slow"), APIConnectionError, "limit `connect`"),
    (httpx.ReadTimeout("slow"), APIConnectionError, "limit `idle`"),
    (httpx.PoolTimeout("slow"), APIConnectionError, "limit `idle`"),
    (httpx.ProxyError("502 Bad Gateway"), APIConnectionError, "the proxy failed: 502"),
    (httpx.ProxyError("407 Who"), APIConnectionError, "the proxy refused: 407"),
    (httpx.UnsupportedProtocol("x"), APIConnectionError, "could not connect"),
    (httpx.RemoteProtocolError("illegal line"), ProtocolError, "not HTTP"),
    (httpx.RemoteProtocolError("peer closed connection"), APIConnectionError, "broke before any"),
    (
        httpx.RemoteProtocolError("Receive buffer too long"),
        ProtocolError,
        "longer than 65536 bytes",
    ),
    (OSError("the system said no"), APIConnectionError, "the system said no"),
]


@runs
async def test_every_failure_of_httpx_has_a_name() -> None:
    for error, kind, why in KINDS:

        def handler(request: httpx.Request, error: Exception = error) -> httpx.Response:
            raise error

        async with client_of(handler, retry=None) as client:
            with pytest.raises(kind, match=why.replace("(", r"\(")) as caught:
                await client.chat("Hello")
            assert caught.value.__cause__ is not None


@runs
async def test_a_failure_in_the_body() -> None:
    for error in (httpx.ReadError("reset"), httpx.StreamClosed(), OSError("gone")):
        async with client_of(answering(HELLO[0], error), retry=RetryPolicy(attempts=3)) as client:
            with pytest.raises(StreamInterrupted) as caught:
                await client.chat("Hello")
            assert caught.value.partial.text == "你好"
            assert caught.value.attempts == 1


@runs
async def test_a_cancel_without_a_socket() -> None:
    """The stand-in has no socket to shut down: the scope around a step is what is cancelled."""
    import anyio

    class Endless(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            yield HELLO[0]
            await anyio.sleep_forever()

    def handler(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers={"Content-Type": "text/event-stream"}, stream=Endless())

    async with client_of(handler) as client:
        stream = client.stream("Hello")
        seen = anyio.Event()

        async def read() -> None:
            with pytest.raises(StreamCancelled):
                async for _ in stream:
                    seen.set()

        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await seen.wait()
                await anyio.wait_all_tasks_blocked()
                stream.cancel()
        assert stream.text == "你好"


@runs
async def test_a_channel_by_hand() -> None:
    async with client_of(answering(b"abc", b"def")) as client:
        channel = client._transport.open()
        assert await channel.read(Read()) == b""  # nothing was asked
        await channel.release(Release())
        assert (await channel.send(SEND)).status == 200
        assert await channel.read(Read()) == b"abc"
        await channel.release(Release(2, 1.0))  # less than is left: it is closed
        assert await channel.read(Read()) == b""
        channel.cancel()
        with pytest.raises(TransportFailure, match="cancelled"):
            await channel.send(SEND)
        with pytest.raises(TransportFailure, match="cancelled"):
            await channel.sleep(0)
