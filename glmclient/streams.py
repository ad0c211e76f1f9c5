"""What both kinds of stream are: the state of one answer being read, without a driver."""

from __future__ import annotations

from collections.abc import Iterator
from operator import length_hint

from .core.exchange import Exchange, Flow
from .errors import GLMError, StreamMisuse
from .events import Event, Finish, TextDelta, TextReplace, ToolCall, in_notebook

__all__ = ["BaseStream"]

_NOTHING: list[Event] = []


class BaseStream:
    """One answer, as far as it has been handed over.

    Events come in batches, one for each read of the network. A batch is folded into the transcript when it is
    exhausted or when somebody asks; handing an event over is one step of a list's iterator.
    """

    def __init__(self, exchange: Exchange, flow: Flow[object]) -> None:
        self._exchange = exchange
        self._flow = flow
        self._batch: list[Event] = _NOTHING
        self._events: Iterator[Event] = iter(_NOTHING)
        self._folded = 0
        self._error: BaseException | None = None
        self._opened = False
        self._ended = False
        self._closed = False
        self._reading = False
        self._iterating = False

    # -- what has been handed over -------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The answer so far; at `Finish`, the service's own final answer."""
        self._fold()
        return self._exchange.transcript.text

    @property
    def reasoning(self) -> str:
        """The model's thinking so far."""
        self._fold()
        return self._exchange.transcript.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far; a call is whole at `Finish`."""
        self._fold()
        return self._exchange.transcript.tool_calls

    @property
    def finish(self) -> Finish | None:
        """The `Finish` event once it was handed over, else ``None``."""
        self._fold()
        return self._exchange.transcript.finish

    @property
    def attempts(self) -> int:
        """Requests made so far, the first included."""
        return self._exchange.attempts

    def _fold(self) -> None:
        handed = len(self._batch) - length_hint(self._events)
        if handed > self._folded:
            whole = handed == len(self._batch) and not self._folded
            self._exchange.transcript.extend(
                self._batch if whole else self._batch[self._folded : handed]
            )
            self._folded = handed

    def _take(self, batch: list[Event]) -> None:
        self._batch, self._events, self._folded = batch, iter(batch), 0

    # -- states --------------------------------------------------------------------------------------------

    def _check_readable(self) -> None:
        """Raise what a read would raise now, if anything."""
        if self._reading:
            raise StreamMisuse("two readers at once: read a stream from one place, or ask twice.")
        if self._error is not None:
            raise self._error
        if self._closed and not self._ended:
            raise self._exchange.completed(
                StreamMisuse(
                    "read after close: this stream was closed before its end; what came is on `.text`."
                )
            )

    def _begin_iterating(self) -> None:
        if self._iterating:
            raise StreamMisuse("two readers at once: this stream is being iterated already.")
        self._iterating = True

    def _drop_unread(self) -> None:
        """Close for reading: what was not handed over is not handed over any more."""
        self._fold()
        self._closed = True
        self._batch, self._events, self._folded = _NOTHING, iter(_NOTHING), 0

    def _failed(self, error: BaseException) -> None:
        # After a failure a generator is dead, and its next step would look like a clean end: keep the error.
        if isinstance(error, GLMError):
            self._error = error

    def _ipython_display_(self) -> None:
        in_notebook("display_stream", self)

    def __repr__(self) -> str:
        state = (
            "ended"
            if self._ended
            else "closed"
            if self._closed
            else "open"
            if self._opened
            else "not opened"
        )
        return f"<{type(self).__name__} {state}, attempt {self.attempts}>"


def piece_of(event: Event) -> str:
    """Return the plain text of an event; ``""`` if it has none.

    A rewrite cannot be told in plain pieces: its new text is handed out from where it differs, and ``.text`` stays
    exact.
    """
    return event.text if isinstance(event, (TextDelta, TextReplace)) else ""
