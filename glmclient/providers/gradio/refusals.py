"""How a Gradio service, its app and the edge before it refuse, as errors (``docs/wire/gradio.md`` §2, §5)."""

from __future__ import annotations

import ast
import html
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.http import Head, load_object
from ...core.refusals import BODY_SHOWN, class_for_status, is_html, shown_html
from ...core.refusals import refusal as core_refusal
from ...errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from ..base import hopeless_advice

__all__ = ["app_failure", "misanswer", "plain_words", "refusal", "session_failure"]

_QUOTA = re.compile(
    r"exceeded your (?:\w+ ){0,3}quota|quota exceeded|insufficient.?quota|AllocationQuota|Arrearage",
    re.IGNORECASE,
)
_RATE = re.compile(
    r"\brate.?limit|too many requests|throttling|queue is full|too busy|overloaded", re.IGNORECASE
)
_INPUT = re.compile(
    r"is not in the list of choices|didn't receive enough input values|^field required\.?$"
    r"|^no function index provided|^session hash not found",
    re.IGNORECASE,
)
_MEANINGS: tuple[tuple[re.Pattern[str], type[APIStatusError], bool], ...] = (
    (_QUOTA, QuotaExceededError, False),
    (_RATE, RateLimitError, True),
    (_INPUT, BadRequestError, False),
    (
        re.compile(r"^(?:not authenticated|unauthorized)\.?$", re.IGNORECASE),
        AuthenticationError,
        False,
    ),
    (
        re.compile(r"^(?:forbidden|permission denied)\.?$", re.IGNORECASE),
        PermissionDeniedError,
        False,
    ),
    (re.compile(r"^not found\.?$", re.IGNORECASE), NotFoundError, False),
    (
        re.compile(r"^queue is stopped\.?$|^internal server error\.?$", re.IGNORECASE),
        ServerError,
        True,
    ),
)
"""What words mean, whether the service says them by HTTP status, in a body of a 200 or in its stream."""

_RETRY_IN = re.compile(
    r"(?:retry|try again) in (?:(\d{1,4}) days?, )?(\d{1,4}):(\d\d):(\d\d)", re.IGNORECASE
)
_ESCAPE = r"\\(?:[\\'\"nrt]|x[0-9a-f]{2}|u[0-9a-f]{4}|U000[0-9a-f]{5}|U0010[0-9a-f]{4})"
_PLAIN = r"\\\x00-\x1f\ud800-\udfff"
_REPR = re.compile(rf"'(?:[^'{_PLAIN}]|{_ESCAPE})*'|\"(?:[^\"{_PLAIN}]|{_ESCAPE})*\"")
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
    "SLEEPING": ("is asleep", "This request wakes it: try again in a minute."),
    "BUILDING": ("is being built", "Try again in some minutes."),
    "RUNNING_BUILDING": ("is being rebuilt", "Try again in some minutes."),
    "APP_STARTING": ("is starting", "Try again in a minute."),
    "RUNNING_APP_STARTING": ("is restarting", "Try again in a minute."),
}
_DOWN = {
    "PAUSED": "was paused by its owner, who alone can start it",
    "STOPPED": "was stopped by its owner, who alone can start it",
    "RUNTIME_ERROR": "crashed, and its owner must repair it",
    "BUILD_ERROR": "could not be built, and its owner must repair it",
    "CONFIG_ERROR": "is set up wrongly, and its owner must repair it",
    "NO_APP_FILE": "has no app, and its owner must repair it",
}
_GATE = re.compile(r"just a moment|captcha|challenge|cf-chl|log ?in|sign ?in", re.IGNORECASE)

_SHOWN = 500
_REFUSING = ("detail", "error")

_ADVICE: dict[type[APIStatusError], str] = {
    AuthenticationError: (
        "A private Space needs a Hugging Face token: give api_key=, or check it. An app with a login of its own cannot "
        "be used."
    ),
    PermissionDeniedError: "Give api_key= with a Hugging Face token that may use this Space.",
    NotFoundError: "Check base_url; a private Space looks like this too without a token.",
    BadRequestError: "The page may have changed; it is asked for again with the next question.",
    QuotaExceededError: "Wait until it is renewed, or give api_key= with a token that has some left.",
    RateLimitError: "Try again later, or send fewer questions at once.",
    ServerError: "Try again; if it stays so, the service is down or has changed.",
}


def refusal(head: Head, body: bytes, now: float, address: str) -> APIStatusError:
    """Return the error for an answer that is not what ``address`` promises.

    Args:
        head: its status and headers; also of a 200 that holds a page.
        body: what was read of it.
        now: seconds since the epoch, for dates in ``Retry-After``.
        address: what was asked for, to be shown: scheme, host and path.
    """
    text = body.decode("utf-8", "replace")
    said = _page_says(head, text) if is_html(head.content_type, text) else _app_says(head, text)
    return core_refusal(
        f"the Gradio service at {address}",
        head,
        reason=said.reason,
        body=text,
        now=now,
        kind=said.kind,
        code=said.code,
        advice=said.advice
        or hopeless_advice(head.status)
        or (_ADVICE.get(said.kind) if said.kind is not None else None),
        retryable=said.retryable,
        retry_after=_wait(said.reason),
    )


def misanswer(head: Head, body: bytes, now: float, address: str) -> GLMError:
    """Return the error for a 200 that does not hold what ``address`` promises: a page, a refusal, or anything else."""
    text = body.decode("utf-8", "replace")
    answer = load_object(body)
    if is_html(head.content_type, text) or (answer and not answer.keys().isdisjoint(_REFUSING)):
        return refusal(head, body, now, address)
    return ProtocolError(
        f"the answer of {address} is not what Gradio promises there: {text[:200]!r}. Check base_url.",
        frame=text[:BODY_SHOWN],
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
    words = plain_words(_unquoted(said)) if isinstance(said, str) and said != "None" else ""
    heading = plain_words(next((t for t in (output.get("title"), title) if isinstance(t, str)), ""))
    if heading and heading.lower() != "error":  # which newer versions write over every failure
        words = f"{heading}: {words}" if words else heading
    if not words:
        return ServerError(
            "the service's app failed and does not say why: it hides its errors. Try again; a full quota or a limit "
            "behind the app looks like this too.",
            status_code=200,
            reason="the app failed and does not say why",
            body=body,
            retryable=True,
        )
    kind, retryable = _kind_of_words(words) or (ServerError, True)
    return kind(
        f"the service's app reports: {words.rstrip('.')}. {_ADVICE[kind]}",
        status_code=200,
        reason=words,
        body=body,
        retry_after=_wait(words),
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
    kind, retryable = (None if lost else _kind_of_words(words)) or (ServerError, True)
    return kind(
        f"the service {what}: {words.rstrip('.') or 'it does not say why'}. "
        f"{'Try again.' if kind is ServerError else _ADVICE[kind]}",
        status_code=200,
        reason=words or f"the service {what}",
        body=body,
        retry_after=_wait(words),
        retryable=retryable,
    )


def plain_words(text: str) -> str:
    """Return an app's words without HTML."""
    return html.unescape(_TAG.sub("", _BREAK.sub("\n", text))).strip()


def _unquoted(text: str) -> str:
    """Return an app's words without the quotes of a ``repr``, in which 4.x sends them."""
    # Not words that only look so: 'a' is not 'b'.
    return str(ast.literal_eval(text)) if _REPR.fullmatch(text) else text


@dataclass(frozen=True, slots=True)
class _Said:
    """What a refusal says; ``None`` leaves it to the HTTP status."""

    reason: str
    kind: type[APIStatusError] | None = None
    code: str | None = None
    advice: str | None = None
    retryable: bool | None = None


def _app_says(head: Head, text: str) -> _Said:
    """Read what Gradio itself says: JSON, or plain text (§2)."""
    kind = class_for_status(head.status) if head.status >= 300 else ServerError
    answer = load_object(text)
    if answer is None:
        lines = text.strip().splitlines() or [""]
        # Of a traceback, which 5.x sends, the last line says what happened.
        return _Said(
            (lines[-1] if lines[0].startswith("Traceback") else text.strip())[:_SHOWN], kind
        )
    reason = plain_words(_detail(answer) or text)[:_SHOWN]
    of_words = None if kind is AuthenticationError else _kind_of_words(reason)
    return _Said(reason, of_words[0], retryable=of_words[1]) if of_words else _Said(reason, kind)


def _page_says(head: Head, text: str) -> _Said:
    """Read a page of HTML: it is the edge that speaks, not the app."""
    stage = "" if head.status == 429 else _stage(text)
    if stage in _STARTING:
        return _Said(
            f"the Space {_STARTING[stage][0]}",
            ServiceBlockedError,
            stage,
            _STARTING[stage][1],
            True,
        )
    if stage in _DOWN:
        return _Said(
            f"the Space {_DOWN[stage]}", ServiceBlockedError, stage, "Use another service.", False
        )
    words = shown_html(text)
    gate = head.status in (200, 403) or (head.status >= 500 and _GATE.search(text))
    if gate:
        return _Said(f"a web page stands in the way: {words}", ServiceBlockedError, retryable=False)
    return _Said(words, class_for_status(head.status))


def _stage(text: str) -> str:
    told = _STAGE.search(text)
    if told:
        return told[1]
    return next((stage for words, stage in _STAGE_WORDS if words.search(text)), "")


def _kind_of_words(words: str) -> tuple[type[APIStatusError], bool] | None:
    """Return the class that an app's words name, and whether to try again; ``None`` leaves it to the HTTP status."""
    return next(
        ((kind, retry) for pattern, kind, retry in _MEANINGS if pattern.search(words)), None
    )


def _detail(answer: Mapping[str, Any]) -> str:
    """Return the words of a refusal: FastAPI's ``detail`` in its three shapes, or an ``error`` (§2)."""
    said = answer.get("detail", answer.get("error"))
    if isinstance(said, dict):
        said = said.get("error")
    if isinstance(said, list):
        parts = [each.get("msg") or each.get("message") for each in said if isinstance(each, dict)]
        said = "; ".join(part for part in parts if isinstance(part, str))
    return said if isinstance(said, str) else ""


def _wait(words: str) -> float | None:
    """Return the seconds to wait that the words tell (§5)."""
    found = _RETRY_IN.search(words)
    if not found:
        return None
    days, hours, minutes, seconds = (int(group or 0) for group in found.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)
