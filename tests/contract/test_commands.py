"""The commands that a stranger types first."""

from __future__ import annotations

import os
import subprocess
import sys


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", "-m", "glmclient", *arguments],
        capture_output=True,
        text=True,
        env={**environment, "PYTHONIOENCODING": "utf-8"},
        timeout=60,
        check=False,
    )


def test_the_demonstration_shows_both_clients() -> None:
    done = run("demo")
    assert done.returncode == 0, done.stderr
    for word in ("SyncClient", "AsyncClient", "stop"):
        assert word in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_help_and_version() -> None:
    import glmclient

    helped = run("--help")
    assert helped.returncode == 0
    assert "demo" in helped.stdout
    version = run("--version")
    assert version.returncode == 0
    assert glmclient.__version__ in version.stdout


def test_a_command_that_is_wrong() -> None:
    done = run("demo", "--no-such-option")
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
