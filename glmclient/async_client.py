"""The asynchronous client: httpx underneath on asyncio or trio, and no decision of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .client import UNSET, BaseClient
from .core.exchange import FAREWELL_SECONDS, Exchange, Flow, Read, Release, Send
from .core.http import Request
from .core.limits import Timeout
from .core.retry import RetryPolicy
from .errors import TransportFailure
from .events import Event, Finish, Reply
from .messages import Messages
from .providers.base import Model
from .streams import BaseStream, piece_of
from .transports.base import AsyncChannel, AsyncTransport

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from .conversation import AsyncConversation
    from .options import ChatOptions

__all__ = ["AsyncClient", "AsyncStream"]


async def _advance(flow: Flow[Any], channel: AsyncChannel) -> list[Event] | None:
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
                if kind is Read:
                    reply = await channel.read(step)  # type: ignore[arg-type]
                else:
                    reply = await _perform(channel, step)
            except TransportFailure as error:
                failure = error
    except StopIteration:
        return None


async def _perform(channel: AsyncChannel, step: Any) -> Any:
    """Perform one of the steps that are not taken for every event."""
    if isinstance(step, Send):
        return await channel.send(step)
    if isinstance(step, Release):
        return await channel.release(step)
    return await channel.sleep(step.seconds)


class AsyncStream(BaseStream):
    """One answer being read: an asynchronous iterator of events, and a context manager.

    It ends with exactly one `Finish`, or raises; never silently. ``await stream`` sends the request and returns the
    stream opened; entering it or reading it does the same. Leaving the loop early releases the connection.
    """

    def __init__(self, exchange: Exchange, flow: Flow[None], transport: AsyncTransport) -> None:
        super().__init__(exchange, flow)
        self._transport = transport
        self._channel = transport.open()

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

    async def _read(self) -> list[Event] | None:
        self._check_readable()
        self._fold()
        self._reading = True
        try:
            batch = await _advance(self._flow, self._channel)
        except BaseException as error:
            self._failed(error)
            self._reading = False
            await self._leave()
            raise
        self._reading = False
        self._opened = True
        self._take(batch or [])
        if batch is None:
            self._ended = self._closed = True
        return batch

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The same stream as plain pieces of text."""
        return _Pieces(aiter(self))

    async def until_done(self) -> Self:
        """Read to the end and return the stream itself."""
        async for _ in self:
            pass
        return self

    async def reply(self) -> Reply:
        """Read to the end and return the whole answer."""
        await self.until_done()
        return self._exchange.transcript.reply()

    # -- leaving -------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if not self._opened:
            await self._read()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Release the connection now; the service is told where it can be. What came stays on the stream."""
        if self._closed:
            return
        if self._reading:
            self.cancel()
            return
        self._fold()
        try:
            if self._exchange.transcript.finish is not None:
                # The answer is whole: let the flow give the connection back for the next one.
                while await _advance(self._flow, self._channel) is not None:
                    continue
                self._ended = True
        finally:
            await self._leave()

    def cancel(self) -> None:
        """End the stream from any task or thread: a reader that is blocked gets `StreamCancelled`."""
        self._channel.cancel()

    async def _leave(self) -> None:
        if self._closed:
            return
        self._drop_unread()
        self._flow.close()
        await self._channel.aclose()
        request, self._exchange.cleanup = self._exchange.cleanup, None
        if request is not None:
            await _tell(self._transport, self._exchange, request)

    def _abandon(self) -> None:
        """Leave from where nothing can be awaited: a loop that was left, or a finalizer."""
        if not self._closed and not self._reading:
            self._channel.spawn(self.aclose)

    def __del__(self) -> None:
        if not getattr(self, "_closed", True) and self._opened:
            self._channel.cancel()
            self._channel.spawn(self._channel.aclose)


class _Events:
    """The iterator of one ``async for``: when the loop is left it goes, and with it the connection."""

    __slots__ = ("_stream",)

    def __init__(self, stream: AsyncStream) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        stream = self._stream
        for event in stream._events:
            return event
        return await stream.__anext__()

    def __del__(self) -> None:
        self._stream._iterating = False
        self._stream._abandon()


class _Pieces:
    """The plain text of an iterator of events."""

    __slots__ = ("_events",)

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self._events = events

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        async for event in self._events:
            if piece := piece_of(event):
                return piece
        raise StopAsyncIteration


async def _tell(transport: AsyncTransport, exchange: Exchange, request: Request) -> None:
    """Tell the service that nobody listens any more, best effort, even while this task is being cancelled."""
    import anyio

    channel = transport.open()
    with anyio.CancelScope(shield=True):
        try:
            await channel.send(exchange.farewell(request))
            await channel.release(Release(exchange.limits.error_body, FAREWELL_SECONDS))
        except TransportFailure:
            await channel.aclose()  # the stream's own socket is closed, which tells the service too


class AsyncClient(BaseClient):
    __doc__ = BaseClient.__doc__

    _transport: AsyncTransport

    def _connect(self) -> None:
        from .transports.httpx import HttpxTransport

        self._transport = HttpxTransport(self._configuration.route())

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = UNSET,
        retry: RetryPolicy | None = UNSET,
        continue_from: Reply | Finish | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncStream:
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
        return AsyncStream(exchange, flow, self._transport)

    async def chat(
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
        return await self.stream(
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
    ) -> AsyncConversation:
        """Begin a conversation; it carries what the service needs from one turn to the next.

        Args:
            system: the system message.
            model: the model for every turn that does not name one.
            options: for every turn.

        Raises:
            ConfigurationError: ``system`` is not text.
        """
        from .conversation import AsyncConversation

        return AsyncConversation(self, system=system, model=model, options=options)

    async def models(self) -> tuple[Model, ...]:
        """Return the models that the service offers.

        Raises:
            GLMError: the service could not be asked.
        """
        provider, exchange = self.provider, self._exchange(UNSET, UNSET)
        found: list[tuple[Model, ...]] = []

        def attempt() -> Flow[None]:
            found.append((yield from provider.list_models(exchange)))

        await AsyncStream(exchange, exchange.turn(attempt), self._transport).until_done()
        return found[-1]

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.aclose()
