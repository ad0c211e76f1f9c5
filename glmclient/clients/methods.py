"""The public methods of both clients: their full signatures and docstrings, written once.

The methods have no body. `glmclient.signatures.complete` gives these texts to the methods of both clients, which
declare the arguments of a question as a ``TypedDict``.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing_extensions import Unpack

    from ..batch.run import BatchReport
    from ..core.limits import Timeout
    from ..core.retry import RetryPolicy
    from ..events import Finish
    from ..messages import Messages
    from ..options import ChatOptions
    from ..reply import Reply

__all__ = ["ClientMethods"]


class ClientMethods:
    """What `SyncClient` and `AsyncClient` declare; an argument whose default is ``...`` is the client's own."""

    def stream(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        continue_from: Reply | Finish | None = None,
        schema: Any = ...,
        **options: Unpack[ChatOptions],
    ) -> Any:
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

    def chat(
        self,
        messages: Messages,
        *,
        model: str | None = None,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        continue_from: Reply | Finish | None = None,
        schema: Any = ...,
        repair: int = ...,
        **options: Unpack[ChatOptions],
    ) -> Any:
        """Ask, and return the whole answer: `stream`, drained.

        Args:
            schema: the type of the answer: a dataclass, ``TypedDict``, ``list[...]``, msgspec Struct, pydantic model,
                or a JSON Schema mapping. ``reply.parsed`` is its value.
            repair: further rounds that send the problems back if the answer does not fit the schema.

        Raises:
            SchemaError: the answer still does not fit.
            GLMError: what went wrong; what came is on ``error.partial``.
        """

    def run(
        self,
        messages: Messages,
        tools: Iterable[Any] | None = None,
        *,
        max_rounds: int = ...,
        raise_tool_errors: bool = ...,
        model: str | None = None,
        timeout: Timeout | float | None = ...,
        retry: RetryPolicy | None = ...,
        schema: Any = ...,
        **options: Any,
    ) -> Any:
        """Ask, run the functions that the model calls, and ask again with their results, until it answers.

        Args:
            messages: one user message as text, or a sequence of ``{"role", "content"}`` mappings.
            tools: functions, `glmclient.tool` objects, and mappings, which are a service's own tools and are passed
                on. A function is described to the model by its signature and docstring. Plain
                functions run in threads; `AsyncClient` takes ``async def`` functions too.
            max_rounds: requests at most.
            raise_tool_errors: raise what goes wrong in a call. Otherwise the model is told, as the result of the call.
            model: the model for every round.
            timeout: time limits; ``total`` covers the whole run, functions included.
            retry: attempts of each round.
            schema: the type of the last answer, as `stream` takes it.
            options: what the provider takes, for every round.

        Returns:
            an iterator of events and a context manager, from `AsyncClient` an asynchronous one. Nothing is sent
            before it is read.

        Raises:
            ConfigurationError: something is wrong with the question, the service has no tools, or a function cannot
                be described; nothing was sent.
        """

    def conversation(
        self,
        *,
        system: str | None = ...,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> Any:
        """Begin a conversation; it carries what the service needs from one turn to the next.

        Args:
            system: the system message.
            model: the model for every turn that does not name one.
            options: for every turn.

        Raises:
            ConfigurationError: ``system`` is not text, or the provider cannot honour the model or an option.
        """

    def map(
        self,
        rows: Iterable[Any],
        *,
        concurrency: int | Literal["auto"] = ...,
        ordered: bool = ...,
        **options: Any,
    ) -> Any:
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

    def batch(
        self,
        rows: Any,
        output: str | os.PathLike[str],
        *,
        concurrency: int | Literal["auto"] = ...,
        retry_errors: bool = ...,
        max_errors: int | None = ...,
        ordered: bool = ...,
        format: Literal["jsonl", "openai"] = ...,
        progress: Callable[[BatchReport], object] | None = ...,
        system: str | None = ...,
        **options: Any,
    ) -> Any:
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

    def models(self) -> Any:
        """Return the models that the service offers.

        Raises:
            GLMError: the service could not be asked.
        """
