"""The client's half of SOCKS 5 over a blocking socket (RFC 1928, RFC 1929); the proxy looks names up.

It is written here because PySocks dials for itself: with it, neither limits nor cancelling would reach the proxy.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import unquote, urlsplit

__all__ = ["SocksError", "SocksProxy", "negotiate"]

_VERSION = 5
_CONNECT = 1
_NO_PASSWORD, _PASSWORD = 0, 2
_IPV4, _NAME, _IPV6 = 1, 3, 4
_ADDRESS_SIZES = {_IPV4: 4, _IPV6: 16}
_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "TTL expired",
    7: "command not supported",
    8: "address type not supported",
}


class SocksError(OSError):
    """The proxy refused, or does not speak SOCKS 5."""


class Line(Protocol):
    """What is needed of a connected socket."""

    def sendall(self, data: bytes) -> None: ...

    def recv_into(self, buffer: memoryview) -> int: ...


@dataclass(frozen=True, slots=True)
class SocksProxy:
    """Where a SOCKS proxy is, and who asks it."""

    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @classmethod
    def of(cls, url: str) -> SocksProxy:
        """Return the proxy that a URL names; the port is 1080 if it names none."""
        parts = urlsplit(url)
        return cls(
            parts.hostname or "",
            parts.port or 1080,
            unquote(parts.username or ""),
            unquote(parts.password or ""),
        )


def negotiate(line: Line, proxy: SocksProxy, host: str, port: int) -> None:
    """Have the proxy at the other end of ``line`` connect to ``host``.

    Raises:
        SocksError: it would not, or could not.
    """
    method = _PASSWORD if proxy.user else _NO_PASSWORD
    line.sendall(bytes((_VERSION, 1, method)))
    version, chosen = _received(line, 2)
    if version != _VERSION:
        raise SocksError("it does not speak SOCKS 5")
    if chosen != method:
        login = "user and password" if proxy.user else "a client without a password"
        raise SocksError(f"it does not accept {login}")
    if method == _PASSWORD:
        user, password = proxy.user.encode(), proxy.password.encode()
        line.sendall(b"".join((b"\x01", _counted(user), _counted(password))))
        if _received(line, 2)[1] != 0:
            raise SocksError("it refuses this user and password")
    line.sendall(bytes((_VERSION, _CONNECT, 0)) + _address(host) + port.to_bytes(2, "big"))
    _, reply, _, kind = _received(line, 4)
    if reply != 0:
        raise SocksError(f"it could not connect: {_REPLIES.get(reply, f'reply {reply}')}")
    size = _ADDRESS_SIZES.get(kind)
    _received(line, (size if size is not None else _received(line, 1)[0]) + 2)


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bytes((_NAME,)) + _counted(host.encode("idna"))
    return bytes((_IPV4 if address.version == 4 else _IPV6,)) + address.packed


def _counted(data: bytes) -> bytes:
    if len(data) > 255:
        raise SocksError("user, password or host is longer than 255 bytes")
    return bytes((len(data),)) + data


def _received(line: Line, size: int) -> bytes:
    """Return exactly ``size`` bytes: what follows belongs to the connection."""
    buffer = memoryview(bytearray(size))
    have = 0
    while have < size:
        count = line.recv_into(buffer[have:])
        if not count:
            raise SocksError("it closed the connection")
        have += count
    return bytes(buffer)
