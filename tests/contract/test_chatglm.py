"""ChatGLM's guest stream as its wire page gives it, through all clients."""

from __future__ import annotations

import json
import logging
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest

import glmclient
from glmclient import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    CodeDelta,
    ConfigurationError,
    ExecutionOutput,
    Finish,
    Image,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ReasoningDelta,
    RetryPolicy,
    SearchResults,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
    TextDelta,
    TextReplace,
    Unknown,
)

from .flavours import Flavour
from .frames import HI, data, glm, increments, snapshots, text, think
from .loopback import Server, answer, closed_stream, stream

Serve = Callable[..., Server]

ANSWERS = {
    "chinese": "你好！我是智谱清言,很高兴见到你。" * 3,
    "emoji": "👩‍👩‍👧‍👦 family, 🇨🇳 flag, 👍🏽 skin, e\u0301 accent",
    "code": '```python\ndef f(x):\n\treturn {"a": [x, "\\n"]}\n```\n\u2028\u2029\x85 end\r\n',
    "repeats": "哈哈哈哈哈哈哈哈哈哈 1 1 1 1 1 1 1 12 12 12",
    "short": "好",
}


# -- the request -----------------------------------------------------------------------------------


def test_the_request_is_the_one_of_the_wire_page(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    client(base_url=server.url).chat("你好")
    request = server.request
    assert (request.method, request.target) == ("POST", "/chatglm/mainchat-api/guest/stream")
    headers = request.headers
    expected = {
        "accept": "text/event-stream",
        "accept-language": "en-US,en;q=0.9",
        "app-name": "chatglm",
        "authorization": "undefined",
        "content-type": "application/json",
        "origin": "https://chatglm.cn",
        "user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/131.0.0.0 Safari/537.36",
        "x-app-platform": "pc",
        "x-app-version": "0.0.1",
        "host": f"127.0.0.1:{server.port}",
        "content-length": str(len(request.body)),
    }
    assert {name: headers.get(name) for name in expected} == expected
    assert re.fullmatch(r"[0-9a-f]{32}", headers["x-device-id"])
    assert uuid.UUID(hex=headers["x-device-id"]).version == 4
    names = [name.lower() for name, _ in request.fields]
    assert len(names) == len(set(names)), "a header is sent twice"
    assert request.json == {
        "assistant_id": "65940acff94777010aa6b796",
        "conversation_id": "",
        "meta_data": {
            "if_plus_model": False,
            "is_test": False,
            "input_question_type": "xxxx",
            "channel": "",
            "draft_id": "",
            "quote_log_id": "",
            "platform": "pc",
        },
        "messages": [{"role": "user", "content": [{"type": "text", "text": "你好"}]}],
    }


def test_one_message_object_for_each_message_in_order(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    messages = [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "two"},
        {"role": "user", "content": "three"},
    ]
    before = json.dumps(messages)
    client(base_url=server.url).chat(messages)
    assert server.request.json["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "one"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "two"}]},
        {"role": "user", "content": [{"type": "text", "text": "three"}]},
    ]
    assert json.dumps(messages) == before


def test_system_messages_are_folded_into_the_first_user_message(
    client: Flavour, serve: Serve
) -> None:
    server = serve(stream(*HI))
    client(base_url=server.url).chat(
        [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    )
    sent = server.request.json["messages"]
    assert [each["role"] for each in sent] == ["user"]
    told = "".join(item["text"] for item in sent[0]["content"])
    assert told.startswith("Be brief.")
    assert told.endswith("Why?")


def test_a_device_id_lives_as_long_as_its_client(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    for asking in (client(base_url=server.url), client(base_url=server.url)):
        asking.chat()
        asking.chat()
    ids = [each.headers["x-device-id"] for each in server.requests]
    assert ids[0] == ids[1] != ids[2] == ids[3]


@pytest.mark.parametrize("name", ["User-Agent", "user-agent", "X-Device-Id", "authorization"])
def test_headers_of_the_caller_win(client: Flavour, serve: Serve, name: str) -> None:
    server = serve(stream(*HI))
    client(base_url=server.url, headers={name: "mine", "X-Extra": "1"}).chat()
    headers = server.request.headers
    assert (headers[name.lower()], headers["x-extra"]) == ("mine", "1")
    assert headers["app-name"] == "chatglm"
    names = [each.lower() for each, _ in server.request.fields]
    assert names.count(name.lower()) == 1


@pytest.mark.parametrize("tail", ["", "/", "/prefix", "/prefix/"])
def test_base_url_stands_for_scheme_host_and_prefix(
    client: Flavour, serve: Serve, tail: str
) -> None:
    server = serve(stream(*HI))
    client(base_url=server.url + tail).chat()
    prefix = tail.rstrip("/")
    assert server.request.target == f"{prefix}/chatglm/mainchat-api/guest/stream"


def test_a_conversation_goes_on_with_its_id(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    asking = client(base_url=server.url)
    first = asking.chat("one")
    assert first.finish is not None
    assert first.finish.conversation_id == "c1"
    asking.chat("two", continue_from=first)
    asking.chat("three", continue_from=first.finish)
    asking.chat("four")
    assert [each.json["conversation_id"] for each in server.requests] == ["", "c1", "c1", ""]


# -- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 3, 1000])
@pytest.mark.parametrize("mode", [snapshots, increments])
@pytest.mark.parametrize("name", ANSWERS)
def test_the_answer_is_exact(
    client: Flavour, serve: Serve, name: str, mode: Callable[..., list[bytes]], step: int
) -> None:
    whole = ANSWERS[name]
    server = serve(stream(*mode(whole, step)))
    reading = client(base_url=server.url).stream()
    events = reading.collect()
    assert apply(events) == reading.text == whole
    assert isinstance(events[-1], Finish)
    assert [type(each) for each in events].count(Finish) == 1
    assert events[-1].reason == "stop"
    assert reading.finish == events[-1]


@pytest.mark.parametrize("mode", [snapshots, increments])
def test_the_answer_is_exact_however_it_is_cut(
    client: Flavour, serve: Serve, mode: Callable[..., list[bytes]]
) -> None:
    whole = ANSWERS["emoji"] + ANSWERS["code"]
    raw = b"".join(mode(whole, 9))
    pieces = [raw[at : at + 7] for at in range(0, len(raw), 7)]
    server = serve(stream(*pieces))
    assert client(base_url=server.url).chat().text == whole


def test_snapshots_are_handed_over_as_what_is_new(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            glm("init", text("你好")),
            glm("init", text("你好！我是智谱清言")),
            glm("init", text("你好！我是智谱清言")),
            glm("finish", text("你好！我是智谱清言。")),
        )
    )
    events = client(base_url=server.url).stream().collect()
    assert events[:-1] == [TextDelta("你好"), TextDelta("！我是智谱清言"), TextDelta("。")]


def test_a_long_increment_stream_repeats_nothing(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*increments("1, 2, 3, 4, 5", 2)))
    events = client(base_url=server.url).stream().collect()
    assert events[:-1] == [TextDelta(each) for each in ["1,", " 2", ", ", "3,", " 4", ", ", "5"]]


def test_a_rewrite_is_a_replacement(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            glm("init", text("The answer is forty")),
            glm("init", text("The answer is forty-one, I think")),
            glm("init", text("The answer is 42【1†source】")),
            glm("finish", text("The answer is 42.")),
        )
    )
    reading = client(base_url=server.url).stream()
    events = reading.collect()
    assert any(isinstance(each, TextReplace) for each in events)
    assert apply(events) == reading.text == "The answer is 42."


def test_a_rewrite_of_an_earlier_part_keeps_the_later_ones(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            glm("init", text("First answer. "), key="A"),
            glm("init", text("First answer. It is"), key="A"),
            glm("init", text("Second"), key="B"),
            glm("init", text("Second one."), key="B"),
            glm("init", text("First, rewritten. "), key="A", part="finish"),
            glm("finish", text("Second one."), key="B"),
        )
    )
    reading = client(base_url=server.url).stream()
    events = reading.collect()
    assert any(isinstance(each, TextReplace) for each in events)
    assert apply(events) == reading.text == "First, rewritten. Second one."


def test_a_finish_without_parts_ends_what_came(client: Flavour, serve: Serve) -> None:
    server = serve(stream(glm("init", text("hello there")), glm("finish")))
    events = client(base_url=server.url).stream().collect()
    assert apply(events) == "hello there"
    assert isinstance(events[-1], Finish)


def test_frames_that_repeat_themselves_emit_nothing(client: Flavour, serve: Serve) -> None:
    frames = snapshots("a long answer, told twice", 5)
    server = serve(stream(*(each for frame in frames[:-1] for each in (frame, frame)), frames[-1]))
    events = client(base_url=server.url).stream().collect()
    assert apply(events) == "a long answer, told twice"
    assert not [each for each in events if getattr(each, "text", "x") == ""]
    assert not [each for each in events if isinstance(each, TextReplace)]


def test_the_finish_tells_what_the_service_told(client: Flavour, serve: Serve) -> None:
    server = serve(stream(glm("finish", text("hi"), id="m1")))
    finish = client(base_url=server.url).chat().finish
    assert finish is not None
    assert (finish.conversation_id, finish.response_id) == ("c1", "m1")
    assert (finish.raw_reason, finish.usage) == ("finish", None)


def test_frames_without_names_without_ids_and_with_crlf(client: Flavour, serve: Serve) -> None:
    frames = b"".join(
        [
            b"\xef\xbb\xbf: hello\r\n\r\n",
            data({"status": "init", "parts": [{"content": [text("你好，世界")]}]}),
            data({"status": "finish", "parts": [{"content": [text("你好，世界！")]}]}),
        ]
    ).replace(b"\n", b"\r\n")
    server = serve(stream(frames))
    assert client(base_url=server.url).chat().text == "你好，世界！"


def test_thinking_is_not_text(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            glm("init", think("Simple")),
            glm("init", think("Simple question")),
            glm("init", think("Simple question"), text("9.9")),
            glm("finish", think("Simple question"), text("9.9 更大")),
        )
    )
    reading = client(base_url=server.url).stream()
    events = reading.collect()
    assert events[:-1] == [
        ReasoningDelta("Simple"),
        ReasoningDelta(" question"),
        TextDelta("9.9"),
        TextDelta(" 更大"),
    ]
    assert (reading.text, reading.reasoning) == ("9.9 更大", "Simple question")


def test_several_parts_are_one_answer(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            glm("init", text("First part. "), key="A"),
            glm("init", text("First part. "), key="A", part="finish"),
            glm("init", text("Second"), key="B"),
            glm("init", text("Second part."), key="B"),
            glm("finish", text("Second part."), key="B"),
        )
    )
    assert client(base_url=server.url).chat().text == "First part. Second part."


def test_code_results_images_and_searches_are_events_of_their_own(
    client: Flavour, serve: Serve
) -> None:
    search = {
        "conversation_id": "c1",
        "status": "init",
        "parts": [
            {
                "logic_id": "S1",
                "role": "assistant",
                "status": "finish",
                "content": [{"type": "quote_result"}],
                "meta_data": {"metadata_list": [{"title": "Title", "url": "https://example.org"}]},
            }
        ],
    }
    image = "https://sfile.chatglm.cn/x.png"
    server = serve(
        stream(
            data(search),
            glm("init", {"type": "code", "code": "print("}, key="C1"),
            glm("init", {"type": "code", "code": "print(1+1)"}, key="C1"),
            glm("init", {"type": "code", "code": "print(1+1)"}, key="C1", part="finish"),
            glm("init", {"type": "execution_output", "content": "2\n"}, key="E1", part="finish"),
            glm("init", {"type": "image", "image": [{"image_url": ""}]}, key="I1"),
            glm(
                "init", {"type": "image", "image": [{"image_url": image}]}, key="I1", part="finish"
            ),
            glm("init", {"type": "hologram", "content": "?"}, key="H1", part="finish"),
            glm("finish", text("Two."), key="T1"),
        )
    )
    asking = client(base_url=server.url)
    reading = asking.stream()
    events = reading.collect()
    code = "".join(each.text for each in events if isinstance(each, CodeDelta))
    assert code == "print(1+1)"
    assert [each for each in events if isinstance(each, ExecutionOutput)] == [
        ExecutionOutput("2\n")
    ]
    assert [each for each in events if isinstance(each, Image)] == [Image(image)]
    (found,) = [each for each in events if isinstance(each, SearchResults)]
    assert [(each.title, each.url) for each in found.results] == [("Title", "https://example.org")]
    assert not [each for each in events if isinstance(each, Unknown)]
    assert reading.text == "Two."
    events = asking.stream(include_unknown=True).collect()
    (unknown,) = [each for each in events if isinstance(each, Unknown)]
    assert unknown.name == "hologram"


@pytest.mark.parametrize("missing", [False, True])
def test_an_intervention_is_a_content_filter(client: Flavour, serve: Serve, missing: bool) -> None:
    frame = {
        "conversation_id": "c1",
        "status": "intervene",
        "last_error": {
            "intervene_type": "output_sensitive",
            "intervene_text": "非常抱歉，换个话题",
        },
    }
    if not missing:
        frame["parts"] = [{"logic_id": "L1", "status": "intervene", "content": []}]
    server = serve(stream(glm("init", text("Something one should not say")), data(frame)))
    reading = client(base_url=server.url).stream()
    events = reading.collect()
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "content_filter"
    assert finish.raw_reason == "intervene"
    assert "非常抱歉，换个话题" in (finish.message or "")
    assert apply(events) == reading.text


def test_an_end_at_the_close_of_the_connection_is_as_good(client: Flavour, serve: Serve) -> None:
    server = serve(closed_stream(*HI))
    assert client(base_url=server.url).stream().collect()[-1].reason == "stop"


def test_what_follows_the_finish_is_not_read(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI, glm("init", text("more")), glm("finish", text("more"))))
    events = client(base_url=server.url).stream().collect()
    assert apply(events) == "hi"
    assert [type(each) for each in events].count(Finish) == 1


def test_the_finish_needs_no_end_of_the_connection(client: Flavour, serve: Serve) -> None:
    def script(answering: Any) -> None:
        answering.head()
        answering.chunk(b"".join(HI))
        assert answering.gone()  # ours to leave

    server = serve(script)
    asking = client(base_url=server.url)
    assert asking.chat().text == "hi"
    asking.close()


@pytest.mark.parametrize("mode", ["snapshot", "delta"])
def test_the_mode_can_be_set_by_hand(client: Flavour, serve: Serve, mode: str) -> None:
    frames = {
        "snapshot": [glm("init", text("1")), glm("init", text("12")), glm("finish", text("12"))],
        "delta": [glm("init", text("1")), glm("init", text("12")), glm("finish", text("112"))],
    }
    server = serve(stream(*frames[mode]))
    events = client(base_url=server.url).stream(mode=mode).collect()
    expected = {"snapshot": ["1", "2"], "delta": ["1", "12"]}
    assert events[:-1] == [TextDelta(each) for each in expected[mode]]


# -- ends that are none ----------------------------------------------------------------------------


@pytest.mark.parametrize("how", [stream, closed_stream])
def test_an_end_without_the_mark_is_never_a_success(
    client: Flavour, serve: Serve, how: Callable[..., Any]
) -> None:
    server = serve(how(glm("init", text("half an ans")), glm("init", text("half an answer"))))
    reading = client(base_url=server.url).stream()
    events: list[Any] = []
    with pytest.raises(StreamInterrupted) as caught:
        reading.collect(events)
    assert events == [TextDelta("half an ans"), TextDelta("wer")]
    assert caught.value.partial.text == reading.text == "half an answer"
    assert caught.value.partial.finish is None
    assert caught.value.attempts == 1
    assert caught.value.__cause__ is not None
    assert reading.finish is None
    assert len(server.requests) == 1, "a second request after an event was handed over"


def test_a_part_that_finishes_does_not_finish_the_stream(client: Flavour, serve: Serve) -> None:
    server = serve(stream(glm("init", text("all of it"), part="finish")))
    with pytest.raises(StreamInterrupted) as caught:
        client(base_url=server.url).stream().collect()
    assert caught.value.partial.text == "all of it"


@pytest.mark.parametrize("frames", [[], [glm("init")], [b": nothing\n\n"]])
def test_a_stream_of_nothing_is_tried_again_and_then_an_error(
    client: Flavour, serve: Serve, frames: list[bytes]
) -> None:
    server = serve(stream(*frames))
    retry = RetryPolicy(attempts=2, base_delay=0.01)
    with pytest.raises(glmclient.GLMError) as caught:
        client(base_url=server.url, retry=retry).chat()
    assert caught.value.partial.text == ""
    assert not isinstance(caught.value, (ConfigurationError, APIStatusError))
    assert caught.value.attempts == len(server.requests)


# -- frames that are no JSON -----------------------------------------------------------------------


def test_frames_that_are_no_json_are_skipped_and_logged(
    client: Flavour, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    server = serve(stream(b"data: not json\n\n", HI[0], b"data: {broken\n\n", *HI[1:]))
    with caplog.at_level(logging.DEBUG, "glmclient"):
        assert client(base_url=server.url).chat().text == "hi"
    told = "\n".join(
        each.getMessage() for each in caplog.records if each.name.startswith("glmclient")
    )
    assert "2" in told
    assert "broken" not in told


def test_a_stream_of_nothing_but_broken_frames_is_a_protocol_error(
    client: Flavour, serve: Serve
) -> None:
    server = serve(stream(b"data: not json\n\n", b"data: nor this\n\n"))
    with pytest.raises(ProtocolError) as caught:
        client(base_url=server.url, retry=RetryPolicy(attempts=1)).chat()
    assert "nor this" in caught.value.frame
    assert caught.value.partial.text == ""


@pytest.mark.parametrize(
    "odd",
    ["null", "[]", "1", '"text"', "{}", '{"status": "init", "parts": null}',
     '{"status": "init", "parts": [null, 1, {"content": null}, {"content": [null, 7, {}]}]}',
     '{"status": "init", "parts": [{"content": [{"type": "text", "text": null}]}]}',
     '{"status": "init", "parts": {"a": 1}}', '{"status": null, "parts": "x"}'],
)  # fmt: skip
def test_odd_frames_break_nothing(client: Flavour, serve: Serve, odd: str) -> None:
    server = serve(stream(HI[0], data(odd), *HI[1:]))
    assert client(base_url=server.url).chat().text == "hi"


# -- refusals --------------------------------------------------------------------------------------

REFUSALS = [
    (
        200,
        {"status": 500, "message": "您已多次体验过对话, 请登录后继续使用"},
        QuotaExceededError,
        "500",
    ),
    (200, {"status": 40103, "message": "login required"}, APIStatusError, "40103"),
    (200, {"status": 40102, "message": "unauthorized"}, AuthenticationError, "40102"),
    (200, {"status": 40012, "message": "bad request"}, BadRequestError, "40012"),
    (400, {"status": 40012, "message": "bad request"}, BadRequestError, "40012"),
    (200, {"status": 40004, "message": "conversation not found"}, APIStatusError, "40004"),
    (200, {"code": 50000, "message": "broken"}, APIStatusError, "50000"),
    (429, {"status": 429, "message": "too many"}, RateLimitError, "429"),
    (429, {}, RateLimitError, None),
    (401, {}, AuthenticationError, None),
    (503, {"message": "maintenance"}, ServerError, None),
]


@pytest.mark.parametrize(("status", "body", "kind", "code"), REFUSALS)
def test_a_refusal_is_typed_and_speaks_in_the_words_of_the_service(
    client: Flavour,
    serve: Serve,
    status: int,
    body: dict[str, Any],
    kind: type[APIStatusError],
    code: str | None,
) -> None:
    server = serve(answer(status, body, kind="application/json; charset=utf-8"))
    with pytest.raises(kind) as caught:
        client(base_url=server.url, retry=RetryPolicy(attempts=1)).chat()
    error = caught.value
    assert error.status_code == status
    if code is not None:
        assert error.code == code
    if "message" in body:
        assert body["message"] in error.message
        assert body["message"] in str(error)
        assert body["message"] in error.body
    assert (error.partial.text, error.attempts) == ("", 1)


@pytest.mark.parametrize("kind", ["application/json", "text/event-stream", "text/plain"])
def test_the_login_wall_is_seen_whatever_the_content_type_says(
    client: Flavour, serve: Serve, kind: str
) -> None:
    words = "您已多次体验过对话, 请登录后继续使用"
    body = {"status": 500, "message": words}
    server = serve(answer(200, body, kind=kind))
    with pytest.raises((QuotaExceededError, ServiceBlockedError)) as caught:
        client(base_url=server.url).chat()
    assert words in str(caught.value)
    assert caught.value.retryable is False
    assert len(server.requests) == 1


@pytest.mark.parametrize("kind", ["text/plain; charset=utf-8", "application/octet-stream", None])
def test_a_stream_is_a_stream_whatever_the_content_type_says(
    client: Flavour, serve: Serve, kind: str | None
) -> None:
    def script(answering: Any) -> None:
        answering.head(200, kind)
        for frame in snapshots("你好👋", 1):
            answering.chunk(frame)
        answering.end()

    assert client(base_url=serve(script).url).chat().text == "你好👋"


@pytest.mark.parametrize("kind", ["text/plain", "application/json", None])
def test_what_is_neither_a_stream_nor_a_refusal(
    client: Flavour, serve: Serve, kind: str | None
) -> None:
    def script(answering: Any) -> None:
        answering.head(200, kind, length=5)
        answering.send(b"hello")

    server = serve(script)
    with pytest.raises((ProtocolError, APIStatusError)) as caught:
        client(base_url=server.url).chat()
    assert "hello" in str(vars(caught.value))
    assert len(server.requests) == 1


def test_a_refusal_in_a_frame_is_the_same_class(client: Flavour, serve: Serve) -> None:
    words = "您已多次体验过对话, 请登录后继续使用"
    server = serve(stream(data({"status": 500, "message": words})))
    with pytest.raises(QuotaExceededError, match="请登录后继续使用") as caught:
        client(base_url=server.url).chat()
    assert (caught.value.code, len(server.requests)) == ("500", 1)


@pytest.mark.parametrize("status", [200, 403, 503])
@pytest.mark.parametrize("kind", ["text/html", "text/html; charset=utf-8", "text/event-stream"])
def test_html_is_a_blocked_service(client: Flavour, serve: Serve, status: int, kind: str) -> None:
    page = "<!DOCTYPE html><html><title>Just a moment...</title><body>A challenge</body></html>"
    server = serve(answer(status, page, kind=kind))
    with pytest.raises(ServiceBlockedError) as caught:
        client(base_url=server.url, retry=RetryPolicy(attempts=1)).chat()
    assert caught.value.status_code == status
    assert "Just a moment" in caught.value.body
    assert caught.value.partial.text == ""


def test_the_error_body_is_bounded(client: Flavour, serve: Serve) -> None:
    server = serve(answer(500, b"x" * 3_000_000, kind="text/plain"))
    with pytest.raises(ServerError) as caught:
        client(base_url=server.url, retry=RetryPolicy(attempts=1)).chat()
    assert 0 < len(caught.value.body) <= 100_000
    assert len(str(caught.value)) < 5_000


def test_a_frame_that_says_error_ends_the_stream_with_an_error(
    client: Flavour, serve: Serve
) -> None:
    frame = data({"status": "error", "last_error": {"err_msg": "the model fell over"}, "parts": []})
    server = serve(stream(glm("init", text("So far")), frame))
    with pytest.raises(glmclient.GLMError) as caught:
        client(base_url=server.url).chat()
    assert caught.value.partial.text == "So far"


def apply(events: list[Any]) -> str:
    """The law of every stream: deltas and replacements in order give the text."""
    whole = ""
    for event in events:
        match event:
            case TextDelta(piece):
                whole += piece
            case TextReplace(start, piece):
                whole = whole[:start] + piece
    return whole


# -- what reports showed, through every client -----------------------------------------------------


def test_images_of_open_parts_are_part_of_the_answer(client: Flavour, serve: Serve) -> None:
    urls = ["https://sfile.example/1.png", "https://sfile.example/2.png"]
    frames = [
        glm("init", {"type": "image", "image": [{"image_url": url}]}, key=f"I{number}")
        for number, url in enumerate(urls)
    ]
    end = glm("finish", {"type": "one_to_more_finish", "image": [{}]}, key="I9")
    server = serve(stream(*frames, end))
    assert client(base_url=server.url).chat().images == (Image(urls[0]), Image(urls[1]))


def test_a_reason_before_the_end_is_the_error(client: Flavour, serve: Serve) -> None:
    told = {"code": "1301", "message": "当前访问人数过多，请稍后重试"}
    server = serve(stream(data(json.dumps({"status": "init", "parts": [], "last_error": told}))))
    with pytest.raises(RateLimitError) as caught:
        client(base_url=server.url, retry=RetryPolicy(attempts=1)).chat()
    assert (caught.value.code, caught.value.message) == ("1301", told["message"])
    assert caught.value.retryable


def test_a_whole_json_answer_is_an_answer(client: Flavour, serve: Serve) -> None:
    part = {"status": "finish", "content": [{"type": "text", "text": "hi"}]}
    server = serve(answer(200, {"status": "finish", "parts": [part]}))
    reply = client(base_url=server.url).chat()
    assert reply.text == "hi"
    assert reply.finish.reason == "stop"


def test_a_made_up_conversation_is_named(client: Flavour, serve: Serve) -> None:
    server = serve(stream())
    asking = client(base_url=server.url, retry=RetryPolicy(attempts=1))
    with pytest.raises(APIConnectionError, match="conversation_id 'made-up' may be unknown"):
        asking.chat("hi", conversation_id="made-up")
