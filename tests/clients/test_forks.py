"""A forked child never touches its parent's connections, whatever it does with the streams and clients it inherits."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import textwrap
import threading
from typing import Any

import pytest

from glmclient import AsyncClient, StreamMisuse, SyncClient
from glmclient.transports import forks
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .certificates import Authority

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")

DOINGS = {
    "close": "stream.close()",
    "cancel": "stream.cancel()",
    "drop": "del stream; gc.collect()",
    "read": "\ntry: next(stream)\nexcept StreamMisuse: pass\nelse: os._exit(9)\n",
    "close the client": "client.close()",
    "ask": "client.chat('three')",
    "exit": "sys.exit(0)",
    "exit after an exception": "raise LookupError",
    "atexit": "atexit.register(client.close); sys.exit(0)",
}

SYNC = """
    import atexit, gc, os, sys
    from glmclient import StreamMisuse, SyncClient

    url, bundle = sys.argv[1:]
    client = SyncClient(base_url=url, timeout=20, verify=bundle or True)
    stream = client.stream("one")
    next(stream)
    child = os.fork()
    if not child:
        sys.stderr = open(os.devnull, "w")
        DOING
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    client.chat("the child is done")
    print(stream.reply().text, status)
"""

ASYNC = """
    import asyncio, atexit, gc, os, sys
    from glmclient import AsyncClient, StreamMisuse

    url, bundle, backend = sys.argv[1:]

    async def main():
        client = AsyncClient(base_url=url, timeout=20, verify=bundle or True, http_backend=backend)
        await client.chat("before")  # a connection that is idle when the process is forked
        stream = client.stream("one")
        await anext(stream)
        child = os.fork()
        if not child:
            sys.stderr = open(os.devnull, "w")
            DOING
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        await client.chat("the child is done")
        print((await stream.reply()).text, status)
        await client.aclose()

    asyncio.run(main())
"""
ASYNC_DOINGS = {
    "close": "asyncio._set_running_loop(None); asyncio.run(stream.aclose())",
    "cancel": "stream.cancel()",
    "drop": "del stream; gc.collect()",
    "close the client": "asyncio._set_running_loop(None); asyncio.run(client.aclose())",
    "ask": "asyncio._set_running_loop(None); asyncio.run(client.chat('three'))",
    "exit": "sys.exit(0)",
    "end of the loop": "return",
    "close on the loop that was copied": "await client.aclose()",
}


def service(*, tls: Any = None) -> FaultServer:
    """The answer to ``one`` goes on when the parent has seen its child end."""
    done = threading.Event()

    def play(peer: Peer) -> None:
        question = peer.request.json()["messages"][0]["content"][0]["text"]
        if question == "one":
            peer.send(head(), chunk(HELLO[0]))
            peer.wait(done)
            peer.send(*map(chunk, HELLO[1:]), chunk(b""))
            return
        if question == "the child is done":
            done.set()
        peer.stream(*HELLO)

    return FaultServer(play, tls=tls)


def outcome(program: str, doing: str, *arguments: str) -> str:
    code = textwrap.dedent(program)
    place = next(line for line in code.splitlines() if line.strip() == "DOING")
    indent = place[: -len("DOING")]
    code = code.replace(place, textwrap.indent(textwrap.dedent(doing).strip("\n"), indent))
    run = subprocess.run(
        [sys.executable, "-X", "utf8", "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


@pytest.mark.parametrize("doing", DOINGS)
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_the_parents_stream_survives(authority: Authority, doing: str, secure: bool) -> None:
    with service(tls=authority.server() if secure else None) as server:
        found = outcome(SYNC, DOINGS[doing], server.url, authority.bundle if secure else "")
        assert found == f"{HELLO_TEXT} {1 if doing == 'exit after an exception' else 0}"


@pytest.mark.parametrize("doing", ASYNC_DOINGS)
@pytest.mark.parametrize("backend", ["httpx", "aiohttp"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_the_parents_asynchronous_stream_survives(
    authority: Authority, doing: str, backend: str, secure: bool
) -> None:
    with service(tls=authority.server() if secure else None) as server:
        bundle = authority.bundle if secure else ""
        # An address in numbers: a child that ends its copy of a loop takes asyncio's own pipe from the parent's loop,
        # over which a thread that looks up a name reports its result.
        url = server.url.replace("localhost", "127.0.0.1")
        found = outcome(ASYNC, ASYNC_DOINGS[doing], url, bundle, backend)
        assert found.startswith(HELLO_TEXT)


PREFORK = """
    import os, sys
    from glmclient import SyncClient

    client = SyncClient(base_url=sys.argv[1], timeout=20)  # made once, before the workers
    client.chat("warm")
    children = []
    for _ in range(4):
        child = os.fork()
        if not child:
            texts = {client.chat("question").text for _ in range(5)}
            os._exit(0 if texts == {client.chat("warm").text} else 1)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(client.chat("after").text, *codes)
    DOING
"""


def test_workers_that_are_forked_from_one_parent() -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        assert outcome(PREFORK, "client.close()", server.url) == f"{HELLO_TEXT} 0 0 0 0"


# -- without a fork, so that each line is seen -----------------------------------------------------------


def test_descriptors_are_pointed_elsewhere() -> None:
    near, far = socket.socketpair()
    with near, far:
        far.settimeout(0.2)
        forks.guard(near)
        held = near.dup()  # stands for the parent's descriptor
        closed = socket.socket()
        forks.guard(closed)
        closed.close()
        forks.guard(object())  # what some event loops lend
        forks.disown_all()
        with pytest.raises(BrokenPipeError):
            near.send(b"x")
        with pytest.raises(OSError, match="not connected"):
            near.shutdown(socket.SHUT_RDWR)
        with held:
            held.send(b"still open")
            assert far.recv(100) == b"still open"
    forks.disown_all()  # nothing is left to disown


def test_a_copy_of_a_stream_is_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        with SyncClient(base_url=server.url) as client:
            stream = client.stream("q")
            next(stream)
            own, other = os.getpid(), os.getpid() + 1
            with monkeypatch.context() as patch:
                patch.setattr("glmclient.streams.base.os.getpid", lambda: other)
                with pytest.raises(StreamMisuse, match="forked"):
                    stream.until_done()
                stream.cancel()
                stream.close()
                stream._leave()
            assert os.getpid() == own


def test_a_copy_of_an_asynchronous_stream_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    import asyncio

    async def main(url: str) -> None:
        async with AsyncClient(base_url=url) as client:
            streams = [await client.stream("q") for _ in range(5)]
            with monkeypatch.context() as patch:
                patch.setattr("glmclient.streams.base.os.getpid", lambda: -1)
                with pytest.raises(StreamMisuse, match="forked"):
                    await streams[0].until_done()
                await streams[1].aclose()
                streams[2].cancel()
                await streams[3]._leave()
                streams[4]._abandon()
                del streams
                assert not client._streams

    with FaultServer(lambda peer: peer.stream(*HELLO)) as server:
        asyncio.run(main(server.url))
