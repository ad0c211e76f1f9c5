"""Every member of a stream, every way to read it, and every way to leave it."""

from __future__ import annotations

import asyncio
import gc
import signal
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from glmclient import (
    AsyncClient,
    Finish,
    GLMError,
    ReasoningDelta,
    Reply,
    StreamInterrupted,
    StreamMisuse,
    SyncClient,
    TextDelta,
)

from .flavours import Asking, Flavour, Reading
from .frames import DONE, HI, PLATFORM_HI, chunk, glm, said, snapshots, text, think
from .loopback import PATIENCE, Answering, Server, stream

Serve = Callable[..., Server]

THOUGHT = [
    glm("init", think("Hmm, let me")),
    glm("init", think("Hmm, let me see")),
    glm("init", text("The answer")),
    glm("init", text("The answer is")),
    glm("finish", text("The answer is 42")),
]


class Held:
    """A script that sends what it is told to, when it is told to, and sees the peer leave."""

    def __init__(self, *first: bytes) -> None:
        self.first = first
        self.left = threading.Event()

    def __call__(self, answering: Answering) -> None:
        answering.head()
        for piece in self.first:
            answering.chunk(piece)
        if answering.gone():
            self.left.set()

    def saw_the_end(self) -> bool:
        return self.left.wait(PATIENCE)


# -- reading ---------------------------------------------------------------------------------------


def test_events_are_values(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    events = client(base_url=server.url).stream().collect()
    assert events[:-1] == [TextDelta("hi")]
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.usage) == ("stop", None)


def test_platform_events_are_values(client: Flavour, serve: Serve) -> None:
    server = serve(stream(chunk(said("hi")), chunk(said(""), "stop"), DONE))
    asking = client("openai", base_url=server.url, model="m")
    assert asking.stream().collect()[:-1] == [TextDelta("hi")]


def test_finish_comes_once_and_last_and_then_the_iteration_is_over(
    client: Flavour, serve: Serve
) -> None:
    server = serve(stream(*THOUGHT))
    reading = client(base_url=server.url).stream()
    seen = []
    with pytest.raises(StopIteration):
        while True:
            seen.append(reading.next())
    assert [isinstance(each, Finish) for each in seen] == [False] * 5 + [True]
    for _ in range(3):
        with pytest.raises(StopIteration):
            reading.next()
    assert reading.collect() == []


def test_what_was_handed_over_so_far(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*THOUGHT))
    reading = client(base_url=server.url).stream()
    assert (reading.text, reading.reasoning, reading.finish) == ("", "", None)
    assert tuple(reading.tool_calls) == ()
    seen = []
    for _ in range(6):
        reading.next()
        seen.append((reading.reasoning, reading.text, reading.finish is not None))
    thought = "Hmm, let me see"
    assert seen == [
        ("Hmm, let me", "", False),
        (thought, "", False),
        (thought, "The answer", False),
        (thought, "The answer is", False),
        (thought, "The answer is 42", False),
        (thought, "The answer is 42", True),
    ]


def test_many_events_of_one_read_are_handed_over_one_by_one(client: Flavour, serve: Serve) -> None:
    server = serve(stream(b"".join(snapshots("abcdef", 1))))
    reading = client(base_url=server.url).stream()
    texts = []
    for _ in range(6):
        reading.next()
        texts.append(reading.text)
    assert texts == ["a", "ab", "abc", "abcd", "abcde", "abcdef"]


def test_text_stream_is_plain_text(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*THOUGHT))
    reading = client(base_url=server.url).stream()
    pieces = reading.pieces()
    assert pieces == ["The answer", " is", " 42"]
    assert {type(each) for each in pieces} == {str}
    assert reading.finish is not None
    assert reading.reasoning == "Hmm, let me see"


def test_text_stream_ends_by_an_error_when_the_stream_does(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*THOUGHT[:4]))
    with pytest.raises(StreamInterrupted):
        client(base_url=server.url).stream().pieces()


def test_until_done_reads_to_the_end(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*THOUGHT))
    reading = client(base_url=server.url).stream()
    reading.until_done()
    assert (reading.text, reading.finish is not None) == ("The answer is 42", True)
    reading.until_done()
    assert reading.text == "The answer is 42"


def test_reply_is_the_stream_drained(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*THOUGHT))
    asking = client(base_url=server.url)
    reading = asking.stream()
    reading.next()
    reply = reading.reply()
    assert isinstance(reply, Reply)
    assert (reply.text, reply.reasoning) == ("The answer is 42", "Hmm, let me see")
    assert tuple(reply.tool_calls) == ()
    assert reply.finish == reading.finish
    assert reading.reply() == reply
    assert asking.chat() == reply


def test_an_error_is_raised_again_and_never_turns_into_an_end(
    client: Flavour, serve: Serve
) -> None:
    server = serve(stream(*THOUGHT[:4]))
    reading = client(base_url=server.url).stream()
    with pytest.raises(StreamInterrupted):
        reading.collect()
    for again in (reading.next, reading.collect, reading.until_done, reading.reply):
        with pytest.raises(GLMError):
            again()
    assert (reading.text, reading.finish) == ("The answer is", None)
    assert len(server.requests) == 1


def test_an_event_is_handed_over_as_soon_as_its_bytes_are_here(
    client: Flavour, serve: Serve
) -> None:
    turns: list[threading.Event] = [threading.Event() for _ in THOUGHT]

    def script(answering: Answering) -> None:
        answering.head()
        for turn, frame in zip(turns, THOUGHT, strict=True):
            assert turn.wait(PATIENCE), "the last event was not handed over"
            answering.chunk(frame)
        answering.end()

    server = serve(script)
    reading = client(base_url=server.url).stream()
    for turn in turns:
        turn.set()
        reading.next()
    assert isinstance(reading.next(), Finish)


def test_the_same_without_chunks(client: Flavour, serve: Serve) -> None:
    turns: list[threading.Event] = [threading.Event() for _ in THOUGHT]

    def script(answering: Answering) -> None:
        answering.head(chunked=False)
        for turn, frame in zip(turns, THOUGHT, strict=True):
            assert turn.wait(PATIENCE), "the last event was not handed over"
            answering.send(frame)
        answering.close()

    server = serve(script)
    reading = client(base_url=server.url).stream()
    for turn in turns:
        turn.set()
        reading.next()
    assert isinstance(reading.next(), Finish)


# -- the forms of the asynchronous side ------------------------------------------------------------


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_every_asynchronous_form(serve: Serve, backend: str) -> None:
    server = serve(stream(*HI))

    async def forms() -> list[Any]:
        async with AsyncClient(base_url=server.url) as client:
            looped = [event async for event in client.stream("Hello")]
            async with client.stream("Hello") as managed:
                inside = [event async for event in managed]
            opened = await client.stream("Hello")
            afterwards = [event async for event in opened]
            async with await client.stream("Hello") as both:
                mixed = [event async for event in both]
            async with client.stream("Hello") as texts:
                pieces = [piece async for piece in texts.text_stream]
            reply = await client.chat("Hello")
            async with client.stream("Hello") as last:
                same = await last.reply()
            async with client.stream("Hello") as done:
                await done.until_done()
        assert pieces == ["hi"]
        assert reply == same
        assert done.text == reply.text == "hi"
        return [looped, inside, afterwards, mixed]

    results = anyio.run(forms, backend=backend)
    assert all(each == results[0] for each in results)
    assert results[0][0] == TextDelta("hi")
    assert [type(each) for each in results[0]] == [TextDelta, Finish]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_awaiting_opens_but_does_not_read(serve: Serve, backend: str) -> None:
    opened = threading.Event()

    def script(answering: Answering) -> None:
        answering.head()
        assert opened.wait(PATIENCE), "opening waits for an event"
        for frame in HI:
            answering.chunk(frame)
        answering.end()

    server = serve(script)

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            answer = await client.stream("Hello")
            assert len(server.requests) == 1
            assert answer.text == ""
            opened.set()
            assert (await answer.reply()).text == "hi"

    anyio.run(run, backend=backend)
    assert opened.is_set()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_awaiting_raises_what_refuses(serve: Serve, backend: str) -> None:
    from glmclient import AuthenticationError

    from .loopback import answer

    server = serve(answer(401, {"message": "no"}))

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            with pytest.raises(AuthenticationError):
                await client.stream("Hello")

    anyio.run(run, backend=backend)
    assert len(server.requests) == 1


def test_the_blocking_forms(serve: Serve) -> None:
    server = serve(stream(*HI))
    with SyncClient(base_url=server.url) as client:
        looped = list(client.stream("Hello"))
        with client.stream("Hello") as managed:
            inside = list(managed)
        with client.stream("Hello") as texts:
            assert "".join(texts.text_stream) == "hi"
        with client.stream("Hello") as both:
            assert iter(both) is not None
            assert next(both) == TextDelta("hi")
            assert [type(each) for each in both] == [Finish]
    assert looped == inside


def test_events_match(serve: Serve) -> None:
    server = serve(stream(*THOUGHT))
    told = []
    with SyncClient(base_url=server.url) as client:
        for event in client.stream("Hello"):
            match event:
                case TextDelta(piece):
                    told.append(piece)
                case ReasoningDelta(piece):
                    told.append(f"({piece})")
                case Finish(reason):
                    told.append(f"[{reason}]")
    assert told == ["(Hmm, let me)", "( see)", "The answer", " is", " 42", "[stop]"]


# -- leaving ---------------------------------------------------------------------------------------


def test_break_releases_the_connection_while_the_variable_lives(
    client: Flavour, serve: Serve
) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)
    reading = client(base_url=server.url).stream()
    assert reading.take(1) == [TextDelta("some text")]
    assert held.saw_the_end()
    assert reading.text == "some text"
    assert reading.finish is None


@pytest.mark.parametrize("of", ["events", "text"])
def test_break_return_and_an_exception_release_in_the_blocking_client(
    serve: Serve, of: str
) -> None:
    scripts = [Held(glm("init", text("some text"))) for _ in range(3)]
    server = serve(*scripts)
    with SyncClient(base_url=server.url) as client:
        streams = []

        def source() -> Any:
            streams.append(client.stream("Hello"))
            return streams[-1] if of == "events" else streams[-1].text_stream

        for _ in source():
            break
        assert scripts[0].saw_the_end()

        def returns() -> Any:
            for each in source():
                return each
            return None

        assert returns() is not None
        assert scripts[1].saw_the_end()
        with pytest.raises(KeyboardInterrupt):
            for _ in source():
                raise KeyboardInterrupt
        assert scripts[2].saw_the_end()
        assert [each.text for each in streams] == ["some text"] * 3


@pytest.mark.parametrize("of", ["events", "text"])
@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_break_return_and_an_exception_release_in_the_asynchronous_client(
    serve: Serve, backend: str, of: str
) -> None:
    scripts = [Held(glm("init", text("some text"))) for _ in range(3)]
    server = serve(*scripts)

    async def seen(script: Held) -> bool:
        return await anyio.to_thread.run_sync(script.saw_the_end)

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            streams = []

            def source() -> Any:
                streams.append(client.stream("Hello"))
                return streams[-1] if of == "events" else streams[-1].text_stream

            async for _ in source():
                break
            assert await seen(scripts[0])

            async def returns() -> Any:
                async for each in source():
                    return each
                return None

            assert await returns() is not None
            assert await seen(scripts[1])
            with pytest.raises(ZeroDivisionError):
                async for _ in source():
                    raise ZeroDivisionError
            assert await seen(scripts[2])
            assert [each.text for each in streams] == ["some text"] * 3

    anyio.run(run, backend=backend)
    assert len(server.requests) == 3


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_scope_releases(serve: Serve, backend: str) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held, stream(*HI))

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            answer = client.stream("Hello")
            with anyio.CancelScope() as scope:
                async for _ in answer:
                    scope.cancel()
            assert scope.cancelled_caught
            assert await anyio.to_thread.run_sync(held.saw_the_end)
            assert answer.text == "some text"
            assert (await client.chat("Again")).text == "hi"

    anyio.run(run, backend=backend)
    assert len(server.requests) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_scope_cancelled_while_a_read_blocks_releases(serve: Serve, backend: str) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            answer = client.stream("Hello")
            started = anyio.Event()

            async def read() -> None:
                async for _ in answer:
                    started.set()

            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await started.wait()
                await anyio.wait_all_tasks_blocked()
                group.cancel_scope.cancel()
            assert await anyio.to_thread.run_sync(held.saw_the_end)
            assert answer.text == "some text"

    anyio.run(run, backend=backend)
    assert held.left.is_set()


def test_close_releases_and_what_came_stays(client: Flavour, serve: Serve) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held, stream(*HI))
    asking = client(base_url=server.url)
    reading = asking.stream()
    reading.next()
    reading.close()
    assert held.saw_the_end()
    assert reading.text == "some text"
    reading.close()
    assert asking.chat().text == "hi"


def test_a_stream_that_was_never_read_asks_nothing_or_lets_go(
    client: Flavour, serve: Serve
) -> None:
    server = serve(stream(*HI))
    asking = client(base_url=server.url)
    reading = asking.stream()
    reading.close()
    assert asking.chat().text == "hi"
    with pytest.raises(StreamMisuse):
        reading.next()


def test_leaving_the_context_releases(serve: Serve) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)
    with SyncClient(base_url=server.url) as client:
        with client.stream("Hello") as answer:
            next(answer)
        assert held.saw_the_end()
        assert answer.text == "some text"
        with pytest.raises(StreamMisuse):
            next(answer)


def test_closing_the_client_releases_its_streams(client: Flavour, serve: Serve) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)
    asking = client(base_url=server.url)
    reading = asking.stream()
    reading.next()
    asking.close()
    assert held.saw_the_end()
    with pytest.raises(GLMError):
        reading.collect()


# -- cancelling ------------------------------------------------------------------------------------


def failing(read: Callable[[], object]) -> tuple[threading.Thread, list[GLMError]]:
    """Start a thread that reads, and collect the error that ends it."""
    errors: list[GLMError] = []

    def run() -> None:
        try:
            read()
        except GLMError as error:
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread, errors


def blocked(asking: Asking) -> tuple[Reading, threading.Thread, list[Any], list[GLMError]]:
    """Start a thread that reads a stream, and wait until its first event is here."""
    reading = asking.stream()
    events: list[Any] = []
    first = threading.Event()

    class Told(list[Any]):
        def append(self, event: Any) -> None:
            events.append(event)
            first.set()

    thread, errors = failing(lambda: reading.collect(Told()))
    assert first.wait(PATIENCE)
    return reading, thread, events, errors


def test_cancel_from_another_thread_frees_a_blocked_reader(client: Flavour, serve: Serve) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held, stream(*HI))
    asking = client(base_url=server.url)
    reading, thread, events, errors = blocked(asking)
    reading.cancel()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "cancel() did not free the reader"
    assert held.saw_the_end()
    assert events == [TextDelta("some text")]
    assert reading.text == "some text"
    assert reading.finish is None
    assert len(errors) == 1, "a silent end"
    assert errors[0].partial.text == "some text"
    assert errors[0].retryable is False
    reading.cancel()
    assert asking.chat().text == "hi"
    assert len(server.requests) == 2


def test_cancel_before_the_first_event_frees_the_reader(client: Flavour, serve: Serve) -> None:
    held = Held()
    server = serve(held)
    reading = client(base_url=server.url).stream()
    thread, errors = failing(reading.collect)
    server.seen.get(timeout=PATIENCE)
    reading.cancel()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert held.saw_the_end()
    assert len(errors) == 1
    assert len(server.requests) == 1


def test_cancel_before_the_head_frees_the_reader(client: Flavour, serve: Serve) -> None:
    left = threading.Event()

    def script(answering: Answering) -> None:
        if answering.gone():
            left.set()

    server = serve(script)
    reading = client(base_url=server.url).stream()
    thread, errors = failing(reading.until_done)
    server.seen.get(timeout=PATIENCE)
    reading.cancel()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert left.wait(PATIENCE)
    assert len(errors) == 1


def test_cancel_while_waiting_to_try_again(client: Flavour, serve: Serve) -> None:
    from .loopback import answer

    server = serve(answer(429, {"message": "slow"}, "Retry-After: 25"))
    reading = client(base_url=server.url).stream()
    thread, errors = failing(reading.until_done)
    server.seen.get(timeout=PATIENCE)
    reading.cancel()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert len(errors) == 1
    assert len(server.requests) == 1


def test_cancel_between_two_reads(client: Flavour, serve: Serve) -> None:
    held = Held(*snapshots("some text")[:2])
    server = serve(held)
    reading = client(base_url=server.url).stream()
    reading.next()
    reading.cancel()
    assert held.saw_the_end()
    with pytest.raises(GLMError):
        reading.collect()
    assert reading.finish is None


def test_cancel_after_the_end_does_nothing(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    asking = client(base_url=server.url)
    reading = asking.stream()
    reading.until_done()
    reading.cancel()
    assert reading.reply().text == "hi"
    assert asking.chat().text == "hi"


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_cancel_from_another_task(serve: Serve, backend: str) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            answer = client.stream("Hello")
            started = anyio.Event()
            errors: list[GLMError] = []

            async def read() -> None:
                try:
                    async for _ in answer:
                        started.set()
                except GLMError as error:
                    errors.append(error)

            with anyio.fail_after(PATIENCE):
                async with anyio.create_task_group() as group:
                    group.start_soon(read)
                    await started.wait()
                    await anyio.wait_all_tasks_blocked()
                    answer.cancel()
            assert [each.partial.text for each in errors] == ["some text"]

    anyio.run(run, backend=backend)
    assert held.saw_the_end()


# -- misuse ----------------------------------------------------------------------------------------


def test_reading_after_close_is_misuse(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*THOUGHT))
    reading = client(base_url=server.url).stream()
    reading.next()
    reading.close()
    for read in (reading.next, reading.collect, reading.pieces, reading.until_done, reading.reply):
        with pytest.raises(StreamMisuse) as caught:
            read()
        assert isinstance(caught.value, RuntimeError)
        assert caught.value.partial.text == ""
        assert str(caught.value)


def test_reading_on_after_a_break_is_misuse_not_a_silent_end(client: Flavour, serve: Serve) -> None:
    server = serve(Held(*THOUGHT[:3]))
    reading = client(base_url=server.url).stream()
    reading.take(1)
    with pytest.raises(StreamMisuse):
        reading.collect()


def test_two_readers_are_misuse(client: Flavour, serve: Serve) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)
    reading, thread, _, errors = blocked(client(base_url=server.url))
    with pytest.raises(StreamMisuse):
        reading.next()
    reading.cancel()
    thread.join(PATIENCE)
    assert len(errors) == 1
    assert not isinstance(errors[0], StreamMisuse), "the first reader does no wrong"


def test_asking_a_closed_client_is_misuse(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    asking = client(base_url=server.url)
    asking.close()
    asking.close()
    with pytest.raises(GLMError):
        asking.chat()
    assert server.requests == []


def test_a_stream_reports_itself_without_what_was_said(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*snapshots("a private answer")))
    asking = client(base_url=server.url)
    reading = asking.stream("a private question")
    reading.until_done()
    assert "private" not in repr(reading.stream)
    assert "private" not in repr(asking.client)


def test_platform_tool_calls_are_on_the_stream(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    reading = client("zai", api_key="k", base_url=server.url).stream()
    assert [type(each) for each in reading.collect()] == [TextDelta, TextDelta, Finish]
    assert tuple(reading.tool_calls) == ()


def test_a_stream_that_is_forgotten_lets_go(serve: Serve) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)
    with SyncClient(base_url=server.url) as client:
        answer = client.stream("Hello")
        next(answer)
        del answer
        gc.collect()
        assert held.saw_the_end()


# -- interrupts, tasks and streams side by side ----------------------------------------------------


def test_an_interrupt_ends_a_blocked_read(serve: Serve) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held, stream(*HI))
    main = threading.main_thread()
    if threading.current_thread() is not main:
        pytest.fail("signals come to the main thread, and the tests should run in it")
    with SyncClient(base_url=server.url) as client:
        answer = client.stream("Hello")
        next(answer)

        def interrupt() -> None:
            assert main.ident is not None
            signal.pthread_kill(main.ident, signal.SIGINT)

        timer = threading.Timer(0.1, interrupt)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            for _ in answer:
                continue
        timer.join()
        assert held.saw_the_end()
        assert answer.text == "some text"
        assert client.chat("Again").text == "hi"


@pytest.mark.parametrize("how", ["cancel", "wait_for"])
def test_asyncios_own_ways_to_give_up(serve: Serve, how: str) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held, stream(*HI))

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            answer = client.stream("Hello")
            started = asyncio.Event()

            async def read() -> None:
                async for _ in answer:
                    started.set()

            if how == "cancel":
                task = asyncio.create_task(read())
                await started.wait()
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            else:
                with pytest.raises(asyncio.TimeoutError):
                    await asyncio.wait_for(read(), 0.3)
                assert started.is_set()
            assert await asyncio.to_thread(held.saw_the_end)
            assert answer.text == "some text"
            assert (await client.chat("Again")).text == "hi"

    asyncio.run(run())
    assert len(server.requests) == 2


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_asynchronous_stream_that_is_forgotten_lets_go(serve: Serve, backend: str) -> None:
    held = Held(glm("init", text("some text")))
    server = serve(held)

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:
            answer = await client.stream("Hello")
            await anext(answer)
            del answer
            gc.collect()
            assert await anyio.to_thread.run_sync(held.saw_the_end)

    anyio.run(run, backend=backend)
    assert held.left.is_set()


def test_streams_side_by_side(client: Flavour, serve: Serve) -> None:
    def echo(answering: Answering) -> None:
        asked = answering.request.json["messages"][-1]["content"][0]["text"]
        stream(*snapshots(f"answer to {asked}", 1))(answering)

    server = serve(echo)
    asking = client(base_url=server.url)
    streams = [asking.stream(name) for name in ("one", "two", "three")]
    for _ in range(5):
        for reading in streams:
            reading.next()
    assert {reading.text for reading in streams} == {"answe"}
    assert [reading.reply().text for reading in streams] == [
        "answer to one",
        "answer to two",
        "answer to three",
    ]


def test_tool_calls_so_far_are_on_the_stream_and_on_the_error(
    client: Flavour, serve: Serve
) -> None:
    call = {"index": 0, "id": "call_1", "function": {"name": "weather", "arguments": '{"a"'}}
    server = serve(stream(chunk({"tool_calls": [call]})))
    reading = client("zai", api_key="k", base_url=server.url).stream()
    with pytest.raises(StreamInterrupted) as caught:
        reading.collect()
    for calls in (reading.tool_calls, caught.value.partial.tool_calls):
        assert [(each.id, each.name, each.arguments) for each in calls] == [
            ("call_1", "weather", '{"a"')
        ]
