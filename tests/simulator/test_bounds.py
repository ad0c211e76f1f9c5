"""What a simulated service holds, whom it answers, and what it says in each service's shape."""

from __future__ import annotations

import json
import socket
import threading
import time
import tracemalloc
from typing import Any

import pytest

from glmclient import (
    APIConnectionError,
    Finish,
    NotFoundError,
    SyncClient,
    TextDelta,
    TextReplace,
    ToolCallDelta,
)
from glmclient.providers import BUILT_IN
from glmclient.simulator import Cut, Pause, Reset, Script, SimulatedRequest, Simulator, serve
from glmclient.simulator.history import History, Requests


def sent(url: str, raw: bytes) -> tuple[int, bytes]:
    """Send bytes to a simulator; return the status and the rest of the answer."""
    host, port = url.removeprefix("http://").split("/")[0].split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(raw)
        answer = b""
        try:
            while data := peer.recv(65536):
                answer += data
        except ConnectionResetError:
            return 0, answer
    head = answer.split(b" ", 2)
    return (int(head[1]) if len(head) > 1 else 0), answer


def request(method: str, path: str, body: Any = None, host: str = "localhost", *more: str) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", *more]
    if not any(line.lower().startswith("content-length") for line in more):
        lines.append(f"Content-Length: {len(data)}")
    return "\r\n".join([*lines, "", ""]).encode() + data


# -- whom it answers ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:80", "127.0.0.1:9", "[::1]:9", "a.localhost"]
)
def test_own_names_are_answered(host: str) -> None:
    with Simulator(provider="openai", own_names_only=True) as sim:
        assert sent(sim.url, request("GET", "/v1/models", host=host))[0] == 200


@pytest.mark.parametrize(
    "host", ["rebound.example", "localhost.example:80", "127.0.0.1.example", "[::1", ""]
)
def test_foreign_names_are_refused(host: str) -> None:
    with Simulator(provider="openai", own_names_only=True) as sim:
        assert sent(sim.url, request("GET", "/v1/models", host=host))[0] == 421
        assert sim.requests == ()
    with Simulator(provider="openai") as sim:
        assert sent(sim.url, request("GET", "/v1/models", host="any.example"))[0] == 200


def test_what_serves_beside_a_browser_refuses_foreign_names() -> None:
    class Out:
        text = ""

        def write(self, text: str) -> None:
            self.text += text

        def writelines(self, lines: Any) -> None:
            self.text += "".join(lines)

        def flush(self) -> None: ...

    out, end = Out(), threading.Event()
    thread = threading.Thread(
        target=serve, kwargs={"provider": "openai", "out": out, "end": end}, daemon=True
    )
    thread.start()
    deadline = time.monotonic() + 10
    while "base_url" not in out.text and time.monotonic() < deadline:
        time.sleep(0.01)
    url = out.text.split('base_url="')[1].split('"')[0]
    try:
        assert sent(url, request("GET", "/v1/models", host="rebound.example"))[0] == 421
    finally:
        end.set()
        thread.join(10)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (("Content-Length: 0", "Content-Length: 5"), 400),
        (("Content-Length: 5, 0",), 400),
        (("Content-Length: 0", "Content-Length: 0"), 200),
        (("Content-Length: 0, 0",), 200),
        (("Content-Length: x",), 411),
    ],
)
def test_a_length_is_one_length(more: tuple[str, ...], status: int) -> None:
    with Simulator(provider="openai") as sim:
        assert sent(sim.url, request("GET", "/v1/models", None, "localhost", *more))[0] == status


# -- what it holds -----------------------------------------------------------------------------------------


def asked(size: int) -> SimulatedRequest:
    return SimulatedRequest("POST", "/", body=b"x" * size)


def test_a_history_holds_the_newest() -> None:
    history: History[int] = History(3)
    for number in range(5):
        history.append(number)
    assert (history.newest(), history.count) == ((2, 3, 4), 5)


def test_bodies_are_dropped_before_requests_are() -> None:
    requests = Requests(entries=4, body_bytes=25)
    for _ in range(3):
        requests.append(asked(10))
    assert [len(each.body) for each in requests.newest()] == [0, 10, 10]
    requests.append(asked(100))
    assert [len(each.body) for each in requests.newest()] == [0, 0, 0, 100]
    for _ in range(6):
        requests.append(asked(1))
    assert [len(each.body) for each in requests.newest()] == [1, 1, 1, 1]
    assert requests.count == 10


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "glmclient.simulator.history.Requests.__init__.__defaults__", (10_000, 10**6)
    )
    with Simulator(provider="chatglm") as sim:
        tracemalloc.start()
        for _ in range(8):
            assert sent(sim.url, request("POST", "/chatglm/x", "y" * 10**6))[0] == 404
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert (sim.received, len(sim.requests)) == (8, 8)
        assert held < 4 * 10**6
        assert sim.wait_for_requests(8, 0)


def test_a_check_of_snapshots_is_linear() -> None:
    steps = [*(TextDelta(f"word{number} ") for number in range(20_000)), TextReplace(3, "x")]
    tracemalloc.start()
    Simulator(steps, provider="chatglm")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 30 * 10**6


# -- what it says ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", BUILT_IN)
def test_a_question_has_a_prompt_whatever_the_dialect(provider: str) -> None:
    seen: list[str] = []

    def answer(asked: SimulatedRequest) -> str:
        seen.append(asked.prompt)
        return "Hi"

    for simulator in (
        Simulator(answer, provider=provider),
        Simulator(answer, provider=[provider, "chatglm"]),
    ):
        with simulator as sim, sim.client(provider=provider) as client:
            client.chat("How are you?", **({"model": "m"} if provider == "openai" else {}))  # type: ignore[arg-type]
            assert [each.prompt for each in sim.questions] == ["How are you?"]
            assert "How are you?" in [each.prompt for each in sim.requests]
            sent(sim.url, request("GET", "/odd"))
            assert sim.requests[-1].prompt == ""
    assert seen == ["How are you?"] * 2
    assert SimulatedRequest("GET", "/").prompt == ""


def question(**options: Any) -> bytes:
    body = {"model": "m", "messages": [{"role": "user", "content": "Hi"}], **options}
    return request("POST", "/v1/chat/completions", body)


def test_a_whole_answer_is_slow() -> None:
    said = [TextDelta("a"), Pause(0.15), TextDelta("b"), Pause(0.15), Finish("stop")]
    with Simulator(said, provider="openai") as sim:
        began = time.monotonic()
        status, answer = sent(sim.url, question())
        assert time.monotonic() - began >= 0.3
        assert (
            status,
            json.loads(answer.partition(b"\r\n\r\n")[2])["choices"][0]["message"]["content"],
        ) == (200, "ab")


@pytest.mark.parametrize("end", [Cut(), Reset()])
def test_a_whole_answer_is_cut_or_reset(end: Any) -> None:
    with Simulator([TextDelta("Hello"), end], provider="openai") as sim:
        status, answer = sent(sim.url, question())
        head, _, body = answer.partition(b"\r\n\r\n")
        if status:
            length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
            assert 0 < len(body) < length
        else:
            assert isinstance(end, Reset)
        assert sim.failures == ()


def test_tool_calls_of_a_whole_answer_may_be_slow() -> None:
    call = ToolCallDelta(0, "c1", "f", "{}")
    with Simulator([Pause(0), call, Finish("tool_calls")], provider="openai") as sim:
        assert b'"tool_calls"' in sent(sim.url, question())[1]


def test_one_model_of_the_list() -> None:
    with Simulator(provider="openai", models=["zai-org/GLM-4.6"]) as sim:
        status, answer = sent(sim.url, request("GET", "/v1/models/zai-org/GLM-4.6"))
        assert (status, json.loads(answer.partition(b"\r\n\r\n")[2])["id"]) == (
            200,
            "zai-org/GLM-4.6",
        )
        status, answer = sent(sim.url, request("GET", "/v1/models/other"))
        assert status == 404
        assert "other" in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]


@pytest.mark.parametrize("provider", ["openai", "zai"])
def test_an_unknown_path_is_refused_in_the_shape_of_the_service(provider: str) -> None:
    with Simulator(provider=provider) as sim, Simulator(provider="all") as every:
        for url, path in ((sim.url, "/v1/nowhere"), (every.url, f"/services/{provider}/nowhere")):
            status, answer = sent(url, request("GET", path))
            assert status == 404
            assert (
                "is no address of"
                in json.loads(answer.partition(b"\r\n\r\n")[2])["error"]["message"]
            )
        assert sent(every.url, request("GET", "/nowhere"))[0] == 404


@pytest.mark.parametrize(("count", "status"), [(1, 200), (None, 200), (2, 400), ("2", 400)])
def test_one_answer_for_each_question(count: Any, status: int) -> None:
    with Simulator(provider="openai") as sim:
        assert sent(sim.url, question(n=count))[0] == status


def test_a_client_meets_a_cut_and_a_missing_model() -> None:
    with Simulator(Script([Cut()], repeat=True), provider="openai") as sim:
        with SyncClient("openai", base_url=sim.url, model="m", retry=None) as client:
            with pytest.raises(APIConnectionError):
                client.chat("Hi")
        with SyncClient("openai", base_url=f"{sim.url}/nowhere/models", retry=None) as client:
            with pytest.raises(NotFoundError):
                client.models()
