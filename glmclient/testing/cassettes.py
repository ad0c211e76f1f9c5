"""Where a test's cassette is, and what a client does with it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

__all__ = ["arguments"]

FOLDER = "cassettes"


def arguments(test: pytest.Item, *, record: bool) -> dict[str, Any]:
    """Return the arguments with which a client records, or replays, the cassette of a test.

    Args:
        test: which; its cassette stands in a folder beside its file, under its own name.
        record: make a new one.
    """
    name = re.sub(r"[^\w.-]+", "-", f"{test.path.stem}.{test.name}").strip("-")
    path: Path = test.path.parent / FOLDER / f"{name}.cassette"
    if record:
        path.parent.mkdir(exist_ok=True)
        return {"record": path}
    if not path.exists():
        pytest.fail(f"there is no cassette {path}; record it: pytest --glm-record", pytrace=False)
    return {"replay": path}
