"""What real servers and relays send beside the documented wire, whole and cut at every byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient.core.retry import RetryPolicy
from glmclient.core.surrogates import Halves
from glmclient.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    StreamInterrupted,
    TransportFailure,
)
from glmclient.events import Event, Finish, ReasoningDelta, TextDelta, ToolCallDelta
from glmclient.providers.chat_completions.codes import status_of_word
from glmclient.providers.chat_completions.provider import OpenAICompatible
from tests.core.wire import every_cut

from .driving import Answered, ask, ask_for_models, decoded, frames, of_json
from .test_errors import refusals
from .wire import chunk, end

DONE = b"data: [DONE]\n\n"


def server() -> OpenAICompatible:
    return OpenAICompatible(base_url="http://server.example/v1", api_key="ollama")


def error_of(raw: bytes, *before: Event) -> GLMError:
    """Return the error of a stream, the same at every cut, after the events ``before``."""
    errors: list[GLMError] = []
    for chunks in every_cut(raw):
        events, error, done = decoded(chunks)
        assert error is not None and not done
        assert events == list(before)
        errors.append(error)
    assert {type(error) for error in errors} == {type(errors[0])}
    assert {str(error) for error in errors} == {str(errors[0])}
    return errors[0]


def events_of(raw: bytes) -> list[Event]:
    """Return the events of a stream, the same at every cut."""
    seen = []
    for chunks in every_cut(raw):
        events, error, done = decoded(chunks)
        assert (error, done) == (None, True)
        seen.append(events)
    assert all(events == seen[0] for events in seen)
    return seen[0]


# -- errors in shapes of their own -----------------------------------------------------------------

HELLO = frames(chunk({"content": "Hi"}), done=False)
TOO_LONG = {
    "code": 400,
    "message": "the request exceeds the context",
    "type": "invalid_request_error",
}


@pytest.mark.parametrize("before", [b"", HELLO])
@pytest.mark.parametrize("after", [b"", DONE])
def test_an_error_in_a_field_of_its_own(before: bytes, after: bytes) -> None:
    raw = before + b"error: " + json.dumps(TOO_LONG).encode() + b"\n\n" + after
    error = error_of(raw, *([TextDelta("Hi")] if before else []))
    assert isinstance(error, BadRequestError)
    assert error.message == "the request exceeds the context"


def test_an_error_field_with_plain_words() -> None:
    error = error_of(b"error: the model is not loaded\n\n" + DONE)
    assert isinstance(error, APIStatusError)
    assert error.message == "the model is not loaded"


@pytest.mark.parametrize("end_of_body", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("indent", [None, 2])
def test_a_refusal_without_framing_after_the_first_chunk(end_of_body: bytes, indent: Any) -> None:
    refusal = json.dumps({"error": {"code": "1302", "message": "too many"}}, indent=indent)
    raw = frames(chunk({"role": "assistant"}), done=False) + refusal.encode() + end_of_body
    error = error_of(raw)
    assert isinstance(error, RateLimitError)
    assert (error.message, error.retryable) == ("too many", True)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ('{"error": "say "hi""}', 'say "hi"'),
        ('{"error":say}', "say"),
        ('{ "error" : "a\\q"}', "a\\q"),
    ],
)
def test_an_error_whose_json_was_written_by_hand(data: str, words: str) -> None:
    error = error_of(f"data: {data}\n\n".encode())
    assert isinstance(error, APIStatusError)
    assert error.message == words


def test_an_error_event_with_plain_words() -> None:
    error = error_of(b"event: error\ndata: worker died\n\n")
    assert isinstance(error, APIStatusError)
    assert error.message == "worker died"


def test_a_status_in_a_comment() -> None:
    body = {"request_id": "r-1", "code": "Throttling.AllocationQuota", "message": "slow down"}
    raw = b"id:1\nevent:error\n:HTTP_STATUS/429\ndata:" + json.dumps(body).encode() + b"\n\n"
    error = error_of(raw)
    assert isinstance(error, RateLimitError)
    assert (error.retryable, error.request_id, error.code) == (True, "r-1", body["code"])
    whole = refusals(429).of_json(body, "")
    assert (type(whole), whole.retryable) == (RateLimitError, True)
    unknown = {"code": "Novelty", "message": "x"}
    raw = b"event:error\n:HTTP_STATUS/403\ndata:" + json.dumps(unknown).encode() + b"\n\n"
    assert isinstance(error_of(raw), PermissionDeniedError)
    raw = b"event:error\n:HTTP_STATUS/503\ndata: no JSON\n\n"
    assert isinstance(error_of(raw), ServerError)
    raw = b"event:error\n:HTTP_STATUS/xyz\ndata: no JSON\n\n"
    assert type(error_of(raw)) is APIStatusError


@pytest.mark.parametrize(
    ("word", "kind", "retryable"),
    [
        ("rate_limit_reached_error", RateLimitError, True),
        ("TooManyRequests", RateLimitError, True),
        ("Throttling", RateLimitError, True),
        ("Throttling.RateQuota", RateLimitError, True),
        ("exceeded_current_quota_error", QuotaExceededError, False),
        ("Arrearage", QuotaExceededError, False),
        ("insufficient_balance", QuotaExceededError, False),
        ("InvalidApiKey", AuthenticationError, False),
        ("unauthenticated", AuthenticationError, False),
        ("AccessDenied.Unpurchased", PermissionDeniedError, False),
        ("Model.NotFound", NotFoundError, False),
        ("ModelNotExist", NotFoundError, False),
        ("DataInspectionFailed", BadRequestError, False),
        ("InvalidParameter", BadRequestError, False),
        ("engine_overloaded_error", ServerError, True),
        ("ServiceUnavailable", ServerError, True),
        ("RequestTimeOut", ServerError, True),
        ("InternalError.Algo", ServerError, True),
    ],
)
@pytest.mark.parametrize("field", ["code", "type"])
def test_a_word_means_the_same_in_a_frame_a_body_and_with_a_status(
    word: str, kind: type[APIStatusError], retryable: bool, field: str
) -> None:
    body = {"error": {field: word, "message": "words"}}
    status = status_of_word(word)
    assert status is not None
    in_frame = error_of(f"data: {json.dumps(body)}\n\n".encode())
    as_body = refusals(200).of_json(body, "")
    by_status = refusals(status).of_json(body, "")
    for error in (in_frame, as_body, by_status):
        assert isinstance(error, kind), (type(error), error)
        assert (error.retryable, error.message) == (retryable, "words")


def test_no_balance_is_not_tried_again_although_it_comes_as_429() -> None:
    refusal = of_json({"error": {"type": "exceeded_current_quota_error", "message": "x"}}, 429)
    turn = ask(server(), [refusal, refusal], model="m")
    assert isinstance(turn.error, QuotaExceededError)
    assert len(turn.requests) == 1


@pytest.mark.parametrize("before", [b"", HELLO])
def test_the_finish_reason_error_is_an_error(before: bytes) -> None:
    raw = before + frames(chunk({}, "error"))
    error = error_of(raw, *([TextDelta("Hi")] if before else []))
    assert isinstance(error, StreamInterrupted if before else ServerError)
    assert error.retryable


def test_a_choice_with_an_error() -> None:
    failed = {"choices": [{"index": 0, "error": {"code": "1305", "message": "busy"}}]}
    error = error_of(frames(failed))
    assert isinstance(error, RateLimitError)
    assert error.message == "busy"
    turn = ask(server(), [of_json(failed)], model="m", retry=RetryPolicy(attempts=1))
    assert isinstance(turn.error, RateLimitError)


# -- what is not an error ----------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, "0", 200, "200", "Success", "ok"])
def test_a_code_of_success_is_no_refusal(code: Any) -> None:
    nothing_wrong = {"code": code, "message": "Success", "choices": []}
    raw = frames(nothing_wrong, chunk({"content": "Hi"}, "stop"))
    assert events_of(raw) == [TextDelta("Hi"), end()]


@pytest.mark.parametrize("name", ["ping", "heartbeat", "Keep-Alive"])
def test_a_heartbeat_may_hold_anything(name: str) -> None:
    raw = f"event: {name}\ndata: 12:00\n\n".encode() + frames(chunk({"content": "Hi"}, "stop"))
    assert events_of(raw) == [TextDelta("Hi"), end()]


def test_frames_separated_by_one_line_feed() -> None:
    two = b"".join(
        f"data: {json.dumps(each)}\n".encode()
        for each in (chunk({"content": "a"}), chunk({"content": "b"}, "stop"))
    )
    assert events_of(two + b"data: [DONE]\n\n") == [TextDelta("a"), TextDelta("b"), end()]
    assert events_of(two + b"\n" + DONE) == [TextDelta("a"), TextDelta("b"), end()]
    assert isinstance(error_of(b"data: {}\ndata: no JSON\n\n"), ProtocolError)


@pytest.mark.parametrize("rubbish", [b"data: {cut\n\n", b"data: 5\n\n", b"data: [1]\n\n"])
def test_a_frame_that_cannot_be_read_after_the_finish_reason(rubbish: bytes) -> None:
    raw = frames(chunk({"content": "Hi"}, "stop"), done=False)
    assert events_of(raw + rubbish) == [TextDelta("Hi"), end()]
    assert isinstance(error_of(HELLO + rubbish, TextDelta("Hi")), ProtocolError)


@pytest.mark.parametrize("kind", ["broken", "garbage"])
def test_a_connection_that_breaks_after_the_finish_reason(kind: Any) -> None:
    raw = frames(chunk({"content": "Hi"}, "stop"), done=False)
    turn = ask(server(), [Answered(body=[raw, TransportFailure(kind)])], model="m")
    assert (turn.error, turn.events) == (None, [TextDelta("Hi"), end()])
    turn = ask(server(), [Answered(body=[HELLO, TransportFailure(kind)])], model="m")
    assert isinstance(turn.error, GLMError)
    turn = ask(server(), [Answered(body=[raw, TransportFailure("cancelled")])], model="m")
    assert isinstance(turn.error, StreamInterrupted)


def test_control_characters_in_strings() -> None:
    raw = b'data: {"choices":[{"delta":{"content":"a\tb\x01"}}]}\n\n' + frames(chunk({}, "stop"))
    assert events_of(raw) == [TextDelta("a\tb\x01"), end()]


def test_a_short_key_is_a_word() -> None:
    body = b'{"error":{"message":"try ollama pull"}}'
    assert refusals(404, key="ollama").of_body(body).message == "try ollama pull"


def test_models_as_a_bare_array() -> None:
    assert ask_for_models(server(), [of_json([{"id": "m"}, {"id": 5}, "x"])]).models[0].id == "m"
    assert ask_for_models(server(), [of_json([])]).models == ()
    assert isinstance(ask_for_models(server(), [of_json(["x"])]).error, APIStatusError)


# -- characters that were cut in two ---------------------------------------------------------------

FIRST, SECOND = "\ud83d", "\ude00"


@pytest.mark.parametrize("field", ["content", "reasoning_content", "reasoning"])
def test_a_character_cut_between_two_frames(field: str) -> None:
    kind: Any = TextDelta if field == "content" else ReasoningDelta
    pieces = ["x" + FIRST, SECOND + "y", FIRST, SECOND, "z"]
    raw = b"".join(
        f"data: {json.dumps(chunk({field: piece}))}\n\n".encode() for piece in pieces
    ) + frames(chunk({}, "stop"))
    events = events_of(raw)
    assert "".join(event.text for event in events if isinstance(event, kind)) == "x😀y😀z"
    assert all(event.text.isprintable() for event in events if isinstance(event, kind))
    assert isinstance(events[-1], Finish)


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_a_half_that_nothing_completes_is_handed_out_at_the_end(field: str) -> None:
    kind: Any = TextDelta if field == "content" else ReasoningDelta
    raw = f"data: {json.dumps(chunk({field: 'x' + FIRST}))}\n\n".encode()
    assert events_of(raw + frames(chunk({}, "stop"))) == [kind("x"), kind(FIRST), end()]


def test_a_character_cut_between_two_fragments_of_arguments() -> None:
    def call(arguments: str) -> dict[str, Any]:
        return chunk({"tool_calls": [{"index": 0, "function": {"arguments": arguments}}]})

    pieces = ['{"a":"' + FIRST, SECOND + '"}', FIRST]
    raw = b"".join(f"data: {json.dumps(call(piece))}\n\n".encode() for piece in pieces)
    events = events_of(raw + frames(chunk({}, "tool_calls")))
    assert [event.arguments for event in events if isinstance(event, ToolCallDelta)] == [
        *('{"a":"', '😀"}', FIRST),
    ]


def test_halves() -> None:
    halves = Halves()
    assert [halves.join(piece) for piece in (FIRST, "a", SECOND, FIRST, FIRST, SECOND)] == [
        *("", f"{FIRST}a", SECOND, "", FIRST, "😀"),
    ]
    assert halves.end() == ""
    assert not halves.needed("a")
    assert halves.needed("a" + FIRST)
