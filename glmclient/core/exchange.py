"""One chat turn as a generator of steps: everything that decides, and no socket, clock or library.

A flow yields steps and is sent replies; a driver performs them:

=========================  ======================================================
the flow yields            the driver does it, and sends back
=========================  ======================================================
:class:`Send`              a :class:`~glmclient.core.http.Head`
:class:`Read`              the next bytes of the body, ``b""`` at its end
:class:`Sleep`             ``None``
:class:`Release`           ``None``: the connection is free again, or closed
a list of events           hands them to the user; ``[]`` means "opened"
=========================  ======================================================

A step that fails is thrown into the flow as a :class:`~glmclient.errors.TransportFailure`. Cancellation is not:
the driver closes the flow.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, TypeVar

from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    GLMError,
    LimitExceeded,
    ProtocolError,
    StreamCancelled,
    StreamInterrupted,
    TransportFailure,
)
from ..events import Event, Notice, QueueStatus
from .compression import ContentDecoder, content_decoder
from .http import Head, Request
from .identity import Identity
from .limits import Limits, Timeout
from .retry import RetryPolicy
from .transcript import Transcript

__all__ = ["Exchange", "Flow", "Read", "Release", "Send", "Sleep", "StreamDecoder"]

T = TypeVar("T")

DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.2
"""What is read, and for how long, after the service's end mark so that the connection can be used again."""
FAREWELL_SECONDS = 2.0
"""How long leaving early may take to tell the service."""


@dataclass(frozen=True, slots=True)
class Send:
    """Send a request and wait for the head of its response.

    Args:
        request: what to send.
        connect: seconds to open a connection.
        idle: seconds without a byte, for the head and for every later read of the body.
        deadline: when, on the exchange's clock, the head must be here.
        header_limit: bytes in the head.
    """

    request: Request
    connect: float | None
    idle: float | None
    deadline: float | None
    header_limit: int


@dataclass(frozen=True, slots=True)
class Read:
    """Read the next bytes of the body, not later than ``deadline`` on the exchange's clock."""

    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Release:
    """Give the connection back: read the rest of the body within both bounds, or close it.

    Args:
        max_bytes: bytes to read at most; 0 closes at once.
        seconds: to read for at most.
    """

    max_bytes: int = 0
    seconds: float = 0.0


Step: TypeAlias = Send | Read | Sleep | Release | list[Event]
Flow: TypeAlias = Generator[Step, Any, T]
"""A generator of steps that ends with a value."""

_READ = Read()


class StreamDecoder(Protocol):
    """The reading half of a dialect: bytes of the body in, events out."""

    done: bool
    """The service's end mark was seen and `Finish` was put out."""

    def feed(self, chunk: bytes, out: list[Event]) -> None:
        """Append the events that ``chunk`` completes to ``out``; what is in ``out`` when it raises still counts."""

    def end(self, out: list[Event]) -> None:
        """The body ended: append what the end itself completes, or raise what its absence means."""


class Exchange:
    """One chat turn: its limits, its attempts and what was handed over.

    Args:
        timeout: time limits.
        retry: how often to try.
        limits: bounds on memory.
        clock: seconds that only grow.
        now: seconds since the epoch, for dates in headers.
        identity: ids and chance.
    """

    def __init__(
        self,
        *,
        timeout: Timeout,
        retry: RetryPolicy,
        limits: Limits,
        clock: Callable[[], float],
        now: Callable[[], float],
        identity: Identity,
    ) -> None:
        self.timeout = timeout
        self.retry = retry
        self.limits = limits
        self.clock = clock
        self.now = now
        self.identity = identity
        self.transcript = Transcript()
        self.attempts = 0
        self.request_id: str | None = None
        self.cleanup: Request | None = None
        """Sent, best effort, if the user leaves early: tells the service to stop."""
        self.handed_over = False
        """Any event was handed over: from here on nothing is tried again."""
        self._answering = False
        self._began = clock()
        self._total = None if timeout.total is None else self._began + timeout.total
        self._first: float | None = None
        self._connected = False
        self.received = 0

    # -- steps ---------------------------------------------------------------------------------------------

    def send(self, request: Request) -> Flow[Head]:
        """Send ``request`` and return the head of its response."""
        self._connected = False
        head: Head = yield Send(
            request,
            self.timeout.connect,
            self.timeout.idle,
            self._deadline(),
            self.limits.header,
        )
        self._connected = True
        self.request_id = head.headers.get("x-request-id") or self.request_id
        return head

    def body(self, head: Head, bound: int, *, strict: bool = True) -> Flow[bytes]:
        """Read the rest of a response that is no stream.

        Args:
            bound: bytes to hold at most.
            strict: raise beyond it; otherwise cut.

        Raises:
            LimitExceeded: the body is longer than ``bound``.
        """
        decoder = self._content_decoder(head)
        pieces: list[bytes] = []
        size = 0
        while size <= bound and (chunk := (yield self._read())):
            piece = decoder.feed(chunk)
            pieces.append(piece)
            size += len(piece)
        if size > bound and strict:
            raise LimitExceeded(
                f"the body of the answer is longer than {bound} bytes ({size} received). Raise Limits.body.",
                limit="body",
                maximum=bound,
                actual=size,
            )
        yield Release(DRAIN_BYTES, DRAIN_SECONDS)
        return b"".join(pieces)[:bound]

    def refused(self, head: Head) -> Flow[bytes]:
        """Read the body of a refusal, as much as is worth showing; a break in the middle keeps what came."""
        pieces: list[bytes] = []
        size = 0
        try:
            decoder = self._content_decoder(head)
            while size < self.limits.error_body and (chunk := (yield self._read())):
                pieces.append(decoder.feed(chunk))
                size += len(pieces[-1])
        except (TransportFailure, ProtocolError) as error:
            # The status already says what happened: a cut body must not hide it. A cancel is not a cut.
            if isinstance(error, TransportFailure) and error.kind == "cancelled":
                raise
        yield Release(DRAIN_BYTES, DRAIN_SECONDS)
        return b"".join(pieces)[: self.limits.error_body]

    def stream(self, head: Head, decoder: StreamDecoder) -> Flow[None]:
        """Read the body through ``decoder`` until the service's end mark; hand its events over.

        An end without the mark is never a success: ``decoder.end`` says what it means.
        """
        content = self._content_decoder(head)
        yield []
        read = self._read()
        while True:
            chunk: bytes = yield read
            batch: list[Event] = []
            failure: GLMError | None = None
            try:
                if chunk:
                    self.received += len(chunk)
                    decoder.feed(content.feed(chunk), batch)
                else:
                    decoder.end(batch)
            except GLMError as error:
                failure = error
            if batch:
                if len(batch) > self.limits.events:
                    failure = self._too_many(batch)
                if not self._answering:
                    self._handing_over(batch)
                    read = self._read()
                yield batch
            if failure is not None:
                raise failure
            if decoder.done:
                return
            if not chunk:
                raise self.ended_early()

    def _too_many(self, batch: list[Event]) -> LimitExceeded:
        count, maximum = len(batch), self.limits.events
        del batch[maximum:]
        return LimitExceeded(
            f"one read brought {count} events, more than {maximum}. Raise Limits.events if that is right.",
            limit="events",
            maximum=maximum,
            actual=count,
        )

    def _content_decoder(self, head: Head) -> ContentDecoder:
        return content_decoder(
            head.headers.get("content-encoding"),
            max_ratio=self.limits.decompressed_ratio,
        )

    def _handing_over(self, batch: list[Event]) -> None:
        self.handed_over = True
        if not self._answering:
            self._answering = any(not isinstance(e, (QueueStatus, Notice)) for e in batch)

    # -- limits --------------------------------------------------------------------------------------------

    def _read(self) -> Read:
        deadline = self._deadline()
        return _READ if deadline is None else Read(deadline)

    def _deadline(self) -> float | None:
        if self._answering or self._first is None:
            return self._total
        return self._first if self._total is None else min(self._first, self._total)

    def begin_attempt(self) -> None:
        """Count an attempt; the first event is due from now."""
        self.attempts += 1
        self.request_id = None
        self.cleanup = None
        limit = self.timeout.first_event
        self._first = None if limit is None else self.clock() + limit

    def turn(self, attempt: Callable[[], Flow[T]]) -> Flow[T]:
        """Run ``attempt`` and, as long as nothing was handed over, run it again when that may help.

        Raises:
            GLMError: what went wrong in the last attempt, with the partial answer and the attempts counted.
        """
        while True:
            self.begin_attempt()
            try:
                result = yield from attempt()
                self.cleanup = None
                yield Release(DRAIN_BYTES, DRAIN_SECONDS)
                return result
            except TransportFailure as failure:
                error = self._told(failure)
                error.__cause__ = failure
                failure.__context__ = failure.__cause__ = (
                    None  # the library's exception holds headers and bodies
                )
            except GLMError as refusal:
                error = refusal
            delay = self._delay(error)
            if delay is None:
                raise self.completed(error)
            yield Release()
            yield from self._tell_service()
            yield Sleep(delay)

    def farewell(self, request: Request) -> Send:
        """Return the step that tells the service, best effort, that nobody listens any more."""
        return Send(
            request,
            FAREWELL_SECONDS,
            FAREWELL_SECONDS,
            self.clock() + FAREWELL_SECONDS,
            self.limits.header,
        )

    def _tell_service(self) -> Flow[None]:
        """Before another attempt, end what the failed one may have left running."""
        request, self.cleanup = self.cleanup, None
        if request is None:
            return
        try:
            yield self.farewell(request)
            yield Release(DRAIN_BYTES, DRAIN_SECONDS)
        except TransportFailure as failure:
            if failure.kind == "cancelled":
                raise self.completed(self._told(failure)) from None

    def _delay(self, error: GLMError) -> float | None:
        """Return the seconds after which to try again, or ``None`` for never."""
        if self.handed_over or not error.retryable or self.attempts >= self.retry.attempts:
            return None
        asked = error.retry_after if isinstance(error, APIStatusError) else None
        delay = self.retry.delay(self.attempts, asked, self.identity.chance)
        if self._total is not None and self.clock() + delay >= self._total:
            return None  # the wait alone would pass the total limit: say now what is wrong
        return delay

    def completed(self, error: GLMError) -> GLMError:
        """Return ``error`` with what the exchange knows: the partial answer, the attempts, the request id."""
        error.partial = self.transcript.reply()
        error.attempts = self.attempts
        error.request_id = error.request_id or self.request_id
        return error

    # -- what failures mean --------------------------------------------------------------------------------

    def _told(self, failure: TransportFailure) -> GLMError:
        """Say in the vocabulary of users what a failed step means at this point."""
        kind, detail = failure.kind, failure.detail
        if kind == "cancelled":
            return StreamCancelled(f"the stream was cancelled; {self._progress()}.")
        if kind == "connect_timeout":
            return self._timed_out("connect", self.timeout.connect)
        if kind == "timeout":
            return self._timed_out(*self._passed_limit())
        if kind == "limit":
            return LimitExceeded(
                f"the head of the response is longer than {self.limits.header} bytes ({detail}). "
                "No service sends that: check the address and any proxy.",
                limit="header",
                maximum=self.limits.header,
                actual=self.limits.header + 1,
            )
        if kind == "garbage":
            return ProtocolError(
                f"the answer is not HTTP ({detail}); {self._progress()}. Check the address and any proxy.",
                frame=detail,
            )
        if kind == "broken" and self.handed_over:
            return StreamInterrupted(
                f"the connection broke before the service's end mark ({detail}); {self._progress()}. "
                "What came is on `error.partial`; ask again for a whole answer.",
                retryable=True,
            )
        return APIConnectionError(
            _CONNECTION_ADVICE[kind].format(detail=detail), retryable=kind != "tls"
        )

    def ended_early(self) -> GLMError:
        """Return the error for a body that ended cleanly without the service's end mark."""
        if self.handed_over:
            return StreamInterrupted(
                f"the stream ended without the service's end mark; {self._progress()}. "
                "What came is on `error.partial`; ask again for a whole answer.",
                retryable=True,
            )
        return APIConnectionError(
            f"the service closed the stream before any event ({self.received} bytes came). Try again; "
            "if it stays so, the service may be down or may have changed.",
            retryable=True,
        )

    def _passed_limit(self) -> tuple[str, float | None]:
        now = self.clock()
        if self._total is not None and now >= self._total:
            return "total", self.timeout.total
        if not self._answering and self._first is not None and now >= self._first:
            return "first_event", self.timeout.first_event
        return "idle", self.timeout.idle

    def _timed_out(self, limit: str, seconds: float | None) -> APITimeoutError:
        elapsed = self.clock() - self._began
        shown = f" of {seconds:g} s" if seconds is not None else ""
        return APITimeoutError(
            f"the time limit `{limit}`{shown} passed after {elapsed:.1f} s; {self._progress()}. "
            f"Raise Timeout({limit}=...) if the service needs longer.",
            limit=limit,
            seconds=seconds,
            elapsed=elapsed,
            retryable=limit != "total",
        )

    def _progress(self) -> str:
        if not self.handed_over:
            return "no event had come" if self._connected else "no answer had come"
        return f"{len(self.transcript.text)} characters of the answer had come"


_CONNECTION_ADVICE = {
    "connect": "could not connect: {detail}. Check the address, the network and any proxy.",
    "tls": "TLS failed: {detail}. Check the address; for a private certificate authority give verify='ca.pem'.",
    "proxy": "the proxy failed: {detail}. Check proxy= and the proxy variables of the environment.",
    "broken": "the connection broke before any event: {detail}. Try again.",
}
