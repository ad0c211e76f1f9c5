"""The root of the command line: which command is meant, and what its end means for the exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from .._version import __version__
from ..errors import GLMError
from . import exit_codes
from .failures import report

__all__ = ["application", "run"]

COMMANDS = {
    # name: module, which holds a command of that name
    "ask": "ask",
    "demo": "simulation",
    "simulate": "simulation",
}


class Application(click.Group):
    """A group whose default command is ``ask``; a command is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(import_module(f".{module}", __package__), cmd_name)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if _means_ask(args):
            args = ["ask", *args]
            ctx.meta[IMPLIED] = True
        return super().parse_args(ctx, args)


IMPLIED = "glmclient.ask_is_implied"
"""In ``Context.meta``: ``ask`` was not typed."""


def _means_ask(args: Sequence[str]) -> bool:
    if not args:
        return not sys.stdin.isatty()  # something is piped in: that is the question
    return args[0] not in COMMANDS and args[0] not in ("--help", "-h", "--version")


@click.command(
    cls=Application,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="glmclient", message="%(prog)s %(version)s")
def application() -> None:
    """Ask GLM and Qwen services from the terminal, and see the answers as they come.

    \b
    glmclient "Why is the sky blue?"        ask, with no key, ChatGLM's guest service
    git diff | glmclient "Review this"      standard input is joined with the question
    glmclient chat                          a conversation

    A first word that is no command below is a question: `ask` may be left out.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code; see `exit_codes`."""
    try:
        outcome = application.main(arguments, prog_name="glmclient", standalone_mode=False)
    except click.exceptions.Abort:
        return exit_codes.INTERRUPTED
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except GLMError as error:
        report(error)
        return exit_codes.of(error)
    except BrokenPipeError:
        _silence_stdout()
        return exit_codes.CLOSED_PIPE
    return outcome if isinstance(outcome, int) else exit_codes.OK


def _silence_stdout() -> None:
    """Let the interpreter's own flush at its end go nowhere: nobody reads standard output any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
