"""What type checkers say to the users of this package: mypy in its strict mode, and pyright."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]

pytestmark = pytest.mark.xdist_group("typing")


def run(*command: str) -> str:
    # A checker does not follow the import hook of an editable install; the path leads it to the source.
    paths = {"PYTHONPATH": str(ROOT), "MYPYPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", *command],
        env={**os.environ, **paths},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout or done.stderr


def mypy(path: Path) -> dict[int, str]:
    """Return the lines on which mypy sees an error, and what it says."""
    said = run("mypy", "--strict", "--config-file=", "--no-error-summary", str(path))
    found = re.findall(rf"{path.name}:(\d+): error: (.*)", said)
    assert said.count(": error: ") == len(found), said
    return {int(line): message for line, message in found}


def pyright(path: Path) -> dict[int, str]:
    """Return the lines on which pyright sees an error, and what it says."""
    said = json.loads(run("basedpyright", "--level=error", "--outputjson", str(path)))
    return {
        each["range"]["start"]["line"] + 1: each["message"]
        for each in said["generalDiagnostics"]
        if each["severity"] == "error"
    }


CHECKERS = [
    pytest.param(
        checker,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(module) is None,
            reason=f"{module} is not installed; `make types` installs it and runs this",
        ),
        id=checker.__name__,
    )
    for checker, module in ((mypy, "mypy"), (pyright, "basedpyright"))
]


@pytest.mark.parametrize("checker", CHECKERS)
@pytest.mark.parametrize("name", ["revealed.py", "exhaustive.py"])
def test_right_use_is_accepted(checker: type, name: str) -> None:
    assert checker(HERE / name) == {}


@pytest.mark.parametrize("checker", CHECKERS)
def test_mistakes_are_seen_where_they_are(checker: type) -> None:
    path = HERE / "mistaken.py"
    lines = path.read_text(encoding="utf-8").splitlines()
    marked = [number for number, line in enumerate(lines, 1) if line.endswith("# mistake")]
    seen = checker(path)
    assert sorted(seen) == marked
    # A checker names what was forgotten, so that a new event is found wherever it matters.
    assert "ReasoningDelta" in seen[marked[0]]
