"""Outputs of a cell, and errors as cards: what happened, what came, what to do; the traceback folded away."""

from __future__ import annotations

import traceback
from html import escape
from typing import NamedTuple

from ..errors import APIStatusError, APITimeoutError, GLMError

__all__ = ["BOX", "LINE", "MUTED", "Part", "error_html", "error_part", "page"]

_CARD = (
    "border:1px solid rgba(200,50,50,.5);border-left:4px solid rgb(200,50,50);border-radius:3px;"
    "background:rgba(200,50,50,.07);padding:.5em 1em;margin:.3em 0"
)
MUTED = "opacity:.7;font-size:90%"
LINE = "rgba(127,127,127,.4)"
"""A colour that shows on a light page and on a dark one."""
BOX = f"border-left:3px solid {LINE};margin:.3em 0;padding:0 .8em;overflow-x:auto"


class Part(NamedTuple):
    """One output of a cell: what a page shows, and what a place without HTML does."""

    html: str
    plain: str


def page(html: str, style: str = "") -> str:
    """Return ``html`` in a box that MathJax stays out of, except where a formula was found: a dollar sign is money."""
    return f'<div class="glmclient mathjax_ignore tex2jax_ignore" style="{style}">{html}</div>'


def error_part(error: GLMError) -> Part:
    """Return ``error`` as an output of a cell."""
    return Part(error_html(error), f"{type(error).__name__}: {error}")


def error_html(error: GLMError) -> str:
    """Return ``error`` as a card; everything in it that came from outside is escaped."""
    facts = " · ".join(_facts(error))
    pieces = [
        f"<strong>{type(error).__name__}</strong>",
        f' <span style="{MUTED}">{escape(facts)}</span>' if facts else "",
        f'<div style="white-space:pre-wrap;margin:.4em 0">{escape(str(error))}</div>',
        _traceback(error),
    ]
    return page("".join(pieces), _CARD)


def _facts(error: GLMError) -> list[str]:
    facts = []
    if isinstance(error, APIStatusError):
        facts += [f"HTTP {error.status_code}"] if error.status_code else []
        facts += [f"code {error.code}"] if error.code else []
        facts += (
            [f"come back in {error.retry_after:.0f} s"] if error.retry_after is not None else []
        )
    if isinstance(error, APITimeoutError):
        facts.append(f"limit {error.limit}")
    if error.request_id:
        facts.append(f"request {error.request_id}")
    if error.attempts > 1:
        facts.append(f"{error.attempts} attempts")
    if error.partial.text:
        facts.append(f"{len(error.partial.text):,} characters came, in .partial.text")
    return facts


def _traceback(error: GLMError) -> str:
    if error.__traceback__ is None:
        return ""
    lines = "".join(traceback.format_exception(error))
    return (
        f'<details><summary style="{MUTED};cursor:pointer">Traceback</summary>'
        f'<pre style="font-size:80%;overflow-x:auto"><code>{escape(lines)}</code></pre></details>'
    )
