"""Questions of a Daft DataFrame: `ask` makes an expression whose rows are asked concurrently."""

from __future__ import annotations

from typing import Any, Literal

from ..batch.limiter import Limiter
from ..batch.window import MAXIMUM
from ..clients.async_client import AsyncClient
from ..providers import DEFAULT_SERVICE
from . import missing_extra

try:
    import daft

    from .columns import Columns, asked, split_options
except ImportError as error:
    raise missing_extra("daft", error) from None

__all__ = ["ask"]


class _Questions:
    """The client of one process of Daft, and the limiter of all its questions.

    Daft makes it in each process from the arguments, which are all that is pickled.
    """

    def __init__(
        self,
        provider: str,
        system: str | None,
        limits: tuple[Any, ...],
        options: dict[str, Any],
    ) -> None:
        arguments, self._options = split_options(options)
        self._columns = Columns(self._options.get("schema"))
        self._system = system
        self._client = AsyncClient(provider, limiter=Limiter(*limits), **arguments)

    async def ask(self, question: Any) -> dict[str, Any]:
        """Return the columns of one answer; it raises for no row."""
        row = asked(question, self._system)
        async with self._client.map([row], concurrency=1, **self._options) as results:
            return self._columns.values(await anext(aiter(results)))


def ask(
    column: Any,
    provider: str = DEFAULT_SERVICE,
    *,
    system: str | None = None,
    concurrency: int | Literal["auto"] = "auto",
    requests_per_minute: float | None = None,
    tokens_per_minute: float | None = None,
    **options: Any,
) -> Any:
    """Return a Daft expression that asks a question for each row; a bad row never fails the query.

    Args:
        column: the expression, or the name of the column, with the questions: texts or lists of messages.
        provider: the name of a service.
        system: the system message of rows without one.
        concurrency: questions under way at once in one process, or ``"auto"`` to find the number that the service
            allows.
        requests_per_minute: requests that may begin in a minute, in one process.
        tokens_per_minute: tokens of prompts and answers in a minute, in one process.
        options: other arguments of `AsyncClient`, such as ``base_url``, and the options of each question, such as
            ``temperature`` or ``schema``. Keys are read from the environment of the workers.

    Returns:
        A struct with the fields ``text``, ``reasoning``, ``parsed``, ``error``, ``finish_reason``, ``prompt_tokens``,
        ``completion_tokens`` and ``model``. ``error`` is null where the row was answered; where it was not, ``text``
        is what came before the error.

    Raises:
        ConfigurationError: an argument is wrong; nothing was sent.
    """
    limits = (concurrency, requests_per_minute, tokens_per_minute)
    _Questions(
        provider, system, limits, options
    )  # a wrong argument is reported here, not by a worker
    columns = Columns(options.get("schema"))
    kind: Any = type("Ask", (_Questions,), {"ask": _method(columns), "__module__": __name__})
    at_once = MAXIMUM if concurrency == "auto" else concurrency
    wrapped = daft.cls(kind, max_concurrency=at_once)
    expression = daft.col(column) if isinstance(column, str) else column
    return wrapped(provider, system, limits, options).ask(expression)


def _method(columns: Columns) -> Any:
    """Return the method that Daft calls for each row, with the type of its struct."""

    async def ask(self: _Questions, question: Any) -> dict[str, Any]:
        return await _Questions.ask(self, question)

    return daft.method(ask, return_dtype=daft.DataType.from_arrow_type(columns.type))
