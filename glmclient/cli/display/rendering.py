"""An answer as the lines of a terminal: plain, or Markdown by rich."""

from __future__ import annotations

import importlib.util
import io
from collections.abc import Callable
from typing import TypeAlias

from .cells import visible, without_tabs

__all__ = ["Renderer", "dim", "markdown", "plain", "rich_is_there"]

Renderer: TypeAlias = Callable[[str, int], list[str]]
"""Makes lines, at most so many cells wide, of a text; a plain line may be longer, the terminal wraps it."""

_DIM, _RESET = "\x1b[2m", "\x1b[0m"


def plain(text: str, width: int) -> list[str]:
    """Return the lines as they are."""
    return without_tabs(visible(text)).split("\n") if text else []


def dim(text: str, width: int) -> list[str]:
    """Return the lines in a faint colour, for what is not the answer."""
    return [f"{_DIM}{line}{_RESET}" for line in plain(text, width)]


def rich_is_there() -> bool:
    """Tell whether Markdown can be rendered."""
    return importlib.util.find_spec("rich") is not None


def markdown(text: str, width: int) -> list[str]:
    """Return Markdown rendered, without empty lines at its end, and without the spaces that fill a line."""
    from rich.console import Console
    from rich.markdown import Markdown

    # One cell less than there are: not every terminal agrees on what happens in the last one.
    console = Console(
        file=io.StringIO(), force_terminal=True, legacy_windows=False, width=max(width - 1, 1)
    )
    with console.capture() as captured:
        console.print(Markdown(without_tabs(visible(text))))
    lines = [line.rstrip() for line in captured.get().split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines
