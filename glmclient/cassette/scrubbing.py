"""Keys, cookies and ids out of what is recorded, so that a cassette can be sent to others.

What stands in a body is replaced by something of the same length: every chunk keeps its place and its bounds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from itertools import accumulate, pairwise
from typing import Any

from ..core.http import Head
from ..core.secrets import credentials, is_credential
from .entries import Happening, Question, RecordedExchange

__all__ = ["ID_NAMES", "MASK", "Scrubber", "is_id"]

MASK = "***"

ID_NAMES = frozenset(
    {
        *("conversation_id", "device_id", "event_id", "request_id", "session_hash"),
        *("user", "user_id"),
    }
)
"""Members of JSON and parameters of a query that tell who asks, or when: they differ with every recording."""

_LONG_ID = 16
_DISTINCT = 8
"""Characters, with a digit among them, from which an id is looked for everywhere and not only at its name."""
_SHORTEST_KEY = 6
_NO_KEY = "undefined"
"""What ChatGLM's page sends for a guest."""
_SECRETS = re.compile(
    # An open-platform key, a Hugging Face token, an OpenAI-like key, a JSON web token.
    rb"\b[0-9a-f]{32}\.[A-Za-z0-9]{16}\b|\bhf_[A-Za-z0-9]{16,}|\bsk-[A-Za-z0-9_-]{16,}"
    rb"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
)
_NAMES = b"|".join(sorted(name.encode() for name in ID_NAMES))
# Without the lookbehind, a run of backslashes is searched anew from each of them, which is quadratic.
_AT_NAME = re.compile(rb'(?<!\\)(\\*")(%s)\1(\s*:\s*)\1([\x20-\x21\x23-\x5b\x5d-\x7e]+)\1' % _NAMES)
"""A member of JSON, or of JSON in a string of JSON; an id is ASCII without escapes."""
_LONG_AT_ID = re.compile(rb'"id"\s*:\s*"([0-9A-Za-z_-]{%d,})"' % _LONG_ID)
_IN_QUERY = re.compile(r"([?&])([^=&#]+)=([^&#]*)")
_ID_HEADER = re.compile(r"(^|-)(id|ids|trace|traceparent|ray|eagleid)(-|$)", re.IGNORECASE)


def is_id(name: str) -> bool:
    """Tell whether a header of this name holds an id."""
    return _ID_HEADER.search(name) is not None


class Scrubber:
    """Scrubs the exchanges of one cassette: the same id becomes the same placeholder everywhere."""

    def __init__(self) -> None:
        self._placeholders: dict[bytes, bytes] = {}
        self._made: set[bytes] = set()
        self._secrets: set[bytes] = set()

    # -- what is to go -------------------------------------------------------------------------------------

    def _learn(self, text: bytes) -> None:
        for match in _AT_NAME.finditer(text):
            self._placeholder(match[4])
        for match in _LONG_AT_ID.finditer(text):
            if any(48 <= byte <= 57 for byte in match[1]):
                self._placeholder(match[1])
        self._secrets.update(_SECRETS.findall(text))

    def _placeholder(self, value: bytes) -> bytes:
        """Return what stands for an id: of the same length and shape, with a number for its end."""
        known = self._placeholders.get(value)
        if known is None:
            if value in self._made:
                return value  # it is one already: a cassette that is recorded from a replay
            known = self._placeholders[value] = _shaped(value, len(self._placeholders) + 1)
            self._made.add(known)
        return known

    def _clean(self, text: bytes) -> bytes:
        """Return ``text`` without secrets and ids, as long as before."""
        for secret in sorted(self._secrets, key=len, reverse=True):
            text = text.replace(secret, b"*" * len(secret))
        for value in sorted(self._placeholders, key=len, reverse=True):
            if len(value) >= _DISTINCT and any(48 <= byte <= 57 for byte in value):
                text = text.replace(value, self._placeholders[value])
        return _AT_NAME.sub(self._at_name, text)

    def _at_name(self, match: re.Match[bytes]) -> bytes:
        quote, name, colon, value = match.groups()
        return b"".join((quote, name, quote, colon, quote, self._placeholder(value), quote))

    # -- what is cleaned -----------------------------------------------------------------------------------

    def exchange(self, recorded: RecordedExchange) -> RecordedExchange:
        """Return an exchange without secrets and ids."""
        chunks = [h.chunk for h in recorded.happenings if h.kind == "chunk"]
        answer = b"".join(chunks)
        self.learn(recorded)
        self._learn(answer)
        pieces = iter(_cut(self._clean(answer), map(len, chunks)))
        happenings = tuple(
            replace(h, chunk=next(pieces)) if h.kind == "chunk" else self.happening(h)
            for h in recorded.happenings
        )
        return replace(self.request(recorded), happenings=happenings)

    # An answer that is long is cleaned in parts, as it comes: what a part holds is cleaned in all later ones, too.

    def learn(self, recorded: RecordedExchange) -> None:
        """Take note of the secrets and ids in a request, and in the heads of its response."""
        self._secrets.update(_keys(recorded.headers))
        heads = [h.head.headers for h in recorded.happenings if h.head is not None]
        for name, value in (
            pair for headers in (recorded.headers, *heads) for pair in headers.items()
        ):
            if is_id(name) and not is_credential(name):
                self._placeholder(value.encode())
        self._learn(recorded.body or b"")
        for name, value in _query(recorded.url):
            if name in ID_NAMES:
                self._placeholder(value.encode())

    def request(self, recorded: RecordedExchange) -> RecordedExchange:
        """Return the request alone, without secrets and ids; `learn` comes first."""
        return replace(
            recorded,
            url=self._url(recorded.url),
            headers=self._headers(recorded.headers),
            body=None if recorded.body is None else self._clean(recorded.body),
            happenings=(),
        )

    def part(self, answer: bytes) -> bytes:
        """Return a part of an answer without secrets and ids. It must begin and end between two frames."""
        self._learn(answer)
        return self._clean(answer)

    def question(self, question: Question) -> Question:
        """Return a question without secrets and ids."""
        return Question(
            self._value(question.messages),
            question.model,
            {name: self._member(name, value) for name, value in question.options.items()},
        )

    def happening(self, happening: Happening) -> Happening:
        """Return anything but a chunk without secrets and ids."""
        if happening.head is None:
            return replace(happening, detail=self._text(happening.detail))
        head = happening.head
        cookies = tuple(_without_value(cookie) for cookie in head.cookies)
        return replace(happening, head=Head(head.status, self._headers(head.headers), cookies))

    def _headers(self, headers: Mapping[str, str]) -> dict[str, str]:
        return {name: self._header(name, value) for name, value in headers.items()}

    def _header(self, name: str, value: str) -> str:
        if is_credential(name):
            return MASK
        if is_id(name):
            return self._placeholder(value.encode()).decode("latin-1")
        return self._text(value)

    def _url(self, url: str) -> str:
        def masked(match: re.Match[str]) -> str:
            start, name, value = match.groups()
            if name in ID_NAMES:
                return f"{start}{name}={self._placeholder(value.encode()).decode()}"
            return f"{start}{name}={MASK if is_credential(name) or name == '__sign' else value}"

        return self._text(_IN_QUERY.sub(masked, url))

    def _text(self, text: str) -> str:
        return self._clean(text.encode("utf-8", "surrogatepass")).decode("utf-8", "surrogatepass")

    def _value(self, value: Any) -> Any:
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return {name: self._member(name, each) for name, each in value.items()}
        if isinstance(value, (list, tuple)):
            return [self._value(each) for each in value]
        return value

    def _member(self, name: Any, value: Any) -> Any:
        if name in ID_NAMES and isinstance(value, str) and value:
            return self._placeholder(value.encode()).decode()
        return self._value(value)


def _keys(headers: Mapping[str, str]) -> set[bytes]:
    """Return the secrets in a request's headers; the key itself also where it is a short one."""
    found = {secret.encode() for secret in credentials(headers)}
    for name, value in headers.items():
        key = value.rpartition(" ")[2]
        if "authorization" in name.lower() and len(key) >= _SHORTEST_KEY and key != _NO_KEY:
            found.add(key.encode())
    return found


def _shaped(value: bytes, number: int) -> bytes:
    """Return the digits of ``number`` in the shape of ``value``: what is no letter and no digit stays."""
    digits = list(str(number).encode())
    shaped = bytearray(value)
    for index in range(len(shaped) - 1, -1, -1):
        if chr(shaped[index]).isalnum() and shaped[index] < 128:
            shaped[index] = digits.pop() if digits else 48
    return bytes(shaped)


def _cut(text: bytes, lengths: Iterable[int]) -> list[bytes]:
    ends = list(accumulate(lengths, initial=0))
    return [text[start:end] for start, end in pairwise(ends)]


def _query(url: str) -> list[tuple[str, str]]:
    return [(match[2], match[3]) for match in _IN_QUERY.finditer(url)]


def _without_value(cookie: str) -> str:
    """Return a ``Set-Cookie`` without the cookie's value; a cookie that is taken away has none to hide."""
    pair, semicolon, attributes = cookie.partition(";")
    name, equals, value = pair.partition("=")
    return f"{name}{equals}{MASK if value.strip() else value}{semicolon}{attributes}"
