"""How refusals are read: every code of the page, every shape, the same class wherever it was said."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient.core.http import Head
from glmclient.core.secrets import Secret
from glmclient.errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from glmclient.providers.chat_completions.codes import CODES
from glmclient.providers.chat_completions.refusals import Refusals, is_refusal, reset_after
from tests.core.wire import every_cut

from .driving import JSON, NOW, decoded, frames
from .wire import chunk

# docs/wire/open-platform.md §3.2, and the mapping below its table
AUTHENTICATION = "1000 1001 1002 1003 1004 1005 1110 1111 1112 1121"
BAD_REQUEST = "1210 1212 1213 1214 1215 1231 1261 1300 1301"
NOT_FOUND = "1211 1221 1222"
PERMISSION = "1220"
QUOTA = "1113 1304 1308 1309 1310 1311 1313 1314 1315 1316 1317 1318 1319 1320 1321"
RATE_LIMIT = "1302 1303 1305 1312"
SERVER = "1100 1120 1200 1230 1234"
RETRYABLE = "1100 1120 1200 1230 1234 1302 1303 1305 1312"

EXPECTED: list[tuple[str, type[APIStatusError]]] = [
    (code, error)
    for codes, error in (
        (AUTHENTICATION, AuthenticationError),
        (BAD_REQUEST, BadRequestError),
        (NOT_FOUND, NotFoundError),
        (PERMISSION, PermissionDeniedError),
        (QUOTA, QuotaExceededError),
        (RATE_LIMIT, RateLimitError),
        (SERVER, ServerError),
    )
    for code in codes.split()
]


def refusals(status: int = 200, key: str | None = None, **headers: str) -> Refusals:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Refusals(
        "the test service",
        Head(status, {**JSON, **named}),
        lambda: NOW,
        None if key is None else Secret(key),
    )


def test_the_table_is_complete() -> None:
    assert {code for code, _ in EXPECTED} == set(CODES)
    assert {code for code, row in CODES.items() if row.retry} == set(RETRYABLE.split())


def in_every_shape(error: dict[str, Any], status: int) -> list[APIStatusError]:
    """Return what users get from an error by status, in a frame, in an error event, and as the body of a 200."""
    shapes: list[dict[str, Any]] = [
        {"error": error},
        error,
        {**error, "msg": error["message"], "message": None},
    ]
    found: list[Any] = []
    for shape in shapes:
        body = json.dumps(shape, ensure_ascii=False).encode()
        found.append(refusals(status).of_body(body))
        found.append(decoded([body], headers=JSON)[1])
        found.append(decoded([frames(shape)])[1])
        found.append(decoded([frames(chunk({"content": "a"}), shape, done=False)])[1])
        found.append(decoded([b"event: error\ndata: " + body + b"\n\n"])[1])
    return found


@pytest.mark.parametrize(("code", "expected"), EXPECTED)
def test_each_code_is_one_class_wherever_it_is_said(
    code: str, expected: type[APIStatusError]
) -> None:
    for told in (code, int(code)):
        for error in in_every_shape(
            {"code": told, "message": "so it is"}, int(CODES[code].http[:3])
        ):
            assert type(error) is expected
            assert error.code == code
            assert error.message == "so it is"
            assert error.retryable is (code in RETRYABLE.split())
            assert "so it is" in str(error) and code in str(error)
            assert len(str(error)) > len("so it is") + 40, "it says what to do"


@pytest.mark.parametrize(
    ("status", "expected", "retryable"),
    [
        (400, BadRequestError, False),
        (401, AuthenticationError, False),
        (402, QuotaExceededError, False),
        (403, PermissionDeniedError, False),
        (404, NotFoundError, False),
        (405, NotFoundError, False),
        (408, ServerError, True),
        (413, BadRequestError, False),
        (422, BadRequestError, False),
        (425, ServerError, True),
        (429, RateLimitError, True),
        (434, PermissionDeniedError, False),
        (435, BadRequestError, False),
        (500, ServerError, True),
        (501, ServerError, False),
        (502, ServerError, True),
        (503, ServerError, True),
        (504, ServerError, True),
        (520, ServerError, True),
        (524, ServerError, True),
        (529, ServerError, True),
    ],
)
def test_a_status_decides_where_no_code_is_known(
    status: int, expected: type[APIStatusError], retryable: bool
) -> None:
    for body in (
        b"",
        b"gateway",
        b'{"error":{"code":"9999","message":"new"}}',
        b'{"message":"m"}',
        b"[]",
        b"[1]",
    ):
        error = refusals(status).of_body(body)
        assert type(error) is expected
        assert error.status_code == status
        assert error.retryable is retryable
    numbered = {"error": {"code": status, "message": "m", "type": "x", "param": None}}
    in_a_frame = decoded([frames(numbered)])[1]
    assert type(in_a_frame) is expected
    assert in_a_frame.retryable is retryable


@pytest.mark.parametrize(
    ("body", "status", "expected", "code", "message"),
    [
        # §3.1
        (
            {
                "timestamp": "2025",
                "status": 404,
                "error": "Not Found",
                "path": "/v4/v1/chat/completions",
            },
            404,
            NotFoundError,
            None,
            "Not Found",
        ),
        (
            {"code": 500, "msg": "404 NOT_FOUND", "success": False},
            200,
            NotFoundError,
            "500",
            "404 NOT_FOUND",
        ),
        (
            {
                "error": {"code": "1301", "message": "m"},
                "contentFilter": [{"level": 1, "role": "user"}],
            },
            400,
            BadRequestError,
            "1301",
            "m",
        ),
        # §2.7
        ({"error": "text"}, 200, APIStatusError, None, "text"),
        ({"error": True, "message": "m"}, 200, APIStatusError, None, "m"),
        ({"error": {}}, 200, APIStatusError, None, '{"error": {}}'),
        # §5
        (
            {"error": {"message": "m", "type": "BadRequestError", "param": None, "code": 400}},
            400,
            BadRequestError,
            "400",
            "m",
        ),
        (
            {"object": "error", "message": "m", "type": "BadRequestError", "code": 400},
            200,
            BadRequestError,
            "400",
            "m",
        ),
        (
            {"object": "error", "message": "m", "type": "NotFoundError", "code": None},
            200,
            NotFoundError,
            None,
            "m",
        ),
        (
            {"error": {"message": "m", "type": "api_error", "code": None}},
            500,
            ServerError,
            None,
            "m",
        ),
        # compatible servers: their words, codes before types, and both before and after the status
        (
            {"error": {"message": "m", "type": "insufficient_quota", "code": "insufficient_quota"}},
            429,
            QuotaExceededError,
            "insufficient_quota",
            "m",
        ),
        (
            {"error": {"message": "m", "type": "invalid_request_error", "code": "invalid_api_key"}},
            401,
            AuthenticationError,
            "invalid_api_key",
            "m",
        ),
        (
            {"error": {"message": "m", "type": "invalid_request_error", "code": None}},
            404,
            NotFoundError,
            None,
            "m",
        ),
        (
            {"error": {"message": "m", "type": "insufficient_quota", "code": 429}},
            429,
            QuotaExceededError,
            "429",
            "m",
        ),
        ({"error": {"message": "m", "type": "server_error"}}, 200, ServerError, None, "m"),
        ({"error": {"message": "m", "type": 5, "code": " "}}, 200, APIStatusError, None, "m"),
        ({"error": {"message": "m", "code": True}}, 200, APIStatusError, None, "m"),
        # FastAPI
        ({"detail": "Not Found"}, 404, NotFoundError, None, "Not Found"),
        ({"detail": [{"msg": "required"}]}, 422, BadRequestError, None, '[{"msg": "required"}]'),
        # a list around it
        ([{"error": {"code": 1302, "message": "m"}}], 429, RateLimitError, "1302", "m"),
    ],
)
def test_every_shape_is_read(
    body: Any, status: int, expected: type[APIStatusError], code: str | None, message: str
) -> None:
    raw = json.dumps(body).encode()
    error = refusals(status).of_body(raw)
    assert type(error) is expected
    assert (error.status_code, error.code, error.message, error.body) == (
        status,
        code,
        message,
        raw.decode(),
    )
    if status == 200:
        for cut in every_cut(raw):
            said = decoded(cut, headers=JSON)[1]
            assert type(said) is expected
            assert str(said) == str(error)


def test_a_wrong_address_says_so() -> None:
    for status, body in (
        (404, {"status": 404, "error": "Not Found", "path": "/v4/v1/chat/completions"}),
        (200, {"code": 500, "msg": "404 NOT_FOUND", "success": False}),
    ):
        assert "base_url" in str(refusals(status).of_body(json.dumps(body).encode()))


@pytest.mark.parametrize(
    ("status", "page", "expected", "retryable"),
    [
        (200, "<html><title>Sign in</title></html>", ServiceBlockedError, False),
        (403, "<!doctype html><title>Denied</title>", ServiceBlockedError, False),
        (503, "<html><title>Just a moment...</title></html>", ServiceBlockedError, False),
        (502, "<html><h1>502 Bad Gateway</h1></html>", ServerError, True),
        (404, "<html><h1>Nothing here</h1></html>", NotFoundError, False),
        (504, "<html></html>", ServerError, True),
    ],
)
def test_pages(status: int, page: str, expected: type[APIStatusError], retryable: bool) -> None:
    head = Head(status, {"content-type": "text/html"})
    error = Refusals("the test service", head, lambda: NOW).of_body(page.encode())
    assert type(error) is expected
    assert error.retryable is retryable
    assert error.body == page
    assert "web page" in error.message


def test_a_redirect_names_no_success() -> None:
    error = refusals(302, location="https://elsewhere.example").of_body(b"")
    assert type(error) is APIStatusError
    assert "base_url" in str(error)


def test_a_refusal_that_is_framed_although_its_status_is_none_of_success() -> None:
    for body in (
        b'data: {"error":{"code":"1113","message":"m"}}\n\ndata: [DONE]\n\n',
        b'event: error\r\ndata:{"error":{"code":"1113","message":"m"}}\r\n\r\n',
    ):
        error = refusals(429).of_body(body)
        assert type(error) is QuotaExceededError
        assert (error.message, error.body) == ("m", body.decode())


def test_retry_after_is_read() -> None:
    assert refusals(429, retry_after="7").of_body(b"{}").retry_after == 7
    assert refusals(429).of_body(b"{}").retry_after is None


RESET = 1_764_672_975.0  # 2025-12-02 18:56:15 in Beijing


@pytest.mark.parametrize(
    ("message", "moment"),
    [
        ("Usage limit reached for 5 hour. Your limit will reset at 2025-12-02 18:56:15", RESET),
        ("您已达到使用上限，将在 2025年12月2日 18:56 重置。", RESET - 15),
        ("until 2025-12-02T10:56:15Z", RESET),
        ("until 2025/12/02 10:56:15 UTC", RESET),
        ("until 2025-12-02 12:26:15+01:30", RESET),
        ("until 2025-12-02 07:56:15 -0300", RESET),
        ("until tomorrow", None),
        ("until 2025-13-02 18:56:15", None),
        ("until 2025-12-02 18:56:15+99:99", None),
        ("until 0000-12-02 18:56:15", None),
    ],
)
def test_reset_times_are_parsed_where_they_are_told(message: str, moment: float | None) -> None:
    assert reset_after(message, NOW) == (None if moment is None else moment - NOW)
    error = refusals(429).of_body(
        json.dumps({"error": {"code": "1308", "message": message}}).encode()
    )
    assert error.retry_after == (None if moment is None else moment - NOW)
    assert not error.retryable


def test_a_reset_in_the_past_is_now() -> None:
    assert reset_after("reset at 2020-01-01 00:00:00", NOW) == 0.0


def test_a_date_in_other_refusals_means_nothing() -> None:
    body = b'{"error":{"code":"1305","message":"since 2025-12-02 18:56:15"}}'
    assert refusals(429).of_body(body).retry_after is None


def test_the_request_id_of_a_refusal_is_told() -> None:
    assert refusals(400).of_body(b'{"error":{"message":"m","request_id":"r1"}}').request_id == "r1"
    assert refusals(400).of_body(b'{"error":"m","request_id":"r2"}').request_id == "r2"
    assert refusals(400, x_request_id="r3").of_body(b'{"error":"m"}').request_id == "r3"


def test_a_key_that_the_service_repeats_is_not_shown() -> None:
    error = refusals(401, key="id.secretsecret").of_body(
        b'{"error":{"message":"wrong key id.secretsecret","key":"id.secretsecret"}}'
    )
    for shown in (str(error), error.message, error.body, repr(error), repr(error.__dict__)):
        assert "id.secretsecret" not in shown
    assert "***" in error.message and "***" in error.body


def test_a_body_that_is_too_deep_is_still_a_refusal() -> None:
    assert type(refusals(400).of_body(b"[" * 200_000)) is BadRequestError


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        ({"error": None, "choices": []}, False),
        ({"error": "", "choices": []}, False),
        ({"error": "x", "choices": [1]}, True),
        ({"choices": [], "code": 1, "message": "m"}, True),
        ({"choices": [1], "code": 1, "message": "m"}, False),
        ({"code": 1}, False),
        ({"message": "m"}, False),
        ({"error": {}}, True),
        ({"object": "error", "message": "m"}, True),
    ],
)
def test_what_is_a_refusal(answer: dict[str, Any], expected: bool) -> None:
    assert is_refusal(answer) is expected
