"""Fail unless every public name of the package has a complete type, as a checker of its users sees it."""

from __future__ import annotations

import json
import subprocess
import sys


CHECKER = ("-m", "basedpyright", "--ignoreexternal", "--outputjson", "--verifytypes", "glmclient")


def main() -> int:
    """Print the score, and what is missing from it."""
    run = subprocess.run(
        [sys.executable, *CHECKER],
        capture_output=True,
        text=True,
        check=False,
    )
    try:
        report = json.loads(run.stdout)["typeCompleteness"]
    except (ValueError, KeyError):
        print(run.stdout, run.stderr, sep="\n", file=sys.stderr)
        return 1
    counts = report["exportedSymbolCounts"]
    known, total = counts["withKnownType"], sum(counts.values())
    print(f"complete types: {known} of {total} public names")
    for symbol in report["symbols"]:
        if symbol["isExported"] and not symbol["isTypeKnown"]:
            for found in symbol.get("diagnostics", ()) or [{"message": ""}]:
                print(f"  {symbol['name']}: {found['message']}", file=sys.stderr)
    return 0 if total and known == total else 1


if __name__ == "__main__":
    sys.exit(main())
