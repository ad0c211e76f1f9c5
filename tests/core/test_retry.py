"""When to try again, and after how long."""

from __future__ import annotations

import sys
from datetime import datetime, timezone
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient import ConfigurationError, RetryPolicy
from glmclient.core.retry import LONGEST_ASKED, parse_retry_after, retryable_status

NOW = 1_700_000_000.0


def never() -> float:
    raise AssertionError("chance was asked for")


def test_the_default() -> None:
    assert RetryPolicy() == RetryPolicy(attempts=3, base_delay=0.5, max_delay=30.0)


@pytest.mark.parametrize("attempts", [0, -1, 1.5, True, None, "3"])
def test_attempts_are_counted_from_one(attempts: Any) -> None:
    with pytest.raises(ConfigurationError, match="counts the first try"):
        RetryPolicy(attempts=attempts)


@pytest.mark.parametrize("name", ["base_delay", "max_delay"])
@pytest.mark.parametrize("value", [-0.1, float("inf"), float("nan"), True, None, "1"])
def test_delays_are_seconds(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"RetryPolicy.{name} must be seconds"):
        RetryPolicy(**{name: value})


def test_delays_double_up_to_the_highest() -> None:
    policy = RetryPolicy(base_delay=1.0, max_delay=5.0)
    assert [policy.delay(n, None, lambda: 1.0) for n in range(1, 6)] == [1, 2, 4, 5, 5]


def test_jitter_is_full() -> None:
    policy = RetryPolicy(base_delay=4.0)
    assert [policy.delay(1, None, lambda c=chance: c) for chance in (0.0, 0.25)] == [0.0, 1.0]


def test_what_the_service_asked_for_comes_first_and_has_no_jitter() -> None:
    policy = RetryPolicy(base_delay=1.0, max_delay=10.0)
    assert policy.delay(3, 7.0, never) == 7.0
    assert policy.delay(1, 0.0, never) == 0.0
    assert policy.delay(1, -5.0, never) == 0.0


def test_what_the_service_asked_for_is_waited_in_full_or_not_at_all() -> None:
    policy = RetryPolicy(base_delay=1.0, max_delay=10.0)
    assert policy.delay(1, LONGEST_ASKED, never) == LONGEST_ASKED
    assert policy.delay(1, LONGEST_ASKED + 1, never) is None
    patient = RetryPolicy(max_delay=600.0)
    assert patient.delay(1, 600.0, never) == 600.0
    assert patient.delay(1, 601.0, never) is None


@given(
    attempt=st.integers(1, sys.maxsize),
    base=st.floats(0, 1e300),
    highest=st.floats(0, 1e300),
    chance=st.floats(0, 1, exclude_max=True),
)
def test_a_delay_is_always_within_bounds(
    attempt: int, base: float, highest: float, chance: float
) -> None:
    delay = RetryPolicy(base_delay=base, max_delay=highest).delay(attempt, None, lambda: chance)
    assert delay is not None
    assert 0 <= delay <= highest


@pytest.mark.parametrize("status", [408, 409, 425, 429, 500, 502, 503, 504, 507, 520, 529, 599])
def test_statuses_that_may_pass(status: int) -> None:
    assert retryable_status(status)


@pytest.mark.parametrize(
    "status", [200, 301, 400, 401, 402, 403, 404, 405, 410, 422, 451, 501, 505]
)
def test_statuses_that_stay(status: int) -> None:
    assert not retryable_status(status)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("7", 7.0),
        (" 7 ", 7.0),
        ("0", 0.0),
        ("1.5", 1.5),
        ("-1", None),
        ("inf", None),
        ("nan", None),
        ("", None),
        ("soon", None),
        ("Tue, 99 Nov 2023 99:99:99 GMT", None),
        (format_datetime(datetime.fromtimestamp(NOW + 90, timezone.utc), usegmt=True), 90.0),
        (format_datetime(datetime.fromtimestamp(NOW - 90, timezone.utc), usegmt=True), 0.0),
    ],
)
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, NOW) == seconds


@given(st.text())
def test_any_retry_after_is_seconds_or_nothing(value: str) -> None:
    seconds = parse_retry_after(value, NOW)
    assert seconds is None or 0 <= seconds < float("inf")
