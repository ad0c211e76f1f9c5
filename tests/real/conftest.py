"""One server for each version of Gradio, for as long as a worker needs it."""

from __future__ import annotations

from collections.abc import Iterator

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
    environment = ENVIRONMENTS[request.param]
    try:
        python = environment.python()
    except NotInstalled as error:
        if request.param != "gradio4":
            raise
        pytest.skip(f"Gradio 4.44.1 does not install here: {error}")
    log = tmp_path_factory.mktemp(request.param) / "server.log"
    with RealServer(python, log) as running:
        yield running
