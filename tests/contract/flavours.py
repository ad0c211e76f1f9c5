"""The blocking client and the asynchronous one on two event loops, behind one face, so that a test is written once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from functools import partial
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal

from glmclient import AsyncClient, Event, Finish, Reply, SyncClient, ToolCall

_END = object()


class Reading:
    """A stream that is read; every step of an asynchronous one is a task of its own."""

    def __init__(self, stream: Any, portal: BlockingPortal | None) -> None:
        self.stream = stream
        self.portal = portal

    text = property(lambda self: self.stream.text)
    reasoning = property(lambda self: self.stream.reasoning)
    tool_calls: tuple[ToolCall, ...] = property(lambda self: self.stream.tool_calls)  # type: ignore[assignment]
    finish: Finish | None = property(lambda self: self.stream.finish)  # type: ignore[assignment]

    def _do(self, blocking: Callable[[], Any], waiting: Callable[[], Awaitable[Any]]) -> Any:
        return blocking() if self.portal is None else self.portal.call(waiting)

    def next(self) -> Event:
        """One event, or StopIteration."""

        async def step() -> Any:
            return await anext(self.stream, _END)

        event = self._do(lambda: next(self.stream, _END), step)
        if event is _END:
            raise StopIteration
        return event

    def take(self, count: int) -> list[Event]:
        """Read in a loop that is left by `break`."""
        taken: list[Event] = []

        def blocking() -> None:
            for event in self.stream:
                taken.append(event)
                if len(taken) == count:
                    break

        async def waiting() -> None:
            async for event in self.stream:
                taken.append(event)
                if len(taken) == count:
                    break

        self._do(blocking, waiting)
        return taken

    def collect(self, into: list[Any] | None = None) -> list[Event]:
        """Read in a loop to the end."""
        events: list[Event] = [] if into is None else into

        async def waiting() -> None:
            async for event in self.stream:
                events.append(event)  # noqa: PERF401 - what came before a failure counts

        def blocking() -> None:
            for event in self.stream:
                events.append(event)  # noqa: PERF402

        self._do(blocking, waiting)
        return events

    def pieces(self) -> list[str]:
        async def waiting() -> list[str]:
            return [piece async for piece in self.stream.text_stream]

        return self._do(lambda: list(self.stream.text_stream), waiting)

    def until_done(self) -> Any:
        return self._do(lambda: self.stream.until_done(), lambda: self.stream.until_done())

    def reply(self) -> Reply:
        return self._do(lambda: self.stream.reply(), lambda: self.stream.reply())

    def close(self) -> None:
        self._do(lambda: self.stream.close(), lambda: self.stream.aclose())

    def cancel(self) -> None:
        """From this thread: another one than the event loop's."""
        self.stream.cancel()


class Asking:
    """A client of one flavour."""

    def __init__(self, client: Any, portal: BlockingPortal | None) -> None:
        self.client = client
        self.portal = portal

    def stream(self, messages: Any = "Hello", **options: Any) -> Reading:
        if self.portal is None:
            return Reading(self.client.stream(messages, **options), None)
        # In a list, because the portal would await the stream, and that opens it.
        asked = self.portal.call(lambda: [self.client.stream(messages, **options)])
        return Reading(asked[0], self.portal)

    def chat(self, messages: Any = "Hello", **options: Any) -> Reply:
        if self.portal is None:
            return self.client.chat(messages, **options)
        return self.portal.call(partial(self.client.chat, messages, **options))

    def models(self) -> Any:
        return self.client.models() if self.portal is None else self.portal.call(self.client.models)

    def close(self) -> None:
        if self.portal is None:
            self.client.close()
        else:
            self.portal.call(self.client.aclose)


class Flavour:
    """Makes clients of one kind, and closes them when the test is over."""

    def __init__(self, name: str, stack: ExitStack) -> None:
        self.name = name
        self.stack = stack
        loop = "asyncio" if name == "aiohttp" else name
        self.portal = None if name == "sync" else stack.enter_context(start_blocking_portal(loop))

    def __call__(self, *arguments: Any, **options: Any) -> Asking:
        kind: Any = SyncClient if self.portal is None else AsyncClient
        if self.portal is None:
            client = kind(*arguments, **options)
        else:
            backend = {"http_backend": "aiohttp"} if self.name == "aiohttp" else {}
            client = self.portal.call(partial(kind, *arguments, **backend, **options))
        asking = Asking(client, self.portal)
        self.stack.callback(asking.close)
        return asking
