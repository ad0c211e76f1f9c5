"""Which servers leave a body open after the end mark of the answer.

After the end mark, a channel reads on for a moment: the end of the body makes the connection usable again. Some servers
send that end late or never, and then every answer would wait in vain. After two such answers in a row a client waits no
longer for that origin: it takes an end that has arrived already, or closes the connection.
"""

from __future__ import annotations

__all__ = ["Endings"]

FAILURES = 2
"""Answers in a row without the end of their body, after which waiting for it stops."""
AT_ONCE_SECONDS = 0.002
"""Long enough to receive what the system already holds."""


class Endings:
    """The waits of one client for the ends of bodies. No lock: of two counts at once, one may be lost."""

    __slots__ = ("_failures",)

    def __init__(self) -> None:
        self._failures: dict[str, int] = {}

    def patience(self, origin: str, seconds: float) -> float:
        """Return how many of ``seconds`` to wait for the end of a body from ``origin``."""
        if self._failures.get(origin, 0) < FAILURES:
            return seconds
        return min(seconds, AT_ONCE_SECONDS)

    def note(self, origin: str, *, ended: bool) -> None:
        """Note whether the body of an answer from ``origin`` ended in time."""
        if ended:
            self._failures.pop(origin, None)
        else:
            self._failures[origin] = self._failures.get(origin, 0) + 1
