"""What an observer costs: nanoseconds of processor time for each batch of one event, the worst case.

usage: python -m benchmarks.observing

Without an observer the stream makes one check for each batch.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

from glmclient import Finish, Limits, RetryPolicy, TextDelta, Timeout
from glmclient.core.exchange import Exchange
from glmclient.core.identity import Identity
from glmclient.core.observing import Observers, exchange_info
from glmclient.streams.sync_stream import Stream

BATCHES = 200_000
ROUNDS = 7


class Silent:
    """A transport, a channel, an observer and an observation that do nothing."""

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self


def flow() -> Iterator[Any]:
    """Yield batches of one event."""
    delta = TextDelta("x")
    for _ in range(BATCHES):
        yield [delta]
    yield [Finish("stop")]


def nanoseconds(observers: Observers | None) -> float:
    """Return the processor time for each batch."""
    exchange = Exchange(
        timeout=Timeout(),
        retry=RetryPolicy(),
        limits=Limits(),
        clock=time.monotonic,
        now=time.time,
        identity=Identity(),
    )
    if observers is not None:
        exchange.observe = lambda: observers.started(exchange_info("", None, {}, "", ()))
    stream = Stream(exchange, exchange.turn(flow), Silent(), {})  # type: ignore[arg-type]
    began = time.process_time()
    stream.until_done()
    return (time.process_time() - began) / BATCHES * 1e9


def main() -> None:
    """Print both figures, each the best of some rounds."""
    for name, observers in (("no observer", None), ("an observer", Observers(Silent()))):
        print(f"{name}: {min(nanoseconds(observers) for _ in range(ROUNDS)):.0f} ns a batch")


if __name__ == "__main__":
    main()
