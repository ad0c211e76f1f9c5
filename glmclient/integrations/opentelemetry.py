"""Traces and metrics of every question, by OpenTelemetry's conventions for generative AI (version 0.1).

A span covers a whole exchange with all its attempts. Its parent is the span that is current where the stream is first
read. It is not made current itself: the exchange is a generator, and between two of its steps the caller's code runs.

Errors are reported under ``error.type`` as the service's own code, or as the name of the exception's class.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from .._version import __version__
from ..configuration import captured_content
from ..core.observing import ExchangeInfo
from ..core.transcript import Transcript
from ..errors import APIStatusError, GLMError
from ..events import Event, Finish, QueueStatus, Usage
from . import missing_extra
from .opentelemetry_content import content_attributes

try:
    from opentelemetry import _logs, metrics, trace
    from opentelemetry.trace import SpanKind, Status, StatusCode
except ImportError as error:
    raise missing_extra("opentelemetry", error) from None

if TYPE_CHECKING:
    from .instrumentor import GLMClientInstrumentor as GLMClientInstrumentor

__all__ = ["GLMClientInstrumentor", "OpenTelemetry"]

_SCOPE = "glmclient"
_SECONDS = [0.01 * 2**power for power in range(14)]
_TOKENS = [4.0**power for power in range(14)]
_OPTIONS: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "frequency_penalty": ("frequency_penalty", float),
    "max_completion_tokens": ("max_tokens", int),
    "max_tokens": ("max_tokens", int),
    "presence_penalty": ("presence_penalty", float),
    "reasoning_effort": ("reasoning.level", str),
    "seed": ("seed", int),
    "stop": ("stop_sequences", lambda stop: [stop] if isinstance(stop, str) else [*stop]),
    "temperature": ("temperature", float),
    "top_k": ("top_k", int),
    "top_p": ("top_p", float),
}
"""Options, the attribute below ``gen_ai.request`` that each is, and its type there."""


def __getattr__(name: str) -> Any:
    # The observer needs opentelemetry-api alone, the instrumentor one more library.
    if name == "GLMClientInstrumentor":
        from .instrumentor import GLMClientInstrumentor

        return GLMClientInstrumentor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class OpenTelemetry:
    """An observer that emits spans and metrics: ``SyncClient(observer=OpenTelemetry())``.

    Messages and answers are recorded only if the environment asks for it when the observer is made:
    ``OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT`` is ``SPAN_ONLY`` (or ``true``) for attributes of the span,
    ``EVENT_ONLY`` for an event, ``SPAN_AND_EVENT`` for both.

    Args:
        tracer_provider: in place of the global one.
        meter_provider: in place of the global one.
        logger_provider: in place of the global one; for events with content.
    """

    def __init__(
        self,
        tracer_provider: Any = None,
        meter_provider: Any = None,
        logger_provider: Any = None,
    ) -> None:
        self.tracer: Any = trace.get_tracer(_SCOPE, __version__, tracer_provider)
        self.logger: Any = _logs.get_logger(_SCOPE, __version__, logger_provider)
        self.content: frozenset[str] = captured_content()
        meter = metrics.get_meter(_SCOPE, __version__, meter_provider)
        self.duration: Any = _histogram(meter, "duration", "s", _SECONDS)
        self.first_chunk: Any = _histogram(meter, "time_to_first_chunk", "s", _SECONDS)
        self.next_chunk: Any = _histogram(meter, "time_per_output_chunk", "s", _SECONDS)
        self.tokens: dict[str, Any] = {
            name: meter.create_counter(f"gen_ai.client.inference.usage.{name}", "{token}")
            for name in (
                "input_tokens",
                "output_tokens",
                "cache_read.input_tokens",
                "reasoning.output_tokens",
            )
        }
        self.tokens_of_one: dict[str, Any] = {
            name: _histogram(meter, f"operation.{name}", "{token}", _TOKENS)
            for name in ("input_tokens", "output_tokens")
        }

    def __reduce__(self) -> tuple[Any, ...]:
        # Tracers cannot be pickled. A client in another process reports to the providers of that process.
        return type(self), ()

    def started(self, exchange: ExchangeInfo) -> _Operation:
        """Begin the span of an exchange."""
        return _Operation(self, exchange)


def _histogram(meter: Any, name: str, unit: str, bounds: list[float]) -> Any:
    return meter.create_histogram(
        f"gen_ai.client.inference.{name}", unit, explicit_bucket_boundaries_advisory=bounds
    )


class _Operation:
    """One exchange: its span, and what its metrics need."""

    def __init__(self, telemetry: OpenTelemetry, exchange: ExchangeInfo) -> None:
        self._telemetry, self._exchange = telemetry, exchange
        self._common = _common_attributes(exchange)
        name = " ".join(("chat", *((exchange.model,) if exchange.model else ())))
        self._began, self._wall = time.perf_counter_ns(), time.time_ns()
        self._latest: int | None = None
        self._failed_attempts = 0
        self._transcript = Transcript() if telemetry.content else None
        self._span = telemetry.tracer.start_span(
            name,
            kind=SpanKind.CLIENT,
            attributes={**self._common, **_request_attributes(exchange.options)},
            start_time=self._wall,
        )

    def attempt_failed(self, error: GLMError, attempt: int) -> None:
        """Note an attempt that failed as an event of the span."""
        self._failed_attempts = attempt
        self._span.add_event(
            "glmclient.attempt_failed",
            {"error.type": _error_type(error), "glmclient.attempt": attempt},
        )

    def events(self, batch: Sequence[Event]) -> None:
        """Measure the time to a chunk; events that arrive together are one."""
        if all(isinstance(event, QueueStatus) for event in batch):
            return
        now = time.perf_counter_ns()
        if self._latest is None:
            seconds = (now - self._began) / 1e9
            self._telemetry.first_chunk.record(seconds, self._common)
            self._span.set_attribute("gen_ai.response.time_to_first_chunk", seconds)
        else:
            self._telemetry.next_chunk.record((now - self._latest) / 1e9, self._common)
        self._latest = now
        if self._transcript is not None:
            self._transcript.extend(batch)

    def finished(self, outcome: Finish | BaseException | None) -> None:
        """End the span and record the metrics."""
        elapsed = time.perf_counter_ns() - self._began
        finish = outcome if isinstance(outcome, Finish) else None
        attributes = _response_attributes(finish)
        failure = {} if not isinstance(outcome, BaseException) else _failure(outcome)
        if failure:
            self._span.set_status(Status(StatusCode.ERROR, failure["error.type"]))
        attempts = getattr(outcome, "attempts", 0) or self._failed_attempts + 1
        self._span.set_attributes({**attributes, **failure, "glmclient.attempts": attempts})
        self._record_content(attributes, finish)
        self._span.end(self._wall + elapsed)
        dimensions = dict(self._common)
        if finish is not None and finish.model:
            dimensions["gen_ai.response.model"] = finish.model
        self._telemetry.duration.record(elapsed / 1e9, {**dimensions, **failure})
        self._record_tokens(finish.usage if finish is not None else None, dimensions)

    def _record_tokens(self, usage: Usage | None, dimensions: dict[str, Any]) -> None:
        # The conventions want a 0 from operations without usage too. No service tells the modality of its tokens.
        counts = dict.fromkeys(("input_tokens", "output_tokens"), 0) | _counts(usage)
        for name, count in counts.items():
            self._telemetry.tokens[name].add(
                count, {**dimensions, "gen_ai.token.modality": "unknown"}
            )
            if usage is not None and name in self._telemetry.tokens_of_one:
                self._telemetry.tokens_of_one[name].record(count, dimensions)

    def _record_content(self, attributes: dict[str, Any], finish: Finish | None) -> None:
        if self._transcript is None:
            return
        reasons = attributes["gen_ai.response.finish_reasons"]
        reply = self._transcript.reply()
        if "span" in self._telemetry.content:
            self._span.set_attributes(
                content_attributes(self._exchange, reply, reasons[0], as_json=True)
            )
        if "event" in self._telemetry.content:
            content = content_attributes(self._exchange, reply, reasons[0], as_json=False)
            self._telemetry.logger.emit(
                _logs.LogRecord(
                    timestamp=time.time_ns(),
                    event_name="gen_ai.client.inference.operation.details",
                    attributes={**self._common, **attributes, **content},
                    context=trace.set_span_in_context(self._span),
                )
            )


def _common_attributes(exchange: ExchangeInfo) -> dict[str, Any]:
    """Return what spans and metrics have in common."""
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": exchange.provider,
    }
    if exchange.model is not None:
        attributes["gen_ai.request.model"] = exchange.model
    address = urlsplit(exchange.address)
    if address.hostname:
        attributes["server.address"] = address.hostname
        attributes["server.port"] = address.port or (80 if address.scheme == "http" else 443)
    return attributes


def _request_attributes(options: Mapping[str, Any]) -> dict[str, Any]:
    attributes: dict[str, Any] = {"gen_ai.request.stream": True}
    for option, (name, kind) in _OPTIONS.items():
        if option in options:
            attributes[f"gen_ai.request.{name}"] = kind(options[option])
    wanted = options.get("response_format")
    kind_wanted = wanted.get("type") if isinstance(wanted, Mapping) else wanted
    if kind_wanted is not None:
        attributes["gen_ai.output.type"] = "json" if "json" in str(kind_wanted) else "text"
    if options.get("conversation_id"):
        attributes["gen_ai.conversation.id"] = str(options["conversation_id"])
    return attributes


def _response_attributes(finish: Finish | None) -> dict[str, Any]:
    if finish is None:
        return {"gen_ai.response.finish_reasons": ["error"]}
    reason = finish.raw_reason if finish.reason == "other" and finish.raw_reason else finish.reason
    attributes = {
        "gen_ai.response.finish_reasons": [reason],
        "gen_ai.response.id": finish.response_id,
        "gen_ai.response.model": finish.model,
        "gen_ai.conversation.id": finish.conversation_id,
        **{f"gen_ai.usage.{name}": count for name, count in _counts(finish.usage).items()},
    }
    return {name: value for name, value in attributes.items() if value is not None}


def _counts(usage: Usage | None) -> dict[str, int]:
    if usage is None:
        return {}
    counts = {
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "cache_read.input_tokens": usage.cached_tokens,
        "reasoning.output_tokens": usage.reasoning_tokens,
    }
    return {name: count for name, count in counts.items() if count is not None}


def _failure(error: BaseException) -> dict[str, str]:
    return {"error.type": _error_type(error)}


def _error_type(error: BaseException) -> str:
    code = error.code if isinstance(error, APIStatusError) else None
    return code or type(error).__name__
