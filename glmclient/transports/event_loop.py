"""The event loop a channel lives on, asyncio's or trio's, reached from any thread."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["EventLoop"]

_tasks: set[Any] = set()
"""asyncio holds tasks weakly: what is to run to its end must be held."""


class EventLoop:
    """A running loop that can be asked, from any thread and from a finalizer, to do something soon.

    Args:
        key: the same for the same loop, and for no other that is alive.
        call_soon: calls a function on the loop, soon.
        spawn: runs a coroutine function on the loop, soon; its errors are the function's own business.
    """

    __slots__ = ("_call_soon", "_spawn", "key")

    def __init__(
        self,
        key: Any,
        call_soon: Callable[[Callable[[], object]], object],
        spawn: Callable[[Callable[[], Awaitable[None]]], object],
    ) -> None:
        self.key = key
        self._call_soon = call_soon
        self._spawn = spawn

    @classmethod
    def current(cls) -> EventLoop:
        """Return the running loop."""
        trio = sys.modules.get("trio")
        if trio is not None:
            with contextlib.suppress(RuntimeError):
                token = trio.lowlevel.current_trio_token()
                return cls(token, token.run_sync_soon, trio.lowlevel.spawn_system_task)
        import asyncio

        loop = asyncio.get_running_loop()

        def spawn(function: Callable[[], Awaitable[None]]) -> None:
            task = asyncio.ensure_future(function(), loop=loop)
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

        return cls(loop, loop.call_soon_threadsafe, spawn)

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call ``function`` on the loop; nothing happens if the loop is over."""
        # asyncio raises RuntimeError on a closed loop, trio RunFinishedError, which is one.
        with contextlib.suppress(RuntimeError):
            self._call_soon(function)

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run ``function`` as a task of its own; nothing happens if the loop is over."""
        self.call_soon(lambda: self._spawn(function))
