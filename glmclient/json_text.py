"""JSON as models write it: in a Markdown fence, with prose around it, with line breaks inside strings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

__all__ = ["DECODER", "containers_in", "json_in", "parse_json"]

DECODER: json.JSONDecoder = json.JSONDecoder(strict=False)
"""Takes control characters inside strings as they are."""

_START = re.compile(r"[{\[]")
_FENCE = re.compile(r"[ \t]*(`{3,}|~{3,})")
_BUDGET = 64
"""Characters that failed attempts may read, as a multiple of the length of the text."""


def parse_json(text: str, what: str, partial: Any = None, *, within: bool = False) -> Any:
    """Return ``text`` parsed from JSON; control characters inside strings are accepted.

    Args:
        what: how an error names the text.
        partial: the `Reply` that an error carries.
        within: also find the value in a Markdown fence, or with prose around it.

    Raises:
        ProtocolError: it is not JSON.
    """
    try:
        return json_in(text) if within else DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        from .errors import ProtocolError

        raise ProtocolError(
            f"{what} is not JSON ({error}); its raw text is in `.frame`. "
            "Ask the model for JSON in the prompt too, or parse the text yourself.",
            frame=text,
            partial=partial,
        ) from None


def json_in(text: str) -> Any:
    """Return the JSON value of a text: the text itself, the value in a fence, or the first object or array in prose.

    Raises:
        ValueError: it contains none, or one that was cut off: a piece of a value is not the value.
        RecursionError: it is nested too deeply.
    """
    try:
        return DECODER.decode(text)
    except ValueError as error:
        failure = error
    for block in _fenced(text):
        try:
            return DECODER.decode(block)
        except ValueError:
            continue
    for value in containers_in(text, whole=True):
        return value
    raise failure


def containers_in(text: str, *, whole: bool = False) -> Iterator[Any]:
    """Yield the objects and arrays that stand in a text, the outermost ones, in their order.

    Args:
        whole: a value that the text breaks off ends the search; otherwise the values inside it are found.
    """
    position, budget, end = 0, _BUDGET * len(text) + 1_000, len(text.rstrip())
    while match := _START.search(text, position):
        start = match.start()
        try:
            data, position = DECODER.raw_decode(text, start)
        except json.JSONDecodeError as error:
            if whole and (error.pos >= end or error.msg.startswith("Unterminated string")):
                return
            budget -= error.pos - start
            # A text of many open brackets would be read once for each of them.
            position = start + 1 if budget > 0 else max(error.pos, start + 1)
        except (ValueError, RecursionError):
            position = start + 1
            budget -= len(text) - start
            if budget <= 0:
                return
        else:
            yield data


def _fenced(text: str) -> Iterator[str]:
    """Yield the contents of Markdown's fenced blocks; one that is not closed ends with the text."""
    mark, lines = "", list[str]()
    for line in text.splitlines(keepends=True):
        fence = _FENCE.match(line)
        if not mark:
            if fence:
                mark, lines = fence[1], []
        elif fence and fence[1].startswith(mark) and not line.strip().strip(mark[0]):
            yield "".join(lines)
            mark = ""
        else:
            lines.append(line)
    if mark:
        yield "".join(lines)
