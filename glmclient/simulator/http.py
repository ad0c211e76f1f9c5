"""What the loopback server receives and what it is told to answer, as values."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from ..core.http import dump_json

__all__ = [
    "BodyItem",
    "Cut",
    "Framing",
    "Pause",
    "Reset",
    "Service",
    "Signal",
    "SimulatedRequest",
    "SimulatedResponse",
    "Wait",
    "close_body",
]


class Signal(Protocol):
    """What a body can wait for: a ``threading.Event``, for one."""

    def wait(self, timeout: float | None = None) -> bool:
        """Return whether it was set, at the latest after ``timeout`` seconds."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Send nothing for ``seconds``, or until ``until`` is set, whichever is first."""

    seconds: float
    until: Signal | None = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Send nothing until ``signal`` is set; after ``timeout`` seconds the connection is cut instead."""

    signal: Signal
    timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection here, without the end that the framing promises."""


@dataclass(frozen=True, slots=True)
class Reset:
    """Reset the connection here (TCP RST)."""


BodyItem: TypeAlias = bytes | Pause | Wait | Cut | Reset
"""One item of a body; each ``bytes`` is written and flushed as a network chunk of its own."""

Framing: TypeAlias = Literal["chunked", "close", "length"]
"""How the end of a body is told: the last chunk, the end of the connection, or a length ahead."""


@dataclass(frozen=True, slots=True)
class SimulatedRequest:
    """A request as it was received.

    Args:
        method: ``GET``, ``POST``, ...
        path: without the query.
        query: the query's parameters, the last value of each.
        headers: with lower-case names.
        body: the raw body.
        connection: the number of the connection that it came on, from 0; equal numbers are a connection used again.
        reader: reads the user's text out of a question; the simulator sets it to that of the service that was asked.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    connection: int = 0
    reader: Callable[[SimulatedRequest], str] | None = field(
        default=None, repr=False, compare=False
    )

    @property
    def prompt(self) -> str:
        """What the user wrote last, whatever the service's dialect; empty if the request is not a question."""
        try:
            return "" if self.reader is None else self.reader(self)
        except (AttributeError, LookupError, TypeError, ValueError):
            return ""  # a request for something else, or one that the service refuses

    @property
    def json(self) -> Any:
        """The body parsed, or ``None`` if it is not JSON."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None


@dataclass(frozen=True, slots=True)
class SimulatedResponse:
    """What to answer.

    Args:
        status: the HTTP status.
        headers: beside those of the framing; a pair for each, so that ``Set-Cookie`` may repeat.
        body: items, written one after the other; a generator is closed when the client leaves.
        framing: how the end is told.
        gzip: compress, and flush after each item; says ``Content-Encoding: gzip``.
        before: what happens before the head is sent.
    """

    status: int = 200
    headers: Sequence[tuple[str, str]] = ()
    body: Iterable[BodyItem] = ()
    framing: Framing = "chunked"
    gzip: bool = False
    before: Sequence[Pause | Wait | Cut | Reset] = ()

    @classmethod
    def of_json(
        cls, value: Any, status: int = 200, headers: Sequence[tuple[str, str]] = ()
    ) -> SimulatedResponse:
        """Return a plain JSON answer."""
        body = dump_json(value)
        return cls(status, (("Content-Type", "application/json"), *headers), [body], "length")

    @classmethod
    def of_text(
        cls,
        text: str,
        status: int = 200,
        content_type: str = "text/plain; charset=utf-8",
    ) -> SimulatedResponse:
        """Return a plain text or HTML answer."""
        return cls(status, (("Content-Type", content_type),), [text.encode()], "length")


class Service(Protocol):
    """What answers requests; it is called from several threads at once."""

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer ``request``. What it raises is kept on the server, and the client gets a 500."""


def close_body(body: Iterable[BodyItem]) -> None:
    """Close a body that is a generator, so that its ``finally`` runs now; others have nothing to close."""
    if isinstance(body, Generator):
        body.close()
