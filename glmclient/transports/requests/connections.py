"""urllib3's connections, made to obey deadlines, to be woken, and to hand bytes over as they come.

A connection finds the channel that it works for in :data:`performing`, because urllib3 makes connections itself and
knows of no channels.
"""

from __future__ import annotations

import queue
import re
import socket
import threading
import time
from collections.abc import Iterator
from email.errors import (
    FirstHeaderLineIsContinuationDefect,
    InvalidHeaderDefect,
    MissingHeaderBodySeparatorDefect,
)
from functools import partial
from http import HTTPStatus
from http.client import BadStatusLine, HTTPException, HTTPMessage, LineTooLong, UnknownProtocol
from typing import Any, Protocol

import urllib3
import urllib3.connection
import urllib3.exceptions

from ...errors import FailureKind
from ..base import Route
from ..forks import guard
from ..socks import SocksProxy, negotiate
from ..tcp import KEEPALIVE_SECONDS
from .chunks import BadChunk, ChunkedResponse
from .deadline import DeadlineSocket, TooMuch
from .dial import Alarm, NameNotFound, dial, wake

__all__ = ["Performer", "Response", "chain_of", "kind_of", "performing", "pools"]

CONTINUE = 100
SWITCHING = 101


class BadHeader(HTTPException):
    """A line of the head is no header."""


class Performer(Protocol):
    """What connections report to: the channel whose request this thread is performing."""

    route: Route
    response: Response | None

    def announce(self, alarm: Alarm) -> None:
        """Take note of what wakes this thread from here on."""

    def attach(self, sock: DeadlineSocket, *, reused: bool = False) -> None:
        """Take a connected socket over for the request."""


class _Performing(threading.local):
    channel: Any = None
    """The `Performer` whose request this thread is performing."""


performing: _Performing = _Performing()


class Response(ChunkedResponse):
    """Tell the channel which response is its own: its ``read1`` hands bytes over as they come."""

    headers: HTTPMessage
    msg: HTTPMessage
    chunked: bool
    chunk_left: Any
    length: int | None
    will_close: bool
    _check_close: Any

    def __init__(self, sock: DeadlineSocket, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)  # type: ignore[arg-type]
        self._line = sock
        performing.channel.response = self

    def begin(self) -> None:
        """Read the head, past every interim one; http.client itself knows only 100 (RFC 9110 §15.2)."""
        super().begin()
        while CONTINUE < self.status < 200 and self.status != SWITCHING:
            self.headers = self.msg = None  # type: ignore[assignment]
            super().begin()
        self._settle_framing()
        if self._line.ended:
            # http.client takes the end of the connection for the end of the head.
            raise ConnectionResetError("the connection ended in the head of the response")
        defects = (
            FirstHeaderLineIsContinuationDefect,
            InvalidHeaderDefect,
            MissingHeaderBodySeparatorDefect,
        )
        if any(isinstance(defect, defects) for defect in self.headers.defects):
            # http.client takes such a line for the end of the head, and the rest of it for the body.
            raise BadHeader("a line of the head is not a header")

    def _settle_framing(self) -> None:
        """Say how the body is framed where http.client compares the words of the head as they stand (RFC 9112 §6.3)."""
        if self.status in (HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED):
            self.chunked, self.length = False, 0
        elif (
            not self.chunked
            and self.headers.get("transfer-encoding", "").strip().lower() == "chunked"
        ):
            self.chunked, self.chunk_left, self.length = True, None, None
            self.will_close = self._check_close()
        elif not self.chunked and self.length is None:
            told = {each.strip() for each in self.headers.get("content-length", "").split(",")}
            if len(told) == 1 and (length := told.pop()).isdecimal():
                self.length = int(length)
                self.will_close = self._check_close()


class _Ours:
    """What our connections add to urllib3's."""

    host: str
    port: int
    timeout: float | None
    socket_options: Any
    sock: Any
    socks: SocksProxy | None = None
    """The proxy to dial through; urllib3's own support needs PySocks, which dials for itself."""
    twin: socket.socket | None = None
    """The same connection by another descriptor: TLS takes the first one away before it shakes hands."""
    idle_since: float | None = None
    """When the connection went back to the pool."""

    @property
    def is_connected(self) -> bool:
        """Whether the connection serves again; urllib3 asks when it takes one from a pool."""
        since = self.idle_since
        if since is not None and time.monotonic() - since > KEEPALIVE_SECONDS:
            return False
        return bool(super().is_connected)  # type: ignore[misc]

    def _new_conn(self) -> Any:
        # urllib3 names this method as the one to override for another way to connect. If it were ever renamed,
        # urllib3's own would run, and a test would tell that a cancel has to wait for the connect limit.
        channel: Performer = performing.channel
        this: Any = self
        socks = self.socks
        clock = channel.route.clock
        until = None if self.timeout is None else clock() + self.timeout
        at = (self.host.strip("[]"), self.port) if socks is None else (socks.host, socks.port)
        try:
            raw = dial(
                *at,
                until=until,
                clock=clock,
                options=self.socket_options or (),
                announce=channel.announce,
            )
        except NameNotFound as error:
            raise _not_connected(this, error, socks) from error
        except TimeoutError as error:
            raise urllib3.exceptions.ConnectTimeoutError(str(error)) from error
        except OSError as error:
            raise _not_connected(this, error, socks) from error
        sock = DeadlineSocket(raw, clock)
        sock.deadline = until
        if isinstance(self, urllib3.connection.HTTPSConnection):
            self.twin = raw.dup()
            guard(self.twin)
            channel.announce(partial(wake, self.twin))
        if socks is not None:
            self._through(socks, sock)
        return sock

    def _through(self, proxy: SocksProxy, sock: DeadlineSocket) -> None:
        try:
            negotiate(sock, proxy, self.host.strip("[]"), self.port)
        except TimeoutError as error:
            sock.close()
            raise urllib3.exceptions.ConnectTimeoutError(str(error)) from error
        except OSError as error:
            sock.close()
            raise urllib3.exceptions.ProxyError(f"SOCKS: {error}", error) from error
        except BaseException:
            sock.close()
            raise

    def connect(self) -> None:
        self.idle_since = None
        try:
            super().connect()  # type: ignore[misc]
        finally:
            if self.twin is not None:
                self.twin.close()
        self.is_verified = (
            True  # as verify= wants it; urllib3 would warn for each request of who trusts anybody
        )
        channel = performing.channel
        if not isinstance(self.sock, DeadlineSocket):
            _lift_deadline(self.sock)
            self.sock = DeadlineSocket(self.sock, channel.route.clock)
        channel.attach(self.sock)

    def request(self, *args: Any, **kwargs: Any) -> None:
        if isinstance(self.sock, DeadlineSocket):
            performing.channel.attach(self.sock, reused=True)
        super().request(*args, **kwargs)  # type: ignore[misc]


def _not_connected(connection: Any, error: OSError, socks: SocksProxy | None) -> Exception:
    if socks is not None:
        return urllib3.exceptions.ProxyError(f"SOCKS: {error}", error)
    return urllib3.exceptions.NewConnectionError(connection, str(error))


def _lift_deadline(sock: Any) -> None:
    """Let TLS within TLS read from the outer TLS itself, which the connect limit governed so far."""
    outer = getattr(sock, "socket", None)
    if isinstance(outer, DeadlineSocket):
        sock.socket = outer.sock


class _Connection(_Ours, urllib3.connection.HTTPConnection):
    response_class = Response


class _TLSConnection(_Ours, urllib3.connection.HTTPSConnection):
    response_class = Response

    def _connect_tls_proxy(self, hostname: str, sock: Any) -> Any:
        # Between TLS to the proxy and TLS to the service there is a request of its own. If urllib3 renamed this
        # method, that request alone would get the limit for each byte; a test would tell.
        secure = super()._connect_tls_proxy(hostname, sock)
        line = DeadlineSocket(secure, performing.channel.route.clock)
        line.deadline = sock.deadline
        return line


class _Keeping:
    """What our pools do differently from urllib3's."""

    pool: Any

    def _put_conn(self, conn: Any) -> None:
        # urllib3 warns for each connection that finds the pool full, although more threads than the pool has places
        # are no mistake: the connection is closed, and the next question opens another.
        pool = self.pool
        if conn is None:
            return
        conn.idle_since = time.monotonic()
        try:
            if pool is not None:
                pool.put(conn, block=False)
                return
        except queue.Full:
            pass
        conn.close()


class _Pool(_Keeping, urllib3.HTTPConnectionPool):
    ConnectionCls = _Connection


class _TLSPool(_Keeping, urllib3.HTTPSConnectionPool):
    ConnectionCls = _TLSConnection


def pools(socks: SocksProxy | None = None) -> dict[str, type[urllib3.HTTPConnectionPool]]:
    """Return the classes of the connection pools by scheme, dialling through ``socks`` if that is given."""
    if socks is None:
        return {"http": _Pool, "https": _TLSPool}
    through = {"socks": socks}
    plain = type("_SocksConnection", (_Connection,), through)
    secure = type("_SocksTLSConnection", (_TLSConnection,), through)
    return {
        "http": type("_SocksPool", (_Pool,), {"ConnectionCls": plain}),
        "https": type("_SocksTLSPool", (_TLSPool,), {"ConnectionCls": secure}),
    }


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it wraps, outermost first: requests wraps urllib3's, which wraps the system's."""
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


def kind_of(chain: list[BaseException]) -> FailureKind:
    """Return the kind of `TransportFailure` that an error and what it wraps are."""
    for kind, types in _KINDS:
        if any(isinstance(error, types) for error in chain):
            return kind
    words = "\n".join(map(str, chain))
    return next((kind for kind, said in _WORDS if re.search(said, words)), "broken")


_KINDS: tuple[tuple[FailureKind, tuple[type[BaseException], ...]], ...] = (
    ("limit", (TooMuch, LineTooLong)),
    ("proxy", (urllib3.exceptions.ProxyError,)),
    ("tls", (urllib3.exceptions.SSLError,)),
    (
        "connect",
        (urllib3.exceptions.NewConnectionError, urllib3.exceptions.LocationValueError),
    ),
    ("connect_timeout", (urllib3.exceptions.ConnectTimeoutError,)),
    ("timeout", (TimeoutError, urllib3.exceptions.TimeoutError)),
    ("broken", (ConnectionError,)),
    (
        "garbage",
        (BadStatusLine, BadHeader, BadChunk, UnknownProtocol, urllib3.exceptions.InvalidHeader),
    ),
)
"""The first that something in the chain of an error belongs to; RemoteDisconnected is a bad status line, too.

requests' own exceptions are not named: each has one of urllib3's in its chain.
"""

_WORDS: tuple[tuple[FailureKind, str], ...] = (
    ("proxy", "Tunnel connection failed"),
    ("limit", r"got more than \d+ trailer"),
    ("headers", "got more than"),
)
"""What http.client says where it has no class of its own."""
