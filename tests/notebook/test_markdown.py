"""Markdown of a stranger: rendered as it is meant, and harmless."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.notebook.markdown import rendered

HARMLESS = {
    *("p", "em", "strong", "s", "code", "pre", "a", "br", "hr", "blockquote", "ul", "ol", "li"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "table", "thead", "tbody", "tr", "th", "td", "span"),
}


class Tags(HTMLParser):
    """Every tag of a page, with its attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))


def check_harmless(html: str) -> None:
    for tag, attributes in Tags(html).found:
        assert tag in HARMLESS, html
        assert not [name for name in attributes if name.startswith("on")], html
        assert attributes.keys() <= {"href", "title", "target", "rel", "class", "style", "start"}, (
            html
        )
        address = attributes.get("href")
        assert address is None or address.lower().startswith(("http://", "https://", "mailto:"))


@pytest.mark.parametrize(
    ("markdown", "html"),
    [
        ("**a** *b* `c`", "<p><strong>a</strong> <em>b</em> <code>c</code></p>\n"),
        ("~~gone~~", "<p><s>gone</s></p>\n"),
        ("你好，**世界**。", "<p>你好，<strong>世界</strong>。</p>\n"),
        (
            "[site](https://example.org)",
            '<p><a href="https://example.org" target="_blank" rel="noopener noreferrer nofollow">site</a></p>\n',
        ),
    ],
)
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert rendered(markdown) == html


def test_tables_and_unfinished_code_are_rendered() -> None:
    html = rendered("| a | b |\n|---|--:|\n| 1 | 2 |")
    assert re.search(r'<td style="border[^"]*">1</td>', html)
    assert re.search(r'<td style="border[^"]*;text-align:right">2</td>', html)
    assert '<code class="language-python">x = 1' in rendered("```python\nx = 1")


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        "text <img src=x onerror=alert(1)> text",
        "<div onclick='x'>\n\nblock\n\n</div>",
        "[x](javascript:alert(1))",
        "[x](JaVaScRiPt:alert(1))",
        "[x](data:text/html,<script>alert(1)</script>)",
        "[x](file:///etc/passwd)",
        "[x](/api/contents)",
        "[x](../logout)",
        "[x](//example.org/x)",
        "<javascript:alert(1)>",
        "![x](https://example.org/x.png)",
        "![x][1]\n\n[1]: https://example.org/x.png",
        "$<script>alert(1)</script>$",
        "\\[\n</span><script>alert(1)</script>\n\\]",
        "```html\n<script>alert(1)</script>\n```",
        '```"><script>alert(1)</script>\nx\n```',
        "`<script>`",
    ],
)
def test_what_could_harm_is_only_text(evil: str) -> None:
    check_harmless(rendered(evil))


@given(st.text(st.sampled_from("<>&\"'`$\\[]()!*_#|-~: \nsonjavascript:/x=1"), max_size=60))
def test_nothing_that_is_written_does_harm(markdown: str) -> None:
    check_harmless(rendered(markdown))


def test_an_image_of_the_text_is_a_link_that_nobody_follows_unasked() -> None:
    html = rendered("![a cat](https://example.org/cat.png)")
    assert 'href="https://example.org/cat.png"' in html
    assert "<img" not in html


# -- formulas --------------------------------------------------------------------------------------


def formulas(markdown: str) -> list[str]:
    """Return what MathJax is let into, with its delimiters."""
    return re.findall(
        r'<span class="mathjax_process[^>]*>(.*?)</span>', rendered(markdown), re.DOTALL
    )


@pytest.mark.parametrize(
    ("markdown", "found"),
    [
        ("$a_b c_d$", [r"\(a_b c_d\)"]),
        (r"\(x_1\) and \(x_2\)", [r"\(x_1\)", r"\(x_2\)"]),
        (r"so $$x^2$$ it is", [r"\[x^2\]"]),
        (r"so \[x^2\] it is", [r"\[x^2\]"]),
        ("$$\na\n- b\n+ c\n$$", ["\\[a\n- b\n+ c\\]"]),
        ("Then:\n\\[\na = b\n=\n\\]\nafter", ["\\[a = b\n=\\]"]),
        ("$$ x $$", [r"\[x\]"]),
        ("1. one\n   $$\n   y\n   $$\n2. two", [r"\[y\]"]),
        ("> $$\n> y\n> $$", [r"\[y\]"]),
        ("[see $x_1 x_2$](https://example.org)", [r"\(x_1 x_2\)"]),
        (r"$x < y$", [r"\(x &lt; y\)"]),
        (r"$a \$ b$", [r"\(a \$ b\)"]),
        ("$\\frac{1}{2}$", [r"\(\frac{1}{2}\)"]),
    ],
)
def test_formulas_reach_the_page_as_they_were_written(markdown: str, found: list[str]) -> None:
    assert formulas(markdown) == found


@pytest.mark.parametrize(
    "markdown",
    [
        "costs $5 and $10",
        "`$x$`",
        "```\n$$x$$\n```",
        "    $$x$$",
        "$unfinished",
        "$$\nunfinished",
        "$$$$",
        r"\[ \]",
        "$ $",
        r"\(",
        "a $x\\$",
        "- $$\n  a\n- b $$",
        "> $$\n> a\n\nb $$",
        f"${'x' * 5000}$",
    ],
)
def test_what_is_no_formula_is_left_alone(markdown: str) -> None:
    assert formulas(markdown) == []


@pytest.mark.parametrize("opening", ["$a ", r"\(", r"\[", "$$a\n\n"])
def test_many_unclosed_delimiters_are_read_in_time(opening: str) -> None:
    # A formula is bounded, so that each delimiter looks ahead only so far.
    assert formulas(opening * 5_000) == []
