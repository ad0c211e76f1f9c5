"""``simulate`` and ``demo``: services on this machine that answer from a script."""

from __future__ import annotations

import signal
import sys
import threading
from typing import TYPE_CHECKING

import click

from .. import exit_codes
from ..display.cells import visible_line
from ..parameters import ServiceName

if TYPE_CHECKING:
    from ...simulator import Simulator

__all__ = ["demo", "simulate"]

_LOOK_SECONDS = 0.2
"""How often it looks whether it shall end; a request is told when it comes."""


@click.command()
def demo() -> int:
    """Stream an answer from a simulated service through both clients; no network, no key."""
    from ...demo import main

    return main() or exit_codes.OK


@click.command()
@click.option(
    "-p",
    "--provider",
    type=ServiceName("all"),
    default="all",
    show_default=True,
    help="The service to be.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=0, help="0 is any free port.")
@click.option("--answer", metavar="TEXT", help="What to say to every question.")
@click.option(
    "--delay",
    type=click.FloatRange(min=0),
    default=0.02,
    show_default=True,
    help="Seconds before each piece.",
)
@click.option("-q", "--quiet", is_flag=True, help="Do not tell of the requests.")
def simulate(
    provider: str, host: str, port: int, answer: str | None, delay: float, quiet: bool
) -> int:
    """Be a service on this machine until Ctrl-C, for any client to talk to.

    Its address, the value for --base-url, is written to standard output; where there are several services, each on a
    line behind its name. Requests are told on standard error as they come.
    """
    from ...simulator import Simulator

    script = () if answer is None else (answer,)
    with Simulator(
        *script, provider=provider, host=host, port=port, delay=delay, own_names_only=True
    ) as simulator:
        names = simulator.providers
        for name in names:
            url = simulator.url_of(name)
            click.echo(url if len(names) == 1 else f"{name:<10}{url}")
        sys.stdout.flush()
        if not quiet:
            url = simulator.url_of(names[0])
            click.echo(
                f"Ctrl-C ends it. Try: glmclient -p {names[0]} --base-url {url} Hello", err=True
            )
        ended = threading.Event()
        before = signal.signal(signal.SIGTERM, lambda *_: ended.set())
        try:
            _tell_requests(simulator, ended, quiet=quiet)
        except KeyboardInterrupt:
            click.echo(err=True)
        finally:
            signal.signal(signal.SIGTERM, before)
    return exit_codes.OK


def _tell_requests(simulator: Simulator, ended: threading.Event, *, quiet: bool) -> None:
    told = 0
    while not ended.is_set():
        simulator.wait_for_requests(told + 1, _LOOK_SECONDS)
        requests, received = simulator.requests, simulator.received
        for request in requests[len(requests) - (received - told) :]:
            if not quiet:
                line = f"{request.method} {request.path} ({len(request.body)} bytes)"
                click.echo(visible_line(line), err=True)
        told = received
