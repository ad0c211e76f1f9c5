"""Errors as OpenAI's API writes them: an HTTP status, a JSON body, and headers that say whether to try again."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    RewriteError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
)

__all__ = ["Refused", "refusal_of"]

_INVALID = "invalid_request_error"

# The first class that an error is an instance of counts: a class stands before its bases.
_CLASSES: tuple[tuple[type[GLMError], int, str, str], ...] = (
    (ConfigurationError, 400, _INVALID, "unsupported_request"),
    (AuthenticationError, 401, "authentication_error", "invalid_api_key"),
    (PermissionDeniedError, 403, "permission_error", "permission_denied"),
    (NotFoundError, 404, _INVALID, "model_not_found"),
    (QuotaExceededError, 429, "insufficient_quota", "insufficient_quota"),
    (RateLimitError, 429, "rate_limit_error", "rate_limit_exceeded"),
    (ServiceBlockedError, 503, "server_error", "service_blocked"),
    (ServerError, 502, "server_error", "server_error"),
    (BadRequestError, 400, _INVALID, "bad_request"),
    (APIStatusError, 502, "server_error", "server_error"),
    (APITimeoutError, 504, "server_error", "timeout"),
    (APIConnectionError, 502, "server_error", "connection_error"),
    (RewriteError, 502, "server_error", "answer_rewritten"),
    (StreamInterrupted, 502, "server_error", "stream_interrupted"),
    (ProtocolError, 502, "server_error", "bad_answer"),
    (GLMError, 500, "server_error", "internal_error"),
)
_OWN_STATUS = (401, 403, 404, 407, 408, 429)
"""Statuses that classes of their own stand for; a `BadRequestError` does not answer with one of them."""


class Refused(Exception):
    """A request that gets an error in place of an answer.

    Args:
        status: the HTTP status.
        message: what happened and what to do next.
        kind: OpenAI's ``type``.
        code: OpenAI's ``code``.
        param: the member of the request that is wrong.
        headers: further headers of the response.
        service: what the service behind told about its refusal.
    """

    def __init__(
        self,
        status: int,
        message: str,
        kind: str = _INVALID,
        *,
        code: str | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
        service: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.kind = kind
        self.code = code
        self.param = param
        self.headers: dict[str, str] = dict(headers or {})
        self.service = service

    def body(self) -> dict[str, Any]:
        """Return the body of the response, and the data of an error event."""
        error: dict[str, Any] = {
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.code,
        }
        if self.service is not None:
            error["service"] = self.service
        return {"error": error}


def refusal_of(error: GLMError, provider: str) -> Refused:
    """Return how the gateway answers when the service behind it, or a check of the question, failed.

    The class of the error decides. A service's own status is kept where it says more: another 4xx for a bad request,
    another 5xx for a failed server.

    Args:
        error: what the client raised.
        provider: the name of the service.
    """
    default, kind, code = next(row[1:] for row in _CLASSES if isinstance(error, row[0]))
    headers = {"x-should-retry": "true" if error.retryable else "false"}
    retry_after = getattr(error, "retry_after", None)
    if retry_after is not None:
        headers["retry-after"] = str(max(math.ceil(retry_after), 0))
    known = {
        "provider": provider,
        "class": type(error).__name__,
        "code": getattr(error, "code", None),
        "request_id": error.request_id,
    }
    service = {name: value for name, value in known.items() if value is not None}
    return Refused(
        _status(error, default), str(error), kind, code=code, headers=headers, service=service
    )


def _status(error: GLMError, default: int) -> int:
    own = getattr(error, "status_code", 0)
    if isinstance(error, BadRequestError):
        return own if 400 <= own < 500 and own not in _OWN_STATUS else default
    if isinstance(error, ServerError):
        return own if 500 <= own < 600 else default
    return default
