"""Bodies on httpx come in as few pieces as they came: nothing of them is lost, early or late."""

from __future__ import annotations

import gc
import warnings
from typing import Any

import anyio
import h11
import httpx
import pytest

from glmclient import AsyncClient
from glmclient.transports.httpx import channel as httpx_channel
from glmclient.transports.httpx.joined_events import JoinedEvents, join_events
from tests.core.wire import every_cut
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT, snapshots

PIECES = [b"one", b"two", "雪".encode(), b"x" * 300]
BODY = b"".join(map(chunk, PIECES)) + chunk(b"")


def asked() -> h11.Connection:
    """Return the client's half of a connection whose request was sent."""
    parser = h11.Connection(h11.CLIENT)
    parser.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    parser.send(h11.EndOfMessage())
    return parser


def told(parser: Any, chunks: list[bytes]) -> list[Any]:
    """Return every event that these bytes become, as httpcore asks for them."""
    events: list[Any] = []
    for data in filter(None, chunks):  # nothing at all would be the end of the connection
        parser.receive_data(data)
        while (event := parser.next_event()) is not h11.NEED_DATA:
            events.append(event)
            if isinstance(event, h11.EndOfMessage):
                return events
    return events


def body_of(events: list[Any]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, h11.Data))


def test_all_that_is_here_is_one_piece() -> None:
    events = told(JoinedEvents(asked()), [head() + BODY])
    assert [type(event) for event in events] == [h11.Response, h11.Data, h11.EndOfMessage]
    assert body_of(events) == b"".join(PIECES)


def test_every_cut_gives_the_same_body() -> None:
    for chunks in every_cut(head() + BODY):
        events = told(JoinedEvents(asked()), chunks)
        assert body_of(events) == b"".join(PIECES)
        assert [type(event) for event in events if not isinstance(event, h11.Data)] == [
            h11.Response,
            h11.EndOfMessage,
        ]
        assert all(event.data for event in events if isinstance(event, h11.Data))


def test_what_came_before_garbage_comes_first() -> None:
    parser = JoinedEvents(asked())
    parser.receive_data(head() + chunk(b"one") + chunk(b"two") + b"zz\r\n")
    assert isinstance(parser.next_event(), h11.Response)
    assert parser.next_event().data == b"onetwo"
    with pytest.raises(h11.RemoteProtocolError, match="illegal chunk header"):
        parser.next_event()


def test_an_end_that_was_not_told_is_none() -> None:
    """httpcore asks for the state when it is left, and must not take the connection for a free one."""
    parser = JoinedEvents(asked())
    parser.receive_data(head() + BODY)
    assert parser.their_state is h11.SEND_RESPONSE
    parser.next_event()
    assert parser.next_event().data == b"".join(PIECES)
    assert parser.their_state is h11.SEND_BODY
    assert isinstance(parser.next_event(), h11.EndOfMessage)
    assert parser.their_state is h11.DONE
    parser.start_next_cycle()
    assert parser.their_state is h11.IDLE


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_httpx_is_as_it_is_taken_to_be(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its parser is reached through names that are not public: this fails when they are gone."""
    joined: list[bool] = []
    monkeypatch.setattr(httpx_channel, "join_events", lambda s: joined.append(join_events(s)))

    async def ask(url: str) -> None:
        async with AsyncClient(base_url=url, trust_env=False) as client:
            for _ in range(2):  # the connection serves again, and is not wrapped twice
                assert (await client.chat("Hello")).text == HELLO_TEXT

    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        anyio.run(ask, server.url, backend=backend)
    assert joined == [True, True]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_leaving_what_is_here_as_a_whole(backend: str) -> None:
    async def leave(url: str) -> None:
        async with AsyncClient(base_url=url, trust_env=False) as client:
            async with client.stream("Hello") as stream:
                async for _ in stream:
                    break
            assert (await client.chat("Hello")).text == HELLO_TEXT

    def at_once(peer: Peer) -> None:
        peer.send(b"".join((head(), *map(chunk, (*HELLO, b"")))))

    with FaultServer(at_once) as server, warnings.catch_warnings():
        warnings.simplefilter("error")
        anyio.run(leave, server.url, backend=backend)
        gc.collect()
        assert server.connections == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_what_follows_an_answer_is_not_the_next_one(backend: str) -> None:
    """A service that says more than was asked for must not answer the next question with it."""
    whole = b"".join((head(), *map(chunk, (*HELLO, b""))))
    poison = b"".join((head(), *map(chunk, (*snapshots("poison"), b""))))

    async def ask(url: str) -> None:
        async with AsyncClient(base_url=url, trust_env=False) as client:
            for _ in range(2):
                assert (await client.chat("Hello")).text == HELLO_TEXT

    with FaultServer(
        lambda peer: peer.send(whole + poison), lambda peer: peer.send(whole)
    ) as server:
        anyio.run(ask, server.url, backend=backend)
        assert server.connections == 2


def test_a_stand_in_is_left_alone() -> None:
    assert not join_events(httpx.Response(200, content=b"data").stream)
