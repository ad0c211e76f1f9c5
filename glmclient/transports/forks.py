"""Keep a forked child from touching the connections of its parent.

A fork copies every descriptor, and both copies are the same connection: if the child shuts one down, ends TLS on it, or
has its copy of an event loop forget it (an epoll instance is shared, too), the parent's stream is cut. Checks at each
of these places would have to include the libraries' own finalizers. Instead, one hook runs in the child right after
the fork and points each descriptor at a socket that is not connected. Whatever the child does then reaches that one.
"""

from __future__ import annotations

import contextlib
import os
import socket
import weakref
from typing import Any

__all__ = ["disown_all", "guard", "plain_socket"]

_guarded: set[weakref.ref[socket.socket]] = set()


def plain_socket(sock: Any) -> socket.socket | None:
    """Return the system's socket below what an event loop lends; ``None`` if the loop does not show it."""
    found = getattr(sock, "_sock", sock)
    return found if isinstance(found, socket.socket) else None


def guard(sock: Any) -> None:
    """Take care that no forked child touches the connection of ``sock``."""
    found = plain_socket(sock)
    if found is not None:
        _guarded.add(weakref.ref(found, _guarded.discard))


def disown_all() -> None:
    """In a forked child: point the descriptors of all connections at a socket that is not connected."""
    copies = [reference() for reference in list(_guarded)]
    _guarded.clear()
    for sock in copies:
        if sock is not None and sock.fileno() >= 0:
            with contextlib.suppress(OSError), socket.socket() as unconnected:
                os.dup2(unconnected.fileno(), sock.fileno(), inheritable=False)


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork
    os.register_at_fork(after_in_child=disown_all)
