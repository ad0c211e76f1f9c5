"""A page of unclosed tags in place of an answer: every client reads its beginning, and says what came."""

from __future__ import annotations

import time

import pytest

from glmclient import GLMError
from tests.faults.server import FaultServer, Peer, head

from .driver import Driver

TAGS = (b"<h1>" * 262_144, b"<html>" * 174_000, b"<title>" * 150_000, b"<" * 1_000_000)


@pytest.mark.parametrize("status", [200, 403, 502])
@pytest.mark.parametrize("tags", TAGS, ids=["h1", "html", "title", "angle"])
@pytest.mark.parametrize("asked", ["chatglm", "qwen", "openai", "models"])
async def test_a_page_of_tags(driver: Driver, status: int, tags: bytes, asked: str) -> None:
    def page(peer: Peer) -> None:
        peer.send(head(status, kind="text/html", length=len(tags)))
        for start in range(0, len(tags), 65536):
            peer.send(tags[start : start + 65536])

    with FaultServer(page) as server:
        provider = "openai" if asked == "models" else asked
        model = {"model": "m"} if provider == "openai" else {}
        async with driver.client(provider, base_url=server.url, retry=None, **model) as client:
            began = time.perf_counter()
            with pytest.raises(GLMError) as caught:
                await (client.models() if asked == "models" else client.chat("q"))
    assert time.perf_counter() - began < 10  # a quadratic search took minutes
    assert len(str(caught.value)) < 2000
