"""What can go wrong, as plain, picklable values that say what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from ._visible import one_line
from .events import ToolCall, Usage, in_notebook
from .reply import Reply

__all__ = [
    "APIConnectionError",
    "APIStatusError",
    "APITimeoutError",
    "AuthenticationError",
    "BadRequestError",
    "CassetteError",
    "ConfigurationError",
    "GLMError",
    "GuestQuotaError",
    "LimitExceeded",
    "MaxRoundsExceeded",
    "NotFoundError",
    "PermissionDeniedError",
    "ProtocolError",
    "QuotaExceededError",
    "RateLimitError",
    "RewriteError",
    "SchemaError",
    "SchemaProblem",
    "ServerError",
    "ServiceBlockedError",
    "StreamCancelled",
    "StreamInterrupted",
    "StreamMisuse",
    "ToolCallError",
    "TransportFailure",
]


def _restore(cls: type[GLMError], args: tuple[Any, ...], state: dict[str, Any]) -> GLMError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


class GLMError(Exception):
    """The base of every error of this package.

    Args:
        message: what happened, what was received, what to do next.
        partial: the answer so far; its ``text`` is ``""`` if nothing came.
        request_id: the service's id of the request, where it told one.
        attempts: requests made, the first included; 0 if nothing was sent.
        retryable: whether the same request may succeed later.
    """

    def __init__(
        self,
        message: str = "",
        *,
        partial: Reply | None = None,
        request_id: str | None = None,
        attempts: int = 0,
        retryable: bool = False,
    ) -> None:
        super().__init__(message)
        self.partial: Reply = partial if partial is not None else Reply()
        self.request_id = request_id
        self.attempts = attempts
        self.retryable = retryable

    def __str__(self) -> str:
        """Return the message on one line; a service's words in it cannot forge a line of a log, or control a terminal.

        ``args`` holds the message as it is.
        """
        return one_line(super().__str__())

    def __reduce__(self) -> tuple[Any, ...]:
        # Keyword-only constructors do not survive BaseException.__reduce__; the causes are dropped by pickle anyway.
        return _restore, (type(self), self.args, self.__dict__.copy())

    def _repr_html_(self) -> str:
        return str(in_notebook("error_html", self))


class ConfigurationError(GLMError, ValueError):
    """Bad arguments, a missing key or an unsupported option; nothing was sent."""


class CassetteError(ConfigurationError):
    """A cassette cannot be read or written, or does not answer what was asked; nothing was sent."""


class APIConnectionError(GLMError):
    """Could not connect, TLS failed, or the connection broke before any event."""


class APITimeoutError(APIConnectionError):
    """A time limit passed; ``limit`` names it: ``connect``, ``first_event``, ``idle`` or ``total``.

    Args:
        limit: the field of :class:`~glmclient.Timeout` that passed.
        seconds: its value.
        elapsed: seconds since the stream began.
    """

    def __init__(
        self,
        message: str = "",
        *,
        limit: str = "total",
        seconds: float | None = None,
        elapsed: float | None = None,
        **known: Any,
    ) -> None:
        super().__init__(message, **known)
        self.limit = limit
        self.seconds = seconds
        self.elapsed = elapsed


class APIStatusError(GLMError):
    """The service refused, by HTTP status, in a frame, or in the body of a 200.

    Args:
        status_code: the HTTP status that came with the refusal.
        code: the service's own code, as text, where it told one.
        reason: the service's own words.
        body: what was received, at most a bounded number of characters.
        retry_after: seconds after which the service says to come back, or ``None``.
    """

    def __init__(
        self,
        message: str = "",
        *,
        status_code: int = 0,
        code: str | None = None,
        reason: str = "",
        body: str = "",
        retry_after: float | None = None,
        **known: Any,
    ) -> None:
        super().__init__(message, **known)
        self.status_code = status_code
        self.code = code
        self.message: str = reason or message
        self.body = body
        self.retry_after = retry_after


class BadRequestError(APIStatusError):
    """The service found the request wrong."""


class AuthenticationError(APIStatusError):
    """The key or token was missing, wrong or expired."""


class PermissionDeniedError(APIStatusError):
    """The key is good, but not for this."""


class NotFoundError(APIStatusError):
    """No such model, address or function."""


class RateLimitError(APIStatusError):
    """Too many requests for now; the same request may succeed later."""


class QuotaExceededError(APIStatusError):
    """The balance, plan or guest allowance is used up; never retried."""


class ServiceBlockedError(APIStatusError):
    """A login wall, a challenge page or a sleeping service stands in the way."""


class GuestQuotaError(QuotaExceededError, ServiceBlockedError):
    """The guest allowance is used up and a login wall stands in its place."""


class ServerError(APIStatusError):
    """The service failed."""


class ProtocolError(GLMError):
    """Bytes that are not what the service promises; ``frame`` holds them, bounded."""

    def __init__(self, message: str = "", *, frame: str = "", **known: Any) -> None:
        super().__init__(message, **known)
        self.frame = frame


class LimitExceeded(ProtocolError):
    """A bound was passed.

    Args:
        limit: the name of the bound.
        maximum: its value.
        actual: what was received, at least.
    """

    def __init__(
        self,
        message: str = "",
        *,
        limit: str = "",
        maximum: int = 0,
        actual: int = 0,
        **known: Any,
    ) -> None:
        super().__init__(message, **known)
        self.limit = limit
        self.maximum = maximum
        self.actual = actual


class StreamInterrupted(GLMError):
    """The stream ended or broke after events were handed over, without the service's end mark."""


class StreamCancelled(StreamInterrupted):
    """``cancel()`` was called."""


class StreamMisuse(GLMError, RuntimeError):
    """Read after close, or two readers at once."""


class RewriteError(GLMError):
    """The service rewrote what a reader of `Stream.appending` had already; ``partial`` is the final answer.

    Args:
        handed_out: the text that the reader had before the rewrite. The final answer does not begin with it.
    """

    def __init__(self, message: str = "", *, handed_out: str = "", **known: Any) -> None:
        super().__init__(message, **known)
        self.handed_out = handed_out


@dataclass(frozen=True, slots=True)
class SchemaProblem:
    """A place where an answer does not fit the schema.

    Args:
        path: the place in the value: ``$`` is the value itself, ``$.cities[0].name`` a member of it.
        message: what is wrong there.
    """

    path: str
    message: str


class SchemaError(GLMError):
    """The answer does not fit the schema; ``partial`` is the reply of the last round.

    Args:
        problems: at least one problem.
    """

    def __init__(
        self, message: str = "", *, problems: Sequence[SchemaProblem] = (), **known: Any
    ) -> None:
        super().__init__(message, **known)
        self.problems: tuple[SchemaProblem, ...] = tuple(problems)


class MaxRoundsExceeded(GLMError):
    """The last answer that a run may ask for still asks for tools; they were not run.

    Args:
        messages: the whole history with the last answer.
        usage: the sum of all rounds, where the service tells it.
    """

    def __init__(
        self,
        message: str = "",
        *,
        messages: Sequence[Any] = (),
        usage: Usage | None = None,
        **known: Any,
    ) -> None:
        super().__init__(message, **known)
        self.messages: tuple[Any, ...] = tuple(messages)
        self.usage = usage


class ToolCallError(GLMError, ValueError):
    """The model called a tool that does not exist, or with arguments that do not fit.

    A run answers such a call with the problem; it raises this error with ``raise_tool_errors=True`` only.

    Args:
        call: the call.
    """

    def __init__(self, message: str = "", *, call: ToolCall | None = None, **known: Any) -> None:
        super().__init__(message, **known)
        self.call = call


FailureKind = Literal[
    "broken",
    "cancelled",
    "connect",
    "connect_timeout",
    "ended",
    "garbage",
    "headers",
    "limit",
    "proxy",
    "proxy_refused",
    "stale",
    "timeout",
    "tls",
]
"""What broke; `TransportFailure` describes each kind."""


class TransportFailure(Exception):
    """A step that the network did not let happen, in plain words; the ``__cause__`` of what users see.

    It names no library's types, so that errors stay picklable and hold no headers and no bodies.

    Args:
        kind: ``connect``, ``tls``, ``proxy``, ``proxy_refused``, ``timeout``, ``connect_timeout``, ``broken``,
            ``stale`` (a connection that was kept broke without a byte), ``ended`` (in order, but without the end mark),
            ``garbage`` (bytes that are not HTTP), ``limit`` and ``headers`` (bounds of the HTTP head) or ``cancelled``.
        detail: what the library said.
    """

    def __init__(self, kind: FailureKind, detail: str = "") -> None:
        super().__init__(kind, detail)
        self.kind: FailureKind = kind
        self.detail = detail

    def __str__(self) -> str:
        return one_line(f"{self.kind}: {self.detail}") if self.detail else f"{self.kind}"
