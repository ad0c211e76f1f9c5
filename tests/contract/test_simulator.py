"""The embedded default: a service on this machine that speaks each dialect, for users' own tests."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import Any

import pytest

from glmclient import (
    APIStatusError,
    Finish,
    GLMError,
    RateLimitError,
    ReasoningDelta,
    RetryPolicy,
    StreamInterrupted,
    SyncClient,
    TextDelta,
    TextReplace,
)
from glmclient.testing import Refusal, Simulator

from .flavours import Asking, Flavour
from .loopback import PATIENCE

SERVICES = pytest.mark.parametrize("service", ["chatglm", "qwen", "zai", "bigmodel", "openai"])
TEXT = "你好！👩‍👩‍👧‍👦\n```python\n\tprint('\u2028')\n```\n" * 3


def asking(client: Flavour, sim: Simulator, service: str) -> Asking:
    keyed = {} if service == "chatglm" else {"api_key": "id.secret"}
    model = {"model": "glm-4.6"} if service == "openai" else {}
    return client(service, base_url=sim.url, retry=RetryPolicy(attempts=1), **keyed, **model)


@SERVICES
def test_a_text(client: Flavour, service: str) -> None:
    with Simulator(TEXT, provider=service) as sim:
        reading = asking(client, sim, service).stream("Hi")
        events = reading.collect()
    # What a chatbot of Gradio takes away before it shows a text is no part of the answer.
    assert reading.text.split() == TEXT.split()
    if service != "qwen":
        assert reading.text == TEXT
    assert len(events) > 3
    assert isinstance(events[-1], Finish)
    assert events[-1].reason == "stop"
    assert sim.prompts == ("Hi",)


@pytest.mark.parametrize("service", ["chatglm", "zai", "openai"])
def test_a_list_of_events(client: Flavour, service: str) -> None:
    steps: list[Any] = [ReasoningDelta("Hm. "), TextDelta("The sum "), TextDelta("is 3")]
    if service == "chatglm":
        steps.append(TextReplace(11, "4"))
    with Simulator([*steps, Finish("stop")], provider=service) as sim:
        events = asking(client, sim, service).stream("2 + 2?").collect()
    assert [type(each) for each in events] == [type(each) for each in [*steps, Finish("stop")]]
    assert events[:-1] == steps


def test_a_function_of_the_request(client: Flavour) -> None:
    def answer(request: Any) -> str:
        return str(request.json["messages"][-1]["content"][0]["text"]).upper()

    with Simulator(answer) as sim:
        assert asking(client, sim, "chatglm").chat("echo").text == "ECHO"


@SERVICES
def test_a_refusal(client: Flavour, service: str) -> None:
    with Simulator(Refusal("rate_limit", "slow down", status=429), provider=service) as sim:
        with pytest.raises(APIStatusError, match="slow down") as caught:
            asking(client, sim, service).chat("Hi")
    assert isinstance(caught.value, RateLimitError)


@SERVICES
def test_a_stream_that_is_cut(client: Flavour, service: str) -> None:
    from glmclient.testing import Cut

    with Simulator(["Half an answ", Cut()], provider=service) as sim:
        with pytest.raises(StreamInterrupted) as caught:
            asking(client, sim, service).chat("Hi")
    assert caught.value.partial.text == "Half an answ"


@SERVICES
def test_leaving_early_is_seen(client: Flavour, service: str) -> None:
    from glmclient.testing import Pause

    with Simulator(["Once upon a time", Pause(3600)], provider=service) as sim:
        assert asking(client, sim, service).stream("A story").take(1)
        assert sim.wait_for_disconnects()


def test_the_simulator_serves_any_client_from_the_command_line() -> None:
    run = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "glmclient",
            "simulate",
            "-p",
            "chatglm",
            "--answer",
            "Hello from afar",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    timer = threading.Timer(PATIENCE, run.kill)
    timer.start()
    try:
        assert run.stdout is not None
        url = None
        for line in run.stdout:
            url = next((word for word in line.split() if word.startswith("http://")), None)
            if url:
                break
        assert url is not None, "no address was told"
        with SyncClient(base_url=url.rstrip(".,;")) as client:
            assert client.chat("Hi").text == "Hello from afar"
    finally:
        run.terminate()
        assert run.stdout is not None
        run.stdout.close()
        run.wait(PATIENCE)
        timer.cancel()


def test_a_script_that_makes_no_sense_is_told_at_once() -> None:
    with pytest.raises(GLMError):
        Simulator([Finish("stop"), TextDelta("after the end")])
