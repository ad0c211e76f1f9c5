"""The blocking client: requests underneath, and no decision of its own."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeVar, overload

from ..closing import SyncClosing
from ..core.exchange import Flow
from ..errors import ConfigurationError
from ..messages import Messages
from ..providers.base import Model
from ..reply import Reply
from ..streams.sync_stream import Stream, repaired
from ..transports.attached import AttachedTransport
from ..transports.base import SyncTransport
from .base import BaseClient

if TYPE_CHECKING:
    from typing_extensions import Self, Unpack

    from ..batch.limiter import Limiter
    from ..batch.rows import Question
    from ..batch.run import BatchReport
    from ..batch.sync_map import Map
    from ..conversations.conversation import Conversation
    from ..options import ChatOptions, QuestionArguments
    from ..runs.sync_run import Run

__all__ = ["SyncClient"]


T = TypeVar("T")


class SyncClient(SyncClosing, BaseClient):
    __doc__ = BaseClient.__doc__

    _transport: SyncTransport

    _TRANSPORT_METHODS = ("open", "close")

    def _recording(self, path: str | os.PathLike[str], inner: Any) -> AttachedTransport:
        from ..cassette.recording import SyncRecordingTransport

        return SyncRecordingTransport(path, inner)

    def _replaying(self, replay: Any) -> AttachedTransport:
        from ..cassette.replaying import SyncReplayTransport

        return SyncReplayTransport(replay)

    def _connect(self) -> None:
        if self._configuration.http_backend != "httpx":
            raise ConfigurationError(
                "http_backend is a choice of AsyncClient: SyncClient sends by requests. Leave it out."
            )
        super()._connect()

    def _default_transport(self) -> SyncTransport:
        from ..transports.requests.transport import RequestsTransport

        return RequestsTransport(self._configuration.route())

    def stream(
        self,
        messages: Messages,
        *,
        schema: Any = None,
        **arguments: Unpack[QuestionArguments],
    ) -> Stream:
        exchange, flow, typed = self._ask(messages, arguments, schema)
        return Stream(exchange, flow, self._transport, self._streams, typed)

    @overload
    def chat(
        self,
        messages: Messages,
        *,
        schema: type[T],
        repair: int = ...,
        **arguments: Unpack[QuestionArguments],
    ) -> Reply[T]: ...
    @overload
    def chat(
        self,
        messages: Messages,
        *,
        schema: Any = ...,
        repair: int = ...,
        **arguments: Unpack[QuestionArguments],
    ) -> Reply[Any]: ...
    def chat(
        self,
        messages: Messages,
        *,
        schema: Any = None,
        repair: int = 1,
        **arguments: Unpack[QuestionArguments],
    ) -> Reply[Any]:

        stream = self.stream(messages, schema=schema, **arguments)
        if schema is None:
            return stream.reply()

        def ask(messages: Messages, again: QuestionArguments) -> Stream:
            return self.stream(messages, schema=schema, **again)

        return repaired(stream, ask, self._repairs(repair, messages, arguments))

    def run(
        self,
        messages: Messages,
        tools: Iterable[Any] | None = None,
        *,
        max_rounds: int = 8,
        raise_tool_errors: bool = False,
        schema: Any = None,
        **arguments: Any,
    ) -> Run:
        from ..runs.sync_run import Run

        return Run(
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
    ) -> Conversation:
        from ..conversations.conversation import Conversation

        return Conversation(self, system=system, model=model, options=options)

    def map(
        self,
        rows: Iterable[Any],
        *,
        concurrency: int | Literal["auto"] = "auto",
        ordered: bool = False,
        **options: Any,
    ) -> Map:
        from ..batch.sync_map import Map

        return Map(self, rows, concurrency, ordered, options)

    def batch(
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
        from ..batch.run import Settings
        from ..batch.sync_batch import run_batch

        settings = Settings(retry_errors, max_errors, ordered, format, progress, system)
        return run_batch(self, rows, output, concurrency, settings, options)

    def _mapped(
        self,
        question: Question,
        defaults: Mapping[str, Any],
        limiter: Limiter,
        again: Mapping[str, Any],
    ) -> Stream:
        """Return the stream of a row of `map`: of its first round, or of a repair, which changes options."""
        options = {**defaults, **question.options, **again}
        options.pop("repair", None)
        schema = options.pop("schema", None)
        exchange, flow, typed = self._ask(question.messages, options, schema, limiter)
        return Stream(exchange, flow, self._transport, self._streams, typed)

    def models(self) -> tuple[Model, ...]:
        provider, exchange = self.provider, self._exchange({})
        exchange.answers = False
        found: list[tuple[Model, ...]] = []

        def attempt() -> Flow[None]:
            found.append((yield from provider.list_models(exchange)))

        Stream(exchange, exchange.turn(attempt), self._transport, self._streams).until_done()
        return found[-1]

    def close(self) -> None:
        """Close every connection and the streams that are open; entering the client opens it again."""
        self._closed = True
        for stream in self._open_streams():
            stream.close()
        self._transport.close()

    def __enter__(self) -> Self:
        self._closed = False
        return self
