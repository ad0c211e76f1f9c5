"""The notebooks of the documents run, and show what they were written with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from .documents import NOTEBOOKS, executed

pytestmark = pytest.mark.xdist_group("kernel")


def shown(notebook: Any) -> list[Any]:
    """Return what a reader sees of a notebook."""
    return [
        (cell.source, json.loads(json.dumps(cell.get("outputs", [])))) for cell in notebook.cells
    ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_shows_what_is_written_in_it(path: Path, tmp_path: Path) -> None:
    written = nbformat.read(path, as_version=4)
    nbformat.validate(written)
    assert shown(executed(path, tmp_path)) == shown(written), (
        "if this is how it should be: python -m tests.notebook.documents"
    )


def test_there_are_notebooks() -> None:
    assert {path.stem for path in NOTEBOOKS} == {"answers", "asynchronous"}
