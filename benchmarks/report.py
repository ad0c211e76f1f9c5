"""Tables and plots of a run: ratios first, then the figures behind them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path

from .table import FIGURES, Table, Target

__all__ = ["write"]

_RATIOS = ("work", "figure", "ours", "beside", "measured", "to reach", "")


def write(tables: Sequence[Table], about: dict[str, str], folder: Path) -> None:
    """Print the report, and write it with its figures and plots.

    Args:
        tables: with their rows.
        about: machine, versions and date.
        folder: where; it is made if need be.
    """
    folder.mkdir(parents=True, exist_ok=True)
    measured = "\n".join(f"* {name}: {said}" for name, said in about.items())
    report = "\n".join([measured, "", *_ratios(tables), "", *_details(tables)])
    print(report)
    (folder / "ratios.md").write_text("\n".join([measured, "", *_ratios(tables), ""]), "utf-8")
    (folder / "tables.md").write_text("\n".join(_details(tables, plots=True)), "utf-8")
    rows = {table.name: table.rows for table in tables}
    (folder / "results.json").write_text(
        json.dumps({"about": about, "rows": rows}, separators=(",", ":")) + "\n", "utf-8"
    )
    _plot(tables, folder)
    print(f"written to {folder}: ratios.md, tables.md, results.json and the plots")


def _line(*cells: object) -> str:
    return f"| {' | '.join(map(str, cells))} |"


def _ratios(tables: Sequence[Table]) -> list[str]:
    lines = [_line(*_RATIOS), "|---" * len(_RATIOS) + "|"]
    by_name = {table.name: table for table in tables}
    for table in tables:
        lines += [_target(table, target) for target in table.targets]
        if half := by_name.get(table.growth_of):
            lines += _growth(table, half)
    return lines


def _target(table: Table, target: Target) -> str:
    value = table.median(target.ours, target.figure)
    if target.beside is not None:
        value /= table.median(target.beside, target.figure)
    return _line(
        table.title,
        FIGURES[target.figure][0],
        target.ours,
        target.beside or "–",
        f"{value:.3g}" + ("x" if target.beside else ""),
        f"{target.goal:.3g}" + ("x" if target.beside else ""),
        _verdict(value, target.goal),
    )


def _growth(table: Table, half: Table) -> list[str]:
    """Tell how a figure grows with the length; that of a library alone is told, too, and not judged."""
    found = []
    for peer in table.peers:
        growth = math.log2(
            table.median(peer, table.growth_figure) / half.median(peer, table.growth_figure)
        )
        if not math.isnan(growth):
            ours = peer.startswith("ours")
            found.append(
                _line(
                    f"{table.title}: grows as n to the power",
                    FIGURES[table.growth_figure][0],
                    peer,
                    "half the length",
                    f"{growth:.2f}",
                    table.growth if ours else "–",
                    _verdict(growth, table.growth) if ours else "",
                )
            )
    return found


def _verdict(value: float, goal: float) -> str:
    if math.isnan(value):
        return "not measured"
    return "reached" if value <= goal else "**missed**"


def _details(tables: Sequence[Table], *, plots: bool = False) -> list[str]:
    lines: list[str] = []
    for table in tables:
        figures = [f for f in FIGURES if any(f in r for rows in table.rows.values() for r in rows)]
        first = figures[0] if figures else ""
        head = ["peer", *(FIGURES[f][0] for f in figures)]
        if first == "cpu":
            head[2:2] = ["least–most", "an event, µs"]
        lines += [f"### {table.title}", "", _line(*head), "|---" * len(head) + "|"]
        for peer in table.rows:
            cells = [_shown(table.median(peer, figure)) for figure in figures]
            if first == "cpu":
                cells[1:1] = ["–".join(map(_shown, table.spread(peer, "cpu"))), _each(table, peer)]
            lines.append(_line(peer, *cells))
        lines.append("")
        if plots and _bars(table):
            lines += [f"![{table.title}]({table.name}.svg)", ""]
    return lines


def _each(table: Table, peer: str) -> str:
    """Return the CPU of an event; one that only drains counts reads, so it is divided by our events."""
    rows = table.rows.get("ours_sync") or table.rows.get("ours_async") or []
    if not rows or not rows[0].get("events"):
        return "–"
    repeats = int(table.command[-1]) if table.command[-1].isdigit() else 1
    return _shown(1e3 * table.median(peer, "cpu") / repeats / rows[0]["events"])


def _shown(value: float) -> str:
    if math.isnan(value):
        return "–"
    if value >= 100 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}"


def _bars(table: Table) -> tuple[str, list[str], list[float]] | None:
    """Return what a plot shows: the first figure that the peers differ in."""
    for figure in ("cpu", "warm_ms", "connections", "peak_kib"):
        peers = [peer for peer in table.rows if not math.isnan(table.median(peer, figure))]
        if peers:
            return FIGURES[figure][0], peers, [table.median(peer, figure) for peer in peers]
    return None


def _plot(tables: Sequence[Table], folder: Path) -> None:
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "glmclient"
    import matplotlib.pyplot as plt

    for table in tables:
        bars = _bars(table)
        if bars is None:
            continue
        heading, peers, values = bars
        figure, axes = plt.subplots(figsize=(7, 0.4 * len(peers) + 1))
        colours = ["#1f6feb" if peer.startswith("ours") else "#9aa4b2" for peer in peers]
        container = axes.barh(peers, values, color=colours)
        axes.bar_label(container, [_shown(value) for value in values], padding=3)
        axes.set_xlabel(f"{heading} (median; less is better)")
        axes.set_title(table.title, fontsize=10)
        axes.invert_yaxis()
        axes.margins(x=0.15)
        figure.tight_layout()
        figure.savefig(folder / f"{table.name}.svg", metadata={"Date": None})
        plt.close(figure)
