from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from glmclient.cli import main
from glmclient.simulator import Script, Simulator


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home of their own for settings, keys and conversations; it is not made yet."""
    place = tmp_path / "home"
    monkeypatch.setenv("GLMCLIENT_HOME", str(place))
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("COLUMNS", "80")
    return place


@dataclass
class Ran:
    """What a command line left behind."""

    code: int
    out: str
    err: str


class Stdin(io.TextIOWrapper):
    """Standard input: piped bytes, or a terminal."""

    def __init__(self, data: bytes, *, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._terminal = terminal

    def isatty(self) -> bool:
        return self._terminal


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run the command line in this process."""

    def ran(*arguments: str, stdin: str | bytes | None = None) -> Ran:
        data = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", Stdin(data or b"", terminal=data is None))
        capsys.readouterr()
        code = main(list(arguments))
        captured = capsys.readouterr()
        return Ran(code, captured.out, captured.err)

    return ran


Serve = Callable[..., Simulator]


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Serve]:
    """Start a simulated service; the environment's variables lead there."""
    running: list[Simulator] = []
    variables = {
        "chatglm": "GLMCLIENT_CHATGLM_BASE_URL",
        "qwen": "GLMCLIENT_QWEN_BASE_URL",
        "zai": "ZAI_BASE_URL",
        "bigmodel": "ZHIPUAI_BASE_URL",
    }

    def start(*answers: object, provider: str = "chatglm", **options: object) -> Simulator:
        script = Script(*(answers or ("Hello 世界!",)), repeat=True)  # type: ignore[arg-type]
        simulator = Simulator(script, provider=provider, **options).start()  # type: ignore[arg-type]
        running.append(simulator)
        if provider in variables:
            monkeypatch.setenv(variables[provider], simulator.url)
        if provider == "zai":
            monkeypatch.setenv("ZAI_API_KEY", "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp")
        return simulator

    yield start
    for simulator in running:
        simulator.stop()
        simulator.raise_for_failures()
