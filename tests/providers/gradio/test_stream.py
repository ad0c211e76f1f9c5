"""The messages of a session that no recording holds, and bytes of any kind, cut anywhere."""

from __future__ import annotations

import itertools
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.http import dump_json
from glmclient.core.limits import Limits
from glmclient.errors import (
    ConfigurationError,
    GLMError,
    LimitExceeded,
    ProtocolError,
    ServerError,
    StreamInterrupted,
)
from glmclient.events import Event, Finish, Notice, QueueStatus, TextDelta, TextReplace

from .recorded import Outcome, decoded, decoder_for
from .scripted import completed, failed, frame, generating


def read(*frames: bytes, **known: Any) -> Outcome:
    return decoded([b"".join(frames)], decoder_for("e1", **known))


PAIRS = [["q", "a"]]


def test_values_before_the_first_update_may_be_nothing() -> None:
    outcome = read(generating(None, None, None), generating([], [["replace", [], PAIRS]], []))
    assert outcome.events == [TextDelta("a")] and outcome.error is None


def test_an_update_may_be_empty() -> None:
    outcome = read(generating("", PAIRS, ""), generating([], [], []), generating([], [], []))
    assert outcome.events == [TextDelta("a")]


def test_process_streaming_is_full_even_among_edits() -> None:
    full = frame(
        msg="process_streaming", event_id="e1", output={"data": ["", [["q", "ab"]]]}, success=True
    )
    assert read(generating("", PAIRS), full).events == [TextDelta("a"), TextDelta("b")]


def test_a_completed_message_reconciles() -> None:
    outcome = read(generating("", [["q", "draft"]]), completed("", [["q", "drawn"]]))
    assert outcome.events[:2] == [TextDelta("draft"), TextReplace(3, "wn")]
    assert isinstance(outcome.events[2], Finish) and outcome.text == "drawn"


def test_an_answer_of_one_message_alone() -> None:
    outcome = read(completed("", PAIRS))
    assert outcome.events == [TextDelta("a"), Finish("stop", response_id="e1")]


def test_messages_of_other_events_are_passed_over() -> None:
    other = [
        generating("", [["q", "x"]], event="e2"),
        failed("no", event="e2"),
        completed("", [], event="e2"),
    ]
    assert read(*other, generating("", PAIRS)).events == [TextDelta("a")]


def test_nothing_is_read_behind_our_own_end() -> None:
    outcome = read(completed("", PAIRS), b"data: not json\n\n", failed("late"))
    assert outcome.error is None and outcome.decoder.done


@pytest.mark.parametrize("text", ["\u2028x\u2029", "\x85\x0b\x0c\x1c", "a\\nb\r\n", "\ud800"])
def test_separators_inside_a_text_are_text(text: str) -> None:
    raw = [
        b"data: "
        + dump_json(
            {"msg": "process_completed", "event_id": "e1", "success": True, "output": output}
        )
        + b"\n\n"
        for output in [{"data": ["", [["q", text]]]}]
    ]
    assert read(*raw).text == text


@pytest.mark.parametrize(
    "known", [{"session_not_found": True}, {"message": "404: SESSION NOT FOUND."}]
)
def test_a_lost_session_is_known_by_flag_or_words(known: dict[str, Any]) -> None:
    outcome = read(frame(**{"msg": "unexpected_error", "event_id": None, **known}))
    assert outcome.decoder.session_lost and type(outcome.error) is ServerError


def test_a_stopped_server_has_not_lost_the_session() -> None:
    gone = frame(msg="unexpected_error", event_id=None, message="Server stopped unexpectedly.")
    outcome = read(generating("", PAIRS), gone)
    assert type(outcome.error) is ServerError and not outcome.decoder.session_lost
    assert outcome.events == [TextDelta("a")] and outcome.decoder.over


def test_a_failure_told_in_an_update() -> None:
    bad = frame(msg="process_generating", event_id="e1", output={"error": "broke"}, success=False)
    outcome = read(bad)
    assert type(outcome.error) is ServerError and outcome.error.message == "broke"
    assert outcome.decoder.doubtful


def test_a_failure_is_doubtful_only_before_the_first_update() -> None:
    assert read(failed(None)).decoder.doubtful
    assert not read(generating("", PAIRS), failed(None)).decoder.doubtful
    assert not read(failed("exceeded your GPU quota")).decoder.doubtful


def test_an_empty_output_is_a_cancel_but_only_with_success() -> None:
    cancelled = {"msg": "process_completed", "event_id": "e1", "output": {}}
    assert type(read(frame(**cancelled, success=True)).error) is StreamInterrupted
    assert type(read(frame(**cancelled, success=False)).error) is ServerError
    assert type(read(frame(**cancelled)).error) is ServerError


@pytest.mark.parametrize(
    "raw",
    [
        b"data: hello\n\n",
        b"data: [1]\n\n",
        b"data: 5\n\n",
        b'data: {"msg":5}\n\n',
        b'data: {"no":"msg"}\n\n',
        b"data: " + b"[" * 100_000 + b"\n\n",
        frame(msg="process_generating", event_id="e1", output=None, success=True),
        frame(msg="process_generating", event_id="e1", output={"data": None}, success=True),
        frame(msg="process_generating", event_id="e1", output={"data": [""]}, success=True),
        frame(msg="process_completed", event_id="e1", output={"data": [""]}, success=True),
        frame(msg="process_completed", event_id="e1", output=[], success=True),
        frame(msg="process_completed", event_id="e1", output={"data": ["", "text"]}, success=True),
    ],
)
def test_what_gradio_does_not_send_is_a_protocol_error_that_shows_it(raw: bytes) -> None:
    outcome = read(raw)
    assert type(outcome.error) is ProtocolError and not outcome.error.retryable
    last = raw.rstrip().rpartition(b"data: ")[2].decode()
    assert outcome.error.frame == last[:2000]


@pytest.mark.parametrize("edits", [[["append", [5], "x"]], "x", [["delete", [3], None]], [5]])
def test_an_update_that_does_not_fit_is_an_error_only_if_no_whole_value_follows(edits: Any) -> None:
    misfit, later = generating([], edits), generating([], [["append", [0, 1], "b"]])
    outcome = read(generating("", PAIRS), misfit, later)
    assert outcome.error is None
    with pytest.raises(ProtocolError) as caught:
        outcome.decoder.end([])
    assert caught.value.frame == misfit.decode().strip().removeprefix("data: ")
    whole = frame(
        msg="process_completed", event_id="e1", success=True, output={"data": ["", [["q", "aX"]]]}
    )
    assert read(generating("", PAIRS), misfit, later, whole).text == "aX"


def test_a_conversation_that_cannot_be_sent_back_is_a_protocol_error() -> None:
    outcome = read(
        frame(msg="process_completed", event_id="e1", success=True, output={"data": ["", PAIRS]}),
        continuation=refusing,
    )
    assert type(outcome.error) is ProtocolError and "cannot be sent back: deep" in str(
        outcome.error
    )


def refusing(value: Any, text: str) -> str:
    raise ConfigurationError("deep")


def test_bounds_hold() -> None:
    long = generating("", [["q", "x" * 10_000]])
    for limits in (Limits(line=1000), Limits(frame=1000)):
        outcome = read(long, limits=limits)
        assert type(outcome.error) is LimitExceeded


def test_a_comment_is_a_heartbeat_too() -> None:
    assert read(b": ping\n\n", b":\n\n", frame(msg="heartbeat")).events == []


# -- the queue and notices -----------------------------------------------------------------------------------


def news(**message: Any) -> list[Event]:
    return read(frame(event_id="e1", **message), include_status=True).events


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"rank": 0, "queue_size": 1, "rank_eta": None}, QueueStatus(0, 1, None)),
        ({"rank": 3, "queue_size": 5, "rank_eta": 2}, QueueStatus(3, 5, 2.0)),
        ({"rank": 3, "queue_size": 5, "rank_eta": "soon"}, QueueStatus(3, 5, None)),
        ({"rank": None, "queue_size": 5}, None),
        ({"rank": 1}, None),
        ({}, None),
    ],
)
def test_the_place_in_the_queue(message: dict[str, Any], event: Event | None) -> None:
    assert news(msg="estimation", **message) == ([event] if event else [])


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"log": "hi", "level": "info"}, Notice("hi", "info")),
        ({"log": "<i>hi</i>", "level": "error", "title": "T"}, Notice("hi", "error", "T")),
        ({"log": "hi"}, Notice("hi", "info")),
        ({"log": "", "level": "info"}, None),
        ({"log": 5}, None),
    ],
)
def test_notices(message: dict[str, Any], event: Event | None) -> None:
    assert news(msg="log", **message) == ([event] if event else [])


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (
            {"index": 3, "length": 10, "unit": "steps", "progress": None, "desc": "Loading"},
            "Loading 3/10 steps",
        ),
        ({"index": 3, "length": None, "unit": None, "desc": None}, "3"),
        ({"progress": 0.5, "desc": "<b>Half</b>"}, "Half 50%"),
        ({"progress": True, "desc": "Busy"}, "Busy"),
        ({}, ""),
    ],
)
def test_progress(item: dict[str, Any], words: str) -> None:
    expected = [Notice(words, "progress")] if words else []
    assert news(msg="progress", progress_data=[item, None, 5]) == expected


@pytest.mark.parametrize("data", [None, "x", 5, []])
def test_progress_of_nothing(data: Any) -> None:
    assert news(msg="progress", progress_data=data) == []


@pytest.mark.parametrize("name", ["heartbeat", "process_starts", "close_stream"])
def test_what_says_nothing_is_not_unknown(name: str) -> None:
    assert read(frame(msg=name), include_unknown=True).events == []


# -- any bytes, any cut --------------------------------------------------------------------------------------

SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=6)
JSON = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
)
EDITS = st.lists(
    st.tuples(
        st.sampled_from(["append", "replace", "add", "delete", "x"]),
        st.lists(st.integers(-1, 2) | st.sampled_from(["content", "text"]), max_size=3),
        JSON | st.text(max_size=5),
    ).map(list),
    max_size=3,
)
MESSAGES = st.fixed_dictionaries(
    {
        "msg": st.sampled_from(
            [
                "process_generating",
                "process_completed",
                "process_streaming",
                "unexpected_error",
                "estimation",
                "log",
                "progress",
                "heartbeat",
                "other",
            ]
        )
    },
    optional={
        "event_id": st.sampled_from(["e1", "e2", None]),
        "output": st.fixed_dictionaries({"data": st.tuples(JSON, EDITS | JSON).map(list)}) | JSON,
        "success": st.booleans(),
        "message": JSON,
        "log": JSON,
        "rank": JSON,
        "progress_data": JSON,
    },
)


@given(st.lists(MESSAGES, max_size=6), st.booleans())
def test_any_messages_give_events_or_an_error_of_ours(messages: list[Any], diffs: bool) -> None:
    raw = b"".join(b"data: " + dump_json(message) + b"\n\n" for message in messages)
    whole = outcome_of([raw], diffs)
    assert outcome_of([raw[i : i + 1] for i in range(len(raw))], diffs) == whole
    assert outcome_of([raw[i : i + 5] for i in range(0, len(raw), 5)], diffs) == whole


@given(st.binary(max_size=300), st.lists(st.integers(1, 300), max_size=5))
def test_any_bytes_give_events_or_an_error_of_ours(raw: bytes, cuts: list[int]) -> None:
    places = [0, *sorted(cuts), len(raw)]
    pieces = [raw[i:j] for i, j in itertools.pairwise(places)]
    assert outcome_of(pieces, True) == outcome_of([raw], True)


def outcome_of(chunks: list[bytes], diffs: bool) -> tuple[list[Event], str]:
    decoder = decoder_for("e1", diffs=diffs, include_status=True, include_unknown=True)
    outcome = decoded(chunks, decoder)
    assert outcome.error is None or isinstance(outcome.error, GLMError)
    finishes = [event for event in outcome.events if isinstance(event, Finish)]
    assert len(finishes) == decoder.done and (not finishes or outcome.events[-1] is finishes[0])
    return outcome.events, repr(outcome.error)


def test_messages_cut_at_every_place() -> None:
    raw = (
        frame(msg="estimation", event_id="e1", rank=0, queue_size=1)
        + generating("", [["q", "你"]])
        + generating([], [["append", [0, 1], "好👋"]], [])
        + completed("", [["q", "你好👋"]])
    )
    expected = [TextDelta("你"), TextDelta("好👋"), Finish("stop", response_id="e1")]
    for place in range(len(raw) + 1):
        assert decoded([raw[:place], raw[place:]], decoder_for("e1")).events == expected
    assert json.loads(expected_continuation(raw)) == [["q", "你好👋"]]


def expected_continuation(raw: bytes) -> str:
    finish = decoded([raw], decoder_for("e1")).events[-1]
    assert isinstance(finish, Finish) and finish.continuation is not None
    return finish.continuation
