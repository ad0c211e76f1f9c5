"""Which request is the recorded one, and how a difference is told."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient.cassette.entries import RecordedExchange
from glmclient.cassette.matching import differences
from glmclient.core.http import Request

BASE = "https://host/api/paas"


def differ(
    before: Any,
    now: Any,
    *,
    urls: tuple[str, str] = (f"{BASE}/chat", f"{BASE}/chat"),
    bases: tuple[str, str] = (BASE, BASE),
    methods: tuple[str, str] = ("POST", "POST"),
) -> list[str]:
    bodies = [
        value if isinstance(value, bytes) or value is None else json.dumps(value).encode()
        for value in (before, now)
    ]
    return differences(
        RecordedExchange(methods[0], urls[0], {"Accept": "a"}, bodies[0]),
        bases[0],
        Request(methods[1], urls[1], {"Accept": "b"}, bodies[1]),
        bases[1],
    )


@pytest.mark.parametrize(
    ("before", "now"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}),
        (b"text", b"text"),
        (None, None),
        ({"session_hash": "000001"}, {"session_hash": "k3jx9"}),
        ({"data": [{"id": "a"}]}, {"data": [{"id": "b"}]}),
    ],
)
def test_the_same(before: Any, now: Any) -> None:
    assert differ(before, now) == []


def test_the_address_does_not_matter_but_what_is_below_it() -> None:
    urls = (f"{BASE}/chat?a=1", "http://127.0.0.1:9/elsewhere/chat?a=1")
    bases = (BASE, "http://127.0.0.1:9/elsewhere/")
    assert differ(None, None, urls=urls, bases=bases) == []
    other = (f"{BASE}/chat?a=1", f"{BASE}/models?a=2&session_hash=x")
    assert differ(None, None, urls=other) == [
        "path: recorded '/chat', asked '/models'",
        "query.a: recorded '1', asked '2'",
        "query.session_hash: recorded nothing, asked 'x'",
    ]


@pytest.mark.parametrize(
    ("before", "now", "told"),
    [
        (
            {"messages": [{"content": "Hi"}]},
            {"messages": [{"content": "Hello"}]},
            ["body.messages[0].content: recorded 'Hi', asked 'Hello'"],
        ),
        ({"a": 1}, {"a": 1, "b": 2}, ["body.b: recorded nothing, asked 2"]),
        ({"a": [1]}, {"a": [1, 2]}, ["body.a: recorded [1], asked [1, 2]"]),
        (
            {"conversation_id": ""},
            {"conversation_id": "c1"},
            ["body.conversation_id: recorded '', asked 'c1'"],
        ),
        ({"id": 1}, {"id": 2}, ["body.id: recorded 1, asked 2"]),
        (b"one", b"two", ["body: recorded 'one', asked 'two'"]),
        (None, b"two", ["body: recorded None, asked 'two'"]),
        ({"a": "x" * 99}, {"a": ""}, [f"body.a: recorded '{'x' * 79}…, asked ''"]),
    ],
)
def test_what_differs_is_told(before: Any, now: Any, told: list[str]) -> None:
    assert differ(before, now) == told


def test_the_method_counts() -> None:
    assert differ(None, None, methods=("GET", "POST")) == ["method: recorded 'GET', asked 'POST'"]
