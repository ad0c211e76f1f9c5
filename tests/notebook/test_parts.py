"""Errors as cards: everything that helps, nothing that runs."""

from __future__ import annotations

import pytest

from glmclient import APIStatusError, APITimeoutError, GLMError, QuotaExceededError, Reply
from glmclient.notebook.parts import error_html, error_part


def test_a_card_names_the_error_and_says_what_to_do() -> None:
    html = error_html(GLMError("it broke.\nDo this."))
    assert "<strong>GLMError</strong>" in html
    assert r"it broke.\nDo this." in html and "white-space:pre-wrap" in html
    assert "Traceback" not in html


@pytest.mark.parametrize(
    ("error", "facts"),
    [
        (
            QuotaExceededError("no", status_code=429, code="1113", attempts=3, retry_after=12.4),
            "HTTP 429 · code 1113 · come back in 12 s · 3 attempts",
        ),
        (APIStatusError("no", attempts=1, request_id="r-1"), "request r-1"),
        (APITimeoutError("late", limit="first_event"), "limit first_event"),
        (GLMError("cut", partial=Reply("x" * 1234)), "1,234 characters came, in .partial.text"),
    ],
)
def test_what_is_known_of_it_stands_beside_its_name(error: GLMError, facts: str) -> None:
    assert f"<strong>{type(error).__name__}</strong> <span" in error_html(error)
    assert f">{facts}</span>" in error_html(error)


def test_nothing_of_the_service_reaches_the_page_unescaped() -> None:
    html = error_html(APIStatusError("<script>a</script>", code="<b>", request_id='"><i>'))
    assert "<script>" not in html and "<b>" not in html and "<i>" not in html
    assert "&lt;script&gt;" in html


def test_the_traceback_is_folded_away() -> None:
    try:
        raise GLMError("<now>")
    except GLMError as error:
        html = error_html(error)
    assert "<details><summary" in html
    assert "test_parts.py" in html and "GLMError: &lt;now&gt;" in html


def test_a_place_without_html_gets_one_line() -> None:
    assert error_part(GLMError("it broke")).plain == "GLMError: it broke"


def test_an_error_that_is_the_value_of_a_cell_is_a_card() -> None:
    assert GLMError("it broke")._repr_html_() == error_html(GLMError("it broke"))
