"""Chunked bodies, as many chunks a read as are here already.

``http.client`` hands over one chunk a read, and a service that streams makes a chunk of every token. What lies in the
buffer is taken together here; everything that needs waiting, or is not as it should be, is left to ``http.client``.
"""

from __future__ import annotations

from http.client import HTTPResponse
from typing import Any

__all__ = ["ChunkedResponse"]

_SIZE_LINE = 10
"""Characters in which a chunk's size is looked for; a longer line, with an extension, goes the long way."""


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
                if not digits.isalnum():  # int() would take signs, spaces and underscores
                    break
                try:
                    left = int(digits, 16)
                except ValueError:
                    break
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
