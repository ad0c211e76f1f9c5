"""Every fault, on every client, with every service: the class, what had come, the attempts, and nothing left open."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from glmclient import APITimeoutError, GLMError, LimitExceeded, TransportFailure
from tests.clients.certificates import Authority
from tests.clients.driver import Driver

from .dialects import DIALECTS, TEXTS, Dialect
from .server import FaultServer, Peer
from .table import FAULTS, Fault

CASES = [
    pytest.param(fault, dialect, id=f"{dialect}-{group}-{fault}".lower().replace(" ", "_"))
    for group, faults in FAULTS.items()
    for fault in faults
    for dialect in DIALECTS
    if dialect.name in fault.dialects
]


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


@contextlib.contextmanager
def nothing_leaked(driver: Driver) -> Iterator[None]:
    """Assert that no descriptor is left, and no thread but those that an event loop keeps for looking names up."""
    before = descriptors(), threading.active_count()
    yield
    if descriptors() > before[0]:
        gc.collect()  # what is in a cycle is closed when it is found
    assert descriptors() <= before[0]
    # The thread that settles connections which were set aside ends by itself, a second later.
    patience = time.monotonic() + 20
    while driver.is_sync and threading.active_count() > before[1]:
        assert time.monotonic() < patience, threading.enumerate()
        time.sleep(0.05)


def play_of(fault: Fault, dialect: Dialect) -> Any:
    def act(peer: Peer) -> None:
        fault.act(peer, dialect)

    if getattr(fault.act, "at_accept", False):
        act.at_accept = True  # type: ignore[attr-defined]
        return act
    return dialect.stage(act)


@pytest.mark.parametrize(("fault", "dialect"), CASES)
async def test_a_fault(
    driver: Driver, authority: Authority, fault: Fault, dialect: Dialect
) -> None:
    tls = authority.server("localhost", "127.0.0.1") if fault.tls else None
    with nothing_leaked(driver), contextlib.ExitStack() as stack:
        server = stack.enter_context(FaultServer(play_of(fault, dialect), tls=tls))
        options: dict[str, Any] = {"base_url": server.url, "verify": authority.bundle}
        if fault.proxy is not None:
            proxy = stack.enter_context(FaultServer(fault.proxy))
            socks = getattr(fault.proxy, "at_accept", False)
            options["proxy"] = f"socks5://127.0.0.1:{proxy.port}" if socks else proxy.url
            options["base_url"] = server.url.replace("localhost", "127.0.0.1")
        options.update(dialect.options)
        options.update(fault.options)
        if fault.reach is not None:
            options.update(fault.reach(server, authority))
        error, tries = fault.outcome(dialect.name)
        async with driver.client(dialect.name, **options) as client:
            await check(client, fault, error, tries)
        assert dialect.asked(server.requests) == tries
        assert not [failure for failure in server.failures if isinstance(failure, AssertionError)]


async def check(client: Any, fault: Fault, error: type[GLMError] | None, tries: int) -> None:
    stream = client.stream("Hello")
    caught: GLMError | None = None
    try:
        await stream.until_done()
    except GLMError as raised:
        caught = raised
    if error is None:
        assert caught is None
        assert stream.text == TEXTS[-1]
        assert stream.finish is not None
        return
    assert type(caught) is error or (
        isinstance(caught, error) and error.__name__ == "APIStatusError"
    ), caught
    assert caught is not None
    assert caught.partial.text == fault.text == stream.text
    assert caught.partial.finish is None
    if tries:
        assert caught.attempts == tries
    else:  # nothing was asked, but connecting was tried
        assert caught.attempts in (1, 3)
    if isinstance(caught, APITimeoutError):
        assert caught.limit == fault.limit
        assert caught.seconds is not None
        assert caught.elapsed is not None
    if isinstance(caught, LimitExceeded):
        assert caught.limit == fault.limit
        assert caught.actual > caught.maximum > 0
        assert str(caught.maximum) in str(caught)
    assert isinstance(caught.__cause__, (TransportFailure, type(None)))
    assert caught.__context__ is None or isinstance(caught.__context__, TransportFailure)
    assert str(caught)
