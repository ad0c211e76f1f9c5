"""Both clients against a simulated Space over loopback: blocking, on asyncio and on trio."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from glmclient import SyncClient
from glmclient.core.retry import RetryPolicy
from glmclient.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
)
from glmclient.events import Event, Finish, Notice, QueueStatus, TextDelta, TextReplace
from glmclient.providers.gradio.provider import Gradio
from glmclient.providers.gradio.simulated import Qwen as Space
from glmclient.simulator import (
    Cut,
    EndBody,
    LoopbackServer,
    Pause,
    Refusal,
    Reset,
    Script,
    SimulatedRequest,
    SimulatedResponse,
    Simulator,
    Wait,
)
from glmclient.simulator.script import Answers

from ...real.asking import WAYS, Way, ask

ONCE = RetryPolicy(attempts=1)
AT_ONCE = RetryPolicy(attempts=3, base_delay=0.0)
LAYOUTS: list[dict[str, Any]] = [
    {},
    {"chatbot": "pairs"},
    {"chatbot": "pairs", "protocol": "sse_v1"},
    {"chatbot": "messages"},
    {"chatbot": "parts"},
]
PATIENCE = 30.0
"""Seconds that keep a broken test from hanging."""


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


def space(script: Any = "Hello 你好!", **options: Any) -> Simulator:
    return Simulator(script, provider="qwen", **options)


def paths(sim: Simulator) -> list[str]:
    return [f"{request.method} {request.path}" for request in sim.requests]


@pytest.mark.parametrize("layout", LAYOUTS, ids=repr)
@pytest.mark.parametrize("framing", ["chunked", "close"])
def test_an_answer_in_every_layout(way: Way, layout: dict[str, Any], framing: Any) -> None:
    script = [
        QueueStatus(0, 1),
        "Thinking",
        TextReplace(0, "你好"),
        " there 👋",
        Finish("stop", response_id="r"),
    ]
    with space(script, framing=framing, **layout) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi", include_status=True)
        assert outcome.events[0] == QueueStatus(0, 1)
        assert outcome.finish == Finish("stop", response_id="r")
        assert outcome.text == "你好 there 👋" and sim.prompts == ("Hi",)


def test_the_page_is_asked_for_once_and_a_conversation_goes_on(way: Way) -> None:
    with space(Script("one", "two", "three")) as sim:
        provider = Gradio(base_url=sim.url, api_key="hf_secret")
        first = ask(way, provider, "a")
        second = ask(way, provider, "b", continue_from=first.finish)
        assert second.text == "two"
        assert paths(sim).count("GET /config") == 1 and len(sim.requests) == 5
        joins = [r.json for r in sim.requests if r.path == "/queue/join"]
        assert [pair[1]["text"] for pair in joins[1]["data"][1]] == ["one"]
        assert joins[0]["session_hash"] != joins[1]["session_hash"]
        assert {r.headers["authorization"] for r in sim.requests} == {"Bearer hf_secret"}
        ask(way, Gradio(base_url=sim.url), "c")
        assert "authorization" not in sim.requests[-1].headers


REFUSALS = [
    (Refusal("login"), AuthenticationError, False),
    (Refusal("permission"), PermissionDeniedError, False),
    (Refusal("bad_request"), BadRequestError, False),
    (Refusal("not_found"), NotFoundError, False),
    (Refusal("rate_limit", retry_after=0), RateLimitError, True),
    (Refusal("blocked"), ServiceBlockedError, True),
    (Refusal("quota"), QuotaExceededError, False),
    (Refusal("quota", status=429), QuotaExceededError, False),
    (Refusal("server"), ServerError, True),
    (Refusal("server", status=500), ServerError, True),
]


@pytest.mark.parametrize(("refusal", "kind", "retryable"), REFUSALS, ids=repr)
def test_a_refusal_is_its_class(way: Way, refusal: Refusal, kind: type, retryable: bool) -> None:
    with space(refusal) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi", retry=AT_ONCE)
        assert type(outcome.error) is kind and outcome.error.retryable is retryable
        assert outcome.error.attempts == (3 if retryable else 1)
        assert outcome.error.partial.text == "" and outcome.events == []


def test_after_a_refusal_that_passes_the_answer_comes(way: Way) -> None:
    with space(Script(Refusal("rate_limit", retry_after=0), Refusal("server"), "at last")) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi", retry=AT_ONCE)
        assert outcome.text == "at last"


def test_a_failure_in_the_middle_keeps_what_came(way: Way) -> None:
    with space(["Hel", "lo", Refusal("server", "It <b>broke</b>.")]) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi", retry=AT_ONCE)
        assert type(outcome.error) is ServerError and outcome.error.message == "It broke."
        assert outcome.text == "Hello" == outcome.error.partial.text
        assert outcome.error.attempts == 1
        assert "POST /cancel" not in paths(sim), "what has ended is not cancelled"


@pytest.mark.parametrize("end", [Cut(), Reset(), EndBody()], ids=repr)
def test_an_end_without_the_end_mark(way: Way, end: Any) -> None:
    with space(["Hel", end]) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi")
        assert type(outcome.error) is StreamInterrupted and outcome.text == "Hel"
    with space([b": nothing yet\n\n", end]) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi", retry=ONCE)
        assert type(outcome.error) is APIConnectionError and outcome.error.retryable


class ClosedDoor:
    """A Space that does not let in who comes for the first stream."""

    def __init__(self) -> None:
        self.space = Space()
        self.answers = Answers("second")
        self.closed = True

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        if request.path == "/queue/data" and self.closed:
            self.closed = False
            return SimulatedResponse.of_text("<html>Bad Gateway</html>", 502, "text/html")
        return self.space.respond(request, self.answers)


def test_if_the_stream_does_not_open_the_join_is_cancelled(way: Way) -> None:
    for retry, text in ((AT_ONCE, "second"), (ONCE, "")):
        server = LoopbackServer(ClosedDoor())
        server.start()
        try:
            outcome = ask(way, Gradio(base_url=server.url), "Hi", retry=retry)
            assert outcome.text == text
            assert text or type(outcome.error) is ServerError
            asked = [request.path for request in server.requests]
            assert asked[:4] == ["/config", "/queue/join", "/queue/data", "/cancel"]
            join, cancel = server.requests[1].json, server.requests[3].json
            assert cancel["session_hash"] == join["session_hash"]
        finally:
            server.stop()


def test_a_session_that_broke_before_its_head_is_asked_for_anew(way: Way) -> None:
    """A connection that was kept may have been closed: the stream is asked for again, and is gone."""
    with space(Script([Cut()], "second")) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi", retry=AT_ONCE)
        assert outcome.text == "second"
        sessions = [r.json["session_hash"] for r in sim.requests if r.path == "/queue/join"]
        assert len(set(sessions)) == 2


def test_leaving_early_cancels_and_closes(way: Way) -> None:
    with space(["Hel", Wait(threading.Event(), PATIENCE), "lo"]) as sim:
        outcome = ask(way, Gradio(base_url=sim.url, api_key="hf_x"), "Hi", lambda event: True)
        assert outcome.events == [TextDelta("Hel")]
        assert sim.wait_for_disconnects(1)
        assert sim.disconnects[0].path == "/queue/data"
        assert sim.wait_for_requests(4)
        cancel = sim.requests[-1]
        assert cancel.path == "/cancel" and cancel.headers["authorization"] == "Bearer hf_x"
        assert cancel.json["session_hash"] == sim.disconnects[0].query["session_hash"]
        assert cancel.json["fn_index"] == 3 and cancel.json["event_id"]


def test_a_cancel_on_the_server_is_no_success() -> None:
    cancelled, held = threading.Event(), threading.Event()
    with space(["Hel", Wait(held, PATIENCE), "lo"]) as sim, sim.client(retry=ONCE) as client:
        stream = client.stream("Hi")
        assert next(stream) == TextDelta("Hel")
        join = sim.requests[1].json
        fields = {"session_hash": join["session_hash"], "fn_index": 3, "event_id": "e"}
        body = json.dumps(fields).encode()
        dialect, _ = sim._services.route(SimulatedRequest("POST", "/cancel", body=body))
        assert dialect is not None
        dialect.respond(SimulatedRequest("POST", "/cancel", body=body), Answers("x"))
        cancelled.set()
        held.set()
        with pytest.raises(StreamInterrupted, match="cancelled the answer"):
            stream.until_done()
        assert stream.text == "Hel"


def test_text_comes_while_the_rest_is_still_held(way: Way) -> None:
    more = threading.Event()

    def on_event(event: Event) -> None:
        more.set()

    with space(["Hel", Wait(more, PATIENCE), "lo"]) as sim:
        outcome = ask(way, Gradio(base_url=sim.url), "Hi", on_event)
        assert outcome.events[:2] == [TextDelta("Hel"), TextDelta("lo")]


def test_notices_are_handed_out_when_asked_for(way: Way) -> None:
    script = [Notice("loading", "info", "Info"), Notice("half", "progress"), "a"]
    with space(script) as sim:
        told = ask(way, Gradio(base_url=sim.url), "Hi", include_status=True)
        assert told.events[:2] == [Notice("loading", "info", "Info"), Notice("half", "progress")]
        assert ask(way, Gradio(base_url=sim.url), "Hi").events[0] == TextDelta("a")


class MovingSpace:
    """A replicated Space that is rebuilt: another Gradio, and a cookie that says which replica it is."""

    def __init__(self) -> None:
        self.answers = Answers("Hello")
        self.move("objects")

    def move(self, chatbot: Any) -> None:
        self.space = Space(chatbot=chatbot)
        self.name = chatbot

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        if request.path == "/config":
            response = self.space.respond(request, self.answers)
            cookie = ("Set-Cookie", f"replica={self.name}; Path=/; HttpOnly")
            return SimulatedResponse(200, [*response.headers, cookie], response.body, "length")
        if f"replica={self.name}" not in request.headers.get("cookie", ""):
            return SimulatedResponse.of_json({"detail": "Not Found"}, 404)
        return self.space.respond(request, self.answers)


def test_a_space_that_moves_is_found_again_with_its_cookies(way: Way) -> None:
    service = MovingSpace()
    server = LoopbackServer(service)
    server.start()
    try:
        provider = Gradio(base_url=server.url)
        for chatbot in ("objects", "parts", "pairs"):
            service.move(chatbot)
            for _ in range(2):
                assert ask(way, provider, "Hi", retry=ONCE).text == "Hello"
        pages = [request for request in server.requests if request.path == "/config"]
        assert len(pages) == 3 and not any("cookie" in page.headers for page in pages)
    finally:
        server.stop()


def test_a_slow_start_is_waited_for(way: Way) -> None:
    with space([Pause(0.05), "late"]) as sim:
        assert ask(way, Gradio(base_url=sim.url), "Hi").text == "late"


def test_the_client_knows_the_service_by_name() -> None:
    with space() as sim, SyncClient("qwen", base_url=sim.url, trust_env=False) as client:
        assert isinstance(client.provider, Gradio) and client.provider.name == "qwen"
        assert client.chat("Hi").text == "Hello 你好!"
        assert [model.id for model in client.models()] == ["qwen-2.5"]
        with pytest.raises(ConfigurationError, match="has no model"):
            client.chat("Hi", model="glm-4")
        with pytest.raises(ConfigurationError, match="cannot honour the option 'temperature'"):
            client.chat("Hi", temperature=0.5)
        assert len(sim.requests) == 3, "nothing is sent for what is refused here"


def test_the_token_of_the_environment_is_for_hugging_face(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_environment")
    for own in (None, "https://me-mine.hf.space", "https://huggingface.co"):
        with SyncClient("qwen", base_url=own) as client:
            assert isinstance(client.provider, Gradio)
            sent = client.provider._request("GET", "/config", {})
            assert "Bearer hf_environment" in sent.headers.values()
            assert "hf_environment" not in repr(client) + repr(client.provider)
    with space() as sim, SyncClient("qwen", base_url=sim.url, trust_env=False) as client:
        client.chat("Hi")
        assert "hf_environment" not in str(sim.requests)
