"""Frames of the services, written down from docs/wire."""

from __future__ import annotations

import json
from typing import Any


def data(value: object, event: str | None = None) -> bytes:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    name = f"event: {event}\n" if event else ""
    return f"{name}data: {text}\n\n".encode()


def glm(
    status: str,
    *items: dict[str, Any],
    part: str | None = None,
    key: str = "L1",
    **top: Any,
) -> bytes:
    """One frame of ChatGLM's guest stream (docs/wire/chatglm.md, section 2)."""
    parts: list[dict[str, Any]] = []
    if items:
        parts = [
            {
                "logic_id": key,
                "role": "assistant",
                "status": part or status,
                "content": list(items),
            }
        ]
    return data({"conversation_id": "c1", "status": status, "parts": parts, **top}, "message")


def text(value: str) -> dict[str, Any]:
    return {"type": "text", "text": value}


def think(value: str) -> dict[str, Any]:
    return {"type": "think", "think": value}


def snapshots(whole: str, step: int = 3) -> list[bytes]:
    """The answer growing frame by frame, as in 2025."""
    cuts = [*range(step, len(whole), step), len(whole)]
    return [*(glm("init", text(whole[:cut])) for cut in cuts), glm("finish", text(whole))]


def increments(whole: str, step: int = 3) -> list[bytes]:
    """Pieces of the answer, then all of it, twice, as in 2026."""
    pieces = [whole[at : at + step] for at in range(0, len(whole), step)]
    return [
        glm("init"),
        *(glm("init", text(piece)) for piece in pieces),
        glm("init", text(whole), part="finish"),
        glm("finish", text(whole)),
    ]


HI = snapshots("hi")


def chunk(delta: dict[str, Any] | None = None, finish: str | None = None, **top: Any) -> bytes:
    """One chunk of the platform's stream (docs/wire/open-platform.md, section 2)."""
    choice: dict[str, Any] = {"index": 0, "delta": {} if delta is None else delta}
    if finish is not None:
        choice["finish_reason"] = finish
    return data({"id": "r1", "created": 1, "model": "glm-4.5", "choices": [choice], **top})


DONE = b"data: [DONE]\n\n"


def said(content: str) -> dict[str, Any]:
    return {"role": "assistant", "content": content}


def thought(content: str) -> dict[str, Any]:
    return {"role": "assistant", "reasoning_content": content}


PLATFORM_HI = [
    chunk(said("h")),
    chunk(said("i")),
    chunk(
        said(""),
        "stop",
        usage={
            "prompt_tokens": 18,
            "completion_tokens": 202,
            "total_tokens": 220,
            "prompt_tokens_details": {"cached_tokens": 7},
            "completion_tokens_details": {"reasoning_tokens": 5},
        },
    ),
    DONE,
]
