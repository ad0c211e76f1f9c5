"""Write the help texts of the command line, and its exit codes, into docs/terminal.md; --check only compares.

What stands between `<!-- help -->` or `<!-- exit codes -->` and `<!-- end -->` is written by this script.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from glmclient.cli.application import application
from glmclient.cli.exit_codes import MEANINGS

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "terminal.md"
WIDTH = 96
_PART = re.compile(r"(<!-- (help|exit codes) -->\n).*?(<!-- end -->)", re.DOTALL)


def commands() -> Iterator[tuple[str, str]]:
    """Yield the name of every command and its help text."""
    settings = {**application.context_settings, "terminal_width": WIDTH}
    yield from _helped(application, click.Context(application, info_name="glmclient", **settings))


def _helped(command: click.Command, context: click.Context) -> Iterator[tuple[str, str]]:
    yield context.command_path, command.get_help(context).rstrip()
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            made = click.Context(inner, info_name=name, parent=context, terminal_width=WIDTH)
            yield from _helped(inner, made)


def help_texts() -> str:
    """Return the part of the page with the help texts."""
    return "\n".join(f"### {name}\n\n```text\n{text}\n```\n" for name, text in commands()) + "\n"


def exit_codes() -> str:
    """Return the part of the page with the exit codes."""
    rows = "\n".join(f"| {code} | {meaning} |" for code, meaning in MEANINGS.items())
    return f"\n| code | meaning |\n|---|---|\n{rows}\n\n"


def written(page: str) -> str:
    """Return the page with its written parts as they should be."""
    parts = {"help": help_texts, "exit codes": exit_codes}
    return _PART.sub(lambda match: f"{match[1]}{parts[match[2]]()}{match[3]}", page)


def main() -> int:
    """Write the page, or compare it."""
    before = PAGE.read_text(encoding="utf-8")
    after = written(before)
    if "--check" in sys.argv[1:]:
        # How lines are broken is click's business, and changes with its versions.
        if before.split() != after.split():
            print(f"{PAGE.name} is out of date; run scripts/terminal_help.py", file=sys.stderr)
            return 1
    else:
        PAGE.write_text(after, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
