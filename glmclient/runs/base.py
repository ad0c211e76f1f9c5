"""What both kinds of run are: the state between rounds, without a driver.

A run asks, reads the answer, runs the functions that the model asks for, and asks again with their results. The
`Finish` of a round is held back until it is certain whether the model asked for functions: a run has one `Finish`,
the last one. The drivers, `Run` and `AsyncRun`, only read streams and wait for functions.
"""

from __future__ import annotations

import dataclasses
import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from .._visible import complete_repr
from ..clients.base import BaseClient
from ..core.limits import Timeout
from ..errors import (
    APITimeoutError,
    ConfigurationError,
    MaxRoundsExceeded,
    StreamCancelled,
    StreamMisuse,
    ToolCallError,
)
from ..events import Finish, RunEvent, ToolCall, ToolResult, Usage
from ..messages import Messages, checked_messages
from ..reply import Reply
from ..schemas.rounds import renewed
from ..streams.base import ENDS, BaseStream
from .functions import BadArguments, Tool, content_of, tools_of

__all__ = ["BaseRun"]

S = TypeVar("S", bound=BaseStream)

_CUT = (
    "the call was cut at the token limit of the answer. Call the tool again with shorter arguments."
)


class BaseRun(Generic[S]):
    """Rounds of answers and tools, as far as they have been handed over.

    Args:
        client: the client that asks.
        messages: the question.
        tools: functions, `Tool` objects, and mappings, which are a service's own tools.
        max_rounds: requests at most.
        raise_tool_errors: raise what goes wrong in a call in place of answering the model with it.
        question: ``model``, ``timeout``, ``retry``, ``schema`` and the options of every round.

    Raises:
        ConfigurationError: something is wrong with the question; nothing was sent.
    """

    def __init__(
        self,
        client: BaseClient,
        messages: Messages,
        tools: Iterable[Any] | None,
        *,
        max_rounds: int,
        raise_tool_errors: bool,
        question: Mapping[str, Any],
    ) -> None:
        if isinstance(max_rounds, bool) or not isinstance(max_rounds, int) or max_rounds < 1:
            raise ConfigurationError(
                f"max_rounds must be a number of requests, 1 or more, not {max_rounds!r}."
            )
        described, self._tools = _checked_tools(tools)
        if described and not client.provider.supports.tools:
            raise ConfigurationError(
                f"provider {client.provider.name!r} has no tools. Use a provider whose supports.tools is True."
            )
        self._client = client
        self._max_rounds = max_rounds
        self._raises = raise_tool_errors
        self._history: list[dict[str, Any]] = list(checked_messages(messages, compatible=True))
        """The question and the rounds that are complete."""
        self._asked = len(self._history)
        configuration = client._configuration
        self._limits: Timeout = client._timeout(question)
        self._clock: Callable[[], float] = configuration.clock
        self._began: float | None = None
        """The time of the first read, on the client's clock: the total limit counts from there, as a stream's does."""
        self._question: dict[str, Any] = {**question, "timeout": self._limits}
        if described:
            model = question.get("model") or client.default_model
            self._question = {**client.provider.run_options(model), **self._question}
            self._question["tools"] = described
        self._usage: Usage | None = None
        self._attempts = 0
        self._rounds = 0
        self._ready: deque[RunEvent] = deque()
        """What is handed over next: the results of a round, or the last `Finish`."""
        self._asks_again = False
        self._finish: Finish | None = None
        self._busy = threading.Lock()
        """The reader, or the thread that closes the run, holds it."""
        self._error: Exception | None = None
        self._ended = False
        self._closed = False
        self._cancelled = False
        self._iterating = False
        self._stop: Callable[[], object] | None = None
        """Ends the wait for functions, from any thread."""
        self._stream: S = self._next_stream()
        streams: dict[int, Any] = client._streams
        key = id(self)
        # Closing the client closes the run. The callback removes a run that is collected without having been closed.
        streams[key] = weakref.ref(self, lambda _: streams.pop(key, None))

    # -- what has been handed over -------------------------------------------------------------------------

    @property
    def text(self) -> str:
        """The answer of the current round so far."""
        return self._stream.text

    @property
    def reasoning(self) -> str:
        """The model's thinking in the current round so far."""
        return self._stream.reasoning

    @property
    def tool_calls(self) -> tuple[ToolCall, ...]:
        """The tool calls of the current round so far."""
        return self._stream.tool_calls

    @property
    def finish(self) -> Finish | None:
        """The `Finish` event of the last round once it was handed over, else ``None``."""
        return self._finish

    @property
    def partial(self) -> Reply:
        """Everything that has been handed over of the current round."""
        return self._stream.partial

    @property
    def parsed(self) -> Any:
        """The value of the last answer with ``schema=`` once `Finish` was handed over, before that ``None``.

        Raises:
            SchemaError: the answer does not fit the schema.
        """
        return None if self._finish is None else self._stream.parsed

    @property
    def messages(self) -> tuple[dict[str, Any], ...]:
        """The question and every complete round, at the end with the final answer, ready to be sent again."""
        return tuple(dict(message) for message in self._history)

    @property
    def usage(self) -> Usage | None:
        """The sum of the rounds so far, where the service tells their tokens."""
        return self._usage

    @property
    def rounds(self) -> int:
        """Requests so far; 0 if nothing was read."""
        return self._rounds - (1 if not self._stream._opened else 0)

    def _turn(self) -> tuple[dict[str, Any], ...]:
        """Return the messages that follow the question, as a conversation keeps them."""
        return self.messages[self._asked :]

    def _partial_turn(self) -> tuple[dict[str, Any], ...]:
        """Return the same of a run that did not end: the rounds that are complete, and the text that came."""
        stream = self._stream
        begun = stream.text and not self._asks_again
        cut = (dict(Reply(stream.text, stream.reasoning).message()),) if begun else ()
        return (*self._turn(), *cut)

    # -- rounds --------------------------------------------------------------------------------------------

    def _next_stream(self) -> S:
        """Return the stream of the next round; nothing is sent before it is read.

        Raises:
            APITimeoutError: the total limit passed.
        """
        self._asks_again = False
        question = renewed(self._question, self._rounds + 1) if self._rounds else self._question
        if self._rounds and self._limits.total is not None:
            seconds_left = self._time_left()
            if seconds_left is not None and seconds_left <= 0:
                raise self._timed_out()
            question = {
                **question,
                "timeout": dataclasses.replace(self._limits, total=seconds_left),
            }
        self._rounds += 1
        stream: S = self._client.stream(list(self._history), **question)
        return stream

    def _time_left(self) -> float | None:
        """Return the seconds until the total limit passes, ``None`` without one."""
        total = self._limits.total
        return None if total is None else total - self._elapsed()

    def _elapsed(self) -> float:
        """Return the seconds since the first read."""
        return 0.0 if self._began is None else self._clock() - self._began

    def _next_ready(self) -> RunEvent | None:
        """Return the next event that waits to be handed over."""
        if not self._ready:
            return None
        event = self._ready.popleft()
        if isinstance(event, Finish):
            self._finish = event
            self._ended = True
            self._note_closed()
        return event

    def _round_ended(self, finish: Finish) -> tuple[ToolCall, ...]:
        """Take in a complete answer; return the calls to run. Without any, the run is at its end.

        Raises:
            MaxRoundsExceeded: the answer asks for tools and is the last allowed one.
        """
        reply = self._stream.partial
        self._attempts += self._stream.attempts
        if finish.usage is not None:
            self._usage = finish.usage if self._usage is None else self._usage + finish.usage
        calls = _with_ids(reply.tool_calls, self._rounds)
        if not calls or finish.reason == "content_filter":
            # A call of an answer that the service withheld is not run; without a result it cannot be sent again.
            self._history.append(dict(dataclasses.replace(reply, tool_calls=()).message()))
            self._ready.append(finish)
            return ()
        message = dict(dataclasses.replace(reply, tool_calls=calls).message())
        if self._rounds >= self._max_rounds:
            raise MaxRoundsExceeded(
                f"the model still asks for tools after {self._rounds} rounds, and max_rounds={self._max_rounds}. The "
                "history is in `.messages`. Raise max_rounds, or tell the model to answer.",
                messages=(*self.messages, message),
                usage=self._usage,
                partial=reply,
                request_id=finish.request_id,
                attempts=self._attempts,
            )
        return calls

    def _take_in(self, results: Sequence[ToolResult]) -> None:
        """Add the answer and the results of its calls to the history, and hand the results over."""
        reply = self._stream.partial
        calls = _with_ids(reply.tool_calls, self._rounds)
        self._history.append(dict(dataclasses.replace(reply, tool_calls=calls).message()))
        self._history += [
            {"role": "tool", "tool_call_id": each.id, "content": each.content} for each in results
        ]
        self._ready.extend(results)
        self._asks_again = True

    # -- one call ------------------------------------------------------------------------------------------

    def _bound(self, call: ToolCall) -> tuple[Tool, Callable[[], Any]]:
        """Return the tool of a call, and the call of its function with the converted arguments.

        Raises:
            ToolCallError: there is no such tool, or the arguments do not fit.
        """
        tool = self._tools.get(call.name)
        if tool is None:
            names = ", ".join(self._tools) or "none"
            raise ToolCallError(
                f"there is no function {call.name!r}; the functions are: {names}", call=call
            )
        finish = self._stream.finish
        if finish is not None and finish.reason == "length" and not call.arguments.strip():
            raise ToolCallError(_CUT, call=call)
        try:
            return tool, tool.bound(call)
        except BadArguments as error:
            raise ToolCallError(str(error), call=call) from None

    def _succeeded(self, call: ToolCall, value: Any) -> ToolResult:
        return ToolResult(call.id, call.name, content_of(value))

    def _failed_call(self, call: ToolCall, error: BaseException) -> ToolResult:
        """Return the result that tells the model what went wrong.

        Raises:
            BaseException: ``error``, with ``raise_tool_errors``.
        """
        if self._raises:
            if isinstance(error, ToolCallError):
                error.partial = self._stream.partial
            if isinstance(error, ENDS):
                # It would end the loop over the run without an error.
                raise RuntimeError(f"tool {call.name!r} raised {type(error).__name__}") from error
            raise error
        problem = str(error)
        if not isinstance(error, ToolCallError):
            problem = f"{type(error).__name__}: {problem}" if problem else type(error).__name__
        return ToolResult(call.id, call.name, problem, is_error=True)

    # -- states --------------------------------------------------------------------------------------------

    def _begin_reading(self) -> None:
        """Take the right to read.

        Raises:
            StreamMisuse: another reader is active, or the run was closed.
            Exception: what ended the run.
        """
        if not self._busy.acquire(blocking=False):
            raise StreamMisuse("two readers at once: read a run from one place, or ask twice.")
        try:
            self._check_readable()
        except BaseException:
            self._busy.release()
            raise
        if self._began is None:
            self._began = self._clock()

    def _check_readable(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(None)
        if self._ended:
            return
        if self._cancelled:
            self._error = self._cancel_error()
            raise self._error
        if self._closed:
            raise StreamMisuse(
                "read after close: this run was closed before its end; what came is on `.messages` and `.text`.",
                partial=self._stream.partial,
            )

    def _failed(self, error: BaseException) -> None:
        # A further read raises the same error; it must not look like an end. An interrupt is raised once.
        if isinstance(error, Exception):
            self._error = error

    def _begin_iterating(self) -> None:
        if self._iterating:
            raise StreamMisuse("two readers at once: this run is being iterated already.")
        self._iterating = True

    def _cancel_error(self) -> StreamCancelled:
        return StreamCancelled(
            f"the run was cancelled in round {self._rounds}; what came is on `.messages` and `.text`.",
            partial=self._stream.partial,
            attempts=self._attempts,
        )

    def _timed_out(self) -> APITimeoutError:
        elapsed = self._elapsed()
        return APITimeoutError(
            f"the time limit `total` of {self._limits.total:g} s passed after {elapsed:.1f} s, in round "
            f"{self._rounds} of a run. Raise Timeout(total=...) if the tools need longer.",
            limit="total",
            seconds=self._limits.total,
            elapsed=elapsed,
            partial=self._stream.partial,
            attempts=self._attempts,
        )

    def _note_closed(self) -> None:
        self._closed = True
        # A traceback may hold the iterator of a loop that an error ended.
        self._iterating = False
        self._client._streams.pop(id(self), None)

    @complete_repr
    def __repr__(self) -> str:
        states = {
            "ended": self._ended,
            "failed": self._error is not None,
            "closed": self._closed,
            "open": self.rounds > 0,
            "not opened": True,
        }
        state = next(name for name, holds in states.items() if holds)
        return f"<{type(self).__name__} {state}, round {self.rounds}>"


def _checked_tools(tools: Iterable[Any] | None) -> tuple[list[dict[str, Any]], dict[str, Tool]]:
    if tools is None:
        return [], {}
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Iterable):
        raise ConfigurationError(
            f"tools must be a sequence of functions, glmclient.tool objects and mappings, not {type(tools).__name__}."
        )
    return tools_of(tools)


def _with_ids(calls: Sequence[ToolCall], round_number: int) -> tuple[ToolCall, ...]:
    """Return calls with an id each; some servers send none, and a result is assigned to its call by the id."""
    ids: set[str] = set()
    result: list[ToolCall] = []
    for index, call in enumerate(calls):
        if not call.id or call.id in ids:
            call = dataclasses.replace(call, id=f"call_{round_number}_{index}")
        ids.add(call.id)
        result.append(call)
    return tuple(result)
