"""What a checker says that our calls return; ``assert_type`` holds it to the letter."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

from typing_extensions import assert_type

from glmclient import (
    APITimeoutError,
    AsyncClient,
    AsyncConversation,
    AsyncStream,
    Conversation,
    Event,
    Finish,
    FinishReason,
    GLMError,
    Model,
    Provider,
    Reply,
    Stream,
    SyncClient,
    ToolCall,
    Usage,
)
from glmclient.simulator import Simulator


def blocking(client: SyncClient) -> None:
    stream = client.stream("Hello", model="glm-4", timeout=5, temperature=0.5, thinking=True)
    assert_type(stream, Stream)
    assert_type(next(stream), Event)
    assert_type(stream.text_stream, Iterator[str])
    assert_type(stream.text, str)
    assert_type(stream.reasoning, str)
    assert_type(stream.tool_calls, tuple[ToolCall, ...])
    assert_type(stream.finish, Finish | None)
    assert_type(stream.until_done(), Stream)
    assert_type(stream.reply(), Reply)
    assert_type(stream.close(), None)
    assert_type(client.chat([{"role": "user", "content": "Hello"}]), Reply)
    assert_type(client.models(), tuple[Model, ...])
    assert_type(client.provider, Provider)
    assert_type(client.conversation(system="Be brief."), Conversation)
    with client as entered, entered.stream("Hello") as opened:
        assert_type(entered, SyncClient)
        assert_type(opened, Stream)
        for event in opened:
            assert_type(event, Event)


async def asynchronous(client: AsyncClient) -> None:
    stream = client.stream("Hello", model="glm-4", timeout=5, temperature=0.5, thinking=True)
    assert_type(stream, AsyncStream)
    assert_type(await stream, AsyncStream)
    assert_type(await stream.__anext__(), Event)
    assert_type(stream.text_stream, AsyncIterator[str])
    assert_type(stream.text, str)
    assert_type(stream.finish, Finish | None)
    assert_type(await stream.until_done(), AsyncStream)
    assert_type(await stream.reply(), Reply)
    assert_type(await stream.aclose(), None)
    assert_type(await client.chat([{"role": "user", "content": "Hello"}]), Reply)
    assert_type(await client.models(), tuple[Model, ...])
    assert_type(client.conversation(system="Be brief."), AsyncConversation)
    async with client as entered, entered.stream("Hello") as opened:
        assert_type(entered, AsyncClient)
        assert_type(opened, AsyncStream)
        async for event in opened:
            assert_type(event, Event)


def values(finish: Finish, reply: Reply, call: ToolCall) -> None:
    assert_type(finish.reason, FinishReason)
    assert_type(finish.usage, Usage | None)
    assert_type(reply.finish, Finish | None)
    assert_type(reply.json(), Any)
    assert_type(call.parse_arguments(), Any)


def errors(error: GLMError, late: APITimeoutError) -> None:
    assert_type(error.partial, Reply)
    assert_type(error.request_id, str | None)
    assert_type(error.attempts, int)
    assert_type(error.retryable, bool)
    assert_type(late.limit, str)


def simulated() -> None:
    with Simulator("Hello") as sim:
        assert_type(sim, Simulator)
        assert_type(sim.url, str)
        assert_type(sim.prompts, tuple[str, ...])
