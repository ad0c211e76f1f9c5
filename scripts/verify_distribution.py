"""Build the wheel and the source distribution, and check them as a user would meet them: in an empty environment."""

from __future__ import annotations

import subprocess
import sys
import tarfile
import tempfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

IN_WHEEL = ("glmclient/__init__.py", "glmclient/py.typed")
IN_SDIST = ("CHANGELOG.md", "LICENSE", "README.md", "setup.cfg", "setup.py", "glmclient/py.typed")
NOT_IN_WHEEL = ("tests/", "docs/", "benchmarks/", "examples/", "scripts/")

# Run in the empty environment: the package works with what it requires and nothing else.
TRIAL = """
import importlib.metadata, importlib.util, glmclient
assert glmclient.__version__ == importlib.metadata.version("glmclient"), glmclient.__version__
for name in glmclient.__all__:
    getattr(glmclient, name)
for group, name in [("console_scripts", "glmclient"), ("pytest11", "glmclient")]:
    (entry,) = importlib.metadata.entry_points(group=group, name=name)
    assert importlib.util.find_spec(entry.module), entry
with glmclient.SyncClient() as client:
    print(client)
"""


def run(*command: str | Path) -> None:
    """Run ``command`` quietly; show what it said if it fails."""
    done = subprocess.run(
        command, cwd=tempfile.gettempdir(), capture_output=True, text=True, check=False
    )
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}")


def require(kind: str, names: set[str], wanted: tuple[str, ...]) -> None:
    """Exit unless every wanted file is among ``names``."""
    if missing := [name for name in wanted if name not in names]:
        sys.exit(f"the {kind} lacks {', '.join(missing)}")


def main() -> None:
    """Build in a folder of its own, so that nothing is left in the checkout but build/."""
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder)
        print("building the wheel and the source distribution")
        run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out / "dist", ROOT)
        (wheel,) = (out / "dist").glob("*.whl")
        (sdist,) = (out / "dist").glob("*.tar.gz")
        run(sys.executable, "-m", "twine", "check", "--strict", wheel, sdist)

        with zipfile.ZipFile(wheel) as archive:
            inside = set(archive.namelist())
        require("wheel", inside, IN_WHEEL)
        if strangers := sorted(name for name in inside if name.startswith(NOT_IN_WHEEL)):
            sys.exit(f"the wheel holds {strangers[0]}, which users do not need")
        with tarfile.open(sdist) as tar:
            require(
                "source distribution",
                {name.partition("/")[2] for name in tar.getnames()},
                IN_SDIST,
            )

        print("installing the wheel into an empty environment")
        venv.create(out / "empty", with_pip=True)
        python = out / "empty" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
        run(python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", wheel)
        run(python, "-c", TRIAL)
        run(python, "-m", "glmclient", "--help")
        print(f"{wheel.name} and {sdist.name} are sound")


if __name__ == "__main__":
    main()
