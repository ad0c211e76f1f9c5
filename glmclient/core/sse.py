"""Server-sent events: bytes in, frames out, to the letter of the WHATWG HTML standard.

Sources: §9.2.5 "Parsing an event stream" (the grammar) and §9.2.6 "Interpreting an event stream"
(the fields) of https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from ..errors import LimitExceeded
from .limits import Limits

__all__ = ["Frame", "SSEParser"]

_BOM = b"\xef\xbb\xbf"
_LF = 0x0A
_RETRY_DIGITS = 18
_BOUNDS = Limits()
_SILENT = frozenset(b"\r\n:")
_SILENCE = re.compile(rb"(?:\r\n?|\n|:(?!HTTP_STATUS/)[^\r\n]*(?:\r\n?|\n))+")
"""Blank lines and comments; a comment that tells an HTTP status is read by itself."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One dispatched event.

    Args:
        data: the values of its ``data`` lines, joined by line feeds.
        event: its type.
        id: the last event id of the stream when it was dispatched.
    """

    data: str
    event: str = "message"
    id: str = ""


class SSEParser:
    """An incremental parser; every cut of the same bytes gives the same frames, in linear time.

    Args:
        max_line: bytes in one line, its end not counted.
        max_frame: bytes in the data of one frame, the line feeds that join its lines counted.
        errors: also give frames of type ``error`` for what the standard ignores and some servers write: a field
            ``error`` in place of ``data`` (llama.cpp), a JSON object without any field name (gateways that fail in
            the middle), and the HTTP status in a comment (Alibaba), which becomes `status`.
    """

    def __init__(
        self,
        *,
        max_line: int = _BOUNDS.line,
        max_frame: int = _BOUNDS.frame,
        errors: bool = False,
    ) -> None:
        self.last_event_id: str = ""
        """The id that the last blank line made current."""
        self.retry: int | None = None
        """The reconnection time in milliseconds that the service asked for last."""
        self.status: int | None = None
        """The HTTP status that a comment told last; only with ``errors``."""
        self._errors = errors
        self._bare = False
        """The frame is a JSON object without field names; its further lines belong to it."""
        self._max_line = max_line
        self._max_frame = max_frame
        self._at_start = True
        self._after_cr = False
        self._line = bytearray()  # grows in place: a chunk is copied once, however small it is
        self._data: list[bytes] = []
        self._data_size = 0
        self._event = ""
        self._id = ""

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished line or frame are held: an end here is a cut."""
        return bool(self._line or self._data or self._event)

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """Yield the frames that ``chunk`` completes; read them all before the next chunk is fed.

        Raises:
            LimitExceeded: a bound was passed, after the frames before it were yielded.
        """
        size = len(chunk)
        if not size:
            return
        start = 1 if self._after_cr and chunk[0] == _LF else 0
        self._after_cr = False
        # Where the next LF and CR are, or `size`; searched for again only once they were passed.
        lf = cr = -1
        while start < size:
            if lf < start and (lf := chunk.find(b"\n", start)) < 0:
                lf = size
            if cr < start and (cr := chunk.find(b"\r", start)) < 0:
                cr = size
            end = lf if lf < cr else cr
            length = end - start + len(self._line)
            if length > self._max_line:
                raise _exceeded("sse_line", "a line of the stream", self._max_line, length)
            if end == size:
                self._line += chunk[start:]
                return
            if (
                end == lf
                and chunk[end + 1 : end + 2] == b"\n"
                and chunk.startswith(b"data: ", start)
                and length <= self._max_frame
                and not (self._line or self._data)
            ):
                # What services send: one data line and the blank line, both here. The rest of the
                # loop would give the same frame, with one more turn and two more calls.
                yield self._frame(chunk[start + 6 : end])
                start = end + 2
                continue
            if chunk[start] in _SILENT and not (self._line or self._data or self._event):
                silent = self._skip_silence(chunk, start)
                if silent:
                    start = silent
                    continue
            line = self._completed(chunk[start:end])
            start = end + 1
            if end == cr:
                # A CR ends its line at once, also as the last byte that is here: waiting for an
                # LF that may never come would hold the frame back.
                if start == size:
                    self._after_cr = True
                elif chunk[start] == _LF:
                    start += 1
            if line:
                self._field(line)
            elif frame := self._dispatch():
                yield frame

    def _skip_silence(self, chunk: bytes, start: int) -> int:
        """Read a run of comments and blank lines at once; return where it ends, or 0 if there is none.

        Between two frames they change nothing but what the first line and the blank line after an id change. Servers
        send them to keep a connection alive, and a hostile one sends a million of them in one read.
        """
        # No line of a run that is not longer than the bound can pass the bound.
        end = silence_end(chunk, start, start + self._max_line)
        if not end:
            return 0
        run = chunk[start:end].replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if run.startswith(b"\n") or b"\n\n" in run:
            self._dispatch()
        self._at_start = False
        self._after_cr = end == len(chunk) and chunk.endswith(b"\r")
        return end

    def _completed(self, rest: bytes) -> bytes:
        if not self._line:
            return rest
        self._line += rest
        line = bytes(self._line)
        self._line = bytearray()
        return line

    def _field(self, line: bytes) -> None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        name, _, value = line.partition(b":")
        if value[:1] == b" ":
            value = value[1:]
        if self._errors:
            name, value = self._beside_the_standard(line, name, value)
        if name == b"data":
            self._data_size += len(value) + 1
            if self._data_size - 1 > self._max_frame:
                raise _exceeded(
                    "sse_frame", "a frame of the stream", self._max_frame, self._data_size - 1
                )
            self._data.append(value)
        elif name == b"event":
            self._event = _decoded(value)
        elif name == b"id":
            if b"\0" not in value:
                self._id = _decoded(value)
        # bytes.isdigit knows only ASCII; a number too long to be a time is no time either.
        elif name == b"retry" and value.isdigit() and len(value) <= _RETRY_DIGITS:
            self.retry = int(value)

    def _beside_the_standard(self, line: bytes, name: bytes, value: bytes) -> tuple[bytes, bytes]:
        """Return the field that a line stands for, where the standard would ignore it."""
        if self._bare or (line[:1] == b"{" and not self._data):
            self._bare, self._event = True, "error"
            return b"data", line
        if name == b"error" and value and not self._data:
            self._event = "error"
            return b"data", value
        if not name and value.startswith(b"HTTP_STATUS/") and value[12:].isdigit():
            self.status = int(value[12:15])
        return name, value

    def _dispatch(self) -> Frame | None:
        """End the frame at a blank line; without a data line there is none, its type is dropped."""
        if self._data:
            data = self._data[0] if len(self._data) == 1 else b"\n".join(self._data)
            self._data = []
            self._data_size = 0
            return self._frame(data)
        self._at_start = False
        self.last_event_id = self._id
        self._event = ""
        return None

    def _frame(self, data: bytes) -> Frame:
        self._at_start = False
        self.last_event_id = self._id
        event, self._event = self._event, ""
        self._bare = False
        return Frame(_decoded(data), event or "message", self._id)


def silence_end(chunk: bytes, start: int, stop: int) -> int:
    """Return where the comments and blank lines that begin at ``start`` end, before ``stop``; 0 if there are none."""
    match = _SILENCE.match(chunk, start, stop)
    if match is None:
        return 0
    end = match.end()
    halved = chunk[end - 1 : end + 1] == b"\r\n"
    return end + 1 if halved else end


def _decoded(value: bytes) -> str:
    # Line ends and colons are ASCII and never part of a longer character, so a value decoded on
    # its own reads as it would within the whole stream.
    return value.decode("utf-8", "replace")


def _exceeded(limit: str, what: str, maximum: int, actual: int) -> LimitExceeded:
    name = limit.removeprefix("sse_")
    return LimitExceeded(
        f"{what} is longer than {maximum} bytes ({actual} received). "
        f"Raise Limits.{name} if the service is right.",
        limit=limit,
        maximum=maximum,
        actual=actual,
    )
