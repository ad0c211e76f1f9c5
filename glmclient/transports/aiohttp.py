"""The connections of `HttpxTransport` made by aiohttp, by way of httpx-aiohttp: asyncio alone, and cheaper an event.

httpx-aiohttp gives some of aiohttp's exceptions a wrong name (a connection that breaks becomes a connect timeout) and
lets others pass as they are. Here each is called what httpx itself would have called it.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong
from httpx_aiohttp import AiohttpTransport

from ..errors import ConfigurationError
from .base import Route
from .httpx.pool import Key
from .httpx.transport import KEEPALIVE_SECONDS, HttpxTransport
from .tls import plain_context, tls_context

__all__ = ["aiohttp_transport"]

HEAD_BYTES = 100 * 1024
"""What one line of a head may have here, as in h11; the exchange has bounds of its own."""

_NOT_SENT = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add; what is sent is the provider's decision."""

_RAISED = (httpx.HTTPError, aiohttp.ClientError, HttpProcessingError, OSError, asyncio.TimeoutError)


def aiohttp_transport(route: Route) -> HttpxTransport:
    """Return a transport whose connections are aiohttp's.

    Args:
        route: proxies, TLS and the clock.
    """
    return HttpxTransport(route, lambda key: _Line(route, key))


class _Line(AiohttpTransport):
    """One connection.

    Args:
        route: what to verify.
        key: where it leads.

    Raises:
        ConfigurationError: aiohttp cannot do that: trio, or a SOCKS proxy.
    """

    def __init__(self, route: Route, key: Key) -> None:
        address, proxy = key
        _check(proxy)
        secure = address.startswith("https:") or (proxy or "").startswith("https:")
        self._context = tls_context(route.verify) if secure else plain_context()
        self._answer: aiohttp.ClientResponse | None = None
        self._watched: Any = None
        self._body: _Body | None = None
        super().__init__(
            verify=self._context,
            trust_env=False,
            proxy=None if proxy is None else _proxy(proxy),
            client=self._session,
        )

    def _session(self) -> aiohttp.ClientSession:
        trace = aiohttp.TraceConfig()
        trace.on_request_end.append(self._note)
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=1, ssl=self._context, keepalive_timeout=KEEPALIVE_SECONDS
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NOT_SENT,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            trace_configs=[trace],
        )

    async def _note(self, _: Any, __: Any, end: aiohttp.TraceRequestEndParams) -> None:
        self._answer = end.response

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        timeout = request.extensions["timeout"]
        # What aiohttp calls `connect` bounds all of connecting: names, TLS and the words with a proxy, too.
        request.extensions = {"timeout": {**timeout, "pool": timeout["connect"]}}
        try:
            response = await super().handle_async_request(request)
        except _RAISED as error:
            raise _renamed(error, self.proxy) from error
        answer, self._answer = self._answer, None
        assert answer is not None
        response.stream = self._body = _Body(answer)
        connection = answer.connection
        if connection is not None:
            # asyncio's transports give their socket away as httpcore's streams do.
            response.extensions["network_stream"] = connection.transport
            self._watch(connection.protocol)
        return response

    def _watch(self, protocol: Any) -> None:
        """Hear of the end of a connection: of one that ends over bad framing aiohttp does not tell the reader."""
        if protocol is not self._watched and protocol.closed is not None:
            self._watched = protocol
            protocol.closed.add_done_callback(self._lost)

    def _lost(self, closed: asyncio.Future[None]) -> None:
        error = None if closed.cancelled() else closed.exception()
        assert self._body is not None
        self._body.lose(self._watched.exception() or error)


class _Body(httpx.AsyncByteStream):
    """The body of an answer, everything that is here at a time."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self._content = answer.content

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        try:
            data = await self._content.readany()
        except _RAISED as error:
            data = self._left()
            if not data:
                raise _renamed(error) from error
        except RuntimeError as error:  # so aiohttp says that the connection was closed, by us
            raise httpx.ReadError(str(error)) from error
        if not data:
            raise StopAsyncIteration
        return data

    def lose(self, error: BaseException | None) -> None:
        """Note that nothing more can come; ``error`` says why."""
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(error or aiohttp.ServerDisconnectedError())

    def _left(self) -> bytes:
        """Return what came before the failure: aiohttp would tell the failure first and drop it."""
        content: Any = self._content
        failure = content.exception()
        content.set_exception(None)
        try:
            left: bytes = content.read_nowait()
        finally:
            content.set_exception(failure)
        return left

    async def aclose(self) -> None:
        self._answer.close()


def _check(proxy: str | None) -> None:
    if proxy is not None and proxy.startswith("socks"):
        raise ConfigurationError(
            "http_backend='aiohttp' knows no SOCKS proxies. Use http_backend='httpx', or an HTTP proxy."
        )
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        other = "trio" if "trio" in sys.modules else "another event loop"
        raise ConfigurationError(
            f"http_backend='aiohttp' runs on asyncio, and this is {other}. Use http_backend='httpx' here."
        ) from None


def _proxy(url: str) -> httpx.Proxy:
    proxy = httpx.Proxy(url)
    user, proxy.auth = proxy.raw_auth, None
    if user is not None:
        # aiohttp takes a proxy's password in Latin-1 alone; what it finds here it moves to Proxy-Authorization.
        proxy.headers["Authorization"] = f"Basic {base64.b64encode(b':'.join(user)).decode()}"
    return proxy


def _renamed(error: BaseException, proxy: httpx.Proxy | None = None) -> httpx.TransportError:
    """Return what httpx would have raised for aiohttp's exception that is behind ``error``."""
    chain = list(_chain(error))
    found = next((each for each in chain if not isinstance(each, httpx.HTTPError)), error)
    said = str(found) or type(found).__name__
    if isinstance(found, aiohttp.ClientHttpProxyError):
        return httpx.ProxyError(f"{found.status} {found.message}")
    if any(isinstance(each, LineTooLong) for each in chain) or "Too many headers" in said:
        return httpx.RemoteProtocolError(f"the head is longer than the buffer: {said}")
    for types, renamed in _NAMES:
        if isinstance(found, types):
            return renamed(said)
    return httpx.ReadError(said)


_NAMES: tuple[tuple[Any, type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (asyncio.TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), httpx.UnsupportedProtocol),
    ((aiohttp.ClientResponseError, HttpProcessingError), httpx.RemoteProtocolError),
)
"""What is none of these broke: a reset, a disconnect, an end in the middle of the body."""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
