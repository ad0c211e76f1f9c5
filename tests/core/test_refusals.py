"""What a refusal by status means, and what a page for people says."""

from __future__ import annotations

import pytest

from glmclient import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from glmclient.core.http import Head
from glmclient.core.refusals import BODY_SHOWN, class_for_status, is_html, refusal, shown_html

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("status", "kind", "retryable"),
    [
        (204, APIStatusError, False),
        (301, APIStatusError, False),
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (402, QuotaExceededError, False),
        (403, PermissionDeniedError, False),
        (404, NotFoundError, False),
        (405, NotFoundError, False),
        (408, ServerError, True),
        (409, BadRequestError, True),
        (410, NotFoundError, False),
        (413, BadRequestError, False),
        (422, BadRequestError, False),
        (425, ServerError, True),
        (429, RateLimitError, True),
        (451, BadRequestError, False),
        (500, ServerError, True),
        (501, ServerError, False),
        (503, ServerError, True),
        (529, ServerError, True),
    ],
)
def test_the_class_for_a_status(status: int, kind: type[APIStatusError], retryable: bool) -> None:
    assert class_for_status(status) is kind
    error = refusal("Service", Head(status), reason="", body="", now=NOW)
    assert type(error) is kind
    assert error.status_code == status
    assert error.retryable is retryable
    assert f"HTTP {status}" in str(error)


def test_a_refusal_says_what_the_service_said_and_what_to_do() -> None:
    head = Head(429, {"retry-after": "9", "x-request-id": "r-1"})
    error = refusal("Service", head, reason="Slow down.", body="b" * 5000, now=NOW, code="1302")
    assert str(error) == "Service refused: Slow down (code 1302). Wait, or send less at once."
    assert (error.message, error.code, error.request_id) == ("Slow down.", "1302", "r-1")
    assert error.retry_after == 9.0
    assert len(error.body) == BODY_SHOWN


def test_the_service_s_own_code_comes_before_the_status() -> None:
    error = refusal(
        "Service",
        Head(429),
        reason="no balance",
        body="",
        now=NOW,
        kind=QuotaExceededError,
        retry_after=60.0,
        advice="Recharge.",
    )
    assert type(error) is QuotaExceededError
    assert not error.retryable
    assert error.retry_after == 60.0
    assert str(error) == "Service refused: no balance (HTTP 429). Recharge."
    assert refusal("S", Head(400), reason="", body="", now=NOW, retryable=True).retryable


def test_a_class_without_advice_points_to_the_body() -> None:
    assert ".body" in str(refusal("Service", Head(299), reason="odd", body="", now=NOW))


@pytest.mark.parametrize(
    ("location", "told"),
    [
        (
            "https://elsewhere.example:8443/login?token=canary",
            "https://elsewhere.example:8443/login.",
        ),
        ("https://user:canary@elsewhere.example/", "https://elsewhere.example/."),
        ("//elsewhere.example/v2?canary", "points to elsewhere.example/v2."),
        ("/v2/chat?canary#canary", "points to /v2/chat."),
        ("", "another path of this host"),
        ("http://[canary", "an address that is none"),
    ],
)
def test_a_redirect_is_shown_without_its_query(location: str, told: str) -> None:
    error = refusal("Service", Head(302, {"location": location}), reason="", body="", now=NOW)
    assert told in str(error)
    assert "canary" not in str(error)
    assert "not followed" in str(error)


@pytest.mark.parametrize(
    ("kind", "text", "html"),
    [
        ("text/html", "whatever", True),
        ("application/xhtml+xml", "", True),
        ("application/json", "  <!DOCTYPE html><p>", True),
        ("", "\n<HTML lang=en>", True),
        ("application/json", "{}", False),
        ("text/event-stream", "data: <html>", False),
    ],
)
def test_a_page_is_a_page_whatever_it_calls_itself(kind: str, text: str, html: bool) -> None:
    assert is_html(kind, text) is html


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<title> Just a\n moment&hellip; </title><h1>Other</h1>", "Just a moment…"),
        ("<title></title><h1 class=x>Log <b>in</b></h1>", "Log in"),
        ("<style>p {}</style><p>请登录</p><script>x()</script>", "请登录"),
        ("", ""),
        ("<title>" + "x" * 1000 + "</title>", "x" * 300),
    ],
)
def test_what_a_page_says(page: str, said: str) -> None:
    assert shown_html(page) == said
