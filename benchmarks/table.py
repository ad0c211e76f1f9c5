"""One measurement: peers that do the same work on the same server, and what is to be reached."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["FIGURES", "Row", "Table", "Target"]

Row = dict[str, Any]

FIGURES: dict[str, tuple[str, float]] = {
    "cpu": ("CPU, ms", 1e3),
    "wall": ("wall, ms", 1e3),
    "warm_ms": ("warm, ms", 1),
    "new_ms": ("new client, ms", 1),
    "connections": ("connections", 1),
    "errors": ("errors", 1),
    "kib_a_stream": ("KiB a stream", 1),
    "peak_kib": ("peak, KiB", 1),
    "answer_kib": ("answer, KiB", 1),
    "modules": ("modules loaded", 1),
}
"""What may be told of a run: its heading, and what a value is multiplied with for it."""


@dataclass(frozen=True)
class Target:
    """What is to be reached.

    Args:
        ours: which of our clients.
        goal: what its figure, or the ratio, may be at most.
        beside: the peer that it is divided by; without one the figure itself counts, in its heading's unit.
        figure: what is compared.
    """

    ours: str
    goal: float
    beside: str | None = None
    figure: str = "cpu"


@dataclass
class Table:
    """One measurement.

    Args:
        name: for the command line and the files.
        title: what is done.
        command: what is run for each peer; ``PEER`` and ``URL`` are filled in.
        peers: in the order in which they take turns.
        mode: the part of the address that tells the server how to send.
        targets: what is to be reached.
        growth_of: the table of a work of half this size.
        growth: the power of the size with which ``growth_figure`` may grow.
        slow: peers that a quick run leaves out.
        heavy: a quick run makes one round of it.
        compiled: before the rounds comes one that does not count, because it compiles what is imported.
    """

    name: str
    title: str
    command: Sequence[str]
    peers: Sequence[str]
    mode: str = ""
    targets: Sequence[Target] = ()
    growth_of: str = ""
    growth: float = 0.0
    growth_figure: str = "cpu"
    slow: Collection[str] = ()
    heavy: bool = False
    compiled: bool = False
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def median(self, peer: str, figure: str) -> float:
        """Return the median of a figure over the runs of a peer, in its heading's unit."""
        found = [row[figure] for row in self.rows.get(peer, ()) if figure in row]
        return statistics.median(found) * FIGURES[figure][1] if found else math.nan

    def spread(self, peer: str, figure: str) -> tuple[float, float]:
        """Return the least and the most of a figure over the runs of a peer."""
        found = [row[figure] * FIGURES[figure][1] for row in self.rows[peer] if figure in row]
        return (min(found), max(found)) if found else (math.nan, math.nan)
