"""An answer as the lines of a terminal: plain, or Markdown by the parser that rich uses."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import TypeAlias

from .cells import visible, without_tabs
from .markdown_lines import GrowingMarkdown

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
    return GrowingMarkdown()(text, width)
