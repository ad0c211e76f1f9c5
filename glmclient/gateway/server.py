"""Runs the gateway on uvicorn until it is told to stop."""

from __future__ import annotations

import socket
from typing import Any

from starlette.applications import Starlette

from ..errors import ConfigurationError
from .application import is_loopback

try:
    import uvicorn
except ImportError as error:
    raise ConfigurationError(
        f"the gateway needs a library that cannot be imported ({error}). Run: pip install 'glmclient[gateway]'"
    ) from error

__all__ = ["listening", "run"]

_STOP_SECONDS = 4
"""What answers have to end in when the process is told to stop. The contract allows 5 s for all of it."""


class _Server(uvicorn.Server):
    """Ends open answers before it waits for their connections."""

    def __init__(self, config: uvicorn.Config, gateway: Any) -> None:
        super().__init__(config)
        self._gateway = gateway

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._gateway.stop()
        await super().shutdown(sockets)


def listening(host: str, port: int, *, has_key: bool) -> socket.socket:
    """Return a socket that listens.

    Args:
        host: the address to listen on.
        port: the port; 0 is any free one.
        has_key: callers have to present a key. Without one, only this machine is served.

    Raises:
        ConfigurationError: other machines could reach the address, and there is no key.
        OSError: the address cannot be used.
    """
    if not has_key and not is_loopback(host):
        raise ConfigurationError(
            f"without --api-key the gateway serves this machine only, and {host!r} can be reached from others. "
            "Give --api-key KEY, or --host 127.0.0.1."
        )
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host.strip("[]"), port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        raise ConfigurationError(f"--host {host!r} is not an address: {error.strerror}.") from None
    opened = socket.socket(family, kind, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind(address)
        opened.listen(2048)
    except OSError as error:
        opened.close()
        raise OSError(
            error.errno, f"cannot listen at {host} port {port}: {error.strerror}"
        ) from None
    return opened


def run(application: Starlette, opened: socket.socket) -> None:
    """Serve an application until SIGINT or SIGTERM; open streams then end with an error event."""
    config = uvicorn.Config(
        application,
        # The access log of uvicorn repeats what the gateway logs itself.
        access_log=False,
        log_config=None,
        lifespan="on",
        server_header=False,
        timeout_graceful_shutdown=_STOP_SECONDS,
        timeout_keep_alive=30,
        ws="none",
    )
    with opened:
        _Server(config, application.state.gateway).run(sockets=[opened])
