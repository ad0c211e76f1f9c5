"""The value in the text of an answer: the first complete JSON value that fits.

Models write fences, introductions and remarks around their JSON. The search tries every place where a value can
begin, so prose with braces before the value does no harm.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from ..errors import SchemaProblem
from ..json_text import DECODER, containers_in
from .references import VALUE
from .shapes import Misfit, Shape

__all__ = ["value_in"]

_SCALAR = re.compile(
    r'"(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\b(?:true|false|null)\b', re.DOTALL
)


def value_in(text: str, shape: Shape, *, wrapper: bool) -> tuple[Any, Any]:
    """Return the value of a text and the plain data that it was made of.

    Args:
        wrapper: the service was asked for an object around the value. An answer without it is accepted.

    Raises:
        Misfit: the text contains no value that fits; the problems are those of the first value.
    """
    first: Misfit | None = None
    for data in _values(text):
        for candidate in _candidates(data, wrapper):
            try:
                return shape.convert(candidate), candidate
            except Misfit as misfit:
                first = first or misfit
    if first is None:
        first = Misfit((SchemaProblem("$", "the answer contains no complete JSON value"),))
    raise first


def _candidates(data: Any, wrapper: bool) -> Iterator[Any]:
    if wrapper and isinstance(data, dict) and data.keys() == {VALUE}:
        yield data[VALUE]
    yield data


def _values(text: str) -> Iterator[Any]:
    try:
        yield DECODER.decode(text)
        return
    except (ValueError, RecursionError):
        pass  # there is something around it
    yield from containers_in(text)
    for match in _SCALAR.finditer(text):
        try:
            yield DECODER.decode(match[0])
        except ValueError:
            continue
