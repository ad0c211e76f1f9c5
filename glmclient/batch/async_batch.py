"""`AsyncClient.batch`: rows in, lines out, on the running event loop."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from .run import Batch, BatchReport, Settings, key_defaults, opened_rows

if TYPE_CHECKING:
    from ..clients.async_client import AsyncClient

__all__ = ["run_batch"]


async def run_batch(
    client: AsyncClient,
    rows: Any,
    output: str | os.PathLike[str],
    concurrency: int | Literal["auto"],
    settings: Settings,
    options: Mapping[str, Any],
) -> BatchReport:
    """Ask the rows that are not done; see `AsyncClient.batch`."""
    defaults = key_defaults(client.default_model, options)
    with opened_rows(rows, output) as lines:
        batch = Batch(output, client.provider.name, defaults, settings)
        whole = False
        try:
            async with client.map(
                batch.questions(lines), concurrency=concurrency, **options
            ) as results:
                async for result in results:
                    batch.take(result)
                    if batch.stopped is not None:
                        results.stop()
            whole = True
        finally:
            batch.close(whole=whole)
        return batch.report()
