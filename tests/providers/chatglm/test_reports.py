"""What public reports of ChatGLM's guest stream showed, and what each of them means."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient import (
    APIConnectionError,
    APIStatusError,
    BadRequestError,
    CodeDelta,
    Event,
    ExecutionOutput,
    Finish,
    GLMError,
    Image,
    LimitExceeded,
    Limits,
    PermissionDeniedError,
    ProtocolError,
    RateLimitError,
    SearchResult,
    SearchResults,
    ServerError,
    ServiceBlockedError,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
)
from glmclient.core.http import Head
from glmclient.providers.chatglm.decoder import ChatGLMDecoder
from tests.core.flow import OK

from .test_provider import asked
from .wire import decoded, every_cut, frame, part, snapshot, sse, text

END = Finish("stop", raw_reason="finish", conversation_id="c1")
JSON = Head(200, {"content-type": "application/json"})
MORE = {"type": "one_to_more_finish", "image": [{}]}


def image(*urls: str, kind: str = "image") -> dict[str, Any]:
    return {"type": kind, "image": [{"image_url": url} for url in urls]}


# -- images and whatever else only an open part holds ------------------------------------------------------


def test_images_of_parts_that_are_never_finished() -> None:
    frames = [
        frame("init", part(image(""), logic_id="I1")),
        frame("init", part(image("https://sfile.example/1.png"), logic_id="I1")),
        frame("init", part(image("https://sfile.example/1.png"), logic_id="I1")),
        frame("init", part(image("https://sfile.example/2.png"), logic_id="I2")),
        frame("finish", part(MORE, logic_id="I3", status="finish")),
    ]
    events, _ = decoded(frames)
    assert events == [
        Image("https://sfile.example/1.png"),
        Image("https://sfile.example/2.png"),
        END,
    ]
    for chunks in every_cut(b"".join(frames)):
        assert decoded(chunks)[0] == events


@pytest.mark.parametrize(
    "url", ["", "https://", "http:///x.png", "ftp://x/y.png", "data:,", 5, None]
)
def test_what_is_not_an_address_is_not_an_image(url: Any) -> None:
    item = {"type": "image", "image": [{"image_url": url}, "odd", {}]}
    assert decoded([frame("init", part(item)), frame("finish")])[0] == [END]


def test_the_end_mark_of_images_may_repeat_them() -> None:
    url = "http://sfile.example/1.png"
    one = frame("init", part(image(url)))
    last = frame("finish", part(image(url, kind="one_to_more_finish"), status="finish"))
    assert decoded([one, last], include_unknown=True)[0] == [Image(url), END]


@pytest.mark.parametrize(
    ("open_part", "event"),
    [
        (
            part({"type": "execution_output", "content": "2"}),
            ExecutionOutput("2"),
        ),
        (
            part(
                {"type": "quote_result"},
                meta_data={"metadata_list": [{"title": "T", "url": "https://example.org"}]},
            ),
            SearchResults((SearchResult(title="T", url="https://example.org"),)),
        ),
        (
            part({"type": "tool_calls", "tool_calls": {"id": "1", "name": "f", "arguments": "{}"}}),
            ToolCallDelta(0, "1", "f", "{}"),
        ),
        (
            part({"type": "rag_slices", "content": "x"}),
            Unknown("rag_slices", '{"type": "rag_slices", "content": "x"}'),
        ),
    ],
    ids=lambda value: "" if isinstance(value, dict) else type(value).__name__,
)
def test_items_of_parts_that_are_never_finished(open_part: dict[str, Any], event: Event) -> None:
    answer = frame("init", part(text("Hi"), logic_id="L9"))
    end = frame("finish", part(text("Hi"), logic_id="L9", status="finish"))
    events, _ = decoded([frame("init", open_part), answer, end], include_unknown=True)
    assert events == [TextDelta("Hi"), event, END]
    finished = frame("init", {**open_part, "status": "finish"})
    events, _ = decoded([frame("init", open_part), finished, answer, end], include_unknown=True)
    assert events == [event, TextDelta("Hi"), END], "once"


# -- reasons -----------------------------------------------------------------------------------------------

WAIT = "请等待其他对话生成完毕"


def refused(status: int, body: Any) -> GLMError:
    head = Head(status, {"content-type": "application/json"})
    return asked(replies=[head, json.dumps(body, ensure_ascii=False).encode(), b""]).error


def in_frame(body: Any) -> GLMError:
    return asked(replies=[OK, sse(json.dumps(body, ensure_ascii=False))]).error


@pytest.mark.parametrize(
    ("body", "kind", "code", "retryable"),
    [
        ({"status": 10061, "message": WAIT}, RateLimitError, "10061", True),
        ({"status": 10061, "msg": "You ask too often"}, RateLimitError, "10061", True),
        ({"status": 10031, "err_msg": "当前为高峰期，排队中"}, RateLimitError, "10031", True),
        ({"code": "10061", "message": WAIT}, RateLimitError, "10061", True),
        ({"error_code": 10061, "message": WAIT}, RateLimitError, "10061", True),
        ({"status": 42900, "message": "odd"}, RateLimitError, "42900", True),
        ({"status": 40301, "message": "odd"}, PermissionDeniedError, "40301", False),
        ({"status": 50003, "message": "odd"}, ServerError, "50003", True),
        ({"status": 10061, "message": "请登录"}, ServiceBlockedError, "10061", False),
    ],
)
def test_one_table_decides_wherever_a_reason_stands(
    body: Any, kind: type[APIStatusError], code: str, retryable: bool
) -> None:
    for error in (refused(429, body), refused(200, body), refused(500, body)):
        assert type(error) is kind and isinstance(error, APIStatusError)
        assert (error.code, error.retryable) == (code, retryable)
        assert error.message in body.values()
    error = in_frame(body)
    assert (type(error), getattr(error, "code", "")) == (kind, code)
    assert type(in_frame({"error": body})) is kind
    if isinstance(body.get("status"), int):
        last = {"code": body["status"], **{k: v for k, v in body.items() if k != "status"}}
        error = in_frame({"status": "error", "parts": [], "last_error": last})
        assert (type(error), getattr(error, "code", "")) == (kind, code)


def test_a_code_that_stands_for_no_status_leaves_it_to_the_status() -> None:
    assert type(refused(403, {"status": 10099, "message": "odd"})) is PermissionDeniedError
    assert type(refused(503, {"status": 10099, "message": "odd"})) is ServerError
    assert type(refused(200, {"status": 10099, "message": "odd"})) is BadRequestError


@pytest.mark.parametrize(
    "told",
    [
        {"last_error": {"code": "1301", "message": "当前访问人数过多，请稍后重试"}},
        {"last_error": {"err_code": 1301, "msg": "当前访问人数过多，请稍后重试"}},
        {
            "parts": [
                part(
                    error={"code": "1301", "message": "当前访问人数过多，请稍后重试"}, logic_id="E"
                )
            ]
        },
    ],
)
@pytest.mark.parametrize("last", [b"", frame("finish")])
def test_a_reason_before_the_end(told: dict[str, Any], last: bytes) -> None:
    first = frame("init", **{"parts": [], **told})
    error = asked(replies=[OK, first + last, *([] if last else [b""])]).error
    assert type(error) is RateLimitError
    assert error.code == "1301"
    assert error.retryable
    assert error.message == "当前访问人数过多，请稍后重试"


def test_an_answer_after_a_reason_is_an_answer() -> None:
    first = frame("init", last_error={"code": "1301", "message": "busy"})
    played = asked(replies=[OK, first + snapshot("Hi", "finish")])
    assert played.events == [TextDelta("Hi"), END]


@pytest.mark.parametrize("status", [200, 400, 422])
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            {"validation_error": {"body_params": [{"loc": ["assistant_id"], "msg": "field required"}]}},
            "assistant_id: field required",
        ),
        (
            {
                "validation_error": {
                    "query_params": [{"loc": ["a", 0], "msg": "bad"}],
                    "headers": [{"loc": "X-Id", "msg": "missing"}, {"msg": "odd"}, {"loc": 5}],
                }
            },
            "a.0: bad; X-Id: missing; odd",
        ),
        ({"detail": [{"loc": ["body", "messages"], "msg": "too many"}]}, "body.messages: too many"),
    ],
)  # fmt: skip
def test_fields_that_the_service_finds_wrong(status: int, body: Any, words: str) -> None:
    error = refused(status, body)
    assert type(error) is BadRequestError
    assert (error.message, error.retryable) == (words, False)
    assert words in str(error)


def test_fields_that_are_found_wrong_in_a_frame() -> None:
    body = {"validation_error": {"body_params": [{"loc": ["x"], "msg": "bad"}]}}
    assert type(in_frame(body)) is BadRequestError
    assert "x: bad" in str(in_frame(body))
    assert isinstance(refused(200, {"validation_error": "odd"}), ProtocolError)


@pytest.mark.parametrize("status", [200, 400])
def test_the_wall_for_guests_gives_no_reason(status: int) -> None:
    error = refused(status, {"status": 40012})
    assert type(error) is BadRequestError
    assert "limit for guests" in str(error) and "provider='zai'" in str(error)
    assert "limit for guests" not in str(refused(status, {"status": 40004}))


# -- moderation --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("last", "words"),
    [
        (
            frame("finish", part(status="intervene"), last_error={"intervene_text": "Sorry."}),
            "Sorry.",
        ),
        (frame("finish", part(text("Sorry."), status="intervene")), "Sorry."),
        (frame("intervene", part(text("Sorry."), status="intervene")), "Sorry."),
        (frame("init", part(text("Sorry."), status="intervene")) + frame("finish"), "Sorry."),
        (frame("finish", part(status="intervene")), None),
    ],
)
def test_a_part_that_moderation_took_back(last: bytes, words: str | None) -> None:
    events, decoder = decoded([snapshot("Some"), snapshot("Something"), last])
    assert decoder.done
    assert events == [
        TextDelta("Some"),
        TextDelta("thing"),
        TextReplace(0, ""),
        Finish("content_filter", raw_reason="intervene", conversation_id="c1", message=words),
    ]


# -- snapshots ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        ["Hello", "Hello wrold", "Hello world", "Hello world!"],
        ["你好", "你好，我是智普", "你好，我是智谱清言"],
        ["a, b", "a, b, d", "a, b, c", "a, b, c, d"],
    ],
)
def test_a_rewrite_among_the_first_snapshots(values: list[str]) -> None:
    shown = ""
    decoder = ChatGLMDecoder()
    for value in values:
        out: list[Event] = []
        decoder.feed(snapshot(value), out)
        for event in out:
            assert isinstance(event, (TextDelta, TextReplace))
            shown = (
                shown + event.text
                if isinstance(event, TextDelta)
                else shown[: event.start] + event.text
            )
        assert shown == value


def test_increments_that_begin_alike_are_increments() -> None:
    pieces = ["the ", "cat and ", "the dog"]
    events, _ = decoded([snapshot(piece) for piece in pieces])
    assert events == [TextDelta(piece) for piece in pieces]


# -- an answer without a stream around it ------------------------------------------------------------------

WHOLE = {
    "id": "m1",
    "conversation_id": "c1",
    "status": "finish",
    "parts": [part(text("Hi"), {"type": "code", "code": "1"}, status="finish")],
}
HI: list[Event] = [
    TextDelta("Hi"),
    CodeDelta("1"),
    Finish("stop", raw_reason="finish", response_id="m1", conversation_id="c1"),
]


@pytest.mark.parametrize("head", [JSON, OK, Head(200, {})], ids=["json", "stream", "none"])
@pytest.mark.parametrize("body", [WHOLE, {"status": 0, "message": "success", "result": WHOLE}])
def test_a_whole_answer(head: Head, body: Any) -> None:
    raw = b"\n" + json.dumps(body, indent=1).encode()
    for chunks in ([raw], [raw[:1], raw[1:2], raw[2:]]):
        played = asked(replies=[head, *chunks, b""])
        assert played.events == HI


def test_a_whole_answer_without_an_end_is_not_a_success() -> None:
    body = json.dumps({**WHOLE, "status": "init"}).encode()
    played = asked(replies=[JSON, body, b""])
    assert played.events == HI[:2]
    assert "without the service's end mark" in str(played.error)


def test_a_body_is_bounded() -> None:
    decoder = ChatGLMDecoder(limits=Limits(body=100))
    decoder.feed(b'{"parts": [', [])
    with pytest.raises(LimitExceeded, match="longer than 100 bytes"):
        decoder.feed(b" " * 100, [])


# -- an end without a word ---------------------------------------------------------------------------------


def test_an_unknown_conversation_is_answered_by_nothing() -> None:
    def error(**options: Any) -> GLMError:
        return asked(replies=[OK, b""], **options).error

    assert isinstance(error(), APIConnectionError)
    assert "conversation_id" not in str(error())
    told = error(conversation_id="made-up")
    assert isinstance(told, APIConnectionError) and told.retryable
    assert "closed the stream before any event" in str(told)
    assert "conversation_id 'made-up' may be unknown" in str(told)


# -- work that grows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["text", "think", "code"])
def test_rewrites_of_an_early_part_are_bounded(kind: str) -> None:
    limits = Limits(rewrites=1000)
    decoder = ChatGLMDecoder(mode="snapshot", limits=limits)
    out: list[Event] = []

    def feed(key: str, *values: str) -> None:
        items = [{"type": kind, kind: value} for value in values]
        decoder.feed(frame("init", part(*items, logic_id=key)), out)

    feed("L0", "a")
    if kind == "code":  # each block is a text of its own: nothing comes again
        for count in range(50):
            feed("L0", "a" * count)
        return
    feed("L1", "b" * 100)
    with pytest.raises(
        LimitExceeded, match=r"repeated more than 1000 characters .* Raise Limits\.rewrites"
    ) as caught:
        for count in range(50):
            feed("L0", "a" * (count + 2))
    assert (caught.value.limit, caught.value.maximum) == ("rewrites", 1000)
    assert len(out) < 15
