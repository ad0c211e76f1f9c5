"""The public protocol of transports: what a client asks of the object that performs its requests.

`SyncClient(transport=...)` takes a `SyncTransport`, `AsyncClient(transport=...)` an `AsyncTransport`. A transport opens
a channel for each exchange. The channel is sent steps, and answers them:

- ``send(Send)`` sends ``step.request`` and returns the `Head` of the response.
- ``read(Read)`` returns the next bytes of the body as they come, ``b""`` at its end.
- ``release(Release)`` ends the response, and ``sleep`` waits between two attempts.

A step that fails raises `TransportFailure` with one of the `FailureKind`s. A transport decides nothing else: status
codes, retries and limits are the client's. Each library has a module of its own in this package.

A transport that takes part in the set-up of its client derives from `AttachedTransport`. Record and replay are such
transports: `SyncRecordingTransport`, `SyncReplayTransport` and their asynchronous mirrors in `glmclient.cassette`.
"""

from __future__ import annotations

from ..core.exchange import Read, Release, Send
from ..core.http import Head, Request
from ..errors import FailureKind, TransportFailure
from .attached import AttachedTransport, Attachment
from .base import AsyncChannel, AsyncTransport, SyncChannel, SyncTransport

__all__ = [
    "AsyncChannel",
    "AsyncTransport",
    "AttachedTransport",
    "Attachment",
    "FailureKind",
    "Head",
    "Read",
    "Release",
    "Request",
    "Send",
    "SyncChannel",
    "SyncTransport",
    "TransportFailure",
]
