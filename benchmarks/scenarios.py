"""Works that are not one long stream: ``python -m benchmarks.scenarios SCENARIO PEER URL``; one line of JSON each."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import tracemalloc
import urllib.request
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

from .measure import measured, open_files, peak_kib
from .peers import BODY, PEERS

STREAMS_IN_A_ROW = 30
STREAMS_AT_ONCE = 1_000
FIRST_EVENTS = 40


def _connections(url: str) -> int:
    root = "/".join(url.split("/", 3)[:3])
    with urllib.request.urlopen(f"{root}/connections") as response:
        return int(response.read())


def reuse(peer: str, url: str) -> None:
    """Connections that 30 streams use, one after the other; the two look-ups use one each."""
    before = _connections(url)
    read = PEERS[peer](url, "platform")
    with measured(peer=peer, scenario="reuse"):
        if asyncio.iscoroutinefunction(read):

            async def streams() -> None:
                for _ in range(STREAMS_IN_A_ROW):
                    await read()

            asyncio.run(streams())
        else:
            for _ in range(STREAMS_IN_A_ROW):
                read()
    print(
        json.dumps(
            {"peer": peer, "scenario": "reuse", "connections": _connections(url) - before - 1}
        )
    )


def at_once(peer: str, url: str) -> None:
    """1,000 streams of 100 events at once, one client."""
    asyncio.run(_at_once(peer, url))


async def _at_once(peer: str, url: str) -> None:
    open_files(2 * STREAMS_AT_ONCE)
    read = CONCURRENT[peer](url)
    before = peak_kib()
    with measured(peer=peer, scenario="at_once") as result:
        outcomes = await asyncio.gather(
            *(read() for _ in range(STREAMS_AT_ONCE)), return_exceptions=True
        )
        good = [n for n in outcomes if isinstance(n, int)]
        result["events"] = sum(good)
        result["errors"] = len(outcomes) - len(good)
        result["first_error"] = next(
            (repr(e)[:200] for e in outcomes if not isinstance(e, int)), None
        )
        result["kib_a_stream"] = (peak_kib() - before) / STREAMS_AT_ONCE


def _ours(url: str, **options: Any) -> Callable[[], Any]:
    from glmclient import AsyncClient

    client = AsyncClient("zai", api_key="k", base_url=url, **options)

    async def read() -> int:
        events = 0
        async for _ in client.stream("hi"):
            events += 1
        return events

    return read


def _openai(url: str) -> Callable[[], Any]:
    import httpx
    import openai

    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    client = openai.AsyncOpenAI(
        api_key="k",
        base_url=url,
        max_retries=0,
        http_client=openai.DefaultAsyncHttpxClient(limits=limits, timeout=300),
    )

    async def read() -> int:
        events = 0
        async for part in await client.chat.completions.create(**BODY):
            events += bool(part.choices)
        return events

    return read


def _httpx(url: str) -> Callable[[], Any]:
    import httpx

    client = httpx.AsyncClient(
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None), timeout=300
    )

    async def read() -> int:
        events = 0
        async with client.stream("POST", f"{url}/chat/completions", json=BODY) as response:
            async for data in response.aiter_raw():
                events += data.count(b'"delta"')
        return events

    return read


def _aiohttp(url: str) -> Callable[[], Any]:
    import aiohttp

    session: list[Any] = []

    async def read() -> int:
        if not session:
            session.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        events = 0
        async with session[0].post(f"{url}/chat/completions", json=BODY) as response:
            async for data in response.content.iter_any():
                events += data.count(b'"delta"')
        return events

    return read


CONCURRENT: dict[str, Callable[[str], Callable[[], Any]]] = {
    "ours_async": _ours,
    "ours_aiohttp": partial(_ours, http_backend="aiohttp"),
    "openai_async": _openai,
    "httpx_drain": _httpx,
    "aiohttp_drain": _aiohttp,
}


def first_event(peer: str, url: str) -> None:
    """Milliseconds to the first event: warm, and with a new client each time."""
    times = asyncio.run(_first_async(peer, url)) if peer in FIRST_ASYNC else _first_sync(peer, url)
    warm, new = (1e3 * statistics.median(side[5:]) for side in times)
    print(json.dumps({"peer": peer, "scenario": "first_event", "warm_ms": warm, "new_ms": new}))


def _first_sync(peer: str, url: str) -> tuple[list[float], list[float]]:
    make, first = FIRST_SYNC[peer](url)
    client, warm, new = make(), [], []
    for _ in range(FIRST_EVENTS):
        warm.append(first(client, time.perf_counter()))
        begin = time.perf_counter()
        fresh = make()
        new.append(first(fresh, begin))
        fresh.close()
    return warm, new


async def _first_async(peer: str, url: str) -> tuple[list[float], list[float]]:
    make, first = FIRST_ASYNC[peer](url)
    client, warm, new = make(), [], []
    for _ in range(FIRST_EVENTS):
        warm.append(await first(client, time.perf_counter()))
        begin = time.perf_counter()
        fresh = make()
        new.append(await first(fresh, begin))
        await fresh.aclose()
    await client.aclose()
    return warm, new


def _first_ours_sync(url: str) -> tuple[Callable[[], Any], Callable[[Any, float], float]]:
    from glmclient import SyncClient

    def first(client: Any, begin: float) -> float:
        with client.stream("hi") as stream:
            next(stream)
            seconds = time.perf_counter() - begin
            stream.until_done()
        return seconds

    return partial(SyncClient, "zai", api_key="k", base_url=url), first


def _first_requests(url: str) -> tuple[Callable[[], Any], Callable[[Any, float], float]]:
    import requests

    def first(client: Any, begin: float) -> float:
        with client.post(f"{url}/chat/completions", json=BODY, stream=True) as response:
            response.raw.read1(65536)
            seconds = time.perf_counter() - begin
            while response.raw.read1(65536):
                pass
        return seconds

    return requests.Session, first


def _first_ours(url: str, **options: Any) -> tuple[Callable[[], Any], Callable[[Any, float], Any]]:
    from glmclient import AsyncClient

    async def first(client: Any, begin: float) -> float:
        async with client.stream("hi") as stream:
            await anext(stream)
            seconds = time.perf_counter() - begin
            await stream.until_done()
        return seconds

    return partial(AsyncClient, "zai", api_key="k", base_url=url, **options), first


def _first_httpx(url: str) -> tuple[Callable[[], Any], Callable[[Any, float], Any]]:
    import httpx

    async def first(client: Any, begin: float) -> float:
        seconds = 0.0
        async with client.stream("POST", f"{url}/chat/completions", json=BODY) as response:
            async for _ in response.aiter_raw():
                seconds = seconds or time.perf_counter() - begin
        return seconds

    return httpx.AsyncClient, first


FIRST_SYNC: dict[str, Any] = {"ours_sync": _first_ours_sync, "requests_drain": _first_requests}
FIRST_ASYNC: dict[str, Any] = {
    "ours_async": _first_ours,
    "ours_aiohttp": partial(_first_ours, http_backend="aiohttp"),
    "httpx_drain": _first_httpx,
}


def memory(peer: str, url: str, work: str) -> None:
    """KiB held at the most while a long answer streams and is kept, beside the answer's own size."""
    read = PEERS[peer](url, work)

    if asyncio.iscoroutinefunction(read):

        async def run() -> int:
            await read()
            tracemalloc.start()
            return int((await read())[1])

        characters = asyncio.run(run())
    else:
        read()
        tracemalloc.start()
        characters = read()[1]
    _, peak = tracemalloc.get_traced_memory()
    figures = {"peak_kib": peak / 1024, "answer_kib": characters / 1024}
    print(json.dumps({"peer": peer, "scenario": "memory", **figures}))


SCENARIOS: dict[str, Callable[..., None]] = {
    "reuse": reuse,
    "at_once": at_once,
    "first_event": first_event,
    "memory": memory,
}

if __name__ == "__main__":
    warnings.simplefilter("ignore", ResourceWarning)  # peers are measured, not closed
    SCENARIOS[sys.argv[1]](*sys.argv[2:])
