"""Bodies that stay open after the end mark of the answer: nobody waits for them, and nothing of them is kept."""

from __future__ import annotations

import asyncio
import gc
import socket
import threading
import time
import weakref
from types import SimpleNamespace
from typing import Any

import pytest

from glmclient import AsyncClient, SyncClient
from glmclient.transports.endings import AT_ONCE_SECONDS, Endings
from glmclient.transports.requests import unfinished
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .certificates import Authority
from .driver import EVERY_BACKEND, PATIENT, SECONDS, Driver

LAST_CHUNK = chunk(b"")


def open_ended(peer: Peer) -> None:
    peer.send(head(), *map(chunk, HELLO))
    peer.until_gone()


class Late:
    """Ends the body when the reader has left its loop."""

    def __init__(self, *pieces: bytes) -> None:
        self.left = threading.Event()
        self.sent = threading.Event()
        self.pieces = pieces

    def play(self, peer: Peer) -> None:
        peer.send(head(), *map(chunk, HELLO))
        peer.wait(self.left)
        peer.send(*self.pieces)
        self.sent.set()


@pytest.fixture
def lingering(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a busy machine the time to send the end of a body."""
    monkeypatch.setattr("glmclient.transports.httpx.lingering.LINGER_SECONDS", SECONDS)
    monkeypatch.setattr("glmclient.transports.requests.unfinished.LINGER_SECONDS", SECONDS)


@EVERY_BACKEND
@pytest.mark.usefixtures("lingering")
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
async def test_an_end_that_comes_after_the_loop_was_left(
    driver: Driver, authority: Authority, secure: bool
) -> None:
    """The loop ends without it, and the connection serves the next question all the same."""
    late = Late(LAST_CHUNK)
    with FaultServer(late.play, tls=authority.server() if secure else None) as server:
        async with driver.client(base_url=server.url, verify=authority.bundle) as client:
            for _ in range(2):
                late.left.clear()
                late.sent.clear()
                assert (await client.chat("Hello")).text == HELLO_TEXT
                late.left.set()
                await driver.wait(late.sent)
                await until_looked(driver, client)
        assert server.connections == 1


async def until_looked(driver: Driver, client: Any) -> None:
    """Let the tasks of the asynchronous client see the end; the blocking client looks when it asks again."""
    if not driver.is_sync:
        import anyio

        with anyio.fail_after(SECONDS):
            for body in list(client._transport.open_bodies._bodies):
                await body.done.wait()
        return
    ((body,),) = client._transport.unfinished._bodies.values()
    body.seconds = SECONDS


@EVERY_BACKEND
@pytest.mark.usefixtures("lingering")
@pytest.mark.parametrize(
    "pieces",
    [
        (b"zz\r\n",),
        (chunk(b"x" * 70_000), LAST_CHUNK),
        (b"5\r\nab",),
    ],
    ids=["garbage", "too much", "cut"],
)
async def test_what_comes_in_place_of_the_end(driver: Driver, pieces: tuple[bytes, ...]) -> None:
    """The answer was whole: nothing is raised, and the connection is not used again."""
    late = Late(*pieces)

    def play(peer: Peer) -> None:
        late.play(peer)
        peer.close()

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            for _ in range(2):
                late.left.clear()
                late.sent.clear()
                assert (await client.chat("Hello")).text == HELLO_TEXT
                late.left.set()
                await driver.wait(late.sent)
                await until_looked(driver, client)
        assert server.connections == 2


@EVERY_BACKEND
async def test_bodies_that_never_end(driver: Driver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each connection is closed by the client, and from the third answer on at once."""
    monkeypatch.setattr("glmclient.transports.httpx.lingering.LINGER_SECONDS", 0.01)
    gone: list[bool] = []

    def play(peer: Peer) -> None:
        open_ended(peer)
        gone.append(True)

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            for number in range(4):
                assert (await client.chat("Hello")).text == HELLO_TEXT
                assert server.connections == number + 1
                if not driver.is_sync:
                    await until_looked(driver, client)
            transport = client._transport
            bodies = transport.unfinished if driver.is_sync else transport.open_bodies
            assert not bodies._endings.expected(server.url) if driver.is_sync else True
            assert not any(bodies._bodies.values()) if driver.is_sync else not bodies._bodies


@EVERY_BACKEND
@pytest.mark.usefixtures("lingering")
async def test_closing_the_client_closes_open_bodies(driver: Driver) -> None:
    left: list[float] = []

    def play(peer: Peer) -> None:
        open_ended(peer)
        left.append(time.monotonic())

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            for _ in range(2):
                assert (await client.chat("Hello")).text == HELLO_TEXT
        # The server's exit waits for its plays, and each of them for the client to leave.


@EVERY_BACKEND
async def test_a_server_that_closes_is_not_waited_for(driver: Driver) -> None:
    def play(peer: Peer) -> None:
        peer.send(head(200, "Connection: close"), *map(chunk, HELLO))
        peer.until_gone()

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            for _ in range(4):
                assert (await client.chat("Hello")).text == HELLO_TEXT
            endings = (
                client._transport.endings
                if driver.is_sync
                else client._transport.open_bodies.endings
            )
            assert endings.expected(server.url)


@pytest.mark.usefixtures("lingering")
def test_a_client_that_is_dropped_lets_go_of_open_bodies() -> None:
    with FaultServer(open_ended) as server:
        client = SyncClient(base_url=server.url, timeout=PATIENT)
        assert client.chat("Hello").text == HELLO_TEXT
        del client
        gc.collect()
        assert server.saw_gone.wait(SECONDS / 2)


@pytest.mark.usefixtures("lingering")
def test_the_oldest_of_many_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "MOST", 1)
    barrier = threading.Barrier(3)

    def play(peer: Peer) -> None:
        barrier.wait(SECONDS)
        open_ended(peer)

    with FaultServer(play) as server, SyncClient(base_url=server.url, timeout=PATIENT) as client:
        threads = [threading.Thread(target=client.chat, args=("Hello",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        ((body,),) = client._transport.unfinished._bodies.values()  # type: ignore[attr-defined]
        assert body._left


@pytest.mark.parametrize("ends", [True, False])
def test_a_thread_settles_what_nobody_asks_for(monkeypatch: pytest.MonkeyPatch, ends: bool) -> None:
    monkeypatch.setattr(unfinished, "LINGER_SECONDS", 0.05)
    late = Late(LAST_CHUNK)
    late.left.set()
    with (
        FaultServer(late.play if ends else open_ended) as server,
        SyncClient(base_url=server.url) as client,
    ):
        monkeypatch.setattr("glmclient.core.exchange.DRAIN_SECONDS", 1e-9)
        for connections in (1, 1) if ends else (1, 2):
            assert client.chat("Hello").text == HELLO_TEXT
            aside = client._transport.unfinished  # type: ignore[attr-defined]
            until = time.monotonic() + SECONDS
            while aside._sweeping and time.monotonic() < until:
                time.sleep(0.01)
            assert not any(aside._bodies.values()) and aside._sweeping is None
            assert server.connections == connections


def test_a_body_that_ends_begins_the_count_anew() -> None:
    endings = Endings()
    assert endings.expected("a") and endings.patience("a", 1.0) == 1.0
    endings.note("a", ended=False)
    endings.note("a", ended=True)
    endings.note("a", ended=False)
    assert endings.expected("a") and endings.patience("a", 1.0) == 1.0
    endings.note("a", ended=False)
    assert not endings.expected("a") and endings.patience("a", 1.0) == AT_ONCE_SECONDS
    assert endings.expected("b")  # another origin


def test_each_client_counts_for_itself() -> None:
    first, second = SyncClient(timeout=PATIENT), AsyncClient(timeout=PATIENT)
    endings = second._transport.open_bodies.endings  # type: ignore[attr-defined]
    assert first._transport.endings is not endings  # type: ignore[attr-defined]
    first.close()


@pytest.mark.usefixtures("lingering")
def test_nothing_hangs_when_the_socket_is_gone() -> None:
    """A forked child finds its copies connected to nothing."""
    with FaultServer(open_ended) as server, SyncClient(base_url=server.url) as client:
        assert client.chat("Hello").text == HELLO_TEXT
        ((body,),) = client._transport.unfinished._bodies.values()  # type: ignore[attr-defined]
        body._sock.plain.shutdown(socket.SHUT_RDWR)
        assert client.chat("Hello").text == HELLO_TEXT
        assert server.connections == 2


def test_bytes_that_tls_within_tls_holds() -> None:
    def layer(raw: int, decrypted: int) -> Any:
        return SimpleNamespace(
            incoming=SimpleNamespace(pending=raw),
            sslobj=SimpleNamespace(pending=lambda: decrypted),
            socket=None,
        )

    assert unfinished._decrypted(layer(1, 0)) and unfinished._decrypted(layer(0, 1))
    assert not unfinished._decrypted(layer(0, 0))


def test_the_sweeping_thread_ends_with_its_client(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unfinished, "LINGER_SECONDS", 0.0)
    aside = unfinished.Unfinished(Endings())
    reference = weakref.ref(aside)
    unfinished._sweep(reference)
    assert aside._sweeping is None
    del aside
    unfinished._sweep(reference)
    assert reference() is None


@pytest.mark.usefixtures("lingering")
@pytest.mark.parametrize("backend", ["httpx", "aiohttp"])
def test_a_client_that_is_closed_on_another_event_loop(backend: Any) -> None:
    """The loop that reads the body closes its connection itself."""
    asked, closed = threading.Event(), threading.Event()

    async def ask(client: AsyncClient) -> None:
        assert (await client.chat("Hello")).text == HELLO_TEXT
        asked.set()
        (body,) = client._transport.open_bodies._bodies  # type: ignore[attr-defined]
        await asyncio.wait_for(body.done.wait(), SECONDS)
        closed.set()

    with FaultServer(open_ended) as server:
        client = AsyncClient(base_url=server.url, timeout=PATIENT, http_backend=backend)
        thread = threading.Thread(target=lambda: asyncio.run(ask(client)))
        thread.start()
        assert asked.wait(SECONDS)
        asyncio.run(client.aclose())
        assert closed.wait(SECONDS)
        thread.join(SECONDS)
