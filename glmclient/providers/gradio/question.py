"""The question that a Gradio app is asked, checked before it is known how its page wants it written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ...core.http import load_object
from ...errors import ConfigurationError
from ...messages import Message, text_of
from .attachments import Attachment, attachment_of
from .wire import Turn

__all__ = ["Held", "Question", "Service", "folded"]


@dataclass(frozen=True, slots=True)
class Service:
    """Where a conversation belongs: it cannot be continued elsewhere.

    Args:
        name: how messages name the service.
        url: its base URL.
        function: the name of the chat function; ``None`` if the page decides.
        takes_files: the service may take files; whether the app does, its page tells.
    """

    name: str
    url: str
    function: str | None
    takes_files: bool = False


@dataclass(frozen=True, slots=True)
class Held:
    """What a continuation holds: a conversation as an app and this client left it.

    Args:
        function: the name of the function that answered.
        system: the system message that was given then.
        value: the chatbot's value, if the page sends it.
        session: the session in which the server keeps the conversation.
        turn: the number of the last turn in that session.
        turns: the conversation as text, if the server keeps it or nothing does.
    """

    function: str | None
    system: str | None
    value: list[Any] | None = field(default=None, repr=False)
    session: str | None = None
    turn: int = 0
    turns: tuple[Turn, ...] | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Question:
    """The user's last message, and the conversation before it.

    Args:
        prompt: the question.
        system: the system messages, in their order; empty if none was given.
        turns: the conversation so far, as the caller gave it.
        files: the images and files of the last message.
        earlier_files: those of the messages before it.
        held: the conversation so far, as a continuation holds it.
    """

    prompt: str
    system: tuple[str, ...] = ()
    turns: tuple[Turn, ...] = ()
    files: tuple[Attachment, ...] = ()
    earlier_files: tuple[Attachment, ...] = ()
    held: Held | None = None

    @classmethod
    def of(cls, messages: Sequence[Message], service: Service) -> Question:
        """Read checked messages.

        Messages of one role in a row are joined by a blank line, because a chatbot holds questions and answers in
        turn.

        Raises:
            ConfigurationError: the last message is not the user's, or one is of or for a tool, or holds something
                that an app cannot take.
        """
        system: list[str] = []
        turns: list[Turn] = []
        files: list[Attachment] = []
        earlier: list[Attachment] = []
        for index, message in enumerate(messages):
            role = message["role"]
            if role == "tool" or message.get("tool_calls"):
                raise ConfigurationError(
                    f"messages[{index}]: {service.name} has no tools; use a platform provider for them."
                )
            text, attached = _content(message, index, service)
            if role == "system":
                system.append(text)
                continue
            if turns and turns[-1][0] == role:
                turns[-1] = (role, f"{turns[-1][1]}\n\n{text}")
            else:
                turns.append((role, text))
                earlier += files
                files = []
            files += attached
        if not turns or turns[-1][0] != "user":
            raise ConfigurationError(
                f"the last message must be the user's: {service.name} answers a question, and does not go on writing "
                "an answer."
            )
        return cls(turns[-1][1], tuple(system), tuple(turns[:-1]), tuple(files), tuple(earlier))

    def continuing(self, continuation: Any, service: Service) -> Question:
        """Return the question as the next one of a conversation that an answer left.

        Raises:
            ConfigurationError: it is not a continuation, belongs elsewhere, or history is given beside it.
        """
        read = load_object(continuation) if isinstance(continuation, str) else None
        held = _held(read) if read is not None else None
        if read is None or held is None:
            raise ConfigurationError(
                "continuation is not one of a Gradio service: pass the Reply or Finish of an answer as continue_from=."
            )
        here = service.function if service.function is not None else held.function
        if (read.get("url"), read.get("function")) != (service.url, here):
            raise ConfigurationError(
                f"the answer to continue came from {_shown(read, 'url')}, function {_shown(read, 'function')}; this "
                f"client asks {service.url}, function {here}. Give the conversation as messages instead."
            )
        if self.turns:
            raise ConfigurationError(
                "continue_from already holds the conversation: give only the next question with it, or all messages "
                "without it."
            )
        return replace(self, held=held)

    @property
    def own_system(self) -> str | None:
        """The system message that was given with this question; it may be empty."""
        return "\n".join(self.system) if self.system else None


def folded(system: Sequence[str], turns: Sequence[Turn], prompt: str) -> str:
    """Return a question for an app that takes neither a system message nor a conversation.

    The rule: the texts of the system messages, then each earlier turn behind ``User:`` or ``Assistant:``, then the
    question, with blank lines between them. Where there are earlier turns, the question is behind ``User:`` too.
    """
    preamble = [text for text in system if text.strip()]
    if not turns:
        return "\n\n".join([*preamble, prompt])
    names = {"user": "User", "assistant": "Assistant"}
    lines = [f"{names[role]}: {text}" for role, text in (*turns, ("user", prompt))]
    return "\n\n".join([*preamble, *lines])


def _content(message: Message, index: int, service: Service) -> tuple[str, list[Attachment]]:
    """Return the text of a message, and its files."""
    content = message.get("content")
    if isinstance(content, str) or content is None or not service.takes_files:
        return text_of(message, service.name), []
    texts: list[Any] = []
    files: list[Attachment] = []
    for number, part in enumerate(content):
        attached = attachment_of(part, f"messages[{index}]['content'][{number}]")
        if attached is None:
            texts.append(part)
        elif message["role"] != "user":
            raise ConfigurationError(
                f"messages[{index}]['content'][{number}]: only the user's messages may hold files."
            )
        else:
            files.append(attached)
    text = text_of({"role": message["role"], "content": texts}, service.name)
    return text, files


def _held(read: Mapping[str, Any]) -> Held | None:
    """Return what a continuation holds; ``None`` if it is not one of ours."""
    value, turns = read.get("value"), read.get("turns")
    if value is None and "value" in read and "url" in read:
        value = []  # of an answer for which the chatbot had no value
    if not isinstance(value, list) and not isinstance(turns, list):
        return None
    system, session = read.get("system"), read.get("session")
    turn = read.get("turn")
    function = read.get("function")
    return Held(
        function if isinstance(function, str) else None,
        system if isinstance(system, str) else None,
        value if isinstance(value, list) else None,
        session if isinstance(session, str) else None,
        turn if isinstance(turn, int) else 0,
        tuple(_turns(turns)) if isinstance(turns, list) else None,
    )


def _turns(turns: list[Any]) -> list[Turn]:
    return [
        (each[0], each[1])
        for each in turns
        if isinstance(each, list)
        and len(each) == 2
        and each[0] in ("user", "assistant")
        and isinstance(each[1], str)
    ]


def _shown(held: Mapping[str, Any], key: str) -> str:
    value = held.get(key)
    return value[:200] if isinstance(value, str) else "another service"
