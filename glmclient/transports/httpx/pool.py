"""The connections of one asynchronous client, each lent to one channel at a time, on one event loop at a time.

They are kept in a list, last in, first out: a pool that looks at every connection for every event of a request's life
is quadratic in the streams.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeAlias, TypeVar

import anyio

from .event_loop import EventLoop

__all__ = ["Key", "Lines"]

IDLE_CONNECTIONS = 100

Key: TypeAlias = tuple[str, "str | None"]
"""The origin and the proxy that a connection serves."""
L = TypeVar("L")


class _Home(Generic[L]):
    """What one event loop of one process holds open."""

    __slots__ = ("close", "idle", "keeping", "key", "lent")

    def __init__(self, key: tuple[int, Any], close: Callable[[L], Awaitable[None]]) -> None:
        self.key = key
        self.close = close
        self.idle: dict[Key, list[L]] = {}
        self.lent: dict[L, Any] = {}
        """What is in use, and what must live as long as it is."""
        self.keeping = True
        """Connections that come back are kept for the next exchange."""

    async def close_idle(self) -> None:
        idle, self.idle = self.idle, {}
        for line in [line for lines in idle.values() for line in lines]:
            await self.close(line)

    async def until_the_end(self) -> AsyncGenerator[None, None]:
        """Close every connection when the event loop ends, or when nobody refers to this generator any more.

        An event loop ends the asynchronous generators that were begun on it: that is the one way to hear of its end.
        """
        try:
            yield
        finally:
            with anyio.CancelScope(shield=True):
                await self.close_idle()
                for line in list(self.lent):
                    await self.close(line)


class Lines(Generic[L]):
    """What is open, and what of it is free.

    Args:
        connect: makes a connection; it may open it later.
        close: closes one, and raises nothing if it is broken or closed.
    """

    def __init__(self, connect: Callable[[Key], L], close: Callable[[L], Awaitable[None]]) -> None:
        self._connect = connect
        self._close = close
        self._home: _Home[L] | None = None
        self._keeper: AsyncGenerator[None, None] | None = None

    async def borrow(self, key: Key) -> tuple[L, bool]:
        """Return the connection to ``key`` that was used last, or a new one, and whether it was used."""
        place = _place()
        home = self._home
        if home is None or home.key != place:
            # Connections belong to the loop, and the process, that made them.
            home = self._home = _Home(place, self._close)
            self._keeper = home.until_the_end()
            await anext(self._keeper)
        home.keeping = True
        lines = home.idle.get(key)
        line = lines.pop() if lines else None
        reused = line is not None
        if line is None:
            line = self._connect(key)
        home.lent[line] = None
        return line, reused

    def hold(self, line: L, companion: object) -> None:
        """Keep ``companion`` as long as ``line`` is in use, so that no garbage collection ends it first."""
        if self._home is not None and line in self._home.lent:
            self._home.lent[line] = companion

    async def give_back(self, key: Key, line: L) -> None:
        """Keep a free connection for the next exchange."""
        home = self._home
        if home is None or line not in home.lent or not home.keeping:
            await self.discard(line)
            return
        del home.lent[line]
        lines = home.idle.setdefault(key, [])
        if len(lines) < IDLE_CONNECTIONS:
            lines.append(line)
        else:
            await self._close(line)

    async def discard(self, line: L) -> None:
        """Close a connection that does not serve again."""
        await self._close(line)
        if self._home is not None:
            self._home.lent.pop(line, None)

    async def aclose(self) -> None:
        """Close what is free; a later exchange opens anew."""
        home, keeper = self._home, self._keeper
        if home is None or keeper is None or home.key != _place():
            return
        home.keeping = False
        await home.close_idle()
        if not home.lent:
            self._home = self._keeper = None
            await keeper.aclose()


def _place() -> tuple[int, Any]:
    return os.getpid(), EventLoop.current().key
