"""What a client asks of a transport: channels that perform the steps of a flow, and decide nothing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol

from ..core.exchange import Read, Release, Send
from ..core.http import Head
from ..errors import FailureKind

__all__ = [
    "AsyncChannel",
    "AsyncTransport",
    "ClientCertificate",
    "Route",
    "SyncChannel",
    "SyncTransport",
    "apart",
    "proxy_failure",
    "scrubbed",
]

_CREDENTIALS = re.compile(r"//[^/@\s'\"]*@")


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """How a client identifies itself to a server that asks for a certificate.

    Args:
        path: a PEM file with the certificate and, where the server needs them, those of its issuers.
        key: a PEM file with the private key; ``None`` if ``path`` holds it, too.
        password: of an encrypted private key.
    """

    path: str
    key: str | None = None
    password: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach hosts.

    Args:
        proxy: gives the proxy for a URL, or ``None``.
        verify: ``True``, a path to certificate authorities, or ``False``.
        clock: seconds that only grow; deadlines are times of it.
        verify_name: the argument or the environment variable that ``verify`` comes from, for messages.
        cert: shown to the service, and never to a proxy.
    """

    proxy: Callable[[str], str | None]
    verify: bool | str
    clock: Callable[[], float]
    verify_name: str = "verify"
    cert: ClientCertificate | None = None


class SyncChannel(Protocol):
    """One exchange's line to the service; a failed step raises `TransportFailure`."""

    def send(self, step: Send) -> Head: ...

    def read(self, step: Read) -> bytes: ...

    def sleep(self, seconds: float) -> None: ...

    def release(self, step: Release) -> None: ...

    def close(self) -> None: ...

    def abandon(self) -> None:
        """Let go of the socket, from a finalizer: without waiting, and without any lock."""
        ...

    def cancel(self) -> None: ...


class SyncTransport(Protocol):
    """Opens channels; holds the connection pool.

    A stream that is left may have to tell the service, and may be left in a finalizer, which must not wait for the lock
    of a pool. A transport whose pool has a lock also has a method ``apart()``: it returns a transport with the same
    routes and none of the connections, which is closed after that one request.
    """

    def open(self) -> SyncChannel: ...

    def close(self) -> None: ...


class AsyncChannel(Protocol):
    """The mirror of `SyncChannel`; ``cancel`` and ``spawn`` never wait."""

    async def send(self, step: Send) -> Head: ...

    async def read(self, step: Read) -> bytes: ...

    async def sleep(self, seconds: float) -> None: ...

    async def release(self, step: Release) -> None: ...

    async def aclose(self) -> None: ...

    def cancel(self) -> None: ...

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run ``function`` as a task of its own on the loop of this channel, if that still runs."""
        ...


class AsyncTransport(Protocol):
    """The mirror of `SyncTransport`."""

    def open(self) -> AsyncChannel: ...

    async def aclose(self) -> None: ...


def apart(transport: SyncTransport) -> SyncTransport | None:
    """Return a transport without the connections of ``transport``; ``None`` if it does not make one."""
    made: Callable[[], SyncTransport] | None = getattr(transport, "apart", None)
    return None if made is None else made()


def scrubbed(text: str) -> str:
    """Return a library's message without the credentials of a URL in it, cut to a readable length."""
    return _CREDENTIALS.sub("//***@", text)[:300]


_REFUSALS = re.compile(
    r"\b4\d\d\b"  # a status of HTTP
    # SOCKS 5, in our words and in httpcore's: the login, the rules, and what the proxy does not offer.
    r"|user and password|username/password|without a password|but got|not allowed|not supported"
)


def proxy_failure(message: str) -> FailureKind:
    """Return the kind of failure that a proxy reports; a refusal would come again at the next attempt."""
    return "proxy_refused" if _REFUSALS.search(message) else "proxy"
