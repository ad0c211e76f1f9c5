"""An error as a person reads it: one paragraph that says what happened and what to do."""

from __future__ import annotations

import click

from ..errors import GLMError

__all__ = ["report"]


def report(error: GLMError) -> None:
    """Write ``error`` to standard error."""
    click.echo(f"glmclient: {error}", err=True)
