"""What a step that failed, or a body that just ended, means in the vocabulary of users."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from ..errors import (
    APIConnectionError,
    APITimeoutError,
    FailureKind,
    GLMError,
    LimitExceeded,
    ProtocolError,
    StreamCancelled,
    StreamInterrupted,
    TransportFailure,
)
from .deadlines import Deadlines
from .limits import Limits

__all__ = [
    "Progress",
    "beyond_python",
    "ended_early",
    "head_too_long",
    "meaning",
    "too_many_events",
]

_HEAD = "the head of the response"
_AGAIN = "What came is on `error.partial`; ask again for a whole answer."
_CHECK = "Check the address and any proxy."
_CONNECTION = {
    "connect": "could not connect: {detail}. Check the address, the network and any proxy.",
    "tls": "TLS failed: {detail}. Check the address; for certificate authorities of your own give "
    "verify='ca.pem', and to a server that asks for a certificate give cert='client.pem'.",
    "proxy": "the proxy failed: {detail}. Check proxy= and the proxy variables of the environment.",
    "proxy_refused": "the proxy refused: {detail}. Check proxy=, with user and password if it asks "
    "for them, and the proxy variables of the environment.",
    "broken": "the connection broke before any event: {detail}. Try again.",
}
_LASTING = ("tls", "proxy_refused")
"""Kinds that the next attempt would meet again."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far an exchange has come.

    Args:
        connected: the head of a response is here.
        handed_over: an event was handed over.
        received: bytes of the stream.
        characters: of the answer's text.
    """

    connected: bool
    handed_over: bool
    received: int
    characters: int

    def __str__(self) -> str:
        if self.handed_over:
            return f"{self.characters} characters of the answer had come"
        if self.connected:
            return f"no event had come, in {self.received} bytes"
        return "no answer had come"


def meaning(
    failure: TransportFailure, progress: Progress, limits: Limits, deadlines: Deadlines
) -> GLMError:
    """Return the error that a failed step is at this point."""
    kind, detail = failure.kind, failure.detail
    if kind == "cancelled":
        return StreamCancelled(f"the stream was cancelled; {progress}.")
    if kind == "connect_timeout":
        return _timed_out("connect", deadlines.timeout.connect, progress, deadlines)
    if kind == "timeout":
        return _timed_out(*deadlines.passed(), progress, deadlines)
    if kind == "limit":
        where = "the framing of the body" if progress.connected else _HEAD
        return _too_long("header", "bytes", limits.header, None, detail, where)
    if kind == "headers":
        return _too_long("headers", "fields", limits.headers, None, detail)
    if kind == "garbage":
        return ProtocolError(
            f"the answer is not HTTP ({detail}); {progress}. {_CHECK}", frame=detail
        )
    if kind == "ended":
        return ended_early(progress)
    if kind == "stale":
        kind = "broken"
    if kind not in get_args(FailureKind):
        return _of_unknown_kind(failure, progress)
    if kind == "broken" and progress.handed_over:
        return StreamInterrupted(
            f"the connection broke before the service's end mark ({detail}); {progress}. {_AGAIN}",
            retryable=True,
        )
    return APIConnectionError(
        _CONNECTION[kind].format(detail=detail), retryable=kind not in _LASTING
    )


def _of_unknown_kind(failure: TransportFailure, progress: Progress) -> GLMError:
    """Return the error for a failure that only a third party's transport can report."""
    kinds = ", ".join(get_args(FailureKind))
    message = (
        f"the transport reported a failure of the unknown kind {str(failure.kind)[:40]!r} ({failure.detail}); "
        f"{progress}. Correct the transport: TransportFailure takes one of {kinds}."
    )
    kind = StreamInterrupted if progress.handed_over else APIConnectionError
    return kind(message, retryable=False)


def ended_early(progress: Progress) -> GLMError:
    """Return the error for a body that ended cleanly without the service's end mark."""
    if progress.handed_over:
        error: GLMError = StreamInterrupted(
            f"the stream ended without the service's end mark; {progress}. {_AGAIN}",
            retryable=True,
        )
    else:
        error = APIConnectionError(
            f"the service closed the stream before any event ({progress.received} bytes came). Try "
            "again; if it stays so, the service may be down or may have changed.",
            retryable=True,
        )
    error.__cause__ = TransportFailure("ended", f"the body ended after {progress.received} bytes")
    return error


def head_too_long(limits: Limits, size: int, fields: int) -> LimitExceeded | None:
    """Return the error for the head of a response that passes a bound, if it does.

    Args:
        size: its bytes.
        fields: its header fields.
    """
    if size > limits.header:
        return _too_long("header", "bytes", limits.header, size)
    if fields > limits.headers:
        return _too_long("headers", "fields", limits.headers, fields)
    return None


def beyond_python(error: Exception) -> ProtocolError:
    """Return the error for a value from outside that Python cannot work with."""
    what = (
        "is nested too deeply"
        if isinstance(error, RecursionError)
        else "holds a number that is too large"
    )
    return ProtocolError(
        f"the service sent JSON that {what} for Python ({error}). Ask for another form of answer, or check what stands "
        "between the service and this client."
    )


def too_many_events(count: int, limits: Limits) -> LimitExceeded:
    """Return the error for a read that brought more events than the bound."""
    return LimitExceeded(
        f"one read brought {count} events, more than {limits.events}. Raise Limits.events if that is right.",
        limit="events",
        maximum=limits.events,
        actual=count,
    )


def _too_long(
    limit: str,
    unit: str,
    maximum: int,
    actual: int | None,
    detail: str = "",
    where: str = _HEAD,
) -> LimitExceeded:
    # A library stops reading at the bound: what would have followed is not known.
    said = f"{actual} {unit}" if actual is not None else f"more than {maximum} {unit}: {detail}"
    return LimitExceeded(
        f"{where} is longer than {maximum} {unit} ({said}). No service sends "
        f"that: {_CHECK[0].lower()}{_CHECK[1:]}",
        limit=limit,
        maximum=maximum,
        actual=actual if actual is not None else maximum + 1,
    )


def _timed_out(
    limit: str, seconds: float | None, progress: Progress, deadlines: Deadlines
) -> APITimeoutError:
    elapsed = deadlines.elapsed()
    shown = f" of {seconds:g} s" if seconds is not None else ""
    return APITimeoutError(
        f"the time limit `{limit}`{shown} passed after {elapsed:.1f} s; {progress}. "
        f"Raise Timeout({limit}=...) if the service needs longer.",
        limit=limit,
        seconds=seconds,
        elapsed=elapsed,
        retryable=limit != "total",
    )
