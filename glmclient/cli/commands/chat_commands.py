"""What a line that begins with a slash does in ``chat``."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeAlias

from ...conversations.conversation import Conversation
from ...conversations.file import SavedConversation
from ...errors import ConfigurationError
from ..attachments import Asked, question_with
from ..display.answer_display import Look
from ..store.last import text_of

if TYPE_CHECKING:
    from ...clients.sync_client import SyncClient

__all__ = ["COMMANDS", "Leave", "Session"]


class Leave(Exception):
    """The user wants to end the conversation."""


class Session:
    """What the commands work on.

    Args:
        conversation: the present one.
        look: how answers are shown.
    """

    def __init__(self, conversation: Conversation, look: Look) -> None:
        self.conversation = conversation
        self.look = look
        self.attached: list[str] = []
        """Files that the next question gets."""
        self.asked: Asked | None = None
        """The last question."""

    @property
    def client(self) -> SyncClient:
        """Who asks."""
        return self.conversation.client

    def command(self, line: str) -> Asked | None:
        """Obey a command; return a question if it amounts to one.

        Raises:
            ConfigurationError: there is no such command, or it cannot be obeyed.
            Leave: it was ``/exit``.
        """
        name, _, rest = line.partition(" ")
        if name not in COMMANDS:
            near = difflib.get_close_matches(name, COMMANDS, 1)
            hint = f" Did you mean {near[0]}?" if near else ""
            raise ConfigurationError(
                f"there is no command {name}.{hint} /help lists them; a question that begins with a slash takes two."
            )
        return COMMANDS[name][0](self, rest.strip())


Command: TypeAlias = "Callable[[Session, str], Asked | None]"


def _help(session: Session, rest: str) -> None:
    width = max(map(len, COMMANDS)) + 2
    for name, (_, what) in COMMANDS.items():
        session.look.say(f"{name:<{width}}{what}")


def _new(session: Session, rest: str) -> None:
    old = session.conversation
    session.conversation = old.client.conversation(
        system=old.system, model=old.model, **old.options
    )
    session.look.say("a new conversation")


def _model(session: Session, rest: str) -> None:
    conversation = session.conversation
    if rest:
        session.client.provider.prepare("Hello", rest, {})  # raises if it has no such model
        conversation.model = rest
    told = conversation.model or session.client.provider.default_model or "the server's own"
    session.look.say(f"model: {told}")


def _system(session: Session, rest: str) -> None:
    old = session.conversation
    if rest:
        session.conversation = old.client.conversation(system=rest, model=old.model, **old.options)
        session.look.say("a new conversation with this system message")
    else:
        session.look.say(f"system message: {old.system or 'none'}")


def _save(session: Session, rest: str) -> None:
    session.conversation.save(_file(rest, "/save"))
    session.look.say(f"saved to {rest}")


def _load(session: Session, rest: str) -> None:
    session.conversation = Conversation.load(_file(rest, "/load"), session.client)
    turns = sum(message["role"] == "user" for message in session.conversation.messages)
    session.look.say(f"loaded {turns} turns from {rest}")


def _file(rest: str, command: str) -> str:
    if not rest:
        raise ConfigurationError(f"name a file: {command} FILE")
    return rest


def _undo(session: Session, rest: str) -> None:
    old = session.conversation
    messages = old.messages
    last = max((n for n, message in enumerate(messages) if message["role"] == "user"), default=None)
    if last is None:
        raise ConfigurationError("there is no turn to undo.")
    # Without the service's own id of the conversation: what the service remembers holds the turn.
    provider, begin = old.client.provider, 1 if old.system else 0
    earlier = SavedConversation(
        provider.name, provider.url, old.model, dict(old.options), old.system, messages[begin:last]
    )
    session.conversation = Conversation.of(earlier, old.client)
    session.look.say(f"undone: {_first_line(messages[last]['content'])}")


def _show(session: Session, rest: str) -> None:
    messages = session.conversation.messages
    for message in messages:
        session.look.say(f"{message['role']}: {text_of(message.get('content'))}")
    if not any(message["role"] == "user" for message in messages):
        session.look.say("nothing was asked yet")


def _first_line(content: Any) -> str:
    return text_of(content).split("\n", 1)[0]


def _attach(session: Session, rest: str) -> None:
    if not rest:
        raise ConfigurationError("name a file: /file FILE")
    question_with("", [rest])  # raises if it cannot be read
    session.attached.append(rest)
    session.look.say(f"the next question gets {', '.join(session.attached)}")


def _again(session: Session, rest: str) -> Asked:
    if session.asked is None:
        raise ConfigurationError("nothing was asked yet.")
    return session.asked


def _usage(session: Session, rest: str) -> None:
    session.look = replace(session.look, usage=not session.look.usage)
    session.look.say(f"usage is {'shown' if session.look.usage else 'hidden'}")


def _reasoning(session: Session, rest: str) -> None:
    session.look = replace(session.look, reasoning=not session.look.reasoning)
    session.look.say(f"reasoning is {'shown' if session.look.reasoning else 'hidden'}")


def _exit(session: Session, rest: str) -> None:
    raise Leave


COMMANDS: Mapping[str, tuple[Command, str]] = {
    "/help": (_help, "list the commands"),
    "/new": (_new, "begin a new conversation"),
    "/again": (_again, "ask the last question again"),
    "/undo": (_undo, "take back the last question and its answer"),
    "/show": (_show, "show the conversation"),
    "/file": (_attach, "add an image or a text file to the next question: /file FILE"),
    "/model": (_model, "show the model, or take another: /model NAME"),
    "/system": (_system, "show the system message, or begin anew with another: /system TEXT"),
    "/save": (_save, "save the conversation: /save FILE"),
    "/load": (_load, "go on with a saved conversation: /load FILE"),
    "/usage": (_usage, "show or hide tokens and timing"),
    "/reasoning": (_reasoning, "show or hide the model's thinking"),
    "/exit": (_exit, "end the conversation, as Ctrl-D does"),
}
"""The commands by their names, with what they do."""
