"""Asking a service in three ways: blocking, on asyncio and on trio."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import anyio

from glmclient import AsyncClient, SyncClient
from glmclient.errors import GLMError
from glmclient.events import Event, Finish
from glmclient.providers.base import Provider

Way = Literal["sync", "asyncio", "trio"]
WAYS: tuple[Way, ...] = ("sync", "asyncio", "trio")

OnEvent = Callable[[Event], bool | None]
"""Called with each event; ``True`` leaves the stream."""


@dataclass(slots=True)
class Outcome:
    """What came of a question."""

    events: list[Event] = field(default_factory=list)
    text: str = ""
    error: GLMError | None = None

    @property
    def finish(self) -> Finish:
        """The end of the answer, which must have come."""
        assert self.error is None, self.error
        last = self.events[-1]
        assert isinstance(last, Finish)
        return last


def ask(
    way: Way,
    provider: Provider,
    messages: Any,
    on_event: OnEvent = lambda event: None,
    **options: Any,
) -> Outcome:
    """Ask ``messages`` and read the answer to its end, its error, or as far as ``on_event`` wants it."""
    outcome = Outcome()
    if way == "sync":
        _blocking(outcome, provider, messages, on_event, options)
    else:
        anyio.run(_waiting, outcome, provider, messages, on_event, options, backend=way)
    return outcome


def _blocking(
    outcome: Outcome, provider: Provider, messages: Any, on_event: OnEvent, options: dict[str, Any]
) -> None:
    with SyncClient(provider, trust_env=False) as client:
        stream = client.stream(messages, **options)
        try:
            for event in stream:
                outcome.events.append(event)
                outcome.text = stream.text
                if on_event(event):
                    break
        except GLMError as error:
            outcome.error = error


async def _waiting(
    outcome: Outcome, provider: Provider, messages: Any, on_event: OnEvent, options: dict[str, Any]
) -> None:
    async with AsyncClient(provider, trust_env=False) as client:
        try:
            async with client.stream(messages, **options) as stream:
                async for event in stream:
                    outcome.events.append(event)
                    outcome.text = stream.text
                    if on_event(event):
                        break
        except GLMError as error:
            outcome.error = error
