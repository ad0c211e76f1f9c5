"""Time limits and bounds: values that every part is given and none invents."""

from __future__ import annotations

from dataclasses import dataclass, fields

from ..errors import ConfigurationError

__all__ = ["Limits", "Timeout"]


@dataclass(frozen=True, slots=True)
class Timeout:
    """Time limits in seconds; ``None`` is no limit.

    Args:
        connect: to open a connection, TLS included.
        first_event: from sending a request to the first event of its answer; heartbeats and queue news do not count.
        idle: without a single byte.
        total: for the whole stream, with queue waits and retries.

    Raises:
        ConfigurationError: a number is not above 0.
    """

    connect: float | None = 10
    first_event: float | None = 120
    idle: float | None = 300
    total: float | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and not _is_seconds(value):
                raise ConfigurationError(
                    f"Timeout.{field.name} must be seconds above 0, or None for no limit, not {value!r}."
                )

    @classmethod
    def of(cls, value: Timeout | float | None) -> Timeout:
        """Return ``value`` as a `Timeout`: a number limits ``total``; ``None`` lifts every limit.

        Raises:
            ConfigurationError: it is neither.
        """
        if isinstance(value, Timeout):
            return value
        if value is None:
            return cls(None, None, None, None)
        if not isinstance(value, (int, float)):
            raise ConfigurationError(
                f"timeout must be a Timeout, seconds or None, not {type(value).__name__}."
            )
        return cls(total=value)


def _is_seconds(value: object) -> bool:
    return (
        isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
    )


_HIGHEST = {"header": 64 * 1024, "headers": 100}
"""http.client's own bounds on a line and on the number of lines; h11's of 100 KiB is beyond them."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what is held in memory; no real service comes near them.

    Args:
        line: bytes in one line of a stream.
        frame: bytes in one frame of a stream.
        events: events that one read may bring.
        body: bytes of an answer that is no stream, such as a list of models.
        error_body: bytes that are read of a refusal; what is longer is cut, not refused.
        header: bytes in the head of a response, at most 65536.
        headers: header fields in it, at most 100.
        rewrites: characters that come again because a service changed an earlier part of its answer.
        answer: characters of a whole answer: its text, reasoning, tool calls, code and all else that a `Reply` holds.
        parts: tool calls, code blocks, images, sources, notices and other objects of an answer.
        decompressed_ratio: how many times larger than received a compressed stream may become.

    Raises:
        ConfigurationError: a bound is not a whole number above 0, or beyond what both HTTP
            libraries take.
    """

    line: int = 128 * 1024 * 1024
    frame: int = 128 * 1024 * 1024
    events: int = 1_000_000
    body: int = 128 * 1024 * 1024
    error_body: int = 64 * 1024
    header: int = 64 * 1024
    headers: int = 100
    rewrites: int = 256 * 1024 * 1024
    decompressed_ratio: int = 200
    answer: int = 128 * 1024 * 1024
    parts: int = 100_000

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ConfigurationError(
                    f"Limits.{field.name} must be a whole number above 0, not {value!r}."
                )
            if value > _HIGHEST.get(field.name, value):
                raise ConfigurationError(
                    f"Limits.{field.name} can be {_HIGHEST[field.name]} at most, which is what the "
                    f"HTTP libraries take; not {value!r}."
                )
