"""Canaries: what must not be in a cassette is put everywhere, and looked for."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from glmclient.cassette.entries import Happening, Question, RecordedExchange
from glmclient.cassette.scrubbing import Scrubber
from glmclient.core.http import Head

KEY = "0123456789abcdef0123456789abcdef.CanaryCanary1234"
DEVICE = "d0d0d0d0d0d04d0d8d0dd0d0d0d0d0d0"
SESSION = "c4n4ry5e55i"
EVENT = "e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e0"
TALK = "65f0c0ffee65f0c0ffee65f0"
COOKIE = "canary-cookie-7"
CANARIES = (KEY, DEVICE, SESSION, EVENT, TALK, COOKIE, "hf_CanaryCanaryCanary", "proxy-secret")


def everywhere() -> RecordedExchange:
    body = {
        "session_hash": SESSION,
        "conversation_id": TALK,
        "note": f"I say {KEY} and hf_CanaryCanaryCanary and {DEVICE}",
        "nested": json.dumps({"event_id": EVENT, "conversation_id": TALK}),
        "user_id": "someone",
    }
    answer = {
        "event_id": EVENT,
        "conversation_id": TALK,
        "id": EVENT,
        "echo": [KEY, SESSION, DEVICE],
    }
    head = Head(
        200,
        {"x-request-id": EVENT, "x-token": "proxy-secret", "server": f"for {SESSION}"},
        (f"session={COOKIE}; Path=/; HttpOnly", "gone=; Max-Age=0"),
    )
    data = f"data: {json.dumps(answer)}\n\n".encode()
    return RecordedExchange(
        "POST",
        f"https://host/x?session_hash={SESSION}&__sign=proxy-secret&a=1#f",
        {
            "Authorization": f"Bearer {KEY}",
            "Cookie": f"session={COOKIE}",
            "X-Device-Id": DEVICE,
            "Accept": "*/*",
        },
        json.dumps(body).encode(),
        (
            Happening(0.0, "head", head=head),
            *(Happening(0.0, "chunk", chunk=data[at : at + 7]) for at in range(0, len(data), 7)),
            Happening(0.0, "failure", failure="broken", detail=f"at {KEY}"),
        ),
    )


def test_no_canary_sings() -> None:
    clean = Scrubber().exchange(everywhere())
    shown = repr(clean) + repr(
        [(h.head and (h.head.headers, h.head.cookies)) for h in clean.happenings]
    )
    answer = b"".join(h.chunk for h in clean.happenings).decode()
    assert clean.body is not None
    for text in (shown, answer, clean.body.decode()):
        assert [canary for canary in CANARIES if canary in text] == []
    assert "someone" not in clean.body.decode()
    assert clean.headers["Authorization"] == clean.headers["Cookie"] == "***"
    assert clean.headers["Accept"] == "*/*"
    head = clean.happenings[0].head
    assert head is not None
    assert head.cookies == ("session=***; Path=/; HttpOnly", "gone=; Max-Age=0")


def test_every_chunk_keeps_its_bounds() -> None:
    before = everywhere()
    after = Scrubber().exchange(before)
    assert [len(h.chunk) for h in after.happenings] == [len(h.chunk) for h in before.happenings]
    assert before.body is not None and after.body is not None
    assert len(before.body) == len(after.body)


def test_an_id_has_one_placeholder_everywhere() -> None:
    scrubber = Scrubber()
    clean = scrubber.exchange(everywhere())
    assert clean.body is not None
    body = json.loads(clean.body)
    answer = json.loads(b"".join(h.chunk for h in clean.happenings).decode().removeprefix("data: "))
    assert body["session_hash"] in clean.url
    assert answer["echo"][1] == body["session_hash"]
    assert answer["conversation_id"] == body["conversation_id"]
    assert json.loads(body["nested"])["event_id"] == answer["event_id"] == answer["id"]
    again = scrubber.exchange(everywhere())
    assert again == clean
    assert scrubber.exchange(clean).body == clean.body


def test_a_placeholder_has_the_shape_of_its_id() -> None:
    said = {"conversation_id": "ab12-cd34-ef56", "request_id": "x" * 12, "user_id": "u1"}
    clean = Scrubber().exchange(
        RecordedExchange("POST", "http://host/", {}, json.dumps(said).encode())
    )
    assert clean.body is not None
    assert json.loads(clean.body) == {
        "conversation_id": "0000-0000-0001",
        "request_id": "000000000002",
        "user_id": "03",
    }


def test_words_stay_words() -> None:
    said = {
        "user_id": "customer",
        "text": "the customer, user 12345678",
        "id": "long-without-any-digit",
        "role": "user",
    }
    clean = Scrubber().exchange(
        RecordedExchange(
            "POST", "http://host/", {"Authorization": "undefined"}, json.dumps(said).encode()
        )
    )
    assert clean.body is not None
    assert json.loads(clean.body) == {**said, "user_id": "00000001"}


def test_a_short_key_is_masked_too() -> None:
    clean = Scrubber().exchange(
        RecordedExchange(
            "POST", "http://host/", {"Authorization": "Bearer abc.def"}, b"I am abc.def."
        )
    )
    assert clean.body == b"I am *******."


def test_a_question_is_clean() -> None:
    scrubber = Scrubber()
    scrubber.exchange(everywhere())
    told: Any = [{"role": "user", "content": [{"type": "text", "text": f"My key: {KEY}"}]}]
    options = {
        "conversation_id": TALK,
        "temperature": 1,
        "continuation": json.dumps({"event_id": EVENT}),
    }
    clean = scrubber.question(Question(told, "glm-4.6", {**options, "user_id": ""}))
    shown = json.dumps([clean.messages, dict(clean.options)])
    assert [canary for canary in CANARIES if canary in shown] == []
    assert clean.options["temperature"] == 1
    assert clean.options["user_id"] == ""


@given(st.binary(max_size=200))
def test_any_bytes_keep_their_length(data: bytes) -> None:
    clean = Scrubber().exchange(RecordedExchange("POST", "http://host/", {}, data))
    assert clean.body is not None
    assert len(clean.body) == len(data)
