"""What the two kinds of `map` share: which rows are asked next, and which result is handed out next.

Rows are pulled only by the consumer, inside its own ``next``: a cursor of a database or a generator with thread-local
state works, and rows are never read ahead further than the window needs. The number of rows that were pulled and not
handed out is bounded by `Progress.room`, so memory does not grow with the number of rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import ConfigurationError
from .limiter import Limiter
from .rows import Question, Result, question_of

if TYPE_CHECKING:
    from ..clients.base import BaseClient
    from ..schemas.rounds import Repairs
    from ..streams.base import BaseStream

__all__ = ["Order", "Pending", "checked_options", "finished", "repairs"]

_LOOKAHEAD = 2
"""Rows that are pulled for each place in the window: a worker that ends finds its next row waiting."""
_HELD_BACK = 8
"""Rows for each place in the window while ``ordered`` results wait for an earlier row."""


class Pending:
    """One row on its way: what was asked, and when."""

    __slots__ = ("began", "index", "question", "row")

    def __init__(self, index: int, row: Any) -> None:
        self.index: int = index
        self.row: Any = row
        self.question: Question | None = None
        self.began: float = 0.0

    @property
    def id(self) -> str:
        """The row's own id, else its position."""
        own = self.question.id if self.question is not None else None
        return own if own is not None else str(self.index)

    def begin(self) -> Question:
        """Return the question, and start the row's time.

        Raises:
            ConfigurationError: the row has no question.
        """
        self.began = time.monotonic()
        self.question = question_of(self.row)
        return self.question


def repairs(client: BaseClient, question: Question, defaults: Mapping[str, Any]) -> Repairs | None:
    """Return the further rounds of a row with a schema; ``None`` if it has none.

    Raises:
        ConfigurationError: ``repair`` is not a number of rounds.
    """
    options = {**defaults, **question.options}
    if options.get("schema") is None:
        return None
    return client._repairs(options.get("repair", 1), question.messages, options)


def finished(
    pending: Pending, reply: Any, error: Exception | None, streams: Sequence[BaseStream]
) -> Result:
    """Return the result of a row.

    Args:
        streams: of its rounds.
    """
    attempts = sum(stream.attempts for stream in streams)
    seconds = time.monotonic() - pending.began
    return Result(pending.index, pending.id, pending.row, reply, error, attempts, seconds)


class Order:
    """Counts rows that are out, and puts results into the order in which they are handed out.

    Args:
        limiter: of this call; its window says how many rows to pull.
        ordered: hand results out in the order of the rows.
    """

    def __init__(self, limiter: Limiter, *, ordered: bool) -> None:
        self._limiter = limiter
        self._ordered = ordered
        self._held: dict[int, Result] = {}
        self._next = 0
        self.pulled: int = 0
        self.returned: int = 0
        """Results that came back, handed out or held."""

    @property
    def outstanding(self) -> int:
        """Rows that were pulled and whose result has not come back."""
        return self.pulled - self.returned

    @property
    def room(self) -> bool:
        """Whether another row should be pulled now."""
        window = self._limiter.window
        if self.outstanding >= window * _LOOKAHEAD:
            return False
        return not self._ordered or len(self._held) < window * _HELD_BACK

    def pull(self, row: Any) -> Pending:
        """Count a row."""
        pending = Pending(self.pulled, row)
        self.pulled += 1
        return pending

    def take(self, result: Result) -> None:
        """Count a result that came back."""
        self.returned += 1
        self._held[result.index] = result

    def ready(self) -> Result | None:
        """Return the next result to hand out, or ``None`` if a further one must come back first."""
        if not self._held:
            return None
        if not self._ordered:
            return self._held.pop(next(iter(self._held)))
        result = self._held.pop(self._next, None)
        if result is not None:
            self._next += 1
        return result


def checked_options(
    concurrency: int | Literal["auto"], options: Mapping[str, Any]
) -> tuple[Limiter, dict[str, Any]]:
    """Return the limiter of one call, and the options of every row.

    Raises:
        ConfigurationError: ``concurrency`` is wrong, or an option belongs to single rows.
    """
    for name in ("messages", "prompt", "id", "continue_from"):
        if name in options:
            raise ConfigurationError(f"{name!r} belongs to a row, not to the call of map.")
    checked = dict(options)
    if checked.get("schema") is not None:
        from ..schemas.rounds import question_of as schema_question

        checked["schema"] = schema_question(checked["schema"])  # once, not for each row
    return Limiter(concurrency), checked
