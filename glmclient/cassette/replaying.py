"""Replaying: which recorded exchange answers a request, and the transports that play it."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from .._visible import complete_repr
from ..core.exchange import Read, Release, Send
from ..core.http import Head, Request
from ..errors import CassetteError, TransportFailure
from ..private_file import read_regular
from ..providers import service
from ..transports.attached import AttachedTransport, Attachment
from ..transports.base import SyncChannel
from .entries import Cassette, Happening, RecordedExchange, parsed
from .matching import differences

__all__ = ["Playback", "Replay", "ReplayTransport", "SyncReplayTransport"]


LARGEST = 512 * 1024 * 1024
"""Bytes of a cassette at most: it is read whole."""


class Replay:
    """A cassette that answers in place of a service: ``SyncClient(replay=Replay("chat.cassette", speed=1))``.

    Each recorded exchange answers one request, the first recorded that fits. With a name alone in place of a
    `Replay`, the cassette is played as fast as it can be read.

    Args:
        path: of the cassette.
        speed: 1 is the recorded pace, 2 is twice as fast; ``None`` does not wait at all.

    Raises:
        CassetteError: the file cannot be read, or is no cassette; or ``speed`` is not above 0.
    """

    def __init__(self, path: str | os.PathLike[str], *, speed: float | None = None) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise CassetteError(f"speed must be above 0, or None for no waiting, not {speed!r}.")
        self.path: str = os.fspath(path)
        self.speed = speed
        try:
            self.cassette: Cassette = parsed(read_regular(path, LARGEST), self.path)
        except OSError as error:
            raise CassetteError(f"{self.path} cannot be replayed: {error.strerror}.") from None
        self._left = list(self.cassette.exchanges)
        self._lock = threading.Lock()
        self._ahead = 0.0
        """Seconds that recorded time limits have taken, and nobody has waited for."""

    def stand_ins(
        self, provider: object, api_key: str | None, base_url: str | None
    ) -> tuple[str | None, str | None]:
        """Return a key and an address for a client that needs none, because nothing is sent.

        Args:
            provider: the client's argument of that name; an object knows its own.
            api_key: as it was given.
            base_url: as it was given.

        Raises:
            ConfigurationError: there is no such provider.
        """
        if isinstance(provider, str):
            info = service(provider)
            if info.key == "required" and api_key is None:
                api_key = "replayed"
            if info.needs_url and base_url is None:
                base_url = self.cassette.url
        return api_key, base_url

    @property
    def unplayed(self) -> int:
        """The number of recorded exchanges that nobody has asked for yet."""
        return sum(not exchange.farewell for exchange in self._left)

    def clock(self) -> float:
        """Return seconds that only grow; a recorded time limit passes without being waited for."""
        return time.monotonic() + self._ahead

    def pass_deadline(self, deadline: float) -> None:
        """Let the clock be at ``deadline``, if it is not there yet."""
        with self._lock:
            self._ahead += max(0.0, deadline - self.clock())

    def take(self, request: Request, base_url: str, *, farewell: bool) -> RecordedExchange:
        """Return the recorded exchange that answers a request; it answers no other one.

        Args:
            request: what is asked.
            base_url: the address of the service.
            farewell: nobody waits for the answer.

        Raises:
            CassetteError: there is none; it says what differs.
            TransportFailure: there is none, and nobody waits for it.
        """
        with self._lock:
            found: list[tuple[int, list[str]]] = []
            for index, exchange in enumerate(self._left):
                differ = differences(exchange, self.cassette.url, request, base_url)
                if not differ:
                    return self._left.pop(index)
                found.append((index, differ))
        if farewell:
            raise TransportFailure(
                "broken", "the cassette does not tell how the service took leave"
            )
        raise self._missing(request, [differ for _, differ in found])

    def _missing(self, request: Request, found: list[list[str]]) -> CassetteError:
        path = request.url.partition("?")[0]
        what = f"{self.path} has no answer to {request.method} {path}"
        advice = "Ask what was recorded, or record it anew with record=."
        total = len(self.cassette.exchanges)
        if not found:
            return CassetteError(f"{what}: all of its {total} exchanges were played. {advice}")
        nearest = min(found, key=len)
        differ = "; ".join(nearest[:_SHOWN])
        more = f"; and {len(nearest) - _SHOWN} more" if len(nearest) > _SHOWN else ""
        return CassetteError(f"{what}. The nearest recorded one differs: {differ}{more}. {advice}")

    @complete_repr
    def __repr__(self) -> str:
        return f"Replay({self.path!r}, speed={self.speed!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _replay, (self.path, self.speed)


_SHOWN = 3
"""Differences that an error tells."""


def _replay(path: str, speed: float | None) -> Replay:
    return Replay(path, speed=speed)


class Playback:
    """One recorded exchange as it is played: what happens next, and when.

    Args:
        replay: whose clock and speed hold.
        exchange: which.
        step: that began it.
    """

    def __init__(self, replay: Replay, exchange: RecordedExchange, step: Send) -> None:
        self._replay = replay
        self._rest: Iterator[Happening] = iter(exchange.happenings)
        self._began = replay.clock()
        self._step = step
        self._now = 0.0
        """Seconds since the request, as they were recorded."""

    def next(self, deadline: float | None) -> tuple[Happening | None, float]:
        """Return what happens next, ``None`` for nothing more, and the seconds to wait for it.

        Args:
            deadline: of the step, on the replay's clock.

        Raises:
            TransportFailure: a time limit of the client passes before it.
        """
        happening = next(self._rest, None)
        if happening is None or self._replay.speed is None:
            return happening, 0.0
        gap, self._now = (happening.at - self._now) / self._replay.speed, happening.at
        now = self._replay.clock()
        due = self._began + happening.at / self._replay.speed
        if deadline is not None and due > deadline:
            return Happening(
                happening.at, "failure", failure="timeout", deadline=True
            ), deadline - now
        if self._step.idle is not None and gap > self._step.idle:
            return Happening(happening.at, "failure", failure="timeout"), self._step.idle
        return happening, max(0.0, due - now)

    def head(self, happening: Happening | None, deadline: float | None) -> Head:
        """Return the head that happened.

        Raises:
            TransportFailure: something else happened.
        """
        if happening is None or happening.head is None:
            raise self._failure(happening, deadline)
        return happening.head

    def chunk(self, happening: Happening | None, deadline: float | None) -> bytes:
        """Return the chunk that happened, ``b""`` at the end.

        Raises:
            TransportFailure: a failure happened; or the recording ends before the body did.
        """
        if happening is not None and happening.kind == "chunk":
            return happening.chunk
        if happening is not None and happening.kind == "end":
            return b""
        raise self._failure(happening, deadline)

    def _failure(self, happening: Happening | None, deadline: float | None) -> TransportFailure:
        if happening is None or happening.kind != "failure":
            return TransportFailure("broken", "the recording ends here: the client had left")
        if happening.deadline and deadline is not None:
            self._replay.pass_deadline(deadline)
        return TransportFailure(happening.failure, happening.detail)


class _SyncChannel:
    """Plays recorded exchanges to one exchange of a client."""

    def __init__(self, replay: Replay, base_url: str) -> None:
        self._replay = replay
        self._base_url = base_url
        self._playback: Playback | None = None
        self._cancelled = threading.Event()

    def send(self, step: Send) -> Head:
        self._check()
        found = self._replay.take(step.request, self._base_url, farewell=step.farewell)
        playback = self._playback = Playback(self._replay, found, step)
        return playback.head(self._wait(*playback.next(step.deadline)), step.deadline)

    def read(self, step: Read) -> bytes:
        self._check()
        playback = self._playback
        assert playback is not None, "a body is read after its head"
        return playback.chunk(self._wait(*playback.next(step.deadline)), step.deadline)

    def _wait(self, happening: Happening | None, seconds: float) -> Happening | None:
        if seconds > 0:
            self._cancelled.wait(seconds)
        self._check()
        return happening

    def sleep(self, seconds: float) -> None:
        if self._replay.speed is not None:
            self._cancelled.wait(seconds / self._replay.speed)
        self._check()

    def release(self, step: Release) -> None:
        self._playback = None

    def close(self) -> None:
        self._playback = None

    def abandon(self) -> None:
        self._playback = None

    def cancel(self) -> None:
        self._cancelled.set()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise TransportFailure("cancelled")


class ReplayTransport(AttachedTransport):
    """What both replaying transports are.

    Args:
        replay: the cassette, or its path; a path is played as fast as it can be read.
        base_url: the address of the service; a client that uses the transport replaces it with its own.
    """

    def __init__(
        self, replay: Replay | str | os.PathLike[str], base_url: str | None = None
    ) -> None:
        self._replay = replay if isinstance(replay, Replay) else Replay(replay)
        self._base_url: str = self._replay.cassette.url if base_url is None else base_url

    @property
    def clock(self) -> Callable[[], float]:
        """The clock of the cassette: a recorded time limit passes on it at once."""
        return self._replay.clock

    def stand_ins(
        self, provider: object, api_key: str | None, base_url: str | None
    ) -> tuple[str | None, str | None]:
        """Return a key and an address for a client that has none: nothing is sent."""
        return self._replay.stand_ins(provider, api_key, base_url)

    def attach(self, attachment: Attachment) -> Any:
        """Return a transport that plays the same cassette to the client's service."""
        return type(self)(self._replay, attachment.url)


class SyncReplayTransport(ReplayTransport):
    """A transport that plays a cassette; ``SyncClient(replay=...)`` uses one.

    Args:
        replay: the cassette, or its path; a path is played as fast as it can be read.
        base_url: the address of the service; a client that uses the transport replaces it with its own.
    """

    def open(self) -> SyncChannel:
        """Return a channel for one exchange."""
        return _SyncChannel(self._replay, self._base_url)

    def close(self) -> None:
        """Do nothing: there are no connections."""
