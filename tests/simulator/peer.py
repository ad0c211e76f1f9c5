"""A client of bare sockets, which sees every byte and every end as it is."""

from __future__ import annotations

import socket
import struct
from types import TracebackType
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from typing_extensions import Self

SECONDS = 20.0
"""Only keeps a broken test from hanging."""


class Peer:
    """One connection to a server."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.socket = socket.create_connection((parts.hostname, parts.port or 80), SECONDS)
        self._held = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Leave with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def ask(self, path: str = "/", body: bytes = b"", method: str = "POST") -> None:
        self.send(
            f"{method} {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
            + body
        )

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def until(self, mark: bytes) -> bytes:
        """Return what comes up to and with ``mark``."""
        while mark not in self._held:
            data = self.socket.recv(65536)
            assert data, f"the connection ended before {mark!r}, after {self._held!r}"
            self._held += data
        end = self._held.index(mark) + len(mark)
        found, self._held = self._held[:end], self._held[end:]
        return found

    def head(self) -> bytes:
        return self.until(b"\r\n\r\n")

    def read(self) -> bytes:
        """Return what one read brings."""
        if self._held:
            held, self._held = self._held, b""
            return held
        return self.socket.recv(65536)

    def rest(self) -> bytes:
        """Return everything up to the end of the connection."""
        pieces = [self._held]
        while data := self.socket.recv(65536):
            pieces.append(data)
        return b"".join(pieces)
