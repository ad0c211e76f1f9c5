"""What is shown on standard error while nothing has come yet."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TextIO

from ...events import QueueStatus
from .cells import cells, visible
from .screen import Size, terminal_size

__all__ = ["Progress"]

_PATIENCE = 0.3
"""Seconds before a wait is worth mentioning."""


class Progress:
    """One line that says what is waited for, and for how long; it goes before anything else is shown.

    Args:
        out: the terminal, or ``None`` to show nothing.
        waiting_for: the service's name.
        clock: seconds that only grow.
        size: tells the terminal's size.
    """

    def __init__(
        self,
        out: TextIO | None,
        waiting_for: str,
        clock: Callable[[], float] = time.monotonic,
        size: Callable[[], Size] = terminal_size,
    ) -> None:
        self._out = out
        self._clock = clock
        self._size = size
        self._began = clock()
        self._what = f"waiting for {waiting_for}"
        self._shown = ""
        self._over = False

    def queued(self, status: QueueStatus) -> None:
        """Say where the request stands in the service's queue."""
        ahead = "next" if status.position <= 0 else f"{status.position} ahead"
        eta = f", about {status.eta:.0f} s" if status.eta is not None else ""
        self._what = f"in the queue: {ahead} of {status.size}{eta}"

    def paint(self) -> None:
        """Show the line as it is now."""
        elapsed = self._clock() - self._began
        if self._out is None or self._over or elapsed < _PATIENCE:
            return
        line = visible(f"{self._what} … {elapsed:.0f} s")
        if cells(line) >= self._size()[0]:
            line = f"… {elapsed:.0f} s"
        if line != self._shown:
            self._shown = line
            self._out.write(f"\r\x1b[2m{line}\x1b[0m\x1b[K")
            self._out.flush()

    def end(self) -> None:
        """Take the line away, for good."""
        self._over = True
        self.clear()

    def clear(self) -> None:
        """Take the line away until it is painted again."""
        if self._shown and self._out is not None:
            self._shown = ""
            self._out.write("\r\x1b[K")
            self._out.flush()
