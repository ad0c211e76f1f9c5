"""A service that repeats the key: in every spelling, cut by every bound, on every client."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from glmclient import GLMError
from glmclient.core.refusals import BODY_SHOWN
from tests.core.test_masking import SPELLINGS
from tests.faults.server import FaultServer, Peer, chunk, head

from .driver import Driver
from .test_secrets import channels

KEY = "sk-canary0123456789ABCDEFGHIJ"


def shown(error: GLMError) -> str:
    return channels(error) + repr(error.partial) + pickle.dumps(error).decode("latin-1")


def answered(status: int, body: bytes, kind: str) -> Any:
    def play(peer: Peer) -> None:
        peer.send(head(status, kind=kind, length=len(body)) + body)

    return play


async def error_of(driver: Driver, play: Any, provider: str = "openai") -> GLMError:
    model = {"model": "m"} if provider == "openai" else {}
    with FaultServer(play) as server:
        async with driver.client(
            provider, base_url=server.url, api_key=KEY, retry=None, **model
        ) as client:
            with pytest.raises(GLMError) as caught:
                await client.chat("q")
    return caught.value


@pytest.mark.parametrize("name", SPELLINGS)
async def test_a_refusal_with_the_key(driver: Driver, name: str) -> None:
    spelled = SPELLINGS[name](KEY)
    body = json.dumps({"error": {"message": f"no key {spelled} here"}}).encode()
    error = await error_of(driver, answered(401, body, "application/json"))
    assert "***" in str(error)
    assert spelled not in shown(error) and KEY[:10] not in shown(error)


@pytest.mark.parametrize("provider", ["openai", "qwen", "zai"])
@pytest.mark.parametrize("kind", ["text/plain", "text/html", "application/json"])
@pytest.mark.parametrize("bound", [80, 200, 300, 500, BODY_SHOWN, 64 * 1024])
async def test_a_bound_that_cuts_through_the_key(
    driver: Driver, bound: int, kind: str, provider: str
) -> None:
    for inside in (len(KEY) - 1, len(KEY) // 2, 6):
        filler = "x" * (bound - inside)
        body = (filler + KEY + "y" * 300).encode()
        if kind == "application/json":
            body = json.dumps({"error": {"message": filler[24:] + KEY + "y" * 300}}).encode()
        error = await error_of(driver, answered(401, body, kind), provider)
        assert KEY[:6] not in shown(error)


@pytest.mark.parametrize("bound", [80, 500, 2000])
async def test_a_frame_that_cuts_through_the_key(driver: Driver, bound: int) -> None:
    def play(peer: Peer) -> None:
        peer.send(head(), chunk(b"data: " + b"x" * (bound - 7) + KEY.encode() + b"y\n\n"))

    error = await error_of(driver, play)
    assert KEY[:6] not in shown(error)


async def test_an_answer_with_the_key(driver: Driver) -> None:
    value = {"choices": [{"index": 0, "delta": {"content": f"your key is {KEY}"}}]}

    def play(peer: Peer) -> None:
        peer.send(head(), chunk(b"data: " + json.dumps(value).encode() + b"\n\n"))
        peer.reset()

    error = await error_of(driver, play)
    assert error.partial.text == "your key is ***"
    assert KEY not in shown(error)


async def test_lines_of_a_refusal_forge_no_log(driver: Driver) -> None:
    words = "no\nWARNING forged\r\n\x1b[31m\u202ered"
    body = json.dumps({"error": {"message": words}}).encode()
    error = await error_of(driver, answered(401, body, "application/json"))
    assert str(error).isprintable() and "forged" in str(error)
