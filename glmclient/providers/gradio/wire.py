"""The facts of Gradio's queue protocol that both halves need (``docs/wire/gradio.md``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

__all__ = [
    "APP_ID_PATH",
    "CANCEL_PATH",
    "CONFIG_PATH",
    "DATA_PATH",
    "DIFFS",
    "EVENT_STREAM",
    "FULL_VALUES",
    "INFO_PATH",
    "JOIN_PATH",
    "PREFIX",
    "UPLOAD_PATH",
    "Format",
    "Protocol",
    "Turn",
    "encode_history",
    "file_data",
]

CONFIG_PATH = "/config"
"""Always at the root; all other paths are under the prefix that the page tells."""
INFO_PATH = "/info"
APP_ID_PATH = "/app_id"
"""Tells the number that an app draws when it starts; ``/config`` has it too."""
JOIN_PATH = "/queue/join"
DATA_PATH = "/queue/data"
CANCEL_PATH = "/cancel"
UPLOAD_PATH = "/upload"
PREFIX = "/gradio_api"
"""Of Gradio 5 and newer; 4.x has none."""

EVENT_STREAM = "text/event-stream"

Protocol: TypeAlias = Literal["sse_v1", "sse_v2", "sse_v2.1", "sse_v3"]
FULL_VALUES = ("sse_v1",)
"""Protocols whose updates are whole values."""
DIFFS = ("sse_v2", "sse_v2.1", "sse_v3")
"""Protocols whose updates are edits of the value before."""

Format: TypeAlias = Literal["pairs", "objects", "messages", "parts"]
"""How a chatbot writes a conversation (``docs/wire/gradio.md`` §6):

``pairs`` of strings, pairs of ``objects`` with text and files (modelscope_studio), ``messages`` with a role and a
string (5.x), and messages whose content is a list of ``parts`` (6.x). They are not interchangeable.
"""

Turn: TypeAlias = tuple[str, str]
"""The role, ``user`` or ``assistant``, and the text."""


def encode_history(turns: Sequence[Turn], format: Format) -> list[Any]:
    """Return the conversation as the chatbot itself would send it.

    In pairs, the words of a user who got no answer, and of an assistant who was not asked, stand beside ``None``.
    """
    if format == "messages":
        return [{"role": role, "content": text} for role, text in turns]
    if format == "parts":
        return [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    pairs: list[list[Any]] = []
    for role, text in turns:
        words = {"text": text, "files": []} if format == "objects" else text
        if role == "user":
            pairs.append([words, None])
        elif pairs and pairs[-1][1] is None:
            pairs[-1][1] = words
        else:
            pairs.append([None, words])
    return pairs


def file_data(path: str, name: str, kind: str, *, url: str | None = None) -> dict[str, Any]:
    """Return the description by which an input refers to a file.

    Args:
        path: where the server put it, as the answer of the upload tells; or an address.
        name: its own name.
        kind: its media type.
        url: its address, if the server is to fetch it.
    """
    described = {"path": path, "url": url, "orig_name": name, "mime_type": kind, "is_stream": False}
    return {**described, "meta": {"_type": "gradio.FileData"}}
