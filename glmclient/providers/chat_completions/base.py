"""What the open platform and the servers that are compatible with it have in common: one request, one attempt.

Source: ``docs/wire/open-platform.md`` §1 (requests) and §4 (the list of models).
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from ...core.compression import ACCEPT_ENCODING
from ...core.exchange import Exchange, Flow
from ...core.http import Head, Request, checked_key, load_json, merged_headers
from ...core.identity import Identity
from ...core.secrets import Secret
from ...errors import ProtocolError
from ...messages import Messages
from ..base import Capabilities, Chat, Model, Provider, checked_model
from .answer import AnswerReader
from .decoder import PlatformDecoder
from .refusals import Refusals, is_refusal
from .request import Body, Parameters
from .wire import CHAT_PATH, EVENT_STREAM, MODELS_PATH

__all__ = ["Platform"]


_CANNOT_STOP_THINKING = {
    "1210": (
        "The request asks for an answer without thinking, and some models (the GLM-5.3 family; GLM-5.2 on the coding "
        "route) cannot stop it: leave `thinking` out, or give reasoning_effort='low'."
    )
}


class Platform(Provider):
    """What the platform and compatible servers have in common.

    Args:
        api_key: sent as a bearer token.
        base_url: replaces scheme, host and path prefix; ``{base_url}/chat/completions`` is asked.
        headers: sent in place of the provider's own of the same name.
        identity: the source of request ids; for tests.
    """

    supports: Capabilities = Capabilities(
        system_messages=True,
        message_history=True,
        tools=True,
        reasoning=True,
        usage=True,
        schemas="json_object",
        images=True,
    )
    parameters: ClassVar[Parameters]
    own_headers: ClassVar[Mapping[str, str]] = {}

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(base_url=_without_endpoint(base_url), headers=headers, identity=identity)
        # Each site has parameters of its own, so the names cannot be part of the class attribute.
        self.supports = dataclasses.replace(self.supports, options=self.parameters.names)
        # An empty key is what an unset variable gives.
        self._key = None if api_key in (None, "") else Secret(checked_key(api_key))

    def prepare(self, messages: Messages, model: str | None, options: Mapping[str, Any]) -> Chat:
        """Check a question and write its body.

        Raises:
            ConfigurationError: something in it is wrong, or this service cannot honour it.
        """
        model = checked_model(model) or self.default_model
        said, body = self.parameters.body(messages, model, options)
        return Chat(tuple(said), model, {**body.options, "body": body})

    def attempt(self, chat: Chat, exchange: Exchange) -> Flow[None]:
        """Ask once and read the answer, streamed or whole."""
        body: Body = chat.options["body"]
        content = body.completed(**(yield from self._completion(chat, exchange)))
        headers = {"Accept": EVENT_STREAM, "Content-Type": "application/json"}
        head = yield from exchange.send(self._request("POST", CHAT_PATH, headers, content))
        refusals = self._refusals(head, exchange)
        if chat.options.get("stops_thinking"):
            refusals = dataclasses.replace(refusals, advice=_CANNOT_STOP_THINKING)
        if not 200 <= head.status < 300:
            raise refusals.of_body((yield from exchange.refused(head)))
        answer = AnswerReader(
            self._service,
            think_tags=bool(chat.options.get("think_tags")),
            include_unknown=bool(chat.options.get("include_unknown")),
            request_id=exchange.request_id,
            limits=exchange.limits,
        )
        decoder = PlatformDecoder(answer, refusals, exchange.limits)
        yield from exchange.stream(head, decoder)

    def list_models(self, exchange: Exchange) -> Flow[tuple[Model, ...]]:
        """Ask for the models that the service offers.

        The platform does not document the address: where there is none (404 or 405), the models that are known here
        are returned. Compatible servers have no such models, and their refusal is raised.
        """
        yield []
        return (yield from self._listed(exchange))

    @abstractmethod
    def _completion(self, chat: Chat, exchange: Exchange) -> Flow[dict[str, str]]:
        """Return the members of the body that are known only when an attempt is made."""

    def _listed(self, exchange: Exchange) -> Flow[tuple[Model, ...]]:
        head = yield from exchange.send(
            self._request("GET", MODELS_PATH, {"Accept": "application/json"})
        )
        if head.status in (404, 405) and self.models:
            yield from exchange.refused(head)
            return tuple(Model(name) for name in self.models)
        if not 200 <= head.status < 300:
            raise self._refusals(head, exchange).of_body((yield from exchange.refused(head)))
        return self._models(head, (yield from exchange.body(head, exchange.limits.body)), exchange)

    def _models(self, head: Head, body: bytes, exchange: Exchange) -> tuple[Model, ...]:
        """Read a list of models (``docs/wire/open-platform.md`` §4).

        Raises:
            APIStatusError: the body is a refusal.
            ProtocolError: it is no list of models.
        """
        listed: Any = load_json(body)
        if isinstance(listed, dict) and not is_refusal(listed):
            listed = listed.get("data")
        elif not _is_bare_list(listed):
            raise self._refusals(head, exchange).of_body(body)
        if not isinstance(listed, list):
            raise ProtocolError(
                f"{self._service} sent what is no list of models. Check base_url.",
                frame=body[:500].decode("utf-8", "replace"),
            )
        return tuple(
            _model(each)
            for each in listed
            if isinstance(each, dict) and isinstance(each.get("id"), str)
        )

    def _request(
        self, method: str, path: str, headers: Mapping[str, str], content: bytes | None = None
    ) -> Request:
        # Some proxies hold compressed streams back or cut them.
        coding = "identity" if method == "POST" else ACCEPT_ENCODING
        own = {"Accept-Encoding": coding, **self.own_headers, **headers}
        if self._key is not None:
            own["Authorization"] = f"Bearer {self._key.reveal()}"
        return Request(method, f"{self.url}{path}", merged_headers(own, self.headers), content)

    def _refusals(self, head: Head, exchange: Exchange) -> Refusals:
        return Refusals(self._service, head, exchange.now, self._key)

    @property
    def _service(self) -> str:
        return f"the service at {self.url}"


def _without_endpoint(url: str | None) -> str | None:
    """Return an address without the endpoint that some tools want in it (``docs/wire/open-platform.md`` §1.3)."""
    return url.strip().rstrip("/").removesuffix(CHAT_PATH) if isinstance(url, str) else url


def _is_bare_list(value: Any) -> bool:
    """Tell whether a value is a list of models without the object around it, as some servers send it."""
    if not isinstance(value, list):
        return False
    return not value or any(isinstance(each, dict) and "id" in each for each in value)


def _model(listed: dict[str, Any]) -> Model:
    owner, created = listed.get("owned_by"), listed.get("created")
    return Model(
        listed["id"],
        owned_by=owner if isinstance(owner, str) else "",
        created=created if type(created) is int else None,
    )
