"""Run every measurement and write the tables: ``python -m benchmarks [--quick] [--only NAME] [--out FOLDER]``.

Each peer runs in a process of its own, the peers of a table take turns, and medians are told. Ratios come first: they
are what another machine should reproduce.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .report import write
from .table import Table
from .tables import tables

ROUNDS, QUICK_ROUNDS = 7, 3
OUT = Path("build/benchmarks")
PACKAGES = (
    *("glmclient", "requests", "urllib3", "httpx", "httpcore", "h11", "anyio", "aiohttp"),
    *("openai", "zai-sdk", "g4f"),
)


@contextmanager
def server() -> Iterator[str]:
    """Run the server in a process of its own and yield its address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.server"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
    finally:
        process.terminate()
        process.communicate()


def run(table: Table, url: str, environment: dict[str, str], *, quick: bool) -> None:
    """Let the peers of a table take turns."""
    began = time.monotonic()
    peers = [peer for peer in table.peers if not (quick and peer in table.slow)]
    rounds = (1 if table.heavy else QUICK_ROUNDS) if quick else ROUNDS
    for number in range(-table.compiled, rounds):
        for peer in peers:
            words = {"PEER": peer, "URL": f"{url}/{table.mode}"}
            done = subprocess.run(
                [sys.executable, *(words.get(word, word) for word in table.command)],
                env=environment,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            if done.returncode:
                said = (done.stderr.strip().splitlines() or [""])[-1]
                print(f"  {table.name}: {peer} failed: {said}", file=sys.stderr)
            elif number >= 0:
                table.rows[peer].append(json.loads(done.stdout.splitlines()[-1]))
    seconds = time.monotonic() - began
    print(f"  {table.name}: {rounds} rounds in {seconds:.0f} s", file=sys.stderr)


def about(rounds: int) -> dict[str, str]:
    """Say on what this was measured."""
    versions = []
    for name in PACKAGES:
        try:
            versions.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            continue
    return {
        "date": datetime.now(timezone.utc).date().isoformat(),
        "machine": f"{_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "versions": ", ".join(versions),
        "method": f"medians of {rounds} interleaved rounds, each peer in a process of its own, loopback",
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or "unknown processor")


def _environment(folder: str) -> dict[str, str]:
    """Return the environment of what is measured: compiled modules are kept, as they are once installed."""
    given = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    return {**given, "PYTHONPYCACHEPREFIX": folder, "NO_PROXY": "*", "no_proxy": "*"}


def main() -> None:
    """Measure, print the ratios and write the report."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_ROUNDS} rounds instead of {ROUNDS}"
    )
    parser.add_argument("--only", action="append", help="a table's name; may be given again")
    parser.add_argument(
        "--out", type=Path, default=OUT, help=f"the folder of tables and plots; {OUT}"
    )
    options = parser.parse_args()
    known = tables()
    if unknown := set(options.only or ()) - {table.name for table in known}:
        parser.error(f"no table {unknown}; there are {', '.join(t.name for t in known)}")
    chosen = [t for t in known if not options.only or t.name in options.only]
    rounds = QUICK_ROUNDS if options.quick else ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        environment = _environment(folder)
        for table in chosen:
            # A server a table: what one leaves open does not weigh on the next.
            with server() as url:
                run(table, url, environment, quick=options.quick)
    write(chosen, about(rounds), options.out)


if __name__ == "__main__":
    main()
