"""Mistakes that a checker must see: each marked line, and no other."""

from __future__ import annotations

from typing_extensions import assert_never

import glmclient
from glmclient import AsyncClient, Event, Finish, Reply, SyncClient, TextDelta


def forgets_events(event: Event) -> str:
    match event:
        case TextDelta(text):
            return text
        case Finish(reason):
            return reason
        case _:
            assert_never(event)  # mistake


def asks_wrongly(client: SyncClient) -> None:
    client.stream("Hello", temprature=0.5)  # mistake
    client.stream("Hello", temperature="hot")  # mistake
    client.stream("Hello", "glm-4")  # mistake
    client.stream(5)  # mistake
    client.chat("Hello", continue_from="the last one")  # mistake


async def forgets_to_wait(client: AsyncClient) -> Reply:
    for _ in client.stream("Hello"):  # mistake
        pass
    return client.chat("Hello")  # mistake


def changes_a_value(finish: Finish) -> None:
    finish.reason = "stop"  # mistake


def misspells() -> None:
    glmclient.SyncCleint()  # mistake
    SyncClient("zai", base_ulr="")  # mistake
    Finish("stopped")  # mistake
