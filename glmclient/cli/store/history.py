"""The questions and answers of earlier runs, in a database that can be searched."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ...errors import ConfigurationError
from .places import folder, needed, private_file

__all__ = ["Turn", "add", "recent", "turn"]

NAME = "history.sqlite3"
_TABLE = (
    "create table if not exists turn (id integer primary key, time text not null default current_timestamp, "
    "provider text not null, model text, question text not null, answer text not null)"
)
_COLUMNS = "id, time, provider, model, question, answer"


@dataclass(frozen=True, slots=True)
class Turn:
    """A question and its answer.

    Args:
        id: the number by which `turn` finds it.
        time: when it was answered, in UTC.
        provider: the service.
        model: the model, if one was chosen.
        question: the text of the question.
        answer: the text of the answer, or as much of it as came.
    """

    id: int
    time: str
    provider: str
    model: str | None
    question: str
    answer: str


def add(provider: str, model: str | None, question: str, answer: str) -> None:
    """Add a turn, where there is a folder for it.

    Raises:
        ConfigurationError: the database cannot be written.
    """
    if folder("state") is not None:
        with _database(private_file(needed("state") / NAME)) as database:
            database.execute(
                "insert into turn (provider, model, question, answer) values (?, ?, ?, ?)",
                [_encodable(value) for value in (provider, model, question, answer)],
            )


def recent(words: tuple[str, ...] = (), limit: int = 20) -> list[Turn]:
    """Return the last turns that contain all ``words`` in question or answer, the oldest of them first.

    Raises:
        ConfigurationError: the database cannot be read.
    """
    conditions = " and ".join(["(question || ' ' || answer) like ? escape '!'"] * len(words))
    where = f"where {conditions}" if words else ""
    return _found(f"{where} order by id desc limit ?", [*map(_pattern, words), limit])[::-1]


def turn(number: int) -> Turn:
    """Return a turn by its number.

    Raises:
        ConfigurationError: there is no such turn.
    """
    found = _found("where id = ?", [number])
    if not found:
        raise ConfigurationError(f"there is no turn {number}; `glmclient history` lists them.")
    return found[0]


def _found(rest: str, values: list[Any]) -> list[Turn]:
    place = folder("state")
    if place is None or not (place / NAME).exists():
        return []
    with _database(private_file(place / NAME)) as database:
        rows = database.execute(f"select {_COLUMNS} from turn {rest}", values)
        return [Turn(*row) for row in rows]


def _pattern(word: str) -> str:
    escaped = word.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return _encodable(f"%{escaped}%") or ""


def _encodable(value: str | None) -> str | None:
    """Return a text that SQLite can store: a lone surrogate has no UTF-8."""
    return value and value.encode("utf-8", "backslashreplace").decode()


@contextlib.contextmanager
def _database(path: Path) -> Iterator[sqlite3.Connection]:
    try:
        with contextlib.closing(sqlite3.connect(path, timeout=5)) as database, database:
            database.execute(_TABLE)
            yield database
    except sqlite3.Error as error:
        raise ConfigurationError(
            f"{path} cannot be used: {error}. Remove it to begin anew."
        ) from None
