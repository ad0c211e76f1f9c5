"""Real processes: at a pseudo-terminal, at pipes, and under signals."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from glmclient import Finish, ReasoningDelta, TextDelta, TextReplace
from glmclient.simulator import Cut, Pause, Script, Simulator, Wait

from .pseudo_terminal import PATIENCE, ROOT, PseudoTerminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with Simulator("Hello 世界!", provider="zai") as running:
        yield running


@pytest.fixture
def environment(simulator: Simulator, home: Path) -> dict[str, str]:
    return {
        "GLMCLIENT_HOME": str(home),
        "GLMCLIENT_PROVIDER": "zai",
        "ZAI_BASE_URL": simulator.url,
        "ZAI_API_KEY": "simulated.key",
        "NO_PROXY": "*",
    }


def process(
    *arguments: str, environment: dict[str, str], **options: Any
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "glmclient", *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        **{
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.PIPE,
            "stderr": subprocess.PIPE,
            **options,
        },
    )


# -- a terminal ------------------------------------------------------------------------------------


def test_markdown_is_rendered(simulator: Simulator, environment: dict[str, str]) -> None:
    simulator.say(["**Bold** and `code`.\n\n- one\n- two\n"])
    with PseudoTerminal("Hi", environment=environment) as terminal:
        assert terminal.wait_for_end() == 0
        assert [line.strip() for line in terminal.shown] == ["Bold and code.", "• one", "• two"]
        assert b"\x1b[1m" in terminal.raw


def test_a_long_answer_is_written_once(simulator: Simulator, environment: dict[str, str]) -> None:
    lines = [f"Line {number} of a long answer." for number in range(1, 61)]
    simulator.say(["\n\n".join(lines)])
    with PseudoTerminal("Hi", environment=environment, lines=10) as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.history == lines


def test_text_is_shown_while_more_is_awaited(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    more = threading.Event()
    simulator.say([TextDelta("Hello "), Wait(more), TextDelta("again")])
    with PseudoTerminal("Hi", environment=environment) as terminal:
        terminal.wait_for_text("Hello")
        more.set()
        assert terminal.wait_for_end() == 0
        assert terminal.shown == ["Hello again"]


def test_a_rewrite_redraws(simulator: Simulator, environment: dict[str, str]) -> None:
    environment = {**environment, "GLMCLIENT_PROVIDER": "chatglm"}
    seen = threading.Event()
    script = [TextDelta("Hello wrld, this"), Wait(seen), TextReplace(6, "world, that")]
    with Simulator(script) as rewriting:
        environment["GLMCLIENT_CHATGLM_BASE_URL"] = rewriting.url
        with PseudoTerminal("Hi", environment=environment) as terminal:
            terminal.wait_for_text("Hello wrld, this")
            seen.set()
            assert terminal.wait_for_end() == 0
            assert terminal.shown == ["Hello world, that"]


def test_reasoning_stands_before_the_answer(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    simulator.say([ReasoningDelta("Hm.\nWell."), TextDelta("Yes.")])
    with PseudoTerminal("Hi", environment=environment) as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.shown == ["Hm.", "Well.", "Yes."]
    with PseudoTerminal("-R", "Hi", environment=environment) as terminal:
        assert terminal.wait_for_end() == 0
        assert terminal.shown == ["Yes."]


def test_a_wait_is_mentioned(simulator: Simulator, environment: dict[str, str]) -> None:
    more = threading.Event()
    simulator.say([Wait(more), TextDelta("Finally.")])
    with PseudoTerminal("Hi", environment=environment) as terminal:
        terminal.wait_for_text("waiting for zai")
        more.set()
        assert terminal.wait_for_end() == 0
        assert terminal.shown == ["Finally."]


def test_a_terminal_that_is_resized_goes_on(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    more = threading.Event()
    simulator.say([TextDelta("one two three four"), Wait(more), TextDelta(" five six seven")])
    with PseudoTerminal("Hi", environment=environment) as terminal:
        terminal.wait_for_text("one two three four")
        terminal.resize(40, 16)
        more.set()
        assert terminal.wait_for_end() == 0
        assert terminal.shown == ["one two three four five six seven"]


def test_an_error_is_a_paragraph(simulator: Simulator, environment: dict[str, str]) -> None:
    simulator.say([TextDelta("One"), Cut()])
    with PseudoTerminal("Hi", environment=environment) as terminal:
        assert terminal.wait_for_end() == 12
        assert terminal.shown[0] == "One"
        assert terminal.shown[1].startswith("glmclient: ")


def test_ctrl_c_at_a_terminal(
    simulator: Simulator, environment: dict[str, str], home: Path
) -> None:
    never = threading.Event()
    simulator.say([TextDelta("One"), Wait(never)])
    try:
        with PseudoTerminal("Hi", environment=environment) as terminal:
            terminal.wait_for_text("One")
            terminal.type("\x03")
            assert terminal.wait_for_end() == 130
            assert terminal.shown[-1] == "[interrupted]"
            assert "Traceback" not in "".join(terminal.shown)
    finally:
        never.set()
    assert '"One"' in (home / "last_conversation.json").read_text()


# -- chat at a terminal ----------------------------------------------------------------------------


def test_a_conversation_at_a_terminal(simulator: Simulator, environment: dict[str, str]) -> None:
    never = threading.Event()
    simulator.say(Script("One.", [TextDelta("Two"), Wait(never)], "Three.", repeat=True))
    try:
        with PseudoTerminal("chat", environment=environment, lines=30) as terminal:
            terminal.wait_for_text("›")
            terminal.type("First?\r")
            terminal.wait_for_text("One.")
            terminal.wait_for(lambda: terminal.shown[-1] == "›")
            terminal.type("Second?\r")
            terminal.wait_for_text("Two")
            terminal.type("\x03")
            terminal.wait_for_text("[interrupted]")
            terminal.wait_for(lambda: terminal.shown[-1] == "›")
            terminal.type("Third?\r")
            terminal.wait_for_text("Three.")
            terminal.wait_for(lambda: terminal.shown[-1] == "›")
            terminal.type("\x04")
            assert terminal.wait_for_end() == 0
    finally:
        never.set()
    said = [message["content"] for message in simulator.questions[2].json["messages"]]
    assert said == ["First?", "One.", "Second?", "Two", "Third?"]


def test_two_ctrl_c_end_a_conversation(simulator: Simulator, environment: dict[str, str]) -> None:
    never = threading.Event()
    simulator.say([TextDelta("One"), Wait(never)])
    try:
        with PseudoTerminal("chat", environment=environment) as terminal:
            terminal.wait_for_text("›")
            terminal.type("First?\r")
            terminal.wait_for_text("One")
            terminal.type("\x03")
            terminal.wait_for_text("[interrupted]")
            terminal.wait_for(lambda: terminal.shown[-1] == "›")
            terminal.type("\x03")
            assert terminal.wait_for_end() == 130
    finally:
        never.set()


def test_several_lines_and_completion(simulator: Simulator, environment: dict[str, str]) -> None:
    with PseudoTerminal("chat", environment=environment) as terminal:
        terminal.wait_for_text("›")
        terminal.type("/mod\t")
        terminal.wait_for_text("/model")
        terminal.type("\r")
        terminal.wait_for_text("model: glm-5.3")
        terminal.wait_for(lambda: terminal.shown[-1] == "›")
        terminal.type("one\\\r")
        terminal.wait_for_text("…")
        terminal.type("two\r")
        terminal.wait_for_text("Hello")
        terminal.wait_for(lambda: terminal.shown[-1] == "›")
        terminal.type("/exit\r")
        assert terminal.wait_for_end() == 0
    assert simulator.prompts == ("one\ntwo",)


# -- pipes -----------------------------------------------------------------------------------------


def test_a_pipe_gets_the_text_as_it_comes(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    more = threading.Event()
    simulator.say([TextDelta("Hello "), Wait(more), TextDelta("again")])
    with process("Hi", environment=environment) as running:
        assert running.stdout is not None and running.stderr is not None
        assert os.read(running.stdout.fileno(), 100) == b"Hello "
        more.set()
        assert running.stdout.read() == b"again\n"
        assert running.stderr.read() == b""
        assert running.wait(PATIENCE) == 0


def test_a_rewrite_is_right_when_piped(environment: dict[str, str], tmp_path: Path) -> None:
    seen = threading.Event()
    script = [TextDelta("Hello wrld"), Wait(seen), TextReplace(6, "world")]
    for target in ("pipe", "file"):
        seen.clear()
        with Simulator(script) as rewriting:
            arguments = ("-p", "chatglm", "--base-url", rewriting.url, "Hi")
            if target == "file":
                out = (tmp_path / "out.txt").open("wb")
                with out, process(*arguments, environment=environment, stdout=out) as running:
                    while (tmp_path / "out.txt").read_bytes() != b"Hello wrld":
                        assert running.poll() is None
                    seen.set()
                    assert running.wait(PATIENCE) == 0
                assert (tmp_path / "out.txt").read_bytes() == b"Hello world\n"
            else:
                with process(*arguments, environment=environment) as running:
                    assert running.stdout is not None and running.stderr is not None
                    assert os.read(running.stdout.fileno(), 100) == b"Hello wrld"
                    seen.set()
                    assert running.stdout.read() == b"\nHello world\n"
                    assert b"rewrote its answer" in running.stderr.read()


def test_a_closed_pipe_ends_it_quietly_and_at_once(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    never = threading.Event()
    simulator.say([TextDelta("Hello "), Wait(never)])
    try:
        with process("Hi", environment=environment) as running:
            assert running.stdout is not None and running.stderr is not None
            assert os.read(running.stdout.fileno(), 100) == b"Hello "
            running.stdout.close()
            assert running.wait(PATIENCE) == 141
            assert running.stderr.read() == b""
        assert simulator.wait_for_disconnects()
    finally:
        never.set()


def test_ctrl_c_with_a_reader_that_does_not_read(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    simulator.say([*(TextDelta("x" * 50_000) for _ in range(20)), Finish("stop")])
    with process("Hi", environment=environment) as running:
        assert running.stdout is not None and running.stderr is not None
        # From here on the pipe fills, and the process waits for a reader that does not come.
        assert simulator.wait_for_requests()
        while running.poll() is None:
            running.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                running.wait(2)
        assert running.wait() == 130
        assert b"Fatal" not in running.stderr.read()


def test_ctrl_c_at_a_pipe(simulator: Simulator, environment: dict[str, str]) -> None:
    never = threading.Event()
    simulator.say([TextDelta("One"), Wait(never)])
    try:
        with process("Hi", environment=environment) as running:
            assert running.stdout is not None and running.stderr is not None
            assert os.read(running.stdout.fileno(), 100) == b"One"
            running.send_signal(signal.SIGINT)
            assert running.wait(PATIENCE) == 130
            assert running.stdout.read() == b"\n"
            assert running.stderr.read() == b"[interrupted]\n"
    finally:
        never.set()


def test_standard_error_can_be_a_terminal_alone(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    simulator.say([ReasoningDelta("Hm."), TextDelta("**Yes.**")])
    reading, writing = os.pipe()
    with PseudoTerminal("Hi", environment=environment, stdout=writing) as terminal:
        os.close(writing)
        assert terminal.wait_for_end() == 0
        assert terminal.shown == ["Hm."]
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read() == b"**Yes.**\n"


def test_simulate_tells_its_address_and_ends_with_ctrl_c(environment: dict[str, str]) -> None:
    with process("simulate", "-p", "chatglm", environment=environment) as serving:
        assert serving.stdout is not None and serving.stderr is not None
        url = serving.stdout.readline().decode().strip()
        with process("-p", "chatglm", "--base-url", url, "Hi", environment=environment) as asking:
            assert asking.stdout is not None
            assert b"simulated" in asking.stdout.read()
        serving.send_signal(signal.SIGINT)
        assert serving.wait(PATIENCE) == 0
        assert b"\nPOST /chatglm" in serving.stderr.read()


def test_paused_answers_come_to_their_end(
    simulator: Simulator, environment: dict[str, str]
) -> None:
    simulator.say([TextDelta("a"), Pause(0.01), TextDelta("b"), Pause(0.01), TextDelta("c")])
    with process("--jsonl", "Hi", environment=environment) as running:
        assert running.stdout is not None
        assert running.stdout.read().count(b'"TextDelta"') == 3
