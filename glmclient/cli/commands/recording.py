"""``record`` and ``replay``: an exchange in a file, and what becomes of it."""

from __future__ import annotations

import json
import os
from typing import Any

import click

from ...cassette import Replay
from ...cassette.entries import Question
from ...errors import CassetteError, GLMError
from ...providers import service_names
from .. import exit_codes
from ..display.answering import answered, told
from ..display.failures import report, report_interrupt
from ..parameters import (
    Choices,
    answer_options,
    look_of,
    output_options,
    question_options,
    service_options,
    verbose_option,
)
from ..store.settings import Settings
from .ask import ask_once, display_of, question_of

__all__ = ["record", "replay"]


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.argument("question", nargs=-1)
@service_options
@question_options
@answer_options
@output_options
def record(file: str, question: tuple[str, ...], **given: Any) -> int:
    """Ask one question, and record the exchange in FILE.

    Keys, cookies and ids are left out; question and answer are in it. The file is for a bug report, or for a test:
    `glmclient replay FILE` shows it again, without a network.
    """
    asked = question_of(question, 'glmclient record FILE "your question"')
    settings = Settings()
    before = _state(file)
    with told(given["verbose"]):
        try:
            return ask_once(asked, settings, given, record=file)
        finally:
            # What failed is recorded as well: that is what bug reports are about.
            if not (given["as_json"] or given["as_lines"]) and _state(file) != before:
                look_of(settings, given).note(f"[recorded] {file}")


def _state(file: str) -> tuple[int, int] | None:
    """Return what changes when a file is written; ``None`` if there is no file."""
    try:
        found = os.stat(file)
    except OSError:  # why it cannot be reached is told by whoever writes to it
        return None
    return found.st_mtime_ns, found.st_size


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--speed",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="1 is the recorded pace, 2 is twice as fast; without it nothing is waited for.",
)
@answer_options
@output_options
@verbose_option
def replay(file: str, speed: float | None, **given: Any) -> int:
    """Ask the questions of a recorded FILE again, without a network, and show what becomes of the answers."""
    settings = Settings()
    tape = Replay(file, speed=speed)
    if not tape.cassette.questions:
        raise CassetteError(f"in {file} nothing is asked that could be asked again.")
    choices = _recorded(tape)
    look = look_of(settings, given)
    code, as_json = exit_codes.OK, given["as_json"] or given["as_lines"]
    with told(given["verbose"]), choices.client(replay=tape) as client:
        for question in tape.cassette.questions:
            look.note(f"> {_words(question)}")
            stream = client.stream(question.messages, model=question.model, **question.options)
            try:
                if not answered(stream, display_of(choices, look, given)):
                    if as_json:
                        report_interrupt(stream.partial)
                    return exit_codes.INTERRUPTED
            except GLMError as error:
                report(error, as_json=as_json)
                code = exit_codes.of(error)
    return code


def _recorded(tape: Replay) -> Choices:
    """Return the service that was recorded; what is set up here has no part in it."""
    provider = tape.cassette.provider
    if provider not in service_names():
        raise CassetteError(
            f"{tape.path} was recorded with {provider!r}, which the terminal does not know."
        )
    return Choices(provider, None, tape.cassette.url, None, None, None)


def _words(question: Question) -> str:
    """Return what the user said last."""
    if isinstance(question.messages, str):
        return question.messages
    content = question.messages[-1].get("content") if question.messages else ""
    return content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
