"""``ask``: one question, its answer on standard output as it comes."""

from __future__ import annotations

import difflib
import json
import os
import sys
import threading
from typing import TYPE_CHECKING, Any

import click

from ...errors import ConfigurationError
from ...private_file import read_regular
from ...reply import Reply
from .. import exit_codes
from ..attachments import Asked, question_with
from ..display.answer_display import Display, LiveDisplay, Look
from ..display.answering import answered, told
from ..display.failures import report_interrupt
from ..display.structured import EventLines, WholeAnswer, json_line, reply_json
from ..parameters import (
    Choices,
    answer_options,
    look_of,
    output_options,
    question_options,
    service_options,
)
from ..store import last
from ..store.settings import Settings

if TYPE_CHECKING:
    from ...conversations.conversation import Conversation

__all__ = ["ask", "ask_once", "display_of", "question_of", "schema_of"]

LARGEST_SCHEMA = 10_000_000
"""Bytes of a schema file at most."""

PATIENCE = 3.0
"""Seconds after which to say that standard input is being read: some who start us leave it open for ever."""
WAITING = "[reading standard input; where nothing is to come, end it with Ctrl-D, or begin with < /dev/null]"


@click.command()
@click.argument("question", nargs=-1)
@click.option("-c", "--continue", "go_on", is_flag=True, help="Go on with the last conversation.")
@service_options
@question_options
@click.option(
    "-a",
    "--attach",
    multiple=True,
    metavar="FILE",
    type=click.Path(),
    help="An image or a text file that belongs to the question; may be repeated.",
)
@answer_options
@output_options
@click.option(
    "--schema",
    metavar="FILE",
    type=click.Path(),
    help="A JSON Schema that the answer has to fit; the JSON value alone is printed.",
)
@click.option("--no-save", is_flag=True, help="Do not keep the conversation for --continue.")
def ask(question: tuple[str, ...], attach: tuple[str, ...], **given: Any) -> int:
    """Ask one question.

    Standard input is read, if something is piped into it, and stands before the question.
    """
    if given["schema"] is not None and given["as_lines"]:
        raise click.UsageError("--schema and --jsonl exclude each other.")
    asked = question_with(_no_command(question_of(question)), attach)
    settings = Settings()
    if _implied() and (meant := difflib.get_close_matches(" ".join(question), commands(), 1, 0.75)):
        look_of(settings, given).note(
            f"[asked as a question; for the command: glmclient {meant[0]}]"
        )
    with told(given["verbose"]):
        return ask_once(asked, settings, given)


_LOOK_LIKE_COMMANDS = frozenset(
    "auth batch clear config configure delete env exit export find gateway history import info init install key list "
    "login logout logs model new options provider providers quit remove reset run search server service services set "
    "setting setup start status stop test uninstall update upgrade usage version whoami".split()
)
"""Words of other command lines. One of them alone is a mistaken command, which must not go to a service."""


def _no_command(asked: str) -> str:
    """Return the question.

    Raises:
        UsageError: it is one word that looks like a command, and ``ask`` was not typed.
    """
    if _implied() and asked in _LOOK_LIKE_COMMANDS:
        near = {"version": "--version", "config": "settings", "configure": "settings"}
        near |= {
            "login": "keys",
            "key": "keys",
            "auth": "keys",
            "model": "models",
            "gateway": "serve",
            "server": "serve",
        }
        hint = f" Did you mean: glmclient {near[asked]}?" if asked in near else ""
        raise click.UsageError(
            f"there is no command {asked!r}, and nothing was sent.{hint} "
            f"To ask just that word: glmclient ask {asked}"
        )
    return asked


def _implied() -> bool:
    """Tell whether ``ask`` was not typed."""
    from ..application import IMPLIED

    return bool(click.get_current_context().meta.get(IMPLIED))


def commands() -> list[str]:
    """Return the names of all commands."""
    from ..application import COMMANDS

    return list(COMMANDS)


def ask_once(asked: Asked, settings: Settings, given: dict[str, Any], **further: Any) -> int:
    """Ask, show the answer, keep the conversation, and return the exit code.

    Args:
        asked: the question.
        settings: what holds where an argument was not given.
        given: the arguments of `ask`; those of `record` are fewer.
        further: for the client.
    """
    schema = None if given.get("schema") is None else schema_of(given["schema"])
    found, choices = last.resolved(settings, given)
    look = look_of(settings, given)
    with choices.client(**further) as client:
        conversation = last.begin(client, found, settings, given, choices.model)
        before = len(conversation.messages)
        try:
            if schema is not None:
                whole = _typed(conversation, asked, schema, choices.provider, given, look)
            else:
                stream = conversation.stream(asked, include_status=True)
                whole = answered(stream, display_of(choices, look, given))
                if not whole and (given["as_json"] or given["as_lines"]):
                    report_interrupt(stream.partial)
                elif not whole:
                    look.note("[interrupted]")
        finally:
            conversation.keep_partial()
            if len(conversation.messages) > before and last.is_kept(settings, given):
                last.keep(conversation, look.note)
                last.remember(conversation, settings, look.note)
    return exit_codes.OK if whole else exit_codes.INTERRUPTED


def schema_of(path: str) -> dict[str, Any]:
    """Return the JSON Schema in a file.

    Raises:
        ConfigurationError: the file cannot be read, or does not contain a JSON object.
    """
    try:
        schema = json.loads(read_regular(os.path.expanduser(path), LARGEST_SCHEMA))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not JSON: {error}.") from None
    if not isinstance(schema, dict):
        raise ConfigurationError(
            f'{path} must contain a JSON Schema, an object such as {{"type": "object"}}.'
        )
    return schema


def _typed(
    conversation: Conversation,
    asked: Asked,
    schema: dict[str, Any],
    provider: str,
    given: dict[str, Any],
    look: Look,
) -> bool:
    """Ask for a value and print it as JSON; return ``False`` if Ctrl-C ended the answer."""
    try:
        reply = conversation.chat(asked, schema=schema)
    except KeyboardInterrupt:
        if given["as_json"]:
            report_interrupt(Reply())
        else:
            look.note("[interrupted]")
        return False
    if given["as_json"]:
        look.out.write(json_line({**reply_json(reply), "provider": provider}, look.out))
    else:
        look.out.write(json_line(reply.parsed, look.out))
    look.out.flush()
    return True


def display_of(choices: Choices, look: Look, given: dict[str, Any]) -> Display:
    """Return what shows an answer, by the arguments of `output_options`."""
    if given["as_json"]:
        return WholeAnswer(look.out, choices.provider)
    if given["as_lines"]:
        return EventLines(look.out)
    return LiveDisplay(look, choices.provider)


def question_of(words: tuple[str, ...], usage: str = 'glmclient "your question"') -> str:
    """Return standard input, if something is piped into it, and the words of the command line.

    Args:
        words: what stands on the command line.
        usage: what to write, if there is no question.

    Raises:
        UsageError: there is nothing to ask, or a command stands behind its options.
        ConfigurationError: standard input is not text.
    """
    said = " ".join(words).strip()
    if _implied() and said in commands():
        raise click.UsageError(
            f"a command stands before its options: glmclient {said} ...; "
            f"to ask just that word: glmclient ask {said}"
        )
    piped = "" if sys.stdin.isatty() else _standard_input(hint=bool(said))
    asked = "\n\n".join(part for part in (piped, said) if part)
    if not asked.strip():
        raise click.UsageError(f"there is nothing to ask; write: {usage}")
    return asked


def _standard_input(*, hint: bool) -> str:
    """Return what is piped in; after a while, say what is waited for."""
    patience = threading.Timer(PATIENCE, click.echo, (WAITING,), {"err": True})
    patience.daemon = True
    if hint:
        patience.start()
    try:
        data = sys.stdin.buffer.read()
    finally:
        patience.cancel()
    try:
        return data.decode("utf-8-sig").strip("\r\n")
    except UnicodeDecodeError as error:
        raise ConfigurationError(
            f"standard input is not UTF-8 text (byte {error.start} is {data[error.start]:#04x}); convert it first."
        ) from None
