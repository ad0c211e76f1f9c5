"""The simulator's frames prove the decoder: what goes in comes out, in every layout, cut at every byte."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.errors import (
    BadRequestError,
    ConfigurationError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
)
from glmclient.events import (
    Event,
    Finish,
    Notice,
    QueueStatus,
    ReasoningDelta,
    TextDelta,
    TextReplace,
    Unknown,
    Usage,
)
from glmclient.providers.gradio.encoder import Layout, encode, encoded
from glmclient.providers.gradio.wire import encode_history
from glmclient.simulator import Cut, EndBody, Pause, Refusal, Reset, Step
from tests.support.canonical import canonical

from .recorded import Outcome, decoded, decoder_for

TURNS = (("user", "before"), ("assistant", "said"))
KINDS: list[tuple[Any, Any]] = [
    ("pairs", "sse_v1"),
    ("pairs", "sse_v2"),
    ("objects", "sse_v2.1"),
    ("pairs", "sse_v3"),
    ("objects", "sse_v3"),
    ("messages", "sse_v3"),
    ("parts", "sse_v3"),
]
LAYOUTS = [
    Layout(chatbot, protocol, "q", tuple(encode_history(turns, chatbot)), "S", "e1")
    for chatbot, protocol in KINDS
    for turns in ((), TURNS)
]

END = Finish("stop", response_id="e1")
EVERYTHING: list[Event] = [
    QueueStatus(2, 3, 1.5),
    QueueStatus(0, 1),
    Notice("loading", "info", "Info"),
    Notice("'quoted' words", "warning"),
    Notice("half way", "progress"),
    TextDelta("Thinking..."),
    TextReplace(0, "你好 👩‍💻"),
    Unknown("new_thing", '{"msg":"new_thing","value":[1,"x"]}'),
    TextDelta("\u2028\x85\r\n\t"),
    TextReplace(3, ""),
    TextDelta("!"),
    END,
]


def read(raw: bytes, layout: Layout, chunks: list[bytes] | None = None) -> Outcome:
    decoder = decoder_for(
        layout.event_id,
        diffs=layout.protocol != "sse_v1",
        sent=list(layout.history),
        include_status=True,
        include_unknown=True,
    )
    return decoded(chunks if chunks is not None else [raw], decoder)


def written(steps: Iterable[Step], layout: Layout) -> bytes:
    return b"".join(item for item in encode(steps, layout) if isinstance(item, bytes))


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_everything_comes_back_in_every_layout(layout: Layout) -> None:
    outcome = read(written(EVERYTHING, layout), layout)
    assert outcome.error is None and outcome.decoder.done
    assert canonical(outcome.events) == canonical(EVERYTHING)


@pytest.mark.parametrize("layout", [LAYOUTS[0], LAYOUTS[9], LAYOUTS[13]], ids=repr)
def test_everything_comes_back_cut_at_every_byte(layout: Layout) -> None:
    raw = written(EVERYTHING, layout)
    whole = read(raw, layout).events
    assert read(raw, layout, [raw[i : i + 1] for i in range(len(raw))]).events == whole
    for place in range(len(raw)):
        assert read(raw, layout, [raw[:place], raw[place:]]).events == whole


WORDS = st.text(max_size=6)
EVENTS = st.one_of(
    st.builds(TextDelta, WORDS),
    st.builds(TextReplace, st.integers(0, 20), WORDS),
    st.builds(QueueStatus, st.integers(0, 9), st.integers(1, 9), st.none() | st.just(0.5)),
    st.builds(Notice, st.sampled_from(["slow", "你好"]), st.sampled_from(["info", "error"])),
)


@given(st.lists(EVENTS, max_size=10), st.sampled_from(LAYOUTS), st.lists(st.integers(1, 2000)))
def test_any_answer_comes_back_however_it_is_cut(
    events: list[Event], layout: Layout, cuts: list[int]
) -> None:
    said = fitted([*events, END])
    raw = written(said, layout)
    places = [0, *sorted(min(cut, len(raw)) for cut in cuts), len(raw)]
    chunks = [raw[a:b] for a, b in itertools.pairwise(places)]
    outcome = read(raw, layout, chunks)
    assert outcome.error is None
    assert canonical(outcome.events) == canonical(said)


def fitted(events: list[Event]) -> list[Event]:
    """Return the events with replacements that begin within the text."""
    length, fitting = 0, []
    for event in events:
        if isinstance(event, TextReplace):
            event = TextReplace(min(event.start, length), event.text)
            length = event.start + len(event.text)
        elif isinstance(event, TextDelta):
            length += len(event.text)
        fitting.append(event)
    return fitting


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@pytest.mark.parametrize(
    ("refusal", "kind"),
    [
        (Refusal("server"), ServerError),
        (Refusal("server", "It's <b>broken</b>."), ServerError),
        (Refusal("quota"), QuotaExceededError),
        (Refusal("quota", "none left"), QuotaExceededError),
        (Refusal("rate_limit"), RateLimitError),
        (Refusal("rate_limit", "slow down"), RateLimitError),
        (Refusal("bad_request"), BadRequestError),
        (Refusal("bad_request", "Value: 'x' is not in the list of choices: []"), BadRequestError),
    ],
)
def test_a_failure_in_the_middle_comes_back(layout: Layout, refusal: Refusal, kind: type) -> None:
    outcome = read(written([TextDelta("Hel"), refusal], layout), layout)
    assert type(outcome.error) is kind and outcome.text == "Hel"
    assert "<" not in str(outcome.error)
    if refusal.message is not None and "<" not in refusal.message:
        assert refusal.message in str(outcome.error)


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
def test_a_cancel_comes_back(layout: Layout) -> None:
    said = encoded((TextDelta("Hel"), TextDelta("lo"), END), layout, iter([False, True]))
    raw = b"".join(item for item in said if isinstance(item, bytes))
    outcome = read(raw, layout)
    assert type(outcome.error) is StreamInterrupted and outcome.text == "Hel"


def messages(layout: Layout, *steps: Step) -> list[dict[str, Any]]:
    lines = written(steps, layout).split(b"\n\n")
    return [json.loads(line.removeprefix(b"data: ")) for line in lines if line]


def test_the_frames_are_those_of_real_servers() -> None:
    """Beside a recording of the same answer, field for field where the time does not change them."""
    layout = Layout("objects", "sse_v3", "case:double", (), "You are a scripted assistant.", "e1")
    ours = messages(layout, TextDelta("谢"), TextDelta("谢"), END)
    from .recorded import Recording

    theirs = Recording.read("4.44.1-ms_double").messages[1:]
    assert [m["msg"] for m in ours] == [m["msg"] for m in theirs]
    for own, other in zip(ours, theirs, strict=True):
        assert own.keys() == other.keys()
        if isinstance(other.get("output"), dict):
            assert normal(own["output"]["data"]) == normal(other["output"]["data"])  # type: ignore[index]


def normal(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def test_older_servers_escape_and_do_not_close() -> None:
    for protocol in ("sse_v1", "sse_v2"):
        raw = written([TextDelta("你"), END], Layout("pairs", protocol))
        assert raw.isascii() and b"close_stream" not in raw
    assert b"close_stream" in written([TextDelta("a"), END], Layout("pairs"))


def test_what_is_not_an_event_stays_where_it_is() -> None:
    steps: list[Step] = [b"raw", Pause(1), TextDelta("a"), Cut(), Reset()]
    assert [type(item) for item in encode(steps)] == [bytes, bytes, Pause, bytes, Cut, Reset]
    assert encode([Pause(1), b"x", Cut()]) == [Pause(1), b"x", Cut()]
    ended = encode([TextDelta("a"), EndBody(), b"late"])
    assert len(ended) == 2 and not any(
        b"completed" in item for item in ended if isinstance(item, bytes)
    )


@pytest.mark.parametrize(
    "step",
    [
        ReasoningDelta("hm"),
        Finish("length"),
        Finish("stop", usage=Usage(1, 2, 3)),
        Finish("stop", message="no"),
        Notice("x", "loud"),
        Notice("x", "progress", "Title"),
        Refusal("blocked"),
        Refusal("login"),
    ],
)
def test_what_a_space_cannot_say_is_refused(step: Step) -> None:
    with pytest.raises(ConfigurationError, match="has no way to say"):
        encode([step])


@pytest.mark.parametrize("data", ["not json", "[]", '{"msg":"other"}'])
def test_an_unknown_message_must_be_one(data: str) -> None:
    with pytest.raises(ConfigurationError, match="must be a JSON object whose 'msg' is 'thing'"):
        encode([Unknown("thing", data)])


@pytest.mark.parametrize(
    ("chatbot", "protocol", "words"),
    [
        ("tuples", "sse_v3", "chatbot must be one of pairs, objects, messages, parts"),
        ("pairs", "sse", "protocol must be one of sse_v1"),
        ("parts", "sse_v2", "came with Gradio 5"),
    ],
)
def test_a_layout_that_never_was_is_refused(chatbot: Any, protocol: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Layout(chatbot, protocol)
