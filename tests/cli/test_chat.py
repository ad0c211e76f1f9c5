"""``chat``: turns, commands, Ctrl-C, and the line that is typed."""

from __future__ import annotations

import json
import stat
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.input import PipeInput, create_pipe_input
from prompt_toolkit.output import DummyOutput

from glmclient import SyncClient, TextDelta
from glmclient.cli.commands.chat import Chat
from glmclient.cli.commands.chat_commands import COMMANDS
from glmclient.cli.commands.prompt import _completer, completions, prompt
from glmclient.cli.display.answer_display import Look
from glmclient.simulator import Cut, Refusal

from .conftest import Run, Serve
from .test_ask import interrupt_after
from .test_keeping import without

CTRL_C = KeyboardInterrupt()


def talk(chat: Chat, *said: str | KeyboardInterrupt) -> int:
    """Say these things, one after the other, and return the exit code."""
    lines = iter(said)

    def ask() -> str:
        line = next(lines, None)
        if line is None:
            raise EOFError
        if isinstance(line, KeyboardInterrupt):
            raise line
        return line

    return chat.run(ask)


class Following:
    """Standard output or error, whichever file that is at the moment."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> object:
        return getattr(getattr(sys, self._name), name)


@pytest.fixture
def chat(serve: Serve) -> Iterator[Chat]:
    simulator = serve("One.", "Two.", "Three.", provider="zai")
    with SyncClient("zai", trust_env=False) as client:
        look = Look(Following("stdout"), Following("stderr"))  # type: ignore[arg-type]
        made = Chat(client.conversation(), look)
        made.simulator = simulator  # type: ignore[attr-defined]
        yield made


def asked(chat: Chat) -> list[list[str]]:
    return [[m["content"] for m in q.json["messages"]] for q in chat.simulator.questions]  # type: ignore[attr-defined]


# -- turns -----------------------------------------------------------------------------------------


def test_turns_build_on_each_other(chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(chat, "First?", "  ", "Second?") == 0
    assert asked(chat) == [["First?"], ["First?", "One.", "Second?"]]
    assert capsys.readouterr().out == "One.\nTwo.\n"


def test_lines_from_a_pipe_are_turns(run: Run, serve: Serve) -> None:
    simulator = serve("One.", "Two.", provider="zai")
    ran = run("chat", "-p", "zai", stdin="First?\n\ntwo \\\nlines\\\nand three\n//slash")
    assert (ran.code, ran.out) == (0, "One.\nTwo.\nOne.\n")
    prompts = [question.json["messages"][-1]["content"] for question in simulator.questions]
    assert prompts == ["First?", "two \nlines\nand three", "/slash"]
    assert run("chat", "-p", "zai", stdin="ends with \\").code == 0


def test_the_last_failure_of_a_pipe_decides(run: Run, serve: Serve) -> None:
    serve("One.", Refusal("quota"), "Three.")
    ran = run("chat", stdin="a\nb\nc\n")
    assert (ran.code, ran.out) == (7, "One.\nThree.\n")
    assert ran.err.count("glmclient: ") == 1


def test_a_failure_leaves_the_conversation_alive(
    run: Run, serve: Serve, chat: Chat, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.simulator.say([TextDelta("Tw"), Cut()])  # type: ignore[attr-defined]
    assert talk(chat, "First?") == 0
    captured = capsys.readouterr()
    assert captured.out == "Tw\n"
    assert captured.err.startswith("glmclient: ")


def test_a_conversation_is_kept_and_gone_on_with(run: Run, serve: Serve, home: Path) -> None:
    serve("One.", "Two.", provider="zai")
    run("chat", "-p", "zai", stdin="First?\n")
    kept = json.loads((home / "last_conversation.json").read_text())
    assert len(kept["messages"]) == 2
    run("chat", "-c", stdin="Second?\n")
    kept = json.loads((home / "last_conversation.json").read_text())
    assert len(kept["messages"]) == 4
    run("chat", "--no-save", "-p", "zai", stdin="x\n")
    assert json.loads((home / "last_conversation.json").read_text()) == kept


def test_a_model_that_there_is_not_is_refused_at_once(run: Run, serve: Serve) -> None:
    simulator = serve("One.")
    ran = run("chat", stdin="/model glm-9\nFirst?\n/model glm-4\n")
    assert ran.err.splitlines()[0].startswith(
        "glmclient: ChatGLM's guest service offers glm-4, not"
    )
    assert (ran.out, ran.err.splitlines()[1:]) == ("One.\n", ["model: glm-4"])
    assert simulator.prompts == ("First?",)


# -- Ctrl-C ----------------------------------------------------------------------------------------


def test_ctrl_c_ends_the_answer_and_a_second_the_conversation(
    chat: Chat, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    chat.simulator.say([TextDelta("One"), TextDelta(" two")])  # type: ignore[attr-defined]
    interrupt_after(monkeypatch, 1)
    assert talk(chat, "First?", CTRL_C, "never") == 130
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("One\n", "[interrupted]\n")
    assert chat.conversation.messages[-1]["content"] == "One"


def test_after_ctrl_c_one_can_go_on(chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    assert talk(chat, CTRL_C, "First?", CTRL_C) == 0
    captured = capsys.readouterr()
    assert captured.out == "One.\n"
    assert captured.err.count("Ctrl-C again") == 2
    assert talk(chat, CTRL_C, CTRL_C) == 130


def test_ctrl_c_ends_a_pipe(run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve([TextDelta("One"), TextDelta(" two")])
    interrupt_after(monkeypatch, 1)
    assert run("chat", stdin="a\nb\n").code == 130


def test_a_second_ctrl_c_while_the_first_is_obeyed(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupt_after(monkeypatch, 1)

    def again() -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(chat.conversation, "keep_partial", again)
    with pytest.raises(KeyboardInterrupt):
        talk(chat, "First?")


# -- commands --------------------------------------------------------------------------------------


def test_help_lists_every_command(chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    talk(chat, "/help")
    told = capsys.readouterr().err
    assert [line.split()[0] for line in told.splitlines()] == list(COMMANDS)


def test_a_new_conversation(chat: Chat) -> None:
    talk(chat, "/system Be brief.", "First?", "/new", "Second?", "/again")
    assert asked(chat) == [
        ["Be brief.", "First?"],
        ["Be brief.", "Second?"],
        ["Be brief.", "Second?", "Two.", "Second?"],
    ]


def test_model_and_system(chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    talk(chat, "/model", "/model glm-4.6", "/system", "Hi")
    assert capsys.readouterr().err.splitlines() == [
        "model: glm-5.3",
        "model: glm-4.6",
        "system message: none",
    ]
    assert chat.simulator.questions[0].json["model"] == "glm-4.6"  # type: ignore[attr-defined]


def test_saving_and_loading(chat: Chat, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "talk.json"
    talk(chat, "First?", f"/save {path}", "/new", f"/load {path}", "Second?")
    assert asked(chat)[1] == ["First?", "One.", "Second?"]
    told = capsys.readouterr().err
    assert f"loaded 1 turns from {path}" in told
    talk(chat, "/save", f"/load {tmp_path / 'missing'}")
    told = capsys.readouterr().err
    assert "name a file: /save FILE" in told
    assert "No such file" in told


def test_what_is_shown_can_be_chosen(chat: Chat, capsys: pytest.CaptureFixture[str]) -> None:
    talk(chat, "/usage", "/reasoning", "Hi", "/usage", "/reasoning")
    told = capsys.readouterr().err
    assert "usage is shown" in told
    assert "[usage]" in told
    assert "reasoning is hidden" in told
    assert "reasoning is shown" in told


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/hepl", "there is no command /hepl. Did you mean /help?"),
        ("/1234567", "takes two"),
        ("/again", "nothing was asked yet"),
    ],
)
def test_commands_that_fail(
    chat: Chat, capsys: pytest.CaptureFixture[str], line: str, told: str
) -> None:
    assert talk(chat, line) == 0
    assert told in capsys.readouterr().err


def test_leaving(chat: Chat) -> None:
    assert talk(chat, "/exit", "never") == 0
    assert asked(chat) == []


def test_a_closed_pipe_is_not_an_error_of_a_file(
    chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(said: str) -> int:
        raise BrokenPipeError

    monkeypatch.setattr(chat, "ask", closed)
    with pytest.raises(BrokenPipeError):
        talk(chat, "Hi")


# -- the line --------------------------------------------------------------------------------------


@pytest.fixture
def keyboard() -> Iterator[PipeInput]:
    with create_pipe_input() as pipe, create_app_session(pipe, DummyOutput()):
        yield pipe


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("Hello\r", "Hello"),
        ("one\\\rtwo\r", "one\ntwo"),
        ("one\x1b\rtwo\r", "one\ntwo"),
        ("one\ntwo\r", "one\ntwo"),
        ("back\\slash\r", "back\\slash"),
        ("ab\\\x1b[D\x1b[D\r", "ab\\"),
    ],
)
def test_typing(chat: Chat, keyboard: PipeInput, typed: str, line: str) -> None:
    keyboard.send_text(typed)
    assert prompt(chat)() == line


def test_leaving_the_line(chat: Chat, keyboard: PipeInput) -> None:
    keyboard.send_text("\x04")
    with pytest.raises(EOFError):
        prompt(chat)()
    keyboard.send_text("half\x03")
    with pytest.raises(KeyboardInterrupt):
        prompt(chat)()


def test_history_is_its_owners_business(
    chat: Chat, keyboard: PipeInput, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keyboard.send_text("first\r")
    prompt(chat)()
    assert stat.S_IMODE((home / "chat_history").stat().st_mode) == 0o600
    keyboard.send_text("\x1b[A\r")
    assert prompt(chat)() == "first"
    monkeypatch.delenv("GLMCLIENT_HOME")
    without(monkeypatch, "platformdirs")
    keyboard.send_text("nothing is kept\r")
    assert prompt(chat)() == "nothing is kept"
    assert "kept" not in (home / "chat_history").read_text()


def test_completions(chat: Chat, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert completions("/mo", ()) == ["/model"]
    assert completions("/model glm-4.", ("glm-4.6", "glm-5")) == ["glm-4.6"]
    assert completions("/new x", ("x",)) == []
    (tmp_path / "talk.json").touch()
    completer = _completer(chat)

    def offered(line: str) -> list[str]:
        event = CompleteEvent(completion_requested=True)
        return [c.text for c in completer.get_completions(Document(line), event)]

    assert offered("/load " + str(tmp_path / "ta")) == ["lk.json"]
    assert "glm-4.6" in offered("/model ")
    assert offered("hello") == []
    assert offered("/mo\n") == []


def test_without_the_package_the_way_out_is_named(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    without(monkeypatch, "prompt_toolkit")
    ran = run("chat")
    assert ran.code == 2
    assert "pip install 'glmclient[cli]'" in ran.err
    assert run("chat", stdin="Hi\n").out == "Hello 世界!\n"


def test_at_a_terminal_lines_are_typed(
    run: Run, serve: Serve, keyboard: PipeInput, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = serve()
    keyboard.send_text("Hi\r/exit\r")
    ran = run("chat")
    assert (ran.code, ran.out) == (0, "Hello 世界!\n")
    assert ran.err == f"chatglm at {simulator.url}; /help lists the commands, Ctrl-D ends.\n"
    assert simulator.prompts == ("Hi",)
