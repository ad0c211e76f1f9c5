"""A simulated service that runs until it is told to end, for any client to talk to."""

from __future__ import annotations

import sys
import threading
from collections.abc import Sequence
from typing import Any, TextIO

from .script import ScriptLike
from .simulator import HELLO, Simulator

__all__ = ["serve"]

_LOOK_SECONDS = 0.2
"""How often it looks whether it shall end; a request is shown when it comes."""


def serve(
    script: ScriptLike = HELLO,
    *,
    provider: str | Sequence[str] = "all",
    host: str = "127.0.0.1",
    port: int = 0,
    delay: float = 0.02,
    out: TextIO | None = None,
    end: threading.Event | None = None,
    **options: Any,
) -> None:
    """Serve until Ctrl-C, or until ``end`` is set; say where, and what is asked.

    Args:
        script: what to say; see `Simulator`.
        provider: the service to be, several, or ``"all"`` of them at one address.
        host: the address to listen on.
        port: 0 for any free port.
        delay: seconds before each event.
        out: where to say it; standard error otherwise.
        end: ends it when it is set.
        options: of the dialects, such as ``mode="delta"`` for ChatGLM.

    Raises:
        ConfigurationError: an argument is wrong, or the address cannot be listened on.
    """
    screen = out if out is not None else sys.stderr
    ended = end if end is not None else threading.Event()
    sim = Simulator(
        script, provider=provider, host=host, port=port, delay=delay, own_names_only=True, **options
    )
    try:
        sim.start()
        screen.write(f"{sim!r}; Ctrl-C ends it.\n\n")
        for name in sim.providers:
            screen.write(f'  SyncClient("{name}", base_url="{sim.url_of(name)}")\n')
        screen.write("\n")
        screen.flush()
        _tell(sim, screen, ended)
    except KeyboardInterrupt:
        screen.write("\n")
    finally:
        sim.stop()


def _tell(sim: Simulator, screen: TextIO, ended: threading.Event) -> None:
    """Write a line for each request and each failure of the script, as they come, until ``ended`` is set."""
    told = failed = 0
    while not ended.is_set():
        sim.wait_for_requests(told + 1, _LOOK_SECONDS)
        requests, failures, received = sim.requests, sim.failures, sim.received
        screen.writelines(
            f"{request.method} {request.path} ({len(request.body)} bytes)\n"
            for request in requests[len(requests) - (received - told) :]
        )
        screen.writelines(f"the script failed: {failure}\n" for failure in failures[failed:])
        screen.flush()
        told, failed = received, len(failures)
