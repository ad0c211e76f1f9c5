"""What compatible servers want of requests, and values that they write in ways of their own, through every client."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from glmclient import (
    BadRequestError,
    BigModel,
    ConfigurationError,
    DashScope,
    Finish,
    GLMError,
    OpenAICompatible,
    ProtocolError,
    Reply,
    RetryPolicy,
    ToolCall,
    Zai,
)
from glmclient.providers import service

from .flavours import Asking, Flavour
from .loopback import Answering, Server
from .space import Space, message, output, pair

Serve = Callable[..., Server]
ONCE = RetryPolicy(attempts=1)
USER = {"role": "user", "content": "hi"}


def sse(*chunks: Any) -> bytes:
    """Return a stream of chunks; text is written as it is."""
    written = (each if isinstance(each, str) else json.dumps(each) for each in (*chunks, "[DONE]"))
    return b"".join(b"data: " + each.encode() + b"\n\n" for each in written)


def delta(**members: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": members}]}


STOP = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def class_of(name: str) -> Any:
    return service(name).provider_class()


class Answers:
    """A server that keeps what it was asked, and gives the same answer each time."""

    def __init__(self, body: bytes, status: int = 200, kind: str = "text/event-stream") -> None:
        self.body, self.status, self.kind = body, status, kind
        self.requests: list[Any] = []

    def __call__(self, answering: Answering) -> None:
        self.requests.append(answering.request)
        answering.head(self.status, self.kind)
        answering.chunk(self.body)
        answering.end()

    @property
    def asked(self) -> Any:
        """The body of the last request."""
        return self.requests[-1].json


def compatible(client: Flavour, serve: Serve, answers: Answers, **known: Any) -> Asking:
    return client("openai", base_url=serve(answers).url, model="m", retry=ONCE, **known)


# -- the history of a conversation with reasoning ------------------------------------------------------------


@pytest.mark.parametrize(
    ("chunks", "sent"),
    [
        ([delta(reasoning="Hm"), delta(reasoning="."), delta(content="Hi")], {"reasoning": "Hm."}),
        ([delta(reasoning_content="Hm."), delta(content="Hi")], {"reasoning_content": "Hm."}),
        ([delta(reasoning="Hm.", reasoning_content="Hm."), delta(content="Hi")],
         {"reasoning_content": "Hm."}),
        ([delta(content=[{"type": "thinking", "thinking": "Hm."}, {"type": "text", "text": "Hi"}])],
         {"reasoning_content": "Hm."}),
        ([{"choices": [{"message": {"reasoning": "Hm.", "content": "Hi"}}]}], {"reasoning": "Hm."}),
        ([delta(content="Hi")], {}),
    ],
)  # fmt: skip
def test_reasoning_goes_back_under_the_name_under_which_it_came(
    every_client: Flavour, serve: Serve, chunks: list[Any], sent: dict[str, str]
) -> None:
    answers = Answers(sse(*chunks, STOP))
    asking = compatible(every_client, serve, answers)
    reply = asking.chat("q")
    asking.chat(
        [{"role": "user", "content": "q"}, reply.message(), {"role": "user", "content": "r"}]
    )
    assert answers.asked["messages"][1] == {"role": "assistant", "content": "Hi", **sent}


def test_reasoning_in_tags_does_not_go_back(every_client: Flavour, serve: Serve) -> None:
    answers = Answers(sse(delta(content="<think>Hm.</think>Hi"), STOP))
    reply = compatible(every_client, serve, answers).chat("q", think_tags=True)
    assert reply.reasoning == "Hm."
    assert reply.message() == {"role": "assistant", "content": "Hi"}
    answers = Answers(sse(delta(reasoning_content="Hm."), delta(content="Hi"), STOP))
    reply = compatible(every_client, serve, answers).chat("q", think_tags=True)
    assert reply.message()["reasoning_content"] == "Hm."


def test_a_conversation_sends_the_name_too(client: Flavour, serve: Serve) -> None:
    answers = Answers(sse(delta(reasoning="Hm."), delta(content="Hi"), STOP))
    asking = compatible(client, serve, answers)
    conversation = asking.client.conversation()
    for _ in range(2):
        if asking.portal is None:
            conversation.chat("q")
        else:
            asking.portal.call(conversation.chat, "q")
    assert answers.asked["messages"][1] == {
        "role": "assistant",
        "content": "Hi",
        "reasoning": "Hm.",
    }


def test_the_name_is_no_part_of_what_is_shown() -> None:
    finish = Finish("stop", reasoning_name="reasoning")
    assert finish == Finish("stop") and "reasoning" not in repr(finish)
    assert Reply("a", "b").message()["reasoning_content"] == "b"


# -- messages ------------------------------------------------------------------------------------------------


def test_the_role_developer_is_sent(every_client: Flavour, serve: Serve) -> None:
    answers = Answers(sse(delta(content="a"), STOP))
    messages = [{"role": "developer", "content": "Be brief."}, USER]
    compatible(every_client, serve, answers).chat(messages)
    assert answers.asked["messages"] == messages


@pytest.mark.parametrize("provider", ["zai", "bigmodel", "dashscope", "chatglm", "qwen"])
def test_the_role_developer_is_refused_where_the_service_does_not_know_it(provider: str) -> None:
    known = {} if provider in ("chatglm", "qwen") else {"api_key": "k" * 20}
    for role, hint in (("developer", "Use the role 'system'"), ("critic", "must be one of")):
        with pytest.raises(ConfigurationError, match=hint):
            class_of(provider)(**known).prepare([{"role": role, "content": "x"}, USER], None, {})


WITHOUT_TEXT: list[dict[str, Any]] = [
    {"content": None, "reasoning_content": "Hm."},
    {"reasoning_content": "Hm."},
    {"content": "", "reasoning": "Hm."},
    {"content": None, "reasoning_details": [{"type": "reasoning.text", "text": "Hm."}]},
    {"content": [], "tool_calls": [{"id": "t", "type": "function", "function": {"name": "f", "arguments": "{}"}}]},
    {"content": None, "refusal": "No."},
]  # fmt: skip


@pytest.mark.parametrize("members", WITHOUT_TEXT)
def test_an_assistant_message_without_text_is_sent(
    every_client: Flavour, serve: Serve, members: dict[str, Any]
) -> None:
    answers = Answers(sse(delta(content="a"), STOP))
    messages = [USER, {"role": "assistant", **members}, USER]
    compatible(every_client, serve, answers).chat(messages)
    assert answers.asked["messages"] == messages


@pytest.mark.parametrize(
    "member", [{"content": None}, {}, {"content": []}, {"content": None, "reasoning": ""}]
)
def test_an_assistant_message_without_anything_is_refused(member: dict[str, Any]) -> None:
    messages = [USER, {"role": "assistant", **member}, USER]
    with pytest.raises(ConfigurationError, match="content"):
        OpenAICompatible(base_url="http://h.example").prepare(messages, None, {})
    with pytest.raises(ConfigurationError, match="content"):
        Zai(api_key="k" * 20).prepare(
            [USER, {"role": "assistant", "reasoning_content": "x"}], None, {}
        )


# -- keys, choices, capabilities -----------------------------------------------------------------------------


def test_an_empty_key_counts_as_not_given(every_client: Flavour, serve: Serve) -> None:
    answers = Answers(sse(delta(content="a"), STOP))
    compatible(every_client, serve, answers, api_key="").chat("q")
    url = serve(answers).url
    every_client(OpenAICompatible(base_url=url, api_key=""), model="m", retry=ONCE).chat("q")
    assert all("authorization" not in request.headers for request in answers.requests)


@pytest.mark.parametrize("kind", [Zai, BigModel, DashScope])
def test_an_empty_key_is_a_missing_one(kind: Any) -> None:
    with pytest.raises(ConfigurationError, match="needs a key"):
        kind(api_key="")
    assert kind(api_key="", headers={"Authorization": "Bearer own"}).name == kind.name


@pytest.mark.parametrize(
    "choice", ["required", "none", {"type": "function", "function": {"name": "f"}}]
)
def test_a_forced_choice_names_the_way_out(client: Flavour, serve: Serve, choice: Any) -> None:
    answers = Answers(sse(delta(content="a"), STOP))
    asking = client("zai", base_url=serve(answers).url, api_key="k" * 20, retry=ONCE)
    with pytest.raises(ConfigurationError, match=r"extra_body=\{'tool_choice': ...\}"):
        asking.chat("q", tool_choice=choice)
    assert answers.requests == []
    asking.chat("q", extra_body={"tool_choice": choice})
    assert answers.asked["tool_choice"] == choice


def test_capabilities_can_be_asked() -> None:
    key = "k" * 20
    zai, server = Zai(api_key=key).supports, OpenAICompatible(base_url="http://h.example").supports
    qwen = DashScope(api_key=key).supports
    assert (zai.tool_choice, server.tool_choice, qwen.tool_choice) == ("auto", "required", "named")
    assert (zai.json_schema, server.json_schema) == (False, True)
    assert zai.images and server.images
    for kind in ("zai", "openai", "dashscope", "chatglm", "qwen"):
        known: Mapping[str, Any] = {"base_url": "http://h.example"} if kind == "openai" else {}
        keys = {} if kind in ("chatglm", "qwen") else {"api_key": key}
        assert class_of(kind)(**known, **keys).supports.options


# -- models that cannot stop thinking ------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"thinking": False}, {"extra_body": {"thinking": {"type": "disabled"}}},
                                     {"reasoning_effort": "none"}])  # fmt: skip
@pytest.mark.parametrize("way", ["status", "body", "frame"])
def test_a_model_that_cannot_stop_thinking(
    every_client: Flavour, serve: Serve, options: dict[str, Any], way: str
) -> None:
    refusal = {"error": {"code": "1210", "message": "API 调用参数有误"}}
    body = sse(refusal) if way == "frame" else json.dumps(refusal).encode()
    kind = "text/event-stream" if way == "frame" else "application/json"
    answers = Answers(body, 400 if way == "status" else 200, kind)
    asking = every_client("zai", base_url=serve(answers).url, api_key="k" * 20, retry=ONCE)
    with pytest.raises(
        BadRequestError, match="leave `thinking` out, or give reasoning_effort='low'"
    ):
        asking.chat("q", **options)
    with pytest.raises(BadRequestError) as caught:
        asking.chat("q", thinking=True)
    assert "leave `thinking`" not in str(caught.value)


# -- compression ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["chatglm", "qwen", "zai", "openai", "dashscope"])
def test_streams_ask_for_identity(every_client: Flavour, serve: Serve, provider: str) -> None:
    answers = Answers(sse(delta(content="a"), STOP))
    space = Space([message("process_completed", output=output(pair("q", "a")), success=True)])
    known: dict[str, Any] = {} if provider in ("chatglm", "qwen") else {"api_key": "k" * 20}
    if provider == "openai":
        known["model"] = "m"
    url = serve(space if provider == "qwen" else answers).url
    try:
        every_client(provider, base_url=url, retry=ONCE, **known).chat("q")
    except GLMError:
        assert provider == "chatglm"  # whose answer this is not
    requests = [request for _, request in space.asked] + answers.requests
    assert requests and {each.headers["accept-encoding"] for each in requests} == {"identity"}


# -- values --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        ('```json\n{"a": 1}\n```', {"a": 1}),
        ("Here it is:\n\n```\n[1, 2]\n```\nAnything else?", [1, 2]),
        ('~~~~ JSON\n"a ``` b"\n~~~~\n', "a ``` b"),
        ("```json\n42", 42),
        ('```python\nprint("{")\n```\n```json\n{"a": {"b": 1}}\n```', {"a": {"b": 1}}),
        ('The value is {"a": "x\ny\tz"}. Good?', {"a": "x\ny\tz"}),
        ('Use {braces} as in {"a": [1, {"b": 2}]} and not {"c": 3}.', {"a": [1, {"b": 2}]}),
        ('```json {"a": 1} ```', {"a": 1}),
        ('"line\nbreak"', "line\nbreak"),
    ],
)
def test_json_of_a_reply(text: str, value: Any) -> None:
    assert Reply(text).json() == value


@pytest.mark.parametrize(
    "text",
    ["", "none", "The answer is 42", '{"a": [1, 2], "b": ', '{"a": {"b": 1}, "c": "unfinished', "{" * 2000,
     "Text {a} [b", "```json\nnot\n```", "[" * 100_000, '{"a":' * 2000 + "1" + "}" * 2000],
)  # fmt: skip
def test_what_is_not_json_is_an_error_with_the_text(text: str) -> None:
    with pytest.raises(ProtocolError, match="not JSON") as caught:
        Reply(text).json()
    assert caught.value.frame == text and caught.value.partial.text == text


def test_a_cut_value_is_never_taken_for_a_piece_of_it() -> None:
    whole = json.dumps({"a": [1, {"b": 'x {"c": 1}'}], "d": [2]})
    for end in range(1, len(whole)):
        with pytest.raises(ProtocolError):
            Reply(whole[:end]).json()


def test_control_characters_in_the_arguments_of_a_call() -> None:
    assert ToolCall("t", "f", '{"a": "x\ny\u0001"}').parse_arguments() == {"a": "x\ny\u0001"}
    with pytest.raises(ProtocolError, match="tool call 'f'"):
        ToolCall("t", "f", '{"a": ').parse_arguments()


NESTED = ["[" * depth + "]" * depth for depth in range(966, 992)]


@pytest.mark.parametrize(
    "chunk",
    [
        '{"choices":[{"index":0,"delta":{"content":"Hi","own":%s}}]}',
        '{"choices":[{"index":0,"delta":{"content":%s}}]}',
        '{"error":%s}',
        '{"error":{"message":%s}}',
        '{"choices":[],"usage":%s}',
        '{"detail":%s}',
        "%s",
    ],
)
def test_json_that_is_nested_as_deeply_as_python_can_read(
    every_client: Flavour, serve: Serve, chunk: str
) -> None:
    answers = Answers(b"")
    asking = compatible(every_client, serve, answers)
    for nested in NESTED:
        answers.body = sse(delta(content="Hi"), chunk % nested, STOP)
        try:
            assert asking.chat("q", include_unknown=True).text.startswith("Hi")
        except GLMError as error:  # either is right: it depends on how deep the caller stands
            partial = error.partial.text
        else:
            partial = "Hi"
        assert partial in ("Hi", "HiHi")


@pytest.mark.parametrize("provider", ["chatglm", "qwen"])
def test_deep_json_of_the_guests(every_client: Flavour, serve: Serve, provider: str) -> None:
    def written(nested: str) -> bytes:
        if provider == "chatglm":
            items = f'[{{"type":"odd","x":{nested}}},{{"type":"text","text":"a"}}]'
            part = f'{{"logic_id":"a","status":"finish","content":{items}}}'
            frames = [f'{{"status":"init","parts":[{part}]}}', '{"status":"finish","parts":[]}']
            return b"".join(f"data: {frame}\n\n".encode() for frame in [frames[0], *frames])
        data = f'{{"data":["",[["q",{nested}]],""]}}'
        known = '"msg":"process_completed","event_id":"e1","success":true'
        return f'data: {{{known},"output":{data}}}\n\n'.encode()

    answers = Answers(b"")
    space = Space(lambda answering: answers(answering))
    url = serve(space if provider == "qwen" else answers).url
    asking = every_client(provider, base_url=url, retry=ONCE)
    for nested in NESTED:
        answers.body = written(nested)
        try:
            text = asking.chat("q", include_unknown=True).text
        except GLMError as error:
            text = error.partial.text
        assert text in ("", "a")


def test_numbers_beyond_every_float(every_client: Flavour, serve: Serve) -> None:
    big = 10**309
    frames = [
        message("estimation", rank=0, queue_size=1, rank_eta=big),
        message(
            "progress",
            progress_data=[{"progress": big, "desc": "Half"}, {"index": big, "length": 2}],
        ),
        message("process_completed", output=output(pair("q", "a")), success=True),
    ]
    asking = every_client("qwen", base_url=serve(Space(frames)).url, retry=ONCE)
    reply = asking.chat("q", include_status=True)
    assert (reply.text, [notice.message for notice in reply.notices]) == ("a", ["Half"])
    usage = {"prompt_tokens": big, "completion_tokens": 1e308 * 10, "total_tokens": float(2**80)}
    answers = Answers(sse(delta(content="a"), {**STOP, "usage": usage}))
    assert compatible(every_client, serve, answers).chat("q").usage.total_tokens == 2**80
