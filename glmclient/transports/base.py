"""What a client asks of a transport: channels that perform the steps of a flow, and decide nothing."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from ..core.exchange import Read, Release, Send
from ..core.http import Head
from ..errors import FailureKind

__all__ = [
    "AsyncChannel",
    "AsyncTransport",
    "Route",
    "SyncChannel",
    "SyncTransport",
    "proxy_failure",
    "scrubbed",
]

_CREDENTIALS = re.compile(r"//[^/@\s'\"]*@")


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach hosts.

    Args:
        proxy: gives the proxy for a URL, or ``None``.
        verify: ``True``, a path to certificate authorities, or ``False``.
        clock: seconds that only grow; deadlines are times of it.
        verify_name: the argument or the environment variable that ``verify`` comes from, for messages.
    """

    proxy: Callable[[str], str | None]
    verify: bool | str
    clock: Callable[[], float]
    verify_name: str = "verify"


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
    """Opens channels; holds the connection pool."""

    def open(self) -> SyncChannel: ...

    def apart(self) -> SyncTransport:
        """Return a transport with the same routes and none of the connections."""
        ...

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


def scrubbed(text: str) -> str:
    """Return a library's message without the credentials of a URL in it, cut to a readable length."""
    return _CREDENTIALS.sub("//***@", text)[:300]


def proxy_failure(said: str) -> FailureKind:
    """Return the kind of failure that a proxy reports: a refusal, by a status of 4xx, stays one."""
    return "proxy_refused" if re.search(r"\b4\d\d\b", said) else "proxy"
