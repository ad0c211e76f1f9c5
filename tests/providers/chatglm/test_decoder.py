"""ChatGLM's frames to events: every row and example of ``docs/wire/chatglm.md``, cut in every way."""

from __future__ import annotations

import itertools
import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glmclient import (
    CodeDelta,
    CodeReplace,
    ConfigurationError,
    Event,
    ExecutionOutput,
    Finish,
    GLMError,
    Image,
    LimitExceeded,
    Limits,
    ProtocolError,
    ReasoningDelta,
    ReasoningReplace,
    SearchResult,
    SearchResults,
    ServerError,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
)
from glmclient.core.answer import ModeName
from glmclient.core.transcript import Transcript
from glmclient.providers.chatglm.decoder import ChatGLMDecoder

from .wire import (
    CONVERSATION,
    HELLO,
    HELLO_EVENTS,
    decoded,
    every_cut,
    frame,
    increments,
    part,
    snapshot,
    snapshots,
    sse,
    text,
)

PAGE = Path(__file__).parents[3] / "docs" / "wire" / "chatglm.md"


def finish(reason: Any = "stop", **known: Any) -> Finish:
    raw = "intervene" if reason == "content_filter" else "finish"
    return Finish(reason, **{"raw_reason": raw, "conversation_id": CONVERSATION, **known})


def assert_events(frames: list[bytes], expected: list[Event], **options: Any) -> None:
    """Assert what frames give, however they are cut."""
    raw = b"".join(frames)
    for chunks in every_cut(raw):
        events, decoder = decoded(chunks, **options)
        assert events == expected, chunks
        assert decoder.done


END = frame("finish")


# -- text, in both modes -----------------------------------------------------------------------------------


def test_snapshots() -> None:
    assert_events(HELLO, HELLO_EVENTS)


def test_increments_then_the_whole() -> None:
    pieces = ["1", ",", " ", "2", ",", " ", "3", ",", " ", "4, 5"]
    assert_events(increments(*pieces), [*map(TextDelta, pieces), finish()])


def test_the_last_characters_may_be_in_the_finish_alone() -> None:
    assert_events(snapshots("你好！我是智谱", "你好！我是智谱清言。"), [
        TextDelta("你好！我是智谱"),
        TextDelta("清言。"),
        finish(),
    ])  # fmt: skip


def test_a_first_frame_without_parts() -> None:
    assert_events([frame("init"), *snapshots("Hi")], [TextDelta("Hi"), finish()])


def test_duplicates_say_nothing() -> None:
    twice = [
        snapshot("A long beginning"),
        snapshot("A long beginning"),
        snapshot("A long beginning", "finish"),
    ]
    assert_events(twice, [TextDelta("A long beginning"), finish()])


def test_a_rewrite_is_a_replacement() -> None:
    assert_events(
        snapshots("It is nine o'clock", "It is nine o'clock, I", "It is ten."),
        [TextDelta("It is nine o'clock"), TextDelta(", I"), TextReplace(6, "ten."), finish()],
    )


def test_an_ambiguity_is_mended_when_the_mode_is_known() -> None:
    """``1`` then ``12`` could be either; the next value tells that it was ``112``."""
    expected = [TextDelta("1"), TextDelta("2"), TextReplace(1, "123"), finish()]
    assert_events(increments("1", "12", "3"), expected)


def test_an_ambiguity_is_mended_at_the_finish() -> None:
    assert_events(
        increments("1", "12"), [TextDelta("1"), TextDelta("2"), TextReplace(1, "12"), finish()]
    )


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("snapshot", [TextDelta("ha"), finish()]),
        ("delta", [TextDelta("ha"), TextDelta("ha"), TextReplace(2, ""), finish()]),
    ],
)
def test_the_mode_can_be_set_by_hand(mode: ModeName, expected: list[Event]) -> None:
    assert_events(snapshots("ha", "ha", "ha"), expected, mode=mode)


def test_a_mode_that_there_is_not() -> None:
    with pytest.raises(ConfigurationError, match="auto, snapshot or delta"):
        ChatGLMDecoder(mode="diff")  # type: ignore[arg-type]


# -- keys --------------------------------------------------------------------------------------------------


def both(**keys: dict[str, Any]) -> list[bytes]:
    one, other = keys["one"], keys["other"]
    return [
        frame("init", part(text("Once upon a time"), **one)),
        frame("init", part(text("The end is near"), **other)),
        frame("init", part(text("Once upon a time, "), **one)),
        frame(
            "finish",
            part(text("Once upon a time, "), **one),
            part(text("The end is near"), **other),
        ),
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"logic_id": "L1"}, {"logic_id": "L2"}),
        ({"logic_id": None, "id": "p1"}, {"logic_id": None, "id": "p2"}),
        ({"logic_id": "L1", "id": "same"}, {"logic_id": "L2", "id": "same"}),
    ],
)
def test_parts_are_told_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Frames list only the part that changes; text before a later part is put in its place."""
    assert_events(
        both(one=one, other=other),
        [
            TextDelta("Once upon a time"),
            TextDelta("The end is near"),
            TextReplace(16, ", The end is near"),
            finish(),
        ],
    )


def test_without_ids_the_place_in_the_list_is_the_key() -> None:
    parts = [part(text("First part. "), logic_id=None), part(text("Second part."), logic_id=None)]
    frames = [frame("init", *parts[:1]), frame("init", *parts), frame("finish", *parts)]
    assert_events(frames, [TextDelta("First part. "), TextDelta("Second part."), finish()])


def test_items_of_one_type_in_a_part_are_told_apart() -> None:
    items = [text("One. "), {"type": "think", "think": "Hm."}, text("Two.")]
    frames = [frame("init", part(*items[:2])), frame("finish", part(*items))]
    assert_events(frames, [TextDelta("One. "), ReasoningDelta("Hm."), TextDelta("Two."), finish()])


# -- thinking ----------------------------------------------------------------------------------------------


def test_thinking_then_text() -> None:
    frames = [
        frame("init", part({"type": "think", "think": "Simple"})),
        frame("init", part(text("9.9"))),
        frame("finish", part({"type": "think", "think": "Simple question"}, text("9.9 更大"))),
    ]
    assert_events(
        frames,
        [
            ReasoningDelta("Simple"),
            TextDelta("9.9"),
            ReasoningDelta(" question"),
            TextDelta(" 更大"),
            finish(),
        ],
    )


def test_thinking_in_the_field_of_text() -> None:
    frames = [frame("init", part({"type": "think", "text": "Hm"})), END]
    assert_events(frames, [ReasoningDelta("Hm"), finish()])


def test_thinking_that_is_rewritten() -> None:
    thoughts = ["Perhaps nine, or", "Perhaps ten"]
    frames = [frame("init", part({"type": "think", "think": thought})) for thought in thoughts[:1]]
    frames.append(frame("finish", part({"type": "think", "think": thoughts[1]})))
    assert_events(frames, [ReasoningDelta(thoughts[0]), ReasoningReplace(8, "ten"), finish()])


# -- everything else ---------------------------------------------------------------------------------------


def test_code_and_what_it_printed() -> None:
    code = {"type": "code", "code": "print("}
    whole = {"type": "code", "code": "print(1+1)"}
    output = part(
        {"type": "execution_output", "content": "2\n"}, logic_id="E1", status="finish", role="tool"
    )
    frames = [
        frame("init", part(code, logic_id="C1")),
        frame("init", part(whole, logic_id="C1")),
        frame("init", part(whole, logic_id="C1", status="finish")),
        frame("init", output),
        frame("init", output),
        frame("init", part({"type": "code", "code": "x = 1"}, logic_id="C2")),
        frame("finish", part({"type": "code", "code": "y = 1"}, logic_id="C2")),
    ]
    assert_events(
        frames,
        [
            CodeDelta("print("),
            CodeDelta("1+1)"),
            ExecutionOutput("2\n"),
            CodeDelta("x = 1", 1),
            CodeReplace(0, "y = 1", 1),
            finish(),
        ],
    )


def test_output_is_told_when_it_is_whole_and_again_when_it_changed() -> None:
    def output(content: Any, status: str) -> bytes:
        return frame("init", part({"type": "execution_output", "content": content}, status=status))

    frames = [
        output("2", "init"),
        output("2\n", "finish"),
        output(None, "finish"),
        output("3", "finish"),
        END,
    ]
    assert_events(frames, [ExecutionOutput("2\n"), ExecutionOutput("3"), finish()])


def test_images_are_told_once_and_placeholders_never() -> None:
    def image(*urls: Any, status: str = "finish") -> bytes:
        entries = [{"image_url": url} for url in urls]
        return frame(
            "init", part({"type": "image", "image": entries}, logic_id="I1", status=status)
        )

    frames = [
        image("", status="init"),
        image("https://sfile.chatglm.cn/x.png", "ftp://no", None),
        image("https://sfile.chatglm.cn/x.png", "http://sfile.chatglm.cn/y.png"),
        END,
    ]
    urls = ["https://sfile.chatglm.cn/x.png", "http://sfile.chatglm.cn/y.png"]
    assert_events(frames, [*map(Image, urls), finish()])


def test_search_results() -> None:
    listed = {
        "metadata_list": [{"title": "Title", "url": "https://example.org"}, "odd", {"url": 5}]
    }
    quoted = part({"type": "quote_result"}, logic_id="S1", status="finish", meta_data=listed)
    results = (SearchResult("Title", "https://example.org"), SearchResult("", ""))
    assert_events(
        [frame("init", quoted), frame("init", quoted), END], [SearchResults(results), finish()]
    )


def test_search_results_of_a_tool() -> None:
    entry = {"match_key": "turn1search1", "title": "T", "url": "https://example.org"}
    meta = {"tool_result_extra": {"search_results": [entry]}}
    told = part({"type": "tool_result"}, status="finish", meta_data=meta)
    result = SearchResult("T", "https://example.org", reference="turn1search1")
    assert_events([frame("init", told), END], [SearchResults((result,)), finish()])


@pytest.mark.parametrize("kind", ["quote_result", "tool_result"])
@pytest.mark.parametrize("meta", [None, {}, {"tool_result_extra": 5}, {"metadata_list": []}, "odd"])
def test_no_results_are_no_event(kind: str, meta: Any) -> None:
    told = part({"type": kind}, status="finish", meta_data=meta)
    assert_events([frame("init", told), END], [finish()])


CALL = {"id": "c1", "name": "find", "arguments": {"q": "你"}}
CALLED = ToolCallDelta(0, "c1", "find", '{"q": "你"}')


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (CALL, [CALLED]),
        ([CALL], [CALLED]),
        (json.dumps(CALL), [CALLED]),
        (json.dumps([CALL]), [CALLED]),
        ({**CALL, "arguments": '{"q": "你"}'}, [CALLED]),
        ({"name": "find"}, [ToolCallDelta(0, "", "find", "")]),
        ([CALL, {**CALL, "id": "c2"}], [CALLED, ToolCallDelta(1, "c2", "find", '{"q": "你"}')]),
        ("not json", []),
        (5, []),
    ],
)
def test_tool_calls_in_each_of_their_shapes(value: Any, expected: list[Event]) -> None:
    def told(status: str) -> bytes:
        return frame("init", part({"type": "tool_calls", "tool_calls": value}, status=status))

    assert_events([told("init"), told("finish"), told("finish"), END], [*expected, finish()])


def test_a_tool_call_that_comes_later_is_told_alone() -> None:
    def told(*calls: Any) -> bytes:
        return frame(
            "init", part({"type": "tool_calls", "tool_calls": list(calls)}, status="finish")
        )

    other = {"id": "c2", "name": "find", "arguments": None}
    frames = [told(CALL), told(CALL, other), END]
    assert_events(frames, [CALLED, ToolCallDelta(1, "c2", "find", ""), finish()])


@pytest.mark.parametrize(
    "kind", ["system_error", "browser_result", "function_result", "rag_slices", "new"]
)
def test_what_no_event_describes_is_handed_out_on_request(kind: str) -> None:
    item = {"type": kind, "content": "数据"}
    told = frame("init", part(item, status="finish"))
    assert_events([told, END], [finish()])
    unknown = Unknown(kind, json.dumps(item, ensure_ascii=False))
    assert_events([told, told, END], [unknown, finish()], include_unknown=True)
    assert unknown.json() == item


# -- the end -----------------------------------------------------------------------------------------------


def test_the_finish_says_what_the_frames_told() -> None:
    frames = [
        frame("init", part(text("Hi"), model="moe_1"), id="m1"),
        frame("finish", part(text("Hi")), id="m1"),
    ]
    assert_events(frames, [TextDelta("Hi"), finish(model="moe_1", response_id="m1")])


REASON = {
    "intervene_type": "output_sensitive",
    "intervene_text": "非常抱歉，…",
    "risk_level": "REJECT",
}


@pytest.mark.parametrize("without_parts", [False, True])
def test_an_intervention_withdraws_what_was_shown(without_parts: bool) -> None:
    value = {"conversation_id": CONVERSATION, "status": "intervene", "last_error": REASON}
    if not without_parts:
        value["parts"] = [part(status="intervene")]
    frames = [
        frame("init", part({"type": "think", "think": "Hm"}, text("Secret"))),
        sse(json.dumps(value, ensure_ascii=False)),
        snapshot("what follows is not read", "finish"),
    ]
    assert_events(
        frames,
        [
            ReasoningDelta("Hm"),
            TextDelta("Secret"),
            TextReplace(0, ""),
            ReasoningReplace(0, ""),
            finish("content_filter", message="非常抱歉，…"),
        ],
    )


@pytest.mark.parametrize("reason", [None, {}, "odd", {"intervene_text": 5}])
def test_an_intervention_without_words_and_without_text(reason: Any) -> None:
    assert_events([frame("intervene", last_error=reason)], [finish("content_filter")])


def test_an_error_of_the_stream() -> None:
    told = {"err_code": "e7", "message": "内部错误"}
    chunks = [snapshot("Half an answer"), frame("error", last_error=told)]
    out: list[Event] = []
    decoder = ChatGLMDecoder()
    with pytest.raises(ServerError, match="内部错误") as caught:
        decoder.feed(b"".join(chunks), out)
    assert out == [TextDelta("Half an answer")]
    assert (caught.value.code, caught.value.message) == ("e7", "内部错误")
    assert caught.value.retryable


def test_an_error_without_a_reason() -> None:
    with pytest.raises(ServerError, match="no reason told"):
        decoded([frame("error", last_error=None)])


# -- refusals in frames, and bodies that are no stream -----------------------------------------------------


class Refused(GLMError):
    """What the provider makes of a refusal."""


def decoder_of(refused: list[bytes]) -> ChatGLMDecoder:
    def refusal(body: bytes) -> GLMError:
        refused.append(body)
        return Refused("no")

    return ChatGLMDecoder(refusal=refusal)


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":500,"message":"x"}',
        b'{"status":0,"result":null}',
        b'{"code":40103,"message":"login required"}',
    ],
)
def test_a_number_is_the_status_of_a_refusal(body: bytes) -> None:
    refused: list[bytes] = []
    with pytest.raises(Refused):
        decoder_of(refused).feed(b"data: " + body + b"\n\n", [])
    assert refused == [body]


@pytest.mark.parametrize("status", [True, None, "init", 1.5])
def test_anything_else_is_a_frame(status: Any) -> None:
    refused: list[bytes] = []
    decoder = decoder_of(refused)
    out: list[Event] = []
    decoder.feed(frame(status, part(text("Hi")), code=5), out)
    assert (out, refused) == ([TextDelta("Hi")], [])


@pytest.mark.parametrize(
    "body",
    [
        b'{"status":500,"message":"x"}',
        b"<!DOCTYPE html>\n<title>Log in</title>",
        b'{\n "a": 1\n\n}\n',
    ],
)
def test_a_document_that_calls_itself_a_stream(body: bytes) -> None:
    for chunks in every_cut(body):
        refused: list[bytes] = []
        decoder = decoder_of(refused)
        for chunk in chunks:
            decoder.feed(chunk, [])
        with pytest.raises(Refused):
            decoder.end([])
        assert refused == [body]


@pytest.mark.parametrize("body", [b"", b": heartbeat\n\n", b"plain words", b"data: {", b"[1]"])
def test_an_end_that_is_for_the_exchange_to_judge(body: bytes) -> None:
    refused: list[bytes] = []
    decoder, out = decoder_of(refused), []  # type: ignore[var-annotated]
    decoder.feed(body, out)
    decoder.end(out)
    assert (out, refused, decoder.done) == ([], [], False)


def test_only_a_beginning_is_held_of_what_is_no_stream() -> None:
    refused: list[bytes] = []

    def refusal(body: bytes) -> GLMError:
        refused.append(body)
        return Refused("no")

    decoder = ChatGLMDecoder(refusal=refusal, limits=Limits(error_body=20))
    for _ in range(9):
        decoder.feed(b"<html> a\n", [])
    with pytest.raises(Refused):
        decoder.end([])
    assert refused == [b"<html> a\n<html> a\n<h"]


def test_without_a_provider_a_refusal_is_read_by_the_same_table() -> None:
    with pytest.raises(ServerError) as caught:
        decoded([b'data: {"status":500}\n\n'])
    assert (caught.value.code, caught.value.body) == ("500", '{"status":500}')


# -- garbage -----------------------------------------------------------------------------------------------


def test_frames_that_are_no_json_are_skipped_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "glmclient")
    canary = sse("{canary")
    events, decoder = decoded([canary, *HELLO[:2], sse("[1]"), sse("null"), HELLO[2]])
    assert events == HELLO_EVENTS
    assert decoder.skipped == 3
    assert [record.getMessage() for record in caplog.records] == [
        f"frame {number} is not a JSON object and is skipped" for number in (1, 4, 5)
    ]
    assert "canary" not in caplog.text


def test_a_stream_of_nothing_else_is_a_protocol_error() -> None:
    decoder = ChatGLMDecoder()
    decoder.feed(sse("<p>one</p>") + sse("x" * 1000), [])
    with pytest.raises(ProtocolError, match="none of the 2 frames") as caught:
        decoder.end([])
    assert caught.value.frame == "x" * 500


@pytest.mark.parametrize(
    "odd",
    [
        *({"parts": value} for value in (None, 5, "x", {}, [5, None, "x"])),
        *({"parts": [{"content": value}]} for value in (None, 5, "x", {}, [5, None, [], {}])),
        *(
            {"parts": [part({"type": kind})]}
            for kind in ("text", "think", "code", "image", "tool_calls", 5, None)
        ),
        *({"parts": [part({"type": "text", "text": value})]} for value in (5, None, [], {})),
        {"parts": [part({"type": "think", "think": 5, "text": None})]},
        {
            "parts": [
                part({"type": "image", "image": value}, status="finish")
                for value in (5, None, [5, {}])
            ]
        },
        {"parts": [{"logic_id": 5, "id": [], "status": 5, "content": []}]},
        {"conversation_id": 5, "id": {}, "status": []},
        {},
    ],
)
def test_odd_frames_break_nothing(odd: Any) -> None:
    frames = [sse(json.dumps(odd)), *HELLO]
    assert_events(frames, HELLO_EVENTS)


@pytest.mark.parametrize(
    "item", [text("a"), {"type": "text"}, {"type": "new"}, {"type": "think", "text": "a"}]
)
def test_what_differs_from_the_frame_before_is_decoded_anew(item: dict[str, Any]) -> None:
    """Frames that repeat themselves are read by template; one that does not is no frame lost."""
    frames = [snapshot("a"), frame("init", part(item)), snapshot("b"), snapshot("c"), END]
    events, _ = decoded(frames, mode="delta")
    assert [event for event in events if isinstance(event, TextDelta)][-2:] == [
        TextDelta("b"),
        TextDelta("c"),
    ]


def test_bounds_are_those_of_the_limits() -> None:
    for limits, limit in ((Limits(line=100), "sse_line"), (Limits(frame=100), "sse_frame")):
        with pytest.raises(LimitExceeded) as caught:
            decoded([b"data: " + b"x" * 200 + b"\n"], limits=limits)
        assert (caught.value.limit, caught.value.maximum) == (limit, 100)
        assert caught.value.actual > 100


# -- any bytes, any cut ------------------------------------------------------------------------------------


def law(events: list[Event]) -> tuple[str, str]:
    transcript = Transcript()
    transcript.extend(events)
    return transcript.text, transcript.reasoning


def outcome(chunks: list[bytes], mode: ModeName) -> tuple[str, str, list[Any], str]:
    """What a body comes to; how text is cut into deltas is the network's doing."""
    out: list[Event] = []
    decoder = ChatGLMDecoder(mode=mode, include_unknown=True)
    ended = "open"
    try:
        for chunk in chunks:
            decoder.feed(chunk, out)
        decoder.end(out)
    except GLMError as error:
        ended = f"{type(error).__name__}: {error}"
    others = [event for event in out if not isinstance(event, (TextDelta, TextReplace))]
    return (*law(out), others, ended if not decoder.done else "done")


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=5,
)
kinds = st.sampled_from(
    ["text", "think", "code", "image", "quote_result", "execution_output", "tool_calls", "new"]
)
items = st.fixed_dictionaries(
    {"type": kinds | values},
    optional={
        name: st.text(max_size=12) | values
        for name in ("text", "think", "code", "content", "tool_calls", "image")
    },
)
parts = st.fixed_dictionaries(
    {"content": st.lists(items, max_size=3) | values},
    optional={
        "logic_id": st.sampled_from(["L1", "L2"]) | values,
        "status": st.sampled_from(["init", "finish"]) | values,
        "meta_data": values,
        "model": values,
    },
)
bodies = st.fixed_dictionaries(
    {"status": st.sampled_from(["init", "init", "init", "finish", "intervene", "error"]) | values},
    optional={"parts": st.lists(parts, max_size=3) | values, "last_error": values, "id": values},
)
wires = st.lists(
    st.one_of(
        bodies.map(
            lambda value: sse(
                json.dumps(value, ensure_ascii=False).encode("utf-8", "replace").decode()
            )
        ),
        st.binary(max_size=30),
        st.text(max_size=12).map(lambda value: snapshot(value.encode("utf-8", "replace").decode())),
    ),
    max_size=8,
).map(b"".join)


@given(wires, st.data(), st.sampled_from(["auto", "snapshot", "delta"]))
def test_any_bytes_any_cut(raw: bytes, data: st.DataObject, mode: ModeName) -> None:
    """Events or a `GLMError`, and the same whole, byte by byte, and cut anywhere."""
    whole = outcome([raw], mode)
    assert outcome([raw[i : i + 1] for i in range(len(raw))], mode) == whole
    cuts = sorted(data.draw(st.sets(st.integers(0, len(raw)), max_size=5)) | {0, len(raw)})
    assert outcome([raw[i:j] for i, j in itertools.pairwise(cuts)], mode) == whole


@given(st.lists(st.text(min_size=1, max_size=6), min_size=1, max_size=12), st.booleans())
def test_the_law_holds_in_both_modes(pieces: list[str], snapshotted: bool) -> None:
    pieces = [piece.encode("utf-8", "replace").decode() for piece in pieces]
    whole = "".join(pieces)
    frames = (
        snapshots(*("".join(pieces[: i + 1]) for i in range(len(pieces))))
        if snapshotted
        else increments(*pieces)
    )
    events, decoder = decoded(frames)
    assert decoder.done
    assert law(events)[0] == whole
    assert isinstance(events[-1], Finish)


def test_the_examples_of_the_wire_page_are_understood() -> None:
    lines = re.findall(r"^data: (\{.*\})$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    told = [json.loads(line) for line in lines if "…" not in line and "PART" not in line]
    assert len(told) > 12
    for value in told:
        events, decoder = decoded([sse(json.dumps(value)), END], include_unknown=True)
        assert decoder.done
        assert decoder.skipped == 0
        assert not [event for event in events if isinstance(event, Unknown)]
        if value["status"] == "finish" or any(p["status"] == "finish" for p in value["parts"]):
            assert len(events) > 1


def rewrites(choices: list[tuple[int, str]]) -> list[str]:
    """Return snapshots: each keeps the beginning of the one before and goes on in its own way."""
    shown = [""]
    for keep, added in choices:
        shown.append(shown[-1][:keep] + added)
    return shown[1:]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.text("ab", max_size=3)), min_size=1, max_size=10).map(
        rewrites
    )
)
@example(["aa", "a", "aa", "a", "aa"])
@example(["ab", "abc", "ab", "abd"])
def test_a_rewrite_is_read_as_it_comes_whatever_was_learned_before(values: list[str]) -> None:
    for count in range(1, len(values) + 1):
        events, _ = decoded([snapshot(value) for value in values[:count]], mode="snapshot")
        assert law(events)[0] == values[count - 1]


@pytest.mark.parametrize("odd", [b"id: 3\n", b"\x00", b"retry: 5\n"])
def test_a_frame_that_cannot_be_learned_ends_what_was_learned(odd: bytes) -> None:
    frames = [snapshot("ab"), odd + snapshot("abc"), snapshot("ab"), snapshot("abd")]
    for chunks in (frames, [b"".join(frames)]):
        assert law(decoded(chunks, mode="snapshot")[0])[0] == "abd"
