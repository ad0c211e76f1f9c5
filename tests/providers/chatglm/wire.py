"""ChatGLM's frames, written as the service writes them (``docs/wire/chatglm.md`` §2, §5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from glmclient import Event, Finish, Limits, TextDelta
from glmclient.core.answer import ModeName
from glmclient.providers.chatglm.decoder import ChatGLMDecoder

CONVERSATION = "c1"


def sse(data: str, event: str | None = "message") -> bytes:
    name = "" if event is None else f"event: {event}\n"
    return f"{name}data: {data}\n\n".encode()


def frame(
    status: str, *parts: dict[str, Any], event: str | None = "message", **fields: Any
) -> bytes:
    value: dict[str, Any] = {
        "conversation_id": CONVERSATION,
        "status": status,
        "parts": list(parts),
    }
    value.update(fields)
    return sse(json.dumps(value, ensure_ascii=False), event)


def part(
    *items: dict[str, Any], logic_id: str | None = "L1", status: str = "init", **fields: Any
) -> dict[str, Any]:
    value: dict[str, Any] = {"role": "assistant", "status": status, "content": list(items)}
    if logic_id is not None:
        value["logic_id"] = logic_id
    value.update(fields)
    return value


def text(value: str, **fields: Any) -> dict[str, Any]:
    return {"type": "text", "text": value, **fields}


def snapshot(value: str, status: str = "init") -> bytes:
    """A frame that says the whole answer so far."""
    done = "finish" if status == "finish" else "init"
    return frame(status, part(text(value), status=done))


def snapshots(*values: str) -> list[bytes]:
    """An answer told by snapshots; the last one is the end."""
    *before, last = values
    return [*(snapshot(value) for value in before), snapshot(last, "finish")]


def increments(*values: str) -> list[bytes]:
    """An answer told by increments, then as a whole, then once more with the end."""
    whole = "".join(values)
    return [
        frame("init"),
        *(snapshot(value) for value in values),
        frame("init", part(text(whole), status="finish")),
        snapshot(whole, "finish"),
    ]


HELLO = snapshots("你好", "你好！我是智谱清言", "你好！我是智谱清言。")
HELLO_TEXT = "你好！我是智谱清言。"
HELLO_EVENTS = [
    TextDelta("你好"),
    TextDelta("！我是智谱清言"),
    TextDelta("。"),
    Finish("stop", raw_reason="finish", conversation_id=CONVERSATION),
]


def every_cut(raw: bytes) -> Iterator[list[bytes]]:
    """Yield ``raw`` whole, byte by byte, and at every two-way split."""
    yield [raw]
    yield [raw[i : i + 1] for i in range(len(raw))]
    for i in range(1, len(raw)):
        yield [raw[:i], raw[i:]]


def decoded(
    chunks: Iterable[bytes],
    *,
    mode: ModeName = "auto",
    limits: Limits | None = None,
    include_unknown: bool = False,
) -> tuple[list[Event], ChatGLMDecoder]:
    """Return the events of a body and the decoder that read it."""
    decoder = ChatGLMDecoder(
        mode=mode,
        limits=limits if limits is not None else Limits(),
        include_unknown=include_unknown,
    )
    out: list[Event] = []
    for chunk in chunks:
        decoder.feed(chunk, out)
    return out, decoder
