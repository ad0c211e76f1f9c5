"""What a refusal by HTTP status means, where the service's own code does not say more."""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from urllib.parse import urlsplit

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
from .http import Head, load_object, origin
from .retry import parse_retry_after, retryable_status

__all__ = [
    "BODY_SHOWN",
    "HTML_TYPES",
    "class_for_status",
    "is_document",
    "is_html",
    "refusal",
    "shown_html",
]

BODY_SHOWN = 2000
"""Characters of a refusal's body that are kept on the error."""
HTML_TYPES = ("text/html", "application/xhtml+xml")
HTML_READ = 64 * 1024
"""Characters of a page that are searched for its title or its text."""

_BY_STATUS: dict[int, type[APIStatusError]] = {
    400: BadRequestError,
    401: AuthenticationError,
    402: QuotaExceededError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: NotFoundError,
    408: ServerError,
    410: NotFoundError,
    425: ServerError,
    429: RateLimitError,
}

_ADVICE: dict[type[APIStatusError], str] = {
    BadRequestError: "Check the options and messages of the request.",
    AuthenticationError: "Check the key.",
    PermissionDeniedError: "The key may not do this: check its rights, or use another.",
    NotFoundError: "Check base_url and the model's name.",
    RateLimitError: "Wait, or send less at once.",
    QuotaExceededError: "Trying again does not help: recharge, or wait for the reset.",
    ServiceBlockedError: "Open the address in a browser to see what it asks for.",
    ServerError: "Try again later.",
}


def class_for_status(status: int) -> type[APIStatusError]:
    """Return the error class for an HTTP status of 300 or more, or one that is out of place."""
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    if 400 <= status < 500:
        return BadRequestError
    return ServerError if status >= 500 else APIStatusError


def refusal(
    service: str,
    head: Head,
    *,
    reason: str,
    body: str,
    now: float,
    kind: type[APIStatusError] | None = None,
    code: str | None = None,
    advice: str | None = None,
    retryable: bool | None = None,
    retry_after: float | None = None,
) -> APIStatusError:
    """Return the error for a refusal.

    Args:
        service: what the user knows it as.
        reason: the service's own words, may be empty.
        body: what was received.
        now: seconds since the epoch, to read a ``Retry-After`` date against.
        kind: the class, if the service's code told it; by status otherwise.
        advice: what to do; by class otherwise.
        retryable: whether the code says so; by status otherwise.
        retry_after: seconds, if the body told them; by header otherwise.
    """
    kind = kind if kind is not None else class_for_status(head.status)
    if retryable is None:
        retryable = retryable_status(head.status) and not issubclass(kind, QuotaExceededError)
    if 300 <= head.status < 400:
        advice = advice or _redirected(head)
    said = reason or f"HTTP {head.status}"
    label = f" (code {code})" if code is not None else f" (HTTP {head.status})" if reason else ""
    return kind(
        f"{service} refused: {said.rstrip('.')}{label}. {advice or _ADVICE.get(kind, 'See .body for what it sent.')}",
        status_code=head.status,
        code=code,
        reason=said,
        body=body[:BODY_SHOWN],
        retry_after=retry_after
        if retry_after is not None
        else parse_retry_after(head.headers.get("retry-after"), now),
        request_id=head.headers.get("x-request-id"),
        retryable=retryable,
    )


def _redirected(head: Head) -> str:
    """Say where a redirect leads: its whole target but the query and user, which may hold a token."""
    location = head.headers.get("location", "")
    try:
        parts = urlsplit(location)
        elsewhere = origin(location) if parts.scheme else parts.hostname
        where = f"{elsewhere if parts.netloc else ''}{parts.path}" or "another path of this host"
    except ValueError:
        where = "an address that is none"
    return (
        f"It points to {where}. Redirects are not followed, because they could carry a key away: "
        "set base_url to the target, if you trust it."
    )


def is_html(content_type: str, text: str) -> bool:
    """Tell whether a body is a page for people, whatever it calls itself."""
    return content_type in HTML_TYPES or bool(
        re.match(r"\s*(<!doctype html|<html)", text[:200], re.IGNORECASE)
    )


def is_document(body: bytes) -> bool:
    """Tell whether a body is a page or a JSON object, and so no stream."""
    return is_html("", body.decode("utf-8", "replace")) or load_object(body) is not None


def shown_html(text: str) -> str:
    """Return what a page says: its title or heading, or the beginning of its text.

    Every search here is linear in the text, which comes from strangers: a lazy regular expression such as
    ``<title>(.*?)</title>`` takes 18 s for 128 KiB of ``<title>`` tags that are never closed.
    ``html.parser`` was rejected for the same reason: it is quadratic in some supported versions of Python.
    """
    text = text[:HTML_READ]
    lowered = text.lower()
    if len(lowered) != len(
        text
    ):  # a few characters change their length, and the positions must agree
        lowered = text = lowered
    for tag in ("title", "h1"):
        for start, end in _elements(lowered, tag):
            if words := _plain(text[start:end]):
                return words
            break
    return _plain(_without(_without(text, lowered, "script"), None, "style"))


def _elements(lowered: str, tag: str) -> Iterator[tuple[int, int]]:
    """Yield where the content of each element begins and ends; an element that is not closed ends the search."""
    position = 0
    while (opening := lowered.find(f"<{tag}", position)) >= 0:
        position = opening + len(tag) + 1
        if lowered[position : position + 1].isalnum():
            continue  # another tag that begins with the same letters
        start = lowered.find(">", position) + 1
        end = lowered.find(f"</{tag}", start)
        if start == 0 or end < 0:
            return
        yield start, end
        position = end


def _without(text: str, lowered: str | None, tag: str) -> str:
    """Return ``text`` without the elements ``tag``; an unclosed one ends the text, as in a browser."""
    lowered = text.lower() if lowered is None else lowered
    pieces: list[str] = []
    position = 0
    for start, end in _elements(lowered, tag):
        pieces.append(text[position : lowered.rfind("<", position, start)])
        position = lowered.find(">", end) + 1 or len(text)
    rest = lowered.find(f"<{tag}", position)
    pieces.append(text[position : rest if rest >= 0 else len(text)])
    return " ".join(pieces)


def _plain(text: str) -> str:
    # `[^<>]` and not `[^>]`: after each "<" the search must stop at the next one, or it is quadratic.
    return " ".join(html.unescape(re.sub(r"<[^<>]*>", " ", text)).split())[:300]
