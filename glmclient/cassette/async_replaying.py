"""The asynchronous half of replaying, on asyncio and trio."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.lowlevel

from ..core.exchange import Read, Release, Send
from ..core.http import Head
from ..errors import TransportFailure
from ..transports.base import AsyncChannel
from ..transports.httpx.event_loop import EventLoop
from .entries import Happening
from .replaying import Playback, Replay, ReplayTransport

__all__ = ["AsyncReplayTransport"]


class _AsyncChannel:
    """Plays recorded exchanges to one exchange of a client."""

    def __init__(self, replay: Replay, base_url: str) -> None:
        self._replay = replay
        self._base_url = base_url
        self._playback: Playback | None = None
        self._loop: EventLoop | None = None
        self._cancelled = False
        self._woken: anyio.Event | None = None

    async def send(self, step: Send) -> Head:
        self._loop = EventLoop.current()
        self._check()
        found = self._replay.take(step.request, self._base_url, farewell=step.farewell)
        playback = self._playback = Playback(self._replay, found, step)
        return playback.head(await self._wait(*playback.next(step.deadline)), step.deadline)

    async def read(self, step: Read) -> bytes:
        self._check()
        playback = self._playback
        assert playback is not None, "a body is read after its head"
        return playback.chunk(await self._wait(*playback.next(step.deadline)), step.deadline)

    async def _wait(self, happening: Happening | None, seconds: float) -> Happening | None:
        await anyio.lowlevel.checkpoint()  # as a network would: other tasks get their turn
        if seconds > 0:
            await self._pause(seconds)
        self._check()
        return happening

    async def _pause(self, seconds: float) -> None:
        self._woken = anyio.Event()
        with anyio.move_on_after(seconds):
            await self._woken.wait()

    async def sleep(self, seconds: float) -> None:
        if self._replay.speed is not None:
            await self._pause(seconds / self._replay.speed)
        self._check()

    async def release(self, step: Release) -> None:
        self._playback = None

    async def aclose(self) -> None:
        self._playback = None

    def cancel(self) -> None:
        self._cancelled = True
        if self._loop is not None and self._woken is not None:
            self._loop.call_soon(self._woken.set)

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        if self._loop is not None:
            self._loop.spawn(function)

    def _check(self) -> None:
        if self._cancelled:
            raise TransportFailure("cancelled")


class AsyncReplayTransport(ReplayTransport):
    """The mirror of `SyncReplayTransport`, for `AsyncClient`.

    Args:
        replay: the cassette, or its path; a path is played as fast as it can be read.
        base_url: the address of the service; a client that uses the transport replaces it with its own.
    """

    def open(self) -> AsyncChannel:
        """Return a channel for one exchange."""
        return _AsyncChannel(self._replay, self._base_url)

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""
