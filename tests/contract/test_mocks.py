"""Applications whose tests stand in for the services by the usual libraries: nothing of the clients gets in the way."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import anyio
import httpx
import pytest
import requests
import responses
import respx

from glmclient import (
    APIConnectionError,
    AsyncClient,
    Finish,
    RateLimitError,
    RetryPolicy,
    SyncClient,
    TextDelta,
)

from .frames import HI, PLATFORM_HI, increments, snapshots

GUEST = "https://chatglm.cn/chatglm/mainchat-api/guest/stream"
ZAI = "https://api.z.ai/api/paas/v4/chat/completions"
SSE = "text/event-stream"
ONCE = RetryPolicy(attempts=1)
BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@pytest.fixture
def mocked() -> Iterator[responses.RequestsMock]:
    with responses.RequestsMock() as mock:
        yield mock


# -- requests, by `responses` ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [SSE, "text/event-stream; charset=utf-8", "text/plain", None])
def test_responses(mocked: responses.RequestsMock, kind: str | None) -> None:
    given = {} if kind is None else {"content_type": kind}
    mocked.add(responses.POST, GUEST, body=b"".join(snapshots("你好👋")), status=200, **given)
    with SyncClient() as client:
        events = list(client.stream("Hello"))
    assert "".join(each.text for each in events if isinstance(each, TextDelta)) == "你好👋"
    assert isinstance(events[-1], Finish)
    (call,) = mocked.calls
    assert call.request.headers["Authorization"] == "undefined"
    assert json.loads(call.request.body)["messages"][0]["role"] == "user"


def test_responses_of_text(mocked: responses.RequestsMock) -> None:
    body = b"".join(increments("你好👋")).decode()
    mocked.add(responses.POST, GUEST, body=body, content_type=SSE)
    with SyncClient() as client:
        assert client.chat("Hello").text == "你好👋"


def test_responses_several_times(mocked: responses.RequestsMock) -> None:
    mocked.add(responses.POST, GUEST, json={"message": "slow"}, status=429)
    mocked.add(responses.POST, GUEST, body=b"".join(HI), content_type=SSE)
    with SyncClient(retry=RetryPolicy(attempts=2, base_delay=0.01)) as client:
        assert client.chat("Hello").text == "hi"
    assert len(mocked.calls) == 2


def test_responses_that_refuse(mocked: responses.RequestsMock) -> None:
    mocked.add(responses.POST, ZAI, json={"error": {"code": "1302", "message": "slow"}}, status=429)
    with SyncClient("zai", api_key="k", retry=ONCE) as client:
        with pytest.raises(RateLimitError) as caught:
            client.chat("Hello")
    assert (caught.value.code, caught.value.status_code) == ("1302", 429)


def test_responses_of_the_platform(mocked: responses.RequestsMock) -> None:
    mocked.add(responses.POST, ZAI, body=b"".join(PLATFORM_HI), content_type=SSE)
    with SyncClient("zai", api_key="k") as client:
        reply = client.chat("Hello")
    assert reply.text == "hi"
    assert reply.finish is not None
    assert reply.finish.usage is not None
    assert reply.finish.usage.total_tokens == 220


def test_responses_that_raise(mocked: responses.RequestsMock) -> None:
    mocked.add(responses.POST, GUEST, body=requests.exceptions.ConnectionError("no route"))
    with SyncClient(retry=ONCE) as client:
        with pytest.raises(APIConnectionError, match="no route"):
            client.chat("Hello")


def test_responses_left_early(mocked: responses.RequestsMock) -> None:
    mocked.add(responses.POST, GUEST, body=b"".join(snapshots("x" * 500, 1)), content_type=SSE)
    with SyncClient() as client:
        answer = client.stream("Hello")
        for event in answer:
            assert event == TextDelta("x")
            break
    assert answer.text == "x"


# -- httpx, by its own mock transport and by `respx` -----------------------------------------------


def patched(monkeypatch: pytest.MonkeyPatch, handler: Any) -> list[httpx.Request]:
    """Put httpx's mock transport in the place of its network, as applications do."""
    asked: list[httpx.Request] = []

    async def handle(transport: object, request: httpx.Request) -> httpx.Response:
        await request.aread()
        asked.append(request)
        return await httpx.MockTransport(handler).handle_async_request(request)

    monkeypatch.setattr(httpx.AsyncHTTPTransport, "handle_async_request", handle)
    return asked


@BACKENDS
@pytest.mark.parametrize("headers", [{"Content-Type": SSE}, {}])
def test_httpx_mock_transport(
    monkeypatch: pytest.MonkeyPatch, backend: str, headers: dict[str, str]
) -> None:
    whole = b"".join(snapshots("你好👋"))
    asked = patched(monkeypatch, lambda _: httpx.Response(200, headers=headers, content=whole))

    async def run() -> list[Any]:
        async with AsyncClient() as client:
            return [event async for event in client.stream("Hello")]

    events = anyio.run(run, backend=backend)
    assert "".join(each.text for each in events[:-1]) == "你好👋"
    assert isinstance(events[-1], Finish)
    (request,) = asked
    assert str(request.url) == GUEST
    assert request.headers["Authorization"] == "undefined"


@BACKENDS
def test_httpx_mock_transport_of_a_generator(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    async def body() -> Any:
        for frame in HI:
            yield frame

    patched(
        monkeypatch, lambda _: httpx.Response(200, headers={"Content-Type": SSE}, content=body())
    )

    async def run() -> str:
        async with AsyncClient() as client:
            return (await client.chat("Hello")).text

    assert anyio.run(run, backend=backend) == "hi"


@BACKENDS
def test_httpx_mock_transport_that_raises(monkeypatch: pytest.MonkeyPatch, backend: str) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("no route", request=request)

    patched(monkeypatch, fail)

    async def run() -> None:
        async with AsyncClient(retry=ONCE) as client:
            with pytest.raises(APIConnectionError, match="no route"):
                await client.chat("Hello")

    anyio.run(run, backend=backend)


@BACKENDS
def test_respx(backend: str) -> None:
    async def run() -> None:
        with respx.mock:
            guest = respx.post(GUEST)
            guest.side_effect = [
                httpx.Response(429, json={"message": "slow"}),
                httpx.Response(200, headers={"Content-Type": SSE}, content=b"".join(HI)),
            ]
            zai = respx.post(ZAI).respond(
                200, headers={"Content-Type": SSE}, content=b"".join(PLATFORM_HI)
            )
            retry = RetryPolicy(attempts=2, base_delay=0.01)
            async with AsyncClient(retry=retry) as client:
                assert (await client.chat("Hello")).text == "hi"
            assert guest.call_count == 2
            async with AsyncClient("zai", api_key="k") as client:
                assert (await client.chat("Hello")).text == "hi"
            assert zai.calls.last.request.headers["Authorization"] == "Bearer k"
            respx.post(GUEST).mock(side_effect=httpx.ConnectError)
            async with AsyncClient(retry=ONCE) as client:
                with pytest.raises(APIConnectionError):
                    await client.chat("Hello")

    anyio.run(run, backend=backend)
