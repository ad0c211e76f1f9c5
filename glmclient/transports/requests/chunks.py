"""Chunked bodies: as many chunks a read as are here already, and no framing that is not as it should be.

``http.client`` hands over one chunk a read, and a service that streams makes a chunk of every token. What lies in the
buffer is taken together here; everything that needs waiting, or is not as it should be, is left to ``http.client``.
"""

from __future__ import annotations

import re
from http.client import HTTPException, HTTPResponse, LineTooLong
from typing import Any

__all__ = ["BadChunk", "ChunkedResponse"]

_LINE = 64 * 1024
_HEX = b"0123456789abcdefABCDEF"
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,20})[ \t]*(?:;[^\r\n]*)?\r\n")
_SIZE_LINE = 10
"""Characters in which a chunk's size is looked for; a longer line, with an extension, goes the long way."""


class BadChunk(HTTPException, ValueError):
    """The framing of a chunk is not HTTP; http.client expects a ``ValueError`` where it is the size."""


class ChunkedResponse(HTTPResponse):
    """A response whose ``read1`` joins the chunks that are in the buffer."""

    chunk_left: Any
    """http.client's own count: bytes left in the chunk, 0 before its line end, ``None`` before the next size."""

    def read1(self, n: int = -1) -> bytes:
        """Return what is here, at most ``n`` bytes, waiting for the first byte only (RFC 9112 §7.1)."""
        if self.chunked and self.fp is not None and n > 0:
            joined = self._buffered(self.fp, n)
            if joined:
                return joined
        return super().read1(n)

    # Two steps of http.client's own, which would take ``-5``, ``0x5`` and ``1_0`` for sizes and anything at all for the
    # end of a chunk: what is lost or made up there would be part of the answer.

    def _read_next_chunk_size(self) -> int:
        assert self.fp is not None
        line = self.fp.readline(_LINE + 1)
        if len(line) > _LINE:
            raise LineTooLong("chunk size")
        if not line.endswith(b"\n"):
            raise ValueError("the size of a chunk was cut")
        size = _SIZE.fullmatch(line)
        if size is None:
            raise BadChunk(f"{line[:80]!r} is not the size of a chunk")
        return int(size[1], 16)

    def _safe_read(self, amt: int) -> bytes:
        data: bytes = super()._safe_read(amt)  # type: ignore[misc]
        if self.chunked and self.chunk_left == 0 and data != b"\r\n":
            raise BadChunk(f"{data!r} is not the end of a chunk")
        return data

    def _read_and_discard_trailer(self) -> None:
        # The newest versions of http.client count the lines of a trailer as they count header fields. Here the bytes
        # are counted, by the connection's allowance, as for every other part of the framing.
        assert self.fp is not None
        while (line := self.fp.readline(_LINE + 1)) not in (b"\r\n", b"\n", b""):
            if len(line) > _LINE:
                raise LineTooLong("trailer line")

    def _buffered(self, reader: Any, n: int) -> bytes:
        data: bytes = reader.peek(1)
        size, position, consumed = len(data), 0, 0
        left = done_left = self.chunk_left
        pieces: list[bytes] = []
        while n > 0:
            if not left:
                if left == 0:
                    if data[position : position + 2] != b"\r\n":
                        break
                    position += 2
                end = data.find(b"\r\n", position, position + _SIZE_LINE)
                digits = data[position:end] if end > 0 else b""
                if not digits or digits.translate(None, _HEX):
                    break
                left = int(digits, 16)
                position = end + 2
            take = min(left, size - position, n)
            if take <= 0:
                break  # the last chunk, or a size whose bytes are still to come
            pieces.append(data[position : position + take])
            position += take
            left -= take
            n -= take
            consumed, done_left = position, left
        if consumed:
            reader.read(consumed)
            self.chunk_left = done_left
        return b"".join(pieces)
