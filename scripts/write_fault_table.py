"""Write ``docs/faults.md`` from the table that the tests of faults go through.

``python scripts/write_fault_table.py`` writes the page; with ``--check`` it only tells whether the page is up to date.
"""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.faults.table import Fault

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "faults.md"

INTRODUCTION = """\
What can go wrong on the way to an answer, and what comes of it. Each line is a test that runs with the blocking client,
on asyncio and on trio, against a server of bare sockets: {cases} tests in all, for {services}. In each of them the
error is of the class named here, `error.partial` holds exactly what had come, no request is sent after an event has
been handed over, and no connection is left open.
"""
LEGEND = """\
*Tries* counts the requests for the stream, with the default of three attempts; 0 means that no request could be sent.
Where a time limit is what ends it, a single attempt was asked for. *Had come* is the text on `error.partial`.
"""
FOOT = "This page is written by `scripts/write_fault_table.py` from the tests' own table, and a test keeps it so.\n"
NAMES = {
    "chatglm": "ChatGLM",
    "qwen": "a Gradio Space",
    "zai": "the open platform",
    "openai": "a compatible server",
}


def page() -> str:
    """Return the text of the page."""
    sys.path.insert(0, str(ROOT))
    from tests.faults.table import FAULTS

    every = [fault for faults in FAULTS.values() for fault in faults]
    *some, last = NAMES.values()
    introduction = INTRODUCTION.format(
        cases=3 * sum(len(fault.dialects) for fault in every),
        services=f"{', '.join(some)} and {last}",
    )
    parts = ["# Faults", "", textwrap.fill(introduction, 118), "", LEGEND]
    for group, faults in FAULTS.items():
        parts += [f"## {group}", "", "| what happens | what is raised | tries | had come |"]
        parts += ["|---|---|---|---|", *map(_row, faults), ""]
    return "\n".join([*parts, FOOT])


def _row(fault: Fault) -> str:
    tries = fault.tries if fault.error is not None else 1
    came = fault.text if fault.error is not None else "all of it"
    raised = _named(fault.error, fault.limit)
    return f"| {fault.what}{_exceptions(fault)} | {raised} | {tries} | {came} |"


def _named(error: type | None, limit: str | None = None) -> str:
    if error is None:
        return "nothing: the answer is whole"
    return f"`{error.__name__}`" + (f", `limit='{limit}'`" if limit else "")


def _exceptions(fault: Fault) -> str:
    """Say where a service differs, because its own words come first."""
    services: dict[str, list[str]] = {}
    for name, (error, tries) in fault.own.items():
        told = _named(error) + (f" after {tries} tries" if tries != fault.tries else "")
        services.setdefault(told, []).append(NAMES[name])
    return "".join(f" ({' and '.join(names)}: {told})" for told, names in services.items())


def main(arguments: list[str]) -> int:
    """Write the page, or check it."""
    text = page()
    if "--check" not in arguments:
        PAGE.write_text(text, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != text:
        print(
            "docs/faults.md is out of date: run python scripts/write_fault_table.py",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
