"""The pytest plugin; pytest loads it in every run, so it imports nothing that a test does not use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from .factory import SimulatorFactory

__all__ = ["glm_simulator"]


@pytest.fixture
def glm_simulator() -> Iterator[SimulatorFactory]:
    """Simulated services for a test: ``sim = glm_simulator("Hello!")`` starts one.

    They stop at the end of the test; what went wrong in a script while it served fails the test then.
    """
    from .factory import SimulatorFactory

    factory = SimulatorFactory()
    yield factory
    factory.close()
