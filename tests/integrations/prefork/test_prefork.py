"""Servers that fork after the program was loaded: gunicorn with ``--preload``, and Celery's prefork pool."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

SECONDS = 60.0
"""Only keeps a broken test from hanging."""
APPLICATION = "tests.integrations.prefork.application"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("queue", "control", "results"):
        (tmp_path / name).mkdir()
    return tmp_path


@contextlib.contextmanager
def service() -> Iterator[tuple[FaultServer, threading.Event]]:
    """The answer to ``one`` goes on when the test says so."""
    go_on = threading.Event()

    def play(peer: Peer) -> None:
        if peer.request.json()["messages"][0]["content"][0]["text"] == "one":
            peer.send(head(), chunk(HELLO[0]))
            peer.wait(go_on)
            peer.send(*map(chunk, HELLO[1:]), chunk(b""))
        else:
            peer.stream(*HELLO)

    with FaultServer(play) as server:
        yield server, go_on


@contextlib.contextmanager
def running(folder: Path, url: str, *command: str, **further: str) -> Iterator[Any]:
    environment = {**os.environ, "PREFORK_FOLDER": str(folder), "PREFORK_URL": url, **further}
    with (
        open(folder / "log", "wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", *command],
            cwd=ROOT,
            env=environment,
            stdout=log,
            stderr=subprocess.STDOUT,
        ) as process,
    ):
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()


def until(condition: Any, folder: Path) -> Any:
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        with contextlib.suppress(OSError):
            if found := condition():
                return found
        time.sleep(0.05)
    raise AssertionError((folder / "log").read_text(errors="replace")[-3000:])


def parent_reads_on(folder: Path, go_on: threading.Event) -> None:
    (folder / "left").touch()
    go_on.set()
    parent = folder / "parent"
    until(lambda: parent.exists() and parent.read_text(encoding="utf-8"), folder)
    assert parent.read_text(encoding="utf-8") == HELLO_TEXT


def test_gunicorn_with_preload(folder: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    bind = ("--bind", f"127.0.0.1:{port}", "--workers", "2", "--preload")
    with (
        service() as (server, go_on),
        running(folder, server.url, "gunicorn", *bind, f"{APPLICATION}:web"),
    ):
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

        def asked() -> str:
            with opener.open(f"http://127.0.0.1:{port}/", timeout=SECONDS) as response:
                text: str = response.read().decode()
                return text

        assert until(asked, folder) == HELLO_TEXT
        parent_reads_on(folder, go_on)


def test_celery_with_prefork(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import celery

    worker = ("celery", "-A", f"{APPLICATION}:app", "worker", "--pool", "prefork", "-c", "1")
    with (
        service() as (server, go_on),
        running(folder, server.url, *worker, "--without-gossip", PREFORK_CELERY="1"),
    ):
        sender = celery.Celery(
            "sender", broker="filesystem://", backend=(folder / "results").as_uri()
        )
        folders = {name: str(folder / "queue") for name in ("data_folder_in", "data_folder_out")}
        sender.conf.broker_transport_options = {
            **folders,
            "control_folder": str(folder / "control"),
        }
        result = sender.send_task("leave_and_ask")
        until(result.ready, folder)
        assert result.get(timeout=SECONDS) == HELLO_TEXT
        parent_reads_on(folder, go_on)
