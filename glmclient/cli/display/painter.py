"""Painting soon after something changed, and not for every change."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

__all__ = ["PAINTER", "Painter"]

PAINTER = "glmclient painter"
"""The name of the painting threads."""

_SHARE = 4
"""A paint is followed by a pause of this many times its own duration: a slow terminal must not slow the reader."""


class Painter:
    """Calls ``paint`` from a thread of its own, shortly after `touch`.

    A change that is followed at once by another is never painted alone: a text that its service corrects within that
    time is shown corrected.

    Args:
        paint: shows the present state; its first failure ends the painting.
        failed: told, once, that painting failed; `stop` raises the failure.
        every: seconds between a change and its painting, and between two paintings.
        tick: seconds after which to paint although nothing changed.
    """

    def __init__(
        self,
        paint: Callable[[], None],
        failed: Callable[[], None],
        *,
        every: float,
        tick: float,
    ) -> None:
        self._paint = paint
        self._failed = failed
        self._every = every
        self._tick = tick
        self._changed = threading.Event()
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=PAINTER, daemon=True)
        self._thread.start()

    def touch(self) -> None:
        """Say that something changed."""
        self._changed.set()

    def _run(self) -> None:
        pause = self._every
        while True:
            self._changed.wait(self._tick)
            if self._stopped.wait(pause):
                return
            self._changed.clear()
            began = time.monotonic()
            try:
                self._paint()
            except Exception as error:  # noqa: BLE001 - handed to whoever stops the painting
                self._failure = error
                self._failed()
                return
            pause = max(self._every, _SHARE * (time.monotonic() - began))

    def stop(self) -> None:
        """End the painting; the last state is the caller's to paint.

        Raises:
            Exception: what made the painting fail.
        """
        self._stopped.set()
        self._changed.set()
        self._thread.join()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
