"""Keys and tokens: how they are kept from showing, and how to tell which headers hold them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

__all__ = ["SHORTEST_SECRET", "Secret", "credentials", "is_credential", "mask"]

_CREDENTIAL = re.compile(r"authorization|cookie|token|secret|key|password|session", re.IGNORECASE)
SHORTEST_SECRET = 12
"""Characters from which a value is taken for a secret: masking a short word would maim messages, and
the ``undefined`` that ChatGLM's page sends for a guest is none."""


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

    def __copy__(self) -> Secret:
        return self  # it never changes, and copies within the process need it

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        raise TypeError("a key is never pickled; give it again, or set its environment variable")


def is_credential(name: str) -> bool:
    """Tell whether a header of this name holds a key, a token or a cookie."""
    return _CREDENTIAL.search(name) is not None


def credentials(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets in a request's headers: tokens without their scheme, cookies one by one."""
    for name, value in headers.items():
        if is_credential(name):
            for part in value.split(";"):
                token = part.strip().rpartition(" ")[2]
                secret = token.partition("=")[2] if "cookie" in name.lower() else token
                if len(secret) >= SHORTEST_SECRET:
                    yield secret


def mask(error: Exception, secrets: frozenset[str]) -> None:
    """Put ``***`` in place of each secret that an error says: services like to repeat what they got."""
    if secrets:
        error.args = tuple(_masked(arg, secrets) for arg in error.args)
        for name, value in vars(error).items():
            setattr(error, name, _masked(value, secrets))


def _masked(value: Any, secrets: frozenset[str]) -> Any:
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "***")
    return value
