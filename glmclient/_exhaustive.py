"""The end of a `match` that handles every kind of value; ``typing`` has it from Python 3.11 on."""

from __future__ import annotations

from typing import NoReturn

__all__ = ["assert_never"]


def assert_never(value: NoReturn) -> NoReturn:
    """Fail if it is reached. Checkers prove that it is not, and report the kinds that a `match` forgot."""
    raise AssertionError(f"a kind of value that is not handled: {value!r}")
