"""Proxies of this machine: HTTP's CONNECT and forwarding, and SOCKS 5, each a play of the fault server."""

from __future__ import annotations

import base64
import contextlib
import select
import socket
import ssl
from urllib.parse import urlsplit

from .server import SECONDS, Gone, Peer, Play, at_accept, head

__all__ = ["refusing", "socks_proxy", "web_proxy"]


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    """Pass everything on, both ways, until one side is done.

    In one thread: two, one that reads and one that writes, break what a TLS socket holds.
    """
    opposite = {one: other, other: one}
    with contextlib.suppress(OSError):
        while ready := _readable(one, other):
            for source in ready:
                if not (data := source.recv(65536)):
                    return
                opposite[source].sendall(data)


def _readable(*socks: socket.socket) -> list[socket.socket]:
    held = [sock for sock in socks if isinstance(sock, ssl.SSLSocket) and sock.pending()]
    return held or select.select(socks, [], [], SECONDS)[0]


def _connected(peer: Peer, host: str, port: int, first: bytes = b"") -> None:
    address = "127.0.0.1" if host == "service.invalid" else host  # only the proxy knows that name
    try:
        upstream = socket.create_connection((address, port))
    except OSError:
        raise Gone from None
    with upstream:
        upstream.sendall(first)
        _pass_on(peer.socket, upstream)
        for sock in (peer.socket, upstream):
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
    peer.closed = True


def web_proxy(password: str | None = None) -> Play:
    """An HTTP proxy, which may want a password."""

    def play(peer: Peer) -> None:
        request = peer.request
        wanted = (
            None if password is None else "Basic " + base64.b64encode(password.encode()).decode()
        )
        if request.headers.get("proxy-authorization") != wanted:
            peer.reply(407, b"who are you?", "Proxy-Authenticate: Basic", kind="text/plain")
            peer.close()
        elif request.method == "CONNECT":
            host, _, port = request.target.rpartition(":")
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            _connected(peer, host.strip("[]"), int(port))
        else:
            _forward(peer)

    return play


def _forward(peer: Peer) -> None:
    request = peer.request
    parts = urlsplit(request.target)
    lines = [line for line in request.lines if not line.lower().startswith("proxy-")]
    raw = "\r\n".join([f"{request.method} {parts.path} HTTP/1.1", *lines, "", ""]).encode("latin-1")
    assert parts.port is not None
    _connected(peer, parts.hostname or "", parts.port, raw + request.body)


def refusing(status: int) -> Play:
    """A proxy that will not."""

    def play(peer: Peer) -> None:
        peer.send(head(status, kind=None, length=0))
        peer.close()

    return play


def socks_proxy(user: bytes = b"", password: bytes = b"", reply: int = 0) -> Play:
    """A SOCKS 5 proxy (RFC 1928, RFC 1929)."""

    @at_accept
    def play(peer: Peer) -> None:
        sock = peer.socket

        def exactly(size: int) -> bytes:
            data = b""
            while len(data) < size:
                piece = sock.recv(size - len(data))
                if not piece:
                    raise Gone
                data += piece
            return data

        version, count = exactly(2)
        assert version == 5
        methods = exactly(count)
        method = 2 if user else 0
        if method not in methods:
            sock.sendall(b"\x05\xff")
            raise Gone
        sock.sendall(bytes((5, method)))
        if user:
            assert exactly(1) == b"\x01"
            told = [exactly(exactly(1)[0]), exactly(exactly(1)[0])]
            sock.sendall(b"\x01\x00" if told == [user, password] else b"\x01\x01")
            if told != [user, password]:
                raise Gone
        _, command, _, kind = exactly(4)
        assert command == 1
        if kind == 3:
            host = exactly(exactly(1)[0]).decode()
        else:
            host = socket.inet_ntop(
                *((socket.AF_INET, exactly(4)) if kind == 1 else (socket.AF_INET6, exactly(16)))
            )
        port = int.from_bytes(exactly(2), "big")
        peer.server.asked.append(f"{host}:{port}")
        # The address that it is bound to may be of any kind; a name is the oddest.
        sock.sendall(
            bytes((5, reply, 0)) + (b"\x03\x04host" if reply == 0 else b"\x01\0\0\0\0") + b"\0\0"
        )
        if reply:
            raise Gone
        _connected(peer, host, port)

    return play
