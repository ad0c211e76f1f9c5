"""Feeding the same bytes in every way that a network could cut them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator

from glmclient.core.sse import Frame, SSEParser


def every_cut(raw: bytes) -> Iterator[list[bytes]]:
    """Yield ``raw`` whole, byte by byte, at every two-way split, and with empty chunks."""
    yield [raw]
    yield [raw[i : i + 1] for i in range(len(raw))]
    for i in range(1, len(raw)):
        yield [raw[:i], raw[i:]]
    yield [piece for i in range(len(raw)) for piece in (b"", raw[i : i + 1])]


def cut_at(raw: bytes, cuts: Iterable[int]) -> list[bytes]:
    """Return ``raw`` cut at the given places."""
    places = [0, *sorted({cut for cut in cuts if 0 < cut < len(raw)}), len(raw)]
    return [raw[i:j] for i, j in itertools.pairwise(places)]


def parsed(chunks: Iterable[bytes], **bounds: int) -> tuple[list[Frame], SSEParser]:
    """Return the frames of ``chunks`` and the parser that read them."""
    parser = SSEParser(**bounds)
    return [frame for chunk in chunks for frame in parser.feed(chunk)], parser


def assert_frames(
    raw: bytes,
    expected: list[Frame],
    *,
    last_event_id: str | None = None,
    retry: int | None = None,
    pending: bool | None = None,
) -> None:
    """Assert that ``raw`` gives ``expected``, and leaves the parser as told, however it is cut."""
    for chunks in every_cut(raw):
        frames, parser = parsed(chunks)
        assert frames == expected, chunks
        assert parser.retry == retry, chunks
        if last_event_id is not None:
            assert parser.last_event_id == last_event_id, chunks
        if pending is not None:
            assert parser.pending is pending, chunks
