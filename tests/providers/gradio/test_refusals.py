"""Every shape in which a Gradio service or the edge before it refuses, and the class that it becomes."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.http import Head
from glmclient.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from glmclient.providers.gradio.refusals import (
    app_failure,
    misanswer,
    plain_words,
    refusal,
    session_failure,
)

TRACEBACK = 'Traceback (most recent call last):\n  File "routes.py", line 1, in f\n    rate_limit()\nKeyError: 999\n'
VALIDATION = [
    {"type": "missing", "loc": ["body", "fn_index"], "msg": "Field required", "input": {}}
]
VALIDATOR = [
    {"is_valid": False, "message": "Say something"},
    {"is_valid": True, "message": None},
    5,
]
CHALLENGE = "<html><title>Just a moment...</title></html>"


def head(status: int, kind: str = "application/json", *more: tuple[str, str]) -> Head:
    return Head.of(status, [("content-type", kind), *more])


def refused(status: int, body: Any, *more: tuple[str, str]) -> APIStatusError:
    if isinstance(body, str):
        kind = "text/html" if body.lstrip().startswith("<") else "text/plain; charset=utf-8"
        return refusal(head(status, kind, *more), body.encode(), 0.0, "/queue/join")
    return refusal(
        head(status, "application/json", *more), json.dumps(body).encode(), 0.0, "/queue/join"
    )


@pytest.mark.parametrize(
    ("status", "body", "kind", "words", "retryable"),
    [
        (
            400,
            {"detail": "No function index provided."},
            BadRequestError,
            "No function index provided.",
            False,
        ),
        (401, {"detail": "Not authenticated"}, AuthenticationError, "Not authenticated", False),
        (
            401,
            {"detail": {"error": "Not authenticated, rate limit", "auth_message": None}},
            AuthenticationError,
            "Not authenticated, rate limit",
            False,
        ),
        (403, {"detail": "no"}, PermissionDeniedError, "no", False),
        (404, {"detail": "Not Found"}, NotFoundError, "Not Found", False),
        (422, {"detail": VALIDATION}, BadRequestError, "Field required", False),
        (422, {"detail": VALIDATOR}, BadRequestError, "Say something", False),
        (422, {"detail": {"other": 1}}, BadRequestError, '{"detail": {"other": 1}}', False),
        (429, {"detail": "slow down"}, RateLimitError, "slow down", True),
        (429, "Too Many Requests", RateLimitError, "Too Many Requests", True),
        (429, {"error": "You have exceeded your monthly quota"}, QuotaExceededError, None, False),
        (402, {"error": "Payment required"}, QuotaExceededError, "Payment required", False),
        (500, "Internal Server Error", ServerError, "Internal Server Error", True),
        (500, TRACEBACK, ServerError, "KeyError: 999", True),
        (500, "", ServerError, "HTTP 500", True),
        (
            503,
            {"detail": "Queue is full. Max size is 1 and size is 1."},
            RateLimitError,
            None,
            True,
        ),
        (503, {"detail": "Queue is stopped."}, ServerError, "Queue is stopped.", True),
        (302, "", APIStatusError, "HTTP 302", False),
    ],
)
def test_refusals_by_status(
    status: int, body: Any, kind: type, words: str | None, retryable: bool
) -> None:
    error = refused(status, body)
    assert type(error) is kind
    assert error.retryable is retryable and error.status_code == status
    assert words is None or error.message == words
    assert "/queue/join" in str(error)


def page_of(text: str) -> str:
    return f"<!DOCTYPE html><html><head><title>Space</title></head><body>{text}</body></html>"


@pytest.mark.parametrize(
    ("status", "body", "kind", "code", "retryable"),
    [
        (
            503,
            page_of("This Space is sleeping due to inactivity"),
            ServiceBlockedError,
            "SLEEPING",
            True,
        ),
        (
            200,
            page_of('<i data-p="{&quot;stage&quot;:&quot;SLEEPING&quot;}">'),
            ServiceBlockedError,
            "SLEEPING",
            True,
        ),
        (503, page_of('{"stage": "BUILDING"}'), ServiceBlockedError, "BUILDING", True),
        (503, page_of('{"stage":"APP_STARTING"}'), ServiceBlockedError, "APP_STARTING", True),
        (
            503,
            page_of('{"stage":"RUNNING_BUILDING"}'),
            ServiceBlockedError,
            "RUNNING_BUILDING",
            True,
        ),
        (
            503,
            page_of('{"stage":"RUNNING_APP_STARTING"}'),
            ServiceBlockedError,
            "RUNNING_APP_STARTING",
            True,
        ),
        (503, page_of("Your Space is building"), ServiceBlockedError, "BUILDING", True),
        (
            503,
            page_of("This Space has been paused by its owner."),
            ServiceBlockedError,
            "PAUSED",
            False,
        ),
        (404, page_of('{"stage":"PAUSED"}'), ServiceBlockedError, "PAUSED", False),
        (503, page_of('{"stage":"STOPPED"}'), ServiceBlockedError, "STOPPED", False),
        (503, page_of('{"stage":"RUNTIME_ERROR"}'), ServiceBlockedError, "RUNTIME_ERROR", False),
        (
            503,
            page_of("Your space is in error, check its status"),
            ServiceBlockedError,
            "RUNTIME_ERROR",
            False,
        ),
        (503, page_of('{"stage":"BUILD_ERROR"}'), ServiceBlockedError, "BUILD_ERROR", False),
        (503, page_of('{"stage":"CONFIG_ERROR"}'), ServiceBlockedError, "CONFIG_ERROR", False),
        (503, page_of('{"stage":"NO_APP_FILE"}'), ServiceBlockedError, "NO_APP_FILE", False),
        (200, page_of("Welcome"), ServiceBlockedError, None, False),
        (200, page_of('{"stage":"RUNNING"}'), ServiceBlockedError, None, False),
        (403, CHALLENGE, ServiceBlockedError, None, False),
        (503, CHALLENGE, ServiceBlockedError, None, False),
        (500, CHALLENGE, ServiceBlockedError, None, False),
        (404, CHALLENGE, NotFoundError, None, False),
        (401, page_of("Invalid username or password."), AuthenticationError, None, False),
        (404, page_of("we can't find the page"), NotFoundError, None, False),
        (429, page_of("Too many. The Space is sleeping"), RateLimitError, None, True),
        (502, page_of("Bad Gateway"), ServerError, None, True),
        (504, "<html><head><title> </title></head></html>", ServerError, None, True),
    ],
)
def test_pages_of_the_edge(
    status: int, body: str, kind: type, code: str | None, retryable: bool
) -> None:
    error = refused(status, body)
    assert type(error) is kind and error.code == code
    assert error.retryable is retryable and error.status_code == status
    assert "<" not in str(error) and error.body == body


def test_a_space_that_is_not_up_says_so_and_what_to_do() -> None:
    asleep = refused(503, page_of('{"stage":"SLEEPING"}'))
    assert asleep.message == "the Space is asleep"
    assert str(asleep).endswith("This request wakes it: try again in a minute.")
    broken = refused(503, page_of('{"stage":"BUILD_ERROR"}'))
    assert broken.message == "the Space could not be built, and its owner must repair it"
    assert str(broken).endswith("Use another service.")
    wall = refused(200, "<html><head><title>Sign &amp; in</title></head></html>")
    assert wall.message == "a web page stands in the way: Sign & in"


def test_a_wait_is_told_by_header_or_words() -> None:
    assert refused(429, {"detail": "slow"}, ("Retry-After", "30")).retry_after == 30
    assert refused(429, {"detail": "slow"}).retry_after is None
    assert refused(429, {"detail": "quota exceeded. Try again in 1:00:05"}).retry_after == 3605


def test_a_long_body_is_cut() -> None:
    error = refused(500, "x" * 100_000)
    assert len(error.body) == 2000 and len(str(error)) < 1500


# -- a 200 that is something else ----------------------------------------------------------------------------


def test_a_200_that_is_no_answer() -> None:
    page = misanswer(head(200, "text/html"), page_of("hi").encode(), 0.0, "/config")
    assert type(page) is ServiceBlockedError
    stated = misanswer(head(200), b'{"detail":"Queue is full. Max size is 1"}', 0.0, "/queue/join")
    assert type(stated) is RateLimitError and stated.retryable
    failure = misanswer(head(200), b'{"error":"odd"}', 0.0, "/queue/join")
    assert type(failure) is ServerError and failure.message == "odd"
    for body in (b"[1]", b"ok", b'{"hello":1}', b"", b"\xff\xfe"):
        other = misanswer(head(200), body, 0.0, "/config")
        assert type(other) is ProtocolError and "/config" in str(other)
        assert other.frame == body.decode("utf-8", "replace")


# -- what an app says ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "output", [{"error": None}, {"error": "None"}, {}, None, "x", {"error": 5}, {"error": ""}]
)
def test_a_hidden_error_says_so(output: Any) -> None:
    error = app_failure(output, None, "frame")
    assert type(error) is ServerError and error.retryable and error.status_code == 200
    assert "hides its errors" in str(error) and error.body == "frame"


@pytest.mark.parametrize(
    ("words", "kind", "retryable"),
    [
        ("'The model crashed.'", ServerError, True),
        ("Requests rate limit exceeded, please try again later.", RateLimitError, True),
        ("code: Throttling.RateQuota", RateLimitError, True),
        ("We must generate limits.", ServerError, True),
        ("You have exceeded your free GPU quota (60s left)", QuotaExceededError, False),
        ("code: Throttling.AllocationQuota", QuotaExceededError, False),
        ("Value: '72B' is not in the list of choices: []", BadRequestError, False),
        ("An event handler (f) didn't receive enough input values", BadRequestError, False),
    ],
)
def test_an_apps_words_tell_the_class(words: str, kind: type, retryable: bool) -> None:
    error = app_failure({"error": words}, None, "frame")
    assert type(error) is kind and error.retryable is retryable
    assert error.message == words.strip("'")


def test_the_title_tells_a_quota_too() -> None:
    titled = {"error": "No more GPU time.", "title": "ZeroGPU quota exceeded"}
    assert type(app_failure(titled, None, "")) is QuotaExceededError
    assert (
        type(app_failure({"error": "No more."}, "ZeroGPU quota exceeded", "")) is QuotaExceededError
    )


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        (
            "You have exceeded your GPU quota (60s requested vs. 12s left). Try again in 0:09:48.",
            588.0,
        ),
        ("exceeded your GPU quota. Please retry in 23:59:59", 86399.0),
        ("exceeded your GPU quota. Try again in 1 day, 2:00:00", 93600.0),
        ("exceeded your GPU quota. Try again in 2 days, 0:00:01", 172801.0),
        ("exceeded your GPU quota.", None),
        ("exceeded your GPU quota. Try again in a while", None),
    ],
)
def test_a_quota_tells_when_it_is_renewed(words: str, seconds: float | None) -> None:
    error = app_failure({"error": words}, None, "")
    assert type(error) is QuotaExceededError and error.retry_after == seconds


@pytest.mark.parametrize(
    ("told", "plain"),
    [
        ("'text'", "text"),
        ('"it\'s"', "it's"),
        ("'\\'a\\' and \\n\\u4f60\\xe9\\U0001f600'", "'a' and \n你é😀"),
        ("'a' is not 'b'", "'a' is not 'b'"),
        ("'\\d'", "'\\d'"),
        ("'", "'"),
        ("'\\U00ffffff'", "'\\U00ffffff'"),
        ("'raw\nline'", "'raw\nline'"),
        ("'nul\x00'", "'nul\x00'"),
        ("'half\ud800'", "'half\ud800'"),
        ("'<b>bold</b>'", "bold"),
    ],
)
def test_the_quotes_of_4_x_come_off(told: str, plain: str) -> None:
    assert app_failure({"error": told}, None, "").message == plain


@pytest.mark.parametrize(
    ("told", "plain"),
    [
        ('<a href="https://x/y?a=1">join</a> us<br/>now', "join us\nnow"),
        ("a &lt; b &amp; c", "a < b & c"),
        ("1 < 2 > 0", "1 < 2 > 0"),
        ("'quoted'", "'quoted'"),
        ("  spaced  ", "spaced"),
    ],
)
def test_html_comes_off(told: str, plain: str) -> None:
    assert plain_words(told) == plain


@given(
    st.text(
        alphabet=st.characters(exclude_characters="<>&", exclude_categories=["Z", "C"]), min_size=1
    )
)
def test_every_repr_is_unquoted(text: str) -> None:
    assert app_failure({"error": repr(f"a{text}")}, None, "").message == f"a{text}"


@given(st.text())
def test_any_words_can_be_shown(text: str) -> None:
    for said in (text, repr(text)):
        assert str(app_failure({"error": said}, None, ""))


def test_a_session_that_ends() -> None:
    lost = session_failure("404: Session not found.", True, "frame")
    assert type(lost) is ServerError and lost.retryable and "lost the session" in str(lost)
    stopped = session_failure("Server stopped unexpectedly.", False, "frame")
    assert stopped.message == "Server stopped unexpectedly." and stopped.retryable
    silent = session_failure(None, False, "frame")
    assert "does not say why" in str(silent) and silent.message == "the service gave up"


@given(
    st.integers(min_value=200, max_value=599),
    st.binary(max_size=200),
    st.sampled_from(["text/html", "application/json", ""]),
)
def test_any_refusal_is_an_error_that_can_be_shown(status: int, body: bytes, kind: str) -> None:
    for make in (refusal, misanswer):
        error: GLMError = make(head(status, kind), body, 0.0, "/config")
        assert str(error)
