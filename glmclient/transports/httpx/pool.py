"""The connections of one asynchronous client: each belongs to one event loop, and is lent to one channel at a time.

A client may be used from several event loops, one after the other or in several threads at once. A connection works
on the loop that opened it and on no other, so each loop has a `_Store` of its own, and only that loop closes what is
in it. Connections are kept in a list, last in, first out: a pool that looks at every connection for every event of a
request's life is quadratic in the streams.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Generic, TypeAlias, TypeVar

import anyio

from .event_loop import EventLoop

__all__ = ["Key", "Lines"]

IDLE_CONNECTIONS = 100

Key: TypeAlias = tuple[str, "str | None"]
"""The origin and the proxy that a connection serves."""
L = TypeVar("L")


class _Store(Generic[L]):
    """What one event loop of one process holds open."""

    __slots__ = ("close", "idle", "keeper", "keeping", "lent", "loop", "over", "process")

    def __init__(self, loop: EventLoop, close: Callable[[L], Awaitable[None]]) -> None:
        self.loop = loop
        self.process = os.getpid()
        self.close = close
        self.idle: dict[Key, list[L]] = {}
        self.lent: dict[L, Any] = {}
        """What is in use, and what must live as long as it is."""
        self.keeping = True
        """Connections that come back are kept for the next exchange."""
        self.over = False
        """The event loop has ended."""
        self.keeper: AsyncGenerator[None, None] | None = None

    @property
    def alive(self) -> bool:
        """Whether the loop can still use the store. A forked child never uses its parent's connections."""
        return not self.over and self.process == os.getpid() and not self.loop.is_closed()

    async def close_idle(self) -> None:
        idle, self.idle = self.idle, {}
        for line in [line for lines in idle.values() for line in lines]:
            await self.close(line)

    async def until_the_end(self) -> AsyncGenerator[None, None]:
        """Close every connection when the event loop ends, or when nothing refers to this generator any more.

        An event loop ends the asynchronous generators that were begun on it: no other notice of its end exists.
        """
        try:
            yield
        finally:
            self.over = True
            # Without hooks for asynchronous generators (nest_asyncio), the garbage collector ends this one, when
            # nothing can be awaited any more.
            if self.loop.is_running_here():
                await self.close_all()

    async def close_all(self) -> None:
        with anyio.CancelScope(shield=True):
            await self.close_idle()
            for line in list(self.lent):
                await self.close(line)


class Lines(Generic[L]):
    """The open connections, by event loop, and which of them are free.

    Args:
        connect: makes a connection; it may open it later.
        close: closes one, and raises nothing if it is broken or closed.
    """

    def __init__(self, connect: Callable[[Key], L], close: Callable[[L], Awaitable[None]]) -> None:
        self._connect = connect
        self._close = close
        self._stores: dict[int, _Store[L]] = {}
        """By the identity of the loop; a store refers to its loop, so that no other loop gets the same identity."""
        self._lock = threading.Lock()

    async def borrow(self, key: Key) -> tuple[L, bool]:
        """Return the connection to ``key`` that was used last, or a new one, and whether it was used."""
        store = self._store_here()
        if store is None:
            store = await self._new_store()
        store.keeping = True
        lines = store.idle.get(key)
        line = lines.pop() if lines else None
        reused = line is not None
        if line is None:
            line = self._connect(key)
        store.lent[line] = None
        return line, reused

    def _store_here(self) -> _Store[L] | None:
        store = self._stores.get(id(EventLoop.current().key))
        return store if store is not None and store.alive else None

    async def _new_store(self) -> _Store[L]:
        loop = EventLoop.current()
        store = _Store(loop, self._close)
        with self._lock:
            self._stores = {k: each for k, each in self._stores.items() if each.alive}
            self._stores[id(loop.key)] = store
        store.keeper = store.until_the_end()
        await anext(store.keeper)
        return store

    def hold(self, line: L, companion: object) -> None:
        """Keep ``companion`` as long as ``line`` is in use, so that no garbage collection ends it first."""
        store = self._store_here()
        if store is not None and line in store.lent:
            store.lent[line] = companion

    async def give_back(self, key: Key, line: L) -> None:
        """Keep a free connection for the next exchange."""
        store = self._store_here()
        if store is None or line not in store.lent or not store.keeping:
            await self.discard(line)
            return
        del store.lent[line]
        lines = store.idle.setdefault(key, [])
        if len(lines) < IDLE_CONNECTIONS:
            lines.append(line)
        else:
            await self._close(line)

    async def discard(self, line: L) -> None:
        """Close a connection that does not serve again, on the loop that it belongs to."""
        here = self._store_here()
        for store in list(self._stores.values()):
            if line in store.lent:
                del store.lent[line]
                if store is not here:
                    if store.alive:
                        store.loop.spawn(lambda: self._close(line))
                    return
        await self._close(line)

    async def aclose(self) -> None:
        """Close what is free, on every loop; a later exchange opens anew."""
        here = self._store_here()
        with self._lock:
            stores, self._stores = list(self._stores.values()), {}
        for store in stores:
            store.keeping = False
            if store.lent:
                with self._lock:  # it ends when its connections come back
                    self._stores[id(store.loop.key)] = store
            if store is here:
                await store.close_idle()
                if not store.lent and store.keeper is not None:
                    await store.keeper.aclose()
            elif store.alive:
                store.loop.spawn(store.close_idle)
