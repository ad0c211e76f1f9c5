"""A key or token that does not show itself."""

from __future__ import annotations

from typing import Any

__all__ = ["Secret"]


class Secret:
    """A key or token: not in a repr, not in a log, not in a pickle.

    Args:
        value: the key; read it with :meth:`reveal` at the one place where it is sent.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        self._value = value

    def reveal(self) -> str:
        """Return the key itself."""
        return self._value

    def __repr__(self) -> str:
        return "Secret('***')"

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError(
            "a key is never pickled; give it again, or set its environment variable"
        )
