"""Perform steps with requests: send, read, release, wake. A status code is nothing to this file."""

from __future__ import annotations

import base64
import os
import threading
from functools import partial
from http.client import HTTPException
from typing import Any
from urllib.parse import unquote, urlsplit

import requests
import requests.adapters
import urllib3
import urllib3.exceptions

from ...core.exchange import Read, Release, Send
from ...core.http import Head, origin
from ...errors import TransportFailure
from ..base import Route, proxy_failure, scrubbed
from ..endings import Endings
from ..forks import guard
from ..socks import SocksProxy
from ..tls import tls_context
from .connections import Response, chain_of, kind_of, performing, pools
from .deadline import DeadlineSocket
from .dial import Alarm, wake
from .unfinished import OpenBody, Unfinished

__all__ = ["RequestsChannel", "RequestsTransport"]

READ_BYTES = 64 * 1024
POOL_CONNECTIONS = 64
HEAD_SLACK = 1024
"""The status line, and what the exchange's own measure of a head does not count."""
FRAMING_BYTES = 4 * READ_BYTES
"""What one read may bring: a piece of the body, and around it no more framing than this."""


class _Adapter(requests.adapters.HTTPAdapter):
    """requests' own adapter over our pools, with one TLS context a process instead of one a connection."""

    def __init__(self, route: Route, socks: SocksProxy | None) -> None:
        self._route = route
        self._socks = socks
        super().__init__(pool_maxsize=POOL_CONNECTIONS)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        super().init_poolmanager(*args, **kwargs)
        self.poolmanager.pool_classes_by_scheme = pools(self._socks)

    def proxy_manager_for(self, proxy: str, **kwargs: Any) -> Any:
        if proxy.startswith("https:"):
            kwargs["proxy_ssl_context"] = tls_context(self._route.verify)
        manager = super().proxy_manager_for(proxy, **kwargs)
        manager.pool_classes_by_scheme = pools()
        return manager

    def proxy_headers(self, proxy: str) -> dict[str, str]:
        """Return the credentials of a proxy in UTF-8 (RFC 7617 §2.1); requests writes Latin-1, or fails."""
        user, at, _host = urlsplit(proxy).netloc.rpartition("@")
        if not at:
            return {}
        name, _colon, password = user.partition(":")
        credentials = f"{unquote(name)}:{unquote(password)}".encode()
        return {"Proxy-Authorization": f"Basic {base64.b64encode(credentials).decode()}"}

    def build_connection_pool_key_attributes(
        self, request: Any, verify: Any, cert: Any = None
    ) -> tuple[Any, Any]:
        host, pool = super().build_connection_pool_key_attributes(request, verify, cert)
        if host["scheme"] == "https":
            pool = {"ssl_context": tls_context(verify, cert=self._route.cert)}
        return host, pool

    def close(self) -> None:
        """Close every idle connection now.

        urllib3 leaves that to the pools' finalizers, and the traceback of a failed connect may refer to a pool.
        """
        for manager in (self.poolmanager, *self.proxy_manager.values()):
            keys = (
                manager.pools.keys()
            )  # a copy: urllib3's container cannot be iterated while threads use it
            for pool in filter(None, map(manager.pools.get, keys)):
                pool.close()
        super().close()

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave the pool alone: its TLS context says what to verify."""


class RequestsChannel:
    """One exchange's line, performed by the thread that reads the stream.

    Args:
        transport: whose pool is used.
    """

    def __init__(self, transport: RequestsTransport) -> None:
        self.route: Route = transport.route
        self.response: Response | None = None
        self._transport = transport
        self._reply: requests.Response | None = None
        self._sock: DeadlineSocket | None = None
        self._alarm: Alarm | None = None
        self._cancelled = False
        self._send: Send | None = None
        self._key: tuple[str, str | None] = ("", None)
        self._exhausted = False
        self._reused = False

    # -- what connections report ---------------------------------------------------------------------------

    def announce(self, alarm: Alarm) -> None:
        """Take note of what wakes this thread: a cancel must not wait for connecting, TLS or a proxy."""
        self._alarm = alarm
        if self._cancelled:
            alarm()

    def attach(self, sock: DeadlineSocket, *, reused: bool = False) -> None:
        """Take a connected socket over for this exchange."""
        self._reused = reused
        step = self._send
        assert step is not None
        sock.deadline, sock.idle = step.deadline, step.idle
        sock.allowance = _allowance(step)
        self._sock = sock
        guard(sock.plain)
        self.announce(partial(wake, sock.plain))

    # -- steps ---------------------------------------------------------------------------------------------

    def send(self, step: Send) -> Head:
        """Send a request and return the head of its response."""
        self.close()
        self._check()
        self._send, self._exhausted = step, False
        url = step.request.url
        proxy = self.route.proxy(url)
        self._key = (origin(url), proxy)
        self._transport.unfinished.look(self._key)
        if "https:" in (url[:6], (proxy or "")[:6]):
            # requests would report wrong certificates as a wrong URL.
            tls_context(self.route.verify, self.route.verify_name, self.route.cert)
        before, performing.channel = performing.channel, self  # a finalizer may send in between
        try:
            request = requests.Request(
                step.request.method,
                url,
                headers=dict(step.request.headers),
                data=step.request.body,
            ).prepare()
            socks = proxy is not None and proxy.startswith("socks")
            self._reply = self._transport.adapter(proxy if socks else None).send(
                request,
                stream=True,
                timeout=(_sooner(step, self.route.clock()), None),
                verify=self.route.verify,
                proxies={} if proxy is None or socks else {"http": proxy, "https": proxy},
            )
        except (
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            HTTPException,
            OSError,
        ) as error:
            raise self._failure(error, url) from None
        finally:
            performing.channel = before
        self._check()
        return Head.of(self._reply.status_code, self._reply.raw.headers.items())

    def read(self, step: Read) -> bytes:
        """Return the next bytes of the body as soon as there are any; ``b""`` at its end."""
        if self._exhausted:
            return b""
        sock, response = self._sock, self.response
        try:
            if sock is None or response is None:
                chunk = self._read_plainly()
            else:
                sock.deadline, sock.allowance = step.deadline, FRAMING_BYTES
                chunk = response.read1(READ_BYTES)
        except (urllib3.exceptions.HTTPError, HTTPException, OSError) as error:
            raise self._failure(error, self._url()) from None
        if not chunk:
            self._end(response)
        return chunk

    def _read_plainly(self) -> bytes:
        """Read when no connection of ours reported: the response comes from a stand-in for the network."""
        assert self._reply is not None
        chunk: bytes = self._reply.raw.read1(READ_BYTES, decode_content=False)
        return chunk

    def _end(self, response: Response | None) -> None:
        self._check()
        if response is not None and response.length:
            # http.client's read1 takes a cut of a body with a Content-Length for its end.
            left = f"{response.length} bytes of Content-Length were missing"
            raise TransportFailure("broken", f"{left} ({origin(self._url())})")
        self._exhausted = True

    def sleep(self, seconds: float) -> None:
        """Wait, unless the stream is cancelled meanwhile."""
        bell = threading.Lock()
        bell.acquire()
        self.announce(partial(_ring, bell))
        bell.acquire(timeout=seconds)
        self._check()

    def release(self, step: Release) -> None:
        """Give the connection back, if the body has ended or ends within the step's bounds.

        A body that is open longer is set aside, and looked at before the next request; see `Unfinished`.
        """
        reply, response, sock = self._reply, self.response, self._sock
        if reply is None or self._cancelled or not (self._exhausted or step.max_bytes):
            self.close()
        elif not self._exhausted and response is not None and response.will_close:
            self.close()  # its end would not make the connection serve again
        elif sock is None or response is None:
            self._release_stand_in(reply, step)
        else:
            self._forget()
            body = OpenBody(reply, response, sock)
            body.max_bytes = step.max_bytes
            body.seconds = self._transport.endings.patience(self._key[0], step.seconds)
            state = "ended" if self._exhausted else body.read()
            if state == "open":
                self._transport.unfinished.keep(self._key, body)
                return
            self._transport.endings.note(self._key[0], ended=state == "ended")
            if state == "ended":
                body.give_back()
            else:
                body.close()

    def _release_stand_in(self, reply: requests.Response, step: Release) -> None:
        """Release a response that comes from a stand-in for the network."""
        size = 0
        try:
            while not self._exhausted and size < step.max_bytes:
                size += len(self.read(Read(None)))
        except TransportFailure:
            self.close()
            return
        self._forget()
        if self._exhausted:
            reply.raw.release_conn()
        else:
            reply.raw.close()

    def close(self) -> None:
        """Close the connection, if one is open.

        It does not go back to the pool, which would take the pool's lock: this may run in a finalizer.
        """
        reply, sock = self._reply, self._sock
        self._forget()
        if reply is not None:
            if sock is not None:
                wake(sock.plain)  # a copy in a forked child would keep the connection open
            reply.raw.close()

    def abandon(self) -> None:
        """Let go of the socket, from a finalizer: without waiting, and without any lock."""
        sock = self._sock
        if sock is not None:
            wake(sock.plain)
            sock.sock.close()

    def cancel(self) -> None:
        """Wake whoever is blocked in a step; safe from any thread and from a signal handler."""
        self._cancelled = True
        alarm = self._alarm
        if alarm is not None:
            alarm()

    # -- failures ------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        self._reply = self._sock = self._alarm = self.response = None

    def _url(self) -> str:
        return self._send.request.url if self._send is not None else ""

    def _check(self) -> None:
        if self._cancelled:
            raise TransportFailure("cancelled")

    def _failure(self, error: BaseException, url: str) -> TransportFailure:
        connected = self._sock is not None
        stale = self._reused and self._reply is None and self._unheard()
        self.close()
        if self._cancelled:
            return TransportFailure("cancelled")
        chain = list(chain_of(error))
        kind = kind_of(chain)
        if kind in ("broken", "proxy") and stale:
            # urllib3 reports every end of a connection to a proxy as a failure of the proxy. Here the request went
            # out on a connection that had served before, and not one byte came back.
            kind = "stale"
        if kind == "timeout" and not connected:
            kind = "connect_timeout"  # TLS and proxies talk before the connection is ours
        if kind == "connect_timeout" and self._passed_deadline():
            kind = "timeout"  # the deadline was nearer than the connect limit
        said = next((text for e in reversed(chain) if (text := str(e))), type(error).__name__)
        if kind == "proxy":
            kind = proxy_failure(said)
        return TransportFailure(kind, f"{scrubbed(said)} ({origin(url)})")

    def _unheard(self) -> bool:
        """Tell whether not a byte has come since the request was sent."""
        sock, step = self._sock, self._send
        return sock is not None and step is not None and sock.allowance == _allowance(step)

    def _passed_deadline(self) -> bool:
        deadline = self._send.deadline if self._send is not None else None
        return deadline is not None and self.route.clock() >= deadline


def _allowance(step: Send) -> int:
    return step.header_limit + HEAD_SLACK


def _ring(bell: threading.Lock) -> None:
    try:
        bell.release()
    except RuntimeError:
        pass  # it has rung


def _sooner(step: Send, now: float) -> float | None:
    if step.deadline is None:
        return step.connect
    left = max(step.deadline - now, 0.001)
    return left if step.connect is None else min(step.connect, left)


class RequestsTransport:
    """A connection pool of requests, made when it is first needed and anew in a forked child.

    Args:
        route: proxies, TLS and the clock.
    """

    def __init__(self, route: Route) -> None:
        self.route = route
        # No lock guards it, because a fork could copy that locked: of two pools made at once, one is kept.
        self._adapters: dict[tuple[int, str | None], _Adapter] = {}
        self.endings: Endings = Endings()
        self.unfinished: Unfinished = Unfinished(self.endings)

    def open(self) -> RequestsChannel:
        """Return a line for one exchange."""
        return RequestsChannel(self)

    def apart(self) -> RequestsTransport:
        """Return a transport with the same routes and none of the connections."""
        return RequestsTransport(self.route)

    def adapter(self, socks: str | None) -> requests.adapters.HTTPAdapter:
        """Return the pool of this process: sockets that a fork copied belong to the parent.

        Args:
            socks: the URL of the SOCKS proxy that its connections go through.
        """
        key = (os.getpid(), socks)
        adapter = self._adapters.get(key)
        if adapter is None:
            proxy = None if socks is None else SocksProxy.of(socks)
            adapter = self._adapters.setdefault(key, _Adapter(self.route, proxy))
            for other in [other for other in self._adapters if other[0] != key[0]]:
                self._adapters.pop(other, None)
        return adapter

    def close(self) -> None:
        """Close the idle connections; a later exchange opens a new pool."""
        self.unfinished.close()
        adapters, self._adapters = self._adapters, {}
        for (process, _), adapter in adapters.items():
            if process == os.getpid():
                adapter.close()
