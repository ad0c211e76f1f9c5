"""One answer, read in every way that a stream offers."""

from __future__ import annotations

from typing import Any

import pytest

from glmclient import (
    Finish,
    GLMError,
    ReasoningDelta,
    Reply,
    StreamMisuse,
    TextDelta,
    TextReplace,
    ToolCallDelta,
)
from glmclient.simulator import Simulator
from tests.faults.server import FaultServer, Peer
from tests.providers.chatglm.wire import (
    CONVERSATION,
    HELLO,
    HELLO_EVENTS,
    HELLO_TEXT,
    frame,
    increments,
    part,
    snapshot,
    snapshots,
    text,
)

from .driver import Driver

CODE = "```python\nprint('好👋🏽' * 3)  # \u2028\u0085\n```"
"""Chinese, an emoji of two code points, and line separators that are text in JSON."""
PIECES = ["中文，", "👨‍👩‍👧‍👦 ", CODE[:9], CODE[9:], "\n\n終わり"]
WHOLE = "".join(PIECES)


def hello(peer: Peer) -> None:
    peer.stream(*HELLO)


async def test_the_events_come_in_order(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            events = [event async for event in stream]
            assert events == HELLO_EVENTS
            assert stream.text == HELLO_TEXT
            assert stream.finish == events[-1]
            assert stream.reasoning == ""
            assert stream.tool_calls == ()
            assert stream.attempts == 1


@pytest.mark.parametrize(
    "frames",
    [
        snapshots(*("".join(PIECES[: i + 1]) for i in range(len(PIECES)))),
        increments(*PIECES),
    ],
    ids=["snapshots", "increments"],
)
async def test_both_modes_give_the_exact_answer(driver: Driver, frames: list[bytes]) -> None:
    with FaultServer(lambda peer: peer.stream(*frames)) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            handed = ""
            async for event in stream:
                if isinstance(event, TextDelta):
                    handed += event.text
                elif isinstance(event, TextReplace):
                    handed = handed[: event.start] + event.text
                assert stream.text == handed
            assert handed == WHOLE
            assert (await client.chat("Hello")).text == WHOLE


async def test_chat_is_the_stream_drained(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            reply = await client.chat("Hello")
            assert reply == Reply(text=HELLO_TEXT, finish=HELLO_EVENTS[-1])


async def test_text_stream_gives_plain_pieces(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            assert [piece async for piece in stream.text_stream] == ["你好", "！我是智谱清言", "。"]
            assert stream.text == HELLO_TEXT


async def test_text_stream_of_a_rewrite_gives_its_new_text(driver: Driver) -> None:
    frames = [*snapshots("It is nine, I think", "It is ten, I think")]
    with FaultServer(lambda peer: peer.stream(*frames)) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            pieces = [piece async for piece in stream.text_stream]
            assert pieces == ["It is nine, I think", "ten, I think"]
            assert stream.text == "It is ten, I think"


async def test_until_done_and_reply(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            first = await anext(stream)
            assert first == TextDelta("你好")
            assert (await stream.until_done()).text == HELLO_TEXT
            assert (await stream.reply()).text == HELLO_TEXT  # again: there is nothing left to read


async def test_a_stream_is_a_context_manager_and_opens_when_entered(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            async with client.stream("Hello") as stream:
                assert len(server.requests) == 1
                assert stream.text == ""
                async with stream:  # once more is once
                    pass
            with pytest.raises(StreamMisuse, match="read after close"):
                await anext(stream)


async def test_awaiting_a_stream_opens_it(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = await client.stream("Hello")
            assert len(server.requests) == 1
            assert [event async for event in stream] == HELLO_EVENTS


async def test_nothing_is_sent_before_the_first_read(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            assert repr(stream).endswith("not opened, attempt 0>")
            await stream.aclose()
            assert server.connections == 0


async def test_an_ended_stream_stays_ended(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            await stream.until_done()
            assert [event async for event in stream] == []
            await stream.aclose()
            stream.cancel()
            assert [event async for event in stream] == []
            with pytest.raises(StopAsyncIteration):
                await anext(stream)
            assert stream.finish == HELLO_EVENTS[-1]
            assert repr(stream).endswith("ended, attempt 1>")


async def test_each_event_is_handed_over_before_the_next_is_sent(driver: Driver) -> None:
    """The server sends a frame only after the event of the one before was seen by the user."""
    import threading

    turns = [threading.Event() for _ in HELLO]

    def lockstep(peer: Peer) -> None:
        from tests.faults.server import chunk, head

        peer.send(head())
        for turn, piece in zip(turns, HELLO, strict=True):
            peer.wait(turn)
            peer.send(chunk(piece))
        peer.send(chunk(b""))

    with FaultServer(lockstep) as server:
        async with driver.client(base_url=server.url) as client:
            stream = await client.stream("Hello")
            events = []
            turns[0].set()
            async for event in stream:
                events.append(event)
                if len(events) < len(turns):
                    turns[len(events)].set()
            assert events == HELLO_EVENTS


async def test_a_stream_that_was_left_is_closed(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            async for event in stream:
                assert event == TextDelta("你好")
                break
            assert stream.text == "你好"
            assert stream.finish is None
            assert repr(stream).endswith("Stream closed, attempt 1>")
            for _ in range(2):  # at once, and when it has been closed
                with pytest.raises(StreamMisuse, match="read after close") as caught:
                    await anext(stream)
                await driver.until_closed(stream)
            stream.cancel()
            with pytest.raises(StreamMisuse, match="read after close") as caught:
                await anext(stream)
            assert caught.value.partial.text == "你好"
            assert caught.value.attempts == 1


async def test_closing_in_the_loop_ends_it_with_an_error(driver: Driver) -> None:
    """Never a silent end: who closes a stream and reads on is told so."""
    with FaultServer(lambda peer: peer.stream(b"".join(HELLO))) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            with pytest.raises(StreamMisuse, match="read after close"):
                async for _ in stream:
                    await stream.aclose()
            assert stream.text == "你好"


async def test_two_loops_over_one_stream_are_misuse(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            seen = []
            async for event in stream:
                seen.append(event)
                if len(seen) == 1:
                    with pytest.raises(StreamMisuse, match="two readers"):
                        async for _ in stream:
                            raise AssertionError("nothing is handed over to a second reader")
            assert seen == HELLO_EVENTS


async def test_two_readers_at_once_are_misuse(driver: Driver) -> None:
    import threading

    reading, release = threading.Event(), threading.Event()

    def slow(peer: Peer) -> None:
        from tests.faults.server import chunk, head

        peer.send(head(), chunk(HELLO[0]))
        peer.wait(release)
        peer.send(*map(chunk, (*HELLO[1:], b"")))

    with FaultServer(slow) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            assert await anext(stream) == TextDelta("你好")
            events = []

            async def read() -> None:
                reading.set()
                events.extend([event async for event in stream])

            async def intrude() -> None:
                await driver.wait(reading)
                while not stream._busy.locked():
                    await driver.pause()
                with pytest.raises(StreamMisuse, match="two readers at once"):
                    await anext(stream)
                release.set()

            await driver.together(read, intrude)
            assert events == HELLO_EVENTS[1:]


async def test_an_error_stays(driver: Driver) -> None:
    with FaultServer(lambda peer: peer.reply(500, b'{"status":500,"message":"broken"}')) as server:
        async with driver.client(base_url=server.url, retry=None) as client:
            stream = client.stream("Hello")
            caught = []
            for _ in range(2):
                with pytest.raises(GLMError, match="broken") as info:
                    await anext(stream)
                caught.append(info.value)
            assert caught[0] is caught[1]
            assert len(server.requests) == 1
            assert repr(stream).endswith("failed, attempt 1>")


async def test_what_was_not_iterated_is_folded_when_asked(driver: Driver) -> None:
    frames = [
        b"".join(
            [
                frame("init", part({"type": "think", "think": "Hm. "})),
                snapshot("Good morn"),
                snapshot("Good morning"),
            ]
        ),
        snapshot("Good morning.", "finish"),
    ]
    with FaultServer(lambda peer: peer.stream(*frames)) as server:
        async with driver.client(base_url=server.url) as client:
            stream = client.stream("Hello")
            await anext(stream)
            assert (stream.reasoning, stream.text) == ("Hm. ", "")
            await anext(stream)
            assert stream.text == "Good morn"
            assert (await stream.reply()).text == "Good morning."
            assert isinstance(stream.finish, Finish)
            assert stream.finish.conversation_id == CONVERSATION


async def test_continue_from_carries_the_conversation(driver: Driver) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url) as client:
            first = await client.chat("Hello")
            await client.chat("And now?", continue_from=first)
            await client.chat("And now?", continue_from=first.finish)
        told = [request.json()["conversation_id"] for request in server.requests]
        assert told == ["", CONVERSATION, CONVERSATION]


async def test_text_of_parts(driver: Driver) -> None:
    """What is in one frame with the end is part of the answer, too."""
    frames = [frame("finish", part(text("All of it")))]
    with FaultServer(lambda peer: peer.stream(*frames)) as server:
        async with driver.client(base_url=server.url) as client:
            assert (await client.chat("Hello")).text == "All of it"


@pytest.mark.parametrize(
    ("script", "empty"),
    [
        (["hello"], False),
        ([ReasoningDelta("only thought")], True),
        ([ReasoningDelta("thought"), "and said"], False),
        ([ToolCallDelta(0, "c", "f", "{}")], False),
    ],
)
async def test_an_answer_without_text_and_tool_calls_says_so(
    driver: Driver, script: list[Any], empty: bool
) -> None:
    with Simulator(script, provider="openai") as simulator:
        async with driver.client("openai", base_url=simulator.url, model="m") as client:
            reply = await client.chat("q")
    assert reply.finish.empty is empty
