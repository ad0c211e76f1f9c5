"""Errors as people and programs read them, and what the process returns."""

from __future__ import annotations

import io
import json

import pytest

import glmclient
from glmclient import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    GLMError,
    GuestQuotaError,
    LimitExceeded,
    RateLimitError,
    Reply,
    ServerError,
    StreamCancelled,
    StreamMisuse,
    SyncClient,
)
from glmclient.cli import exit_codes
from glmclient.cli.display.failures import error_json, paragraph, say
from glmclient.reply import reply_data

from .emulator import Emulator

CODES = {
    "RewriteError": 1,
    "SchemaError": 1,
    "ToolCallError": 1,
    "MaxRoundsExceeded": 1,
    "ConfigurationError": 2,
    "CassetteError": 2,
    "APIConnectionError": 3,
    "APITimeoutError": 4,
    "AuthenticationError": 5,
    "PermissionDeniedError": 5,
    "RateLimitError": 6,
    "QuotaExceededError": 7,
    "GuestQuotaError": 7,
    "ServiceBlockedError": 8,
    "APIStatusError": 9,
    "BadRequestError": 9,
    "NotFoundError": 9,
    "ServerError": 10,
    "ProtocolError": 11,
    "LimitExceeded": 11,
    "StreamInterrupted": 12,
    "StreamCancelled": 12,
    "StreamMisuse": 1,
    "GLMError": 1,
}


def test_every_error_has_an_exit_code_that_is_documented() -> None:
    errors = [
        value
        for name in glmclient.__all__
        if isinstance(value := getattr(glmclient, name), type) and issubclass(value, GLMError)
    ]
    assert {kind.__name__: exit_codes.of(kind("x")) for kind in errors} == CODES
    assert {*CODES.values(), 0, 130, 141} == set(exit_codes.MEANINGS)
    assert all(exit_codes.MEANINGS.values())


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ("Raise Timeout(idle=...) if it must.", "Give --timeout SECONDS if it must."),
        (
            "provider 'zai' needs a key: give api_key=, or set X.",
            "provider 'zai' needs a key: give --key, store it with `glmclient keys set zai`, or set X.",
        ),
        ("Check base_url.", "Check --base-url."),
        ("give api_key= with a token", "give --key with a token"),
        ("Check proxy= and more", "Check --proxy  and more"),
        (
            "verify='ca.pem', and for a server cert='client.pem'.",
            "SSL_CERT_FILE=ca.pem in the environment, and for a server --cert client.pem.",
        ),
        (
            "encrypted; give its password as cert=(certificate, key, password).",
            "encrypted; decrypt it first, such as by `openssl pkey -in key.pem`.",
        ),
        ("use provider='zai' with a key", "use -p zai with a key"),
        ("platform: provider='zai' or 'bigmodel' with", "platform: -p zai or -p bigmodel with"),
        ("What came is on `error.partial`; ask", "What came is shown; ask"),
        ("the value of header 'api_key' holds", "the value of --key holds"),
        (
            "'base_url'? 'zai.base_url'? \"a' base_url\"?",
            "'base_url'? 'zai.base_url'? \"a' base_url\"?",
        ),
        (
            "zai.base_url is none, and GLMCLIENT_PROXY=foo",
            "zai.base_url is none, and GLMCLIENT_PROXY=foo",
        ),
        ("'it\\'s base_url', a model's base_url", "'it\\'s base_url', a model's --base-url"),
        ("two\nlines\x1b[2J", "two lines\ufffd[2J"),
    ],
)
def test_advice_is_for_the_terminal(said: str, told: str) -> None:
    assert paragraph(said) == " ".join(told.split())


def test_the_words_of_the_library_are_met() -> None:
    with pytest.raises(ConfigurationError) as missing:
        SyncClient("zai")
    told = paragraph(str(missing.value))
    assert "`glmclient keys set zai`" in told
    assert "api_key" not in told
    with pytest.raises(ConfigurationError) as missing:
        SyncClient("openai")
    assert "--base-url" in paragraph(str(missing.value))


def test_an_error_is_one_paragraph() -> None:
    out = io.StringIO()
    say("word " * 40, out)
    assert out.getvalue() == f"glmclient: {' '.join(['word'] * 40)}\n"


def test_a_terminal_gets_it_wrapped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    terminal = Emulator(columns=30)
    say("word " * 10, terminal)
    assert terminal.shown == ["glmclient: word word word word", "word word word word word word"]


def test_an_error_as_json() -> None:
    refused = RateLimitError(
        "slow down",
        status_code=429,
        code="1302",
        reason="too fast",
        retry_after=3.0,
        retryable=True,
        attempts=2,
    )
    assert json.loads(json.dumps(error_json(refused)))["error"] == {
        "type": "RateLimitError",
        "message": "slow down",
        "exit_code": 6,
        "retryable": True,
        "attempts": 2,
        "request_id": None,
        "status_code": 429,
        "code": "1302",
        "reason": "too fast",
        "retry_after": 3.0,
        "partial": json.loads(json.dumps(reply_data(Reply()))),
    }
    late = error_json(APITimeoutError("late", limit="idle", partial=Reply("Hel")))["error"]
    assert late["limit"] == "idle"
    assert late["partial"]["text"] == "Hel"
    for error in (
        APIConnectionError("x"),
        LimitExceeded("x"),
        StreamMisuse("x"),
        StreamCancelled("x"),
    ):
        assert json.dumps(error_json(error))
    for refusal in (GuestQuotaError("x"), ServerError("x"), APIStatusError("x")):
        assert "status_code" in error_json(refusal)["error"]
