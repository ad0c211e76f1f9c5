"""A gateway for a test: in this process for whole responses, or on a port of this machine for streams."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import uvicorn

from glmclient.gateway import create_app
from glmclient.gateway.server import _Server, listening
from glmclient.testing import Simulator

__all__ = ["KEY", "QUESTION", "app_of", "asking", "chunks_of", "served", "until"]

KEY = "key-of-the-callers"
SECONDS = 20.0
"""Only keeps a broken test from hanging."""
QUESTION: dict[str, Any] = {"model": "glm-4.6", "messages": [{"role": "user", "content": "Hello"}]}


async def asking(
    app: Any, method: str = "POST", path: str = "/v1/chat/completions", **known: Any
) -> httpx.Response:
    """Return the response of an application in this process."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://gateway") as client:
        return await client.request(method, path, **known)


def chunks_of(text: str) -> list[Any]:
    """Return the data of the frames of a stream; comments are left out."""
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    assert all(frame.startswith("data: ") for frame in frames), frames
    data = [frame.removeprefix("data: ") for frame in frames]
    return [each if each == "[DONE]" else json.loads(each) for each in data]


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on this machine; yield the value for a client's base_url."""
    with listening("127.0.0.1", 0, has_key=False) as opened:
        config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=4)
        server = _Server(config, app.state.gateway)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [opened]})
        thread.start()
        try:
            until(lambda: server.started)
            yield f"http://127.0.0.1:{opened.getsockname()[1]}/v1"
        finally:
            server.should_exit = True
            thread.join(SECONDS)
            assert not thread.is_alive()


def until(condition: Any, seconds: float = SECONDS) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        time.sleep(0.01)


def app_of(simulator: Simulator, **known: Any) -> Any:
    """Return an application in front of a simulated service."""
    return create_app(simulator.async_client(), **known)
