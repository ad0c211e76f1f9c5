"""Which rows of a batch are done: an index on disk, so that ten million rows need no more memory than ten.

SQLite keeps it in a private temporary file that it deletes when it is closed. The output file is the only record that
counts: the index is built from it anew at each start.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from .lines import Done

__all__ = ["DoneRows", "IndexFailure"]

_CACHE_KIB = 32 * 1024
_TABLES = """
    CREATE TABLE done (
        id TEXT PRIMARY KEY, key TEXT, error TEXT, retryable INT, position INT, start INT, length INT
    ) WITHOUT ROWID;
    CREATE TABLE requests (key TEXT PRIMARY KEY, count INT) WITHOUT ROWID;
"""


class IndexFailure(OSError):
    """SQLite could not read or write the index, as on a full disk of temporary files."""


@contextmanager
def _index_errors() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise IndexFailure(
            f"the index of the rows that are done, a temporary file in {tempfile.gettempdir()}, failed: {error}. "
            "Make room there, or set TMPDIR; the same call goes on."
        ) from error


class DoneRows:
    """What the output says of each row; the last line of a row counts.

    Raises:
        IndexFailure: of any method.
    """

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        self._database.execute("PRAGMA journal_mode=OFF")
        self._database.execute("PRAGMA synchronous=OFF")
        self._database.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")
        self._database.executescript(_TABLES)
        self._database.execute("BEGIN")

    @_index_errors()
    def load(self, lines: Iterable[tuple[int, int, Done]]) -> None:
        """Take in the lines of an earlier run: where each begins, its length, and what it says."""
        self._database.executemany(
            "INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, NULL, ?, ?)",
            (
                (done.id, done.key, done.error, done.retryable, start, length)
                for start, length, done in lines
            ),
        )

    @_index_errors()
    def put(self, done: Done, position: int, start: int, length: int) -> None:
        """Take in a line that was written for the row at ``position`` of the input."""
        self._database.execute(
            "INSERT OR REPLACE INTO done VALUES (?, ?, ?, ?, ?, ?, ?)",
            (done.id, done.key, done.error, done.retryable, position, start, length),
        )

    @_index_errors()
    def get(self, row_id: str) -> tuple[Done, int | None] | None:
        """Return what the output says of a row, and its position if this run has met it."""
        row = self._database.execute(
            "SELECT key, error, retryable, position FROM done WHERE id = ?", (row_id,)
        ).fetchone()
        if row is None:
            return None
        key, error, retryable, position = row
        return Done(row_id, key, error, bool(retryable)), position

    @_index_errors()
    def met(self, row_id: str, position: int) -> None:
        """Note that this run has met a row that is done."""
        self._database.execute("UPDATE done SET position = ? WHERE id = ?", (position, row_id))

    @_index_errors()
    def occurrence(self, key: str) -> int:
        """Count a request without an id; return its number, from 1."""
        self._database.execute(
            "INSERT INTO requests VALUES (?, 1) ON CONFLICT (key) DO UPDATE SET count = count + 1",
            (key,),
        )
        count = self._database.execute(
            "SELECT count FROM requests WHERE key = ?", (key,)
        ).fetchone()[0]
        return int(count)

    def in_order(self) -> Iterator[tuple[int, int]]:
        """Yield where the last line of each row begins, and its length, in the order of the input.

        Rows that are in the output but not in this input come last.
        """
        with _index_errors():
            yield from self._database.execute(
                "SELECT start, length FROM done ORDER BY position IS NULL, position, start"
            )

    def close(self) -> None:
        """Delete the index."""
        self._database.close()
