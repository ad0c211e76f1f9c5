"""A demonstration that needs no network: a simulated service, and both clients reading its answer."""

from __future__ import annotations

import importlib.util
import io
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TextIO

from .errors import GLMError
from .events import Event, Finish, TextDelta, TextReplace, Usage
from .providers import BUILT_IN, ServiceInfo

if TYPE_CHECKING:
    from .simulator import Simulator, Step

__all__ = ["main"]

ANSWERS = {info.name: info.demo for info in BUILT_IN.values() if info.demo}
"""What each simulated service answers."""

QUESTION = "斐波那契？"
DELAY = 0.008
"""Seconds between two pieces of the answer."""


@dataclass(slots=True)
class _Shown:
    """One answer on its way to the screen, and how long it took."""

    out: TextIO
    clock: Callable[[], float]
    text: str = ""
    events: int = 0
    finish: Finish | None = None
    began: float = 0.0
    first: float | None = None

    def begin(self) -> None:
        """Measure from now."""
        self.began = self.clock()

    def show(self, event: Event) -> None:
        """Write an event as it arrives."""
        if self.first is None:
            self.first = self.clock() - self.began
        self.events += 1
        if isinstance(event, TextDelta):
            self.text += event.text
            _say(self.out, event.text.replace("\n", "\n    "))
        elif isinstance(event, TextReplace):
            self.text = self.text[: event.start] + event.text
            _say(self.out, f"\n    [rewritten from character {event.start}] {event.text}")
        elif isinstance(event, Finish):
            self.finish = event

    def summary(self) -> str:
        """Return the reason and the timing in one line."""
        reason = self.finish.reason if self.finish is not None else "no end"
        first = 1000 * (self.first or 0.0)
        total = 1000 * (self.clock() - self.began)
        return (
            f"[{reason}] first event after {first:.0f} ms, all after {total:.0f} ms; "
            f"{self.events} events, {len(self.text)} characters{self._usage()}"
        )

    def _usage(self) -> str:
        usage = self.finish.usage if self.finish is not None else None
        if usage is None:
            return ""
        return f"; usage: {usage.prompt_tokens} + {usage.completion_tokens} tokens"


def _stream_sync(sim: Simulator, shown: _Shown) -> None:
    with sim.client() as client:
        shown.begin()
        for event in client.stream(QUESTION):
            shown.show(event)


async def _stream_async(sim: Simulator, shown: _Shown) -> None:
    async with sim.async_client() as client:
        shown.begin()
        async for event in client.stream(QUESTION):
            shown.show(event)


def _readers() -> dict[str, Callable[[Simulator, _Shown], None]]:
    """Return the clients to show, each with how it reads a stream."""
    import anyio

    readers: dict[str, Callable[[Simulator, _Shown], None]] = {"SyncClient": _stream_sync}
    for backend in ("asyncio", "trio"):
        if importlib.util.find_spec(backend) is not None:
            readers[f"AsyncClient on {backend}"] = partial(
                _run, partial(anyio.run, backend=backend)
            )
    return readers


def _run(run: Callable[..., None], sim: Simulator, shown: _Shown) -> None:
    # In a thread of its own, because this one may have a loop running already, as in a notebook.
    with ThreadPoolExecutor(1) as thread:
        thread.submit(run, _stream_async, sim, shown).result()


def _say(out: TextIO, text: str) -> None:
    """Write at once, whatever the terminal's encoding can hold."""
    encoding = out.encoding or "utf-8"
    out.write(text.encode(encoding, "replace").decode(encoding))
    out.flush()


def main(
    out: TextIO | None = None,
    *,
    answer: str | None = None,
    delay: float = DELAY,
    clock: Callable[[], float] = time.perf_counter,
) -> int:
    """Stream an answer of each simulated service through each client, and show it as it arrives.

    Args:
        out: where to write; standard output otherwise.
        answer: what every service says; something of its own each otherwise.
        delay: seconds between two pieces of it.
        clock: seconds that only grow.

    Returns:
        0, or 1 if a text that arrived is not the one that was said.
    """
    from .simulator import Simulator

    screen = out if out is not None else sys.stdout
    readers = _readers()
    _warm_up(readers.values(), clock)
    wrong: list[str] = []
    for provider, own in ANSWERS.items():
        said = own if answer is None else answer
        script: list[str | Step] = [said, Finish("stop", usage=_usage_of(BUILT_IN[provider]))]
        with Simulator(script, provider=provider, delay=delay) as sim:
            _say(
                screen,
                f"A simulated {provider!r} service at {sim.url}; nothing leaves this machine.\n\n",
            )
            for name, read in readers.items():
                _say(screen, f"  {name}:\n    ")
                shown = _Shown(screen, clock)
                failure = _failure(partial(read, sim, shown), shown, said)
                _say(screen, f"\n    {shown.summary()}\n\n")
                if failure is not None:
                    wrong.append(f"{name} from {provider!r}: {failure}")
    for line in wrong:
        _say(screen, f"WRONG: {line}\n")
    if not wrong:
        _say(screen, "Every client read exactly what was said.\n")
    return 1 if wrong else 0


def _usage_of(info: ServiceInfo) -> Usage | None:
    if info.demo_tokens is None:
        return None
    prompt, completion = info.demo_tokens
    return Usage(
        prompt_tokens=prompt, completion_tokens=completion, total_tokens=prompt + completion
    )


def _warm_up(
    readers: Iterable[Callable[[Simulator, _Shown], None]], clock: Callable[[], float]
) -> None:
    """Let each client load what it loads at its first question, so that this is no part of what is measured."""
    from .simulator import Simulator

    with Simulator() as sim:
        for read in readers:
            read(sim, _Shown(io.StringIO(), clock))


def _failure(read: Callable[[], None], shown: _Shown, said: str) -> str | None:
    """Read, and return what is wrong with what arrived."""
    try:
        read()
    except GLMError as error:
        return f"{type(error).__name__}: {error}"
    if shown.text != said:
        return f"expected {said!r}, but {shown.text!r} arrived"
    return None
