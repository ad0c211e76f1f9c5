"""Opens a client and a stream before the server forks: the parent reads on while a worker leaves both."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from glmclient import SyncClient

FOLDER = Path(os.environ["PREFORK_FOLDER"])
PARENT = os.getpid()

client = SyncClient(base_url=os.environ["PREFORK_URL"], timeout=60, trust_env=False)
stream = client.stream("one")
first = next(stream)


def read_on() -> None:
    """In the parent, read the rest when the worker has left the stream."""
    while not (FOLDER / "left").exists():
        time.sleep(0.02)
    (FOLDER / "parent").write_text(stream.reply().text, encoding="utf-8")


threading.Thread(target=read_on, daemon=True).start()


def leave_and_ask() -> str:
    """In the worker, leave the inherited stream in every way, and ask with the inherited client."""
    assert os.getpid() != PARENT, "this is no worker"
    stream.cancel()
    stream.close()
    text = client.chat("two").text
    client.close()
    return text


def web(environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
    """The WSGI application for gunicorn."""
    start("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [leave_and_ask().encode()]


def tasks() -> Any:
    """Return the Celery application."""
    import celery

    app = celery.Celery("prefork", broker="filesystem://", backend=(FOLDER / "results").as_uri())
    folders = {name: str(FOLDER / "queue") for name in ("data_folder_in", "data_folder_out")}
    app.conf.broker_transport_options = {**folders, "control_folder": str(FOLDER / "control")}
    app.task(leave_and_ask, name="leave_and_ask")
    return app


if "PREFORK_CELERY" in os.environ:
    app = tasks()
