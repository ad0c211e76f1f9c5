"""One chat turn as a generator of steps: everything that decides, and no socket, clock or library.

What a flow yields and is sent back is told in :mod:`glmclient.core.steps`; what its failures mean
in :mod:`glmclient.core.failures`.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, TypeVar

from ..errors import (
    APIStatusError,
    APITimeoutError,
    GLMError,
    LimitExceeded,
    ProtocolError,
    RateLimitError,
    StreamCancelled,
    TransportFailure,
)
from ..events import Event, Finish, Notice, QueueStatus, TextDelta
from .compression import ContentDecoder, content_decoder
from .deadlines import Deadlines
from .failures import (
    Progress,
    beyond_python,
    ended_early,
    head_too_long,
    meaning,
    too_many_events,
)
from .held import AnswerSize
from .http import Head, Request, origin
from .identity import Identity
from .limits import Limits, Timeout
from .refusals import HTML_TYPES
from .retry import RetryPolicy
from .secrets import credentials, mask, masked_bytes
from .steps import (
    Admission,
    Admit,
    Flow,
    Read,
    Release,
    Send,
    Sleep,
    Step,
    StreamDecoder,
    Waiting,
)
from .transcript import Transcript

if TYPE_CHECKING:
    from .observing import Observations

__all__ = ["Admit", "Exchange", "Flow", "Read", "Release", "Send", "Sleep", "Step", "StreamDecoder"]

log: logging.Logger = logging.getLogger("glmclient.exchange")

T = TypeVar("T")

_BEYOND_PYTHON = (RecursionError, OverflowError)
"""What Python raises for JSON that is nested too deeply, or for a number that is too large, wherever it is used."""

DRAIN_BYTES = 64 * 1024
DRAIN_SECONDS = 0.002
"""What is read, and for how long, after the service's end mark so that the connection serves again.

The reader waits that long before its loop ends. It is enough for an end that the server sends together with the end
mark; a transport looks for a later end without the reader."""
REFUSAL_SECONDS = 5.0
"""How long the body of a refusal may take: its status has already said what matters."""
FAREWELL_SECONDS = 2.0
"""How long leaving early may take to tell the service."""


class Exchange:
    """One chat turn: its limits, its attempts and what was handed over.

    Args:
        timeout: time limits.
        retry: how often to try.
        limits: bounds on memory.
        clock: seconds that only grow.
        now: seconds since the epoch, for dates in headers.
        identity: ids and chance.
        limiters: admit each attempt, in this order.
        patient: a refusal for rate counts as no attempt: the limiters wait, and the request is sent again.
        tokens: the estimate of the request's tokens, for the limiters.
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
        limiters: tuple[Admission, ...] = (),
        patient: bool = False,
        tokens: int = 0,
    ) -> None:
        self.timeout = timeout
        self.retry = retry
        self.limits = limits
        self.clock = clock
        self.now = now
        self.identity = identity
        self.transcript: Transcript = Transcript()
        self.answers: bool = True
        """The flow ends with a `Finish`; a request for a list of models does not."""
        self.attempts: int = 0
        self.request_id: str | None = None
        self.cleanup: Request | None = None
        """Sent, best effort, if the user leaves early: tells the service to stop."""
        self.handed_over: bool = False
        """Any event was handed over: from here on nothing is tried again."""
        self.received: int = 0
        """Bytes of the stream in this attempt."""
        self.observe: Callable[[], Observations] | None = None
        """Tells the client's observers that the exchange begins; ``None`` without observers."""
        self.observations: Observations | None = None
        self.stopped_by: Exception | None = None
        """What ended the reading from outside the flow, such as a cancel; for the observers."""
        self._limiters = limiters
        self._patient = patient
        self._tokens = tokens
        self._turns: list[Waiting] = []
        self._refusals = 0
        """Refusals for rate that a patient exchange waited out."""
        self._deadlines = Deadlines(timeout, clock)
        self._size = AnswerSize(limits)
        self._connected = False
        self._attempting = False
        """An attempt began, and the observers were not told that it failed."""
        self._secrets: frozenset[str] = frozenset()

    # -- steps ---------------------------------------------------------------------------------------------

    def send(self, request: Request) -> Flow[Head]:
        """Send ``request`` and return the head of its response.

        Raises:
            LimitExceeded: the head is longer than a bound.
            APIConnectionError: it comes from a proxy that wants a password.
        """
        self._connected = False
        self._secrets |= frozenset(credentials(request.headers))
        head: Head = yield from self._sent(
            Send(
                request,
                self.timeout.connect,
                self.timeout.idle,
                self._deadlines.nearest(),
                self.limits.header,
            )
        )
        self._connected = True
        log.debug("%s answered %d after %.3f s", origin(request.url), head.status, self._elapsed())
        # Either library has bounds of its own, and they differ: what both let through is measured here.
        if too_long := head_too_long(self.limits, head.size, head.fields):
            raise too_long
        if wrong := head.malformed:
            raise TransportFailure("garbage", wrong)
        if head.status == 407:
            # Only proxies say that (RFC 9110 §15.5.8); for https they say it before any head is here.
            raise TransportFailure("proxy_refused", "407 Proxy Authentication Required")
        self.request_id = head.headers.get("x-request-id") or self.request_id
        return head

    def _sent(self, step: Send) -> Flow[Head]:
        try:
            head: Head = yield step
        except TransportFailure as failure:
            if failure.kind != "stale":
                raise
            # The service had closed a connection that was kept for reuse, and the request crossed that on the wire:
            # no attempt of the user's (RFC 9110 §9.2.2 leaves it to who knows that nothing was processed).
            log.debug("a connection that was kept had been closed; sending anew")
            head = yield step
        return head

    def body(self, head: Head, bound: int, *, strict: bool = True) -> Flow[bytes]:
        """Read the rest of a response that is no stream.

        Args:
            bound: bytes to hold at most.
            strict: raise beyond it; otherwise cut.

        Raises:
            LimitExceeded: the body is longer than ``bound``.
            ProtocolError: its compressed data is corrupt, or cut.
        """
        if head.content_type in HTML_TYPES:
            # A page for people is a refusal, whatever its status: no more of it is read than of any refusal.
            return (yield from self.refused(head))
        decoder = self._content_decoder(head)
        pieces: list[bytes] = []
        size = 0
        while size <= bound and (chunk := (yield self._read())):
            pieces.append(decoder.feed(chunk))
            size += len(pieces[-1])
            if decoder.failure is not None:
                raise decoder.failure
        if size <= bound:
            decoder.finish()
        elif strict:
            raise LimitExceeded(
                f"the body of the answer is longer than {bound} bytes ({size} received). "
                "Raise Limits.body.",
                limit="body",
                maximum=bound,
                actual=size,
            )
        yield Release(DRAIN_BYTES, DRAIN_SECONDS)
        return b"".join(pieces)[:bound]

    def refused(self, head: Head) -> Flow[bytes]:
        """Read the body of a refusal, as much as is worth showing; what breaks it off keeps what came."""
        read = Read(self._deadlines.nearest(REFUSAL_SECONDS))
        pieces: list[bytes] = []
        size = 0
        try:
            decoder = self._content_decoder(head)
            while size < self.limits.error_body and decoder.failure is None:
                chunk = yield read
                if not chunk:
                    break
                pieces.append(decoder.feed(chunk))
                size += len(pieces[-1])
        except (TransportFailure, ProtocolError) as error:
            # The status already says what happened: a cut body must not hide it. A cancel is not a cut.
            if isinstance(error, TransportFailure) and error.kind == "cancelled":
                raise
        yield Release(DRAIN_BYTES, DRAIN_SECONDS)
        # Before any cut: a bound that falls into a secret would leave the rest of it.
        body = masked_bytes(b"".join(pieces), self._secrets)
        return body[: self.limits.error_body]

    def stream(self, head: Head, decoder: StreamDecoder) -> Flow[None]:
        """Read the body through ``decoder`` until the service's end mark; hand its events over.

        An end without the mark is never a success: ``decoder.end`` says what it means.
        """
        content = self._content_decoder(head)
        if head.content_type != "application/json":
            # The stream is open. A JSON body is mostly a refusal, which whoever opens the stream should get at once.
            yield []
        read: Read = self._read()
        while True:
            try:
                chunk: bytes = yield read
            except TransportFailure as broken:
                if broken.kind not in ("broken", "garbage") or not getattr(
                    decoder, "complete", False
                ):
                    raise
                chunk = b""  # the answer is whole: a connection that breaks behind it takes nothing away
            batch: list[Event] = []
            failure: GLMError | None = None
            try:
                if chunk:
                    self.received += len(chunk)
                    decoder.feed(content.feed(chunk), batch)
                    if content.failure is not None and not decoder.done:
                        raise content.failure
                else:
                    decoder.end(batch)
            except GLMError as error:
                failure = error
            except _BEYOND_PYTHON as error:
                failure = beyond_python(error)
            if decoder.done:
                self._mark_empty(batch)
            if batch:
                if len(batch) > self.limits.events:
                    failure = too_many_events(len(batch), self.limits)
                    del batch[self.limits.events :]
                failure = self._size.cut(batch) or failure
            if batch:
                if not self._deadlines.answering:
                    self._handing_over(batch)
                    read = self._read()
                yield batch
            if failure is not None:
                raise failure
            if decoder.done:
                return
            if not chunk:
                raise ended_early(self.progress())

    def _mark_empty(self, batch: list[Event]) -> None:
        """Set `Finish.empty` in the last batch; the batches before it are in the transcript already."""
        if not batch or not isinstance(finish := batch[-1], Finish):
            return
        whole = Transcript()
        whole.extend([TextDelta(self.transcript.text), *batch])
        if not (whole.text or whole.tool_calls or self.transcript.tool_calls):
            batch[-1] = dataclasses.replace(finish, empty=True)

    def _content_decoder(self, head: Head) -> ContentDecoder:
        return content_decoder(
            head.headers.get("content-encoding"), max_ratio=self.limits.decompressed_ratio
        )

    def _handing_over(self, batch: list[Event]) -> None:
        self.handed_over = True
        if not all(isinstance(event, (QueueStatus, Notice)) for event in batch):
            self._deadlines.answering = True
            log.debug("the answer began after %.3f s", self._elapsed())

    def _read(self) -> Read:
        return Read(self._deadlines.nearest())

    # -- attempts ------------------------------------------------------------------------------------------

    def begin_attempt(self) -> None:
        """Count an attempt; the first event is due from now."""
        self.attempts += 1
        self._attempting = True
        self.request_id = None
        self.cleanup = None
        self.received = 0
        self._connected = False
        self._deadlines.begin_attempt()

    def turn(self, attempt: Callable[[], Flow[T]]) -> Flow[T]:
        """Run ``attempt`` and, as long as nothing was handed over, run it again when that may help.

        Raises:
            GLMError: what went wrong in the last attempt, with the partial answer and the attempts counted.
        """
        if self.observe is not None:
            self.observations = self.observe()
        try:
            return (yield from self._attempts(attempt))
        except Exception as error:
            self.tell_end(error)
            raise
        finally:
            # Also when the caller leaves early and the generator is closed or collected.
            self._end_turns("ended" if self.transcript.finish is None else "answered")
            self.tell_end(self.stopped_by)
            self.stopped_by = None

    def tell_end(self, outcome: Exception | None = None) -> None:
        """Tell the observers that the exchange ended; only the first call counts.

        Args:
            outcome: the exception that ended it. A `Finish` that was handed over comes first.
        """
        if self.observations is not None:
            self.observations.finished(self.transcript.finish or outcome)

    def tell_failure(self, error: GLMError) -> None:
        """Tell the observers that the current attempt failed; a cancel is no failure of an attempt."""
        attempting, self._attempting = self._attempting, False
        if self.observations is None or not attempting or isinstance(error, StreamCancelled):
            return
        self.observations.attempt_failed(error, self.attempts)

    def _attempts(self, attempt: Callable[[], Flow[T]]) -> Flow[T]:
        while True:
            try:
                if self._limiters:
                    yield from self._admitted()
                self.begin_attempt()
                result = yield from attempt()
                self._end_turns("answered")
                self.tell_end(self._missing_end())
                self.cleanup = None
                log.info("ended after %.3f s, attempt %d", self._elapsed(), self.attempts)
                yield Release(DRAIN_BYTES, DRAIN_SECONDS)
                return result
            except TransportFailure as failure:
                error = self.failed(failure)
            except GLMError as refusal:
                error = self.completed(refusal)
            except _BEYOND_PYTHON as beyond:
                error = self.completed(beyond_python(beyond))
            self._end_turns(_outcome(error), error)
            self.tell_failure(error)
            delay = self._delay(error)
            name = type(error).__name__
            if delay is None:
                log.info("%s after %.3f s, attempt %d", name, self._elapsed(), self.attempts)
                # The frames that it passed so far hold headers and bodies, and some tools show what frames hold.
                raise error.with_traceback(None)
            log.info("%s in attempt %d; again in %.3f s", name, self.attempts, delay)
            try:
                yield Release()
                yield from self._tell_service()
                yield Sleep(delay)
            except TransportFailure as failure:
                error = self.failed(failure)  # cancelled: nothing else lets a wait fail
            else:
                continue
            raise error

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
                raise
            log.debug("the service could not be told: %s", failure.kind)

    # -- limiters ------------------------------------------------------------------------------------------

    def _admitted(self) -> Flow[None]:
        """Wait until every limiter admits this attempt.

        Raises:
            TransportFailure: the total limit passed, or the stream was cancelled.
        """
        for limiter in self._limiters:
            turn = limiter.turn(self._tokens)
            self._turns.append(turn)
            if turn.admitted:
                continue  # without a step: a step costs a turn of the event loop
            yield Admit(turn, self._deadlines.total_left())
            if not turn.admitted:
                raise TransportFailure("timeout", "no place in the limiter")

    def _end_turns(
        self, outcome: Literal["answered", "refused", "ended"], error: GLMError | None = None
    ) -> None:
        finish = self.transcript.finish
        usage = finish.usage if finish is not None else None
        retry_after = error.retry_after if isinstance(error, APIStatusError) else None
        while self._turns:
            self._turns.pop().end(
                outcome,
                tokens=usage.total_tokens if usage is not None else None,
                retry_after=retry_after,
            )

    def stop_waiting(self) -> None:
        """End a wait for a limiter, from any thread: the stream was cancelled."""
        for turn in list(self._turns):
            turn.interrupt()

    def _delay(self, error: GLMError) -> float | None:
        """Return the seconds after which to try again, or ``None`` for never."""
        if self._patient and not self.handed_over and isinstance(error, RateLimitError):
            self._refusals += 1
            self.attempts -= 1
            asked = error.retry_after
            delay = self.retry.delay(self._refusals, None, self.identity.chance)
            delay = delay if asked is None else asked
            return delay if delay is not None and self._deadlines.outlasts(delay) else None
        if self.handed_over or not error.retryable or self.attempts >= self.retry.attempts:
            return None
        asked = error.retry_after if isinstance(error, APIStatusError) else None
        delay = self.retry.delay(self.attempts, asked, self.identity.chance)
        # Where the wait alone would pass the total limit, it is better to say now what is wrong.
        return delay if delay is not None and self._deadlines.outlasts(delay) else None

    # -- leaving -------------------------------------------------------------------------------------------

    def left(self) -> Request | None:
        """Note that the user leaves before the end; return what tells the service, if anything does."""
        log.debug("left after %.3f s, attempt %d", self._elapsed(), self.attempts)
        request, self.cleanup = self.cleanup, None
        return request

    def farewell(self, request: Request) -> Send:
        """Return the step that tells the service, best effort, that nobody listens any more."""
        return Send(
            request,
            FAREWELL_SECONDS,
            FAREWELL_SECONDS,
            self.clock() + FAREWELL_SECONDS,
            self.limits.header,
            farewell=True,
        )

    # -- what failures mean --------------------------------------------------------------------------------

    def failed(self, failure: TransportFailure) -> GLMError:
        """Return the error that a failed step is at this point, with what the exchange knows."""
        error = meaning(failure, self.progress(), self.limits, self._deadlines)
        # The library's exception behind it, and the frames that it passed, hold headers and bodies.
        failure.__cause__ = failure.__context__ = failure.__traceback__ = None
        mask(failure, self._secrets)
        error.__cause__ = failure
        return self.completed(error)

    def completed(self, error: GLMError) -> GLMError:
        """Return ``error`` with what the exchange knows: the partial answer, the attempts, the request id."""
        error.partial = self.transcript.reply()
        error.attempts = self.attempts
        error.request_id = error.request_id or self.request_id
        # What a decoder met on its way, such as json's own error, holds all of what was received.
        error.__context__ = None
        mask(error, self._secrets)
        return error

    def progress(self) -> Progress:
        """Return how far the exchange has come."""
        return Progress(self._connected, self.handed_over, self.received, len(self.transcript.text))

    def _missing_end(self) -> GLMError | None:
        """Return the error of an answer without `Finish`, which the reader gets from the stream."""
        if self.observations is None or self.transcript.finish is not None:
            return None
        return self.completed(ended_early(self.progress()))

    def _elapsed(self) -> float:
        return self._deadlines.elapsed()


def _outcome(error: GLMError) -> Literal["answered", "refused", "ended"]:
    """Return what a limiter learns from the failure of an attempt."""
    if isinstance(error, RateLimitError):
        return "refused"
    if isinstance(error, APITimeoutError):
        return "refused" if error.limit == "first_event" else "ended"
    # A refusal for another reason was an answer: the service had room for the request.
    return "answered" if isinstance(error, APIStatusError) else "ended"
