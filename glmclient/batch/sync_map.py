"""`SyncClient.map`: a bounded pool of threads, and no event loop."""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Literal

from ..closing import SyncClosing
from ..errors import ConfigurationError, StreamMisuse
from ..messages import Messages
from ..streams.sync_stream import repaired
from .limiter import Limiter
from .mapping import Order, Pending, checked_options, finished, repairs
from .rows import Result

if TYPE_CHECKING:
    from ..clients.sync_client import SyncClient
    from ..streams.sync_stream import Stream

__all__ = ["Map"]


class _Pool:
    """The threads of one `Map`, and what they hold.

    It does not refer to the `Map`: a map that is dropped is collected, and its finalizer stops the threads.
    """

    def __init__(self, client: SyncClient, options: Mapping[str, Any], limiter: Limiter) -> None:
        self._client = client
        self._options = options
        self._limiter = limiter
        self._rows: SimpleQueue[Pending | None] = SimpleQueue()
        self.results: SimpleQueue[Result] = SimpleQueue()
        self._streams: dict[int, Stream] = {}
        self._threads = 0
        self._stopped = False
        # Each thread runs in the caller's context: the current span of a tracer, for one, is found there.
        self._context = contextvars.copy_context()

    def submit(self, pending: Pending) -> None:
        if self._threads < self._limiter.window:
            self._threads += 1
            threading.Thread(
                target=self._context.copy().run,
                args=(self._work,),
                name="glmclient.map",
                daemon=True,
            ).start()
        self._rows.put(pending)

    def _work(self) -> None:
        while (pending := self._rows.get()) is not None:
            self.results.put(self._asked(pending))

    def _asked(self, pending: Pending) -> Result:
        streams: list[Stream] = []

        def ask(messages: Messages, again: Mapping[str, Any]) -> Stream:
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
            reply = stream.reply() if rounds is None else repaired(stream, ask, rounds)
        except Exception as error:  # noqa: BLE001 - the row's result carries it
            return finished(pending, None, error, streams)
        else:
            return finished(pending, reply, None, streams)
        finally:
            self._streams.pop(pending.index, None)

    def stop(self) -> None:
        """Cancel what is running, and let the threads end; it may run in a finalizer."""
        self._stopped = True
        for stream in list(self._streams.values()):
            stream.cancel()
        for _ in range(self._threads):
            self._rows.put(None)
        self._threads = 0


class Map(SyncClosing):
    """Results of many questions, as they complete: an iterator and a context manager.

    It is made by `SyncClient.map`. Leaving the loop, `close` or dropping it cancels what is running.
    """

    def __init__(
        self,
        client: SyncClient,
        rows: Iterable[Any],
        concurrency: int | Literal["auto"],
        ordered: bool,
        options: Mapping[str, Any],
    ) -> None:
        limiter, options = checked_options(concurrency, options)
        if not isinstance(rows, Iterable):
            raise ConfigurationError(f"rows must be an iterable, not {type(rows).__name__}.")
        self.limiter: Limiter = limiter
        self._rows = iter(rows)
        self._order = Order(limiter, ordered=ordered)
        self._pool = _Pool(client, options, limiter)
        self._exhausted = False
        self._failure: Exception | None = None
        self._closed = False

    def __iter__(self) -> Iterator[Result]:
        return self._results()

    def _results(self) -> Iterator[Result]:
        # A generator of its own: when the loop is left, it is collected at once and cancels what is running.
        try:
            while (result := self.next_or_none()) is not None:
                yield result
        finally:
            self.close()

    def __next__(self) -> Result:
        result = self.next_or_none()
        if result is None:
            self.close()
            raise StopIteration
        return result

    def next_or_none(self) -> Result | None:
        """Return the next result, or ``None`` at the end.

        Unlike a loop over the map, an exception in the middle, such as Ctrl-C, leaves the rows under way alone.
        """
        if self._closed and not self._exhausted:
            raise StreamMisuse("read after close: this map was closed before its end.")
        while True:
            self._submit()
            result = self._order.ready()
            if result is not None:
                return result
            if not self._order.outstanding:
                break
            self._order.take(self._pool.results.get())
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return None

    def _submit(self) -> None:
        while not self._exhausted and self._order.room:
            try:
                row = next(self._rows)
            except StopIteration:
                self._exhausted = True
            except Exception as error:  # noqa: BLE001 - the rows may raise anything
                # The answers that are on their way are handed out first; then the rows' own error is raised.
                self._exhausted, self._failure = True, error
            else:
                self._pool.submit(self._order.pull(row))

    def stop(self) -> None:
        """Pull no further rows; those that run are still handed out."""
        self._exhausted = True

    def drain(self, seconds: float) -> Iterator[Result]:
        """Yield what still comes within ``seconds``, after `stop`."""
        until = time.monotonic() + seconds
        while True:
            while (result := self._order.ready()) is not None:
                yield result
            left = until - time.monotonic()
            if not self._order.outstanding or left <= 0:
                return
            with suppress(Empty):
                self._order.take(self._pool.results.get(timeout=left))

    def close(self) -> None:
        """Cancel what is running; a second call does nothing."""
        if not self._closed:
            self._closed = True
            self._pool.stop()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()
