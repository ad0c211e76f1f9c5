"""A real process at a pseudo-terminal, and the screen that its user would see."""

from __future__ import annotations

import fcntl
import os
import select
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import pyte

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0  # seconds until a test that hangs fails; nothing that works comes near

# Makes the terminal the controlling one of its session, so that Ctrl-C is a signal; then becomes the command line.
LAUNCH = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "glmclient", *sys.argv[1:]])
"""


class PseudoTerminal:
    """Runs the command line at a terminal of its own.

    Args:
        arguments: of the command line.
        environment: further variables.
        columns: the terminal's width.
        lines: its height.
        stdout: where standard output goes instead.
        stderr: where standard error goes instead.
    """

    def __init__(
        self,
        *arguments: str,
        environment: dict[str, str],
        columns: int = 60,
        lines: int = 16,
        stdout: int | None = None,
        stderr: int | None = None,
    ) -> None:
        self.screen = pyte.HistoryScreen(columns, lines, history=2000)
        self._stream = pyte.ByteStream(self.screen)
        self.raw = b""
        self._master, slave = os.openpty()
        size = struct.pack("HHHH", lines, columns, 0, 0)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, size)
        known = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, *arguments],
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave if stderr is None else stderr,
            env={**known, "TERM": "xterm-256color", "PYTHONPATH": str(ROOT), **environment},
            start_new_session=True,
        )
        os.close(slave)

    def __enter__(self) -> PseudoTerminal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self._master)

    # -- what is seen --------------------------------------------------------------------------------------

    @property
    def shown(self) -> list[str]:
        """The lines on the screen, without the empty ones."""
        return [line.rstrip() for line in self.screen.display if line.strip()]

    @property
    def history(self) -> list[str]:
        """The lines that were scrolled out, and those on the screen, without the empty ones."""
        columns = self.screen.columns
        above = [
            "".join(line[column].data for column in range(columns))
            for line in self.screen.history.top
        ]
        return [line.rstrip() for line in [*above, *self.screen.display] if line.strip()]

    def wait_for(self, condition: Callable[[], bool]) -> None:
        """Read what the process writes until the screen is as it should be."""
        end = time.monotonic() + PATIENCE
        while not condition():
            assert self._read(end - time.monotonic()), (
                f"it ended, and the screen shows {self.shown}"
            )
            assert time.monotonic() < end, f"the screen shows {self.shown}"

    def wait_for_text(self, text: str) -> None:
        """Read until a text stands on the screen, in one line."""
        self.wait_for(lambda: any(text in line for line in self.shown))

    def wait_for_end(self) -> int:
        """Read to the end, and return the exit code."""
        end = time.monotonic() + PATIENCE
        while self._read(max(end - time.monotonic(), 0.0)):
            assert time.monotonic() < end, f"it does not end; the screen shows {self.shown}"
        return self.process.wait(PATIENCE)

    def _read(self, seconds: float) -> bool:
        ready, _, _ = select.select([self._master], [], [], max(0.0, min(seconds, 1.0)))
        if not ready:
            return True
        try:
            data = os.read(self._master, 65536)
        except OSError:  # what Linux says when the last process has closed its side
            return False
        self.raw += data
        self._stream.feed(data)
        return bool(data)

    # -- what is typed -------------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        """Press keys."""
        os.write(self._master, text.encode())

    def resize(self, columns: int, lines: int) -> None:
        """Give the terminal another size."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        self.screen.resize(lines, columns)
