"""Whatever a transport raises, and at whichever step: no answer ends without a `Finish` or an error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import trio

from glmclient import (
    APIConnectionError,
    AsyncClient,
    Finish,
    GLMError,
    StreamInterrupted,
    SyncClient,
)
from glmclient.core.steps import Read, Release, Send
from glmclient.simulator import Simulator

RAISED: tuple[Callable[[], BaseException], ...] = (
    StopIteration,
    StopAsyncIteration,
    GeneratorExit,
    asyncio.CancelledError,
    OSError,
    ConnectionResetError,
    BrokenPipeError,
    TimeoutError,
    PermissionError,
    RuntimeError,
    RecursionError,
    MemoryError,
    KeyboardInterrupt,
    SystemExit,
    ValueError,
    AssertionError,
)
DIALECTS = ("chatglm", "qwen", "openai")
TEXT = "one two three four"


class Failing:
    """A channel that performs steps with a real one, and raises at the step of one number."""

    def __init__(self, channel: Any, steps: list[int], raised: BaseException) -> None:
        self._channel = channel
        self._steps = steps
        self._raised = raised

    def __getattr__(self, name: str) -> Any:
        return getattr(self._channel, name)

    def _count(self) -> None:
        self._steps[0] -= 1
        if self._steps[0] == 0:
            raise self._raised


class FailingSync(Failing):
    def send(self, step: Send) -> Any:
        self._count()
        return self._channel.send(step)

    def read(self, step: Read) -> Any:
        self._count()
        return self._channel.read(step)

    def release(self, step: Release) -> Any:
        self._count()
        return self._channel.release(step)


class FailingAsync(Failing):
    async def send(self, step: Send) -> Any:
        self._count()
        return await self._channel.send(step)

    async def read(self, step: Read) -> Any:
        self._count()
        return await self._channel.read(step)

    async def release(self, step: Release) -> Any:
        self._count()
        return await self._channel.release(step)


def planted(client: Any, kind: type[Failing], number: int, raised: BaseException) -> list[int]:
    steps = [number]
    opening = client._transport.open

    def opened() -> Any:
        return kind(opening(), steps, raised)

    client._transport.open = opened
    return steps


def outcome_sync(client: Any, way: str) -> Any:
    if way == "chat":
        return client.chat("q").finish
    if way == "reply":
        return client.stream("q").reply().finish
    if way == "until_done":
        return client.stream("q").until_done().finish
    if way == "text_stream":
        stream = client.stream("q")
        list(stream.text_stream)
        return stream.finish
    if way == "next":
        stream = client.stream("q")
        while True:
            event = next(stream)
            if isinstance(event, Finish):
                return event
    return list(client.stream("q"))[-1]


async def outcome_async(client: Any, way: str) -> Any:
    if way == "chat":
        return (await client.chat("q")).finish
    if way == "reply":
        return (await client.stream("q").reply()).finish
    if way == "until_done":
        return (await client.stream("q").until_done()).finish
    if way == "text_stream":
        stream = client.stream("q")
        _ = [piece async for piece in stream.text_stream]
        return stream.finish
    if way == "next":
        stream = client.stream("q")
        while True:
            event = await anext(stream)
            if isinstance(event, Finish):
                return event
    return [event async for event in client.stream("q")][-1]


WAYS = ("chat", "reply", "until_done", "text_stream", "next", "loop")


def arguments(simulator: Simulator, dialect: str) -> dict[str, Any]:
    model = {"model": "m"} if dialect == "openai" else {}
    return {"base_url": simulator.url, "retry": None, "trust_env": False, "timeout": 20, **model}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore:.*:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("dialect", DIALECTS)
@pytest.mark.parametrize("raised", RAISED)
@pytest.mark.parametrize("run", ["sync", "asyncio", "trio"])
def test_every_exception_at_every_step(dialect: str, raised: Any, run: str) -> None:
    """The outcome is a `Finish`, or an exception that is not one of those that end a loop silently."""
    outcomes = []
    with Simulator(TEXT, provider=dialect) as simulator:
        for number in range(1, 30):
            way = WAYS[number % len(WAYS)]
            error = raised()
            reached: list[int] = []
            result = _outcome(simulator, dialect, run, way, number, error, reached)
            assert isinstance(result, Finish) or _is_expected(result, error), (number, way, result)
            outcomes.append("finish" if isinstance(result, Finish) else "error")
            if reached[0] > 0:
                break  # the answer needed fewer steps than that: every step had its turn
    assert "error" in outcomes
    assert outcomes[-1] == "finish"


def _outcome(
    simulator: Simulator,
    dialect: str,
    run: str,
    way: str,
    number: int,
    error: BaseException,
    reached: list[int],
) -> Any:
    """Return the `Finish`, or the exception that reached the caller."""

    async def main() -> Any:
        client = AsyncClient(dialect, **arguments(simulator, dialect))
        steps = planted(client, FailingAsync, number, error)
        try:
            return await outcome_async(client, way)
        except BaseException as caught:  # noqa: BLE001 - every exception is an outcome here
            return caught
        finally:
            reached.append(steps[0])
            await client.aclose()

    if run != "sync":
        return trio.run(main) if run == "trio" else asyncio.run(main())
    client = SyncClient(dialect, **arguments(simulator, dialect))
    steps = planted(client, FailingSync, number, error)
    try:
        return outcome_sync(client, way)
    except BaseException as caught:  # noqa: BLE001 - every exception is an outcome here
        return caught
    finally:
        reached.append(steps[0])
        client.close()


def _is_expected(caught: object, raised: BaseException) -> bool:
    if isinstance(raised, (StopIteration, StopAsyncIteration, GeneratorExit)):
        # Python itself turns a StopIteration that leaves a coroutine into a RuntimeError.
        return isinstance(caught, (APIConnectionError, StreamInterrupted, RuntimeError))
    return isinstance(caught, (GLMError, type(raised)))


def test_a_provider_that_ends_without_finish_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from glmclient.providers.chat_completions.decoder import PlatformDecoder

    original = PlatformDecoder.feed

    def feed(self: Any, chunk: bytes, out: list[Any]) -> None:
        original(self, chunk, out)
        out[:] = [event for event in out if not isinstance(event, Finish)]

    monkeypatch.setattr(PlatformDecoder, "feed", feed)
    with Simulator(TEXT, provider="openai") as simulator:
        client = SyncClient("openai", **arguments(simulator, "openai"))
        with client, pytest.raises(StreamInterrupted, match="end mark") as caught:
            client.chat("q")
        assert caught.value.partial.text == TEXT
