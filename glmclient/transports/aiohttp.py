"""The connections of `HttpxTransport` made by aiohttp: for asyncio only, and cheaper per event than httpcore.

Each connection is an ``aiohttp.ClientSession`` of one connection. It is an httpx transport, so that one channel serves
both libraries, and it raises what httpx itself would have raised.
"""

from __future__ import annotations

import asyncio
import base64
import functools
import socket
import ssl
import sys
from collections.abc import Iterator
from typing import Any

import aiohttp
import httpx
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from ..errors import ConfigurationError
from .base import Route
from .forks import guard
from .httpx.pool import Key
from .httpx.transport import HttpxTransport
from .tcp import KEEPALIVE_OPTIONS, KEEPALIVE_SECONDS
from .tls import plain_context, tls_context

__all__ = ["aiohttp_transport"]

HEAD_BYTES = 100 * 1024
"""Maximum length of one line of a head, as in h11; the exchange has its own limits."""

_NOT_SENT = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that aiohttp would add; the provider decides which headers are sent."""

_RAISED = (aiohttp.ClientError, HttpProcessingError, OSError, asyncio.TimeoutError)

_HEAD_END = b"\r\n\r\n"


def aiohttp_transport(route: Route) -> HttpxTransport:
    """Return a transport whose connections are aiohttp's.

    Args:
        route: proxies, TLS and the clock.
    """
    return HttpxTransport(route, lambda key: _Connection(route, key))


class _Connection(httpx.AsyncBaseTransport):
    """One connection.

    Args:
        route: what to verify.
        key: the origin and the proxy.

    Raises:
        ConfigurationError: aiohttp does not support that: trio, or a SOCKS proxy.
    """

    def __init__(self, route: Route, key: Key) -> None:
        address, proxy = key
        _check(proxy)
        context = plain_context()
        if address.startswith("https:"):
            context = tls_context(route.verify, route.verify_name, route.cert)
        self._proxy = None if proxy is None else _proxy(proxy)
        factory = functools.partial(_Protocol, loop=asyncio.get_running_loop())
        connector = _Connector(
            limit=1,
            ssl=context,
            keepalive_timeout=KEEPALIVE_SECONDS,
            socket_factory=_socket,
        )
        # aiohttp documents no other way to choose the protocol. If it renamed the attribute, the test of bytes that
        # follow a body of known length would fail.
        connector._factory = factory  # type: ignore[assignment]
        if proxy is not None and proxy.startswith("https:"):
            connector.proxy_context = tls_context(route.verify, route.verify_name)
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            skip_auto_headers=_NOT_SENT,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
        )
        self._watched: Any = None
        self._body: _Body | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request and return its response, whose body is still to be read."""
        proxy = self._proxy
        timeout = request.extensions["timeout"]
        try:
            answer = await self._session.request(
                request.method,
                str(request.url),
                headers=request.headers,
                data=request.content or None,
                allow_redirects=False,
                auto_decompress=False,
                # aiohttp's `connect` limits name lookup, TLS and the exchange with a proxy together.
                timeout=aiohttp.ClientTimeout(
                    connect=timeout["connect"],
                    sock_connect=timeout["connect"],
                    sock_read=timeout["read"],
                ),
                proxy=None if proxy is None else str(proxy.url),
                proxy_headers=None if proxy is None else proxy.headers,
            )
        except _RAISED as error:
            raise _cleared(error, _renamed(error)) from None
        extensions: dict[str, Any] = {}
        connection = answer.connection
        if connection is not None:
            # asyncio's transports return their socket from `get_extra_info`, as httpcore's streams do.
            extensions["network_stream"] = connection.transport
            self._watch(connection.protocol)
        self._body = _Body(answer)
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=self._body,
            request=request,
            extensions=extensions,
        )

    def _watch(self, protocol: Any) -> None:
        """Learn when the connection ends: aiohttp does not report to the reader one that ends over bad framing."""
        if protocol is not self._watched and protocol.closed is not None:
            self._watched = protocol
            protocol.closed.add_done_callback(self._lost)

    def _lost(self, closed: asyncio.Future[None]) -> None:
        error = None if closed.cancelled() else closed.exception()
        if self._body is not None:
            self._body.lose(self._watched.exception() or error)

    async def aclose(self) -> None:
        """Close the connection and aiohttp's session."""
        body, self._body = self._body, None
        if body is not None:
            await body.aclose()
        await self._session.close()


class _Connector(aiohttp.TCPConnector):
    """aiohttp's connector with another TLS context for the proxy: a client certificate is for the service alone."""

    proxy_context: ssl.SSLContext | None = None

    def _get_ssl_context(self, req: Any) -> ssl.SSLContext | None:
        # Not public. If aiohttp renamed it, the test of a proxy that asks for a certificate would fail.
        if self.proxy_context is not None and req.proxy is None:
            return self.proxy_context
        return super()._get_ssl_context(req)


class _Protocol(ResponseHandler):
    """aiohttp's protocol, which receives a head and the bytes behind it separately.

    aiohttp discards a complete response if garbage follows it in the same packet: its parser raises before it returns
    the response. Given the head alone first, it returns the response, and the garbage ends the connection only.
    """

    _expects_head = False

    def set_response_params(self, **parameters: Any) -> None:
        self._expects_head = True
        super().set_response_params(**parameters)

    def data_received(self, data: bytes) -> None:
        end = data.find(_HEAD_END) + len(_HEAD_END) if self._expects_head else 0
        if end >= len(_HEAD_END):
            self._expects_head = False
            super().data_received(data[:end])
            data = data[end:]
            if not data:
                return
        super().data_received(data)


class _Body(httpx.AsyncByteStream):
    """The body of an answer; each read returns everything that has arrived."""

    def __init__(self, answer: aiohttp.ClientResponse) -> None:
        self._answer = answer
        self._content = answer.content
        self._closed = False

    def __aiter__(self) -> _Body:
        return self

    async def __anext__(self) -> bytes:
        if self._closed:
            # Not read from aiohttp, which would raise one exception object of the whole module: its traceback would
            # refer to our frames, and with them to this body, for as long as the process lives.
            raise StopAsyncIteration
        try:
            data = await self._content.readany()
        except _RAISED as error:
            data = self._left()
            if not data:
                raise _cleared(error, _renamed(error)) from None
        except RuntimeError as error:  # aiohttp raises it if another task closed the connection
            raise httpx.ReadError(str(error)) from None
        if not data:
            raise StopAsyncIteration
        return data

    def at_end(self) -> bool:
        """Return whether the body has ended, and all of it was read."""
        return self._content.at_eof()

    def lose(self, error: BaseException | None) -> None:
        """Note that no more bytes can come; ``error`` is the reason."""
        if not self._content.is_eof() and self._content.exception() is None:
            self._content.set_exception(error or aiohttp.ServerDisconnectedError())

    def _left(self) -> bytes:
        """Return what came before the failure: aiohttp would raise the failure first and discard it."""
        content: Any = self._content
        failure = content.exception()
        content.set_exception(None)
        try:
            left: bytes = content.read_nowait()
        finally:
            content.set_exception(failure)
        return left

    async def aclose(self) -> None:
        """Close the connection at once, unless the body has been read to its end."""
        self._closed = True
        connection = self._answer.connection
        if connection is not None and connection.transport is not None:
            # Over TLS, asyncio's `close` would wait for the other end to take leave, up to 30 s.
            connection.transport.abort()
        self._answer.close()


def _socket(address: Any) -> socket.socket:
    """Return a socket that probes an idle connection, and that a forked child cannot touch."""
    family, kind, protocol, _, _ = address
    sock = socket.socket(family, kind, protocol)
    guard(sock)
    for option in KEEPALIVE_OPTIONS:
        sock.setsockopt(*option)
    return sock


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
        # aiohttp encodes a proxy's password as Latin-1; it moves this header to Proxy-Authorization as it is.
        proxy.headers["Authorization"] = f"Basic {base64.b64encode(b':'.join(user)).decode()}"
    return proxy


def _cleared(error: BaseException, renamed: httpx.TransportError) -> httpx.TransportError:
    """Return ``renamed``, after removing the frames from ``error``: some of aiohttp's exceptions live for ever."""
    error.__traceback__ = error.__context__ = None
    return renamed


def _renamed(error: BaseException) -> httpx.TransportError:
    """Return what httpx would have raised for aiohttp's exception ``error``."""
    message = str(error) or type(error).__name__
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return httpx.ProxyError(f"{error.status} {error.message}")
    if (
        any(isinstance(each, LineTooLong) for each in _chain(error))
        or "Too many headers" in message
    ):
        return httpx.RemoteProtocolError(f"the head is longer than the buffer: {message}")
    for types, renamed in _NAMES:
        if isinstance(error, types):
            return renamed(message)
    return httpx.ReadError(message)


_NAMES: tuple[tuple[Any, type[httpx.TransportError]], ...] = (
    (aiohttp.ConnectionTimeoutError, httpx.ConnectTimeout),
    (asyncio.TimeoutError, httpx.ReadTimeout),
    (aiohttp.ClientConnectorError, httpx.ConnectError),
    ((aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError), httpx.UnsupportedProtocol),
    ((aiohttp.ClientResponseError, HttpProcessingError), httpx.RemoteProtocolError),
)
"""Any other exception means that the connection broke: a reset, a disconnect, an end in the middle of the body."""


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
