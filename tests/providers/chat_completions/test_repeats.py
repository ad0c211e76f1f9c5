"""Chunks that differ in one string are read without decoding them; they mean what decoding says."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.sse import SSEParser
from glmclient.events import Event, Finish, ReasoningDelta, TextDelta
from glmclient.providers.chat_completions.answer import AnswerReader
from glmclient.providers.chat_completions.decoder import PlatformDecoder
from tests.core.wire import cut_at, every_cut

from .driving import decoded, decoder, frames
from .wire import ROWS, Row, chunk, end


class Plain(SSEParser):
    """Frames alone, and nothing learned: the plain path."""

    def learn(self, document: Any, path: Any) -> bool:
        return False


def plain_decoder(**options: Any) -> PlatformDecoder:
    made = decoder(**options)
    made._frames = Plain()  # type: ignore[assignment]
    return made


def assert_same(chunks: list[bytes], **options: Any) -> None:
    fast = decoded(chunks, **options)
    plain = decoded(chunks, plain_decoder(**options))
    assert fast[0] == plain[0]
    assert fast[2] == plain[2]
    assert type(fast[1]) is type(plain[1]) and str(fast[1]) == str(plain[1])


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_every_row_is_the_same_on_the_plain_path(row: Row) -> None:
    for chunks in every_cut(row.raw):
        assert decoded(chunks, plain_decoder(**row.options)) == (row.events, None, True)


@pytest.mark.parametrize("field", ["content", "reasoning_content"])
def test_a_repeat_without_text_is_no_event(field: str) -> None:
    kind = TextDelta if field == "content" else ReasoningDelta
    chunks = [frames(*(chunk({field: text}) for text in ("a", "", "b", "", "")))]
    events = decoded(chunks)[0]
    assert [event for event in events if isinstance(event, kind)] == [kind("a"), kind("b")]
    assert_same(chunks)


texts = st.text(max_size=4) | st.sampled_from(
    [
        "",
        " ",
        "a",
        "\n",
        '"',
        "\\",
        "\ud83d",
        "\ude00",
        "😀",
        "\u2028",
        "</think>",
        "<think>",
        "<",
        "[DONE]",
        "雪",
    ]
)
deltas = st.one_of(
    st.builds(lambda t: {"role": "assistant", "content": t}, texts),
    st.builds(lambda t: {"role": "assistant", "content": t, "reasoning_content": ""}, texts),
    st.builds(lambda t: {"role": "assistant", "reasoning_content": t}, texts),
    st.builds(lambda t: {"reasoning": t, "content": None}, texts),
    st.builds(lambda t: {"content": t, "refusal": ""}, texts),
    st.builds(lambda t: {"reasoning_content": t, "reasoning": t}, texts),
    st.builds(lambda t: {"content": "a", "content ": t}, texts),
    st.builds(lambda t, r: {"content": t, "reasoning": r}, texts, texts),
    st.builds(
        lambda t: {"tool_calls": [{"index": 0, "function": {"arguments": t}}]},
        st.sampled_from(["{", "}", "{}"]),
    ),
)
extras = st.sampled_from(
    [
        {},
        {},
        {},
        {"usage": None},
        {"usage": {"total_tokens": 1}},
        {"web_search": [{"title": "t"}]},
        {"request_id": "r"},
        {"error": None},
        {"error": "e"},
        {"x": 1},
        {"model": "other"},
    ]
)
reasons = st.sampled_from([None, None, None, "stop", "network_error"])
ascii_only = st.booleans()


@given(
    written=st.lists(
        st.tuples(st.lists(deltas, min_size=1, max_size=4), extras, reasons, ascii_only), max_size=8
    ),
    cuts=st.lists(st.integers(0, 4000), max_size=6),
    tags=st.booleans(),
    unknown=st.booleans(),
    done=st.booleans(),
)
def test_any_stream_is_the_same_on_the_plain_path(
    written: list[tuple[list[dict[str, Any]], dict[str, Any], str | None, bool]],
    cuts: list[int],
    tags: bool,
    unknown: bool,
    done: bool,
) -> None:
    datas = [
        json.dumps(chunk(delta, reason, **extra), ensure_ascii=escaped)
        for run, extra, reason, escaped in written
        for delta in run
    ]
    raw = "".join(f"data: {data}\n\n" for data in [*datas, *(["[DONE]"] * done)]).encode(
        "utf-8", "surrogatepass"
    )
    assert_same(cut_at(raw, cuts), think_tags=tags, include_unknown=unknown)


def test_few_frames_of_a_long_answer_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    thought = [f"thought {n}" for n in range(200)]
    said = [f' word {n} \\ " 雪\n' for n in range(200)]
    raw = frames(
        *(chunk({"role": "assistant", "reasoning_content": text}) for text in thought),
        *(chunk({"role": "assistant", "content": text, "reasoning_content": ""}) for text in said),
        chunk({"role": "assistant", "content": ""}, "stop"),
    )
    read: list[Any] = []
    plain_read = AnswerReader.read

    def counting(self: AnswerReader, answer: dict[str, Any], out: list[Event]) -> None:
        read.append(answer)
        plain_read(self, answer, out)

    monkeypatch.setattr(AnswerReader, "read", counting)
    for chunks in ([raw], [frame + b"\n\n" for frame in raw.split(b"\n\n")[:-1]]):
        read.clear()
        events, error, _ = decoded(chunks)
        assert error is None
        assert events == [*map(ReasoningDelta, thought), *map(TextDelta, said), end()]
        assert len(read) < 10


def test_the_end_tells_what_the_last_chunk_told() -> None:
    def named(model: str, text: str) -> dict[str, Any]:
        return {"model": model, "choices": [{"delta": {"content": text}}]}

    raw = frames(
        *(named("a", str(n)) for n in range(9)),
        named("b", "x"),
        *(named("a", str(n)) for n in range(9)),
    )
    events, _, _ = decoded([raw])
    assert events[-1] == Finish("other", model="a")
    assert_same([raw])
