"""A loopback HTTP/1.1 server that writes what it is told, when it is told.

The request side is the standard library's ``http.server``: a request line, headers, a body of a stated length,
keep-alive and ``Expect`` are all that is needed, and it is there on every machine. The response side is written
here, because no library writes a cut, a reset or one network chunk for each item. One thread serves one connection,
so a body may wait for a test's signal in plain blocking code. h11 would be a dependency for what fits on a page.
"""

from __future__ import annotations

import atexit
import ipaddress
import selectors
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from .connection import Connection
from .history import History, Requests
from .http import Service, SimulatedRequest, SimulatedResponse

__all__ = ["LoopbackServer"]

STOP_SECONDS = 10.0
"""How long a stop waits for the threads; they end at once unless a script's own function blocks."""


class LoopbackServer:
    """Serves ``service`` on a free port of the loopback interface, in threads of its own.

    Args:
        service: answers the requests.
        host: the address to listen on.
        port: 0 for any free port.
        own_names_only: refuse requests whose ``Host`` is a name that is not this machine's: a page in a browser can
            let its own name lead here, and would then read the answers.
    """

    def __init__(
        self,
        service: Service,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        own_names_only: bool = False,
    ) -> None:
        self._own_name = host.lower() if own_names_only else None
        self._service = service
        self._address = (host, port)
        self._changed = threading.Condition()
        self._requests = Requests()
        self._disconnects = Requests()
        self._failures: History[Exception] = History()
        self._connections: dict[int, tuple[socket.socket, threading.Thread]] = {}
        self._count = 0
        self.stopping: threading.Event = threading.Event()
        """It leaves, not the clients."""
        self._listener: socket.socket | None = None
        self._wake: socket.socket | None = None
        self._acceptor: threading.Thread | None = None

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen and serve; the address is known when this returns."""
        if self._listener is not None:
            return
        self.stopping.clear()
        self._listener = socket.create_server(self._address, backlog=512)
        self._address = self._listener.getsockname()[:2]
        woken, self._wake = socket.socketpair()
        self._acceptor = threading.Thread(
            target=self._accept,
            args=(self._listener, woken),
            name="glmclient-simulator",
            daemon=True,
        )
        self._acceptor.start()
        # Daemon threads do not hold the interpreter back; this is what still ends them in order.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Close every connection and join every thread; a second call does nothing."""
        if self._listener is None or self._wake is None or self._acceptor is None:
            return
        atexit.unregister(self.stop)
        self.stopping.set()
        self._wake.close()
        self._acceptor.join(STOP_SECONDS)
        self._listener = self._wake = self._acceptor = None
        with self._changed:
            open_now = list(self._connections.values())
            for connection, _ in open_now:
                _shut_down(connection)
        for _, thread in open_now:
            thread.join(STOP_SECONDS)

    @property
    def url(self) -> str:
        """Scheme, host and port."""
        host, port = self._address
        return f"http://{host}:{port}"

    @property
    def running(self) -> bool:
        """It was started and not yet stopped."""
        return self._listener is not None

    # -- what happened -------------------------------------------------------------------------------------

    @property
    def requests(self) -> tuple[SimulatedRequest, ...]:
        """The newest requests, in the order in which they were received whole."""
        with self._changed:
            return self._requests.newest()

    @property
    def received(self) -> int:
        """How many requests were received; `requests` holds the newest of them."""
        with self._changed:
            return self._requests.count

    @property
    def departures(self) -> int:
        """How many clients left before the end of their response."""
        with self._changed:
            return self._disconnects.count

    @property
    def disconnects(self) -> tuple[SimulatedRequest, ...]:
        """The requests whose client left before the end of its response."""
        with self._changed:
            return self._disconnects.newest()

    @property
    def failures(self) -> tuple[Exception, ...]:
        """What the service raised."""
        with self._changed:
            return self._failures.newest()

    @property
    def open_connections(self) -> int:
        """Connections that are open now, idle ones included."""
        with self._changed:
            return len(self._connections)

    def wait_for(self, happened: Callable[[], bool], timeout: float) -> bool:
        """Wait until ``happened()``; it is asked again whenever something happens.

        Returns:
            Whether it happened within ``timeout`` seconds.
        """
        with self._changed:
            return self._changed.wait_for(happened, timeout)

    def is_own_name(self, host: str) -> bool:
        """Tell whether requests for the host of a ``Host`` header are answered here."""
        if self._own_name is None:
            return True
        name = urlsplit(f"//{host}").hostname or ""
        if name in ("localhost", self._own_name) or name.endswith(".localhost"):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # nobody else's name can lead to a number

    # -- what a connection tells ---------------------------------------------------------------------------

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        """Note ``request`` and answer it; a 500 stands for what the service raised."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
        try:
            return self._service.respond(request)
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            self.failed(error)
            return SimulatedResponse.of_text(f"the simulator's script failed: {error}", 500)

    def left(self, request: SimulatedRequest) -> None:
        """Note a client that left before the end of its response, unless it is this server that leaves."""
        with self._changed:
            if not self.stopping.is_set():
                self._disconnects.append(request)
            self._changed.notify_all()

    def failed(self, error: Exception) -> None:
        """Note what a script raised."""
        with self._changed:
            self._failures.append(error)
            self._changed.notify_all()

    # -- connections ---------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket, woken: socket.socket) -> None:
        with listener, woken, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            while all(key.fileobj is not woken for key, _ in selector.select()):
                connection, _ = listener.accept()
                self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        number = self._count
        self._count += 1
        thread = threading.Thread(
            target=self._serve,
            args=(connection, number),
            name=f"glmclient-simulator-{number}",
            daemon=True,
        )
        with self._changed:
            self._connections[number] = (connection, thread)
            self._changed.notify_all()
        thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        try:
            Connection(connection, number, self)
        except OSError:
            pass  # the client went away between two requests, or in the middle of one
        finally:
            connection.close()
            with self._changed:
                del self._connections[number]
                self._changed.notify_all()


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # the peer was faster
