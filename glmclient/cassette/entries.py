"""What a cassette holds, and how it is written: a line of JSON for each thing that happened."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from ..core.http import Head, dump_json, load_object
from ..errors import CassetteError, FailureKind

__all__ = ["Cassette", "Happening", "Question", "RecordedExchange", "line_of", "lines_of", "parsed"]

FORMAT = 1
"""The number of the file format; a reader refuses any other."""

_INVISIBLE = re.compile(r"[\x7f-\x9f\u2028\u2029\ufeff\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What editors and terminals take for more than a character; JSON can escape it."""
_MOSTLY_TEXT = 8
"""Bytes for each one that is no UTF-8 from which on a body is text with damage, and not binary."""
_CUT = 6
"""Bytes that are no UTF-8 because a chunk begins and ends in the middle of a character, at most."""


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened after a request was sent.

    Args:
        at: seconds since then.
        kind: ``head``, ``chunk``, ``end``, ``released``, ``left`` or ``failure``.
        head: of the response.
        chunk: bytes of the body, as one read brought them.
        failure: the kind of failure, as `TransportFailure` names it.
        detail: of the failure.
        deadline: it was the step's deadline that passed.
    """

    at: float
    kind: str
    head: Head | None = None
    chunk: bytes = b""
    failure: FailureKind = "broken"
    detail: str = ""
    deadline: bool = False


@dataclass(frozen=True, slots=True)
class RecordedExchange:
    """One request, and everything that happened then.

    Args:
        method: of the request.
        url: of the request.
        headers: of the request, without credentials and ids.
        body: of the request.
        happenings: in order.
        farewell: the request told the service that nobody listens any more.
    """

    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None
    happenings: tuple[Happening, ...] = ()
    farewell: bool = False


@dataclass(frozen=True, slots=True)
class Question:
    """What was asked of the client, so that it can be asked again.

    Args:
        messages: as they were given.
        model: for this question.
        options: of it.
    """

    messages: Any
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, messages: Any, model: str | None, options: Mapping[str, Any]) -> Question:
        """Return a copy that the caller's later changes do not reach."""
        told = load_object(dump_json({"messages": messages, "options": dict(options)}))
        assert told is not None
        return cls(told["messages"], model, told["options"])


@dataclass(frozen=True, slots=True)
class Cassette:
    """A whole file.

    Args:
        provider: the name of the service.
        url: its address.
        questions: in the order in which they were asked.
        exchanges: in the order in which their requests were written.
    """

    provider: str = ""
    url: str = ""
    questions: tuple[Question, ...] = ()
    exchanges: tuple[RecordedExchange, ...] = ()


# -- writing -----------------------------------------------------------------------------------------------


def opening(provider: str, url: str, version: str) -> dict[str, Any]:
    """Return what the first line says."""
    return {"cassette": FORMAT, "glmclient": version, "provider": provider, "url": url}


def lines_of(value: RecordedExchange | Question, number: int) -> Iterator[dict[str, Any]]:
    """Yield what the lines of an exchange, or of a question, say.

    Args:
        number: of the exchange or question in its file, from 1.
    """
    if isinstance(value, Question):
        told = {"messages": value.messages, "model": value.model, "options": dict(value.options)}
        yield {"question": number, **told}
        return
    request: dict[str, Any] = {"method": value.method, "url": value.url}
    request |= {"headers": dict(value.headers)}
    if value.body is not None:
        request |= _written_body(value.body)
    if value.farewell:
        request["farewell"] = True
    yield {"exchange": number, "request": request}
    for happening in value.happenings:
        yield line_of(happening, number)


def line_of(happening: Happening, number: int) -> dict[str, Any]:
    """Return what the line of one happening says; ``number`` is that of its exchange."""
    return {"exchange": number, "at": round(happening.at, 3), **_written(happening)}


def _written(happening: Happening) -> dict[str, Any]:
    if happening.head is not None:
        head = happening.head
        told: dict[str, Any] = {"status": head.status, "headers": dict(head.headers)}
        if head.cookies:
            told["cookies"] = list(head.cookies)
        return {"head": told}
    if happening.kind == "chunk":
        text = _text(happening.chunk)
        if text is not None:
            return {"chunk": text}
        return {"base64": base64.b64encode(happening.chunk).decode()}
    if happening.kind == "failure":
        told = {"kind": happening.failure, "detail": happening.detail}
        return {"failure": {**told, **({"deadline": True} if happening.deadline else {})}}
    return {"then": happening.kind}


def _written_body(body: bytes) -> dict[str, Any]:
    value = load_object(body)
    if value is not None and dump_json(value) == body:
        return {"json": value}  # reads better, and is the same bytes
    text = _text(body)
    return {"text": text} if text is not None else {"base64": base64.b64encode(body).decode()}


def _text(data: bytes) -> str | None:
    """Return bytes as text, each byte that is no UTF-8 as a lone surrogate (PEP 383); ``None`` for binary."""
    text = data.decode("utf-8", "surrogateescape")
    strange = sum("\ud800" <= character <= "\udfff" for character in text)
    return text if strange * _MOSTLY_TEXT <= len(data) or strange <= _CUT else None


def dumped(value: Mapping[str, Any]) -> str:
    """Return one line of a cassette, its line end included; JSON escapes what has no UTF-8 or is not visible."""
    text = json.dumps(value, ensure_ascii=False)
    text = _INVISIBLE.sub(lambda match: f"\\u{ord(match.group()):04x}", text)
    return text.encode("utf-8", "backslashreplace").decode() + "\n"


# -- reading -----------------------------------------------------------------------------------------------


def parsed(data: bytes, name: str) -> Cassette:
    """Return the cassette that a file holds.

    Args:
        data: the file's content.
        name: of the file, for messages.

    Raises:
        CassetteError: it is no cassette, one of another format, or damaged.
    """
    lines = data.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    first = load_object(lines[0])
    if first is None or "cassette" not in first:
        raise CassetteError(f"{name} is not a cassette.")
    if first["cassette"] != FORMAT:
        raise CassetteError(
            f"{name} has the format {first['cassette']!r}, and this version of glmclient reads {FORMAT}. "
            "Record it anew, or install the version that wrote it."
        )
    try:
        return _assembled(first, _objects(lines))
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CassetteError(f"{name} is damaged: {error}. Record it anew.") from None


def _objects(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(lines, 1):
        if number > 1 and line.strip():
            value = load_object(line)
            if value is None:
                raise ValueError(f"line {number} is no JSON object")
            yield value


def _assembled(first: Mapping[str, Any], objects: Iterable[dict[str, Any]]) -> Cassette:
    questions: list[Question] = []
    requests: dict[int, dict[str, Any]] = {}
    happenings: dict[int, list[Happening]] = {}
    for told in objects:
        if "question" in told:
            questions.append(Question(told["messages"], told["model"], dict(told["options"])))
        elif "request" in told:
            requests[told["exchange"]] = told["request"]
            happenings[told["exchange"]] = []
        else:
            happenings[told["exchange"]].append(_happening(told))
    exchanges = tuple(
        RecordedExchange(
            method=_string(request["method"]),
            url=_string(request["url"]),
            headers={_string(k): _string(v) for k, v in dict(request["headers"]).items()},
            body=_body(request),
            happenings=tuple(happenings[number]),
            farewell=request.get("farewell", False) is True,
        )
        for number, request in requests.items()
    )
    return Cassette(str(first.get("provider")), str(first.get("url")), tuple(questions), exchanges)


def _string(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text was expected, not {type(value).__name__}")
    return value


def _happening(told: Mapping[str, Any]) -> Happening:
    at = float(told["at"])
    if "head" in told:
        head = told["head"]
        pairs = [*head["headers"].items(), *(("set-cookie", c) for c in head.get("cookies", ()))]
        return Happening(at, "head", head=Head.of(int(head["status"]), pairs))
    if "chunk" in told:
        return Happening(at, "chunk", chunk=_bytes(told["chunk"]))
    if "base64" in told:
        return Happening(at, "chunk", chunk=base64.b64decode(told["base64"], validate=True))
    if "failure" in told:
        failure = told["failure"]
        if failure["kind"] not in get_args(FailureKind):
            raise ValueError(f"no failure has the kind {failure['kind']!r}")
        deadline = failure.get("deadline", False) is True
        return Happening(
            at, "failure", failure=failure["kind"], detail=failure["detail"], deadline=deadline
        )
    if told["then"] not in ("end", "released", "left"):
        raise ValueError(f"nothing can end with {told['then']!r}")
    return Happening(at, told["then"])


def _body(request: Mapping[str, Any]) -> bytes | None:
    if "json" in request:
        return dump_json(request["json"])
    if "text" in request:
        return _bytes(request["text"])
    if "base64" in request:
        return base64.b64decode(request["base64"], validate=True)
    return None


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
