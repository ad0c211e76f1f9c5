"""Open a TCP connection within a limit, in a way that another thread can break off.

``socket.create_connection`` gives each address of a host the whole limit, lets the name be looked up for as long as the
system likes, and can be woken from neither.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import queue
import selectors
import socket
import threading
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, TypeAlias

from ..forks import guard
from ..tcp import KEEPALIVE_OPTIONS

__all__ = ["Alarm", "NameNotFound", "dial", "wake"]

Alarm: TypeAlias = Callable[[], None]
"""Wakes whoever is blocked; called from any thread, at any time."""
Address: TypeAlias = tuple[Any, ...]


class NameNotFound(OSError):
    """The name of the host has no address."""


def wake(sock: socket.socket) -> None:
    """Shut ``sock`` down both ways: a thread blocked in it returns at once.

    The plain socket's method is used for TLS too: ``SSLSocket.shutdown`` drops the TLS state under a reader.
    """
    # eventlet's plain sockets are not the system's, and only each object has the method; its TLS sockets are.
    of_class: Any = _socket.socket if isinstance(sock, _socket.socket) else socket.socket
    shutdown: Any = getattr(of_class, "shutdown", None)
    # ENOTCONN: the peer was faster; EBADF: it is closed already.
    with contextlib.suppress(OSError):
        if shutdown is not None:
            shutdown(sock, socket.SHUT_RDWR)
        else:
            sock.shutdown(socket.SHUT_RDWR)


def dial(
    host: str,
    port: int,
    *,
    until: float | None,
    clock: Callable[[], float],
    options: Iterable[tuple[Any, ...]],
    announce: Callable[[Alarm], None],
) -> socket.socket:
    """Connect to the first address of a host that answers.

    Args:
        until: when, on ``clock``, all of it must be done; each address gets its share of what is left.
        options: for ``setsockopt``.
        announce: told, before anything blocks, what wakes it.

    Raises:
        TimeoutError: time ran out.
        NameNotFound: the name has no address.
        OSError: none of the addresses answers.
    """
    left = partial(_left, until, clock)
    addresses = _resolve(host, port, left, announce)
    last: OSError | None = None
    for place, (family, address) in enumerate(addresses):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError as error:  # a family that this system does not have
            last = error
            continue
        try:
            guard(sock)
            for option in (*options, *KEEPALIVE_OPTIONS):
                sock.setsockopt(*option)
            seconds = left()
            _connect(
                sock,
                address,
                None if seconds is None else seconds / (len(addresses) - place),
                announce,
            )
        except OSError as error:
            sock.close()
            last = error
        except BaseException:
            sock.close()
            raise
        else:
            return sock
    assert last is not None  # a name without an address was told above
    raise last


def _connect(
    sock: socket.socket,
    address: Address,
    seconds: float | None,
    announce: Callable[[Alarm], None],
) -> None:
    sock.setblocking(False)
    error = sock.connect_ex(address)
    # Only now: what is shut down before it connects is not woken, and hangs or seems to be connected.
    announce(partial(wake, sock))
    if error in (errno.EINPROGRESS, errno.EWOULDBLOCK):
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            if not selector.select(seconds):
                raise TimeoutError("the connection was not made in time")
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if error:
        raise OSError(error, os.strerror(error))
    sock.settimeout(seconds)


def _left(until: float | None, clock: Callable[[], float]) -> float | None:
    if until is None:
        return None
    left = until - clock()
    if left <= 0:
        raise TimeoutError("the connection was not made in time")
    return left


def _resolve(
    host: str, port: int, left: Callable[[], float | None], announce: Callable[[Alarm], None]
) -> list[tuple[int, Address]]:
    """Look a name up in a thread of its own, since nothing can break the system's resolver off."""
    try:
        return _look_up(host, port, socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # no address, but a name
    except UnicodeError:
        raise NameNotFound(f"{host[:80]!r} is not a name that can be looked up") from None
    answers: queue.SimpleQueue[list[tuple[int, Address]] | OSError] = queue.SimpleQueue()

    def ask() -> None:
        try:
            answers.put(_look_up(host, port, 0))
        except OSError as error:
            answers.put(NameNotFound(f"{host}: {error.strerror or error}"))

    announce(lambda: answers.put(InterruptedError("woken")))
    threading.Thread(target=ask, name="glmclient-resolver", daemon=True).start()
    try:
        answer = answers.get(timeout=left())
    except queue.Empty:
        raise TimeoutError(f"{host} was not looked up in time") from None
    if isinstance(answer, OSError):
        raise answer
    return answer


def _look_up(host: str, port: int, flags: int) -> list[tuple[int, Address]]:
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
    return [(family, address) for family, _, _, _, address in found]
