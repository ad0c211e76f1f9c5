"""``python -m tests.soak [--times N]``: streams left early and cancelled, many times, and nothing grows.

Descriptors, threads and memory are counted after a warm-up and at the end; the run stops by itself.
"""

from __future__ import annotations

import argparse
import gc
import os
import resource
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import anyio

from glmclient import AsyncClient, StreamCancelled, SyncClient

WARM_UP = 200
SPARE = 8
"""Descriptors and threads that may be about to go."""
SPARE_KIB = 8_000
"""The allocator's own play: less than a kilobyte for each of 10,000 streams."""
SERVER = """
import sys
from glmclient.simulator import Simulator
with Simulator("An answer that goes on. " * 40) as simulated:
    print(simulated.url, flush=True)
    sys.stdin.read()
"""
"""In a process of its own: it remembers every request, and that is not what is measured."""


@dataclass(frozen=True)
class Held:
    """What this process holds."""

    descriptors: int
    threads: int
    peak_kib: int

    @classmethod
    def now(cls) -> Held:
        gc.collect()
        return cls(
            len(os.listdir("/proc/self/fd")),
            threading.active_count(),
            resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        )


def breaks(client: SyncClient, times: int) -> None:
    """Leave a stream after its first event, the variable still alive."""
    for _ in range(times):
        stream = client.stream("hi")
        for _event in stream:
            break


def cancels(client: SyncClient, times: int) -> None:
    """Cancel a stream that is being read."""
    for _ in range(times):
        stream = client.stream("hi")
        next(stream)
        stream.cancel()
        try:
            stream.until_done()
        except StreamCancelled:
            continue
        raise AssertionError("a cancelled stream came to its end")


async def async_breaks(client: AsyncClient, times: int) -> None:
    """The same, awaited."""
    for _ in range(times):
        stream = client.stream("hi")
        async for _event in stream:
            break
        await stream.aclose()


async def async_cancels(client: AsyncClient, times: int) -> None:
    """Cancel the scope around a stream that is being read."""
    for _ in range(times):
        with anyio.CancelScope() as scope:
            async for _event in client.stream("hi"):
                scope.cancel()
                await anyio.lowlevel.checkpoint()


@contextmanager
def simulated() -> Iterator[str]:
    """Run a simulated service in another process and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield process.stdout.readline().strip()
    finally:
        process.communicate(timeout=30)


def soak(times: int) -> list[str]:
    """Run all of it and return what grew."""
    grown: list[str] = []
    with simulated() as url:
        for backend in ("asyncio", "trio"):

            async def both(work: Callable[..., object], count: int) -> None:
                async with AsyncClient(base_url=url, trust_env=False) as client:
                    await work(client, count)  # type: ignore[misc]

            for work in (async_breaks, async_cancels):
                name = f"{work.__name__} on {backend}"
                grown += _watched(
                    name, lambda n, w=work, b=backend: anyio.run(both, w, n, backend=b), times
                )
        with SyncClient(base_url=url, trust_env=False) as client:
            for plain in (breaks, cancels):
                grown += _watched(plain.__name__, lambda n, w=plain: w(client, n), times)
    return grown


def _watched(name: str, run: Callable[[int], None], times: int) -> list[str]:
    run(min(WARM_UP, times))
    before, began = Held.now(), time.monotonic()
    run(times)
    after = Held.now()
    print(
        f"{name}: {times} times in {time.monotonic() - began:.1f} s; {before} -> {after}",
        flush=True,
    )
    grown = []
    if after.descriptors > before.descriptors + SPARE:
        grown.append(f"{name}: descriptors {before.descriptors} -> {after.descriptors}")
    if after.threads > before.threads + SPARE:
        grown.append(f"{name}: threads {before.threads} -> {after.threads}")
    if after.peak_kib > before.peak_kib + SPARE_KIB:
        grown.append(f"{name}: memory {before.peak_kib} -> {after.peak_kib} KiB")
    return grown


def main() -> None:
    """Soak, and exit with 1 if anything grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=10_000, help="streams of each kind")
    grown = soak(parser.parse_args().times)
    print("nothing grew" if not grown else "\n".join(["grew:", *grown]))
    sys.exit(bool(grown))


if __name__ == "__main__":
    main()
