"""`stream.appending()` on every client: events without replacements, or an error that has the final answer."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from glmclient import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    GLMError,
    ReasoningDelta,
    ReasoningReplace,
    Reply,
    RewriteError,
    StreamInterrupted,
    StreamMisuse,
    TextDelta,
    TextReplace,
)
from glmclient.core.appending import AppendOnly
from glmclient.core.transcript import Transcript
from glmclient.testing import Cut, Simulator

from ..schemas.modes import MODES, on_client

each_mode = pytest.mark.parametrize("mode", MODES)
END = Finish("stop")


def appended(events: list[Event], *, hold: bool = False, so_far: Reply = Reply()) -> list[Event]:  # noqa: B008
    source = AppendOnly(so_far, hold=hold)
    return [out for event in events for out in source.events(event)]


def read(mode: str, client: Any, into: list[Event], *, hold: bool = False) -> Any:
    """Read a stream of the client into a list and return the stream."""
    stream = client.stream("?")
    if mode == "sync":
        into.extend(stream.appending(hold=hold))
        return stream

    async def run() -> Any:
        async for event in stream.appending(hold=hold):
            into.append(event)  # noqa: PERF401 - what came before an error counts
        return stream

    return run()


# -- what is handed out when -------------------------------------------------------------------------


def test_without_a_replacement_every_event_passes_at_once() -> None:
    events: list[Event] = [ReasoningDelta("r"), TextDelta("a"), ExecutionOutput("4"), END]
    source = AppendOnly(Reply())
    assert [source.events(event) for event in events] == [[event] for event in events]


def test_text_is_held_from_the_first_replacement_on() -> None:
    source = AppendOnly(Reply())
    events = [TextDelta("ab"), TextReplace(2, "cd"), TextDelta("ef"), ExecutionOutput("4"), END]
    assert [source.events(event) for event in events] == [
        [TextDelta("ab")],
        [],
        [],
        [ExecutionOutput("4")],
        [TextDelta("cdef"), END],
    ]


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([TextReplace(0, "abc"), END], [TextDelta("abc"), END]),
        ([TextDelta("ab"), TextReplace(0, "x"), TextReplace(0, "abc"), END], "ab c"),
        ([TextDelta("ab"), TextReplace(1, "b"), END], [TextDelta("ab"), END]),
        ([TextDelta("ab"), TextReplace(0, ""), TextDelta("abc"), END], "ab c"),
        (
            [ReasoningDelta("x"), ReasoningReplace(1, "y"), TextDelta("t"), END],
            [ReasoningDelta("x"), TextDelta("t"), ReasoningDelta("y"), END],
        ),
        (
            [CodeDelta("1", 2), CodeReplace(1, "+1", 2), CodeDelta("x", 3), END],
            [CodeDelta("1", 2), CodeDelta("x", 3), CodeDelta("+1", 2), END],
        ),
    ],
)
def test_the_rest_follows_if_what_was_handed_out_is_the_beginning(
    events: list[Event], expected: Any
) -> None:
    if expected == "ab c":
        expected = [TextDelta("ab"), TextDelta("c"), END]
    assert appended(events) == expected


@pytest.mark.parametrize(
    ("events", "part", "handed_out"),
    [
        ([TextDelta("abc"), TextReplace(0, "xyz"), END], "text", "abc"),
        ([TextDelta("abc"), TextReplace(2, ""), END], "text", "abc"),
        ([ReasoningDelta("ab"), ReasoningReplace(0, "x"), END], "reasoning", "ab"),
        ([CodeDelta("ab", 1), CodeReplace(0, "x", 1), END], "code block 1", "ab"),
    ],
)
def test_what_cannot_be_taken_back_is_an_error(
    events: list[Event], part: str, handed_out: str
) -> None:
    with pytest.raises(RewriteError, match=f"rewrote the {part} of its answer") as caught:
        appended(events)
    assert caught.value.handed_out == handed_out


def test_held_answers_are_never_contradicted() -> None:
    events = [ReasoningDelta("r"), TextDelta("ab"), ExecutionOutput("4"), CodeDelta("1"), END]
    assert appended(events, hold=True) == [
        ExecutionOutput("4"),
        *(ReasoningDelta("r"), CodeDelta("1"), TextDelta("ab")),
        END,
    ]
    assert appended([TextDelta("ab"), TextReplace(0, "xy"), END], hold=True) == [
        TextDelta("xy"),
        END,
    ]


@pytest.mark.parametrize("hold", [False, True])
def test_what_the_reader_has_already_counts(hold: bool) -> None:
    so_far = Reply("ab", "r", code_blocks=("1",))
    assert appended([TextDelta("c"), END], hold=hold, so_far=so_far) == [TextDelta("c"), END]
    events: list[Event] = [TextReplace(1, "bc"), END]
    assert appended(events, hold=hold, so_far=so_far) == [TextDelta("c"), END]
    with pytest.raises(RewriteError):
        appended([TextReplace(0, "x"), END], hold=hold, so_far=so_far)


def test_long_answers_stay_linear() -> None:
    events: list[Event] = [TextDelta("ab"), TextReplace(1, "b")]
    events += [TextDelta("x") for _ in range(20_000)]
    assert appended([*events, END])[1] == TextDelta("x" * 20_000)


def test_the_error_is_plain_data() -> None:
    error = RewriteError("m", handed_out="ab", partial=Reply("xy"))
    copy = pickle.loads(pickle.dumps(error))
    assert isinstance(error, GLMError)
    assert (copy.handed_out, copy.partial, str(copy)) == ("ab", Reply("xy"), "m")


REWRITTEN = [TextDelta("Hello"), TextReplace(2, "LLO"), TextReplace(2, "llo!"), END]
"""The service takes back a piece and then says it again."""


# -- on the clients ------------------------------------------------------------------------------------


@each_mode
@pytest.mark.parametrize("hold", [False, True])
def test_a_stream_is_read_without_replacements(mode: str, hold: bool) -> None:
    events: list[Event] = []
    with Simulator(REWRITTEN, provider="qwen") as simulator:
        stream = on_client(mode, simulator, lambda c: read(mode, c, events, hold=hold))
    assert stream.text == "Hello!"
    assert not any(isinstance(event, TextReplace) for event in events)
    assert isinstance(events[-1], Finish)
    transcript = Transcript()
    transcript.extend(events)
    assert transcript.text == "Hello!"
    texts = [event for event in events if isinstance(event, TextDelta)]
    assert (texts[0] == TextDelta("Hello!")) == hold


@each_mode
def test_a_contradiction_has_the_final_answer_and_gives_the_connection_back(mode: str) -> None:
    answer = [TextDelta("Wrong"), TextReplace(0, "Right"), END]
    events: list[Event] = []
    streams: list[Any] = []

    def ask(client: Any) -> Any:
        ask_once = client.stream
        client.stream = lambda *args: streams.append(ask_once(*args)) or streams[-1]
        return read(mode, client, events)

    with Simulator(answer, provider="qwen") as simulator, pytest.raises(RewriteError) as caught:
        on_client(mode, simulator, ask)
    error = caught.value
    assert events == [TextDelta("Wrong")]
    assert error.handed_out == "Wrong"
    assert error.partial.text == "Right"
    assert error.partial.finish is not None
    assert error.attempts == 1
    assert not error.retryable
    assert streams[0]._closed


@each_mode
def test_a_cut_while_text_is_held_is_no_end(mode: str) -> None:
    events: list[Event] = []
    answer = [TextDelta("Hello"), TextReplace(2, "LLO"), Cut()]
    with (
        Simulator(answer, provider="qwen") as simulator,
        pytest.raises(StreamInterrupted) as caught,
    ):
        on_client(mode, simulator, lambda c: read(mode, c, events))
    assert events == [TextDelta("Hello")]
    assert caught.value.partial.text == "HeLLO"


@each_mode
def test_leaving_the_loop_releases_the_connection(mode: str) -> None:
    def leave(client: Any) -> Any:
        stream = client.stream("?")
        if mode == "sync":
            for _ in stream.appending():
                break
            assert stream._closed
            return stream

        async def run() -> Any:
            async for _ in stream.appending():
                break
            with pytest.raises(StreamMisuse):
                await anext(stream)
            return stream

        return run()

    with Simulator("one two three four five six") as simulator:
        stream = on_client(mode, simulator, leave)
    assert stream._closed
    assert stream.finish is None


@each_mode
def test_events_that_were_read_before_count(mode: str) -> None:
    def ask(client: Any) -> Any:
        stream = client.stream("?")
        if mode == "sync":
            return next(stream), list(stream.appending())

        async def run() -> Any:
            return await anext(stream), [event async for event in stream.appending()]

        return run()

    with Simulator(REWRITTEN, provider="qwen") as simulator:
        first, rest = on_client(mode, simulator, ask)
    assert first == TextDelta("Hello")
    assert [event.text for event in rest if isinstance(event, TextDelta)] == ["!"]
