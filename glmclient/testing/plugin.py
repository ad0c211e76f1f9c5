"""The pytest plugin; pytest loads it in every run, so it imports nothing that a test does not use."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from .factory import SimulatorFactory

__all__ = ["glm_cassette", "glm_simulator"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--glm-record``."""
    parser.getgroup("glmclient").addoption(
        "--glm-record",
        action="store_true",
        help="ask the services and record cassettes for the fixture glm_cassette, instead of replaying them",
    )


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


@pytest.fixture
def glm_cassette(request: pytest.FixtureRequest) -> dict[str, Any]:
    """What a client needs to replay this test's own cassette: ``SyncClient(**glm_cassette)``.

    With ``pytest --glm-record`` it records one instead, in the folder ``cassettes`` beside the test.
    """
    from .cassettes import arguments

    return arguments(request.node, record=request.config.getoption("--glm-record", default=False))
