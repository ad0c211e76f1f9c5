"""``glmclient "question"`` in this process, against simulated services."""

from __future__ import annotations

import io
import json
import logging
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from glmclient import (
    Conversation,
    Finish,
    ReasoningDelta,
    Stream,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Usage,
)
from glmclient.cli import exit_codes, main
from glmclient.cli.application import _left, _silence
from glmclient.cli.commands.ask import WAITING, _standard_input
from glmclient.cli.display.painter import PAINTER
from glmclient.simulator import Cut, Refusal

from .conftest import Run, Serve
from .test_keeping import without


def test_a_question_and_its_answer(run: Run, serve: Serve) -> None:
    simulator = serve("Hello 世界!")
    ran = run("Why", "is the sky", "blue?")
    assert (ran.code, ran.out, ran.err) == (0, "Hello 世界!\n", "")
    assert simulator.prompts == ("Why is the sky blue?",)


def test_the_command_can_be_named(run: Run, serve: Serve) -> None:
    simulator = serve()
    assert run("ask", "models").code == 0
    assert run("ask", "--", "-v").code == 0
    assert simulator.prompts == ("models", "-v")


@pytest.mark.parametrize(
    ("arguments", "stdin", "asked"),
    [
        (("Review this",), "+ a\n- b\n", "+ a\n- b\n\nReview this"),
        ((), "Only this\n", "Only this"),
        (("Only that",), "", "Only that"),
        (("With a mark",), b"\xef\xbb\xbf\xe4\xbd\xa0", "你\n\nWith a mark"),
    ],
)
def test_standard_input_is_joined(
    run: Run, serve: Serve, arguments: tuple[str, ...], stdin: str | bytes, asked: str
) -> None:
    simulator = serve()
    assert run(*arguments, stdin=stdin).code == 0
    assert simulator.prompts == (asked,)


def test_standard_input_that_does_not_end_is_mentioned(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[object] = []
    said = threading.Event()

    def tell(message: object, **how: Any) -> None:
        told.extend([message, how])
        said.set()

    class Slow(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            assert said.wait(20.0)
            return b"late"

    monkeypatch.setattr("glmclient.cli.commands.ask.PATIENCE", 0.01)
    monkeypatch.setattr("click.echo", tell)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(Slow()))
    assert _standard_input(hint=True) == "late"
    assert told == [WAITING, {"err": True}]


def test_what_is_no_question(run: Run, serve: Serve) -> None:
    simulator = serve()
    ran = run("Review", stdin=b"\x00\xff")
    assert (ran.code, ran.err) == (
        2,
        "glmclient: standard input is not UTF-8 text (byte 1 is 0xff); convert it first.\n",
    )
    nothing = run(stdin=" \n")
    assert nothing.code == 2
    assert 'write: glmclient "your question"' in nothing.err
    assert run("ask").code == 2
    assert 'write: glmclient record FILE "your question"' in run("record", "a.cassette").err
    behind = run("-p", "zai", "chat")
    assert behind.code == 2
    assert "glmclient chat ..." in behind.err
    assert simulator.requests == ()


def test_without_anything_there_is_help(run: Run) -> None:
    ran = run()
    assert ran.out.startswith("Usage: glmclient")
    assert (ran.code, ran.err) == (0, "")
    assert run("--help").code == 0
    assert run("--version").out.startswith("glmclient ")


def test_help_is_a_command_too(run: Run, serve: Serve) -> None:
    simulator = serve()
    assert run("help").out == run("--help").out
    assert run("help", "chat").out == run("chat", "--help").out
    assert (
        run("help", "me").code == run("help", "me", "please").code == run("ask", "help").code == 0
    )
    assert simulator.prompts == ("help me", "help me please", "help")


def test_an_option_is_two_words(run: Run, serve: Serve) -> None:
    simulator = serve()
    ran = run("-p", "zai", "--key", "k", "-o", "temperature=0.2", "Hello")
    assert ran.code == 2
    assert "write `-o temperature 0.2`" in ran.err
    assert simulator.requests == ()


def test_a_mistyped_command_is_hinted_at(run: Run, serve: Serve) -> None:
    serve()
    assert run("dcotor").err == "[asked as a question; for the command: glmclient doctor]\n"
    assert run("hello").err == ""
    assert run("ask", "dcotor").err == ""


# -- options ---------------------------------------------------------------------------------------


def test_options_reach_the_service(run: Run, serve: Serve) -> None:
    simulator = serve("Yes.", provider="zai")
    ran = run(
        *("-p", "zai", "-m", "glm-4.6", "-s", "Be brief.", "--key", "given.key"),
        *("-o", "temperature", "0.5", "-o", "user_id", "12345678", "-o", "thinking", "false"),
        *("-o", "stop", "END", "--timeout", "60", "Hi"),
    )
    assert (ran.code, ran.out) == (0, "Yes.\n")
    asked = simulator.questions[0]
    assert asked.json["model"] == "glm-4.6"
    assert asked.json["messages"][0] == {"role": "system", "content": "Be brief."}
    assert asked.json["temperature"] == 0.5
    assert asked.json["user_id"] == "12345678"
    assert asked.json["thinking"] == {"type": "disabled"}
    assert asked.json["stop"] in ("END", ["END"])
    assert asked.headers["authorization"] == "Bearer given.key"


def test_settings_and_environment_reach_the_service(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = serve("Yes.", provider="zai")
    monkeypatch.setenv("GLMCLIENT_PROVIDER", "zai")
    monkeypatch.setenv("GLMCLIENT_MODEL", "glm-4.5")
    monkeypatch.setenv("GLMCLIENT_SYSTEM", "Be kind.")
    run("settings", "set", "usage", "on")
    ran = run("Hi")
    assert ran.err.startswith("[usage]")
    asked = simulator.questions[0].json
    assert (asked["model"], asked["messages"][0]["content"]) == ("glm-4.5", "Be kind.")


def test_what_a_service_cannot_honour_is_an_error(run: Run, serve: Serve) -> None:
    simulator = serve()
    ran = run("-o", "temperature", "0.5", "Hi")
    assert ran.code == 2
    assert "cannot honour the option 'temperature'" in ran.err
    assert run("-p", "nobody", "Hi").code == 2
    assert simulator.requests == ()


def test_reasoning_usage_and_quiet(run: Run, serve: Serve) -> None:
    usage = Finish("stop", Usage(1, 2, 3))
    serve([ReasoningDelta("Hm."), TextDelta("Yes."), usage], provider="zai")
    assert run("-p", "zai", "Hi").err == "Hm.\n"
    assert run("-p", "zai", "-R", "Hi").err == ""
    assert run("-p", "zai", "-Ru", "Hi").err.startswith("[usage] 1 + 2 = 3 tokens")
    assert run("-p", "zai", "-qu", "Hi").err == ""


def test_without_streaming(run: Run, serve: Serve) -> None:
    serve([TextDelta("He"), TextReplace(0, "Hello")])
    assert run("--no-stream", "Hi").out == "Hello\n"


def test_verbose_tells_what_happens(run: Run, serve: Serve) -> None:
    serve()
    level = logging.getLogger("glmclient").level
    once, twice = run("-v", "Hi").err, run("-vv", "Hi").err
    assert "attempt 1" in once
    assert len(twice) > len(once)
    assert "answered 200" in twice
    assert logging.getLogger("glmclient").level == level


# -- for programs ----------------------------------------------------------------------------------


def test_json(run: Run, serve: Serve) -> None:
    serve(
        [
            ReasoningDelta("Hm."),
            TextDelta("Yes."),
            ToolCallDelta(0, "c", "f", "{}"),
            Finish("tool_calls"),
        ],
        provider="zai",
    )
    ran = run("-p", "zai", "--json", "-u", "Hi")
    told = json.loads(ran.out)
    assert (told["text"], told["reasoning"], told["provider"]) == ("Yes.", "Hm.", "zai")
    assert told["tool_calls"][0]["name"] == "f"
    assert ran.err == ""


def test_json_lines(run: Run, serve: Serve) -> None:
    serve("Yes.")
    events = [json.loads(line) for line in run("--jsonl", "Hi").out.splitlines()]
    assert [event["type"] for event in events] == ["TextDelta", "Finish"]
    assert run("--json", "--jsonl", "Hi").code == 2


def test_errors_as_json(run: Run, serve: Serve) -> None:
    serve([TextDelta("Yes"), Cut()])
    ran = run("--json", "Hi")
    told = json.loads(ran.err)["error"]
    assert (ran.code, ran.out) == (12, "")
    assert (told["type"], told["partial"]["text"]) == ("StreamInterrupted", "Yes")
    usage = run("ask", "--json", "--nothing", "Hi")
    assert json.loads(usage.err)["error"]["exit_code"] == usage.code == 2
    lines = run("--jsonl", "Hi")
    assert json.loads(lines.err)["error"]["type"] == "StreamInterrupted"


# -- failures --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "code"),
    [("quota", 7), ("rate_limit", 6), ("authentication", 5), ("server", 10), ("blocked", 8)],
)
def test_refusals(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch, kind: Any, code: int
) -> None:
    monkeypatch.setattr("glmclient.core.retry.RetryPolicy.delay", lambda *_: None)
    serve(Refusal(kind))
    ran = run("Hi")
    assert (ran.code, ran.out) == (code, "")
    assert ran.err.startswith("glmclient: ")
    assert ran.err.count("\n") == 1


def test_a_cut_answer_is_shown_and_told(run: Run, serve: Serve) -> None:
    serve([TextDelta("One two"), Cut()])
    ran = run("Hi")
    assert (ran.code, ran.out) == (12, "One two\n")
    assert "What came is shown" in ran.err


def test_files_that_cannot_be(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(13, "Permission denied", "/there")

    monkeypatch.setattr("glmclient.cli.commands.ask.ask_once", refuse)
    ran = run("Hi")
    assert (ran.code, ran.err) == (1, "glmclient: /there: Permission denied\n")


def test_what_nobody_reads_goes_nowhere(tmp_path: Path) -> None:
    with (tmp_path / "out").open("w") as out:
        out.write("late")
        _silence(out)
    assert (tmp_path / "out").read_text() == ""


def test_a_closed_pipe_is_quiet(run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    serve()

    def closed(*_: Any) -> None:
        raise BrokenPipeError

    monkeypatch.setattr("glmclient.cli.application._silence", lambda stream: None)
    monkeypatch.setattr("glmclient.cli.display.voices.PlainVoice.show", closed)
    ran = run("Hi")
    assert (ran.code, ran.err) == (141, "")


# -- Ctrl-C ----------------------------------------------------------------------------------------


def interrupt_after(monkeypatch: pytest.MonkeyPatch, pieces: int) -> None:
    """Let Ctrl-C come while the answer is being read, behind so many events."""
    read = Stream.__iter__

    def interrupted(self: Stream) -> Any:
        for count, event in enumerate(read(self), 1):
            yield event
            if count == pieces:
                raise KeyboardInterrupt

    monkeypatch.setattr(Stream, "__iter__", interrupted)


def test_ctrl_c_keeps_the_partial_turn(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch, home: Path
) -> None:
    serve([TextDelta("One"), TextDelta(" two"), TextDelta(" three")], "Four.", provider="zai")
    with monkeypatch.context() as patch:
        interrupt_after(patch, 2)
        ran = run("-p", "zai", "First?")
    assert (ran.code, ran.out, ran.err) == (130, "One two\n", "[interrupted]\n")
    assert run("-c", "Second?").out == "Four.\n"
    kept = json.loads((home / "last_conversation.json").read_text())["messages"]
    assert [message["content"] for message in kept] == ["First?", "One two", "Second?", "Four."]


def test_a_second_ctrl_c_ends_at_once(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("One two three.")
    interrupt_after(monkeypatch, 1)

    def again(self: Conversation) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(Conversation, "keep_partial", again)
    ran = run("Hi")
    assert (ran.code, ran.out, ran.err) == (130, "One\n", "[interrupted]\n\n")


def test_in_a_process_of_its_own_a_third_ctrl_c_changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("glmclient.cli.application.application.main", interrupt)
    before = signal.getsignal(signal.SIGINT)
    assert main([]) == 130
    assert signal.getsignal(signal.SIGINT) is before
    try:
        assert main() == 130
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_painter_that_is_stuck_does_not_hold_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[int] = []
    monkeypatch.setattr("os._exit", ended.append)
    assert _left(130) == 130
    assert ended == []
    release = threading.Event()
    stuck = threading.Thread(target=release.wait, name=PAINTER)
    stuck.start()
    _left(130)
    release.set()
    stuck.join()
    assert ended == [130]


# -- going on --------------------------------------------------------------------------------------


def test_a_conversation_goes_on_where_it_was(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    simulator = serve("One.", "Two.", "Three.", provider="zai")
    run("-p", "zai", "-m", "glm-4.6", "-s", "S.", "-o", "temperature", "0.5", "First?")
    monkeypatch.delenv("ZAI_BASE_URL")
    # The key in the environment was for the address there; this address is another one now.
    assert "needs --key" in run("-c", "Second?").err
    assert run("-c", "--key", "k", "Second?").out == "Two.\n"
    assert (
        run("-c", "--key", "k", "-m", "glm-4.5", "-s", "T.", "-o", "top_p", "0.5", "Third?").code
        == 0
    )
    second, third = (question.json for question in simulator.questions[1:])
    assert second["model"] == "glm-4.6"
    assert second["temperature"] == 0.5
    assert [m["content"] for m in second["messages"]] == ["S.", "First?", "One.", "Second?"]
    assert third["model"] == "glm-4.5"
    assert (third["temperature"], third["top_p"]) == (0.5, 0.5)
    assert third["messages"][0]["content"] == "T."


def test_another_service_can_take_over(run: Run, serve: Serve) -> None:
    serve("One.", provider="chatglm")
    platform = serve("Two.", provider="zai")
    run("First?")
    assert run("-c", "-p", "zai", "Second?").out == "Two.\n"
    said = [m["content"] for m in platform.questions[0].json["messages"]]
    assert said == ["First?", "One.", "Second?"]


def test_a_failed_turn_changes_nothing(run: Run, serve: Serve, home: Path) -> None:
    serve("One.", Refusal("quota"), "Three.")
    run("First?")
    before = (home / "last_conversation.json").read_bytes()
    assert run("-c", "Second?").code == 7
    assert (home / "last_conversation.json").read_bytes() == before


def test_what_is_not_to_be_kept(run: Run, serve: Serve, home: Path) -> None:
    serve()
    run("--no-save", "Hi")
    assert not (home / "last_conversation.json").exists()
    run("settings", "set", "save", "off")
    run("Hi")
    assert not (home / "last_conversation.json").exists()


def test_there_may_be_nothing_to_go_on_with(
    run: Run, serve: Serve, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve()
    assert "there is no conversation yet" in run("-c", "Hi").err
    home.mkdir()
    (home / "last_conversation.json").mkdir()
    assert "cannot be read" in run("-c", "Hi").err
    kept = run("Hi")
    assert kept.code == 0
    assert kept.err.startswith("[not kept for --continue] ")
    (home / "last_conversation.json").rmdir()
    (home / "last_conversation.json").write_text(
        '{"glmclient_conversation": 1, "provider": "elsewhere", "url": "u", "options": {}, "messages": []}'
    )
    assert "'elsewhere', which the terminal does not know" in run("-c", "Hi").err
    monkeypatch.delenv("GLMCLIENT_HOME")
    without(monkeypatch, "platformdirs")
    assert run("Hi").code == 0
    missing = run("-c", "Hi")
    assert (missing.code, "pip install 'glmclient[cli]'" in missing.err) == (2, True)


def test_a_home_that_cannot_be_made_is_only_noted(run: Run, serve: Serve, home: Path) -> None:
    serve()
    home.write_text("a file")
    ran = run("--usage", "Hi")
    assert ran.code == 0
    assert "[not kept for --continue] the folder" in ran.err


# -- other streams ---------------------------------------------------------------------------------


def test_streams_that_are_no_files_will_do(
    run: Run, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("Hello \ud83d")
    out = io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"Hi")))
    assert main([]) == exit_codes.OK
    assert out.getvalue().startswith("Hello ")
