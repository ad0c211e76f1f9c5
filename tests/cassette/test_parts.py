"""A long answer is written in parts, as it comes: bounded memory, no ids, and the same cassette when it is played."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from glmclient.cassette import recorder as recording
from glmclient.cassette.entries import Cassette, parsed
from glmclient.cassette.recorder import Recorder, Tape
from glmclient.core.exchange import Send
from glmclient.core.http import Head, Request

TALK = "65f0c0ffee65f0c0ffee65f0"
KEY = "0123456789abcdef0123456789abcdef.CanaryCanary1234"


def frame(text: str, mark: bytes = b"\n\n") -> bytes:
    value = {"id": "c", "choices": [{"index": 0, "delta": {"content": text}}]}
    return b"data: " + json.dumps(value | {"request_id": TALK}).encode() + mark


def tape_of(path: Path) -> Tape:
    made = Recorder(path, "openai", "http://service.test/v1", lambda: 1.0)
    url = f"http://service.test/v1/chat/completions?session_hash={TALK}"
    request = Request("POST", url, {"Authorization": f"Bearer {KEY}"}, b"{}")
    return Tape.begin(made, Send(request, None, None, None, 1000))


def read(path: Path) -> Cassette:
    return parsed(path.read_bytes(), path.name)


def body(cassette: Cassette, number: int = 0) -> bytes:
    return b"".join(each.chunk for each in cassette.exchanges[number].happenings)


def test_memory_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    tape = tape_of(path)
    tape.head(Head(200, {"x-request-id": TALK}))
    sent = b""
    for number in range(3000):
        piece = frame(f"word {number} ")[:100] if number % 3 else frame("x" * 1000)
        sent += piece
        tape.chunk(piece)
        held = len(tape.raw) + len(tape.clean) + sum(len(h.chunk) for h in tape.happenings)
        assert held < 5 * recording.PART_BYTES
        assert len(tape.happenings) < 1000
    tape.chunk(b"")
    assert not tape.happenings and not tape.raw and not tape.clean
    assert len(body(read(path))) == len(sent)
    assert TALK.encode() not in body(read(path))


def test_a_frame_that_does_not_end_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(recording, "LONGEST_FRAME", 50_000)
    tape = tape_of(tmp_path / "a.jsonl")
    tape.head(Head(200, {}))
    for _ in range(100):
        tape.chunk(b"x" * 1000)
    assert len(tape.raw) <= 50_000
    tape.left()
    assert body(read(tmp_path / "a.jsonl")) == b"x" * 100_000


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 90), min_size=1), st.sampled_from([b"\n\n", b"\r\n\r\n"]))
def test_ids_are_cleaned_wherever_chunks_and_parts_begin(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], mark: bytes
) -> None:
    path = tmp_path_factory.mktemp("parts") / "a.jsonl"
    sent = b"".join(frame(f"{KEY} and {TALK}", mark) for _ in range(5))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(recording, "PART_BYTES", 100)
        tape = tape_of(path)
        tape.head(Head(200, {}))
        pieces, at = [], 0
        while at < len(sent):
            size = sizes[len(pieces) % len(sizes)]
            pieces.append(sent[at : at + size])
            tape.chunk(pieces[-1])
            at += size
        tape.chunk(b"")
    cassette = read(path)
    (exchange,) = cassette.exchanges
    assert [len(each.chunk) for each in exchange.happenings if each.chunk] == list(map(len, pieces))
    assert exchange.happenings[-1].kind == "end"
    assert KEY.encode() not in path.read_bytes() and TALK.encode() not in path.read_bytes()
    assert body(cassette).count(mark) == 5


def test_exchanges_that_run_at_once_keep_their_lines(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    first = tape_of(path)
    second = Tape.begin(first.recorder, first.step)
    for tape in (first, second):
        tape.head(Head(200, {}))
    for _ in range(100):
        first.chunk(frame("first " * 50))
        second.chunk(frame("other " * 50))
    second.chunk(b"")
    first.released()
    cassette = read(path)
    assert [body(cassette, number).count(b"first") for number in (0, 1)] == [5000, 0]
    assert [each.happenings[-1].kind for each in cassette.exchanges] == ["released", "end"]
