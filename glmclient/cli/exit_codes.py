"""What the process returns; the numbers are documented and stay."""

from __future__ import annotations

from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    GLMError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
)

__all__ = ["CLOSED_PIPE", "INTERRUPTED", "MEANINGS", "OK", "USAGE", "of"]

OK = 0
OTHER = 1
USAGE = 2
INTERRUPTED = 130
"""As shells say it of a process that SIGINT ended."""
CLOSED_PIPE = 141
"""As shells say it of a process that SIGPIPE ended."""

# The first that an error is an instance of counts: a class stands before its bases.
_CLASSES: tuple[tuple[type[GLMError], int, str], ...] = (
    (ConfigurationError, USAGE, "wrong arguments, a missing key or an unsupported option"),
    (APITimeoutError, 4, "a time limit passed"),
    (APIConnectionError, 3, "no connection, or it broke before any event"),
    (AuthenticationError, 5, "the key is missing, wrong or expired"),
    (PermissionDeniedError, 5, "the key is good, but not for this"),
    (QuotaExceededError, 7, "the balance, plan or guest allowance is used up"),
    (RateLimitError, 6, "too many requests for now"),
    (ServiceBlockedError, 8, "a login wall, a challenge page or a sleeping service"),
    (ServerError, 10, "the service failed"),
    (APIStatusError, 9, "the service refused for another reason"),
    (ProtocolError, 11, "an answer that is not what the service promises, or that passed a bound"),
    (StreamInterrupted, 12, "the answer broke off; what came was shown"),
    (GLMError, OTHER, "any other failure"),
)

MEANINGS: dict[int, str] = {
    OK: "the answer ended",
    **{
        code: "; ".join(meaning for _, other, meaning in _CLASSES if other == code)
        for code in sorted({code for _, code, _ in _CLASSES})
    },
    INTERRUPTED: "Ctrl-C",
    CLOSED_PIPE: "whoever read standard output closed it",
}
"""What each code means, for the documents."""


def of(error: GLMError) -> int:
    """Return the exit code for ``error``."""
    return next(code for kind, code, _ in _CLASSES if isinstance(error, kind))
