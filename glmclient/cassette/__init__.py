"""Record and replay: whole exchanges with a service in one file of text, without keys and ids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .replaying import Replay, SyncReplayTransport

if TYPE_CHECKING:
    from .async_replaying import AsyncReplayTransport
    from .recording import AsyncRecordingTransport, SyncRecordingTransport

__all__ = [
    "AsyncRecordingTransport",
    "AsyncReplayTransport",
    "Replay",
    "SyncRecordingTransport",
    "SyncReplayTransport",
]

# Blocking programs do not load anyio, and programs that replay do not load the recorder.
_LAZY = {
    "AsyncReplayTransport": "async_replaying",
    "AsyncRecordingTransport": "recording",
    "SyncRecordingTransport": "recording",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_LAZY[name]}"), name)
