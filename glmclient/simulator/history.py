"""What a simulated service remembers: everything for a test, and no more than a bound for a service that runs long."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import Generic, TypeVar

from .http import SimulatedRequest

__all__ = ["BODY_BYTES", "ENTRIES", "History", "Requests"]

ENTRIES = 10_000
"""Entries that a history holds; older ones are dropped."""
BODY_BYTES = 64 * 1024 * 1024
"""Bytes of request bodies that a history holds; older requests stay without their bodies."""

T = TypeVar("T")


class History(Generic[T]):
    """The newest entries, and how many there were; the caller locks.

    Args:
        entries: how many to hold.
    """

    def __init__(self, entries: int = ENTRIES) -> None:
        self._entries: deque[T] = deque(maxlen=entries)
        self.count: int = 0
        """All entries so far, dropped ones included."""

    def append(self, entry: T) -> None:
        """Add an entry."""
        self._entries.append(entry)
        self.count += 1

    def newest(self) -> tuple[T, ...]:
        """Return the entries that are still here, oldest first."""
        return tuple(self._entries)


class Requests(History[SimulatedRequest]):
    """The newest requests; of the older ones among them only the heads.

    Args:
        entries: how many to hold.
        body_bytes: bytes of their bodies.
    """

    def __init__(self, entries: int = ENTRIES, body_bytes: int = BODY_BYTES) -> None:
        super().__init__(entries)
        self._bound = body_bytes
        self._held = 0
        self._whole = 0
        """How many of the newest entries still have their bodies."""

    def append(self, entry: SimulatedRequest) -> None:
        """Add a request; the bodies that no longer fit are dropped, the oldest first."""
        if self._whole == self._entries.maxlen:
            self._forget_body(0)
        super().append(entry)
        self._held += len(entry.body)
        self._whole += 1
        while self._held > self._bound and self._whole > 1:
            self._forget_body(len(self._entries) - self._whole)

    def _forget_body(self, index: int) -> None:
        entry = self._entries[index]
        self._held -= len(entry.body)
        self._whole -= 1
        self._entries[index] = replace(entry, body=b"")
