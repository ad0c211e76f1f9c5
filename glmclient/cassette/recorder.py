"""Writing a cassette: what happens in an exchange is noted, and written when it has ended."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._version import __version__
from ..core.compression import ContentDecoder, content_decoder
from ..core.exchange import Send
from ..core.http import Head
from ..errors import CassetteError, GLMError, ProtocolError, TransportFailure
from .entries import Happening, Question, RecordedExchange, dumped, lines_of, opening
from .scrubbing import Scrubber

__all__ = ["Recorder", "Tape"]


class Recorder:
    """Writes a cassette, an exchange at a time, when it has ended.

    Args:
        path: of the file; an older cassette there is replaced with the first exchange.
        provider: the name of the service.
        url: its address.
        clock: seconds that only grow.

    Raises:
        CassetteError: something that is no cassette stands in that place.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        provider: str,
        url: str,
        clock: Callable[[], float],
    ) -> None:
        self.path: str = os.path.abspath(path)
        self.clock = clock
        self._opening = opening(provider, url, __version__)
        self._scrubber = Scrubber()
        self._lock = threading.Lock()
        self._questions: list[Question] = []
        self._counts = {"question": 0, "exchange": 0}
        self._begun = False
        _check_place(self.path)

    def asked(self, messages: Any, model: str | None, options: Mapping[str, Any]) -> None:
        """Note a question; it is written before the next exchange.

        Raises:
            ConfigurationError: it cannot be written as JSON.
        """
        question = Question.of(messages, model, options)
        with self._lock:
            self._questions.append(question)

    def ended(self, exchange: RecordedExchange) -> None:
        """Write an exchange."""
        with self._lock:
            exchange = self._scrubber.exchange(exchange)
            values: list[Question | RecordedExchange] = [
                *map(self._scrubber.question, self._questions),
                exchange,
            ]
            self._questions.clear()
            lines = [line for value in values for line in self._lines(value)]
            self._write("".join(map(dumped, lines)))

    def _lines(self, value: Question | RecordedExchange) -> list[dict[str, Any]]:
        kind = "question" if isinstance(value, Question) else "exchange"
        self._counts[kind] += 1
        return list(lines_of(value, self._counts[kind]))

    def _write(self, text: str) -> None:
        if not self._begun:
            text = dumped(self._opening) + text
        # What was said is its owner's business, with ids or without.
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if self._begun else os.O_TRUNC)
        with open(
            self.path,
            "w",
            encoding="utf-8",
            newline="",
            opener=lambda p, _: os.open(p, flags, 0o600),
        ) as file:
            file.write(text)
        self._begun = True


def _check_place(path: str) -> None:
    try:
        with open(path, "rb") as file:
            beginning = file.read(16)
    except FileNotFoundError:
        if not os.path.isdir(os.path.dirname(path)):
            raise CassetteError(f"{path} cannot be recorded to: there is no such folder.") from None
        return
    except OSError as error:
        raise CassetteError(f"{path} cannot be recorded to: {error.strerror}.") from None
    if beginning and not beginning.startswith(b'{"cassette"'):
        raise CassetteError(
            f"{path} is not a cassette, and would be overwritten; name another file."
        )


@dataclass(slots=True)
class Tape:
    """One exchange while it is running.

    Args:
        recorder: takes it over at its end.
        step: which began it, as it is performed.
        began: when, on the recorder's clock.
    """

    recorder: Recorder
    step: Send
    began: float
    happenings: list[Happening] = field(default_factory=list)
    decoder: ContentDecoder | None = None
    over: bool = False

    @classmethod
    def begin(cls, recorder: Recorder, step: Send) -> Tape:
        """Return a new one; its step asks for no compression, because ids can be found in plain text alone."""
        headers = {
            name: "identity" if name.lower() == "accept-encoding" else value
            for name, value in step.request.headers.items()
        }
        plain = replace(step, request=replace(step.request, headers=headers))
        return cls(recorder, plain, recorder.clock())

    def _add(self, kind: str, **told: Any) -> None:
        if not self.over:
            self.happenings.append(Happening(self.recorder.clock() - self.began, kind, **told))

    def head(self, head: Head) -> None:
        """Note the head; what compresses the body nevertheless is undone for the cassette."""
        coding = head.headers.get("content-encoding")
        if coding is not None:
            with contextlib.suppress(ProtocolError):
                self.decoder = content_decoder(coding)
                head = replace(head, headers=_without(head.headers, "content-encoding"))
        self._add("head", head=head)

    def chunk(self, chunk: bytes) -> None:
        """Note what a read brought."""
        if not chunk:
            self._add("end")
            self.end()
            return
        fault: GLMError | None = None
        if self.decoder is not None:
            try:
                chunk = self.decoder.feed(chunk)
                fault = self.decoder.failure
            except ProtocolError as error:
                chunk, fault = b"", error  # it cannot be read, so it cannot be scrubbed
        if chunk:
            self._add("chunk", chunk=chunk)
        if fault is not None:
            self.failed(TransportFailure("garbage", str(fault)), None)

    def failed(self, failure: TransportFailure, deadline: float | None) -> None:
        """Note a failure; a cancel is the user's, and not the service's."""
        if failure.kind == "cancelled":
            self.left()
            return
        passed = deadline is not None and self.recorder.clock() >= deadline
        self._add(
            "failure",
            failure=failure.kind,
            detail=failure.detail,
            deadline=failure.kind == "timeout" and passed,
        )
        self.end()

    def released(self) -> None:
        """Note that the answer was whole for the client before the body ended."""
        self._add("released")
        self.end()

    def left(self) -> None:
        """Note that the client left."""
        self._add("left")
        self.end()

    def end(self) -> None:
        """Hand the exchange over, once."""
        if self.over:
            return
        self.over = True
        request = self.step.request
        self.recorder.ended(
            RecordedExchange(
                request.method,
                request.url,
                request.headers,
                request.body,
                tuple(self.happenings),
                self.step.farewell,
            )
        )


def _without(headers: Mapping[str, str], name: str) -> dict[str, str]:
    return {known: value for known, value in headers.items() if known != name}
