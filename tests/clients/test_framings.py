"""However a body is framed, cut and compressed, the answer is the same, and an event comes when its bytes do."""

from __future__ import annotations

import gzip
import json
import threading
import zlib
from collections.abc import Callable, Iterator
from http.client import HTTPException, HTTPResponse
from typing import Any

import pytest

from glmclient import APIConnectionError, APIStatusError, LimitExceeded, StreamInterrupted
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_EVENTS, HELLO_TEXT, snapshots
from tests.providers.gradio.scripted import config

from .driver import EVERY_BACKEND, Driver

BODY = b"".join(HELLO)


def chunked(pieces: list[bytes]) -> bytes:
    return b"".join(map(chunk, [*pieces, b""]))


def odd_chunks(pieces: list[bytes]) -> bytes:
    """Sizes in capitals with leading zeros and extensions, and a trailer (RFC 9112 §7.1)."""
    sizes = [b'00%X;name="value"\r\n%s\r\n' % (len(piece), piece) for piece in pieces]
    return b"".join(sizes) + b"0;last\r\nX-Trailer: 1\r\n\r\n"


FRAMINGS: dict[str, tuple[bytes, Callable[[list[bytes]], bytes]]] = {
    "chunked": (head(), chunked),
    "odd chunks": (head(), odd_chunks),
    "chunked, and a space": (head().replace(b"chunked\r\n", b"chunked \r\n"), chunked),
    "length": (head(length=len(BODY)), b"".join),
    "length, told twice": (
        head(200, f"Content-Length: {len(BODY)}, {len(BODY)}", chunked=False),
        b"".join,
    ),
    "closed": (head(chunked=False), b"".join),
    "http/1.0": (head(chunked=False).replace(b"HTTP/1.1", b"HTTP/1.0"), b"".join),
}


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_framing_that_is_sent_at_once(driver: Driver, framing: str) -> None:
    first, framed = FRAMINGS[framing]

    def play(peer: Peer) -> None:
        peer.send(first + framed(HELLO))
        if "Connection" in framing or framing in ("closed", "http/1.0"):
            peer.close()

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            assert [event async for event in client.stream("Hello")] == HELLO_EVENTS
            assert (await client.chat("Hello")).text == HELLO_TEXT
            assert server.connections == (2 if framing in ("closed", "http/1.0") else 1)


@pytest.mark.parametrize("framing", FRAMINGS)
async def test_a_framing_that_is_sent_byte_by_byte(driver: Driver, framing: str) -> None:
    first, framed = FRAMINGS[framing]

    def play(peer: Peer) -> None:
        raw = first + framed(HELLO)
        peer.send(*(raw[i : i + 1] for i in range(len(raw))))
        peer.close()

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            assert [event async for event in client.stream("Hello")] == HELLO_EVENTS


async def test_a_status_without_a_body_has_none(driver: Driver) -> None:
    """Whatever its head says, what follows is none of it (RFC 9112 §6.3)."""

    def bodiless(peer: Peer) -> None:
        peer.send(head(204) + chunk(b"not its body") + chunk(b""))
        peer.until_gone()

    with FaultServer(bodiless) as server:
        async with driver.client(base_url=server.url) as client:
            with pytest.raises(APIStatusError) as caught:
                await client.chat("Hello")
    assert (caught.value.status_code, caught.value.body) == (204, "")


@pytest.mark.usefixtures("patient")
async def test_chunks_that_are_cut_anywhere(driver: Driver) -> None:
    """A chunk ends in a line, in a character, in the line end between two frames; and so does a segment."""
    sizes = [*range(1, 40), 64, 100, 200]

    def play(peer: Peer) -> None:
        size = sizes[len(server.requests) - 1]
        raw = chunked([BODY[i : i + size] for i in range(0, len(BODY), size)])
        peer.send(head(), *(raw[i : i + size + 3] for i in range(0, len(raw), size + 3)))

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            for _ in sizes:
                assert [event async for event in client.stream("Hello")] == HELLO_EVENTS
        assert server.connections == 1


def compressors() -> Iterator[tuple[str, Callable[[bytes], bytes]]]:
    def raw(data: bytes) -> bytes:
        compressor = zlib.compressobj(wbits=-15)
        return compressor.compress(data) + compressor.flush()

    yield "gzip", gzip.compress
    yield "x-gzip", gzip.compress
    yield "deflate", zlib.compress
    yield "deflate", raw
    yield "identity", bytes


@pytest.mark.parametrize(("coding", "compress"), list(compressors()))
async def test_codings(driver: Driver, coding: str, compress: Callable[[bytes], bytes]) -> None:
    data = compress(BODY)

    def play(peer: Peer) -> None:
        peer.send(head(200, f"Content-Encoding: {coding}"))
        peer.send(*(chunk(data[i : i + 7]) for i in range(0, len(data), 7)), chunk(b""))

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            assert [event async for event in client.stream("Hello")] == HELLO_EVENTS
            assert (await client.chat("Hello")).text == HELLO_TEXT


LOCKSTEP = ["chunked", "closed", "length", "gzip", "deflate"]


@pytest.mark.parametrize("framing", LOCKSTEP)
async def test_an_event_is_handed_over_as_soon_as_its_bytes_are_here(
    driver: Driver, framing: str
) -> None:
    """The server sends a frame only when the user has seen the event of the one before."""
    turns = [threading.Event() for _ in HELLO]
    compressor = zlib.compressobj(wbits=31 if framing == "gzip" else 15)
    compressed = framing in ("gzip", "deflate")
    fields = (f"Content-Encoding: {framing}",) if compressed else ()

    def play(peer: Peer) -> None:
        length = len(BODY) if framing == "length" else None
        peer.send(
            head(200, *fields, length=length, chunked=framing in ("chunked", "gzip", "deflate"))
        )
        for turn, piece in zip(turns, HELLO, strict=True):
            peer.wait(turn)
            if compressed:
                piece = compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
            peer.send(piece if framing in ("closed", "length") else chunk(piece))
        if framing == "closed":
            peer.close()
        elif framing != "length":
            peer.send(chunk(b""))

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            stream = await client.stream("Hello")
            turns[0].set()
            events = []
            async for event in stream:
                events.append(event)
                if len(events) < len(turns):
                    turns[len(events)].set()
            assert events == HELLO_EVENTS


@pytest.mark.usefixtures("patient")
async def test_interim_heads_are_passed_over(driver: Driver) -> None:
    interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 102 P\r\n\r\n"

    def play(peer: Peer) -> None:
        peer.send(interim)
        peer.stream(*HELLO)

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url) as client:
            for _ in range(2):
                assert (await client.chat("Hello")).text == HELLO_TEXT
        assert server.connections == 1


async def test_the_end_mark_counts_not_the_framing(driver: Driver) -> None:
    """A body that is framed to its end has not answered if the service's own mark is missing."""
    for framing in ("chunked", "length"):
        partial = HELLO[:2]

        def play(peer: Peer, framing: str = framing, partial: list[bytes] = partial) -> None:
            if framing == "length":
                peer.send(head(length=sum(map(len, partial))) + b"".join(partial))
            else:
                peer.stream(*partial)

        with FaultServer(play) as server:
            async with driver.client(base_url=server.url) as client:
                with pytest.raises(StreamInterrupted) as caught:
                    await client.chat("Hello")
                assert caught.value.partial.text == "你好！我是智谱清言"
                assert caught.value.__cause__ is not None
            assert len(server.requests) == 1


async def test_a_long_answer(driver: Driver) -> None:
    pieces = [f"第{number}句。" for number in range(3000)]
    frames = snapshots(*("".join(pieces[: i + 1]) for i in range(0, 3000, 500)), "".join(pieces))
    with FaultServer(lambda peer: peer.stream(*frames)) as server:
        async with driver.client(base_url=server.url) as client:
            assert (await client.chat("Hello")).text == "".join(pieces)


async def test_one_connection_serves_many_streams(driver: Driver) -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        async with driver.client(base_url=server.url) as client:
            for _ in range(30):
                assert (await client.chat("Hello")).text == HELLO_TEXT
        assert (server.connections, len(server.requests)) == (1, 30)


async def test_a_refusal_s_connection_serves_again(driver: Driver) -> None:
    def busy(peer: Peer) -> None:
        peer.reply(503, b'{"message": "busy"}')

    with FaultServer(busy, busy, lambda peer: peer.stream(*HELLO)) as server:
        async with driver.client(base_url=server.url) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        # What was refused was tried again on a new connection, since nobody waits for the end of a refusal's.
        assert len(server.requests) == 3


async def test_a_connection_that_went_stale_is_no_attempt(driver: Driver) -> None:
    """The server closes a kept connection in the moment in which it is used again."""

    def once(peer: Peer) -> None:
        peer.stream(*HELLO)
        peer.read_request()
        peer.server.requests.append(peer.request)
        peer.close()

    with FaultServer(once, lambda peer: peer.stream(*HELLO)) as server:
        async with driver.client(base_url=server.url, retry=None) as client:
            for _ in range(2):
                stream = client.stream("Hello")
                assert (await stream.reply()).text == HELLO_TEXT
                assert stream.attempts == 1
        assert (server.connections, len(server.requests)) == (2, 3)


async def test_a_connection_that_was_closed_meanwhile_is_not_used(driver: Driver) -> None:
    closed = threading.Event()

    def once(peer: Peer) -> None:
        peer.stream(*HELLO)
        peer.close()
        closed.set()

    with FaultServer(once) as server:
        async with driver.client(base_url=server.url, retry=None) as client:
            for _ in range(2):
                closed.clear()
                assert (await client.chat("Hello")).text == HELLO_TEXT
                await driver.wait(closed)
        assert (server.connections, len(server.requests)) == (2, 2)


@pytest.mark.parametrize("newest", [False, True], ids=["this http.client", "the newest"])
async def test_a_trailer_without_end_is_a_header_that_is_too_long(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, newest: bool
) -> None:
    """The newest http.client counts its lines, and raises what it raises for too many header fields."""
    if newest:

        def counted(response: Any) -> None:
            for _ in range(100):
                if response.fp.readline() in (b"\r\n", b"\n", b""):
                    return
            raise HTTPException("got more than 100 headers")

        monkeypatch.setattr(HTTPResponse, "_read_and_discard_trailer", counted)

    def play(peer: Peer) -> None:
        peer.send(head(), b"0\r\n")
        while True:
            peer.send(b"X: " + b"y" * 990 + b"\r\n")

    with FaultServer(play) as server:
        async with driver.client(base_url=server.url, retry=None) as client:
            with pytest.raises(LimitExceeded) as caught:
                await client.chat("Hello")
    assert caught.value.limit == "header"


# -- bodies of a known length that are no stream -----------------------------------------------------------

MODELS = b'{"object":"list","data":[{"id":"m","object":"model"}]}'
CONFIG = json.dumps(config()).encode()
JOINED = b'{"event_id": "e0e0e0e0e0e0"}'


def cut(body: bytes) -> Callable[[Peer], None]:
    """The body is whole JSON: only its length tells that it was cut."""

    def play(peer: Peer) -> None:
        peer.send(head(kind="application/json", length=len(body) + 10), body)
        peer.close()

    return play


@EVERY_BACKEND
async def test_a_list_of_models_that_is_cut(driver: Driver) -> None:
    with FaultServer(cut(MODELS)) as server:
        async with driver.client("openai", base_url=server.url, model="m", retry=None) as client:
            with pytest.raises(APIConnectionError):
                await client.models()


@EVERY_BACKEND
@pytest.mark.parametrize("path", ["config", "join"])
async def test_a_page_or_a_place_in_the_queue_that_is_cut(driver: Driver, path: str) -> None:
    def whole(peer: Peer) -> None:
        peer.reply(200, CONFIG, kind="application/json")

    plays = [cut(CONFIG)] if path == "config" else [whole, cut(JOINED)]
    with FaultServer(*plays) as server:
        async with driver.client("qwen", base_url=server.url, retry=None) as client:
            with pytest.raises(APIConnectionError):
                await client.chat("Hello")
        assert len(server.requests) == len(plays)


@EVERY_BACKEND
@pytest.mark.parametrize("status", [200, 503])
async def test_an_answer_or_a_refusal_as_json_that_is_cut(driver: Driver, status: int) -> None:
    """The status of a refusal says what happened, also if its body is cut."""
    body = b'{"error":{"code":"1302","message":"slow"}}'

    def play(peer: Peer) -> None:
        peer.send(head(status, kind="application/json", length=len(body) + 10), body)
        peer.close()

    with FaultServer(play) as server:
        async with driver.client("zai", base_url=server.url, api_key="k.k", retry=None) as client:
            with pytest.raises(APIConnectionError if status == 200 else APIStatusError):
                await client.chat("Hello")
