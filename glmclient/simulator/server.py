"""A loopback HTTP/1.1 server that writes what it is told, when it is told.

The request side is the standard library's ``http.server``: a request line, headers, a body of a stated length,
keep-alive and ``Expect`` are all that is needed, and it is there on every machine. The response side is written
here, because no library writes a cut, a reset or one network chunk for each item. One thread serves one connection,
so a body may wait for a test's signal in plain blocking code. h11 would be a dependency for what fits on a page.
"""

from __future__ import annotations

import atexit
import os
import selectors
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .http import (
    BodyItem,
    Cut,
    Framing,
    Pause,
    Reset,
    Service,
    Signal,
    SimulatedRequest,
    SimulatedResponse,
    Wait,
)

__all__ = ["LoopbackServer"]

STOP_SECONDS = 10.0
"""How long a stop waits for the threads; they end at once unless a script's own function blocks."""

REQUEST_BODY = 64 * 1024 * 1024
"""Bytes of one request's body at most."""

_PEEK_SECONDS = 0.02
"""How often a body that waits for a signal looks whether its client is still there."""

_LINGER = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""``struct linger`` that makes ``close`` reset the connection."""


class _ClientLeft(Exception):
    """The peer closed or reset the connection before the end of its response."""


class _ConnectionEnded(Exception):
    """The response ended the connection on purpose."""


class LoopbackServer:
    """Serves ``service`` on a free port of the loopback interface, in threads of its own.

    Args:
        service: answers the requests.
        host: the address to listen on.
        port: 0 for any free port.
    """

    def __init__(self, service: Service, *, host: str = "127.0.0.1", port: int = 0) -> None:
        self._service = service
        self._address = (host, port)
        self._changed = threading.Condition()
        self._requests: list[SimulatedRequest] = []
        self._disconnects: list[SimulatedRequest] = []
        self._failures: list[BaseException] = []
        self._connections: dict[int, tuple[socket.socket, threading.Thread]] = {}
        self._count = 0
        self._stopping = threading.Event()
        self._listener: socket.socket | None = None
        self._wake: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen and serve; the address is known when this returns."""
        if self._listener is not None:
            return
        self._stopping.clear()
        self._listener = socket.create_server(self._address, backlog=512)
        self._address = self._listener.getsockname()[:2]
        woken, self._wake = socket.socketpair()
        self._acceptor = threading.Thread(
            target=self._accept,
            args=(self._listener, woken),
            name="glmclient-simulator",
            daemon=True,
        )
        self._acceptor.start()
        # Daemon threads do not hold the interpreter back; this is what still ends them in order.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Close every connection and join every thread; a second call does nothing."""
        if self._listener is None or self._wake is None or self._acceptor is None:
            return
        atexit.unregister(self.stop)
        self._stopping.set()
        self._wake.close()
        self._acceptor.join(STOP_SECONDS)
        self._listener = self._wake = self._acceptor = None
        with self._changed:
            open_now = list(self._connections.values())
            for connection, _ in open_now:
                _shut_down(connection)
        for _, thread in open_now:
            thread.join(STOP_SECONDS)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host, port = self._address
        return f"http://{host}:{port}"

    @property
    def running(self) -> bool:
        """It was started and not yet stopped."""
        return self._listener is not None

    # -- what happened -------------------------------------------------------------------------------------

    @property
    def requests(self) -> tuple[SimulatedRequest, ...]:
        """The requests so far, in the order in which they were received whole."""
        with self._changed:
            return tuple(self._requests)

    @property
    def disconnects(self) -> tuple[SimulatedRequest, ...]:
        """The requests whose client left before the end of its response."""
        with self._changed:
            return tuple(self._disconnects)

    @property
    def failures(self) -> tuple[BaseException, ...]:
        """What the service raised."""
        with self._changed:
            return tuple(self._failures)

    @property
    def open_connections(self) -> int:
        """Connections that are open now, idle ones included."""
        with self._changed:
            return len(self._connections)

    def wait_for(self, happened: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``happened()``; it is asked again at every request, disconnect and closed connection.

        Returns:
            Whether it happened within ``timeout`` seconds.
        """
        with self._changed:
            return self._changed.wait_for(happened, timeout)

    def _note(self, where: list[Any], what: Any) -> None:
        with self._changed:
            where.append(what)
            self._changed.notify_all()

    # -- connections ---------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, woken: socket.socket) -> None:
        with listener, woken, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while all(key.fileobj is not woken for key, _ in selector.select()):
                connection, _ = listener.accept()
                self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        number = self._count
        self._count += 1
        thread = threading.Thread(
            target=self._serve,
            args=(connection, number),
            name=f"glmclient-simulator-{number}",
            daemon=True,
        )
        with self._changed:
            self._connections[number] = (connection, thread)
        thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            _Handler(connection, number, self)
        except OSError:
            pass  # the client went away between two requests, or in the middle of one
        finally:
            connection.close()
            with self._changed:
                del self._connections[number]
                self._changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    """One connection: its requests in, their responses out."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # each item is on the wire when it is written
    server: LoopbackServer  # type: ignore[assignment]

    def __init__(self, connection: socket.socket, number: int, server: LoopbackServer) -> None:
        self.number = number
        super().__init__(connection, ("127.0.0.1", 0), server)  # type: ignore[arg-type]

    def do_POST(self) -> None:
        request = self._received()
        if request is None:
            return
        server = self.server
        server._note(server._requests, request)
        try:
            response = server._service.respond(request)
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            server._note(server._failures, error)
            response = SimulatedResponse.of_text(f"the simulator's script failed: {error}", 500)
        try:
            self._answer(response)
        except _ConnectionEnded:
            self.close_connection = True
        except _ClientLeft:
            self.close_connection = True
            if not server._stopping.is_set():
                server._note(server._disconnects, request)
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            self.close_connection = True
            server._note(server._failures, error)

    do_GET = do_HEAD = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = do_POST

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: a test's output is its own."""

    def version_string(self) -> str:
        return "glmclient-simulator"

    def _received(self) -> SimulatedRequest | None:
        """Return the whole request, or answer what is wrong with it and return ``None``."""
        length = self.headers.get("content-length", "0")
        if "transfer-encoding" in self.headers or not length.isascii() or not length.isdigit():
            self.close_connection = True
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return None
        if int(length) > REQUEST_BODY:
            self.close_connection = True
            self.send_error(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        try:
            parts = urlsplit(self.path)
        except ValueError:
            self.close_connection = True
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
            close = getattr(body, "close", None)
            if close is not None:
                close()
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
                # Without lingering, close() resets; the reader holds the socket open, so it goes first.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
                self.rfile.close()
                self.connection.close()
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
        self.server._stopping.wait(seconds)

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
        close = getattr(body, "close", None)
        if close is not None:
            close()
    yield compressor.flush()


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the peer was faster
