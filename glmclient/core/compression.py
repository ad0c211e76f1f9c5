"""The content codings of HTTP, decoded as the bytes come and bounded against decompression bombs.

It is done here and not in the HTTP libraries so that both clients do it the same. Sources: RFC 9110
§8.4.1 (the codings), RFC 1950, 1951 and 1952 (the formats).
"""

from __future__ import annotations

import contextlib
import zlib
from typing import Protocol

from ..errors import GLMError, LimitExceeded, ProtocolError
from .limits import Limits

__all__ = ["ACCEPT_ENCODING", "ContentDecoder", "content_decoder"]

ACCEPT_ENCODING = "gzip, deflate"
"""What a request may say that it accepts."""

_FLOOR = 1024 * 1024
_STEP = 16 * 1024
_GZIP, _ZLIB, _RAW = 16 + zlib.MAX_WBITS, zlib.MAX_WBITS, -zlib.MAX_WBITS
_GZIP_MAGIC = b"\x1f\x8b"


class ContentDecoder(Protocol):
    """Bytes as they were sent in, bytes as they were meant out."""

    failure: GLMError | None
    """What ended the decoding: what the last `feed` returned came before it."""

    def feed(self, data: bytes) -> bytes:
        """Return everything that ``data`` completes.

        Raises:
            ProtocolError: the data is corrupt, and nothing came before that.
            LimitExceeded: it becomes too large, likewise.
        """

    def finish(self) -> None:
        """Say that the body ended.

        Raises:
            ProtocolError: in the middle of the compressed data.
        """


def content_decoder(
    content_encoding: str | None,
    *,
    max_ratio: int = Limits().decompressed_ratio,
    floor: int = _FLOOR,
) -> ContentDecoder:
    """Return a decoder for the value of a ``Content-Encoding`` header.

    Args:
        content_encoding: the header's value; ``None`` if there is none.
        max_ratio: how many times larger than received the body may become.
        floor: bytes up to which it may become larger than that, because little compresses well.

    Raises:
        ProtocolError: the client did not ask for that coding.
    """
    coding = (content_encoding or "").strip().lower()
    if coding in ("", "identity", "none"):
        return _Identity()
    if coding in ("gzip", "x-gzip", "deflate"):
        return _Inflater(coding.removeprefix("x-"), max_ratio, floor)
    raise ProtocolError(
        f"the answer is encoded as {coding[:100]!r}, but only {ACCEPT_ENCODING} were asked for. "
        "Check any proxy in between."
    )


class _Identity:
    failure: GLMError | None = None

    def feed(self, data: bytes) -> bytes:
        return data

    def finish(self) -> None:
        """Nothing tells a cut from an end here."""


class _Inflater:
    """Gzip, of any number of members, and deflate, which is sent with zlib's wrapper and without.

    What follows the last gzip member or the end of the deflate data is ignored, as browsers do: it
    cannot change what was decoded, and real servers pad.
    """

    def __init__(self, coding: str, max_ratio: int, floor: int) -> None:
        self._coding = coding
        self._max_ratio = max_ratio
        self._floor = floor
        self.failure: GLMError | None = None
        self._received = 0
        self._produced = 0
        self._stream: zlib._Decompress | None = None
        self._head = b""  # the bytes that tell which format begins, until there are two
        self._members = 0
        self._ended = False

    def feed(self, data: bytes) -> bytes:
        if self.failure is not None:
            raise self.failure
        pieces: list[bytes] = []
        try:
            self._feed(data, pieces)
        except GLMError as error:
            self.failure = error
            if not any(pieces):
                raise
        return b"".join(pieces)

    def _feed(self, data: bytes, pieces: list[bytes]) -> None:
        # In steps, because zlib copies what is left over at the end of each member: many small
        # members in one large chunk would cost the square of it.
        for start in range(0, len(data), _STEP):
            step = data[start : start + _STEP]
            self._received += len(step)
            self._decode(step, pieces)

    def finish(self) -> None:
        if self.failure is not None:
            raise self.failure
        if self._stream is not None or (self._head and not self._members):
            raise ProtocolError(
                f"the {self._coding} data of the answer ended in the middle, "
                f"after {self._received} bytes. Try again."
            )

    def _decode(self, data: bytes, pieces: list[bytes]) -> None:
        while data and not self._ended:
            if self._stream is None:
                data = self._head + data
                self._head = b"" if len(data) > 1 else data
                if self._head:
                    return
                self._stream = self._opened(data)
                continue
            self._inflate(self._stream, data, pieces)
            if not self._stream.eof:
                return
            data = self._stream.unused_data
            self._stream = None
            self._members += 1

    def _opened(self, head: bytes) -> zlib._Decompress | None:
        if self._coding == "gzip":
            if not self._members or head.startswith(_GZIP_MAGIC):
                return zlib.decompressobj(_GZIP)
        elif not self._members:
            # RFC 1950 §2.2: compression method 8, and a header that 31 divides. Raw data that
            # begins so would be a stored block with dirt in its padding: no compressor writes it.
            wrapped = head[0] & 0x0F == 8 and int.from_bytes(head[:2], "big") % 31 == 0
            return zlib.decompressobj(_ZLIB if wrapped else _RAW)
        self._ended = True
        return None

    def _inflate(self, stream: zlib._Decompress, data: bytes, pieces: list[bytes]) -> None:
        """Decompress ``data`` up to the bound, or to where it is corrupt."""
        maximum = max(self._max_ratio * self._received, self._floor)
        left = maximum - self._produced
        before = stream.copy()
        try:
            piece = stream.decompress(data, left + 1)
        except zlib.error as error:
            pieces.append(_until_corrupt(before, data)[:left])
            raise ProtocolError(
                f"the {self._coding} data of the answer is corrupt ({error}). Try again; "
                "if it stays so, check any proxy in between."
            ) from None
        self._produced += len(piece)
        pieces.append(piece[:left])
        if len(piece) > left:
            raise LimitExceeded(
                f"{self._received} compressed bytes became more than {maximum} bytes. "
                "Raise Limits.decompressed_ratio if the service is right.",
                limit="decompressed_ratio",
                maximum=maximum,
                actual=self._produced,
            )


def _until_corrupt(stream: zlib._Decompress, data: bytes) -> bytes:
    """Return what comes before the fault in ``data``, which zlib keeps to itself if it meets both in one call."""
    pieces: list[bytes] = []
    with contextlib.suppress(zlib.error):
        pieces.extend(stream.decompress(data[place : place + 1]) for place in range(len(data)))
    return b"".join(pieces)
