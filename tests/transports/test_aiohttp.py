"""The asynchronous client on aiohttp keeps the same contract as on httpx, and fails with the same errors."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import inspect
import os
import pickle
import socket
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import aiohttp
import anyio
import anyio.lowlevel
import httpx
import pytest
import trio

from glmclient import (
    AsyncClient,
    ConfigurationError,
    GLMError,
    ProtocolError,
    StreamCancelled,
    StreamInterrupted,
    SyncClient,
    Timeout,
)
from glmclient.transports import aiohttp as backend
from glmclient.transports.base import Route
from tests.clients.certificates import Authority
from tests.contract import test_chatglm, test_connections, test_failures, test_gradio, test_streams
from tests.contract.conftest import serve, stack
from tests.contract.flavours import Asking, Flavour
from tests.contract.test_connections import authority, secure
from tests.faults.server import FaultServer, Gone, Peer, Play, at_accept, chunk, head, idle_port
from tests.providers.chatglm.wire import HELLO, HELLO_EVENTS, HELLO_TEXT

__all__ = ["authority", "secure", "serve", "stack"]  # fixtures of the contract's tests

SECONDS = 20.0
"""Only keeps a broken test from hanging."""
PATIENT = Timeout(connect=SECONDS, first_event=SECONDS, idle=SECONDS, total=2 * SECONDS)
SHORT = 0.3
NOT_HERE = ("socks", "chunks_that_are_not_http")
"""aiohttp knows no SOCKS, and drops what came in one packet with a chunk that is none: how the bytes fell decides."""


# -- the contract, once more ---------------------------------------------------------------------------


class AiohttpFlavour(Flavour):
    """Makes asynchronous clients on aiohttp."""

    def __init__(self, stack: ExitStack) -> None:
        super().__init__("asyncio", stack)

    def __call__(self, *arguments: Any, **options: Any) -> Asking:
        return super().__call__(*arguments, http_backend="aiohttp", **options)


@pytest.fixture(name="client", params=["aiohttp"])
def _client(request: pytest.FixtureRequest, stack: ExitStack) -> Flavour:
    return AiohttpFlavour(stack)


def contract() -> Iterator[tuple[str, Callable[..., None]]]:
    for module in (test_chatglm, test_connections, test_failures, test_gradio, test_streams):
        room = module.__name__.rpartition(".test_")[2]
        for name, test in vars(module).items():
            if (
                name.startswith("test_")
                and not any(word in name for word in NOT_HERE)
                and "client" in inspect.signature(test).parameters
            ):
                yield name.replace("test_", f"test_{room}_", 1), test


globals().update(contract())


def test_the_contract_is_here() -> None:
    assert len(dict(contract())) > 100


# -- beside httpx --------------------------------------------------------------------------------------


def client(url: str | None, **options: Any) -> AsyncClient:
    """Return a client that gives up before the test hangs."""
    given = {"timeout": PATIENT, "retry": None, "trust_env": False, "http_backend": "aiohttp"}
    return AsyncClient(**{**given, "base_url": url, **options})


def run(body: Callable[[], Awaitable[Any]]) -> None:
    """Run the body of a test; whatever the loop or a finalizer complains of fails it."""

    async def main() -> None:
        said: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
        await asyncio.wait_for(body(), SECONDS)
        gc.collect()
        await asyncio.sleep(0)
        assert said == []

    asyncio.run(main())
    gc.collect()


async def until(holds: Callable[[], bool]) -> None:
    """Let the loop turn until something holds, and once more for what follows from it."""
    while not holds():
        await anyio.lowlevel.checkpoint()
    await anyio.lowlevel.checkpoint()


async def soon(event: threading.Event) -> None:
    assert await anyio.to_thread.run_sync(event.wait, SECONDS), "nobody said so"


def silent(peer: Peer) -> None:
    peer.until_gone()


def one_frame(peer: Peer) -> None:
    peer.send(head(), chunk(HELLO[0]))
    peer.until_gone()


def sending(*pieces: bytes, reset: bool = False) -> Play:
    """Send pieces and leave."""

    def play(peer: Peer) -> None:
        peer.send(*pieces)
        peer.reset() if reset else peer.close()

    return play


FAULTS: dict[str, tuple[Play, dict[str, Any]]] = {
    "reset before the head": (sending(reset=True), {}),
    "closed before the head": (sending(), {}),
    "closed in the head": (sending(b"HTTP/1.1 200 OK\r\nX: "), {}),
    "no HTTP": (sending(b"220 mail.invalid ESMTP\r\n\r\n"), {}),
    "a head without an end": (sending(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 300_000), {}),
    "a chunked body is cut": (sending(head(), *map(chunk, HELLO[:2])), {}),
    "a body is cut of which the length is known": (sending(head(length=9999) + HELLO[0]), {}),
    "a body ends that its connection ends": (sending(head(chunked=False) + HELLO[0]), {}),
    "no answer in time": (silent, {"timeout": Timeout(first_event=SHORT)}),
    "silence before the head": (silent, {"timeout": Timeout(idle=SHORT)}),
    "silence in the body": (one_frame, {"timeout": Timeout(idle=SHORT)}),
    "too long altogether": (one_frame, {"timeout": Timeout(total=SHORT)}),
    "nobody listens at the proxy": (silent, {"proxy": "http://127.0.0.1:9"}),
    "nobody listens": (silent, {"base_url": "http://127.0.0.1:9"}),
    "there is no such host": (silent, {"base_url": "http://nowhere.invalid"}),
    "the proxy refuses": (
        lambda peer: peer.reply(403, b"no"),
        {"base_url": "https://nowhere.invalid", "proxy": True},
    ),
    "TLS with a plain server": (sending(b"HTTP/1.1 400 Bad\r\n\r\n"), {"base_url": "https"}),
}


@pytest.mark.parametrize(("play", "options"), FAULTS.values(), ids=FAULTS)
def test_a_fault_is_the_same_error_on_both(play: Play, options: dict[str, Any]) -> None:
    async def facts(name: str) -> tuple[Any, ...]:
        with FaultServer(at_accept(play) if options.get("base_url") == "https" else play) as server:
            given = {"base_url": server.url, **options, "http_backend": name}
            if given.get("proxy") is True:
                given["proxy"] = server.url
            if given["base_url"] == "https":
                given["base_url"] = server.url.replace("http:", "https:")
            async with client(None, **given) as asking:
                with pytest.raises(GLMError) as caught:
                    await asking.chat("Hello")
            error = caught.value
            kind = getattr(error.__cause__, "kind", None)
            return type(error), getattr(error, "limit", None), kind, error.retryable

    async def body() -> None:
        assert await facts("aiohttp") == await facts("httpx")

    run(body)


def test_the_connect_limit() -> None:
    async def body() -> None:
        with idle_port() as port:
            async with client(f"http://127.0.0.1:{port}", timeout=Timeout(connect=SHORT)) as asking:
                with pytest.raises(GLMError) as caught:
                    await asking.chat("Hello")
        assert getattr(caught.value, "limit", None) == "connect"

    run(body)


def test_what_came_before_a_cut_is_handed_over_however_late_it_is_read() -> None:
    """aiohttp itself tells the failure first, and drops what it holds."""
    cut = threading.Event()

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        peer.wait(cut)
        peer.send(chunk(HELLO[1]))
        peer.reset()

    async def body() -> None:
        with FaultServer(play) as server:
            async with client(server.url) as asking:
                stream = asking.stream("Hello")
                assert await anext(stream) == HELLO_EVENTS[0]
                content = stream._channel._response.stream._content  # type: ignore[attr-defined]
                cut.set()
                await until(lambda: content.exception() is not None)
                assert await anext(stream) == HELLO_EVENTS[1]
                with pytest.raises(StreamInterrupted) as caught:
                    await anext(stream)
                assert caught.value.partial.text == "你好！我是智谱清言"

    run(body)


def test_bad_framing_in_the_body_ends_the_stream() -> None:
    """aiohttp closes the connection over it and tells the reader nothing."""
    go = threading.Event()

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        peer.wait(go)
        peer.send(b"this is no size\r\n")
        peer.until_gone()

    async def body() -> None:
        with FaultServer(play) as server:
            async with client(server.url, timeout=None) as asking:
                stream = asking.stream("Hello")
                assert await anext(stream) == HELLO_EVENTS[0]
                go.set()
                with pytest.raises(ProtocolError, match="chunk size"):
                    await anext(stream)

    run(body)


def test_a_blocked_reader_is_cancelled() -> None:
    blocked = threading.Event()

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        blocked.set()
        peer.until_gone()

    async def body() -> None:
        with FaultServer(play) as server:
            async with client(server.url, timeout=None) as asking:
                stream = asking.stream("Hello")
                await anext(stream)
                await soon(blocked)
                reading = asyncio.ensure_future(anext(stream))
                await until(stream._busy.locked)
                stream.cancel()
                with pytest.raises(StreamCancelled):
                    await reading
                await soon(server.saw_gone)

    run(body)


def test_a_cancelled_task_leaves_nothing_open() -> None:
    async def body() -> None:
        with FaultServer(one_frame) as server:
            async with client(server.url) as asking:
                stream = asking.stream("Hello")
                await anext(stream)
                with anyio.move_on_after(SHORT):
                    await anext(stream)
                await soon(server.saw_gone)
                assert stream.text == "你好"

    run(body)


def test_leaving_the_loop_early_closes_the_connection() -> None:
    async def body() -> None:
        with FaultServer(one_frame) as server:
            async with client(server.url) as asking:
                async for event in asking.stream("Hello"):
                    assert event == HELLO_EVENTS[0]
                    break
                await soon(server.saw_gone)

    run(body)


@pytest.mark.usefixtures("patient")
def test_thirty_streams_use_one_connection_and_send_what_httpx_sends() -> None:
    async def body() -> None:
        with FaultServer(lambda peer: peer.stream(*HELLO, fields=("Set-Cookie: a=b",))) as server:
            async with client(server.url) as asking:
                for _ in range(30):
                    assert (await asking.chat("Hello")).text == HELLO_TEXT
            assert server.connections == 1
            async with client(server.url, http_backend="httpx") as asking:
                await asking.chat("Hello")
            *_, ours, other = server.requests
            assert (
                ours.headers.keys() == other.headers.keys()
            )  # no cookie, and nothing of aiohttp's

    run(body)


def test_connections_end_with_the_loop_and_the_client_serves_the_next() -> None:
    asking = None
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        asking = client(server.url)

        async def body() -> None:
            assert (await asking.chat("Hello")).text == HELLO_TEXT

        run(body)
        run(body)
        assert server.connections == 2


def test_an_idle_connection_that_the_service_closes_says_nothing() -> None:
    async def body() -> None:
        def play(peer: Peer) -> None:
            peer.stream(*HELLO)
            peer.reset()

        with FaultServer(play) as server:
            async with client(server.url) as asking:
                for _ in range(3):
                    assert (await asking.chat("Hello", retry=None)).text == HELLO_TEXT
                    await until(lambda: not server.open)

    run(body)


def test_a_connection_that_was_closed_below_a_reader_is_broken() -> None:
    class Content:
        async def readany(self) -> bytes:
            raise RuntimeError("Connection closed.")

    class Answer:
        content = Content()

    async def body() -> None:
        with pytest.raises(httpx.ReadError, match="Connection closed"):
            await anext(backend._Body(Answer()))  # type: ignore[arg-type]

    run(body)


def test_a_stream_that_is_left_keeps_nothing() -> None:
    """Neither the unread body, nor a frame on the exception that aiohttp raises for every closed body."""
    bodies: list[weakref.ref[Any]] = []

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]), chunk(b":" + b"x" * 100_000 + b"\n\n"))
        peer.until_gone()

    async def body() -> None:
        with FaultServer(play) as server:
            async with client(server.url) as asking:
                for _ in range(5):
                    stream = asking.stream("Hello")
                    await anext(stream)
                    bodies.append(weakref.ref(stream._channel._response.stream))  # type: ignore[attr-defined]
                    await stream.aclose()
                    del stream
                stream = asking.stream("Hello")
                await anext(stream)
                reading = asyncio.ensure_future(anext(stream))
                await until(stream._busy.locked)
                stream.cancel()
                with pytest.raises(StreamCancelled):
                    await reading
                for _ in range(5):
                    await asyncio.sleep(0)
                gc.collect()
                assert [reference() for reference in bodies] == [None] * 5

    run(body)
    shared = aiohttp.client_reqrep._CONNECTION_CLOSED_EXCEPTION
    assert shared.__traceback__ is None


def test_bytes_behind_a_body_of_known_length_leave_the_answer_whole() -> None:
    whole = b"".join(HELLO)

    def play(peer: Peer) -> None:
        peer.send(head(length=len(whole)) + whole + b"\r\nthis is not HTTP")
        peer.until_gone()

    async def body() -> None:
        for name in ("httpx", "aiohttp"):
            with FaultServer(play) as server:
                async with client(server.url, http_backend=name) as asking:
                    for _ in range(2):
                        assert (await asking.chat("Hello")).text == HELLO_TEXT
                assert (
                    server.connections == 2
                )  # a connection with garbage on it does not serve again

    run(body)


def test_a_head_and_its_end_in_two_packets() -> None:
    def play(peer: Peer) -> None:
        first = head()
        peer.send(first[:-2])
        time.sleep(0.05)
        peer.send(first[-2:] + b"".join(map(chunk, HELLO)), chunk(b""))

    async def body() -> None:
        with FaultServer(play) as server:
            async with client(server.url) as asking:
                assert (await asking.chat("Hello")).text == HELLO_TEXT

    run(body)


def test_a_stream_over_tls_that_is_left_is_closed_at_once(tmp_path: Path) -> None:
    """The server never answers the end of TLS, which asyncio would wait for."""
    gone: list[float] = []
    signed = Authority(tmp_path)

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        raw = socket.socket(fileno=os.dup(peer.socket.fileno()))
        with raw:
            raw.settimeout(SECONDS)
            while raw.recv(65536):
                pass
        gone.append(time.monotonic())
        raise Gone

    async def body() -> None:
        with FaultServer(play, tls=signed.server()) as server:
            asking = client(server.url, verify=signed.bundle)
            async for event in asking.stream("Hello"):
                assert event == HELLO_EVENTS[0]
                break
            left = time.monotonic()
            await until(lambda: bool(gone))
            assert gone[0] - left < 10
            await asking.aclose()

    run(body)


# -- what it cannot do ---------------------------------------------------------------------------------


def test_on_trio_it_says_what_to_use() -> None:
    async def body() -> None:
        async with client("http://127.0.0.1:9") as asking:
            with pytest.raises(ConfigurationError, match=r"trio.*http_backend='httpx'"):
                await asking.chat("Hello")

    trio.run(body)


def test_another_event_loop_than_trio(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trio", raising=False)
    route = Route(lambda url: None, True, time.monotonic)
    with pytest.raises(ConfigurationError, match="another event loop"):
        backend.aiohttp_transport(route).lines._connect(("http://127.0.0.1:9", None))


def test_socks_proxies_are_refused() -> None:
    async def body() -> None:
        async with client("http://127.0.0.1:9", proxy="socks5://127.0.0.1:9") as asking:
            with pytest.raises(ConfigurationError, match="SOCKS"):
                await asking.chat("Hello")

    run(body)


def test_a_missing_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "aiohttp" else find(name)
    )
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[aiohttp\]'"):
        client(None)


def test_it_is_a_choice_of_the_asynchronous_client() -> None:
    with pytest.raises(ConfigurationError, match="AsyncClient"):
        SyncClient(http_backend="aiohttp")
    with pytest.raises(ConfigurationError, match="'httpx' or 'aiohttp', not 'curl'"):
        AsyncClient(http_backend="curl")  # type: ignore[arg-type]
    SyncClient(http_backend="httpx").close()


def test_a_copy_makes_the_same_choice() -> None:
    copy = pickle.loads(pickle.dumps(client(None)))
    assert copy._configuration.http_backend == "aiohttp"


# -- names of errors -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (aiohttp.ServerDisconnectedError(), httpx.ReadError),
        (aiohttp.ClientOSError(104, "reset"), httpx.ReadError),
        (aiohttp.ClientPayloadError("cut"), httpx.ReadError),
        (aiohttp.ConnectionTimeoutError(), httpx.ConnectTimeout),
        (aiohttp.SocketTimeoutError(), httpx.ReadTimeout),
        (asyncio.TimeoutError(), httpx.ReadTimeout),
        (aiohttp.InvalidURL("http://"), httpx.UnsupportedProtocol),
        (aiohttp.NonHttpUrlClientError("ftp://a"), httpx.UnsupportedProtocol),
    ],
    ids=lambda value: value.__name__ if isinstance(value, type) else type(value).__name__,
)
def test_an_error_gets_its_name_from_its_cause(
    error: BaseException, expected: type[BaseException]
) -> None:
    assert type(backend._renamed(error)) is expected
    assert str(backend._renamed(error))
