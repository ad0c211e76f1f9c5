"""The blocking client: requests underneath, and no decision of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..core.exchange import Flow
from ..core.limits import Timeout
from ..core.retry import RetryPolicy
from ..errors import ConfigurationError
from ..events import Finish
from ..messages import Messages
from ..providers.base import Model
from ..reply import Reply
from ..streams.sync_stream import Stream, repaired
from ..transports.base import SyncTransport
from .base import UNSET, BaseClient, checked_transport

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..batch.limiter import Limiter
    from ..batch.rows import Question
    from ..batch.run import BatchReport
    from ..batch.sync_map import Map
    from ..conversations.conversation import Conversation
    from ..options import ChatOptions
    from ..runs.sync_run import Run

__all__ = ["SyncClient"]


T = TypeVar("T")


class SyncClient(BaseClient):
    __doc__ = BaseClient.__doc__

    _transport: SyncTransport

    def _connect(self) -> None:
        if self._configuration.http_backend != "httpx":
            raise ConfigurationError(
                "http_backend is a choice of AsyncClient: SyncClient sends by requests. Leave it out."
            )
        if self._replay is not None:
            from ..cassette.replaying import SyncReplayTransport

            self._transport = SyncReplayTransport(self._replay, self.provider.url)
            return
        self._transport = self._performing()
        if self._recorder is not None:
            from ..cassette.recording import SyncRecordingTransport

            self._transport = SyncRecordingTransport(self._transport, self._recorder)

    def _performing(self) -> SyncTransport:
        if self._own_transport is not None:
            checked: SyncTransport = checked_transport(self._own_transport, "open", "close")
            return checked
        from ..transports.requests.transport import RequestsTransport

        return RequestsTransport(self._configuration.route())

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = UNSET,
        retry: RetryPolicy | None = UNSET,
        continue_from: Reply | Finish | None = None,
        schema: Any = None,
        **options: Unpack[ChatOptions],
    ) -> Stream:
        """Ask, and return the answer as a stream of events.

        Args:
            messages: one user message as text, or a sequence of ``{"role", "content"}`` mappings.
            model: the model for this question.
            timeout: time limits for this question.
            retry: attempts for this question.
            continue_from: the reply to go on from, for services that keep the conversation themselves.
            schema: the type of the answer, or a JSON Schema mapping. The stream then has ``.value_stream`` and
                ``.parsed``; it is one round, never repaired.
            options: what the provider takes; an option that it cannot honour is an error.

        Raises:
            ConfigurationError: something is wrong with the question; nothing was sent.
        """
        exchange, flow, typed = self._ask(
            messages, model, timeout, retry, continue_from, options, None, schema
        )
        return Stream(exchange, flow, self._transport, self._streams, typed)

    @overload
    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = ...,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        continue_from: Reply | Finish | None = ...,
        schema: type[T],
        repair: int = ...,
        **options: Unpack[ChatOptions],
    ) -> Reply[T]: ...
    @overload
    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = ...,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        continue_from: Reply | Finish | None = ...,
        schema: Any = ...,
        repair: int = ...,
        **options: Unpack[ChatOptions],
    ) -> Reply[Any]: ...
    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = UNSET,
        retry: RetryPolicy | None = UNSET,
        continue_from: Reply | Finish | None = None,
        schema: Any = None,
        repair: int = 1,
        **options: Unpack[ChatOptions],
    ) -> Reply[Any]:
        """Ask, and return the whole answer: `stream`, drained.

        Args:
            schema: the type of the answer: a dataclass, ``TypedDict``, ``list[...]``, msgspec Struct, pydantic model,
                or a JSON Schema mapping. ``reply.parsed`` is its value.
            repair: further rounds that send the problems back if the answer does not fit the schema.

        Raises:
            SchemaError: the answer still does not fit.
            GLMError: what went wrong; what came is on ``error.partial``.
        """

        def ask(messages: Messages, timeout: Any) -> Stream:
            return self.stream(
                messages,
                model=model,
                timeout=timeout,
                retry=retry,
                continue_from=continue_from,
                schema=schema,
                **options,
            )

        stream = ask(messages, timeout)
        if schema is None:
            return stream.reply()
        return repaired(stream, ask, self._repairs(repair, messages, timeout))

    def run(
        self,
        messages: Messages,
        tools: Iterable[Any] | None = None,
        *,
        max_rounds: int = 8,
        raise_tool_errors: bool = False,
        model: str | None = None,
        timeout: Timeout | float | None = UNSET,
        retry: RetryPolicy | None = UNSET,
        schema: Any = None,
        **options: Any,
    ) -> Run:
        """Ask, run the functions that the model calls, and ask again with their results, until it answers.

        Args:
            messages: one user message as text, or a sequence of ``{"role", "content"}`` mappings.
            tools: functions, `glmclient.tool` objects, and mappings, which are a service's own tools and are passed
                on. A function is described to the model by its signature and docstring. Functions run in threads.
            max_rounds: requests at most.
            raise_tool_errors: raise what goes wrong in a call. Otherwise the model is told, as the result of the call.
            model: the model for every round.
            timeout: time limits; ``total`` covers the whole run, functions included.
            retry: attempts of each round.
            schema: the type of the last answer, as `stream` takes it.
            options: what the provider takes, for every round.

        Returns:
            an iterator of events and a context manager. Nothing is sent before it is read.

        Raises:
            ConfigurationError: something is wrong with the question, the service has no tools, or a function cannot
                be described; nothing was sent.
        """
        from ..runs.sync_run import Run

        return Run(
            self,
            messages,
            tools,
            max_rounds=max_rounds,
            raise_tool_errors=raise_tool_errors,
            question={
                "model": model,
                "timeout": timeout,
                "retry": retry,
                "schema": schema,
                **options,
            },
        )

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
            ConfigurationError: ``system`` is not text, or the provider cannot honour the model or an option.
        """
        from ..conversations.conversation import Conversation

        return Conversation(self, system=system, model=model, options=options)

    def map(
        self,
        rows: Iterable[Any],
        *,
        concurrency: int | Literal["auto"] = "auto",
        ordered: bool = False,
        **options: Any,
    ) -> Map:
        """Ask many questions, several at once, and return their results as they complete.

        Args:
            rows: an iterable of texts, of sequences of messages, or of mappings with ``prompt`` or ``messages`` and,
                where wanted, an ``id`` and options of their own; `AsyncClient` takes asynchronous iterables too. Rows
                are pulled as they are needed.
            concurrency: questions under way at once in this call, or ``"auto"`` to find the number that the service
                allows. The client's limiter applies as well.
            ordered: hand results out in the order of the rows.
            options: ``model``, ``timeout``, ``retry`` and the options of `stream`, for every row.

        Returns:
            An iterator and context manager of `Result`. It never raises for a row: ``result.error`` holds the error.
            A refusal for rate is no error: the row waits and is asked again.

        Raises:
            ConfigurationError: an argument is wrong.
        """
        from ..batch.sync_map import Map

        return Map(self, rows, concurrency, ordered, options)

    def batch(
        self,
        rows: Any,
        output: str | os.PathLike[str],
        *,
        concurrency: int | Literal["auto"] = "auto",
        retry_errors: bool = False,
        max_errors: int | None = None,
        ordered: bool = False,
        format: Literal["jsonl", "openai"] = "jsonl",
        progress: Callable[[BatchReport], object] | None = None,
        system: str | None = None,
        **options: Any,
    ) -> BatchReport:
        """Ask the questions of a file, and append each answer to another file as a line of JSON.

        A run that was killed, interrupted or stopped goes on where it was: call it again. Rows that are done are
        skipped, and a row whose question, model or options changed is asked again.

        Args:
            rows: a path of JSON lines, ``"-"`` for standard input, or any iterable of rows as for `map`. A string is
                a path.
            output: the file to append to. It is locked while it is written.
            concurrency: questions under way at once, or ``"auto"``.
            retry_errors: ask rows again that failed with an error that is retryable.
            max_errors: error rows after which the run stops.
            ordered: sort the output by the order of the rows at the end.
            format: ``"openai"`` writes the lines of OpenAI's batch output.
            progress: called after each row with the report so far.
            system: the system message of rows without one.
            options: ``model``, ``timeout``, ``retry`` and the options of `stream`, for every row.

        Returns:
            The counts. ``report.stopped`` is the error that ended the run early: a full disk, ``max_errors``, or an
            error that every further row would meet, such as a used-up balance.

        Raises:
            ConfigurationError: an argument is wrong, the input cannot be read, or another process writes the output.
            OSError: the output cannot be opened.
        """
        from ..batch.run import Settings
        from ..batch.sync_batch import run_batch

        settings = Settings(retry_errors, max_errors, ordered, format, progress, system)
        return run_batch(self, rows, output, concurrency, settings, options)

    def _mapped(self, question: Question, defaults: Mapping[str, Any], limiter: Limiter) -> Stream:
        options = {**defaults, **question.options}
        exchange, flow, typed = self._ask(
            question.messages,
            options.pop("model", None),
            options.pop("timeout", UNSET),
            options.pop("retry", UNSET),
            None,
            options,
            limiter,
            options.pop("schema", None),
        )
        return Stream(exchange, flow, self._transport, self._streams, typed)

    def models(self) -> tuple[Model, ...]:
        """Return the models that the service offers.

        Raises:
            GLMError: the service could not be asked.
        """
        provider, exchange = self.provider, self._exchange(UNSET, UNSET)
        exchange.answers = False
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
