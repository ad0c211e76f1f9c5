"""The answer so far, folded from events: linear, and the same as applying them one by one."""

from __future__ import annotations

import subprocess
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


READING = """
from glmclient import ReasoningDelta, TextDelta, ToolCallDelta
from glmclient.core.transcript import Transcript

for delta, read in {cases}:
    transcript = Transcript()
    for _ in range(150_000):
        transcript.extend([delta])
        read(transcript)
"""
CASES = """[
    (TextDelta("Wort und 字 "), lambda transcript: len(transcript.text)),
    (ReasoningDelta("Wort und 字 "), lambda transcript: len(transcript.reasoning)),
    (ToolCallDelta(0, "id", "name", "Wort und 字 "), lambda transcript: len(transcript.tool_calls)),
]"""


def test_reading_after_every_event_is_linear() -> None:
    """It takes a second or two; minutes, were it quadratic. Where calls are traced, strings do not grow in place."""
    program = READING.format(cases=CASES)
    done = subprocess.run([sys.executable, "-c", program], timeout=60)
    assert done.returncode == 0


def many_calls(length: int) -> list[Any]:
    return [ToolCallDelta(number, f"id{number}", "name", "{}") for number in range(length)]


def test_a_read_makes_values_of_the_calls_that_changed_only() -> None:
    transcript = Transcript()
    transcript.extend(many_calls(100))
    before = transcript.tool_calls
    transcript.extend([ToolCallDelta(50, "", "", "x"), ToolCallDelta(50, "", "", "y")])
    after = transcript.tool_calls
    assert after[50].arguments == "{}xy"
    assert sum(one is other for one, other in zip(before, after, strict=True)) == 99
    transcript.extend([ToolCallDelta(-1, "first", "name", "{}"), ToolCallDelta(100, "", "", "z")])
    assert [call.id for call in transcript.tool_calls][:2] == ["first", "id0"]
    assert len(transcript.tool_calls) == 102


@given(st.lists(st.tuples(st.integers(0, 5), st.text(max_size=2)), max_size=40))
def test_calls_in_any_order(fragments: list[tuple[int, str]]) -> None:
    transcript = Transcript()
    expected: dict[int, str] = {}
    for index, arguments in fragments:
        transcript.extend([ToolCallDelta(index, f"id{index}", "name", arguments)])
        expected[index] = expected.get(index, "") + arguments
        assert [(call.id, call.arguments) for call in transcript.tool_calls] == [
            (f"id{key}", value) for key, value in sorted(expected.items())
        ]


def test_a_text_that_was_read_does_not_change() -> None:
    transcript = Transcript()
    texts = []
    for _ in range(50):
        transcript.extend([TextDelta("ab")])
        texts.append(transcript.text)
    assert texts == ["ab" * count for count in range(1, 51)]
