from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests.contract.flavours import Flavour


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture(params=["sync", "asyncio", "trio"])
def client(request: pytest.FixtureRequest, stack: ExitStack) -> Flavour:
    """Make clients of each flavour in turn."""
    return Flavour(request.param, stack)
