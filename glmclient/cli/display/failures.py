"""An error as a person reads it: one paragraph that says what happened and what to do; or as JSON."""

from __future__ import annotations

import io
import json
import re
import sys
from typing import Any, TextIO

import click

from ...errors import APIStatusError, APITimeoutError, GLMError, SchemaError
from ...reply import Reply
from .. import exit_codes
from .cells import visible, wrapped
from .screen import terminal_size
from .structured import reply_json

__all__ = ["error_json", "paragraph", "report", "report_interrupt", "report_usage", "say"]

# What a program does with an argument, a person at a terminal does with an option.
_IN_A_TERMINAL: tuple[tuple[str, str], ...] = (
    (r"Raise Timeout\(\w+=\.\.\.\)", "Give --timeout SECONDS"),
    (
        r"provider '(\w+)' needs a key: give api_key=, or set",
        r"provider '\1' needs a key: give --key, store it with `glmclient keys set \1`, or set",
    ),
    (r"header 'api_key'", "--key"),
    (r"(?<![\w.])api_key\b=?", "--key"),
    (r"(?<![\w.])base_url\b=?", "--base-url"),
    (r"(?<![\w.])proxy=", "--proxy "),
    (r"(?<![\w.])model=", "-m "),
    (r"verify='ca\.pem'", "SSL_CERT_FILE=ca.pem in the environment"),
    (r"cert='client\.pem'", "--cert client.pem"),
    (
        r"give its password as cert=\(certificate, key, password\)",
        "decrypt it first, such as by `openssl pkey -in key.pem`",
    ),
    (r"provider='zai' or 'bigmodel'", "-p zai or -p bigmodel"),
    (r"provider='(\w+)'", r"-p \1"),
    (r"What came is on `error\.partial`", "What came is shown"),
    (r"The answer is in `\.partial`\.", "--json shows the answer."),
)
_WORDS = re.compile(
    "|".join(f"(?P<w{index}>{pattern})" for index, (pattern, _) in enumerate(_IN_A_TERMINAL))
    # What is quoted is somebody's own word, or the name of a setting, and stays; an apostrophe quotes nothing.
    + r"""|(?<!\w)(?:'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*")"""
)
_WIDEST = 100


def paragraph(text: str) -> str:
    """Return a message of the library in the words of the terminal, without line ends."""
    return " ".join(visible(_WORDS.sub(_reworded, text)).split())


def _reworded(match: re.Match[str]) -> str:
    if match.lastgroup is None:
        return match[0]
    pattern, words = _IN_A_TERMINAL[int(match.lastgroup[1:])]
    return re.sub(pattern, words, match[0])


def error_json(error: GLMError) -> dict[str, Any]:
    """Return an error as JSON tells it."""
    told: dict[str, Any] = {
        "type": type(error).__name__,
        "message": paragraph(str(error)),
        "exit_code": exit_codes.of(error),
        "retryable": error.retryable,
        "attempts": error.attempts,
        "request_id": error.request_id,
    }
    if isinstance(error, APIStatusError):
        told |= {
            "status_code": error.status_code,
            "code": error.code,
            "reason": error.message,
            "retry_after": error.retry_after,
        }
    if isinstance(error, APITimeoutError):
        told["limit"] = error.limit
    if isinstance(error, SchemaError):
        told["problems"] = [{"path": each.path, "message": each.message} for each in error.problems]
    return {"error": {**told, "partial": reply_json(error.partial)}}


def report(error: GLMError, *, as_json: bool = False) -> None:
    """Write an error to standard error."""
    if as_json:
        click.echo(json.dumps(error_json(error)), err=True)
    else:
        say(str(error))


def report_interrupt(partial: Reply) -> None:
    """Write to standard error, as JSON, that Ctrl-C ended an answer, with what came of it."""
    error = {
        "type": "KeyboardInterrupt",
        "message": "Ctrl-C ended the answer.",
        "exit_code": exit_codes.INTERRUPTED,
        "partial": reply_json(partial),
    }
    click.echo(json.dumps({"error": error}), err=True)


def report_usage(error: click.ClickException, *, as_json: bool = False) -> None:
    """Write to standard error what is wrong with the command line."""
    if as_json:
        told = {
            "type": "UsageError",
            "message": error.format_message(),
            "exit_code": error.exit_code,
        }
        click.echo(json.dumps({"error": told}), err=True)
    else:
        # The message repeats arguments, which may be pasted from anywhere.
        shown = io.StringIO()
        error.show(file=shown)
        click.echo(visible(shown.getvalue()), err=True, nl=False)


def say(text: str, out: TextIO | None = None) -> None:
    """Write one paragraph to standard error."""
    stream = out if out is not None else sys.stderr
    line = f"glmclient: {paragraph(text)}"
    if stream.isatty():
        line = wrapped(line, min(terminal_size()[0], _WIDEST))
    stream.write(f"{line}\n")
    stream.flush()
