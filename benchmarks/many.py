"""Many questions: ``python -m benchmarks.many PEER URL``; one line of JSON.

Each peer asks `ROWS` questions, `AT_ONCE` at a time, over connections that stay open, and gets the text of each answer
out of its 20 events. The figure that counts is the processor time of a row in the client's process. The peers that
write a file write a line of JSON for each row.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from .measure import measured
from .peers import BODY

ROWS = 2_000
WARM_UP = 200
AT_ONCE = 32


def _rows(count: int) -> Iterator[dict[str, str]]:
    return ({"id": str(number), "prompt": "hi"} for number in range(count))


def _body(_: Any) -> dict[str, Any]:
    return BODY


# -- ours --------------------------------------------------------------------------------------------------


def ours_sync(url: str) -> Callable[[int], int]:
    from glmclient import SyncClient

    client = SyncClient("zai", api_key="k", base_url=url)

    def work(count: int) -> int:
        results = client.map(_rows(count), concurrency=AT_ONCE)
        return sum(len(result.reply.text) for result in results if result.reply is not None)

    return work


def ours_async(url: str, **options: Any) -> Callable[[int], Any]:
    from glmclient import AsyncClient

    client = AsyncClient("zai", api_key="k", base_url=url, **options)

    async def work(count: int) -> int:
        characters = 0
        async for result in client.map(_rows(count), concurrency=AT_ONCE):
            characters += len(result.reply.text) if result.reply is not None else 0
        return characters

    return work


def ours_aiohttp(url: str) -> Callable[[int], Any]:
    return ours_async(url, http_backend="aiohttp")


def ours_batch(url: str) -> Callable[[int], int]:
    """`SyncClient.batch`: `map`, and each answer in a file that survives the process."""
    from glmclient import SyncClient

    client = SyncClient("zai", api_key="k", base_url=url)

    def work(count: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "out.jsonl")
            client.batch(_rows(count), output, concurrency=AT_ONCE)
            return _characters(output)

    return work


def ours_batch_aiohttp(url: str) -> Callable[[int], Any]:
    """`AsyncClient.batch` on aiohttp."""
    from glmclient import AsyncClient

    client = AsyncClient("zai", api_key="k", base_url=url, http_backend="aiohttp")

    async def work(count: int) -> int:
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder, "out.jsonl")
            await client.batch(_rows(count), output, concurrency=AT_ONCE)
            return _characters(output)

    return work


def _characters(output: Path) -> int:
    with output.open(encoding="utf-8") as lines:
        return sum(len(json.loads(line)["text"]) for line in lines)


# -- peers in threads --------------------------------------------------------------------------------------


def _in_threads(ask: Callable[[Any], int]) -> Callable[[int], int]:
    pool = ThreadPoolExecutor(AT_ONCE)
    return lambda count: sum(pool.map(ask, _rows(count)))


def _text_of(line: bytes | str) -> str:
    """Return the text of a line of the stream."""
    data = line[6:]
    if not data or data in ("[DONE]", b"[DONE]"):
        return ""
    choices = json.loads(data)["choices"]
    return str(choices[0]["delta"].get("content") or "") if choices else ""


def requests_threads(url: str) -> Callable[[int], int]:
    """A session of requests, threads, and ``json.loads`` for each event."""
    import requests
    from requests.adapters import HTTPAdapter

    session = requests.Session()
    session.mount("http://", HTTPAdapter(pool_maxsize=AT_ONCE))
    address = f"{url}/chat/completions"

    def ask(row: Any) -> int:
        with session.post(address, json=_body(row), stream=True) as response:
            return sum(len(_text_of(line)) for line in response.iter_lines(65536))

    return _in_threads(ask)


def openai_threads(url: str) -> Callable[[int], int]:
    import openai

    client = openai.OpenAI(api_key="k", base_url=url, max_retries=0)

    def ask(row: Any) -> int:
        answer = client.chat.completions.create(**_body(row))
        return sum(len(part.choices[0].delta.content or "") for part in answer if part.choices)

    return _in_threads(ask)


# -- peers on an event loop --------------------------------------------------------------------------------


def _in_tasks(ask: Callable[[Any], Any]) -> Callable[[int], Any]:
    async def worker(rows: Iterator[Any]) -> int:
        return sum([await ask(row) for row in rows])

    async def work(count: int) -> int:
        rows = _rows(count)
        return sum(await asyncio.gather(*(worker(rows) for _ in range(AT_ONCE))))

    return work


def httpx_tasks(url: str) -> Callable[[int], Any]:
    """A client of httpx, tasks, and ``json.loads`` for each event."""
    import httpx

    client = httpx.AsyncClient(trust_env=False, timeout=60)
    address = f"{url}/chat/completions"

    async def ask(row: Any) -> int:
        characters = 0
        async with client.stream("POST", address, json=_body(row)) as response:
            async for line in response.aiter_lines():
                characters += len(_text_of(line))
        return characters

    return _in_tasks(ask)


def aiohttp_tasks(url: str) -> Callable[[int], Any]:
    """A session of aiohttp, tasks, and ``json.loads`` for each event."""
    import aiohttp

    sessions: list[Any] = []
    address = f"{url}/chat/completions"

    async def ask(row: Any) -> int:
        if not sessions:
            sessions.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
        characters = 0
        async with sessions[0].post(address, json=_body(row)) as response:
            async for line in response.content:
                characters += len(_text_of(line.rstrip()))
        return characters

    return _in_tasks(ask)


def openai_tasks(url: str) -> Callable[[int], Any]:
    import openai

    client = openai.AsyncOpenAI(api_key="k", base_url=url, max_retries=0)

    async def ask(row: Any) -> int:
        characters = 0
        async for part in await client.chat.completions.create(**_body(row)):
            characters += len(part.choices[0].delta.content or "") if part.choices else 0
        return characters

    return _in_tasks(ask)


PEERS: dict[str, Callable[[str], Callable[[int], Any]]] = {
    "ours_sync": ours_sync,
    "ours_async": ours_async,
    "ours_aiohttp": ours_aiohttp,
    "ours_batch": ours_batch,
    "ours_batch_aiohttp": ours_batch_aiohttp,
    "requests_threads": requests_threads,
    "openai_threads": openai_threads,
    "httpx_tasks": httpx_tasks,
    "aiohttp_tasks": aiohttp_tasks,
    "openai_tasks": openai_tasks,
}


def main() -> None:
    peer, url = sys.argv[1:3]
    rows = int(sys.argv[3]) if len(sys.argv) > 3 else ROWS
    work = PEERS[peer](url)

    async def measure() -> None:
        await _whole(work(WARM_UP))
        with measured(peer=peer, rows=rows) as result:
            result["characters"] = await _whole(work(rows))

    asyncio.run(measure())


async def _whole(result: Any) -> Any:
    return await result if asyncio.iscoroutine(result) else result


if __name__ == "__main__":
    main()
