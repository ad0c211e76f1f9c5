"""Reaching an event loop: from its own thread, from another one, and when it is over."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import pytest
import trio

from glmclient.transports.base import proxy_failure, scrubbed
from glmclient.transports.httpx.event_loop import EventLoop, shut_down
from glmclient.transports.httpx.pool import IDLE_CONNECTIONS, Lines
from glmclient.transports.tls import plain_context, tls_context

KINDS = ["asyncio", "trio"]


def run(kind: str, function: Callable[[], Awaitable[Any]]) -> Any:
    return asyncio.run(function()) if kind == "asyncio" else trio.run(function)  # type: ignore[arg-type]


def test_without_a_loop_there_is_none() -> None:
    with pytest.raises(RuntimeError):
        EventLoop.current()


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_is_known_by_its_key(kind: str) -> None:
    loops: list[EventLoop] = []

    async def main() -> None:
        loops.extend([EventLoop.current(), EventLoop.current()])
        assert loops[-1].is_running_here()

    run(kind, main)
    run(kind, main)
    first, again, other, _ = loops
    assert first.key == again.key
    assert first.key != other.key
    assert not first.is_running_here()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("elsewhere", [False, True], ids=["from here", "from a thread"])
def test_a_task_is_begun(kind: str, elsewhere: bool) -> None:
    async def main() -> None:
        loop, done = EventLoop.current(), anyio.Event()

        async def task() -> None:
            await anyio.lowlevel.checkpoint()
            done.set()

        if elsewhere:
            await anyio.to_thread.run_sync(loop.spawn, task)
        else:
            loop.spawn(task)
        with anyio.fail_after(20):
            await done.wait()

    run(kind, main)
    assert kind in KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_a_task_that_fails_is_logged_and_ends_nothing(
    kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "glmclient")

    async def main() -> str:
        async def task() -> None:
            raise LookupError("nobody is there")

        EventLoop.current().spawn(task)
        for _ in range(5):
            await anyio.lowlevel.checkpoint()
        return "still here"

    assert run(kind, main) == "still here"
    (record,) = caplog.records
    assert record.levelno == logging.DEBUG
    assert "nobody is there" in caplog.text


@pytest.mark.parametrize("kind", KINDS)
def test_a_loop_that_is_over_does_nothing(kind: str) -> None:
    called: list[int] = []

    async def main() -> EventLoop:
        return EventLoop.current()

    async def task() -> None:
        called.append(1)

    loop = run(kind, main)
    loop.spawn(task)
    loop.call_soon(lambda: called.append(2))
    assert called == []


def test_a_trio_run_that_takes_no_more_tasks() -> None:
    called: list[int] = []

    async def task() -> None:
        called.append(1)

    async def main() -> None:
        loop = EventLoop.current()

        async def late() -> None:
            try:
                await trio.sleep_forever()
            finally:
                loop.spawn(task)  # the nursery of system tasks is closing now

        trio.lowlevel.spawn_system_task(late)
        await anyio.lowlevel.checkpoint()

    trio.run(main)
    assert called in ([], [1])


def test_shutting_a_socket_down_wakes_its_reader() -> None:
    near, far = socket.socketpair()
    with near, far:
        thread = threading.Thread(target=shut_down, args=(near,))
        thread.start()
        assert near.recv(1) == b""
        thread.join()
        assert far.recv(1) == b""
    shut_down(near)  # it is closed: nothing happens
    assert near.fileno() == -1


# -- connections that are lent -----------------------------------------------------------------------------


class Connection:
    """Something that can be opened and closed."""

    def __init__(self, key: tuple[str, str | None]) -> None:
        self.key = key
        self.closed = 0


async def close(line: Connection) -> None:
    line.closed += 1


KEY = ("https://service.example", None)
OTHER = ("https://service.example", "http://proxy.example")


@pytest.mark.parametrize("kind", KINDS)
def test_a_connection_is_lent_to_one_at_a_time(kind: str) -> None:
    async def main() -> None:
        lines = Lines(Connection, close)
        one, reused = await lines.borrow(KEY)
        assert not reused
        two, _ = await lines.borrow(KEY)
        assert two is not one
        await lines.give_back(KEY, one)
        await lines.give_back(KEY, two)
        elsewhere, reused = await lines.borrow(OTHER)
        assert not reused
        await lines.discard(elsewhere)
        assert await lines.borrow(KEY) == (two, True)  # the one that was used last
        await lines.discard(two)
        await lines.give_back(KEY, two)  # too late: it is closed
        assert await lines.borrow(KEY) == (one, True)
        assert (one.closed, two.closed >= 1) == (0, True)
        await lines.discard(one)
        await lines.aclose()

    run(kind, main)
    assert kind in KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_are_kept_than_the_bound(kind: str) -> None:
    made: list[Connection] = []

    def connect(key: Any) -> Connection:
        made.append(Connection(key))
        return made[-1]

    async def main() -> None:
        lines = Lines(connect, close)
        for _ in range(IDLE_CONNECTIONS + 1):
            await lines.borrow(KEY)
        for line in made:
            await lines.give_back(KEY, line)
        assert [line.closed for line in made] == [0] * IDLE_CONNECTIONS + [1]
        await lines.aclose()
        await lines.aclose()

    run(kind, main)
    assert all(line.closed for line in made)


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_lent_while_all_is_closed_is_closed_when_it_comes_back(kind: str) -> None:
    async def main() -> None:
        lines = Lines(Connection, close)
        line, _ = await lines.borrow(KEY)
        lines.hold(line, object())
        await lines.aclose()
        assert line.closed == 0
        await lines.give_back(KEY, line)
        assert line.closed == 1
        lines.hold(line, object())  # it is not lent any more
        another, _ = await lines.borrow(KEY)
        await lines.give_back(KEY, another)
        assert another.closed == 0
        await lines.aclose()
        assert another.closed == 1
        lines.hold(another, object())
        await lines.discard(another)

    run(kind, main)
    assert kind in KINDS


@pytest.mark.parametrize("kind", KINDS)
def test_connections_end_with_their_loop(kind: str) -> None:
    kept: list[Connection] = []
    lines = Lines(Connection, close)

    async def main() -> None:
        for _ in range(2):
            line, reused = await lines.borrow(KEY)
            assert not reused
            kept.append(line)
        await lines.give_back(KEY, kept[-1])

    run(kind, main)
    assert [line.closed for line in kept] == [1, 1]
    run(kind, main)
    assert [line.closed for line in kept] == [1, 1, 1, 1]


# -- words -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        (
            "cannot reach http://user:canary@proxy.example:80/x",
            "cannot reach http://***@proxy.example:80/x",
        ),
        ("'socks5://canary@p' and //a:canary@b", "'socks5://***@p' and //***@b"),
        ("mail me@example.org", "mail me@example.org"),
        ("x" * 1000, "x" * 300),
    ],
)
def test_a_library_s_words_without_credentials(text: str, clean: str) -> None:
    assert scrubbed(text) == clean


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("407 Proxy Authentication Required", "proxy_refused"),
        ("Tunnel connection failed: 403 Forbidden", "proxy_refused"),
        ("502 Bad Gateway", "proxy"),
        ("connection refused at port 14078", "proxy"),
    ],
)
def test_what_a_proxy_says(said: str, kind: str) -> None:
    assert proxy_failure(said) == kind


def test_contexts_are_built_once() -> None:
    assert tls_context(True) is tls_context(True)
    assert tls_context(False) is not tls_context(True)
    assert plain_context() is plain_context()
    assert plain_context().get_ca_certs() == []
