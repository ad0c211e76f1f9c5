"""A connected socket whose blocking calls obey a deadline, and a bound on what one call may bring.

``http.client`` takes any object with ``sendall``, ``makefile`` and ``close`` for its socket. This one sets the
socket's timeout before each ``recv`` from what is left of the deadline, so that a trickle of bytes cannot outlive
it, and counts what a response's head, or the framing of its body, may bring.
"""

from __future__ import annotations

import _socket
import io
import socket
from collections.abc import Callable
from typing import Any

__all__ = ["DeadlineSocket", "TooMuch"]

READ_BUFFER = 64 * 1024
"""Bytes asked of the socket at once: what the kernel holds of a fast stream comes in one call."""


class TooMuch(OSError):
    """More bytes came than the head of a response, or the framing around a piece of its body, may have."""


class DeadlineSocket:
    """Stand in for a connected socket.

    Args:
        sock: the socket, plain or TLS or urllib3's TLS within TLS; owned from here on.
        clock: seconds that only grow.

    Attributes:
        clock: the one that was given.
        deadline: when, on ``clock``, a blocked call gives up; ``None`` is never.
        idle: seconds that one call may wait for its first byte; ``None`` is for ever.
        allowance: bytes that may be received until it is set anew; ``None`` is any number.
        ended: the peer sends nothing more.
    """

    def __init__(self, sock: Any, clock: Callable[[], float]) -> None:
        self.sock = sock
        self.deadline: float | None = None
        self.idle: float | None = None
        self.allowance: int | None = None
        self.ended: bool = False
        self.clock: Callable[[], float] = clock
        self._readers = 0
        self._closed = False
        self._timeout: float | None = -1.0

    @property
    def plain(self) -> socket.socket:
        """The socket of the system: below TLS within TLS there is another one."""
        sock: Any = self.sock
        # Under eventlet, TLS sockets are of the second kind and plain ones of the first.
        while not isinstance(sock, (socket.socket, _socket.socket)):
            sock = sock.socket
        found: socket.socket = sock  # type: ignore[assignment]
        return found

    def gettimeout(self) -> float | None:
        """Return the seconds that a blocked call may take now: TLS takes them for its whole handshake.

        Raises:
            TimeoutError: the deadline passed.
        """
        timeout = self.idle
        if self.deadline is not None:
            left = self.deadline - self.clock()
            if left <= 0:
                raise TimeoutError("the deadline passed")
            timeout = left if timeout is None else min(left, timeout)
        return timeout

    def _arm(self) -> None:
        timeout = self.gettimeout()
        if timeout != self._timeout:  # a system call each
            self.sock.settimeout(timeout)
            self._timeout = timeout

    def recv_into(self, buffer: memoryview) -> int:
        """Receive at most ``len(buffer)`` bytes within the deadline.

        Raises:
            TimeoutError: the deadline, or the idle time, passed.
            TooMuch: the allowance is used up.
        """
        self._arm()
        if self.allowance is not None:
            if self.allowance <= 0:
                raise TooMuch("it does not end")
            buffer = buffer[: self.allowance]
        size = int(self.sock.recv_into(buffer))
        if not size:
            self.ended = True
        elif self.allowance is not None:
            self.allowance -= size
        return size

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send all of ``data`` within the deadline."""
        self._arm()
        self.sock.sendall(data, flags)

    def settimeout(self, timeout: float | None) -> None:
        """Ignored: the deadline governs, whatever the HTTP library sets between two calls."""

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        """Return a buffered reader; the socket stays open until it is closed too."""
        self._readers += 1
        return io.BufferedReader(_Reader(self), READ_BUFFER)

    def reader_closed(self) -> None:
        """Note that a reader is gone."""
        self._readers -= 1
        if self._closed and not self._readers:
            self.sock.close()

    def close(self) -> None:
        """Close the socket, or let its last reader close it, as ``socket.makefile`` documents."""
        self._closed = True
        if not self._readers:
            self.sock.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.sock, name)


class _Reader(io.RawIOBase):
    def __init__(self, owner: DeadlineSocket) -> None:
        super().__init__()
        self._owner = owner

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._owner.recv_into(memoryview(buffer))

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner.reader_closed()
