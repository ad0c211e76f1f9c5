"""The file: what is written is read back, byte for byte, and reads well."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient import CassetteError
from glmclient.cassette.entries import (
    Cassette,
    Happening,
    Question,
    RecordedExchange,
    dumped,
    lines_of,
    opening,
    parsed,
)
from glmclient.core.http import Head

HEAD = Head(200, {"content-type": "text/event-stream"}, ("a=***; Path=/",))


def written(*values: RecordedExchange | Question) -> bytes:
    numbers = {Question: 0, RecordedExchange: 0}
    lines: list[Any] = [opening("zai", "http://host/base", "0.0.0")]
    for value in values:
        numbers[type(value)] += 1
        lines += lines_of(value, numbers[type(value)])
    return "".join(map(dumped, lines)).encode()


def exchange(*happenings: Happening, body: bytes | None = b"{}") -> RecordedExchange:
    return RecordedExchange("POST", "http://host/base/x?y=1", {"Accept": "*/*"}, body, happenings)


def test_a_whole_cassette_comes_back() -> None:
    first = exchange(
        Happening(0.125, "head", head=HEAD),
        Happening(0.25, "chunk", chunk="data: 你好\n\n".encode()),
        Happening(0.5, "end"),
    )
    second = replace(
        exchange(Happening(1.0, "failure", failure="timeout", detail="slow", deadline=True)),
        farewell=True,
    )
    third = exchange(Happening(0.0, "failure", failure="connect", detail=""), body=None)
    fourth = exchange(Happening(0.0, "head", head=Head(204)), Happening(0.0, "left"))
    question = Question([{"role": "user", "content": "Hi"}], "glm-4.6", {"temperature": 0.5})
    data = written(question, first, second, third, fourth, Question("Hi"))
    assert parsed(data, "x") == Cassette(
        "zai",
        "http://host/base",
        (question, Question("Hi")),
        (first, second, third, fourth),
    )


@given(st.binary(max_size=60), st.binary(min_size=1, max_size=60))
def test_bytes_are_exact(body: bytes, chunk: bytes) -> None:
    value = exchange(Happening(0.0, "chunk", chunk=chunk), body=body)
    assert parsed(written(value), "x").exchanges == (value,)


@given(st.text(min_size=1), st.integers(0, 40))
def test_text_is_exact_wherever_it_is_cut(text: str, cut: int) -> None:
    data = text.encode("utf-8", "surrogatepass")
    pieces = [piece for piece in (data[:cut], data[cut:]) if piece]
    value = exchange(*(Happening(0.0, "chunk", chunk=piece) for piece in pieces))
    assert parsed(written(value), "x").exchanges == (value,)


def test_it_reads_well() -> None:
    cut = "你好吗".encode()
    data = written(
        exchange(
            Happening(0.0004, "chunk", chunk=cut[:4]),
            Happening(1.23456, "chunk", chunk=cut[4:]),
            Happening(2.0, "chunk", chunk="a\u2028b\x85".encode()),
            Happening(2.0, "chunk", chunk=bytes(range(128, 256))),
            body='{"messages":[{"content":"你好"}]}'.encode(),
        )
    )
    lines = data.decode().splitlines()
    assert [json.loads(line) for line in lines]  # no character in them ends a line
    assert lines[1].count('"json": {"messages": [{"content": "你好"}]}') == 1
    assert lines[2] == '{"exchange": 1, "at": 0.0, "chunk": "你\\udce5"}'
    assert lines[3] == '{"exchange": 1, "at": 1.235, "chunk": "\\udca5\\udcbd吗"}'
    assert lines[4].endswith(r'"chunk": "a\u2028b\u0085"}')
    assert '"base64"' in lines[5]


@pytest.mark.parametrize(
    ("body", "name"),
    [
        (b'{"a":1}', "json"),
        (b'{"a": 1}', "text"),
        (b'{"a":1,"a":2}', "text"),
        (b"plain", "text"),
        (bytes(range(128, 256)), "base64"),
        (None, None),
    ],
)
def test_a_body_is_written_so_that_it_comes_back(body: bytes | None, name: str | None) -> None:
    value = exchange(body=body)
    data = written(value)
    request = json.loads(data.splitlines()[1])["request"]
    assert set(request) - {"method", "url", "headers"} == ({name} if name else set())
    assert parsed(data, "x").exchanges[0].body == body


GOOD = written(exchange(Happening(0.0, "head", head=HEAD), Happening(0.0, "end")))


def test_a_mark_of_the_byte_order_and_empty_lines_do_not_matter() -> None:
    data = b"\xef\xbb\xbf" + GOOD.replace(b"\n", b"\n\n") + b" \n"
    assert parsed(data, "x") == parsed(GOOD, "x")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "x is not a cassette"),
        (b"print(1)\n", "x is not a cassette"),
        (b'{"messages": []}', "x is not a cassette"),
        (b'{"cassette": 2}', "has the format 2"),
        (GOOD.replace(b'"method": "POST", ', b""), "damaged: 'method'"),
        (GOOD + b"{no\n", "line 5 is no JSON object"),
        (GOOD.replace(b'"end"', b'"nap"'), "nothing can end with 'nap'"),
        (GOOD + b'{"exchange": 9, "at": 0, "then": "end"}', "damaged: 9"),
        (GOOD + b'{"exchange": 1, "at": "x", "then": "end"}', "damaged: could not convert"),
        (GOOD + b'{"exchange": 1, "at": 0, "base64": "?"}', "damaged"),
        (GOOD + b'{"exchange": 1, "at": 0, "head": []}', "damaged"),
    ],
)
def test_what_is_no_cassette_is_refused(data: bytes, words: str) -> None:
    with pytest.raises(CassetteError, match=words) as refused:
        parsed(data, "x")
    assert isinstance(refused.value, ValueError)
