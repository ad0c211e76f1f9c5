"""The answer so far, folded from events: linear, and the same as applying them one by one."""

from __future__ import annotations

import sys
import time
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glmclient import (
    CodeDelta,
    Event,
    Finish,
    Image,
    ReasoningDelta,
    ReasoningReplace,
    Reply,
    TextDelta,
    TextReplace,
    ToolCall,
    ToolCallDelta,
)
from glmclient.core.transcript import Transcript


def folded(*batches: list[Any]) -> Transcript:
    transcript = Transcript()
    for batch in batches:
        transcript.extend(batch)
    return transcript


def test_nothing_yet() -> None:
    assert Transcript().reply() == Reply()
    assert Transcript().text == ""


def test_a_whole_answer() -> None:
    finish = Finish("stop")
    transcript = folded(
        [ReasoningDelta("Hm"), ReasoningDelta("."), TextDelta("Helo")],
        [ReasoningReplace(0, "Well."), TextReplace(3, "lo"), TextDelta("!"), CodeDelta("1+1")],
        [Image("https://service.example/i.png"), finish],
    )
    assert transcript.reply() == Reply(
        "Hello!",
        "Well.",
        (),
        finish,
        code_blocks=("1+1",),
        images=(Image("https://service.example/i.png"),),
    )
    assert transcript.text == "Hello!"
    assert transcript.reasoning == "Well."


def test_text_after_a_rewrite_in_the_same_batch_is_kept() -> None:
    assert (
        folded([TextDelta("abc"), TextReplace(1, "x"), TextDelta("y"), TextDelta("z")]).text
        == "axyz"
    )


def test_tool_calls_are_gathered_by_index() -> None:
    transcript = folded(
        [ToolCallDelta(1, "call-1", "later", '{"b"'), ToolCallDelta(0, "call-0", "first", "")],
        [ToolCallDelta(1, "", "", ": 2}"), ToolCallDelta(0, "ignored", "ignored", "{}")],
    )
    assert transcript.tool_calls == (
        ToolCall("call-0", "first", "{}"),
        ToolCall("call-1", "later", '{"b": 2}'),
    )


changes = st.lists(
    st.one_of(
        st.builds(TextDelta, st.text(max_size=5)),
        st.builds(TextReplace, st.integers(0, 30), st.text(max_size=5)),
        st.builds(ReasoningDelta, st.text(max_size=5)),
        st.builds(ReasoningReplace, st.integers(0, 30), st.text(max_size=5)),
    ),
    max_size=40,
)


@given(st.lists(changes, max_size=6), st.booleans())
def test_it_is_what_the_events_say_one_by_one(batches: list[list[Event]], asking: bool) -> None:
    transcript, text, reasoning = Transcript(), "", ""
    for batch in batches:
        transcript.extend(batch)
        for event in batch:
            match event:
                case TextDelta(added):
                    text += added
                case TextReplace(start, new):
                    text = text[:start] + new
                case ReasoningDelta(added):
                    reasoning += added
                case ReasoningReplace(start, new):
                    reasoning = reasoning[:start] + new
        if asking:
            assert transcript.text == text
    assert (transcript.text, transcript.reasoning) == (text, reasoning)


def test_a_million_pieces_take_linear_time_and_little_memory() -> None:
    began = time.perf_counter()
    transcript = Transcript()
    for _ in range(200):
        transcript.extend([TextDelta("x"), ReasoningDelta("y")] * 5000)
    assert len(transcript.text) == len(transcript.reasoning) == 1_000_000
    # A string for each piece would take 50 bytes beside its one.
    held = [transcript._text._parts, transcript._reasoning._parts]
    assert (
        sum(sys.getsizeof(piece) for parts in held for half in parts for piece in half) < 5_000_000
    )
    assert time.perf_counter() - began < 60  # minutes, were it quadratic


def test_asking_often_costs_no_more_than_the_answer() -> None:
    transcript = Transcript()
    for number in range(1000):
        transcript.extend([TextDelta(str(number % 10))])
        assert transcript.text[-1] == str(number % 10)
        assert transcript.text is transcript.text  # nothing new, nothing joined
