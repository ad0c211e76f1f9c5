"""The asynchronous stream: a driver of flows, and no decision of its own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from typing import TYPE_CHECKING, Any

from ..closing import AsyncClosing
from ..core.appending import AppendOnly
from ..core.exchange import Admit, Exchange, Flow, Read, Release, Send
from ..core.http import Request
from ..errors import RewriteError, SchemaError, TransportFailure
from ..events import Event, RunEvent
from ..reply import Reply
from ..transports.base import AsyncChannel, AsyncTransport
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

__all__ = ["AsyncStream", "repaired"]

log: logging.Logger = logging.getLogger("glmclient.stream")


async def _advance(flow: Flow[Any], channel: AsyncChannel) -> list[Event] | None:
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
            if kind is Read:
                reply = await channel.read(step)  # type: ignore[arg-type]
            else:
                reply = await _perform(channel, step)
        except TransportFailure as error:
            failure = error
        except ENDS as error:
            failure = unexpected_end(error)


async def _perform(channel: AsyncChannel, step: Any) -> Any:
    """Perform one of the steps that are not taken for every event."""
    if isinstance(step, Send):
        return await channel.send(step)
    if isinstance(step, Release):
        return await channel.release(step)
    if isinstance(step, Admit):
        await step.turn.pause(step.seconds)
        return await channel.sleep(0)  # raises if the stream was cancelled meanwhile
    return await channel.sleep(step.seconds)


class AsyncStream(AsyncClosing, BaseStream):
    """One answer being read: an asynchronous iterator of events, and a context manager.

    It ends with exactly one `Finish`, or raises; never silently. ``await stream`` sends the request and returns the
    stream opened; entering it or reading it does the same. Leaving the loop early releases the connection.
    """

    def __init__(
        self,
        exchange: Exchange,
        flow: Flow[None],
        transport: AsyncTransport,
        siblings: dict[int, weakref.ref[BaseStream]],
        typed: ValueOfAnswer | None = None,
    ) -> None:
        # A third party's transport may raise here. The client must not hold a stream that was never made.
        self._channel = transport.open()
        self._transport = transport
        super().__init__(exchange, flow, siblings, typed)

    # -- reading -------------------------------------------------------------------------------------------

    def __await__(self) -> Generator[Any, None, Self]:
        return self.__aenter__().__await__()

    def __aiter__(self) -> AsyncIterator[Event]:
        self._begin_iterating()
        return _Events(self)

    async def __anext__(self) -> Event:
        for event in self._events:
            return event
        while not self._ended:
            await self._read()
            for event in self._events:
                return event
        raise StopAsyncIteration

    async def _read(self) -> None:
        self._begin_reading()
        try:
            self._took(await _advance(self._flow, self._channel))
        except BaseException as error:
            self._failed(error)
            await self._leave()
            raise
        finally:
            self._busy.release()
        if self._cancelled:
            await self._leave_cancelled()  # the cancel came when data had come already

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The same stream as plain pieces of text."""
        return Pieces(aiter(self))

    @property
    def value_stream(self) -> AsyncIterator[Any]:
        """The value so far as plain data, after each event that changes it; needs ``schema=``.

        It is one object that grows in place: copy it to keep a step. It is not validated. The last state is the
        data of the whole answer, if that fits.

        Raises:
            ConfigurationError: the question has no schema.
        """
        source = self._value_source()
        return _Values(self, aiter(self), source)

    def appending(self, *, hold: bool = False) -> AsyncIterator[Event]:
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
        return _Appending(self, aiter(self), self._append_only(hold))

    async def until_done(self) -> Self:
        """Read to the end and return the stream itself."""
        async for _ in self:
            pass
        return self

    async def reply(self) -> Reply[Any]:
        """Read to the end and return the whole answer.

        Raises:
            SchemaError: the answer does not fit the schema that it was asked for with.
        """
        await self.until_done()
        return self._reply()

    # -- leaving -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if not self._opened:
            await self._read()
        return self

    async def aclose(self) -> None:
        """Release the connection now; the service is told where it can be. What came stays on the stream."""
        if self._closed or self._is_copy():
            return
        if not self._busy.acquire(blocking=False):
            self.cancel()  # a reader in another task is blocked: it is the one to leave
            return
        try:
            if self._answered:
                await _advance(self._flow, self._channel)  # gives the connection back, and ends
                self._ended = True
        finally:
            try:
                await self._leave()
            finally:
                self._busy.release()

    def cancel(self) -> None:
        """End the stream from any task or thread: a reader that is blocked gets `StreamCancelled`."""
        if self._is_copy():
            return
        self._cancelled = True
        self._channel.cancel()
        self._exchange.stop_waiting()
        if not self._closed and not self._busy.locked():
            self._channel.spawn(self._leave_cancelled)

    async def _leave_cancelled(self) -> None:
        """Leave, if no reader is there to do it."""
        if not self._closed and self._busy.acquire(blocking=False):
            try:
                self._note_cancel()
                await self._leave()
            finally:
                self._busy.release()

    async def _leave(self) -> None:
        if self._closed or self._is_copy():
            return
        self._drop_unread()
        self._note_closed()
        try:
            self._flow.close()
        finally:
            await _part(self._channel, self._transport, self._exchange)

    def _abandon(self) -> None:
        """Leave from where nothing can be awaited: a loop that was left."""
        if not self._closed and not self._is_copy() and not self._busy.locked():
            # What is read from now on is told so at once, and not only when the connection is closed.
            self._ended = self._ended or self._answered
            self._left = True
            self._drop_unread()
            self._exchange.tell_end()
            self._channel.spawn(self._close_abandoned)

    async def _close_abandoned(self) -> None:
        # Who holds it then is closing it already, and no reader to be freed.
        if not self._busy.locked():
            await self.aclose()

    def __del__(self) -> None:
        if getattr(self, "_closed", True) or self._is_copy():
            return
        self._note_collected()
        if self._opened:
            channel, transport, exchange = self._channel, self._transport, self._exchange
            channel.cancel()
            channel.spawn(lambda: _part(channel, transport, exchange))


class _Events:
    """The iterator of one ``async for``: when the loop is left it goes, and with it the connection."""

    __slots__ = ("_begun", "_stream")

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        # What `AsyncStream.__anext__` does, without a coroutine of its own for every event.
        self._begun = True
        stream = self._stream
        for event in stream._events:
            return event
        while not stream._ended:
            await stream._read()
            for event in stream._events:
                return event
        raise StopAsyncIteration

    def __del__(self) -> None:
        self._stream._iterating = False
        # Tools that look at attributes make iterators that nobody asks for anything.
        if self._begun:
            self._stream._abandon()


class Pieces:
    """The plain text of an iterator of events."""

    __slots__ = ("_events",)

    def __init__(self, events: AsyncIterator[RunEvent]) -> None:
        self._events: AsyncIterator[RunEvent] = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        async for event in self._events:
            if piece := piece_of(event):
                return piece
        raise StopAsyncIteration


class _Values:
    """The values so far of an iterator of events."""

    __slots__ = ("_events", "_source", "_stream")

    def __init__(
        self, stream: AsyncStream, events: AsyncIterator[Event], source: ValueOfAnswer
    ) -> None:
        self._stream = stream
        self._events = events
        self._source = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Any:
        async for event in self._events:
            if self._stream._changed(event):
                return self._source.value
        raise StopAsyncIteration


class _Appending:
    """The events of an iterator without replacements."""

    __slots__ = ("_events", "_ready", "_source", "_stream")

    def __init__(
        self, stream: AsyncStream, events: AsyncIterator[Event], source: AppendOnly
    ) -> None:
        self._stream = stream
        self._events = events
        self._source = source
        self._ready: Iterator[Event] = iter(())

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        for ready in self._ready:
            return ready
        async for event in self._events:
            try:
                self._ready = iter(self._stream._appended(self._source, event))
            except RewriteError:
                await self._stream.aclose()
                raise
            for ready in self._ready:
                return ready
        raise StopAsyncIteration


async def _part(channel: AsyncChannel, transport: AsyncTransport, exchange: Exchange) -> None:
    """Close a stream's connection and tell the service, even while this task is being cancelled."""
    request = exchange.left()
    try:
        await channel.aclose()
    finally:
        if request is not None:
            await _tell(transport, exchange, request)


async def _tell(transport: AsyncTransport, exchange: Exchange, request: Request) -> None:
    """Tell the service that nobody listens any more, best effort."""
    import anyio

    channel = transport.open()
    with anyio.CancelScope(shield=True):
        try:
            await channel.send(exchange.farewell(request))
        except TransportFailure as failure:
            # The stream's own socket is closed, which tells the service too.
            log.debug("the service could not be told: %s", failure.kind)
        finally:
            await channel.aclose()


async def repaired(
    stream: AsyncStream, ask: Callable[[Any, Any], AsyncStream], rounds: RepairRounds
) -> Reply[Any]:
    """Read a stream with a schema to its end; if its answer does not fit, ask again with the problems.

    Args:
        ask: takes messages and the other arguments, and returns the stream of the next round.

    Raises:
        SchemaError: the answer of the last round does not fit.
    """
    while True:
        try:
            reply = await stream.reply()
        except SchemaError as error:
            messages = rounds.next_messages(stream._typed, error)
            stream = ask(messages, rounds.arguments())
        else:
            return rounds.whole(reply)
