"""The blocking stream: a driver of flows, and no decision of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..closing import SyncClosing
from ..core.exchange import Admit, Exchange, Flow, Read, Release, Send
from ..core.http import Request
from ..errors import SchemaError, TransportFailure
from ..events import Event
from ..reply import Reply
from ..transports.base import SyncChannel, SyncTransport, apart
from .base import (
    ENDS,
    BaseStream,
    RepairRounds,
    ValueOfAnswer,
    piece_of,
    unexpected_end,
)

if TYPE_CHECKING:
    import weakref

    from typing_extensions import Self

__all__ = ["Stream", "repaired"]

log: logging.Logger = logging.getLogger("glmclient.stream")


def _advance(flow: Flow[Any], channel: SyncChannel) -> list[Event] | None:
    """Drive ``flow`` to its next batch of events; ``None`` at its end."""
    reply: Any = None
    failure: TransportFailure | None = None
    while True:
        try:
            step = flow.send(reply) if failure is None else flow.throw(failure)
        except StopIteration:
            return None
        kind = type(step)
        if kind is list:
            return step  # type: ignore[return-value]
        reply = failure = None
        try:
            reply = channel.read(step) if kind is Read else _perform(channel, step)  # type: ignore[arg-type]
        except TransportFailure as error:
            failure = error
        except ENDS as error:
            failure = unexpected_end(error)


def _perform(channel: SyncChannel, step: Any) -> Any:
    """Perform one of the steps that are not taken for every event."""
    if isinstance(step, Send):
        return channel.send(step)
    if isinstance(step, Release):
        return channel.release(step)
    if isinstance(step, Admit):
        step.turn.block(step.seconds)
        return channel.sleep(0)  # raises if the stream was cancelled meanwhile
    return channel.sleep(step.seconds)


class Stream(SyncClosing, BaseStream):
    """One answer being read: an iterator of events, and a context manager.

    It ends with exactly one `Finish`, or raises; never silently. The request is sent when the stream is entered or
    first read. Leaving the loop early releases the connection.
    """

    def __init__(
        self,
        exchange: Exchange,
        flow: Flow[None],
        transport: SyncTransport,
        siblings: dict[int, weakref.ref[BaseStream]],
        typed: ValueOfAnswer | None = None,
    ) -> None:
        # A third party's transport may raise here. The client must not hold a stream that was never made.
        self._channel = transport.open()
        self._transport = transport
        super().__init__(exchange, flow, siblings, typed)

    # -- reading -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[Event]:
        return self._iterate()

    def _iterate(self) -> Iterator[Event]:
        # A generator of its own: when the loop is left, it goes, and with it the connection, although the stream
        # itself may live on in a variable.
        self._begin_iterating()
        try:
            yield from self._events
            while not self._ended:
                self._read()
                yield from self._events
        finally:
            self._iterating = False
            self.close()

    def __next__(self) -> Event:
        for event in self._events:
            return event
        while not self._ended:
            self._read()
            for event in self._events:
                return event
        raise StopIteration

    def _read(self) -> None:
        self._begin_reading()
        try:
            self._took(_advance(self._flow, self._channel))
        except BaseException as error:
            self._failed(error)
            self._leave()
            raise
        finally:
            self._busy.release()
        if self._cancelled:
            self._leave_cancelled()  # the cancel came while the lock was held, and found nobody blocked

    @property
    def text_stream(self) -> Iterator[str]:
        """The same stream as plain pieces of text."""
        return (piece for event in self if (piece := piece_of(event)))

    @property
    def value_stream(self) -> Iterator[Any]:
        """The value so far as plain data, after each event that changes it; needs ``schema=``.

        It is one object that grows in place: copy it to keep a step. It is not validated. The last state is the
        data of the whole answer, if that fits.

        Raises:
            ConfigurationError: the question has no schema.
        """
        source = self._value_source()
        return (source.value for event in self if self._changed(event))

    def appending(self, *, hold: bool = False) -> Iterator[Event]:
        """The same events without replacements, for consumers that can only append.

        From the first replacement on, what it rewrote (text, reasoning or a block of code) is held until `Finish`. The
        rest then follows if what was handed out is the beginning of the final answer. ``.text`` and the other members
        of the stream stay exact.

        Args:
            hold: hand out text, reasoning and code at `Finish` only, so that no rewrite can contradict them.

        Yields:
            Deltas, other events, and `Finish` as the last.

        Raises:
            RewriteError: what was handed out is not the beginning of the final answer, which is ``error.partial``.
            GLMError: what iteration of the stream raises.
        """
        source = self._append_only(hold)
        try:
            for event in self:
                yield from self._appended(source, event)
        finally:
            # The traceback of a `RewriteError` keeps the iterator of this loop alive, and with it the connection.
            self.close()

    def until_done(self) -> Self:
        """Read to the end and return the stream itself."""
        for _ in self:
            pass
        return self

    def reply(self) -> Reply[Any]:
        """Read to the end and return the whole answer.

        Raises:
            SchemaError: the answer does not fit the schema that it was asked for with.
        """
        self.until_done()
        return self._reply()

    # -- leaving -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if not self._opened:
            self._read()
        return self

    def close(self) -> None:
        """Release the connection now; the service is told where it can be. What came stays on the stream."""
        if self._closed or self._is_copy():
            return
        if not self._busy.acquire(blocking=False):
            self.cancel()  # a reader in another thread is blocked: it is the one to leave
            return
        try:
            if self._answered:
                _advance(self._flow, self._channel)  # gives the connection back, and ends
                self._ended = True
        finally:
            try:
                self._leave()
            finally:
                self._busy.release()

    def cancel(self) -> None:
        """End the stream from any thread: a reader that is blocked gets `StreamCancelled`."""
        if self._is_copy():
            return
        self._cancelled = True
        self._channel.cancel()
        self._exchange.stop_waiting()
        self._leave_cancelled()

    def _leave_cancelled(self) -> None:
        """Leave, if no reader is there to do it."""
        if not self._closed and self._busy.acquire(blocking=False):
            try:
                self._note_cancel()
                self._leave()
            finally:
                self._busy.release()

    def _leave(self) -> None:
        if self._closed or self._is_copy():
            return
        self._drop_unread()
        self._note_closed()
        request = self._exchange.left()
        try:
            self._flow.close()
        finally:
            self._channel.close()
        if request is not None:
            _tell(self._transport, self._exchange, request)

    def _let_go(self) -> None:
        self._channel.abandon()

    def __del__(self) -> None:
        # A finalizer may run anywhere, under any lock: only the socket is let go.
        if not getattr(self, "_closed", True):
            self._note_collected()
            self._channel.abandon()


def _tell(transport: SyncTransport, exchange: Exchange, request: Request) -> None:
    """Tell the service that nobody listens any more, best effort.

    It goes over a connection of its own: leaving may happen in a finalizer, which must not touch the pool's lock.
    """
    own = apart(transport)
    channel = (transport if own is None else own).open()
    try:
        channel.send(exchange.farewell(request))
    except TransportFailure as failure:
        # The stream's own socket is closed, which tells the service too.
        log.debug("the service could not be told: %s", failure.kind)
    finally:
        channel.close()
        if own is not None and own is not transport:
            own.close()


def repaired(stream: Stream, ask: Callable[[Any, Any], Stream], rounds: RepairRounds) -> Reply[Any]:
    """Read a stream with a schema to its end; if its answer does not fit, ask again with the problems.

    Args:
        ask: takes messages and the other arguments, and returns the stream of the next round.

    Raises:
        SchemaError: the answer of the last round does not fit.
    """
    while True:
        try:
            reply = stream.reply()
        except SchemaError as error:
            messages = rounds.next_messages(stream._typed, error)
            stream = ask(messages, rounds.arguments())
        else:
            return rounds.whole(reply)
