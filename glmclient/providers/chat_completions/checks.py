"""The checks of chat parameters: each takes a name and a value, and returns what is sent or raises.

Limits are those that the platform documents (``docs/wire/open-platform.md`` §1.4).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from ...errors import ConfigurationError

__all__ = [
    "MAX_STOP_WORDS",
    "MAX_TOOLS",
    "Check",
    "flag",
    "mapping",
    "mappings",
    "number",
    "one_answer",
    "one_of",
    "openai_format",
    "platform_format",
    "platform_tools",
    "stop_text",
    "stop_words",
    "text",
    "text_or_mapping",
    "thinking",
    "whole_number",
]

Check: TypeAlias = Callable[[str, Any], Any]
"""Takes a parameter's name and value; returns what is sent, or raises a `ConfigurationError`."""

MAX_TOOLS = 128
MAX_STOP_WORDS = 4
_FUNCTION_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")


def _wrong(name: str, value: Any, wanted: str) -> ConfigurationError:
    return ConfigurationError(f"{name} must be {wanted}, not {value!r:.80}.")


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """Return the check for a number from ``low`` to ``high``."""
    wanted = "a finite number" if low == -math.inf else f"a number from {low:g} to {high:g}"

    def check(name: str, value: Any) -> Any:
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not low <= value <= high
        ):
            raise _wrong(name, value, wanted)
        if not math.isfinite(value):
            raise _wrong(name, value, wanted)
        return value

    return check


def whole_number(low: int | None = None, high: int | None = None) -> Check:
    """Return the check for a whole number, within the bounds that there are."""
    bounds = (
        "" if low is None else f" of {low} or more" if high is None else f" from {low} to {high}"
    )

    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise _wrong(name, value, f"a whole number{bounds}")
        if (low is not None and value < low) or (high is not None and value > high):
            raise _wrong(name, value, f"a whole number{bounds}")
        return value

    return check


def text(low: int = 1, high: int | None = None) -> Check:
    """Return the check for text of ``low`` to ``high`` characters."""
    wanted = "text that is not empty" if high is None else f"text of {low} to {high} characters"

    def check(name: str, value: Any) -> Any:
        if (
            not isinstance(value, str)
            or len(value) < low
            or (high is not None and len(value) > high)
        ):
            raise _wrong(name, value, wanted)
        return value

    return check


def one_of(*words: str, instead: str = "") -> Check:
    """Return the check for one of ``words``; ``instead`` says what to do for others."""
    wanted = (
        " or ".join(repr(word) for word in words)
        if len(words) < 3
        else f"one of {', '.join(words)}"
    )

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            error = _wrong(name, value, wanted)
            raise ConfigurationError(f"{error} {instead}".strip())
        return value

    return check


def flag(name: str, value: Any) -> Any:
    """Check for ``True`` or ``False``."""
    if not isinstance(value, bool):
        raise _wrong(name, value, "True or False")
    return value


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Check for a mapping with names as keys; return a copy."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _wrong(name, value, "a mapping with text as keys")
    return dict(value)


def text_or_mapping(name: str, value: Any) -> Any:
    """Check for a word of the service, or an object of its own shape."""
    return value if isinstance(value, str) and value else mapping(name, value)


def mappings(name: str, value: Any) -> list[dict[str, Any]]:
    """Check for a sequence of mappings, each with a ``type``."""
    if isinstance(value, (str, bytes, Mapping)) or not isinstance(value, Sequence):
        raise _wrong(name, value, "a sequence of mappings")
    for index, each in enumerate(value):
        if not isinstance(mapping(f"{name}[{index}]", each).get("type"), str):
            raise ConfigurationError(
                f"{name}[{index}] must say its 'type', such as {{'type': 'function', ...}}."
            )
    return [dict(each) for each in value]


def stop_words(name: str, value: Any) -> list[str]:
    """Check the words to stop at; the platform wants a list even for one."""
    words = (
        [value]
        if isinstance(value, str)
        else list(value)
        if isinstance(value, (list, tuple))
        else None
    )
    if (
        not words
        or len(words) > MAX_STOP_WORDS
        or not all(isinstance(word, str) and word for word in words)
    ):
        raise _wrong(name, value, f"a word, or a sequence of 1 to {MAX_STOP_WORDS} words")
    return words


def stop_text(name: str, value: Any) -> Any:
    """Check the words to stop at; they are sent as they are."""
    if isinstance(value, str):
        return value
    if not isinstance(value, (list, tuple)) or not all(isinstance(word, str) for word in value):
        raise _wrong(name, value, "a word or a sequence of words")
    return list(value)


def thinking(name: str, value: Any) -> dict[str, Any]:
    """Check the switch of the platform's thinking; ``True`` and ``"enabled"`` mean ``{"type": "enabled"}``."""
    switch = _switch(value)
    if switch.get("type") not in ("enabled", "disabled"):
        raise _wrong(
            name,
            value,
            "True, False, 'enabled', 'disabled' or {'type': 'enabled' or 'disabled', ...}",
        )
    mapping(name, switch)
    if "clear_thinking" in switch:
        flag(f"{name}['clear_thinking']", switch["clear_thinking"])
    return switch


def _switch(value: Any) -> dict[str, Any]:
    """Return the switch that a value means; empty if it means none."""
    if isinstance(value, bool):
        return {"type": "enabled" if value else "disabled"}
    if isinstance(value, Mapping):
        return dict(value)
    return {"type": value}


def platform_tools(name: str, value: Any) -> list[dict[str, Any]]:
    """Check the tools against what the platform documents: how many there are and how functions are named."""
    tools = mappings(name, value)
    if len(tools) > MAX_TOOLS:
        raise ConfigurationError(
            f"{name} holds {len(tools)} tools; the platform takes at most {MAX_TOOLS}."
        )
    for index, tool in enumerate(tools):
        if tool["type"] != "function":
            continue
        where = f"{name}[{index}]['function']"
        called = mapping(where, tool.get("function")).get("name")
        if not isinstance(called, str) or not _FUNCTION_NAME.fullmatch(called):
            raise _wrong(
                f"{where}['name']", called, "1 to 64 of the characters a-z, A-Z, 0-9, _ and -"
            )
    return tools


def platform_format(name: str, value: Any) -> dict[str, Any]:
    """Check the answer's format against those that the platform documents."""
    chosen = {"type": value} if isinstance(value, str) else mapping(name, value)
    if chosen.get("type") not in ("text", "json_object"):
        raise ConfigurationError(
            f"{name} must be {{'type': 'text'}} or {{'type': 'json_object'}}, not {value!r:.80}. Put a schema into the "
            "prompt; to send it all the same, give extra_body={'response_format': ...}."
        )
    return chosen


def openai_format(name: str, value: Any) -> dict[str, Any]:
    """Check the answer's format; which there are is the server's to say."""
    chosen = {"type": value} if isinstance(value, str) else mapping(name, value)
    if not isinstance(chosen.get("type"), str):
        raise _wrong(name, value, "a mapping with a 'type'")
    return chosen


def one_answer(name: str, value: Any) -> Any:
    """Check the number of answers."""
    if value != 1 or isinstance(value, bool):
        raise ConfigurationError(
            f"{name} must be 1, not {value!r:.80}: a stream has one answer. Ask several times."
        )
    return value
