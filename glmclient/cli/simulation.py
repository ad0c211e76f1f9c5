"""``simulate`` and ``demo``: services on this machine that answer from a script."""

from __future__ import annotations

import signal
import sys
import threading

import click

from . import exit_codes

__all__ = ["demo", "simulate"]


@click.command()
def demo() -> int:
    """Stream an answer from a simulated service through both clients; no network, no key."""
    from ..demo import main

    return main() or exit_codes.OK


@click.command()
@click.option("-p", "--provider", default="all", help="The service to be, or `all`.")
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", type=int, default=0, help="0 for any free port.")
@click.option("--answer", help="What to say.")
@click.option("--delay", type=float, default=0.05, help="Seconds before each piece.")
def simulate(provider: str, host: str, port: int, answer: str | None, delay: float) -> int:
    """Be a service on this machine until Ctrl-C; its address is printed for `--base-url`."""
    from ..simulator import Simulator

    script = () if answer is None else (answer,)
    with Simulator(*script, provider=provider, host=host, port=port, delay=delay) as simulator:
        click.echo(simulator.url)
        sys.stdout.flush()
        stop = threading.Event()
        signal.signal(signal.SIGTERM, lambda *_: stop.set())
        try:
            stop.wait()
        except KeyboardInterrupt:
            click.echo(err=True)
    return exit_codes.OK
