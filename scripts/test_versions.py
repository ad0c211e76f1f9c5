"""Run the core suites on the lowest and on the newest versions of everything that setup.cfg names, and on more Pythons.

`lowest` takes the oldest Python that is supported, with each requirement at the version that setup.cfg gives as its
lower bound. `newest` takes the newest Python that is found, and the newest versions. A number such as `3.13` takes that
Python with the newest versions. Without arguments all of these run, as far as the machine has the interpreters; what
is missing is said. The environments stand in .cache/versions; a change of setup.cfg makes new ones.

usage: python scripts/test_versions.py [lowest|newest|3.N ...] [-- PYTEST ARGUMENTS]
"""

from __future__ import annotations

import configparser
import hashlib
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / ".cache" / "versions"
OLDEST, NEWEST = 10, 16
"""Minor versions of Python 3: the oldest that is supported, and the newest to look for."""
SUITES = ("tests/core", "tests/clients", "tests/transports")
EXTRAS = ("aiohttp", "schema", "socks")
TOOLS = (
    *("anyio[trio]", "coverage", "hypothesis", "pydantic", "pytest>=8.2,<9.2", "pytest-cov"),
    *("pytest-timeout", "pytest-xdist", "responses", "respx", "setuptools", "starlette", "trustme"),
)
_BOUND = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^\]]*\])?>=([0-9a-z.]+)")


def lower_bounds() -> list[str]:
    """Return the requirements of the package and of the tested extras, each at its lower bound."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    extras = config["options.extras_require"]
    lines = "\n".join([config["options"]["install_requires"], *(extras[name] for name in EXTRAS)])
    found = (_BOUND.match(line.strip()) for line in lines.splitlines())
    return sorted({f"{match[1]}=={match[2]}" for match in found if match})


def interpreter(minor: int) -> str | None:
    """Return an interpreter of Python 3.minor that starts; ``None`` if the machine has none."""
    names = [f"python3.{minor}"]
    home = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    names += map(str, sorted(home.glob(f"versions/3.{minor}.*/bin/python3"), reverse=True))
    for name in names:
        if (path := shutil.which(name)) is not None:
            check = f"import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, {minor}))"
            if subprocess.run([path, "-c", check], capture_output=True).returncode == 0:
                return path
    return None


def environment(path: str, minor: int, *, lowest: bool) -> Path:
    """Return the interpreter of an environment; it is made if it is not there.

    Raises:
        subprocess.CalledProcessError: pip failed.
    """
    content = (ROOT / "setup.cfg").read_bytes() + Path(__file__).read_bytes()
    name = f"{'lowest' if lowest else 'newest'}-3.{minor}"
    folder = CACHE / f"{name}-{hashlib.sha256(content).hexdigest()[:8]}"
    python = folder / ("Scripts" if os.name == "nt" else "bin") / "python"
    if (folder / "complete").exists():
        return python
    for old in CACHE.glob(f"{name}-*"):
        shutil.rmtree(old)
    subprocess.run([path, "-m", "venv", folder], check=True)
    bounds = folder / "bounds.txt"
    bounds.write_text("\n".join(lower_bounds() if lowest else []) + "\n")
    pip = [python, "-m", "pip", "install", "-qq", "--disable-pip-version-check", "-c", bounds]
    subprocess.run([*pip, "-e", f".[{','.join(EXTRAS)}]", *TOOLS], cwd=ROOT, check=True)
    (folder / "complete").touch()
    return python


def run(minor: int, *, lowest: bool, arguments: list[str]) -> bool:
    """Run the suites; return whether they passed."""
    kind = "lowest" if lowest else "newest"
    path = interpreter(minor)
    if path is None:
        print(f"== Python 3.{minor}, {kind} versions: no such interpreter was found", flush=True)
        return False
    print(f"== Python 3.{minor}, {kind} versions", flush=True)
    try:
        python = environment(path, minor, lowest=lowest)
    except subprocess.CalledProcessError as error:
        print(f"== Python 3.{minor}: the environment could not be made: {error}", flush=True)
        return False
    # Other versions warn of other things: only warnings about this project's code are errors.
    warnings = ["-o", "filterwarnings=default", "-W", "error:::glmclient"]
    test = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-n", "2", "--dist", "loadgroup"]
    command = [python, *test, *warnings, *SUITES, *arguments]
    return subprocess.run(command, cwd=ROOT, check=False).returncode == 0


def main(arguments: list[str]) -> int:
    """Run what is asked for; return the exit code."""
    place = arguments.index("--") if "--" in arguments else len(arguments)
    wanted, rest = arguments[:place], arguments[place + 1 :]
    found = [minor for minor in range(OLDEST, NEWEST + 1) if interpreter(minor) is not None]
    if not found:
        print("no supported interpreter was found", file=sys.stderr)
        return 1
    runs: dict[tuple[int, bool], None] = {}
    for name in wanted or ["lowest", "newest", "3.10", "3.13"]:
        if name == "lowest":
            runs[OLDEST if OLDEST in found else found[0], True] = None
        elif name == "newest":
            runs[found[-1], False] = None
        elif re.fullmatch(r"3\.\d+", name):
            runs[int(name[2:]), False] = None
        else:
            print(f"{name!r} is not lowest, newest or a version such as 3.13", file=sys.stderr)
            return 2
    passed = [run(minor, lowest=lowest, arguments=rest) for minor, lowest in runs]
    print(f"== interpreters found: {', '.join(f'3.{minor}' for minor in found)}")
    return 0 if all(passed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
