"""``history``: the questions and answers of earlier runs."""

from __future__ import annotations

import click

from .. import exit_codes
from ..display.cells import visible, visible_line
from ..store import history as stored

__all__ = ["history"]


@click.group(invoke_without_command=True)
@click.pass_context
def history(ctx: click.Context) -> None:
    """List the last questions; `glmclient settings set history off` keeps none."""
    if ctx.invoked_subcommand is None:
        _list(stored.recent())


@history.command()
@click.argument("words", nargs=-1, required=True)
def search(words: tuple[str, ...]) -> int:
    """List the questions that contain all WORDS, in themselves or in their answers."""
    _list(stored.recent(words, limit=100))
    return exit_codes.OK


@history.command()
@click.argument("number", type=int, metavar="ID")
def show(number: int) -> int:
    """Show a question and its answer."""
    turn = stored.turn(number)
    by = visible_line(f"{turn.provider} {turn.model or ''}").strip()
    click.echo(f"[{turn.time} UTC, {by}]\n> {visible(turn.question)}\n\n{visible(turn.answer)}")
    return exit_codes.OK


def _list(turns: list[stored.Turn]) -> None:
    for turn in turns:
        question = visible_line(" ".join(turn.question.split()))
        click.echo(f"{turn.id:>5}  {turn.time}  {turn.provider:<10}{question[:100]}")
