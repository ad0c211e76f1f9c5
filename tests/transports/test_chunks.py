"""Chunks that are in the buffer come together; whatever the cut, the body is what http.client reads."""

from __future__ import annotations

import io
from http.client import HTTPException, HTTPResponse

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.transports.requests.chunks import ChunkedResponse

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


class Pieces(io.RawIOBase):
    """A socket that brings one piece a call."""

    def __init__(self, pieces: list[bytes]) -> None:
        super().__init__()
        self.pieces = [piece for piece in pieces if piece]
        self.calls = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self.calls += 1
        if not self.pieces:
            return 0
        piece = self.pieces[0][: len(buffer)]
        self.pieces[0] = self.pieces[0][len(piece) :]
        if not self.pieces[0]:
            del self.pieces[0]
        buffer[: len(piece)] = piece
        return len(piece)


class Line:
    def __init__(self, raw: Pieces) -> None:
        self.raw = raw

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self.raw)


def opened(
    kind: type[HTTPResponse], *pieces: bytes, head: bytes = HEAD
) -> tuple[HTTPResponse, Pieces]:
    raw = Pieces([head, *pieces])
    response = kind(Line(raw))  # type: ignore[arg-type]
    response.begin()
    return response, raw


def outcome(kind: type[HTTPResponse], pieces: list[bytes]) -> tuple[bytes, str]:
    """Return everything that could be read, and the class of what ended it."""
    response, _ = opened(kind, *pieces)
    body = b""
    try:
        while data := response.read1(65536):
            body += data
    except (HTTPException, ValueError, OSError) as error:
        return body, type(error).__name__
    return body, "end" if response.isclosed() else "open"


def encoded(*chunks: bytes) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"


def test_chunks_in_the_buffer_come_in_one_read() -> None:
    response, _ = opened(ChunkedResponse, encoded(b"one ", b"two ", b"three"))
    assert response.read1(65536) == b"one two three"
    assert response.read1(65536) == b""
    assert response.isclosed()


def test_what_is_here_is_not_held_back_for_the_rest_of_its_chunk() -> None:
    response, raw = opened(ChunkedResponse, b"5\r\nhello\r\n20\r\nhalf")
    calls = raw.calls
    assert response.read1(65536) == b"hellohalf"
    assert raw.calls == calls + 1, (
        "a second call would have waited for bytes that are not there yet"
    )


def test_no_more_than_asked_for() -> None:
    response, _ = opened(ChunkedResponse, encoded(b"abc", b"defg"))
    assert [response.read1(5), response.read1(5), response.read1(5)] == [b"abcde", b"fg", b""]


@pytest.mark.parametrize("n", [-1, 0])
def test_other_ways_to_ask_are_left_to_http_client(n: int) -> None:
    response, _ = opened(ChunkedResponse, encoded(b"abc"))
    plain, _ = opened(HTTPResponse, encoded(b"abc"))
    assert response.read1(n) == plain.read1(n)


def test_a_body_of_known_length_is_left_to_http_client() -> None:
    response, _ = opened(
        ChunkedResponse, b"0\r\n\r\n!", head=b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n"
    )
    assert response.read1(65536) == b"0\r\n\r\n!"


@pytest.mark.parametrize(
    "wire",
    [
        b"3;name=value\r\nabc\r\n0\r\n\r\n",
        b"3 \r\nabc\r\n0\r\n\r\n",
        b"0003\r\nabc\r\n0\r\n\r\n",
        b"000000000003\r\nabc\r\n0\r\n\r\n",
        b"3\r\nabc\r\n3",
        b"3\r\nabc\r\n3\r\nd",
        b"3\r\nabc\r\n0\r\nTrailer: x\r\n\r\n",
        b"\r\n",
        b"",
    ],
)
def test_what_is_unusual_ends_as_http_client_ends_it(wire: bytes) -> None:
    assert outcome(ChunkedResponse, [wire]) == outcome(HTTPResponse, [wire])
    single = [wire[i : i + 1] for i in range(len(wire))]
    assert outcome(ChunkedResponse, single) == outcome(HTTPResponse, single)


@pytest.mark.parametrize(
    ("wire", "body", "end"),
    [
        *(
            (encoded(b"abc")[:-5] + size + b"\r\nabc\r\n0\r\n\r\n", b"abc", "IncompleteRead")
            for size in (b"+3", b"-3", b" 3", b"0x3", b"0X3", b"1_0", b"zz", b"", b"3=", b"3" * 30)
        ),
        (b"3\nabc\r\n0\r\n\r\n", b"", "IncompleteRead"),
        (b"3\r\nabcXX3\r\ndef\r\n0\r\n\r\n", b"abc", "BadChunk"),
        (b"3\r\nabc\n3\r\ndef\r\n0\r\n\r\n", b"abc", "BadChunk"),
        (b"3;" + b"x" * 70_000 + b"\r\nabc\r\n0\r\n\r\n", b"", "LineTooLong"),
    ],
)
def test_what_is_no_framing_is_not_guessed_at(wire: bytes, body: bytes, end: str) -> None:
    """http.client would lose bytes of the answer, or take bytes of the framing for it (RFC 9112 §7.1)."""
    assert outcome(ChunkedResponse, [wire]) == (body, end)
    assert outcome(ChunkedResponse, [wire[i : i + 1] for i in range(len(wire))]) == (body, end)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=12), st.data())
def test_any_chunks_at_any_cut_are_the_same_body(chunks: list[bytes], data: st.DataObject) -> None:
    wire = encoded(*chunks)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=10)))
    pieces = [wire[a:b] for a, b in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert outcome(ChunkedResponse, pieces) == (b"".join(chunks), "end")


@given(
    st.lists(
        st.sampled_from([b"3", b"\r\n", b"abc", b"0", b"-1", b"1_0", b";x", b"\n", b"g"]),
        max_size=14,
    )
)
def test_any_garbage_is_the_same_at_any_cut(pieces: list[bytes]) -> None:
    wire = b"".join(pieces)
    body, end = outcome(ChunkedResponse, [wire])
    assert (body, end) == outcome(ChunkedResponse, [wire[i : i + 1] for i in range(len(wire))])
    assert end in ("end", "IncompleteRead", "BadChunk")
    if end == "end":
        assert (body, end) == outcome(HTTPResponse, [wire])
