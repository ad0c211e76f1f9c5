"""The body of a chat request: checked parameters, nothing rewritten, no ``null``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.http import dump_json
from ...errors import ConfigurationError
from ...messages import Messages, checked_messages
from ..base import check_options
from .checks import Check, flag, mapping
from .parameters import (
    DASHSCOPE,
    DASHSCOPE_REFUSED,
    OPENAI,
    OPENAI_REFUSED,
    PLATFORM,
    PLATFORM_REFUSED,
)

__all__ = ["DASHSCOPE_PARAMETERS", "OPENAI_PARAMETERS", "PLATFORM_PARAMETERS", "Body", "Parameters"]

_OWN: Mapping[str, Check] = {
    "extra_body": mapping,
    "think_tags": flag,
    "include_unknown": flag,
    "include_status": flag,
}
"""What is not sent under its own name: it says how to read the answer, or is merged into the body."""


@dataclass(frozen=True, slots=True)
class Body:
    """A request's body, written when the question was asked: what the caller changes later is not in it.

    Args:
        json: the body as JSON in UTF-8.
        names: the names of its members.
        options: how to read the answer.
    """

    json: bytes
    names: frozenset[str]
    options: Mapping[str, Any]

    def completed(self, **members: str) -> bytes:
        """Return the body with further members; those that it has stay as they are."""
        added = "".join(
            f",{json.dumps(name)}:{json.dumps(v)}"
            for name, v in members.items()
            if name not in self.names
        )
        return self.json[:-1] + added.encode() + b"}"


@dataclass(frozen=True, slots=True)
class Parameters:
    """What one kind of service takes.

    Args:
        service: how messages name it.
        checks: its parameters.
        refused: what it does not take, and what to use.
        by_default: members of every body, unless given.
        official: it is the platform, whose documented rules for messages hold.
        compatible: it takes every message of OpenAI's dialect.
    """

    service: str
    checks: Mapping[str, Check]
    refused: Mapping[str, str]
    by_default: Mapping[str, Any]
    official: bool
    compatible: bool = False

    @property
    def names(self) -> frozenset[str]:
        """The names of all options that the service takes."""
        return frozenset((*self.checks, *_OWN))

    def body(
        self, messages: Messages, model: str | None, options: Mapping[str, Any]
    ) -> tuple[list[Any], Body]:
        """Return the checked messages and the body of a question.

        Raises:
            ConfigurationError: something in it is wrong, or this service cannot honour it.
        """
        given = self._given(options)
        defaults = dict(self.by_default)
        if "stream_options" in options and options["stream_options"] is None:
            defaults.pop("stream_options", None)  # for servers that refuse it
        own = {name: check(name, given[name]) for name, check in _OWN.items() if name in given}
        if "request_id" in given:
            # It is renewed for every attempt, so it is added when the attempt is made.
            own["request_id"] = self.checks["request_id"]("request_id", given.pop("request_id"))
        said = [
            _without_nulls(message)
            for message in checked_messages(messages, compatible=self.compatible)
        ]
        if self.official:
            _check_roles(said)
        body = {"messages": said, "stream": True, **defaults}
        if model is not None:
            body = {"model": model, **body}
        body.update(
            (name, check(name, given[name])) for name, check in self.checks.items() if name in given
        )
        body.update(mapping("extra_body", given.get("extra_body", {})))
        if body.get("logprobs") and not own.get("include_unknown"):
            raise ConfigurationError(
                "logprobs arrive as Unknown events; give include_unknown=True too."
            )
        if self.official and _stops_thinking(body):
            own["stops_thinking"] = True
        return said, Body(dump_json(body), frozenset(body), own)

    def _given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if value is not None and name in self.refused:
                raise ConfigurationError(
                    f"{self.service} cannot honour the option {name!r}: {self.refused[name]}"
                )
        known = {name: value for name, value in options.items() if name not in self.refused}
        return check_options(self.service, known, (*self.checks, *_OWN))


def _without_nulls(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message without members that are ``null``, but for the content of a call without words."""
    return {
        name: value for name, value in message.items() if value is not None or name == "content"
    }


def _stops_thinking(body: Mapping[str, Any]) -> bool:
    """Tell whether a request asks for an answer without thinking, which some models refuse."""
    thinking = body.get("thinking")
    disabled = isinstance(thinking, Mapping) and thinking.get("type") == "disabled"
    return disabled or body.get("reasoning_effort") == "none"


def _check_roles(messages: list[dict[str, Any]]) -> None:
    """Check what the platform documents of messages (``docs/wire/open-platform.md`` §1.4)."""
    if all(message["role"] in ("system", "assistant") for message in messages):
        raise ConfigurationError(
            "messages holds no message of the roles user or tool; the platform answers to one of these."
        )
    for index, message in enumerate(messages):
        if message["role"] == "tool" and not isinstance(message.get("tool_call_id"), str):
            raise ConfigurationError(
                f"messages[{index}] is a tool's result without 'tool_call_id'; give the id of the call that it answers."
            )


PLATFORM_PARAMETERS = Parameters("the platform", PLATFORM, PLATFORM_REFUSED, {}, official=True)

# Without it vLLM, SGLang and Ollama tell no usage (docs/wire/open-platform.md §5).
OPENAI_PARAMETERS = Parameters(
    "an OpenAI-compatible server",
    OPENAI,
    OPENAI_REFUSED,
    {"stream_options": {"include_usage": True}},
    official=False,
    compatible=True,
)

# Without the option its streams do not report usage either.
DASHSCOPE_PARAMETERS = Parameters(
    "Alibaba's endpoint for Qwen",
    DASHSCOPE,
    DASHSCOPE_REFUSED,
    {"stream_options": {"include_usage": True}},
    official=False,
)
