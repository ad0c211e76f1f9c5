"""The services behind a gateway: which one a model's name means, what it is asked, and what it offers."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ..clients.async_client import AsyncClient
from ..clients.base import BaseClient
from ..errors import ConfigurationError, GLMError
from ..providers.base import Model
from ..streams.async_stream import AsyncStream
from .question import Question
from .refusals import Refused, refusal_of

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["Asked", "Services"]

_SYNONYMS = {"max_completion_tokens": "max_tokens", "user": "user_id"}
"""Options of OpenAI's API that some services know by another name, with the same meaning."""
_BY_VALUE = ("tool_choice", "response_format")
"""Options whose valid values depend on the service; such a value is treated like an option that it does not have."""
_DEFAULTS: Mapping[str, Any] = {
    "response_format": {"type": "text"},
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "frequency_penalty": 0,
    "presence_penalty": 0,
    "logit_bias": {},
    "logprobs": False,
    "store": False,
    "tools": [],
    "stop": [],
}
"""Values that ask for nothing: a service without such an option honours them as it is."""
_ANY_QUESTION = "?"


@dataclass(frozen=True, slots=True)
class Asked:
    """A question on its way to a service.

    Args:
        provider: the name of the service.
        stream: its answer, not yet opened.
        dropped: the options that were left out.
    """

    provider: str
    stream: AsyncStream
    dropped: tuple[str, ...] = field(default=())


class Services:
    """The clients of a gateway.

    Args:
        clients: one for each service.
        drop_unsupported: leave out options that a service does not have, in place of an error.

    Raises:
        ConfigurationError: there is no client, something is not a client, or two have the same provider.
    """

    def __init__(self, clients: tuple[BaseClient, ...], *, drop_unsupported: bool) -> None:
        if not clients:
            raise ConfigurationError("create_app needs at least one AsyncClient.")
        self._clients: dict[str, AsyncClient] = {
            client.provider.name: client for client in map(_asynchronous, clients)
        }
        if len(self._clients) < len(clients):
            raise ConfigurationError(
                "two clients of a gateway have the same provider, so that no model name could tell them apart. "
                "Run a gateway for each."
            )
        self._drop = drop_unsupported

    def chosen(self, model: str) -> tuple[AsyncClient, str | None]:
        """Return the client that a model's name means, and the name for its service.

        ``provider/model`` chooses, and a provider's name alone means its default model. A name that a client knows
        chooses that client. Any other name is passed on to the first client.
        """
        prefix, slash, rest = model.partition("/")
        if prefix in self._clients and (rest or not slash):
            client = self._clients[prefix]
            return client, rest or client.default_model
        for client in self._clients.values():
            if model in _known(client):
                return client, model
        return next(iter(self._clients.values())), model

    def ask(self, question: Question) -> Asked:
        """Return the stream of a question; nothing is sent yet.

        Raises:
            Refused: the service cannot honour something in it.
        """
        client, model = self.chosen(question.model)
        options, dropped = self._fitting(client, model, question.options)
        try:
            stream = client.stream(question.messages, model=model, **options)
        except ConfigurationError as error:
            raise refusal_of(error, client.provider.name) from None
        return Asked(client.provider.name, stream, dropped)

    def _fitting(
        self, client: AsyncClient, model: str | None, options: Mapping[str, Any]
    ) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Return the options by the names that the service has for them, and the names of those left out."""
        known = client.provider.supports.options
        fitting: dict[str, Any] = {}
        dropped: list[str] = []
        for name, value in options.items():
            synonym = _SYNONYMS.get(name, name)
            own = synonym if known is not None and name not in known and synonym in known else name
            problem = _problem(client, own, value)
            if problem is None:
                fitting.setdefault(own, value)
            elif name in _DEFAULTS and value == _DEFAULTS[name]:
                continue
            elif self._drop:
                dropped.append(name)
            else:
                raise Refused(400, problem, code="unsupported_parameter", param=name)
        return fitting, tuple(dropped)

    # -- models --------------------------------------------------------------------------------------------

    async def models(self) -> list[dict[str, Any]]:
        """Return the models of all services as OpenAI's API lists them.

        A service that does not list its models, or does not answer, offers those that are known here.

        Raises:
            Refused: the only service failed, and no model of it is known.
        """
        lists = await asyncio.gather(*(self._models(client) for client in self._clients.values()))
        return [model for models in lists for model in models]

    async def _models(self, client: AsyncClient) -> list[dict[str, Any]]:
        name = client.provider.name
        try:
            models = await client.models()
        except GLMError as error:
            models = tuple(Model(each) for each in _known(client))
            if not models and len(self._clients) == 1:
                raise refusal_of(error, name) from None
        prefix = f"{name}/" if len(self._clients) > 1 else ""
        return [
            {
                "id": f"{prefix}{model.id}",
                "object": "model",
                "created": model.created or 0,
                "owned_by": model.owned_by or name,
            }
            for model in models
        ]

    async def model(self, wanted: str) -> dict[str, Any]:
        """Return one model of the list; its name may be given with or without its provider.

        Raises:
            Refused: no service lists it.
        """
        for model in await self.models():
            names = {model["id"]} | {f"{name}/{model['id']}" for name in self._clients}
            if wanted in names or model["id"].partition("/")[2] == wanted:
                return {**model, "id": wanted}
        raise Refused(
            404,
            f"the model {wanted[:200]!r} does not exist. GET /v1/models lists those that do.",
            code="model_not_found",
            param="model",
        )

    async def __aenter__(self) -> Self:
        for client in self._clients.values():
            await client.__aenter__()
        return self

    async def __aexit__(self, *error: object) -> None:
        for client in self._clients.values():
            await client.aclose()


def _asynchronous(client: BaseClient) -> AsyncClient:
    """Return a client that can be awaited; of a `SyncClient`, one with its configuration.

    Raises:
        ConfigurationError: it is not a client, or it has a transport of its own that cannot be awaited.
    """
    if isinstance(client, AsyncClient):
        return client
    if not isinstance(client, BaseClient):
        raise ConfigurationError(
            f"create_app takes clients, such as AsyncClient('zai'), not {type(client).__name__}."
        )
    twin = object.__new__(AsyncClient)
    twin.__dict__.update(client.__dict__)
    return copy.copy(twin)


def _known(client: AsyncClient) -> tuple[str, ...]:
    own = client.default_model
    names = (*client.provider.models, *([own] if own is not None else []))
    return tuple(dict.fromkeys(names))


def _problem(client: AsyncClient, name: str, value: Any) -> str | None:
    """Return why the service does not take an option; ``None`` if it does, or if its value alone is wrong."""
    known = client.provider.supports.options
    if known is not None and name in known and name not in _BY_VALUE:
        return None
    try:
        client.provider.prepare(_ANY_QUESTION, None, {name: value})
    except ConfigurationError as error:
        return str(error)
    return None
