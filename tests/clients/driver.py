"""One test body, run three ways: by the blocking client, and by the asynchronous one on asyncio and on trio.

A test is an ``async def`` that is written for the asynchronous client. The blocking client plays along behind a mirror
whose coroutines never wait, and the body is run by sending it ``None`` once.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterator
from functools import partial
from typing import Any

import anyio
import pytest
import trio

from glmclient import AsyncClient, RetryPolicy, SyncClient, Timeout
from glmclient.core.exchange import Exchange
from glmclient.core.identity import Identity

__all__ = ["EVERY_BACKEND", "SECONDS", "Driver", "drivers", "exchanged"]

SECONDS = 20.0
"""Only keeps a broken test from hanging."""

PATIENT = Timeout(connect=SECONDS, first_event=SECONDS, idle=SECONDS, total=2 * SECONDS)
AT_ONCE = RetryPolicy(attempts=3, base_delay=0.0)


def at_once(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never waits."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value
    coroutine.close()
    raise AssertionError(
        "the body of a test waited for something that the blocking client cannot wait for"
    )


class MirrorIterator:
    """An iterator of the blocking kind; like it, it goes when the loop over it is left."""

    def __init__(self, iterator: Iterator[Any]) -> None:
        self._iterator = iterator

    def __aiter__(self) -> MirrorIterator:
        return self

    async def __anext__(self) -> Any:
        try:
            return next(self._iterator)
        except StopIteration:
            raise StopAsyncIteration from None


class Mirror:
    """A blocking client or stream with the methods of its asynchronous twin."""

    def __init__(self, image: Any) -> None:
        self.image = image

    def __getattr__(self, name: str) -> Any:
        return getattr(self.image, name)

    def __repr__(self) -> str:
        return repr(self.image)

    def stream(self, *args: Any, **options: Any) -> Mirror:
        return Mirror(self.image.stream(*args, **options))

    async def chat(self, *args: Any, **options: Any) -> Any:
        return self.image.chat(*args, **options)

    async def models(self) -> Any:
        return self.image.models()

    async def until_done(self) -> Mirror:
        assert self.image.until_done() is self.image
        return self

    async def reply(self) -> Any:
        return self.image.reply()

    async def aclose(self) -> None:
        self.image.close()

    @property
    def text_stream(self) -> AsyncIterator[str]:
        return MirrorIterator(self.image.text_stream)

    def __aiter__(self) -> MirrorIterator:
        return MirrorIterator(iter(self.image))

    async def __anext__(self) -> Any:
        try:
            return next(self.image)
        except StopIteration:
            raise StopAsyncIteration from None

    def __await__(self) -> Generator[Any, None, Mirror]:
        return self.__aenter__().__await__()

    async def __aenter__(self) -> Mirror:
        assert self.image.__enter__() is self.image
        return self

    async def __aexit__(self, *error: Any) -> None:
        self.image.__exit__(*error)


class Driver:
    """Runs test bodies in one of the ways, and makes clients for them."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.is_sync = name == "sync"

    def __repr__(self) -> str:
        return self.name

    def run(self, function: Callable[..., Coroutine[Any, Any, Any]], **arguments: Any) -> Any:
        """Run the body of a test."""
        if self.is_sync:
            result = at_once(function(**arguments))
        elif self.name != "trio":
            result = asyncio.run(function(**arguments))
        else:
            result = trio.run(partial(function, **arguments))
        gc.collect()  # what was left open warns now, and warnings are errors
        return result

    def client(self, *args: Any, **options: Any) -> Any:
        """Return a client that gives up before the test hangs, and tries again without a pause."""
        options = {"timeout": PATIENT, "retry": AT_ONCE, "trust_env": False, **options}
        if self.name == "aiohttp":
            options["http_backend"] = "aiohttp"
        return (
            Mirror(SyncClient(*args, **options)) if self.is_sync else AsyncClient(*args, **options)
        )

    async def together(self, *functions: Callable[[], Awaitable[None]]) -> None:
        """Run functions at the same time, in threads or in tasks; raise what the first of them raised."""
        if not self.is_sync:
            async with raising_the_first(), anyio.create_task_group() as group:
                for function in functions:
                    group.start_soon(function)
            return
        errors: list[BaseException] = []

        def run(function: Callable[[], Any]) -> None:
            try:
                at_once(function())
            except BaseException as error:  # noqa: BLE001 - raised again below
                errors.append(error)

        threads = [threading.Thread(target=run, args=(function,)) for function in functions]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(2 * SECONDS)
            assert not thread.is_alive(), "a thread hangs"
        if errors:
            raise errors[0]

    async def wait(self, event: threading.Event) -> None:
        """Wait until a server, or another thread, says so."""
        if self.is_sync:
            assert event.wait(SECONDS), "nobody said so"
        else:
            assert await anyio.to_thread.run_sync(event.wait, SECONDS), "nobody said so"

    async def pause(self) -> None:
        """Let other tasks, and finalizers that became tasks, go on."""
        if not self.is_sync:
            for _ in range(10):
                await anyio.lowlevel.checkpoint()

    async def until_closed(self, stream: Any) -> None:
        """Wait for the task that closes a stream whose loop was left."""
        if not self.is_sync:
            with anyio.fail_after(SECONDS):
                while not stream._closed:
                    await anyio.lowlevel.checkpoint()


@contextlib.asynccontextmanager
async def raising_the_first() -> AsyncIterator[None]:
    """Raise the first error of a group in place of the group."""
    try:
        yield
    except BaseException as error:  # noqa: BLE001 - what is raised in its place is in it
        first = error
        while nested := getattr(first, "exceptions", None):
            first = nested[0]
        raise first from None


drivers = [Driver("sync"), Driver("asyncio"), Driver("trio")]

EVERY_BACKEND = pytest.mark.parametrize(
    "driver", [*drivers, Driver("aiohttp")], ids=repr, indirect=True
)
"""Runs a test on aiohttp as well."""


def exchanged(**changes: Any) -> Exchange:
    """Return an exchange for a transport alone."""
    import time

    from glmclient import Limits

    arguments: dict[str, Any] = {
        "timeout": PATIENT,
        "retry": AT_ONCE,
        "limits": Limits(),
        "clock": time.monotonic,
        "now": time.time,
        "identity": Identity(chance=lambda: 0.5),
    }
    return Exchange(**{**arguments, **changes})
