"""One question on each kind of client: requests, httpx on asyncio and on trio, aiohttp."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import anyio

from glmclient.testing import Simulator

MODES = ("sync", "asyncio", "trio", "aiohttp")


def on_client(mode: str, simulator: Simulator, action: Callable[[Any], Any], **known: Any) -> Any:
    """Call ``action`` with a client, await what has to be awaited, and return its result."""
    if mode == "sync":
        with simulator.client(**known) as client:
            return action(client)

    async def run() -> Any:
        backend = "aiohttp" if mode == "aiohttp" else "httpx"
        async with simulator.async_client(http_backend=backend, **known) as client:
            result = action(client)
            return await result if inspect.isawaitable(result) else result

    return anyio.run(run, backend="trio" if mode == "trio" else "asyncio")


async def collected(iterator: Any) -> list[Any]:
    """Return the items of an asynchronous iterator."""
    return [item async for item in iterator]
