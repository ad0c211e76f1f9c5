"""What a script says when the service refuses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, get_args

from ..errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServiceBlockedError,
)

__all__ = ["Refusal", "RefusalKind"]

RefusalKind: TypeAlias = Literal[
    "login",
    "quota",
    "rate_limit",
    "authentication",
    "permission",
    "bad_request",
    "not_found",
    "blocked",
    "server",
]


@dataclass(frozen=True, slots=True)
class Refusal:
    """The service refuses, in its own shape; every part can be set by hand.

    Args:
        kind: why; each dialect knows the status, code and words that its service has for it. ``blocked`` is an
            HTML page, as a login wall or a sleeping service shows it.
        message: the service's words, in place of the dialect's own.
        status: the HTTP status, in place of the dialect's own.
        code: the service's code, in place of the dialect's own.
        retry_after: seconds for a ``Retry-After`` header.
        body: the exact body in place of the dialect's: a mapping is sent as JSON, a string as HTML.

    Raises:
        ConfigurationError: there is no such kind.
    """

    kind: RefusalKind = "server"
    message: str | None = None
    status: int | None = None
    code: int | str | None = None
    retry_after: float | None = None
    body: Mapping[str, Any] | str | None = None

    def __post_init__(self) -> None:
        if self.kind not in get_args(RefusalKind):
            raise ConfigurationError(
                f"there is no refusal of kind {self.kind!r}: use one of {', '.join(get_args(RefusalKind))}; "
                "words of your own go into message=."
            )

    @classmethod
    def of(cls, error: APIStatusError) -> Refusal:
        """Return the refusal that makes a client raise an error like ``error``."""
        kind: RefusalKind = "server"
        for its_class, its_kind in _KIND_OF_ERROR:
            if isinstance(error, its_class):
                kind = its_kind
        return cls(
            kind,
            error.message or None,
            error.status_code or None,
            error.code,
            error.retry_after,
            error.body or None,
        )


_KIND_OF_ERROR: tuple[tuple[type[APIStatusError], RefusalKind], ...] = (
    (QuotaExceededError, "quota"),
    (RateLimitError, "rate_limit"),
    (AuthenticationError, "authentication"),
    (PermissionDeniedError, "permission"),
    (BadRequestError, "bad_request"),
    (NotFoundError, "not_found"),
    (ServiceBlockedError, "blocked"),
)
