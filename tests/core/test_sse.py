"""The event stream parser against the rules, every cut, and a slow reference."""

from __future__ import annotations

import dataclasses
import pickle
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.sse import Frame, SSEParser
from glmclient.errors import LimitExceeded

from .sse_conformance import CASES, Case
from .wire import assert_frames, cut_at, every_cut, parsed


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.rule)
def test_rule_holds_however_the_bytes_are_cut(case: Case) -> None:
    assert_frames(
        case.raw,
        case.frames,
        last_event_id=case.last_event_id,
        retry=case.retry,
        pending=case.pending,
    )


def test_rules_have_names_of_their_own() -> None:
    assert len({case.rule for case in CASES}) == len(CASES)


def reference(raw: bytes) -> tuple[list[Frame], str, int | None]:
    """Interpret a whole stream step by step as the standard words it, with no regard for speed."""
    text = (
        raw.decode("utf-8", "replace")
        .removeprefix("\ufeff")
        .replace("\r\n", "\n")
        .replace("\r", "\n")
    )
    *lines, _unterminated = text.split("\n")
    frames: list[Frame] = []
    data = event = last_id = id_buffer = ""
    retry: int | None = None
    for line in lines:
        if line == "":
            last_id = id_buffer
            if data:
                frames.append(Frame(data[:-1], event or "message", last_id))
            data = event = ""
            continue
        name, colon, value = line.partition(":")
        if colon and not name:
            continue
        value = value.removeprefix(" ")
        if name == "event":
            event = value
        elif name == "data":
            data += value + "\n"
        elif name == "id" and "\0" not in value:
            id_buffer = value
        elif (
            name == "retry" and value and all(c in "0123456789" for c in value) and len(value) < 19
        ):
            retry = int(value)
    return frames, last_id, retry


fragments = st.sampled_from(
    [
        b"data",
        b"event",
        b"id",
        b"retry",
        b":",
        b" ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"data: ",
        b"data: x\n\n",
        b"12",
        b"\0",
        b"\xef\xbb\xbf",
        "你😀\u2028".encode(),
        b"\xe4\xbd",
        b"\x80",
        b"x",
    ]
)
streams = st.one_of(st.lists(fragments, max_size=40).map(b"".join), st.binary(max_size=60))


@given(streams, st.lists(st.integers(0, 200), max_size=8))
def test_any_cut_of_any_bytes_reads_as_the_reference(raw: bytes, cuts: list[int]) -> None:
    expected = reference(raw)
    for chunks in (cut_at(raw, cuts), [raw], [raw[i : i + 1] for i in range(len(raw))]):
        frames, parser = parsed(chunks)
        assert (frames, parser.last_event_id, parser.retry) == expected


@given(
    st.lists(
        st.text(alphabet=st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])),
        max_size=5,
    )
)
def test_texts_survive_every_cut(texts: list[str]) -> None:
    raw = b"".join(f"data: {text}\n\n".encode() for text in texts)
    assert_frames(raw, [Frame(text) for text in texts], pending=False)


def test_frame_is_a_value() -> None:
    frame = Frame("a", "e", "1")
    assert frame == Frame("a", "e", "1") and frame != Frame("a")
    assert pickle.loads(pickle.dumps(frame)) == frame
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.data = "b"  # type: ignore[misc]
    assert not hasattr(frame, "__dict__")


def test_a_frame_is_handed_out_before_the_rest_of_its_chunk_is_read() -> None:
    frames = SSEParser(max_line=9).feed(b"data: a\n\ndata: b\n\ndata: too long\n\n")
    assert [next(frames), next(frames)] == [Frame("a"), Frame("b")]
    with pytest.raises(LimitExceeded):
        next(frames)


@pytest.mark.parametrize(
    "line", [b"data: 12345", b": comment!!", b"event: 1234", b"id: 1234567", b"unknown: 12"]
)
@pytest.mark.parametrize("end", [b"\n", b"\r", b"\r\n", b""])
def test_line_bound_is_exact_however_the_bytes_are_cut(line: bytes, end: bytes) -> None:
    before, after = b"data: ok\n\n", b"\ndata: later\n\n"
    for chunks in every_cut(before + line + end):
        assert parsed(chunks, max_line=len(line))[0] == [Frame("ok")]
    for chunks in every_cut(before + line + end + after):
        parser = SSEParser(max_line=len(line) - 1)
        seen: list[Frame] = []
        with pytest.raises(
            LimitExceeded, match=r"longer than 10 bytes \(\d+ received\).*Limits\.line"
        ) as caught:
            for chunk in chunks:
                seen += parser.feed(chunk)
        assert seen == [Frame("ok")]
        assert (caught.value.limit, caught.value.maximum) == ("sse_line", len(line) - 1)
        assert caught.value.actual >= len(line)


@pytest.mark.parametrize(
    ("frame", "size", "data"),
    [
        (b"data: 12345\n\n", 5, "12345"),
        (b"data: 12\rdata:\rdata: 4\r\r", 5, "12\n\n4"),
        (b"data: 1\r\ndata: 345\r\n\r\n", 5, "1\n345"),
    ],
)
def test_frame_bound_is_exact_however_the_bytes_are_cut(frame: bytes, size: int, data: str) -> None:
    before = b"id: a long id and\nevent: a long type do not count\ndata: ok\n\nid\n\n"
    ok = Frame("ok", "a long type do not count", "a long id and")
    for chunks in every_cut(before + frame):
        assert parsed(chunks, max_frame=size)[0] == [ok, Frame(data)]
    for chunks in every_cut(before + frame):
        parser = SSEParser(max_frame=size - 1)
        seen: list[Frame] = []
        with pytest.raises(
            LimitExceeded, match=r"longer than 4 bytes \(5 received\).*Limits\.frame"
        ) as caught:
            for chunk in chunks:
                seen += parser.feed(chunk)
        assert seen == [ok]
        assert (caught.value.limit, caught.value.maximum, caught.value.actual) == (
            "sse_frame",
            size - 1,
            size,
        )


def test_frame_bound_starts_anew_with_each_frame() -> None:
    raw = b"data: 123\ndata: 5\n\n" * 50
    for chunks in ([raw], [raw[i : i + 1] for i in range(len(raw))]):
        assert parsed(chunks, max_frame=5)[0] == [Frame("123\n5")] * 50


def test_endless_empty_data_lines_are_bounded() -> None:
    parser = SSEParser(max_frame=1000)
    with pytest.raises(LimitExceeded):
        for _ in range(10):
            assert list(parser.feed(b"data\n" * 200)) == []


MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("size", "step"), [(64 * MIB, 4096), (MIB // 2, 1)], ids=["64 MiB by 4 KiB", "512 KiB by bytes"]
)
def test_one_endless_line_costs_linear_time(size: int, step: int) -> None:
    raw = b"data: " + b"x" * size + b"\r\n\r\n"
    parser = SSEParser()
    began = time.monotonic()
    frames = [frame for i in range(0, len(raw), step) for frame in parser.feed(raw[i : i + step])]
    assert time.monotonic() - began < 60
    assert [len(frame.data) for frame in frames] == [size]


class CountedBytes(bytes):
    """Bytes that count how many of them were searched."""

    searched = 0

    def find(self, sub: object, start: object = 0, end: object = None) -> int:
        assert isinstance(sub, bytes) and isinstance(start, int) and end is None
        found = super().find(sub, start)
        self.searched += (len(self) if found < 0 else found + 1) - start
        return found


@pytest.mark.parametrize(
    "raw",
    [
        b"data:\n" * 500,
        b"data:\r" * 500,
        b"data:\r\n" * 500,
        b"\n" * 500,
        b"data: x\n\n" * 500,
        b"data: x\n\n" * 250 + b"data: x\r\r" * 250,
        b"data: x\r\r" * 250 + b"data: x\n\n" * 250,
    ],
)
def test_each_byte_of_a_chunk_is_searched_once_for_each_line_end(raw: bytes) -> None:
    counted = CountedBytes(raw)
    assert list(SSEParser().feed(counted)) == parsed([raw])[0]
    assert 0 < counted.searched <= 2 * len(raw)
