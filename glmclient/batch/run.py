"""One run of a batch: which rows are asked, what is written, and when to stop early.

`Batch` decides and does the bookkeeping; the drivers in `sync_batch` and `async_batch` only move rows and results
between it and `map`. A row passes through it like this::

    line of input -> id and key -> done already? -> skipped
                                -> no question?  -> error row
                                -> map -> result -> line of output -> index
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, get_args

from ..errors import (
    AuthenticationError,
    ConfigurationError,
    PermissionDeniedError,
    QuotaExceededError,
    ServiceBlockedError,
)
from ..events import Usage
from .done import DoneRows, IndexFailure
from .journal import Journal
from .lines import Done, Format, Line, bounded_lines, done_of, input_lines, output_line
from .rows import Question, Result

__all__ = ["Batch", "BatchReport", "Settings", "key_defaults", "opened_rows"]

_POINTLESS = (
    AuthenticationError,
    PermissionDeniedError,
    QuotaExceededError,
    ServiceBlockedError,
)
"""Errors that every further row would meet as well."""
_POINTLESS_NAMES = frozenset(
    {kind.__name__ for kind in _POINTLESS} | {"GuestQuotaError"},
)
_REPEATED = 3
"""Pointless errors in a row, without an answer in between, that stop a run."""


@dataclass(frozen=True, slots=True)
class BatchReport:
    """What a run of a batch came to.

    Args:
        total: rows of the input.
        succeeded: rows whose last line in the output is an answer, earlier runs included.
        failed: rows whose last line is an error, earlier runs included.
        skipped: rows of these that were done before this run.
        usage: tokens of the answers of this run.
        errors: the failed rows by the class of their error.
        stopped: the error that ended the run early, else ``None``.
    """

    total: int = 0
    succeeded: int = 0
    failed: int = 0
    skipped: int = 0
    usage: Usage = field(default_factory=Usage)
    errors: Mapping[str, int] = field(default_factory=dict)
    stopped: Exception | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """How a batch is run.

    Args:
        retry_errors: ask rows again whose error is retryable.
        max_errors: error rows of this run after which it stops; ``None`` for no bound.
        ordered: sort the output by the order of the input at the end.
        format: of the output lines: ``"jsonl"``, or ``"openai"`` for the lines of OpenAI's batch output.
        progress: called after each row with the report so far.
        system: the system message of rows without one.

    Raises:
        ConfigurationError: a value is wrong.
    """

    retry_errors: bool = False
    max_errors: int | None = None
    ordered: bool = False
    format: Format = "jsonl"
    progress: Callable[[BatchReport], object] | None = None
    system: str | None = None

    def __post_init__(self) -> None:
        if self.format not in get_args(Format):
            raise ConfigurationError(f"format must be 'jsonl' or 'openai', not {self.format!r}.")
        if self.max_errors is not None and (
            isinstance(self.max_errors, bool)
            or not isinstance(self.max_errors, int)
            or self.max_errors < 1
        ):
            raise ConfigurationError(
                f"max_errors must be a whole number of 1 or more, or None, not {self.max_errors!r}."
            )


class Batch:
    """One run, between its input and its output.

    Args:
        output: the path of the output file.
        provider: the name of the service, which is part of each row's key.
        defaults: the model and options of every row.
        settings: how it is run.

    Raises:
        ConfigurationError: the output is not a regular file, or another process writes to it.
        OSError: the output cannot be opened.
    """

    def __init__(
        self,
        output: str | os.PathLike[str],
        provider: str,
        defaults: Mapping[str, Any],
        settings: Settings,
    ) -> None:
        self._provider = provider
        self._defaults = defaults
        self._settings = settings
        self._journal = Journal(output, lambda line: done_of(line) is not None)
        self._done = DoneRows()
        self._counts: Counter[str] = Counter()
        self._total = self._succeeded = self._skipped = self._failed_now = 0
        self._usage = Usage()
        self._pointless = 0
        self._asked: dict[str, tuple[str, int]] = {}
        """Rows under way: their key and position, by id."""
        self.stopped: Exception | None = None
        self._done.load(self._lines_before())

    def _lines_before(self) -> Iterator[tuple[int, int, Done]]:
        for start, line in self._journal.lines():
            if (done := done_of(line)) is not None:
                yield start, len(line), done

    # -- rows in -----------------------------------------------------------------------------------

    def questions(self, rows: Iterable[Any]) -> Iterator[Question]:
        """Yield the questions to ask; rows that are done or have no question are dealt with here."""
        try:
            yield from self._questions(rows)
        except IndexFailure as error:
            self.stopped = self.stopped or error

    def _questions(self, rows: Iterable[Any]) -> Iterator[Question]:
        for line in input_lines(rows, self._provider, self._defaults, self._settings.system):
            if self.stopped is not None:
                return
            position = self._total
            self._total += 1
            row_id = self._id_of(line)
            if self._is_done(row_id, line.key, position):
                continue
            if line.question is None:
                result = Result(position, row_id, None, None, line.error)
                self._write(result, line.key, position)
                continue
            self._asked[row_id] = (line.key, position)
            yield replace(line.question, id=row_id)

    def _id_of(self, line: Line) -> str:
        if line.id is None and line.question is None:
            row_id = f"line-{line.number}"
        elif line.id is None:
            row_id = f"{line.key[:16]}-{self._done.occurrence(line.key)}"
        else:
            row_id = line.id
        # A second row with an id of this input gets an id of its own: each row has a line.
        unique, number = row_id, 1
        while unique in self._asked or self._met(unique):
            number += 1
            unique = f"{row_id}#{number}"
        return unique

    def _met(self, row_id: str) -> bool:
        row = self._done.get(row_id)
        return row is not None and row[1] is not None

    def _is_done(self, row_id: str, key: str, position: int) -> bool:
        row = self._done.get(row_id)
        if row is None or row[0].key != key or self._asks_again(row[0]):
            return False
        self._done.met(row_id, position)
        self._skipped += 1
        self._count(row[0].error)
        return True

    def _asks_again(self, done: Done) -> bool:
        # What stopped a run (no balance, a bad key) says nothing of the row: it is asked again when that is mended.
        if done.error in _POINTLESS_NAMES:
            return True
        return bool(done.error) and done.retryable and self._settings.retry_errors

    # -- results out -------------------------------------------------------------------------------

    def take(self, result: Result) -> None:
        """Write the line of a result; afterwards `stopped` may be set."""
        key, position = self._asked.pop(result.id)
        if result.reply is not None and result.reply.usage is not None:
            self._usage = self._usage + result.reply.usage
        self._write(result, key, position)
        self._pointless = self._pointless + 1 if isinstance(result.error, _POINTLESS) else 0
        if self._pointless >= _REPEATED:
            self.stopped = self.stopped or result.error

    def _write(self, result: Result, key: str, position: int) -> None:
        line, done = output_line(result, key, self._settings.format)
        try:
            start = self._journal.append(line)
            self._done.put(done, position, start, len(line))
        except OSError as error:
            # The file holds whole lines only. If this one is not among them, the next run asks the row again.
            self.stopped = self.stopped or error
            return
        self._count(done.error)
        if done.error:
            self._failed_now += 1
        if self._failed_now == self._settings.max_errors:
            words = f"{self._failed_now} rows failed, which is max_errors."
            self.stopped = self.stopped or ConfigurationError(
                f"{words} Look at the error rows of {self._journal.path}; the same call goes on with the rest."
            )
        if self._settings.progress is not None:
            self._settings.progress(self.report())

    def _count(self, error: str) -> None:
        if error:
            self._counts[error] += 1
        else:
            self._succeeded += 1

    def report(self) -> BatchReport:
        """Return what the run came to so far."""
        return BatchReport(
            self._total,
            self._succeeded,
            sum(self._counts.values()),
            self._skipped,
            self._usage,
            dict(self._counts),
            self.stopped,
        )

    # -- the end -----------------------------------------------------------------------------------

    def close(self, *, whole: bool) -> None:
        """Bring the output to the disk, sorted if that was asked for and the run is whole."""
        try:
            if whole and self._settings.ordered and self.stopped is None:
                self._sort()
        finally:
            self._done.close()
            try:
                self._journal.close()
            except OSError as error:
                self.stopped = self.stopped or error

    def _sort(self) -> None:
        """Write the last line of each row, in the order of the input, and replace the output by that.

        The lines are copied one by one from where the index found them, so memory does not grow with the rows.
        """
        path = self._journal.path
        with (
            open(path, "rb") as source,
            tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as to,
        ):
            try:
                for start, length in self._done.in_order():
                    source.seek(start)
                    to.write(source.read(length))
                to.flush()
                os.fsync(to.fileno())
                os.chmod(to.name, os.stat(path).st_mode)
                os.replace(to.name, path)
            except BaseException:
                os.unlink(to.name)
                raise


def key_defaults(model: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the model and options of every row, as the key of each row holds them.

    Raises:
        ConfigurationError: no schema can be made of ``schema``.
    """
    defaults = {"model": model, **options}
    if defaults.get("schema") is not None:
        from ..schemas.shapes import shape_of

        defaults["schema"] = shape_of(defaults["schema"]).schema
    return defaults


@contextmanager
def opened_rows(rows: Any, output: str | os.PathLike[str] | None = None) -> Iterator[Iterable[Any]]:
    """Give the rows of an input: a path of JSON lines, ``"-"`` for standard input, or any iterable of rows.

    Raises:
        ConfigurationError: there is no such file, it is the output, or the rows are not an iterable.
    """
    if isinstance(rows, (str, os.PathLike)):
        if rows == "-":
            yield bounded_lines(sys.stdin.buffer)
            return
        file: BinaryIO
        try:
            file = open(Path(rows), "rb")  # noqa: SIM115 - closed below
        except OSError as error:
            raise ConfigurationError(
                f"the input {os.fspath(rows)!r} cannot be read: {error.strerror}."
            ) from error
        with file:
            if output is not None and os.path.exists(output) and os.path.samefile(rows, output):
                raise ConfigurationError("the input and the output are the same file.")
            yield bounded_lines(file)
    elif isinstance(rows, Iterable):
        yield rows
    else:
        raise ConfigurationError(
            f"rows must be a path or an iterable of rows, not {type(rows).__name__}."
        )
