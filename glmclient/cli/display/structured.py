"""An answer for programs: one JSON object at its end, or a line of JSON for each event."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from typing import Any, TextIO

from ...core.transcript import Transcript
from ...events import Event
from ...reply import Reply, reply_data
from .cells import json_text

__all__ = ["EventLines", "WholeAnswer", "event_json", "json_line", "reply_json"]


def event_json(event: Event) -> dict[str, Any]:
    """Return an event as JSON tells it: its type, and its fields."""
    fields = asdict(event)
    fields.pop(
        "continuation", None
    )  # it may hold the whole conversation, and is for the service alone
    return {"type": type(event).__name__, **fields}


def reply_json(reply: Reply) -> dict[str, Any]:
    """Return a whole answer, or as much of it as came, as JSON tells it."""
    data = reply_data(reply)
    if reply.finish is not None:
        data["finish"] = event_json(reply.finish)
    return data


def json_line(value: Any, out: TextIO) -> str:
    """Return a line of JSON that ``out`` can encode, and that a terminal shows as it is."""
    return json_text(json.dumps(value, ensure_ascii=False), out.encoding) + "\n"


class EventLines:
    """Writes each event as it comes, as a line of JSON.

    Args:
        out: where to.
    """

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def begin(self, cancel: Callable[[], None]) -> None:
        """Do nothing: a failed write is noticed when it happens."""

    def add(self, event: Event) -> None:
        """Write an event."""
        self._out.write(json_line(event_json(event), self._out))
        self._out.flush()

    def end(self, *, whole: bool) -> None:
        """Do nothing: the last event was written."""


class WholeAnswer:
    """Writes the answer as one JSON object when it has ended, and nothing if it did not.

    Args:
        out: where to.
        provider: the name of the service.
    """

    def __init__(self, out: TextIO, provider: str) -> None:
        self._out = out
        self._provider = provider
        self._transcript = Transcript()

    def begin(self, cancel: Callable[[], None]) -> None:
        """Do nothing: nothing is written before the end."""

    def add(self, event: Event) -> None:
        """Take in an event."""
        self._transcript.extend([event])

    def end(self, *, whole: bool) -> None:
        """Write the object."""
        if whole:
            answer = reply_json(self._transcript.reply())
            self._out.write(json_line({**answer, "provider": self._provider}, self._out))
            self._out.flush()
