"""A server that leaves the body open after the end mark of the answer costs two waits, and not one for each answer."""

from __future__ import annotations

import time
from typing import Any

import pytest

from glmclient import AsyncClient, SyncClient
from glmclient.transports.endings import Endings
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .driver import PATIENT, Driver

WAIT = 0.5
"""Seconds that one wait takes here."""


def open_ended(peer: Peer) -> None:
    peer.send(head(), *map(chunk, HELLO))
    peer.until_gone()


@pytest.fixture(params=["httpx", "aiohttp"])
def backend(request: pytest.FixtureRequest) -> Any:
    return request.param


async def test_waiting_stops_after_two_answers(
    driver: Driver, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if backend == "aiohttp" and driver.name != "asyncio":
        return  # it is a choice of the asynchronous client on asyncio
    monkeypatch.setattr("glmclient.core.exchange.DRAIN_SECONDS", WAIT)
    options = {} if driver.is_sync else {"http_backend": backend}
    with FaultServer(open_ended) as server:
        async with driver.client(base_url=server.url, **options) as client:
            began = time.monotonic()
            for _ in range(10):
                assert (await client.chat("Hello")).text == HELLO_TEXT
            assert time.monotonic() - began < 6 * WAIT
            assert server.connections == 10


def test_a_body_that_ends_begins_the_count_anew() -> None:
    endings = Endings()
    assert endings.patience("a", 1.0) == 1.0
    endings.note("a", ended=False)
    endings.note("a", ended=True)
    endings.note("a", ended=False)
    assert endings.patience("a", 1.0) == 1.0
    endings.note("a", ended=False)
    assert endings.patience("a", 1.0) < 0.1
    assert endings.patience("b", 1.0) == 1.0  # another origin


def test_each_client_counts_for_itself() -> None:
    first, second = SyncClient(timeout=PATIENT), AsyncClient(timeout=PATIENT)
    assert first._transport.endings is not second._transport.endings  # type: ignore[attr-defined]
    first.close()
