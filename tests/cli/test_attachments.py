"""Files that belong to a question, mistaken commands, and the end of an answer by Ctrl-C for programs."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from glmclient import ConfigurationError, SyncClient
from glmclient.cli.attachments import question_with
from glmclient.cli.commands.chat import Chat
from glmclient.cli.display.answer_display import Look
from glmclient.cli.store import places
from glmclient.events import TextDelta

from .conftest import Run, Serve
from .emulator import Emulator
from .test_ask import interrupt_after

PNG = b"\x89PNG\r\n\x1a\nrest"


@pytest.mark.parametrize(
    ("content", "media"),
    [
        (PNG, "png"),
        (b"\xff\xd8\xff\xe0", "jpeg"),
        (b"GIF89a", "gif"),
        (b"RIFF\n\0\0\0WEBP", "webp"),
    ],
)
def test_an_image_is_a_part_of_the_question(tmp_path: Path, content: bytes, media: str) -> None:
    (tmp_path / "picture.txt").write_bytes(content)
    asked: Any = question_with("What is it?", [str(tmp_path / "picture.txt")])
    data = base64.b64encode(content).decode()
    assert asked[0]["content"] == [
        {"type": "image_url", "image_url": {"url": f"data:image/{media};base64,{data}"}},
        {"type": "text", "text": "What is it?"},
    ]


def test_a_text_file_stands_before_the_question(tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("\ufeff```\nx\n```\n", encoding="utf-8")
    (tmp_path / "b.py").write_text("y = 1\n")
    asked = question_with("Why?", [str(tmp_path / "a.md"), str(tmp_path / "b.py")])
    assert asked == "a.md:\n````\n```\nx\n```\n````\n\nb.py:\n```\ny = 1\n```\n\nWhy?"


def test_what_cannot_be_attached(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x00\xff")
    for name, words in (
        ("binary", "neither an image"),
        ("missing", "cannot be attached"),
        ("", "cannot be attached"),
    ):
        with pytest.raises(ConfigurationError, match=words):
            question_with("", [str(tmp_path / name) if name else str(tmp_path)])


def test_files_reach_the_service(run: Run, serve: Serve, tmp_path: Path) -> None:
    simulator = serve("A cat.", provider="zai")
    (tmp_path / "a.png").write_bytes(PNG)
    (tmp_path / "b.txt").write_text("words")
    ran = run(
        "-p",
        "zai",
        "-m",
        "glm-4.5v",
        "-a",
        str(tmp_path / "a.png"),
        "--attach",
        str(tmp_path / "b.txt"),
        "What?",
    )
    assert (ran.code, ran.out) == (0, "A cat.\n"), ran.err
    content = simulator.questions[0].json["messages"][0]["content"]
    assert [part["type"] for part in content] == ["image_url", "text"]
    assert "words" in content[1]["text"]
    assert run("-a", str(tmp_path / "no"), "What?").code == 2
    assert len(simulator.questions) == 1


@pytest.mark.parametrize(
    ("word", "hint"),
    [("version", "glmclient --version"), ("config", "glmclient settings"), ("login", "glmclient keys"),
     ("update", "ask update")],
)  # fmt: skip
def test_a_word_that_looks_like_a_command_is_not_sent(
    run: Run, serve: Serve, word: str, hint: str
) -> None:
    simulator = serve("Yes.")
    ran = run(word)
    assert ran.code == 2
    assert hint in ran.err and f"glmclient ask {word}" in ran.err
    assert simulator.requests == ()
    assert run("ask", word).out == run(word, "what?").out == "Yes.\n"
    assert run(word, stdin="a file").out == "Yes.\n"


def test_the_version_has_a_short_option(run: Run) -> None:
    assert run("-V").out == run("--version").out != ""


@pytest.mark.parametrize("form", ["--json", "--jsonl"])
def test_ctrl_c_is_an_error_with_what_came(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    serve([TextDelta("One"), TextDelta(" two"), TextDelta(" three")], provider="zai")
    interrupt_after(monkeypatch, 2)
    ran = run("-p", "zai", form, "First?")
    error = json.loads(ran.err)["error"]
    assert (ran.code, error["exit_code"]) == (130, 130)
    assert error["partial"]["text"] == "One two"


# -- in a conversation -----------------------------------------------------------------------------


@pytest.fixture
def chat(serve: Serve) -> Any:
    serve("First.", "Second.", "Third.", provider="zai")
    with SyncClient("zai") as client:
        yield Chat(client.conversation(system="Be brief."), Look(Emulator(), Emulator(80, 60)))


def told(chat: Chat) -> str:
    return str(chat.look.err.getvalue())  # type: ignore[attr-defined]


def test_a_turn_is_taken_back(chat: Chat) -> None:
    assert chat.turn("/undo") == 2
    chat.turn("/show")
    assert "nothing was asked yet" in told(chat)
    chat.turn("one")
    chat.turn("two\nlines")
    chat.turn("/undo")
    assert "undone: two\n" in told(chat)
    assert [m["content"] for m in chat.conversation.messages] == ["Be brief.", "one", "First."]
    assert chat.conversation.system == "Be brief."
    chat.turn("three")
    assert [m["content"] for m in chat.conversation.messages][3] == "three"


def test_the_conversation_is_shown(chat: Chat) -> None:
    chat.turn("one")
    chat.turn("/show")
    for line in ("system: Be brief.", "user: one", "assistant: First."):
        assert f"{line}\n" in told(chat)


def test_files_are_for_the_next_question(chat: Chat, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    (tmp_path / "a.png").write_bytes(PNG)
    assert chat.turn("/file") == chat.turn(f"/file {tmp_path}/none") == 2
    chat.turn(f"/file {tmp_path}/a.txt")
    chat.turn("one")
    assert "words" in chat.conversation.messages[1]["content"]
    chat.turn("two")
    assert chat.conversation.messages[3]["content"] == "two"
    chat.turn("/model glm-4.5v")
    chat.turn(f"/file {tmp_path}/a.png")
    chat.turn("three")
    chat.turn("/again")
    chat.turn("/show")
    assert "[image_url] three" in told(chat)
    chat.turn("/undo")
    assert "undone: [image_url] three" in told(chat)


# -- how the extras are installed ------------------------------------------------------------------


class Distribution:
    """What the metadata of an installation say."""

    def __init__(self, source: str | None) -> None:
        self._source = source

    def read_text(self, name: str) -> str | None:
        assert name == "direct_url.json"
        return self._source


@pytest.mark.parametrize(
    ("source", "command"),
    [
        (None, "pip install 'glmclient[cli]'"),
        ("{", "pip install 'glmclient[cli]'"),
        ('{"url": "https://a.test/x.whl"}', "pip install 'glmclient[cli]'"),
        (
            '{"url": "file:///a/b%20c", "dir_info": {"editable": true}}',
            "pip install -e '/a/b c[cli]')",
        ),
        ('{"url": "file:///a/b", "dir_info": {}}', "pip install '/a/b[cli]')"),
    ],
)
def test_extras_are_installed_from_where_the_package_is(
    monkeypatch: pytest.MonkeyPatch, source: str | None, command: str
) -> None:
    monkeypatch.setattr(places, "distribution", lambda name: Distribution(source))
    assert places.install_command("cli").startswith("pip install 'glmclient[cli]'")
    assert places.install_command("cli").endswith(command)


def test_ctrl_c_in_a_replay_is_an_error_with_what_came(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    serve([TextDelta("One"), TextDelta(" two")], provider="zai")
    cassette = str(tmp_path / "cassette.json")
    assert run("record", cassette, "-p", "zai", "Hi").code == 0
    interrupt_after(monkeypatch, 1)
    ran = run("replay", cassette, "--json")
    assert (ran.code, json.loads(ran.err)["error"]["partial"]["text"]) == (130, "One")
    assert run("replay", cassette).code == 130


def test_a_chat_without_settings_keeps_no_history(serve: Serve, home: Path) -> None:
    serve("Yes.", provider="zai")
    with SyncClient("zai") as client:
        chat = Chat(client.conversation(), Look(Emulator(), Emulator()), keeps=True)
        assert chat.turn("Hi") == 0
    assert (home / "last_conversation.json").exists()
    assert not (home / "history.sqlite3").exists()


def test_a_key_has_an_owner(run: Run) -> None:
    ran = run("keys", "set", "chatglm", stdin="k")
    assert (ran.code, "is not one of" in ran.err) == (2, True)
