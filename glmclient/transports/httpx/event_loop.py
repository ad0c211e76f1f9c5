"""The event loop a channel lives on, asyncio's or trio's, reached from any thread."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from ..forks import plain_socket

__all__ = ["EventLoop", "shut_down"]

log: logging.Logger = logging.getLogger("glmclient.stream")

_tasks: set[Any] = set()
"""asyncio holds tasks weakly: what is to run to its end must be held."""


def shut_down(sock: Any) -> None:
    """Shut a socket that an event loop lends down both ways, which ends a read that waits for it.

    asyncio and trio lend an object around the system's socket. Some other loops show no such socket: there it is done
    through a descriptor of our own, which fails if the process has none left.
    """
    plain = plain_socket(sock)
    if plain is not None:
        with contextlib.suppress(OSError):
            plain.shutdown(socket.SHUT_RDWR)
        return
    with (
        contextlib.suppress(OSError, ValueError),
        socket.socket(fileno=os.dup(sock.fileno())) as twin,
    ):
        twin.shutdown(socket.SHUT_RDWR)


class EventLoop:
    """A running loop that can be asked, from any thread and from a finalizer, to do something soon.

    Args:
        key: the same for the same loop, and for no other that is alive.
        call_soon: calls a function on the loop, soon, from any thread.
        start: starts a task on the loop; to be called there.
    """

    __slots__ = ("_call_soon", "_start", "key")

    def __init__(
        self,
        key: Any,
        call_soon: Callable[[Callable[[], object]], object],
        start: Callable[[Callable[[], Awaitable[None]]], object],
    ) -> None:
        self.key: Any = key
        self._call_soon = call_soon
        self._start = start

    @classmethod
    def current(cls) -> EventLoop:
        """Return the running loop.

        Raises:
            RuntimeError: none runs in this thread.
        """
        # Another thread may be in the middle of importing trio: then no trio loop runs in this one.
        lowlevel: Any = getattr(sys.modules.get("trio"), "lowlevel", None)
        current = getattr(lowlevel, "current_trio_token", None)
        if current is not None:
            with contextlib.suppress(RuntimeError):
                token = current()
                return cls(token, token.run_sync_soon, lowlevel.spawn_system_task)
        # Not by an import: a finalizer may ask while the interpreter goes, when nothing can be imported any more.
        asyncio = sys.modules.get("asyncio")
        if asyncio is None:
            raise RuntimeError("no event loop runs here")
        loop = asyncio.get_running_loop()

        def start(function: Callable[[], Awaitable[None]]) -> None:
            task = asyncio.ensure_future(function(), loop=loop)
            _tasks.add(task)
            task.add_done_callback(_tasks.discard)

        return cls(loop, loop.call_soon_threadsafe, start)

    def is_closed(self) -> bool:
        """Tell whether the loop was closed; trio's loops do not tell."""
        closed = getattr(self.key, "is_closed", None)
        return closed is not None and bool(closed())

    def call_soon(self, function: Callable[[], object]) -> None:
        """Call ``function`` on the loop; nothing happens if the loop is over."""
        # asyncio raises RuntimeError on a closed loop, trio RunFinishedError, which is one.
        with contextlib.suppress(RuntimeError):
            self._call_soon(function)

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run ``function`` as a task of its own; nothing happens if the loop is over."""
        if self.is_running_here():
            self._begin(function)  # at once: a loop that is about to end may take no further call
        else:
            self.call_soon(lambda: self._begin(function))

    def is_running_here(self) -> bool:
        """Tell whether this thread runs the loop now."""
        try:
            return bool(EventLoop.current().key == self.key)
        except RuntimeError:
            return False

    def _begin(self, function: Callable[[], Awaitable[None]]) -> None:
        async def run() -> None:
            try:
                await function()
            except Exception:
                # Nobody waits for this task, and trio would end the whole run for it.
                log.debug("a task of its own failed", exc_info=True)

        with contextlib.suppress(RuntimeError):  # trio takes no more tasks at the end of its run
            self._start(run)
