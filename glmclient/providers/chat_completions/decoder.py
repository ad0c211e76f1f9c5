"""The platform's responses and those of compatible servers: bytes in, events out.

Source: ``docs/wire/open-platform.md`` §2.7 and §2.8 (errors and ends of a stream), §4 (whole answers).
"""

from __future__ import annotations

import json
import re
from typing import Any

from ...core.limits import Limits
from ...core.sse import Frame
from ...core.template import TemplateReader
from ...errors import GLMError, LimitExceeded, ProtocolError
from ...events import Event
from .answer import AnswerReader, ChoiceFailed
from .refusals import Refusals, is_refusal

__all__ = ["PlatformDecoder"]

_DONE = "[DONE]"
_SHOWN = 500
_WORDS = ("detail", "message", "msg", "error_msg", "errorMessage", "reason", "code")
"""Fields in which servers explain a stream without an answer."""
_BLANK = b"\xef\xbb\xbf \t\r\n"
_NEVER_A_STREAM = b"{[<"
_MAY_BE_A_STREAM = b":deir"
"""How a comment and the fields ``data``, ``event``, ``id`` and ``retry`` begin."""


class PlatformDecoder:
    """Decodes one response, streamed or whole.

    Its first byte tells which, because headers are wrong where gateways are: a JSON value and a page begin as no
    field of a stream does.

    Args:
        answer: turns chunks into events.
        refusals: turns refusals of every shape into what users catch.
        limits: bounds on what is held.
    """

    def __init__(self, answer: AnswerReader, refusals: Refusals, limits: Limits) -> None:
        self.done: bool = False
        self._answer = answer
        self._refusals = refusals
        self._limits = limits
        self._frames = TemplateReader(max_line=limits.line, max_frame=limits.frame, errors=True)
        self._streamed = False
        self._body = bytearray()

    def feed(self, chunk: bytes, out: list[Event]) -> None:
        """Append the events that ``chunk`` completes to ``out``.

        Raises:
            APIStatusError: the service refused, in whatever shape.
            ProtocolError: a frame is not what the service promises.
        """
        if not self._streamed:
            chunk = self._opened(chunk)
        for item in self._frames.feed(chunk):
            if type(item) is list:
                self._answer.repeat(item, out)
                continue
            self._frame(item, out)  # type: ignore[arg-type]
            if self.done:
                return

    def _frame(self, frame: Frame, out: list[Event]) -> None:
        """Read one frame of a stream: a chunk of the answer, a refusal, or the end mark."""
        data = frame.data
        if not data or data.isspace():
            return  # an empty frame is a heartbeat
        try:
            chunk = loads(data)
        except (ValueError, RecursionError):
            self._unparsed(frame, out)
            return
        if type(chunk) is not dict:
            self._unreadable(frame, out)
            return
        if is_refusal(chunk) or (frame.event == "error" and not chunk.get("choices")):
            raise self._refusals.of_json(chunk, data, status=self._frames.status)
        self._read(chunk, data, out)
        path = self._answer.news(chunk)
        # The one seam to the fast path: without these two lines every frame is decoded in full.
        if path is not None and self._frames.learn(chunk, path):
            self._answer.expect(chunk, path)

    def _unparsed(self, frame: Frame, out: list[Event]) -> None:
        text = frame.data.strip()
        lines = text.splitlines()
        if text == _DONE:
            if not self._answer.began:
                raise self._unanswered()
            self._finish(out)
        elif len(lines) > 1 and all(map(_is_value, lines)):
            # A relay separated its frames by one line feed, and the standard joins them to one frame.
            for line in lines:
                if not self.done:
                    self._frame(Frame(line, frame.event), out)
        elif text:  # an empty frame is a heartbeat
            self._unreadable(frame, out)

    def _unreadable(self, frame: Frame, out: list[Event]) -> None:
        """Say what a frame means that is not a JSON object.

        Raises:
            APIStatusError: it is a refusal in words, or in JSON that the server wrote by hand and got wrong.
            ProtocolError: it is nothing that a service promises.
        """
        if frame.event.lower() in _HEARTBEATS:
            return
        words = _words_of_error(frame)
        if words:
            raise self._refusals.of_words(words, frame.data, status=self._frames.status)
        if self.complete:
            self._finish(out)  # the answer is whole; only its usage may be missing
            return
        raise _not_promised(frame.data)

    def _finish(self, out: list[Event]) -> None:
        self._answer.finish(out)
        self.done = True

    def _unanswered(self) -> GLMError:
        """Return the error for an end mark without any answer, with the words of what came."""
        chunk = self._answer.nothing()
        if not chunk:
            return ProtocolError(
                "the service ended the stream ([DONE]) without any answer. Try again; check base_url and the model.",
                frame=_DONE,
                retryable=True,
            )
        raw = json.dumps(chunk, ensure_ascii=False)
        if any(chunk.get(name) for name in _WORDS):
            return self._refusals.of_json(chunk, raw)
        return ProtocolError(
            f"the service ended the stream ([DONE]) without any answer; it sent {raw[:_SHOWN]}. Try again; check "
            "base_url and the model.",
            frame=raw[:_SHOWN],
            retryable=True,
        )

    def end(self, out: list[Event]) -> None:
        """The body ended: decode a whole answer, or accept a stream that has told its finish reason.

        Raises:
            APIStatusError: the body is a refusal.
            ProtocolError: it is no answer.
        """
        if self._body:
            self._whole(bytes(self._body), out)
            return
        self._tail(out)
        if self.done:
            return
        if self._answer.finish_seen:
            self._finish(out)
        elif not self._answer.began and any(self._answer.nothing().get(name) for name in _WORDS):
            raise self._unanswered()

    @property
    def complete(self) -> bool:
        """Whether the answer is whole: a connection that breaks now takes nothing of it away."""
        return self._answer.complete

    def _tail(self, out: list[Event]) -> None:
        """Complete a last frame whose blank line is missing; one that was cut in the middle is no frame.

        A part of a JSON object is never a JSON object: what can be read here is whole.
        """
        try:
            self.feed(b"\n\n", out)
        except ProtocolError:
            return

    # -- what is no stream -------------------------------------------------------------------------------------

    def _opened(self, chunk: bytes) -> bytes:
        """Return the bytes of a stream; collect those of anything else."""
        if not self._body:
            said = chunk.lstrip(_BLANK)
            if not said:
                return chunk
            if not self._is_body(said[:1]):
                self._streamed = True
                return chunk
            chunk = said
        self._body += chunk
        size = len(self._body)
        if self._body.startswith(b"<") and size > self._limits.error_body:
            raise self._refusals.of_body(bytes(self._body[: self._limits.error_body]))
        if size > self._limits.body:
            raise LimitExceeded(
                f"the body of the answer is longer than {self._limits.body} bytes ({size} received). "
                "Raise Limits.body.",
                limit="body",
                maximum=self._limits.body,
                actual=size,
            )
        return b""

    def _is_body(self, first: bytes) -> bool:
        if first in _NEVER_A_STREAM:
            return True
        declared = self._refusals.head.content_type == "text/event-stream"
        return not declared and first not in _MAY_BE_A_STREAM

    def _whole(self, body: bytes, out: list[Event]) -> None:
        """Decode a body that is no stream: a whole answer, a refusal or a page."""
        text = body.decode("utf-8", "replace")
        try:
            answer = loads(text)
        except (ValueError, RecursionError):
            if body.startswith((b"{", b"[")):
                raise _not_promised(text) from None
            raise self._refusals.of_body(body) from None
        if not isinstance(answer, dict) or is_refusal(answer) or not answer.get("choices"):
            raise self._refusals.of_json(answer, text)
        self._read(answer, text, out)
        self._finish(out)

    def _read(self, chunk: dict[str, Any], data: str, out: list[Event]) -> None:
        try:
            self._answer.read(chunk, out)
        except ChoiceFailed as failure:
            refusal = {"error": failure.error}
            raise self._refusals.of_json(refusal, data, status=self._frames.status) from None


_HEARTBEATS = frozenset({"ping", "heartbeat", "keepalive", "keep-alive", "keep_alive"})
_ERROR_BY_HAND = re.compile(r'\{\s*"error"\s*:\s*')


def loads(text: str) -> Any:
    """Parse JSON as servers write it: control characters may stand in strings as they are."""
    return json.loads(text, strict=False)


def _is_value(line: str) -> bool:
    if line.strip() == _DONE:
        return True
    try:
        return isinstance(loads(line), dict)
    except (ValueError, RecursionError):
        return False


def _words_of_error(frame: Frame) -> str:
    """Return the words of an error that is not valid JSON; ``""`` if the frame is not an error.

    Servers that build the JSON of an error by hand forget to escape its words: ``{"error": "say "hi""}``.
    """
    text = frame.data.strip()
    opening = _ERROR_BY_HAND.match(text)
    if opening is not None:
        return text[opening.end() :].removesuffix("}").strip().removeprefix('"').removesuffix('"')
    return text if frame.event == "error" else ""


def _not_promised(data: str) -> ProtocolError:
    return ProtocolError(
        f"the service sent what is no chunk of an answer: {data[:80]!r}. Check base_url and any gateway in between.",
        frame=data[:_SHOWN],
    )
