"""The notebooks of the documents: run in a real kernel, and written with what they then show.

python -m tests.notebook.documents        runs them all and writes their outputs
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import nbformat
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "docs" / "notebooks").glob("*.ipynb"))
SECONDS = 120

# A traceback names the files of one machine.
_TRACEBACK = re.compile(r"<details><summary[^>]*>Traceback</summary>.*?</details>", re.DOTALL)


def executed(path: Path, folder: Path) -> Any:
    """Return the notebook with the outputs of a run of now, without what differs from machine to machine.

    Args:
        path: the notebook.
        folder: where the kernel keeps its files.
    """
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "IPYTHONDIR": str(folder),
        "JUPYTER_RUNTIME_DIR": str(folder),
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    client = NotebookClient(notebook, timeout=SECONDS, kernel_name="python3")
    client.execute(env=environment, cwd=str(folder))
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if "text/html" in data:
                data["text/html"] = _TRACEBACK.sub("", data["text/html"])
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    return notebook


def main() -> None:
    """Run every notebook and write what it shows."""
    import tempfile

    for path in NOTEBOOKS:
        with tempfile.TemporaryDirectory() as folder:
            notebook = executed(path, Path(folder))
        nbformat.write(notebook, path)
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
