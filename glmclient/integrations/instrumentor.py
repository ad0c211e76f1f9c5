"""The instrumentor that ``opentelemetry-instrument`` finds by its entry point."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from ..clients.base import OBSERVERS_OF_ALL
from . import missing_extra
from .opentelemetry import OpenTelemetry

try:
    from opentelemetry.instrumentation.instrumentor import BaseInstrumentor
except ImportError as error:
    raise missing_extra("opentelemetry", error) from None

__all__ = ["GLMClientInstrumentor"]


class GLMClientInstrumentor(BaseInstrumentor):
    """Adds an `OpenTelemetry` observer to every client that is made after ``instrument()``."""

    _observer: OpenTelemetry | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """Return nothing: the instrumented library is this one."""
        return ()

    def _instrument(self, **providers: Any) -> None:
        known = ("tracer_provider", "meter_provider", "logger_provider")
        self._observer = OpenTelemetry(**{name: providers.get(name) for name in known})
        OBSERVERS_OF_ALL.append(self._observer)

    def _uninstrument(self, **_: Any) -> None:
        OBSERVERS_OF_ALL[:] = [each for each in OBSERVERS_OF_ALL if each is not self._observer]
