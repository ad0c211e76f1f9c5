"""A service that answers without end: the bounds of a whole answer hold on every client, in every dialect."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from glmclient import LimitExceeded, Limits, ProtocolError
from tests.faults.server import FaultServer, Peer, chunk, head
from tests.providers.chatglm.wire import frame as glm_frame
from tests.providers.chatglm.wire import part
from tests.providers.gradio.scripted import completed, config, generating

from .driver import Driver

PIECE = "x" * 1000
LIMITS = Limits(answer=50_000, parts=50)


def chunk_of(**delta: Any) -> bytes:
    return b"data: " + json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode() + b"\n\n"


def tool(number: int, arguments: str) -> bytes:
    call = {"index": number, "id": f"c{number}", "function": {"name": "f", "arguments": arguments}}
    return chunk_of(tool_calls=[call])


def glm(number: int, **item: Any) -> bytes:
    return glm_frame("init", part(item, logic_id=f"L{number}"))


ENDLESS: dict[str, tuple[str, str, Any]] = {
    # the dialect, the bound, and the frame of a number
    "text": ("openai", "answer", lambda number: chunk_of(content=PIECE)),
    "reasoning": ("openai", "answer", lambda number: chunk_of(reasoning_content=PIECE)),
    "arguments": ("openai", "answer", lambda number: tool(0, PIECE)),
    "names": ("openai", "answer", lambda number: tool(number, PIECE)),
    "calls": ("openai", "parts", lambda number: tool(number, "")),
    "refusals": ("openai", "answer", lambda number: chunk_of(refusal=PIECE)),
    "sources": (
        "openai",
        "parts",
        lambda number: b'data: {"web_search":[{"title":"t","link":"l"}]}\n\n',
    ),
    "unknown": ("openai", "answer", lambda number: chunk_of(novelty=PIECE)),
    "parts of text": ("chatglm", "answer", lambda number: glm(number, type="text", text=PIECE)),
    "parts of thinking": (
        "chatglm",
        "answer",
        lambda number: glm(number, type="think", think=PIECE),
    ),
    "code": ("chatglm", "answer", lambda number: glm(number, type="code", code=PIECE)),
    "empty parts": ("chatglm", "parts", lambda number: glm(number, type="text", text="")),
    "items that never finish": (
        "chatglm",
        "answer",
        lambda number: (
            glm(0, type="execution_output", content=PIECE, n=number)
            if number % 2
            else glm_frame(
                "init",
                part(
                    *({"type": f"novelty{n}", "data": PIECE * 2} for n in range(45)),
                    logic_id="L0",
                ),
            )
        ),
    ),
    "images": (
        "chatglm",
        "parts",
        lambda number: glm(0, type="image", image=[{"image_url": f"https://i/{number}"}]),
    ),
}


@pytest.mark.parametrize("name", ENDLESS)
async def test_an_endless_answer_ends_at_a_bound(driver: Driver, name: str) -> None:
    provider, limit, frame = ENDLESS[name]

    def play(peer: Peer) -> None:
        peer.send(head())
        for number in itertools.count():
            peer.send(chunk(frame(number)))

    model = {"model": "m"} if provider == "openai" else {}
    with FaultServer(play) as server:
        client = driver.client(provider, base_url=server.url, limits=LIMITS, **model)
        async with client:
            with pytest.raises(LimitExceeded) as caught:
                await client.chat("q", include_unknown=name == "unknown")
    error = caught.value
    assert (error.limit, error.maximum) == (limit, getattr(LIMITS, limit))
    assert error.actual > error.maximum
    if name == "text":
        assert error.partial.text == PIECE * 50


def space(frames: Any, *fields: str) -> Any:
    """Play a Gradio app whose stream is these frames."""

    def play(peer: Peer) -> None:
        path = peer.request.target.partition("?")[0]
        if path == "/queue/data":
            peer.send(head())
            for data in frames():
                peer.send(chunk(data))
            return
        value = config() if path == "/config" else {"event_id": "e1"}
        body = json.dumps(value).encode()
        peer.send(head(200, *fields, kind="application/json", length=len(body)) + body)

    return play


async def test_a_chatbot_that_grows_without_end(driver: Driver) -> None:
    def frames() -> Iterator[bytes]:
        yield generating("", [["q", "a"]])
        for _ in range(2000):
            yield generating("", [["add", [0], [None, PIECE]]])

    with FaultServer(space(frames)) as server:
        async with driver.client("qwen", base_url=server.url, limits=LIMITS) as client:
            with pytest.raises(LimitExceeded) as caught:
                await client.chat("q")
    assert caught.value.limit == "answer"


async def test_many_edits_in_one_frame(driver: Driver) -> None:
    """Each edit moves the items of the one before: 400,000 of them took half a minute in one read."""

    def frames() -> Iterator[bytes]:
        yield generating("", [["q", "a"]])
        yield generating("", [["add", [0], 0]] * 400_000)

    with FaultServer(space(frames)) as server:
        async with driver.client("qwen", base_url=server.url) as client:
            began = time.perf_counter()
            with pytest.raises(LimitExceeded) as caught:
                await client.chat("q", timeout=20)
    assert caught.value.limit == "rewrites"
    assert time.perf_counter() - began < 15


@pytest.mark.parametrize(
    "prefix", ["/../x", "/a/../../x", "/..", "/./x", "/a/..", "/a/.", "/" + "a" * 300]
)
async def test_a_prefix_that_leaves_the_base_path(driver: Driver, prefix: str) -> None:
    def play(peer: Peer) -> None:
        body = json.dumps({**config(), "api_prefix": prefix}).encode()
        peer.send(head(200, kind="application/json", length=len(body)) + body)

    with FaultServer(play) as server:
        async with driver.client("qwen", base_url=f"{server.url}/app") as client:
            with pytest.raises(ProtocolError, match="api_prefix is not a path"):
                await client.chat("q")
        assert {request.target for request in server.requests} == {"/app/config"}


async def test_cookies_that_are_new_with_each_question(driver: Driver) -> None:
    turns = 0

    def play(peer: Peer) -> None:
        nonlocal turns
        turns += 1
        set_cookies = [f"Set-Cookie: n{turns}x{number}={'v' * 700}" for number in range(60)]
        set_cookies.append(f"Set-Cookie: long={'v' * 5000}")
        set_cookies.append("Set-Cookie: foreign=1; Domain=example.org")
        space(lambda: [completed("", [["q", "a"]])], *set_cookies)(peer)

    with FaultServer(play) as server:
        async with driver.client("qwen", base_url=server.url) as client:
            for _ in range(4):
                assert (await client.chat("q")).text == "a"
        sent = server.requests[-1].headers["cookie"]
    assert sent.count("; ") == 49 and len(sent) < 40_000
    assert "long" not in sent and "foreign" not in sent
