"""A real kernel, and what a notebook would show of it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from queue import Empty
from typing import Any

from jupyter_client.manager import start_new_kernel

from .conftest import SECONDS

ROOT = Path(__file__).resolve().parents[2]


class Kernel:
    """A kernel of this interpreter, driven cell by cell.

    Args:
        folder: where it keeps its files.
    """

    def __init__(self, folder: Path) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "IPYTHONDIR": str(folder),
            "JUPYTER_RUNTIME_DIR": str(folder),
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        self._manager, self._client = start_new_kernel(env=environment, cwd=str(folder))

    def stop(self) -> None:
        """End the kernel."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def start(self, code: str) -> Cell:
        """Begin to run a cell."""
        return Cell(self, self._client.execute(code))

    def run(self, code: str) -> Cell:
        """Run a cell to its end; it must not fail."""
        cell = self.start(code)
        cell.wait_for(lambda: cell.idle)
        assert cell.error is None, cell.error
        return cell

    def interrupt(self) -> None:
        """Press the button."""
        self._manager.interrupt_kernel()

    def next_message(self, seconds: float = SECONDS) -> dict[str, Any]:
        """Return the next thing that the kernel tells every page.

        Raises:
            Empty: it told nothing in that time.
        """
        message: dict[str, Any] = self._client.get_iopub_msg(timeout=seconds)
        return message

    def reply_to(self, request: str) -> dict[str, Any]:
        """Return what the kernel answers to the one who asked, at the end of a cell."""
        while True:
            reply = self._client.get_shell_msg(timeout=SECONDS)
            if reply["parent_header"].get("msg_id") == request:
                content: dict[str, Any] = reply["content"]
                return content


class Cell:
    """A cell as a page shows it: outputs in order, painted over by their ids."""

    def __init__(self, kernel: Kernel, request: str) -> None:
        self._kernel = kernel
        self._request = request
        self._ids: dict[str, int] = {}
        self.outputs: list[dict[str, str]] = []
        self.text = ""
        self.idle = False
        self.error: dict[str, Any] | None = None

    def wait_for(self, what: Callable[[], bool]) -> None:
        """Read what the kernel tells until something is so."""
        end = time.monotonic() + SECONDS
        while not what():
            assert time.monotonic() < end, (self.outputs, self.text)
            self._take(self._kernel.next_message())

    def interrupt(self) -> dict[str, Any]:
        """Press the button, and return what the kernel answered at the end."""
        self._kernel.interrupt()
        presses = 1
        while not self.idle:
            try:
                self._take(self._kernel.next_message(5))
            except Empty:
                # A signal that comes in the moment before the kernel goes to sleep in a read is seen when it wakes:
                # who presses the button and sees nothing presses again.
                assert presses < 5, (self.outputs, self.text)
                self._kernel.interrupt()
                presses += 1
        return self.reply()

    def reply(self) -> dict[str, Any]:
        """Wait for the end, and return what the kernel answered."""
        self.wait_for(lambda: self.idle)
        return self._kernel.reply_to(self._request)

    def shows(self, text: str) -> bool:
        """Tell whether the plain text of one of the outputs is exactly this."""
        return text in self.plain

    @property
    def plain(self) -> list[str]:
        return [data["text/plain"] for data in self.outputs]

    @property
    def html(self) -> list[str]:
        return [data.get("text/html", "") for data in self.outputs]

    def _take(self, message: dict[str, Any]) -> None:
        kind, content = message["msg_type"], message["content"]
        if kind == "update_display_data":  # of whichever cell
            place = self._ids.get(content["transient"]["display_id"])
            if place is not None:
                self.outputs[place] = content["data"]
        elif message["parent_header"].get("msg_id") != self._request:
            return
        elif kind in ("display_data", "execute_result"):
            key = content.get("transient", {}).get("display_id")
            if key is not None:
                self._ids[key] = len(self.outputs)
            self.outputs.append(content["data"])
        elif kind == "stream":
            self.text += content["text"]
        elif kind == "error":
            self.error = content
        elif kind == "status" and content["execution_state"] == "idle":
            self.idle = True
