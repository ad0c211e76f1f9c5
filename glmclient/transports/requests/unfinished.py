"""Connections of the blocking client whose answer is complete and whose body is still open.

No reader waits for the end of such a body. The connection is set aside, and the next request to the same server looks
whether the end has arrived: then the connection goes back to its pool and serves that request, else it is closed. If no
request comes within `LINGER_SECONDS`, a thread does the same.
"""

from __future__ import annotations

import contextlib
import os
import ssl
import threading
import time
import weakref
from collections import deque
from http.client import HTTPException
from typing import Any, Literal, TypeAlias

import requests
import urllib3.exceptions
import urllib3.util

from ..endings import LINGER_SECONDS, Endings
from .connections import Response
from .deadline import DeadlineSocket
from .dial import wake

__all__ = ["OpenBody", "Unfinished"]

READ_BYTES = 64 * 1024
CHUNK_END = b"\r\n"
MOST = 64
"""Connections to one server that are set aside at once."""
SLACK_SECONDS = 0.1
"""How long the rest of a line may take, once a part of it is here."""

State: TypeAlias = Literal["ended", "open", "broken"]


class OpenBody:
    """A response whose answer is complete.

    Args:
        reply: the response of requests, for its connection.
        response: the response of http.client, which reads the framing.
        sock: the connection.
    """

    def __init__(self, reply: requests.Response, response: Response, sock: DeadlineSocket) -> None:
        self._reply = reply
        self._response = response
        self._sock = sock
        self._left = True
        self.since: float = time.monotonic()
        self.seconds: float = 0.0
        self.max_bytes: int = 0

    def read(self) -> State:
        """Read the rest within ``seconds`` and ``max_bytes``, and return what is known of its end.

        A read that runs out of time inside a line would lose what came of the line, and with it the framing. So
        nothing is read before bytes are here.
        """
        response, sock = self._response, self._sock
        until, size = time.monotonic() + self.seconds, 0
        try:
            while size < self.max_bytes:
                if not self._readable(max(0.0, until - time.monotonic())):
                    return "open"
                sock.deadline = sock.clock() + SLACK_SECONDS
                sock.allowance = READ_BYTES
                data = response.read1(READ_BYTES)
                if not data:
                    return "broken" if response.length else "ended"
                size += len(data)
        except (urllib3.exceptions.HTTPError, HTTPException, OSError):
            pass  # the answer is whole; a connection that breaks after it is merely not used again
        return "broken"

    def _readable(self, seconds: float) -> bool:
        """Return whether a read would bring something, waiting for it at most ``seconds``."""
        response, sock = self._response, self._sock
        reader: Any = response.fp
        if reader is None or response.length == 0:
            return True  # a read does not wait
        sock.deadline = sock.clock()  # has passed: nothing but the buffer is looked at
        with contextlib.suppress(TimeoutError):
            data: bytes = reader.peek(1)
            if not response.chunked or response.chunk_left != 0 or data != CHUNK_END:
                return True
            # This ends the chunk before. The size of the next one is not here yet.
            reader.read(len(CHUNK_END))
            response.chunk_left = None
        if _decrypted(sock.sock):
            return True
        return bool(urllib3.util.wait_for_read(sock.plain, seconds))

    def give_back(self) -> None:
        """Return the connection to its pool."""
        self._left = False
        self._response.close()  # read1 leaves a body of known length open at its end
        self._reply.raw.release_conn()

    def close(self) -> None:
        """Close the connection."""
        self._left = False
        wake(self._sock.plain)  # a copy in a forked child would keep the connection open
        self._reply.raw.close()

    def __del__(self) -> None:
        if self._left:  # in a finalizer no lock may be waited for: only the socket is let go
            wake(self._sock.plain)
            self._sock.sock.close()


def _decrypted(layer: Any) -> bool:
    """Return whether TLS holds bytes already, which the system's socket does not show."""
    while hasattr(layer, "incoming"):  # urllib3's TLS within TLS
        if layer.incoming.pending or layer.sslobj.pending():
            return True
        layer = layer.socket
    return isinstance(layer, ssl.SSLSocket) and layer.pending() > 0


Key: TypeAlias = tuple[str, "str | None"]
"""The origin and the proxy that a connection serves."""


class Unfinished:
    """The connections of one transport that were set aside.

    It has no lock, because a fork could copy that locked: each operation on a deque is atomic.

    Args:
        endings: which servers leave bodies open.
    """

    def __init__(self, endings: Endings) -> None:
        self._endings = endings
        self._bodies: dict[tuple[int, Key], deque[OpenBody]] = {}
        self._sweeping: int | None = None
        """The process in which a thread sweeps."""

    def keep(self, key: Key, body: OpenBody) -> None:
        """Set a connection aside, or close it if nothing is expected of its server."""
        if not self._endings.expected(key[0]):
            body.close()
            return
        bodies = self._bodies.setdefault((os.getpid(), key), deque())
        bodies.append(body)
        if len(bodies) > MOST:
            with contextlib.suppress(IndexError):
                bodies.popleft().close()
        if self._sweeping != os.getpid():
            self._sweeping = os.getpid()
            threading.Thread(
                target=_sweep, args=(weakref.ref(self),), name="glmclient.bodies", daemon=True
            ).start()

    def look(self, key: Key) -> None:
        """Before a request: give a connection back to the pool whose body has ended meanwhile; close the others."""
        bodies = self._bodies.get((os.getpid(), key))
        while bodies:
            with contextlib.suppress(IndexError):
                if self._settled(key, bodies.pop()):
                    return

    def sweep(self) -> bool:
        """Settle the connections that were set aside long ago; return whether there are others."""
        before = time.monotonic() - LINGER_SECONDS
        for (process, key), bodies in list(self._bodies.items()):
            while process == os.getpid() and bodies and bodies[0].since <= before:
                with contextlib.suppress(IndexError):
                    self._settled(key, bodies.popleft())
        return any(self._bodies.values())

    def _settled(self, key: Key, body: OpenBody) -> bool:
        """Give a connection back if its body has ended, else close it; return whether it was given back."""
        ended = body.read() == "ended"
        self._endings.note(key[0], ended=ended)
        if ended:
            body.give_back()
        else:
            body.close()
        return ended

    def close(self) -> None:
        """Close every connection of this process; a forked child leaves those of its parent alone."""
        every, self._bodies = self._bodies, {}
        for (process, _), bodies in every.items():
            for body in bodies:
                if process == os.getpid():
                    body.close()


def _sweep(reference: weakref.ref[Unfinished]) -> None:
    """Close connections that nobody asks for again; this thread ends with the last of them."""
    while True:
        time.sleep(LINGER_SECONDS)
        unfinished = reference()
        if unfinished is None:
            return
        if not unfinished.sweep():
            unfinished._sweeping = None
            return
        del unfinished
