"""The typed answer of one stream: its growing value, and its value at the end."""

from __future__ import annotations

import dataclasses
from typing import Any

from ..errors import SchemaError, SchemaProblem
from ..events import Event, Finish, TextDelta, TextReplace
from ..reply import Reply
from .extraction import value_in
from .growing import NOTHING, ValueReader
from .question import SchemaQuestion
from .shapes import Misfit

__all__ = ["TypedAnswer"]

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
        self._reader = ValueReader(question.shape.schema, wrapper=question.wrapper)
        self._rewritten = False
        self._value: Any = NOTHING
        self._reply: Reply | None = None

    @property
    def value(self) -> Any:
        """The value so far, as plain data."""
        return self._value

    def changed_by(self, event: Event, text: str) -> bool:
        """Take in an event and return whether `value` changed.

        Args:
            text: the whole text so far; it is read at `Finish` only.
        """
        if isinstance(event, TextDelta) and not self._rewritten:
            changed = self._reader.feed(event.text)
            self._value = self._reader.value
            return changed
        if isinstance(event, TextReplace):
            # What was handed out may be wrong now. The final text decides.
            self._rewritten = True
        return isinstance(event, Finish) and self._complete(text)

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
