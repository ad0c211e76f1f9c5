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
    """Simulated services that end with the test.

    ``sim = glm_simulator("Hello!")`` starts one, with the arguments of `Simulator`. What went wrong in a script while
    it served fails the test at its end.
    """
    from .factory import SimulatorFactory

    factory = SimulatorFactory()
    yield factory
    factory.close()
