"""`SyncClient.batch`: rows in, lines out, until the end, an error that stops everything, or Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from .run import Batch, BatchReport, Settings, key_defaults, opened_rows

if TYPE_CHECKING:
    from ..clients.sync_client import SyncClient

__all__ = ["run_batch"]

GRACE_SECONDS = 5.0
"""How long rows that are under way may take after Ctrl-C."""


def run_batch(
    client: SyncClient,
    rows: Any,
    output: str | os.PathLike[str],
    concurrency: int | Literal["auto"],
    settings: Settings,
    options: Mapping[str, Any],
) -> BatchReport:
    """Ask the rows that are not done; see `SyncClient.batch`."""
    defaults = key_defaults(client.default_model, options)
    with opened_rows(rows, output) as lines:
        batch = Batch(output, client.provider.name, defaults, settings)
        whole = False
        try:
            with client.map(batch.questions(lines), concurrency=concurrency, **options) as results:
                try:
                    for result in iter(results.next_or_none, None):
                        batch.take(result)
                        if batch.stopped is not None:
                            results.stop()
                except KeyboardInterrupt:
                    results.stop()
                    for result in results.drain(GRACE_SECONDS):
                        batch.take(result)
                    raise
            whole = True
        finally:
            batch.close(whole=whole)
        return batch.report()
