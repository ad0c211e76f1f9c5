"""Time limits and bounds are checked when they are written down."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest

from glmclient import ConfigurationError, Limits, Timeout


def test_the_defaults() -> None:
    assert Timeout() == Timeout(connect=10, first_event=120, idle=300, total=None)


@pytest.mark.parametrize("name", [field.name for field in fields(Timeout)])
@pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), True, "5", [5]])
def test_a_time_limit_is_seconds(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"Timeout.{name} must be seconds above 0"):
        Timeout(**{name: value})


def test_a_number_limits_the_whole_stream() -> None:
    assert Timeout.of(5) == Timeout(total=5)
    assert Timeout.of(0.5) == Timeout(total=0.5)


def test_none_lifts_every_limit() -> None:
    assert Timeout.of(None) == Timeout(None, None, None, None)


def test_a_timeout_stays_itself() -> None:
    own = Timeout(connect=1)
    assert Timeout.of(own) is own


@pytest.mark.parametrize("value", ["5", True, [1, 2], object()])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="Timeout"):
        Timeout.of(value)


@pytest.mark.parametrize("name", [field.name for field in fields(Limits)])
@pytest.mark.parametrize("value", [0, -1, 1.5, True, None, "5"])
def test_a_bound_is_a_whole_number(name: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"Limits.{name} must be a whole number above 0"):
        Limits(**{name: value})


@pytest.mark.parametrize(("name", "highest"), [("header", 65536), ("headers", 100)])
def test_a_head_is_never_longer_than_the_http_libraries_take(name: str, highest: int) -> None:
    assert getattr(Limits(**{name: highest}), name) == highest
    with pytest.raises(ConfigurationError, match=f"can be {highest} at most"):
        Limits(**{name: highest + 1})
