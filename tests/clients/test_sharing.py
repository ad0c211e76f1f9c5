"""One client in many threads, over several event loops, and on both sides of a fork."""

from __future__ import annotations

import asyncio
import gc
import json
import subprocess
import sys
import textwrap
import threading
from typing import Any

import anyio
import pytest

from glmclient import AsyncClient, StreamMisuse, SyncClient, TextDelta
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_EVENTS, HELLO_TEXT, snapshots

THREADS = 32


def echo(peer: Peer) -> None:
    """Answer with what was asked."""
    (message,) = peer.request.json()["messages"]
    said = message["content"][0]["text"]
    peer.stream(*snapshots(said[:2], said[:5], said))


@pytest.mark.usefixtures("patient")
def test_one_client_under_many_threads() -> None:
    wrong: list[Any] = []
    barrier = threading.Barrier(THREADS)

    def ask(number: int) -> None:
        barrier.wait(20)
        for turn in range(5):
            question = f"thread {number}, question {turn}"
            try:
                if turn == 3:
                    for _ in client.stream(question):
                        break
                    continue
                reply = client.chat(question)
                if reply.text != question:
                    wrong.append((question, reply.text))
            except Exception as error:  # noqa: BLE001 - shown below
                wrong.append((question, error))

    with FaultServer(echo) as server, SyncClient(base_url=server.url) as client:
        threads = [threading.Thread(target=ask, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert wrong == []
        assert len(server.requests) == THREADS * 5
        # A connection for each thread, and one more for each that was broken off.
        assert server.connections <= THREADS * 2


def test_one_asynchronous_client_under_many_tasks() -> None:
    with FaultServer(echo) as server:

        async def main() -> list[str]:
            async with AsyncClient(base_url=server.url) as client:
                replies = await asyncio.gather(
                    *(client.chat(f"task number {number}") for number in range(THREADS))
                )
            return [reply.text for reply in replies]

        assert asyncio.run(main()) == [f"task number {number}" for number in range(THREADS)]


def test_two_threads_that_read_one_stream() -> None:
    """Each event is handed over once, and who comes second is told so."""
    released = threading.Event()

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        peer.wait(released)
        peer.send(*map(chunk, (*HELLO[1:], b"")))

    with FaultServer(play) as server, SyncClient(base_url=server.url) as client:
        stream = client.stream("Hello")
        events: list[Any] = []
        misuse: list[StreamMisuse] = []
        started = threading.Barrier(9)

        def read() -> None:
            started.wait(20)
            try:
                while True:
                    events.append(next(stream))
            except StopIteration:
                pass
            except StreamMisuse as error:
                misuse.append(error)
                released.set()

        threads = [threading.Thread(target=read) for _ in range(8)]
        for thread in threads:
            thread.start()
        started.wait(20)
        for thread in threads:
            thread.join(60)
        assert sorted(map(repr, events)) == sorted(map(repr, HELLO_EVENTS))
        assert misuse
        assert stream.text == HELLO_TEXT


def test_the_text_can_be_watched_from_another_thread() -> None:
    pieces = [f"{number} " for number in range(2000)]
    frames = snapshots(*("".join(pieces[: i + 1]) for i in range(0, 2000, 10)), "".join(pieces))
    whole = "".join(pieces)
    with (
        FaultServer(lambda peer: peer.stream(*frames)) as server,
        SyncClient(base_url=server.url) as client,
    ):
        stream = client.stream("Hello")
        seen: list[str] = []
        over = threading.Event()

        def watch() -> None:
            while not over.is_set():
                seen.append(stream.text)

        thread = threading.Thread(target=watch)
        thread.start()
        try:
            stream.until_done()
        finally:
            over.set()
            thread.join(60)
        assert stream.text == whole
        assert all(whole.startswith(text) for text in set(seen))


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize(
    "kinds", [("asyncio", "asyncio"), ("trio", "trio"), ("asyncio", "trio", "asyncio")]
)
def test_one_client_over_several_event_loops(kinds: tuple[str, ...]) -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        client = AsyncClient(base_url=server.url)

        async def main() -> None:
            for _ in range(2):
                assert (await client.chat("Hello")).text == HELLO_TEXT

        for kind in kinds:
            anyio.run(main, backend=kind)
        gc.collect()  # connections of a loop that is over would warn now
        assert server.connections == len(kinds)
        assert len(server.requests) == 2 * len(kinds)


def test_a_stream_of_one_loop_can_be_left_in_another() -> None:
    def held(peer: Peer) -> None:
        peer.send(head(), chunk(HELLO[0]))
        peer.until_gone()

    with FaultServer(held, lambda peer: peer.stream(*HELLO)) as server:
        client = AsyncClient(base_url=server.url)
        stream = client.stream("Hello")

        async def begin() -> None:
            assert await anext(stream) == TextDelta("你好")

        async def end() -> None:
            await stream.aclose()
            assert (await client.chat("Hello")).text == HELLO_TEXT
            await client.aclose()

        asyncio.run(begin())
        asyncio.run(end())
        assert stream.text == "你好"
        assert server.saw_gone.wait(20)


def test_closing_a_client_on_a_loop_that_it_never_used() -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        client = AsyncClient(base_url=server.url)

        async def ask() -> None:
            await client.chat("Hello")

        asyncio.run(ask())
        asyncio.run(client.aclose())
        asyncio.run(AsyncClient(base_url=server.url).aclose())
        assert len(server.requests) == 1


# -- forks -------------------------------------------------------------------------------------------------

FORKING = """
    import json, os, sys, threading
    from glmclient import Finish, SyncClient

    client = SyncClient(base_url=sys.argv[1], timeout=20)
    told = {"before": client.chat("one").text}
    stream = client.stream("two")
    first = next(stream)
    read, write = os.pipe()
    child = os.fork()
    if not child:
        try:
            # What the parent reads is let go without a word; what the child asks goes over a connection of its own.
            stream.close()
            del stream
            said = client.chat("three").text
            client.close()
        except BaseException as error:
            said = repr(error)
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        told["child"] = pipe.read()
    os.waitpid(child, 0)
    told["parent"] = stream.reply().text
    told["after"] = client.chat("four").text
    client.close()
    print(json.dumps(told))
"""


@pytest.mark.usefixtures("patient")
def test_a_client_is_used_on_both_sides_of_a_fork() -> None:
    gone_on = threading.Event()

    def play(peer: Peer) -> None:
        said = peer.request.json()["messages"][0]["content"][0]["text"]
        if said == "two":
            peer.send(head(), chunk(snapshots(said[:1], said)[0]))
            peer.wait(gone_on)
            peer.send(chunk(snapshots(said[:1], said)[1]), chunk(b""))
        else:
            peer.stream(*snapshots(said))
            if said == "three":
                gone_on.set()

    with FaultServer(play) as server:
        run = subprocess.run(
            [sys.executable, "-X", "utf8", "-c", textwrap.dedent(FORKING), server.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout) == {
            "before": "one",
            "child": "three",
            "parent": "two",
            "after": "four",
        }
        assert server.connections == 2  # the parent's, which outlived the fork, and the child's


POOL = """
    import json, sys
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context
    from glmclient import SyncClient

    def ask(client, number):
        return client.chat(f"question {number}").text

    if __name__ == "__main__":
        client = SyncClient(base_url=sys.argv[1], timeout=20)
        client.chat("warm")
        with ProcessPoolExecutor(2, mp_context=get_context("fork")) as pool:
            print(json.dumps(list(pool.map(ask, [client] * 4, range(4)))))
"""


def test_a_client_is_handed_to_a_pool_of_processes() -> None:
    with FaultServer(echo) as server:
        run = subprocess.run(
            [sys.executable, "-X", "utf8", "-W", "ignore", "-c", textwrap.dedent(POOL), server.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout) == [f"question {number}" for number in range(4)]
