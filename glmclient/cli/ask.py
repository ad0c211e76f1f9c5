"""``ask``: one question, its answer on standard output as it comes."""

from __future__ import annotations

import sys
from typing import Any

import click

from ..errors import ConfigurationError
from . import exit_codes, last
from .answering import answered, told
from .display import Display, LiveDisplay, Look
from .parameters import (
    Choices,
    answer_options,
    choices_of,
    look_of,
    options_of,
    output_options,
    question_options,
    service_options,
)
from .settings import Settings
from .structured import EventLines, WholeAnswer

__all__ = ["ask", "ask_once", "display_of", "question_of"]


@click.command()
@click.argument("question", nargs=-1)
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@service_options
@question_options
@answer_options
@output_options
@click.option("--no-save", is_flag=True, help="Do not keep the conversation for --continue.")
def ask(question: tuple[str, ...], **given: Any) -> int:
    """Ask one question.

    Standard input is read, if something is piped into it, and stands before the question.
    """
    asked = question_of(question)
    with told(given["verbose"]):
        return ask_once(asked, Settings(), given)


def ask_once(asked: str, settings: Settings, given: dict[str, Any], **further: Any) -> int:
    """Ask, show the answer, keep the conversation, and return the exit code.

    Args:
        asked: the question.
        settings: what holds where an argument was not given.
        given: the arguments of `ask`; those of `record` are fewer.
        further: for the client.
    """
    found = last.saved() if given.get("go_on") else None
    if (
        found is not None
        and given["base_url"] is None
        and given["provider"] in (None, found.provider)
    ):
        given = {**given, "base_url": found.url}
    choices = choices_of(settings, given, found.provider if found is not None else None)
    look = look_of(settings, given)
    with choices.client(**further) as client:
        system = settings.get("system", given["system"]) if found is None else given["system"]
        conversation = last.begin(
            client, found, system, choices.model, options_of(given["options"])
        )
        before = len(conversation.messages)
        try:
            whole = answered(
                conversation.stream(asked, include_status=True), display_of(choices, look, given)
            )
            if not whole:
                look.note("[interrupted]")
        finally:
            conversation.keep_partial()
            if len(conversation.messages) > before and _keeps(settings, given):
                last.keep(conversation)
    return exit_codes.OK if whole else exit_codes.INTERRUPTED


def _keeps(settings: Settings, given: dict[str, Any]) -> bool:
    return given.get("no_save") is False and settings.get("save") is not False


def display_of(choices: Choices, look: Look, given: dict[str, Any]) -> Display:
    """Return what shows an answer, by the arguments of `output_options`."""
    if given["as_json"]:
        return WholeAnswer(look.out, choices.provider)
    if given["as_lines"]:
        return EventLines(look.out)
    return LiveDisplay(look, choices.provider)


def question_of(words: tuple[str, ...]) -> str:
    """Return standard input, if something is piped into it, and the words of the command line.

    Raises:
        UsageError: there is nothing to ask, or a command stands behind its options.
        ConfigurationError: standard input is not text.
    """
    from .application import COMMANDS, IMPLIED

    said = " ".join(words).strip()
    if click.get_current_context().meta.get(IMPLIED) and said in COMMANDS:
        raise click.UsageError(
            f"a command stands before its options: glmclient {said} ...; "
            f"to ask just that word: glmclient ask {said}"
        )
    piped = "" if sys.stdin.isatty() else _standard_input()
    asked = "\n\n".join(part for part in (piped, said) if part)
    if not asked:
        raise click.UsageError('there is nothing to ask; write: glmclient "your question"')
    return asked


def _standard_input() -> str:
    data = sys.stdin.buffer.read()
    try:
        return data.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"standard input is not UTF-8 text (byte {error.start} is {data[error.start]:#04x}); convert it first."
        ) from None
