"""The platform's responses and those of compatible servers: bytes in, events out.

Source: ``docs/wire/open-platform.md`` §2.7 and §2.8 (errors and ends of a stream), §4 (whole answers).
"""

from __future__ import annotations

import json

from ...core.limits import Limits
from ...core.sse import Frame
from ...core.template import TemplateReader
from ...errors import GLMError, LimitExceeded, ProtocolError
from ...events import Event
from .answer import AnswerReader
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
        self._frames = TemplateReader(max_line=limits.line, max_frame=limits.frame)
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
        try:
            chunk = json.loads(data)
        except (ValueError, RecursionError):
            self._unparsed(data, out)
            return
        if type(chunk) is not dict:
            raise _not_promised(data)
        if frame.event == "error" or is_refusal(chunk):
            raise self._refusals.of_json(chunk, data)
        self._answer.read(chunk, out)
        path = self._answer.news(chunk)
        # The one seam to the fast path: without these two lines every frame is decoded in full.
        if path is not None and self._frames.learn(chunk, path):
            self._answer.expect(chunk, path)

    def _unparsed(self, data: str, out: list[Event]) -> None:
        text = data.strip()
        if text == _DONE:
            if not self._answer.began:
                raise self._unanswered()
            self._answer.finish(out)
            self.done = True
        elif text:  # an empty frame is a heartbeat
            raise _not_promised(data)

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
        if not self.done and self._answer.finish_seen:
            self._answer.finish(out)
            self.done = True

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
            answer = json.loads(text)
        except (ValueError, RecursionError):
            if body.startswith((b"{", b"[")):
                raise _not_promised(text) from None
            raise self._refusals.of_body(body) from None
        if not isinstance(answer, dict) or is_refusal(answer) or not answer.get("choices"):
            raise self._refusals.of_json(answer, text)
        self._answer.read(answer, out)
        self._answer.finish(out)
        self.done = True


def _not_promised(data: str) -> ProtocolError:
    return ProtocolError(
        f"the service sent what is no chunk of an answer: {data[:80]!r}. Check base_url and any gateway in between.",
        frame=data[:_SHOWN],
    )
