"""The body of a request, checked as OpenAI's API checks it, before anything is sent to the service behind."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NoReturn

from .refusals import Refused

__all__ = ["Question", "question_of"]

_ROLES = ("system", "developer", "user", "assistant", "tool")
_KEPT = ("role", "content", "name", "tool_calls", "tool_call_id", "reasoning_content")
"""Members of messages that services know. Clients send back all of an answer, with members such as ``refusal``."""
_PARTS = {
    "text": str,
    "refusal": str,
    **dict.fromkeys(("image_url", "video_url", "file_url", "input_audio", "file"), dict),
}
"""Kinds of content parts, and what the member of the same name must be."""
_OWN = ("messages", "model", "stream", "stream_options", "n")
"""Members that the gateway itself handles; all others are options for the service."""


@dataclass(frozen=True, slots=True)
class Question:
    """One checked request.

    Args:
        model: the model as the caller named it.
        messages: the messages as a client takes them.
        options: the options for the service; those that are ``null`` are left out.
        stream: whether the answer is a stream.
        with_usage: whether a stream ends with its usage.
    """

    model: str
    messages: list[dict[str, Any]] = field(repr=False)
    options: dict[str, Any] = field(repr=False)
    stream: bool
    with_usage: bool


def _refuse(param: str | None, message: str) -> NoReturn:
    raise Refused(400, message, code="invalid_value", param=param)


def question_of(body: bytes) -> Question:
    """Return the checked question in the body of a request.

    Raises:
        Refused: it is not one that OpenAI's API would take; the error names the member.
    """
    request = _parsed(body)
    model = request.get("model")
    if not isinstance(model, str) or not model.strip():
        _refuse("model", "you must provide a model parameter: the name of a model as text.")
    stream = _flag("stream", request.get("stream"))
    if request.get("n") not in (None, 1) or isinstance(request.get("n"), bool):
        _refuse("n", "n must be 1: the gateway returns one choice. Send several requests.")
    messages = request.get("messages")
    if not isinstance(messages, list) or not messages:
        _refuse("messages", "messages must be an array of messages that is not empty.")
    options = {
        name: value for name, value in request.items() if name not in _OWN and value is not None
    }
    for name, check in _CHECKS.items():
        if name in options:
            check(name, options[name])
    return Question(
        model=model.strip(),
        messages=[_message(f"messages[{n}]", message) for n, message in enumerate(messages)],
        options=options,
        stream=stream,
        with_usage=_with_usage(request.get("stream_options"), stream),
    )


def _parsed(body: bytes) -> dict[str, Any]:
    def constant(name: str) -> NoReturn:
        raise ValueError(f"{name} is not JSON")

    try:
        request = json.loads(body.decode(), parse_constant=constant)
    except (ValueError, RecursionError):
        # Without the parser's own words: they may quote the body.
        _refuse(None, "the body of the request is not valid JSON in UTF-8.")
    if not isinstance(request, dict):
        _refuse(None, "the body of the request must be a JSON object.")
    return request


def _flag(name: str, value: Any) -> bool:
    if value is not None and not isinstance(value, bool):
        _refuse(name, f"{name} must be true or false.")
    return bool(value)


def _with_usage(value: Any, stream: bool) -> bool:
    if value is None:
        return False
    if not isinstance(value, dict):
        _refuse("stream_options", "stream_options must be an object.")
    if not stream:
        _refuse("stream_options", "stream_options is only allowed when stream is true.")
    return _flag("stream_options.include_usage", value.get("include_usage"))


# -- messages ------------------------------------------------------------------------------------------


def _message(where: str, message: Any) -> dict[str, Any]:
    if not isinstance(message, dict):
        _refuse(where, f"{where} must be an object with a role and content.")
    role = message.get("role")
    if role not in _ROLES:
        _refuse(f"{where}.role", f"{where}.role must be one of {', '.join(_ROLES)}.")
    kept = {name: message[name] for name in _KEPT if message.get(name) is not None}
    if role == "developer":
        kept["role"] = "system"  # OpenAI's newer word for it, which services do not know
    if role == "assistant" and "tool_calls" in kept:
        _check_calls(f"{where}.tool_calls", kept["tool_calls"])
    if role == "tool" and not isinstance(kept.get("tool_call_id"), str):
        _refuse(f"{where}.tool_call_id", f"{where} needs tool_call_id, the id of the call.")
    if "content" in kept:
        kept["content"] = _content(f"{where}.content", kept["content"])
    elif not kept.get("tool_calls"):
        _refuse(f"{where}.content", f"{where} needs content: text or an array of content parts.")
    return kept


def _content(where: str, content: Any) -> Any:
    if isinstance(content, str):
        return content
    if not isinstance(content, list) or not content:
        _refuse(where, f"{where} must be text or an array of content parts that is not empty.")
    return [_part(f"{where}[{number}]", part) for number, part in enumerate(content)]


def _part(where: str, part: Any) -> dict[str, Any]:
    kind = part.get("type") if isinstance(part, dict) else None
    if not isinstance(kind, str) or kind not in _PARTS:
        _refuse(where, f"{where} must be a content part; its type is one of {', '.join(_PARTS)}.")
    value = part.get(kind)
    if not isinstance(value, _PARTS[kind]):
        wanted = "text" if _PARTS[kind] is str else "an object"
        _refuse(f"{where}.{kind}", f"{where}.{kind} must be {wanted}.")
    if kind.endswith("_url") and not isinstance(value.get("url"), str):
        _refuse(f"{where}.{kind}.url", f"{where}.{kind} needs a url as text.")
    return {"type": "text", "text": value} if kind == "refusal" else dict(part)


def _check_calls(where: str, calls: Any) -> None:
    if not isinstance(calls, list) or not calls:
        _refuse(where, f"{where} must be an array of tool calls that is not empty.")
    for number, call in enumerate(calls):
        here = f"{where}[{number}]"
        if not isinstance(call, dict) or not isinstance(call.get("id"), str):
            _refuse(here, f"{here} must be an object with an id.")
        function = call.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            _refuse(f"{here}.function", f"{here} needs a function with a name.")
        if not isinstance(function.get("arguments"), str):
            _refuse(f"{here}.function.arguments", f"{here} needs arguments as a string of JSON.")


# -- options -------------------------------------------------------------------------------------------


def _number(low: float, high: float) -> Callable[[str, Any], None]:
    def check(name: str, value: Any) -> None:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not number or not math.isfinite(value) or not low <= value <= high:
            _refuse(name, f"{name} must be a number from {low:g} to {high:g}.")

    return check


def _whole(name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        _refuse(name, f"{name} must be a whole number of 1 or more.")


def _stop(name: str, value: Any) -> None:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        _refuse(name, f"{name} must be text or an array of texts.")


def _tools(name: str, value: Any) -> None:
    if not isinstance(value, list):
        _refuse(name, f"{name} must be an array of tools.")
    for number, tool in enumerate(value):
        if not isinstance(tool, dict) or not isinstance(tool.get("type"), str):
            _refuse(f"{name}[{number}]", f"{name}[{number}] must be an object with a type.")
        function = tool.get("function")
        named = isinstance(function, dict) and isinstance(function.get("name"), str)
        if tool["type"] == "function" and not named:
            _refuse(f"{name}[{number}].function", f"{name}[{number}] needs a function's name.")


def _tool_choice(name: str, value: Any) -> None:
    if value not in ("none", "auto", "required") and not isinstance(value, Mapping):
        _refuse(name, f"{name} must be none, auto, required, or an object that names a tool.")


def _format(name: str, value: Any) -> None:
    if not isinstance(value, dict) or not isinstance(value.get("type"), str):
        _refuse(name, f"{name} must be an object with a type.")


_CHECKS: Mapping[str, Callable[[str, Any], None]] = {
    "temperature": _number(0, 2),
    "top_p": _number(0, 1),
    "frequency_penalty": _number(-2, 2),
    "presence_penalty": _number(-2, 2),
    "max_tokens": _whole,
    "max_completion_tokens": _whole,
    "stop": _stop,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "response_format": _format,
}
"""What OpenAI's API says about the types of options; whether a service takes them is checked later."""
