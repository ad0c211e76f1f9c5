"""The streams that are measured, as frames of bytes."""

from __future__ import annotations

import json

PLATFORM_EVENTS = 5_000
SNAPSHOT_FRAMES = 4_000
CONCURRENT_EVENTS = 100


def _data(value: object) -> bytes:
    return (
        b"data: " + json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode() + b"\n\n"
    )


def platform(count: int = PLATFORM_EVENTS) -> list[bytes]:
    """Return the frames of an open platform answer of ``count`` deltas (``docs/wire/open-platform.md`` §2.1)."""
    head = {"id": "20250926190540c29952ed24ae4570", "created": 1758884740, "model": "glm-4.5"}
    words = [" the", " answer", " 流式", "，", " token", ' \\"quoted\\"', " 😀", "\n"]
    frames = [
        _data(
            {
                **head,
                "choices": [
                    {"index": 0, "delta": {"role": "assistant", "content": words[i % len(words)]}}
                ],
            }
        )
        for i in range(count)
    ]
    usage = {"prompt_tokens": 18, "completion_tokens": count, "total_tokens": 18 + count}
    last = {"index": 0, "finish_reason": "stop", "delta": {"role": "assistant", "content": ""}}
    return [*frames, _data({**head, "choices": [last], "usage": usage}), b"data: [DONE]\n\n"]


def snapshots(count: int = SNAPSHOT_FRAMES) -> list[bytes]:
    """Return the frames of a ChatGLM answer that grows by a word a frame (``docs/wire/chatglm.md`` §5)."""
    words = [
        "你好，世界",
        " streaming",
        "，逐字到达",
        " answers",
        "。",
        " 😀 and more",
        "\n\n",
        " `code`",
    ]
    frames, text = [], ""
    for number in range(count):
        text += words[number % len(words)]
        last = number == count - 1
        status = "finish" if last else "init"
        item = {"type": "text", "text": text, "status": status}
        part = {"id": "p1", "role": "assistant", "status": status, "content": [item]}
        frame = {
            "id": "m1",
            "conversation_id": "c1",
            "status": status,
            "last_error": {},
            "parts": [part],
        }
        frames.append(b"event: message\n" + _data(frame))
    return frames
