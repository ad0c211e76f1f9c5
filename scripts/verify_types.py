"""Fail unless every public name of the package has a complete type, as a checker of its users sees it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
CHECKER = ("-m", "basedpyright", "--ignoreexternal", "--outputjson", "--verifytypes", "glmclient")
# Their base classes come from libraries that this environment does not have.
_ELSEWHERE = ("glmclient.integrations.", "glmclient.gateway.")


def report() -> dict[str, Any]:
    """Return what the checker says of the package."""
    # A checker does not follow the import hook of an editable install; the path leads it to the source.
    run = subprocess.run(
        [sys.executable, *CHECKER],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        found: dict[str, Any] = json.loads(run.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        sys.exit(run.stdout + run.stderr)
    return found


def incomplete(symbols: list[dict[str, Any]]) -> list[str]:
    """Return a line for each place that lacks a type; names that merely use such a name come last."""
    causes, followers = set(), set()
    for symbol in symbols:
        if symbol["isTypeKnown"] or not symbol["isExported"]:
            continue
        for each in symbol["diagnostics"]:
            if "file" in each and "missing" in each["message"]:
                place = (
                    f"{os.path.relpath(each['file'], ROOT)}:{each['range']['start']['line'] + 1}"
                )
                causes.add(f"{place}: {symbol['name']}: {each['message'].splitlines()[0]}")
            else:
                followers.add(f"{symbol['name']}: {each['message'].splitlines()[0]}")
    return sorted(causes) or sorted(followers)


def main() -> int:
    """Print the score, and what is missing from it."""
    found = report()
    symbols = [
        symbol
        for symbol in found["symbols"]
        if symbol["isExported"] and not symbol["name"].startswith(_ELSEWHERE)
    ]
    known, total = sum(symbol["isTypeKnown"] for symbol in symbols), len(symbols)
    print(f"complete types: {known} of {total} public names")
    for line in incomplete(symbols):
        print(f"  {line}", file=sys.stderr)
    return 0 if total and known == total else 1


if __name__ == "__main__":
    sys.exit(main())
