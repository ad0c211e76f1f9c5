"""When to try again, and after how long: a value and pure decisions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ..errors import ConfigurationError

__all__ = ["RetryPolicy", "parse_retry_after", "retryable_status"]

LONGEST_ASKED = 60.0
"""Seconds that are waited because a service asks for them, whatever ``max_delay`` is."""

_RETRYABLE_4XX = frozenset({408, 409, 425, 429})


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often and how patiently to try again; a stream is never retried once an event was handed over.

    Args:
        attempts: requests at most, the first included.
        base_delay: seconds before the second attempt, at most; doubled for each further one.
        max_delay: seconds between two attempts, at most, unless the service asks for more: what it asks for is
            waited in full, or, beyond a minute and this, not at all.

    Raises:
        ConfigurationError: a number is out of range.
    """

    attempts: int = 3
    base_delay: float = 0.5
    max_delay: float = 30.0

    def __post_init__(self) -> None:
        if (
            isinstance(self.attempts, bool)
            or not isinstance(self.attempts, int)
            or self.attempts < 1
        ):
            raise ConfigurationError(
                f"RetryPolicy.attempts counts the first try: it must be 1 or more, not {self.attempts!r}."
            )
        for name in ("base_delay", "max_delay"):
            value = getattr(self, name)
            if (
                isinstance(value, bool)
                or not isinstance(value, (int, float))
                or not 0 <= value < float("inf")
            ):
                raise ConfigurationError(
                    f"RetryPolicy.{name} must be seconds, 0 or more, not {value!r}."
                )

    def delay(
        self, attempt: int, retry_after: float | None, chance: Callable[[], float]
    ) -> float | None:
        """Return the seconds to wait after attempt number ``attempt`` failed, or ``None`` to give up.

        Args:
            attempt: 1 for the first.
            retry_after: what the service asked for, in seconds, if it did.
            chance: a random number in [0, 1), for full jitter.
        """
        if retry_after is not None:
            # Never sooner than asked; and nobody should hang for an hour because a header says so.
            longest = max(self.max_delay, LONGEST_ASKED)
            return max(retry_after, 0.0) if retry_after <= longest else None
        # 2**60 seconds is forever; the exponent is bounded so that no attempt number overflows a float.
        return chance() * min(self.max_delay, self.base_delay * 2.0 ** min(attempt - 1, 60))


def retryable_status(status: int) -> bool:
    """Tell whether a refusal with this HTTP status and no known code may succeed later.

    501 and 505 say that it never will (RFC 9110 §15.6.2, §15.6.6).
    """
    return status in _RETRYABLE_4XX or (status >= 500 and status not in (501, 505))


def parse_retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a ``Retry-After`` header asks for (RFC 9110 §10.2.3).

    Args:
        value: the header, seconds or an HTTP date.
        now: the time as seconds since the epoch, to measure a date from.
    """
    if value is None:
        return None
    text = value.strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            return max(parsedate_to_datetime(text).timestamp() - now, 0.0)
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if 0 <= seconds < float("inf") else None
