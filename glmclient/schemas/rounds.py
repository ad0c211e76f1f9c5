"""Rounds of a question with a schema: weaker requests after a refusal, and repairs of answers that do not fit."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..core.exchange import Exchange, Flow, Release
from ..core.limits import Timeout
from ..errors import APIStatusError, ConfigurationError, SchemaError
from ..events import Usage
from ..messages import Messages
from ..providers.base import Chat, Provider
from ..reply import Reply
from .answer import TypedAnswer
from .question import SchemaQuestion
from .refusals import about_format
from .shapes import shape_of

__all__ = ["Asking", "Repairs", "question_of", "renewed"]


def question_of(schema: Any) -> SchemaQuestion:
    """Return the question for a type or a JSON Schema mapping; a question is returned as it is.

    Raises:
        ConfigurationError: no schema can be made of it, or a library is missing.
    """
    if isinstance(schema, SchemaQuestion):
        return schema
    return SchemaQuestion(shape_of(schema))


def renewed(arguments: Mapping[str, Any], number: int) -> dict[str, Any]:
    """Return the arguments of a further round with another ``request_id``: services refuse one that they have seen."""
    result = dict(arguments)
    if isinstance(own := arguments.get("request_id"), str):
        suffix = f"-round-{number}"
        result["request_id"] = own[: _ID_LENGTH - len(suffix)] + suffix
    return result


_ID_LENGTH = 60
"""Characters; the platform takes 64, and a further attempt appends its number."""
_UNREPAIRED = ("length", "content_filter")


class Asking:
    """One question with a schema, in the forms that the service may be asked in.

    Args:
        forms: the forms that this client learned, by model; shared by its questions.
    """

    def __init__(
        self,
        provider: Provider,
        question: SchemaQuestion,
        messages: Messages,
        model: str | None,
        options: Mapping[str, Any],
        forms: dict[str | None, str],
    ) -> None:
        self._provider = provider
        self._question = question
        self._messages, self._model, self._options = messages, model, options
        self._forms = forms
        self._form: str = question.form_from(forms.get(model, provider.supports.schemas))
        self.asked: tuple[Messages, dict[str, Any]] = question.asked(self._form, messages, options)
        """The messages and options of the first request."""
        self._chat = provider.prepare(self.asked[0], model, self.asked[1])

    def attempt(self, exchange: Exchange) -> Flow[None]:
        """Ask; after a refusal of the answer's format, ask in the next weaker form, and remember what was accepted.

        Many servers do not say what they refuse. If they refuse the weaker forms too, the first refusal is raised.
        """
        unclear: APIStatusError | None = None
        while True:
            try:
                yield from self._provider.attempt(self._chat, exchange)
            except APIStatusError as refusal:
                about = about_format(refusal)
                form = self._question.weaker(self._form)
                if about is False or form is None or exchange.handed_over:
                    raise (unclear or refusal) from None
                if about is None:
                    unclear = unclear or refusal
                exchange.tell_failure(exchange.completed(refusal))
                self._chat, self._form = self._prepared(form), form
            else:
                if unclear is not None:
                    self._forms[self._model] = self._form
                return
            if about:
                self._forms[self._model] = self._form
            yield Release()
            exchange.begin_attempt()

    def _prepared(self, form: str) -> Chat:
        messages, options = self._question.asked(form, self._messages, self._options)
        return self._provider.prepare(messages, self._model, options)


class Repairs:
    """The further rounds of ``chat(schema=)``, inside the total limit of the question.

    Args:
        rounds: further rounds at most.
        messages: the question.
        arguments: the other arguments of the question.
        timeout: the limits of the whole question.
        clock: seconds that only grow.
    """

    def __init__(
        self,
        rounds: int,
        messages: Messages,
        arguments: Mapping[str, Any],
        timeout: Timeout,
        clock: Callable[[], float],
    ) -> None:
        if isinstance(rounds, bool) or not isinstance(rounds, int) or rounds < 0:
            raise ConfigurationError(
                f"repair must be a number of rounds, 0 or more, not {rounds!r}."
            )
        self._left = rounds
        self._messages, self._arguments = messages, arguments
        self._timeout, self._clock = timeout, clock
        self._began = clock()
        self._usage: Usage | None = None
        self._repaired = False
        self._round = 1

    def next_messages(self, answer: TypedAnswer, error: SchemaError) -> list[dict[str, Any]]:
        """Return the messages of the next round.

        Raises:
            SchemaError: ``error``, if there is no further round.
        """
        finish = error.partial.finish
        self._add(error.partial)
        if self._left == 0 or finish is None or finish.reason in _UNREPAIRED:
            error.partial = self._summed(error.partial)
            raise error
        self._left -= 1
        self._repaired = True
        return answer.question.repair_messages(
            self._messages, error.partial.text or "{}", error.problems
        )

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the next round: the rest of the total limit, and an id that was not used."""
        self._round += 1
        timeout = self._timeout
        if timeout.total is not None:
            rest = timeout.total - (self._clock() - self._began)
            timeout = dataclasses.replace(timeout, total=max(rest, 0.001))
        return {**renewed(self._arguments, self._round), "timeout": timeout}

    def whole(self, reply: Reply) -> Reply:
        """Return the reply of the last round with the usage of all rounds."""
        self._add(reply)
        return self._summed(reply)

    def _add(self, reply: Reply) -> None:
        if (usage := reply.usage) is not None:
            self._usage = usage if self._usage is None else self._usage + usage

    def _summed(self, reply: Reply) -> Reply:
        return dataclasses.replace(reply, rounds_usage=self._usage) if self._repaired else reply
