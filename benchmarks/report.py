"""Tables and plots of a run: ratios first, then the figures behind them."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .run import Table

_FIGURES = ("cpu", "wall", "warm_ms", "new_ms", "connections", "errors", "kib_a_stream", "peak_bytes")
_UNITS = {
    "cpu": ("CPU, ms", 1e3),
    "wall": ("wall, ms", 1e3),
    "warm_ms": ("warm, ms", 1),
    "new_ms": ("new client, ms", 1),
    "connections": ("connections", 1),
    "errors": ("errors", 1),
    "kib_a_stream": ("KiB a stream", 1),
    "peak_bytes": ("peak, bytes", 1),
}


def write(tables: Sequence[Table], about: dict[str, str], folder: Path | None) -> None:
    """Print the report, and write it with its plots if ``folder`` is given."""
    text = "\n".join([*_ratios(tables), "", *_details(tables), "", *(f"* {k}: {v}" for k, v in about.items())])
    print(text)
    if folder is None:
        return
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "results.md").write_text(text + "\n", encoding="utf-8")
    rows = {table.name: table.rows for table in tables}
    (folder / "results.json").write_text(json.dumps({"about": about, "rows": rows}, indent=1) + "\n", encoding="utf-8")
    _plot(tables, folder)


def _median(table: Table, peer: str, figure: str) -> float:
    found = [row[figure] for row in table.rows.get(peer, ()) if figure in row]
    return statistics.median(found) if found else math.nan


def _ratios(tables: Sequence[Table]) -> list[str]:
    lines = ["| work | ours | beside | ratio | to reach | |", "|---|---|---|---|---|---|"]
    for table in tables:
        for ours, peer, goal, figure in table.targets:
            ratio = _median(table, ours, figure) / _median(table, peer, figure)
            verdict = "reached" if ratio <= goal else "missed"
            label = table.title if figure == "cpu" else f"{table.title} ({figure})"
            lines.append(f"| {label} | {ours} | {peer} | {ratio:.3f} | {goal:.3f} | {verdict} |")
    by_name = {table.name: table for table in tables}
    if {"snapshots", "snapshots_half"} <= by_name.keys():
        for ours in ("ours_sync", "ours_async"):
            growth = math.log2(_median(by_name["snapshots"], ours, "cpu") / _median(by_name["snapshots_half"], ours, "cpu"))
            verdict = "reached" if growth <= 1.3 else "missed"
            lines.append(f"| ChatGLM snapshots, CPU grows as n to the power | {ours} | | {growth:.2f} | 1.30 | {verdict} |")
    return lines


def _details(tables: Sequence[Table]) -> list[str]:
    lines: list[str] = []
    for table in tables:
        figures = [f for f in _FIGURES if any(f in row for rows in table.rows.values() for row in rows)]
        per_event = any("events" in row for rows in table.rows.values() for row in rows)
        head = ["peer", *(_UNITS[f][0] for f in figures), *(["CPU an event, µs"] if per_event else [])]
        lines += [f"### {table.title}", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
        for peer, rows in table.rows.items():
            cells = [_shown(_median(table, peer, f) * _UNITS[f][1]) for f in figures]
            if per_event:
                cells.append(_per_event(table, peer, rows))
            lines.append(f"| {peer} | {' | '.join(cells)} |")
        lines.append("")
    return lines


def _per_event(table: Table, peer: str, rows: Sequence[dict[str, Any]]) -> str:
    if peer.endswith("drain") or "events" not in rows[0]:
        return "–"  # a drained stream counts reads
    repeats = int(table.command[-1]) if table.command[-1].isdigit() else 1
    return _shown(1e6 * _median(table, peer, "cpu") / repeats / rows[0]["events"])


def _shown(value: float) -> str:
    if math.isnan(value):
        return "–"
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def _plot(tables: Sequence[Table], folder: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "glmclient"
    import matplotlib.pyplot as plt

    for table in tables:
        peers = [p for p in table.rows if not math.isnan(_median(table, p, "cpu"))]
        if not peers:
            continue
        values = [1e3 * _median(table, p, "cpu") for p in peers]
        figure, axes = plt.subplots(figsize=(7, 0.4 * len(peers) + 1))
        axes.barh(peers, values, color=["#1f6feb" if p.startswith("ours") else "#9aa4b2" for p in peers])
        axes.bar_label(axes.containers[0], fmt="%.1f", padding=3)  # type: ignore[arg-type]
        axes.set_xlabel("client CPU, ms (median; less is better)")
        axes.set_title(table.title, fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        figure.tight_layout()
        figure.savefig(folder / f"{table.name}.svg", metadata={"Date": None})
        plt.close(figure)
