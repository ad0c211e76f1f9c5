"""A connected socket whose blocking calls obey a deadline, and that another thread can wake.

``http.client`` takes any object with ``sendall``, ``makefile`` and ``close`` for its socket. This one sets the
socket's timeout before each ``recv`` from what is left of the deadline, so that a trickle of bytes cannot outlive
it, and counts what a response's head may bring.
"""

from __future__ import annotations

import contextlib
import io
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

__all__ = ["DeadlineSocket", "HeadTooLong", "connect", "wake"]

READ_BUFFER = 64 * 1024
"""Bytes asked of the socket at once: what the kernel holds of a fast stream comes in one call."""


class HeadTooLong(OSError):
    """The head of a response passed its bound."""


def wake(sock: socket.socket) -> None:
    """Shut ``sock`` down both ways: a thread blocked in it returns at once.

    The plain socket's method is used for TLS too: ``SSLSocket.shutdown`` drops the TLS state under a reader.
    """
    # ENOTCONN: the peer was faster; EBADF: it is closed already.
    with contextlib.suppress(OSError):
        socket.socket.shutdown(sock, socket.SHUT_RDWR)


def connect(
    address: tuple[str, int],
    seconds: float | None,
    options: Iterable[tuple[Any, ...]],
    announce: Callable[[socket.socket], None],
) -> socket.socket:
    """Connect to the first address of a host that answers, all of them within ``seconds``.

    Args:
        options: for ``setsockopt``.
        announce: told each socket before it connects, so that another thread can wake it.

    Raises:
        TimeoutError: time ran out.
        OSError: the name has no address, or none of its addresses answers.
    """
    end = None if seconds is None else time.monotonic() + seconds
    last: OSError | None = None
    for family, kind, protocol, _, target in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
        sock = socket.socket(family, kind, protocol)
        try:
            for option in options:
                sock.setsockopt(*option)
            announce(sock)
            sock.settimeout(_left(end))
            sock.connect(target)
            sock.settimeout(_left(end))
        except OSError as error:
            sock.close()
            if isinstance(error, TimeoutError) and end is not None and time.monotonic() >= end:
                raise
            last = error
        else:
            return sock
    raise last if last is not None else OSError("the name has no address")


def _left(end: float | None) -> float | None:
    if end is None:
        return None
    left = end - time.monotonic()
    if left <= 0:
        raise TimeoutError("the connection was not made in time")
    return left


class DeadlineSocket:
    """Stand in for a connected socket.

    Args:
        sock: the socket, plain or TLS; owned from here on.
        clock: seconds that only grow.

    Attributes:
        deadline: when, on ``clock``, a blocked call gives up; ``None`` is never.
        idle: seconds that one call may wait for its first byte; ``None`` is for ever.
        head_left: bytes that the head of the response may still bring; ``None`` once it is here.
    """

    def __init__(self, sock: socket.socket, clock: Callable[[], float]) -> None:
        self.sock = sock
        self.deadline: float | None = None
        self.idle: float | None = None
        self.head_left: int | None = None
        self._clock = clock
        self._readers = 0
        self._closed = False
        self._timeout: float | None = -1.0

    def _arm(self) -> None:
        timeout = self.idle
        if self.deadline is not None:
            left = self.deadline - self._clock()
            if left <= 0:
                raise TimeoutError("the deadline passed")
            timeout = left if timeout is None else min(left, timeout)
        if timeout != self._timeout:  # a system call each
            self.sock.settimeout(timeout)
            self._timeout = timeout

    def recv_into(self, buffer: memoryview) -> int:
        """Receive at most ``len(buffer)`` bytes within the deadline.

        Raises:
            TimeoutError: the deadline, or the idle time, passed.
            HeadTooLong: the head of the response passed its bound.
        """
        self._arm()
        if self.head_left is None:
            return self.sock.recv_into(buffer)
        if self.head_left <= 0:
            raise HeadTooLong("the head of the response does not end")
        size = self.sock.recv_into(buffer[: self.head_left])
        self.head_left -= size
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
