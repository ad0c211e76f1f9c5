"""Without a fault there is an answer: the dialects of these tests are what the services speak."""

from __future__ import annotations

import pytest

from tests.clients.driver import Driver

from .dialects import DIALECTS, TEXTS, Dialect
from .server import FaultServer


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
async def test_an_answer(driver: Driver, dialect: Dialect) -> None:
    with FaultServer(dialect.stage(dialect.answer)) as server:
        async with driver.client(dialect.name, base_url=server.url, **dialect.options) as client:
            stream = client.stream("Hello")
            texts = [stream.text async for _ in stream]
            assert tuple(dict.fromkeys(texts)) == TEXTS
            assert stream.finish is not None
            assert stream.finish.reason == "stop"
        assert dialect.asked(server.requests) == 1
