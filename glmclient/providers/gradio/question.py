"""What is asked of a Gradio Space, checked before it is known how its page wants it written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...core.http import dump_json, load_object
from ...errors import ConfigurationError
from ...messages import Message, text_of
from .formats import Format, Turn, converted, encode_history

__all__ = ["Question", "Service"]


@dataclass(frozen=True, slots=True)
class Service:
    """Where a conversation belongs: it cannot be continued elsewhere.

    Args:
        name: how messages name the service.
        url: its base URL.
        function: the name of the chat function.
    """

    name: str
    url: str
    function: str


@dataclass(frozen=True, slots=True)
class Question:
    """The user's last words, and what was said before them.

    Args:
        prompt: the question.
        system: the system message; ``None`` leaves the page its own.
        turns: the conversation so far, as the caller told it.
        continued: the conversation so far, as the service told it.
    """

    prompt: str
    system: str | None
    turns: tuple[Turn, ...] = ()
    continued: list[Any] | None = None

    @classmethod
    def of(cls, messages: Sequence[Message], service: Service) -> Question:
        """Read checked messages.

        System messages, wherever they stand, are joined by newlines. Messages of one role in a row are joined by a
        blank line, because a chatbot holds questions and answers in turn.

        Raises:
            ConfigurationError: the last message is not the user's, or one is of or for a tool.
        """
        system: list[str] = []
        turns: list[Turn] = []
        for index, message in enumerate(messages):
            role = message["role"]
            if role == "tool" or message.get("tool_calls"):
                raise ConfigurationError(
                    f"messages[{index}]: {service.name} has no tools; use a platform provider for them."
                )
            text = text_of(message, service.name)
            if role == "system":
                system.append(text)
            elif turns and turns[-1][0] == role:
                turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
            else:
                turns.append((role, text))
        if not turns or turns[-1][0] != "user":
            raise ConfigurationError(
                f"the last message must be the user's: {service.name} answers a question, and does not go on writing "
                "an answer."
            )
        return cls(turns[-1][1], "\n".join(system) if system else None, tuple(turns[:-1]))

    def continuing(self, continuation: Any, service: Service) -> Question:
        """Return the question as the next one of a conversation that the service has told.

        A system message that was given then holds on, unless another one is given now.

        Raises:
            ConfigurationError: it is no continuation, belongs elsewhere, or history is given beside it.
        """
        held = load_object(continuation) if isinstance(continuation, str) else None
        value = held.get("value") if held is not None else None
        if value is None and held is not None and "value" in held and "url" in held:
            value = []  # of an answer for which the chatbot had no value
        if held is None or not isinstance(value, list):
            raise ConfigurationError(
                "continuation is not one of a Gradio service: pass the Reply or Finish of an answer as continue_from=."
            )
        if (held.get("url"), held.get("function")) != (service.url, service.function):
            raise ConfigurationError(
                f"the answer to continue came from {_shown(held, 'url')}, function {_shown(held, 'function')}; this "
                f"client asks {service.url}, function {service.function}. Give the conversation as messages instead."
            )
        if self.turns:
            raise ConfigurationError(
                "continue_from already holds the conversation: give only the next question with it, or all messages "
                "without it."
            )
        system = held.get("system") if self.system is None else self.system
        return replace(self, system=system if isinstance(system, str) else None, continued=value)

    def history(self, format: Format) -> list[Any]:
        """Return the conversation so far as a chatbot of that format holds it.

        Raises:
            ConfigurationError: the conversation came from another version of Gradio, and cannot be converted.
        """
        if self.continued is not None:
            return converted(self.continued, format)
        return encode_history(self.turns, format)

    def continuation(self, value: Any, service: Service) -> str:
        """Return what continues the conversation after the answer that made it ``value``.

        Raises:
            ConfigurationError: the value cannot be written as JSON.
        """
        held = {"url": service.url, "function": service.function, "system": self.system}
        return dump_json({**held, "value": value}).decode()


def _shown(held: Mapping[str, Any], key: str) -> str:
    value = held.get(key)
    return value[:200] if isinstance(value, str) else "another service"
