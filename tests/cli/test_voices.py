"""A text on its way to pipes, files and terminals, and what a rewrite makes of it."""

from __future__ import annotations

import io
import os
import select
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.cli.display.rendering import dim, markdown, plain, rich_is_there
from glmclient.cli.display.voices import AGAIN, PlainVoice, ScreenVoice, check_reader, rewindable

from .emulator import Emulator


def played(*texts: str) -> tuple[str, list[str]]:
    """Return what a pipe has taken when a text has gone through these states, and what was noted."""
    out, notes = io.StringIO(), []  # type: tuple[io.StringIO, list[str]]
    voice = PlainVoice(out, notes.append)
    for text in texts:
        voice.show(text)
    voice.leave()
    return out.getvalue(), notes


# -- pipes -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("texts", "taken"),
    [
        (("He", "Hello"), "Hello\n"),
        (("Hello\n",), "Hello\n"),
        ((), ""),
        (("", ""), ""),
        (("Hello", "Hello"), "Hello\n"),
    ],
)
def test_a_pipe_takes_the_text_and_a_line_end(texts: tuple[str, ...], taken: str) -> None:
    assert played(*texts) == (taken, [])


@pytest.mark.parametrize(
    ("texts", "taken"),
    [
        (("Hello wrld", "Hello world", "Hello world!"), "Hello wrld\nHello world!\n"),
        (("Hello\n", "Bye"), "Hello\nBye\n"),
        (("Hello", ""), "Hello\n"),
    ],
)
def test_after_a_rewrite_the_whole_text_comes_last(texts: tuple[str, ...], taken: str) -> None:
    assert played(*texts) == (taken, [AGAIN])


def test_a_rewrite_that_is_undone_was_none() -> None:
    assert played("Hello", "Help", "Hello there") == ("Hello there\n", [])


@given(st.lists(st.text(alphabet="ab\n", max_size=5), min_size=1, max_size=5))
def test_what_a_pipe_takes_ends_with_the_final_text(texts: list[str]) -> None:
    taken, _ = played(*texts)
    final = texts[-1]
    assert taken.endswith(final if final.endswith("\n") or not final else f"{final}\n")


def test_a_pause_ends_the_line_once() -> None:
    out = io.StringIO()
    voice = PlainVoice(out, print)
    voice.pause()
    voice.show("one")
    voice.pause()
    voice.pause()
    voice.show("one two")
    voice.leave()
    assert out.getvalue() == "one\n two\n"


# -- files -----------------------------------------------------------------------------------------


def test_a_file_is_rewritten_in_place(tmp_path: Path) -> None:
    path = tmp_path / "out.txt"
    with path.open("w") as out, (tmp_path / "err.txt").open("w") as err:
        out.write("before\n")
        voice = PlainVoice(out, print, rewindable(out, err))
        voice.show("Hello wrld, and more")
        voice.show("Hello world")
        voice.show("Hello world!")
        voice.leave()
    assert path.read_text() == "before\nHello world!\n"


def test_only_a_plain_file_of_its_own_can_be_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "one").open("w") as one, (tmp_path / "two").open("w") as two:
        assert rewindable(one, two) == 0
        assert rewindable(one, one) is None
        assert rewindable(io.StringIO(), two) is None
        with (tmp_path / "three").open("a") as appended:
            assert rewindable(appended, two) is None
        reading, writing = os.pipe()
        with os.fdopen(writing, "w") as pipe:
            assert rewindable(pipe, two) is None
        os.close(reading)
        monkeypatch.setitem(sys.modules, "fcntl", None)
        assert rewindable(one, two) is None


def test_a_reader_that_is_gone_is_noticed_without_writing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check_reader(io.StringIO())
    with (tmp_path / "file").open("w") as file:
        check_reader(file)
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as pipe:
        check_reader(pipe)
        os.close(reading)
        with pytest.raises(BrokenPipeError):
            check_reader(pipe)
        monkeypatch.delattr(select, "poll")
        assert check_reader(pipe) is None  # type: ignore[func-returns-value]


# -- terminals -------------------------------------------------------------------------------------


def on_screen(terminal: Emulator, notes: list[str] | None = None) -> ScreenVoice:
    kept = notes if notes is not None else []
    return ScreenVoice(terminal, plain, kept.append, terminal.size)


def test_a_rewrite_is_drawn_in_its_place() -> None:
    terminal, notes = Emulator(), []  # type: tuple[Emulator, list[str]]
    voice = on_screen(terminal, notes)
    voice.show("Hello wrld\nand so")
    voice.show("Hello world")
    voice.leave()
    terminal.write("$")
    assert terminal.shown == ["Hello world", "$"]
    assert notes == []


def test_what_is_shown_already_is_not_rendered_again() -> None:
    terminal = Emulator(columns=20)
    rendered: list[int] = []

    def render(text: str, width: int) -> list[str]:
        rendered.append(width)
        return plain(text, width)

    voice = ScreenVoice(terminal, render, print, terminal.size)
    voice.show("one")
    voice.show("one")
    assert rendered == [20]
    terminal.screen.resize(10, 30)
    voice.show("one")
    assert rendered == [20, 30]
    voice.leave()
    assert terminal.shown == ["one"]


def test_a_rewrite_of_what_was_scrolled_out_is_shown_at_the_end() -> None:
    terminal, notes = Emulator(columns=20, lines=3), []  # type: tuple[Emulator, list[str]]
    voice = on_screen(terminal, notes)
    lines = [f"line {n}" for n in range(6)]
    voice.show("\n".join(lines))
    voice.show("\n".join(["LINE 0", *lines[1:]]))
    voice.show("\n".join(["LINE 0", *lines[1:], "more"]))
    assert notes == []
    voice.leave()
    assert notes == [AGAIN]
    assert terminal.history[-7:] == ["LINE 0", *lines[1:], "more"]


def test_lines_that_only_look_different_later_are_no_rewrite() -> None:
    terminal, notes = Emulator(columns=20, lines=3), []  # type: tuple[Emulator, list[str]]

    def wider(text: str, width: int) -> list[str]:
        lines = text.split("\n")
        return [f"{line:>{len(lines)}}" for line in lines]

    voice = ScreenVoice(terminal, wider, notes.append, terminal.size)
    for end in range(1, 7):
        voice.show("\n".join("abcdef"[:end]))
    voice.leave()
    assert notes == []
    assert [line.strip() for line in terminal.history] == list("abcdef")


def test_after_a_pause_the_text_goes_on_below() -> None:
    terminal, notes = Emulator(), []  # type: tuple[Emulator, list[str]]
    voice = on_screen(terminal, notes)
    voice.pause()
    voice.show("one")
    voice.pause()
    terminal.write("something else\n")
    voice.show("one two")
    voice.leave()
    assert terminal.shown == ["one", "something else", " two"]
    assert notes == []


@pytest.mark.parametrize("after", ["ONE two", "ONE"])
def test_a_rewrite_of_what_stands_before_something_else_is_shown_at_the_end(after: str) -> None:
    terminal, notes = Emulator(), []  # type: tuple[Emulator, list[str]]
    voice = on_screen(terminal, notes)
    voice.show("one")
    voice.pause()
    terminal.write("something else\n")
    voice.show("one two")
    voice.show(after)
    voice.leave()
    assert notes == [AGAIN]
    assert terminal.shown[-1] == after


def test_what_was_owed_before_a_pause_is_still_owed_after_it() -> None:
    terminal, notes = Emulator(columns=20, lines=3), []  # type: tuple[Emulator, list[str]]
    voice = on_screen(terminal, notes)
    voice.show("1\n2\n3\n4\n5")
    voice.show("one\n2\n3\n4\n5")
    voice.pause()
    voice.show("one\n2\n3\n4\n5\n6")
    voice.leave()
    assert notes == [AGAIN]
    assert terminal.history[-6:] == ["one", "2", "3", "4", "5", "6"]


# -- rendering -------------------------------------------------------------------------------------


def test_plain_lines() -> None:
    assert plain("", 10) == []
    assert plain("a\tb\r\n\x1bc\n", 10) == ["a       b", "\ufffdc", ""]
    assert dim("a\nb", 10) == ["\x1b[2ma\x1b[0m", "\x1b[2mb\x1b[0m"]


def test_markdown_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")
    assert rich_is_there()
    lines = markdown(
        "```python\nx = 1\n```\n\nSome **bold** 你好 text that is wrapped here.\n\n", 20
    )
    terminal = Emulator(columns=20, lines=20)
    terminal.write("\n".join(lines))
    shown = " ".join(" ".join(terminal.shown).split())
    assert shown.startswith("x = 1 Some bold ")
    assert shown.endswith("text that is wrapped here.")
    assert len(terminal.shown) > 4
    assert "\x1b[1m" in "".join(lines)
    assert lines[0]
    assert all(line == line.rstrip() for line in lines)
    assert markdown("", 20) == []


def test_without_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in "".join(markdown("`code` and [link](https://example.org)", 40))
