"""The response to one request: a whole one as JSON, or a stream that is kept alive while the service is silent."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Mapping, MutableMapping
from typing import Any, TypeAlias

import anyio

from .chunks import dumped, error_frame
from .refusals import Refused

__all__ = ["Message", "Receive", "Send", "Writer"]

Message: TypeAlias = MutableMapping[str, Any]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Receive: TypeAlias = Callable[[], Awaitable[Message]]

_COMMENT = b": keep-alive\n\n"
_EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    # nginx would collect chunks before it passes them on.
    (b"x-accel-buffering", b"no"),
)


class Writer:
    """The response to one request.

    Args:
        send: sends a message to the server that runs the application.
        keep_alive: seconds of silence after which a stream begins, and after which a comment follows.
    """

    def __init__(self, send: Send, keep_alive: float) -> None:
        self._send = send
        self._interval = keep_alive
        self._head = anyio.Lock()
        self._silence = anyio.CancelScope()
        """What `keep_alive` runs in."""
        self._written = False
        """Something was written since the last look of `keep_alive`."""
        self._streaming = False
        self._ended = False
        self.status: int | None = None
        """The status of the response, once it was written."""
        self.headers: dict[str, str] = {}
        """Further headers of the response."""

    async def json(self, data: Any, status: int = 200, headers: Mapping[str, str] = {}) -> None:
        """Write a whole response."""
        body = dumped(data)
        fields = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        self._ended = True
        await self._start(status, [*fields, *_raw(self.headers), *_raw(headers)])
        await self._send({"type": "http.response.body", "body": body})

    async def frames(self, frames: bytes) -> None:
        """Write frames of a stream; the first ones after its head."""
        self._written = True
        if not self._streaming:
            await self.begin()
        await self._send({"type": "http.response.body", "body": frames, "more_body": True})

    async def begin(self) -> None:
        """Write the head of a stream, if it is not written."""
        # Both the answer and the keep-alive may come first.
        await self._head.acquire()
        try:
            if not self._streaming:
                # Nobody could tell whether a head that was cancelled was written.
                with anyio.CancelScope(shield=True):
                    await self._start(200, [*_EVENT_STREAM, *_raw(self.headers)])
                    self._streaming = True
        finally:
            self._head.release()

    async def keep_alive(self) -> None:
        """Write a comment whenever the stream was silent for so long; runs beside the answer."""
        with self._silence:
            while True:
                self._written = False
                await anyio.sleep(self._interval)
                if self._written:
                    continue
                try:
                    await self.frames(_COMMENT)
                except OSError:
                    return  # the caller left; what writes the answer notices it, too

    def end_keep_alive(self) -> None:
        """End `keep_alive`: what is written now is the end of the stream."""
        self._silence.cancel()

    async def end(self, frames: bytes = b"") -> None:
        """End a stream."""
        self._ended = True
        await self._send({"type": "http.response.body", "body": frames})

    async def refuse(self, refused: Refused) -> None:
        """Write an error: a response with its status, or an event if the stream has begun."""
        if self._ended:
            return
        # A caller that left needs no error.
        with contextlib.suppress(OSError):
            if self._streaming:
                await self.end(error_frame(refused.body()))
            else:
                await self.json(refused.body(), refused.status, refused.headers)

    async def _start(self, status: int, headers: Iterable[tuple[bytes, bytes]]) -> None:
        self.status = status
        await self._send(
            {"type": "http.response.start", "status": status, "headers": list(headers)}
        )


def _raw(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
