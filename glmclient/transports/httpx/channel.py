"""Perform steps with httpx on asyncio or trio: send, read, release, wake. A status code is nothing to this file."""

from __future__ import annotations

import contextlib
import math
import os
import re
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, TypeVar

import anyio
import httpx

from ...core.exchange import Read, Release, Send
from ...core.http import Head, origin
from ...errors import FailureKind, TransportFailure
from ..base import Route, proxy_failure, scrubbed
from ..forks import guard
from .event_loop import EventLoop, shut_down
from .joined_events import at_end, join_events
from .lingering import GONE, OpenBodies, close_response, give_back, will_close
from .pool import Key, Lines

__all__ = ["GONE", "HttpxChannel"]

T = TypeVar("T")

TICK_SECONDS = 0.02
"""By how much the clocks of an event loop and of an exchange may disagree."""

_CUT = re.compile("peer closed|disconnected|without sending")
"""What h11 says of a connection that ended too early, in the exception that it also raises for garbage."""
_ALL_FAILED = re.compile("all (connection )?attempts", re.IGNORECASE)
_ALERT = re.compile(r"\[SSL: \w*_ALERT_\w+\]")
"""A refusal by the other end of TLS."""


class HttpxChannel:
    """One exchange's line.

    Args:
        route: proxies, TLS and the clock.
        lines: the connections that are used.
        open_bodies: connections whose answer is complete and whose body is open.
    """

    def __init__(
        self, route: Route, lines: Lines[httpx.AsyncBaseTransport], open_bodies: OpenBodies
    ) -> None:
        self.route = route
        self._open_bodies = open_bodies
        self._lines = lines
        self._line: httpx.AsyncBaseTransport | None = None
        self._key: Key = ("", None)
        self._response: httpx.Response | None = None
        self._chunks: AsyncIterator[bytes] | None = None
        self._sock: socket.socket | None = None
        self._dialled: Any = None
        """httpcore's connection, until the head of a response is here."""
        self._scope: anyio.CancelScope | None = None
        self._loop: EventLoop | None = None
        self._send: Send | None = None
        self._limits: dict[str, float | None] = {}
        self._connecting = False
        self._reused = False
        self._cancelled = False
        self._exhausted = False

    # -- steps ---------------------------------------------------------------------------------------------

    async def send(self, step: Send) -> Head:
        """Send a request and return the head of its response."""
        await self.aclose()
        self._check()
        self._send, self._exhausted, self._connecting = step, False, False
        self._loop = EventLoop.current()
        url = step.request.url
        self._key = (origin(url), self.route.proxy(url))
        try:
            request = httpx.Request(
                step.request.method,
                url,
                headers=dict(step.request.headers),
                content=step.request.body,
                extensions=self._extensions(step),
            )
            request.stream = _Content(step.request.body or b"")
            self._line, self._reused = await self._lines.borrow(self._key)
            response = await self._within(
                step.deadline, lambda line: line.handle_async_request(request), self._line
            )
        except _failures_through(self._key[1]) as error:
            failure = self._failure(error)
            await self.aclose()
            raise failure from None
        self._response, self._dialled = response, None
        join_events(response.stream)
        self._chunks = aiter(response.stream)
        self._lines.hold(self._line, self._chunks)
        stream = response.extensions.get("network_stream")
        if stream is not None:
            self._sock = stream.get_extra_info("socket")
            guard(self._sock)
        self._check()
        return Head.of(response.status_code, response.headers.multi_items())

    def _extensions(self, step: Send) -> dict[str, Any]:
        if self._key[1] is None and self._key[0].startswith("http:"):
            return {"timeout": _timeouts(step.connect, step.idle)}
        # httpcore gives TLS the connect limit anew, and the words that are changed with a proxy the limit of a read:
        # here one limit bounds all of it, and the idle time counts from when the request is sent.
        self._limits = _timeouts(step.connect, None)
        return {"timeout": self._limits, "trace": self._trace}

    async def _trace(self, event: str, info: Any) -> None:
        """Bound all of connecting by one limit; httpcore tells when it begins, and when the request goes out."""
        step, scope = self._send, self._scope
        if step is None or scope is None:
            return  # the body, and closing, are told too: connecting is long over
        if event.endswith("connect_tcp.started") and step.connect is not None:
            self._connecting = True
            scope.deadline = min(self._at(step.deadline), anyio.current_time() + step.connect)
        elif event.endswith("connect_tcp.complete"):
            self._dialled = info["return_value"]
        elif event.endswith("request_headers.started") and info["request"].method != b"CONNECT":
            self._connecting = False
            self._limits.update(_timeouts(step.connect, step.idle))
            scope.deadline = self._at(step.deadline)

    async def read(self, step: Read) -> bytes:
        """Return the next bytes of the body as soon as there are any; ``b""`` at its end."""
        chunks = self._chunks
        if self._exhausted or chunks is None:
            return b""
        if step.deadline is not None and self.route.clock() >= step.deadline:
            # aiohttp returns buffered bytes without giving the event loop a turn, so no cancel scope would expire
            # while a server keeps sending.
            await self.aclose()
            raise self._late()
        try:
            if step.deadline is None and self._sock is not None:
                # httpcore's own limit is the idle time, and a shut down socket wakes a reader: no cancel scope, which
                # would cost as much as all the rest of an event.
                chunk = await chunks.__anext__()
            else:
                chunk = await self._within(step.deadline, _next, chunks)
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
        await self._within(None, anyio.sleep, seconds)

    async def release(self, step: Release) -> None:
        """Give the connection back, if the body has ended or ends within the step's bounds.

        A body that is open longer is read to its end by a task of its own; see `OpenBodies`.
        """
        if not self._exhausted and step.max_bytes and at_end(self._response):
            with contextlib.suppress(TransportFailure):
                await self.read(Read(None))
        line, response, chunks = self._line, self._response, self._chunks
        open_ended = not self._exhausted and (
            not step.max_bytes or (response is not None and will_close(response))
        )
        if line is None or response is None or chunks is None or open_ended or self._cancelled:
            await self.aclose()
            return
        self._forget()
        if self._exhausted:
            self._open_bodies.endings.note(self._key[0], ended=True)
            await give_back(self._lines, self._key, line, response)
        else:
            await self._open_bodies.finish(self._key, line, response, chunks, step)

    async def aclose(self) -> None:
        """Close the connection, if one is open, even while this task is being cancelled."""
        line, response, chunks, dialled = self._line, self._response, self._chunks, self._dialled
        self._forget()
        if line is None or self._loop is None or not self._loop.is_running_here():
            return  # what belongs to another event loop ended with it

        async def close() -> None:
            try:
                await close_response(response, chunks)
            finally:
                await self._lines.discard(line)
                if dialled is not None:
                    # httpcore forgets a socket whose TLS, or whose SOCKS greeting, is cancelled or refused.
                    with contextlib.suppress(*GONE):
                        await dialled.aclose()

        with anyio.CancelScope(shield=True):
            try:
                await close()
            except BaseException:
                # asyncio's own way to cancel a task ignores the shield, and it can be used again while we close. A
                # task of its own closes what is left.
                self._loop.spawn(close)
                raise

    def cancel(self) -> None:
        """Wake whoever is blocked in a step; safe from any task and any thread."""
        self._cancelled = True
        scope, loop, sock = self._scope, self._loop, self._sock
        if scope is not None and loop is not None:
            loop.call_soon(scope.cancel)
        if sock is not None:
            shut_down(sock)

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run ``function`` as a task of its own on the loop of this channel, if that still runs."""
        if self._loop is not None:
            self._loop.spawn(function)

    # -- limits and failures -------------------------------------------------------------------------------

    async def _within(
        self, deadline: float | None, function: Callable[..., Awaitable[T]], *args: Any
    ) -> T:
        self._check()
        with anyio.CancelScope(deadline=self._at(deadline)) as scope:
            self._scope = scope
            try:
                return await function(*args)
            finally:
                self._scope = None
        self._check()
        passed = deadline is not None and self.route.clock() >= deadline - TICK_SECONDS
        raise self._late("connect_timeout" if self._connecting and not passed else "timeout")

    def _late(self, kind: FailureKind = "timeout") -> TransportFailure:
        return TransportFailure(kind, f"the deadline passed ({origin(self._url())})")

    def _at(self, deadline: float | None) -> float:
        """Return a point in time of the exchange's clock on the clock of the event loop."""
        if deadline is None:
            return math.inf
        return anyio.current_time() + deadline - self.route.clock()

    def _failure(self, error: BaseException) -> TransportFailure:
        if self._cancelled:
            return TransportFailure("cancelled")
        kinds = (kind for kind, types in _KINDS if isinstance(error, types))
        kind: FailureKind = next(kinds, "broken")
        said = str(error)
        if kind == "connect" and any(isinstance(e, ssl.SSLError) for e in _causes(error)):
            kind = "tls"
        elif kind == "broken" and (
            alert := next(filter(_ALERT.search, map(str, _causes(error))), "")
        ):
            # Over TLS 1.3 a server refuses the client's certificate after the handshake, in place of an answer.
            kind, said = "tls", alert
        elif not isinstance(error, (*_FAILURES, httpx.StreamError)):
            kind, said = "proxy", "it closed the connection, or does not speak SOCKS 5"
        elif kind == "connect" and self._key[1] is not None:
            kind = "proxy"  # what could not be reached is the proxy: beyond it, the proxy itself reports
        elif kind == "garbage" and _CUT.search(said):
            kind = "broken"
        elif kind == "garbage" and "buffer" in said:
            kind = "limit"
        if kind == "broken" and self._reused and self._response is None:
            kind = "stale"
        if kind == "proxy":
            kind = proxy_failure(said)
        if kind in ("connect", "proxy") and _ALL_FAILED.search(said):
            # anyio and trio count the addresses that failed, and leave the reasons to the causes.
            said = "; ".join(dict.fromkeys(_reasons(error))) or said
        return TransportFailure(
            kind, f"{scrubbed(said or type(error).__name__)} ({origin(self._url())})"
        )

    def _url(self) -> str:
        return self._send.request.url if self._send is not None else ""

    def _check(self) -> None:
        if self._cancelled:
            raise TransportFailure("cancelled")

    def _forget(self) -> None:
        self._line = self._response = self._chunks = self._sock = self._dialled = None


_KINDS: tuple[tuple[FailureKind, tuple[type[BaseException], ...]], ...] = (
    ("connect_timeout", (httpx.ConnectTimeout,)),
    ("timeout", (httpx.TimeoutException,)),
    ("proxy", (httpx.ProxyError,)),
    ("connect", (httpx.ConnectError, httpx.UnsupportedProtocol, httpx.InvalidURL)),
    ("garbage", (httpx.ProtocolError,)),
)


_FAILURES: tuple[type[Exception], ...] = (httpx.HTTPError, httpx.InvalidURL, OSError)


def _failures_through(proxy: str | None) -> tuple[type[Exception], ...]:
    """Return what is raised when a request cannot be sent."""
    if proxy is None or not proxy.startswith("socks"):
        return _FAILURES
    from socksio import SOCKSError

    # Raised by httpcore for a reply of the proxy that is cut, or is not SOCKS; httpx does not translate them.
    return (*_FAILURES, SOCKSError, LookupError, AssertionError)


def _reasons(error: BaseException) -> Iterator[str]:
    """Yield the system's own errors among the causes, those of groups included."""
    for each in _causes(error):
        if isinstance(each, OSError) and each.errno is not None:
            yield f"[Errno {each.errno}] {os.strerror(each.errno)}"
        for member in getattr(each, "exceptions", ()):
            yield from _reasons(member)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _timeouts(connect: float | None, idle: float | None) -> dict[str, float | None]:
    return {"connect": connect, "read": idle, "write": idle, "pool": None}


class _Content(httpx.AsyncByteStream):
    """The body of a request, without the asynchronous generator that httpx's own leaves behind if sending fails."""

    def __init__(self, body: bytes) -> None:
        self._left = [body]

    def __aiter__(self) -> _Content:
        return self

    async def __anext__(self) -> bytes:
        if not self._left:
            raise StopAsyncIteration
        return self._left.pop()


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    return await chunks.__anext__()
