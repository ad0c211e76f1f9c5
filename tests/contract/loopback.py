"""A server on this machine that does, byte for byte, what a test tells it, and remembers what it was asked."""

from __future__ import annotations

import json
import queue
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

PATIENCE = 20.0  # seconds until a test that hangs fails; nothing that works comes near


class Request:
    """One request as it came."""

    def __init__(self, head: bytes, body: bytes) -> None:
        lines = head.decode("latin-1").split("\r\n")
        self.method, self.target, _ = lines[0].split(" ", 2)
        self.fields = [tuple(line.split(": ", 1)) for line in lines[1:] if ": " in line]
        self.raw = head
        self.body = body

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.fields}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Answering:
    """One request being answered: what a script gets."""

    def __init__(self, server: Server, connection: socket.socket, request: Request) -> None:
        self.server = server
        self.connection = connection
        self.request = request
        self.open = True

    def send(self, data: bytes) -> None:
        self.connection.sendall(data)

    def head(
        self,
        status: int = 200,
        kind: str | None = "text/event-stream",
        *fields: str,
        length: int | None = None,
        chunked: bool = True,
    ) -> None:
        lines = [f"HTTP/1.1 {status} Whatever", *fields]
        if kind is not None:
            lines.append(f"Content-Type: {kind}")
        if length is not None:
            lines.append(f"Content-Length: {length}")
        elif chunked:
            lines.append("Transfer-Encoding: chunked")
        else:
            lines.append("Connection: close")
        self.send("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def chunk(self, data: bytes) -> None:
        self.send(b"%x\r\n%s\r\n" % (len(data), data))

    def end(self) -> None:
        self.send(b"0\r\n\r\n")

    def close(self) -> None:
        self.open = False

    def reset(self) -> None:
        """End the connection with RST instead of FIN."""
        self.connection.setsockopt(
            socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00"
        )
        self.open = False

    def gone(self) -> bool:
        """Wait until the peer has left; False if it does not within our patience."""
        self.connection.settimeout(PATIENCE)
        try:
            while self.connection.recv(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            pass
        self.open = False
        return True


Script = Callable[[Answering], None]


class Server:
    """Answers the first request by the first script, and so on; the last script again and again."""

    def __init__(self, *scripts: Script) -> None:
        self.scripts = scripts
        self.requests: list[Request] = []
        self.connections = 0
        self.failures: list[BaseException] = []
        self.seen: queue.Queue[Request] = queue.Queue()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: set[socket.socket] = set()
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        # A listener that is only closed does not wake the thread in accept() on Linux.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            connections = list(self._open)
        for connection in connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(PATIENCE)
        assert not self.failures, self.failures

    @property
    def request(self) -> Request:
        """The only request that came."""
        assert len(self.requests) == 1, [each.target for each in self.requests]
        return self.requests[0]

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                self._open.add(connection)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection:
                while (request := self._read(connection)) is not None:
                    with self._lock:
                        number = len(self.requests)
                        self.requests.append(request)
                    self.seen.put(request)
                    answering = Answering(self, connection, request)
                    self.scripts[min(number, len(self.scripts) - 1)](answering)
                    if not answering.open:
                        return
        except OSError:
            pass  # the peer left: what it left behind is what the tests look at
        except Exception as error:
            self.failures.append(error)
            raise
        finally:
            with self._lock:
                self._open.discard(connection)

    def _read(self, connection: socket.socket) -> Request | None:
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                return None
            data += piece
        head, _, body = data.partition(b"\r\n\r\n")
        request = Request(head, b"")
        length = int(request.headers.get("content-length", "0"))
        while len(body) < length:
            piece = connection.recv(65536)
            if not piece:
                return None
            body += piece
        request.body = body
        return request


def stream(*pieces: bytes, end: bool = True) -> Script:
    """Answer with an event stream, one piece a chunk."""

    def script(answering: Answering) -> None:
        answering.head()
        for piece in pieces:
            answering.chunk(piece)
        if end:
            answering.end()
        else:
            answering.close()

    return script


def closed_stream(*pieces: bytes) -> Script:
    """Answer with an event stream whose end is the end of the connection."""

    def script(answering: Answering) -> None:
        answering.head(chunked=False)
        for piece in pieces:
            answering.send(piece)
        answering.close()

    return script


def answer(
    status: int, body: bytes | str | object, *fields: str, kind: str = "application/json"
) -> Script:
    """Answer with one whole body."""
    if isinstance(body, str):
        body = body.encode()
    elif not isinstance(body, bytes):
        body = json.dumps(body, ensure_ascii=False).encode()
    data = body

    def script(answering: Answering) -> None:
        answering.head(status, kind, *fields, length=len(data))
        answering.send(data)

    return script
