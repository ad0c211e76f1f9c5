"""Options of TCP connections, the same for every client."""

from __future__ import annotations

import socket
from typing import TypeAlias

__all__ = ["KEEPALIVE_OPTIONS", "KEEPALIVE_SECONDS"]

Option: TypeAlias = tuple[int, int, int]

KEEPALIVE_SECONDS = 30.0
"""Seconds after which an idle connection is not used again: routers forget connections without a notice."""

_PROBES = (("TCP_KEEPIDLE", 30), ("TCP_KEEPALIVE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3))
"""Seconds until the first probe (``TCP_KEEPALIVE`` on macOS), seconds between probes, and probes without an answer."""


def _options() -> tuple[Option, ...]:
    names = [(getattr(socket, name, None), value) for name, value in _PROBES]
    probes = [(socket.IPPROTO_TCP, name, value) for name, value in names if name is not None]
    return ((socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1), *probes)


KEEPALIVE_OPTIONS: tuple[Option, ...] = _options()
"""Have the system probe a silent connection, so that a read from a host that vanished ends after a minute."""
