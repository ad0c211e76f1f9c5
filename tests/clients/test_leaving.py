"""Leaving early: the connection is released, what came stays, the client serves on, and a blocked reader is freed."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import trio

from glmclient import (
    AsyncClient,
    Finish,
    GLMError,
    RetryPolicy,
    StreamCancelled,
    StreamMisuse,
    SyncClient,
    TransportFailure,
)
from tests.faults.server import FaultServer, Peer, at_accept, chunk, head, idle_port
from tests.providers.chatglm.wire import HELLO, HELLO_EVENTS, HELLO_TEXT

from .certificates import Authority
from .driver import Driver

FIRST = HELLO_EVENTS[0]


def held(peer: Peer) -> None:
    """One event, and then nothing until the client leaves."""
    peer.send(head(), chunk(HELLO[0]))
    peer.until_gone()


def hello(peer: Peer) -> None:
    peer.stream(*HELLO)


async def usable(driver: Driver, client: Any, server: FaultServer) -> None:
    """Assert that the server saw the connection close, and that the client serves on."""
    await driver.wait(server.saw_gone)
    assert (await client.chat("Hello")).text == HELLO_TEXT
    assert len(server.requests) == 2


# -- leaving by oneself ------------------------------------------------------------------------------------


async def test_break_releases_the_connection_while_the_variable_lives(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            async for event in stream:
                assert event == FIRST
                break
            await usable(driver, client, server)
            assert stream.text == "你好"
            with pytest.raises(StreamMisuse, match="read after close"):
                await anext(stream)


async def test_leaving_the_plain_text_releases_it_too(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            async for piece in stream.text_stream:
                assert piece == "你好"
                break
            await usable(driver, client, server)


async def test_an_exception_in_the_loop(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            with pytest.raises(LookupError):
                async for _ in stream:
                    raise LookupError
            await usable(driver, client, server)
            assert stream.text == "你好"


async def test_an_exception_in_the_context(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            with pytest.raises(LookupError):
                async with client.stream("Hello") as stream:
                    assert await anext(stream) == FIRST
                    raise LookupError
            await usable(driver, client, server)


async def test_returning_from_the_loop(driver: Driver) -> None:
    async def first(client: Any) -> Any:
        async for event in client.stream("Hello"):
            return event

    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            assert await first(client) == FIRST
            await usable(driver, client, server)


async def test_closing(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            assert await anext(stream) == FIRST
            await stream.aclose()
            await stream.aclose()
            await usable(driver, client, server)
            assert stream.text == "你好"


async def test_forgetting_a_stream_releases_it(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            assert await anext(stream) == FIRST
            del stream
            gc.collect()
            await usable(driver, client, server)


async def test_a_stream_in_a_cycle_is_released_by_the_collector(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            iterator = aiter(stream)
            assert await anext(iterator) == FIRST
            cycle: list[Any] = [stream, iterator]
            cycle.append(cycle)
            del stream, iterator, cycle
            gc.collect()
            await usable(driver, client, server)


async def test_closing_the_client_closes_its_streams(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        client = driver.client(base_url=server.url)
        stream = client.stream("Hello")
        assert await anext(stream) == FIRST
        await client.aclose()
        await driver.wait(server.saw_gone)
        assert stream.text == "你好"
        with pytest.raises(StreamMisuse, match="read after close"):
            await anext(stream)
        with pytest.raises(StreamMisuse, match="this client was closed"):
            client.stream("Hello")
        with pytest.raises(StreamMisuse, match="this client was closed"):
            await client.models()
        async with client:  # entered again, it is open again
            assert (await client.chat("Hello")).text == HELLO_TEXT


@pytest.mark.usefixtures("patient")
async def test_leaving_at_the_finish_keeps_the_connection(driver: Driver) -> None:
    """The answer is whole: what is left of the body is read, and the connection serves again."""
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            for _ in range(3):
                stream = client.stream("Hello")
                async for event in stream:
                    if isinstance(event, Finish):
                        break
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
                await driver.until_closed(stream)
            async with client.stream("Hello") as stream:
                async for event in stream:
                    if isinstance(event, Finish):
                        break
            assert stream.finish is not None
            assert [event async for event in stream] == []
        assert len(server.requests) == 4
        assert server.connections == 1


@pytest.mark.usefixtures("patient")
async def test_leaving_twice_at_the_finish_keeps_the_connection(driver: Driver) -> None:
    """The loop and the block around it are both left, while the end of the body is still to come."""
    left = threading.Event()

    def late(peer: Peer) -> None:
        peer.send(head(), *map(chunk, HELLO))
        peer.wait(left)
        peer.send(chunk(b""))

    with FaultServer(late, hello) as server:
        async with driver.client(base_url=server.url) as client:
            async with client.stream("Hello") as stream:
                async for event in stream:
                    if isinstance(event, Finish):
                        threading.Timer(0.05, left.set).start()
                        break
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert server.connections == 1


async def test_an_iterator_that_is_not_begun_leaves_nothing(driver: Driver) -> None:
    """What tools do that look at attributes must not close a stream."""
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            assert hasattr(stream, "text_stream")
            aiter(stream)
            gc.collect()
            assert (await stream.reply()).text == HELLO_TEXT
            async with client.stream("Hello") as stream:
                assert hasattr(stream, "text_stream")
                aiter(stream)
                assert (await stream.reply()).text == HELLO_TEXT


async def test_a_service_that_stays_after_the_end_is_left_soon(driver: Driver) -> None:
    def lingering(peer: Peer) -> None:
        peer.send(head(), *map(chunk, HELLO))
        peer.until_gone()

    with FaultServer(lingering, hello) as server:
        async with driver.client(base_url=server.url) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
            await usable(driver, client, server)


async def test_a_service_that_breaks_after_the_end_has_answered(driver: Driver) -> None:
    def breaking(peer: Peer) -> None:
        peer.send(head(), *map(chunk, HELLO))
        peer.reset()

    with FaultServer(breaking, hello) as server:
        async with driver.client(base_url=server.url) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
            assert (await client.chat("Hello")).text == HELLO_TEXT


async def test_a_service_that_says_more_after_the_end_is_left(driver: Driver) -> None:
    def endless(peer: Peer) -> None:
        peer.send(head(), *map(chunk, HELLO))
        while True:
            peer.send(chunk(b": more\n\n" * 2000))

    with FaultServer(endless, hello) as server:
        async with driver.client(base_url=server.url) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert server.connections == 2


# -- cancelling --------------------------------------------------------------------------------------------


async def cancelled(driver: Driver, stream: Any, when: threading.Event) -> GLMError:
    """Cancel a stream while it is read elsewhere; return what its reader got."""
    caught: list[GLMError] = []

    async def read() -> None:
        try:
            async for _ in stream:
                pass
        except GLMError as error:
            caught.append(error)

    async def cancel() -> None:
        await driver.wait(when)
        stream.cancel()

    await driver.together(read, cancel)
    assert len(caught) == 1
    return caught[0]


def saying(event: threading.Event, *pieces: bytes) -> Callable[[Peer], None]:
    def play(peer: Peer) -> None:
        peer.send(*pieces)
        event.set()
        peer.until_gone()

    return play


@pytest.mark.parametrize(
    "pieces",
    [(), (head()[:20],), (head(),), (head(), chunk(HELLO[0])[:30]), (head(), chunk(HELLO[0]))],
    ids=["before the head", "in the head", "before an event", "in an event", "after an event"],
)
async def test_a_blocked_reader_is_freed(driver: Driver, pieces: tuple[bytes, ...]) -> None:
    said = threading.Event()
    with FaultServer(saying(said, *pieces), hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            error = await cancelled(driver, stream, said)
            assert type(error) is StreamCancelled
            assert isinstance(error.__cause__, TransportFailure)
            assert error.attempts == 1
            # The last of these has told its event, or was told that it would not be: both are exact.
            assert error.partial.text == stream.text
            assert stream.text in ("", "你好")
            await usable(driver, client, server)
            with pytest.raises(StreamCancelled) as again:
                await anext(stream)
            assert again.value is error


async def test_a_reader_that_waits_for_a_connection_is_freed(driver: Driver) -> None:
    with idle_port() as port:
        async with driver.client(base_url=f"http://127.0.0.1:{port}") as client:
            stream = client.stream("Hello")

            async def read() -> None:
                with pytest.raises(StreamCancelled):
                    await anext(stream)

            async def cancel() -> None:
                while not stream._busy.locked():
                    await driver.pause()
                stream.cancel()

            await driver.together(read, cancel)
            assert stream.attempts == 1


async def test_a_reader_that_waits_for_tls_is_freed(driver: Driver, authority: Authority) -> None:
    accepted = threading.Event()

    @at_accept
    def silent(peer: Peer) -> None:
        accepted.set()
        peer.until_gone()

    with FaultServer(silent) as server:
        url = f"https://localhost:{server.port}"
        async with driver.client(base_url=url, verify=authority.bundle) as client:
            error = await cancelled(driver, client.stream("Hello"), accepted)
            assert type(error) is StreamCancelled
            await driver.wait(server.saw_gone)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
async def test_a_reader_that_waits_for_a_proxy_is_freed(
    driver: Driver, authority: Authority, scheme: str
) -> None:
    accepted = threading.Event()

    @at_accept
    def silent(peer: Peer) -> None:
        accepted.set()
        peer.until_gone()

    with FaultServer(silent) as server:
        options = {"proxy": f"{scheme}://127.0.0.1:{server.port}", "verify": authority.bundle}
        async with driver.client(base_url="https://service.invalid", **options) as client:
            error = await cancelled(driver, client.stream("Hello"), accepted)
            assert type(error) is StreamCancelled
            await driver.wait(server.saw_gone)


async def test_a_reader_over_tls_is_freed(driver: Driver, authority: Authority) -> None:
    said = threading.Event()
    play = saying(said, head(), chunk(HELLO[0]))
    with FaultServer(play, hello, tls=authority.server()) as server:
        async with driver.client(base_url=server.url, verify=authority.bundle) as client:
            error = await cancelled(driver, client.stream("Hello"), said)
            assert type(error) is StreamCancelled
            await usable(driver, client, server)


async def test_a_wait_between_attempts_is_freed(driver: Driver) -> None:
    said = threading.Event()

    def busy(peer: Peer) -> None:
        peer.reply(429, b"", "Retry-After: 30")
        said.set()

    with FaultServer(busy, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            error = await cancelled(driver, stream, said)
            assert type(error) is StreamCancelled
            assert error.attempts == 1
            assert (await client.chat("Hello")).text == HELLO_TEXT


async def test_cancelling_between_two_reads_releases_the_connection(driver: Driver) -> None:
    with FaultServer(held, hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            assert await anext(stream) == FIRST
            stream.cancel()
            await usable(driver, client, server)
            with pytest.raises(StreamCancelled) as caught:
                await anext(stream)
            assert caught.value.partial.text == "你好"


async def test_cancelling_stops_what_was_read_but_not_handed_over(driver: Driver) -> None:
    with FaultServer(lambda peer: peer.stream(b"".join(HELLO))) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            seen = []
            with pytest.raises(StreamCancelled) as caught:
                async for event in stream:
                    seen.append(event)
                    stream.cancel()
                    await driver.pause()
            assert seen == [FIRST]
            assert caught.value.partial.text == stream.text == "你好"


async def test_cancelling_before_the_first_read(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            stream.cancel()
            with pytest.raises(StreamCancelled) as caught:
                await anext(stream)
            assert caught.value.attempts == 0
        assert server.connections == 0


async def test_cancelling_after_the_finish_changes_nothing(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            events = []
            async for event in stream:
                events.append(event)
                if isinstance(event, Finish):
                    stream.cancel()
            assert events == HELLO_EVENTS
            assert (await stream.reply()).text == HELLO_TEXT


async def test_closing_from_elsewhere_frees_a_blocked_reader(driver: Driver) -> None:
    said = threading.Event()
    with FaultServer(saying(said, head(), chunk(HELLO[0])), hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")

            async def read() -> None:
                with pytest.raises(StreamCancelled):
                    async for _ in stream:
                        pass

            async def close() -> None:
                await driver.wait(said)
                await stream.aclose()

            await driver.together(read, close)
            await usable(driver, client, server)


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_an_asynchronous_stream_is_cancelled_from_a_thread(kind: str) -> None:
    said = threading.Event()
    with FaultServer(saying(said, head(), chunk(HELLO[0])), hello) as server:

        async def main() -> None:
            async with AsyncClient(base_url=server.url) as client:
                stream = client.stream("Hello")
                threading.Thread(target=lambda: said.wait(20) and stream.cancel()).start()
                with pytest.raises(StreamCancelled):
                    async for _ in stream:
                        pass
                assert (await client.chat("Hello")).text == HELLO_TEXT

        anyio.run(main, backend=kind)
        assert server.saw_gone.wait(20)


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_a_scope_that_is_cancelled(kind: str) -> None:
    said = threading.Event()
    with FaultServer(saying(said, head(), chunk(HELLO[0])), hello) as server:

        async def main() -> None:
            async with AsyncClient(base_url=server.url) as client:
                stream = client.stream("Hello")
                with anyio.CancelScope() as scope:
                    async for event in stream:
                        assert event == FIRST
                        scope.cancel()
                assert scope.cancelled_caught
                assert stream.text == "你好"
                assert await anyio.to_thread.run_sync(server.saw_gone.wait, 20)
                assert (await client.chat("Hello")).text == HELLO_TEXT

        anyio.run(main, backend=kind)


def test_a_task_of_asyncio_that_is_cancelled() -> None:
    said = threading.Event()
    with FaultServer(saying(said, head(), chunk(HELLO[0])), hello) as server:

        async def main() -> None:
            async with AsyncClient(base_url=server.url) as client:
                stream = client.stream("Hello")

                async def read() -> None:
                    async for _ in stream:
                        pass

                task = asyncio.ensure_future(read())
                await asyncio.to_thread(said.wait, 20)
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
                assert await asyncio.to_thread(server.saw_gone.wait, 20)
                with pytest.raises(StreamMisuse, match="read after close"):
                    await anext(stream)
                assert (await client.chat("Hello")).text == HELLO_TEXT

        asyncio.run(main())


def test_a_time_limit_of_asyncio() -> None:
    with FaultServer(held, hello) as server:

        async def main() -> None:
            async with AsyncClient(base_url=server.url) as client:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(client.chat("Hello"), 0.2)
                assert await asyncio.to_thread(server.saw_gone.wait, 20)
                assert (await client.chat("Hello")).text == HELLO_TEXT

        asyncio.run(main())


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_a_loop_that_ends_takes_its_streams_along(kind: str) -> None:
    """Nobody closed anything: the end of the event loop does, without a warning."""
    with FaultServer(held) as server:
        holding: dict[str, Any] = {"client": AsyncClient(base_url=server.url)}

        async def main() -> None:
            stream = holding["stream"] = holding["client"].stream("Hello")
            assert await anext(stream) == FIRST

        anyio.run(main, backend=kind)
        assert server.saw_gone.wait(20)
        assert holding["stream"].text == "你好"
        holding.clear()
        gc.collect()


@pytest.mark.parametrize("kind", ["asyncio", "trio"])
def test_break_as_the_last_thing_of_a_loop(kind: str) -> None:
    with FaultServer(held) as server:

        async def main() -> None:
            async for event in AsyncClient(base_url=server.url).stream("Hello"):
                assert event == FIRST
                break

        anyio.run(main, backend=kind)
        gc.collect()
        assert server.saw_gone.wait(20)


# -- interrupts --------------------------------------------------------------------------------------------


def interrupting(said: threading.Event) -> threading.Thread:
    """Interrupt the main thread, as Ctrl-C does, when ``said`` is set."""

    def interrupt() -> None:
        assert said.wait(20)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    return thread


def test_an_interrupt_of_a_reader_that_waits_for_the_head() -> None:
    said = threading.Event()
    with (
        FaultServer(saying(said), hello) as server,
        SyncClient(base_url=server.url) as client,
    ):
        stream = client.stream("Hello")
        thread = interrupting(said)
        with pytest.raises(KeyboardInterrupt):
            next(stream)
        thread.join()
        assert server.saw_gone.wait(20)
        assert client.chat("Hello").text == HELLO_TEXT


def test_an_interrupt_of_a_reader_in_the_body() -> None:
    said = threading.Event()
    with FaultServer(held, hello) as server, SyncClient(base_url=server.url) as client:
        stream = client.stream("Hello")
        thread = interrupting(said)
        with pytest.raises(KeyboardInterrupt):
            for _ in stream:
                said.set()
        thread.join()
        assert server.saw_gone.wait(20)
        assert stream.text == "你好"
        with pytest.raises(StreamMisuse, match="read after close"):
            next(stream)
        assert client.chat("Hello").text == HELLO_TEXT


def test_an_interrupt_of_a_wait_between_attempts() -> None:
    said = threading.Event()

    def busy(peer: Peer) -> None:
        peer.reply(429, b"", "Retry-After: 30")
        said.set()

    with FaultServer(busy, hello) as server, SyncClient(base_url=server.url) as client:
        thread = interrupting(said)
        with pytest.raises(KeyboardInterrupt):
            client.chat("Hello")
        thread.join()
        assert client.chat("Hello").text == HELLO_TEXT


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_an_interrupt_of_an_event_loop(run: Callable[..., Any]) -> None:
    said = threading.Event()
    with FaultServer(saying(said, head(), chunk(HELLO[0]))) as server:
        thread = interrupting(said)

        async def main() -> None:
            async with AsyncClient(base_url=server.url) as client:
                async for _ in client.stream("Hello"):
                    pass

        with pytest.raises(KeyboardInterrupt):
            run(main() if run is asyncio.run else main)
        thread.join()
        assert server.saw_gone.wait(20)


def test_cancelling_from_a_signal_handler() -> None:
    said = threading.Event()
    with (
        FaultServer(saying(said, head(), chunk(HELLO[0]))) as server,
        SyncClient(base_url=server.url, retry=RetryPolicy(attempts=1)) as client,
    ):
        stream = client.stream("Hello")
        before = signal.signal(signal.SIGUSR1, lambda *_: stream.cancel())
        try:
            thread = threading.Thread(
                target=lambda: said.wait(20) and os.kill(os.getpid(), signal.SIGUSR1)
            )
            thread.start()
            with pytest.raises(StreamCancelled) as caught:
                stream.until_done()
            thread.join()
        finally:
            signal.signal(signal.SIGUSR1, before)
        assert caught.value.partial.text == stream.text
