"""The open platform and the servers that are compatible with it, row by row of their wire page, through all clients."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from glmclient import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    Finish,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
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
    ToolCallDelta,
    Unknown,
)

from .flavours import Asking, Flavour
from .frames import DONE, PLATFORM_HI, chunk, data, said, thought
from .loopback import Server, answer, closed_stream, stream

Serve = Callable[..., Server]
ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=2, base_delay=0.01)
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {"type": "object", "properties": {"location": {"type": "string"}}},
    },
}
LAST = chunk(said(""), "stop")


def zai(client: Flavour, server: Server, **options: Any) -> Asking:
    return client("zai", api_key="id.secret", base_url=server.url, **options)


def compatible(client: Flavour, server: Server, **options: Any) -> Asking:
    return client("openai", base_url=server.url, **{"model": "glm-4.6", **options})


# -- the request -----------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["zai", "bigmodel"])
def test_the_request_of_the_platform(client: Flavour, serve: Serve, service: str) -> None:
    server = serve(stream(*PLATFORM_HI))
    client(service, api_key="id.secret", base_url=server.url + "/api/paas/v4").chat("你好")
    request = server.request
    assert (request.method, request.target) == ("POST", "/api/paas/v4/chat/completions")
    headers = request.headers
    assert headers["authorization"] == "Bearer id.secret"
    assert headers["content-type"].startswith("application/json")
    assert headers["accept"] == "text/event-stream"
    body = request.json
    assert body["messages"] == [{"role": "user", "content": "你好"}]
    assert body["stream"] is True
    assert body["model"] == "glm-5.3"
    assert None not in body.values()
    assert body.keys() <= {"messages", "stream", "model", "request_id"}


def test_the_request_of_a_compatible_server(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    compatible(client, server).chat("你好")
    assert server.request.json == {
        "model": "glm-4.6",
        "messages": [{"role": "user", "content": "你好"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }


def test_every_documented_parameter_is_sent_as_it_is(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    options: dict[str, Any] = {
        "do_sample": True,
        "temperature": 1.0,
        "top_p": 0.95,
        "max_tokens": 100,
        "stop": ["END"],
        "thinking": {"type": "enabled", "clear_thinking": False},
        "reasoning_effort": "high",
        "tools": [WEATHER],
        "tool_choice": "auto",
        "tool_stream": True,
        "response_format": {"type": "json_object"},
        "user_id": "user-123",
        "request_id": "request-1",
    }
    before = copy.deepcopy(options)
    zai(client, server, model="glm-5.2").chat("hi", extra_body={"seed": 7}, **options)
    assert options == before
    body = server.request.json
    assert {name: body.get(name) for name in before} == before
    assert body["seed"] == 7
    assert (
        b'"temperature": 1.0' in server.request.body or b'"temperature":1.0' in server.request.body
    )


def test_nothing_that_is_none_is_sent(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    zai(client, server).chat("hi", temperature=None, max_tokens=None, tools=None)
    assert b"null" not in server.request.body


def test_messages_go_as_they_are(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    call = {
        "id": "call_1",
        "type": "function",
        "function": {"name": "weather", "arguments": '{"location":"Florence"}'},
    }
    messages: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}},
            ],
        },
        {"role": "assistant", "content": "", "reasoning_content": "Hm.", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "call_1", "content": "40 C"},
    ]
    before = copy.deepcopy(messages)
    zai(client, server).chat(messages)
    assert server.request.json["messages"] == before == messages


def test_a_request_id_is_renewed_when_it_is_tried_again(client: Flavour, serve: Serve) -> None:
    server = serve(answer(503, {"message": "down"}), stream(*PLATFORM_HI))
    zai(client, server, retry=QUICK).chat("hi", request_id="request-1")
    first, second = (each.json.get("request_id") for each in server.requests)
    assert first == "request-1"
    assert second != first


def test_the_model_of_the_client_and_of_the_question(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    asking = zai(client, server, model="glm-4.7")
    asking.chat("hi")
    asking.chat("hi", model="glm-4.5-air")
    assert [each.json["model"] for each in server.requests] == ["glm-4.7", "glm-4.5-air"]


@pytest.mark.parametrize(
    ("service", "url"),
    [
        ("zai", "https://api.z.ai/api/coding/paas/v4"),
        ("bigmodel", "https://open.bigmodel.cn/api/coding/paas/v4"),
    ],
)
def test_the_coding_plan_is_asked_for(service: str, url: str) -> None:
    import glmclient

    kind = {"zai": glmclient.Zai, "bigmodel": glmclient.BigModel}[service]
    assert kind(api_key="k", plan="coding").url == url


def test_openai_takes_the_model_from_the_server_or_requires_it(
    client: Flavour, serve: Serve
) -> None:
    listed = {"object": "list", "data": [{"id": "only-one", "object": "model"}]}
    server = serve(answer(200, listed), stream(*PLATFORM_HI))
    assert client("openai", base_url=server.url, retry=ONCE).chat("hi").text == "hi"
    assert [each.method for each in server.requests] == ["GET", "POST"]
    assert server.requests[-1].json["model"] == "only-one"


def test_openai_without_any_model_requires_one(client: Flavour, serve: Serve) -> None:
    server = serve(answer(200, {"object": "list", "data": []}))
    with pytest.raises(GLMError, match="model"):
        client("openai", base_url=server.url, retry=ONCE).chat("hi")
    assert [each.method for each in server.requests] == ["GET"]


# -- streams ---------------------------------------------------------------------------------------


def test_reasoning_then_text_as_recorded(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            chunk(thought("The")),
            chunk(thought(" person")),
            chunk({"role": "assistant", "content": "", "reasoning_content": " "}),
            chunk({"role": "assistant", "content": "!", "reasoning_content": ""}),
            chunk({"role": "assistant", "content": " That", "reasoning_content": ""}),
            PLATFORM_HI[2],
            DONE,
        )
    )
    reading = zai(client, server).stream()
    events = reading.collect()
    assert events[:-1] == [
        ReasoningDelta("The"),
        ReasoningDelta(" person"),
        ReasoningDelta(" "),
        TextDelta("!"),
        TextDelta(" That"),
    ]
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert (finish.reason, finish.raw_reason) == ("stop", "stop")
    assert (finish.model, finish.response_id) == ("glm-4.5", "r1")
    usage = finish.usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (18, 202, 220)
    assert (usage.cached_tokens, usage.reasoning_tokens) == (7, 5)
    assert (reading.reasoning, reading.text) == ("The person ", "! That")


def test_leading_newlines_are_kept(client: Flavour, serve: Serve) -> None:
    server = serve(stream(chunk(said("\n")), chunk(thought("\n")), chunk(said("\nHi")), LAST, DONE))
    reply = zai(client, server).chat()
    assert (reply.text, reply.reasoning) == ("\n\nHi", "\n")


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_both_names_of_the_reasoning(client: Flavour, serve: Serve, name: str) -> None:
    server = serve(stream(chunk({name: "Simple"}), chunk(said("Hi")), LAST, DONE))
    assert compatible(client, server).chat().reasoning == "Simple"


def test_both_names_at_once_are_one(client: Flavour, serve: Serve) -> None:
    both = chunk({"reasoning_content": "Simple", "reasoning": "Simple"})
    server = serve(stream(both, chunk(said("Hi")), LAST, DONE))
    assert compatible(client, server).chat().reasoning == "Simple"


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_think_tags_however_they_are_cut(client: Flavour, serve: Serve, size: int) -> None:
    whole = "<think>Let me <b>see</b> a < b</think>\nThe answer <i>is</i> 42"
    pieces = [whole[at : at + size] for at in range(0, len(whole), size)]
    server = serve(stream(*(chunk(said(piece)) for piece in pieces), LAST, DONE))
    asking = compatible(client, server)
    reply = asking.chat("hi", think_tags=True)
    assert reply.reasoning == "Let me <b>see</b> a < b"
    assert reply.text.lstrip("\n") == "The answer <i>is</i> 42"
    assert asking.chat("hi").text == whole


def test_an_answer_of_thoughts_alone_is_no_error(client: Flavour, serve: Serve) -> None:
    server = serve(stream(chunk(thought("Hm")), LAST, DONE))
    reply = zai(client, server).chat()
    assert (reply.text, reply.reasoning) == ("", "Hm")
    assert reply.finish is not None


def test_missing_and_null_fields_of_every_kind(client: Flavour, serve: Serve) -> None:
    odd: list[Any] = [
        {"choices": []},
        {"choices": None},
        {},
        {"id": None, "model": None, "created": None, "choices": [{"delta": None}]},
        {"choices": [{"index": 0}]},
        {"choices": [{"index": 0, "delta": {"role": None, "content": None, "tool_calls": None}}]},
        {"choices": [{"delta": {"reasoning_content": None}, "finish_reason": None}], "usage": None},
        {"choices": [], "usage": {}},
    ]
    server = serve(
        stream(*map(data, odd), chunk(said("h")), *map(data, odd), chunk(said("i")), LAST, DONE)
    )
    events = compatible(client, server).stream().collect()
    assert events[:-1] == [TextDelta("h"), TextDelta("i")]
    assert isinstance(events[-1], Finish)


def test_comments_and_names_of_gateways(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            b": OPENROUTER PROCESSING\n\n",
            b"event: message\nid: 1\nretry: 10\n" + chunk(said("hi")),
            LAST,
            DONE,
        )
    )
    assert compatible(client, server).chat().text == "hi"


def test_usage_of_the_last_chunk_wins(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            chunk(
                said("h"), usage={"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
            ),
            chunk(
                said("i"), usage={"prompt_tokens": 9, "completion_tokens": 2, "total_tokens": 11}
            ),
            chunk(said(""), "stop"),
            data(
                {
                    "choices": [],
                    "usage": {"prompt_tokens": 9, "completion_tokens": 11, "total_tokens": 20},
                }
            ),
            DONE,
        )
    )
    finish = compatible(client, server).chat().finish
    assert finish is not None
    assert finish.usage is not None
    assert finish.usage.total_tokens == 20
    assert finish.reason == "stop"


# -- tools -----------------------------------------------------------------------------------------


def call(index: int | None, id: Any, name: Any, arguments: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    whole: dict[str, Any] = {"id": id, "type": "function", "function": function}
    return whole if index is None else {**whole, "index": index}


def test_tool_calls_whose_finish_reason_comes_early(client: Flavour, serve: Serve) -> None:
    usage = {"prompt_tokens": 282, "completion_tokens": 178, "total_tokens": 460}
    server = serve(
        stream(
            chunk({"tool_calls": [call(0, "call_1", "add", '{"a": 2, "b": 3}')]}, "tool_calls"),
            chunk(
                {"tool_calls": [call(1, "call_2", "multiply", '{"a": 2, "b": 3}')]}, "tool_calls"
            ),
            chunk(said(""), "tool_calls", usage=usage),
            DONE,
        )
    )
    reading = zai(client, server).stream("hi", tools=[WEATHER])
    events = reading.collect()
    assert [each for each in events if isinstance(each, ToolCallDelta)] == [
        ToolCallDelta(0, "call_1", "add", '{"a": 2, "b": 3}'),
        ToolCallDelta(1, "call_2", "multiply", '{"a": 2, "b": 3}'),
    ]
    finish = events[-1]
    assert isinstance(finish, Finish)
    assert finish.reason == "tool_calls"
    assert finish.usage is not None
    assert finish.usage.total_tokens == 460
    calls = reading.tool_calls
    assert [(each.id, each.name, each.arguments) for each in calls] == [
        ("call_1", "add", '{"a": 2, "b": 3}'),
        ("call_2", "multiply", '{"a": 2, "b": 3}'),
    ]
    assert reading.reply().tool_calls == calls


@pytest.mark.parametrize("empty", ["", None])
def test_streamed_arguments_are_assembled(client: Flavour, serve: Serve, empty: Any) -> None:
    server = serve(
        stream(
            chunk({"role": "assistant", "tool_calls": [call(0, "call_a", "weather", empty)]}),
            chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"loc'}}]}),
            chunk({"tool_calls": [call(0, None, None, 'ation":"Fl')]}),
            chunk({"tool_calls": [call(0, "", "", 'orence"}')]}, "tool_calls"),
            DONE,
        )
    )
    reply = zai(client, server).chat("hi", tools=[WEATHER], tool_stream=True)
    (found,) = reply.tool_calls
    assert (found.id, found.name, found.arguments) == (
        "call_a",
        "weather",
        '{"location":"Florence"}',
    )


def test_a_call_without_index_and_arguments_that_are_an_object(
    client: Flavour, serve: Serve
) -> None:
    server = serve(
        stream(
            chunk({"tool_calls": [call(None, "call_a", "weather", {"location": "Florence"})]}),
            chunk(said(""), "tool_calls"),
            DONE,
        )
    )
    (found,) = compatible(client, server).chat("hi", tools=[WEATHER]).tool_calls
    assert json.loads(found.arguments) == {"location": "Florence"}


def test_a_tool_loop_is_a_few_lines(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(
            chunk(thought("I need the weather.")),
            chunk({"tool_calls": [call(0, "call_a", "weather", '{"location":"Florence"}')]}),
            chunk(said(""), "tool_calls"),
            DONE,
        ),
        stream(*PLATFORM_HI),
    )
    asking = zai(client, server)
    messages: list[Any] = [{"role": "user", "content": "Weather in Florence?"}]
    reply = asking.chat(messages, tools=[WEATHER])
    messages.append(reply.message())
    messages.extend(
        {"role": "tool", "tool_call_id": each.id, "content": "40 C"} for each in reply.tool_calls
    )
    assert asking.chat(messages, tools=[WEATHER]).text == "hi"
    sent = server.requests[1].json["messages"]
    assert sent[1]["role"] == "assistant"
    assert sent[1]["reasoning_content"] == "I need the weather."
    assert sent[1]["tool_calls"] == [call(None, "call_a", "weather", '{"location":"Florence"}')]
    assert sent[2] == {"role": "tool", "tool_call_id": "call_a", "content": "40 C"}


def test_search_results_are_events(client: Flavour, serve: Serve) -> None:
    found = {
        "title": "Title",
        "content": "Words",
        "link": "https://example.org",
        "media": "Paper",
        "refer": "ref_1",
        "publish_date": "2025-08-01",
    }
    server = serve(stream(chunk(said(""), web_search=[found]), chunk(said("hi")), LAST, DONE))
    events = zai(client, server).stream().collect()
    (results,) = [each for each in events if isinstance(each, SearchResults)]
    assert [(each.title, each.url) for each in results.results] == [
        ("Title", "https://example.org")
    ]
    assert not [each for each in events if isinstance(each, Unknown)]


# -- ends ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ("stop", "stop"),
        ("tool_calls", "tool_calls"),
        ("length", "length"),
        ("model_context_window_exceeded", "length"),
        ("sensitive", "content_filter"),
        ("content_filter", "content_filter"),
        ("abort", "other"),
        ("function_call", "other"),
        ("something new", "other"),
    ],
)
def test_finish_reasons(client: Flavour, serve: Serve, raw: str, reason: str) -> None:
    server = serve(stream(chunk(said("hi")), chunk(said(""), raw), DONE))
    finish = zai(client, server).chat().finish
    assert finish is not None
    assert (finish.reason, finish.raw_reason) == (reason, raw)


def test_network_error_is_an_error_with_the_partial_answer(client: Flavour, serve: Serve) -> None:
    server = serve(stream(chunk(said("half")), chunk(said(""), "network_error"), DONE))
    with pytest.raises(GLMError) as caught:
        zai(client, server, retry=QUICK).chat()
    assert isinstance(caught.value, (ServerError, StreamInterrupted))
    assert caught.value.partial.text == "half"
    assert len(server.requests) == 1


def test_network_error_before_anything_was_shown_is_tried_again(
    client: Flavour, serve: Serve
) -> None:
    server = serve(stream(chunk(said(""), "network_error"), DONE), stream(*PLATFORM_HI))
    assert zai(client, server, retry=QUICK).chat().text == "hi"
    assert len(server.requests) == 2


def test_an_end_after_a_finish_reason_is_complete(client: Flavour, serve: Serve) -> None:
    server = serve(closed_stream(chunk(said("hi")), LAST))
    assert zai(client, server).chat().text == "hi"


def test_an_end_without_a_finish_reason_is_not(client: Flavour, serve: Serve) -> None:
    server = serve(stream(chunk(said("hi"))))
    with pytest.raises(StreamInterrupted) as caught:
        zai(client, server).chat()
    assert caught.value.partial.text == "hi"
    assert caught.value.__cause__ is not None


def test_nothing_after_done_is_read(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI, chunk(said("more")), DONE))
    events = zai(client, server).stream().collect()
    assert [type(each) for each in events] == [TextDelta, TextDelta, Finish]


def test_an_answer_that_is_not_streamed(client: Flavour, serve: Serve) -> None:
    whole = {
        "id": "r1",
        "model": "glm-4.5",
        "request_id": "req-1",
        "choices": [
            {
                "finish_reason": "tool_calls",
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "hi",
                    "reasoning_content": "Hm",
                    "tool_calls": [call(0, "call_a", "weather", "{}")],
                },
            }
        ],
        "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
    }
    server = serve(answer(200, whole, kind="application/json; charset=UTF-8"))
    reply = zai(client, server).chat()
    assert (reply.text, reply.reasoning) == ("hi", "Hm")
    assert [each.id for each in reply.tool_calls] == ["call_a"]
    assert reply.finish is not None
    assert (reply.finish.reason, reply.finish.request_id) == ("tool_calls", "req-1")


def test_structured_output_is_parsed_on_request(client: Flavour, serve: Serve) -> None:
    server = serve(
        stream(chunk(said('{"a": ')), chunk(said("1}")), LAST, DONE),
        stream(chunk(said("no json")), LAST, DONE),
    )
    asking = zai(client, server)
    assert asking.chat("hi", response_format={"type": "json_object"}).json() == {"a": 1}
    reply = asking.chat("hi", response_format={"type": "json_object"})
    with pytest.raises(GLMError) as caught:
        reply.json()
    assert isinstance(caught.value, ProtocolError)
    assert "no json" in caught.value.frame


# -- refusals --------------------------------------------------------------------------------------

AUTH, QUOTA, BAD = AuthenticationError, QuotaExceededError, BadRequestError
CODES: list[tuple[int, int, type[APIStatusError], bool]] = [
    *((401, code, AUTH, False) for code in (1000, 1001, 1002, 1003, 1004, 1005)),
    (429, 1113, QUOTA, False),
    (500, 1200, ServerError, True),
    *((400, code, BAD, False) for code in (1210, 1212, 1213, 1214, 1215, 1231, 1261, 1300, 1301)),
    (400, 1211, NotFoundError, False),
    (400, 1222, NotFoundError, False),
    (403, 1220, PermissionDeniedError, False),
    (500, 1230, ServerError, True),
    (500, 1234, ServerError, True),
    *((429, code, RateLimitError, True) for code in (1302, 1303, 1305, 1312)),
    *((429, code, QUOTA, False) for code in (1304, 1308, 1309, 1310, 1311)),
    *((429, code, QUOTA, False) for code in range(1313, 1322)),
]


@pytest.mark.parametrize("shape", ["status", "frame", "event", "flat", "json"])
def test_the_class_is_the_same_however_a_code_comes(
    client: Flavour, serve: Serve, shape: str
) -> None:
    def script(status: int, code: int) -> Any:
        words = f"words of {code}"
        if shape == "status":
            return answer(status, {"error": {"code": str(code), "message": words}})
        if shape == "json":
            return answer(200, {"error": {"code": code, "message": words}})
        flat = {"code": str(code), "message": words}
        frame = {
            "frame": data({"error": flat}),
            "event": data(flat, "error"),
            "flat": data(flat),
        }[shape]
        return stream(frame)

    server = serve(*(script(status, code) for status, code, *_ in CODES))
    asking = zai(client, server, retry=ONCE)
    for status, code, kind, again in CODES:
        with pytest.raises(APIStatusError) as caught:
            asking.chat()
        error = caught.value
        assert type(error) is kind, code
        assert error.code == str(code)
        assert error.retryable is again, code
        assert f"words of {code}" in error.message
        assert f"words of {code}" in str(error)
        assert error.status_code == (status if shape == "status" else 200)
    assert len(server.requests) == len(CODES)


SHAPES: list[tuple[str, int, Any, str, type[GLMError]]] = [
    ("text", 200, {"error": "all wrong"}, "all wrong", APIStatusError),
    ("prefix", 200, {"code": 500, "msg": "404 NOT_FOUND", "success": False}, "404 NOT_FOUND", NotFoundError),
    ("spring", 404, {"status": 404, "error": "Not Found", "path": "/v4/v1/chat"}, "Not Found", NotFoundError),
    ("vllm", 400, {"error": {"message": "bad", "type": "BadRequestError", "param": None, "code": 400}}, "bad", BAD),
    ("old vllm", 400, {"object": "error", "message": "too long", "code": 400}, "too long", BAD),
    ("ollama", 404, {"error": {"message": "model not found", "code": None}}, "model not found", NotFoundError),
    ("filter", 400, {"error": {"code": "1301", "message": "unsafe"}, "contentFilter": [{"level": 1}]}, "unsafe", BAD),
    ("401", 401, {"error": {"message": "no key"}}, "no key", AUTH),
    ("403", 403, {"error": {"message": "not you"}}, "not you", PermissionDeniedError),
    ("429", 429, {"error": {"message": "slow"}}, "slow", RateLimitError),
    ("500", 500, {"error": {"message": "oops"}}, "oops", ServerError),
]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "status", "body", "words", "kind"),
    SHAPES,
    ids=lambda v: v if isinstance(v, str) else "",
)
def test_refusals_of_every_shape(
    client: Flavour,
    serve: Serve,
    name: str,
    status: int,
    body: Any,
    words: str,
    kind: type[APIStatusError],
) -> None:
    server = serve(answer(status, body))
    with pytest.raises(kind) as caught:
        compatible(client, server, retry=ONCE).chat()
    assert caught.value.status_code == status
    assert words in caught.value.message
    assert words in caught.value.body


def test_vllms_error_in_a_stream(client: Flavour, serve: Serve) -> None:
    error = {"error": {"message": "out of memory", "type": "x", "param": None, "code": 500}}
    server = serve(stream(chunk(said("half")), data(error), DONE))
    with pytest.raises(ServerError, match="out of memory") as caught:
        compatible(client, server).chat()
    assert caught.value.partial.text == "half"


@pytest.mark.parametrize("status", [502, 504])
def test_html_of_a_gateway(client: Flavour, serve: Serve, status: int) -> None:
    page = "<html><head><title>Bad Gateway</title></head><body>nginx</body></html>"
    server = serve(answer(status, page, kind="text/html"))
    with pytest.raises(ServerError) as caught:
        zai(client, server, retry=ONCE).chat()
    assert "Bad Gateway" in caught.value.body
    assert caught.value.retryable is True


def test_html_of_a_200_is_a_blocked_service(client: Flavour, serve: Serve) -> None:
    server = serve(
        answer(200, "<!doctype html><html><title>Log in</title></html>", kind="text/html")
    )
    with pytest.raises(ServiceBlockedError):
        zai(client, server, retry=ONCE).chat()


@pytest.mark.parametrize("code", ["1302", "1305"])
def test_retry_by_code_in_a_stream(client: Flavour, serve: Serve, code: str) -> None:
    server = serve(stream(data({"error": {"code": code, "message": "x"}})), stream(*PLATFORM_HI))
    assert zai(client, server, retry=QUICK).chat().text == "hi"
    assert len(server.requests) == 2


def test_the_code_decides_before_the_status(client: Flavour, serve: Serve) -> None:
    server = serve(answer(500, {"error": {"code": "1214", "message": "field"}}))
    with pytest.raises(BadRequestError):
        zai(client, server, retry=QUICK).chat()
    assert len(server.requests) == 1


def test_a_reset_time_that_is_told_is_parsed(client: Flavour, serve: Serve) -> None:
    body = {"error": {"code": "1308", "message": "limit reached, resets at 2099-01-01 00:00:00"}}
    server = serve(answer(429, body))
    with pytest.raises(QuotaExceededError) as caught:
        zai(client, server).chat()
    assert caught.value.retry_after is not None
    assert caught.value.retry_after > 1e9


@pytest.mark.parametrize("frame", [b"data: not json\n\n", b"data: [1]\n\n", b"data: 7\n\n"])
def test_frames_that_are_not_promised(client: Flavour, serve: Serve, frame: bytes) -> None:
    server = serve(stream(chunk(said("half")), frame, LAST, DONE))
    with pytest.raises(ProtocolError) as caught:
        zai(client, server, retry=QUICK).chat()
    assert caught.value.partial.text == "half"
    assert caught.value.frame
    assert len(server.requests) == 1


# -- models ----------------------------------------------------------------------------------------


def test_models(client: Flavour, serve: Serve) -> None:
    listed = {
        "object": "list",
        "data": [
            {"id": "glm-5.3", "object": "model", "created": 1786636800, "owned_by": "z-ai"},
            {"id": "glm-4.6", "object": "model"},
        ],
    }
    server = serve(answer(200, listed))
    models = zai(client, server).models()
    assert [each.id for each in models] == ["glm-5.3", "glm-4.6"]
    request = server.request
    assert (request.method, request.target) == ("GET", "/models")
    assert request.headers["authorization"] == "Bearer id.secret"


def test_models_that_are_refused(client: Flavour, serve: Serve) -> None:
    server = serve(answer(401, {"error": {"code": "1001", "message": "no header"}}))
    with pytest.raises(AuthenticationError):
        zai(client, server, retry=ONCE).models()


def test_models_where_the_service_has_no_list(client: Flavour, serve: Serve) -> None:
    server = serve(lambda answering: answering.close())
    assert [each.id for each in client(base_url=server.url).models()] == ["glm-4"]
    assert server.connections == 0


@pytest.mark.parametrize("size", [1, 3, 17])
def test_the_same_however_it_is_cut(client: Flavour, serve: Serve, size: int) -> None:
    raw = b"".join([chunk(thought("思考")), chunk(said("你好👋\u2028\x85")), LAST, DONE])
    server = serve(stream(*(raw[at : at + size] for at in range(0, len(raw), size))))
    reply = zai(client, server).chat()
    assert (reply.reasoning, reply.text) == ("思考", "你好👋\u2028\x85")


SAMPLES: dict[str, Any] = {
    "do_sample": False,
    "temperature": 0.5,
    "top_p": 0.5,
    "max_tokens": 5,
    "stop": ["END"],
    "thinking": {"type": "disabled"},
    "reasoning_effort": "high",
    "tools": [WEATHER],
    "tool_choice": "auto",
    "tool_stream": True,
    "response_format": {"type": "json_object"},
    "user_id": "user-123",
    "request_id": "request-1",
    "seed": 7,
    "chat_template_kwargs": {"enable_thinking": False},
    "n": 2,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "logit_bias": {"1": 1},
    "logprobs": True,
    "parallel_tool_calls": False,
    "stream_options": {"include_usage": True},
    "sensitive_word_check": {"type": "ALL", "status": "ENABLE"},
    "extra_body": {"own": 1},
    "max_completion_tokens": 5,
    "user": "user-123",
}


@pytest.mark.parametrize("service", ["zai", "bigmodel", "openai"])
def test_no_option_is_dropped_silently(client: Flavour, serve: Serve, service: str) -> None:
    server = serve(stream(*PLATFORM_HI))
    asking = client(service, api_key="k", base_url=server.url, model="glm-5.2")
    honoured = set()
    for name, value in SAMPLES.items():
        more = {"tools": [WEATHER]} if name == "tool_choice" else {}
        try:
            asking.chat("hi", **{name: value, **more})
        except ConfigurationError as error:
            assert name in str(error)  # noqa: PT017 - which options are honoured is a provider's own affair
            continue
        honoured.add(name)
        sent = server.requests[-1].json
        assert sent.get(name, sent.get("own")) in (value, 1), name
    assert honoured >= {"temperature", "max_tokens", "tools", "stop", "extra_body"}
    assert len(honoured) == len(server.requests)
