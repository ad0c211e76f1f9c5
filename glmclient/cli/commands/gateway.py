"""``serve``: an OpenAI-compatible server in front of services."""

from __future__ import annotations

import importlib.util
import signal
import sys
from typing import TYPE_CHECKING, Any, Literal

import click

from .. import exit_codes
from ..display.answering import told
from ..parameters import choices_of, services_options
from ..store.settings import Settings

if TYPE_CHECKING:
    from ...clients.async_client import AsyncClient

__all__ = ["serve"]

_OF_ONE = {"model": "--model", "base_url": "--base-url", "key": "--key"}
"""Options that mean one service."""


class _Limit(click.IntRange):
    """A number of questions, or ``auto``."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        return value if value == "auto" else super().convert(value, param, ctx)


@click.command()
@services_options
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0 is any free port.",
)
@click.option(
    "--api-key",
    metavar="KEY",
    envvar="GLMCLIENT_API_KEY",
    help="The key that callers present; without it the gateway serves this machine only.  "
    "[env: GLMCLIENT_API_KEY]",
)
@click.option(
    "--rewrites",
    type=click.Choice(["append", "hold"]),
    default="append",
    show_default=True,
    help="Send text as it comes, or when the service cannot rewrite it any more.",
)
@click.option(
    "--drop-unsupported",
    is_flag=True,
    help="Leave out options that a service does not have, in place of an error.",
)
@click.option(
    "--concurrency",
    type=_Limit(1),
    default="auto",
    show_default=True,
    metavar="N|auto",
    help="Questions under way at a service.",
)
@click.option(
    "--max-requests",
    type=click.IntRange(1),
    default=1000,
    show_default=True,
    help="Requests under way at the gateway; a further one gets 429.",
)
def serve(
    host: str,
    port: int,
    api_key: str | None,
    rewrites: Literal["append", "hold"],
    drop_unsupported: bool,
    concurrency: int | Literal["auto"],
    max_requests: int,
    provider: tuple[str, ...],
    **given: Any,
) -> int:
    """Serve OpenAI's API in front of one or more services, until Ctrl-C.

    The address, the value for a client's base_url, is written to standard output. With several services (-p zai -p
    chatglm) the model `provider/model` chooses.
    """
    from ...gateway import create_app
    from ...gateway.server import listening, run

    clients = _clients(provider, given, concurrency)
    application = create_app(
        *clients,
        api_key=api_key,
        rewrites=rewrites,
        drop_unsupported=drop_unsupported,
        max_requests=max_requests,
    )
    application.state.gateway.local_only = api_key is None
    opened = listening(host, port, has_key=api_key is not None)
    address, bound = opened.getsockname()[:2]
    click.echo(f"http://{f'[{address}]' if ':' in address else address}:{bound}/v1")
    sys.stdout.flush()
    # uvicorn raises the signal again when it has stopped: SIGTERM is then a regular end.
    before = signal.signal(signal.SIGTERM, lambda *_: None)
    try:
        with told(given["verbose"]):
            run(application, opened)
    except KeyboardInterrupt:
        click.echo(err=True)
    finally:
        signal.signal(signal.SIGTERM, before)
    return exit_codes.OK


def _clients(
    providers: tuple[str, ...], given: dict[str, Any], concurrency: int | Literal["auto"]
) -> list[AsyncClient]:
    """Return a client for each service.

    Raises:
        UsageError: an option of one service stands beside several.
    """
    from ...batch.limiter import Limiter

    chosen: tuple[str | None, ...] = tuple(dict.fromkeys(providers)) or (None,)
    if len(chosen) > 1:
        for name, option in _OF_ONE.items():
            if given[name] is not None:
                raise click.UsageError(
                    f"{option} is for one service; with several, use `glmclient keys` and `glmclient settings`."
                )
    settings = Settings()
    # aiohttp takes half the processor time of httpx for each event.
    backend = "httpx" if importlib.util.find_spec("aiohttp") is None else "aiohttp"
    return [
        choices_of(settings, {**given, "provider": name}).async_client(
            limiter=Limiter(concurrency), http_backend=backend
        )
        for name in chosen
    ]
