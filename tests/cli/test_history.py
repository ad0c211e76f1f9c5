"""The history of questions and answers."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from glmclient.cli.store import history

from .conftest import Run, Serve


def test_questions_are_listed_searched_and_shown(run: Run, serve: Serve, home: Path) -> None:
    serve("The sky scatters blue light.", "100% \x1b[2Jsure", "好的,世界", "Four.")
    assert run("history").out == ""
    for question in ("Why is the sky blue?", "Are you sure?", "你好"):
        assert run(question).code == 0
    assert run("chat", stdin="Two and two?\n").code == 0
    listed = run("history").out.splitlines()
    assert [line.split()[0] for line in listed] == ["1", "2", "3", "4"]
    assert "chatglm   Why is the sky blue?" in listed[0]
    for words, numbers in (
        (("SKY", "light"), ["1"]),
        (("世界",), ["3"]),
        (("0%",), ["2"]),
        (("_%",), []),
    ):
        found = run("history", "search", *words).out.splitlines()
        assert [line.split()[0] for line in found] == numbers
    shown = run("history", "show", "2").out
    assert shown.endswith("> Are you sure?\n\n100% \ufffd[2Jsure\n")
    assert stat.S_IMODE((home / "history.sqlite3").stat().st_mode) == 0o600
    missing = run("history", "show", "9")
    assert (missing.code, "there is no turn 9" in missing.err) == (2, True)


def test_it_can_be_switched_off(run: Run, serve: Serve, home: Path) -> None:
    serve("Yes.")
    run("Hi", "--no-save")
    run("settings", "set", "history", "off")
    assert run("Hi").code == 0
    assert not (home / "history.sqlite3").exists()


@pytest.mark.parametrize("kind", ["damaged", "fifo"])
def test_a_damaged_database_is_told_and_the_answer_is_not_lost(
    run: Run, serve: Serve, home: Path, kind: str
) -> None:
    serve("Yes.")
    home.mkdir(mode=0o700)
    path = home / "history.sqlite3"
    if kind == "fifo":
        os.mkfifo(path)
    else:
        path.write_bytes(b"no database" * 100)
    ran = run("Hi")
    assert (ran.code, ran.out) == (0, "Yes.\n")
    assert "[not in the history]" in ran.err
    listed = run("history")
    assert (listed.code, str(path) in "".join(listed.err.split("\n"))) == (2, True)


def test_a_lone_surrogate_can_be_kept(home: Path) -> None:
    history.add("zai", None, "a\udc80", "b")
    assert history.recent()[0].question == "a\\udc80"


def test_without_a_folder_nothing_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "folder", lambda kind: None)
    history.add("zai", None, "a", "b")
    assert history.recent() == []
