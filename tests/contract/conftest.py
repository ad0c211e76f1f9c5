from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from .flavours import Flavour
from .loopback import Script, Server


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


@pytest.fixture
def serve(stack: ExitStack) -> Callable[..., Server]:
    """Start a server of scripts; it ends after the clients have been closed."""

    def start(*scripts: Script) -> Server:
        return stack.enter_context(Server(*scripts))

    return start


@pytest.fixture(params=["sync", "asyncio", "trio", "aiohttp"])
def every_client(request: pytest.FixtureRequest, stack: ExitStack) -> Flavour:
    """Make clients of each flavour and library in turn."""
    return Flavour(request.param, stack)


@pytest.fixture(params=["sync", "asyncio", "trio"])
def client(request: pytest.FixtureRequest, stack: ExitStack) -> Flavour:
    """Make clients of each flavour in turn."""
    return Flavour(request.param, stack)
