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
from typing import Any

from ...core.http import Head
from ...core.refusals import class_for_status, is_html, refusal, shown_html
from ...core.retry import retryable_status
from ...core.secrets import SHORTEST_SECRET, Secret
from ...errors import APIStatusError, NotFoundError, QuotaExceededError, ServiceBlockedError
from ..base import hopeless_advice
from .codes import CODES, ERROR_OF_STATUS, status_of_word

__all__ = ["Refusals", "is_refusal", "reset_after"]

_SUCCESS = frozenset({"0", "200", "success", "ok"})
"""Codes by which relays say that nothing is wrong."""

_SHOWN = 500
"""Characters of a body that is no JSON, in a message: a gateway's page says nothing more after these."""

_NO_MONEY = 402
_FRAMED = re.compile(r"^data: ?(\{.*\})\r?$", re.MULTILINE)
"""A gateway may write its refusal as a frame, although its status is no success."""
_CHALLENGE = re.compile(r"just a moment|challenge-platform|cf-chl|captcha", re.IGNORECASE)
_SPRING_STATUS = re.compile(r"([45]\d\d) [A-Z_]+")
_DATE = re.compile(
    r"(\d{4})[-/年](\d{1,2})[-/月](\d{1,2})日?[ T]?(\d{1,2}):(\d{2})(?::(\d{2}))?\s*(Z\b|UTC\b|GMT\b|[+-]\d{2}:?\d{2})?"
)
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
    if str(answer.get("code")).lower() in _SUCCESS:
        return False
    words = answer.get("message") or answer.get("msg")
    return bool(words) and (answer.get("code") is not None or answer.get("object") == "error")


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
    kind: str = ""
    status: int | None = None
    path: str = ""
    request_id: str | None = None


@dataclass(frozen=True, slots=True)
class Refusals:
    """Turns what one response said into the error that users catch.

    Args:
        service: how messages name the service.
        head: the response's status and headers.
        now: gives seconds since the epoch, to measure dates from.
        key: never shown, should the service repeat it.
    """

    service: str
    head: Head
    now: Callable[[], float]
    key: Secret | None = field(default=None, repr=False)

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
        """Classify by the service's code first, by the status second (``docs/wire/open-platform.md`` §3.2)."""
        row = CODES.get(said.code or "")
        if row is not None:
            return self._built(
                said, raw, kind=row.error, advice=row.advice or None, retryable=row.retry
            )
        status = self._meant_status(said)
        kind = ERROR_OF_STATUS.get(status) or (
            class_for_status(status) if status >= 300 else APIStatusError
        )
        # With a path it is a web framework that answers, not the API: the address is wrong, not the model.
        wrong_path = kind is NotFoundError and (said.path or _SPRING_STATUS.fullmatch(said.message))
        advice = "There is nothing at this address: check base_url." if wrong_path else None
        return self._built(said, raw, kind=kind, advice=advice, retryable=retryable_status(status))

    def _meant_status(self, said: _Said) -> int:
        """Return the HTTP status that says what the refusal means; the response's own if nothing tells."""
        if spring := _SPRING_STATUS.fullmatch(said.message):
            # A wrong prefix answers 200 with {"code":500,"msg":"404 NOT_FOUND"}: the words are right, the code is not.
            return int(spring[1])
        if by_code := status_of_word(said.code or ""):
            return by_code
        by_kind = status_of_word(said.kind) or self.head.status
        if by_kind == _NO_MONEY:
            return by_kind  # it comes with a 429, which would be tried again in vain
        if self.head.status >= 300:
            return self.head.status
        return by_kind if said.status is None else said.status

    def _built(
        self,
        said: _Said,
        raw: str,
        *,
        kind: type[APIStatusError],
        advice: str | None,
        retryable: bool,
    ) -> APIStatusError:
        reset = reset_after(said.message, self.now()) if kind is QuotaExceededError else None
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
            retry_after=reset,
        )
        error.request_id = said.request_id or error.request_id
        return error

    def _hidden(self, text: str) -> str:
        key = self.key.reveal() if self.key is not None else ""
        # A short key such as "ollama" is no secret, and masking it would maim the service's words.
        return text.replace(key, "***") if len(key) >= SHORTEST_SECRET else text


def _said(payload: dict[str, Any]) -> _Said:
    """Read the shapes of ``docs/wire/open-platform.md`` §2.7, §3.1 and §5, whichever it is."""
    error = payload.get("error")
    inner: dict[str, Any] = error if isinstance(error, dict) else payload
    message = (
        _words(inner.get("message")) or _words(inner.get("msg")) or _words(payload.get("message"))
    )
    if not message and not isinstance(error, dict):
        message = _words(error) or _words(payload.get("detail"))
    code = _code(inner.get("code"))
    path = payload.get("path")
    return _Said(
        message=message or json.dumps(payload, ensure_ascii=False)[:_SHOWN],
        code=code,
        kind=inner["type"] if isinstance(inner.get("type"), str) else "",
        status=_http_status(payload.get("status")) or _http_status(code),
        path=path if isinstance(path, str) else "",
        request_id=_words(inner.get("request_id")) or _words(payload.get("request_id")) or None,
    )


def _words(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    # FastAPI's validation errors are a list of objects.
    return (
        json.dumps(value, ensure_ascii=False)[:_SHOWN]
        if isinstance(value, (list, dict)) and value
        else ""
    )


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
