"""What ChatGLM's refusals mean, whether they come by HTTP status, as a JSON body or in a frame (§1 of its wire page).

One table decides for all of them: the service's words about walls first, because their codes differ from report to
report; then its code, if the code stands for an HTTP status; then its words about load; then the HTTP status.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...core.http import Head, load_object
from ...core.refusals import BODY_SHOWN, class_for_status, is_html, refusal, shown_html
from ...errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    GLMError,
    GuestQuotaError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from ..base import hopeless_advice
from .wire import (
    GUEST_WALL,
    QUOTA_WORDS,
    failure_of,
    is_code,
    is_frame,
    objects,
    reason_of,
    string,
)

__all__ = ["refused"]

_PLATFORM_ADVICE = (
    "This guest service is somebody's web page and sets its own limits; for a service that you can rely on, use the "
    "open platform: provider='zai' or 'bigmodel' with a key."
)
_LOGIN = ("登录", "login", "log in", "sign in")
_CHALLENGE = (
    "captcha",
    "challenge",
    "verify you are human",
    "验证码",
    "人机验证",
    "just a moment",
)
_LOAD = (
    *("请等待", "等待其他", "繁忙", "忙碌", "排队", "频繁", "过多", "高峰", "拥挤"),
    *("busy", "queue", "too often", "too frequent", "too many", "peak hour", "rate limit"),
)
"""Words by which the service asks to come back later."""
_WALLS = (ServiceBlockedError, QuotaExceededError)
_ABOUT_KEYS = (AuthenticationError, PermissionDeniedError)


@dataclass(frozen=True, slots=True)
class _Reason:
    """Why the service refuses: its code as text, empty if there is none, and its words."""

    code: str
    words: str
    invalid: bool = False
    """The words are those of a check of the request's fields."""

    @property
    def kind(self) -> type[APIStatusError] | None:
        """The class that code and words decide; ``None`` leaves it to the HTTP status."""
        lower = self.words.lower()
        login = any(word in lower for word in _LOGIN)
        quota = any(word in lower for word in QUOTA_WORDS)
        if login and quota:
            return GuestQuotaError
        if quota:
            return QuotaExceededError
        if login or any(word in lower for word in _CHALLENGE):
            return ServiceBlockedError
        if self.invalid:
            return BadRequestError
        if (status := _status_of(self.code)) is not None:
            return class_for_status(status)
        return RateLimitError if any(word in lower for word in _LOAD) else None


def _status_of(code: str) -> int | None:
    """Return the HTTP status that a code stands for: 40102 for 401; 10061 stands for none."""
    digits = code.lstrip("-")
    if digits.isascii() and digits.isdigit() and len(digits) in (3, 5) and digits[0] in "45":
        return int(digits[:3])
    return None


def refused(head: Head, body: bytes, now: float) -> GLMError:
    """Return the error for an answer that is not a stream, or a frame that is not part of an answer.

    Args:
        head: of the response.
        body: of the response, or the data of the frame.
        now: seconds since the epoch.
    """
    text = body.decode("utf-8", "replace")
    if is_html(head.content_type, text):
        return _page(head, text, now)
    data = load_object(body) or {}
    reason = _reason(data)
    kind = reason.kind
    if kind is None and head.status == 200:
        if is_frame(data):
            kind = ServerError  # it broke off an answer, and does not say more
            reason = _Reason(reason.code, reason.words or "no reason told")
        elif reason.code == "0":
            kind = NotFoundError
            words = reason.words or "no answer and no reason; the assistant may not exist"
            reason = _Reason(reason.code, words)
        elif reason.code:
            kind = BadRequestError
        elif not reason.words:
            return ProtocolError(
                f"ChatGLM sent an answer of type {head.content_type or 'unknown'!r} instead of a stream; it is in "
                "`.frame`. The service may have changed, or the address is not ChatGLM's.",
                frame=text[:BODY_SHOWN],
            )
    return _error(head, reason, kind, text, now)


def _page(head: Head, text: str, now: float) -> GLMError:
    shown = shown_html(text)
    # A page with a 5xx may be a server that is down; any other stands in the way.
    kind = ServiceBlockedError if head.status < 500 else _Reason("", shown).kind
    words = f"a web page came instead of an answer: {shown or 'without text'}"
    return _error(head, _Reason("", words), kind, text, now)


def _error(
    head: Head, reason: _Reason, kind: type[APIStatusError] | None, text: str, now: float
) -> APIStatusError:
    by_status = APIStatusError if head.status == 200 else class_for_status(head.status)
    shown = kind or by_status
    return refusal(
        "ChatGLM",
        head,
        reason=reason.words,
        body=text,
        now=now,
        kind=shown,
        code=reason.code or None,
        advice=_advice(shown, head.status, reason),
        retryable=None if kind is None else issubclass(kind, (ServerError, RateLimitError)),
    )


def _advice(kind: type[APIStatusError], status: int, reason: _Reason) -> str | None:
    """Return what to do where this service differs from others: it has walls, and takes no key."""
    if issubclass(kind, _WALLS):
        return _PLATFORM_ADVICE
    if issubclass(kind, _ABOUT_KEYS):
        return f"It takes no key, so there is none to check. {_PLATFORM_ADVICE}"
    if reason.code == str(GUEST_WALL) and not reason.words:
        return (
            "It gives no reason: it may be the service's limit for guests, by device and address. "
            f"{_PLATFORM_ADVICE}"
        )
    return hopeless_advice(status)


def _reason(data: Mapping[str, Any]) -> _Reason:
    invalid = "; ".join(_invalid_fields(data))
    if invalid:
        return _Reason("", invalid, invalid=True)
    code, words = failure_of(data)
    if not (code or words):
        code, words = reason_of(data)
    status = data.get("status")
    return _Reason(str(status) if is_code(status) else code, words)


def _invalid_fields(data: Mapping[str, Any]) -> list[str]:
    """Return what a check of the request complains about, one entry for each field."""
    found = data.get("validation_error")
    groups = list(found.values()) if isinstance(found, Mapping) else [data.get("detail")]
    return [
        f"{place}: {problem}" if place else problem
        for group in groups
        for entry in objects(group)
        if (problem := string(entry.get("msg")))
        for place in [_place(entry.get("loc"))]
    ]


def _place(loc: object) -> str:
    return ".".join(str(each) for each in loc) if isinstance(loc, list) else string(loc)
