"""A long answer is recorded while it comes, on every client."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

from glmclient import SyncClient
from glmclient.cassette.entries import parsed
from tests.faults.server import FaultServer, Peer, chunk, head

from .driver import EVERY_BACKEND, Driver

LAST = b'data: {"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
DONE = b"data: [DONE]\n\n"
TALK = "65f0c0ffee65f0c0ffee65f0"


def frame(text: str) -> bytes:
    value = {"request_id": TALK, "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


@EVERY_BACKEND
async def test_a_long_answer_is_written_while_it_comes(driver: Driver, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    seen = threading.Event()
    text = "word " * 2000

    def play(peer: Peer) -> None:
        peer.send(head(), *(chunk(frame(text)) for _ in range(10)))
        peer.wait(seen)
        peer.send(chunk(LAST + DONE), chunk(b""))

    with FaultServer(play) as server:
        options: dict[str, Any] = {"base_url": f"{server.url}/v1", "model": "m", "record": path}
        async with driver.client("openai", **options) as client:
            count = 0
            async for _ in (stream := client.stream("Hello")):
                count += 1
                if count == 10:
                    written = path.read_text()
                    assert len(written) > 10_000 and TALK not in written
                    assert (
                        parsed(path.read_bytes(), "a").exchanges[0].happenings[-1].kind == "chunk"
                    )
                    seen.set()
            assert stream.text == text * 10
    with SyncClient("openai", replay=path, model="m") as client:
        assert client.chat("Hello").text == text * 10
