"""Real Gradio servers: an environment for each version, made once, and processes that end with their test."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

HERE = Path(__file__).parent
CACHE = HERE.parent.parent / ".cache"
SECONDS = 60.0
"""Only keeps a broken test from hanging: a server starts in three seconds, and all else is told at once."""

STARTING_SECONDS = 180.0
"""The same for the start: on a busy machine, importing Gradio and making twenty apps takes most of a minute."""

_QUIET = {
    "GRADIO_ANALYTICS_ENABLED": "False",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "PYTHONWARNINGS": "ignore",
    "NO_PROXY": "127.0.0.1,localhost",
}


class NotInstalled(Exception):
    """An environment could not be made; the message says why."""


@dataclass(frozen=True, slots=True)
class Environment:
    """A version of Gradio and what it needs beside it.

    Args:
        name: of its folder.
        pins: what pip installs.
        newest: the newest Python that they install on, as (3, minor).
    """

    name: str
    pins: tuple[str, ...]
    newest: tuple[int, int] = (3, 14)

    def python(self) -> Path:
        """Return the environment's interpreter; the environment is made if it is not there.

        Raises:
            NotInstalled: no interpreter is old enough, or pip failed.
        """
        base, (major, minor) = self._base()
        pins = hashlib.sha256("\n".join(self.pins).encode()).hexdigest()[:8]
        folder = CACHE / f"{self.name}-py{major}.{minor}-{pins}"
        if not folder.exists():
            # Made aside and then moved: another run may make the same one at the same time.
            made = CACHE / f"{folder.name}.{os.getpid()}"
            try:
                self._make(base, made)
                made.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
            finally:
                shutil.rmtree(made, ignore_errors=True)
        return _interpreter(folder)

    def _make(self, base: str, folder: Path) -> None:
        _run([base, "-m", "venv", str(folder)])
        # Most of a package is never imported: compiling what is, when it is, takes less time.
        pip = [str(_interpreter(folder)), "-m", "pip", "install", "-qq", "--no-compile"]
        _run([*pip, "--disable-pip-version-check", *self.pins])

    def _base(self) -> tuple[str, tuple[int, int]]:
        own = sys.version_info[:2]
        if own <= self.newest:
            return sys.executable, own
        for minor in range(self.newest[1], 9, -1):
            name = f"python3.{minor}"
            if shutil.which(name) and _works(name):
                return name, (3, minor)
        raise NotInstalled(
            f"{self.name} needs Python 3.10 to 3.{self.newest[1]}; none was found, and this is {own[0]}.{own[1]}"
        )


GRADIO_6 = Environment("gradio-6.31.0", ("gradio==6.31.0",))
GRADIO_5 = Environment("gradio-5.50.0", ("gradio==5.50.0",))
GRADIO_4 = Environment(
    "gradio-4.44.1",
    (
        # The last of the series of the Space, with its chatbot, and what was current then.
        "gradio==4.44.1",
        "modelscope_studio==0.5.2",
        "huggingface_hub<0.27",
        "pydantic==2.10.6",
        "fastapi==0.112.4",
        "starlette<0.39",
        "httpx<0.28",
    ),
    newest=(3, 12),  # pydub needs audioop, which 3.13 has no more
)


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts" if os.name == "nt" else "bin") / "python"


def _works(python: str) -> bool:
    command = [python, "-c", "import venv, ensurepip"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _run(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:] or ["no reason given"]
        raise NotInstalled(f"`{' '.join(map(str, command[1:4]))} ...` failed: {last[0]}")


class RealServer:
    """One application on a real Gradio server, and the line to it."""

    def __init__(self, python: Path, log: Path, script: str = "space_app.py") -> None:
        self._log: IO[bytes] = log.open("wb")
        self._log_path = log
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(STARTING_SECONDS)
            command = [str(python), str(HERE / script), str(listener.getsockname()[1])]
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **_QUIET},
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
            )
            try:
                self._socket, _ = listener.accept()
            except TimeoutError:
                self._end()
                raise AssertionError(f"the application did not come up:\n{self.log()}") from None
        self._socket.settimeout(STARTING_SECONDS)
        self._lines = self._socket.makefile("rb")
        ready = self.hears("url")
        self._socket.settimeout(SECONDS)
        self.url: str = ready["url"]
        self.version: str = ready["version"]
        self.has_studio: bool = ready["studio"]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._socket.close()
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(SECONDS)
        self._log.close()

    def hears(self, what: str) -> dict[str, Any]:
        """Wait until the application tells of ``what``; anything else that it tells before is passed over."""
        for line in self._lines:
            told: dict[str, Any] = json.loads(line)
            if what in told:
                return told
        raise AssertionError(f"the application ended before it told of {what!r}:\n{self.log()}")

    def release(self) -> None:
        """Let one held answer go on."""
        self._socket.sendall(b'"release"\n')

    def stopped_a_slow_answer(self) -> bool:
        """Wait until the last slow answer takes no more steps, and tell whether it took some, and stayed so."""
        count = self.hears("stopped")["stopped"]
        self._socket.sendall(b'"steps"\n')
        return bool(count > 0 and self.hears("steps")["steps"] == count)

    def log(self) -> str:
        """Return what the application wrote."""
        return self._log_path.read_text("utf-8", "replace")[-5000:]
