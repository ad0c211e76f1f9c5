"""The blocking run: functions in threads, so that the calls of a round run side by side and can be left."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextvars import copy_context
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ..closing import SyncClosing
from ..errors import ConfigurationError
from ..events import Finish, RunEvent, ToolCall, ToolResult
from ..messages import Messages
from ..reply import Reply
from ..streams.base import piece_of
from ..streams.sync_stream import Stream
from .base import BaseRun

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..clients.sync_client import SyncClient

__all__ = ["Run"]

THREADS = 8
"""Functions that run at the same time in one run."""


class Run(SyncClosing, BaseRun[Stream]):
    """Rounds of answers and tools: an iterator of events, and a context manager.

    After the events of a round with tool calls come its `ToolResult` events, then the events of the next round. The
    last event is the `Finish` of the last round. Nothing is sent before the run is read. Leaving the loop early
    releases the connection. A function that is running then cannot be stopped; the run does not wait for it.
    """

    def __init__(
        self,
        client: SyncClient,
        messages: Messages,
        tools: Iterable[Any] | None,
        *,
        max_rounds: int,
        raise_tool_errors: bool,
        question: Mapping[str, Any],
    ) -> None:
        super().__init__(
            client,
            messages,
            tools,
            max_rounds=max_rounds,
            raise_tool_errors=raise_tool_errors,
            question=question,
        )
        for tool in self._tools.values():
            if tool.is_async:
                raise ConfigurationError(
                    f"tool {tool.name!r} is an async def: SyncClient cannot await it. Use AsyncClient, or a plain "
                    "function."
                )

    # -- reading -------------------------------------------------------------------------------------------

    def __iter__(self) -> Iterator[RunEvent]:
        return self._iterate()

    def _iterate(self) -> Iterator[RunEvent]:
        # A generator of its own: it is closed when the loop is left, although the run may be kept in a variable.
        self._begin_iterating()
        try:
            while (event := self._read()) is not None:
                yield event
        finally:
            self._iterating = False
            self.close()

    def __next__(self) -> RunEvent:
        event = self._read()
        if event is None:
            raise StopIteration
        return event

    def _read(self) -> RunEvent | None:
        """Return the next event, ``None`` at the end."""
        self._begin_reading()
        try:
            while not self._ended:
                event = self._next_ready()
                if event is None:
                    event = self._step()
                if event is not None:
                    return event
            return None
        except BaseException as error:
            self._failed(error)
            self._leave()
            raise
        finally:
            self._busy.release()

    def _step(self) -> RunEvent | None:
        """Read one event of the round; at its end, run the functions. ``None`` if the state changed instead."""
        if self._asks_again:
            self._stream = self._next_stream()
            if self._cancelled:
                self._stream.cancel()
        event = next(self._stream)  # a stream ends with its Finish, or raises
        if not isinstance(event, Finish):
            return event
        self._stream.until_done()  # gives the connection back
        if calls := self._round_ended(event):
            self._take_in(self._results(calls))
        return None

    @property
    def text_stream(self) -> Iterator[str]:
        """The answers of all rounds as plain pieces of text."""
        return (piece for event in self if (piece := piece_of(event)))

    def until_done(self) -> Self:
        """Read to the end and return the run itself."""
        for _ in self:
            pass
        return self

    def reply(self) -> Reply[Any]:
        """Read to the end and return the last round's answer.

        Raises:
            SchemaError: the answer does not fit the schema that it was asked for with.
        """
        self.until_done()
        return self._stream._reply()

    # -- functions -----------------------------------------------------------------------------------------

    def _results(self, calls: Sequence[ToolCall]) -> list[ToolResult]:
        """Run the functions of a round side by side, and return their results in the order of the calls."""
        work = _Work([self._job(call) for call in calls])
        self._stop = work.stop
        try:
            if self._cancelled:
                raise self._cancel_error()
            work.start()
            until = (
                None
                if (seconds_left := self._time_left()) is None
                else time.monotonic() + seconds_left
            )
            results: dict[int, ToolResult] = {}
            while len(results) < len(calls):
                index, outcome = self._wait(work, until)
                if isinstance(outcome, BaseException):
                    raise outcome
                results[index] = outcome
            return [results[index] for index in range(len(calls))]
        finally:
            self._stop = None
            work.stop()

    def _wait(self, work: _Work, until: float | None) -> tuple[int, ToolResult | BaseException]:
        seconds_left = None if until is None else max(0.0, until - time.monotonic())
        try:
            finished = work.finished.get(timeout=seconds_left)
        except Empty:
            raise self._timed_out() from None
        if finished is None:
            raise self._cancel_error()
        return finished

    def _job(self, call: ToolCall) -> Callable[[], ToolResult]:
        def job() -> ToolResult:
            try:
                return self._succeeded(call, self._bound(call)[1]())
            except (Exception, SystemExit) as error:  # noqa: BLE001 - the model reads what went wrong
                return self._failed_call(call, error)

        return job

    # -- leaving -------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Release the connection now. What came stays on the run; functions that are running are left alone."""
        if not self._busy.acquire(blocking=False):
            self.cancel()  # a reader in another thread is blocked: it leaves itself
            return
        try:
            self._leave()
        finally:
            self._busy.release()

    def cancel(self) -> None:
        """End the run from any thread: a reader that is blocked gets `StreamCancelled`."""
        self._cancelled = True
        self._stream.cancel()
        if (stop := self._stop) is not None:
            stop()

    def _leave(self) -> None:
        self._note_closed()
        self._stream.close()


class _Work:
    """The jobs of one round, in threads that do not keep the interpreter from ending.

    Args:
        jobs: what to run; each in a copy of the caller's context.
    """

    def __init__(self, jobs: Sequence[Callable[[], ToolResult]]) -> None:
        self._waiting = deque((index, copy_context(), job) for index, job in enumerate(jobs))
        self.finished: SimpleQueue[tuple[int, ToolResult | BaseException] | None] = SimpleQueue()
        """What the jobs came to, by their number; ``None`` if the wait is to end."""

    def start(self) -> None:
        """Begin."""
        for _ in range(min(THREADS, len(self._waiting))):
            threading.Thread(target=self._work, name="glmclient-tool", daemon=True).start()

    def stop(self) -> None:
        """Begin no further job, and end the wait."""
        self._waiting.clear()
        self.finished.put(None)

    def _work(self) -> None:
        while True:
            try:
                index, context, job = self._waiting.popleft()
            except IndexError:
                return
            try:
                outcome: ToolResult | BaseException = context.run(job)
            except BaseException as error:  # noqa: BLE001 - the reader raises it
                outcome = error
            self.finished.put((index, outcome))
