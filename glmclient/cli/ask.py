"""``ask``: one question, its answer on standard output as it comes."""

from __future__ import annotations

import sys
from typing import Any

import click

from . import exit_codes

__all__ = ["ask"]


@click.command()
@click.argument("question", nargs=-1)
@click.option("-p", "--provider", default="chatglm", help="The service to ask.")
@click.option("-m", "--model", help="The model to ask.")
@click.option("--base-url", help="The address of the service.")
@click.option("--key", help="The key or token.")
def ask(question: tuple[str, ...], provider: str, **given: Any) -> int:
    """Ask one question."""
    from ..sync_client import SyncClient

    with SyncClient(
        provider, model=given["model"], base_url=given["base_url"], api_key=given["key"]
    ) as client:
        for piece in client.stream(" ".join(question)).text_stream:
            sys.stdout.write(piece)
            sys.stdout.flush()
    sys.stdout.write("\n")
    return exit_codes.OK
