"""The table of codes on the documentation page; run it as a module to write it there."""

from __future__ import annotations

import re
from pathlib import Path

from glmclient.providers.chat_completions.codes import CODES

PAGE = Path(__file__).resolve().parents[3] / "docs" / "providers" / "platform.md"
_PLACE = re.compile(r"(<!-- codes: [^\n]*-->\n\n).*?(\n<!-- end of codes -->)", re.DOTALL)


def table() -> str:
    """Return the table, a line for each code."""
    rows = [
        f"| {code} | {row.http} | {row.meaning} | `{row.error.__name__}` | {'yes' if row.retry else 'no'} |"
        for code, row in sorted(CODES.items())
    ]
    return (
        "\n".join(
            ["| code | HTTP | meaning | class | tried again |", "|---|---|---|---|---|", *rows]
        )
        + "\n"
    )


def written(page: str) -> str:
    """Return the page with the table in its place."""
    assert _PLACE.search(page), "the page has no place for the table"
    return _PLACE.sub(lambda found: found[1] + table() + found[2], page)


if __name__ == "__main__":
    PAGE.write_text(written(PAGE.read_text("utf-8")), "utf-8")
