"""Recording: transports that do what another one does, and have it written down."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from ..core.exchange import Read, Release, Send
from ..core.http import Head
from ..errors import TransportFailure
from ..transports.base import AsyncChannel, AsyncTransport, SyncChannel, SyncTransport, apart
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


class SyncRecordingTransport:
    """A transport that writes down what another one does.

    Args:
        inner: which does it.
        recorder: where to.
    """

    def __init__(self, inner: SyncTransport, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def open(self) -> SyncChannel:
        """Return a line for one exchange."""
        return _SyncChannel(self._inner.open(), self._recorder)

    def apart(self) -> SyncTransport:
        """Return a transport with the same routes and none of the connections; it records, too."""
        inner = apart(self._inner)
        if inner is None or inner is self._inner:
            return self
        return SyncRecordingTransport(inner, self._recorder)

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


class AsyncRecordingTransport:
    """The mirror of `SyncRecordingTransport`."""

    def __init__(self, inner: AsyncTransport, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def open(self) -> AsyncChannel:
        """Return a line for one exchange."""
        return _AsyncChannel(self._inner.open(), self._recorder)

    async def aclose(self) -> None:
        """Close the idle connections."""
        await self._inner.aclose()
