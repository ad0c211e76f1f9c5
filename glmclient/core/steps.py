"""What a flow asks of its driver, and what it is sent back.

=========================  ======================================================
the flow yields            the driver does it, and sends back
=========================  ======================================================
:class:`Send`              a :class:`~glmclient.core.http.Head`
:class:`Read`              the next bytes of the body, ``b""`` at its end
:class:`Sleep`             ``None``
:class:`Admit`             ``None``: the limiter admitted the request, or the time is over
:class:`Release`           ``None``: the connection is free again, or closed
a list of events           hands them to the user; ``[]`` means "opened"
=========================  ======================================================

A step that fails is thrown into the flow as a :class:`~glmclient.errors.TransportFailure`. Leaving
early is not: the driver closes the flow.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

from ..events import Event
from .http import Request

__all__ = [
    "Admission",
    "Admit",
    "Flow",
    "Read",
    "Release",
    "Send",
    "Sleep",
    "Step",
    "StreamDecoder",
    "Waiting",
]

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and wait for the head of its response.

    Args:
        request: what to send.
        connect: seconds to open a connection.
        idle: seconds without a byte, for the head and for every later read of the body.
        deadline: when, on the exchange's clock, the head must be here.
        header_limit: bytes in the head.
        farewell: it tells the service that nobody listens any more; nobody waits for the answer.
    """

    request: Request
    connect: float | None
    idle: float | None
    deadline: float | None
    header_limit: int
    farewell: bool = False


@dataclass(frozen=True, slots=True)
class Read:
    """Read the next bytes of the body, not later than ``deadline`` on the exchange's clock."""

    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait that many seconds."""

    seconds: float


class Waiting(Protocol):
    """One request's place in a limiter; `glmclient.Limiter` hands them out."""

    admitted: bool

    def block(self, seconds: float | None) -> None:
        """Wait in this thread until the request is admitted, interrupted, or ``seconds`` are over."""

    async def pause(self, seconds: float | None) -> None:
        """Wait in this task until the request is admitted, interrupted, or ``seconds`` are over."""

    def interrupt(self) -> None:
        """End a wait early, from any thread."""

    def end(
        self,
        outcome: Literal["answered", "refused", "ended"],
        *,
        tokens: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        """Leave the limiter, with what it can learn from the request."""


class Admission(Protocol):
    """What an exchange needs of a limiter."""

    def turn(self, tokens: int = 0) -> Waiting:
        """Return a place at the end of the queue for a request of about ``tokens`` tokens."""


@dataclass(frozen=True, slots=True)
class Admit:
    """Wait for a limiter, at most ``seconds``."""

    turn: Waiting
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Release:
    """Give the connection back: read the rest of the body within both bounds, or close it.

    Args:
        max_bytes: bytes to read at most; 0 closes at once.
        seconds: to read for at most.
    """

    max_bytes: int = 0
    seconds: float = 0.0


Step: TypeAlias = Send | Read | Sleep | Admit | Release | list[Event]
Flow: TypeAlias = Generator[Step, Any, T]
"""A generator of steps that ends with a value."""


class StreamDecoder(Protocol):
    """The reading half of a dialect: bytes of the body in, events out."""

    done: bool
    """The service's end mark was seen and `Finish` was put out."""

    def feed(self, chunk: bytes, out: list[Event]) -> None:
        """Append the events that ``chunk`` completes to ``out``.

        What is in ``out`` when it raises still counts.
        """

    def end(self, out: list[Event]) -> None:
        """The body ended: append what the end itself completes, or raise what it means."""
