"""`map` on both clients: what comes back, what is pulled, and what ends it."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import trio

from glmclient import (
    AsyncClient,
    BadRequestError,
    ConfigurationError,
    Result,
    StreamMisuse,
    SyncClient,
    Timeout,
)

from .service import Service

KINDS = ("sync", "asyncio", "trio", "aiohttp")


def mapped(kind: str, url: str, rows: Any, **arguments: Any) -> list[Result]:
    """Return every result of `map` on one kind of client."""
    if kind == "sync":
        with SyncClient("openai", base_url=url, model="m") as client:
            return list(client.map(rows, **arguments))

    async def main() -> list[Result]:
        backend: Any = "aiohttp" if kind == "aiohttp" else "httpx"
        async with AsyncClient("openai", base_url=url, model="m", http_backend=backend) as client:
            return [result async for result in client.map(rows, **arguments)]

    return trio.run(main) if kind == "trio" else asyncio.run(main())


@pytest.mark.parametrize("kind", KINDS)
def test_every_row_has_one_result(kind: str) -> None:
    rows = [
        "text",
        [{"role": "user", "content": "messages"}],
        {"id": "own", "prompt": "prompt"},
        {"role": "user", "content": "one message"},
        {"custom_id": "c", "body": {"messages": [{"role": "user", "content": "line"}], "n": 1}},
    ]
    with Service() as service:
        results = mapped(kind, service.url, rows, ordered=True)
    assert [(r.index, r.id, r.row, r.error) for r in results] == [
        (0, "0", rows[0], None),
        (1, "1", rows[1], None),
        (2, "own", rows[2], None),
        (3, "3", rows[3], None),
        (4, "c", rows[4], None),
    ]
    assert [r.reply.text for r in results if r.reply] == [
        f"echo: {text}" for text in ("text", "messages", "prompt", "one message", "line")
    ]
    assert all(r.attempts == 1 and r.seconds > 0 for r in results)


@pytest.mark.parametrize("kind", KINDS)
def test_it_never_raises_for_a_row(kind: str) -> None:
    rows = [
        7,
        {"x": 1},
        {"prompt": "p", "messages": []},
        {"prompt": 5},
        {"prompt": "p", "temprature": 1},
        {"id": 1.5, "prompt": "p"},
        {"custom_id": "c", "body": {"messages": [], "n": 2}},
        {"custom_id": "c", "body": 5},
        "refused",
        "good",
    ]

    def refuse(prompt: str) -> tuple[int, dict[str, Any]] | None:
        return (400, {"error": {"message": "bad words"}}) if prompt == "refused" else None

    with Service(refuse=refuse) as service:
        results = mapped(kind, service.url, rows, ordered=True)
    assert [type(r.error) for r in results] == [
        *([ConfigurationError] * 8),
        BadRequestError,
        type(None),
    ]
    assert [r.attempts for r in results] == [0] * 8 + [1, 1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_refusal_for_rate_is_no_error_and_uses_no_attempt(kind: str) -> None:
    # Long enough that a busy machine still has all requests of a window at the service at once.
    with Service(allowed=3, seconds=0.04) as service:
        results = mapped(kind, service.url, [f"q{n}" for n in range(200)])
        assert {type(r.error) for r in results} == {type(None)}
        assert {r.attempts for r in results} == {1}
        assert sorted(service.prompts) == sorted(f"q{n}" for n in range(200))
        assert service.refused <= 0.05 * 200


@pytest.mark.parametrize("kind", KINDS)
def test_concurrency_bounds_the_call(kind: str) -> None:
    with Service(seconds=0.02) as service:
        mapped(kind, service.url, ["q"] * 40, concurrency=4)
        assert service.most_at_once == 4


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ordered", [True, False])
def test_rows_are_pulled_as_they_are_needed(kind: str, ordered: bool) -> None:
    pulled = 0

    def rows() -> Iterator[str]:
        nonlocal pulled
        for number in range(10_000):
            pulled = number + 1
            yield f"q{number}"

    with Service() as service:
        if kind == "sync":
            with SyncClient("openai", base_url=service.url, model="m") as client:
                for count, _ in enumerate(client.map(rows(), concurrency=4, ordered=ordered), 1):
                    if count == 20:
                        break
        else:

            async def main() -> None:
                backend: Any = "aiohttp" if kind == "aiohttp" else "httpx"
                async with AsyncClient(
                    "openai", base_url=service.url, model="m", http_backend=backend
                ) as client:
                    count = 0
                    async for _ in client.map(rows(), concurrency=4, ordered=ordered):
                        count += 1
                        if count == 20:
                            break

            trio.run(main) if kind == "trio" else asyncio.run(main())
        assert 20 <= pulled <= 20 + 4 * 10


@pytest.mark.parametrize("kind", KINDS)
def test_the_rows_own_error_comes_after_the_answers_on_their_way(kind: str) -> None:
    def rows() -> Iterator[str]:
        yield "one"
        yield "two"
        raise KeyError("rows")

    seen: list[str] = []
    with Service() as service:
        if kind == "sync":
            with (
                SyncClient("openai", base_url=service.url, model="m") as client,
                pytest.raises(KeyError, match="rows"),
            ):
                seen.extend(r.id for r in client.map(rows()))
        else:

            async def main() -> None:
                async with AsyncClient("openai", base_url=service.url, model="m") as client:
                    source = client.map(rows())
                    seen.append((await anext(source)).id)
                    seen.append((await anext(source)).id)
                    with pytest.raises(KeyError, match="rows"):
                        await anext(source)

            trio.run(main) if kind == "trio" else asyncio.run(main())
    assert sorted(seen) == ["0", "1"]


def test_asynchronous_rows() -> None:
    async def rows() -> AsyncIterator[str]:
        for text in ("a", "b"):
            yield text

    with Service() as service:
        results = mapped("asyncio", service.url, rows(), ordered=True)
    assert [r.reply.text for r in results if r.reply] == ["echo: a", "echo: b"]


def test_what_is_not_iterable_is_refused() -> None:
    async def main() -> None:
        async with AsyncClient("openai", base_url="http://127.0.0.1:9", model="m") as client:
            with pytest.raises(ConfigurationError, match="iterable, not int"):
                client.map(5)  # type: ignore[arg-type]

    asyncio.run(main())
    with SyncClient() as client, pytest.raises(ConfigurationError, match="iterable, not int"):
        client.map(5)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["messages", "prompt", "id", "continue_from"])
def test_options_of_single_rows_are_refused(name: str) -> None:
    with SyncClient() as client, pytest.raises(ConfigurationError, match=name):
        client.map(["q"], **{name: "x"})


def test_options_of_the_call_and_of_the_row() -> None:
    with (
        Service(seconds=0.3) as service,
        SyncClient("openai", base_url=service.url, model="m") as client,
    ):
        rows = [{"prompt": "slow", "timeout": 0.05}, "good"]
        results = list(client.map(rows, timeout=Timeout(total=20), retry=None, ordered=True))
    assert [type(r.error).__name__ for r in results] == ["APITimeoutError", "NoneType"]


def test_leaving_the_loop_cancels_what_is_running() -> None:
    with (
        Service(seconds=0.2) as service,
        SyncClient("openai", base_url=service.url, model="m") as client,
    ):
        rows = client.map((str(n) for n in range(1000)), concurrency=8)
        for _ in rows:
            break
        time.sleep(0.5)
        assert len(service.prompts) <= 16
        with pytest.raises(StreamMisuse, match="closed before its end"):
            next(rows)
        assert not [t for t in threading.enumerate() if t.name == "glmclient.map"]


def test_a_map_that_is_dropped_ends_its_threads() -> None:
    with Service() as service, SyncClient("openai", base_url=service.url, model="m") as client:
        rows = client.map(["q"] * 100, concurrency=4)
        next(rows)
        del rows
        gc.collect()
        deadline = time.monotonic() + 10
        while [t for t in threading.enumerate() if t.name == "glmclient.map"]:
            assert time.monotonic() < deadline
            time.sleep(0.01)


@pytest.mark.parametrize("run", [asyncio.run, trio.run])
def test_an_asynchronous_map_that_is_left_or_dropped_cancels_what_is_running(run: Any) -> None:
    async def main() -> None:
        import anyio

        async with AsyncClient("openai", base_url=service.url, model="m") as client:
            async for _ in client.map((str(n) for n in range(1000)), concurrency=8):
                break
            async with client.map((str(n) for n in range(1000)), concurrency=8) as rows:
                await anext(rows)
            with pytest.raises(StreamMisuse, match="closed before its end"):
                await anext(rows)
            dropped = client.map((str(n) for n in range(1000)), concurrency=8)
            await anext(dropped)
            del dropped
            gc.collect()
            await anyio.sleep(0.3)

    with Service(seconds=0.05) as service:
        run(main) if run is trio.run else run(main())
        assert len(service.prompts) <= 3 * 17


def test_stop_pulls_no_more_and_hands_out_what_runs() -> None:
    with Service() as service, SyncClient("openai", base_url=service.url, model="m") as client:
        with client.map((str(n) for n in range(1000)), concurrency=4) as rows:
            next(rows)
            rows.stop()
            rest = list(rows)
        assert 0 < len(rest) < 10
        assert all(r.error is None for r in rest)

    async def main() -> None:
        async with AsyncClient("openai", base_url=service.url, model="m") as client:
            rows = client.map((str(n) for n in range(1000)), concurrency=4)
            await anext(rows)
            rows.stop()
            assert 0 < len([r async for r in rows]) < 10

    with Service() as service:
        asyncio.run(main())


def test_threads_run_in_the_callers_context() -> None:
    variable: contextvars.ContextVar[str] = contextvars.ContextVar("variable", default="none")
    seen: set[str] = set()

    def refuse(prompt: str) -> None:
        return None

    with (
        Service(refuse=refuse) as service,
        SyncClient("openai", base_url=service.url, model="m") as client,
    ):
        original = client._mapped

        def spy(*arguments: Any) -> Any:
            seen.add(variable.get())
            return original(*arguments)

        client._mapped = spy  # type: ignore[method-assign]
        variable.set("the caller's")
        list(client.map(["q"] * 5, concurrency=3))
    assert seen == {"the caller's"}


def test_next_runs_to_the_end() -> None:
    with Service() as service, SyncClient("openai", base_url=service.url, model="m") as client:
        rows = client.map(["a", "b"])
        assert len([next(rows), next(rows)]) == 2
        with pytest.raises(StopIteration):
            next(rows)

    async def main() -> None:
        async with AsyncClient("openai", base_url=service.url, model="m") as client:
            iterator = aiter(client.map(["a"]))
            assert aiter(iterator) is iterator
            # A result that is there before it is waited for rings no bell.
            rows = client.map(["a"])
            await rows._submit()
            await asyncio.gather(
                *(task for task in asyncio.all_tasks() if task is not asyncio.current_task())
            )
            assert [result.id async for result in rows] == ["0"]

    with Service() as service:
        asyncio.run(main())
