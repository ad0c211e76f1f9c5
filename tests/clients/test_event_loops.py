"""One asynchronous client on several event loops: after each other, at the same time, in threads, never closed."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any

import pytest
import trio

from glmclient import AsyncClient, AsyncStream
from glmclient.simulator import Simulator
from glmclient.transports.httpx.event_loop import EventLoop
from glmclient.transports.httpx.pool import Lines

from .driver import AT_ONCE, PATIENT

TEXT = "exactly this answer"
BACKENDS = ("httpx", "aiohttp")


@pytest.fixture(scope="module")
def service() -> Iterator[Simulator]:
    with Simulator(TEXT, provider="openai") as simulator:
        yield simulator


def client_of(service: Simulator, backend: Any = "httpx") -> AsyncClient:
    return AsyncClient(
        "openai",
        base_url=service.url,
        model="m",
        timeout=PATIENT,
        retry=AT_ONCE,
        http_backend=backend,
        trust_env=False,
    )


def in_threads(count: int, function: Any) -> list[Any]:
    """Return what ``function`` returned in each of ``count`` threads; raise what the first of them raised."""
    results: list[Any] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            results.append(function())
        except BaseException as error:  # noqa: BLE001 - raised again below
            errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a thread hangs"
    if errors:
        raise errors[0]
    return results


@pytest.mark.parametrize("backend", BACKENDS)
def test_eight_threads_with_a_loop_each(service: Simulator, backend: str) -> None:
    client = client_of(service, backend)

    async def ask() -> list[Any]:
        replies = [await client.chat("q") for _ in range(3)]
        replies += await asyncio.gather(*(client.chat("q") for _ in range(2)))
        return [(reply.text, reply.finish is not None) for reply in replies]

    for answers in in_threads(8, lambda: asyncio.run(ask())):
        assert answers == [(TEXT, True)] * 5
    gc.collect()


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_loop_of_the_main_thread_and_the_loop_of_a_worker(
    service: Simulator, backend: str
) -> None:
    client = client_of(service, backend)

    async def ask(count: int) -> list[str]:
        return [(await client.chat("q")).text for _ in range(count)]

    async def main() -> None:
        own, worker = await asyncio.gather(ask(10), asyncio.to_thread(lambda: asyncio.run(ask(10))))
        assert own == worker == [TEXT] * 10
        await client.aclose()

    asyncio.run(main())
    gc.collect()


def test_asyncio_and_trio_in_two_threads(service: Simulator) -> None:
    client = client_of(service)
    kinds = [asyncio.run, trio.run] * 4

    async def ask() -> list[str]:
        return [(await client.chat("q")).text for _ in range(3)]

    def run() -> list[str]:
        kind = kinds.pop()
        return trio.run(ask) if kind is trio.run else asyncio.run(ask())

    assert in_threads(8, run) == [[TEXT] * 3] * 8
    gc.collect()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_hundred_loops_after_each_other_hold_nothing(service: Simulator, backend: str) -> None:
    client = client_of(service, backend)

    async def ask() -> str:
        return (await client.chat("q")).text

    for _ in range(110):
        assert asyncio.run(ask()) == TEXT
    stores: Any = client._transport.lines._stores  # type: ignore[attr-defined]
    assert len([store for store in stores.values() if store.alive]) == 0
    assert len(stores) <= 1
    gc.collect()


@pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("backend", BACKENDS)
def test_loops_that_were_never_closed(service: Simulator, backend: str) -> None:
    client = client_of(service, backend)
    loops = [asyncio.new_event_loop() for _ in range(5)]
    for _ in range(3):
        for loop in loops:
            assert loop.run_until_complete(client.chat("q")).text == TEXT
    for loop in loops[:2]:
        loop.close()  # without shutdown_asyncgens
    for loop in loops[2:]:
        assert loop.run_until_complete(client.chat("q")).text == TEXT
        loop.run_until_complete(client._transport.aclose())
        loop.close()
    gc.collect()


def test_closing_on_one_loop_leaves_the_streams_of_another_alone(service: Simulator) -> None:
    client = client_of(service)
    opened, closed = threading.Event(), threading.Event()

    async def read() -> str:
        stream = await client.stream("q")
        opened.set()
        await asyncio.to_thread(closed.wait, 20)
        return (await stream.reply()).text

    def close() -> None:
        opened.wait(20)

        async def once() -> None:
            await client._transport.aclose()

        asyncio.run(once())
        closed.set()

    thread = threading.Thread(target=close)
    thread.start()
    assert asyncio.run(read()) == TEXT
    thread.join(20)
    gc.collect()


def test_a_stream_that_another_loop_closes_is_closed_on_its_own(service: Simulator) -> None:
    client = client_of(service)
    handed: list[AsyncStream] = []
    opened, left = threading.Event(), threading.Event()

    async def hold() -> int:
        handed.append(await client.stream("q"))
        opened.set()
        await asyncio.to_thread(left.wait, 20)
        await asyncio.sleep(0.05)
        stores: Any = client._transport.lines._stores  # type: ignore[attr-defined]
        return sum(len(store.lent) for store in stores.values())

    def leave() -> None:
        opened.wait(20)
        handed.pop().cancel()
        left.set()

    thread = threading.Thread(target=leave)
    thread.start()
    assert asyncio.run(hold()) == 0
    thread.join(20)
    gc.collect()


def test_lines_go_back_to_the_loop_that_opened_them() -> None:
    closed: list[tuple[str, Any]] = []

    async def close(line: str) -> None:
        closed.append((line, EventLoop.current().key))

    lines: Lines[str] = Lines(lambda key: f"line to {key[0]}", close)
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    line, reused = first.run_until_complete(lines.borrow(("a", None)))
    assert not reused
    second.run_until_complete(lines.give_back(("a", None), line))
    first.run_until_complete(asyncio.sleep(0.01))
    assert closed == [(line, first)]
    idle, _ = first.run_until_complete(lines.borrow(("b", None)))
    first.run_until_complete(lines.give_back(("b", None), idle))
    second.run_until_complete(lines.aclose())
    first.run_until_complete(asyncio.sleep(0.01))
    assert closed[1:] == [(idle, first)]
    lent, _ = first.run_until_complete(lines.borrow(("c", None)))
    first.close()
    second.run_until_complete(lines.discard(lent))
    assert len(closed) == 2  # its loop is over: nothing can close it there, and nothing else may
    second.close()


# -- trio that is only half imported ---------------------------------------------------------------


@pytest.mark.parametrize("half", [{}, {"lowlevel": types.ModuleType("trio.lowlevel")}])
def test_trio_may_be_half_imported_by_another_thread(
    monkeypatch: pytest.MonkeyPatch, service: Simulator, half: dict[str, Any]
) -> None:
    trio_so_far = types.ModuleType("trio")
    vars(trio_so_far).update(half)
    monkeypatch.setitem(sys.modules, "trio", trio_so_far)

    async def ask() -> Any:
        return EventLoop.current().key is asyncio.get_running_loop()

    assert asyncio.run(ask())


def test_without_trio_installed(service: Simulator) -> None:
    program = (
        "import sys, asyncio, threading\n"
        "sys.modules['trio'] = None\n"
        "from glmclient import AsyncClient\n"
        f"client = AsyncClient('openai', base_url={service.url!r}, model='m', trust_env=False)\n"
        "texts = []\n"
        "def run(): texts.append(asyncio.run(client.chat('q')).text)\n"
        "threads = [threading.Thread(target=run) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join(30) for t in threads]\n"
        "print(texts)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    assert (run.stdout.strip(), run.returncode) == (str([TEXT] * 4), 0), run.stderr
