"""What is fuzzed: one chat turn of each provider, whose response is whatever the fuzzer says.

The first byte of an input chooses the provider, the second where the body is cut; the rest is the body.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from glmclient import (
    ChatGLM,
    Finish,
    GLMError,
    Gradio,
    Limits,
    Provider,
    Reply,
    RetryPolicy,
    Timeout,
    Zai,
)
from glmclient.core.exchange import Exchange, Read, Send
from glmclient.core.http import Head
from glmclient.core.identity import Identity
from glmclient.events import Event
from tests.providers.gradio.scripted import config

__all__ = ["EVENT_ID", "PROVIDERS", "check", "seeds"]

PROVIDERS = ("chatglm", "zai", "qwen")
EVENT_ID = "event"
LIMITS = Limits(line=1 << 16, frame=1 << 16, body=1 << 16, error_body=1 << 12, events=10_000)
HEAD = Head(200, {"content-type": "text/event-stream"})
IDENTITY = Identity(chance=lambda: 0.5, ids=lambda: "id-0001")
JSON = Head(200, {"content-type": "application/json"})


@dataclass(frozen=True)
class Outcome:
    """Everything that a user would see."""

    events: tuple[Event, ...]
    reply: Reply
    error: str | None


def provider_of(name: str) -> Provider:
    if name == "chatglm":
        return ChatGLM(device_id="0" * 32)
    if name == "zai":
        return Zai(api_key="key", identity=IDENTITY)
    return Gradio(base_url="https://space.example", identity=IDENTITY)


def _responses(name: str, body: Sequence[bytes]) -> Iterator[tuple[Head, list[bytes]]]:
    if name == "qwen":
        yield JSON, [json.dumps(config()).encode()]
        yield JSON, [json.dumps({"event_id": EVENT_ID}).encode()]
    yield HEAD, list(body)


def outcome(name: str, body: Sequence[bytes]) -> Outcome:
    """Return what one turn comes to; nothing but a `GLMError` may end it early."""
    exchange = Exchange(
        timeout=Timeout(),
        retry=RetryPolicy(attempts=1),
        limits=LIMITS,
        clock=lambda: 0.0,
        now=lambda: 0.0,
        identity=IDENTITY,
    )
    provider = provider_of(name)
    chat = provider.prepare("hi", None, {"include_unknown": True, "include_status": True})
    flow = exchange.turn(lambda: provider.attempt(chat, exchange))
    responses = _responses(name, body)
    pending: list[bytes] = []
    events: list[Event] = []
    reply: Any = None
    error: str | None = None
    try:
        while True:
            step = flow.send(reply)
            reply = None
            if isinstance(step, list):
                events += step
                exchange.transcript.extend(step)
            elif isinstance(step, Send):
                reply, pending = next(responses)
            elif isinstance(step, Read):
                reply = pending.pop(0) if pending else b""
    except StopIteration:
        pass
    except GLMError as refused:
        error = type(refused).__name__
        lost = refused.partial != exchange.transcript.reply()
        if lost or not str(refused):
            raise AssertionError(f"{error} does not tell what came, or what is wrong") from refused
    return Outcome(tuple(events), exchange.transcript.reply(), error)


def check(data: bytes) -> None:
    """Run one input and assert what must hold for every input.

    Raises:
        AssertionError: a law of the streams is broken.
    """
    if len(data) < 2:
        return
    name, body = PROVIDERS[data[0] % len(PROVIDERS)], data[2:]
    at = data[1] * len(body) // 255
    whole = outcome(name, [body] if body else [])
    cut = outcome(name, [piece for piece in (body[:at], body[at:]) if piece])
    single = outcome(name, [body[i : i + 1] for i in range(len(body))])
    assert whole == cut == single, f"{name}: the cut of the bytes changes what they mean"
    finishes = [event for event in whole.events if isinstance(event, Finish)]
    if whole.error is None:
        assert finishes == [whole.events[-1]], (
            "an end without an error is one Finish, and the last event"
        )
    else:
        assert not finishes, "an error after the end"


def seeds() -> Iterator[bytes]:
    """Yield one input for each kind of stream that is known, in every dialect."""
    from tests.providers.gradio.recorded import Recording, names

    for number, body in (
        (0, _chatglm("snapshot")),
        (0, _chatglm("delta")),
        (1, _platform()),
        (1, b'data: {"error":{"code":"1302","message":"Rate limit reached"}}\n\n'),
        (1, b'{"error":{"code":"1113","message":"Insufficient balance"}}'),
        (0, '{"status":500,"message":"您已多次体验过对话, 请登录后继续使用"}'.encode()),
        (2, b'data: {"msg":"unexpected_error","message":"404: Not Found","success":false}\n\n'),
    ):
        yield bytes([number, 100]) + body
    for name in (*names(answered=True), *names(answered=False)):
        recording = Recording.read(name)
        raw = recording.raw
        for event_id in recording.event_ids[:1]:
            raw = raw.replace(event_id.encode(), EVENT_ID.encode())
        yield bytes([2, 77]) + raw[:20_000]


def _chatglm(mode: str) -> bytes:
    frames = []
    text = "你好 1, 2, 3 😀 and a few more words"
    for end in range(4, len(text) + 4, 4):
        value = text[:end] if mode == "snapshot" else text[end - 4 : end]
        frames.append(_glm_frame("init", value))
    frames.append(_glm_frame("finish", text))
    return b"".join(frames)


def _glm_frame(status: str, text: str) -> bytes:
    part = {"logic_id": "L", "status": status, "content": [{"type": "text", "text": text}]}
    return (
        b"data: "
        + json.dumps({"conversation_id": "c", "status": status, "parts": [part]}).encode()
        + b"\n\n"
    )


def _platform() -> bytes:
    chunks: list[dict[str, Any]] = [
        {"choices": [{"index": 0, "delta": {"reasoning_content": "hm"}}]},
        *(
            {"choices": [{"index": 0, "delta": {"content": word}}]}
            for word in (" a", " b", " \\u4f60", "😀")
        ),
        {
            "choices": [
                {
                    "delta": {
                        "tool_calls": [
                            {"index": 0, "id": "c", "function": {"name": "f", "arguments": "{}"}}
                        ]
                    }
                }
            ]
        },
        {
            "choices": [{"finish_reason": "stop", "delta": {}}],
            "usage": {"prompt_tokens": 1, "total_tokens": 2},
        },
    ]
    return (
        b"".join(b"data: " + json.dumps(c).encode() + b"\n\n" for c in chunks) + b"data: [DONE]\n\n"
    )
