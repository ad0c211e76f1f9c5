"""Chat apps of every shape on real Gradio servers of three major versions: what they are asked, and what is told."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from glmclient import SyncClient
from glmclient.core.retry import RetryPolicy
from glmclient.errors import ConfigurationError, ServerError
from glmclient.events import TextDelta
from glmclient.providers.gradio.page import Page
from glmclient.providers.gradio.provider import Gradio
from glmclient.providers.gradio.shapes import chats
from glmclient.simulator import Simulator
from tests.providers.gradio.pages import page_of

from .asking import WAYS, Way, ask
from .servers import SECONDS, RealServer

pytestmark = pytest.mark.real

SYSTEM = "You are a scripted assistant."
ONCE = RetryPolicy(attempts=1)
EMPTY: dict[str, Any] = {}
SETTINGS = {"temperature": 0.7, "model": "small", "shout": False}
FILES: dict[str, Any] = {"files": []}

SHAPES: dict[str, tuple[str, dict[str, Any]]] = {
    # shape: where the conversation is, and what the app repeats of its inputs beside the question and the history
    "chat": ("app", EMPTY),
    "chat_whole": ("app", EMPTY),
    "chat_tuples": ("app", EMPTY),
    "chat_settings": ("app", {"system": SYSTEM, **SETTINGS}),
    "chat_multimodal": ("app", FILES),
    "interface": ("question", EMPTY),
    "interface_settings": ("question", {"temperature": 0.5}),
    "blocks_respond": ("app", EMPTY),
    "blocks_settings": ("app", {"system": SYSTEM, "max_tokens": 512, "top_p": 0.95}),
    "blocks_chain": ("app", EMPTY),
    "blocks_state": ("app", EMPTY),
    "chatglm": ("app", {"max_length": 8192, "top_p": 0.8, "temperature": 0.6}),
    "qwen": ("app", {"system": SYSTEM, "rest": ["72B"]}),
    "qwen_slider": ("app", {"system": SYSTEM, "rest": ["72B", 0.7]}),
    "qwen_bare": ("app", {"system": SYSTEM, "rest": []}),
    "qwen_multimodal": ("app", {"system": SYSTEM, "rest": ["72B"], **FILES}),
}
MARKDOWN = "First **bold** 你好.\n\n```python\nprint('x')\n```\n\nLast."


def told(question: str, history: list[str], settings: dict[str, Any]) -> str:
    """Return what the app answers: everything that it received."""
    whole = {"question": question, "history": history, **settings}
    return json.dumps(whole, ensure_ascii=False)


def app(apps: RealServer, shape: str, **known: Any) -> Gradio:
    if shape == "chat_tuples" and apps.version.startswith("6"):
        pytest.skip("Gradio 6 has no conversations in pairs")
    return Gradio(base_url=f"{apps.url}/{shape}", **known)


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.mark.parametrize("shape", SHAPES)
def test_three_turns_in_every_shape(shape: str, way: Way, apps: RealServer) -> None:
    memory, settings = SHAPES[shape]
    provider = app(apps, shape)
    history: list[str] = []
    previous = None
    for question in ("one 你好", "two", "three"):
        outcome = ask(way, provider, question, retry=ONCE, continue_from=previous)
        assert outcome.error is None, outcome.error
        asked, before = question, history
        if memory == "question" and history:
            names = ("User", "Assistant")
            turns = [f"{names[n % 2]}: {text}" for n, text in enumerate([*history, question])]
            asked, before = "\n\n".join(turns), []
        assert outcome.text == told(asked, before, settings)
        assert outcome.finish.reason == "stop"
        history = [*history, question, outcome.text]
        previous = outcome.finish
    if shape not in ("chat_whole", "interface"):
        pieces = [event for event in outcome.events if isinstance(event, TextDelta)]
        assert len(pieces) > 2, "the answer is told as it grows"


@pytest.mark.parametrize("shape", SHAPES)
def test_text_of_several_lines_is_the_servers_own(shape: str, apps: RealServer) -> None:
    assert ask("sync", app(apps, shape), "Markdown", retry=ONCE).text == MARKDOWN


@pytest.mark.parametrize("shape", SHAPES)
def test_a_fork_and_a_conversation_of_messages(shape: str, apps: RealServer) -> None:
    provider = app(apps, shape)
    with SyncClient(provider, trust_env=False, retry=ONCE) as client:
        conversation = client.conversation()
        first = conversation.chat("one").text
        fork = conversation.fork()
        assert "two" in conversation.chat("two").text
        forked = json.loads(fork.chat("other").text)
        whole = json.dumps([forked["history"], forked["question"]])
        assert "one" in whole and "other" in whole and "two" not in whole
        again = client.chat([*fork.messages[:2], {"role": "user", "content": "three"}])
        answered = json.loads(again.text)
        seen = [*answered["history"], answered["question"]]
        assert any("one" in each for each in seen) and "three" in seen[-1]
        assert first in "\n".join(seen)


def test_a_system_message_reaches_every_app(apps: RealServer) -> None:
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}]
    for shape, (_, settings) in SHAPES.items():
        if shape == "chat_tuples":
            continue
        answered = json.loads(ask("sync", app(apps, shape), messages, retry=ONCE).text)
        if "system" in settings:
            assert (answered["system"], answered["question"]) == ("Be brief.", "Hi")
        else:
            assert answered["question"] == "Be brief.\n\nHi"


@pytest.mark.parametrize("way", WAYS)
def test_inputs_reach_the_app(way: Way, apps: RealServer) -> None:
    inputs = {"Temperature": 0.2, "model": "large", "SHOUT": True, "system_prompt": "S"}
    answered = json.loads(ask(way, app(apps, "chat_settings"), "Hi", inputs=inputs).text)
    assert {name: answered[name] for name in ("system", "temperature", "model", "shout")} == {
        "system": "S",
        "temperature": 0.2,
        "model": "large",
        "shout": True,
    }
    refused = ask(way, app(apps, "chat_settings", inputs={"Temperature": 5}), "Hi")
    assert type(refused.error) is ConfigurationError and "from 0 to 2" in str(refused.error)


@pytest.mark.parametrize("shape", ["chat_multimodal", "qwen_multimodal"])
def test_files_reach_the_app(shape: str, way: Way, apps: RealServer) -> None:
    content = base64.b64encode(b"\x89PNG\r\n\x1a\n and more").decode()
    words = base64.b64encode("Wörter".encode()).decode()
    messages = [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "See."},
                {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{content}"}},
                {"type": "file", "file": {"filename": "a b.txt", "file_data": words}},
            ],
        }
    ]
    outcome = ask(way, app(apps, shape), messages, retry=ONCE)
    answered = json.loads(outcome.text)
    assert (answered["question"], answered["files"]) == ("See.", [content, words])


def test_what_is_not_a_chat_is_refused(way: Way, apps: RealServer) -> None:
    outcome = ask(way, app(apps, "audio"), "Hi")
    assert type(outcome.error) is ConfigurationError and "it takes audio" in str(outcome.error)
    outcome = ask(way, app(apps, "two_chats"), "Hi")
    assert type(outcome.error) is ConfigurationError and "several functions" in str(outcome.error)
    for function in ("second", 1):
        answered = ask(way, app(apps, "two_chats"), "Hi", function=function)
        assert json.loads(answered.text)["question"] == "Hi"


@pytest.mark.parametrize("shape", ["chat", "blocks_chain", "interface_settings"])
def test_a_failure_of_the_app(shape: str, way: Way, apps: RealServer) -> None:
    outcome = ask(way, app(apps, shape), "fail", retry=ONCE)
    assert type(outcome.error) is ServerError
    assert "The model is out of order." in str(outcome.error)


def test_the_golden_pages_are_those_of_these_servers(apps: RealServer) -> None:
    for shape in (*SHAPES, "audio", "two_chats"):
        if shape == "chat_tuples" and apps.version.startswith("6"):
            continue
        with urlopen(f"{apps.url}/{shape}/config") as answer:
            page = Page.parse(json.load(answer), {})
        golden = page_of(apps.version, shape)
        assert page.prefix == golden.prefix
        # The numbers of the components depend on the apps that the process made before.
        assert [each.signature for each in chats(page)[0]] == [
            each.signature for each in chats(golden)[0]
        ]
        assert [each.reason for each in chats(page)[1]] == [
            each.reason for each in chats(golden)[1]
        ]


@pytest.mark.parametrize(
    ("shape", "name"),
    [("chat_interface", "/chat"), ("interface", "/predict"), ("respond", "/respond")],
)
def test_the_real_client_talks_to_the_simulator(
    shape: str, name: str, environment: tuple[str, Path]
) -> None:
    version, python = environment
    with Simulator("Hello, 你好!", provider="gradio", shape=shape, version=version) as sim:
        command = [
            str(python),
            str(Path(__file__).parent / "gradio_client_app.py"),
            sim.url,
            name,
            "Hi",
        ]
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            env={**os.environ, "HF_HUB_OFFLINE": "1", "NO_PROXY": "127.0.0.1", "PYTHONUTF8": "1"},
        )
        assert done.returncode == 0, done.stderr
        said = json.loads(done.stdout.splitlines()[-1])
        assert sim.prompts == ("Hi",)
    parameters = said["functions"][name]["parameters"]
    assert parameters[0]["parameter_name"] == "message"
    answer = said["answer"]
    assert "Hello, 你好!" in (
        answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
    )
