"""The limiter: order, buckets, and turns that end in any way, on any thread and event loop."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import trio

from glmclient import (
    APITimeoutError,
    AsyncClient,
    ConfigurationError,
    Limiter,
    RateLimitError,
    StreamCancelled,
    SyncClient,
    Timeout,
)

from .service import Service


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def limiter_on(clock: Clock, **bounds: Any) -> Limiter:
    limiter = Limiter(**bounds)
    limiter._clock = clock
    for bucket in (limiter._requests, limiter._tokens):
        if bucket is not None:
            bucket._clock = clock
            bucket._at = clock()
    return limiter


def nothing() -> None:
    """Wake no one."""


@pytest.mark.parametrize(
    ("bounds", "name"),
    [
        ({"concurrency": 0}, "concurrency"),
        ({"concurrency": "many"}, "concurrency"),
        ({"concurrency": True}, "concurrency"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"tokens_per_minute": "5"}, "tokens_per_minute"),
        ({"tokens_per_minute": float("inf")}, "tokens_per_minute"),
    ],
)
def test_bad_bounds_are_refused(bounds: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError, match=name):
        Limiter(**bounds)


def test_a_client_refuses_another_object() -> None:
    with pytest.raises(ConfigurationError, match=r"glmclient\.Limiter or None, not int"):
        SyncClient(limiter=3)  # type: ignore[arg-type]


def test_first_come_first_served() -> None:
    limiter = Limiter(concurrency=1)
    turns = [limiter.turn() for _ in range(3)]
    assert [turn.admitted for turn in turns] == [True, False, False]
    assert repr(limiter) == "Limiter(window=1, under_way=1, waiting=2)"
    turns[0].end("answered")
    assert [turn.admitted for turn in turns[1:]] == [True, False]
    turns[1].end("answered")
    turns[1].end("answered")
    assert turns[2].admitted
    assert (limiter.under_way, limiter.waiting) == (1, 0)


def test_a_turn_that_leaves_the_queue_frees_its_place() -> None:
    limiter = Limiter(concurrency=1)
    first, second, third = (limiter.turn() for _ in range(3))
    second.end("ended")
    assert limiter.waiting == 1
    first.end("answered")
    assert (second.admitted, third.admitted) == (False, True)


def test_requests_a_minute() -> None:
    clock = Clock()
    limiter = limiter_on(clock, concurrency=100, requests_per_minute=120)
    assert [limiter.turn().admitted for _ in range(2)] == [True, True]
    third = limiter.turn()
    due = third.poll(nothing)
    assert due == pytest.approx(0.5)
    clock.now += 0.5
    assert third.poll(nothing) == 0.0
    assert third.admitted


def test_tokens_a_minute_are_corrected_from_the_usage() -> None:
    clock = Clock()
    limiter = limiter_on(clock, concurrency=100, tokens_per_minute=6000)
    first = limiter.turn(50)
    assert first.admitted
    first.end("answered", tokens=250)  # 200 more than estimated
    second = limiter.turn(100)
    assert second.poll(nothing) == pytest.approx(2.5)
    clock.now += 2.5
    assert second.poll(nothing) == 0.0


def test_a_request_of_more_tokens_than_a_bucket_holds_waits_for_a_full_bucket() -> None:
    clock = Clock()
    limiter = limiter_on(clock, concurrency=100, tokens_per_minute=60)
    assert limiter.turn(1000).admitted
    assert not limiter.turn(1).admitted


def test_retry_after_closes_it_for_everyone() -> None:
    clock = Clock()
    limiter = limiter_on(clock, concurrency=4)
    first, second = limiter.turn(), limiter.turn()
    first.end("refused", retry_after=3.0)
    second.end("refused", retry_after=1.0)
    third = limiter.turn()
    assert third.poll(nothing) == pytest.approx(3.0)
    clock.now += 3.0
    assert third.poll(nothing) == 0.0


def test_a_turn_that_waits_for_the_time_wakes_when_it_comes_first() -> None:
    clock, woken = Clock(), []
    limiter = limiter_on(clock, concurrency=1, requests_per_minute=60)
    first, second = limiter.turn(), limiter.turn()
    assert second.poll(lambda: woken.append(1)) is None
    first.end("answered")
    assert woken == [1]  # it has a time now, at which it looks again
    assert second.poll(nothing) == pytest.approx(1.0)


def test_a_turn_ended_inside_the_limiter_as_by_a_finalizer_is_not_lost() -> None:
    limiter = Limiter(concurrency=1)
    first, second = limiter.turn(), limiter.turn()
    with limiter._lock:  # as if the garbage collector ran in the middle of the limiter's own code
        first.end("ended")
        assert not second.admitted
    limiter.turn()
    assert second.admitted


def test_many_threads_never_pass_the_bound() -> None:
    limiter = Limiter(concurrency=5)
    state = {"now": 0, "most": 0}
    lock = threading.Lock()

    def ask() -> None:
        for _ in range(40):
            turn = limiter.turn()
            turn.block(None)
            with lock:
                state["now"] += 1
                state["most"] = max(state["most"], state["now"])
            time.sleep(0.0002)
            with lock:
                state["now"] -= 1
            turn.end("answered")

    threads = [threading.Thread(target=ask) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert state == {"now": 0, "most": 5}
    assert (limiter.under_way, limiter.waiting) == (0, 0)


def test_one_limiter_for_threads_and_event_loops_of_both_kinds() -> None:
    limiter = Limiter(concurrency=3)
    with Service(seconds=0.01) as service:

        def client(kind: type) -> Any:
            return kind("openai", base_url=service.url, model="m", limiter=limiter)

        def threaded() -> None:
            with client(SyncClient) as sync:
                for _ in range(5):
                    assert sync.chat("q").text == "echo: q"

        async def looped() -> None:
            async with client(AsyncClient) as asynchronous:
                for _ in range(5):
                    assert (await asynchronous.chat("q")).text == "echo: q"

        runs: list[Callable[[], object]] = [threaded, threaded, threaded]
        runs += [lambda: asyncio.run(looped())] * 3 + [lambda: trio.run(looped)] * 3
        threads = [threading.Thread(target=run) for run in runs]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert len(service.prompts) == 45
        assert service.most_at_once <= 3
    assert limiter.under_way == 0


# -- a client that waits ---------------------------------------------------------------------------


def test_the_total_limit_covers_the_wait() -> None:
    limiter = Limiter(concurrency=1)
    held = limiter.turn()
    with (
        Service() as service,
        SyncClient("openai", base_url=service.url, model="m", limiter=limiter) as client,
    ):
        with pytest.raises(APITimeoutError) as caught:
            client.chat("q", timeout=Timeout(total=0.1))
        assert caught.value.limit == "total"
        assert service.prompts == []
        assert limiter.waiting == 0
        held.end("answered")
        assert client.chat("q").text == "echo: q"


def test_the_total_limit_covers_the_wait_of_a_task() -> None:
    limiter = Limiter(concurrency=1)
    limiter.turn()

    async def main() -> None:
        async with AsyncClient("openai", base_url="http://127.0.0.1:9", limiter=limiter) as client:
            with pytest.raises(APITimeoutError, match="total"):
                await client.chat("q", model="m", timeout=Timeout(total=0.1))

    asyncio.run(main())
    assert limiter.waiting == 0


def test_cancel_from_another_thread_frees_a_waiting_reader() -> None:
    limiter = Limiter(concurrency=1)
    limiter.turn()
    with SyncClient(limiter=limiter) as client:
        stream = client.stream("q")
        timer = threading.Timer(0.1, stream.cancel)
        timer.start()
        with pytest.raises(StreamCancelled):
            stream.until_done()
        timer.join()
    assert limiter.waiting == 0


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_cancel_frees_a_waiting_task(run: Any) -> None:
    limiter = Limiter(concurrency=1)
    limiter.turn()

    async def main() -> None:
        async with AsyncClient(limiter=limiter) as client:
            stream = client.stream("q")
            timer = threading.Timer(0.1, stream.cancel)
            timer.start()
            with pytest.raises(StreamCancelled):
                await stream.until_done()
            timer.join()

    run(main) if run is trio.run else run(main())
    assert limiter.waiting == 0


def test_a_stream_that_is_dropped_ends_its_turn() -> None:
    limiter = Limiter(concurrency=1)
    with (
        Service(text=lambda prompt: "x" * 100_000) as service,
        SyncClient("openai", base_url=service.url, model="m", limiter=limiter) as client,
    ):
        for _ in range(3):
            for _ in client.stream("q"):
                break
        stream = client.stream("q")
        next(iter(stream))
        del stream
        gc.collect()
        assert limiter.under_way == 0
        assert client.chat("q").finish is not None


def test_a_refusal_of_a_single_question_is_still_an_error() -> None:
    with (
        Service(allowed=0) as service,
        SyncClient(
            "openai", base_url=service.url, model="m", limiter=Limiter(), retry=None
        ) as client,
        pytest.raises(RateLimitError) as caught,
    ):
        client.chat("q")
    assert caught.value.attempts == 1
