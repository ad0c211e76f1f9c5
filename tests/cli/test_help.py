"""The page on the terminal says what the command line says of itself."""

from __future__ import annotations

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

import glmclient
from glmclient.cli.application import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "terminal_help.py"


@pytest.fixture
def script(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("terminal_help", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    page = tmp_path / "terminal.md"
    page.write_text((ROOT / "docs" / "terminal.md").read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.setattr(module, "PAGE", page)
    return module


def test_the_page_is_up_to_date(script: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["terminal_help.py", "--check"])
    assert script.main() == 0, "run scripts/terminal_help.py"


def test_a_page_that_is_not_is_found_and_mended(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    good = script.PAGE.read_text(encoding="utf-8")
    script.PAGE.write_text(good.replace("| 130 | Ctrl-C |", "| 131 | Ctrl-C |"), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["terminal_help.py", "--check"])
    assert script.main() == 1
    monkeypatch.setattr(sys, "argv", ["terminal_help.py"])
    assert script.main() == 0
    assert script.PAGE.read_text(encoding="utf-8") == good


def test_every_command_is_on_the_page() -> None:
    page = (ROOT / "docs" / "terminal.md").read_text(encoding="utf-8")
    for name in COMMANDS:
        assert f"\n### glmclient {name}\n" in page


def test_the_module_runs_only_when_it_is_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["glmclient", "--version"])
    path = importlib.import_module("glmclient.__main__").__file__
    assert capsys.readouterr().out == ""
    assert path is not None
    code = compile(Path(path).read_text(encoding="utf-8"), path, "exec")
    with pytest.raises(SystemExit) as ended:
        exec(code, {"__name__": "__main__", "__package__": "glmclient"})
    assert ended.value.code == 0
    assert glmclient.__version__ in capsys.readouterr().out


def test_help_is_the_same_as_a_module() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "glmclient", "-h"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert run.stdout.startswith("Usage: glmclient [OPTIONS] COMMAND")
