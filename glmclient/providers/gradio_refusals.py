"""How a Gradio service, its app and the edge before it refuse, as errors (``docs/wire/gradio.md`` §2, §5)."""

from __future__ import annotations

import ast
import html
import re
from typing import Any

from ..core.http import Head, load_object, origin
from ..core.retry import parse_retry_after, retryable_status
from ..errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)

__all__ = ["app_failure", "plain_words", "refusal", "session_failure"]

_QUOTA = re.compile(
    r"exceeded your (?:\w+ ){0,3}quota|quota exceeded|insufficient.?quota|AllocationQuota|Arrearage",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"\brate.?limit|too many requests|throttling|queue is full|too busy|overloaded", re.IGNORECASE
)
_INPUT = re.compile(
    r"is not in the list of choices|didn't receive enough input values", re.IGNORECASE
)
_RETRY_IN = re.compile(
    r"(?:retry|try again) in (?:(\d{1,4}) days?, )?(\d{1,4}):(\d\d):(\d\d)", re.IGNORECASE
)
_TAG = re.compile(r"</?[a-zA-Z][^<>]*>")
_BREAK = re.compile(r"<br\s*/?>", re.IGNORECASE)

_STAGE = re.compile(r"(?:\"|&quot;)stage(?:\"|&quot;)\s*:\s*(?:\"|&quot;)([A-Z_]+)")
_STAGE_WORDS = (
    (re.compile(r"space is sleeping|sleeping due to inactivity", re.IGNORECASE), "SLEEPING"),
    (re.compile(r"space (?:is|has been) paused", re.IGNORECASE), "PAUSED"),
    (re.compile(r"space is (?:building|starting|restarting)", re.IGNORECASE), "BUILDING"),
    (re.compile(r"space is in error", re.IGNORECASE), "RUNTIME_ERROR"),
)
_STARTING = {
    "SLEEPING": "is asleep, and this request wakes it; try again in a minute",
    "BUILDING": "is being built; try again in some minutes",
    "RUNNING_BUILDING": "is being rebuilt; try again in some minutes",
    "APP_STARTING": "is starting; try again in a minute",
    "RUNNING_APP_STARTING": "is restarting; try again in a minute",
}
_DOWN = {
    "PAUSED": "was paused by its owner, who alone can start it; use another service",
    "STOPPED": "was stopped by its owner, who alone can start it; use another service",
    "RUNTIME_ERROR": "crashed, and its owner must repair it; use another service",
    "BUILD_ERROR": "could not be built, and its owner must repair it; use another service",
    "CONFIG_ERROR": "is set up wrongly, and its owner must repair it; use another service",
    "NO_APP_FILE": "has no app, and its owner must repair it; use another service",
}
_GATE = re.compile(r"just a moment|captcha|challenge|cf-chl|log ?in|sign ?in", re.IGNORECASE)
_TITLE = re.compile(r"<title[^>]*>([^<]{1,200})</title>", re.IGNORECASE)

_SHOWN = 500
_LOOKED_AT = 65536

_ADVICE: dict[type[APIStatusError], str] = {
    AuthenticationError: (
        "A private Space needs a Hugging Face token: give api_key=, or check it. An app with a login of its own cannot "
        "be used."
    ),
    PermissionDeniedError: "Give api_key= with a Hugging Face token that may use this Space.",
    NotFoundError: "Check base_url; a private Space looks like this too without a token.",
    BadRequestError: "The page may have changed; it is asked for again with the next question.",
    RateLimitError: "Try again later, or send fewer questions at once.",
    QuotaExceededError: "Wait until it is renewed, or give api_key= with a token that has quota left.",
    ServerError: "Try again; if it stays so, the service is down or has changed.",
    ServiceBlockedError: "Open base_url in a browser and see what stands there.",
}


def refusal(head: Head, body: bytes, now: float, step: str) -> APIStatusError:
    """Return the error for an answer that is not what ``step`` promises.

    Args:
        head: its status and headers; also of a 200 that holds a page.
        body: what was read of it.
        now: seconds since the epoch, for dates in ``Retry-After``.
        step: the path that was asked for, to be shown.
    """
    text = body.decode("utf-8", "replace")
    kind, reason, code, retryable, advice = _judged(head, text)
    return kind(
        f"{step} was refused (HTTP {head.status}): {_sentence(reason)} {advice or _ADVICE[kind]}",
        status_code=head.status,
        code=code,
        reason=reason,
        body=text,
        retry_after=_wait(head, reason, now),
        retryable=retryable,
    )


def app_failure(output: Any, title: Any, body: str) -> APIStatusError:
    """Return the error for a ``process_completed`` without success.

    Args:
        output: what it carries: ``{"error": words or None, ...}``.
        title: its own title, used if the output has none.
        body: the frame.
    """
    output = output if isinstance(output, dict) else {}
    said = output.get("error")
    words = plain_words(said) if isinstance(said, str) and said != "None" else ""
    heading = next((t for t in (output.get("title"), title) if isinstance(t, str)), "")
    if not words:
        return ServerError(
            "the service's app failed and does not say why: it hides its errors. Try again; a full quota or a limit "
            "behind the app looks like this too.",
            status_code=200,
            reason="the app failed and does not say why",
            body=body,
            retryable=True,
        )
    kind, retryable = _kind_of_words(f"{heading} {words}", ServerError, True)
    return kind(
        f"the service's app reports: {_sentence(words)} {_ADVICE[kind]}",
        status_code=200,
        reason=words,
        body=body,
        retry_after=_wait(None, words, 0.0),
        retryable=retryable,
    )


def session_failure(message: Any, lost: bool, body: str) -> APIStatusError:
    """Return the error for an ``unexpected_error``, which ends all that a session has under way.

    Args:
        message: the service's words.
        lost: the service does not know the session.
        body: the frame.
    """
    words = plain_words(message) if isinstance(message, str) else ""
    what = "lost the session" if lost else "gave up"
    return ServerError(
        f"the service {what}: {_sentence(words or 'it does not say why')} Try again.",
        status_code=200,
        reason=words or f"the service {what}",
        body=body,
        retryable=True,
    )


def plain_words(text: str) -> str:
    """Return an app's words without the quotes of a ``repr`` (4.x) and without HTML."""
    text = text.strip()
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        try:
            unquoted = ast.literal_eval(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            unquoted = None  # words that only look so: 'a' is not 'b'
        text = unquoted if isinstance(unquoted, str) else text
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", text))).strip()


_Judged = tuple[type[APIStatusError], str, "str | None", bool, str]
"""The class, the service's words, its code, whether to try again, and what to do if not the usual."""


def _judged(head: Head, text: str) -> _Judged:
    if 300 <= head.status < 400:
        there = origin(head.headers.get("location", ""))
        reason = f"it sends visitors to {there}" if there != "://" else "it sends visitors elsewhere"
        return ServiceBlockedError, reason, None, False, ""
    if text.lstrip("\ufeff \t\r\n").startswith("<"):
        return _judged_page(head.status, text[:_LOOKED_AT])
    reason = plain_words(_detail(text)) or "no reason was given"
    kind, retryable = _kind_of_status(head.status)
    if kind is not AuthenticationError:
        kind, retryable = _kind_of_words(reason, kind, retryable)
    return kind, reason[:_SHOWN], None, retryable, ""


def _judged_page(status: int, text: str) -> _Judged:
    """Judge a page of HTML: it is the edge that speaks, not the app."""
    title = _TITLE.search(text)
    words = (" ".join(html.unescape(title[1]).split()) if title else "") or "a web page"
    stage = _stage(text)
    if status != 429 and stage in _STARTING:
        return ServiceBlockedError, f"the Space {_STARTING[stage]}", stage, True, " "
    if status != 429 and stage in _DOWN:
        return ServiceBlockedError, f"the Space {_DOWN[stage]}", stage, False, " "
    if status in (200, 403) or (status >= 500 and _GATE.search(text)):
        return ServiceBlockedError, f"a web page stands in the way: {words}", None, False, ""
    kind, retryable = _kind_of_status(status)
    return kind, words, None, retryable, ""


def _stage(text: str) -> str:
    told = _STAGE.search(text)
    if told:
        return told[1]
    return next((stage for words, stage in _STAGE_WORDS if words.search(text)), "")


def _kind_of_status(status: int) -> tuple[type[APIStatusError], bool]:
    by_status: dict[int, type[APIStatusError]] = {
        401: AuthenticationError,
        402: QuotaExceededError,
        403: PermissionDeniedError,
        404: NotFoundError,
        429: RateLimitError,
    }
    other = BadRequestError if 400 <= status < 500 else ServerError
    return by_status.get(status, other), retryable_status(status)


def _kind_of_words(
    words: str, otherwise: type[APIStatusError], retryable: bool
) -> tuple[type[APIStatusError], bool]:
    if _QUOTA.search(words):
        return QuotaExceededError, False
    if _RATE.search(words):
        return RateLimitError, True
    if _INPUT.search(words):
        return BadRequestError, False
    return otherwise, retryable


def _detail(text: str) -> str:
    """Return the words of a refusal: FastAPI's ``detail`` in its three shapes, ``error``, or plain text (§2)."""
    answer = load_object(text)
    if answer is None:
        return text.strip()[:_SHOWN]
    said = answer.get("detail", answer.get("error", answer.get("message")))
    if isinstance(said, dict):
        said = said.get("error") or said.get("message")
    if isinstance(said, list):
        parts = [each.get("msg") or each.get("message") for each in said if isinstance(each, dict)]
        said = "; ".join(part for part in parts if isinstance(part, str))
    return said if isinstance(said, str) else text.strip()[:_SHOWN]


def _wait(head: Head | None, words: str, now: float) -> float | None:
    """Return the seconds to wait that a header or the words tell (§5)."""
    if head is not None:
        told = parse_retry_after(head.headers.get("retry-after"), now)
        if told is not None:
            return told
    found = _RETRY_IN.search(words)
    if not found:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _sentence(text: str) -> str:
    return text if text[-1] in ".!?。！？" else f"{text}."
