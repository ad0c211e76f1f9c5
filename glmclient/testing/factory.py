"""Simulated services that end with a test."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from ..simulator import ScriptLike, Simulator
from ..simulator.simulator import HELLO

__all__ = ["SimulatorFactory"]


class SimulatorFactory:
    """Starts simulated services, and stops them when it is closed."""

    def __init__(self) -> None:
        self._running = ExitStack()

    def __call__(self, script: ScriptLike = HELLO, **arguments: Any) -> Simulator:
        """Start a service that answers from ``script``; the arguments are those of `Simulator`.

        Raises:
            ConfigurationError: an argument is wrong, or the script says something that the service cannot.
        """
        return self._running.enter_context(Simulator(script, **arguments))

    def close(self) -> None:
        """Stop them all, and raise what went wrong in a script while it served."""
        self._running.close()
