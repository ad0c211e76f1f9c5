"""Lines that change in place, on an emulated terminal, and the cells that text takes."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from glmclient.cli.display.cells import cells, rows, visible, without_tabs, wrapped
from glmclient.cli.display.screen import Screen, terminal_size

from .emulator import Emulator

LINE = st.text(alphabet="ab 好é", max_size=30)


def screen_of(terminal: Emulator) -> Screen:
    return Screen(terminal, terminal.size)


@example([["a", "aaaaa好好好好"], ["a", ""]])
@given(st.lists(st.lists(LINE, max_size=4), max_size=6))
def test_the_terminal_shows_the_lines_whatever_came_before(steps: list[list[str]]) -> None:
    terminal = Emulator(columns=12, lines=30)
    screen = screen_of(terminal)
    for lines in steps:
        screen.show(lines)
        fresh = Emulator(columns=12, lines=30)
        fresh.write("\n".join(lines))
        assert terminal.shown == fresh.shown
        assert screen.empty == (not lines)


def test_a_line_that_grows_is_written_by_its_end_alone() -> None:
    terminal = Emulator()
    screen = screen_of(terminal)
    screen.show(["Hello"])
    screen.show(["Hello world", "and"])
    screen.show(["Hello world", "and more"])
    assert terminal.getvalue() == "Hello world\nand more"


def test_what_does_not_change_is_not_written() -> None:
    terminal = Emulator()
    screen = screen_of(terminal)
    screen.show(["a", "b"])
    writes = terminal.writes
    assert screen.show(["a", "b"])
    assert terminal.writes == writes
    screen.show(["a", "c"])
    assert terminal.getvalue() == "a\nb\r\x1b[Jc"


def test_lines_can_be_fewer() -> None:
    terminal = Emulator()
    screen = screen_of(terminal)
    screen.show(["a", "b", "c"])
    screen.show(["a", "b"])
    screen.show(["a", "bc"])
    assert terminal.shown == ["a", "bc"]
    screen.show([])
    assert terminal.shown == Emulator().shown


def test_what_was_scrolled_out_stays_as_it_was() -> None:
    terminal = Emulator(columns=20, lines=4)
    screen = screen_of(terminal)
    lines = [f"line {number}" for number in range(8)]
    screen.show(lines)
    assert not screen.show(["changed", *lines[1:6], "new 6", "new 7"])
    assert terminal.history == [*lines[:6], "new 6", "new 7"]
    screen.show(["short"])
    assert terminal.history[:4] == lines[:4]
    assert terminal.shown == []
    screen.show(["short", "b", "c", "d", "", "end"])
    assert terminal.history == [*lines[:4], "", "end"]


def test_a_line_longer_than_the_screen_still_grows() -> None:
    terminal = Emulator(columns=10, lines=3)
    screen = screen_of(terminal)
    text = "".join(str(number % 10) for number in range(95))
    for end in range(1, len(text) + 1):
        screen.show([text[:end]])
    assert "".join(terminal.history) == text
    screen.show(["other", "below"])
    assert terminal.history[-1] == "below"


def test_leaving_begins_anew_below() -> None:
    terminal = Emulator()
    screen = screen_of(terminal)
    screen.leave()
    assert terminal.getvalue() == ""
    screen.show(["one"])
    screen.leave()
    screen.show(["two"])
    screen.show(["three"])
    assert terminal.shown == ["one", "three"]


def test_the_size_is_known_or_assumed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("LINES", "50")
    assert terminal_size() == (100, 50)
    monkeypatch.setattr("shutil.get_terminal_size", lambda: os.terminal_size((0, 0)))
    assert terminal_size() == (2, 2)


@pytest.mark.parametrize(
    ("text", "taken"),
    [
        ("abc", 3),
        ("你好", 4),
        ("e\u0301", 1),
        ("\x1b[1;31mred\x1b[0m", 3),
        ("\x1b]8;id=1;https://example.org\x1b\\link\x1b]8;;\x1b\\", 4),
        ("", 0),
    ],
)
def test_cells(text: str, taken: int) -> None:
    assert cells(text) == taken


@pytest.mark.parametrize(
    ("line", "width", "taken"),
    [
        ("", 5, 1),
        ("abcde", 5, 1),
        ("abcdef", 5, 2),
        ("你好吗", 5, 2),
        ("a你好吗", 3, 3),
        ("\x1b[1m" + "a" * 5 + "\x1b[0m", 5, 1),
    ],
)
def test_rows(line: str, width: int, taken: int) -> None:
    assert rows(line, width) == taken


def test_an_answer_cannot_steer_the_terminal() -> None:
    assert visible("a\x1b[2Jb\x07\x9b31m\tc\r\nd\re") == "a\ufffd[2Jb\ufffd\ufffd31m\tc\nd\ne"


def test_tabs_stop_at_every_eighth_cell() -> None:
    assert without_tabs("a\tb\n你好\tc\n\t") == "a       b\n你好    c\n        "
    assert without_tabs("no tab") == "no tab"


@pytest.mark.parametrize(
    ("text", "width", "lines"),
    [
        ("", 10, [""]),
        ("one two three", 7, ["one two", "three"]),
        ("one  two\nthree", 80, ["one two three"]),
        ("a averylongword b", 5, ["a", "averylongword", "b"]),
        ("你好 世界 再见", 9, ["你好 世界", "再见"]),
    ],
)
def test_words_are_wrapped_by_their_cells(text: str, width: int, lines: list[str]) -> None:
    assert wrapped(text, width).split("\n") == lines
