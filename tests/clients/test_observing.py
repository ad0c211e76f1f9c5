"""Observers on every client: what they see, that each exchange ends once for them, and that they change no stream."""

from __future__ import annotations

import gc
import logging
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from glmclient import (
    APIConnectionError,
    AsyncClient,
    ConfigurationError,
    Event,
    ExchangeInfo,
    Finish,
    GLMError,
    ServerError,
    StreamCancelled,
    StreamInterrupted,
    SyncClient,
    TextDelta,
    ToolCallDelta,
    Zai,
)
from glmclient.clients import base
from glmclient.testing import Cut, Refusal, Script, Simulator, Wait

from ..schemas.modes import MODES, on_client

each_mode = pytest.mark.parametrize("mode", MODES)
TEXT = "one two three"


class Recorded:
    """An observation that keeps everything."""

    def __init__(self, info: ExchangeInfo) -> None:
        self.info = info
        self.failures: list[tuple[GLMError, int]] = []
        self.batches: list[Sequence[Event]] = []
        self.outcomes: list[Any] = []

    def attempt_failed(self, error: GLMError, attempt: int) -> None:
        self.failures.append((error, attempt))

    def events(self, batch: Sequence[Event]) -> None:
        self.batches.append(batch)

    def finished(self, outcome: Finish | BaseException | None) -> None:
        self.outcomes.append(outcome)


class Recording:
    """An observer that keeps its observations."""

    def __init__(self) -> None:
        self.seen: list[Recorded] = []

    def started(self, exchange: ExchangeInfo) -> Recorded:
        self.seen.append(Recorded(exchange))
        return self.seen[-1]

    @property
    def only(self) -> Recorded:
        (recorded,) = self.seen
        return recorded

    @property
    def outcome(self) -> Any:
        (outcome,) = self.only.outcomes
        return outcome


def chat(client: Any) -> Any:
    return client.chat("Hello")


# -- how an exchange ends ------------------------------------------------------------------------------


@each_mode
@pytest.mark.parametrize("provider", ["chatglm", "qwen", "zai", "openai"])
def test_an_answer_is_seen_from_its_begin_to_its_finish(mode: str, provider: str) -> None:
    observer = Recording()
    with Simulator(TEXT, provider=provider) as simulator:
        reply = on_client(mode, simulator, chat, observer=observer)
    seen = observer.only
    events = [event for batch in seen.batches for event in batch]
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == TEXT
    assert events[-1] == observer.outcome == reply.finish
    assert seen.failures == []
    assert seen.info.provider == provider
    assert seen.info.messages == ({"role": "user", "content": "Hello"},)


@each_mode
def test_failed_attempts_are_told_and_the_last_error_is_the_outcome(mode: str) -> None:
    observer = Recording()
    with (
        Simulator(Script(*[Refusal("server")] * 3), provider="zai") as simulator,
        pytest.raises(ServerError) as caught,
    ):
        on_client(mode, simulator, chat, observer=observer, retry=fast())
    assert observer.outcome is caught.value
    assert [attempt for _, attempt in observer.only.failures] == [1, 2, 3]
    assert observer.only.failures[-1][0] is caught.value
    assert observer.only.batches == []


def fast() -> Any:
    from glmclient import RetryPolicy

    return RetryPolicy(attempts=3, base_delay=0.0)


@each_mode
def test_a_retry_belongs_to_the_same_exchange(mode: str) -> None:
    observer = Recording()
    with Simulator(Script(Refusal("server"), TEXT), provider="zai") as simulator:
        reply = on_client(mode, simulator, chat, observer=observer, retry=fast())
    assert observer.outcome == reply.finish
    assert [type(error) for error, _ in observer.only.failures] == [ServerError]


@each_mode
def test_a_cut_is_the_outcome(mode: str) -> None:
    observer = Recording()
    with (
        Simulator([TextDelta("one"), Cut()], provider="zai") as simulator,
        pytest.raises(StreamInterrupted) as caught,
    ):
        on_client(mode, simulator, chat, observer=observer)
    assert observer.outcome is caught.value
    assert observer.only.failures == [(caught.value, 1)]


@each_mode
def test_no_connection_is_the_outcome(mode: str) -> None:
    observer = Recording()
    with Simulator(TEXT) as simulator, pytest.raises(APIConnectionError) as caught:
        on_client(
            mode, simulator, chat, observer=observer, base_url="http://127.0.0.1:1", retry=None
        )
    assert observer.outcome is caught.value


LEAVING: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {}


def leaving(blocking: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Note a way to leave a stream by the name of its blocking form; the decorated function awaits it."""

    def both(waiting: Callable[[Any], Any]) -> Callable[[Any], Any]:
        LEAVING[blocking.__name__] = blocking, waiting
        return waiting

    return both


def breaking(stream: Any) -> None:
    for _ in stream:
        break


@leaving(breaking)
async def _(stream: Any) -> None:
    async for _ in stream:
        break


def closing(stream: Any) -> None:
    next(stream)
    stream.close()


@leaving(closing)
async def _(stream: Any) -> None:
    await anext(stream)
    await stream.aclose()


def raising(stream: Any) -> None:
    with pytest.raises(KeyError), stream:
        raise KeyError


@leaving(raising)
async def _(stream: Any) -> None:
    with pytest.raises(KeyError):
        async with stream:
            raise KeyError


def collecting(stream: list[Any]) -> None:
    next(stream.pop())


@leaving(collecting)
async def _(stream: list[Any]) -> None:
    await anext(stream.pop())
    gc.collect()
    await anyio.sleep(0.05)


@each_mode
@pytest.mark.parametrize("way", LEAVING)
def test_a_reader_that_leaves_early_is_no_outcome(mode: str, way: str) -> None:
    observer = Recording()
    blocking, waiting = LEAVING[way]

    def leave(client: Any) -> Any:
        stream: Any = [client.stream("Hello")]
        if way != "collecting":
            (stream,) = stream
        return blocking(stream) if mode == "sync" else waiting(stream)

    with Simulator(["one", Wait(threading.Event())], provider="zai") as simulator:
        on_client(mode, simulator, leave, observer=observer)
        gc.collect()
    assert observer.only.outcomes == [None]


@each_mode
@pytest.mark.parametrize("way", ["closing", "breaking", "collecting"])
def test_a_finish_that_was_handed_over_is_the_outcome(mode: str, way: str) -> None:
    observer = Recording()

    def leave(client: Any) -> Any:
        stream = client.stream("Hello")
        if mode == "sync":
            while not isinstance(next(stream), Finish):
                pass
            return stream.close() if way == "closing" else None

        async def run() -> None:
            if way == "breaking":
                async for event in stream:
                    if isinstance(event, Finish):
                        break
                return
            while not isinstance(await anext(stream), Finish):
                pass
            if way == "closing":
                await stream.aclose()

        return run()

    with Simulator(TEXT, provider="zai") as simulator:
        on_client(mode, simulator, leave, observer=observer)
        gc.collect()
    assert isinstance(observer.outcome, Finish)


@each_mode
def test_a_cancel_is_the_outcome_whether_a_reader_waits_or_not(mode: str) -> None:
    observer = Recording()

    def cancel(client: Any) -> Any:
        stream = client.stream("Hello")
        if mode == "sync":
            next(stream)
            stream.cancel()
            with pytest.raises(StreamCancelled):
                next(stream)
            blocked = client.stream("Hello")
            next(blocked)
            threading.Timer(0.1, blocked.cancel).start()
            with pytest.raises(StreamCancelled):
                next(blocked)
            return None

        async def run() -> None:
            await anext(stream)
            stream.cancel()
            with pytest.raises(StreamCancelled):
                await anext(stream)
            blocked = client.stream("Hello")
            await anext(blocked)
            threading.Timer(0.1, blocked.cancel).start()
            with pytest.raises(StreamCancelled):
                await anext(blocked)

        return run()

    with Simulator(["one", Wait(threading.Event())], provider="zai") as simulator:
        on_client(mode, simulator, cancel, observer=observer)
    assert [[type(each) for each in seen.outcomes] for seen in observer.seen] == [
        [StreamCancelled],
        [StreamCancelled],
    ]
    assert [seen.failures for seen in observer.seen] == [[], []]


@pytest.mark.parametrize("mode", ["asyncio", "trio", "aiohttp"])
def test_a_cancelled_task_leaves_early(mode: str) -> None:
    observer = Recording()

    async def run(client: Any) -> None:
        with anyio.move_on_after(0.2):
            await client.chat("Hello")

    with Simulator(["one", Wait(threading.Event())], provider="zai") as simulator:
        on_client(mode, simulator, run, observer=observer)
    assert observer.outcome is None


@each_mode
def test_what_a_broken_transport_raises_is_the_outcome(mode: str) -> None:
    observer = Recording()

    class Channel:
        def __getattr__(self, name: str) -> Any:
            if name == "send":
                raise ZeroDivisionError
            return (lambda *_: None) if mode == "sync" or name in ("cancel", "spawn") else nothing

    async def nothing(*_: Any) -> None:
        pass

    class Transport:
        def open(self) -> Any:
            return Channel()

        def apart(self) -> Any:
            return self

        def close(self) -> None:
            pass

        async def aclose(self) -> None:
            pass

    with Simulator(TEXT) as simulator, pytest.raises(ZeroDivisionError) as caught:
        on_client(mode, simulator, chat, observer=observer, transport=Transport())
    assert observer.outcome is caught.value


@each_mode
def test_a_stream_that_is_never_read_is_no_exchange(mode: str) -> None:
    observer = Recording()

    def make(client: Any) -> Any:
        stream = client.stream("Hello")
        return stream.close() if mode == "sync" else stream.aclose()

    with Simulator(TEXT) as simulator:
        on_client(mode, simulator, make, observer=observer)
    assert observer.seen == []


@each_mode
def test_a_list_of_models_is_no_exchange(mode: str) -> None:
    observer = Recording()
    with Simulator(TEXT, provider="zai") as simulator:
        on_client(mode, simulator, lambda client: client.models(), observer=observer)
    assert observer.seen == []


def test_an_answer_that_ends_without_a_finish_is_an_error_for_observers_too() -> None:
    class Silent(Zai):
        def attempt(self, chat: Any, exchange: Any) -> Iterator[Any]:
            yield [TextDelta("one")]

    observer = Recording()
    with (
        SyncClient(Silent(api_key="0123456789abcdef"), observer=observer) as client,
        pytest.raises(GLMError) as caught,
    ):
        client.chat("Hello")
    assert type(observer.outcome) is type(caught.value)
    assert observer.outcome.partial.text == "one"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_the_copy_of_an_exchange_in_a_forked_process_ends_nothing() -> None:
    code = """
import gc, os, sys
from glmclient import SyncClient
from glmclient.testing import Simulator
class Observer:
    def started(self, exchange): return self
    def events(self, batch): pass
    def finished(self, outcome): os.write(1, b"finished %d\\n" % (os.getpid() == parent))
parent = os.getpid()
with Simulator("one two three", provider="zai", delay=0.05) as simulator:
    client = simulator.client(observer=Observer())
    stream = client.stream("Hello")
    next(stream)
    child = os.fork()
    if not child:
        del stream
        gc.collect()
        os._exit(0)
    os.waitpid(child, 0)
    stream.close()
"""
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    assert run.stdout == "finished 1\n"


# -- everything that asks ------------------------------------------------------------------------------


@each_mode
def test_every_row_of_a_map_is_observed(mode: str) -> None:
    observer = Recording()

    def ask(client: Any) -> Any:
        if mode == "sync":
            return [result.error for result in client.map(["a", "b", "c"])]

        async def run() -> list[Any]:
            return [result.error async for result in client.map(["a", "b", "c"])]

        return run()

    with Simulator(TEXT, provider="zai") as simulator:
        errors = on_client(mode, simulator, ask, observer=observer)
    assert errors == [None, None, None]
    asked = sorted(seen.info.messages[0]["content"] for seen in observer.seen)
    assert asked == ["a", "b", "c"]
    assert all(isinstance(seen.outcomes[0], Finish) for seen in observer.seen)


@each_mode
def test_a_row_that_waits_for_its_rate_is_one_exchange(mode: str) -> None:
    observer = Recording()

    def ask(client: Any) -> Any:
        if mode == "sync":
            return [result.error for result in client.map(["a"])]

        async def run() -> list[Any]:
            return [result.error async for result in client.map(["a"])]

        return run()

    refusal = Refusal("rate_limit", retry_after=0)
    with Simulator(Script(refusal, refusal, TEXT), provider="zai") as simulator:
        assert on_client(mode, simulator, ask, observer=observer) == [None]
    assert isinstance(observer.outcome, Finish)
    assert len(observer.only.failures) == 2


@each_mode
def test_every_row_of_a_batch_is_observed(mode: str, tmp_path: Path) -> None:
    observer = Recording()
    with Simulator(TEXT, provider="zai") as simulator:
        report = on_client(
            mode,
            simulator,
            lambda client: client.batch(["a", "b"], tmp_path / "out.jsonl"),
            observer=observer,
        )
    assert report.succeeded == 2
    assert len([seen for seen in observer.seen if isinstance(seen.outcomes[0], Finish)]) == 2


@each_mode
def test_turns_of_a_conversation_are_observed(mode: str) -> None:
    observer = Recording()

    def talk(client: Any) -> Any:
        conversation = client.conversation(system="Be brief.")
        if mode == "sync":
            return [conversation.chat("a"), conversation.chat("b")]

        async def run() -> list[Any]:
            return [await conversation.chat("a"), await conversation.chat("b")]

        return run()

    with Simulator(TEXT, provider="zai") as simulator:
        on_client(mode, simulator, talk, observer=observer)
    assert [len(seen.info.messages) for seen in observer.seen] == [2, 4]


@each_mode
def test_each_round_of_a_repair_is_an_exchange_and_a_weaker_form_an_attempt(mode: str) -> None:
    observer = Recording()
    refusal = Refusal("bad_request", message="response_format json_schema is not supported")
    with Simulator(Script(refusal, "no", '{"value": [1]}'), provider="openai") as simulator:
        reply = on_client(
            mode, simulator, lambda client: client.chat("?", schema=list[int]), observer=observer
        )
    assert reply.parsed == [1]
    assert [len(seen.failures) for seen in observer.seen] == [1, 0]
    assert [len(seen.outcomes) for seen in observer.seen] == [1, 1]


@each_mode
def test_recording_and_replaying_are_observed(mode: str, tmp_path: Path) -> None:
    recorded, replayed = Recording(), Recording()
    path = tmp_path / "one.jsonl"
    with Simulator(TEXT, provider="zai") as simulator:
        on_client(mode, simulator, chat, observer=recorded, record=path)
        address = simulator.url
    if mode == "sync":
        with SyncClient("zai", base_url=address, replay=path, observer=replayed) as client:
            client.chat("Hello")
    else:

        async def run() -> None:
            async with AsyncClient(
                "zai", base_url=address, replay=path, observer=replayed
            ) as client:
                await client.chat("Hello")

        anyio.run(run, backend="trio" if mode == "trio" else "asyncio")
    assert (recorded.outcome.reason, replayed.outcome.reason) == ("stop", "stop")
    assert recorded.only.info == replayed.only.info


# -- what an observer learns ---------------------------------------------------------------------------


def test_the_description_has_the_question_and_no_key() -> None:
    observer = Recording()
    key = "0123456789abcdef.secretsecret"
    tools = [{"type": "mcp", "mcp": {"server_url": "u", "headers": {"Authorization": "Bearer x"}}}]
    messages = [{"role": "user", "content": [{"type": "text", "text": "private words"}]}]
    with (
        Simulator(TEXT, provider="zai") as simulator,
        simulator.client(
            api_key=key, observer=observer, headers={"X-Token": "tokentokentoken"}
        ) as client,
    ):
        client.chat(messages, temperature=0.5, tools=tools, top_p=None)
        address = simulator.url
    info = observer.only.info
    assert (info.provider, info.model, info.address) == ("zai", Zai.default_model, address)
    assert info.options == {
        "temperature": 0.5,
        "tools": [{"type": "mcp", "mcp": {"server_url": "u", "headers": {"Authorization": "***"}}}],
    }
    assert info.messages == tuple(messages)
    assert info.messages[0] is not messages[0]
    assert "private words" not in repr(info)
    everything = repr((info, info.options, info.messages))
    assert key not in everything
    assert "tokentokentoken" not in everything


def test_the_model_is_that_of_the_question_then_of_the_client() -> None:
    observer = Recording()
    with (
        Simulator(TEXT, provider="zai") as simulator,
        simulator.client(observer=observer, model="glm-4.5") as client,
    ):
        client.chat("?")
        client.chat("?", model="glm-4.6")
    assert [seen.info.model for seen in observer.seen] == ["glm-4.5", "glm-4.6"]


def test_a_continuation_is_for_the_service_alone() -> None:
    info = base.BaseClient._observed
    observer = Recording()
    with Simulator(TEXT) as simulator, simulator.client(observer=observer) as client:
        start = info(client, "?", None, {"continuation": "opaque", "conversation_id": "c"})
        start()
    assert observer.only.info.options == {"conversation_id": "c"}


# -- observers that misbehave --------------------------------------------------------------------------


class Raising:
    """Raises in one method."""

    def __init__(self, method: str) -> None:
        self.method = method
        self.ends = 0

    def _maybe(self, method: str) -> None:
        if method == self.method:
            raise ZeroDivisionError("an observer's own fault")

    def started(self, exchange: ExchangeInfo) -> Raising:
        self._maybe("started")
        return self

    def attempt_failed(self, error: GLMError, attempt: int) -> None:
        self._maybe("attempt_failed")

    def events(self, batch: Sequence[Event]) -> None:
        self._maybe("events")

    def finished(self, outcome: Any) -> None:
        self.ends += 1
        self._maybe("finished")


@each_mode
@pytest.mark.parametrize("method", ["started", "attempt_failed", "events", "finished"])
def test_an_observer_that_raises_is_logged_once_and_changes_nothing(
    mode: str, method: str, caplog: pytest.LogCaptureFixture
) -> None:
    raising, after = Raising(method), Recording()

    def twice(client: Any) -> Any:
        if mode == "sync":
            return [client.chat("Hello") for _ in range(2)]

        async def run() -> list[Any]:
            return [await client.chat("Hello") for _ in range(2)]

        return run()

    script = Script(Refusal("server"), TEXT, repeat=True)
    with (
        Simulator(script, provider="zai") as simulator,
        caplog.at_level(logging.WARNING, "glmclient"),
    ):
        replies = on_client(mode, simulator, twice, observer=[raising, after], retry=fast())
    assert [reply.text for reply in replies] == [TEXT, TEXT]
    (record,) = [record for record in caplog.records if record.name == "glmclient.observer"]
    assert "Raising" in record.getMessage()
    assert [len(seen.outcomes) for seen in after.seen] == [1, 1]
    assert raising.ends == (0 if method == "started" else 2)


def test_an_observer_may_decline_an_exchange_and_is_not_told_of_it() -> None:
    class Declining:
        def started(self, exchange: ExchangeInfo) -> None:
            return None

    with Simulator(TEXT) as simulator, simulator.client(observer=Declining()) as client:
        assert client.chat("Hello").text == TEXT


def test_an_observer_cannot_change_what_is_sent_or_read() -> None:
    class Changing(Recording):
        def started(self, exchange: ExchangeInfo) -> Recorded:
            exchange.messages[0]["content"] = "changed"  # type: ignore[index]
            exchange.options["temperature"] = 2  # type: ignore[index]
            return super().started(exchange)

    observer = Changing()
    with (
        Simulator(TEXT, provider="zai") as simulator,
        simulator.client(observer=observer) as client,
    ):
        assert client.chat("Hello", temperature=0.5).text == TEXT
        body = simulator.requests[-1].json
    assert body["messages"][-1]["content"] == "Hello"
    assert body["temperature"] == 0.5
    assert all(isinstance(batch, tuple) for batch in observer.only.batches)


# -- the argument --------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", ["text", 3, object(), [object()], b"x"])
@pytest.mark.parametrize("kind", [SyncClient, AsyncClient])
def test_what_is_no_observer_is_refused(kind: Any, wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match="observer must"):
        kind(observer=wrong)


@pytest.mark.parametrize("none", [None, [], ()])
def test_no_observer_costs_nothing(none: Any) -> None:
    with Simulator(TEXT) as simulator, simulator.client(observer=none) as client:
        stream = client.stream("Hello")
        stream.until_done()
    assert stream._exchange.observe is None
    assert stream._exchange.observations is None


def test_observers_of_the_whole_program_join_clients_made_afterwards() -> None:
    own, everywhere = Recording(), Recording()
    with Simulator(TEXT) as simulator:
        base.OBSERVERS_OF_ALL.append(everywhere)
        try:
            clients = [simulator.client(), simulator.client(observer=own)]
        finally:
            base.OBSERVERS_OF_ALL.remove(everywhere)
        for client in clients:
            client.chat("Hello")
            client.close()
    assert len(own.seen) == 1
    assert len(everywhere.seen) == 2


def test_a_pickled_client_has_its_observer() -> None:
    client = SyncClient(observer=Raising("nothing"))
    copy = pickle.loads(pickle.dumps(client))
    assert isinstance(copy._observer, Raising)
    assert copy._observers is not None


@each_mode
def test_each_round_of_a_run_is_an_exchange(mode: str) -> None:
    observer = Recording()
    call = ToolCallDelta(0, "c", "double", '{"number": 2}')

    def double(number: int) -> int:
        """Double a number."""
        return 2 * number

    def ask(client: Any) -> Any:
        run = client.run("?", tools=[double])
        return run.reply()

    with Simulator(Script([call, Finish("tool_calls")], TEXT), provider="zai") as simulator:
        assert on_client(mode, simulator, ask, observer=observer).text == TEXT
    assert [len(seen.info.messages) for seen in observer.seen] == [1, 3]
    assert [seen.outcomes[0].reason for seen in observer.seen] == ["tool_calls", "stop"]
    assert [tool["function"]["name"] for tool in observer.seen[0].info.options["tools"]] == [
        "double"
    ]
