"""The simulated apps: each shape is one that the client recognizes, talks to, and goes on with."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient import Gradio as Provider
from glmclient import SyncClient
from glmclient.core.http import dump_json
from glmclient.errors import ConfigurationError, ServerError
from glmclient.events import TextDelta, TextReplace
from glmclient.providers.gradio.encoder import Layout, shown
from glmclient.providers.gradio.page import Page
from glmclient.providers.gradio.shapes import choose
from glmclient.providers.gradio.simulated import Gradio, Qwen
from glmclient.providers.gradio.simulated_apps import SHAPES, VERSIONS, app_of
from glmclient.simulator import Refusal, SimulatedRequest, Simulator
from glmclient.simulator.script import Answers
from tests.real.asking import WAYS, Way, ask

FORMATS = {"4.44.1": "pairs", "5.50.0": "messages", "6.31.0": "parts"}
CHATS = [shape for shape in SHAPES if shape != "audio"]
TEXTS = (
    "chat_interface",
    "chat_interface_settings",
    "chat_interface_multimodal",
    "interface",
    "interface_settings",
)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("shape", CHATS)
def test_every_page_is_a_chat_of_its_shape(shape: Any, version: str) -> None:
    told = app_of(shape, version)
    page = Page.parse(told.config(), {})
    chat = choose(page.with_names(told.info()))
    assert page.version == version and page.prefix == ("" if version < "5" else "/gradio_api")
    assert chat.format == (None if shape in TEXTS else FORMATS[version])
    assert chat.remembers is (shape in ("state", "chatglm") or shape.startswith("chat_interface"))
    assert chat.multimodal is shape.endswith("multimodal")
    assert (chat.system is not None) is (
        ("settings" in shape and "chat" in shape) or "qwen" in shape or shape == "respond_settings"
    )
    assert len(chat.steps) == (2 if shape == "chain" else 1)
    assert all(each.parameter for each in chat.settings)


@pytest.mark.parametrize("version", VERSIONS)
def test_an_app_that_is_not_a_chat(version: str) -> None:
    with pytest.raises(ConfigurationError, match="it takes audio"):
        choose(Page.parse(app_of("audio", version).config(), {}))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("shape", CHATS)
def test_three_turns_with_every_shape(shape: str, way: Way) -> None:
    version = list(VERSIONS)[len(shape) % 3]
    script = lambda request: [TextDelta("Hm"), TextReplace(0, f"你好 {request.prompt.split()[-1]}")]  # noqa: E731
    with Simulator(script, provider="gradio", shape=shape, version=version) as sim:
        provider = Provider(base_url=sim.url)
        previous = None
        for question in ("one", "two", "three"):
            outcome = ask(way, provider, question, continue_from=previous)
            assert outcome.text == f"你好 {question}"
            assert outcome.events[0] == TextDelta("Hm")
            previous = outcome.finish
        assert len(sim.prompts) == 3
        if shape.startswith("interface"):
            assert sim.prompts[2].startswith("User: one\n\nAssistant: 你好 one\n\nUser: two")
        else:
            assert sim.prompts == ("one", "two", "three")
        joins = [each.json for each in sim.requests if each.path.endswith("/queue/join")]
        sessions = [each["session_hash"] for each in joins]
        keeps = shape in ("state", "chatglm") or shape.startswith("chat_interface")
        assert len(set(sessions)) == (1 if keeps else 3)
        if shape in ("respond", "respond_settings", "qwen", "qwen_multimodal", "chatglm"):
            history = json.dumps(joins[-1]["data"][1], ensure_ascii=False)
            assert "你好 one" in history and "你好 two" in history


def test_a_file_is_uploaded_to_a_path_of_its_own() -> None:
    with (
        Simulator("ok", provider="gradio", shape="chat_interface_multimodal") as sim,
        sim.client() as client,
    ):
        content = [
            {"type": "text", "text": "See."},
            {"type": "file", "file": {"filename": "a.txt", "file_data": "YQ=="}},
        ]
        assert client.chat([{"role": "user", "content": content}]).text == "ok"
        assert sim.prompts == ("See.",)
        [join] = [each.json for each in sim.requests if each.path.endswith("/queue/join")]
        [file] = join["data"][0]["files"]
        assert file["path"].startswith("/tmp/gradio/") and file["path"].endswith("/a.txt")


def test_a_failure_of_the_app_and_of_the_script() -> None:
    with (
        Simulator(["Hel", Refusal("server")], provider="gradio", shape="chain") as sim,
        sim.client() as client,
    ):
        with pytest.raises(ServerError) as caught:
            client.chat("Hi")
        assert caught.value.partial.text == "Hel"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shape": "chat_interfase"}, "Did you mean 'chat_interface'"),
        ({"shape": 5}, "shape must be one of chat_interface"),
        ({"version": "3.50.2"}, "version must be one of 4.44.1, 5.50.0, 6.31.0"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Simulator("x", provider="gradio", **options)
    assert words in str(caught.value)


def join(dialect: Gradio, data: Any, index: Any = 3, session: str = "s") -> Any:
    body = {"data": data, "fn_index": index, "session_hash": session}
    request = SimulatedRequest("POST", f"{dialect._prefix}/queue/join", {}, {}, dump_json(body))
    return dialect.respond(request, Answers("x", dialect.check)), dialect.prompt(request)


@pytest.mark.parametrize(
    ("index", "data", "status", "prompt"),
    [
        (3, ["Hi", []], 200, "Hi"),
        (3, [None, []], 200, ""),
        (3, ["Hi"], 500, "Hi"),
        (9, ["Hi", []], 500, ""),
        (4, [[{"role": "user", "content": [{"type": "text", "text": "Hi"}]}]], 200, "Hi"),
        (4, [[["Hi", None]]], 200, "Hi"),
        (4, [[{"text": "Hi"}]], 200, "Hi"),
        (4, [[]], 200, ""),
        (4, [None], 200, ""),
        (4, [[[]]], 200, ""),
    ],
)
def test_what_a_join_asks(index: int, data: Any, status: int, prompt: str) -> None:
    response, asked = join(Gradio(shape="chain"), data, index)
    assert (response.status, asked) == (status, prompt)


def test_a_question_without_a_box_or_a_conversation_is_empty() -> None:
    assert join(Gradio(shape="audio"), [None])[1] == ""


def test_the_conversations_under_sessions_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmclient.providers.gradio.simulated._MOST_STATES", 2)
    dialect = Gradio(shape="state")
    answers = Answers("x", dialect.check)
    for session in ("a", "b", "c"):
        join(dialect, ["Hi", None], session=session)
        query = {"session_hash": session}
        response = dialect.respond(
            SimulatedRequest("GET", "/gradio_api/queue/data", query, {}, b""), answers
        )
        assert list(response.body)
    assert list(dialect._states) == ["b", "c"]


@pytest.mark.parametrize(("chatbot", "value"), [("pairs", [["q", None]]), ("messages", None)])
def test_the_first_function_of_a_chain_shows_the_question(chatbot: Any, value: Any) -> None:
    frames = shown(Layout(chatbot, question="q", outputs=("cleared", "chatbot")))
    completed = json.loads(frames.split(b"data: ")[2])
    assert completed["msg"] == "process_completed"
    empty, conversation = completed["output"]["data"]
    assert empty == ""
    if value is None:
        assert [each["role"] for each in conversation] == ["user"]
    else:
        assert conversation == value


def test_the_names_of_the_services() -> None:
    assert (Gradio.name, Qwen.name) == ("gradio", "qwen")
    with Simulator("a", provider=["qwen", "gradio"]) as sim:
        for name in ("qwen", "gradio"):
            with SyncClient(name, base_url=sim.url_of(name), trust_env=False) as client:
                assert client.provider.name == name and client.chat("Hi").text == "a"
