"""One connection of the loopback server: requests in, responses out."""

from __future__ import annotations

import os
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, ClassVar, Protocol
from urllib.parse import parse_qs, urlsplit

from .http import (
    BodyItem,
    Cut,
    Framing,
    Pause,
    Reset,
    Signal,
    SimulatedRequest,
    SimulatedResponse,
    Wait,
    close_body,
)

__all__ = ["Connection", "Owner"]

REQUEST_BODY = 64 * 1024 * 1024
"""Bytes of one request's body at most."""

_PEEK_SECONDS = 0.02
"""How often a body that waits for a signal looks whether its client is still there."""

_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""``struct linger`` that makes ``close`` reset the connection."""


class Owner(Protocol):
    """What a connection belongs to: it answers, and is told what happened."""

    stopping: threading.Event

    def is_own_name(self, host: str) -> bool:
        """Tell whether requests for a host are answered; raises `ValueError` for one that is malformed."""

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer a request; never raises."""

    def left(self, request: SimulatedRequest) -> None:
        """The client left before the end of its response."""

    def failed(self, error: Exception) -> None:
        """The body of a response raised."""


class _ClientLeft(Exception):
    """The peer closed or reset the connection before the end of its response."""


class _ConnectionEnded(Exception):
    """The response ended the connection on purpose."""


class Connection(BaseHTTPRequestHandler):
    """One connection: its requests in, their responses out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # each item is on the wire when it is written
    server: Owner  # type: ignore[assignment]
    close_connection: bool

    def __init__(self, connection: socket.socket, number: int, owner: Owner) -> None:
        self.number = number
        super().__init__(connection, connection.getpeername(), owner)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        """Serve one request, whatever its method."""
        request = self._received()
        if request is None:
            return
        response = self.server.respond(request)
        try:
            self._answer(response)
        except _ConnectionEnded:
            self.close_connection = True
        except _ClientLeft:
            self.close_connection = True
            self.server.left(request)
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            self.close_connection = True
            self.server.failed(error)

    do_GET: ClassVar[Callable[[Connection], None]] = do_POST
    do_HEAD: ClassVar[Callable[[Connection], None]] = do_POST
    do_PUT: ClassVar[Callable[[Connection], None]] = do_POST
    do_PATCH: ClassVar[Callable[[Connection], None]] = do_POST
    do_DELETE: ClassVar[Callable[[Connection], None]] = do_POST
    do_OPTIONS: ClassVar[Callable[[Connection], None]] = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output is its own."""

    def version_string(self) -> str:
        """Return what the ``Server`` header says."""
        return "glmclient-simulator"

    def _received(self) -> SimulatedRequest | None:
        """Return the whole request, or answer what is wrong with it and return ``None``."""
        lengths = {
            each.strip()
            for field in self.headers.get_all("content-length", ["0"])
            for each in field.split(",")
        }
        if len(lengths) > 1:
            # RFC 9112 §6.3: which of them counts differs between servers, and requests could be smuggled in between.
            self.send_error(HTTPStatus.BAD_REQUEST, "Content-Length is ambiguous")
            return None
        length = lengths.pop()
        try:
            is_own = self.server.is_own_name(self.headers.get("host", "localhost"))
        except ValueError:
            is_own = False
        if not is_own:
            self.send_error(HTTPStatus.MISDIRECTED_REQUEST, "this host is not served here")
            return None
        if "transfer-encoding" in self.headers or not length.isascii() or not length.isdigit():
            self.send_error(HTTPStatus.LENGTH_REQUIRED)  # which closes the connection, too
            return None
        if int(length) > REQUEST_BODY:
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            return None
        try:
            parts = urlsplit(self.path)
        except ValueError:
            self.send_error(HTTPStatus.BAD_REQUEST)
            return None
        query = {
            name: values[-1]
            for name, values in parse_qs(parts.query, keep_blank_values=True).items()
        }
        headers = {name.lower(): value for name, value in self.headers.items()}
        return SimulatedRequest(self.command, parts.path, query, headers, body, self.number)

    # -- the response --------------------------------------------------------------------------------------

    def _answer(self, response: SimulatedResponse) -> None:
        for item in response.before:
            self._perform(item)
        framing = response.framing
        if framing == "chunked" and self.request_version == "HTTP/1.0":
            framing = "close"  # RFC 9112 §6.1: no transfer codings for a 1.0 client
        body: Iterable[BodyItem] = _compressed(response.body) if response.gzip else response.body
        if framing == "length":
            body = list(body)
        self.send_response(response.status)
        for name, value in response.headers:
            self.send_header(name, value)
        if response.gzip:
            self.send_header("Content-Encoding", "gzip")
        if framing == "chunked":
            self.send_header("Transfer-Encoding", "chunked")
        elif framing == "length":
            size = sum(len(item) for item in body if isinstance(item, bytes))
            self.send_header("Content-Length", str(size))
        else:
            self.send_header("Connection", "close")  # sets close_connection, too
        self._write_head()
        if self.command != "HEAD":
            self._write_body(body, framing)

    def _write_head(self) -> None:
        try:
            self.end_headers()
        except OSError:
            raise _ClientLeft from None

    def _write_body(self, body: Iterable[BodyItem], framing: Framing) -> None:
        try:
            for item in body:
                if isinstance(item, bytes):
                    self._write(item, framing)
                else:
                    self._perform(item)
        finally:
            close_body(body)
        if framing == "chunked":
            self._send(b"0\r\n\r\n")

    def _write(self, data: bytes, framing: Framing) -> None:
        if not data:
            return  # an empty chunk would be the last one
        self._send(b"%x\r\n%b\r\n" % (len(data), data) if framing == "chunked" else data)

    def _send(self, data: bytes) -> None:
        try:
            self.connection.sendall(data)
        except OSError:
            raise _ClientLeft from None

    def _perform(self, item: Pause | Wait | Cut | Reset) -> None:
        if isinstance(item, Pause):
            if item.until is None:
                self._hold(item.seconds)
            else:
                self._watch(item.until, item.seconds)
        elif isinstance(item, Wait):
            if not self._watch(item.signal, item.timeout):
                raise _ConnectionEnded
        else:
            if isinstance(item, Reset):
                # Without lingering, the close that follows resets.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            raise _ConnectionEnded

    def _hold(self, seconds: float) -> None:
        """Let ``seconds`` pass; notice at once if the client leaves.

        Raises:
            _ClientLeft: it did, or the server stops.
        """
        if seconds <= 0:
            return
        try:
            self.connection.settimeout(seconds)
            if not self.connection.recv(1, socket.MSG_PEEK):
                raise _ClientLeft
        except TimeoutError:
            return
        except OSError:
            raise _ClientLeft from None
        finally:
            self.connection.settimeout(None)
        # The next request is here already (pipelining): nothing tells whether this client is still there.
        self.server.stopping.wait(seconds)

    def _watch(self, signal: Signal, seconds: float) -> bool:
        """Wait for ``signal`` for at most ``seconds``, and look between whether the client is still there."""
        remaining = seconds
        while not signal.wait(min(_PEEK_SECONDS, max(remaining, 0.0))):
            if remaining <= 0:
                return False
            remaining -= _PEEK_SECONDS
            if self._left():
                raise _ClientLeft
        return True

    def _left(self) -> bool:
        try:
            self.connection.setblocking(False)
            return not self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except OSError:
            return True
        finally:
            self.connection.setblocking(True)


def _compressed(body: Iterable[BodyItem]) -> Iterator[BodyItem]:
    """Compress each item and flush, so that it can be read when it arrives (RFC 1952, zlib's sync flush)."""
    compressor = zlib.compressobj(wbits=31)
    try:
        for item in body:
            if isinstance(item, bytes):
                yield compressor.compress(item) + compressor.flush(zlib.Z_SYNC_FLUSH)
            else:
                yield item
    finally:
        close_body(body)
    yield compressor.flush()
