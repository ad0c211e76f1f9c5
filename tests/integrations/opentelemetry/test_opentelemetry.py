"""Spans and metrics, read back from the SDK's exporters in memory, of both clients."""

from __future__ import annotations

import asyncio
import gc
import importlib
import json
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk._logs.export import SimpleLogRecordProcessor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from glmclient import (
    ConfigurationError,
    Finish,
    GLMError,
    QueueStatus,
    ReasoningDelta,
    RetryPolicy,
    TextDelta,
    Timeout,
    ToolCallDelta,
    Usage,
)
from glmclient.integrations.opentelemetry import GLMClientInstrumentor, OpenTelemetry
from glmclient.integrations.opentelemetry_content import content_attributes
from glmclient.simulator import Cut, Pause, Refusal, Script, Simulator, Wait

from ..documents import blocks_of

try:
    from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter
except ImportError:
    from opentelemetry.sdk._logs.export import InMemoryLogExporter as InMemoryLogRecordExporter

SWITCH = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
USAGE = Usage(12, 30, 42, 4, 20)
ANSWER = [ReasoningDelta("Hm."), TextDelta("Hello "), TextDelta("there"), Finish("stop", USAGE)]
ONCE = RetryPolicy(attempts=1)
PROMPT = "a prompt that nobody may see"


@dataclass
class Telemetry:
    """The SDK's providers with exporters in memory."""

    spans: InMemorySpanExporter
    reader: InMemoryMetricReader
    logs: InMemoryLogRecordExporter
    providers: dict[str, Any]

    def observer(self) -> OpenTelemetry:
        return OpenTelemetry(**self.providers)

    @property
    def span(self) -> ReadableSpan:
        (span,) = self.spans.get_finished_spans()
        return span

    @property
    def attributes(self) -> dict[str, Any]:
        return dict(self.span.attributes or {})

    def points(self, name: str) -> list[Any]:
        """Return the data points of a metric of inference."""
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data is not None else ())
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == f"gen_ai.client.inference.{name}"
            for point in metric.data.data_points
        ]


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    spans, reader, logs = (
        InMemorySpanExporter(),
        InMemoryMetricReader(),
        InMemoryLogRecordExporter(),
    )
    tracers, loggers = TracerProvider(), LoggerProvider()
    tracers.add_span_processor(SimpleSpanProcessor(spans))
    loggers.add_log_record_processor(SimpleLogRecordProcessor(logs))
    meters = MeterProvider(metric_readers=[reader])
    providers = {
        "tracer_provider": tracers,
        "meter_provider": meters,
        "logger_provider": loggers,
    }
    yield Telemetry(spans, reader, logs, providers)
    for provider in providers.values():
        provider.shutdown()


def read_blocking(simulator: Simulator, arguments: Any, question: Any, leave_after: int) -> None:
    with simulator.client(**arguments) as client:
        stream = client.stream(**question)
        for number, _ in enumerate(stream, 1):
            if number == leave_after:
                break


def read_async(simulator: Simulator, arguments: Any, question: Any, leave_after: int) -> None:
    async def read() -> None:
        async with simulator.async_client(**arguments) as client:
            async with client.stream(**question) as stream:
                number = 0
                async for _ in stream:
                    number += 1
                    if number == leave_after:
                        break

    asyncio.run(read())


class Arrivals:
    """Sets a signal when events arrive."""

    def __init__(self, signal: threading.Event) -> None:
        self.signal = signal

    def started(self, exchange: Any) -> Arrivals:
        return self

    def attempt_failed(self, error: Any, attempt: int) -> None:
        raise AssertionError("no attempt fails")

    def events(self, batch: Any) -> None:
        self.signal.set()

    def finished(self, outcome: Any) -> None:
        assert isinstance(outcome, Finish)


Reader = Callable[[Simulator, Any, Any, int], None]


@pytest.fixture(params=[read_blocking, read_async], ids=["blocking", "asynchronous"])
def read(request: pytest.FixtureRequest) -> Reader:
    """Read a stream to its end, or leave it after some events."""
    reader: Reader = request.param
    return reader


def ask(
    read: Reader,
    telemetry: Telemetry,
    script: Any,
    *,
    provider: str = "zai",
    leave_after: int = 0,
    client: dict[str, Any] | None = None,
    **question: Any,
) -> None:
    """Ask one question; errors of glmclient are expected by those who look at the span."""
    with Simulator(script, provider=provider) as simulator:
        arguments = {"observer": telemetry.observer(), **(client or {})}
        try:
            read(simulator, arguments, {"messages": PROMPT, **question}, leave_after)
        except GLMError:
            pass
        gc.collect()


# -- a whole answer ----------------------------------------------------------------------------------------


def test_the_span_of_an_answer(read: Reader, telemetry: Telemetry) -> None:
    options: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "max_tokens": 9, "stop": "X"}
    options |= {"seed": 7, "reasoning_effort": "high", "response_format": {"type": "json_object"}}
    ask(read, telemetry, ANSWER, **options)
    span, attributes = telemetry.span, telemetry.attributes
    assert (span.name, span.kind) == ("chat glm-5.3", SpanKind.CLIENT)
    assert span.status.status_code is StatusCode.UNSET
    assert attributes.pop("server.address") == "127.0.0.1"
    assert attributes.pop("server.port") > 0
    assert attributes.pop("gen_ai.response.id")
    assert 0 < attributes.pop("gen_ai.response.time_to_first_chunk") < 60
    assert attributes == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "zai",
        "gen_ai.output.type": "json",
        "gen_ai.request.model": "glm-5.3",
        "gen_ai.request.stream": True,
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.top_p": 0.9,
        "gen_ai.request.max_tokens": 9,
        "gen_ai.request.stop_sequences": ("X",),
        "gen_ai.request.seed": 7,
        "gen_ai.request.reasoning.level": "high",
        "gen_ai.response.model": "glm-5.3",
        "gen_ai.response.finish_reasons": ("stop",),
        "gen_ai.usage.input_tokens": 12,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 4,
        "gen_ai.usage.reasoning.output_tokens": 20,
        "glmclient.attempts": 1,
    }


def test_the_metrics_of_an_answer(read: Reader, telemetry: Telemetry) -> None:
    signal = threading.Event()
    script = [TextDelta("a"), Wait(signal), TextDelta("b"), Finish("stop", USAGE)]
    observers = [telemetry.observer(), Arrivals(signal)]
    ask(read, telemetry, script, client={"observer": observers})
    (duration,) = telemetry.points("duration")
    span = telemetry.span
    assert duration.sum == pytest.approx((span.end_time - span.start_time) / 1e9, abs=1e-6)
    assert list(duration.explicit_bounds)[:3] == [0.01, 0.02, 0.04] and duration.count == 1
    assert duration.explicit_bounds[-1] == pytest.approx(81.92)
    assert duration.attributes["gen_ai.response.model"] == "glm-5.3"
    assert duration.attributes["gen_ai.operation.name"] == "chat"
    assert "error.type" not in duration.attributes
    (first,) = telemetry.points("time_to_first_chunk")
    (following,) = telemetry.points("time_per_output_chunk")
    assert first.count == 1 and following.count >= 1 and following.sum > 0
    for name, count in {
        "input_tokens": 12,
        "output_tokens": 30,
        "cache_read.input_tokens": 4,
        "reasoning.output_tokens": 20,
    }.items():
        (point,) = telemetry.points(f"usage.{name}")
        assert point.value == count
        assert point.attributes["gen_ai.token.modality"] == "unknown"
    (tokens,) = telemetry.points("operation.output_tokens")
    assert tokens.sum == 30 and list(tokens.explicit_bounds)[:3] == [1, 4, 16]


def test_a_conversation_and_a_reason_of_the_services_own(
    read: Reader, telemetry: Telemetry
) -> None:
    end = Finish("stop", conversation_id="64f0c1d2e3f4a5b6c7d8e9f0")
    ask(read, telemetry, ["Hi", end], provider="chatglm", conversation_id="c1")
    assert telemetry.attributes["gen_ai.conversation.id"] == "64f0c1d2e3f4a5b6c7d8e9f0"
    assert telemetry.attributes["gen_ai.provider.name"] == "chatglm"
    telemetry.spans.clear()
    end = Finish("other", raw_reason="paused")
    options: dict[str, Any] = {"response_format": {"type": "text"}, "stop": ["X", "Y"]}
    ask(read, telemetry, ["Hi", end], provider="openai", model="m", **options)
    assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("paused",)
    assert telemetry.attributes["gen_ai.output.type"] == "text"
    assert telemetry.attributes["gen_ai.request.stop_sequences"] == ("X", "Y")


def test_a_server_that_chooses_the_model(read: Reader, telemetry: Telemetry) -> None:
    ask(read, telemetry, "Hi", provider="openai", frequency_penalty=1, presence_penalty=0)
    assert telemetry.span.name == "chat"
    assert "gen_ai.request.model" not in telemetry.attributes
    assert telemetry.attributes["gen_ai.request.frequency_penalty"] == 1.0


def test_a_place_in_a_queue_is_no_chunk(telemetry: Telemetry) -> None:
    operation = telemetry.observer().started(_exchange())
    operation.events([QueueStatus(1, 2)])
    assert telemetry.points("time_to_first_chunk") == []
    operation.events([TextDelta("Hi")])
    assert telemetry.points("time_to_first_chunk")[0].count == 1


def _exchange(**changed: Any) -> Any:
    from glmclient import ExchangeInfo

    known: dict[str, Any] = {"provider": "zai", "model": "m", "options": {}, "messages": ()}
    return ExchangeInfo(**{**known, "address": "https://host/path", **changed})


def test_addresses(telemetry: Telemetry) -> None:
    for address, host, port in (
        ("https://host/v1", "host", 443),
        ("http://host", "host", 80),
        ("http://[::1]:8000", "::1", 8000),
        ("", None, None),
    ):
        telemetry.spans.clear()
        telemetry.observer().started(_exchange(address=address)).finished(Finish("stop"))
        found = telemetry.attributes
        assert (found.get("server.address"), found.get("server.port")) == (host, port)


# -- other ends --------------------------------------------------------------------------------------------


def test_a_reader_that_leaves(read: Reader, telemetry: Telemetry) -> None:
    ask(read, telemetry, ["word " * 50, Pause(5), "more"], leave_after=1)
    assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert "error.type" not in telemetry.attributes
    assert telemetry.span.status.status_code is StatusCode.UNSET
    (point,) = telemetry.points("usage.input_tokens")
    assert point.value == 0
    assert telemetry.points("operation.input_tokens") == []


def test_a_connection_that_is_cut(read: Reader, telemetry: Telemetry) -> None:
    ask(read, telemetry, [TextDelta("Hel"), Cut()])
    assert telemetry.attributes["error.type"] == "StreamInterrupted"
    assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("error",)
    assert telemetry.span.status.status_code is StatusCode.ERROR
    assert telemetry.span.status.description == "StreamInterrupted"
    assert telemetry.points("duration")[0].attributes["error.type"] == "StreamInterrupted"


def test_a_refusal_is_known_by_the_services_code(read: Reader, telemetry: Telemetry) -> None:
    ask(read, telemetry, Refusal("rate_limit", code=1302), client={"retry": ONCE})
    assert telemetry.attributes["error.type"] == "1302"
    assert telemetry.points("time_to_first_chunk") == []


def test_an_attempt_that_is_repeated(read: Reader, telemetry: Telemetry) -> None:
    retry = RetryPolicy(attempts=3, base_delay=0.001, max_delay=0.001)
    script = Script(Refusal("server"), Refusal("rate_limit", retry_after=0), ANSWER)
    ask(read, telemetry, script, client={"retry": retry})
    span = telemetry.span
    assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("stop",)
    assert "error.type" not in telemetry.attributes
    failed = [event for event in span.events if event.name == "glmclient.attempt_failed"]
    assert [event.attributes["glmclient.attempt"] for event in failed] == [1, 2]
    assert all(event.attributes["error.type"] for event in failed)
    assert telemetry.attributes["glmclient.attempts"] == 3
    assert telemetry.points("duration")[0].count == 1


def test_a_deadline(read: Reader, telemetry: Telemetry) -> None:
    ask(read, telemetry, [Pause(5)], timeout=Timeout(first_event=0.1), retry=None)
    assert telemetry.attributes["error.type"] == "APITimeoutError"


def test_a_cancel(telemetry: Telemetry) -> None:
    with Simulator(["Hi", Pause(5)], provider="zai") as simulator:
        with simulator.client(observer=telemetry.observer()) as client:
            stream = client.stream(PROMPT)
            next(stream)
            stream.cancel()
            with pytest.raises(GLMError):
                next(stream)
    assert telemetry.attributes["error.type"] == "StreamCancelled"
    assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("error",)


def test_a_task_that_is_cancelled(telemetry: Telemetry) -> None:
    async def ask_and_cancel(simulator: Simulator) -> None:
        async with simulator.async_client(observer=telemetry.observer()) as client:
            task = asyncio.ensure_future(client.chat(PROMPT))
            assert await asyncio.to_thread(simulator.wait_for_requests)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    with Simulator(["Hi", Pause(5)], provider="zai") as simulator:
        asyncio.run(ask_and_cancel(simulator))
    assert telemetry.attributes["gen_ai.response.finish_reasons"] == ("error",)


# -- contexts ----------------------------------------------------------------------------------------------


def test_the_span_has_its_parent_in_threads_of_map_and_in_tools(telemetry: Telemetry) -> None:
    tracer = telemetry.providers["tracer_provider"].get_tracer("test")
    inside: list[int] = []

    def add(a: int, b: int) -> int:
        """Add."""
        inside.append(trace.get_current_span().get_span_context().span_id)
        return a + b

    calls = [ToolCallDelta(0, "c1", "add", '{"a": 1, "b": 2}'), Finish("tool_calls", USAGE)]
    with Simulator(Script(calls, ANSWER, repeat=True), provider="zai") as simulator:
        with simulator.client(observer=telemetry.observer()) as client:
            with tracer.start_as_current_span("run") as parent:
                assert client.run("1 + 2?", tools=[add]).reply().text == "Hello there"
            run = [s for s in telemetry.spans.get_finished_spans() if s.name != "run"]
            assert [dict(s.attributes)["gen_ai.response.finish_reasons"] for s in run] == [
                ("tool_calls",),
                ("stop",),
            ]
            identifier = parent.get_span_context().span_id
            assert {s.parent.span_id for s in run} == {identifier} and inside == [identifier]
            telemetry.spans.clear()
            simulator.say(ANSWER)
            with tracer.start_as_current_span("map") as parent:
                assert len([*client.map(["a", "b", "c"], concurrency=2)]) == 3
            mapped = [s for s in telemetry.spans.get_finished_spans() if s.name != "map"]
            assert len(mapped) == 3
            assert {s.parent.span_id for s in mapped} == {parent.get_span_context().span_id}


def test_the_span_has_its_parent_in_tasks(telemetry: Telemetry) -> None:
    tracer = telemetry.providers["tracer_provider"].get_tracer("test")

    async def ask_all(simulator: Simulator) -> int:
        async with simulator.async_client(observer=telemetry.observer()) as client:
            with tracer.start_as_current_span("map") as parent:
                assert len([result async for result in client.map(["a", "b"])]) == 2
            return parent.get_span_context().span_id

    with Simulator(ANSWER, provider="zai") as simulator:
        parent = asyncio.run(ask_all(simulator))
    spans = [span for span in telemetry.spans.get_finished_spans() if span.name != "map"]
    assert {span.parent.span_id for span in spans} == {parent} and len(spans) == 2


# -- content -----------------------------------------------------------------------------------------------


def test_nothing_that_was_written_is_recorded_without_the_switch(
    read: Reader, telemetry: Telemetry
) -> None:
    ask(read, telemetry, ANSWER)
    everything = telemetry.span.to_json() + str(telemetry.reader.get_metrics_data())
    assert PROMPT not in everything and "Hello" not in everything
    assert telemetry.logs.get_finished_logs() == ()


@pytest.mark.parametrize("value", ["true", "SPAN_ONLY", "SPAN_AND_EVENT", "EVENT_ONLY", "no"])
def test_the_switch_for_content(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv(SWITCH, value)
    ask(read_blocking, telemetry, ANSWER)
    output = telemetry.attributes.get("gen_ai.output.messages")
    assert (output is not None) == (value in ("true", "SPAN_ONLY", "SPAN_AND_EVENT"))
    parts = [
        {"type": "reasoning", "content": "Hm."},
        {"type": "text", "content": "Hello there"},
    ]
    if output is not None:
        assert json.loads(output) == [
            {"role": "assistant", "parts": parts, "finish_reason": "stop"}
        ]
        asked = json.loads(telemetry.attributes["gen_ai.input.messages"])
        assert asked == [{"role": "user", "parts": [{"type": "text", "content": PROMPT}]}]
    records = telemetry.logs.get_finished_logs()
    assert bool(records) == (value in ("SPAN_AND_EVENT", "EVENT_ONLY"))
    for record in records:
        entry = record.log_record
        assert entry.event_name == "gen_ai.client.inference.operation.details"
        assert entry.span_id == telemetry.span.context.span_id
        (message,) = entry.attributes["gen_ai.output.messages"]
        assert [dict(part) for part in message["parts"]] == parts


def test_the_part_of_an_answer_that_came_is_recorded(
    telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SWITCH, "SPAN_ONLY")
    ask(read_blocking, telemetry, [TextDelta("Hel"), Cut()])
    (message,) = json.loads(telemetry.attributes["gen_ai.output.messages"])
    assert message["parts"] == [{"type": "text", "content": "Hel"}]
    assert message["finish_reason"] == "error"


def test_messages_of_every_kind() -> None:
    from glmclient import Reply

    call = {"id": "c1", "type": "function", "function": {"name": "f", "arguments": '{"x": 1}'}}
    broken = {"id": "c2", "type": "function", "function": {"name": "g", "arguments": '{"x'}}
    pictures = ["https://host/a.png", "data:image/png;base64,AAAA"]
    images = [{"type": "image_url", "image_url": {"url": url}} for url in pictures]
    sound = {"type": "input_audio", "input_audio": {"data": "AAAA"}}
    tools = [{"type": "function", "function": {"name": "f"}}, {"type": "web_search"}]
    messages = (
        {"role": "user", "content": [{"type": "text", "text": "Look"}, *images, sound]},
        {"role": "assistant", "content": None, "tool_calls": [call, broken]},
        {"role": "tool", "content": "1", "tool_call_id": "c1"},
    )
    exchange = _exchange(messages=messages, options={"tools": tools})
    found = content_attributes(exchange, Reply("Yes"), "stop", as_json=False)
    user, assistant, tool = found["gen_ai.input.messages"]
    assert user["parts"] == [
        {"type": "text", "content": "Look"},
        {"type": "uri", "modality": "image", "uri": "https://host/a.png"},
        {"type": "blob", "modality": "image", "mime_type": "image/png", "content": "AAAA"},
        sound,
    ]
    assert assistant["parts"] == [
        {"type": "tool_call", "id": "c1", "name": "f", "arguments": {"x": 1}},
        {"type": "tool_call", "id": "c2", "name": "g", "arguments": '{"x'},
    ]
    assert tool["parts"] == [{"type": "tool_call_response", "id": "c1", "response": "1"}]
    assert found["gen_ai.tool.definitions"] == [
        {"type": "function", "name": "f"},
        {"type": "web_search"},
    ]


# -- the instrumentor --------------------------------------------------------------------------------------


def test_the_instrumentor_observes_clients_that_are_made_afterwards(telemetry: Telemetry) -> None:
    with Simulator(ANSWER, provider="zai") as simulator:
        before = simulator.client()
        GLMClientInstrumentor().instrument(**telemetry.providers)
        try:
            with simulator.client() as client:
                client.chat(PROMPT)
                before.chat(PROMPT)
            assert telemetry.span.name == "chat glm-5.3"
        finally:
            GLMClientInstrumentor().uninstrument()
        with simulator.client() as client:
            client.chat(PROMPT)
        before.close()
    assert len(telemetry.spans.get_finished_spans()) == 1


def test_the_entry_point_names_the_instrumentor() -> None:
    (entry,) = importlib.metadata.entry_points(group="opentelemetry_instrumentor", name="glmclient")
    assert entry.load() is GLMClientInstrumentor
    assert GLMClientInstrumentor().instrumentation_dependencies() == ()


def test_a_client_with_the_observer_can_be_pickled(telemetry: Telemetry) -> None:
    with Simulator("Hi", provider="chatglm") as simulator:
        client = simulator.client(observer=telemetry.observer())
        copy = pickle.loads(pickle.dumps(client))
        assert copy.chat("Hi").text == "Hi"
        copy.close()
        client.close()


# -- the extra, and the page -------------------------------------------------------------------------------


def test_the_observer_needs_the_api_alone_and_says_what_else_is_missing() -> None:
    code = """
import sys
sys.modules["opentelemetry.sdk"] = sys.modules["opentelemetry.instrumentation"] = None
from glmclient import ConfigurationError, SyncClient
from glmclient.integrations import opentelemetry
with SyncClient(observer=opentelemetry.OpenTelemetry()):
    pass
try:
    opentelemetry.GLMClientInstrumentor
except ConfigurationError as error:
    print(error)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "pip install 'glmclient[opentelemetry]'" in run.stdout, run.stderr


def test_without_opentelemetry_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    monkeypatch.delitem(sys.modules, "glmclient.integrations.opentelemetry")
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[opentelemetry\]'"):
        importlib.import_module("glmclient.integrations.opentelemetry")


def test_a_name_that_does_not_exist_is_an_attribute_error() -> None:
    module = importlib.import_module("glmclient.integrations.opentelemetry")
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        module.Nothing  # noqa: B018 - asked for its error


def test_the_page_is_true(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator(ANSWER, provider="zai") as simulator:
        monkeypatch.setenv("ZAI_BASE_URL", simulator.url)
        monkeypatch.setenv("ZAI_API_KEY", "documents.key")
        namespace: dict[str, Any] = {}
        for block in blocks_of("opentelemetry.md", "python"):
            exec(compile(block, "opentelemetry.md", "exec"), namespace)
        assert len(simulator.questions) == 2
