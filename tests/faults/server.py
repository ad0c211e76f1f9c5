"""A server of bare sockets that plays a script: byte for byte, and never by the clock.

A play is a function of the connection's `Peer`. The first request is answered by the first play, and so on; the last
play answers all that follow. What a play waits for is a signal of the test, or the client's own departure.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = [
    "FaultServer",
    "Gone",
    "Peer",
    "Play",
    "Request",
    "at_accept",
    "chunk",
    "head",
    "idle_port",
]

SECONDS = 20.0
"""Only keeps a broken test from hanging."""


class Gone(Exception):
    """The client left, which ends a play quietly."""


@dataclass(frozen=True)
class Request:
    """What a client asked, as it stood on the wire."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    lines: tuple[str, ...] = field(repr=False)

    def json(self) -> Any:
        return json.loads(self.body)


def head(
    status: int = 200,
    *fields: str,
    kind: str | None = "text/event-stream",
    length: int | None = None,
    chunked: bool = True,
) -> bytes:
    """Return the head of a response; its body is chunked, of a length, or ended by the connection."""
    lines = [f"HTTP/1.1 {status} {'OK' if status == 200 else 'Word'}", *fields]
    if kind is not None:
        lines.append(f"Content-Type: {kind}")
    if length is not None:
        lines.append(f"Content-Length: {length}")
    elif chunked:
        lines.append("Transfer-Encoding: chunked")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def chunk(data: bytes) -> bytes:
    """Return ``data`` as one chunk; without data, the last one."""
    return b"%x\r\n%s\r\n" % (len(data), data)


class Peer:
    """The server's end of one connection."""

    def __init__(self, server: FaultServer, sock: socket.socket) -> None:
        self.server = server
        self.request = Request("", "", {}, b"", ())
        self._sock = sock
        self._held = b""
        self.closed = False

    # -- receiving -----------------------------------------------------------------------------------------

    def _more(self) -> None:
        try:
            data = self._sock.recv(65536)
        except TimeoutError:
            raise AssertionError("the client neither spoke nor left") from None
        except OSError:
            data = b""
        if not data:
            raise Gone
        self._held += data

    def read_request(self) -> Request:
        """Read one request, all of it."""
        while b"\r\n\r\n" not in self._held:
            self._more()
        raw, _, self._held = self._held.partition(b"\r\n\r\n")
        first, *lines = raw.decode("latin-1").split("\r\n")
        method, target, _ = first.split(" ", 2)
        pairs = [line.partition(":")[::2] for line in lines]
        headers = {name.strip().lower(): value.strip() for name, value in pairs}
        size = int(headers.get("content-length", 0))
        while len(self._held) < size:
            self._more()
        body, self._held = self._held[:size], self._held[size:]
        self.request = Request(method, target, headers, body, tuple(lines))
        return self.request

    def until_gone(self) -> None:
        """Wait until the client closes the connection, and say so to the test."""
        try:
            while True:
                self._more()
        except Gone:
            self.server.saw_gone.set()
            raise

    def wait(self, event: threading.Event) -> None:
        """Wait for a signal of the test."""
        assert event.wait(SECONDS), "the test gave no signal"

    # -- sending -------------------------------------------------------------------------------------------

    def send(self, *pieces: bytes) -> None:
        """Send pieces, each by a call of its own."""
        try:
            for piece in pieces:
                self._sock.sendall(piece)
        except OSError:
            raise Gone from None

    def reply(
        self, status: int, body: bytes = b"", *fields: str, kind: str = "application/json"
    ) -> None:
        """Send a whole response."""
        self.send(head(status, *fields, kind=kind, length=len(body)) + body)

    def stream(self, *frames: bytes, fields: tuple[str, ...] = ()) -> None:
        """Send a whole stream, chunked, one frame a chunk."""
        self.send(head(200, *fields), *(chunk(frame) for frame in frames), chunk(b""))

    def reset(self) -> None:
        """Break the connection with a reset."""
        self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.closed = True
        self._sock.close()

    def close(self) -> None:
        """End the connection in order."""
        self.closed = True
        with contextlib.suppress(OSError):
            self._sock.shutdown(socket.SHUT_WR)
        self._sock.close()

    def secure(self, context: ssl.SSLContext) -> None:
        """Speak TLS from here on."""
        with self._sock.dup() as raw:
            try:
                self._sock = context.wrap_socket(self._sock, server_side=True)
            except ssl.SSLError:
                # Closing a socket with unread bytes resets the connection, and the client loses the alert.
                # What the client sent is here already; it may wait for the answer and send nothing more.
                raw.settimeout(0.2)
                with contextlib.suppress(OSError):
                    while raw.recv(65536):
                        pass
                raise

    @property
    def socket(self) -> socket.socket:
        return self._sock


Play: TypeAlias = Callable[[Peer], None]


def at_accept(play: Play) -> Play:
    """Mark a play that begins before a request is read."""
    play.at_accept = True  # type: ignore[attr-defined]
    return play


class FaultServer:
    """Plays scripts to whoever connects.

    Args:
        plays: one for each request; the last one for all that follow.
        tls: the server's certificate, for https.
    """

    def __init__(self, *plays: Play, tls: ssl.SSLContext | None = None) -> None:
        self._plays = plays
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = (
            f"{'https' if tls else 'http'}://{'localhost' if tls else '127.0.0.1'}:{self.port}"
        )
        self.requests: list[Request] = []
        self.asked: list[str] = []
        """Where a SOCKS proxy was to connect to."""
        self.connections = 0
        self.saw_gone = threading.Event()
        self.failures: list[BaseException] = []
        self._played = 0
        self._lock = threading.Lock()
        self._threads: list[threading.Thread] = []
        self._open: set[Peer] = set()
        self._ending = False

    def __enter__(self) -> Self:
        self._acceptor = threading.Thread(target=self._accept, name="fault-server")
        self._acceptor.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._ending = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(SECONDS)
        with self._lock:
            left = list(self._open)
        for peer in left:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(peer.socket, socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(SECONDS)
            assert not thread.is_alive(), "a play hangs"
        if self.failures and error is None:
            raise self.failures[0]

    @property
    def open(self) -> int:
        """Connections that are open now."""
        with self._lock:
            return len(self._open)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(SECONDS)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = Peer(self, sock)
            with self._lock:
                self.connections += 1
                self._open.add(peer)
            thread = threading.Thread(target=self._serve, args=(peer,), name="fault-play")
            self._threads = [*(each for each in self._threads if each.is_alive()), thread]
            thread.start()

    def _serve(self, peer: Peer) -> None:
        try:
            self._play_all(peer)
        except Gone:
            pass
        except BaseException as error:  # noqa: BLE001 - raised in the test's own thread
            self.failures.append(error)
        finally:
            with self._lock:
                self._open.discard(peer)
            peer.socket.close()

    def _play_all(self, peer: Peer) -> None:
        early = self._next(peek=True)
        if getattr(early, "at_accept", False):
            self._next()(peer)
        elif self._tls is not None:
            try:
                peer.secure(self._tls)
            except (ssl.SSLError, OSError):
                raise Gone from None
        while not peer.closed:
            self.requests.append(peer.read_request())
            self._next()(peer)

    def _next(self, *, peek: bool = False) -> Play:
        with self._lock:
            play = self._plays[min(self._played, len(self._plays) - 1)]
            if not peek:
                self._played += 1
            return play


@contextlib.contextmanager
def idle_port() -> Iterator[int]:
    """Give a port at which connections hang: its backlog is full and nobody accepts."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(("127.0.0.1", port))
        yield port
