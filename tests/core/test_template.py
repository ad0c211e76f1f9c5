"""The path for frames that repeat gives what the plain path gives, for any bytes and any cut."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glmclient.core.sse import Frame, SSEParser
from glmclient.core.template import TemplateReader
from glmclient.errors import LimitExceeded

from .wire import cut_at, every_cut

PATH = ("delta", "content")
Outcome = tuple[str, Any]
"""The type of a frame, and its document, or its data if it is not JSON."""


class Plain:
    """The plain path."""

    def __init__(self, **bounds: int) -> None:
        self.parser = SSEParser(**bounds)
        self.outcomes: list[Outcome] = []

    def feed(self, chunk: bytes) -> None:
        for frame in self.parser.feed(chunk):
            self.outcomes.append((frame.event, loaded(frame.data)))


def loaded(data: str) -> Any:
    try:
        return json.loads(data)
    except ValueError:
        return data


class Decoder:
    """A decoder that teaches its reader every frame that it can, and rebuilds whole documents."""

    def __init__(self, *, grow: bool = False, **bounds: int) -> None:
        self.reader = TemplateReader(**bounds)
        self.grow = grow
        self.outcomes: list[Outcome] = []
        self.decoded = 0
        self.runs: list[list[str]] = []
        self._learned: Outcome = ("", None)

    def feed(self, chunk: bytes) -> None:
        for item in self.reader.feed(chunk):
            if isinstance(item, Frame):
                self.decoded += 1
                self._decode(item)
                continue
            assert item
            self.runs.append(item)
            for value in item:
                event, document = copy.deepcopy(self._learned)
                document["delta"]["content"] = document["delta"]["content"] * self.grow + value
                self._learned = event, document
                self.outcomes.append((event, document))

    def _decode(self, frame: Frame) -> None:
        document = loaded(frame.data)
        self.outcomes.append((frame.event, document))
        if not isinstance(document, str) and self.reader.learn(document, PATH, grow=self.grow):
            self._learned = frame.event, copy.deepcopy(document)


def plain(chunks: Iterable[bytes]) -> list[Outcome]:
    path = Plain()
    for chunk in chunks:
        path.feed(chunk)
    return path.outcomes


def passed_limit(path: Plain | Decoder, chunk: bytes) -> str:
    try:
        path.feed(chunk)
    except LimitExceeded as error:
        return error.limit
    return ""


def assert_agreed(chunks: Iterable[bytes], *, grow: bool, **bounds: int) -> None:
    """Assert that after each chunk both paths gave the same, and passed the same bound, if any."""
    slow, fast = Plain(**bounds), Decoder(grow=grow, **bounds)
    for i, chunk in enumerate(chunks):
        limits = [passed_limit(slow, chunk), passed_limit(fast, chunk)]
        # NaN, which JSON in Python may hold, equals only its own text.
        assert repr(fast.outcomes) == repr(slow.outcomes), (i, chunks)
        assert limits[0] == limits[1], (i, chunks)
        if limits[0]:
            return
    assert fast.reader.pending or not slow.parser.pending


def frame(value: object, *, ascii_only: bool = False, **others: object) -> bytes:
    document = {**others, "delta": {"content": value}}
    return f"data: {json.dumps(document, ensure_ascii=ascii_only)}\n\n".encode()


def growing(parts: Iterable[str], *, ascii_only: bool = False) -> list[bytes]:
    text = ""
    frames = []
    for part in parts:
        text += part
        frames.append(frame(text, ascii_only=ascii_only))
    return frames


def assert_plain(raw: bytes, grow: bool) -> None:
    """Assert that both paths agree on ``raw``, whole, byte by byte and at every two-way split."""
    for chunks in every_cut(raw):
        assert_agreed(chunks, grow=grow)


# -- what it spares -------------------------------------------------------------------------------


def test_a_steady_stream_is_decoded_once() -> None:
    tokens = ["Hel", "lo", "", " 你好", "😀", "\n", '"quoted"', "\\", "\u2028", "\t", "end"]
    for ascii_only in (False, True):
        raw = [frame(token, id="x", ascii_only=ascii_only) for token in tokens]
        decoder = Decoder(grow=False)
        decoder.feed(b"".join(raw))
        assert (decoder.decoded, decoder.runs) == (1, [tokens[1:]])
        decoder = Decoder(grow=False)
        for chunk in raw:
            decoder.feed(chunk)
        assert (decoder.decoded, decoder.runs) == (1, [[token] for token in tokens[1:]])


def test_a_growing_text_is_decoded_once_and_then_only_what_it_adds() -> None:
    parts = ["你好", "！", "", " a\n", '"b"', "😀", " end"]
    for ascii_only in (False, True):
        raw = b"".join(b"event: message\n" + f for f in growing(parts, ascii_only=ascii_only))
        for step in (len(raw), 50, 1):
            decoder = Decoder(grow=True)
            for i in range(0, len(raw), step):
                decoder.feed(raw[i : i + step])
            assert decoder.decoded == 1
            assert [value for run in decoder.runs for value in run] == parts[1:]
            assert decoder.outcomes == plain([raw])


def test_frames_cut_between_reads_are_spared_too() -> None:
    raw = b"".join(frame(f"token {i}") for i in range(100))
    for step in (1, 7, 64, 1000):
        decoder = Decoder(grow=False)
        for i in range(0, len(raw), step):
            decoder.feed(raw[i : i + step])
        # The second frame of the first read may be on its way through the parser already.
        assert decoder.decoded <= 2
        assert len(decoder.outcomes) == 100
        assert not decoder.reader.pending


def test_an_odd_frame_in_between_does_not_end_it() -> None:
    odd = frame("x", usage=1)
    raw = [frame("a"), frame("b"), odd, frame("c"), frame("d"), b": ping\n\n", frame("e")]
    decoder = Decoder(grow=False)
    decoder.reader.learn = learn_first(decoder.reader)  # type: ignore[method-assign]
    decoder.feed(b"".join(raw))
    assert decoder.runs == [["b"], ["c", "d"], ["e"]]
    assert decoder.outcomes == plain(raw)


def learn_first(reader: TemplateReader) -> Any:
    learn = reader.learn
    known: list[bool] = []

    def once(document: Any, path: Any, *, grow: bool = False) -> bool:
        if known:
            return False
        known.append(True)
        return learn(document, path, grow=grow)

    return once


def test_what_never_matches_is_tried_ever_less_often() -> None:
    decoder = Decoder(grow=False)
    learned = []
    learn = decoder.reader.learn

    def counted(*args: Any, **options: Any) -> bool:
        learned.append(learn(*args, **options))
        return learned[-1]

    decoder.reader.learn = counted  # type: ignore[method-assign]
    decoder.feed(b"".join(frame("x", id=i) for i in range(1000)))
    assert len(learned) == 1000
    assert 10 < sum(learned) < 25
    decoder.feed(b"".join(frame("x") for i in range(1000)))
    assert sum(map(len, decoder.runs)) > 900


def test_what_pays_is_learned_anew_at_once() -> None:
    decoder = Decoder()
    decoder.feed(b"".join(frame("x", id=i // 10) for i in range(500)))
    assert decoder.decoded == 50


# -- what it must not learn -----------------------------------------------------------------------


def taught(raw: bytes, path: tuple[str | int, ...] = PATH, *, grow: bool = False) -> bool:
    reader = TemplateReader()
    for item in reader.feed(raw):
        assert isinstance(item, Frame)
        return reader.learn(loaded(item.data), path, grow=grow)
    raise AssertionError(raw)


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"delta":{"content":"a"}}\n\n',
        b'data:{"delta":{"content":"a"}}\n\n',
        b'data:  {"delta": {"content" : "a" } } \n\n',
        b'event: x\ndata: {"delta":{"content":"a"}}\n\n',
        b'data: {"delta":{"content":"old","content":"a"}}\n\n',
        b'data: {"delta":{"content":"a","content":"a"}}\n\n',
        b'data: {"delta":{"content":"?"},"content":5}\n\n',
        b'data: {"delta":{"content":"a","more":{"content":"a"}}}\n\n',
        b'data: {"delta":{"content":"\\"content\\":\\"a"}}\n\n',
        b'data: {"n":"\xff","delta":{"content":"a"}}\n\n',
        b'data: {"delta":{"content":"a"},"n":NaN}\n\n',
    ],
)
def test_a_string_in_its_place_is_learned(raw: bytes) -> None:
    assert taught(raw)
    assert_plain(raw + raw.replace(b'"a', b'"ab') + raw.replace(b'"a', b'"b'), grow=False)
    assert_plain(raw + raw.replace(b'"a', b'"ab') + raw.replace(b'"a', b'"b'), grow=True)


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"delta":{"content":null}}\n\n',
        b'data: {"delta":{"content":["a"]}}\n\n',
        b'data: {"delta":{"text":"a"}}\n\n',
        b'data: {"delta":["content","a"]}\n\n',
        b'data: {"delta":null}\n\n',
        b"data: []\n\n",
        b'data: {"delta":{"content":"a\xe4\xbd"}}\n\n',
        b'data: {"delta":{"con\\u0074ent":"a"}}\n\n',
        b'data: {"delta":{"content":"a"}}\r\n\r\n',
        b'data: {"delta":{"content":"a"}}\n\r\n',
        b'data: {"delta":\ndata: {"content":"a"}}\n\n',
        b': hi\ndata: {"delta":{"content":"a"}}\n\n',
        b'id: 1\ndata: {"delta":{"content":"a"}}\n\n',
        b'data: {"delta":{"content":"a"}}\nevent: x\n\n',
        b'\ndata: {"delta":{"content":"a"}}\n\n',
        b'\xef\xbb\xbfdata: {"delta":{"content":"a"}}\n\n',
        b'data: {"delta":{"content":"a"},"delta":{"content":["a"]}}\n\n',
        b'data: {"content":"a","delta":{"con\\u0074ent":"a"}}\n\n',
        b'data: {"delta":{"content":"a","con\\u0074ent":"a"}}\n\n',
        b'data: {"delta":{"content":"?","con\\u0074ent":"?"}}\n\n',
    ],
)
def test_anything_doubtful_is_not_learned(raw: bytes) -> None:
    assert not taught(raw)
    assert_plain(raw * 2 + raw.replace(b'"a', b'"b'), grow=False)
    assert_plain(raw * 2 + raw.replace(b'"a', b'"ab'), grow=True)


def test_a_document_of_another_frame_is_not_learned() -> None:
    reader = TemplateReader()
    assert not reader.learn({"delta": {"content": "a"}}, PATH)
    assert len(list(reader.feed(frame("a")))) == 1
    assert not reader.learn({"delta": {"content": "a"}, "id": 1}, PATH)
    list(reader.feed(frame("b")))
    assert not reader.learn({"delta": {"content": "a"}}, PATH)


def test_a_frame_that_was_cut_is_learned_up_to_a_size() -> None:
    for size, known in ((1 << 19, True), (1 << 21, False)):
        reader = TemplateReader()
        raw = frame("x" * size)
        assert [list(reader.feed(raw[i : i + 4096])) for i in range(0, len(raw) - 4096, 4096)]
        assert reader.pending
        assert len(list(reader.feed(raw[-(len(raw) % 4096) :]))) == 1
        assert not reader.pending
        assert reader.learn({"delta": {"content": "x" * size}}, PATH) is known


def test_a_document_too_deep_to_compare_is_not_learned() -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    reader = TemplateReader()
    list(reader.feed(frame("a", deep=[])))
    assert not reader.learn({"delta": {"content": "a"}, "deep": deep}, PATH)


def test_half_a_character_is_never_grown_over() -> None:
    high, low = b"\\ud83d", b"\\ude00"
    start = b'data: {"delta":{"content":"x'
    end = b'"}}\n\n'
    assert not taught(start + high + end, grow=True)
    assert taught(start + high + end)
    raw = (
        start
        + end
        + start
        + high
        + end
        + start
        + high
        + low
        + end
        + start
        + high
        + low
        + b"y"
        + end
    )
    assert_plain(raw, grow=True)
    assert_plain(raw, grow=False)
    assert_plain(start + b"\xe4\xbd" + end + start + b"\xe4\xbd\xa0" + end, grow=True)


@pytest.mark.parametrize("grow", [False, True])
@pytest.mark.parametrize(
    "odd",
    [
        b'data: {"delta": {"content": "a\x1fb"}}\n\n',
        b'data: {"delta": {"content": "a\\x"}}\n\n',
        b'data: {"delta": {"content": "a\\"}}\n\n',
        b'data: {"delta": {"content": "a\\u12"}}\n\n',
        b'data: {"delta": {"content": "a\xff"}}\n\n',
        b'data: {"delta": {"content": "a"}}\r\r',
        b'data: {"delta": {"content": "a\r\r',
        b'data: {"delta": {"content": "a\r\n\r\n',
        b'data: {"delta": {"content": "a\n\n',
        b'data: {"delta": {"content": "a\ndata: b\n\n',
        b'data: {"delta": {"content": "a"}} \n\n',
        b'data: {"delta": {"content": "a"}}\n: ping\n\n',
        b'data: {"delta": {"content": "a"}}\nevent: x\n\n',
        b'data: {"delta": {"content": "a", "content": "b"}}\n\n',
        b'data: {"delta": {"content": "a"}, "id": "a"}}\n\n',
        b'data: {"delta": {"content": "a\\"}}\n\n"}}\n\n',
        b"data: {\n",
        b'data: {"delta": {"content": "a"}}\n',
        b"event: other\n",
        b"id: 1\n",
        b"\n",
        b"\r",
    ],
)
def test_whatever_comes_after_a_learned_frame_reads_as_it_does_plainly(
    odd: bytes, grow: bool
) -> None:
    raw = odd + frame("ab")
    for first in range(len(raw) + 1):
        for second in {first, first + 1, first + 2, first + 9, len(raw)}:
            assert_agreed(
                [frame("") + frame("a"), raw[:first], raw[first:second], raw[second:]], grow=grow
            )


# -- the law --------------------------------------------------------------------------------------

FRAMES: list[tuple[bytes, bytes]] = [
    (b'data: {"id":"1","delta":{"role":"assistant","content":', b"}}\n\n"),
    (b'data: {"id":"1","delta":{"content":', b',"role":"assistant"}}\n\n'),
    (b'data: {"id":"2","delta":{"content":', b',"role":"assistant"}}\n\n'),
    (b'event: message\ndata: {"delta":{"content":', b"}}\n\n"),
    (b'event: other\ndata: {"delta":{"content":', b"}}\n\n"),
    (b'data:{"delta":{"content":', b'},"delta":{}}\n\n'),
    (b'data: {"delta":{"content":"x"},"delta":{"content":', b"}}\n\n"),
    (b'data: {"delta":{"content":"x","content":', b"}}\n\n"),
    (b'data: {"delta":{"content":', b',"content":"x"}}\n\n'),
    (b'data: {"delta":{"content":', b',"content":null}}\n\n'),
    (b'data: {"content":', b',"delta":{"content":"a"}}\n\n'),
    (b'data: {"delta":{"content":"a"},"content":', b"}\n\n"),
    (b'data: {"note":"\\"content\\":\\"","delta":{"content":', b"}}\n\n"),
    (b'data: {"delta":{"content":', b"}}\r\n\r\n"),
    (b'data: {"delta":{"content":', b"}}\n\r\n"),
    (b'data: {"delta":{"content":', b"}}\r\r"),
    (b'data: {"delta":{"content":', b"}}\n"),
    (b'data: {"delta":{"content":', b""),
    (b'data: {"delta":\ndata: {"content":', b"}}\n\n"),
    (b'id: 7\ndata: {"delta":{"content":', b"}}\n\n"),
    (b'data: {"x":"\xe4\xbd","delta":{"content":', b"}}\n\n"),
    (b'data: {"x":NaN,"delta":{"content":', b"}}\n\n"),
    (b"data: [DONE]\n\n", b""),
    (b": ping\n\n", b""),
    (b"\n", b"\r"),
]
RAW_VALUES = [b"null", b"12", b'""', b'"\\ud83d"', b'"\\ude00"', b'"\\ud83d\\ude00"', b'"a\nb"']
RAW_VALUES += [
    b'"\xe4\xbd"',
    b'"\xa0"',
    b'"\\u007"',
    b'"\\"',
    b'"\x1f"',
    b'"a',
    b'"\\\\"',
    b'"a\rb"',
]
RAW_VALUES += [
    b'"\\"}}\\n\\n"',
    b'"\\"}}\n\n',
    b'"a"}}\n\ndata: {"',
    b'"?"',
    b'"!"',
    b'"\x7f\xc2\x85"',
]
texts = st.text(
    st.sampled_from(["a", "b", " ", '"', "\\", "\n", "你", "😀", "\u2028", "\x7f", "}"])
)
values = st.one_of(
    st.sampled_from(RAW_VALUES),
    st.builds(lambda t, a: json.dumps(t, ensure_ascii=a).encode(), texts, st.booleans()),
    st.sampled_from(
        [json.dumps((b + v + a).decode("latin-1")).encode() for b, a in FRAMES for v in (b"", b"x")]
    ),
)
few_kinds = st.lists(st.sampled_from(FRAMES), min_size=1, max_size=3)


@st.composite
def deltas(draw: st.DrawFn) -> bytes:
    kinds = draw(few_kinds)
    chosen = st.tuples(st.sampled_from(kinds), values)
    return b"".join(
        before + value + after for (before, after), value in draw(st.lists(chosen, max_size=12))
    )


@st.composite
def snapshots(draw: st.DrawFn) -> bytes:
    kinds = draw(few_kinds)
    pieces = st.one_of(values.map(lambda value: value.strip(b'"')), st.just(b""))
    inner, raw = b"", b""
    for (before, after), piece, anew in draw(
        st.lists(st.tuples(st.sampled_from(kinds), pieces, st.integers(0, 9)), max_size=12)
    ):
        inner = piece if anew == 0 else inner + piece
        raw += before + b'"' + inner + b'"' + after
    return raw


cuts = st.lists(st.integers(0, 1500), max_size=10)


@given(st.one_of(deltas(), snapshots()), cuts, st.booleans())
@example(b"", [], True)
def test_it_gives_what_the_plain_path_gives(raw: bytes, places: list[int], grow: bool) -> None:
    for chunks in ([raw], cut_at(raw, places), [raw[i : i + 1] for i in range(len(raw))]):
        assert_agreed(chunks, grow=grow)


@given(
    st.one_of(deltas(), snapshots()), cuts, st.booleans(), st.integers(20, 90), st.integers(20, 90)
)
def test_bounds_are_those_of_the_plain_path(
    raw: bytes, places: list[int], grow: bool, line: int, data: int
) -> None:
    for chunks in ([raw], cut_at(raw, places), [raw[i : i + 1] for i in range(len(raw))]):
        assert_agreed(chunks, grow=grow, max_line=line, max_frame=data)


# -- what it costs --------------------------------------------------------------------------------


class CountedBytes(bytes):
    """Bytes that count how many of them were searched or copied."""

    touched = 0

    def find(self, sub: object, start: object = 0, end: object = None) -> int:
        assert isinstance(sub, bytes) and isinstance(start, int) and end is None
        found = super().find(sub, start)
        self.touched += (len(self) if found < 0 else found + 1) - start
        return found

    def __getitem__(self, place: Any) -> Any:
        piece = super().__getitem__(place)
        self.touched += len(piece)
        return piece


@pytest.mark.parametrize("grow", [False, True])
@pytest.mark.parametrize(
    "kinds",
    [
        [frame("a"), frame("b")],
        [frame("a"), frame("b", id=1)],
        [frame("a"), frame("a")[:-4] + b"]}\n\n"],
        [frame("a"), b'data: {"delta": {"content": "\n\n'],
        [frame("a"), b'data: {"delta": {"content": "\\\n\n'],
        [frame("a"), b"data: [DONE]\r\n\r\n"],
    ],
)
def test_each_byte_of_a_chunk_is_touched_a_few_times_whatever_comes(
    kinds: list[bytes], grow: bool
) -> None:
    decoder = Decoder(grow=grow)
    decoder.feed(kinds[0])
    raw = CountedBytes(b"".join(kinds) * 1000)
    decoder.feed(raw)
    assert len(decoder.outcomes) > 1000
    assert 0 < raw.touched < 8 * len(raw)


@pytest.mark.parametrize("grow", [False, True])
@pytest.mark.parametrize(("size", "step"), [(32 << 20, 4096), (1 << 18, 1)])
def test_one_endless_frame_costs_linear_time(grow: bool, size: int, step: int) -> None:
    decoder = Decoder(grow=grow)
    decoder.feed(frame(""))
    raw = frame("x" * size)
    began = time.monotonic()
    for i in range(0, len(raw), step):
        decoder.feed(raw[i : i + step])
    assert time.monotonic() - began < 60
    assert decoder.decoded == 1
    assert [len(value) for run in decoder.runs for value in run] == [size]


@pytest.mark.parametrize("end", [b"", b'"}}', b'"}}\n', b'"}}\n\n'])
@pytest.mark.parametrize("step", [1000, 10, 1])
def test_a_frame_beyond_the_bounds_is_left_to_the_parser(end: bytes, step: int) -> None:
    decoder = Decoder(max_line=60, max_frame=60)
    decoder.feed(frame("a") + frame("b"))
    assert decoder.runs == [["b"]]
    raw = frame("x" * 100)[:-5] + end
    with pytest.raises(LimitExceeded):
        for i in range(0, len(raw), step):
            decoder.feed(raw[i : i + step])
    assert decoder.runs == [["b"]]


def test_lines_that_never_end_their_frame_cost_linear_time() -> None:
    decoder = Decoder()
    decoder.feed(frame("a"))
    began = time.monotonic()
    decoder.feed(frame("b")[:-4])
    for _ in range(1 << 18):
        decoder.feed(b"\ndata: " + b"x" * 50)
    assert time.monotonic() - began < 60
    decoder.feed(b"\n\n")
    assert len(decoder.outcomes) == 2
