"""The line that the user types in ``chat``: several lines, history and completion, by prompt_toolkit."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...errors import ConfigurationError
from ..parameters import known_models
from ..store.places import INSTALL, folder, needed, private_file
from .chat_commands import COMMANDS, Session

if TYPE_CHECKING:
    from prompt_toolkit.completion import Completer
    from prompt_toolkit.history import History
    from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

__all__ = ["completions", "prompt"]

HISTORY_FILE = "chat_history"
_FILE_COMMANDS = ("/save", "/load", "/file")


def prompt(session: Session, **terminal: Any) -> Callable[[], str]:
    """Return what asks the user for the next line.

    Args:
        session: whose models and commands are completed.
        terminal: the input and output of prompt_toolkit, for tests.

    Raises:
        ConfigurationError: prompt_toolkit is missing.
    """
    if importlib.util.find_spec("prompt_toolkit") is None:
        raise ConfigurationError(
            f"to chat at a terminal, more packages are needed: {INSTALL}. Without them, `glmclient ask` asks one "
            "question, and `glmclient chat` takes a turn from each line that is piped into it."
        )
    from prompt_toolkit import PromptSession

    asking: PromptSession[str] = PromptSession(
        "› ",
        multiline=True,
        prompt_continuation="… ",
        key_bindings=_keys(),
        completer=_completer(session),
        complete_while_typing=False,
        history=_history(),
        enable_history_search=True,
        **terminal,
    )
    return asking.prompt


def _keys() -> KeyBindings:
    from prompt_toolkit.key_binding import KeyBindings

    keys = KeyBindings()

    @keys.add("enter")
    def _send(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        before = buffer.document.text_before_cursor
        if before.endswith("\\") and not buffer.document.text_after_cursor.strip():
            buffer.delete_before_cursor()
            buffer.insert_text("\n")
        else:
            buffer.validate_and_handle()

    @keys.add("escape", "enter")
    @keys.add("c-j")
    def _new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def _history() -> History:
    """Return the history of earlier conversations, in a file of mode 0600 where there is a place for it."""
    from prompt_toolkit.history import FileHistory, InMemoryHistory

    if folder("state") is None:
        return InMemoryHistory()
    return FileHistory(str(private_file(needed("state") / HISTORY_FILE)))


def completions(line: str, models: Iterable[str]) -> list[str]:
    """Return what the last word of ``line`` may become; files are completed elsewhere."""
    name, space, rest = line.partition(" ")
    if not space:
        return [command for command in COMMANDS if command.startswith(name)]
    if name == "/model":
        return [model for model in models if model.startswith(rest)]
    return []


def _completer(session: Session) -> Completer:
    from prompt_toolkit.completion import Completer, Completion, PathCompleter
    from prompt_toolkit.document import Document

    files = PathCompleter(expanduser=True)

    class Commands(Completer):
        def get_completions(self, document: Document, complete_event: Any) -> Iterable[Completion]:
            line = document.text_before_cursor
            if not line.startswith("/") or "\n" in line:
                return
            name, space, rest = line.partition(" ")
            if space and name in _FILE_COMMANDS:
                yield from files.get_completions(Document(rest), complete_event)
                return
            typed = rest if space else line
            for word in completions(line, known_models(session.client.provider.name)):
                yield Completion(word, -len(typed))

    return Commands()
