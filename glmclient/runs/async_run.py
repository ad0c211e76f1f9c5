"""The asynchronous run: ``async def`` functions as tasks, plain functions in threads."""

from __future__ import annotations

import inspect
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING, Any

from ..closing import AsyncClosing
from ..events import Finish, RunEvent, ToolCall, ToolResult
from ..reply import Reply
from ..streams.async_stream import AsyncStream, Pieces
from ..transports.httpx.event_loop import EventLoop
from .base import BaseRun

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["AsyncRun"]

THREADS = 8
"""Plain functions that run at the same time in one run."""


class AsyncRun(AsyncClosing, BaseRun[AsyncStream]):
    """Rounds of answers and tools: an asynchronous iterator of events, and a context manager.

    After the events of a round with tool calls come its `ToolResult` events, then the events of the next round. The
    last event is the `Finish` of the last round. Nothing is sent before the run is read. ``async def`` functions are
    awaited and are cancelled with the run. Plain functions run in threads: one that is running when the run is left
    cannot be stopped, and the run does not wait for it.
    """

    # -- reading -------------------------------------------------------------------------------------------

    def __aiter__(self) -> AsyncIterator[RunEvent]:
        self._begin_iterating()
        return _Events(self)

    async def __anext__(self) -> RunEvent:
        event = await self._read()
        if event is None:
            raise StopAsyncIteration
        return event

    async def _read(self) -> RunEvent | None:
        """Return the next event, ``None`` at the end."""
        self._begin_reading()
        try:
            while not self._ended:
                event = self._next_ready()
                if event is None:
                    event = await self._step()
                if event is not None:
                    return event
            return None
        except BaseException as error:
            self._failed(error)
            await self._leave()
            raise
        finally:
            self._busy.release()

    async def _step(self) -> RunEvent | None:
        """Read one event of the round; at its end, run the functions. ``None`` if the state changed instead."""
        if self._asks_again:
            self._stream = self._next_stream()
            if self._cancelled:
                self._stream.cancel()
        event = await self._stream.__anext__()  # a stream ends with its Finish, or raises
        if not isinstance(event, Finish):
            return event
        await self._stream.until_done()  # gives the connection back
        if calls := self._round_ended(event):
            self._take_in(await self._results(calls))
        return None

    @property
    def text_stream(self) -> AsyncIterator[str]:
        """The answers of all rounds as plain pieces of text."""
        return Pieces(aiter(self))

    async def until_done(self) -> Self:
        """Read to the end and return the run itself."""
        async for _ in self:
            pass
        return self

    async def reply(self) -> Reply[Any]:
        """Read to the end and return the last round's answer.

        Raises:
            SchemaError: the answer does not fit the schema that it was asked for with.
        """
        await self.until_done()
        return self._stream._reply()

    # -- functions -----------------------------------------------------------------------------------------

    async def _results(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Run the functions of a round side by side, and return their results in the order of the calls."""
        import anyio

        results: dict[int, ToolResult] = {}
        failures: list[Exception] = []
        threads = anyio.Semaphore(THREADS)
        seconds_left = self._time_left()
        deadline = float("inf") if seconds_left is None else anyio.current_time() + seconds_left
        scope = anyio.CancelScope(deadline=deadline)
        loop = EventLoop.current()
        self._stop = lambda: loop.call_soon(scope.cancel)

        async def run(index: int, call: ToolCall) -> None:
            try:
                results[index] = await self._outcome(call, threads)
            except Exception as error:  # noqa: BLE001 - raised below, without a group around it
                failures.append(error)
                scope.cancel()

        try:
            with scope:
                if self._cancelled:
                    scope.cancel()
                async with anyio.create_task_group() as group:
                    for index, call in enumerate(calls):
                        group.start_soon(run, index, call)
        finally:
            self._stop = None
        if failures:
            raise failures[0]
        if self._cancelled:
            raise self._cancel_error()
        if scope.cancelled_caught:
            raise self._timed_out()
        stopped = RuntimeError("the function was cancelled")  # by itself
        return [
            results.get(index) or self._failed_call(call, stopped)
            for index, call in enumerate(calls)
        ]

    async def _outcome(self, call: ToolCall, threads: Any) -> ToolResult:
        try:
            tool, bound = self._bound(call)
            if tool.is_async:
                value = await bound()
            else:
                async with threads:
                    value = await _in_thread(bound)
            if inspect.isawaitable(value):  # a plain function that returns a coroutine
                value = await value
            return self._succeeded(call, value)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the model reads what went wrong
            return self._failed_call(call, error)

    # -- leaving -------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Release the connection now. What came stays on the run; plain functions that are running are left alone."""
        if not self._busy.acquire(blocking=False):
            self.cancel()  # a reader in another task is blocked: it leaves itself
            return
        try:
            await self._leave()
        finally:
            self._busy.release()

    def cancel(self) -> None:
        """End the run from any task or thread: a reader that is blocked gets `StreamCancelled`."""
        self._cancelled = True
        self._stream.cancel()
        if (stop := self._stop) is not None:
            stop()

    async def _leave(self) -> None:
        self._note_closed()
        await self._stream.aclose()

    def _abandon(self) -> None:
        """Leave where nothing can be awaited: the loop over the run was left."""
        if not self._closed and not self._busy.locked():
            self._note_closed()
            self._stream._abandon()


async def _in_thread(function: Callable[[], Any]) -> Any:
    """Call a function in a thread of its own, in a copy of this context, and return what it returns.

    anyio's worker threads are not used: the interpreter waits for them at its end, however long a function takes that
    nothing waits for any more.
    """
    import anyio

    loop, done = EventLoop.current(), anyio.Event()
    outcome: list[tuple[Any, BaseException | None]] = []

    def work() -> None:
        try:
            outcome.append((function(), None))
        except BaseException as error:  # noqa: BLE001 - raised where the function is waited for
            outcome.append((None, error))
        loop.call_soon(done.set)

    context = copy_context()
    threading.Thread(target=context.run, args=(work,), name="glmclient-tool", daemon=True).start()
    await done.wait()
    value, error = outcome[0]
    if error is not None:
        raise error
    return value


class _Events:
    """The iterator of one ``async for``: it is collected when the loop is left, and the run is closed."""

    __slots__ = ("_begun", "_run")

    def __init__(self, run: AsyncRun) -> None:
        self._run = run
        self._begun = False

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RunEvent:
        self._begun = True
        return await self._run.__anext__()

    def __del__(self) -> None:
        self._run._iterating = False
        # Tools that look at attributes make iterators that are never read.
        if self._begun:
            self._run._abandon()
