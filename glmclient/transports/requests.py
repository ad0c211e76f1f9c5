"""Perform steps with requests: send, read, release, wake. A status code is nothing to this file."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse, LineTooLong
from typing import Any

import requests
import requests.adapters
import urllib3
import urllib3.connection
import urllib3.exceptions

from ..core.exchange import Read, Release, Send
from ..core.http import Head, origin
from ..errors import TransportFailure
from .base import Route, scrubbed
from .deadline import DeadlineSocket, HeadTooLong, connect, wake
from .tls import tls_context

__all__ = ["RequestsChannel", "RequestsTransport"]

READ_BYTES = 64 * 1024
POOL_CONNECTIONS = 64

_performing = threading.local()
"""``.channel``: the channel whose `Send` this thread is performing; connections report to it."""


class _Response(HTTPResponse):
    """Tell the channel which response is its own: its `read1` hands bytes over as they come."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        channel = getattr(_performing, "channel", None)
        if channel is not None:
            channel.response = self


class _Reporting:
    """What our connections add to urllib3's: the socket obeys deadlines and is known to the channel."""

    sock: Any

    def connect(self) -> None:
        super().connect()  # type: ignore[misc]
        channel: RequestsChannel | None = getattr(_performing, "channel", None)
        if channel is not None:
            self.sock = DeadlineSocket(self.sock, channel.route.clock)
            channel.attach(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        channel: RequestsChannel | None = getattr(_performing, "channel", None)
        if channel is not None and isinstance(self.sock, DeadlineSocket):
            channel.attach(self.sock)
        super().request(*args, **kwargs)  # type: ignore[misc]


class _Announcing(_Reporting):
    """Tell the channel of the socket before it connects, too."""

    host: str
    port: int
    timeout: float | None
    socket_options: Any

    def _new_conn(self) -> socket.socket:
        # urllib3 documents this method as the one to override; if it were ever renamed, urllib3's own would run and
        # only a cancel during the connect would have to wait for the connect limit.
        channel: RequestsChannel | None = getattr(_performing, "channel", None)
        if channel is None:
            return super()._new_conn()  # type: ignore[misc, no-any-return]
        this: Any = self
        address = (self.host.strip("[]"), self.port)
        try:
            return connect(address, self.timeout, self.socket_options or (), channel.attach_raw)
        except socket.gaierror as error:
            raise urllib3.exceptions.NameResolutionError(self.host, this, error) from error
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(self, "no connection in time") from error
        except OSError as error:
            raise urllib3.exceptions.NewConnectionError(this, str(error)) from error


class _Connection(_Announcing, urllib3.connection.HTTPConnection):
    response_class = _Response


class _TLSConnection(_Announcing, urllib3.connection.HTTPSConnection):
    response_class = _Response


class _Pool(urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


_POOLS = {"http": _Pool, "https": _TLSPool}


def _socks_pools() -> dict[str, Any]:
    """Return the same for SOCKS, whose connections dial in their own way; PySocks is an extra."""
    from urllib3.contrib import socks

    class Connection(_Reporting, socks.SOCKSConnection):
        response_class = _Response

    class TLSConnection(_Reporting, socks.SOCKSHTTPSConnection):
        response_class = _Response

    class Pool(socks.SOCKSHTTPConnectionPool):
        ConnectionCls = Connection

    class TLSPool(socks.SOCKSHTTPSConnectionPool):
        ConnectionCls = TLSConnection

    return {"http": Pool, "https": TLSPool}


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' own adapter over our pools, with one TLS context a process instead of one a connection."""

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = _POOLS

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = _socks_pools() if proxy.startswith("socks") else _POOLS
        return manager

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            pool = {"ssl_context": tls_context(verify)}
        return host, pool

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the pool alone: its TLS context says what to verify."""


class RequestsChannel:
    """One exchange's line, performed by the thread that reads the stream.

    Args:
        transport: whose pool is used.
    """

    def __init__(self, transport: RequestsTransport) -> None:
        self.route = transport.route
        self.response: HTTPResponse | None = None
        self._transport = transport
        self._reply: requests.Response | None = None
        self._sock: DeadlineSocket | None = None
        self._raw_sock: socket.socket | None = None
        self._cancelled = threading.Event()
        self._send: Send | None = None
        self._exhausted = False

    # -- what connections report ---------------------------------------------------------------------------

    def attach_raw(self, sock: socket.socket) -> None:
        """Know a socket before it is connected: a cancel must not wait for that, nor for TLS and proxies."""
        self._raw_sock = sock
        if self._cancelled.is_set():
            wake(sock)

    def attach(self, sock: DeadlineSocket) -> None:
        """Take over a connection's socket for this exchange."""
        step = self._send
        assert step is not None
        sock.deadline, sock.idle, sock.head_left = (
            step.deadline,
            step.idle,
            step.header_limit,
        )
        self._sock = sock
        if isinstance(
            sock.sock, socket.socket
        ):  # else TLS within TLS: the socket below it is known already
            self._raw_sock = sock.sock
        if self._cancelled.is_set() and self._raw_sock is not None:
            wake(self._raw_sock)

    # -- steps ---------------------------------------------------------------------------------------------

    def send(self, step: Send) -> Head:
        """Send a request and return the head of its response."""
        self.close()
        self._check()
        self._send, self._exhausted = step, False
        request = requests.Request(
            step.request.method,
            step.request.url,
            headers=dict(step.request.headers),
            data=step.request.body,
        ).prepare()
        proxy = self.route.proxy(step.request.url)
        _performing.channel = self
        try:
            self._reply = self._transport.adapter().send(
                request,
                stream=True,
                timeout=(_sooner(step, self.route.clock()), None),
                verify=self.route.verify,
                proxies={} if proxy is None else {"http": proxy, "https": proxy},
            )
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
        ) as error:
            raise self._failure(error, step.request.url) from None
        finally:
            _performing.channel = None
        if self._sock is not None:
            self._sock.head_left = None
        self._check()
        raw = self._reply.raw
        headers = raw.headers if raw is not None else self._reply.headers
        return Head.of(self._reply.status_code, headers.items())

    def read(self, step: Read) -> bytes:
        """Return the next bytes of the body as soon as there are any; ``b""`` at its end."""
        if self._exhausted:
            return b""
        sock, response = self._sock, self.response
        try:
            if sock is None or response is None:
                chunk = self._read_plainly()
            else:
                sock.deadline = step.deadline
                chunk = response.read1(READ_BYTES)
        except (
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
            ValueError,
            AttributeError,
        ) as error:
            raise self._failure(error, self._url()) from None
        if not chunk:
            self._end(response)
        return chunk

    def _read_plainly(self) -> bytes:
        """Read when no connection of ours reported: the response comes from a stand-in for the network."""
        assert self._reply is not None
        chunk: bytes = self._reply.raw.read1(READ_BYTES, decode_content=False)
        return chunk

    def _end(self, response: HTTPResponse | None) -> None:
        self._check()
        if response is not None and response.length:
            # http.client's read1 takes a cut of a body with a Content-Length for its end.
            left = f"{response.length} bytes of Content-Length were missing"
            raise TransportFailure("broken", f"{left} ({origin(self._url())})")
        self._exhausted = True

    def sleep(self, seconds: float) -> None:
        """Wait, unless the stream is cancelled meanwhile."""
        self._cancelled.wait(seconds)
        self._check()

    def release(self, step: Release) -> None:
        """Read the rest of the body within the step's bounds, so that the connection serves again; or close it."""
        deadline = self.route.clock() + step.seconds
        size = 0
        try:
            while self._reply is not None and not self._exhausted and size < step.max_bytes:
                size += len(self.read(Read(deadline)))
                if self.route.clock() >= deadline:
                    break
        except TransportFailure:
            self.close()  # the answer is whole; a connection that breaks after it is merely not used again
            return
        if self._reply is not None and self._exhausted:
            raw, self._reply = self._reply.raw, None
            if self.response is not None:
                self.response.close()  # read1 leaves a body of known length open at its end
            raw.release_conn()
            self._forget()
        else:
            self.close()

    def close(self) -> None:
        """Close the connection, if one is open."""
        reply, self._reply = self._reply, None
        if reply is not None:
            if self._raw_sock is not None:
                wake(
                    self._raw_sock
                )  # a reader in another thread holds the buffer's lock: close would wait for it
            reply.raw.close()
            reply.raw.release_conn()
        self._forget()

    def cancel(self) -> None:
        """Wake whoever is blocked in a step; safe from any thread."""
        self._cancelled.set()
        sock = self._raw_sock
        if sock is not None:
            wake(sock)

    # -- failures ------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._sock = self._raw_sock = self.response = None

    def _url(self) -> str:
        return self._send.request.url if self._send is not None else ""

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise TransportFailure("cancelled")

    def _failure(self, error: BaseException, url: str) -> TransportFailure:
        connected = self._sock is not None
        self.close()
        if self._cancelled.is_set():
            return TransportFailure("cancelled")
        chain = list(_chain(error))
        kind = next(
            (kind for kind, types in _KINDS if any(isinstance(e, types) for e in chain)),
            "broken",
        )
        if kind == "timeout" and not connected:
            kind = "connect_timeout"  # TLS and proxies talk before the connection is ours
        if kind == "connect_timeout" and self._passed_deadline():
            kind = "timeout"  # the deadline was nearer than the connect limit
        said = next((text for e in reversed(chain) if (text := str(e))), type(error).__name__)
        return TransportFailure(kind, f"{scrubbed(said)} ({origin(url)})")

    def _passed_deadline(self) -> bool:
        deadline = self._send.deadline if self._send is not None else None
        return deadline is not None and self.route.clock() >= deadline


def _sooner(step: Send, now: float) -> float | None:
    if step.deadline is None:
        return step.connect
    left = max(step.deadline - now, 0.001)
    return left if step.connect is None else min(step.connect, left)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps, outermost first: requests wraps urllib3, which wraps the system's."""
    seen: set[int] = set()
    pending: list[Any] = [error]
    while pending:
        current = pending.pop(0)
        if isinstance(current, BaseException) and id(current) not in seen:
            seen.add(id(current))
            yield current
            pending += [
                getattr(current, "reason", None),
                *current.args,
                current.__cause__,
                current.__context__,
            ]


_KINDS: tuple[tuple[str, tuple[type[BaseException], ...]], ...] = (
    ("limit", (HeadTooLong, LineTooLong)),
    ("proxy", (urllib3.exceptions.ProxyError, requests.exceptions.ProxyError)),
    ("tls", (urllib3.exceptions.SSLError, requests.exceptions.SSLError)),
    (
        "connect",
        (
            urllib3.exceptions.NewConnectionError,
            urllib3.exceptions.LocationValueError,
            requests.exceptions.InvalidURL,
        ),
    ),
    (
        "connect_timeout",
        (urllib3.exceptions.ConnectTimeoutError, requests.ConnectTimeout),
    ),
    ("timeout", (TimeoutError, urllib3.exceptions.TimeoutError, requests.Timeout)),
)


class RequestsTransport:
    """A connection pool of requests, made when it is first needed and anew in a forked child.

    Args:
        route: proxies, TLS and the clock.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        self._adapter: requests.adapters.HTTPAdapter | None = None
        self._pid = 0
        self._lock = threading.Lock()

    def open(self) -> RequestsChannel:
        """Return a line for one exchange."""
        return RequestsChannel(self)

    def apart(self) -> RequestsTransport:
        """Return a transport with the same routes and none of the connections."""
        return RequestsTransport(self.route)

    def adapter(self) -> requests.adapters.HTTPAdapter:
        """Return the pool of this process: sockets that a fork copied belong to the parent."""
        with self._lock:
            if self._adapter is None or self._pid != os.getpid():
                self._pid = os.getpid()
                self._adapter = _Adapter(pool_maxsize=POOL_CONNECTIONS)
            return self._adapter

    def close(self) -> None:
        """Close the idle connections; a later exchange opens a new pool."""
        with self._lock:
            adapter, self._adapter = self._adapter, None
            if adapter is not None and self._pid == os.getpid():
                adapter.close()
