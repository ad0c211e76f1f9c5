"""The columns that questions of a data engine become: the same for Ray Data and Daft.

An engine needs the type of every column before it has a value, and it must be the same in every batch of every worker.
Plain columns have fixed types. The type of ``parsed`` is made from the JSON Schema of the question; parts of a schema
that have no fixed columns (unions, free objects, recursion) become JSON text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from ..batch.lines import EMPTY_ANSWER, is_empty, plain
from ..batch.rows import Question, Result, partial_of, question_of, with_system
from ..errors import ConfigurationError
from ..reply import Reply

__all__ = ["Columns", "asked", "split_options"]

_CLIENT_ARGUMENTS = frozenset(
    {
        *("api_key", "base_url", "timeout", "retry", "proxy", "verify", "cert", "headers"),
        *("trust_env", "limits", "record", "replay", "observer", "transport"),
    }
)
"""Options that the client takes; all others are options of each question."""
_INT64 = 1 << 63


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arguments of the client, and the options of every question."""
    client = {name: value for name, value in options.items() if name in _CLIENT_ARGUMENTS}
    return client, {name: value for name, value in options.items() if name not in client}


def asked(cell: Any, system: str | None) -> Any:
    """Return the question of a cell; a cell that is not a question is returned as it is, and fails as a row.

    Arrow gives every message of a column the same keys, with ``None`` for those that a message does not have.
    """
    if isinstance(cell, list):
        cell = [
            {k: v for k, v in each.items() if v is not None} if isinstance(each, Mapping) else each
            for each in cell
        ]
    try:
        question: Question = with_system(question_of(cell), system)
    except (ConfigurationError, TypeError):
        return cell
    return question


class Columns:
    """The columns of the answers.

    Args:
        schema: of the question, or ``None``.

    Raises:
        ConfigurationError: no schema can be made of it.
    """

    def __init__(self, schema: Any = None) -> None:
        self._parsed: _Shape = _Shape(None, pa.string())
        if schema is not None:
            from ..schemas.shapes import shape_of

            root = shape_of(schema).schema
            self._parsed = _shape(root, root, ())
        self.type: pa.DataType = pa.struct(
            [
                ("text", pa.string()),
                ("reasoning", pa.string()),
                ("parsed", self._parsed.type),
                ("error", pa.string()),
                ("finish_reason", pa.string()),
                ("prompt_tokens", pa.int64()),
                ("completion_tokens", pa.int64()),
                ("model", pa.string()),
            ]
        )
        self.names: tuple[str, ...] = tuple(field.name for field in self.type)

    def values(self, result: Result) -> dict[str, Any]:
        """Return the values of a row, by column."""
        reply, error = result.reply, _error_text(result)
        if reply is None:
            assert result.error is not None
            reply = partial_of(result.error) or Reply()
        parsed = None
        if reply.parsed is not None:
            try:
                data = json.loads(json.dumps(reply.parsed, default=plain))
                parsed = self._parsed.fitted(data)
            except (TypeError, ValueError) as problem:
                error = error or f"{type(problem).__name__}: {problem}"
        finish, usage = reply.finish, reply.usage
        return {
            "text": _text(reply.text),
            "reasoning": _text(reply.reasoning),
            "parsed": parsed,
            "error": _text(error),
            "finish_reason": finish.reason if finish is not None else None,
            "prompt_tokens": usage.prompt_tokens if usage is not None else None,
            "completion_tokens": usage.completion_tokens if usage is not None else None,
            "model": _text(finish.model) if finish is not None else None,
        }


def _error_text(result: Result) -> str | None:
    if result.error is not None:
        return f"{type(result.error).__name__}: {result.error}"
    if result.reply is not None and is_empty(result.reply):
        return f"{EMPTY_ANSWER}: the answer ended with neither text nor tool calls."
    return None


def _text(text: str | None) -> str | None:
    """Return text that Arrow can hold: it has no form for lone surrogates, and would fail the whole batch."""
    if not text:
        return None
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


class _Shape:
    """The Arrow type of a JSON Schema, and how data is brought into it.

    Args:
        kind: a JSON type, or ``None`` for JSON text.
        type: the Arrow type.
        parts: the shapes of the properties, or that of the items under the name ``items``.
    """

    def __init__(
        self, kind: str | None, type: pa.DataType, parts: Mapping[str, _Shape] | None = None
    ) -> None:
        self.kind = kind
        self.type = type
        self.parts: Mapping[str, _Shape] = parts or {}

    def fitted(self, data: Any) -> Any:
        """Return data for a value of this type.

        Raises:
            ValueError: an integer needs more than 64 bits.
        """
        if data is None:
            return None
        if self.kind is None:
            return _text(json.dumps(data, ensure_ascii=False))
        if self.kind == "object":
            return {name: part.fitted(data.get(name)) for name, part in self.parts.items()}
        if self.kind == "array":
            return [self.parts["items"].fitted(each) for each in data]
        if self.kind == "string":
            return _text(data) or ""
        if self.kind == "integer" and not -_INT64 <= data < _INT64:
            raise ValueError(f"the integer {data} of the answer needs more than 64 bits.")
        return float(data) if self.kind == "number" else data


_SCALARS = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
}


def _shape(schema: Any, root: Mapping[str, Any], seen: tuple[str, ...]) -> _Shape:
    """Return the shape of a schema.

    Args:
        root: where its references lead.
        seen: the references on the way here; one that comes again is a recursion.
    """
    text = _Shape(None, pa.string())
    if not isinstance(schema, Mapping):
        return text
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = None if reference in seen else _target(reference, root)
        return text if target is None else _shape(target, root, (*seen, reference))
    options = [each for each in schema.get("anyOf", ()) if each != {"type": "null"}]
    if "anyOf" in schema:
        return _shape(options[0], root, seen) if len(options) == 1 else text
    kind = schema.get("type")
    if isinstance(kind, list):
        kinds = [each for each in kind if each != "null"]
        kind = kinds[0] if len(kinds) == 1 else None
    if kind in _SCALARS:
        return _Shape(kind, _SCALARS[kind])
    if kind == "array" and isinstance(schema.get("items"), Mapping):
        items = _shape(schema["items"], root, seen)
        return _Shape("array", pa.list_(items.type), {"items": items})
    if kind == "object" and schema.get("properties"):
        parts = {name: _shape(each, root, seen) for name, each in schema["properties"].items()}
        return _Shape("object", pa.struct([(n, part.type) for n, part in parts.items()]), parts)
    return text


def _target(reference: str, root: Mapping[str, Any]) -> Any:
    """Return what a reference inside the schema leads to; ``None`` if it leads elsewhere."""
    value: Any = root
    for name in reference.removeprefix("#/").split("/"):
        value = value.get(name) if isinstance(value, Mapping) else None
    return value
