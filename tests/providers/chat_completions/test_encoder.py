"""The platform's frames: what is decoded is what was encoded, for every flavour and every cut."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.transcript import Transcript
from glmclient.errors import ConfigurationError, RateLimitError, ServerError
from glmclient.events import (
    CodeDelta,
    Event,
    Finish,
    Image,
    Notice,
    QueueStatus,
    ReasoningDelta,
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
    Usage,
)
from glmclient.providers.chat_completions.encoder import DONE, Flavour, Layout
from glmclient.providers.chat_completions.frames import encode, whole_answer
from glmclient.simulator.http import Cut, Pause
from glmclient.simulator.script import Answer, EndBody, Refusal
from tests.core.wire import cut_at, every_cut
from tests.providers.chat_completions.driving import JSON, decoded

FLAVOURS: list[Flavour] = ["glm", "vllm", "sglang", "ollama"]
each_flavour = pytest.mark.parametrize("flavour", FLAVOURS)

words = st.text(min_size=1, max_size=8)
calls = st.builds(
    lambda index, id, name, pieces: [
        ToolCallDelta(index, id, name, ""),
        *(ToolCallDelta(index, "", "", piece) for piece in pieces),
    ],
    st.integers(0, 3),
    words,
    words,
    st.lists(words, max_size=3),
)
plain = st.builds(TextDelta, words) | st.builds(ReasoningDelta, words)
usages = st.none() | st.builds(
    Usage,
    *[st.integers(0, 10**6)] * 3,
    cached_tokens=st.none() | st.integers(0, 9),
    reasoning_tokens=st.none() | st.integers(0, 9),
)
finishes = st.builds(
    lambda reason, usage, request_id: Finish(
        reason,
        usage=usage,
        raw_reason=reason if reason != "content_filter" else "sensitive",
        model="glm-5.3",
        response_id="r",
        request_id=request_id,
    ),
    st.sampled_from(["stop", "length", "tool_calls", "content_filter"]),
    usages,
    st.none() | words,
)
streams = st.builds(
    lambda head, tools, finish: [*head, *(event for call in tools for event in call), finish],
    st.lists(plain, max_size=6),
    st.lists(calls, max_size=3, unique_by=lambda call: call[0].index),
    finishes,
)


def wire(events: list[Any], flavour: Flavour, **layout: Any) -> bytes:
    items = encode(events, Layout(flavour, **layout))
    assert all(isinstance(item, bytes) for item in items)
    return b"".join(item for item in items if isinstance(item, bytes))


def objects(events: list[Any], flavour: Flavour, **layout: Any) -> list[dict[str, Any]]:
    """Return the chunks of a stream, without the end mark."""
    frames = wire(events, flavour, **layout).removesuffix(DONE).decode().split("\n\n")
    return [json.loads(frame.removeprefix("data: ")) for frame in frames if frame]


@each_flavour
@given(events=streams, cuts=st.lists(st.integers(0, 2000), max_size=6))
def test_what_is_decoded_is_what_was_encoded(
    flavour: Flavour, events: list[Event], cuts: list[int]
) -> None:
    raw = wire(events, flavour)
    assert decoded(cut_at(raw, cuts)) == (events, None, True)


@each_flavour
def test_the_same_at_every_cut(flavour: Flavour) -> None:
    events = [
        ReasoningDelta("hm"),
        TextDelta("雪"),
        ToolCallDelta(0, "a", "f", ""),
        ToolCallDelta(0, "", "", "{}"),
        Finish("tool_calls", Usage(1, 2, 3), "tool_calls", model="glm-5.3", response_id="r"),
    ]
    for chunks in every_cut(wire(events, flavour)):
        assert decoded(chunks) == (events, None, True)


@each_flavour
@given(events=streams)
def test_whole_calls_and_whole_answers_say_the_same(flavour: Flavour, events: list[Event]) -> None:
    expected, whole_calls, whole = Transcript(), Transcript(), Transcript()
    expected.extend(events)
    whole_calls.extend(decoded([wire(events, flavour, fragments=False)])[0])
    assert whole_calls.reply() == expected.reply()
    answer = whole_answer(tuple(events), Layout(flavour))
    whole.extend(decoded([json.dumps(answer).encode()], headers=JSON)[0])
    got, wanted = whole.reply(), expected.reply()
    assert (got.text, got.reasoning) == (wanted.text, wanted.reasoning)
    assert sorted(call.id for call in got.tool_calls) == sorted(
        call.id for call in wanted.tool_calls
    )
    finish = wanted.finish
    assert finish is not None
    if flavour == "glm" and finish.request_id is None:
        finish = replace(finish, request_id="r")  # without stream the platform tells one (§4)
    assert got.finish == finish


@each_flavour
def test_the_requests_own_id_is_in_every_chunk(flavour: Flavour) -> None:
    script = [TextDelta("T"), Finish("stop", request_id="mine")]
    chunks = objects(script, flavour)
    assert {chunk["request_id"] for chunk in chunks if chunk["choices"]} == {"mine"}
    assert decoded([wire(script, flavour)])[0][-1].request_id == "mine"  # type: ignore[union-attr]


def test_the_platforms_own_habits() -> None:
    chunks = objects([ReasoningDelta("R"), TextDelta("T"), Finish("stop", Usage(1, 2, 3))], "glm")
    assert all("object" not in chunk for chunk in chunks)
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "reasoning_content": "R"},
        {"role": "assistant", "content": "T", "reasoning_content": ""},
        {"role": "assistant", "content": ""},
    ]
    assert ["finish_reason" in chunk["choices"][0] for chunk in chunks] == [False, False, True]
    assert ["usage" in chunk for chunk in chunks] == [False, False, True]


def test_the_platform_tells_the_reason_on_every_whole_call() -> None:
    script = [
        ToolCallDelta(0, "a", "f", "{"),
        ToolCallDelta(1, "b", "g", "{}"),
        ToolCallDelta(0, "", "", "}"),
        Finish("tool_calls"),
    ]
    chunks = objects(script, "glm", fragments=False)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == ["tool_calls"] * 3
    functions = [chunk["choices"][0]["delta"]["tool_calls"][0] for chunk in chunks[:2]]
    assert functions == [
        {"index": 1, "function": {"arguments": "{}", "name": "g"}, "type": "function", "id": "b"},
        {"index": 0, "function": {"arguments": "{}", "name": "f"}, "type": "function", "id": "a"},
    ]
    assert all("role" not in chunk["choices"][0]["delta"] for chunk in chunks[:2])
    assert decoded([wire(script, "glm", fragments=False)])[0][:2] == [
        ToolCallDelta(1, "b", "g", "{}"),
        ToolCallDelta(0, "a", "f", "{}"),
    ]


def test_the_habits_of_vllm() -> None:
    script = [ReasoningDelta("R"), TextDelta("T"), Finish("stop", Usage(1, 2, 3))]
    chunks = objects(script, "vllm")
    assert all(chunk["object"] == "chat.completion.chunk" for chunk in chunks)
    assert chunks[0]["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert chunks[1]["choices"][0]["delta"] == {"reasoning": "R"}
    assert chunks[1]["choices"][0]["finish_reason"] is None
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["total_tokens"] == 3
    assert all("usage" not in chunk for chunk in objects(script, "vllm", usage=False))


def test_the_habits_of_sglang() -> None:
    chunks = objects(
        [
            ReasoningDelta("R"),
            ToolCallDelta(0, "a", "f", ""),
            ToolCallDelta(0, "", "", "{}"),
            Finish("stop"),
        ],
        "sglang",
    )
    assert chunks[1]["choices"][0]["delta"] == {
        "role": None,
        "content": None,
        "reasoning_content": "R",
        "tool_calls": None,
    }
    assert chunks[1]["usage"] is None and chunks[1]["choices"][0]["matched_stop"] is None
    continued = chunks[3]["choices"][0]["delta"]["tool_calls"][0]
    assert continued["id"] is None and continued["function"] == {"name": None, "arguments": "{}"}


def test_the_habits_of_ollama() -> None:
    chunks = objects([ReasoningDelta("R"), TextDelta("T"), Finish("stop")], "ollama")
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": "", "reasoning": "R"},
        {"role": "assistant", "content": "T"},
        {"role": "assistant", "content": ""},
    ]
    assert all(chunk["system_fingerprint"] == "fp_ollama" for chunk in chunks)


def test_reasons_that_are_not_told_in_the_services_words() -> None:
    for flavour, raw in (("glm", "sensitive"), ("vllm", "content_filter")):
        [finish] = decoded([wire([Finish("content_filter")], flavour)])[0]  # type: ignore[arg-type]
        assert isinstance(finish, Finish) and finish.raw_reason == raw
    [finish] = decoded([wire([Finish("other")], "glm")])[0]
    assert isinstance(finish, Finish) and (finish.reason, finish.raw_reason) == ("other", None)


def test_a_failure_of_the_service_can_be_said() -> None:
    _, error, _ = decoded([wire([Finish("other", raw_reason="network_error")], "glm")])
    assert type(error) is ServerError


def test_sources_and_unknown_things() -> None:
    sources = SearchResults((SearchResult("T", "u", "C", "ref_1", "M", "2025-01-01"),))
    unknown = Unknown("content_filter", '[{"level": 1}]')
    events = [sources, unknown, Finish("stop", raw_reason="stop", model="glm-5.3", response_id="r")]
    assert decoded([wire(events, "glm")], include_unknown=True)[0] == events
    whole = whole_answer(tuple(events), Layout())
    assert whole["web_search"][0]["refer"] == "ref_1" and whole["content_filter"] == [{"level": 1}]


def test_a_refusal_in_the_middle() -> None:
    for flavour in FLAVOURS:
        raw = wire([TextDelta("a"), Refusal("rate_limit", code=1305, message="busy")], flavour)
        events, error, _ = decoded([raw])
        assert events == [TextDelta("a")]
        assert type(error) is RateLimitError and (error.code, error.message) == ("1305", "busy")
        assert raw.endswith(DONE) is (flavour != "glm")


def test_what_is_no_event_stays_where_it_is() -> None:
    items = encode([TextDelta("a"), b": raw\n\n", Pause(1), Cut(), EndBody(), TextDelta("never")])
    assert items[1:] == [b": raw\n\n", Pause(1), Cut()]


@pytest.mark.parametrize(
    ("event", "flavour"),
    [
        (TextReplace(0, "x"), "glm"),
        (CodeDelta("x"), "glm"),
        (Image("http://x"), "vllm"),
        (QueueStatus(1, 2), "glm"),
        (Notice("x"), "ollama"),
        (SearchResults((SearchResult("T", "u"),)), "vllm"),
        (Unknown("usage", "1"), "glm"),
    ],
)
def test_what_a_service_cannot_say(event: Event, flavour: Flavour) -> None:
    with pytest.raises(ConfigurationError):
        encode([event], Layout(flavour))
    with pytest.raises(ConfigurationError):
        whole_answer((event, Finish("stop")), Layout(flavour))


@pytest.mark.parametrize(
    "finish", [Finish("stop", conversation_id="c"), Finish("stop", message="m")]
)
def test_an_end_that_the_service_cannot_say(finish: Finish) -> None:
    with pytest.raises(ConfigurationError):
        encode([finish])


def test_there_are_four_flavours() -> None:
    with pytest.raises(ConfigurationError, match="sglang"):
        Layout("tgi")  # type: ignore[arg-type]


def test_an_answer_as_users_write_it() -> None:
    events = decoded([wire(list(Answer.of("Hello there").said), "glm")])[0]
    assert events[:-1] == [TextDelta("Hello"), TextDelta(" there")]
