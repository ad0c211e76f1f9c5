"""The gateway on a port of this machine: callers that leave, streams without delay, signals, and the command."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest
from click.testing import CliRunner

from glmclient import ConfigurationError, Finish, Limiter, TextDelta
from glmclient.cli.application import application
from glmclient.gateway import create_app
from glmclient.gateway.server import listening
from glmclient.testing import Open, Script, Simulator, Wait

from .serving import KEY, QUESTION, app_of, served, until

STREAM = {**QUESTION, "stream": True}


class Ends:
    """An observer that notes when exchanges begin and end."""

    def __init__(self) -> None:
        self.begun = 0
        self.ends: list[float] = []
        self.outcomes: list[Any] = []

    def started(self, exchange: Any) -> Ends:
        self.begun += 1
        return self

    def attempt_failed(self, error: Any, attempt: int) -> None:
        pass

    def events(self, batch: Any) -> None:
        pass

    def finished(self, outcome: Any) -> None:
        self.ends.append(time.monotonic())
        self.outcomes.append(outcome)


@pytest.mark.parametrize("body", [QUESTION, STREAM], ids=["whole", "stream"])
@pytest.mark.parametrize("first", [[], [TextDelta("a")]], ids=["silent", "answering"])
def test_a_caller_that_leaves_cancels_the_question(body: Any, first: list[Any]) -> None:
    ends = Ends()
    answer = [*first, Wait(threading.Event())] if first else [Wait(threading.Event())]
    with Simulator(answer, provider="zai") as simulator:
        app = create_app(simulator.async_client(observer=ends))
        with served(app) as url:
            caller = leaving(url, body)
            until(lambda: ends.begun)
            time.sleep(0.3)
            left = time.monotonic()
            caller.close()
            until(lambda: ends.ends)
            until(lambda: not app.state.gateway.open_requests)
        until(lambda: not simulator._server.open_connections)
    assert ends.outcomes == [None]
    assert ends.ends[0] - left < 5  # some milliseconds on a calm machine


def leaving(url: str, body: Any) -> socket.socket:
    """Return a connection on which a question was asked."""
    import json

    host, _, port = url.removeprefix("http://").removesuffix("/v1").partition(":")
    caller = socket.create_connection((host, int(port)))
    data = json.dumps(body).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    caller.sendall(head.encode() + data)
    return caller


def test_each_delta_arrives_before_the_next_one_is_sent() -> None:
    gates = [threading.Event() for _ in range(3)]
    answer: list[Any] = []
    for number, gate in enumerate(gates):
        answer += [TextDelta(str(number)), Wait(gate)]
    with Simulator([*answer, Finish("stop")], provider="zai") as simulator:
        with (
            served(app_of(simulator)) as url,
            httpx.stream("POST", f"{url}/chat/completions", json=STREAM) as response,
        ):
            lines = (line for line in response.iter_lines() if line)
            for number, gate in enumerate(gates):
                assert f'"content":"{number}"' in next(lines)
                gate.set()
            assert '"finish_reason":"stop"' in next(lines)
            assert next(lines) == "data: [DONE]"


def test_five_hundred_callers_that_leave_early_leak_no_connection() -> None:
    ends = Ends()
    script = Script([TextDelta("one"), Wait(threading.Event())], repeat=True)
    with Simulator(script, provider="zai") as simulator:
        client = simulator.async_client(observer=ends, limiter=Limiter(concurrency=40))
        app = create_app(client)

        def ask(url: str) -> None:
            with httpx.stream("POST", f"{url}/chat/completions", json=STREAM, timeout=60) as answer:
                assert next(answer.iter_lines()).startswith("data: ")

        with served(app) as url:
            with ThreadPoolExecutor(20) as callers:
                for done in [callers.submit(ask, url) for _ in range(500)]:
                    done.result()
            until(lambda: len(ends.ends) == ends.begun == 500)
            until(lambda: not app.state.gateway.open_requests)
            assert client._open_streams() == []
        until(lambda: not simulator._server.open_connections)
    assert ends.outcomes == [None] * 500


# -- the command ---------------------------------------------------------------------------------------


class Command:
    """`glmclient serve` in a process of its own."""

    def __init__(self, *arguments: str, environment: dict[str, str] | None = None) -> None:
        import os

        self.process = subprocess.Popen(
            [sys.executable, "-m", "glmclient", "serve", "--port", "0", *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **(environment or {})},
        )

    def __enter__(self) -> Command:
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_streams_with_an_error_event(number: signal.Signals) -> None:
    answer = [TextDelta("a"), Wait(threading.Event())]
    with Simulator(answer, provider="zai") as simulator:
        arguments = ("-p", "zai", "--base-url", simulator.url, "--key", "0123456789abcdef", "-v")
        with Command(*arguments, "--concurrency", "3") as command:
            assert command.url.startswith("http://127.0.0.1:")
            with httpx.stream(
                "POST", f"{command.url}/chat/completions", json=STREAM, timeout=60
            ) as response:
                lines = (line for line in response.iter_lines() if line)
                assert '"content":"a"' in next(lines)
                began = time.monotonic()
                command.process.send_signal(number)
                assert '"code":"shutting_down"' in next(lines)
                assert list(lines) == []
            assert command.process.wait(30) == 0
            assert time.monotonic() - began < 15  # 5 s on a calm machine
            assert command.process.stderr is not None
            log = command.process.stderr.read()
    assert "POST '/v1/chat/completions': 200" in log
    assert "0123456789abcdef" not in log
    assert "Hello" not in log


def test_several_services_and_a_key_of_the_environment() -> None:
    with Simulator("Hi", provider="all") as simulator:
        environment = {
            "GLMCLIENT_API_KEY": KEY,
            "GLMCLIENT_CHATGLM_BASE_URL": simulator.url_of("chatglm"),
            "ZAI_BASE_URL": simulator.url_of("zai"),
            "ZAI_API_KEY": "0123456789abcdef",
        }
        arguments = ("-p", "chatglm", "-p", "zai", "-p", "zai", "--host", "0.0.0.0")
        with Command(*arguments, environment=environment) as command:
            url = command.url.replace("0.0.0.0", "127.0.0.1")
            headers = {"authorization": f"Bearer {KEY}"}
            for model in ("chatglm", "zai/glm-4.6"):
                response = httpx.post(
                    f"{url}/chat/completions", json={**QUESTION, "model": model}, headers=headers
                )
                assert response.json()["choices"][0]["message"]["content"] == "Hi"
            assert httpx.post(f"{url}/chat/completions", json=QUESTION).status_code == 401


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--host", "0.0.0.0"], "--api-key"),
        (["--host", "::"], "--api-key"),
        (["--host", "no-such.invalid", "--api-key", KEY], "is not an address"),
        (["-p", "chatglm", "-p", "qwen", "--key", "k"], "--key is for one service"),
        (["-p", "chatglm", "-p", "qwen", "--model", "k"], "--model is for one service"),
        (["-p", "chatglm", "--api-key", "with space"], "api_key"),
        (["--concurrency", "0"], "concurrency"),
        (["--rewrites", "never"], "rewrites"),
    ],
)
def test_wrong_arguments_are_refused_before_anything_listens(
    arguments: list[str], words: str
) -> None:
    run = CliRunner().invoke(application, ["serve", *arguments])
    text = run.output + str(run.exception)
    assert run.exit_code != 0
    assert words in text
    assert "with space" not in text


def test_a_port_that_is_taken_is_an_error_of_the_system() -> None:
    with listening("127.0.0.1", 0, has_key=False) as taken:
        port = str(taken.getsockname()[1])
        run = CliRunner().invoke(application, ["serve", "--port", port])
    assert isinstance(run.exception, OSError)
    assert f"cannot listen at 127.0.0.1 port {port}" in str(run.exception)


def test_ipv6_of_this_machine() -> None:
    if not socket.has_ipv6:
        pytest.skip("the machine has no IPv6")
    with listening("[::1]", 0, has_key=False) as opened:
        assert opened.getsockname()[0] == "::1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "example.com", "10.0.0.1"])
def test_without_a_key_only_this_machine_is_served(host: str) -> None:
    with pytest.raises(ConfigurationError, match="without --api-key"):
        listening(host, 0, has_key=False)


@pytest.mark.parametrize(
    ("library", "module"),
    [("starlette.applications", "glmclient.gateway"), ("uvicorn", "glmclient.gateway.server")],
)
def test_a_missing_library_is_named(library: str, module: str) -> None:
    code = f"""
import sys
sys.modules["{library}"] = None
from glmclient import ConfigurationError
try:
    import {module}
except ConfigurationError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'glmclient[gateway]'" in run.stdout


def test_no_client_loads_the_gateway() -> None:
    code = """
import sys, glmclient
from glmclient import AsyncClient, SyncClient
AsyncClient(), SyncClient()
print([name for name in sys.modules if "gateway" in name or name in ("starlette", "uvicorn")])
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_head_may_come_before_any_event() -> None:
    gate = threading.Event()
    with Simulator([Open(), Wait(gate), TextDelta("a")], provider="zai") as simulator:
        app = app_of(simulator, keep_alive=0.2)
        with (
            served(app) as url,
            httpx.stream("POST", f"{url}/chat/completions", json=STREAM) as response,
        ):
            lines = (line for line in response.iter_lines() if line)
            assert next(lines) == ": keep-alive"
            gate.set()
            assert any('"content":"a"' in line for line in lines)
