"""The typed answer of one stream: its growing value, and its value at the end."""

from __future__ import annotations

import dataclasses
import sys
from typing import Any

from ..errors import SchemaError, SchemaProblem
from ..events import Event, Finish, TextDelta, TextReplace
from ..reply import Reply
from .extraction import value_in
from .growing import NOTHING, ValueReader, is_prefix
from .question import SchemaQuestion
from .shapes import Misfit

__all__ = ["TypedAnswer"]

_REREADS = 16
"""Characters of rewritten texts that are read, as a multiple of the length of the text."""
_REREAD_ALWAYS = 100_000
"""Characters of rewritten texts that are read in any case."""
_UNREPAIRED = {
    "length": "the answer was cut at the token limit. Raise max_tokens, or ask for less.",
    "content_filter": "the service withheld the answer. Change the question.",
}


class TypedAnswer:
    """What a stream with ``schema=`` knows of its value.

    Args:
        question: the shape that was asked for.
    """

    def __init__(self, question: SchemaQuestion) -> None:
        self.question = question
        self._reader = self._new_reader()
        self._rewritten: ValueReader | None = None
        """Reads the rewritten text; it becomes the reader as soon as its value continues what was handed out."""
        self._length = self._reread = self._next_try = 0
        self._value: Any = NOTHING
        self._reply: Reply | None = None

    def _new_reader(self) -> ValueReader:
        return ValueReader(self.question.shape.schema, wrapper=self.question.wrapper)

    @property
    def value(self) -> Any:
        """The value so far, as plain data."""
        return self._value

    def changed_by(self, event: Event, text: str) -> bool:
        """Take in an event and return whether `value` changed.

        Args:
            text: the whole text so far; it is read at `TextReplace` and `Finish` only.
        """
        if isinstance(event, TextDelta):
            self._length += len(event.text)
            if self._rewritten is not None:
                return self._rewritten.feed(event.text) and self._continued(self._rewritten)
            changed = self._reader.feed(event.text)
            self._value = self._reader.value
            return changed
        if isinstance(event, TextReplace):
            return self._rewrite(text)
        return isinstance(event, Finish) and self._complete(text)

    def _rewrite(self, text: str) -> bool:
        """Read the whole text again, within a bound: a rewrite with each event would cost quadratic time."""
        self._length = len(text)
        self._reread += len(text)
        self._next_try = 0
        self._rewritten = self._new_reader()
        if self._reread > _REREADS * len(text) + _REREAD_ALWAYS:
            self._next_try = sys.maxsize  # the final text decides
            return False
        return self._rewritten.feed(text) and self._continued(self._rewritten)

    def _continued(self, reader: ValueReader) -> bool:
        """Go on with the value of the rewritten text, if what was handed out is a prefix of it."""
        if self._length < self._next_try:
            return False
        before, after = self._value, reader.value
        if before is NOTHING:
            changed = True
        elif is_prefix(before, after):
            changed = before != after
            reader.move_into(before)
        else:
            self._next_try = (
                self._length + self._length // 8
            )  # so that all comparisons together stay linear
            return False
        self._reader, self._rewritten = reader, None
        self._value = reader.value
        return changed

    def _complete(self, text: str) -> bool:
        """Bring `value` to the data of the final text."""
        try:
            data = value_in(text, self.question.shape, wrapper=self.question.wrapper)[1]
        except Misfit:
            return False
        if type(self._value) is type(data) and self._value == data:
            return False
        if isinstance(self._value, dict) and isinstance(data, dict):
            self._value.clear()
            self._value.update(data)
        elif isinstance(self._value, list) and isinstance(data, list):
            self._value[:] = data
        else:
            self._value = data
        return True

    def typed(self, reply: Reply) -> Reply:
        """Return ``reply`` with its value in ``parsed``. An answer that asks for tools has no value yet.

        Raises:
            SchemaError: the text does not fit.
        """
        if self._reply is None:
            self._reply = self._typed(reply)
        return self._reply

    def _typed(self, reply: Reply) -> Reply:
        reason = reply.finish.reason if reply.finish is not None else "other"
        if reason in _UNREPAIRED:
            message = f"finish reason {reason!r}: {_UNREPAIRED[reason]}"
            raise self._error((SchemaProblem("$", message),), reply)
        if reply.tool_calls:
            return reply
        shape, wrapper = self.question.shape, self.question.wrapper
        try:
            value, _ = value_in(reply.text, shape, wrapper=wrapper)
        except Misfit as misfit:
            raise self._error(misfit.problems, reply) from None
        return dataclasses.replace(reply, parsed=value)

    def _error(self, problems: tuple[SchemaProblem, ...], reply: Reply) -> SchemaError:
        first = problems[0]
        more = f" (and {len(problems) - 1} more problems)" if len(problems) > 1 else ""
        return SchemaError(
            f"the answer does not fit the schema: at {first.path}: {first.message}{more}. "
            "The answer is in `.partial`. Ask again, or describe the fields in more detail.",
            problems=problems,
            partial=reply,
            request_id=reply.finish.request_id if reply.finish is not None else None,
            retryable=True,
        )
