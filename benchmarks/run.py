"""Run every measurement and write the tables: ``python -m benchmarks.run [--quick] [--out FOLDER]``.

Each peer runs in a process of its own, the peers of a table take turns, and medians are told. Ratios come first: they
are what another machine should reproduce.
"""

from __future__ import annotations

import argparse
import json
import platform
import statistics
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .report import write

PACKAGES = ("glmclient", "requests", "urllib3", "httpx", "httpcore", "anyio", "aiohttp", "openai", "zai-sdk", "g4f")
Row = dict[str, Any]


@dataclass
class Table:
    """One measurement: peers that do the same work on the same server."""

    name: str
    title: str
    command: Sequence[str]
    """What is run for each peer; ``PEER`` and ``URL`` are filled in."""
    peers: Sequence[str]
    mode: str = ""
    targets: Sequence[tuple[str, str, float, str]] = ()
    """Ours, the peer, the ratio to stay at or below, and the figure that is compared."""
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))


STREAM = ("-m", "benchmarks.peers", "PEER")
SCENE = ("-m", "benchmarks.scenarios")


def tables() -> list[Table]:
    """Return every measurement, with what is to be reached."""
    return [
        Table(
            "platform_many",
            "Platform deltas, 5,000 events, many frames a read",
            (*STREAM, "platform", "URL", "3"),
            ("socket_json", "ours_sync", "ours_async", "requests_drain", "openai_sync", "openai_async", "zai_sync"),
            "many",
            (
                ("ours_sync", "socket_json", 1.0, "cpu"),
                ("ours_sync", "openai_sync", 1 / 20, "cpu"),
                ("ours_sync", "zai_sync", 1 / 50, "cpu"),
            ),
        ),
        Table(
            "platform_single",
            "Platform deltas, 5,000 events, one frame a read",
            (*STREAM, "platform", "URL"),
            ("socket_json", "ours_sync", "ours_async", "requests_drain", "httpx_drain", "openai_sync", "openai_async"),
            "single",
            (("ours_sync", "socket_json", 1.6, "cpu"), ("ours_async", "httpx_drain", 1.3, "cpu")),
        ),
        Table(
            "platform_paced",
            "Platform deltas, one event a millisecond, 1,000 events",
            (*STREAM, "platform", "URL"),
            ("ours_sync", "ours_async", "requests_drain", "httpx_drain", "openai_sync", "openai_async"),
            "paced",
        ),
        Table(
            "snapshots",
            "ChatGLM snapshots, 4,000 frames",
            (*STREAM, "chatglm", "URL"),
            ("ours_sync", "ours_async", "requests_drain", "httpx_drain", "predecessor"),
            "many",
            (("ours_sync", "predecessor", 0.45, "cpu"), ("ours_async", "httpx_drain", 1.15, "cpu")),
        ),
        Table(
            "snapshots_half",
            "ChatGLM snapshots, 2,000 frames (for the growth with length)",
            (*STREAM, "chatglm", "URL"),
            ("ours_sync", "ours_async"),
            "many/2000",
        ),
        Table(
            "at_once",
            "1,000 streams of 100 events at once, one client",
            (*SCENE, "at_once", "PEER", "URL"),
            ("ours_async", "openai_async", "httpx_drain", "aiohttp_drain"),
            "short",
            (("ours_async", "openai_async", 0.25, "cpu"),),
        ),
        Table(
            "reuse",
            "Connections for 30 streams, one after the other",
            (*SCENE, "reuse", "PEER", "URL"),
            ("ours_sync", "ours_async", "openai_sync", "openai_async"),
            "short",
        ),
        Table(
            "first_event",
            "First event, warm and with a new client, milliseconds",
            (*SCENE, "first_event", "PEER", "URL"),
            ("ours_sync", "requests_drain", "ours_async", "httpx_drain"),
            "many/3",
            (
                ("ours_sync", "requests_drain", 1.3, "warm_ms"),
                ("ours_sync", "requests_drain", 1.3, "new_ms"),
                ("ours_async", "httpx_drain", 1.3, "warm_ms"),
            ),
        ),
        Table(
            "memory",
            "Bytes held at the most over a long stream",
            (*SCENE, "memory", "PEER", "URL"),
            ("ours_sync", "openai_sync"),
            "many",
        ),
        Table(
            "imports",
            "Imports, processor time",
            (*SCENE, "imports", "PEER"),
            ("bare", "ours", "ours_events", "anyio", "httpx", "requests", "zai", "openai"),
        ),
    ]


@contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.wait()


def run(table: Table, url: str, rounds: int) -> None:
    """Let the peers of a table take turns."""
    for number in range(rounds):
        for peer in table.peers:
            command = [{"PEER": peer, "URL": f"{url}/{table.mode}"}.get(word, word) for word in table.command]
            done = subprocess.run([sys.executable, *command], capture_output=True, text=True, timeout=300, check=False)
            if done.returncode:
                print(f"  {table.name}: {peer} failed: {done.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
                continue
            table.rows[peer].append(json.loads(done.stdout.splitlines()[-1]))
        print(f"  {table.name}: round {number + 1} of {rounds}", file=sys.stderr)


def median(rows: Sequence[Row], figure: str) -> float:
    """Return the median of a figure over the runs."""
    return statistics.median(row[figure] for row in rows)


def about() -> dict[str, str]:
    """Say on what this was measured."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    model = next(
        (line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line),
        platform.processor(),
    )
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{model}, {__import__('os').cpu_count()} cores, {platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": ", ".join(versions),
    }


def main() -> None:
    """Measure, print the ratios and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="three rounds instead of seven")
    parser.add_argument("--only", action="append", help="a table's name; may be given again")
    parser.add_argument("--out", type=Path, help="a folder for the tables and plots")
    options = parser.parse_args()
    chosen = [t for t in tables() if not options.only or t.name in options.only]
    for table in chosen:
        # A server a table: what one leaves open does not weigh on the next.
        with server() as url:
            run(table, url, 3 if options.quick else 7)
    write(chosen, about(), options.out)


if __name__ == "__main__":
    main()
