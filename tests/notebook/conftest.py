"""A shell of IPython in this process whose outputs are recorded instead of shown."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from IPython.core.displaypub import DisplayPublisher
from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

SECONDS = 30.0
"""How long a test waits for what should come at once, before it gives up."""


class Recorder(DisplayPublisher):
    """What a page would show: each output of a cell by its id, painted over as the page paints over it."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.published: list[dict[str, Any]] = []
        self.changed = threading.Condition()

    def publish(self, data: dict[str, str], *args: Any, **known: Any) -> None:
        with self.changed:
            self.published.append({"data": data, **known})
            self.changed.notify_all()

    @property
    def outputs(self) -> dict[str, dict[str, str]]:
        """Each output as it stands."""
        shown: dict[str, dict[str, str]] = {}
        for each in list(self.published):
            key = each["transient"]["display_id"]
            assert bool(each["update"]) == (key in shown), "only what was shown can be painted over"
            shown[key] = each["data"]
        return shown

    @property
    def html(self) -> list[str]:
        return [data["text/html"] for data in self.outputs.values()]

    @property
    def plain(self) -> list[str]:
        return [data["text/plain"] for data in self.outputs.values()]

    def wait_for(self, what: Callable[[], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(what, SECONDS), self.plain


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[InteractiveShell]:
    """A shell as in a terminal: what is displayed is printed."""
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "nocolor"
    made = InteractiveShell.instance(config=config)
    yield made
    InteractiveShell.clear_instance()
    # Each shell would collect all garbage once more at the end of the process.
    atexit.unregister(made.atexit_operations)


@pytest.fixture
def page(shell: InteractiveShell) -> Recorder:
    """The same shell as in a notebook: what is displayed is recorded."""
    recorder = Recorder()
    shell.display_pub = recorder
    return recorder
