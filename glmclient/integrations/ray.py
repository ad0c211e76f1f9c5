"""Questions of a Ray Dataset: `AskRows` for ``map_batches``.

Each actor holds one client and one limiter for all of its batches. Nothing that is pickled holds a connection, and a
key is best left to the environment of the workers, because Ray stores the arguments of an actor.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any, Literal

from ..batch.limiter import Bucket, Limiter
from ..batch.rows import Question, Result, estimated_tokens
from ..batch.window import MAXIMUM
from ..clients.sync_client import SyncClient
from ..errors import ConfigurationError
from ..providers import DEFAULT_SERVICE
from . import missing_extra

try:
    from .columns import Columns, asked, split_options
except ImportError as error:
    raise missing_extra("ray", error) from None

__all__ = ["AskRows", "SharedRate"]

_QUESTION_COLUMNS = ("messages", "prompt")
_ATTEMPTS = 5
"""Calls of the actor of a shared rate: it ends with the worker that made it, and another worker makes it anew."""


class AskRows:
    """Ask a question for each row, for `ray.data.Dataset.map_batches`; a bad row never fails the job.

    The rows keep their columns and get ``text``, ``reasoning``, ``parsed``, ``error``, ``finish_reason``,
    ``prompt_tokens``, ``completion_tokens`` and ``model``. ``error`` is null where the row was answered; where it was
    not, ``text`` is what came before the error. An answer without text and tool calls is an ``EmptyAnswer``. Columns
    of these names are replaced.

    Args:
        provider: the name of a service.
        column: the column with the questions, texts or lists of messages; ``messages`` or else ``prompt`` if it is not
            set.
        system: the system message of rows without one.
        concurrency: questions under way at once in one actor, or ``"auto"`` to find the number that the service allows.
        requests_per_minute: requests that may begin in a minute: of one actor, or of all with ``rate_actor``.
        tokens_per_minute: tokens of prompts and answers in a minute, likewise.
        rate_actor: a name; all actors of the job that use it share one rate.
        options: other arguments of `SyncClient`, such as ``base_url``, and the options of each question, such as
            ``temperature`` or ``schema``. Keys are read from the environment of the workers.

    Raises:
        ConfigurationError: an argument is wrong, a key is missing, or a batch has no column of questions.

    Example:
        >>> rows.map_batches(  # doctest: +SKIP
        ...     AskRows,
        ...     fn_constructor_kwargs={"provider": "zai", "column": "question"},
        ...     batch_size=64,
        ...     concurrency=4,
        ... )
    """

    def __init__(
        self,
        provider: str = DEFAULT_SERVICE,
        *,
        column: str | None = None,
        system: str | None = None,
        concurrency: int | Literal["auto"] = "auto",
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
        rate_actor: str | None = None,
        **options: Any,
    ) -> None:
        arguments, self._options = split_options(options)
        self._columns = Columns(self._options.get("schema"))
        if column in self._columns.names:
            raise ConfigurationError(
                f"the column {column!r} holds the questions and would be replaced by answers. Rename it."
            )
        self._column = column
        self._system = system
        rates = (requests_per_minute, tokens_per_minute)
        self._rate = None if rate_actor is None else SharedRate(rate_actor, *rates)
        # One limiter for all batches of the actor: a window that was found once is not searched for again.
        limiter = Limiter(concurrency, *(rates if rate_actor is None else ()))
        self._client = SyncClient(provider, limiter=limiter, **arguments)
        self._threads: int = MAXIMUM if concurrency == "auto" else concurrency

    def __call__(self, batch: Any) -> Any:
        """Return the batch with the columns of the answers; all of its rows are asked at once."""
        from ray.data.block import BlockAccessor

        block = BlockAccessor.for_block(BlockAccessor.batch_to_block(batch)).to_arrow()
        name = self._name(block.column_names)
        questions = [asked(cell, self._system) for cell in block.column(name).to_pylist()]
        values: list[dict[str, Any]] = [{} for _ in questions]
        threads = max(1, min(len(questions), self._threads))
        with self._client.map(
            self._permitted(questions), concurrency=threads, **self._options
        ) as results:
            for result in results:
                self._correct(result)
                values[result.index] = self._columns.values(result)
        return self._with_answers(block, values)

    def _name(self, names: list[str]) -> str:
        wanted = _QUESTION_COLUMNS if self._column is None else (self._column,)
        for name in wanted:
            if name in names:
                return name
        raise ConfigurationError(
            f"the rows have no column {' or '.join(map(repr, wanted))}; they have {', '.join(names)}. Give column=."
        )

    def _with_answers(self, block: Any, values: list[dict[str, Any]]) -> Any:
        import pyarrow as pa

        for field in self._columns.type:
            array = pa.array([each[field.name] for each in values], field.type)
            if field.name in block.column_names:
                block = block.drop_columns([field.name])
            block = block.append_column(field, array)
        return block

    # -- the shared rate ---------------------------------------------------------------------------

    def _permitted(self, questions: list[Any]) -> Iterator[Any]:
        for question in questions:
            if self._rate is not None:
                self._rate.wait(self._tokens(question))
            yield question

    def _tokens(self, question: Any) -> int:
        if not isinstance(question, Question):
            return 0
        return estimated_tokens(question.messages, {**self._options, **question.options})

    def _correct(self, result: Result) -> None:
        """Tell the shared rate what a question took beyond the estimate."""
        if self._rate is None:
            return
        usage = result.reply.usage if result.reply is not None else None
        used = usage.total_tokens if usage is not None else None
        further = 0 if used is None else used - self._tokens(result.row)
        self._rate.correct(max(result.attempts - 1, 0), further)


class _Rate:
    """What the actor of a shared rate holds."""

    def __init__(self, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        rates = (requests_per_minute, tokens_per_minute)
        self._buckets = [None if rate is None else Bucket(rate, time.monotonic) for rate in rates]

    def take(self, tokens: float) -> float:
        """Take one request with its tokens; return the seconds after which it may be sent."""
        wait = 0.0
        for bucket, amount in zip(self._buckets, (1.0, tokens), strict=True):
            if bucket is not None:
                wait = max(wait, bucket.wait(amount))
                bucket.take(amount)
        return wait

    def correct(self, requests: float, tokens: float) -> None:
        """Take what a question used beyond what was taken for it."""
        for bucket, amount in zip(self._buckets, (requests, tokens), strict=True):
            if bucket is not None:
                bucket.take(amount)


class SharedRate:
    """One rate for all workers of a job, held by a named actor that the first worker makes.

    Args:
        name: of the actor, in the namespace of the job.
        requests_per_minute: requests that may begin in a minute, all workers together.
        tokens_per_minute: tokens in a minute, all workers together.

    Raises:
        ConfigurationError: no rate is set, or it is not a number above 0.
    """

    def __init__(
        self,
        name: str,
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        if requests_per_minute is None and tokens_per_minute is None:
            raise ConfigurationError(
                "rate_actor shares a rate: give requests_per_minute or tokens_per_minute."
            )
        Limiter(1, requests_per_minute, tokens_per_minute)  # checks the numbers
        self._name = name
        self._rates = (requests_per_minute, tokens_per_minute)
        self._actor: Any = self._made()

    def wait(self, tokens: int) -> None:
        """Wait until a request with so many tokens may be sent."""
        time.sleep(self._called("take", tokens))

    def correct(self, requests: int, tokens: int) -> None:
        """Tell what a question used beyond what was taken for it."""
        if requests or tokens:
            self._called("correct", requests, tokens)

    def _called(self, method: str, *arguments: Any) -> Any:
        import ray

        for _ in range(_ATTEMPTS - 1):
            try:
                return ray.get(getattr(self._actor, method).remote(*arguments))
            except ray.exceptions.RayActorError:
                self._actor = self._made()
        return ray.get(getattr(self._actor, method).remote(*arguments))

    def _made(self) -> Any:
        import ray

        options = {"name": self._name, "get_if_exists": True, "num_cpus": 0}
        return ray.remote(_Rate).options(**options).remote(*self._rates)
