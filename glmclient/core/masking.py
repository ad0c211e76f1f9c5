"""Secrets found in foreign text, in every spelling in which services repeat them, also where they were cut.

A service that refuses a key likes to repeat it: as it is, in the URL of the request, in JSON, in HTML, in Base64. The
text is searched as it came and with its escapes undone, for the secret itself and for its codes.

A bound on length may cut a secret before it is found: its first characters are masked too, from eight on, and from
four on where the text ends with them. Masking every text before every cut alone was rejected: it needs the secrets in
each of the providers' decoders, and one cut that forgets them shows a key.
"""

from __future__ import annotations

import base64
import dataclasses
import re
import sys
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

__all__ = ["MASK", "Masker", "masker"]

MASK = "***"
_PREFIX = 8
"""Characters of a secret from which its beginning is masked."""
_PREFIX_AT_END = 4
"""The same where nothing follows but the end of the text, a quote or an ellipsis: there a bound cut the text."""
_SHORTEST_CODE = 10
"""Characters of Base64 or hexadecimal that are looked for; fewer occur by chance."""
_CUT_HERE = frozenset("\"'`…")
_ESCAPE = re.compile(
    # URLs (a percent sign may be escaped again), JSON and Python (so may a backslash), HTML. The repetitions are
    # bounded, so that the search is linear.
    r"%(?:25){0,3}(?P<percent>[0-7][0-9A-Fa-f])"
    r"|\\{1,8}(?:u00|x)(?P<backslash>[0-7][0-9A-Fa-f])"
    r"|\\{1,8}(?P<self>[^\\0-9A-Za-z])"
    r"|(?P<html>&(?:#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|amp|lt|gt|quot|apos);?)"
)

_NAMED = {"amp": "&", "lt": "<", "gt": ">", "quot": '"', "apos": "'"}


class _Unescaped:
    """A text with its escapes undone, and where each of its characters stands in the text as it came."""

    def __init__(self, text: str) -> None:
        pieces: list[str] = []
        self._places: list[int] = []
        self._spans: list[tuple[int, int]] = []
        position = length = 0
        for match in _ESCAPE.finditer(text):
            start, end = match.span()
            pieces += [text[position:start], _character(match)]
            length += start - position
            self._places.append(length)
            self._spans.append((start, end))
            length += 1
            position = end
        self.text: str = "".join([*pieces, text[position:]])

    def span(self, place: int) -> tuple[int, int]:
        """Return where the character at ``place`` begins and ends in the text as it came."""
        index = bisect_right(self._places, place) - 1
        if index < 0:
            return place, place + 1
        begin, end = self._spans[index]
        behind = place - self._places[index]
        return (begin, end) if behind == 0 else (end + behind - 1, end + behind)


def _character(match: re.Match[str]) -> str:
    code = match["percent"] or match["backslash"]
    if code:
        return chr(int(code, 16))
    if match["self"]:
        return match["self"]
    name = match["html"].strip("&;")
    if name[0] != "#":
        return _NAMED[name]
    number = int(f"0{name[1:]}", 16) if name[1] in "xX" else int(name[1:])
    return chr(number) if number <= sys.maxunicode else "?"


class Masker:
    """Masks some secrets.

    Args:
        secrets: each at least a few characters long.
    """

    def __init__(self, secrets: frozenset[str]) -> None:
        self._spellings: tuple[str, ...] = tuple(
            spelling for secret in sorted(secrets) for spelling in _spellings(secret)
        )

    def text(self, text: str) -> str:
        """Return ``text`` with ``***`` in place of each secret."""
        position = 0
        pieces: list[str] = []
        for start, end in self.spans(text):
            pieces += [text[position:start], MASK]
            position = end
        return "".join([*pieces, text[position:]]) if pieces else text

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Return where secrets begin and end, in order and without overlaps."""
        found = self._found(text)
        if _ESCAPE.search(text):
            unescaped = _Unescaped(text)
            found += [
                (unescaped.span(start)[0], unescaped.span(end - 1)[1])
                for start, end in self._found(unescaped.text)
            ]
        spans: list[tuple[int, int]] = []
        for start, end in sorted(found):
            if spans and start <= spans[-1][1]:
                spans[-1] = spans[-1][0], max(end, spans[-1][1])
            else:
                spans.append((start, end))
        return spans

    def _found(self, text: str) -> list[tuple[int, int]]:
        spans = []
        for spelling in self._spellings:
            begin = spelling[:_PREFIX_AT_END]
            place = text.find(begin)
            while place >= 0:
                length = _common(text, place, spelling)
                if length:
                    spans.append((place, place + length))
                place = text.find(begin, place + max(length, 1))
        return spans

    def value(self, value: Any) -> Any:
        """Return a value with the secrets masked in all its strings; what holds no secret is the same object."""
        if isinstance(value, str):
            masked: Any = self.text(value)
            return value if masked == value else masked
        if isinstance(value, Mapping):
            masked = {self.value(name): self.value(each) for name, each in value.items()}
            return value if masked == value else masked
        if isinstance(value, (list, tuple)):
            masked = [self.value(each) for each in value]
            if all(new is old for new, old in zip(masked, value, strict=True)):
                return value
            return tuple(masked) if isinstance(value, tuple) else masked
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._fields(value)
        return value

    def _fields(self, value: Any) -> Any:
        changed = {}
        for field in dataclasses.fields(value):
            known = getattr(value, field.name)
            masked = self.value(known)
            if masked is not known:
                changed[field.name] = masked
        return dataclasses.replace(value, **changed) if changed else value


def _common(text: str, place: int, spelling: str) -> int:
    """Return how many characters of a spelling stand at ``place``; 0 if too few to be a secret that was cut."""
    if text.startswith(spelling, place):
        return len(spelling)
    length = _PREFIX_AT_END
    while text[place + length : place + length + 1] == spelling[length]:
        length += 1
    if length >= _PREFIX:
        return length
    following = text[place + length : place + length + 1]
    return length if not following or following in _CUT_HERE else 0


def _spellings(secret: str) -> Iterator[str]:
    yield secret
    data = secret.encode()
    for code in {data.hex(), data.hex().upper(), *_base64(data)}:
        if len(code) >= _SHORTEST_CODE:
            yield code


def _base64(data: bytes) -> Iterator[str]:
    """Yield the Base64 that all texts with ``data`` share, for each position in a group of three bytes."""
    for before in range(3):
        for encode in (base64.b64encode, base64.urlsafe_b64encode):
            code = encode(b"\0" * before + data).decode()
            yield code[-(-before * 8 // 6) : (before + len(data)) * 8 // 6]


@lru_cache(maxsize=32)
def masker(secrets: frozenset[str]) -> Masker:
    """Return the masker of some secrets."""
    return Masker(secrets)
