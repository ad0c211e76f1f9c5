"""The long run: thousands of streams that are broken off and cancelled, and nothing left of them.

``python -m tests.soak`` runs ten thousand of each on every client; ``make soak`` does it. ``--count`` asks for another
number. What is held is measured after a first part has warmed everything up, and again at the end: descriptors,
threads, objects and memory. The service runs in a process of its own, so that what it holds is not counted.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import Any

import anyio
import trio

from glmclient import AsyncClient, GLMError, StreamCancelled, SyncClient

from .faults.server import FaultServer, Peer, chunk, head
from .providers.chatglm.wire import HELLO

__all__ = ["CASES", "Held", "held", "main", "soaked"]

OBJECTS = 2000
MEMORY = 16 * 1024 * 1024
"""How much more may be held at the end: caches, and pages that the allocator keeps; a leak is many times that."""


@dataclass(frozen=True)
class Held:
    """What a process holds."""

    descriptors: int
    threads: int
    objects: int
    memory: int

    def __str__(self) -> str:
        return (
            f"{self.descriptors} descriptors, {self.threads} threads, {self.objects} objects, "
            f"{self.memory / 1e6:.1f} MB"
        )


def held() -> Held:
    """Return what this process holds now."""
    gc.collect()
    descriptors = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    return Held(descriptors, threading.active_count(), len(gc.get_objects()), _memory())


def _memory() -> int:
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return 0


def hold(peer: Peer) -> None:
    """One event, and nothing more until the client leaves."""
    peer.server.requests.clear()
    peer.send(head(), chunk(HELLO[0]))
    peer.until_gone()


@contextlib.contextmanager
def service() -> Iterator[str]:
    """Run the service in a process of its own; give its address."""
    program = [sys.executable, "-m", "tests.soak", "--serve"]
    with subprocess.Popen(
        program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.communicate()


# -- what is done over and over ----------------------------------------------------------------------------


def sync_breaks(url: str, count: int) -> None:
    with SyncClient(base_url=url, timeout=60) as client:
        for _ in range(count):
            for _ in client.stream("Hello"):
                break


def sync_cancels(url: str, count: int) -> None:
    """Each stream is cancelled by another thread, most often while it is being read."""
    streams: queue.SimpleQueue[object] = queue.SimpleQueue()

    def cancel() -> None:
        while (stream := streams.get()) is not None:
            stream.cancel()  # type: ignore[attr-defined]

    thread = threading.Thread(target=cancel)
    thread.start()
    try:
        with SyncClient(base_url=url, timeout=60) as client:
            for _ in range(count):
                stream = client.stream("Hello")
                next(stream)
                streams.put(stream)
                with contextlib.suppress(StreamCancelled):
                    next(stream)
                    raise AssertionError("it was not cancelled")
    finally:
        streams.put(None)
        thread.join()


async def async_breaks(url: str, count: int, backend: Any = "httpx") -> None:
    async with AsyncClient(base_url=url, timeout=60, http_backend=backend) as client:
        for _ in range(count):
            async for _ in client.stream("Hello"):
                break
            await anyio.lowlevel.checkpoint()


async def async_cancels(url: str, count: int, backend: Any = "httpx") -> None:
    """Every other stream is cancelled by itself, and every other by the scope around its reader."""
    async with AsyncClient(base_url=url, timeout=60, http_backend=backend) as client:
        for number in range(count):
            stream = client.stream("Hello")
            await anext(stream)
            async with anyio.create_task_group() as group:
                group.start_soon(_read, stream)
                await anyio.lowlevel.checkpoint()
                if number % 2:
                    stream.cancel()
                else:
                    group.cancel_scope.cancel()


async def async_drops(url: str, count: int, backend: Any = "httpx") -> None:
    """Each stream is begun and forgotten, by no loop over it: the garbage collector finds it."""
    async with AsyncClient(base_url=url, timeout=60, http_backend=backend) as client:
        for _ in range(count):
            stream = client.stream("Hello")
            await anext(stream)
            del stream
            await anyio.lowlevel.checkpoint()


async def async_limits(url: str, count: int, backend: Any = "httpx") -> None:
    """Every stream runs into its total limit."""
    async with AsyncClient(base_url=url, http_backend=backend) as client:
        for _ in range(count):
            with contextlib.suppress(GLMError):
                await client.chat("Hello", timeout=0.005, retry=None)


async def async_unread(url: str, count: int, backend: Any = "httpx") -> None:
    """Streams are made and never read."""
    async with AsyncClient(base_url=url, timeout=60, http_backend=backend) as client:
        for _ in range(count):
            client.stream("Hello")


async def _read(stream: object) -> None:
    with contextlib.suppress(GLMError):
        await anext(stream)  # type: ignore[call-overload]
        raise AssertionError("it was not cancelled")


def on(
    run: Callable[..., None], body: Callable[[str, int, str], Awaitable[None]], backend: str
) -> Callable[[str, int], None]:
    if run is trio.run:
        return lambda url, count: trio.run(body, url, count, backend)
    return lambda url, count: asyncio.run(body(url, count, backend))  # type: ignore[arg-type]


BODIES: dict[str, Callable[..., Awaitable[None]]] = {
    "breaks": async_breaks,
    "cancels": async_cancels,
    "drops": async_drops,
    "limits": async_limits,
    "unread": async_unread,
}
BACKENDS: dict[str, tuple[Callable[..., None], str]] = {
    "asyncio": (asyncio.run, "httpx"),
    "trio": (trio.run, "httpx"),
    "aiohttp": (asyncio.run, "aiohttp"),
}


CASES: dict[str, Callable[[str, int], None]] = {
    "sync breaks": sync_breaks,
    "sync cancels": sync_cancels,
    **{
        f"{name} {doing}": on(run, body, backend)
        for name, (run, backend) in BACKENDS.items()
        for doing, body in BODIES.items()
    },
}


def soaked(name: str, url: str, count: int, warm: int) -> tuple[Held, Held]:
    """Run a case, and return what was held after the first ``warm`` streams and at the end.

    Raises:
        AssertionError: something was left.
    """
    run = CASES[name]
    run(url, warm)
    before = held()
    run(url, count)
    after = held()
    said = f"{name}: {before} before, {after} after {count}"
    assert after.descriptors <= before.descriptors, said
    assert after.threads <= before.threads, said
    assert after.objects <= before.objects + OBJECTS, said
    assert after.memory <= before.memory + MEMORY, said
    return before, after


def main(arguments: list[str] | None = None) -> int:
    """Run every case."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.soak", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--count", type=int, default=10_000, help="streams of each case")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.serve:
        with FaultServer(hold) as server:
            print(server.url, flush=True)
            sys.stdin.read()
        return 0
    with service() as url:
        for name in CASES:
            began = time.monotonic()
            before, after = soaked(name, url, given.count, warm=max(given.count // 10, 100))
            print(f"{name}: {given.count} in {time.monotonic() - began:.1f} s")
            print(f"  before: {before}\n  after:  {after}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
