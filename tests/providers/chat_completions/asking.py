"""One question asked through each client: blocking, on asyncio, on trio."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import anyio

from glmclient import AsyncClient, Event, GLMError, Model, Reply, SyncClient

KINDS = ("sync", "asyncio", "trio")


@dataclass(frozen=True)
class Asker:
    """A kind of client, and what it is made with."""

    kind: str
    arguments: dict[str, Any]

    def stream(self, messages: Any, **options: Any) -> tuple[list[Event], Reply, GLMError | None]:
        """Return the events of an answer, what the stream folded them to, and the error that ended it."""
        events: list[Event] = []

        def told(stream: Any) -> Reply:
            return Reply(stream.text, stream.reasoning, stream.tool_calls, stream.finish)

        if self.kind == "sync":
            with SyncClient(**self.arguments) as client:
                stream = client.stream(messages, **options)
                try:
                    events.extend(stream)
                except GLMError as error:
                    return events, error.partial, error
                return events, told(stream), None

        async def ask() -> tuple[list[Event], Reply, GLMError | None]:
            async with AsyncClient(**self.arguments) as client:
                stream = client.stream(messages, **options)
                try:
                    async for event in stream:
                        events.append(event)  # noqa: PERF401 - a comprehension would keep none of what came
                except GLMError as error:
                    return events, error.partial, error
                return events, told(stream), None

        return anyio.run(ask, backend=self.kind)

    def chat(self, *questions: Any, **options: Any) -> list[Reply]:
        """Ask one question after the other with one client; return the replies."""
        if self.kind == "sync":
            with SyncClient(**self.arguments) as client:
                return [client.chat(messages, **options) for messages in questions]

        async def ask() -> list[Reply]:
            async with AsyncClient(**self.arguments) as client:
                return [await client.chat(messages, **options) for messages in questions]

        return anyio.run(ask, backend=self.kind)

    def models(self) -> Sequence[Model]:
        """Return the models that the service lists."""
        if self.kind == "sync":
            with SyncClient(**self.arguments) as client:
                return client.models()

        async def ask() -> Sequence[Model]:
            async with AsyncClient(**self.arguments) as client:
                return await client.models()

        return anyio.run(ask, backend=self.kind)
