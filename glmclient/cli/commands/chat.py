"""``chat``: a conversation, one turn after the other, until Ctrl-D."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from ...errors import ConfigurationError, GLMError
from .. import exit_codes
from ..attachments import Asked, question_with
from ..display.answer_display import LiveDisplay, Look
from ..display.answering import answered, told
from ..display.failures import report
from ..parameters import answer_options, look_of, question_options, service_options
from ..store import last
from ..store.settings import Settings
from .chat_commands import Leave, Session

if TYPE_CHECKING:
    from ...conversations.conversation import Conversation

__all__ = ["Chat", "chat"]

Ask = Callable[[], str]
"""Returns the next line that the user says; raises EOFError at the end, KeyboardInterrupt for Ctrl-C."""


@click.command()
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@service_options
@question_options
@answer_options
@click.option("--no-save", is_flag=True, help="Do not keep the conversation for --continue.")
def chat(**given: Any) -> int:
    """Hold a conversation.

    Enter sends, Alt-Enter or a backslash at the end begins a new line, /help lists the commands. Ctrl-C ends an
    answer and keeps what came; a second one, or Ctrl-D, ends the conversation.

    Without a terminal, each line of standard input is a turn.
    """
    settings = Settings()
    found, choices = last.resolved(settings, given)
    look = look_of(settings, given)
    with told(given["verbose"]), choices.client() as client:
        conversation = last.begin(client, found, settings, given, choices.model)
        session = Chat(conversation, look, keeps=last.is_kept(settings, given), settings=settings)
        if sys.stdin.isatty():
            from .prompt import prompt

            ask = prompt(session)
            look.remark(
                f"{choices.provider} at {client.provider.url}; /help lists the commands, Ctrl-D ends."
            )
            return session.run(ask)
        return session.run(piped_lines, alone=True)


def piped_lines() -> str:
    """Return the next turn from standard input: a line, and the next where it ends with a backslash."""
    lines: list[str] = []
    while True:
        line = sys.stdin.readline()
        if not line and not lines:
            raise EOFError
        lines.append(line.rstrip("\n").removesuffix("\\"))
        if not line.rstrip("\n").endswith("\\"):
            return "\n".join(lines)


class Chat(Session):
    """A conversation at a terminal.

    Args:
        conversation: which.
        look: how answers are shown.
        keeps: keep the conversation after each turn.
        settings: decide whether a turn is added to the history; without them none is.
    """

    def __init__(
        self,
        conversation: Conversation,
        look: Look,
        *,
        keeps: bool = False,
        settings: Settings | None = None,
    ) -> None:
        super().__init__(conversation, look)
        self._keeps = keeps
        self._settings = settings
        self._interrupted = False
        """The last thing that happened was a Ctrl-C: another one ends the conversation."""

    def run(self, ask: Ask, *, alone: bool = False) -> int:
        """Talk until the end, and return the exit code.

        Args:
            ask: returns what the user says next.
            alone: nobody is there to try again: the last failure decides on the exit code.
        """
        code = exit_codes.OK
        while True:
            try:
                said = ask().strip()
            except EOFError:
                return code
            except KeyboardInterrupt:
                if self._interrupted:
                    return exit_codes.INTERRUPTED
                self._interrupted = True
                self.look.note("(Ctrl-C again, or Ctrl-D, ends the conversation)")
                continue
            try:
                outcome = self.turn(said) if said else exit_codes.OK
            except Leave:
                return code
            if alone:
                if outcome == exit_codes.INTERRUPTED:
                    return outcome
                code = outcome or code

    def turn(self, said: Asked) -> int:
        """Do what was said, and return what its exit code would be.

        Raises:
            Leave: it was the wish to end.
            KeyboardInterrupt: a second Ctrl-C came while the first was being obeyed.
        """
        self._interrupted = False
        try:
            if isinstance(said, str) and said.startswith("/") and not said.startswith("//"):
                again = self.command(said)
                if again is None:
                    return exit_codes.OK
                said = again
            if isinstance(said, str):
                said = said.removeprefix("/") if said.startswith("//") else said
                said = question_with(said, self.attached)
                self.attached.clear()
            return self.ask(said)
        except GLMError as error:
            report(error)
            return exit_codes.of(error)
        except OSError as error:
            if isinstance(error, BrokenPipeError):
                raise
            report(ConfigurationError(f"{error.filename}: {error.strerror}"))
            return exit_codes.OTHER

    def ask(self, said: Asked) -> int:
        """Ask a question and show its answer; what came of one that was interrupted is kept."""
        self.asked: Asked | None = said
        before = len(self.conversation.messages)
        display = LiveDisplay(self.look, self.conversation.client.provider.name)
        try:
            whole = answered(self.conversation.stream(said, include_status=True), display)
            if not whole:
                self._interrupted = True
                self.look.note("[interrupted]")
        finally:
            self.conversation.keep_partial()
            if self._keeps and len(self.conversation.messages) > before:
                last.keep(self.conversation, self.look.note)
                if self._settings is not None:
                    last.remember(self.conversation, self._settings, self.look.note)
        return exit_codes.OK if whole else exit_codes.INTERRUPTED
