"""The connections of the asynchronous client: httpx transports of a single connection each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import httpx

from ..base import Route
from ..tcp import KEEPALIVE_OPTIONS, KEEPALIVE_SECONDS
from ..tls import plain_context, tls_context
from .channel import HttpxChannel
from .lingering import GONE, OpenBodies
from .pool import Key, Lines

__all__ = ["KEEPALIVE_SECONDS", "HttpxTransport"]


async def _close(line: httpx.AsyncBaseTransport) -> None:
    with contextlib.suppress(*GONE):
        await line.aclose()


class HttpxTransport:
    """The connections of one client: httpx transports of a single connection.

    Args:
        route: proxies, TLS and the clock.
        connect: makes the transport of one connection to an origin, through a proxy or none; for tests.
    """

    def __init__(
        self, route: Route, connect: Callable[[Key], httpx.AsyncBaseTransport] | None = None
    ) -> None:
        self.route = route
        self.lines: Lines[httpx.AsyncBaseTransport] = Lines(
            connect if connect is not None else self._connection, _close
        )
        self.open_bodies: OpenBodies = OpenBodies(self.lines)

    def open(self) -> HttpxChannel:
        """Return a line for one exchange."""
        return HttpxChannel(self.route, self.lines, self.open_bodies)

    async def aclose(self) -> None:
        """Close the idle connections; a later exchange opens new ones."""
        await self.open_bodies.aclose()
        await self.lines.aclose()

    def _connection(self, key: Key) -> httpx.AsyncBaseTransport:
        address, proxy = key
        route = self.route
        context = plain_context()
        if address.startswith("https:"):
            context = tls_context(route.verify, route.verify_name, route.cert)
        limits = httpx.Limits(
            max_connections=1, max_keepalive_connections=1, keepalive_expiry=KEEPALIVE_SECONDS
        )
        return httpx.AsyncHTTPTransport(
            verify=context,
            trust_env=False,
            limits=limits,
            socket_options=KEEPALIVE_OPTIONS,
            proxy=None if proxy is None else _proxy(proxy, route),
        )


def _proxy(url: str, route: Route) -> httpx.Proxy:
    # httpcore always has a SOCKS proxy look names up, but not every version knows the name for that; and it refuses a
    # context for a proxy that TLS does not lead to.
    return httpx.Proxy(
        url.replace("socks5h://", "socks5://", 1),
        ssl_context=tls_context(route.verify, route.verify_name)
        if url.startswith("https:")
        else None,
    )
