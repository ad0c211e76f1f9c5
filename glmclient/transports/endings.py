"""Which servers leave a body open after the end mark of the answer.

A connection serves again once the body of its response has ended. Most servers send that end together with the end mark
of the answer, some a moment later, some never. Nobody waits for it: the reader has the whole answer. A transport takes
an end that is here already, sets any other connection aside, and looks at it again later. From a server whose bodies
did not end in time twice in a row, nothing is expected any more, and its connections are closed at once.
"""

from __future__ import annotations

__all__ = ["LINGER_SECONDS", "Endings"]

FAILURES = 2
"""Answers in a row whose body did not end in time, after which connections to that server are closed at once."""
AT_ONCE_SECONDS = 0.002
"""Long enough to receive what the system already holds."""
LINGER_SECONDS = 1.0
"""How long a body may stay open in the background."""


class Endings:
    """What one client has seen of the ends of bodies. No lock: of two counts at once, one may be lost."""

    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def expected(self, origin: str) -> bool:
        """Return whether an open body from ``origin`` may still end in time."""
        return self._failures.get(origin, 0) < FAILURES

    def patience(self, origin: str, seconds: float) -> float:
        """Return how many of ``seconds`` to wait for the end of a body from ``origin``."""
        return seconds if self.expected(origin) else min(seconds, AT_ONCE_SECONDS)

    def note(self, origin: str, *, ended: bool) -> None:
        """Note whether the body of an answer from ``origin`` ended in time."""
        if ended:
            self._failures.pop(origin, None)
        else:
            self._failures[origin] = self._failures.get(origin, 0) + 1
