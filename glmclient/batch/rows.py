"""Rows of questions: what a caller or a file hands in, and the values that come out.

A row is a text, a sequence of messages, or a mapping: ``{"id"?, "prompt"}``, ``{"id"?, "messages", …options}``
or a line of OpenAI's batch files (``custom_id``, ``body``). `question_of` turns each into a `Question`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import ConfigurationError, GLMError
from ..messages import Messages
from ..reply import Reply

__all__ = [
    "Question",
    "Result",
    "estimated_tokens",
    "key_of",
    "partial_of",
    "question_of",
    "with_system",
]

_OWN_OF_OPENAI = frozenset({"stream", "stream_options", "n"})
"""Fields of an OpenAI body that say how the answer travels; here the client decides that."""
_NOT_ASKED = ("timeout", "retry", "repair")
"""Options of a row that are not part of the request."""


@dataclass(frozen=True, slots=True)
class Question:
    """One row, ready to be asked.

    Args:
        messages: what is asked.
        id: the row's own id, or ``None``.
        options: the row's own model and options; they win over those of the call.
    """

    messages: Messages
    id: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one row of `map`: a reply or an error, never both.

    Args:
        index: the row's position, from 0.
        id: the row's own id, else ``str(index)``.
        row: the row as it came in.
        reply: the answer, or ``None``.
        error: what went wrong, or ``None``; ``error.partial`` holds what came before.
        attempts: requests made for this row; refusals for rate are not counted.
        seconds: from the first request of the row to its end.
    """

    index: int
    id: str
    row: Any
    reply: Reply | None = None
    error: Exception | None = None
    attempts: int = 0
    seconds: float = 0.0


def question_of(row: object) -> Question:
    """Return the question of a row.

    Raises:
        ConfigurationError: the row has no question, or more than one.
    """
    if isinstance(row, Question):
        return row
    if isinstance(row, str):
        return Question(row)
    if isinstance(row, Mapping):
        return _from_mapping(dict(row))
    if isinstance(row, Sequence) and not isinstance(row, (bytes, bytearray)):
        return Question(list(row))
    raise ConfigurationError(
        "a row is a text, a sequence of messages, or a mapping with 'prompt' or 'messages', "
        f"not {type(row).__name__}."
    )


def _from_mapping(row: dict[str, Any]) -> Question:
    if "role" in row and "content" in row:
        return Question([row])
    row_id = _id_of(row)
    if "body" in row:
        return _from_openai(row, row_id)
    prompt, messages = row.pop("prompt", None), row.pop("messages", None)
    if (prompt is None) == (messages is None):
        raise ConfigurationError(
            "a row needs either 'prompt' or 'messages'"
            f"{'' if prompt is None else ', not both'}; it has the keys {_shown(row)}."
        )
    if prompt is not None and not isinstance(prompt, str):
        raise ConfigurationError(f"'prompt' of a row is a text, not {type(prompt).__name__}.")
    return Question(prompt if prompt is not None else messages, row_id, row)


def _from_openai(row: dict[str, Any], row_id: str | None) -> Question:
    body = row["body"]
    if not isinstance(body, Mapping) or "messages" not in body:
        raise ConfigurationError("'body' of a batch line is a mapping with 'messages'.")
    options = {name: value for name, value in body.items() if name not in _OWN_OF_OPENAI}
    if body.get("n", 1) != 1:
        raise ConfigurationError("'n' of a batch line can only be 1: a row has one answer.")
    return Question(options.pop("messages"), row_id, options)


def _id_of(row: dict[str, Any]) -> str | None:
    name = "custom_id" if "custom_id" in row else "id"
    value = row.pop(name, None)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ConfigurationError(f"{name!r} of a row is a text, not {type(value).__name__}.")
    return str(value)


def with_system(question: Question, system: str | None) -> Question:
    """Return the question with a system message in front, if it has none of its own."""
    if system is None:
        return question
    messages: Any = question.messages
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if any(isinstance(each, Mapping) and each.get("role") == "system" for each in messages):
        return question
    return replace(question, messages=[{"role": "system", "content": system}, *messages])


def _shown(row: Mapping[str, Any]) -> str:
    return ", ".join(repr(str(name)[:40]) for name in list(row)[:8]) or "none"


def key_of(provider: str, question: Question, defaults: Mapping[str, Any]) -> str:
    """Return a hash of the request: what is asked, of which service, with which model and options.

    How long and how often to try is not part of it: an answer stays valid when that changes.
    """
    options = {**defaults, **question.options}
    for name in _NOT_ASKED:
        options.pop(name, None)
    schema = options.get("schema")
    if schema is not None and not isinstance(schema, Mapping):
        from ..schemas.shapes import shape_of

        # A type prints as its name alone, which stays the same when its fields change.
        options["schema"] = shape_of(schema).schema
    request = {"provider": provider, "messages": question.messages, "options": options}
    text = json.dumps(request, sort_keys=True, ensure_ascii=False, default=repr)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def estimated_tokens(messages: Messages, options: Mapping[str, Any]) -> int:
    """Return an estimate of the tokens that a question takes, its answer included.

    A quarter of the ASCII characters and all others count as tokens, which is near the tokenizers of GLM and Qwen
    for English and Chinese. The answer counts as ``max_tokens`` where that is set, else as 256: the limiter corrects
    the sum from the answer's usage.
    """
    text = (
        messages
        if isinstance(messages, str)
        else json.dumps(messages, ensure_ascii=False, default=repr)
    )
    narrow = len(text.encode("ascii", "ignore"))
    answer = options.get("max_tokens")
    return narrow // 4 + (len(text) - narrow) + 1 + (answer if isinstance(answer, int) else 256)


def partial_of(error: Exception) -> Reply | None:
    """Return what came before ``error``, if anything did."""
    partial = error.partial if isinstance(error, GLMError) else None
    return partial if partial not in (None, Reply()) else None
