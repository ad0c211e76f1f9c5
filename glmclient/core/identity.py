"""Ids that the services expect of a client; clock and chance are arguments."""

from __future__ import annotations

import random
import string
from collections.abc import Callable
from typing import Any

__all__ = ["Identity", "device_id", "request_id", "session_hash"]

_BASE36 = string.ascii_lowercase + string.digits


def device_id(bits: Callable[[int], int]) -> str:
    """Return a version 4 UUID as 32 hexadecimal digits (RFC 9562 §5.4).

    Args:
        bits: gives that many random bits as an integer, as ``random.Random.getrandbits`` does.
    """
    value = bits(128)
    value = value & ~(0xF << 76) | 4 << 76  # the version
    value = value & ~(0x3 << 62) | 2 << 62  # the variant
    return f"{value:032x}"


def session_hash(bits: Callable[[int], int]) -> str:
    """Return a Gradio session hash: 11 characters of 0-9 and a-z, as Gradio's own clients choose them."""
    value = bits(64)
    characters = []
    for _ in range(11):
        value, digit = divmod(value, 36)
        characters.append(_BASE36[digit])
    return "".join(characters)


def request_id(bits: Callable[[int], int]) -> str:
    """Return a request id for the open platform: 6 to 64 characters, unique."""
    return f"glmclient-{bits(128):032x}"


class Identity:
    """A source of ids and chance; the default draws from the operating system.

    Args:
        bits: gives that many random bits as an integer.
        chance: gives a number in [0, 1).
        ids: gives the next id whatever it is for; for tests that want to know them.
    """

    __slots__ = ("_bits", "_given", "_ids", "chance")

    def __init__(
        self,
        *,
        bits: Callable[[int], int] | None = None,
        chance: Callable[[], float] | None = None,
        ids: Callable[[], str] | None = None,
    ) -> None:
        system = random.SystemRandom()  # a fork must not make two clients draw the same ids
        self._bits = bits if bits is not None else system.getrandbits
        self.chance: Callable[[], float] = chance if chance is not None else system.random
        self._ids = ids
        self._given = (bits, chance, ids)

    def __reduce__(self) -> tuple[Any, ...]:
        # The operating system's source has no state to carry over; what a test gave is carried if it can be.
        return _identity, self._given

    def device_id(self) -> str:
        """Return a new device id."""
        return self._ids() if self._ids else device_id(self._bits)

    def session_hash(self) -> str:
        """Return a new Gradio session hash."""
        return self._ids() if self._ids else session_hash(self._bits)

    def request_id(self) -> str:
        """Return a new request id."""
        return self._ids() if self._ids else request_id(self._bits)


def _identity(
    bits: Callable[[int], int] | None,
    chance: Callable[[], float] | None,
    ids: Callable[[], str] | None,
) -> Identity:
    return Identity(bits=bits, chance=chance, ids=ids)
