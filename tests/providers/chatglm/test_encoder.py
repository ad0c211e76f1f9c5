"""The encoder of ChatGLM's frames proves the decoder: what goes in comes out, cut at every byte."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmclient.errors import APIStatusError, ConfigurationError, ServerError, ServiceBlockedError
from glmclient.events import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
    Usage,
)
from glmclient.providers.chatglm.decoder import ChatGLMDecoder
from glmclient.providers.chatglm.encoder import Layout
from glmclient.providers.chatglm.simulated import encode
from glmclient.simulator import Cut, EndBody, Pause, Refusal, Reset, Step
from tests.core.wire import cut_at, every_cut
from tests.support.canonical import canonical


def decoded(chunks: Iterable[bytes], mode: str = "auto") -> list[Event]:
    decoder = ChatGLMDecoder(mode=mode, include_unknown=True)  # type: ignore[arg-type]
    out: list[Event] = []
    for chunk in chunks:
        decoder.feed(chunk, out)
    if not decoder.done:
        decoder.end(out)
    return out


def frames(steps: Iterable[Step], layout: Layout | None = None) -> list[bytes]:
    items = encode(steps, layout)
    assert all(isinstance(item, bytes) for item in items)
    return items  # type: ignore[return-value]


def values(steps: Iterable[Step], **layout: Any) -> list[dict[str, Any]]:
    return [json.loads(frame.partition(b"data: ")[2]) for frame in frames(steps, Layout(**layout))]


def layouts() -> list[Layout]:
    modes: tuple[Any, ...] = ("snapshot", "delta")
    keys: tuple[Any, ...] = ("logic_id", "id", None)
    return [
        Layout(mode, key, all_parts, empty_first, last_in_finish, repeat_final)
        for mode, key, all_parts, empty_first, last_in_finish, repeat_final in itertools.product(
            modes, keys, (False, True), (False, True), (False, True), (0, 2)
        )
    ]


END = Finish("stop", conversation_id="c1", response_id="m1")

EVERYTHING: list[Event] = [
    ReasoningDelta("Simple"),
    ReasoningDelta(" question"),
    TextDelta("9.9 更大 👩‍💻"),
    TextDelta("\u2028\r\n\n"),
    TextReplace(4, "大。"),
    CodeDelta("print("),
    CodeDelta("1+1)"),
    ExecutionOutput("2\n"),
    CodeDelta("x = 1", 1),
    CodeReplace(4, "2", 1),
    Image("https://example.org/x.png"),
    SearchResults((SearchResult("Title", "https://example.org"),)),
    SearchResults((SearchResult("Title", "https://example.org", reference="turn1search1"),)),
    ToolCallDelta(0, "call_1", "add", '{"a": 1}'),
    ToolCallDelta(1, "call_2", "add", ""),
    Unknown("browser_result", '{"type": "browser_result", "content": "[]"}'),
    ReasoningDelta("again"),
    ReasoningReplace(2, "x"),
    TextDelta("Bye"),
    END,
]


@pytest.mark.parametrize("layout", layouts(), ids=repr)
def test_everything_comes_back_in_every_layout(layout: Layout) -> None:
    raw = b"".join(frames(EVERYTHING, layout))
    assert canonical(decoded([raw], layout.mode)) == canonical(EVERYTHING)


@pytest.mark.parametrize("mode", ["snapshot", "delta"])
def test_everything_comes_back_cut_at_every_byte(mode: Any) -> None:
    raw = b"".join(frames(EVERYTHING, Layout(mode)))
    whole = decoded([raw], mode)
    assert canonical(whole) == canonical(EVERYTHING)
    for chunks in every_cut(raw):
        assert decoded(chunks, mode) == whole


# -- any events --------------------------------------------------------------------------------------------

words = st.text(st.characters(codec="utf-8"), max_size=6) | st.sampled_from(
    ["你好", "👩‍💻", "\r\n", "\u2028", "data: ", "1", "12", ""]
)
addresses = st.sampled_from(["https://example.org/1.png", "http://example.org/2.png"])
sources = st.builds(
    SearchResult,
    words,
    addresses,
    reference=st.just("") | st.sampled_from(["turn1search1", "turn2search3"]),
)


@st.composite
def answers(draw: st.DrawFn) -> list[Event]:
    """Draw events that the service can say, an end included."""
    lengths: dict[Any, int] = {"text": 0, "think": 0}
    blocks: list[int] = []
    calls = 0
    events: list[Event] = []
    for _ in range(draw(st.integers(0, 12))):
        kind = draw(st.integers(0, 10))
        text = draw(words)
        if kind == 0 or kind == 8:
            events.append(TextDelta(text))
            lengths["text"] += len(text)
        elif kind == 1:
            events.append(ReasoningDelta(text))
            lengths["think"] += len(text)
        elif kind == 2:
            start = draw(st.integers(0, lengths["text"]))
            events.append(TextReplace(start, text))
            lengths["text"] = start + len(text)
        elif kind == 3:
            start = draw(st.integers(0, lengths["think"]))
            events.append(ReasoningReplace(start, text))
            lengths["think"] = start + len(text)
        elif kind == 4:
            block = draw(st.integers(0, len(blocks)))
            events.append(CodeDelta(text, block))
            blocks[block:] = [*blocks[block:], 0] if block == len(blocks) else blocks[block:]
            blocks[block] += len(text)
        elif kind == 5 and blocks:
            block = draw(st.integers(0, len(blocks) - 1))
            start = draw(st.integers(0, blocks[block]))
            events.append(CodeReplace(start, text, block))
            blocks[block] = start + len(text)
        elif kind == 6:
            events.append(draw(st.builds(ExecutionOutput, words) | st.builds(Image, addresses)))
        elif kind == 7:
            events.append(SearchResults(tuple(draw(st.lists(sources, max_size=3)))))
        elif kind == 9:
            events.append(ToolCallDelta(calls, f"call_{calls}", "add", text))
            calls += 1
        else:
            events.append(
                Unknown("rag_slices", json.dumps({"type": "rag_slices", "content": text}))
            )
    events.append(
        draw(
            st.sampled_from(
                [
                    END,
                    Finish(
                        "content_filter", conversation_id="c1", response_id="m1", message="非常抱歉"
                    ),
                ]
            )
        )
    )
    return events


any_layout = st.sampled_from(layouts())


@given(answers(), any_layout, st.lists(st.integers(0, 20_000), max_size=40))
@settings(max_examples=500)
def test_any_events_come_back_however_they_are_cut(
    events: list[Event], layout: Layout, cuts: list[int]
) -> None:
    raw = b"".join(frames(events, layout))
    got = decoded(cut_at(raw, cuts), layout.mode)
    assert canonical(got) == canonical(events)


def state(events: Iterable[Event]) -> dict[Any, Any]:
    """Return what a reader has after ``events``: texts as they read, and all else in order."""
    texts: dict[Any, str] = {}
    others: list[Event] = []
    for event in canonical(events):
        match event:
            case TextDelta(text) | ReasoningDelta(text) | CodeDelta(text):
                key = (type(event).__name__[:4], getattr(event, "block", 0))
                texts[key] = texts.get(key, "") + text
            case (
                TextReplace(start, text) | ReasoningReplace(start, text) | CodeReplace(start, text)
            ):
                key = (type(event).__name__[:4], getattr(event, "block", 0))
                texts[key] = texts.get(key, "")[:start] + text
            case _:
                others.append(event)
    return {"texts": {key: text for key, text in texts.items() if text}, "others": others}


@given(answers(), st.sampled_from(["snapshot", "delta"]))
@settings(max_examples=100)
def test_every_event_is_told_when_it_is_said(events: list[Event], mode: Any) -> None:
    for count in range(len(events)):
        said: Sequence[Step] = [*events[:count], EndBody()]
        got = decoded(frames(said, Layout(mode)), mode)
        assert state(got) == state(events[:count])


@given(answers(), any_layout)
@settings(max_examples=500)
def test_a_client_that_finds_out_the_mode_ends_with_the_same_answer(
    events: list[Event], layout: Layout
) -> None:
    # Only the end tells every part whole; an answer that is withheld has no such end.
    events = [*events[:-1], END]
    got = decoded(frames(events, layout))
    assert state(got)["texts"] == state(events)["texts"]
    assert canonical(got)[-1] == canonical(events)[-1]


# -- the frames as the wire page shows them ----------------------------------------------------------------


def test_increments_are_laid_out_as_in_the_captures_of_2026() -> None:
    said: list[Step] = [TextDelta("1"), TextDelta(", 2"), END]
    one, two, three, four, five = values(said, mode="delta", empty_first=True)
    assert one["parts"] == []
    assert two["parts"][0] == {
        "logic_id": "part-1",
        "role": "assistant",
        "status": "init",
        "content": [{"type": "text", "text": "1"}],
    }
    assert three["parts"][0]["content"] == [{"type": "text", "text": ", 2"}]
    assert (four["status"], four["parts"][0]["status"]) == ("init", "finish")
    assert (five["status"], five["parts"][0]["status"]) == ("finish", "finish")
    for frame in (four, five):
        assert frame["parts"][0]["content"] == [{"type": "text", "text": "1, 2"}]


def test_snapshots_are_laid_out_as_in_2025() -> None:
    events: list[Step] = [TextDelta("你好"), TextDelta("！我"), TextDelta("。"), END]
    one, two, three = values(events, key="id", empty_first=False, last_in_finish=True)
    assert one["parts"][0]["id"] == "part-1"
    assert [frame["parts"][0]["content"][0]["text"] for frame in (one, two, three)] == [
        "你好",
        "你好！我",
        "你好！我。",
    ]
    assert [frame["status"] for frame in (one, two, three)] == ["init", "init", "finish"]
    assert one["id"] == "m1"


def test_thinking_and_its_answer_share_a_part_and_code_has_its_own() -> None:
    said: list[Step] = [
        ReasoningDelta("a"),
        TextDelta("b"),
        ReasoningDelta("c"),
        TextDelta("d"),
        CodeDelta("e"),
        END,
    ]
    last = values(said, all_parts=True)[-1]
    assert [[item["type"] for item in part["content"]] for part in last["parts"]] == [
        ["think", "text"],
        ["think", "text"],
        ["code"],
    ]


def test_only_the_parts_that_changed_are_listed_unless_all_are_asked_for() -> None:
    said: list[Step] = [TextDelta("a"), CodeDelta("b"), END]
    assert [len(frame["parts"]) for frame in values(said)] == [0, 1, 1, 1, 1]
    assert [len(frame["parts"]) for frame in values(said, all_parts=True)] == [0, 1, 1, 2, 2]
    assert [len(frame["parts"]) for frame in values(said, key=None)] == [0, 1, 1, 2, 2]


def test_an_image_has_a_placeholder_and_output_is_a_tools() -> None:
    frames_ = values([Image("https://x/y.png"), ExecutionOutput("2"), END], empty_first=False)
    placeholder, image, output, _ = (frame["parts"][0] for frame in frames_)
    assert (placeholder["status"], placeholder["content"][0]["image"]) == (
        "init",
        [{"image_url": ""}],
    )
    assert (image["status"], image["content"][0]["image"]) == (
        "finish",
        [{"image_url": "https://x/y.png"}],
    )
    assert (output["role"], output["status"]) == ("tool", "finish")


def test_the_end_tells_the_ids_and_the_model_and_may_be_repeated() -> None:
    finish = Finish("stop", conversation_id="c9", response_id="m9", model="moe_1")
    got = values([TextDelta("a"), finish], repeat_final=1, empty_first=False)
    assert {(frame["conversation_id"], frame["id"]) for frame in got} == {("c9", "m9")}
    assert got[0]["parts"][0]["model"] == "moe_1"
    assert got[-1] == got[-2]
    assert decoded(frames([TextDelta("a"), finish]))[-1] == Finish(
        "stop", raw_reason="finish", conversation_id="c9", response_id="m9", model="moe_1"
    )


def test_an_intervention_tells_why() -> None:
    last = values([TextDelta("a"), Finish("content_filter", message="非常抱歉")])[-1]
    assert last["status"] == "intervene"
    assert last["last_error"]["intervene_text"] == "非常抱歉"
    assert values([Finish("content_filter")])[-1]["last_error"]["intervene_text"] == ""


def test_what_is_no_event_stays_where_it_is() -> None:
    said: list[Step] = [
        b": ping\n\n",
        TextDelta("a"),
        Pause(1),
        Cut(),
        Reset(),
        EndBody(),
        b"never",
    ]
    ping, first, frame, *rest = encode(said)
    assert ping == b": ping\n\n"
    assert b'"parts":[]' in first  # type: ignore[operator]
    assert b'"text":"a"' in frame  # type: ignore[operator]
    assert rest == [Pause(1), Cut(), Reset()]


def test_a_lone_surrogate_is_escaped() -> None:
    assert decoded(frames([TextDelta("\ud83d"), END]))[0] == TextDelta("\ud83d")


# -- refusals in the middle --------------------------------------------------------------------------------


def refused(step: Refusal) -> tuple[APIStatusError, list[Event]]:
    decoder = ChatGLMDecoder()
    out: list[Event] = []
    with pytest.raises(APIStatusError) as caught:
        for frame in frames([TextDelta("a"), step]):
            decoder.feed(frame, out)
    return caught.value, out


def test_an_error_in_the_middle_is_an_error_frame() -> None:
    error, out = refused(Refusal("server", "overloaded", code=77))
    assert isinstance(error, ServerError)
    assert (error.message, error.code) == ("overloaded", "77")
    assert out == [TextDelta("a")]


def test_a_refusal_in_the_middle_is_the_json_of_one() -> None:
    error, out = refused(Refusal("login"))
    assert (type(error), error.message, error.code) == (
        ServiceBlockedError,
        "login required",
        "40103",
    )
    assert out == [TextDelta("a")]
    error, _ = refused(Refusal(body={"status": 7, "message": "own"}))
    assert (error.message, error.code) == ("own", "7")


@pytest.mark.parametrize("refusal", [Refusal("blocked"), Refusal(body="<html>")])
def test_a_page_cannot_come_in_the_middle(refusal: Refusal) -> None:
    with pytest.raises(ConfigurationError, match="make it the first step"):
        encode([TextDelta("a"), refusal])


@pytest.mark.parametrize("replace", [TextReplace, ReasoningReplace])
def test_a_rewrite_of_nothing_is_the_first_of_its_kind(replace: Any) -> None:
    grown = {TextReplace: TextDelta, ReasoningReplace: ReasoningDelta}[replace]
    assert decoded(frames([replace(0, "雪"), Finish("stop")]))[:-1] == [grown("雪")]


# -- what the service cannot say ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "step",
    [
        QueueStatus(1, 2),
        Notice("x"),
        Image("data:image/png;base64,AA"),
        SearchResults((SearchResult("a", "b", content="c"),)),
        ToolCallDelta(1, "", "", ""),
        Finish("length"),
        Finish("tool_calls"),
        Finish("other"),
        Finish("stop", usage=Usage()),
        Finish("stop", request_id="x"),
    ],
    ids=repr,
)
def test_an_event_that_the_service_cannot_say_is_an_error(step: Event) -> None:
    with pytest.raises(ConfigurationError, match="'chatglm' has no way to say") as caught:
        encode([step])
    assert type(step).__name__ in str(caught.value)


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([TextReplace(1, "a")], "begins at character 1, but there are 0"),
        ([TextDelta("ab"), TextReplace(-1, "a")], "begins at character -1"),
        ([CodeDelta("a", 1)], "the next is 0"),
        ([CodeReplace(0, "a")], "has not begun"),
        (
            [CodeDelta("a"), CodeReplace(2, "a")],
            "code block 0 begins at character 2, but there are 1",
        ),
        ([Unknown("x", "no json")], "whose 'type' is 'x'"),
        ([Unknown("x", '{"type":"y"}')], "whose 'type' is 'x'"),
        ([Unknown("x", "[]")], "whose 'type' is 'x'"),
    ],
)
def test_a_step_that_makes_no_sense_is_an_error(steps: list[Step], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        encode(steps)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ({"mode": "other"}, "'snapshot' or 'delta', not 'other'"),
        ({"key": "name"}, "'logic_id', 'id' or None, not 'name'"),
        ({"repeat_final": -1}, "0 or more, not -1"),
        ({"repeat_final": True}, "not True"),
        ({"repeat_final": "1"}, "not '1'"),
    ],
)
def test_a_layout_that_there_is_not_is_an_error(argument: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Layout(**argument)
    assert words in str(caught.value)
