"""The value of an answer with a schema: a list of objects as a table, other values as their members or as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from .parts import BOX, LINE

__all__ = ["plain_data", "value_html", "value_text"]

_CELL = f"border:1px solid {LINE};padding:.2em .7em;text-align:left;vertical-align:top"
_MOST_ROWS = 500
"""A page that is drawn ten times a second shows no more rows than these; a line tells how many there are."""


def plain_data(value: Any) -> Any:
    """Return a typed value as plain data; what JSON cannot write becomes its ``repr``."""
    from ..runs.functions import json_of

    try:
        return json.loads(json_of(value))
    except (TypeError, ValueError, RecursionError):
        return repr(value)


def value_text(value: Any) -> str:
    """Return plain data as indented JSON."""
    return json.dumps(value, ensure_ascii=False, indent=2)


def value_html(value: Any) -> str:
    """Return plain data as HTML; everything in it is escaped."""
    if isinstance(value, list) and value and all(isinstance(each, dict) for each in value):
        return _table(value)
    if isinstance(value, dict) and value:
        rows = "".join(f"<tr>{_head(name)}{_cell(each)}</tr>" for name, each in value.items())
        return f"<table>{rows}</table>"
    return f'<pre style="{BOX}"><code>{escape(value_text(value))}</code></pre>'


def _table(rows: list[Mapping[str, Any]]) -> str:
    first_rows = rows[:_MOST_ROWS]
    names = list(dict.fromkeys(name for row in first_rows for name in row))
    head = "".join(map(_head, names))
    body = "".join(
        f"<tr>{''.join(_cell(row[name]) if name in row else _cell('') for name in names)}</tr>"
        for row in first_rows
    )
    more = (
        f"<p>{len(rows):,} rows, {len(first_rows):,} shown</p>"
        if len(rows) > len(first_rows)
        else ""
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _head(name: str) -> str:
    return f'<th style="{_CELL}">{escape(name)}</th>'


def _cell(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f'<td style="{_CELL}">{escape(text)}</td>'
