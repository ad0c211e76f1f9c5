"""The asynchronous client: httpx underneath on asyncio or trio, and no decision of its own."""

from __future__ import annotations

import os
from collections.abc import AsyncIterable, Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..closing import AsyncClosing
from ..core.exchange import Flow
from ..messages import Messages
from ..providers.base import Model
from ..reply import Reply
from ..streams.async_stream import AsyncStream, repaired
from ..transports.attached import AttachedTransport
from ..transports.base import AsyncTransport
from .base import BaseClient

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..batch.async_map import AsyncMap
    from ..batch.limiter import Limiter
    from ..batch.rows import Question
    from ..batch.run import BatchReport
    from ..conversations.conversation import AsyncConversation
    from ..options import ChatOptions, QuestionArguments
    from ..runs.async_run import AsyncRun

__all__ = ["AsyncClient"]


T = TypeVar("T")


class AsyncClient(AsyncClosing, BaseClient):
    __doc__ = BaseClient.__doc__

    _transport: AsyncTransport

    _TRANSPORT_METHODS = ("open", "aclose")

    def _recording(self, path: str | os.PathLike[str], inner: Any) -> AttachedTransport:
        from ..cassette.recording import AsyncRecordingTransport

        return AsyncRecordingTransport(path, inner)

    def _replaying(self, replay: Any) -> AttachedTransport:
        from ..cassette.async_replaying import AsyncReplayTransport

        return AsyncReplayTransport(replay)

    def _default_transport(self) -> AsyncTransport:
        route = self._configuration.route()
        if self._configuration.http_backend == "aiohttp":
            from ..transports.aiohttp import aiohttp_transport

            return aiohttp_transport(route)
        from ..transports.httpx.transport import HttpxTransport

        return HttpxTransport(route)

    def stream(
        self,
        messages: Messages,
        *,
        schema: Any = None,
        **arguments: Unpack[QuestionArguments],
    ) -> AsyncStream:
        exchange, flow, typed = self._ask(messages, arguments, schema)
        return AsyncStream(exchange, flow, self._transport, self._streams, typed)

    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        schema: type[T],
        repair: int = ...,
        **arguments: Unpack[QuestionArguments],
    ) -> Reply[T]: ...
    @overload
    async def chat(
        self,
        messages: Messages,
        *,
        schema: Any = ...,
        repair: int = ...,
        **arguments: Unpack[QuestionArguments],
    ) -> Reply[Any]: ...
    async def chat(
        self,
        messages: Messages,
        *,
        schema: Any = None,
        repair: int = 1,
        **arguments: Unpack[QuestionArguments],
    ) -> Reply[Any]:

        stream = self.stream(messages, schema=schema, **arguments)
        if schema is None:
            return await stream.reply()

        def ask(messages: Messages, again: QuestionArguments) -> AsyncStream:
            return self.stream(messages, schema=schema, **again)

        return await repaired(stream, ask, self._repairs(repair, messages, arguments))

    def run(
        self,
        messages: Messages,
        tools: Iterable[Any] | None = None,
        *,
        max_rounds: int = 8,
        raise_tool_errors: bool = False,
        schema: Any = None,
        **arguments: Any,
    ) -> AsyncRun:
        from ..runs.async_run import AsyncRun

        return AsyncRun(
            self,
            messages,
            tools,
            max_rounds=max_rounds,
            raise_tool_errors=raise_tool_errors,
            question={"schema": schema, **arguments},
        )

    def conversation(
        self,
        *,
        system: str | None = None,
        model: str | None = None,
        **options: Unpack[ChatOptions],
    ) -> AsyncConversation:
        from ..conversations.conversation import AsyncConversation

        return AsyncConversation(self, system=system, model=model, options=options)

    def map(
        self,
        rows: Iterable[Any] | AsyncIterable[Any],
        *,
        concurrency: int | Literal["auto"] = "auto",
        ordered: bool = False,
        **options: Any,
    ) -> AsyncMap:
        from ..batch.async_map import AsyncMap

        return AsyncMap(self, rows, concurrency, ordered, options)

    async def batch(
        self,
        rows: Any,
        output: str | os.PathLike[str],
        *,
        concurrency: int | Literal["auto"] = "auto",
        retry_errors: bool = False,
        max_errors: int | None = None,
        ordered: bool = False,
        format: Literal["jsonl", "openai"] = "jsonl",
        progress: Callable[[BatchReport], object] | None = None,
        system: str | None = None,
        **options: Any,
    ) -> BatchReport:
        from ..batch.async_batch import run_batch
        from ..batch.run import Settings

        settings = Settings(retry_errors, max_errors, ordered, format, progress, system)
        return await run_batch(self, rows, output, concurrency, settings, options)

    def _mapped(
        self,
        question: Question,
        defaults: Mapping[str, Any],
        limiter: Limiter,
        again: Mapping[str, Any],
    ) -> AsyncStream:
        """Return the stream of a row of `map`: of its first round, or of a repair, which changes options."""
        options = {**defaults, **question.options, **again}
        options.pop("repair", None)
        schema = options.pop("schema", None)
        exchange, flow, typed = self._ask(question.messages, options, schema, limiter)
        return AsyncStream(exchange, flow, self._transport, self._streams, typed)

    async def models(self) -> tuple[Model, ...]:
        provider, exchange = self.provider, self._exchange({})
        exchange.answers = False
        found: list[tuple[Model, ...]] = []

        def attempt() -> Flow[None]:
            found.append((yield from provider.list_models(exchange)))

        await AsyncStream(
            exchange, exchange.turn(attempt), self._transport, self._streams
        ).until_done()
        return found[-1]

    async def aclose(self) -> None:
        """Close every connection and the streams that are open; entering the client opens it again."""
        self._closed = True
        for stream in self._open_streams():
            await stream.aclose()
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        self._closed = False
        return self
