"""Run the tests of the integrations, each beside the real library, in an environment of its own.

The libraries exclude each other and some are large, so they are not part of the environment of `make test`. Each
folder of tests/integrations names what it needs in its requirements.txt. The environments stand in .cache/real; a
change of the requirements or of setup.cfg makes a new one. What all runs cover together is reported at the end.

usage: python scripts/test_real.py [NAME ...] [-- PYTEST ARGUMENTS]
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "integrations"
CACHE = ROOT / ".cache" / "real"
COVERAGE = f"--rcfile={TESTS / 'coverage.cfg'}"
ATTEMPTS = 3
"""Installations of one environment: a registry can refuse for a moment, and a download can break."""


def names() -> list[str]:
    """Return the names of all integrations that have tests."""
    return sorted(path.parent.name for path in TESTS.glob("*/requirements.txt"))


def environment(name: str) -> Path:
    """Return the interpreter of an integration's environment; the environment is made if it is not there.

    Raises:
        subprocess.CalledProcessError: pip failed in every attempt.
    """
    requirements = [TESTS / "requirements.txt", TESTS / name / "requirements.txt"]
    content = b"".join(path.read_bytes() for path in [*requirements, ROOT / "setup.cfg"])
    version = f"py{sys.version_info[0]}.{sys.version_info[1]}"
    folder = CACHE / f"{name}-{version}-{hashlib.sha256(content).hexdigest()[:8]}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if (folder / "complete").exists():
        return python
    for old in CACHE.glob(f"{name}-{version}-*"):
        shutil.rmtree(old)
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    # Most of a package is never imported: compiling what is, when it is, takes less time.
    pip = [python, "-m", "pip", "install", "-qq", "--no-compile", "--disable-pip-version-check"]
    files = [argument for path in requirements for argument in ("-r", path)]
    for attempt in range(1, ATTEMPTS + 1):
        # The requirements name the project as `-e .[extra]`, so pip must run in its folder.
        if subprocess.run([*pip, *files], cwd=ROOT, check=attempt == ATTEMPTS).returncode == 0:
            break
    (folder / "complete").touch()
    return python


def run(name: str, arguments: list[str]) -> bool:
    """Run the tests of one integration; return whether they passed."""
    began = time.monotonic()
    print(f"== {name}", flush=True)
    try:
        python = environment(name)
    except subprocess.CalledProcessError as error:
        print(f"== {name}: the environment could not be made: {error}", flush=True)
        return False
    made = time.monotonic()
    # What a library warns of is its own affair: only warnings about this project's code are errors.
    warnings = ["-o", "filterwarnings=default", "-W", "error:::glmclient"]
    test = ["-m", "pytest", "-q", "-p", "no:cacheprovider", *warnings, f"--integration={name}"]
    command = [python, "-m", "coverage", "run", COVERAGE, *test, TESTS / name, *arguments]
    shell = {**os.environ, "COVERAGE_FILE": str(CACHE / "coverage" / "data")}
    code = subprocess.run(command, cwd=ROOT, env=shell, check=False).returncode
    if code != 0:
        print(f"== {name}: once more: time limits can suffer from a busy machine", flush=True)
        code = subprocess.run(command, cwd=ROOT, env=shell, check=False).returncode
    print(
        f"== {name}: set-up {made - began:.0f} s, tests {time.monotonic() - made:.0f} s", flush=True
    )
    return code == 0


def report() -> bool:
    """Print what all runs covered together; return whether that is everything."""
    python = environment(names()[0])
    folder = CACHE / "coverage"
    shell = {**os.environ, "COVERAGE_FILE": str(folder / "data")}
    coverage = [python, "-m", "coverage"]
    subprocess.run(
        [*coverage, "combine", "-q", COVERAGE, "--keep", folder], cwd=ROOT, env=shell, check=True
    )
    return (
        subprocess.run([*coverage, "report", COVERAGE], cwd=ROOT, env=shell, check=False).returncode
        == 0
    )


def main(arguments: list[str]) -> int:
    """Run the integrations that the arguments name, or all, and for all also check what they cover."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    chosen, options = arguments[:end], arguments[end + 1 :]
    wanted = chosen or names()
    unknown = sorted(set(wanted) - set(names()))
    if unknown:
        sys.exit(f"no such integration: {', '.join(unknown)}; there are {', '.join(names())}")
    shutil.rmtree(CACHE / "coverage", ignore_errors=True)
    (CACHE / "coverage").mkdir(parents=True)
    failed = [name for name in wanted if not run(name, options)]
    for name in failed:
        print(f"FAILED: {name}")
    # One integration alone does not reach the code of the others.
    complete = bool(chosen) or report()
    return 1 if failed or not complete else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
