"""When the limits of one exchange pass, on its clock."""

from __future__ import annotations

from collections.abc import Callable

from .limits import Timeout

__all__ = ["Deadlines"]

_EARLY = 0.02
"""Seconds by which a timer may fire ahead of the clock that it was set on; Windows ticks every 16 ms."""


class Deadlines:
    """The limits ``first_event`` and ``total`` of one exchange, as points in time.

    Args:
        timeout: the limits.
        clock: seconds that only grow.
    """

    __slots__ = ("_began", "_clock", "_first", "_total", "answering", "timeout")

    def __init__(self, timeout: Timeout, clock: Callable[[], float]) -> None:
        self.timeout: Timeout = timeout
        self.answering: bool = False
        """The first event of the answer is here: ``first_event`` is met."""
        self._clock = clock
        self._began = clock()
        self._total = None if timeout.total is None else self._began + timeout.total
        self._first: float | None = None

    def begin_attempt(self) -> None:
        """Expect the first event within its limit from now."""
        limit = self.timeout.first_event
        self._first = None if limit is None else self._clock() + limit

    def elapsed(self) -> float:
        """Return the seconds since the exchange began."""
        return self._clock() - self._began

    def nearest(self, seconds: float | None = None) -> float | None:
        """Return when the first of the limits passes, or ``None`` for never.

        Args:
            seconds: one more limit, from now.
        """
        first = None if self.answering else self._first
        extra = None if seconds is None else self._clock() + seconds
        points = [point for point in (first, self._total, extra) if point is not None]
        return min(points) if points else None

    def total_left(self) -> float | None:
        """Return the seconds until the total limit passes; ``None`` without one."""
        return None if self._total is None else self._total - self._clock()

    def outlasts(self, seconds: float) -> bool:
        """Tell whether the total limit leaves time for a wait of ``seconds`` and more."""
        return self._total is None or self._clock() + seconds < self._total

    def passed(self) -> tuple[str, float | None]:
        """Return the name and the seconds of the limit that has passed, where one must have."""
        now = self._clock() + _EARLY
        if self._total is not None and now >= self._total:
            return "total", self.timeout.total
        if not self.answering and self._first is not None and now >= self._first:
            return "first_event", self.timeout.first_event
        return "idle", self.timeout.idle
