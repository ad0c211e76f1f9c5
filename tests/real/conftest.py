"""One server for each version of Gradio, for as long as a worker needs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .servers import GRADIO_4, GRADIO_5, GRADIO_6, NotInstalled, RealServer

ENVIRONMENTS = {"gradio4": GRADIO_4, "gradio5": GRADIO_5, "gradio6": GRADIO_6}


@pytest.fixture(
    scope="session",
    params=[
        # Each in a group of its own: one worker has one server, and the environments are made side by side.
        pytest.param(name, marks=pytest.mark.xdist_group(name), id=name)
        for name in ENVIRONMENTS
    ],
)
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealServer]:
    python = _python(request.param)
    log = tmp_path_factory.mktemp(request.param) / "server.log"
    with RealServer(python, log) as running:
        yield running


@pytest.fixture(
    scope="session",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(name), id=name) for name in ENVIRONMENTS
    ],
)
def apps(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RealServer]:
    """One process that serves an app of every shape, each at a path of its own."""
    python = _python(request.param)
    log = tmp_path_factory.mktemp(request.param) / "apps.log"
    with RealServer(python, log, "shapes_app.py") as running:
        yield running


@pytest.fixture(
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(name), id=name) for name in ENVIRONMENTS
    ]
)
def environment(request: pytest.FixtureRequest) -> tuple[str, Path]:
    """Return the version of Gradio, and the interpreter of its environment."""
    python = _python(request.param)
    return ENVIRONMENTS[request.param].name.partition("-")[2], python


def _python(name: str) -> Path:
    try:
        return ENVIRONMENTS[name].python()
    except NotInstalled as error:
        if name != "gradio4":
            raise
        pytest.skip(f"Gradio 4.44.1 does not install here: {error}")
