"""Keys and tokens: how they are kept from showing, and how to tell which headers hold them."""

from __future__ import annotations

import base64
import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ParamSpec, TypeVar

from ..errors import GLMError
from .masking import masker

__all__ = [
    "SHORTEST_SECRET",
    "Secret",
    "credentials",
    "hides_arguments",
    "is_credential",
    "mask",
    "masked_bytes",
]

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


P = ParamSpec("P")
R = TypeVar("R")


def hides_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Make a function leave no argument in the traceback of an error: tools that report errors show what frames hold.

    An error of this package says what is wrong with the arguments, and loses the frames in which it was raised. Any
    other error is a fault, and keeps them.
    """

    @functools.wraps(function)
    def hiding(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        except BaseException as error:
            args, kwargs = (), {}  # type: ignore[assignment]
            if isinstance(error, GLMError):
                error.__context__ = None
                raise error.with_traceback(None)  # noqa: B904 - it is the same error
            raise

    return hiding


def is_credential(name: str) -> bool:
    """Tell whether a header of this name holds a key, a token or a cookie."""
    return _CREDENTIAL.search(name) is not None


def credentials(headers: Mapping[str, str]) -> Iterator[str]:
    """Yield the secrets in a request's headers: tokens without their scheme, cookies one by one."""
    for name, value in headers.items():
        if is_credential(name):
            for part in value.split(";"):
                scheme, _, token = part.strip().rpartition(" ")
                secret = token.partition("=")[2] if "cookie" in name.lower() else token
                if len(secret) >= SHORTEST_SECRET:
                    yield secret
                if (
                    scheme.lower() == "basic"
                    and len(password := _password(token)) >= SHORTEST_SECRET
                ):
                    yield password


def _password(token: str) -> str:
    """Return the password in the token of the scheme Basic (RFC 7617); ``""`` if there is none."""
    try:
        return base64.b64decode(token).decode().partition(":")[2]
    except ValueError:
        return ""


def mask(error: BaseException, secrets: frozenset[str]) -> None:
    """Put ``***`` in place of each secret in an error, its attributes and its causes: services repeat what they got."""
    if not secrets:
        return
    hide = masker(secrets)
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        each = waiting.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        each.args = hide.value(each.args)
        for name, value in vars(each).items():
            masked = hide.value(value)
            if masked is not value:
                setattr(each, name, masked)
        waiting += [each.__cause__, each.__context__]


def masked_bytes(data: bytes, secrets: frozenset[str]) -> bytes:
    """Return ``data`` with ``***`` in place of each secret."""
    if not secrets or not data:
        return data
    # Latin-1 keeps every byte; secrets are ASCII.
    return masker(secrets).text(data.decode("latin-1")).encode("latin-1")
