"""`AsyncClient.map`: tasks on the running event loop, asyncio's or trio's.

The tasks are not children of the caller's task, because a plain ``async for`` has no place where a task group could
end. They end with the iterator instead: it cancels their streams when the loop over it is left.
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from ..closing import AsyncClosing
from ..errors import ConfigurationError, StreamMisuse
from ..messages import Messages
from ..streams.async_stream import repaired
from .limiter import Limiter
from .mapping import Order, Pending, checked_options, finished, repairs
from .rows import Result

if TYPE_CHECKING:
    from anyio import Event as Bell
    from typing_extensions import Self

    from ..clients.async_client import AsyncClient
    from ..streams.async_stream import AsyncStream

__all__ = ["AsyncMap"]


class _Tasks:
    """The running rows of one `AsyncMap`; it does not refer to the map, so that a dropped map is collected."""

    def __init__(self, client: AsyncClient, options: Mapping[str, Any], limiter: Limiter) -> None:
        self._client = client
        self._options = options
        self._limiter = limiter
        self._streams: dict[int, AsyncStream] = {}
        self._pending: deque[Pending] = deque()
        self._workers = 0
        self._stopped = False
        self._bell: Bell | None = None
        self.results: deque[Result] = deque()

    def submit(self, pending: Pending) -> None:
        """Let a task ask the row.

        A task asks one row after the other. A task for each row would wait in the limiter while its predecessors run,
        and waiting costs as much as half a question.
        """
        self._pending.append(pending)
        if self._workers < self._limiter.window:
            from ..transports.httpx.event_loop import EventLoop

            self._workers += 1
            EventLoop.current().spawn(self._work)

    async def _work(self) -> None:
        try:
            while self._pending:
                self.results.append(await self._asked(self._pending.popleft()))
                if self._bell is not None:
                    self._bell.set()
        finally:
            self._workers -= 1

    async def _asked(self, pending: Pending) -> Result:
        streams: list[AsyncStream] = []

        def ask(messages: Messages, again: Mapping[str, Any]) -> AsyncStream:
            asked = replace(question, messages=messages)
            stream = self._client._mapped(asked, self._options, self._limiter, again)
            streams.append(stream)
            self._streams[pending.index] = stream
            if self._stopped:
                stream.cancel()
            return stream

        try:
            question = pending.begin()
            rounds = repairs(self._client, question, self._options)
            stream = ask(question.messages, {})
            reply = await (stream.reply() if rounds is None else repaired(stream, ask, rounds))
        except Exception as error:  # noqa: BLE001 - the row's result carries it
            return finished(pending, None, error, streams)
        else:
            return finished(pending, reply, None, streams)
        finally:
            self._streams.pop(pending.index, None)

    async def result(self) -> Result:
        """Wait for the next result."""
        import anyio

        while not self.results:
            self._bell = anyio.Event()
            await self._bell.wait()
        return self.results.popleft()

    def stop(self) -> None:
        """Cancel what is running; it may run in a finalizer."""
        self._stopped = True
        self._pending.clear()
        for stream in list(self._streams.values()):
            stream.cancel()


class AsyncMap(AsyncClosing):
    """Results of many questions, as they complete: an asynchronous iterator and a context manager.

    It is made by `AsyncClient.map`. Leaving the loop, `aclose` or dropping it cancels what is running.
    """

    def __init__(
        self,
        client: AsyncClient,
        rows: Iterable[Any] | AsyncIterable[Any],
        concurrency: int | Literal["auto"],
        ordered: bool,
        options: Mapping[str, Any],
    ) -> None:
        limiter, options = checked_options(concurrency, options)
        self.limiter: Limiter = limiter
        self._rows = _Rows(rows)
        self._order = Order(limiter, ordered=ordered)
        self._tasks = _Tasks(client, options, limiter)
        self._exhausted = False
        self._failure: Exception | None = None
        self._closed = False

    def __aiter__(self) -> AsyncIterator[Result]:
        return _Results(self)

    async def __anext__(self) -> Result:
        if self._closed and not self._exhausted:
            raise StreamMisuse("read after close: this map was closed before its end.")
        while True:
            await self._submit()
            result = self._order.ready()
            if result is not None:
                return result
            if not self._order.outstanding:
                break
            self._order.take(await self._tasks.result())
        self._closed = True
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        raise StopAsyncIteration

    async def _submit(self) -> None:
        while not self._exhausted and self._order.room:
            try:
                row = await self._rows.next()
            except StopAsyncIteration:
                self._exhausted = True
            except Exception as error:  # noqa: BLE001 - the rows may raise anything
                # The answers that are on their way are handed out first; then the rows' own error is raised.
                self._exhausted, self._failure = True, error
            else:
                self._tasks.submit(self._order.pull(row))

    def stop(self) -> None:
        """Pull no further rows; those that run are still handed out."""
        self._exhausted = True

    async def aclose(self) -> None:
        """Cancel what is running; a second call does nothing."""
        self._stop()

    def _stop(self) -> None:
        if not self._closed:
            self._closed = True
            self._tasks.stop()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self._stop()


class _Results:
    """The iterator of one ``async for``: when the loop is left, it is collected and cancels what is running."""

    __slots__ = ("_map",)

    def __init__(self, source: AsyncMap) -> None:
        self._map = source

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Result:
        return await self._map.__anext__()

    def __del__(self) -> None:
        self._map._stop()


class _Rows:
    """The caller's rows, from either kind of iterable.

    An asynchronous generator would be shorter, but trio warns of each one that is not run to its end, and a map that is
    left early does not run its rows to their end.
    """

    __slots__ = ("_asynchronous", "_rows")

    def __init__(self, rows: Iterable[Any] | AsyncIterable[Any]) -> None:
        self._rows: Iterator[Any] | None = None
        self._asynchronous: AsyncIterator[Any] | None = None
        if isinstance(rows, AsyncIterable):
            self._asynchronous = aiter(rows)
        elif isinstance(rows, Iterable):
            self._rows = iter(rows)
        else:
            raise ConfigurationError(f"rows must be an iterable, not {type(rows).__name__}.")

    async def next(self) -> Any:
        """Return the next row.

        Raises:
            StopAsyncIteration: there are no more.
        """
        if self._asynchronous is not None:
            return await anext(self._asynchronous)
        for row in self._rows or ():
            return row
        raise StopAsyncIteration
