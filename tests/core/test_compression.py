"""Content codings: any cut, many members, both kinds of deflate, cuts, dirt and bombs."""

from __future__ import annotations

import gzip
import itertools
import time
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.compression import ACCEPT_ENCODING, ContentDecoder, content_decoder
from glmclient.errors import GLMError, LimitExceeded, ProtocolError

from .wire import cut_at, every_cut

TEXT = "data: 你好 😀\n\n".encode() * 4


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(data) + compressor.flush()


CODERS: dict[str, tuple[str, Callable[[bytes], bytes]]] = {
    "no coding": ("", bytes),
    "identity": ("identity", bytes),
    "gzip": ("gzip", gzip.compress),
    "x-gzip": ("x-gzip", gzip.compress),
    "gzip in two members": ("gzip", lambda d: gzip.compress(d[:9]) + gzip.compress(d[9:])),
    "gzip with an empty member": ("gzip", lambda d: gzip.compress(b"") + gzip.compress(d)),
    "deflate": ("deflate", zlib.compress),
    "deflate, stored": ("deflate", lambda d: zlib.compress(d, 0)),
    "deflate without wrapper": ("deflate", raw_deflate),
}
coders = pytest.mark.parametrize(("coding", "encode"), CODERS.values(), ids=CODERS)
compressors = pytest.mark.parametrize(
    ("coding", "encode"), list(CODERS.values())[2:], ids=list(CODERS)[2:]
)


def decoded(decoder: ContentDecoder, chunks: list[bytes]) -> bytes:
    data, failure = outcome(decoder, chunks)
    if failure is not None:
        raise failure
    return data


def outcome(decoder: ContentDecoder, chunks: list[bytes]) -> tuple[bytes, GLMError | None]:
    """Return all that was decoded, and what ended it before the end."""
    data = b""
    try:
        for chunk in chunks:
            data += decoder.feed(chunk)
            if decoder.failure is not None:
                return data, decoder.failure
        decoder.finish()
    except GLMError as error:
        return data, error
    return data, None


@coders
@pytest.mark.parametrize("data", [TEXT, b"x", b""], ids=["text", "one byte", "nothing"])
def test_any_cut_decodes(coding: str, encode: Callable[[bytes], bytes], data: bytes) -> None:
    for chunks in every_cut(encode(data)):
        assert decoded(content_decoder(coding), chunks) == data


@given(
    st.sampled_from(list(CODERS.values())), st.binary(max_size=300), st.lists(st.integers(0, 400))
)
def test_any_bytes_and_cut_decode(
    coder: tuple[str, Callable[[bytes], bytes]], data: bytes, cuts: list[int]
) -> None:
    coding, encode = coder
    assert decoded(content_decoder(coding), cut_at(encode(data), cuts)) == data


@given(st.sampled_from(["gzip", "deflate"]), st.binary(max_size=100), st.lists(st.integers(0, 100)))
def test_any_garbage_decodes_or_is_a_protocol_error_for_any_cut(
    coding: str, data: bytes, cuts: list[int]
) -> None:
    whole, failure = outcome(content_decoder(coding), [data])
    assert failure is None or type(failure) is ProtocolError
    parts, same = outcome(content_decoder(coding), cut_at(data, cuts))
    assert (parts, type(same)) == (whole, type(failure))


@compressors
@given(
    data=st.binary(min_size=20, max_size=300), place=st.integers(0, 400), byte=st.integers(0, 255)
)
def test_what_comes_before_a_fault_is_the_same_for_any_cut(
    coding: str, encode: Callable[[bytes], bytes], data: bytes, place: int, byte: int
) -> None:
    raw = bytearray(encode(data))
    raw[place % len(raw)] = byte
    whole, failure = outcome(content_decoder(coding), [bytes(raw)])
    for chunks in every_cut(bytes(raw)):
        parts, same = outcome(content_decoder(coding), chunks)
        assert (parts, type(same)) == (whole, type(failure))


@pytest.mark.parametrize("coding", ["GZIP", " gzip ", "Gzip", "X-GZIP"])
def test_the_name_of_a_coding_is_read_as_http_writes_it(coding: str) -> None:
    assert decoded(content_decoder(coding), [gzip.compress(TEXT)]) == TEXT


def test_no_header_is_no_coding() -> None:
    assert decoded(content_decoder(None), [b"a", b"", b"b"]) == b"ab"


@pytest.mark.parametrize("coding", ["br", "zstd", "gzip, gzip", "compress", "x-deflate", "é" * 999])
def test_another_coding_is_refused_by_name(coding: str) -> None:
    with pytest.raises(ProtocolError, match=f"{coding[:50]}.*only {ACCEPT_ENCODING} ") as caught:
        content_decoder(coding)
    assert len(str(caught.value)) < 300


@compressors
def test_what_a_flush_completes_is_there_at_once(
    coding: str, encode: Callable[[bytes], bytes]
) -> None:
    wbits = {b"\x1f": 31, b"\x78": 15}.get(encode(TEXT)[:1], -15)
    compressor = zlib.compressobj(wbits=wbits)
    decoder = content_decoder(coding)
    for piece in (b"data: a\n\n", b"data: b\n\n", TEXT):
        sent = compressor.compress(piece) + compressor.flush(zlib.Z_SYNC_FLUSH)
        assert decoder.feed(sent) == piece
    with pytest.raises(ProtocolError, match="ended in the middle"):
        decoder.finish()
    assert decoder.feed(compressor.flush()) == b""
    decoder.finish()


@compressors
def test_a_cut_gives_what_came_and_is_an_error_only_at_the_end(
    coding: str, encode: Callable[[bytes], bytes]
) -> None:
    whole = encode(TEXT)
    ends = {0, len(whole)}
    if whole.count(b"\x1f\x8b\x08") == 2:
        # Between two members nothing is open: the same bytes could have been the whole.
        first = whole.index(b"\x1f\x8b\x08", 1)
        ends |= {first, first + 1}
    for cut in range(len(whole) + 1):
        decoder = content_decoder(coding)
        assert TEXT.startswith(decoder.feed(whole[:cut]))
        if cut in ends:
            decoder.finish()
        else:
            with pytest.raises(ProtocolError, match=rf"ended in the middle, after {cut} bytes"):
                decoder.finish()


@pytest.mark.parametrize("dirt", [b"\0" * 20, b"\x1f", b"\x1fx", b"<html>", b"\r\n"])
@compressors
def test_dirt_after_the_end_is_ignored(
    coding: str, encode: Callable[[bytes], bytes], dirt: bytes
) -> None:
    for chunks in every_cut(encode(b"answer") + dirt):
        assert decoded(content_decoder(coding), chunks) == b"answer"


def test_a_member_after_dirt_is_dirt() -> None:
    raw = gzip.compress(b"a") + b"\0" + gzip.compress(b"b")
    assert decoded(content_decoder("gzip"), [raw]) == b"a"


@pytest.mark.parametrize(
    ("coding", "raw"),
    [
        pytest.param("gzip", TEXT, id="gzip that is none"),
        pytest.param("gzip", gzip.compress(TEXT)[:-8] + b"\0" * 8, id="gzip with a wrong sum"),
        pytest.param(
            "gzip", gzip.compress(TEXT) + b"\x1f\x8b" + b"\xff" * 20, id="gzip with a false member"
        ),
        pytest.param("gzip", zlib.compress(TEXT), id="gzip that is zlib"),
        pytest.param("deflate", zlib.compress(TEXT)[:-1] + b"\0", id="deflate with a wrong sum"),
        pytest.param("deflate", b"\xff" * 20, id="deflate that is none"),
        pytest.param("deflate", gzip.compress(TEXT), id="deflate that is gzip"),
    ],
)
def test_corrupt_data_is_a_protocol_error_for_any_cut(coding: str, raw: bytes) -> None:
    for chunks in every_cut(raw):
        with pytest.raises(
            ProtocolError, match=f"{coding} data of the answer is corrupt"
        ) as caught:
            decoded(content_decoder(coding), chunks)
        assert caught.value.__suppress_context__


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
def test_what_comes_before_a_fault_is_handed_out(step: int) -> None:
    compressor = zlib.compressobj(wbits=31)
    raw = compressor.compress(TEXT) + compressor.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 20
    decoder = content_decoder("gzip")
    data, failure = outcome(decoder, [raw[i : i + step] for i in range(0, len(raw), step)])
    assert data == TEXT
    assert type(failure) is ProtocolError
    for call in (lambda: decoder.feed(b"more"), decoder.finish):
        with pytest.raises(ProtocolError) as again:
            call()
        assert again.value is failure


def test_deflate_without_wrapper_is_known_by_either_half_of_the_wrapper() -> None:
    stored = b"\x08\x05\x00\xfa\xffhello\x03\x00"  # its padding looks like method 8
    assert decoded(content_decoder("deflate"), [stored]) == b"hello"
    data = next(  # its first two bytes are divided by 31, as a wrapper's are
        data
        for data in (b"%d" % i for i in itertools.count())
        if int.from_bytes(raw_deflate(data)[:2], "big") % 31 == 0
    )
    assert decoded(content_decoder("deflate"), [raw_deflate(data)]) == data


# -- bombs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("coding", "encode"), [CODERS["gzip"], CODERS["deflate"], CODERS["deflate without wrapper"]]
)
def test_the_bound_is_exact(coding: str, encode: Callable[[bytes], bytes]) -> None:
    data = bytes(5000)
    decoder = content_decoder(coding, max_ratio=1, floor=5000)
    assert decoded(decoder, [encode(data)]) == data
    decoder = content_decoder(coding, max_ratio=1, floor=4999)
    with pytest.raises(LimitExceeded, match=r"more than 4999 bytes.*decompressed_ratio") as caught:
        decoded(decoder, [encode(data)])
    assert caught.value.limit == "decompressed_ratio"
    assert (caught.value.maximum, caught.value.actual) == (4999, 5000)


def test_the_ratio_counts_what_was_received() -> None:
    data = bytes(300_000)
    sent = zlib.compress(data)
    ratio = -(-len(data) // len(sent))
    assert decoded(content_decoder("deflate", max_ratio=ratio, floor=1), [sent]) == data
    with pytest.raises(LimitExceeded) as caught:
        decoded(content_decoder("deflate", max_ratio=ratio - 1, floor=1), [sent])
    assert caught.value.maximum == (ratio - 1) * len(sent)
    assert caught.value.actual == caught.value.maximum + 1


@pytest.mark.parametrize("step", [1 << 30, 4096, 100])
def test_a_bomb_stops_early_by_default(step: int) -> None:
    compressor = zlib.compressobj(9, wbits=31)
    bomb = b"".join([compressor.compress(bytes(1 << 20)) for _ in range(64)]) + compressor.flush()
    decoder = content_decoder("gzip")
    largest = total = 0
    with pytest.raises(LimitExceeded) as caught:
        for i in range(0, len(bomb), step):
            piece = decoder.feed(bomb[i : i + step])
            total += len(piece)
            largest = max(largest, len(piece))
        decoder.finish()
    assert total <= caught.value.actual == caught.value.maximum + 1
    assert caught.value.maximum <= max(1 << 20, 200 * len(bomb))
    assert largest <= max(1 << 20, 1100 * step)


def test_a_bomb_of_members_is_counted_as_one() -> None:
    member = gzip.compress(bytes(100_000))
    decoder = content_decoder("gzip")
    with pytest.raises(LimitExceeded):
        decoded(decoder, [member * 100])


def test_answers_that_repeat_themselves_stay_below_the_bound() -> None:
    # Snapshots of a growing answer are what compresses best of all that services send.
    text = "".join(f"{i * i} 你好 " for i in range(600))
    snapshots = "".join(f"data: {text[:i]}\n\n" for i in range(0, len(text), 4)).encode()
    for flush in (zlib.Z_NO_FLUSH, zlib.Z_SYNC_FLUSH):
        compressor = zlib.compressobj(9, wbits=31)
        frames = [frame + b"\n\n" for frame in snapshots.split(b"\n\n")[:-1]]
        sent = [compressor.compress(frame) + compressor.flush(flush) for frame in frames[:-1]]
        sent.append(compressor.compress(frames[-1]) + compressor.flush())
        assert decoded(content_decoder("gzip"), sent) == snapshots


def test_many_small_members_in_one_chunk_are_linear() -> None:
    member = gzip.compress(b"")
    decoder = content_decoder("gzip")
    began = time.monotonic()
    assert decoded(decoder, [member * 300_000 + gzip.compress(b"end")]) == b"end"
    assert time.monotonic() - began < 60
