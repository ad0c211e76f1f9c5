"""The examples, run as their readers run them, against simulated services."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import pytest

from glmclient import Finish, ReasoningDelta, TextDelta, TextReplace, ToolCallDelta
from glmclient.core.sse import SSEParser
from glmclient.simulator import Cut, Refusal, Script, Simulator, Wait

ROOT = Path(__file__).resolve().parents[1]
SECONDS = 60.0
"""Only keeps a broken example from hanging."""


def loaded(name: str) -> Any:
    """Return an example as a module; `examples` itself is no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


relay = loaded("relay")


def at(sim: Simulator, provider: str = "chatglm") -> dict[str, str]:
    """Return the environment in which clients ask this simulator."""
    names = {"chatglm": "GLMCLIENT_CHATGLM_BASE_URL", "zai": "ZAI_BASE_URL"}
    return {
        **os.environ,
        names[provider]: sim.url,
        "ZAI_API_KEY": "key.of-nobody",
        "PYTHONPATH": str(ROOT),
        "PYTHONIOENCODING": "utf-8",
    }


def run(
    sim: Simulator, name: str, *arguments: str, said: str = "", provider: str = "chatglm"
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / name), *arguments],
        env=at(sim, provider),
        input=said,
        capture_output=True,
        encoding="utf-8",
        timeout=SECONDS,
        check=False,
    )


# -- ask.py ----------------------------------------------------------------------------------------


def test_ask_prints_the_answer_alone() -> None:
    with Simulator([ReasoningDelta("hm"), "Hello, dear world", TextReplace(12, "you")]) as sim:
        done = run(sim, "ask.py", "Say", "hello")
    assert sim.prompts == ("Say hello",)
    assert done.stdout == "Hello, dear world\n[from character 12 on:]\nyou\n"
    assert (done.stderr, done.returncode) == ("hm", 0)


def test_ask_says_why_an_answer_is_not_whole() -> None:
    with Simulator(Script(["Half", Finish("content_filter")], ["Half", Cut()])) as sim:
        withheld, cut = run(sim, "ask.py"), run(sim, "ask.py")
    assert withheld.stderr == "\n[the answer ended early: content_filter]\n"
    assert (cut.stdout, cut.returncode) == ("Half", 1)
    assert cut.stderr.startswith("\nStreamInterrupted: ")


# -- chat.py ---------------------------------------------------------------------------------------


def test_chat_goes_on_and_survives_a_failure() -> None:
    with Simulator(Script("One.", Refusal("bad_request"), "Two.")) as sim:
        done = run(sim, "chat.py", said="First?\nLost?\nSecond?\n\n")
    assert sim.prompts == ("Answer briefly.\n\nFirst?", "Lost?", "Second?")
    first, lost, second = (question.json["conversation_id"] for question in sim.questions)
    assert first == "" and lost == second != ""
    assert done.stdout == "> One.\n> > Two.\n> "
    assert "BadRequestError: " in done.stderr
    assert done.stderr.endswith("questions answered: 2\n")


def test_chat_ends_with_its_input() -> None:
    with Simulator("One.") as sim:
        done = run(sim, "chat.py", said="First?")
    assert done.stdout == "> One.\n> "
    assert (done.stderr, done.returncode) == ("questions answered: 1\n", 0)


def test_chat_without_a_key_says_what_is_missing() -> None:
    with Simulator() as sim:
        environment = {**at(sim), "ZAI_API_KEY": ""}
        done = subprocess.run(
            [sys.executable, str(ROOT / "examples" / "chat.py"), "zai"],
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=SECONDS,
            check=False,
        )
    assert "ZAI_API_KEY" in done.stderr and "Traceback" not in done.stderr
    assert (done.stdout, done.returncode) == ("", 1)


@pytest.mark.skipif(os.name == "nt", reason="signals are sent otherwise")
def test_an_interrupt_ends_the_answer_and_not_the_chat() -> None:
    go_on = threading.Event()
    with Simulator(Script(["Half", Wait(go_on)], "Two.")) as sim:
        talk = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "chat.py")],
            env=at(sim),
            bufsize=0,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        try:
            assert talk.stdin is not None and talk.stdout is not None
            talk.stdin.write(b"First?\n")
            assert read(talk.stdout, b"> Half", SECONDS)
            # A signal that comes in the moment before the reader goes to sleep is seen when it wakes:
            # who presses the keys and sees nothing presses them again.
            for _ in range(5):
                talk.send_signal(signal.SIGINT)
                if read(talk.stdout, b" [interrupted]\n", 5):
                    break
            out, told = talk.communicate(b"Second?\n", timeout=SECONDS)
        finally:
            go_on.set()
            talk.kill()
    assert out == b"> Two.\n> "
    assert told == b"questions answered: 2\n"


def read(pipe: IO[bytes], text: bytes, seconds: float) -> bool:
    """Read exactly ``text``; return whether it came in that time."""
    came = b""
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while came != text and selector.select(seconds):
            came += os.read(pipe.fileno(), len(text) - len(came))
            assert text.startswith(came), came
    return came == text


# -- many_questions.py -----------------------------------------------------------------------------


def test_many_questions_are_answered_and_none_stops_another() -> None:
    def answer(request: Any) -> Any:
        said = request.json["messages"][0]["content"][0]["text"]
        return Refusal("bad_request") if said == "q3" else f"answer to {said}"

    with Simulator(answer) as sim:
        done = run(sim, "many_questions.py", said="".join(f"q{n}\n" for n in range(1, 9)) + "\n")
    lines = sorted(map(json.loads, done.stdout.splitlines()), key=lambda line: line["number"])
    assert [line["question"] for line in lines] == [f"q{n}" for n in range(1, 9)]
    assert lines[0] == {"number": 1, "question": "q1", "answer": "answer to q1"}
    assert lines[2].keys() == {"number", "question", "error"}
    assert lines[2]["error"].startswith("BadRequestError: ")
    assert (done.stderr, done.returncode) == ("", 1)


# -- tool_loop.py ----------------------------------------------------------------------------------


def test_the_tool_loop_calls_until_there_is_an_answer() -> None:
    asked = [
        ToolCallDelta(0, "c1", "temperature", '{"city": "Beijing"}'),
        ToolCallDelta(1, "c2", "temperature", '{"city": "Atlantis"}'),
        Finish("tool_calls"),
    ]
    again = [ToolCallDelta(0, "c3", "weather", "{not json"), Finish("tool_calls")]
    with Simulator(Script(asked, again, "Beijing, 21 °C."), provider="zai") as sim:
        done = run(sim, "tool_loop.py", "Where is it warm?", provider="zai")
    assert (done.stdout, done.returncode) == ("Beijing, 21 °C.\n", 0)
    first, second, third = (question.json for question in sim.questions)
    assert first["tools"][0]["function"]["name"] == "temperature"
    assert [message["role"] for message in second["messages"]] == [
        *("user", "assistant", "tool", "tool")
    ]
    results = {m["tool_call_id"]: m["content"] for m in second["messages"] if m["role"] == "tool"}
    assert json.loads(results["c1"]) == {"city": "Beijing", "celsius": 21}
    assert json.loads(results["c2"]) == {"error": "KeyError: 'Atlantis'"}
    assert "KeyError" in third["messages"][-1]["content"]


def test_the_tool_loop_ends_with_an_error_that_says_what_to_do() -> None:
    with Simulator(Refusal("authentication"), provider="zai") as sim:
        done = run(sim, "tool_loop.py", provider="zai")
    assert (done.stdout, done.returncode) == ("", 1)
    assert done.stderr.startswith("AuthenticationError: ")


# -- relay.py --------------------------------------------------------------------------------------


class Browser:
    """One request to the relay: what it was sent so far, message by message."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body: asyncio.Queue[bytes] = asyncio.Queue()
        self.left = asyncio.Event()
        self._asked = False

    async def receive(self) -> dict[str, Any]:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self.left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        elif message["body"]:
            await self.body.put(message["body"])

    async def next(self) -> tuple[str, Any]:
        """Return the next event that was relayed: one message is one event."""
        raw = await asyncio.wait_for(self.body.get(), SECONDS)
        (frame,) = SSEParser().feed(raw)
        return frame.event, json.loads(frame.data)


@asynccontextmanager
async def relaying(path: str, query: str = "") -> AsyncIterator[tuple[Browser, asyncio.Task[None]]]:
    browser = Browser()
    async with relay.app.router.lifespan_context(relay.app) as state:
        scope = {
            "type": "http",
            "method": "GET",
            "path": path,
            "query_string": query.encode(),
            "headers": [],
            "state": state,
        }
        task = asyncio.ensure_future(relay.app(scope, browser.receive, browser.send))
        try:
            yield browser, task
        finally:
            browser.left.set()
            await asyncio.wait_for(task, SECONDS)


def relayed(
    sim: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    use: Callable[[], Awaitable[None]],
) -> None:
    monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", sim.url)
    asyncio.run(use())  # type: ignore[arg-type]


def test_the_relay_passes_each_event_on_as_it_comes(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()
    answer = [TextDelta("Hello, dear "), TextDelta("you"), Wait(go_on), TextReplace(7, "世界")]

    async def use() -> None:
        async with relaying("/answer", "question=Hi%21") as (browser, _):
            assert await browser.next() == ("text", {"text": "Hello, dear "})
            assert await browser.next() == ("text", {"text": "you"})
            assert browser.status == 200
            assert browser.headers["content-type"].startswith("text/event-stream")
            go_on.set()
            assert await browser.next() == ("replace", {"start": 7, "text": "世界"})
            assert await browser.next() == ("finish", {"reason": "stop"})

    with Simulator(answer) as sim:
        relayed(sim, monkeypatch, use)
    assert sim.prompts == ("Hi!",)


def test_the_relay_stops_asking_when_the_browser_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    async def use() -> None:
        async with relaying("/answer", "question=Hi") as (browser, task):
            assert await browser.next() == ("text", {"text": "Hello"})
            browser.left.set()
            await asyncio.wait_for(task, SECONDS)
            assert await asyncio.to_thread(sim.wait_for_disconnects, 1, SECONDS)

    with Simulator([TextDelta("Hello"), Wait(go_on)]) as sim:
        relayed(sim, monkeypatch, use)
        go_on.set()


def test_the_relay_tells_errors_by_status_and_later_by_event(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def use() -> None:
        async with relaying("/answer", "question=Hi") as (browser, task):
            await asyncio.wait_for(task, SECONDS)
            assert browser.status == 502
            assert browser.body.get_nowait().startswith(b"GuestQuotaError: ")
        async with relaying("/answer", "question=Hi") as (browser, _):
            assert await browser.next() == ("text", {"text": "Half"})
            name, data = await browser.next()
            assert name == "failed" and data["message"].startswith("StreamInterrupted: ")
        async with relaying("/answer") as (browser, task):
            await asyncio.wait_for(task, SECONDS)
            assert browser.status == 400
            assert browser.body.get_nowait().startswith(b"ConfigurationError: ")

    with Simulator(Script(Refusal("quota"), ["Half", Cut()])) as sim:
        relayed(sim, monkeypatch, use)


def test_the_relay_has_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    async def use() -> None:
        async with relaying("/") as (browser, task):
            await asyncio.wait_for(task, SECONDS)
            assert browser.headers["content-type"].startswith("text/html")
            page = browser.body.get_nowait().decode()
            for event in ("text", "replace", "finish", "failed"):
                assert f'on("{event}"' in page

    with Simulator() as sim:
        relayed(sim, monkeypatch, use)
