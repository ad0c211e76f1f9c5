"""How callers name a function of an app and values for its inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigurationError

__all__ = ["Selection", "checked_index", "named_inputs", "selected"]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which function to ask, as the caller named it.

    Args:
        name: its ``api_name``; ``None`` leaves it to the page.
        index: its ``fn_index``, which then counts instead.
    """

    name: str | None
    index: int | None


def selected(function: Any, index: int | None) -> Selection:
    """Return a function that is named by its ``api_name`` or its number.

    Raises:
        ConfigurationError: it is neither.
    """
    if function is None:
        return Selection(None, index)
    if isinstance(function, int) and not isinstance(function, bool) and function >= 0:
        return Selection(None, function)
    if not isinstance(function, str) or not function.strip("/"):
        raise ConfigurationError(
            "function must be the api_name of a function, such as 'model_chat', or its number, "
            f"not {function!r:.80}."
        )
    return Selection(function.strip("/"), index)


def named_inputs(inputs: Any) -> dict[str, Any]:
    """Return values for inputs by their names.

    Raises:
        ConfigurationError: they are not a mapping of names.
    """
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
        raise ConfigurationError(
            "inputs must be a mapping from labels or names of parameters to values, such as {'Temperature': 0.2}, "
            f"not {inputs!r:.80}."
        )
    return dict(inputs)


def checked_index(value: Any, what: str) -> int | None:
    """Return a number of the page; ``None`` leaves it to the page.

    Raises:
        ConfigurationError: it is not a whole number, or negative.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ConfigurationError(f"{what} must be a whole number, 0 or more, not {value!r}.")
    return value
