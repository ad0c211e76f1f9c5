"""ChatGLM's request, and what its refusals mean (``docs/wire/chatglm.md`` §1)."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from glmclient import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ChatGLM,
    ConfigurationError,
    Finish,
    GuestQuotaError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    ServiceBlockedError,
    TextDelta,
)
from glmclient.core.http import Head
from glmclient.core.identity import Identity
from tests.core.flow import OK, Played, exchange, play

from .wire import HELLO, HELLO_EVENTS

DEVICE = "0123456789abcdef0123456789abcdef"
BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"


def provider(**options: Any) -> ChatGLM:
    return ChatGLM(identity=Identity(ids=lambda: DEVICE), **options)


def asked(
    messages: Any = "你好",
    replies: list[Any] | None = None,
    of: ChatGLM | None = None,
    **options: Any,
) -> Played:
    service = of if of is not None else provider()
    turn = exchange(retry=RetryPolicy(attempts=1))
    chat = service.prepare(messages, None, options)
    flow = turn.turn(lambda: service.attempt(chat, turn))
    return play(turn, flow, replies if replies is not None else [OK, b"".join(HELLO)])


# -- the request -------------------------------------------------------------------------------------------


def test_the_request_is_that_of_the_page() -> None:
    played = asked()
    assert played.events == HELLO_EVENTS
    (request,) = played.sent
    assert request.method == "POST"
    assert request.url == "https://chatglm.cn/chatglm/mainchat-api/guest/stream"
    assert dict(request.headers) == {
        "Accept": "text/event-stream",
        "Accept-Encoding": "identity",
        "Accept-Language": "en-US,en;q=0.9",
        "App-Name": "chatglm",
        "Authorization": "undefined",
        "Content-Type": "application/json",
        "Origin": "https://chatglm.cn",
        "User-Agent": BROWSER,
        "X-App-Platform": "pc",
        "X-App-Version": "0.0.1",
        "X-Device-Id": DEVICE,
    }
    assert (
        request.body
        == (
            '{"assistant_id":"65940acff94777010aa6b796","conversation_id":"",'
            '"meta_data":{"if_plus_model":false,"is_test":false,"input_question_type":"xxxx","channel":"",'
            '"draft_id":"","quote_log_id":"","platform":"pc"},'
            '"messages":[{"role":"user","content":[{"type":"text","text":"你好"}]}]}'
        ).encode()
    )


def body_of(played: Played) -> Any:
    body = played.sent[0].body
    assert body is not None
    return json.loads(body)


def test_one_object_for_each_message_in_order() -> None:
    said = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
    ]
    assert [(m["role"], m["content"]) for m in body_of(asked(said))["messages"]] == [
        ("user", [{"type": "text", "text": "Be brief.\n\nHi"}]),
        ("assistant", [{"type": "text", "text": "Hello"}]),
        ("user", [{"type": "text", "text": "a\nb"}]),
    ]


def test_the_caller_overrides_everything() -> None:
    own = provider(
        base_url="http://127.0.0.1:9/prefix/",
        headers={"user-agent": "mine", "X-More": "1"},
        assistant_id="other",
        device_id="my-device",
    )
    request = asked(of=own).sent[0]
    assert request.url == "http://127.0.0.1:9/prefix/chatglm/mainchat-api/guest/stream"
    assert request.headers["user-agent"] == "mine"
    assert "User-Agent" not in request.headers
    assert request.headers["X-More"] == "1"
    assert request.headers["X-Device-Id"] == "my-device"
    assert json.loads(request.body or b"")["assistant_id"] == "other"


def test_options_of_one_question() -> None:
    body = body_of(
        asked(assistant_id="a9", conversation_id="c9", mode="delta", include_status=True)
    )
    assert (body["assistant_id"], body["conversation_id"]) == ("a9", "c9")
    assert body_of(asked(assistant_id=None, conversation_id=None))["conversation_id"] == ""


def test_each_provider_has_a_device_of_its_own() -> None:
    devices = {ChatGLM().device_id for _ in range(3)}
    assert len(devices) == 3
    assert all(len(device) == 32 for device in devices)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"temperature": 1}, "cannot honour the option 'temperature'"),
        ({"system": "Be brief."}, "'system': give it as a message"),
        ({"stream": True}, "'stream': answers are always streamed"),
        ({"asistant_id": "x"}, "Did you mean 'assistant_id'"),
        ({"mode": "diff"}, "auto, snapshot or delta"),
        ({"assistant_id": 5}, "assistant_id must be a string"),
        ({"conversation_id": 5}, "conversation_id must be a string"),
    ],
)
def test_options_that_it_cannot_honour(options: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        provider().prepare("Hi", None, options)


def test_models() -> None:
    chat = provider().prepare("Hi", "glm-4", {})
    assert chat.model == "glm-4"
    with pytest.raises(ConfigurationError, match="offers glm-4, not 'glm-5'"):
        provider().prepare("Hi", "glm-5", {})
    turn = exchange()
    played = play(turn, turn.turn(lambda: provider().list_models(turn)), [])
    assert [model.id for model in played.result] == ["glm-4"]
    assert played.sent == []


def test_content_that_is_no_text_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="takes text alone"):
        provider().prepare([{"role": "user", "content": [{"type": "image_url"}]}], None, {})


@pytest.mark.parametrize("device", ["a\r\nb", "设备", 5])
def test_a_device_that_cannot_be_sent(device: Any) -> None:
    with pytest.raises(ConfigurationError, match="X-Device-Id"):
        ChatGLM(device_id=device)


def test_what_it_says_of_itself() -> None:
    own = provider()
    assert (own.name, own.url, own.default_model) == ("chatglm", "https://chatglm.cn", "glm-4")
    assert own.supports.streaming
    assert own.supports.reasoning
    assert not (own.supports.system_messages or own.supports.message_history or own.supports.usage)
    assert "mode" in (own.supports.options or ()) and not own.supports.images
    assert repr(own) == "ChatGLM(url='https://chatglm.cn')"


def test_a_copy_in_another_process_has_the_device_but_no_cookie() -> None:
    own = ChatGLM(headers={"Cookie": "canary=1", "X-More": "1"})
    pickled = pickle.dumps(own)
    assert b"canary" not in pickled
    copy = pickle.loads(pickled)
    assert (copy.url, copy.device_id, copy.headers) == (own.url, own.device_id, {"X-More": "1"})


# -- refusals ----------------------------------------------------------------------------------------------


def refused(status: int, body: Any, kind: str = "application/json") -> APIStatusError:
    raw = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    head = Head(status, {"content-type": kind, "x-request-id": "r-1"})
    error = asked(replies=[head, raw, b""] if raw else [head, b""]).error
    assert isinstance(error, APIStatusError)
    assert error.status_code == status
    assert error.request_id == "r-1"
    assert error.attempts == 1
    return error


WALL = {"status": 500, "message": "您已多次体验过对话, 请登录后继续使用"}
TABLE = [
    (200, WALL, GuestQuotaError, "500", False),
    (403, WALL, GuestQuotaError, "500", False),
    (200, {"status": 500, "message": "今日次数已用完"}, QuotaExceededError, "500", False),
    (200, {"status": 500, "message": "系统异常"}, ServerError, "500", True),
    (200, {"status": 40103, "message": "login required"}, ServiceBlockedError, "40103", False),
    (200, {"status": 40102, "message": "unauthorized"}, AuthenticationError, "40102", False),
    (200, {"status": 40012, "message": "bad request"}, BadRequestError, "40012", False),
    (200, {"status": 40004, "message": "bad conversation"}, BadRequestError, "40004", False),
    (200, {"status": 429, "msg": "slow"}, RateLimitError, "429", True),
    (200, {"code": 50000, "message": "broken"}, ServerError, "50000", True),
    (200, {"status": -7, "message": "odd"}, BadRequestError, "-7", False),
    (200, {"status": 0, "result": None}, NotFoundError, "0", False),
    (200, {"message": "something"}, APIStatusError, None, False),
    (200, {"message": "请完成验证码"}, ServiceBlockedError, None, False),
    (400, {"status": 40012, "message": "bad request"}, BadRequestError, "40012", False),
    (401, {}, AuthenticationError, None, False),
    (403, {}, PermissionDeniedError, None, False),
    (404, b"", NotFoundError, None, False),
    (429, b"", RateLimitError, None, True),
    (500, b"", ServerError, None, True),
    (503, {"message": "maintenance"}, ServerError, None, True),
]


@pytest.mark.parametrize(("status", "body", "kind", "code", "retryable"), TABLE)
def test_what_a_refusal_means(
    status: int, body: Any, kind: type[APIStatusError], code: str | None, retryable: bool
) -> None:
    error = refused(status, body)
    assert type(error) is kind
    assert error.code == code
    assert error.retryable is retryable
    words = body.get("message") or body.get("msg") if isinstance(body, dict) else None
    if words:
        assert words in error.message
        assert words in str(error)
        assert words in error.body


@pytest.mark.parametrize("status", [401, 403])
def test_nobody_is_told_to_check_a_key_that_there_is_not(status: int) -> None:
    said = str(refused(status, {}))
    assert "It takes no key" in said and "Check the key" not in said and "provider='zai'" in said


@pytest.mark.parametrize("status", [501, 505])
def test_what_will_never_be_served_is_not_to_be_tried_again(status: int) -> None:
    assert str(refused(status, {})).endswith("Trying again does not help.")


@pytest.mark.parametrize("body", [row[1] for row in TABLE if row[0] == 200 and row[3]])
def test_a_refusal_is_the_same_in_a_frame_and_in_a_body_that_calls_itself_a_stream(
    body: Any,
) -> None:
    raw = json.dumps(body, ensure_ascii=False).encode()
    plain = refused(200, body)
    for said in ([b"data: " + raw + b"\n\n"], [raw, b""]):
        error = asked(replies=[OK, *said]).error
        assert type(error) is type(plain)
        assert isinstance(error, APIStatusError)
        assert (error.code, error.message, error.retryable) == (
            plain.code,
            plain.message,
            plain.retryable,
        )


def test_walls_point_to_the_open_platform() -> None:
    for body in (WALL, {"status": 40103, "message": "login required"}):
        assert "provider='zai'" in str(refused(200, body))
    assert "provider='zai'" not in str(refused(200, {"status": 40012, "message": "bad request"}))


PAGE = b"<!DOCTYPE html><html><head><title>%s</title></head><body></body></html>"


@pytest.mark.parametrize(
    ("status", "title", "kind"),
    [
        (200, b"", ServiceBlockedError),
        (403, b"Forbidden", ServiceBlockedError),
        (404, b"Not here", ServiceBlockedError),
        (503, b"Just a moment...", ServiceBlockedError),
        (503, "请登录".encode(), ServiceBlockedError),
        (502, b"Bad Gateway", ServerError),
    ],
)
@pytest.mark.parametrize("content_type", ["text/html", "application/json"])
def test_a_page_for_people(
    status: int, title: bytes, kind: type[APIStatusError], content_type: str
) -> None:
    error = refused(status, PAGE % title, content_type)
    assert type(error) is kind
    assert "a web page came instead of an answer" in str(error)
    assert (title.decode() or "without text").rstrip(".") in str(error)
    assert error.retryable is (kind is ServerError)


@pytest.mark.parametrize(
    ("kind", "body"),
    [("text/plain", b"hello"), ("application/json", b'{"answer": 1}'), ("", b"\xff")],
)
def test_a_success_that_is_no_stream_is_a_protocol_error(kind: str, body: bytes) -> None:
    error = asked(replies=[Head(200, {"content-type": kind}), body, b""]).error
    assert isinstance(error, ProtocolError)
    assert error.frame == body.decode("utf-8", "replace")
    assert repr(kind or "unknown") in str(error)
    assert not error.retryable


def test_any_other_success_is_out_of_place() -> None:
    assert type(refused(204, b"")) is APIStatusError


def test_a_stream_with_parameters_in_its_type() -> None:
    head = Head(200, {"content-type": "Text/Event-Stream;charset=utf-8"})
    played = asked(replies=[head, b"".join(HELLO)])
    assert isinstance(played.events[-1], Finish)
    assert played.events[0] == TextDelta("你好")
