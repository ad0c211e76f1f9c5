"""The simulated Space, request by request: its page, its queue, its sessions, and what it refuses."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest

from glmclient.errors import ConfigurationError
from glmclient.events import Finish, TextDelta
from glmclient.providers.gradio.page import Page
from glmclient.providers.gradio.shapes import choose
from glmclient.providers.gradio.simulated import SYSTEM
from glmclient.providers.gradio.simulated import Qwen as Gradio
from glmclient.providers.gradio.wire import Format
from glmclient.simulator import Cut, Pause, Refusal, Script, SimulatedRequest, SimulatedResponse
from glmclient.simulator.script import Answer, Answers

JOIN = {"data": ["Hi", [], "S", "72B"], "fn_index": 3, "trigger_id": 25, "session_hash": "s1"}


class Space:
    """A simulated Space that is asked directly."""

    def __init__(self, script: Any = "Hello", **options: Any) -> None:
        self.dialect = Gradio(**options)
        self.answers = Answers(script, self.dialect.check)

    def ask(
        self, method: str, path: str, body: Any = None, query: Mapping[str, str] | None = None
    ) -> SimulatedResponse:
        raw = b"" if body is None else json.dumps(body).encode()
        return self.dialect.respond(
            SimulatedRequest(method, path, query or {}, {}, raw), self.answers
        )

    def join(self, path: str = "/queue/join", **changed: Any) -> SimulatedResponse:
        return self.ask("POST", path, {**JOIN, **changed})

    def data(self, session: str = "s1", path: str = "/queue/data") -> SimulatedResponse:
        return self.ask("GET", path, query={"session_hash": session})


def content(response: SimulatedResponse) -> bytes:
    return b"".join(item for item in response.body if isinstance(item, bytes))


def told(response: SimulatedResponse) -> list[dict[str, Any]]:
    lines = content(response).decode().split("\n\n")
    return [json.loads(line.removeprefix("data: ")) for line in lines if line]


@pytest.mark.parametrize(
    ("options", "version", "prefix", "format"),
    [
        ({}, "4.44.1", "", "objects"),
        ({"chatbot": "pairs"}, "4.44.1", "", "pairs"),
        ({"chatbot": "messages"}, "5.50.0", "/gradio_api", "messages"),
        ({"chatbot": "parts"}, "6.31.0", "/gradio_api", "parts"),
        ({"chatbot": "pairs", "protocol": "sse_v1"}, "4.12.0", "", "pairs"),
        ({"chatbot": "pairs", "protocol": "sse_v2"}, "4.19.2", "", "pairs"),
        ({"protocol": "sse_v2.1"}, "4.21.0", "", "objects"),
    ],
)
def test_its_page_is_one_that_the_client_reads(
    options: dict[str, Any], version: str, prefix: str, format: Format
) -> None:
    page = Page.parse(json.loads(content(Space(**options).ask("GET", "/config"))), {})
    function = choose(page, required_system=True)
    assert (page.version, page.prefix, function.format) == (version, prefix, format)
    assert page.diffs is (options.get("protocol") != "sse_v1")
    assert list(function.values.values()) == [None, [], SYSTEM, "72B"]
    assert (function.name, function.index, function.steps[0].trigger) == ("model_chat", 3, 25)


def test_a_question_is_a_join_and_its_answer_a_session() -> None:
    space = Space()
    event = json.loads(content(space.join()))["event_id"]
    messages = told(space.data())
    assert messages[0]["msg"] == "process_starts"
    assert messages[-1] == {"msg": "close_stream", "event_id": None}
    assert {m["event_id"] for m in messages[:-1]} == {event}
    completed = messages[-2]["output"]["data"]
    assert [said["text"] for said in completed[1][0]] == ["Hi", "Hello"] and completed[2] == "S"
    assert [space.dialect.prompt(question) for question in space.answers.questions] == ["Hi"]


def test_the_script_may_name_the_event() -> None:
    space = Space([TextDelta("a"), Finish("stop", response_id="mine")])
    assert json.loads(content(space.join())) == {"event_id": "mine"}


def test_a_session_is_told_once_and_then_unknown() -> None:
    space = Space()
    space.join()
    told(space.data())
    for unknown in (space.data(), space.data("never")):
        assert unknown.status == 200
        items = list(unknown.body)
        assert b"Session not found" in items[0] and items[1] == Cut()  # type: ignore[operator]


def test_the_history_is_shown_before_the_new_turn() -> None:
    sent = {
        "objects": [[{"text": "q", "files": []}, {"text": "a", "files": []}], [None, None]],
        "pairs": [["q", "a"]],
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
        "parts": [{"role": "user", "content": [{"type": "text", "text": "q"}]}],
    }
    for chatbot, history in sent.items():
        space = Space(chatbot=chatbot)
        prefix = "/gradio_api" if chatbot in ("messages", "parts") else ""
        space.join(f"{prefix}/queue/join", data=["Hi", history, "S", "72B"])
        value = told(space.data(path=f"{prefix}/queue/data"))[-2]["output"]["data"][1]
        assert len(value) > len(history)
        assert words(value)[: len(words(history))] == words(history)


def words(value: Any) -> list[str]:
    if isinstance(value, dict):
        return words(value.get("text") or value.get("content"))
    if isinstance(value, list):
        return [word for each in value for word in words(each)]
    return [value] if value else []


def test_no_history_may_be_null() -> None:
    space = Space(chatbot="pairs")
    space.join(data=["Hi", None, "S", "72B"])
    assert told(space.data())[-2]["output"]["data"][1] == [["Hi", "Hello"]]


@pytest.mark.parametrize(
    ("changed", "status", "detail"),
    [
        ({"fn_index": None}, 400, "No function index provided."),
        ({"session_hash": None}, 400, "Session hash not found."),
        ({"data": "x"}, 422, "Input should be a valid list"),
        ({"fn_index": 999}, 500, None),
        ({"data": ["too", "few"]}, 500, None),
    ],
)
def test_a_join_that_is_wrong(changed: dict[str, Any], status: int, detail: str | None) -> None:
    response = Space().join(**changed)
    assert response.status == status
    if detail is None:
        assert content(response) == b"Internal Server Error"
        assert dict(response.headers)["Content-Type"].startswith("text/plain")
    else:
        assert json.loads(content(response)) == {"detail": detail}


def test_a_join_without_json() -> None:
    assert Space().ask("POST", "/queue/join").status == 422


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/gradio_api/queue/join"),
        ("GET", "/queue/join"),
        ("POST", "/config"),
        ("GET", "/queue/other"),
    ],
)
def test_a_wrong_address_is_not_found(method: str, path: str) -> None:
    response = Space().ask(method, path, JOIN)
    assert response.status == 404 and json.loads(content(response)) == {"detail": "Not Found"}


def test_paths_that_are_its_own() -> None:
    dialect = Gradio()
    for path in ("/config", "/cancel", "/queue/join", "/gradio_api/queue/data"):
        assert dialect.handles(SimulatedRequest("GET", path))
    for path in ("/", "/chatglm/mainchat-api/guest/stream", "/config/x", "/chat/completions"):
        assert not dialect.handles(SimulatedRequest("GET", path))


def test_a_cancel_ends_a_waiting_and_a_running_answer() -> None:
    space = Space([TextDelta("a"), TextDelta("b")])
    cancel = {"session_hash": "s1", "fn_index": 3, "event_id": "e"}
    space.join()
    assert json.loads(content(space.ask("POST", "/cancel", cancel))) == {"success": True}
    assert b"Session not found" in content(space.data())
    space.join()
    body = iter(space.data().body)
    assert [b"process_starts" in next(body), b"process_generating" in next(body)] == [True, True]  # type: ignore[operator]
    assert space.ask("POST", "/cancel", cancel).status == 200
    rest = b"".join(item for item in body if isinstance(item, bytes))
    assert rest.startswith(b'data: {"msg":"process_completed"') and b'"output":{}' in rest
    assert space.ask("POST", "/cancel", cancel).status == 200, "what is not known is cancelled too"


@pytest.mark.parametrize("body", [None, [], {"session_hash": "s1"}])
def test_a_cancel_needs_all_fields(body: Any) -> None:
    assert Space().ask("POST", "/cancel", body).status == 422


def test_a_session_that_is_left_is_forgotten() -> None:
    space = Space([TextDelta("a"), TextDelta("b")])
    space.join()
    body = space.data().body
    next(iter(body))
    body.close()  # type: ignore[attr-defined]
    assert space.dialect._running == {} and space.dialect._waiting == {}


REFUSED = [
    (Refusal("login"), 401, b'{"detail":"Not authenticated"}'),
    (Refusal("authentication"), 401, b'{"detail":"Not authenticated"}'),
    (Refusal("permission"), 403, b'{"detail":"Forbidden"}'),
    (Refusal("rate_limit"), 503, b'{"detail":"Queue is full. Max size is 1 and size is 1."}'),
    (Refusal("bad_request", "no"), 400, b'{"detail":"no"}'),
    (Refusal("not_found"), 404, b'{"detail":"Not Found"}'),
    (Refusal("quota", status=402), 402, b"exceeded your GPU quota"),
    (Refusal("server", status=500), 500, b"Internal Server Error"),
    (Refusal("server", "broken", status=503), 503, b'{"detail":"broken"}'),
    (Refusal("server", body={"error": "x"}), 500, b'{"error":"x"}'),
    (Refusal("blocked"), 503, b"This Space is sleeping due to inactivity"),
    (Refusal("blocked", "<h1>Wall</h1>", status=403), 403, b"<h1>Wall</h1>"),
    (Refusal("blocked", body="<p>x</p>"), 503, b"<p>x</p>"),
]


@pytest.mark.parametrize(("refusal", "status", "part"), REFUSED, ids=repr)
def test_refusals_of_the_join(refusal: Refusal, status: int, part: bytes) -> None:
    response = Space(refusal).join()
    assert response.status == status and part in content(response)


def test_a_refusal_may_tell_when_to_come_back_and_be_held_back() -> None:
    response = Space([Pause(1), Refusal("rate_limit", retry_after=2.5)]).join()
    assert ("Retry-After", "2.5") in response.headers and response.before == (Pause(1),)


@pytest.mark.parametrize("kind", ["server", "quota"])
def test_an_apps_own_failure_comes_in_the_stream(kind: Any) -> None:
    space = Space([Pause(1), Refusal(kind)])
    assert space.join().status == 200
    stream = space.data()
    assert stream.before == (Pause(1),)
    assert told(stream)[-2]["success"] is False


def test_a_script_that_a_space_cannot_say_is_refused_ahead() -> None:
    dialect = Gradio()
    with pytest.raises(ConfigurationError, match="has no way to say"):
        dialect.check(Answer.of([Finish("length")]))
    assert dialect.check(Answer.of(Refusal("blocked"))) is None
    with pytest.raises(ConfigurationError, match="chatbot must be one of"):
        Gradio(chatbot="none")  # type: ignore[arg-type]


def test_each_question_takes_an_answer() -> None:
    space = Space(Script("one", "two"))
    for number, answer in enumerate(("one", "two")):
        space.join(session_hash=f"s{number}")
        data = told(space.data(f"s{number}"))[-2]["output"]["data"][1]
        assert data[0][1]["text"] == answer
