"""What becomes of connections between two questions, and under libraries that replace sockets or threads."""

from __future__ import annotations

import asyncio
import gc
import importlib.util
import logging
import os
import socket
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from glmclient import APIConnectionError, AsyncClient, SyncClient
from glmclient.transports.httpx.event_loop import shut_down
from glmclient.transports.httpx.pool import Lines
from glmclient.transports.requests import connections, dial, transport
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

pytestmark = pytest.mark.usefixtures("patient")


def hello(peer: Peer) -> None:
    peer.stream(*HELLO)


# -- the blocking client -----------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "expected"), [(30.0, 1), (-1.0, 2)])
def test_a_connection_that_was_idle_for_long_is_not_used(
    monkeypatch: pytest.MonkeyPatch, seconds: float, expected: int
) -> None:
    monkeypatch.setattr(connections, "KEEPALIVE_SECONDS", seconds)
    with FaultServer(hello) as server, SyncClient(base_url=server.url) as client:
        for _ in range(2):
            assert client.chat("Hello").text == HELLO_TEXT
        assert server.connections == expected


def test_a_connection_through_a_proxy_that_was_closed_meanwhile() -> None:
    """The request is sent anew, and counts as no attempt."""

    def closing(peer: Peer) -> None:
        peer.close()

    with FaultServer(hello, closing, hello) as server:
        with SyncClient(base_url="http://service.invalid", proxy=server.url, retry=None) as client:
            for _ in range(2):
                assert client.chat("Hello").text == HELLO_TEXT
        assert [request.method for request in server.requests] == ["POST"] * 3


def test_a_proxy_that_closes_new_connections_fails() -> None:
    with (
        FaultServer(lambda peer: peer.close()) as server,
        SyncClient(base_url="http://service.invalid", proxy=server.url, retry=None) as client,
        pytest.raises(APIConnectionError),
    ):
        client.chat("Hello")


def test_more_threads_than_places_in_the_pool_are_quiet(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transport, "POOL_CONNECTIONS", 1)
    caplog.set_level(logging.DEBUG)
    together = threading.Barrier(3)

    def play(peer: Peer) -> None:
        together.wait(20)
        peer.stream(*HELLO)

    with FaultServer(play) as server, SyncClient(base_url=server.url) as client:
        threads = [threading.Thread(target=client.chat, args=("Hello",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert "pool is full" not in caplog.text


def test_close_closes_idle_connections_although_a_connect_failed() -> None:
    with FaultServer(hello) as server, socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = SyncClient(base_url=server.url, retry=None)
        adapter = client._transport.adapter(None)  # type: ignore[attr-defined]
        gc.disable()
        try:
            assert client.chat("Hello").text == HELLO_TEXT
            manager = adapter.poolmanager
            pools = [manager.pools.get(key) for key in manager.pools.keys()]  # noqa: SIM118
            (idle,) = [each for pool in pools for each in pool.pool.queue if each is not None]
            client.close()
            assert idle.sock is None
            assert pools[0].pool is None
        finally:
            gc.enable()


def test_a_pool_that_was_closed_takes_nothing_back() -> None:
    class Connection:
        closed = False
        idle_since = None

        def close(self) -> None:
            self.closed = True

    pool = connections.pools()["http"]("127.0.0.1")
    pool._put_conn(None)
    pool.close()
    connection = Connection()
    pool._put_conn(connection)  # type: ignore[arg-type]
    assert connection.closed


# -- probes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["httpx", "aiohttp"])
def test_idle_connections_are_probed(backend: Any) -> None:
    async def main(url: str) -> None:
        async with AsyncClient(base_url=url, http_backend=backend) as client:
            stream = await client.stream("Hello")
            sock = stream._channel._sock  # type: ignore[attr-defined]
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
            read.set()
            await stream.until_done()

    read = threading.Event()

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        peer.wait(read)
        peer.send(*map(chunk, HELLO[1:]), chunk(b""))

    with FaultServer(play) as server:
        asyncio.run(main(server.url))
        with SyncClient(base_url=server.url) as client, client.stream("Hello") as stream:
            sock = stream._channel._sock  # type: ignore[attr-defined]
            assert sock.plain.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# -- waking a reader ---------------------------------------------------------------------------------------


class Lent:
    """What an event loop lends that shows no socket of the system."""

    def __init__(self, sock: socket.socket) -> None:
        self.fileno = sock.fileno


class LikeAsyncio(Lent):
    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock)
        self._sock = sock


@pytest.mark.parametrize("kind", [Lent, LikeAsyncio, lambda sock: sock])
def test_a_reader_is_woken(kind: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    near, far = socket.socketpair()
    with near, far:
        lent = kind(near)
        if kind is not Lent:  # no descriptor is left

            def dup(descriptor: int) -> int:
                raise OSError(24, "Too many open files")

            monkeypatch.setattr(os, "dup", dup)
        shut_down(lent)
        assert far.recv(1) == near.recv(1) == b""
    shut_down(lent)


def test_a_socket_whose_class_cannot_be_shut_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """As eventlet's: each object has the method, and the class has not."""
    calls: list[int] = []

    class Green:
        def __init__(self) -> None:
            self.shutdown = calls.append

    monkeypatch.setattr(dial.socket, "socket", Green)
    dial.wake(Green())  # type: ignore[arg-type]
    assert calls == [socket.SHUT_RDWR]


GREEN = """
    import LIBRARY
    PATCH
    import sys, threading
    from glmclient import StreamCancelled, SyncClient

    with SyncClient(base_url=sys.argv[1], timeout=20) as client:
        for event in client.stream("left early"):
            break
        stream = client.stream("cancelled")
        next(stream)
        thread = threading.Timer(0.1, stream.cancel)
        thread.start()
        try:
            next(stream)
        except StreamCancelled:
            print("cancelled", stream.text)
        thread.join()
        texts = []
        threads = [
            threading.Thread(target=lambda: texts.append(client.chat("whole").text))
            for _ in range(3)
        ]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        print(*texts)
"""


@pytest.mark.parametrize(
    ("library", "patch"),
    [
        ("gevent.monkey", "gevent.monkey.patch_all()"),
        ("eventlet", "eventlet.monkey_patch()"),
    ],
)
def test_under_green_threads(library: str, patch: str) -> None:
    if importlib.util.find_spec(library.partition(".")[0]) is None:
        pytest.skip("it has no release for this Python")

    def play(peer: Peer) -> None:
        if b"whole" in peer.request.body:
            peer.stream(*HELLO)
            return
        peer.send(head(), chunk(HELLO[0]))
        peer.until_gone()

    code = textwrap.dedent(GREEN).replace("LIBRARY", library).replace("PATCH", patch)
    with FaultServer(play) as server:
        run = subprocess.run(
            [sys.executable, "-X", "utf8", "-W", "ignore", "-c", code, server.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert run.returncode == 0, run.stderr
    assert run.stdout.split() == ["cancelled", "你好", *[HELLO_TEXT] * 3]


# -- the asynchronous client -------------------------------------------------------------------------------


def test_streams_that_are_never_read_are_forgotten() -> None:
    client = AsyncClient(base_url="http://127.0.0.1:9")
    streams = [client.stream("Hello") for _ in range(10)]
    assert len(client._streams) == 10
    streams.clear()
    gc.collect()
    assert client._streams == {}


@pytest.mark.parametrize("backend", ["httpx", "aiohttp"])
def test_a_second_cancel_during_the_clean_up(backend: Any) -> None:
    async def main(url: str) -> None:
        client = AsyncClient(base_url=url, http_backend=backend)
        lines: Lines[Any] = client._transport.lines  # type: ignore[attr-defined]
        closing = asyncio.Event()
        close = lines._close

        async def slow(line: Any) -> None:
            closing.set()
            await asyncio.sleep(0.05)
            await close(line)

        lines._close = slow
        stream = client.stream("Hello")
        await anext(stream)
        reading = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.05)
        reading.cancel()
        await closing.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await asyncio.sleep(0.2)
        assert all(not store.lent for store in lines._stores.values())
        assert client._streams == {}
        lines._close = close
        await client.aclose()

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        peer.until_gone()

    with FaultServer(play) as server:
        asyncio.run(main(server.url))
        assert server.saw_gone.wait(20)


def test_a_cancel_while_a_connection_is_given_back() -> None:
    async def main(url: str) -> None:
        async with AsyncClient(base_url=url) as client:
            stream = client.stream("Hello")
            await anext(stream)
            channel: Any = stream._channel
            response = channel._response
            close, calls = response.aclose, []

            async def aclose() -> None:
                calls.append(1)
                if len(calls) == 1:
                    raise asyncio.CancelledError
                await close()

            response.aclose = aclose
            with pytest.raises(asyncio.CancelledError):
                await stream.until_done()
            lines: Lines[Any] = client._transport.lines  # type: ignore[attr-defined]
            assert all(not store.lent for store in lines._stores.values())

    with FaultServer(hello) as server:
        asyncio.run(main(server.url))


def test_a_loop_without_hooks_for_asynchronous_generators() -> None:
    """nest_asyncio runs loops like that: what is left is ended by the garbage collector, and quietly."""
    program = """
        import asyncio, sys
        from glmclient import AsyncClient

        async def main():
            sys.set_asyncgen_hooks(None, None)
            client = AsyncClient(base_url=sys.argv[1])
            print((await client.chat("Hello")).text)

        asyncio.run(main())
    """
    with FaultServer(hello) as server:
        run = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", textwrap.dedent(program), server.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert run.stdout.strip() == HELLO_TEXT
    assert run.stderr == ""
