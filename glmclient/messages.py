"""What users say, checked before anything is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from .errors import ConfigurationError

__all__ = ["Message", "Messages", "checked_messages", "fold_system", "text_of"]

Message: TypeAlias = Mapping[str, Any]
"""``{"role": ..., "content": ...}``; content is text or a sequence of content parts."""

Messages: TypeAlias = str | Sequence[Message]
"""One user message as text, or a sequence of messages."""

ROLES = ("system", "user", "assistant", "tool")
_OPENAI_ROLES = ("system", "developer", "user", "assistant", "tool")
_WITHOUT_TEXT = (
    *("reasoning_content", "reasoning", "reasoning_details", "thinking", "refusal", "audio"),
    "function_call",
)
"""What an assistant message of compatible servers may hold in place of text."""


def checked_messages(messages: Messages, *, compatible: bool = False) -> tuple[dict[str, Any], ...]:
    """Return the messages as new mappings, so that the caller's objects stay untouched.

    Args:
        compatible: also accept what OpenAI-compatible servers take: the role ``developer``, and assistant messages
            that hold reasoning and no text.

    Raises:
        ConfigurationError: there are none, or one is not ``{"role", "content"}``; the error names its index.
    """
    if isinstance(messages, str):
        messages = [{"role": "user", "content": messages}]
    if isinstance(messages, (bytes, Mapping)) or not isinstance(messages, Sequence):
        raise ConfigurationError(
            "messages must be a string or a sequence of {'role', 'content'} mappings, "
            f"not {type(messages).__name__}."
        )
    if not messages:
        raise ConfigurationError("messages is empty; give at least one user message.")
    return tuple(
        _checked(index, message, compatible)  # type: ignore[arg-type]
        for index, message in enumerate(messages)
    )


def _checked(index: int, message: Message, compatible: bool) -> dict[str, Any]:
    where = f"messages[{index}]"
    if not isinstance(message, Mapping):
        raise ConfigurationError(
            f"{where} must be a mapping with 'role' and 'content', not {type(message).__name__}."
        )
    roles = _OPENAI_ROLES if compatible else ROLES
    if "role" not in message:
        raise ConfigurationError(f"{where} has no 'role'; give one of {', '.join(roles)}.")
    role = message["role"]
    if role not in roles:
        hint = " Use the role 'system'." if role == "developer" else ""
        raise ConfigurationError(
            f"{where} has the role {role!r}; it must be one of {', '.join(roles)}.{hint}"
        )
    content = message.get("content")
    if role == "assistant" and content in (None, [], ()):
        if content is None and message.get("tool_calls"):
            return dict(message)  # a call without words, as the platforms themselves write it
        if compatible and any(message.get(name) for name in ("tool_calls", *_WITHOUT_TEXT)):
            return dict(message)
    if isinstance(content, str):
        if not content.strip() and role == "user":
            raise ConfigurationError(f"{where} is a user message without text; say something.")
        return dict(message)
    if isinstance(content, Sequence) and not isinstance(content, bytes) and content:
        for number, part in enumerate(content):
            if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
                raise ConfigurationError(
                    f"{where}['content'][{number}] must be a content part such as {{'type': 'text', 'text': ...}}."
                )
        return dict(message)
    if "content" not in message:
        raise ConfigurationError(
            f"{where} has no 'content'; give text or a sequence of content parts."
        )
    raise ConfigurationError(
        f"{where}['content'] must be text or a sequence of content parts, not {_kind(content)}."
    )


def _kind(content: object) -> str:
    if content is None:
        return "None"
    return "an empty sequence" if content in ([], ()) else type(content).__name__


def text_of(message: Message, service: str) -> str:
    """Return the text of a message for a service that takes only text.

    Text parts are joined by newlines.

    Raises:
        ConfigurationError: a part is not text.
    """
    content = message.get("content")
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    texts = []
    for part in content:
        if part["type"] != "text" or not isinstance(part.get("text"), str):
            raise ConfigurationError(
                f"{service} takes text alone, not content of type {part['type']!r}; use a platform provider for it."
            )
        texts.append(part["text"])
    return "\n".join(texts)


def fold_system(messages: Sequence[Message], service: str) -> list[dict[str, Any]]:
    """Return the messages for a service without system messages.

    The rule: the texts of all system messages, in order, joined by a blank line, go in front of the first
    user message, with a blank line between. Without a user message they become one.
    """
    system = [text_of(m, service) for m in messages if m["role"] == "system"]
    rest = [dict(m) for m in messages if m["role"] != "system"]
    preamble = "\n\n".join(text for text in system if text.strip())
    if not preamble:
        return rest
    for message in rest:
        if message["role"] == "user":
            message["content"] = f"{preamble}\n\n{text_of(message, service)}"
            return rest
    return [{"role": "user", "content": preamble}, *rest]
