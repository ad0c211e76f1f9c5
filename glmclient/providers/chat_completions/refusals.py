"""One reading of every shape in which the platform and compatible servers refuse.

By HTTP status, in a frame of a 200, as a JSON or HTML body of a 200: the class is the same
(``docs/wire/open-platform.md`` §2.7, §3.1, §5).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, timezone
from typing import Any, TypeVar

from ...core.http import Head
from ...core.refusals import class_for_status, is_html, refusal, shown_html
from ...core.retry import retryable_status
from ...core.secrets import SHORTEST_SECRET, Secret
from ...errors import APIStatusError, NotFoundError, QuotaExceededError, ServiceBlockedError
from ..base import hopeless_advice
from .codes import CODES, ERROR_OF_STATUS, status_of_phrase, status_of_word

__all__ = ["Refusals", "is_refusal", "reset_after"]

T = TypeVar("T")

_SUCCESS = frozenset({"0", "200", "success", "ok"})
"""Codes by which relays say that nothing is wrong."""

_SHOWN = 500
"""Characters of a body that is no JSON, in a message: a gateway's page says nothing more after these."""

_FRAMED = re.compile(r"^data: ?(\{.*\})\r?$", re.MULTILINE)
"""A gateway may write its refusal as a frame, although its status is no success."""
_CHALLENGE = re.compile(r"just a moment|challenge-platform|cf-chl|captcha", re.IGNORECASE)
_SPRING_STATUS = re.compile(r"([45]\d\d) [A-Z_]+")
_DATE = re.compile(
    r"(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?[ T]?(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2})?"
)
_SPAN_UNIT = r"(ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?)"
_SPAN_PART = re.compile(rf"(\d{{1,9}}(?:\.\d{{1,9}})?) ?{_SPAN_UNIT}(?![a-z])", re.IGNORECASE)
_SPAN = re.compile(
    rf"(?:try again|retry|wait)(?: in| after| for)?:? ((?:\d{{1,9}}(?:\.\d{{1,9}})? ?{_SPAN_UNIT}(?![a-z]) ?){{1,4}})",
    re.IGNORECASE,
)
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_LONGEST_WAIT = 1e9
_WHOLE_CLASS = frozenset({400, 500})
"""Statuses of words that servers use for a whole class of refusals."""
_BEIJING = timezone(timedelta(hours=8))


def is_refusal(answer: Mapping[str, Any]) -> bool:
    """Tell whether a JSON object that came where an answer was due is an error.

    It has an ``error``, or no ``choices`` but a code and words (``docs/wire/open-platform.md`` §2.7); old vLLM and
    SGLang say ``"object": "error"`` and may leave the code out (§5).
    """
    error = answer.get("error")
    if error:
        return True
    if answer.get("choices"):
        return False
    if error == {}:
        return True
    if answer.get("errors"):
        return True
    code = next((answer[name] for name in _CODES if answer.get(name) is not None), None)
    if str(code).lower() in _SUCCESS:
        return False
    words = any(answer.get(name) for name in _MESSAGES)
    return words and (code is not None or answer.get("object") == "error")


def reset_after(message: str, now: float) -> float | None:
    """Return the seconds until the date in ``message``, or ``None`` if it tells none.

    A date without a zone is Beijing time: the service's own ids begin with it
    (``docs/wire/open-platform.md`` §2.1, ``id`` against ``created``).

    Args:
        message: the service's words, "... will reset at 2025-12-02 18:56:15".
        now: seconds since the epoch.
    """
    found = _DATE.search(message)
    if not found:
        return None
    year, month, day, hour, minute, second, zone = found.groups()
    try:
        when = datetime(
            int(year),
            int(month),
            int(day),
            int(hour),
            int(minute),
            int(second or 0),
            tzinfo=_zone(zone),
        )
        return max(when.timestamp() - now, 0.0)
    except (ValueError, OverflowError):
        return None


def _zone(text: str | None) -> timezone:
    if not text:
        return _BEIJING
    if text[0] not in "+-":
        return timezone.utc
    offset = timedelta(hours=int(text[1:3]), minutes=int(text[-2:]))
    return timezone(-offset if text[0] == "-" else offset)


@dataclass(frozen=True, slots=True)
class _Said:
    """What a refusal says, whatever its shape."""

    message: str = ""
    code: str | None = None
    kinds: tuple[str, ...] = ()
    status: int | None = None
    path: str = ""
    request_id: str | None = None
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Refusals:
    """Turns what one response said into the error that users catch.

    Args:
        service: how messages name the service.
        head: the response's status and headers.
        now: gives seconds since the epoch, to measure dates from.
        key: never shown, should the service repeat it.
        advice: what to do about codes, where the request tells more than the table.
    """

    service: str
    head: Head
    now: Callable[[], float]
    key: Secret | None = field(default=None, repr=False)
    advice: Mapping[str, str] = field(default_factory=dict)

    def of_body(self, body: bytes) -> APIStatusError:
        """Return the error for a whole body: JSON, a page or plain text."""
        text = body.decode("utf-8-sig", "replace")
        if is_html(self.head.content_type, text):
            return self._of_page(text)
        framed = _FRAMED.search(text)
        try:
            return self.of_json(json.loads(framed[1] if framed else text), text)
        except (ValueError, RecursionError):
            return self._of(_Said(text.strip()[:_SHOWN]), text)

    def of_json(self, value: Any, raw: str, *, status: int | None = None) -> APIStatusError:
        """Return the error for a JSON value, the body of a refusal or a frame of a stream.

        Args:
            raw: its text, for ``.body``.
            status: the HTTP status that the stream told beside it.
        """
        if isinstance(value, list) and value:
            value = value[0]
        said = _said(value) if isinstance(value, dict) else _Said(raw.strip()[:_SHOWN])
        return self._of(replace(said, status=said.status or status), raw)

    def of_words(self, words: str, raw: str, *, status: int | None = None) -> APIStatusError:
        """Return the error for a refusal in plain words."""
        return self._of(_Said(words[:_SHOWN], status=status), raw)

    def _of_page(self, text: str) -> APIStatusError:
        said = _Said(f"a web page came instead of an answer: {shown_html(text) or 'without text'}")
        status = self.head.status
        if 200 <= status < 300 or status == 403 or _CHALLENGE.search(text):
            advice = "A login, a challenge or another site stands in the way: open base_url in a browser."
            return self._built(said, text, kind=ServiceBlockedError, advice=advice, retryable=False)
        return self._of(said, text)

    def _of(self, said: _Said, raw: str) -> APIStatusError:
        """Classify by the service's code first, by its words second, by the status last (§3.2)."""
        row = CODES.get(said.code or "")
        if row is not None:
            advice = self.advice.get(said.code or "") or row.advice or None
            return self._built(said, raw, kind=row.error, advice=advice, retryable=row.retry)
        status = self._meant_status(said)
        kind = ERROR_OF_STATUS.get(status) or (
            class_for_status(status) if status >= 300 else APIStatusError
        )
        # With a path it is a web framework that answers, not the API: the address is wrong, not the model.
        wrong_path = kind is NotFoundError and (said.path or _SPRING_STATUS.fullmatch(said.message))
        advice = "There is nothing at this address: check base_url." if wrong_path else None
        return self._built(said, raw, kind=kind, advice=advice, retryable=retryable_status(status))

    def _meant_status(self, said: _Said) -> int:
        """Return the HTTP status that says what the refusal means; the response's own if nothing tells.

        The words of the refusal come before the status of the response, so that they mean the same in a frame, in a
        body of a 200 and beside any status. Only the words of a whole class, such as ``invalid_request_error`` beside a
        401, are made more exact by a status of that class.
        """
        if spring := _SPRING_STATUS.fullmatch(said.message):
            # A wrong prefix answers 200 with {"code":500,"msg":"404 NOT_FOUND"}: the words are right, the code is not.
            return int(spring[1])
        words = [status for word in (said.code, *said.kinds) if (status := status_of_word(word))]
        exact = next((status for status in words if status not in _WHOLE_CLASS), None)
        if exact is not None:
            return exact
        own = self.head.status if self.head.status >= 300 else None
        for told in (said.status, own):
            if told is not None and (not words or told // 100 == words[0] // 100):
                return told
        return words[0] if words else status_of_phrase(said.message) or self.head.status

    def _built(
        self,
        said: _Said,
        raw: str,
        *,
        kind: type[APIStatusError],
        advice: str | None,
        retryable: bool,
    ) -> APIStatusError:
        wait = said.wait if said.wait is not None else _span_in(said.message)
        if wait is None and issubclass(kind, QuotaExceededError):
            wait = reset_after(said.message, self.now())
        error = refusal(
            self.service,
            self.head,
            reason=self._hidden(said.message),
            body=self._hidden(raw),
            now=self.now(),
            kind=kind,
            code=said.code,
            advice=advice or hopeless_advice(self.head.status),
            retryable=retryable,
            retry_after=wait,
        )
        error.request_id = said.request_id or error.request_id
        return error

    def _hidden(self, text: str) -> str:
        key = self.key.reveal() if self.key is not None else ""
        # A short key such as "ollama" is no secret, and masking it would maim the service's words.
        return text.replace(key, "***") if len(key) >= SHORTEST_SECRET else text


def _said(payload: dict[str, Any]) -> _Said:
    """Read the shapes of ``docs/wire/open-platform.md`` §2.7, §3.1 and §5, whichever it is.

    Each fact is taken from the innermost object that has it: gateways put what they got into a shell of their own.
    """
    layers = _layers(payload)
    code = next((code for code in _each(layers, _CODES, _code) if code), None)
    words = _each(layers, _MESSAGES, _words)
    statuses = (*_each(layers, ("status", "status_code"), _http_status), _http_status(code))
    return _Said(
        message=next(filter(None, words), "") or json.dumps(payload, ensure_ascii=False)[:_SHOWN],
        code=code,
        kinds=tuple(kind for kind in _each(layers, _KINDS, _text) if kind),
        status=next((status for status in statuses if status), None),
        path=_text(payload.get("path")),
        request_id=next(filter(None, _each(layers, ("request_id",), _text)), None),
        wait=next((wait for wait in _each(layers, _WAITS, _seconds) if wait is not None), None),
    )


_MESSAGES = (
    *(
        "message",
        "msg",
        "error_msg",
        "err_msg",
        "error_message",
        "errorMessage",
        "error_description",
    ),
    *("error", "detail", "description", "title", "reason"),
)
_CODES = ("code", "error_code", "err_code", "errorCode", "errcode")
_KINDS = ("type", "error_type", "status")
"""Google's endpoint tells its word, such as ``RESOURCE_EXHAUSTED``, under ``status``."""
_WAITS = ("retry_after", "retry_after_seconds", "retryAfter")
_SHELLS = ("error", "detail")
_DEEPEST = 4


def _layers(payload: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the objects of a refusal that hold each other, the innermost first."""
    layers = [payload]
    while len(layers) < _DEEPEST:
        inner = [layers[0].get(name) for name in _SHELLS]
        errors = layers[0].get("errors")
        inner += errors[:1] if isinstance(errors, list) else []
        found = next((each for each in inner if isinstance(each, dict)), None)
        if found is None:
            break
        layers.insert(0, found)
    return layers


def _each(
    layers: list[dict[str, Any]], names: tuple[str, ...], read: Callable[[Any], T]
) -> list[T]:
    return [read(layer[name]) for layer in layers for name in names if name in layer]


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    if not isinstance(value, list) or not value:
        return ""
    problems = [_problem(each) for each in value]
    return ("; ".join(problems) if all(problems) else json.dumps(value, ensure_ascii=False))[
        :_SHOWN
    ]


def _problem(entry: Any) -> str:
    """Return one of FastAPI's validation errors as words: ``{"loc": ["body", "messages"], "msg": "required"}``."""
    if not isinstance(entry, dict) or not isinstance(entry.get("loc"), list):
        return ""
    return f"{'.'.join(str(each) for each in entry['loc'])}: {_text(entry.get('msg'))}"


def _text(value: Any) -> str:
    return value.strip() if isinstance(value, str) else ""


def _seconds(value: Any) -> float | None:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if number and 0 <= value < _LONGEST_WAIT else None


def _span_in(message: str) -> float | None:
    """Return the seconds to wait that a message tells, such as "try again in 1m20s"; ``None`` if it tells none."""
    span = _SPAN.search(message)
    if span is None:
        return None
    parts = _SPAN_PART.findall(span[1])
    return sum(float(number) * _UNITS[_unit(unit.lower())] for number, unit in parts)


def _unit(name: str) -> str:
    return "ms" if name.startswith(("ms", "milli")) else name[0]


def _code(value: Any) -> str | None:
    """Return a code as text; the wire has it as text, the specification as a number."""
    if isinstance(value, str):
        return value.strip() or None
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else None


def _http_status(value: Any) -> int | None:
    text = str(value)
    return (
        int(text)
        if len(text) == 3 and text.isascii() and text.isdigit() and text[0] in "45"
        else None
    )
