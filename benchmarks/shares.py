"""What of an event's cost is ours, with no network in it: ``python -m benchmarks.shares PEER``; one line of JSON.

Chunks of one frame each are handed over by a channel that only has them in a list. Each peer adds a layer to the one
before: the decoder, the flow around it, and the stream of either client.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from glmclient import AsyncClient, SyncClient
from glmclient.core.exchange import Read, Send
from glmclient.core.http import Head
from glmclient.core.limits import Limits
from glmclient.providers.chat_completions.answer import AnswerReader
from glmclient.providers.chat_completions.decoder import PlatformDecoder
from glmclient.providers.chat_completions.refusals import Refusals

from .measure import measured
from .payloads import platform

REPEAT = 4
HEAD = Head(200, {"content-type": "text/event-stream"})


class Channel:
    """What a transport gives an exchange, from memory."""

    def __init__(self) -> None:
        self._chunks: Iterator[bytes] = iter([*FRAMES, b""])

    def send(self, _: Send) -> Head:
        return HEAD

    def read(self, _: Read) -> bytes:
        return next(self._chunks)

    def release(self, _: Any) -> None: ...

    close = cancel = abandon = lambda self: None


class AsyncChannel(Channel):
    async def send(self, _: Send) -> Head:  # type: ignore[override]
        return HEAD

    async def read(self, _: Read) -> bytes:  # type: ignore[override]
        return next(self._chunks)

    async def release(self, _: Any) -> None: ...  # type: ignore[override]

    async def aclose(self) -> None: ...

    def spawn(self, _: Any) -> None: ...


class Transport:
    def __init__(self, channel: type[Channel]) -> None:
        self.open = channel


def decoder() -> int:
    """The decoder alone."""
    reader = PlatformDecoder(
        AnswerReader("the platform"), Refusals("the platform", HEAD, time.time), Limits()
    )
    count = 0
    for frame in FRAMES:
        out: list[Any] = []
        reader.feed(frame, out)
        count += len(out)
    return count


def flow() -> int:
    """The decoder and the flow: everything that decides."""
    client = SyncClient("zai", api_key="k")
    own = client._configuration
    _, steps = client._ask("hi", None, own.timeout, own.retry, None, {})
    channel, count, reply = Channel(), 0, None
    for_step: dict[type, Callable[[Any], Any]] = {Read: channel.read, Send: channel.send}
    try:
        while True:
            step: Any = steps.send(reply)
            if type(step) is list:
                count, reply = count + len(step), None
            else:
                reply = for_step.get(type(step), channel.release)(step)
    except StopIteration:
        return count


def ours_sync() -> int:
    client: Any = SyncClient("zai", api_key="k")
    client._transport = Transport(Channel)
    return sum(1 for _ in client.stream("hi"))


async def ours_async() -> int:
    client: Any = AsyncClient("zai", api_key="k")
    client._transport = Transport(AsyncChannel)
    count = 0
    async for _ in client.stream("hi"):
        count += 1
    return count


FRAMES = platform()
PEERS: dict[str, Callable[[], Any]] = {
    "decoder": decoder,
    "flow": flow,
    "ours_sync": ours_sync,
    "ours_async": ours_async,
}


async def _main(peer: str) -> None:
    async def work() -> int:
        done = PEERS[peer]()
        return int(await done if asyncio.iscoroutine(done) else done)

    await work()
    with measured(peer=peer) as result:
        for _ in range(REPEAT):
            result["events"] = await work()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1]))
