"""How a service is asked for a value: in the strictest form that it enforces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError, SchemaProblem
from ..messages import Messages, checked_messages
from .references import closed, has_object_root, is_strict, wrapped
from .shapes import Shape

__all__ = ["SchemaQuestion"]

STRICT, LOOSE, JSON_MODE, PROMPT = "json_schema", "json_schema_loose", "json_object", "prompt"
"""The forms of asking for a value, the strictest first.

Some servers take a strict schema only if its objects have no further and no optional members, which a schema of the
caller may have. The second form sends the same schema without the promise that it is strict.
"""


class SchemaQuestion:
    """A question that wants a value of a shape.

    Args:
        shape: the shape of the value.
        wrapper: the value is asked for inside an object.
    """

    def __init__(self, shape: Shape) -> None:
        self.shape = shape
        self.wrapper: bool = not has_object_root(shape.schema)
        plain = wrapped(shape.schema) if self.wrapper else shape.schema
        # A schema that the caller wrote is sent as it is.
        self._prompt_schema = plain if shape.exact else closed(plain, require_all=False)
        self._sent_schema = plain if shape.exact else closed(plain, require_all=True)
        strict = is_strict(self._sent_schema)
        self._forms = (STRICT, JSON_MODE, PROMPT) if strict else (STRICT, LOOSE, JSON_MODE, PROMPT)

    def form_from(self, form: str) -> str:
        """Return ``form``, or the next stricter one if this question has no use for it."""
        return form if form in self._forms else STRICT

    def weaker(self, form: str) -> str | None:
        """Return the next weaker form of the request, or ``None`` after the weakest."""
        return next(iter(self._forms[self._forms.index(form) + 1 :]), None)

    def asked(
        self, form: str, messages: Messages, options: Mapping[str, Any]
    ) -> tuple[Messages, dict[str, Any]]:
        """Return the messages and options of the request.

        Args:
            form: one of the forms.

        Raises:
            ConfigurationError: ``response_format`` asks for a format too.
        """
        if options.get("response_format") is not None:
            raise ConfigurationError(
                "schema and response_format exclude each other: schema decides the format. Remove response_format."
            )
        chosen = dict(options)
        if form in (STRICT, LOOSE):
            described = {"name": "answer", "schema": self._sent_schema, "strict": form == STRICT}
            chosen["response_format"] = {"type": "json_schema", "json_schema": described}
            return messages, chosen
        if form == JSON_MODE:
            chosen["response_format"] = {"type": "json_object"}
        return _with_instruction(
            checked_messages(messages, compatible=True), self._instruction()
        ), chosen

    def _instruction(self) -> str:
        schema = json.dumps(self._prompt_schema, ensure_ascii=False)
        return (
            "Answer with one JSON value that conforms to the JSON Schema below. Write the value alone: no "
            f"explanation, no Markdown fence, and not the schema itself.\n{schema}"
        )

    def repair_messages(
        self, messages: Messages, text: str, problems: Sequence[SchemaProblem]
    ) -> list[dict[str, Any]]:
        """Return the messages of a further round, which send the problems back."""
        listed = "\n".join(f"- {each.path}: {each.message}" for each in problems[:20])
        return [
            *checked_messages(messages, compatible=True),
            {"role": "assistant", "content": text},
            {
                "role": "user",
                "content": f"This answer does not fit the schema:\n{listed}\n\nAnswer again with the corrected, "
                "complete JSON value alone.",
            },
        ]


def _with_instruction(
    messages: tuple[dict[str, Any], ...], instruction: str
) -> list[dict[str, Any]]:
    asked = list(messages)
    for index in range(len(asked) - 1, -1, -1):
        if asked[index]["role"] == "user":
            content = asked[index]["content"]
            joined = (
                f"{content}\n\n{instruction}"
                if isinstance(content, str)
                else [*content, {"type": "text", "text": instruction}]
            )
            asked[index] = {**asked[index], "content": joined}
            return asked
    return [*asked, {"role": "user", "content": instruction}]
