"""The blocking client: requests underneath, and no decision of its own."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .client import UNSET, BaseClient
from .core.exchange import Exchange, Flow, Read, Release, Send
from .core.http import Request
from .core.limits import Timeout
from .core.retry import RetryPolicy
from .errors import ConfigurationError, TransportFailure
from .events import Event, Finish, Reply
from .messages import Messages
from .providers.base import Model
from .streams import BaseStream, piece_of
from .transports.base import SyncChannel, SyncTransport

if TYPE_CHECKING:
    import weakref

    from typing_extensions import Self, Unpack

    from .conversation import Conversation
    from .options import ChatOptions

__all__ = ["Stream", "SyncClient"]

log: logging.Logger = logging.getLogger("glmclient.stream")


def _advance(flow: Flow[Any], channel: SyncChannel) -> list[Event] | None:
    """Drive ``flow`` to its next batch of events; ``None`` at its end."""
    reply: Any = None
    failure: TransportFailure | None = None
    try:
        while True:
            step = flow.send(reply) if failure is None else flow.throw(failure)
            kind = type(step)
            if kind is list:
                return step  # type: ignore[return-value]
            reply = failure = None
            try:
                reply = channel.read(step) if kind is Read else _perform(channel, step)  # type: ignore[arg-type]
            except TransportFailure as error:
                failure = error
    except StopIteration:
        return None


def _perform(channel: SyncChannel, step: Any) -> Any:
    """Perform one of the steps that are not taken for every event."""
    if isinstance(step, Send):
        return channel.send(step)
    if isinstance(step, Release):
        return channel.release(step)
    return channel.sleep(step.seconds)


class Stream(BaseStream):
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
    ) -> None:
        super().__init__(exchange, flow, siblings)
        self._transport = transport
        self._channel = transport.open()

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

    def until_done(self) -> Self:
        """Read to the end and return the stream itself."""
        for _ in self:
            pass
        return self

    def reply(self) -> Reply:
        """Read to the end and return the whole answer."""
        self.until_done()
        return self._exchange.transcript.reply()

    # -- leaving -------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        if not self._opened:
            self._read()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the connection now; the service is told where it can be. What came stays on the stream."""
        if self._closed:
            return
        if not self._busy.acquire(blocking=False):
            self.cancel()  # a reader in another thread is blocked: it is the one to leave
            return
        try:
            if self._answered:
                while _advance(self._flow, self._channel) is not None:
                    continue
                self._ended = True
        finally:
            try:
                self._leave()
            finally:
                self._busy.release()

    def cancel(self) -> None:
        """End the stream from any thread: a reader that is blocked gets `StreamCancelled`."""
        self._cancelled = True
        self._channel.cancel()
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
        if self._closed:
            return
        self._drop_unread()
        self._note_closed()
        request = self._exchange.left()
        try:
            self._flow.close()
        finally:
            self._channel.close()
        if request is not None and self._owner == os.getpid():  # a fork's copy has nothing to say
            _tell(self._transport.apart(), self._exchange, request)

    def __del__(self) -> None:
        # A finalizer may run anywhere, under any lock: only the socket is let go.
        if not getattr(self, "_closed", True):
            self._note_closed()
            self._channel.abandon()


def _tell(transport: SyncTransport, exchange: Exchange, request: Request) -> None:
    """Tell the service that nobody listens any more, best effort.

    It goes over a connection of its own: leaving may happen in a finalizer, which must not touch the pool's lock.
    """
    channel = transport.open()
    try:
        channel.send(exchange.farewell(request))
    except TransportFailure as failure:
        # The stream's own socket is closed, which tells the service too.
        log.debug("the service could not be told: %s", failure.kind)
    finally:
        channel.close()
        transport.close()


class SyncClient(BaseClient):
    __doc__ = BaseClient.__doc__

    _transport: SyncTransport

    def _connect(self) -> None:
        if self._configuration.http_backend != "httpx":
            raise ConfigurationError(
                "http_backend is a choice of AsyncClient: SyncClient sends by requests. Leave it out."
            )
        from .transports.requests import RequestsTransport

        self._transport = RequestsTransport(self._configuration.route())

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = UNSET,
        retry: RetryPolicy | None = UNSET,
        continue_from: Reply | Finish | None = None,
        **options: Unpack[ChatOptions],
    ) -> Stream:
        """Ask, and return the answer as a stream of events.

        Args:
            messages: one user message as text, or a sequence of ``{"role", "content"}`` mappings.
            model: the model for this question.
            timeout: time limits for this question.
            retry: attempts for this question.
            continue_from: the reply to go on from, for services that keep the conversation themselves.
            options: what the provider takes; an option that it cannot honour is an error.

        Raises:
            ConfigurationError: something is wrong with the question; nothing was sent.
        """
        exchange, flow = self._ask(messages, model, timeout, retry, continue_from, options)
        return Stream(exchange, flow, self._transport, self._streams)

    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = UNSET,
        retry: RetryPolicy | None = UNSET,
        continue_from: Reply | Finish | None = None,
        **options: Unpack[ChatOptions],
    ) -> Reply:
        """Ask, and return the whole answer: `stream`, drained.

        Raises:
            GLMError: what went wrong; what came is on ``error.partial``.
        """
        return self.stream(
            messages,
            model=model,
            timeout=timeout,
            retry=retry,
            continue_from=continue_from,
            **options,
        ).reply()

    def conversation(
        self,
        *,
        system: str | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Conversation:
        """Begin a conversation; it carries what the service needs from one turn to the next.

        Args:
            system: the system message.
            model: the model for every turn that does not name one.
            options: for every turn.

        Raises:
            ConfigurationError: ``system`` is not text.
        """
        from .conversation import Conversation

        return Conversation(self, system=system, model=model, options=options)

    def models(self) -> tuple[Model, ...]:
        """Return the models that the service offers.

        Raises:
            GLMError: the service could not be asked.
        """
        provider, exchange = self.provider, self._exchange(UNSET, UNSET)
        found: list[tuple[Model, ...]] = []

        def attempt() -> Flow[None]:
            found.append((yield from provider.list_models(exchange)))

        Stream(exchange, exchange.turn(attempt), self._transport, self._streams).until_done()
        return found[-1]

    def close(self) -> None:
        """Close every connection and the streams that are open; entering the client opens it again."""
        self._closed = True
        for stream in self._open_streams():
            stream.close()
        self._transport.close()

    def __enter__(self) -> Self:
        self._closed = False
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
