"""The lines of a batch: what a row of input means, and what is written for its answer or its error."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO, Literal

from ..errors import APIStatusError, ConfigurationError, GLMError
from ..events import Usage
from ..reply import Reply, reply_data
from .rows import Question, Result, key_of, partial_of, question_of, with_system

__all__ = [
    "EMPTY_ANSWER",
    "Done",
    "Format",
    "Line",
    "bounded_lines",
    "done_of",
    "input_lines",
    "is_empty",
    "output_line",
    "plain",
]

Format = Literal["jsonl", "openai"]
EMPTY_ANSWER = "EmptyAnswer"
"""The class that an error row names when an answer held neither text nor tool calls."""

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes of one line of input; a longer one is an error row."""


@dataclass(frozen=True, slots=True)
class Line:
    """One row of input: its question, or why it has none.

    Args:
        number: of the line, from 1.
        question: what is asked, or ``None``.
        error: what is wrong with the row, or ``None``.
        id: the row's own id, or ``None``.
        key: the hash of the request.
    """

    number: int
    question: Question | None
    error: ConfigurationError | None
    id: str | None
    key: str


@dataclass(frozen=True, slots=True)
class Done:
    """What an output line says of its row.

    Args:
        id: of the row.
        key: the hash of the request that was answered.
        error: the class of the error; ``""`` for an answer.
        retryable: whether asking again may help.
    """

    id: str
    key: str
    error: str
    retryable: bool


def bounded_lines(file: BinaryIO) -> Iterator[bytes]:
    """Yield the lines of a file; of a line that is too long, only as much as shows that it is.

    The rest of such a line is skipped in pieces, so a file without line ends does not fill the memory.
    """
    while line := file.readline(LONGEST_LINE + 1):
        yield line
        while len(line) > LONGEST_LINE and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE + 1)


def input_lines(
    rows: Any, provider: str, defaults: Mapping[str, Any], system: str | None = None
) -> Iterator[Line]:
    """Yield the rows of a file's lines (bytes) or of a caller's values; blank lines are skipped.

    Args:
        provider: with ``defaults``, a part of each key.
        system: the system message of rows without one.
    """
    for number, row in enumerate(rows, 1):
        if isinstance(row, (bytes, bytearray)):
            if not row.strip():
                continue
            yield _from_bytes(number, bytes(row), provider, defaults, system)
        else:
            yield _line(number, row, provider, defaults, system)


def _from_bytes(
    number: int, row: bytes, provider: str, defaults: Mapping[str, Any], system: str | None
) -> Line:
    try:
        if len(row) > LONGEST_LINE:
            raise ConfigurationError(f"line {number} is longer than {LONGEST_LINE} bytes.")
        value = json.loads(row.removeprefix(b"\xef\xbb\xbf"))
    except (ValueError, RecursionError) as error:
        wrong = (
            error
            if isinstance(error, ConfigurationError)
            else ConfigurationError(f"line {number} is not JSON: {error}.")
        )
        return Line(number, None, wrong, None, hashlib.sha256(row).hexdigest()[:32])
    return _line(number, value, provider, defaults, system)


def _line(
    number: int, value: Any, provider: str, defaults: Mapping[str, Any], system: str | None
) -> Line:
    try:
        question = with_system(question_of(value), system)
    except ConfigurationError as error:
        text = json.dumps(value, sort_keys=True, default=repr)
        key = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
        return Line(number, None, error, _own_id(value), key)
    return Line(number, question, None, question.id, key_of(provider, question, defaults))


def _own_id(value: Any) -> str | None:
    if not isinstance(value, Mapping):
        return None
    own = value.get("custom_id", value.get("id"))
    return str(own) if isinstance(own, (str, int)) and not isinstance(own, bool) else None


# -- output ----------------------------------------------------------------------------------------


def output_line(result: Result, key: str, format: Format) -> tuple[bytes, Done]:
    """Return the line for a result, and what it says."""
    reply, error = result.reply, result.error
    if reply is not None and error is None and is_empty(reply):
        values: dict[str, Any] = {
            "class": EMPTY_ANSWER,
            "code": None,
            "message": "the answer ended with neither text nor tool calls.",
            "retryable": False,
        }
        done = Done(result.id, key, EMPTY_ANSWER, False)
        return _encoded(_error_row(result, key, values, reply, format)), done
    if reply is not None and error is None:
        return _encoded(_answer_row(result, key, reply, format)), Done(result.id, key, "", False)
    assert error is not None
    name, retryable = type(error).__name__, isinstance(error, GLMError) and error.retryable
    values = {
        "class": name,
        "code": error.code if isinstance(error, APIStatusError) else None,
        "message": str(error),
        "retryable": retryable,
    }
    row = _error_row(result, key, values, partial_of(error), format)
    return _encoded(row), Done(result.id, key, name, retryable)


def is_empty(reply: Reply) -> bool:
    """Return whether an answer holds neither text nor tool calls."""
    return reply.finish is not None and reply.finish.empty


def _encoded(row: dict[str, Any]) -> bytes:
    # Escaped: a lone surrogate of a service would otherwise stop the run.
    return json.dumps(row, separators=(",", ":"), default=plain).encode() + b"\n"


def plain(value: Any) -> Any:
    """Return a value of a typed answer as plain data for JSON; objects of unknown types become their text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (set, frozenset)):
        return list(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if callable(dump := getattr(value, "model_dump", None)):  # pydantic
        return dump(mode="json")
    if names := getattr(value, "__struct_encode_fields__", None):  # msgspec
        fields = zip(names, value.__struct_fields__, strict=True)
        return {name: getattr(value, field) for name, field in fields}
    return str(value)


def _answer(reply: Reply) -> dict[str, Any]:
    """Return the fields of a reply that are not empty, by their names."""
    data = reply_data(reply)
    del data["finish"]
    return {
        "text": data.pop("text"),
        **{k: v for k, v in data.items() if v not in (None, "", (), [])},
    }


def _answer_row(result: Result, key: str, reply: Reply, format: Format) -> dict[str, Any]:
    finish = reply.finish
    if format == "openai":
        return _openai_row(result, key, _completion(reply), None)
    return {
        "id": result.id,
        "key": key,
        "ok": True,
        **_answer(reply),
        "finish_reason": finish.reason if finish is not None else None,
        "usage": finish.usage if finish is not None else None,
        "model": finish.model if finish is not None else None,
        "attempts": result.attempts,
        "seconds": round(result.seconds, 3),
        "request_id": finish.request_id if finish is not None else None,
    }


def _error_row(
    result: Result, key: str, error: dict[str, Any], partial: Reply | None, format: Format
) -> dict[str, Any]:
    if format == "openai":
        return _openai_row(result, key, None, error)
    row = {"id": result.id, "key": key, "ok": False, "error": error}
    if partial is not None:
        row["partial"] = _answer(partial)
    return {**row, "attempts": result.attempts, "seconds": round(result.seconds, 3)}


def _openai_row(
    result: Result, key: str, body: dict[str, Any] | None, error: dict[str, Any] | None
) -> dict[str, Any]:
    reply = result.reply
    finish = reply.finish if reply is not None else None
    return {
        "id": f"batch_req_{key[:24]}",
        "custom_id": result.id,
        "response": None
        if body is None
        else {
            "status_code": 200,
            "request_id": finish.request_id if finish is not None else None,
            "body": body,
        },
        "error": error,
        "key": key,
    }


def _completion(reply: Reply) -> dict[str, Any]:
    finish = reply.finish
    message: dict[str, Any] = {"role": "assistant", "content": reply.text}
    if reply.reasoning:
        message["reasoning_content"] = reply.reasoning
    if reply.tool_calls:
        message["tool_calls"] = [
            {
                "id": call.id,
                "type": "function",
                "function": {"name": call.name, "arguments": call.arguments},
            }
            for call in reply.tool_calls
        ]
    return {
        "id": (finish.response_id if finish is not None else None) or "",
        "object": "chat.completion",
        "model": (finish.model if finish is not None else None) or "",
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": finish.reason if finish is not None else None,
            }
        ],
        "usage": _counts(finish.usage if finish is not None else None),
    }


def _counts(usage: Usage | None) -> dict[str, int | None] | None:
    if usage is None:
        return None
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total_tokens,
    }


def done_of(line: bytes) -> Done | None:
    """Return what a line of an earlier run says; ``None`` if it is not a line of a batch."""
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(row, dict):
        return None
    own, key = row.get("id" if "ok" in row else "custom_id"), row.get("key")
    if not isinstance(own, str) or not isinstance(key, str):
        return None
    error = row.get("error")
    if not isinstance(error, dict):
        return Done(own, key, "", False)
    return Done(own, key, str(error.get("class")), bool(error.get("retryable")))
