"""Markdown on a terminal keeps every character that is not Markdown."""

from __future__ import annotations

import io
import re

import pytest

from glmclient.cli.display.markdown_lines import GrowingMarkdown
from glmclient.cli.display.rendering import markdown
from glmclient.cli.display.voices import ScreenVoice

from .emulator import Emulator

PIECES = (
    "Use the <div> tag, List<String>, <T> and <br> here",
    "a<br>b and a < b > c",
    "Map<String, List<Integer>> map = new HashMap<>()",
    r"find . \( -name x \) -exec rm {} \;",
    r"C:\new\table and \\server\share",
    r"the formula $a*b*c$ and $x_1 + x_2$ ends",
    r"the formula \(a*b*c\, d\) ends",
    r"the formula \[a_1 \cdot b_2\] ends",
    "the formula $$a*b*c$$ ends",
    "$5 and $10",
    r"\, \; \! \[ \( \{",
    "&lt;div&gt; &amp; &nbsp;",
    "[x]: https://a.test",
    "[relative](./a.md) and [script](javascript:alert) and [ssh](ssh://a.test)",
    "snake_case_name and __init__.py".replace("__init__", "init"),
    "你好,世界 <标签> 结束",
    "x" * 130,
    "1 < 2 && 3 > 2 || echo $HOME",
    "a | b | c",
    "<script>alert(1)</script>",
    r"\begin{pmatrix} 1 & 2 \end{pmatrix}",
)
FRAMES = (
    "{}",
    "# {}",
    "- {}",
    "- a\n  - {}\n    - b",
    "3. {}\n4. last",
    "> {}",
    "before\n{}\nafter",
    "```\n{}\n```",
    "- item\n\n  ```text\n  {}\n  ```\n\n- more",
    "before\n\n{}\n\n---\n\nafter",
)
TEXTS = [
    frame.format(piece) for frame in (f.replace("{}", "{0}") for f in FRAMES) for piece in PIECES
]


def squeezed(text: str) -> str:
    return re.sub(r"\s+", "", text)


def shown(text: str, columns: int) -> str:
    terminal = Emulator(columns, 60)
    terminal.write("\n".join(markdown(text, columns)))
    return squeezed("".join(terminal.history))


@pytest.mark.parametrize("columns", [40, 100])
def test_200_texts_are_shown_as_they_are_written(columns: int) -> None:
    assert len(TEXTS) >= 200
    for text in TEXTS:
        piece = next(p for p in sorted(PIECES, key=len, reverse=True) if p in text)
        found = shown(text, columns)
        words = squeezed(piece)
        # A backslash before a backslash stays as well; prefixes of lists and quotations stand between the rows.
        assert words in found.replace("│", "") or words in found, (text, found)


def test_links_and_images_show_their_addresses() -> None:
    text = 'a [b](https://c.test/d "e") ![f](https://g.test/h.png) <mailto:i@j.test> ![](https://k.test)'
    line = " ".join(markdown(text, 200))
    assert line == (
        'a b (https://c.test/d "e") f (https://g.test/h.png) mailto:i@j.test https://k.test'
    )
    assert "\x1b]8" not in line


def test_code_is_not_indented_wrapped_or_padded() -> None:
    long = "y = " + "1 + " * 40 + "1"
    lines = markdown(f"1. a\n\n   ```\n   def f():\n       {long}\n   ```\n", 40)
    assert lines == ["1. a", "", "def f():", f"    {long}"]
    lines = markdown("```python\ndef f():\n    '''a\n    b'''\n```", 40)
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines] == [
        "def f():",
        "    '''a",
        "    b'''",
    ]
    assert "\x1b[" in lines[0]
    assert markdown("```no-such-language\nx\n```", 40) == ["x"]
    assert markdown("- ```\n  x\n  ```", 40) == ["•", "x"]


def test_tables_are_aligned_or_written() -> None:
    table = "| a | bb |\n|---|---|\n| 你 | `c` |"
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in markdown(table, 40)] == [
        "a  │ bb", "───┼───", "你 │ c",
    ]  # fmt: skip
    wide = f"| {'a' * 30} | {'b' * 30} |\n|---|---|\n| c | d |"
    assert squeezed("".join(markdown(wide, 40))) == squeezed(wide)


def test_other_blocks() -> None:
    text = "Title\n=====\n\n> a\n>\n> b\n\n-\n- c\n\n~~d~~ **e** *f* \\*g\\*  \nh\\\ni"
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in markdown(text, 40)]
    assert lines == [
        "Title", "", "│ a", "", "│ b", "", "•", "• c", "", "d e f *g*", "h\\", "i",
    ]  # fmt: skip


def test_formulas_on_lines_of_their_own() -> None:
    for formula in ("$$\na_1 *b* \\\\\n+ c\n$$", "\\[\n- a\n\n= b\n\\]"):
        assert markdown(f"before\n{formula}\nafter", 40)[2:-2] == formula.split("\n")
    assert markdown("$$\nnever closed", 40) == ["$$", "never closed"]
    assert squeezed("".join(markdown("$$\n" + "a b\n" * 2000, 40))) == "$$" + "ab" * 2000
    assert markdown("    $$\n    x", 40) == ["$$", "x"]
    assert markdown("$ $ and $$", 40) == ["$ $ and $$"]


def test_an_answer_that_grows_is_shown_as_the_whole() -> None:
    text = "# A\n\none\ntwo\n\n- a\n- b\n\n  c\n\n```\ncode\n\nmore\n```\n\n| a |\n|---|\n| 1 |\r\n\r\n> q\n\n\nend"
    growing = GrowingMarkdown()
    for end in range(len(text) + 1):
        assert growing(text[:end], 40) == markdown(text[:end], 40), text[:end]
    assert growing(text, 20) == markdown(text, 20)
    assert growing("other", 20) == ["other"]
    assert growing("\n\n\n", 20) == []


def test_a_long_answer_is_shown_in_steps_and_parsed_once() -> None:
    paragraphs = "word " * 100 + "\n\n"
    text = paragraphs * 200
    steps = list(GrowingMarkdown().steps(text, 80))
    assert len(steps) > 5
    assert steps[-1] == markdown(text, 80)
    growing = GrowingMarkdown()
    growing(text, 80)
    assert len(growing._source) > len(text) - 2 * len(paragraphs)  # only the rest is parsed again


def test_a_long_paragraph_is_shown_as_written() -> None:
    text = "**a** " * 5000
    assert squeezed("".join(markdown(text, 80))) == squeezed(text)


def test_words_wider_than_the_line_are_cut() -> None:
    assert markdown("ab " + "你" * 10, 12) == ["ab", "你" * 5, "你" * 5]
    assert markdown("abcdefgh  ijk", 9) == ["abcdefgh", "ijk"]
    assert markdown("> > > 你好你好你好", 2)


def test_the_screen_shows_the_steps() -> None:
    terminal = Emulator(40, 50)
    notes = io.StringIO()
    voice = ScreenVoice(terminal, GrowingMarkdown(), notes.write, terminal.size)
    voice.show("a\n\n" * 6000)
    voice.show("b")
    voice.show("")
    voice.show("c")
    voice.leave()
    assert terminal.shown[-1] == "c"


def test_formulas_and_backslashes_in_the_text_of_a_link() -> None:
    assert markdown(r"[$a*b$ \, c](https://a.test)", 60) == [r"$a*b$ \, c (https://a.test)"]


def test_colours_that_change_the_code_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pygments.highlight", lambda *_: "other")
    assert markdown("```python\nx = 1\n```", 40) == ["x = 1"]
