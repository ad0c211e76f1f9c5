"""Races, made to happen: channels of the test's own that act in the middle of a step."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from glmclient import (
    AsyncStream,
    Finish,
    Stream,
    StreamCancelled,
    StreamMisuse,
    TextDelta,
    TransportFailure,
)
from glmclient.core.exchange import Exchange, Flow, Read, Release, Send
from glmclient.core.http import Head, Request
from glmclient.transports.base import Route
from glmclient.transports.httpx.event_loop import EventLoop
from glmclient.transports.requests.transport import RequestsChannel, RequestsTransport
from glmclient.transports.socks import SocksProxy
from tests.core.flow import OK, REQUEST, Lines, exchange
from tests.faults.server import FaultServer, Peer, chunk, head, idle_port


class Channel:
    """Does what a list says; a function in it is called in the middle of the step."""

    def __init__(self, *replies: Any) -> None:
        self.replies = list(replies)
        self.closed = 0
        self.cancelled = False

    def _next(self) -> Any:
        reply = self.replies.pop(0)
        while callable(reply):
            reply()
            reply = self.replies.pop(0)
        if self.cancelled and reply == b"":
            raise TransportFailure("cancelled")
        return reply

    def send(self, step: Send) -> Head:
        return self._next()  # type: ignore[no-any-return]

    def read(self, step: Read) -> bytes:
        return self._next()  # type: ignore[no-any-return]

    def sleep(self, seconds: float) -> None:
        raise AssertionError("nothing was to be waited for")

    def release(self, step: Release) -> None:
        self.closed += 1

    def close(self) -> None:
        self.closed += 1

    def abandon(self) -> None:
        self.closed += 1

    def cancel(self) -> None:
        self.cancelled = True


class AsyncChannel(Channel):
    async def send(self, step: Send) -> Head:  # type: ignore[override]
        return super().send(step)

    async def read(self, step: Read) -> bytes:  # type: ignore[override]
        return super().read(step)

    async def release(self, step: Release) -> None:  # type: ignore[override]
        super().release(step)

    async def aclose(self) -> None:
        self.closed += 1

    def spawn(self, function: Callable[[], Any]) -> None:
        raise AssertionError("somebody reads: nothing was to be spawned")


class Transport:
    """Gives one channel."""

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def open(self) -> Any:
        return self.channel


def asked(of: Exchange) -> Flow[None]:
    def attempt() -> Flow[None]:
        got = yield from of.send(REQUEST)
        yield from of.stream(got, Lines())

    return of.turn(attempt)


def stream_of(channel: Channel) -> Any:
    of, siblings = exchange(), {}  # type: ignore[var-annotated]
    kind: Any = AsyncStream if isinstance(channel, AsyncChannel) else Stream
    return kind(of, asked(of), Transport(channel), siblings)


def test_a_cancel_that_comes_as_data_comes() -> None:
    """The reader has its data, and the lock, when the cancel comes: it is the reader who leaves."""
    channel = Channel(OK)
    stream = stream_of(channel)
    channel.replies += [lambda: stream.cancel(), b"one\n"]
    with pytest.raises(StreamCancelled):
        next(stream)
    assert channel.closed == 1
    assert stream.text == ""
    stream._leave()
    assert channel.closed == 1


def test_an_asynchronous_cancel_that_comes_as_data_comes() -> None:
    async def main() -> None:
        channel = AsyncChannel(OK)
        stream = stream_of(channel)
        channel.replies += [lambda: stream.cancel(), b"one\n"]
        with pytest.raises(StreamCancelled):
            await anext(stream)
        assert channel.closed == 1
        await stream._leave()
        assert channel.closed == 1

    asyncio.run(main())
    assert True


def test_a_close_in_a_step_is_a_cancel() -> None:
    channel = Channel(OK)
    stream = stream_of(channel)
    channel.replies += [lambda: stream.close(), b""]
    with pytest.raises(StreamCancelled):
        next(stream)


def test_reading_while_somebody_leaves_is_told_as_a_cancel() -> None:
    channel = Channel(OK, b"one\n")
    stream = stream_of(channel)
    next(stream)
    stream._busy.acquire()  # somebody is leaving, in another thread
    with pytest.raises(StreamMisuse, match="two readers"):
        next(stream)
    stream._cancelled = True
    with pytest.raises(StreamCancelled):
        next(stream)
    stream._busy.release()
    stream.close()


def test_an_error_that_is_not_ours_closes_the_stream() -> None:
    def fail() -> None:
        raise LookupError("a bug in a provider")

    channel = Channel(OK, fail, b"")
    stream = stream_of(channel)
    with pytest.raises(LookupError):
        next(stream)
    assert channel.closed == 1
    with pytest.raises(StreamMisuse, match="read after close"):
        next(stream)


def test_a_stream_that_was_never_made() -> None:
    """A finalizer also runs for what its constructor did not finish."""
    for kind in (Stream, AsyncStream):
        unfinished: Any = kind.__new__(kind)
        unfinished.__del__()
        assert not hasattr(unfinished, "_closed")


def test_the_stream_after_the_finish() -> None:
    channel = Channel(OK, b"one\nEND\n")
    stream = stream_of(channel)
    assert list(stream) == [TextDelta("one"), Finish("stop")]
    with pytest.raises(StopIteration):
        next(stream)


# -- the blocking channel by hand --------------------------------------------------------------------------


class Clock:
    def __init__(self, *times: float) -> None:
        self.times = list(times)

    def __call__(self) -> float:
        return self.times.pop(0) if len(self.times) > 1 else self.times[0]


def route(clock: Any = None) -> Route:
    import time

    return Route(lambda url: None, True, clock if clock is not None else time.monotonic)


def sending(url: str, **changes: Any) -> Send:
    arguments = {"connect": 20.0, "idle": 20.0, "deadline": None, "header_limit": 65536}
    return Send(Request("POST", url, {}, b"{}"), **{**arguments, **changes})  # type: ignore[arg-type]


def test_reading_on_after_the_end() -> None:
    with FaultServer(lambda peer: peer.stream(b"abc")) as server:
        channel = RequestsChannel(RequestsTransport(route()))
        assert channel.send(sending(server.url)).status == 200
        assert channel.read(Read()) == b"abc"
        assert channel.read(Read()) == b""
        assert channel.read(Read()) == b""
        channel.release(Release())
        channel.release(Release())
        channel.close()
        channel.cancel()
        with pytest.raises(TransportFailure, match="cancelled"):
            channel.send(sending(server.url))


def test_giving_back_takes_no_longer_than_its_bound() -> None:
    """Bytes that keep coming do not keep the user waiting, though each of them comes at once."""

    def endless(peer: Peer) -> None:
        peer.send(head())
        while True:
            peer.send(chunk(b"x"))

    with FaultServer(endless) as server:
        clock = Clock(0.0)
        channel = RequestsChannel(RequestsTransport(route(clock)))
        channel.send(sending(server.url))
        clock.times = [0.0, 0.0, 0.0, 0.0, 0.0, 9.0]
        channel.release(Release(10**9, 5.0))
        assert clock.times == [9.0]
        channel.close()


def test_a_bell_rings_once() -> None:
    channel = RequestsChannel(RequestsTransport(route()))
    channel.sleep(0)
    channel.cancel()
    channel.cancel()
    with pytest.raises(TransportFailure, match="cancelled"):
        channel.sleep(20)


def test_pools_of_another_process_are_let_go() -> None:
    transport = RequestsTransport(route())
    own = transport.adapter(None)
    assert transport.adapter(None) is own
    through = transport.adapter("socks5://127.0.0.1:9")
    assert through is not own
    transport._adapters[os.getpid() + 1, None] = own
    transport.close()  # and this one's are closed, the other's not touched
    transport._adapters[os.getpid() + 1, None] = own
    assert transport.adapter(None) is not own
    assert list(transport._adapters) == [(os.getpid(), None)]
    transport.close()


def test_an_interrupt_in_the_words_with_a_proxy_closes_the_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from glmclient.transports.requests import connections

    def interrupt(*args: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(connections, "negotiate", interrupt)
    with FaultServer(lambda peer: peer.until_gone()) as proxy:
        at = f"socks5://127.0.0.1:{proxy.port}"
        assert SocksProxy.of(at).port == proxy.port
        transport = RequestsTransport(Route(lambda url: at, True, route().clock))
        with pytest.raises(KeyboardInterrupt):
            transport.open().send(sending("http://service.invalid"))
        transport.close()
        # The server reads until the connection ends.
        assert threading.active_count() >= 1


def test_the_nearer_of_two_limits_is_the_one_that_passed() -> None:
    import time

    with idle_port() as port:
        url = f"http://127.0.0.1:{port}"
        for limits, kind in (
            ({"connect": 0.1, "deadline": time.monotonic() + 20}, "connect_timeout"),
            ({"connect": 20.0, "deadline": time.monotonic() + 0.1}, "timeout"),
            ({"connect": None, "deadline": time.monotonic() + 0.1}, "timeout"),
        ):
            channel = RequestsChannel(RequestsTransport(route()))
            with pytest.raises(TransportFailure) as caught:
                channel.send(sending(url, **limits))
            assert caught.value.kind == kind


def test_without_any_event_loop_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trio", raising=False)

    async def main() -> EventLoop:
        return EventLoop.current()

    assert asyncio.run(main()).key is not None
    monkeypatch.delitem(sys.modules, "asyncio")
    with pytest.raises(RuntimeError):
        EventLoop.current()
