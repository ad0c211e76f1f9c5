"""A service that can be told that nobody listens any more is told, best effort, and never waited for long."""

from __future__ import annotations

import gc
import threading
from collections.abc import Mapping
from typing import Any

import pytest

from glmclient import (
    Finish,
    Messages,
    Model,
    Provider,
    StreamCancelled,
    StreamInterrupted,
    TextDelta,
)
from glmclient.core.exchange import Exchange, Flow
from glmclient.core.http import Request
from glmclient.providers.base import Capabilities, Chat
from tests.core.flow import Lines
from tests.faults.server import FaultServer, Peer, chunk, head

from .driver import Driver


class Telling(Provider):
    """A service of lines that wants to be told when somebody leaves."""

    name = "telling"
    default_url = "http://127.0.0.1:9"
    supports = Capabilities()
    models = ("lines",)
    default_model = "lines"

    def prepare(self, messages: Messages, model: str | None, options: Mapping[str, Any]) -> Chat:
        return Chat((), model)

    def attempt(self, chat: Chat, exchange: Exchange) -> Flow[None]:
        answered = yield from exchange.send(Request("POST", f"{self.url}/ask", {}, b"{}"))
        exchange.cleanup = Request("POST", f"{self.url}/leave", {"X-Session": "s1"}, b"bye")
        yield from exchange.stream(answered, Lines())


def asked(peer: Peer, *more: bytes) -> None:
    peer.send(head(), chunk(b"one\n"), *more)
    if not more:
        peer.until_gone()


class Service:
    """Answers, and notes who says farewell."""

    def __init__(self, *more: bytes, farewell: Any = None) -> None:
        self.more = more
        self.farewell = farewell
        self.told = threading.Event()

    def __call__(self, peer: Peer) -> None:
        if peer.request.target == "/ask":
            asked(peer, *self.more)
            return
        assert peer.request.body == b"bye"
        assert peer.request.headers["x-session"] == "s1"
        self.told.set()
        if self.farewell is not None:
            self.farewell(peer)
        else:
            peer.reply(200, b"{}")


def client_of(driver: Driver, server: FaultServer, **options: Any) -> Any:
    return driver.client(Telling(base_url=server.url), **options)


async def test_a_break(driver: Driver) -> None:
    service = Service()
    with FaultServer(service) as server:
        async with client_of(driver, server) as client:
            async for event in client.stream("Hello"):
                assert event == TextDelta("one")
                break
            await driver.wait(service.told)
            await driver.wait(server.saw_gone)


async def test_closing_tells_once(driver: Driver) -> None:
    service = Service()
    with FaultServer(service) as server:
        async with client_of(driver, server) as client:
            async with client.stream("Hello") as stream:
                await anext(stream)
            await stream.aclose()
            stream.cancel()
            assert service.told.is_set()
        assert [request.target for request in server.requests] == ["/ask", "/leave"]


async def test_a_cancel(driver: Driver) -> None:
    service = Service()
    with FaultServer(service) as server:
        async with client_of(driver, server) as client:
            stream = client.stream("Hello")
            await anext(stream)

            async def read() -> None:
                with pytest.raises(StreamCancelled):
                    await anext(stream)

            async def cancel() -> None:
                while not stream._busy.locked():
                    await driver.pause()
                stream.cancel()

            await driver.together(read, cancel)
            await driver.wait(service.told)


async def test_a_failure_tells_too(driver: Driver) -> None:
    service = Service(chunk(b""))
    with FaultServer(service) as server:
        async with client_of(driver, server) as client:
            with pytest.raises(StreamInterrupted):
                await client.chat("Hello")
            await driver.wait(service.told)


async def test_an_answer_that_is_whole_needs_no_farewell(driver: Driver) -> None:
    service = Service(chunk(b"END\n"), chunk(b""))
    with FaultServer(service) as server:
        async with client_of(driver, server) as client:
            for _ in range(2):
                events = [event async for event in client.stream("Hello")]
                assert events == [TextDelta("one"), Finish("stop")]
        assert [request.target for request in server.requests] == ["/ask", "/ask"]


async def test_forgetting(driver: Driver) -> None:
    """A finalizer of the blocking client says nothing; on an event loop there is somebody to say it."""
    service = Service()
    with FaultServer(service) as server:
        async with client_of(driver, server) as client:
            stream = client.stream("Hello")
            await anext(stream)
            del stream
            gc.collect()
            await driver.wait(server.saw_gone)
            if not driver.is_sync:
                await driver.wait(service.told)
        assert service.told.is_set() is not driver.is_sync


@pytest.mark.parametrize("how", ["silent", "reset", "endless"])
async def test_a_service_that_does_not_take_it(driver: Driver, how: str) -> None:
    def endless(peer: Peer) -> None:
        peer.send(head())
        while True:
            peer.send(chunk(b"x" * 1000))

    takes = {"silent": Peer.until_gone, "reset": Peer.reset, "endless": endless}
    service = Service(farewell=takes[how])
    with FaultServer(service) as server:
        async with client_of(driver, server) as client:
            async with client.stream("Hello") as stream:
                await anext(stream)
            assert service.told.is_set()  # and leaving did not wait for more
            assert stream.text == "one"


async def test_a_service_that_is_gone(driver: Driver) -> None:
    service = Service()
    with FaultServer(service) as server:
        client = client_of(driver, server)
        stream = client.stream("Hello")
        await anext(stream)
    # The server has ended: there is nobody to tell.
    await stream.aclose()
    await client.aclose()
    assert not service.told.is_set()


async def test_models_of_a_service_that_cannot_be_asked(driver: Driver) -> None:
    async with driver.client(Telling()) as client:
        assert await client.models() == (Model("lines"),)
        assert repr(client.provider) == "Telling(url='http://127.0.0.1:9')"
