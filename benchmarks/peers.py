"""One peer, one piece of work: ``python -m benchmarks.peers PEER WORK URL``; prints one line of JSON.

Each function reads one whole answer and returns its events and characters; a warm-up stream comes first, so that
imports and connections are not counted.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from .measure import measured

Counted = tuple[int, int]
CHATGLM_PATH = "/chatglm/mainchat-api/guest/stream"
BODY = {"model": "glm-4.5", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def socket_json(url: str, work: str) -> Callable[[], Counted]:
    """A bare socket, split at blank lines, json.loads a frame: the least that a Python client can do plainly."""
    import socket

    parts = urlsplit(url)
    path = parts.path + ("/chat/completions" if work == "platform" else CHATGLM_PATH)
    body = json.dumps(BODY).encode()
    request = (
        f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body

    def read() -> Counted:
        events = characters = 0
        with socket.create_connection((parts.hostname, parts.port)) as sock:
            sock.sendall(request)
            buffer = b""
            while b"0\r\n\r\n" not in buffer[-16:]:
                data = sock.recv(65536)
                buffer += data
                *frames, buffer = buffer.split(b"\n\n")
                for frame in frames:
                    at = frame.find(b"data: ")
                    if at < 0 or frame.endswith(b"[DONE]"):
                        continue
                    value = json.loads(frame[at + 6 :])
                    if value.get("choices"):
                        text = value["choices"][0]["delta"].get("content", "")
                        events += 1
                        characters += len(text)
        return events, characters

    return read


def ours_sync(url: str, work: str) -> Callable[[], Counted]:
    from glmclient import SyncClient

    client = (
        SyncClient("zai", api_key="k", base_url=url)
        if work == "platform"
        else SyncClient(base_url=url)
    )

    def read() -> Counted:
        events = 0
        with client.stream("hi") as stream:
            for _ in stream:
                events += 1
        return events, len(stream.text)

    return read


def ours_async(url: str, work: str, **options: Any) -> Callable[[], Any]:
    from glmclient import AsyncClient

    platform = ("zai", "k") if work == "platform" else ("chatglm", None)
    client = AsyncClient(platform[0], api_key=platform[1], base_url=url, **options)

    async def read() -> Counted:
        events = 0
        async with client.stream("hi") as stream:
            async for _ in stream:
                events += 1
        return events, len(stream.text)

    return read


def ours_aiohttp(url: str, work: str) -> Callable[[], Any]:
    """Our asynchronous client on aiohttp: one argument of its constructor."""
    return ours_async(url, work, http_backend="aiohttp")


def requests_drain(url: str, work: str) -> Callable[[], Counted]:
    """requests, drained and not decoded: the transport's own cost."""
    import requests

    session = requests.Session()
    address = url + ("/chat/completions" if work == "platform" else CHATGLM_PATH)

    def read() -> Counted:
        pieces = size = 0
        with session.post(address, json=BODY, stream=True) as response:
            while data := response.raw.read1(65536, decode_content=False):
                pieces += 1
                size += len(data)
        return pieces, size

    return read


def requests_tight(url: str, work: str) -> Callable[[], Counted]:
    """requests, and the least decoding that gives the text: it trusts what the frames look like."""
    import requests

    session = requests.Session()
    address = url + ("/chat/completions" if work == "platform" else CHATGLM_PATH)
    mark = b'"content":"' if work == "platform" else b'"text":"'

    def read() -> Counted:
        events, text = 0, ""
        pieces = []
        with session.post(address, json=BODY, stream=True) as response:
            held = b""
            while data := response.raw.read1(65536, decode_content=False):
                *frames, held = (held + data).split(b"\n\n")
                for frame in frames:
                    begin = frame.find(mark) + len(mark)
                    if begin < len(mark):
                        continue
                    end = frame.find(b'"', begin)
                    while frame[end - 1] == 92:  # a backslash
                        end = frame.find(b'"', end + 1)
                    events += 1
                    raw = frame[begin:end]
                    value = json.loads(b'"%s"' % raw) if b"\\" in raw else raw.decode()
                    if work == "platform":
                        pieces.append(value)
                    elif value.startswith(text):
                        pieces.append(value[len(text) :])
                        text = value
        return events, len("".join(pieces))

    return read


def aiohttp_drain(url: str, work: str) -> Callable[[], Any]:
    """aiohttp, drained and not decoded."""
    import aiohttp

    address = url + ("/chat/completions" if work == "platform" else CHATGLM_PATH)
    sessions: list[Any] = []

    async def read() -> Counted:
        if not sessions:
            sessions.append(aiohttp.ClientSession(read_bufsize=65536))
        pieces = size = 0
        async with sessions[0].post(address, json=BODY) as response:
            async for data in response.content.iter_any():
                pieces += 1
                size += len(data)
        return pieces, size

    return read


def httpx_drain(url: str, work: str) -> Callable[[], Any]:
    """httpx's asynchronous client, drained and not decoded."""
    import httpx

    client = httpx.AsyncClient(trust_env=False)
    address = url + ("/chat/completions" if work == "platform" else CHATGLM_PATH)

    async def read() -> Counted:
        pieces = size = 0
        async with client.stream("POST", address, json=BODY) as response:
            async for data in response.aiter_raw():
                pieces += 1
                size += len(data)
        return pieces, size

    return read


def openai_sync(url: str, work: str) -> Callable[[], Counted]:
    import openai

    client = openai.OpenAI(api_key="k", base_url=url)

    def read() -> Counted:
        events = characters = 0
        for part in client.chat.completions.create(**BODY):
            if part.choices:
                events += 1
                characters += len(part.choices[0].delta.content or "")
        return events, characters

    return read


def openai_async(url: str, work: str) -> Callable[[], Any]:
    import openai

    client = openai.AsyncOpenAI(api_key="k", base_url=url)

    async def read() -> Counted:
        events = characters = 0
        async for part in await client.chat.completions.create(**BODY):
            if part.choices:
                events += 1
                characters += len(part.choices[0].delta.content or "")
        return events, characters

    return read


def zai_sync(url: str, work: str) -> Callable[[], Counted]:
    from zai import ZaiClient

    client = ZaiClient(api_key="k", base_url=url)

    def read() -> Counted:
        events = characters = 0
        for part in client.chat.completions.create(**BODY):
            if part.choices:
                events += 1
                characters += len(part.choices[0].delta.content or "")
        return events, characters

    return read


def predecessor(url: str, work: str) -> Callable[[], Any]:
    """g4f's own ChatGLM class at the last release that has it, pointed at the server."""
    from g4f.Provider.ChatGLM import ChatGLM

    ChatGLM.api_endpoint = url + CHATGLM_PATH

    async def read() -> Counted:
        events = characters = 0
        async for piece in ChatGLM.create_async_generator(
            "glm-4", [{"role": "user", "content": "hi"}]
        ):
            events += 1
            characters += len(piece) if isinstance(piece, str) else 0
        return events, characters

    return read


PEERS: dict[str, Callable[[str, str], Callable[[], Any]]] = {
    "socket_json": socket_json,
    "ours_sync": ours_sync,
    "ours_async": ours_async,
    "ours_aiohttp": ours_aiohttp,
    "requests_tight": requests_tight,
    "requests_drain": requests_drain,
    "aiohttp_drain": aiohttp_drain,
    "httpx_drain": httpx_drain,
    "openai_sync": openai_sync,
    "openai_async": openai_async,
    "zai_sync": zai_sync,
    "predecessor": predecessor,
}


def main() -> None:
    peer, work, url = sys.argv[1:4]
    repeat = int(sys.argv[4]) if len(sys.argv) > 4 else 1
    read = PEERS[peer](url, work)
    if asyncio.iscoroutinefunction(read):
        asyncio.run(_async(read, peer, work, repeat))
    else:
        read()
        with measured(peer=peer, work=work) as result:
            for _ in range(repeat):
                result["events"], result["characters"] = read()


async def _async(read: Any, peer: str, work: str, repeat: int) -> None:
    await read()
    with measured(peer=peer, work=work) as result:
        for _ in range(repeat):
            result["events"], result["characters"] = await read()


if __name__ == "__main__":
    main()
