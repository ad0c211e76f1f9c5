"""Transports that take part in the set-up of the client that uses them, as record and replay do.

A transport performs requests and knows nothing else of its client. A replayed cassette needs more: the client must not
ask for a key, and recorded time limits must pass on the client's clock. A recorder needs the name of the service and
the questions. Such a transport derives from `AttachedTransport`, and the client calls these methods; no client knows
what record and replay are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["AttachedTransport", "Attachment"]


@dataclass(frozen=True, slots=True)
class Attachment:
    """What a client tells the transport that it will use.

    Args:
        provider: the name of the provider.
        url: the address of the service.
        clock: returns seconds that only grow; deadlines are times of it.
        own_transport: makes the transport that the client would use without this one.
    """

    provider: str
    url: str
    clock: Callable[[], float]
    own_transport: Callable[[], Any]


class AttachedTransport:
    """A base class of transports; each method does nothing until a subclass overrides it."""

    @property
    def clock(self) -> Callable[[], float] | None:
        """The clock that the client is to use in place of its own, if any."""
        return None

    def stand_ins(
        self, provider: object, api_key: str | None, base_url: str | None
    ) -> tuple[str | None, str | None]:
        """Return the key and the address that the client is to use.

        Args:
            provider: the client's argument: a name, or a provider object, which has a key and an address already.
            api_key: the client's argument.
            base_url: the client's argument.
        """
        return api_key, base_url

    def attach(self, attachment: Attachment) -> Any:
        """Return the transport that performs the requests of one client."""
        return self

    def question(self, messages: Any, model: str | None, options: Mapping[str, Any]) -> None:
        """Take note of a question, before its first request."""
