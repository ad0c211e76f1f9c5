"""What the platform's streams mean, however the network cuts them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.limits import Limits
from glmclient.errors import (
    APIStatusError,
    GLMError,
    LimitExceeded,
    ProtocolError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
)
from glmclient.events import Event, Finish, TextDelta
from tests.core.wire import cut_at, every_cut

from .driving import JSON, decoded, decoder, frames
from .wire import PLATFORM, ROWS, Row, chunk, end

each_row = pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])


@each_row
def test_a_stream_means_the_same_however_it_is_cut(row: Row) -> None:
    for chunks in every_cut(row.raw):
        events, error, done = decoded(chunks, **row.options)
        assert error is None, chunks
        assert events == row.events, chunks
        assert done


@each_row
@given(cuts=st.lists(st.integers(0, 3000)))
def test_a_stream_means_the_same_at_any_cuts(row: Row, cuts: list[int]) -> None:
    assert decoded(cut_at(row.raw, cuts), **row.options) == (row.events, None, True)


@pytest.mark.parametrize("row", PLATFORM, ids=[row.name for row in PLATFORM])
def test_a_stream_that_is_cut_off_is_whole_or_no_success(row: Row) -> None:
    for length in range(len(row.raw)):
        events, error, done = decoded([row.raw[:length]], **row.options)
        assert error is None
        if done:
            # The finish reason was there: the end of the body is the end of the answer.
            assert isinstance(events[-1], Finish)
        else:
            assert events == row.events[: len(events)]
            assert not any(isinstance(event, Finish) for event in events)


def test_nothing_at_all_is_no_success() -> None:
    for raw in (b"", b"\n\n", b": hello\n\n", b"\xef\xbb\xbf"):
        assert decoded([raw]) == ([], None, False)


def test_a_first_byte_tells_a_stream_from_a_body_whatever_the_headers_say() -> None:
    for headers in ({}, JSON, {"content-type": "text/html"}, {"content-type": "text/plain"}):
        stream = decoded([frames(chunk({"content": "a"}, "stop"))], headers=headers)
        assert stream == ([TextDelta("a"), end()], None, True)
    whole = b'{"choices":[{"message":{"content":"a"}}]}'
    assert decoded([whole]) == ([TextDelta("a"), Finish("other")], None, True)


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("no JSON", frames("{not json")),
        ("no object", frames("[1]")),
        ("a number", frames("7")),
        ("text", frames('"x"')),
        ("too deep", frames("[" * 200_000)),
    ],
)
def test_a_frame_that_is_no_chunk_is_an_error_that_shows_it(name: str, raw: bytes) -> None:
    begun = frames(chunk({"content": "a"}), done=False)
    events, error, _ = decoded([begun + raw])
    assert events == [TextDelta("a")]
    assert isinstance(error, ProtocolError)
    assert error.frame == raw[6:].decode().partition("\n")[0][:500]
    assert not error.retryable


def test_a_body_that_is_no_json_is_an_error_that_shows_it() -> None:
    events, error, _ = decoded([b'{"choices": ['])
    assert events == []
    assert isinstance(error, ProtocolError)
    assert error.frame == '{"choices": ['


def test_a_plain_text_body_is_a_refusal_in_its_words() -> None:
    for cut in every_cut(b"upstream connect error"):
        _, error, _ = decoded(cut, headers={"content-type": "text/plain"})
        assert isinstance(error, APIStatusError)
        assert error.message == "upstream connect error"


def test_a_page_in_place_of_a_stream_blocks() -> None:
    page = b"<!DOCTYPE html><html><head><title> Sign\n in </title></head></html>"
    for cut in every_cut(page):
        _, error, _ = decoded(cut, headers={"content-type": "text/html"})
        assert isinstance(error, ServiceBlockedError)
        assert "Sign in" in error.message
        assert not error.retryable


def test_an_endless_page_is_cut() -> None:
    made = decoder(headers={"content-type": "text/html"}, limits=Limits(error_body=100))
    out: list[Event] = []
    made.feed(b"<html>" + b"x" * 50, out)
    with pytest.raises(ServiceBlockedError) as caught:
        made.feed(b"x" * 50, out)
    assert len(caught.value.body) == 100


def test_a_whole_answer_has_a_bound() -> None:
    made = decoder(headers=JSON, limits=Limits(body=10))
    out: list[Event] = []
    made.feed(b'{"a": "xxx', out)
    with pytest.raises(LimitExceeded) as caught:
        made.feed(b"x", out)
    assert (caught.value.limit, caught.value.maximum, caught.value.actual) == ("body", 10, 11)
    assert "10" in str(caught.value) and "11" in str(caught.value)


def test_lines_and_frames_have_bounds() -> None:
    for limits in (Limits(line=100), Limits(frame=100)):
        _, error, _ = decoded(
            [frames(chunk({"content": "a"}), chunk({"content": "x" * 300}))], decoder(limits=limits)
        )
        assert isinstance(error, LimitExceeded)
    _, error, _ = decoded([b"data: " + b"x" * 200], decoder(limits=Limits(line=100)))
    assert isinstance(error, LimitExceeded)


# -- the service's own failure ---------------------------------------------------------------------------------


def test_a_network_error_before_anything_is_a_server_error_worth_another_try() -> None:
    raw = frames(chunk({"role": "assistant", "content": ""}, "network_error"))
    for cut in every_cut(raw):
        events, error, done = decoded(cut)
        assert events == [] and not done
        assert type(error) is ServerError
        assert error.retryable
        assert error.code == "network_error"


def test_a_network_error_in_the_middle_interrupts() -> None:
    raw = frames(chunk({"content": "a"}), chunk({"content": "b"}, "network_error", request_id="r"))
    for cut in every_cut(raw):
        events, error, done = decoded(cut)
        assert events == [TextDelta("a"), TextDelta("b")] and not done
        assert type(error) is StreamInterrupted
        assert error.request_id == "r"
        assert isinstance(error.__cause__, ServerError)
        assert error.__cause__.code == "network_error"


# -- anything --------------------------------------------------------------------------------------------------

FIELDS = [
    *(
        "choices",
        "delta",
        "message",
        "content",
        "reasoning",
        "reasoning_content",
        "tool_calls",
        "index",
    ),
    *("id", "function", "name", "arguments", "type", "finish_reason", "usage", "prompt_tokens"),
    *("prompt_tokens_details", "web_search", "title", "error", "code", "msg", "status", "object"),
    *("model", "refusal"),
]
DELTA_FIELDS = ["content", "reasoning", "reasoning_content", "tool_calls", "refusal", "role", "x"]

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(FIELDS), inner, max_size=5)
    ),
    max_leaves=20,
)
odd_chunks = st.lists(json_values, max_size=6).map(
    lambda values: frames(*(json.dumps(value) for value in values))
)
odd_deltas = st.lists(
    st.dictionaries(
        st.sampled_from(DELTA_FIELDS),
        json_values,
    ),
    max_size=6,
).map(lambda deltas: frames(*(chunk(delta) for delta in deltas)))


@given(
    raw=st.binary(max_size=200) | odd_chunks | odd_deltas,
    cuts=st.lists(st.integers(0, 2000), max_size=8),
    unknown=st.booleans(),
    tags=st.booleans(),
)
def test_any_bytes_give_events_or_an_error(
    raw: bytes, cuts: list[int], unknown: bool, tags: bool
) -> None:
    events, error, done = decoded([raw], include_unknown=unknown, think_tags=tags)
    assert sum(isinstance(event, Finish) for event in events) == done
    assert error is None or isinstance(error, GLMError)
    again, same, ended = decoded(cut_at(raw, cuts), include_unknown=unknown, think_tags=tags)
    assert (again, ended) == (events, done)
    assert type(same) is type(error) and str(same) == str(error)


@pytest.mark.parametrize(
    ("raw", "kind", "words"),
    [
        (b"data: [DONE]\n\n", ProtocolError, "without any answer"),
        (b'data: {"detail":"no such pool"}\n\ndata: [DONE]\n\n', APIStatusError, "no such pool"),
        (b'data: {"msg":"busy"}\n\ndata: [DONE]\n\n', APIStatusError, "busy"),
        (b'data: {"id":"1","choices":[]}\n\ndata: [DONE]\n\n', ProtocolError, "without any answer"),
        (b'data: {"usage":{"total_tokens":1}}\n\ndata: [DONE]\n\n', ProtocolError, "total_tokens"),
        (b": hello\n\ndata:\n\ndata: [DONE]\n\n", ProtocolError, "without any answer"),
    ],
)
def test_an_end_mark_without_any_answer_is_no_success(
    raw: bytes, kind: type[GLMError], words: str
) -> None:
    for chunks in every_cut(raw):
        events, error, done = decoded(chunks)
        assert (events, done) == ([], False)
        assert isinstance(error, kind)
        assert words in str(error)


def test_an_empty_choice_is_an_answer_without_words() -> None:
    raw = b'data: {"choices":[{"delta":{}}]}\n\ndata: [DONE]\n\n'
    assert decoded([raw]) == ([Finish("other")], None, True)
