"""What a provider is: a service's address and dialect, payloads and headers out, frames to events in."""

from __future__ import annotations

import difflib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .._visible import complete_repr
from ..core.exchange import Exchange, Flow
from ..core.http import checked_base_url, checked_headers
from ..core.identity import Identity
from ..core.secrets import hides_arguments, is_credential
from ..errors import ConfigurationError
from ..messages import Messages

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "Capabilities",
    "Chat",
    "Model",
    "Provider",
    "check_options",
    "checked_model",
    "hopeless_advice",
]

_ELSEWHERE: Mapping[str, str] = {
    "stream": "answers are always streamed, and chat() drains the stream for you.",
    "system": (
        "give it as a message, [{'role': 'system', 'content': ...}, {'role': 'user', 'content': ...}], or to "
        "client.conversation(system=...)."
    ),
}
"""What people know from elsewhere, and no service takes as an option."""

_FOR_EVENTS = ("include_status", "include_unknown")
"""They ask for events that a service may have; one that has none takes them, too, and sends none."""

_HOPELESS = (501, 505)
"""They say that the request will never be served (RFC 9110 §15.6.2, §15.6.6)."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a service can do itself; what it cannot is folded in by a documented rule, or refused."""

    streaming: bool = True
    system_messages: bool = False
    message_history: bool = False
    tools: bool = False
    reasoning: bool = False
    usage: bool = False
    schemas: Literal["json_schema", "json_object", "prompt"] = "prompt"
    """The strictest form of asking for a JSON schema that the service enforces: ``response_format`` with the schema,
    JSON mode with the schema in the prompt, or the prompt alone."""
    tool_choice: Literal["auto", "named", "required"] = "auto"
    """What ``tool_choice`` can ask for: nothing but ``auto``; also one function by its name; also any function."""
    images: bool = False
    """Messages may have content parts of type ``image_url``; whether a model reads them is the service's affair."""
    options: frozenset[str] | None = None
    """The names of the options that ``stream`` and ``chat`` take for this service; ``None`` if the provider does not
    declare them, so that only asking tells."""

    @property
    def json_schema(self) -> bool:
        """The service enforces a JSON schema that is given as ``response_format``."""
        return self.schemas == "json_schema"


@dataclass(frozen=True, slots=True)
class Model:
    """A model that a service offers.

    Args:
        id: its name, as ``model=`` takes it.
        owned_by: who made it, where the service tells.
        created: seconds since the epoch, where the service tells.
        description: what else the service tells of it, in words, such as the inputs of a Gradio app.
    """

    id: str
    owned_by: str = ""
    created: int | None = None
    description: str = ""


@dataclass(frozen=True, slots=True)
class Chat:
    """One checked question: nothing in it can still be refused by this side."""

    messages: tuple[dict[str, Any], ...] = field(repr=False)
    model: str | None
    options: Mapping[str, Any] = field(default_factory=dict, repr=False)


class Provider(ABC):
    """A service: where it is and how it speaks. It holds no connection and does no I/O.

    Args:
        base_url: replaces scheme, host and path prefix.
        headers: sent with every request, in place of the provider's own of the same name.
        identity: the source of ids; for tests.

    Raises:
        ConfigurationError: the address or a header is not valid.
    """

    name: ClassVar[str]
    """The name by which clients know it."""
    default_url: ClassVar[str]
    supports: Capabilities
    models: tuple[str, ...]
    """The models that are known here; the service may offer more."""
    default_model: str | None

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Let no constructor of a provider leave a key in the traceback of an error."""
        super().__init_subclass__(**arguments)
        if "__init__" in vars(cls):
            cls.__init__ = hides_arguments(cls.__init__)  # type: ignore[method-assign]

    @hides_arguments
    def __init__(
        self,
        *,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        self.url: str = checked_base_url(base_url if base_url is not None else self.default_url)
        self.headers: dict[str, str] = checked_headers(headers)
        self.identity: Identity = identity if identity is not None else Identity()

    @classmethod
    def address_of(cls, base_url: str) -> str:
        """Return the URL that ``base_url`` stands for; a service may have a shorter way to write its addresses."""
        return base_url.strip()

    @abstractmethod
    def prepare(self, messages: Messages, model: str | None, options: Mapping[str, Any]) -> Chat:
        """Check a question before anything is sent.

        Raises:
            ConfigurationError: something in it is wrong, or this service cannot honour it.
        """

    @abstractmethod
    def attempt(self, chat: Chat, exchange: Exchange) -> Flow[None]:
        """One attempt at one question; retrying is the exchange's."""

    def run_options(self, model: str | None) -> Mapping[str, Any]:
        """Return the options that a run adds to each of its requests, unless the caller gives them."""
        return {}

    def list_models(self, exchange: Exchange) -> Flow[tuple[Model, ...]]:
        """Ask for the models; a service that cannot be asked offers those that are known here."""
        yield []
        return tuple(Model(name) for name in self.models)

    @complete_repr
    def __repr__(self) -> str:
        return f"{type(self).__name__}(url={self.url!r})"

    def __copy__(self) -> Self:
        """Return a copy for this process: unlike a pickle it has the key and every header."""
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin.headers = dict(self.headers)
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # Nothing but the headers can change; a copy of the whole could not include the key.
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        """Return what may be pickled: no credential among the headers; a key refuses it itself."""
        headers = {k: v for k, v in self.headers.items() if not is_credential(k)}
        return {**self.__dict__, "headers": headers}


def check_options(service: str, options: Mapping[str, Any], known: Iterable[str]) -> dict[str, Any]:
    """Return the options that were given a value.

    Raises:
        ConfigurationError: one is not among ``known``; the error names its nearest neighbour.
    """
    known = sorted(known)
    for name, value in options.items():
        if name in _ELSEWHERE:
            if value is not None:
                raise ConfigurationError(
                    f"{service} cannot honour the option {name!r}: {_ELSEWHERE[name]}"
                )
        elif name not in (*known, *_FOR_EVENTS):
            near = difflib.get_close_matches(name, known, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(
                f"{service} cannot honour the option {name!r}.{hint} It takes: {', '.join(known) or 'no options'}."
            )
    return {name: value for name, value in options.items() if value is not None and name in known}


def checked_model(model: str | None) -> str | None:
    """Return the name of a model; ``None`` is the default one.

    Raises:
        ConfigurationError: it is no text, or empty.
    """
    if model is not None and (not isinstance(model, str) or not model.strip()):
        raise ConfigurationError(
            f"model must be a string that is not empty, or None, not {model!r:.80}."
        )
    return model


def hopeless_advice(status: int) -> str | None:
    """Return the advice for an HTTP status that says that trying again is no use; ``None`` for any other."""
    return "Trying again does not help." if status in _HOPELESS else None
