"""Lines of the log do not cut into the lines of an answer, and an empty answer is told."""

from __future__ import annotations

import logging
import sys

import pytest

from glmclient import SyncClient
from glmclient.cli.display.answer_display import LiveDisplay, Look
from glmclient.cli.display.answering import answered, told
from glmclient.events import Finish, ReasoningDelta, TextDelta

from .conftest import Serve
from .emulator import Emulator

LOG = logging.getLogger("glmclient.test")


def shared(terminal: Emulator) -> Look:
    return Look(terminal, terminal, markdown=False, out_is_terminal=True, err_is_terminal=True)


def test_log_lines_stand_on_lines_of_their_own(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Emulator(100, 20)
    monkeypatch.setattr(sys, "stderr", terminal)
    serve([TextDelta("One"), TextDelta(" two")], provider="zai")

    class Display(LiveDisplay):
        def add(self, event: object) -> None:
            super().add(event)  # type: ignore[arg-type]
            LOG.warning("after %s\x1b[2J", type(event).__name__)

    with told(1), SyncClient("zai") as client:
        LOG.warning("before")
        assert answered(client.stream("Hi"), Display(shared(terminal), "zai"))
        LOG.warning("behind")
    lines = terminal.shown
    assert "glmclient.test: before" in lines
    assert "glmclient.test: behind" in lines
    assert [line for line in lines if not line.startswith("glmclient")] == ["One", " two"]
    assert "\ufffd[2J" in "".join(lines)


def test_a_log_line_takes_the_wait_away_for_a_while() -> None:
    terminal = Emulator(60, 20)
    display = LiveDisplay(shared(terminal), "zai")
    display._progress._began -= 5
    display._paint()
    assert terminal.shown[0].startswith("waiting for zai")
    display.log("a line")
    assert terminal.shown == ["a line"]
    display._paint()
    assert terminal.shown[1].startswith("waiting for zai")
    display.add(ReasoningDelta("hm"))
    display._paint()
    display.log("another")
    display.end(whole=True)
    assert terminal.shown == ["a line", "hm", "", "another"]


def test_a_display_that_fails_does_not_end_the_answer(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve("Yes.")
    failures: list[logging.LogRecord] = []

    class Display(LiveDisplay):
        def log(self, line: str) -> None:
            raise ValueError

        def add(self, event: object) -> None:
            super().add(event)  # type: ignore[arg-type]
            LOG.warning("a line")

    monkeypatch.setattr(
        logging.Handler, "handleError", lambda self, record: failures.append(record)
    )
    terminal = Emulator(40, 20)
    with told(1), SyncClient() as client:
        assert answered(client.stream("Hi"), Display(shared(terminal), "chatglm"))
    assert terminal.shown == ["Yes."]
    assert failures


@pytest.mark.parametrize(
    ("finish", "told_of"), [(Finish("stop", empty=True), True), (Finish("stop"), False)]
)
def test_an_empty_answer_is_told(finish: Finish, *, told_of: bool) -> None:
    err = Emulator(80, 20)
    display = LiveDisplay(Look(Emulator(), err), "zai")
    display.add(finish)
    display.end(whole=True)
    assert ("[empty]" in err.getvalue()) is told_of
