"""What both kinds of stream are: the state of one answer being read, without a driver."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from operator import length_hint
from typing import Any, Protocol

from .._visible import complete_repr
from ..core.appending import AppendOnly
from ..core.exchange import Exchange, Flow
from ..core.failures import ended_early
from ..errors import (
    ConfigurationError,
    GLMError,
    RewriteError,
    SchemaError,
    StreamMisuse,
    TransportFailure,
)
from ..events import Event, Finish, RunEvent, TextDelta, TextReplace, ToolCall, in_notebook
from ..messages import Message
from ..reply import Reply

__all__ = ["BaseStream", "RepairRounds", "ValueOfAnswer"]

_NOTHING: list[Event] = []

ENDS = (StopIteration, StopAsyncIteration, GeneratorExit)
"""Exceptions that end a loop without an error. From a transport they would end an answer silently."""


class ValueOfAnswer(Protocol):
    """The value of an answer that was asked for with a schema."""

    @property
    def value(self) -> Any:
        """The value so far, as plain data."""

    def changed_by(self, event: Event, text: str) -> bool:
        """Take in an event; return whether the value changed.

        Args:
            text: the whole text, at rewrites and at `Finish`.
        """

    def typed(self, reply: Reply[Any]) -> Reply[Any]:
        """Return the reply with its value.

        Raises:
            SchemaError: the answer does not fit.
        """


class RepairRounds(Protocol):
    """The further rounds of a question with a schema."""

    def next_messages(self, answer: Any, error: SchemaError) -> Sequence[Message]:
        """Return the messages of the next round, or raise ``error``."""

    def arguments(self) -> Any:
        """Return the other arguments of the next round."""

    def whole(self, reply: Reply[Any]) -> Reply[Any]:
        """Return the reply of the last round with the usage of all rounds."""


class BaseStream:
    """One answer, as far as it has been handed over.

    Events come in batches, one for each read of the network. A batch is folded into the transcript when it is
    exhausted or when somebody asks; handing an event over is one step of a list's iterator.

    Args:
        siblings: the streams of the same client that are open; this one is among them until it is closed.
        typed: the value of the answer, for a question with a schema.
    """

    def __init__(
        self,
        exchange: Exchange,
        flow: Flow[object],
        siblings: dict[int, weakref.ref[BaseStream]],
        typed: ValueOfAnswer | None = None,
    ) -> None:
        self._typed = typed
        self._siblings = siblings
        siblings[id(self)] = weakref.ref(self)
        self._exchange = exchange
        self._flow = flow
        self._batch: list[Event] = _NOTHING
        self._events: Iterator[Event] = iter(_NOTHING)
        self._folded = 0
        self._folding = threading.RLock()  # a finalizer of the same thread may come in between
        exchange.transcript.lock = self._folding
        self._busy = threading.Lock()
        """Held by who drives the flow: a reader, or who leaves."""
        self._error: GLMError | None = None
        self._opened = False
        self._ended = False
        self._closed = False
        self._left = False
        """The loop over it was left; where closing has to be awaited, it is closed only soon."""
        self._cancelled = False
        self._iterating = False
        self._owner: int | None = None
        """The process that opened the connection."""

    # -- what has been handed over -------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The answer so far; at `Finish`, the service's own final answer."""
        with self._folding:
            self._fold()
            return self._exchange.transcript.text

    @property
    def reasoning(self) -> str:
        """The model's thinking so far."""
        with self._folding:
            self._fold()
            return self._exchange.transcript.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls so far; a call is whole at `Finish`."""
        with self._folding:
            self._fold()
            return self._exchange.transcript.tool_calls

    @property
    def finish(self) -> Finish | None:
        """The `Finish` event once it was handed over, else ``None``."""
        with self._folding:
            self._fold()
            return self._exchange.transcript.finish

    @property
    def partial(self) -> Reply:
        """Everything that has been handed over so far, as ``error.partial`` holds it."""
        with self._folding:
            self._fold()
            return self._exchange.transcript.reply()

    @property
    def parsed(self) -> Any:
        """The value of an answer with ``schema=`` once `Finish` was handed over, before that ``None``.

        Raises:
            SchemaError: the answer does not fit the schema.
        """
        return None if self.finish is None else self._reply().parsed

    def _turn(self) -> tuple[Mapping[str, Any], ...]:
        """Return the messages that follow the question, as a conversation keeps them."""
        return (self.partial.message(),)

    def _partial_turn(self) -> tuple[Mapping[str, Any], ...]:
        """Return the same of an answer that did not end; a tool call that was cut is left out."""
        return (Reply(self.text, self.reasoning).message(),) if self.text else ()

    def _reply(self) -> Reply[Any]:
        with self._folding:
            self._fold()
            reply = self._exchange.transcript.reply()
        return reply if self._typed is None else self._typed.typed(reply)

    def _value_source(self) -> ValueOfAnswer:
        if self._typed is None:
            raise ConfigurationError(
                "value_stream needs a schema: give stream(..., schema=...), or read text_stream."
            )
        return self._typed

    def _changed(self, event: Event) -> bool:
        """Return whether an event changed the value of the answer."""
        text = self.text if isinstance(event, (Finish, TextReplace)) else ""
        return self._value_source().changed_by(event, text)

    def _append_only(self, hold: bool) -> AppendOnly:
        """Return what takes the replacements out of the events that are still to come."""
        return AppendOnly(self.partial, hold=hold)

    def _appended(self, source: AppendOnly, event: Event) -> list[Event]:
        try:
            return source.events(event)
        except RewriteError as error:
            self._fold()
            raise self._exchange.completed(error) from None

    @property
    def attempts(self) -> int:
        """Requests made so far, the first included."""
        return self._exchange.attempts

    def _fold(self) -> None:
        with self._folding:
            self._fold_first(len(self._batch) - length_hint(self._events))

    def _fold_first(self, handed: int) -> None:
        if handed > self._folded:
            whole = handed == len(self._batch) and not self._folded
            fresh = self._batch if whole else self._batch[self._folded : handed]
            self._folded = handed
            self._exchange.transcript.extend(fresh)

    def _hold(self, batch: list[Event]) -> None:
        self._batch, self._events, self._folded = batch, iter(batch), 0

    def _drop_unread(self) -> None:
        """Hand over no more of this batch, not even to an iterator that is in the middle of it."""
        with self._folding:
            unread = list(self._events)
            self._fold_first(len(self._batch) - len(unread))
            self._hold(_NOTHING)

    # -- states --------------------------------------------------------------------------------------------

    def _begin_reading(self) -> None:
        """Take the right to drive the flow, or raise what a read would raise now.

        Raises:
            StreamMisuse: another reader is active, the stream was closed, or a fork copied it.
            GLMError: what ended the stream.
        """
        if self._owner is None:
            self._owner = os.getpid()
        elif self._is_copy():
            raise StreamMisuse(
                "this stream was opened before the process was forked: only the parent can read it. Ask anew."
            )
        if not self._busy.acquire(False):
            self._check_readable()
            raise StreamMisuse("two readers at once: read a stream from one place, or ask twice.")
        if self._cancelled or self._closed or self._left or self._error is not None:
            try:
                self._check_readable()
            except GLMError:
                self._busy.release()
                raise
        with self._folding:
            self._fold_first(len(self._batch))
            self._batch, self._folded = _NOTHING, 0

    def _is_copy(self) -> bool:
        """Tell whether a fork copied this open stream: connection and answer belong to the parent process.

        The first call also closes the copy, which sends nothing: `transports.forks` has cut it off.
        """
        if self._owner is None or self._owner == os.getpid():
            return False
        if not self._closed:
            self._note_closed()
            self._let_go()
        return True

    def _let_go(self) -> None:
        """Free what the copy in a forked child holds, if that needs no event loop."""

    def _check_readable(self) -> None:
        if self._cancelled:
            self._note_cancel()
        if self._error is not None:
            raise self._error.with_traceback(None)
        if (self._closed or self._left) and not self._ended:
            raise self._exchange.completed(
                StreamMisuse(
                    "read after close: this stream was closed before its end; what came is on `.text`."
                )
            )

    def _begin_iterating(self) -> None:
        if self._iterating:
            raise StreamMisuse("two readers at once: this stream is being iterated already.")
        self._iterating = True

    def _note_cancel(self) -> None:
        """Let reading go on with `StreamCancelled`, unless the stream had ended in another way."""
        self._drop_unread()
        if self._error is None and not (self._closed or self._left or self._ended):
            if self._exchange.transcript.finish is not None:
                self._ended = True
            else:
                self._error = self._exchange.failed(TransportFailure("cancelled"))
                self._tell_reason(self._error)

    def _failed(self, error: BaseException) -> None:
        # After a failure a generator is dead, and its next step would look like a clean end: keep the error.
        if isinstance(error, GLMError):
            self._error = error
        self._tell_reason(error)

    def _tell_reason(self, error: BaseException | None) -> None:
        """Note for the observers why reading ended, if not by an end of the task or the process."""
        if self._exchange.observations is not None and isinstance(error, Exception):
            self._exchange.stopped_by = error

    def _took(self, batch: list[Event] | None) -> None:
        """Note what the flow came to: a batch, or its end."""
        self._opened = True
        if batch is None:
            if self._exchange.answers and not self._answered:
                raise self._exchange.completed(ended_early(self._exchange.progress()))
            self._ended = True
            self._note_closed()
            return
        if self._exchange.observations is not None and batch:
            self._exchange.observations.events(batch)
        # No lock, because whoever folds between these two sees fewer events than are unread, and folds none.
        self._events = iter(batch)
        self._batch = batch

    def _note_collected(self) -> None:
        """Note that nobody can read the stream any more; the flow is collected next."""
        if self._exchange.observations is not None:
            self._fold()
        self._note_closed()

    def _note_closed(self) -> None:
        self._closed = True
        self._siblings.pop(id(self), None)

    @property
    def _answered(self) -> bool:
        """The answer is whole: what is left of the flow gives the connection back for the next one."""
        return self.finish is not None

    def __reduce_ex__(self, protocol: Any) -> Any:
        # Two streams on one connection would each read a part of the answer. copy and pickle both ask this method.
        raise TypeError(
            f"{type(self).__name__} cannot be copied or pickled: it owns its connection. Copy what came, "
            "such as `stream.partial`, or ask again."
        )

    def _ipython_display_(self) -> None:
        in_notebook("display_stream", self)

    @complete_repr
    def __repr__(self) -> str:
        states = {
            "ended": self._ended,
            "failed": self._error is not None,
            "closed": self._closed or self._left,
            "open": self._opened,
            "not opened": True,
        }
        state = next(name for name, holds in states.items() if holds)
        return f"<{type(self).__name__} {state}, attempt {self.attempts}>"


def unexpected_end(error: BaseException) -> TransportFailure:
    """Return the failure that an exception of `ENDS` means when a transport raises it."""
    return TransportFailure("broken", f"the transport raised {type(error).__name__}")


def piece_of(event: RunEvent) -> str:
    """Return the plain text of an event; ``""`` if it has none.

    A rewrite cannot be told in plain pieces: its new text is handed out from where it differs, and ``.text`` stays
    exact.
    """
    return event.text if isinstance(event, (TextDelta, TextReplace)) else ""
