"""How each service answers, as far as its faults need it: the requests before the stream, and the frames."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.providers.chatglm import wire as chatglm
from tests.providers.gradio import scripted as gradio

from .server import Peer, Play, Request

__all__ = ["DIALECTS", "Dialect"]

TEXTS = ("你好", "你好！我是", "你好！我是一个模型。")
"""The answer after each frame of it."""


@dataclass(frozen=True)
class Dialect:
    """One service.

    Args:
        name: its provider.
        frames: of a stream that answers with ``TEXTS``; the last one brings the end mark.
        refusal: a body of a 200 that is a refusal.
        options: of the client, beside its address.
        before: plays the requests before the stream's; tells whether the request was one of them.
        unended: a body that ends in order may lack so many bytes of its last frame's own end.
    """

    name: str
    frames: Sequence[bytes]
    refusal: bytes
    options: dict[str, Any] = field(default_factory=dict)
    before: Callable[[Peer], bool] = lambda peer: False
    unended: int = 0

    def __str__(self) -> str:
        return self.name

    def stage(self, *plays: Play) -> Play:
        """Return a play whose streams are these, in order, the last one for all that follow."""
        left = list(plays)

        def play(peer: Peer) -> None:
            if not self.before(peer):
                (left.pop(0) if len(left) > 1 else left[0])(peer)

        return play

    def answer(self, peer: Peer) -> None:
        """Answer as the service does."""
        peer.stream(*self.frames)

    def asked(self, requests: Sequence[Request]) -> int:
        """Count the requests for a stream."""
        return sum(self.is_stream(request) for request in requests)

    def is_stream(self, request: Request) -> bool:
        return (
            "/config" not in request.target
            and "/queue/join" not in request.target
            and ("/cancel" not in request.target)
        )


def sse(value: Any) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return f"data: {text}\n\n".encode()


def chunk(content: str, finish: str | None = None) -> bytes:
    delta = {"role": "assistant", "content": content}
    choice = {"index": 0, "delta": delta, "finish_reason": finish}
    return sse({"id": "r-1", "model": "glm-4.6", "choices": [choice]})


PLATFORM = [
    chunk(TEXTS[0]),
    chunk(TEXTS[1].removeprefix(TEXTS[0])),
    chunk(TEXTS[2].removeprefix(TEXTS[1]), "stop") + sse("[DONE]"),
]


def _space(peer: Peer) -> bool:
    """Answer what comes before the stream, each on a connection of its own: the stream's shall be a new one."""
    target = peer.request.target
    if target.endswith("/config"):
        body = json.dumps(gradio.config()).encode()
    elif "/queue/join" in target:
        body = b'{"event_id": "e1"}'
    elif "/cancel" in target:
        body = b'{"success": true}'
    else:
        return False
    peer.reply(200, body, "Connection: close")
    peer.close()
    return True


SPACE = [
    gradio.generating("", [["Hello", TEXTS[0]]], "s"),
    # Later updates of this protocol are differences to the one before.
    gradio.generating([], [["append", [0, 1], TEXTS[1].removeprefix(TEXTS[0])]], []),
    gradio.completed("", [["Hello", TEXTS[2]]], "s"),
]

DIALECTS = [
    Dialect(
        "chatglm",
        chatglm.snapshots(*TEXTS),
        b'{"status": 40012, "message": "bad request"}',
    ),
    Dialect("qwen", SPACE, b'{"detail": "no such function"}', before=_space),
    Dialect(
        "zai",
        PLATFORM,
        b'{"error": {"code": "1214", "message": "bad parameter"}}',
        {"api_key": "id.0123456789abcdef"},
        unended=2,
    ),
    Dialect(
        "openai",
        PLATFORM,
        b'{"error": {"message": "bad parameter", "code": 400}}',
        {"model": "glm-4.6"},
        unended=2,
    ),
]
