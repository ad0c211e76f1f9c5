"""Connections of the asynchronous client whose answer is complete and whose body is still open.

A task of its own reads such a body to its end, so that neither the reader's loop nor the next request waits for it.
Then the connection serves again; if the end does not come within `LINGER_SECONDS`, it is closed.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from functools import partial

import anyio
import httpx

from ...core.exchange import Release
from ..endings import LINGER_SECONDS, Endings
from .event_loop import EventLoop
from .pool import Key, Lines

__all__ = ["GONE", "OpenBodies", "close_response", "give_back", "will_close"]

GONE = (
    httpx.HTTPError,
    httpx.StreamError,
    OSError,
    anyio.BrokenResourceError,
    anyio.ClosedResourceError,
)
"""What closing a connection raises that is closed already, or broken."""


class OpenBodies:
    """The connections of one client whose bodies are still open.

    Args:
        lines: where connections go back to.
    """

    def __init__(self, lines: Lines[httpx.AsyncBaseTransport]) -> None:
        self.endings: Endings = Endings()
        self._lines = lines
        self._bodies: set[_OpenBody] = set()

    async def finish(
        self,
        key: Key,
        line: httpx.AsyncBaseTransport,
        response: httpx.Response,
        chunks: AsyncIterator[bytes],
        step: Release,
    ) -> None:
        """Read a body to its end and give its connection back, in a task of its own.

        This method waits for it as long as ``step`` says.
        """
        body = _OpenBody(EventLoop.current(), step.max_bytes)
        self._bodies.add(body)
        body.loop.spawn(partial(self._finish, body, key, line, response, chunks))
        with anyio.move_on_after(self.endings.patience(key[0], step.seconds)):
            await body.done.wait()
        if not self.endings.expected(key[0]):
            await body.stop()

    async def _finish(
        self,
        body: _OpenBody,
        key: Key,
        line: httpx.AsyncBaseTransport,
        response: httpx.Response,
        chunks: AsyncIterator[bytes],
    ) -> None:
        ended = False
        try:
            with body.scope, contextlib.suppress(*GONE):
                ended = await body.read(chunks)
        finally:
            self.endings.note(key[0], ended=ended)
            with anyio.CancelScope(shield=True):
                try:
                    if ended:
                        await give_back(self._lines, key, line, response)
                    else:
                        await _close(self._lines, line, response, chunks)
                finally:
                    self._bodies.discard(body)
                    body.done.set()

    async def aclose(self) -> None:
        """Close the connections: those of this event loop now, those of others soon."""
        for body in list(self._bodies):
            await body.stop()


class _OpenBody:
    """The task that reads one body to its end."""

    __slots__ = ("done", "loop", "max_bytes", "scope")

    def __init__(self, loop: EventLoop, max_bytes: int) -> None:
        self.loop = loop
        self.max_bytes = max_bytes
        self.scope: anyio.CancelScope = anyio.CancelScope(
            deadline=anyio.current_time() + LINGER_SECONDS
        )
        self.done: anyio.Event = anyio.Event()

    async def read(self, chunks: AsyncIterator[bytes]) -> bool:
        """Return whether the body ended within its bound."""
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if size >= self.max_bytes:
                return False
        return True

    async def stop(self) -> None:
        """Close the connection; on another event loop, soon."""
        if self.loop.is_running_here():
            self.scope.cancel()
            await self.done.wait()
        else:
            self.loop.call_soon(self.scope.cancel)


async def give_back(
    lines: Lines[httpx.AsyncBaseTransport],
    key: Key,
    line: httpx.AsyncBaseTransport,
    response: httpx.Response,
) -> None:
    """Give a connection back whose body has ended."""
    try:
        await response.aclose()
    except BaseException:
        # Cancelled meanwhile: the connection must not stay in the list of those in use.
        await _close(lines, line, None, None)
        raise
    if will_close(response):
        await lines.discard(line)
    else:
        await lines.give_back(key, line)


def will_close(response: httpx.Response) -> bool:
    """Return whether the server closes the connection after this response."""
    value: str = response.headers.get("connection", "")
    return value.lower() == "close"


async def _close(
    lines: Lines[httpx.AsyncBaseTransport],
    line: httpx.AsyncBaseTransport,
    response: httpx.Response | None,
    chunks: AsyncIterator[bytes] | None,
) -> None:
    try:
        await close_response(response, chunks)
    finally:
        await lines.discard(line)


async def close_response(
    response: httpx.Response | None, chunks: AsyncIterator[bytes] | None
) -> None:
    """Close a response, and end httpx's nested generators through the error of their closed connection.

    Left to the garbage collector, each of them would be a task on asyncio and a warning on trio.
    """
    if response is not None:
        with contextlib.suppress(*GONE):
            await response.aclose()
    if chunks is not None:
        with contextlib.suppress(*GONE):
            async for _ in chunks:
                continue
