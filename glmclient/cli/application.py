"""The root of the command line: which command is meant, and what its end means for the exit code."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from typing import TextIO

import click

from .._version import __version__
from ..errors import GLMError
from . import exit_codes
from .display.encoding import escape_what_is_missing, take_lacking_encoding
from .display.failures import report, report_usage, say
from .display.painter import PAINTER

__all__ = ["application", "run"]

COMMANDS = {
    # name: module, which holds a command of that name
    "ask": "ask",
    "chat": "chat",
    "batch": "batch",
    "models": "models",
    "doctor": "doctor",
    "record": "recording",
    "replay": "recording",
    "serve": "gateway",
    "simulate": "simulation",
    "demo": "simulation",
    "keys": "keeping",
    "settings": "keeping",
    "history": "history",
    "completion": "completion",
}


class Application(click.Group):
    """A group whose default command is ``ask``; a command is imported when it is used."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        command: click.Command = getattr(
            import_module(f".commands.{module}", __package__), cmd_name
        )
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = _help_first(args)
        if _means_ask(args, ctx):
            args = ["ask", *args]
            ctx.meta[IMPLIED] = True
        elif not args and not ctx.resilient_parsing:
            click.echo(ctx.get_help())
            ctx.exit()
        return super().parse_args(ctx, args)


IMPLIED = "glmclient.ask_is_implied"
"""In ``Context.meta``: ``ask`` was not typed."""


def _help_first(args: list[str]) -> list[str]:
    """Return ``help`` and ``help COMMAND`` as the option means them; with more words it is a question."""
    if args == ["help"]:
        return ["--help"]
    if len(args) == 2 and args[0] == "help" and args[1] in COMMANDS:
        return [args[1], "--help"]
    return args


def _means_ask(args: Sequence[str], ctx: click.Context) -> bool:
    if not args:
        # Something is piped in: that is the question. A shell that asks for completions asks none.
        return not sys.stdin.isatty() and not ctx.resilient_parsing
    return args[0] not in COMMANDS and args[0] not in ("--help", "-h", "--version", "-V")


@click.command(
    cls=Application,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(
    __version__, "-V", "--version", prog_name="glmclient", message="%(prog)s %(version)s"
)
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
    given = list(sys.argv[1:] if arguments is None else arguments)
    as_json = not {"--json", "--jsonl"}.isdisjoint(given)
    escape_what_is_missing(sys.stdout, sys.stderr)
    try:
        return _answered_for(given, own_process=arguments is None, as_json=as_json)
    finally:
        encoding = take_lacking_encoding()
        if encoding is not None:
            say(
                f"standard output or error is {encoding}, which lacks some characters: they were written as escapes "
                "(\\uXXXX). PYTHONIOENCODING=utf-8 writes UTF-8."
            )


def _answered_for(given: list[str], *, own_process: bool, as_json: bool) -> int:
    """Run the command line and return the exit code of what it raised, if it did."""
    try:
        return _ran(given)
    except (click.exceptions.Abort, KeyboardInterrupt):
        if own_process:  # the process is ours, and ends: a further Ctrl-C changes nothing
            signal.signal(signal.SIGINT, signal.SIG_IGN)
        return _left(exit_codes.INTERRUPTED)
    except click.ClickException as error:
        report_usage(error, as_json=as_json)
        return error.exit_code
    except GLMError as error:
        report(error, as_json=as_json)
        return exit_codes.of(error)
    except BrokenPipeError:
        _silence(sys.stdout)
        return exit_codes.CLOSED_PIPE
    except OSError as error:
        say(f"{error.filename or 'the system'}: {error.strerror or error}")
        return exit_codes.OTHER


def _ran(arguments: list[str]) -> int:
    outcome = application.main(arguments, prog_name="glmclient", standalone_mode=False)
    sys.stdout.flush()
    return outcome if isinstance(outcome, int) else exit_codes.OK


def _silence(stream: TextIO) -> None:
    """Let the interpreter's own flush at its end go nowhere: nobody reads any more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _left(code: int) -> int:
    """Return ``code``, or end at once if a painter still waits for a reader that does not read.

    The interpreter's own end would wait for it, and for the lock that it holds.
    """
    if any(thread.name == PAINTER for thread in threading.enumerate()):
        os._exit(code)
    return code
