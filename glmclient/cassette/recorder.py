"""Writing a cassette: what happens in an exchange is noted, and written at its end; a long answer in parts before.

An answer of 100 MB that was kept until its end would take several times that memory, and seconds to clean and write,
in which an event loop stands still.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from .._version import __version__
from ..core.compression import ContentDecoder, content_decoder
from ..core.exchange import Send
from ..core.http import Head
from ..errors import CassetteError, GLMError, ProtocolError, TransportFailure
from .entries import Happening, Question, RecordedExchange, dumped, line_of, lines_of, opening
from .scrubbing import Scrubber

__all__ = ["Recorder", "Tape"]

PART_BYTES = 16 * 1024
"""Bytes of a body after which they are written: cleaning them takes about a millisecond."""
LONGEST_FRAME = 1024 * 1024
"""Bytes without the end of a frame that are kept back at most."""
FRAME_ENDS = (b"\n\n", b"\r\n\r\n")


class Recorder:
    """Writes a cassette.

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

    def write(self, tape: Tape) -> None:
        """Write what a tape holds: all of it at the end, before that what is safe to be cut off."""
        with self._lock:
            lines: list[dict[str, Any]] = []
            if tape.number == 0:
                lines += [line for value in self._begun_by(tape) for line in self._lines(value)]
                tape.number = self._counts["exchange"]
            lines += [line_of(each, tape.number) for each in tape.taken(self._scrubber)]
            self._write("".join(map(dumped, lines)))

    def _begun_by(self, tape: Tape) -> Iterator[Question | RecordedExchange]:
        """Yield the questions since the exchange before, and the request of this one."""
        recorded = tape.recorded()
        if tape.over:
            # All of it is here, so that what the answer tells of ids is cleaned in the request, too.
            recorded = self._scrubber.exchange(recorded)
            tape.happenings.clear()
            tape.raw.clear()
        else:
            self._scrubber.learn(recorded)
            tape.clean_frames(self._scrubber)
            recorded = self._scrubber.request(recorded)
        yield from map(self._scrubber.question, self._questions)
        self._questions.clear()
        yield recorded

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
            if not self._begun:
                _close_to_others(file.fileno())
            file.write(text)
        self._begun = True


def _close_to_others(descriptor: int) -> None:
    """Take the rights of others from an older cassette; a device such as ``/dev/null`` keeps its mode."""
    if hasattr(os, "fchmod") and stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.fchmod(descriptor, 0o600)


def _check_place(path: str) -> None:
    try:
        if stat.S_ISFIFO(os.stat(path).st_mode):  # opening it would wait for another process
            raise CassetteError(f"{path} cannot be recorded to: it is a named pipe.")
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
    raw: bytearray = field(default_factory=bytearray)
    """Bytes of the body that are not cleaned yet."""
    clean: bytearray = field(default_factory=bytearray)
    """Bytes after the written ones that are cleaned."""
    held: int = 0
    """Bytes since the last write."""
    number: int = 0
    """Of the exchange in the file, from the first write on."""

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
            happening = Happening(self.recorder.clock() - self.began, kind, **told)
            self.happenings.append(happening)
            self.raw += happening.chunk
            self.held += len(happening.chunk)
            if self.held >= PART_BYTES:
                self.held = 0
                self.recorder.write(self)

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
        """Write the rest, once."""
        if not self.over:
            self.over = True
            self.recorder.write(self)

    # -- what is written -----------------------------------------------------------------------------------

    def recorded(self) -> RecordedExchange:
        """Return the exchange as far as it is held here."""
        request = self.step.request
        return RecordedExchange(
            request.method,
            request.url,
            request.headers,
            request.body,
            tuple(self.happenings),
            self.step.farewell,
        )

    def clean_frames(self, scrubber: Scrubber) -> None:
        """Clean the bytes up to the end of the last whole frame; what is cut inside a frame could be half an id."""
        end = len(self.raw)
        if not self.over and end < LONGEST_FRAME:
            ends = (self.raw.rfind(mark) + len(mark) for mark in FRAME_ENDS if mark in self.raw)
            end = max(ends, default=0)
        self.clean += scrubber.part(bytes(self.raw[:end]))
        del self.raw[:end]

    def taken(self, scrubber: Scrubber) -> Iterator[Happening]:
        """Yield, and forget, what has been cleaned as a whole: a chunk keeps its bounds."""
        self.clean_frames(scrubber)
        done = 0
        for happening in self.happenings:
            size = len(happening.chunk)
            if size > len(self.clean):
                break
            done += 1
            if happening.kind == "chunk":
                yield replace(happening, chunk=bytes(self.clean[:size]))
                del self.clean[:size]
            else:
                yield scrubber.happening(happening)
        del self.happenings[:done]


def _without(headers: Mapping[str, str], name: str) -> dict[str, str]:
    return {known: value for known, value in headers.items() if known != name}
