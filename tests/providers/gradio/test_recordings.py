"""Every recorded stream of a real server gives the recorded answer, or the documented error."""

from __future__ import annotations

import itertools
import json

import pytest

from glmclient.errors import GLMError, QuotaExceededError, ServerError, StreamInterrupted
from glmclient.events import Finish, Notice, QueueStatus, TextDelta, TextReplace

from .recorded import Outcome, Recording, decoded, decoder_for, names

ANSWERED = [*names(answered=True), "4.44.1-ms_none"]

FAILED: dict[str, tuple[type[GLMError], str, str]] = {
    # name: class, words of the service, the text before it
    "4.12.0_err_gr": (
        ServerError,
        "The model crashed in the middle.",
        "Hello! Streaming works like this: the server keeps the whole answer and",
    ),
    "4.44.1-ms_cancel": (StreamInterrupted, "", "s0 s1 s2 s3 s4 s5 s6 s7 s8 s9"),
    "4.44.1-ms_err_exc": (
        ServerError,
        "the app failed and does not say why",
        "Hello! Streaming works like this: the server keeps the whole answer and",
    ),
    "4.44.1-ms_err_gr": (
        ServerError,
        "The model crashed in the middle.",
        "Hello! Streaming works like this: the server keeps the whole answer and",
    ),
    "4.44.1-ms_quota": (
        QuotaExceededError,
        (
            "You have exceeded your GPU quota (60s requested vs. 12s left). "
            "Create a free account to get more usage quota."
        ),
        "Hello! Streaming works like this: the server keeps the whole answer and",
    ),
    "5.50.0-msg_err_gr": (
        ServerError,
        "The model crashed in the middle.",
        "Hello! Streaming works like this: the server keeps the whole answer and",
    ),
    "6.31.0_err_gr": (
        ServerError,
        "The model crashed in the middle.",
        "Hello! Streaming works like this: the server keeps the whole answer and",
    ),
    "6.31.0_unknown_session": (ServerError, "404: Not Found", ""),
}
CUT = {"4.44.1-ms_server_sigkill": "s0 s1 s2 s3 s4 s5 s6 s7 s8 s9"}
OF_TWO_EVENTS = {
    "4.44.1-ms_multiplex": [
        (
            "Hello! Streaming works like this: the server keeps the whole answer and sends only what was "
            "added since the previous message. That is cheap, and easy to get wrong."
        ),
        "你好！我是一个测试助手。流式传输时，服务器只发送新增的部分，而不是完整的答案。请注意：第一条消息是完整的。",
    ]
}


def replayed(
    recording: Recording, chunks: list[bytes], event_id: str = "", **known: object
) -> Outcome:
    event_id = event_id or next(iter(recording.event_ids), "none")
    return decoded(chunks, decoder_for(event_id, diffs=recording.diffs, **known))


def expected_text(recording: Recording) -> str:
    return "" if recording.name.endswith("_none") else recording.expected


def test_every_recording_is_tested() -> None:
    tested = {*ANSWERED, *FAILED, *CUT, *OF_TWO_EVENTS}
    assert tested == {*names(answered=True), *names(answered=False)}


@pytest.mark.parametrize("name", ANSWERED)
def test_an_answer_is_the_recorded_one_however_it_is_cut(name: str) -> None:
    recording = Recording.read(name)
    whole: list[object] | None = None
    for how, chunks in recording.cuts():
        outcome = replayed(recording, chunks)
        assert outcome.error is None, how
        assert outcome.text == expected_text(recording), how
        assert [type(e) for e in outcome.events].count(Finish) == 1, how
        assert isinstance(outcome.events[-1], Finish) and outcome.decoder.done, how
        whole = whole if whole is not None else list(outcome.events)
        assert outcome.events == whole, how


@pytest.mark.parametrize("name", ANSWERED)
def test_the_text_at_every_event_is_the_servers_own(name: str) -> None:
    """A reference that applies each edit to the whole output and shows the last assistant text."""
    recording = Recording.read(name)
    shown = ["", *(text for text in reference_texts(recording))]
    expected = [new for old, new in itertools.pairwise(shown) if new != old]
    told, texts = "", []
    for event in replayed(recording, recording.network_chunks).events[:-1]:
        told = (
            told + event.text if isinstance(event, TextDelta) else told[: event.start] + event.text
        )
        texts.append(told)
    assert texts == expected


def reference_texts(recording: Recording) -> list[str]:
    value: object = None
    texts = []
    for message in recording.messages:
        output = message.get("output")
        if not output:
            continue
        told = output["data"][1]  # type: ignore[index]
        if value is None or not recording.diffs or message["msg"] == "process_completed":
            value = told
        else:
            for action, path, operand in told:
                value = reference_edit(value, action, path, operand)
        texts.append(reference_text(value))
    return texts


def reference_edit(value: object, action: str, path: list[object], operand: object) -> object:
    if not path:
        return value + operand if action == "append" else operand  # type: ignore[operator]
    copy = list(value) if isinstance(value, list) else dict(value)  # type: ignore[call-overload]
    key = path[0]
    if len(path) > 1:
        copy[key] = reference_edit(copy[key], action, path[1:], operand)
    elif action == "add":
        copy.insert(key, operand)
    else:
        copy[key] = operand if action == "replace" else copy[key] + operand
    return copy


def reference_text(value: object) -> str:
    if not value:
        return ""
    last = value[-1]  # type: ignore[index]
    said = last["content"] if isinstance(last, dict) else last[1]
    said = said["text"] if isinstance(said, dict) else said
    return said[0]["text"] if isinstance(said, list) else said


@pytest.mark.parametrize(
    "name", [n for n in ANSWERED if n.rpartition("_")[2] in ("zh", "ascii", "emoji")]
)
def test_deltas_come_with_the_network_chunk_that_holds_them(name: str) -> None:
    recording = Recording.read(name)
    outcome = replayed(recording, recording.network_chunks)
    updates = sum(m["msg"] == "process_generating" for m in recording.messages)
    batches = [batch for batch in outcome.batches if any(isinstance(e, TextDelta) for e in batch)]
    assert len(batches) > 10
    assert sum(isinstance(e, TextDelta) for e in outcome.events) == updates
    assert not any(isinstance(e, TextReplace) for e in outcome.events)


@pytest.mark.parametrize("name", FAILED)
def test_a_failure_is_its_documented_class_however_it_is_cut(name: str) -> None:
    kind, words, before = FAILED[name]
    recording = Recording.read(name)
    for how, chunks in recording.cuts():
        outcome = replayed(recording, chunks)
        assert type(outcome.error) is kind, how
        assert outcome.text == before, how
        assert getattr(outcome.error, "message", "") == words, how
        assert outcome.decoder.over and not outcome.decoder.done, how
        assert "'" not in words or "<a" not in str(outcome.error), how


def test_a_cancelled_answer_may_be_asked_for_again() -> None:
    recording = Recording.read("4.44.1-ms_cancel")
    error = replayed(recording, [recording.raw]).error
    assert error is not None and error.retryable and "cancelled" in str(error)


def test_a_quota_is_never_asked_for_again() -> None:
    recording = Recording.read("4.44.1-ms_quota")
    error = replayed(recording, [recording.raw]).error
    assert isinstance(error, QuotaExceededError)
    assert not error.retryable and error.retry_after is None and error.status_code == 200


def test_an_unknown_session_is_marked_as_lost() -> None:
    recording = Recording.read("6.31.0_unknown_session")
    outcome = replayed(recording, [recording.raw])
    assert outcome.decoder.session_lost and outcome.error is not None and outcome.error.retryable


@pytest.mark.parametrize("name", CUT)
def test_a_cut_stream_is_not_done(name: str) -> None:
    recording = Recording.read(name)
    assert recording.ended == "eof-without-last-chunk"
    for how, chunks in recording.cuts():
        outcome = replayed(recording, chunks)
        outcome.decoder.end([])
        assert outcome.error is None and not outcome.decoder.done, how
        assert not any(isinstance(e, Finish) for e in outcome.events), how
        assert outcome.text == CUT[name], how


@pytest.mark.parametrize("name", OF_TWO_EVENTS)
def test_two_events_of_one_session_do_not_mix(name: str) -> None:
    recording = Recording.read(name)
    assert len(recording.event_ids) == 2
    for event_id, text in zip(recording.event_ids, OF_TWO_EVENTS[name], strict=True):
        for how, chunks in recording.cuts():
            outcome = replayed(recording, chunks, event_id)
            assert outcome.error is None and outcome.text == text, how
            assert outcome.events[-1] == Finish("stop", response_id=event_id), how


def test_notices_and_the_queue_come_only_when_asked_for() -> None:
    recording = Recording.read("5.50.0_log")
    plain = replayed(recording, [recording.raw]).events
    full = replayed(recording, [recording.raw], include_status=True).events
    assert {type(event) for event in plain} == {TextDelta, Finish}
    assert [event for event in full if not isinstance(event, (TextDelta, Finish))] == [
        QueueStatus(0, 1, 0.10081619374892291),
        Notice("loading the model", "info", "Info"),
        Notice("Loading 25%", "progress"),
        Notice("the model is slow today", "warning", "Warning"),
        Notice("Almost 75%", "progress"),
    ]
    assert [e for e in full if isinstance(e, (TextDelta, Finish))] == plain


@pytest.mark.parametrize("name", [n for n in ANSWERED if "multiturn" in n or "zh" in n])
def test_the_continuation_is_the_conversation_as_the_server_ended_it(name: str) -> None:
    recording = Recording.read(name)
    finish = replayed(recording, [recording.raw]).events[-1]
    completed = next(m for m in recording.messages if m["msg"] == "process_completed")
    assert isinstance(finish, Finish) and finish.continuation is not None
    assert json.loads(finish.continuation) == completed["output"]["data"][1]  # type: ignore[index]
