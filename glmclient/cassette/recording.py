"""Recording: transports that perform requests by another transport and write them to a cassette."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from ..core.exchange import Read, Release, Send
from ..core.http import Head
from ..errors import ConfigurationError, TransportFailure
from ..transports.attached import AttachedTransport, Attachment
from ..transports.base import AsyncChannel, SyncChannel, SyncTransport, apart
from .recorder import Recorder, Tape

__all__ = ["AsyncRecordingTransport", "SyncRecordingTransport"]


class _SyncChannel:
    """A channel that writes down what another one does."""

    def __init__(self, inner: SyncChannel, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder
        self._tape: Tape | None = None

    def send(self, step: Send) -> Head:
        self._left()
        tape = self._tape = Tape.begin(self._recorder, step)
        try:
            head = self._inner.send(tape.step)
        except TransportFailure as failure:
            tape.failed(failure, step.deadline)
            raise
        tape.head(head)
        return head

    def read(self, step: Read) -> bytes:
        tape = self._tape
        assert tape is not None, "a body is read after its head"
        try:
            chunk = self._inner.read(step)
        except TransportFailure as failure:
            tape.failed(failure, step.deadline)
            raise
        tape.chunk(chunk)
        return chunk

    def sleep(self, seconds: float) -> None:
        self._inner.sleep(seconds)

    def release(self, step: Release) -> None:
        if self._tape is not None:
            self._tape.released()
        self._inner.release(step)

    def close(self) -> None:
        self._inner.close()
        self._left()

    def abandon(self) -> None:
        self._inner.abandon()  # a finalizer writes no files

    def cancel(self) -> None:
        self._inner.cancel()

    def _left(self) -> None:
        tape, self._tape = self._tape, None
        if tape is not None:
            tape.left()


class _RecordingTransport(AttachedTransport):
    """What both recording transports are.

    Args:
        path: of the cassette; a file that is there already must be a cassette, and is replaced.
        inner: performs the requests; by default, the transport that the client would use without this one.
    """

    def __init__(self, path: str | os.PathLike[str], inner: Any = None) -> None:
        self._path = path
        self._inner: Any = inner
        self._recorder: Recorder | None = None

    def attach(self, attachment: Attachment) -> Any:
        """Return a transport that records what the inner transport does.

        Raises:
            CassetteError: the file cannot be recorded to.
        """
        # Clients that share this object, and copies of a client, record into the same file.
        if self._recorder is None:
            self._recorder = Recorder(
                self._path, attachment.provider, attachment.url, attachment.clock
            )
        inner = attachment.own_transport() if self._inner is None else self._inner
        return self._with(inner)

    def _with(self, inner: Any) -> Any:
        """Return a transport with the same recorder."""
        twin = type(self)(self._path, inner)
        twin._recorder = self._recorder
        return twin

    def _writer(self) -> Recorder:
        if self._recorder is None:
            raise ConfigurationError(
                f"a {type(self).__name__} records for a client: give it to one as transport=."
            )
        return self._recorder

    def question(self, messages: Any, model: str | None, options: Mapping[str, Any]) -> None:
        """Take note of a question."""
        self._writer().asked(messages, model, options)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy in another process does not record: two processes would overwrite each other's file.
        return _same, (self._inner,)


def _same(inner: Any) -> Any:
    return inner


class SyncRecordingTransport(_RecordingTransport):
    """A transport that performs requests by another one and writes them to a cassette.

    ``SyncClient(transport=SyncRecordingTransport("chat.cassette"))`` is what ``record="chat.cassette"`` does.

    Args:
        path: of the cassette; a file that is there already must be a cassette, and is replaced.
        inner: performs the requests; by default, the transport that the client would use without this one.
    """

    def open(self) -> SyncChannel:
        """Return a channel for one exchange."""
        return _SyncChannel(self._inner.open(), self._writer())

    def apart(self) -> SyncTransport:
        """Return a transport with the same routes and none of the connections; it records, too."""
        inner = apart(self._inner)
        if inner is None or inner is self._inner:
            return self
        twin: SyncTransport = self._with(inner)
        return twin

    def close(self) -> None:
        """Close the idle connections."""
        self._inner.close()


class _AsyncChannel:
    """The mirror of the blocking one."""

    def __init__(self, inner: AsyncChannel, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder
        self._tape: Tape | None = None

    async def send(self, step: Send) -> Head:
        self._left()
        tape = self._tape = Tape.begin(self._recorder, step)
        try:
            head = await self._inner.send(tape.step)
        except TransportFailure as failure:
            tape.failed(failure, step.deadline)
            raise
        tape.head(head)
        return head

    async def read(self, step: Read) -> bytes:
        tape = self._tape
        assert tape is not None, "a body is read after its head"
        try:
            chunk = await self._inner.read(step)
        except TransportFailure as failure:
            tape.failed(failure, step.deadline)
            raise
        tape.chunk(chunk)
        return chunk

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)

    async def release(self, step: Release) -> None:
        if self._tape is not None:
            self._tape.released()
        await self._inner.release(step)

    async def aclose(self) -> None:
        await self._inner.aclose()
        self._left()

    def cancel(self) -> None:
        self._inner.cancel()

    def spawn(self, function: Callable[[], Awaitable[None]]) -> None:
        self._inner.spawn(function)

    def _left(self) -> None:
        tape, self._tape = self._tape, None
        if tape is not None:
            tape.left()


class AsyncRecordingTransport(_RecordingTransport):
    """The mirror of `SyncRecordingTransport`, for `AsyncClient`.

    Args:
        path: of the cassette; a file that is there already must be a cassette, and is replaced.
        inner: performs the requests; by default, the transport that the client would use without this one.
    """

    def open(self) -> AsyncChannel:
        """Return a channel for one exchange."""
        return _AsyncChannel(self._inner.open(), self._writer())

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._inner.aclose()
