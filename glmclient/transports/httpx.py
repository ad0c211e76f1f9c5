"""Perform steps with httpx on asyncio or trio: send, read, release, wake. A status code is nothing to this file.

Each channel borrows a transport of a single connection from a list, last in, first out. httpcore's shared pool looks
at every connection for every event of a request's life, which is quadratic in the streams.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import anyio
import httpx

from ..core.exchange import Read, Release, Send
from ..core.http import Head, origin
from ..errors import TransportFailure
from .base import Route, scrubbed
from .event_loop import EventLoop
from .tls import tls_context

__all__ = ["HttpxChannel", "HttpxTransport"]

IDLE_CONNECTIONS = 100
KEEPALIVE_SECONDS = 30.0

_CUT = re.compile("peer closed|disconnected|without sending")
"""What h11 says of a connection that ended too early, in the exception that it also raises for garbage."""


class HttpxChannel:
    """One exchange's line.

    Args:
        transport: whose connections are used.
    """

    def __init__(self, transport: HttpxTransport) -> None:
        self.route = transport.route
        self._transport = transport
        self._line: httpx.AsyncBaseTransport | None = None
        self._key: tuple[str, str | None] = ("", None)
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._sock: socket.socket | None = None
        self._scope: anyio.CancelScope | None = None
        self._loop: EventLoop | None = None
        self._send: Send | None = None
        self._cancelled = False
        self._exhausted = False

    # -- steps ---------------------------------------------------------------------------------------------

    async def send(self, step: Send) -> Head:
        """Send a request and return the head of its response."""
        await self.aclose()
        self._send, self._exhausted = step, False
        self._loop = EventLoop.current()
        url = step.request.url
        self._key = (origin(url), self.route.proxy(url))
        timeout = {
            "connect": step.connect,
            "read": step.idle,
            "write": step.idle,
            "pool": None,
        }
        try:
            request = httpx.Request(
                step.request.method,
                url,
                headers=dict(step.request.headers),
                content=step.request.body,
                extensions={"timeout": timeout},
            )
            self._line = self._transport.borrow(self._key)
            async with self._within(step.deadline):
                self._response = await self._line.handle_async_request(request)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            failure = self._failure(error)
            await self.aclose()
            raise failure from None
        self._check()
        self._chunks = aiter(self._response.stream)  # type: ignore[arg-type]
        stream = self._response.extensions.get("network_stream")
        if stream is not None:
            self._sock = stream.get_extra_info("socket")
        return Head.of(self._response.status_code, self._response.headers.multi_items())

    async def read(self, step: Read) -> bytes:
        """Return the next bytes of the body as soon as there are any; ``b""`` at its end."""
        chunks = self._chunks
        if self._exhausted or chunks is None:
            return b""
        try:
            if step.deadline is None and self._sock is not None:
                # httpcore's own limit is the idle time, and a shut down socket wakes a reader: no cancel scope, which
                # would cost as much as all the rest of an event.
                chunk = await chunks.__anext__()
            else:
                async with self._within(step.deadline):
                    chunk = await chunks.__anext__()
            if chunk:
                return chunk
        except StopAsyncIteration:
            self._check()
            self._exhausted = True
            return b""
        except (httpx.HTTPError, httpx.StreamError, OSError) as error:
            failure = self._failure(error)
            await self.aclose()
            raise failure from None
        return await self.read(step)  # an empty piece is no end

    async def sleep(self, seconds: float) -> None:
        """Wait, unless the stream is cancelled meanwhile."""
        async with self._within(None):
            await anyio.sleep(seconds)

    async def release(self, step: Release) -> None:
        """Read the rest of the body within the step's bounds, so that the connection serves again; or close it."""
        deadline = self.route.clock() + step.seconds
        size = 0
        try:
            while self._response is not None and not self._exhausted and size < step.max_bytes:
                size += len(await self.read(Read(deadline)))
        except TransportFailure:
            return  # the answer is whole; a connection that breaks after it is merely not used again
        if self._response is not None and self._exhausted and self._line is not None:
            line, response = self._line, self._response
            self._forget()
            await response.aclose()
            await self._transport.give_back(self._key, line)
        else:
            await self.aclose()

    async def aclose(self) -> None:
        """Close the connection, if one is open."""
        line, response, chunks = self._line, self._response, self._chunks
        self._forget()
        if line is None:
            return
        with anyio.CancelScope(shield=True):
            if response is not None:
                with contextlib.suppress(httpx.HTTPError, OSError):
                    await response.aclose()
            if chunks is not None:
                await _end(chunks)
            with contextlib.suppress(httpx.HTTPError, OSError):
                await line.aclose()

    def cancel(self) -> None:
        """Wake whoever is blocked in a step; safe from any task and any thread."""
        self._cancelled = True
        scope, loop = self._scope, self._loop
        if scope is not None and loop is not None:
            loop.call_soon(scope.cancel)
        if self._sock is not None:
            _wake(self._sock)

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run ``function`` as a task of its own on the loop of this channel, if that still runs."""
        if self._loop is not None:
            self._loop.spawn(function)

    # -- limits and failures -------------------------------------------------------------------------------

    @contextlib.asynccontextmanager
    async def _within(self, deadline: float | None) -> AsyncIterator[None]:
        self._check()
        left = math.inf if deadline is None else deadline - self.route.clock()
        with anyio.CancelScope(deadline=anyio.current_time() + left) as self._scope:
            self._loop = self._loop or EventLoop.current()
            try:
                yield
            finally:
                scope, self._scope = self._scope, None
        if scope is not None and scope.cancelled_caught:
            self._check()
            raise TransportFailure("timeout", "the deadline passed")

    def _failure(self, error: BaseException) -> TransportFailure:
        if self._cancelled:
            return TransportFailure("cancelled")
        kind = next((kind for kind, types in _KINDS if isinstance(error, types)), "broken")
        said = str(error)
        if kind == "connect" and any(isinstance(e, ssl.SSLError) for e in _causes(error)):
            kind = "tls"
        elif kind == "connect" and self._key[1] is not None:
            kind = "proxy"  # what could not be reached is the proxy: beyond it, the proxy itself reports
        elif kind == "garbage" and _CUT.search(said):
            kind = "broken"
        elif kind == "garbage" and "buffer" in said:
            kind = "limit"
        url = self._send.request.url if self._send is not None else ""
        return TransportFailure(kind, f"{scrubbed(said or type(error).__name__)} ({origin(url)})")

    def _check(self) -> None:
        if self._cancelled:
            raise TransportFailure("cancelled")

    def _forget(self) -> None:
        self._line = self._response = self._chunks = self._sock = None


_KINDS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("connect_timeout", (httpx.ConnectTimeout,)),
    ("timeout", (httpx.TimeoutException,)),
    ("proxy", (httpx.ProxyError,)),
    ("connect", (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL)),
    ("garbage", (httpx.ProtocolError,)),
)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


async def _end(chunks: AsyncIterator[bytes]) -> None:
    """End httpx's nested generators through the error of their closed connection.

    Left to the garbage collector, each of them would be a task on asyncio and a warning on trio.
    """
    with contextlib.suppress(httpx.HTTPError, httpx.StreamError, OSError):
        async for _ in chunks:
            continue


def _wake(sock: Any) -> None:
    """Shut a socket down through a descriptor of our own: some loops lend sockets that refuse it."""
    with (
        contextlib.suppress(OSError, ValueError),
        socket.socket(fileno=os.dup(sock.fileno())) as twin,
    ):
        twin.shutdown(socket.SHUT_RDWR)


Key = tuple[str, "str | None"]
"""The origin and the proxy that a connection serves."""


class HttpxTransport:
    """The idle connections of one client, on one event loop at a time.

    Args:
        route: proxies, TLS and the clock.
        connect: makes the transport of one connection; for tests.
    """

    def __init__(
        self,
        route: Route,
        connect: Callable[[Key], httpx.AsyncBaseTransport] | None = None,
    ) -> None:
        self.route = route
        self._connect = connect if connect is not None else self._connection
        self._home: tuple[int, Any] = (0, None)
        self._idle: dict[Key, list[httpx.AsyncBaseTransport]] = {}

    def open(self) -> HttpxChannel:
        """Return a line for one exchange."""
        return HttpxChannel(self)

    def borrow(self, key: Key) -> httpx.AsyncBaseTransport:
        """Return the connection to ``key`` that was used last, or a new one."""
        home = (os.getpid(), EventLoop.current().key)
        if self._home != home:
            # Connections belong to the loop, and the process, that made them.
            self._home, self._idle = home, {}
        lines = self._idle.get(key)
        return lines.pop() if lines else self._connect(key)

    async def give_back(self, key: Key, line: httpx.AsyncBaseTransport) -> None:
        """Keep a free connection for the next exchange."""
        lines = self._idle.setdefault(key, [])
        if len(lines) < IDLE_CONNECTIONS:
            lines.append(line)
        else:
            await line.aclose()

    async def aclose(self) -> None:
        """Close the idle connections; a later exchange opens new ones."""
        idle, self._idle = self._idle, {}
        if self._home == (os.getpid(), EventLoop.current().key):
            for line in [line for lines in idle.values() for line in lines]:
                await line.aclose()

    def _connection(self, key: Key) -> httpx.AsyncBaseTransport:
        address, proxy = key
        secure = address.startswith("https:") or (proxy or "").startswith("https:")
        context = tls_context(self.route.verify) if secure else _plain_context()
        return httpx.AsyncHTTPTransport(
            verify=context,
            trust_env=False,
            limits=httpx.Limits(
                max_connections=1,
                max_keepalive_connections=1,
                keepalive_expiry=KEEPALIVE_SECONDS,
            ),
            proxy=None
            if proxy is None
            else httpx.Proxy(proxy, ssl_context=context if secure else None),
        )


_plain: list[ssl.SSLContext] = []


def _plain_context() -> ssl.SSLContext:
    """Return an empty context: httpx wants one even for http, and would load the authorities for it."""
    if not _plain:
        _plain.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    return _plain[0]
