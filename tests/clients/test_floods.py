"""A server that never stops sending: every limit of `Timeout` ends the stream, on every client and both libraries."""

from __future__ import annotations

import asyncio
import itertools
import json
import time
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from glmclient import AsyncClient, GLMError, SyncClient, Timeout
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import snapshots

SECONDS = 0.5
ENOUGH = 6.0
"""A bound against hanging: the server itself would go on for ever."""

CLIENTS = ("sync", "asyncio", "trio", "aiohttp")


def frame(**delta: Any) -> bytes:
    value = {"id": "1", "model": "m", "choices": [{"index": 0, "delta": delta}]}
    return b"data: " + json.dumps(value).encode() + b"\n\n"


def tool(**fields: Any) -> bytes:
    return frame(tool_calls=[{"index": 0, **fields}])


def forever(piece: bytes) -> Iterator[bytes]:
    return itertools.repeat(piece)


def compressed(piece: bytes) -> Iterator[bytes]:
    """One gzip stream without an end, flushed after each piece."""
    squeeze = zlib.compressobj(wbits=31)
    while True:
        yield squeeze.compress(piece) + squeeze.flush(zlib.Z_SYNC_FLUSH)


def edits() -> Iterator[bytes]:
    for number in itertools.count():
        yield snapshots(f"answer number {number}", "")[0]


def body(pieces: Callable[[], Iterator[bytes]], pause: float = 0.0, *fields: str) -> Any:
    def play(peer: Peer) -> None:
        peer.send(head(200, *fields))
        for piece in pieces():
            peer.send(chunk(piece))
            time.sleep(pause)

    return play


def raw(begin: bytes, piece: bytes, pause: float = 0.0) -> Any:
    def play(peer: Peer) -> None:
        peer.send(begin)
        while True:
            peer.send(piece)
            time.sleep(pause)

    return play


COMMENT = b": still here\n\n"
SLOW = 0.05

FLOODS: dict[str, tuple[str, Any]] = {
    "comments, slow": ("openai", body(lambda: forever(COMMENT), SLOW)),
    "comments, fast": ("openai", body(lambda: forever(COMMENT * 100))),
    "empty lines": ("openai", body(lambda: forever(b"\n" * 500))),
    "one byte a chunk": ("openai", raw(head(), b"1\r\n:\r\n1\r\n\n\r\n" * 200)),
    "one byte a second": ("openai", raw(head(), chunk(b"d"), SLOW)),
    "chunks with extensions": ("openai", raw(head(), b"2;" + b"x" * 900 + b"\r\n:\n\r\n")),
    "lines of a head, slow": ("openai", raw(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", SLOW)),
    "interim heads": ("openai", raw(b"", b"HTTP/1.1 102 Processing\r\n\r\n", SLOW)),
    "gzip, slow": (
        "openai",
        body(lambda: compressed(COMMENT), SLOW, "Content-Encoding: gzip"),
    ),
    "gzip, fast": (
        "openai",
        body(lambda: compressed(COMMENT * 200), 0.0, "Content-Encoding: gzip"),
    ),
    "text": ("openai", body(lambda: forever(frame(content="word ")))),
    "fragments of a tool call": (
        "openai",
        body(
            lambda: itertools.chain(
                [tool(id="c", type="function", function={"name": "f", "arguments": ""})],
                forever(tool(function={"arguments": '"x",'})),
            )
        ),
    ),
    "rewrites": ("chatglm", body(edits)),
}


async def asked(client: AsyncClient, reached: list[GLMError]) -> None:
    async with client:
        with pytest.raises(GLMError) as caught:
            await client.chat("q")
        reached.append(caught.value)


def error_of(name: str, provider: str, url: str, timeout: Timeout) -> GLMError:
    """Return the error that ended a question."""
    model = {"model": "m"} if provider == "openai" else {}
    arguments: dict[str, Any] = {
        **model,
        "base_url": url,
        "timeout": timeout,
        "retry": None,
        "trust_env": False,
    }
    if name == "sync":
        with SyncClient(provider, **arguments) as client, pytest.raises(GLMError) as caught:
            client.chat("q")
        return caught.value
    if name == "aiohttp":
        arguments["http_backend"] = "aiohttp"
    reached: list[GLMError] = []
    run: Any = asyncio.run if name != "trio" else None
    if run is None:
        anyio.run(asked, AsyncClient(provider, **arguments), reached, backend="trio")
    else:
        run(asked(AsyncClient(provider, **arguments), reached))
    return reached[0]


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize("flood", FLOODS)
def test_a_total_limit_holds(flood: str, name: str) -> None:
    provider, play = FLOODS[flood]
    with FaultServer(play) as server:
        began = time.monotonic()
        error_of(name, provider, server.url, Timeout(total=SECONDS))
        assert time.monotonic() - began < ENOUGH


@pytest.mark.parametrize("name", CLIENTS)
@pytest.mark.parametrize(
    "flood",
    [name for name in FLOODS if name not in ("text", "fragments of a tool call", "rewrites")],
)
def test_a_limit_for_the_first_event_holds(flood: str, name: str) -> None:
    provider, play = FLOODS[flood]
    with FaultServer(play) as server:
        began = time.monotonic()
        error_of(name, provider, server.url, Timeout(first_event=SECONDS))
        assert time.monotonic() - began < ENOUGH


@pytest.mark.parametrize("name", CLIENTS)
def test_a_flood_that_outruns_the_reader(name: str) -> None:
    """Bytes are always here already, so that a read never has to wait."""
    with FaultServer(body(lambda: forever(COMMENT * 4000))) as server:
        began = time.monotonic()
        error = error_of(name, "openai", server.url, Timeout(first_event=SECONDS, total=2.0))
        assert time.monotonic() - began < ENOUGH
        assert getattr(error, "limit", None) == "first_event"
