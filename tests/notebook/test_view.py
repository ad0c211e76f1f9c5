"""What an answer looks like, from its first moment to every kind of end."""

from __future__ import annotations

import sys

import pytest

from glmclient import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
    QueueStatus,
    RateLimitError,
    ReasoningDelta,
    ReasoningReplace,
    Reply,
    SearchResult,
    SearchResults,
    StreamInterrupted,
    TextDelta,
    TextReplace,
    ToolCall,
    ToolCallDelta,
    Unknown,
)
from glmclient.notebook.view import AnswerView

BROKE_OFF = "The answer broke off here."


def view_of(*events: Event) -> AnswerView:
    view = AnswerView()
    view.add(events)
    return view


def test_nothing_yet_is_an_ellipsis() -> None:
    (part,) = AnswerView().parts()
    assert part.plain == "…"
    assert ">…</p>" in part.html


def test_a_place_in_the_queue_is_told_until_there_is_text() -> None:
    assert view_of(QueueStatus(3, 9, 21.4)).whole().plain == "3 ahead in the queue, about 21 s"
    assert view_of(QueueStatus(0, 1)).whole().plain == "next in the queue"
    assert view_of(QueueStatus(3, 9), TextDelta("hi")).whole().plain == "hi"


def test_text_is_rendered_and_rewrites_are_followed() -> None:
    (part,) = view_of(TextDelta("a *b"), TextReplace(2, "**c**")).parts()
    assert part.plain == "a **c**"
    assert "<p>a <strong>c</strong></p>" in part.html


def test_reasoning_is_an_output_of_its_own_that_does_not_change_with_the_text() -> None:
    view = view_of(ReasoningDelta("think *hard*"))
    thinking, waiting = view.parts()
    assert "<details><summary" in thinking.html and "Thinking … (12 characters)" in thinking.html
    assert "think <em>hard</em>" in thinking.html
    assert waiting.plain == "…"

    view.add([ReasoningReplace(6, "twice"), TextDelta("so")])
    folded, answer = view.parts()
    assert "Reasoning (11 characters)" in folded.html and "think twice" in folded.html
    assert "think" not in answer.html and answer.plain == "so"
    view.add([TextDelta(" it is"), Finish("stop")])
    assert view.parts()[0] == folded


def test_code_its_output_and_rewrites_of_it_are_shown_as_they_are() -> None:
    html = (
        view_of(
            CodeDelta("print(2<1)", 0),
            CodeDelta("x = ", 1),
            CodeDelta("1", 1),
            CodeReplace(6, "1<2)", 0),
            ExecutionOutput("<True>\n"),
        )
        .parts()[0]
        .html
    )
    assert "<code>print(1&lt;2)</code>" in html
    assert "<code>x = 1</code>" in html
    assert "<code>&lt;True&gt;\n</code>" in html
    assert "…" not in html


def test_images_sources_notices_and_tool_calls_are_shown() -> None:
    view = view_of(
        Image("https://example.org/a.png?x=1&y=2"),
        Image("data:image/png;base64,AAAA"),
        SearchResults(
            (
                SearchResult("A <b>", "https://example.org/a"),
                SearchResult("", "https://example.org/untitled"),
                SearchResult("Evil", "javascript:alert(1)"),
            )
        ),
        Notice("slow <today>"),
        ToolCallDelta(0, "c1", "weather", '{"city":'),
        ToolCallDelta(0, "", "", '"<X>"}'),
        Unknown("new", "{}"),
        Finish("tool_calls"),
    )
    html = view.whole().html
    assert '<img src="https://example.org/a.png?x=1&amp;y=2"' in html
    assert html.count("<img") == 1 and "image: data:" in html
    assert ">A &lt;b&gt;</a>" in html and ">https://example.org/untitled</a>" in html
    assert "<li>Evil</li>" in html and "Sources (3)" in html
    assert "slow &lt;today&gt;" in html
    assert "weather({&quot;city&quot;:&quot;&lt;X&gt;&quot;})" in html
    assert "The model asks for tools to be called." in html
    assert "empty" not in view.whole().plain


@pytest.mark.parametrize(
    ("finish", "plain"),
    [
        (Finish("stop"), "hi"),
        (Finish("length"), "hi\n\nThe answer is cut off: it reached its limit of tokens."),
        (
            Finish("content_filter", message="抱歉"),
            "hi\n\nThe service withheld the rest of the answer. 抱歉",
        ),
        (Finish("other"), "hi\n\nThe service ended the answer."),
    ],
)
def test_an_end_is_explained_unless_it_is_the_usual_one(finish: Finish, plain: str) -> None:
    view = view_of(TextDelta("hi"), finish)
    view.end()
    assert view.whole().plain == plain


def test_an_empty_answer_says_so() -> None:
    view = view_of(Finish("stop"))
    view.end()
    assert view.whole().plain == "The answer is empty."


def test_an_interrupt_is_noted() -> None:
    view = view_of(TextDelta("hi"))
    view.end(KeyboardInterrupt())
    assert view.whole().plain == "hi\n\nThe answer was ended here."


def test_a_failure_is_noted_where_something_came_and_its_card_is_in_the_whole_alone() -> None:
    view = view_of(TextDelta("hi"))
    view.end(StreamInterrupted("cut <short>"))
    (part,) = view.parts()
    assert part.plain == f"hi\n\n{BROKE_OFF}" and "StreamInterrupted" not in part.html
    whole = view.whole()
    assert whole.plain == f"hi\n\n{BROKE_OFF}\nStreamInterrupted: cut <short>"
    assert "<strong>StreamInterrupted</strong>" in whole.html and "cut &lt;short&gt;" in whole.html


def test_a_failure_before_anything_came_leaves_no_note() -> None:
    view = AnswerView()
    view.end(RateLimitError("later"))
    assert view.parts()[0].plain == ""
    assert view.whole().plain == "RateLimitError: later"


# -- whole answers ---------------------------------------------------------------------------------


def test_a_reply_shows_itself() -> None:
    reply = Reply("**b**", "why", (ToolCall("1", "f", "{}"),), Finish("tool_calls"))
    html = reply._repr_html_()
    assert html.index("why") < html.index("<strong>b</strong>") < html.index("f({})")
    assert "The model asks" in html


def test_a_reply_without_an_end_says_so() -> None:
    assert BROKE_OFF in Reply("half")._repr_html_()
    assert "…" not in Reply()._repr_html_()


def test_without_the_extra_an_answer_is_shown_as_plain_text(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delitem(sys.modules, "glmclient.notebook.markdown", raising=False)
    monkeypatch.setitem(sys.modules, "markdown_it", None)
    html = Reply("**b** <i>", finish=Finish("stop"))._repr_html_()
    assert '<div style="white-space:pre-wrap">**b** &lt;i&gt;</div>' in html
