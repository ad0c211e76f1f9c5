"""Frames that differ from the one before in one string, read without decoding them.

The plain path is an :class:`~glmclient.core.sse.SSEParser` and ``json.loads``; a stream spends most
of its time there, on bytes that it has seen before. `TemplateReader` stands in front of the parser.
A decoder that decoded a frame may teach it which string carries the news; as long as frames repeat
the bytes around that string, only the string is read. Whatever is not exactly so goes the plain
way, so the answer is the plain path's for any bytes and any cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

from .limits import Limits
from .sse import Frame, SSEParser, silence_end

__all__ = ["TemplateReader"]

_BOUNDS = Limits()
_PATIENCE = 64
_BLANK_LINES = (b"\n\n", b"\r\r", b"\r\n\r\n")
_LEARNABLE = 1024 * 1024
_HEAD = re.compile(rb"(?:event:[^\r\n]*\n)?data:(?=[^\r\n]*\n\n\Z)")
_scan = json.JSONDecoder().raw_decode


class TemplateReader:
    """An `SSEParser` that hands out runs of strings where frames repeat what a decoder taught it.

    Args:
        max_line: bytes in one line, its end not counted.
        max_frame: bytes in the data of one frame, the line feeds that join its lines counted.
        errors: as for `SSEParser`.
    """

    def __init__(
        self,
        *,
        max_line: int = _BOUNDS.line,
        max_frame: int = _BOUNDS.frame,
        errors: bool = False,
    ) -> None:
        self._parser = SSEParser(max_line=max_line, max_frame=max_frame, errors=errors)
        self._bound = min(max_line, max_frame)
        self._prefix = bytearray()  # the frame up to the news; empty while nothing was learned
        self._suffix = b""  # the rest, from the closing quote to the blank line
        self._grow = False
        self._held = bytearray()  # a cut frame that may match once the rest is here
        self._seen = bytearray()  # what the parser was fed of the frame handed out last
        self._matched = True
        self._patience = 0
        self._wait = 0

    @property
    def pending(self) -> bool:
        """Whether bytes of an unfinished line or frame are held: an end here is a cut."""
        return bool(self._held) or self._parser.pending

    @property
    def status(self) -> int | None:
        """The HTTP status that a comment of the stream told last."""
        return self._parser.status

    def feed(self, chunk: bytes) -> Iterable[Frame | list[str]]:
        """Give what ``chunk`` completes; read it all before the next chunk is fed.

        Returns:
            Frames that have to be decoded; and, for one or more frames in a row that match what was
            learned last, the list of their strings: whole ones, or what each added if it grows.

        Raises:
            LimitExceeded: a bound was passed, after what came before it was given.
        """
        if self._held:
            return self._feed_held(chunk)
        if self._prefix and not self._parser.pending:
            # Most chunks are whole frames that match: they need no generator.
            values, position = self._run(chunk, 0)
            if position == len(chunk):
                return (values,) if values else ()
            return chain((values,) if values else (), self._feed(chunk, position))
        return self._feed(chunk, 0)

    def _feed_held(self, chunk: bytes) -> Iterator[Frame | list[str]]:
        """Complete the frame that is held, alone: the rest of the chunk is not copied for it."""
        halved = self._held.endswith(b"\n") and chunk.startswith(b"\n")
        end = 1 if halved else _frame_end(chunk, 0) or len(chunk)
        begun = chunk[:end]
        self._held += begun
        if b"\n" in begun or b"\r" in begun or len(self._held) > self._bound:
            held, self._held = bytes(self._held), bytearray()
            yield from self._feed(held, 0)
            yield from self._feed(chunk, end)

    def _feed(self, chunk: bytes, position: int) -> Iterator[Frame | list[str]]:
        size = len(chunk)
        while position < size:
            clean = not self._parser.pending
            if clean and self._prefix:
                values, position = self._run(chunk, position)
                if values:
                    yield values
                if position == size:
                    return
            # A run of comments and blank lines is for the parser at once, however many they are.
            end = silence_end(chunk, position, size) if clean else 0
            if not chunk.endswith(_BLANK_LINES, position, end):
                end = _frame_end(chunk, position)
            if not end and clean and self._could_match(chunk, position):
                self._held += chunk[position:]
                return
            raw = chunk[position : end or size]
            position += len(raw)
            if clean:
                self._seen = bytearray()
            if len(self._seen) < _LEARNABLE:
                self._seen += raw
            for frame in self._parser.feed(raw):
                if self._grow:
                    # The decoder may read another value of the string out of this frame, so "what the next frame adds"
                    # no longer has a start. Keeping the prefix would add to a text that has changed since.
                    self._prefix = bytearray()
                yield frame

    def learn(self, document: Any, path: Sequence[str | int], *, grow: bool = False) -> bool:
        """Learn that frames like the one handed out last differ only in one string.

        Args:
            document: that frame's data, as ``json.loads`` gave it.
            path: the keys and indices that lead to the string; the last is a key.
            grow: the string of the next frame begins with this one's; what it adds is handed out.

        Returns:
            Whether runs are from now on about this string. If not, they are about the one before.
        """
        if self._wait:
            self._wait -= 1
            return False
        # Learning costs about two plain frames, so what does not pay is tried ever less often.
        self._patience = 0 if self._matched else min(2 * self._patience + 1, _PATIENCE)
        self._wait = self._patience
        self._matched = False
        raw = bytes(self._seen)
        place = _locate(raw, document, path)
        if place is None:
            return False
        value, begin, end = place
        if grow and _is_half(value):
            return False
        self._grow = grow
        self._prefix = bytearray(raw[: end if grow else begin])
        self._suffix = raw[end:]
        return True

    def _run(self, chunk: bytes, position: int) -> tuple[list[str], int]:
        """Return the strings of the frames that match from ``position`` on, and where they end."""
        values: list[str] = []
        prefix, suffix, bound = self._prefix, self._suffix, self._bound
        length, rest = len(prefix), len(suffix)
        size = len(chunk)
        while position < size and chunk.startswith(prefix, position):
            begin = position + length
            if (end := chunk.find(b'"', begin)) < 0:
                break
            token = chunk[begin:end]
            try:
                value = token.decode()
                # What JSON could read in another way than as it stands here is read by JSON.
                if b"\\" in token or not value.isprintable():
                    value, end = _string(chunk, begin)
            except ValueError:
                break
            stop = end + rest
            if stop - position > bound or not chunk.startswith(suffix, end):
                break
            values.append(value)
            if self._grow:
                prefix += chunk[begin:end]  # in place: a copy would cost as much as the comparison
                length = len(prefix)
                if _is_half(value):
                    self._prefix = bytearray()
                    return values, stop
            position = stop
        if values:
            self._matched = True
        return values, position

    def _could_match(self, chunk: bytes, position: int) -> bool:
        """Tell whether a frame that began at ``position`` can still become one that matches."""
        size, length = len(chunk) - position, len(self._prefix)
        if size > self._bound:
            return False
        if size < length:
            return self._prefix.startswith(chunk[position:])
        # No string holds a line end. With one, more than the first of the blank line's, the parser
        # may have a frame to give at once.
        after = position + length
        return bool(length) and (
            chunk.startswith(self._prefix, position)
            and chunk.find(b"\n", after) in (-1, len(chunk) - 1)
            and chunk.find(b"\r", after) < 0
        )


def _frame_end(chunk: bytes, position: int) -> int:
    """Return where the next blank line ends, or 0; blank lines of CR are left to the parser."""
    # One byte is searched for at the speed of memchr, two are not.
    while (position := chunk.find(b"\n", position) + 1) and chunk[position : position + 1] != b"\n":
        pass
    return position and position + 1


def _locate(raw: bytes, document: Any, path: Sequence[str | int]) -> tuple[str, int, int] | None:
    """Return the string at ``path`` and where its content begins and ends in the frame ``raw``.

    It is proven, not guessed: with another string in that place, the whole document reads the same
    but for the value at ``path``. A place where one JSON string can stand takes every JSON string.
    """
    head = _HEAD.match(raw)
    if head is None:
        return None
    try:
        key = re.compile(re.escape(json.dumps(path[-1]).encode()) + rb"[ \t]*:[ \t]*\"")
        # Of equal keys the last one counts.
        for place in reversed(list(key.finditer(raw, head.end()))[-3:]):
            begin = place.end()
            value, end = _string(raw, begin)
            probe = b"?" if value != "?" else b"!"
            text = raw[head.end() : begin] + probe + raw[end:]
            other = json.loads(text.decode("utf-8", "replace"))
            parent = _at(other, path[:-1])
            if parent[path[-1]] == probe.decode():
                parent[path[-1]] = value
                if other == document:
                    return value, begin, end
    except (ValueError, LookupError, TypeError, RecursionError):
        pass  # not a frame of the kind that can be learned
    return None


def _at(document: Any, path: Sequence[str | int]) -> Any:
    for key in path:
        document = document[key]
    return document


def _string(raw: bytes, begin: int) -> tuple[str, int]:
    """Return the JSON string whose content begins at ``begin``, and where its content ends.

    Raises:
        ValueError: there is no whole string in that line, or it is not UTF-8.
    """
    line_end = raw.find(b"\n", begin)
    text = str(raw[begin : line_end if line_end >= 0 else len(raw)], "utf-8")
    value, after = _scan('"' + text)
    return value, begin + len(text[: after - 2].encode())


def _is_half(value: str) -> bool:
    # An escaped character outside the BMP may be cut between its two surrogates; with what follows
    # the whole string reads otherwise than its parts.
    return "\ud800" <= value[-1:] <= "\udbff"
