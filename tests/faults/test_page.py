"""The page of faults says what the tests of faults do."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from .dialects import DIALECTS
from .table import FAULTS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "write_fault_table.py"


def test_the_page_is_up_to_date() -> None:
    run = subprocess.run(
        [sys.executable, str(SCRIPT), "--check"],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (run.returncode, run.stderr) == (0, "")


def test_every_fault_is_named_once_and_has_an_outcome_for_each_service() -> None:
    names = [fault.what for faults in FAULTS.values() for fault in faults]
    assert len(names) == len(set(names)) > 90
    known = {dialect.name for dialect in DIALECTS}
    for faults in FAULTS.values():
        for fault in faults:
            assert set(fault.dialects) <= known
            assert set(fault.own) <= set(fault.dialects)
