"""Works that are not one long stream: ``python -m benchmarks.scenarios SCENARIO PEER URL``; one line of JSON each."""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
import tracemalloc
import urllib.request
from collections.abc import Callable
from typing import Any

from .measure import cpu, measured, peak_kib
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
    with measured(peer=peer, scenario="reuse") as result:
        if asyncio.iscoroutinefunction(read):

            async def streams() -> None:
                for _ in range(STREAMS_IN_A_ROW):
                    await read()

            asyncio.run(streams())
        else:
            for _ in range(STREAMS_IN_A_ROW):
                read()
    print(json.dumps({"peer": peer, "scenario": "reuse", "connections": _connections(url) - before - 1}))


def at_once(peer: str, url: str) -> None:
    """1,000 streams of 100 events at once, one client."""
    asyncio.run(_at_once(peer, url))


async def _at_once(peer: str, url: str) -> None:
    read = CONCURRENT[peer](url)
    before = peak_kib()
    with measured(peer=peer, scenario="at_once") as result:
        outcomes = await asyncio.gather(*(read() for _ in range(STREAMS_AT_ONCE)), return_exceptions=True)
        good = [n for n in outcomes if isinstance(n, int)]
        result["events"] = sum(good)
        result["errors"] = len(outcomes) - len(good)
        result["first_error"] = next((repr(e)[:200] for e in outcomes if not isinstance(e, int)), None)
        result["kib_a_stream"] = (peak_kib() - before) / STREAMS_AT_ONCE


def _ours(url: str) -> Callable[[], Any]:
    from glmclient import AsyncClient

    client = AsyncClient("zai", api_key="k", base_url=url)

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
        api_key="k", base_url=url, max_retries=0, http_client=openai.DefaultAsyncHttpxClient(limits=limits, timeout=300)
    )

    async def read() -> int:
        events = 0
        async for part in await client.chat.completions.create(**BODY):
            events += bool(part.choices)
        return events

    return read


def _httpx(url: str) -> Callable[[], Any]:
    import httpx

    client = httpx.AsyncClient(limits=httpx.Limits(max_connections=None, max_keepalive_connections=None), timeout=300)

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
    "openai_async": _openai,
    "httpx_drain": _httpx,
    "aiohttp_drain": _aiohttp,
}


def imports(peer: str, _: str) -> None:
    """Processor time of an import, in this process alone."""
    name = {"bare": "sys", "ours": "glmclient", "ours_events": "glmclient.events", "zai": "zai"}.get(peer, peer)
    wall, before = time.perf_counter(), cpu()
    __import__(name)
    print(json.dumps({"peer": peer, "scenario": "imports", "cpu": cpu() - before, "wall": time.perf_counter() - wall}))


def first_event(peer: str, url: str) -> None:
    """Milliseconds to the first event: warm, and with a new client each time."""
    times = asyncio.run(_first_async(peer, url)) if peer in ("ours_async", "httpx_drain") else _first_sync(peer, url)
    warm, new = (1e3 * statistics.median(side[5:]) for side in times)
    print(json.dumps({"peer": peer, "scenario": "first_event", "warm_ms": warm, "new_ms": new}))


def _first_sync(peer: str, url: str) -> tuple[list[float], list[float]]:
    address = f"{url}/chat/completions"
    if peer == "ours_sync":
        from glmclient import SyncClient

        def make() -> Any:
            return SyncClient("zai", api_key="k", base_url=url)

        def first(client: Any) -> None:
            with client.stream("hi") as stream:
                next(stream)
                stream.until_done()
    else:
        import requests

        make = requests.Session

        def first(client: Any) -> None:
            with client.post(address, json=BODY, stream=True) as response:
                response.raw.read1(65536)
                while response.raw.read1(65536):
                    pass

    client, warm, new = make(), [], []
    for _ in range(FIRST_EVENTS):
        begin = time.perf_counter()
        first(client)
        warm.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        fresh = make()
        first(fresh)
        new.append(time.perf_counter() - begin)
        fresh.close()
    return warm, new


async def _first_async(peer: str, url: str) -> tuple[list[float], list[float]]:
    if peer == "ours_async":
        from glmclient import AsyncClient

        def make() -> Any:
            return AsyncClient("zai", api_key="k", base_url=url)

        async def first(client: Any) -> None:
            async with client.stream("hi") as stream:
                await stream.until_done()
    else:
        import httpx

        make = httpx.AsyncClient

        async def first(client: Any) -> None:
            async with client.stream("POST", f"{url}/chat/completions", json=BODY) as response:
                async for _ in response.aiter_raw():
                    pass

    client, warm, new = make(), [], []
    for _ in range(FIRST_EVENTS):
        begin = time.perf_counter()
        await first(client)
        warm.append(time.perf_counter() - begin)
        begin = time.perf_counter()
        fresh = make()
        await first(fresh)
        new.append(time.perf_counter() - begin)
        await fresh.aclose()
    await client.aclose()
    return warm, new


def memory(peer: str, url: str) -> None:
    """Bytes held at the most while a long answer streams, beside the answer's own size."""
    read = PEERS[peer](url, "platform")
    read()
    tracemalloc.start()
    _, characters = read()
    _, peak = tracemalloc.get_traced_memory()
    print(json.dumps({"peer": peer, "scenario": "memory", "peak_bytes": peak, "characters": characters}))


SCENARIOS = {
    "reuse": reuse,
    "at_once": at_once,
    "imports": imports,
    "first_event": first_event,
    "memory": memory,
}

if __name__ == "__main__":
    SCENARIOS[sys.argv[1]](sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else "")
