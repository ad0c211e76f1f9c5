"""How a service is asked for a value: in the strictest form that it enforces."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ConfigurationError, SchemaProblem
from ..messages import Messages, checked_messages
from .references import closed, has_object_root, wrapped
from .shapes import Shape

__all__ = ["SchemaQuestion", "mentions_format", "weaker"]

_WEAKER = {"json_schema": "json_object", "json_object": "prompt"}
_ABOUT_FORMAT = re.compile(
    r"response_?format|json_?\s?schema|json_?\s?object|json mode|schema|grammar|guided|structured",
    re.IGNORECASE,
)


def weaker(form: str) -> str | None:
    """Return the next weaker form of a request, or ``None`` after the weakest."""
    return _WEAKER.get(form)


def mentions_format(text: str) -> bool:
    """Return whether a refusal is about the format of the answer, as far as its text says."""
    return _ABOUT_FORMAT.search(text) is not None


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
        self._prompt_schema = closed(plain, require_all=False) if not shape.exact else plain
        self._strict_schema = closed(plain, require_all=not shape.exact)

    def asked(
        self, form: str, messages: Messages, options: Mapping[str, Any]
    ) -> tuple[Messages, dict[str, Any]]:
        """Return the messages and options of the request.

        Args:
            form: ``json_schema``, ``json_object`` or ``prompt``.

        Raises:
            ConfigurationError: ``response_format`` asks for a format too.
        """
        if options.get("response_format") is not None:
            raise ConfigurationError(
                "schema and response_format exclude each other: schema decides the format. Remove response_format."
            )
        chosen = dict(options)
        if form == "json_schema":
            described = {"name": "answer", "schema": self._strict_schema, "strict": True}
            chosen["response_format"] = {"type": "json_schema", "json_schema": described}
            return messages, chosen
        if form == "json_object":
            chosen["response_format"] = {"type": "json_object"}
        return _with_instruction(checked_messages(messages), self._instruction()), chosen

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
            *checked_messages(messages),
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
