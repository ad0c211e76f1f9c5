"""Functions that search text from outside need time that grows with its length, and not with the square of it.

The bound is generous: what was quadratic here took 18 s for an eighth of this text.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from glmclient.cassette.scrubbing import Scrubber
from glmclient.core.http import Head
from glmclient.core.refusals import is_document, is_html, refusal, shown_html
from glmclient.core.retry import parse_retry_after
from glmclient.core.secrets import mask
from glmclient.core.sse import SSEParser
from glmclient.errors import GLMError, ProtocolError
from glmclient.providers.chat_completions.refusals import Refusals, reset_after
from glmclient.providers.chatglm import refusals as chatglm
from glmclient.providers.gradio import refusals as gradio
from glmclient.providers.gradio.cookies import cookies_after

SIZE = 1_000_000
SECONDS = 10.0

WORST = [
    *(
        "<html>",
        "<h1>",
        "<title>",
        "<",
        "<a ",
        "<a",
        "</title",
        "<script>",
        "<style>",
        "<!--",
        "<br ",
    ),
    *(
        "<script></script>",
        "<title></title>",
        "<h1 ",
        "&",
        "&lt",
        "&#",
        "'",
        '"',
        "\\",
        "\\'",
        "x'",
    ),
    *(
        "{",
        "[",
        '{"a":',
        "data: {",
        "data: {}x",
        "}",
        "exceeded your a ",
        "try again in ",
        "1 days, ",
    ),
    *("2025-12-02 ", "2025年12月", "401 ", "a=b;", "; max-age=", ";", "=", " ", "\n", "\r", "\t"),
    *(
        "/a",
        "//",
        "//@",
        "?a=",
        "Bearer ",
        "sk-",
        '"stage": "',
        "&quot;stage&quot;",
        "A_",
        "中",
        "\x1b",
    ),
]


def head(kind: str = "text/html", status: int = 502, **fields: str) -> Head:
    return Head.of(status, [("content-type", kind), *fields.items()])


def masked(text: str) -> None:
    mask(GLMError(text), frozenset({"a-secret-key"}))


def framed(text: str) -> None:
    SSEParser(max_line=2 * SIZE, max_frame=2 * SIZE).feed(text.encode())


SEARCHES: list[Callable[[str], Any]] = [
    shown_html,
    lambda text: is_html("", text),
    lambda text: is_document(text.encode()),
    lambda text: refusal("x", head(), reason=text, body=text, now=0.0),
    lambda text: refusal("x", head(status=302, location=text), reason="", body="", now=0.0),
    lambda text: parse_retry_after(text, 0.0),
    lambda text: reset_after(text, 0.0),
    lambda text: Refusals("x", head(), lambda: 0.0).of_body(text.encode()),
    lambda text: Refusals("x", head("application/json"), lambda: 0.0).of_body(text.encode()),
    lambda text: chatglm.refused(head(), text.encode(), 0.0),
    lambda text: chatglm.refused(head("text/plain", 200), text.encode(), 0.0),
    lambda text: gradio.refusal(head(), text.encode(), 0.0, "GET /config"),
    lambda text: gradio.misanswer(head("x/y", 200), text.encode(), 0.0, "GET /config"),
    lambda text: gradio.app_failure({"error": text}, text, text),
    lambda text: gradio.session_failure(text, False, text),
    lambda text: cookies_after(Head.of(200, [("set-cookie", text)]), {}, "space.example"),
    masked,
    framed,
    lambda text: Scrubber()._learn(text.encode()),
]


@pytest.mark.parametrize("search", SEARCHES)
def test_the_time_grows_with_the_text(search: Callable[[str], Any]) -> None:
    slow = []
    for piece in WORST:
        text = (piece * (SIZE // len(piece) + 1))[:SIZE]
        began = time.perf_counter()
        try:
            search(text)
        except ProtocolError:
            pass  # a refusal of the text is an answer too
        seconds = time.perf_counter() - began
        if seconds > SECONDS:
            slow.append((piece, round(seconds, 1)))
    assert slow == []


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("<html><title> A &amp; B </title>text</html>", "A & B"),
        ("<TITLE lang='x'>Shouted</TITLE >", "Shouted"),
        ("<title></title><h1 class='x'>A <b>heading</b></h1>", "A heading"),
        ("<titles>no</titles><h1>yes</h1>", "yes"),
        ("<script>var a = 1 < 2</script>Hello <b>you</b><style>b{}</style>!", "Hello you !"),
        ("before<script>never closed", "before"),
        ("<title>never closed", "never closed"),
        ("İ<title>x</title>", "x"),
        ("plain text", "plain text"),
        ("", ""),
    ],
)
def test_what_a_page_says(page: str, shown: str) -> None:
    assert shown_html(page) == shown


def test_no_more_than_a_bound_is_searched() -> None:
    assert shown_html("x" * 100_000 + "<title>late</title>") == "x" * 300


def test_json_in_json_is_no_page() -> None:
    assert not is_html("", json.dumps({"a": "<html>"}))
