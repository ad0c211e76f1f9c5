"""One test body for every kind of client: written for the asynchronous one, and run by the blocking one too."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import anyio

from glmclient.testing import Simulator

from ..clients.driver import at_once
from ..schemas.modes import MODES

__all__ = ["MODES", "Body", "run_body", "run_on"]

Body = Callable[[Any], Coroutine[Any, Any, Any]]


class Mirror:
    """A blocking client, conversation, run or stream behind the asynchronous names; its coroutines never wait."""

    def __init__(self, blocking: Any) -> None:
        self.blocking = blocking

    def __getattr__(self, name: str) -> Any:
        value = getattr(self.blocking, name)
        if name in ("run", "conversation", "stream", "fork"):
            return lambda *args, **known: Mirror(value(*args, **known))
        if name in ("chat", "reply", "until_done"):
            return self._awaitable(value)
        return value

    def __repr__(self) -> str:
        return repr(self.blocking)

    @staticmethod
    def _awaitable(function: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **known: Any) -> Any:
            return function(*args, **known)

        return call

    async def aclose(self) -> None:
        self.blocking.close()

    async def __aenter__(self) -> Mirror:
        self.blocking.__enter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.blocking.__exit__(*error)

    def __aiter__(self) -> Any:
        return _Iterator(iter(self.blocking))

    async def __anext__(self) -> Any:
        try:
            return next(self.blocking)
        except StopIteration:
            raise StopAsyncIteration from None

    @property
    def text_stream(self) -> Any:
        return _Iterator(self.blocking.text_stream)


class _Iterator:
    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    def __aiter__(self) -> _Iterator:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None


def run_body(
    mode: str, script: Any, body: Body, provider: str = "openai", **known: Any
) -> tuple[Any, list[Any]]:
    """Run ``body`` with a client of a simulator; return its result and the bodies of the requests."""
    with Simulator(script, provider=provider) as simulator:
        result = run_on(mode, simulator, body, **known)
        return result, [each.json for each in simulator.requests if each.method == "POST"]


def run_on(mode: str, simulator: Simulator, body: Body, **known: Any) -> Any:
    """Run ``body`` with a client of a simulator that is running."""
    if mode == "sync":
        with simulator.client(**known) as client:
            return at_once(body(Mirror(client)))
    return anyio.run(_asynchronous, simulator, mode, body, known, backend=_backend(mode))


def _backend(mode: str) -> str:
    return "trio" if mode == "trio" else "asyncio"


async def _asynchronous(simulator: Simulator, mode: str, body: Body, known: Any) -> Any:
    backend = "aiohttp" if mode == "aiohttp" else "httpx"
    async with simulator.async_client(http_backend=backend, **known) as client:
        return await body(client)
