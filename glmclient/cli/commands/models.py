"""``models``: what a service offers."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import click

from .. import exit_codes
from ..display.answering import told
from ..display.cells import visible_line
from ..parameters import choices_of, service_options
from ..store.settings import Settings

__all__ = ["models"]


@click.command()
@service_options
@click.option(
    "--json", "as_json", is_flag=True, help="A JSON list, with all that the service tells."
)
def models(as_json: bool, **given: Any) -> int:
    """List the models that a service offers, or the chat functions of a Gradio app, one a line."""
    choices = choices_of(Settings(), given)
    with told(given["verbose"]), choices.client() as client:
        offered = client.models()
    if as_json:
        click.echo(json.dumps([asdict(model) for model in offered]))
    else:
        for model in offered:
            described = f": {model.description}" if model.description else ""
            click.echo(visible_line(f"{model.id}{described}"))
    return exit_codes.OK
