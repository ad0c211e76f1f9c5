"""The Qwen2.5 Space over Gradio's queue protocol, from recordings of real servers, through all clients."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest

from glmclient import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    Finish,
    GLMError,
    ProtocolError,
    QueueStatus,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
    TextDelta,
    TextReplace,
    Timeout,
)
from tests.providers.gradio.recorded import Recording, names

from .flavours import Asking, Flavour
from .loopback import PATIENCE, Answering, Script, Server, answer
from .space import SYSTEM, Space, failed, message, output, page, pair, said, turn

Serve = Callable[..., Server]
ONCE = RetryPolicy(attempts=1)
TEXTS = ["你好", "，世界", " 👩‍👩‍👧‍👦", "\n```python\n\u2028print('x')\x85\n```"]


def qwen(client: Flavour, serve: Serve, space: Space, **options: Any) -> Asking:
    return client("qwen", base_url=serve(space).url, **options)


def page_of(recording: Recording) -> dict[str, Any]:
    version = recording.name.partition("_")[0].partition("-")[0]
    return page(version, "modelscopechatbot" if "-ms" in recording.name else "chatbot")


def apply(events: list[Any]) -> str:
    whole = ""
    for event in events:
        match event:
            case TextDelta(piece):
                whole += piece
            case TextReplace(start, piece):
                whole = whole[:start] + piece
    return whole


# -- a turn ----------------------------------------------------------------------------------------


def test_a_turn_asks_what_the_wire_page_says(client: Flavour, serve: Serve) -> None:
    space = Space(turn(*TEXTS))
    asking = qwen(client, serve, space)
    reading = asking.stream("你好")
    events = reading.collect()
    assert events[:-1] == [TextDelta(each) for each in TEXTS]
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"
    assert space.steps == ["GET /config", "POST /queue/join", "GET /queue/data"]
    joined = space.joined
    assert joined["data"] == ["你好", [], SYSTEM, "72B"]
    assert (joined["fn_index"], joined["trigger_id"]) == (3, 25)
    assert joined["event_data"] is None
    assert space.sessions == [joined["session_hash"]]
    assert joined["session_hash"]
    join, stream = space.requests("POST /queue/join")[0], space.requests("GET /queue/data")[0]
    assert join.headers["content-type"].startswith("application/json")
    assert stream.headers["accept"] == "text/event-stream"
    assert "authorization" not in join.headers


def test_each_turn_has_a_session_of_its_own_and_one_page(client: Flavour, serve: Serve) -> None:
    space = Space(turn("hi"))
    asking = qwen(client, serve, space)
    for _ in range(3):
        assert asking.chat("hi").text == "hi"
    assert len(set(space.sessions)) == 3
    assert space.steps.count("GET /config") == 1


def test_the_prefix_of_newer_servers(client: Flavour, serve: Serve) -> None:
    space = Space(turn("hi"), page("5.50.0"))
    assert qwen(client, serve, space).chat("hi").text == "hi"
    targets = [request.path for _, request in space.asked]
    assert targets == ["/config", "/gradio_api/queue/join", "/gradio_api/queue/data"]


def test_a_base_url_with_a_prefix(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        assert answering.request.target.startswith("/space/")
        answering.request.target = answering.request.target.removeprefix("/space")
        space(answering)

    space = Space(turn("hi"))
    assert client("qwen", base_url=serve(script).url + "/space/").chat("hi").text == "hi"


def test_the_function_may_be_set_by_hand(client: Flavour, serve: Serve) -> None:
    import glmclient

    space = Space(turn("hi"))
    server = serve(space)
    provider = glmclient.Gradio(base_url=server.url, fn_index=4, trigger_id=27)
    assert client(provider).chat("hi").text == "hi"
    assert (space.joined["fn_index"], space.joined["trigger_id"]) == (4, 27)


def test_system_messages_go_into_the_system_input(client: Flavour, serve: Serve) -> None:
    space = Space(turn("hi"))
    qwen(client, serve, space).chat(
        [
            {"role": "system", "content": "Be brief."},
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Why?"},
        ]
    )
    prompt, history, system, radio = space.joined["data"]
    assert (prompt, history, system, radio) == ("Why?", [], "Be brief.\nBe kind.", "72B")


HISTORY = [
    {"role": "user", "content": "one"},
    {"role": "assistant", "content": "two"},
    {"role": "user", "content": "three"},
]


@pytest.mark.parametrize(
    ("version", "chatbot", "props"),
    [
        ("4.44.1", "modelscopechatbot", {}),
        ("4.44.1", "chatbot", {}),
        ("5.50.0", "chatbot", {"type": "tuples"}),
        ("5.50.0", "chatbot", {"type": "messages"}),
        ("6.31.0", "chatbot", {}),
    ],
)
def test_history_is_encoded_in_the_servers_own_format(
    client: Flavour, serve: Serve, version: str, chatbot: str, props: dict[str, Any]
) -> None:
    config = page(version, chatbot)
    config["components"][2]["props"].update(props)
    space = Space(turn("hi"), config)
    qwen(client, serve, space).chat(HISTORY)
    prompt, history, *_ = space.joined["data"]
    assert prompt == "three"
    told = json.dumps(history)
    assert '"one"' in told
    assert '"two"' in told
    if version == "6.31.0":
        assert [each["role"] for each in history] == ["user", "assistant"]
        assert [each["content"][0]["text"] for each in history] == ["one", "two"]
    elif props.get("type") == "messages":
        assert [each["role"] for each in history] == ["user", "assistant"]
        assert [each["content"] for each in history] == ["one", "two"]
    elif chatbot == "chatbot":
        assert history == [["one", "two"]]
    else:
        assert [[each["text"] for each in pair] for pair in history] == [["one", "two"]]


def test_a_conversation_goes_on_with_the_chatbots_value_unchanged(
    client: Flavour, serve: Serve
) -> None:
    space = Space(turn("hi"))
    asking = qwen(client, serve, space)
    reply = asking.chat("hi")
    asking.chat("again", continue_from=reply)
    assert space.joined["data"][:2] == ["again", pair("hi", "hi")]
    asking.chat("afresh")
    assert space.joined["data"][:2] == ["afresh", []]


# -- recordings ------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", ["whole", "network", "by 7"])
@pytest.mark.parametrize("name", names(answered=True))
def test_recorded_answers_are_exact(client: Flavour, serve: Serve, name: str, cut: str) -> None:
    recording = Recording.read(name)
    chunks = dict(recording.cuts())[cut]
    space = Space(said(*chunks), page_of(recording), event=recording.event_ids[0])
    reading = qwen(client, serve, space).stream("case")
    events = reading.collect()
    assert reading.text == apply(events) == recording.expected
    assert isinstance(events[-1], Finish)
    assert [type(each) for each in events].count(Finish) == 1
    assert space.steps[-1] == "GET /queue/data", "nothing is cancelled after the end"
    if cut == "network" and len(recording.expected) > 100:
        assert len(events) > 10, "it does not stream"


@pytest.mark.parametrize("name", ["4.44.1-ms_zh", "6.31.0_emoji", "4.44.1-ms_thinking"])
def test_recorded_answers_byte_by_byte(client: Flavour, serve: Serve, name: str) -> None:
    recording = Recording.read(name)
    chunks = dict(recording.cuts())["bytes"]
    space = Space(said(*chunks), page_of(recording), event=recording.event_ids[0])
    assert qwen(client, serve, space).chat("case").text == recording.expected


def test_only_our_own_event_is_read(client: Flavour, serve: Serve) -> None:
    recording = Recording.read("4.44.1-ms_multiplex")
    for event in recording.event_ids:
        finals = [
            each["output"]["data"][1]
            for each in recording.messages
            if each["msg"] == "process_completed" and each["event_id"] == event
        ]
        space = Space(said(recording.raw), page_of(recording), event=event)
        assert qwen(client, serve, space).chat("case").text == finals[0][-1][1]["text"]


ENDS: dict[str, tuple[type[GLMError], ...]] = {
    "4.12.0_err_gr": (APIStatusError,),
    "4.44.1-ms_err_gr": (APIStatusError,),
    "5.50.0-msg_err_gr": (APIStatusError,),
    "6.31.0_err_gr": (APIStatusError,),
    "4.44.1-ms_err_exc": (APIStatusError,),
    "4.44.1-ms_quota": (QuotaExceededError,),
    "4.44.1-ms_cancel": (GLMError,),
    "4.44.1-ms_server_sigkill": (StreamInterrupted,),
}


@pytest.mark.parametrize("name", ENDS)
def test_recorded_ends_that_are_none(client: Flavour, serve: Serve, name: str) -> None:
    recording = Recording.read(name)
    whole = recording.ended == "last-chunk"
    script = said(*recording.network_chunks, end=whole)
    space = Space(script, page_of(recording), event=recording.event_ids[0])
    reading = qwen(client, serve, space, retry=ONCE).stream("case")
    with pytest.raises(ENDS[name]) as caught:
        reading.collect()
    error = caught.value
    assert reading.finish is None
    assert error.partial.text == reading.text
    assert reading.text, "an event was handed over before"
    assert len(space.sessions) == 1
    if "err_gr" in name:
        assert isinstance(error, APIStatusError)
        assert not error.message.startswith(("'", '"'))
        assert "<" not in error.message


def test_a_generator_that_yields_nothing(client: Flavour, serve: Serve) -> None:
    recording = Recording.read("4.44.1-ms_none")
    space = Space(said(recording.raw), page_of(recording), event=recording.event_ids[0])
    reading = qwen(client, serve, space, retry=ONCE).stream("case")
    assert [type(each) for each in reading.collect()] == [Finish]
    assert reading.text == ""


def test_a_session_that_was_lost(client: Flavour, serve: Serve) -> None:
    recording = Recording.read("6.31.0_unknown_session")
    lost = said(recording.raw, end=False)
    space = Space(lost, page("6.31.0", "chatbot"))
    with pytest.raises(GLMError) as caught:
        qwen(client, serve, space, retry=ONCE).chat("case")
    assert "404" in str(caught.value) or "ession" in str(caught.value)
    assert caught.value.partial.text == ""


# -- the rest of the stream ------------------------------------------------------------------------


def test_edits_of_every_kind(client: Flavour, serve: Serve) -> None:
    def edit(*operations: Any) -> bytes:
        return message(
            "process_generating", output={"data": [[], list(operations), []]}, success=True
        )

    final = [*pair("a", "b"), *pair("hi", "The answer is 42.")]
    space = Space(
        [
            message("process_generating", output=output(pair("a", "b")), success=True),
            edit(["add", [1], pair("hi", "Thinking...")[0]]),
            edit(["replace", [1, 1, "text"], "The answer"]),
            edit(["append", [1, 1, "text"], " is"], ["append", [1, 1, "text"], " 41"]),
            edit(),
            edit(["replace", [1, 1, "text"], "The answer is 42"], ["add", [1, 1, "x"], 1]),
            edit(["delete", [1, 1, "x"], None]),
            message("process_completed", output=output(final), success=True),
        ]
    )
    reading = qwen(client, serve, space).stream([*HISTORY[:2], HISTORY[2]])
    events = reading.collect()
    assert apply(events) == reading.text == "The answer is 42."


@pytest.mark.parametrize(
    "operations", [[["append", [9, 9], "x"]], [["explode", [0], "x"]], [["append"]], "x", [7]]
)
def test_an_edit_that_does_not_fit_is_a_protocol_error(
    client: Flavour, serve: Serve, operations: Any
) -> None:
    space = Space(
        [
            *turn("hi", " there")[:3],
            message("process_generating", output={"data": [[], operations, []]}, success=True),
        ]
    )
    with pytest.raises(ProtocolError) as caught:
        qwen(client, serve, space, retry=ONCE).chat("hi")
    assert caught.value.partial.text == "hi"


def test_full_values_of_older_protocols(client: Flavour, serve: Serve) -> None:
    def value(text: str) -> Any:
        return {"data": ["", [["hi", text]], SYSTEM], "is_generating": True}

    space = Space(
        [
            *(
                message("process_generating", output=value(t), success=True)
                for t in ("a", "ab", "abc")
            ),
            message("process_completed", output=value("abc!"), success=True),
        ],
        page("4.12.0", "chatbot"),
    )
    events = qwen(client, serve, space).stream("hi").collect()
    assert events[:-1] == [TextDelta(each) for each in ("a", "b", "c", "!")]


def test_the_queue_is_told_on_request(client: Flavour, serve: Serve) -> None:
    waiting = message("estimation", rank=4, queue_size=9, rank_eta=12.5)
    space = Space(
        [waiting, message("heartbeat", None), message("log", log="busy", level="info"), *turn("hi")]
    )
    asking = qwen(client, serve, space)
    plain = asking.stream("hi").collect()
    assert [type(each) for each in plain] == [TextDelta, Finish]
    told = [
        each
        for each in asking.stream("hi", include_status=True).collect()
        if isinstance(each, QueueStatus)
    ]
    assert (told[0].position, told[0].size, told[0].eta) == (4, 9, 12.5)


def test_unknown_messages_break_nothing(client: Flavour, serve: Serve) -> None:
    odd = [message("hologram", x=1), message("progress", progress_data=None), b": hello\n\n"]
    space = Space([*odd, *turn("hi", "!")])
    assert qwen(client, serve, space).chat("hi").text == "hi!"


def test_our_own_completion_ends_the_stream(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        for frame in turn("hi")[:-1]:
            answering.chunk(frame)
        answering.gone()  # heartbeats would follow for ever

    assert qwen(client, serve, Space(script)).chat("hi").text == "hi"


def test_heartbeats_do_not_count_for_the_first_event(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        stop = threading.Event()

        def beat() -> None:
            while not stop.wait(0.02):
                try:
                    answering.chunk(message("heartbeat", None))
                except OSError:
                    return

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        answering.gone()
        stop.set()
        thread.join(PATIENCE)

    asking = qwen(client, serve, Space(script), timeout=Timeout(first_event=0.3), retry=ONCE)
    with pytest.raises(APITimeoutError) as caught:
        asking.chat("hi")
    assert caught.value.limit == "first_event"


def test_a_cancel_on_the_server_is_no_success(client: Flavour, serve: Serve) -> None:
    frames = [*turn("hi", "!")[:3], message("process_completed", output={}, success=True)]
    with pytest.raises(GLMError) as caught:
        qwen(client, serve, Space(frames), retry=ONCE).chat("hi")
    assert caught.value.partial.text == "hi"


def test_an_end_without_completion_is_no_success(client: Flavour, serve: Serve) -> None:
    space = Space([*turn("hi", "!")[:3], message("close_stream", None)])
    with pytest.raises(StreamInterrupted):
        qwen(client, serve, space).chat("hi")
    assert len(space.sessions) == 1


QUOTA = (
    "You have exceeded your GPU quota (60s requested vs. 56s left). "
    '<a href="https://huggingface.co/join">Create a free account</a> to get more, retry in 0:09:48'
)


@pytest.mark.parametrize(
    ("error", "kind", "words"),
    [
        ("'The model is busy'", APIStatusError, "The model is busy"),
        ("The model is <b>busy</b>", APIStatusError, "The model is busy"),
        ("None", APIStatusError, ""),
        (None, APIStatusError, ""),
        (QUOTA, QuotaExceededError, "exceeded your GPU quota"),
    ],
)
def test_failures_speak_in_the_servers_words(
    client: Flavour, serve: Serve, error: str | None, kind: type[APIStatusError], words: str
) -> None:
    space = Space([failed(error)])
    with pytest.raises(kind) as caught:
        qwen(client, serve, space, retry=ONCE).chat("hi")
    told = caught.value.message
    assert words in told
    assert "<" not in told
    assert "'" not in told[:1]
    assert str(caught.value)
    if error is QUOTA:
        assert caught.value.retry_after == 9 * 60 + 48
        assert caught.value.retryable is False


# -- refusals before the stream --------------------------------------------------------------------

SLEEPING = "<html><title>Space</title><body>This Space is sleeping due to inactivity</body></html>"
REFUSED: list[tuple[str, Script, type[GLMError], str]] = [
    ("config", answer(503, SLEEPING, kind="text/html"), ServiceBlockedError, "sleep"),
    ("config", answer(200, SLEEPING, kind="text/html"), ServiceBlockedError, "sleep"),
    ("config", answer(404, SLEEPING, kind="text/html"), GLMError, ""),
    ("config", answer(429, "slow", kind="text/plain"), RateLimitError, ""),
    ("config", answer(401, {"detail": "Not authenticated"}), AuthenticationError, "Not authenticated"),
    ("config", answer(200, {"nothing": "useful"}), GLMError, ""),
    ("config", answer(200, b"{", kind="application/json"), GLMError, ""),
    ("config", answer(200, page("4.7.1")), GLMError, "sse"),
    ("config", answer(200, page(protocol="ws")), GLMError, "ws"),
    ("config", answer(200, page(dependencies=[])), GLMError, "model_chat"),
    ("join", answer(401, {"detail": {"error": "Not authenticated"}}), AuthenticationError, "Not authenticated"),
    ("join", answer(422, {"detail": [{"type": "missing", "msg": "Field required"}]}), BadRequestError, "required"),
    ("join", answer(429, "slow", kind="text/plain"), RateLimitError, ""),
    ("join", answer(500, "Internal Server Error", kind="text/plain"), ServerError, ""),
    ("join", answer(503, {"detail": "Queue is full. Max size is 1 and size is 1."}), APIStatusError, "Queue is full"),
    ("join", answer(503, {"detail": "Queue is stopped."}), APIStatusError, "Queue is stopped"),
    ("join", answer(503, SLEEPING, kind="text/html"), ServiceBlockedError, "sleep"),
    ("join", answer(200, {"no": "event"}), ProtocolError, ""),
    ("data", answer(404, {"detail": "Not Found"}), APIStatusError, "Not Found"),
    ("data", answer(503, SLEEPING, kind="text/html"), ServiceBlockedError, "sleep"),
    ("data", answer(200, {"detail": "odd"}), GLMError, ""),
]  # fmt: skip


@pytest.mark.parametrize(("where", "script", "kind", "words"), REFUSED)
def test_refusals(
    client: Flavour, serve: Serve, where: str, script: Script, kind: type[GLMError], words: str
) -> None:
    space = Space(script if where == "data" else turn("hi"))
    if where == "config":
        space.config = script
    if where == "join":
        space.join = script
    with pytest.raises(kind) as caught:
        qwen(client, serve, space, retry=ONCE).chat("hi")
    assert not isinstance(caught.value, ConfigurationError)
    assert words in str(caught.value)
    if kind is ServiceBlockedError:
        assert isinstance(caught.value, APIStatusError)
        assert "sleeping due to inactivity" in caught.value.body
    assert caught.value.partial.text == ""
    assert caught.value.attempts == 1
    if where == "data":
        assert space.steps[-1] == "POST /cancel", "the job is left running"
        assert space.requests("POST /cancel")[0].json["event_id"] == "e1"


def test_a_page_that_has_changed_its_signature_says_what_was_found(
    client: Flavour, serve: Serve
) -> None:
    changed = page()
    changed["dependencies"][3]["inputs"] = [25, 21]
    space = Space(turn("hi"), changed)
    with pytest.raises(GLMError) as caught:
        qwen(client, serve, space, retry=ONCE).chat("hi")
    assert "model_chat" in str(caught.value)
    assert "POST /queue/join" not in space.steps


def test_a_full_queue_is_tried_again(client: Flavour, serve: Serve) -> None:
    space = Space(turn("hi"))
    full = answer(503, {"detail": "Queue is full. Max size is 1 and size is 1."})
    joins = iter([full, space.join])
    space.join = lambda answering: next(joins)(answering)
    retry = RetryPolicy(attempts=2, base_delay=0.01)
    assert qwen(client, serve, space, retry=retry).chat("hi").text == "hi"
    assert len({each.json["session_hash"] for each in space.requests("POST /queue/join")}) == 2


def test_the_page_is_asked_again_when_it_no_longer_fits(client: Flavour, serve: Serve) -> None:
    space = Space(turn("hi"))
    asking = qwen(client, serve, space, retry=RetryPolicy(attempts=2, base_delay=0.01))
    assert asking.chat("hi").text == "hi"
    space.prefix = "/gradio_api"
    space.config = answer(200, page("5.50.0"))
    assert asking.chat("hi").text == "hi"
    assert space.steps.count("GET /config") == 2


# -- leaving ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["break", "close", "cancel"])
def test_leaving_early_cancels_on_the_server(client: Flavour, serve: Serve, how: str) -> None:
    left, cancelled = threading.Event(), threading.Event()

    def script(answering: Answering) -> None:
        answering.head()
        for frame in turn("hi", "!")[:3]:
            answering.chunk(frame)
        if answering.gone():
            left.set()

    space = Space(script)
    server = serve(space)

    def watch(answering: Answering) -> None:
        space(answering)
        if answering.request.path == "/cancel":
            cancelled.set()

    server.scripts = (watch,)
    asking = client("qwen", base_url=server.url)
    reading = asking.stream("hi")
    if how == "break":
        assert reading.take(1) == [TextDelta("hi")]
    else:
        reading.next()
        getattr(reading, how)()
    assert left.wait(PATIENCE), "the connection is held"
    assert cancelled.wait(PATIENCE), "the service is not told"
    joined = space.joined
    assert space.requests("POST /cancel")[0].json == {
        "session_hash": joined["session_hash"],
        "fn_index": 3,
        "event_id": "e1",
    }
    space.stream = said(*turn("again"))
    assert asking.chat("hi").text == "again"
    assert space.steps.count("POST /cancel") == 1


# -- tokens and cookies ----------------------------------------------------------------------------


def test_the_token_of_the_environment_goes_to_hugging_face_only(
    client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")
    space = Space(turn("hi"))
    assert qwen(client, serve, space).chat("hi").text == "hi"
    assert space.asked
    assert all("canary" not in str(request.headers) for _, request in space.asked)


def test_the_token_goes_to_the_configured_host_alone(client: Flavour, serve: Serve) -> None:
    thief = serve(answer(200, {}))
    space = Space(turn("hi"), page(root=thief.url))
    asking = qwen(client, serve, space, api_key="hf_canary")
    assert asking.chat("hi").text == "hi"
    assert thief.requests == []
    for _, request in space.asked:
        values = {request.headers.get(name) for name in ("authorization", "x-hf-authorization")}
        assert "Bearer hf_canary" in values
        assert "hf_canary" not in request.target
    assert "canary" not in repr(asking.client)


def test_cookies_of_the_page_are_kept(client: Flavour, serve: Serve) -> None:
    space = Space(turn("hi"))
    qwen(client, serve, space).chat("hi")
    assert "cookie" not in space.requests("GET /config")[0].headers
    for step in ("POST /queue/join", "GET /queue/data"):
        assert space.requests(step)[0].headers["cookie"] == "replica=abc"


def test_clients_share_no_cookies(client: Flavour, serve: Serve) -> None:
    space = Space(turn("hi"))
    server = serve(space)
    for _ in range(2):
        client("qwen", base_url=server.url).chat("hi")
    assert all("cookie" not in each.headers for each in space.requests("GET /config"))


def test_nobody_listens(client: Flavour, serve: Serve) -> None:
    server = serve(lambda answering: answering.reset())
    with pytest.raises(APIConnectionError):
        client("qwen", base_url=server.url, retry=ONCE).chat("hi")
