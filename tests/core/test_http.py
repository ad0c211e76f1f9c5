"""Requests, heads, URLs, headers and JSON, without a network."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient import ConfigurationError
from glmclient.core.http import (
    Head,
    Request,
    checked_base_url,
    checked_header_value,
    checked_headers,
    checked_key,
    dump_json,
    is_json,
    load_object,
    merged_headers,
    origin,
    without_user,
)


def test_a_request_shows_neither_headers_nor_body() -> None:
    request = Request("POST", "https://service.example/", {"Authorization": "canary"}, b"canary")
    assert "canary" not in repr(request)


def test_a_head_joins_repeated_fields_but_not_cookies() -> None:
    head = Head.of(
        200,
        [("Vary", "a"), ("VARY", "b"), ("Set-Cookie", "x=1, 2"), ("set-cookie", "y=2"), ("A", "")],
    )
    assert head.headers == {"vary": "a, b", "a": ""}
    assert head.cookies == ("x=1, 2", "y=2")
    assert head.fields == 5
    assert head.size == sum(
        len(line) + 2
        for line in ["Vary: a"] * 2 + ["Set-Cookie: x=1, 2"] + ["Set-Cookie: y=2", "A: "]
    )
    assert "canary" not in repr(Head.of(200, [("Set-Cookie", "canary")]))


@pytest.mark.parametrize(
    ("field", "kind"),
    [
        ("text/event-stream", "text/event-stream"),
        ("Text/Event-Stream ; charset=UTF-8", "text/event-stream"),
        (None, ""),
    ],
)
def test_the_content_type_is_without_parameters(field: str | None, kind: str) -> None:
    assert Head(200, {} if field is None else {"content-type": field}).content_type == kind


@pytest.mark.parametrize(
    ("given_url", "checked"),
    [
        ("https://host.example", "https://host.example"),
        (" http://host.example:8080/a/b// ", "http://host.example:8080/a/b"),
        ("http://[::1]:9/x", "http://[::1]:9/x"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("https://bücher.example", "https://bücher.example"),
    ],
)
def test_base_urls(given_url: str, checked: str) -> None:
    assert checked_base_url(given_url) == checked


@pytest.mark.parametrize(
    ("url", "why"),
    [
        (5, "must be a string"),
        (None, "must be a string"),
        ("", "must start with http"),
        ("host.example", "must start with http.*got 'host.example'"),
        ("localhost:80", "must start with http.*got 'localhost:80'"),
        ("user:canary@host.example/x", r"got '\*\*\*@host.example/x'"),
        ("ftp://user:canary@host.example?t=canary", r"got 'ftp://\*\*\*@host.example'"),
        ("ftp://host.example", "must start with http"),
        ("https://", "must start with http"),
        ("https://host.example:0", "must start with http"),
        ("https://host.example:port", "is not a URL"),
        ("https://host.example:99999", "is not a URL"),
        ("https://[::1", "is not a URL"),
        ("https://user@host.example", "must not hold credentials"),
        ("https://:canary@host.example", "must not hold credentials"),
        ("https://host.example?x=1", "without query"),
        ("https://host.example/#top", "without query"),
        ("https://host.example/a b", "without query"),
        ("https://ho st.example/", "without query"),
        ("https://a..example/", "not a name"),
        ("https://.example/", "not a name"),
        (f"https://{'a' * 64}.example/", "not a name"),
        (f"https://{'a.' * 130}example/", "not a name"),
        ("https://*.example/", "not a name"),
    ],
)
def test_base_urls_that_are_none(url: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        checked_base_url(url)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("https://Host.example/path?token=canary", "https://host.example"),
        ("https://host.example:443/", "https://host.example"),
        ("http://host.example:8080", "http://host.example:8080"),
        ("http://user:canary@[::1]:80/", "http://[::1]"),
    ],
)
def test_the_origin(url: str, told: str) -> None:
    assert origin(url) == told


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://user:canary@proxy.example:3128/x", "http://proxy.example:3128/x"),
        ("socks5://canary@[::1]:1080", "socks5://[::1]:1080"),
        ("http://proxy.example", "http://proxy.example"),
    ],
)
def test_a_url_without_its_user(url: str, told: str) -> None:
    assert without_user(url) == told


def test_headers_are_copied() -> None:
    own = {"X-One": "1"}
    checked = checked_headers(own)
    assert checked == own
    assert checked is not own
    assert checked_headers(None) == {}


@pytest.mark.parametrize(
    ("headers", "why"),
    [
        ([("A", "b")], "must be a mapping"),
        ({"": "x"}, "not a valid HTTP token"),
        ({"a b": "x"}, "not a valid HTTP token"),
        ({"a:": "x"}, "not a valid HTTP token"),
        ({5: "x"}, "not a valid HTTP token"),
        ({"A": 5}, "must be a string"),
        ({"A": "canary\r\nX: y"}, "line break"),
        ({"A": "canary\x00"}, "control character"),
        ({"A": " canary"}, "spaces at its ends"),
        ({"A": "钥匙canary"}, "outside latin-1"),
    ],
)
def test_headers_that_cannot_be_sent(headers: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        checked_headers(headers)
    assert "canary" not in str(caught.value)


def test_a_tab_and_latin_letters_may_stand_in_a_value() -> None:
    assert checked_header_value("A", "a\tü") == "a\tü"


def test_a_key_is_plain_ascii() -> None:
    assert checked_key("id.secret-0_9/+=") == "id.secret-0_9/+="


@pytest.mark.parametrize(
    ("key", "why"),
    [
        (5, "api_key must be a string"),
        ("", "api_key must be a string that is not empty"),
        ("你的密钥canary", "api_key holds a character that no key has.*plain ASCII"),
        ("canary\nX: y", "without line breaks"),
        (" canary", "without spaces at their ends"),
    ],
)
def test_what_is_no_key(key: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why) as caught:
        checked_key(key)
    assert "canary" not in str(caught.value)
    with pytest.raises(ConfigurationError, match=r"^HF_TOKEN "):
        checked_key(key, "HF_TOKEN")


def test_the_caller_s_headers_win_whatever_their_case() -> None:
    merged = merged_headers({"User-Agent": "own", "Accept": "a"}, {"user-agent": "callers"})
    assert merged == {"Accept": "a", "user-agent": "callers"}


def test_json_is_compact_utf8() -> None:
    assert dump_json({"text": "你好", "n": [1, None]}) == '{"text":"你好","n":[1,null]}'.encode()


def test_a_lone_surrogate_is_escaped() -> None:
    assert json.loads(dump_json({"text": "\ud83d"})) == {"text": "\ud83d"}


def loops() -> list[Any]:
    value: list[Any] = []
    value.append(value)
    return value


@pytest.mark.parametrize("value", [{"a": object()}, {"a": float("nan")}, {"a": {1}}, loops()])
def test_what_json_cannot_say(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
        dump_json(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": 1}', {"a": 1}),
        (b'{"a": 1}', {"a": 1}),
        ("[1]", None),
        ("null", None),
        ("{", None),
        ("", None),
        (b"\xff", None),
        ("[" * 100_000, None),
        ("1" * 10_000, None),
    ],
)
def test_objects_alone_are_loaded(text: str | bytes, value: Any) -> None:
    assert load_object(text) == value


@given(st.binary() | st.text())
def test_anything_is_an_object_or_nothing(text: str | bytes) -> None:
    assert load_object(text) is None or isinstance(load_object(text), dict)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("application/json", True),
        ("application/problem+json", True),
        ("text/event-stream", False),
        ("", False),
    ],
)
def test_media_types_of_json(kind: str, told: bool) -> None:
    assert is_json(kind) is told


@pytest.mark.parametrize(
    ("status", "headers", "said"),
    [
        (200, [], ""),
        (200, [("Content-Length", "12"), ("content-length", "12")], ""),
        (200, [("Content-Length", " 12 , 12")], ""),
        (200, [("Transfer-Encoding", " Chunked ")], ""),
        (200, [("X", "tab\there")], ""),
        (101, [("Upgrade", "x")], "101 Switching Protocols, which was not asked for"),
        (200, [("Content-Length", "-5")], "Content-Length: '-5'"),
        (200, [("Content-Length", "+5")], "Content-Length: '+5'"),
        (200, [("Content-Length", "")], "Content-Length: ''"),
        (200, [("Content-Length", "\u0665")], "Content-Length: '\u0665'"),
        (200, [("Content-Length", "5"), ("Content-Length", "6")], "Content-Length: '5, 6'"),
        (200, [("Transfer-Encoding", "identity")], "Transfer-Encoding: 'identity'"),
        (200, [("Transfer-Encoding", "gzip, chunked")], "Transfer-Encoding: 'gzip, chunked'"),
        (200, [("Transfer-Encoding", "chunked")] * 2, "Transfer-Encoding: 'chunked, chunked'"),
        (200, [("X", "a\0b")], "a header with a NUL"),
    ],
)
def test_what_is_no_head_over_http(status: int, headers: list[tuple[str, str]], said: str) -> None:
    assert Head.of(status, headers).malformed == said
