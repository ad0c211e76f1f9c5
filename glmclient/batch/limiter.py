"""One limiter for everything that a process sends: clients, threads, tasks and event loops share it.

A request takes a `Turn`, waits until the turn is admitted, and ends it with what came of it. The limiter is
used from threads, from event loops and from finalizers (a dropped stream ends its turn while the garbage
collector runs, in the middle of any other code). A lock that every caller waits for would deadlock there.
Therefore callers only append to an inbox, which is atomic, and then try to take the lock without waiting.
The thread that holds the lock works the whole inbox off, and looks again after it released the lock, so no
entry is left behind::

    append to inbox -> lock taken? -> no: the holder sees the entry after its release
                                   -> yes: work, release, look at the inbox again
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Literal, TypeAlias

from .._visible import complete_repr
from ..errors import ConfigurationError
from .window import Window

__all__ = ["Bucket", "Limiter", "Outcome", "Turn"]

Outcome: TypeAlias = Literal["answered", "refused", "ended"]
"""``answered``: the service answered or refused for another reason than rate. ``refused``: for its rate, or no
first event came in time. ``ended``: nothing is learned, such as from a cancelled request."""


class Bucket:
    """Permits that refill with time; the level may fall below zero when an estimate was too low."""

    __slots__ = ("_at", "_burst", "_clock", "_level", "_rate")

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self._rate = per_minute / 60.0
        # A bucket of a whole minute would allow twice the rate in the first minute, which services refuse.
        self._burst = max(self._rate, 1.0)
        self._level = self._burst
        self._clock = clock
        self._at = clock()

    def wait(self, amount: float) -> float:
        """Return the seconds until ``amount`` can be taken; an amount above the burst waits for a full bucket."""
        now = self._clock()
        self._level = min(self._burst, self._level + (now - self._at) * self._rate)
        self._at = now
        missing = min(amount, self._burst) - self._level
        return missing / self._rate if missing > 0 else 0.0

    def take(self, amount: float) -> None:
        """Take ``amount``; a negative amount gives back what an estimate took too much."""
        self._level = min(self._burst, self._level - amount)


class Turn:
    """One request's place in the limiter: waiting, then admitted, then ended.

    Args:
        limiter: the limiter that admits it.
        tokens: the estimate of the request's tokens, prompt and answer.
    """

    __slots__ = (
        "_ended",
        "_interrupted",
        "_limiter",
        "_wake",
        "admitted",
        "due",
        "epoch",
        "left",
        "tokens",
    )

    def __init__(self, limiter: Limiter, tokens: int) -> None:
        self._limiter = limiter
        self._wake: Callable[[], object] | None = None
        self._ended = False
        self._interrupted = False
        self.tokens: int = tokens
        self.admitted: bool = False
        self.left: bool = False
        """The request gave up waiting."""
        self.due: float | None = None
        """When the limiter must be asked again, on its clock; ``None`` if another turn's end decides."""
        self.epoch: int = 0

    def poll(self, wake: Callable[[], object]) -> float | None:
        """Return ``0.0`` once the turn is admitted, else the seconds after which to poll again.

        Args:
            wake: called, from any thread, when polling again is worthwhile.

        Returns:
            ``None`` if only ``wake`` tells when.
        """
        self._wake = wake
        self._limiter._post(_POLL, self, None)
        if self.admitted:
            return 0.0
        due = self.due
        return None if due is None else max(due - self._limiter._clock(), 0.001)

    def wake(self) -> None:
        """Let the waiting request look again."""
        if (wake := self._wake) is not None:
            wake()

    def interrupt(self) -> None:
        """End a wait early, from any thread; the turn keeps its place until it ends."""
        self._interrupted = True
        self.wake()

    def block(self, seconds: float | None) -> None:
        """Wait in this thread until the turn is admitted, interrupted, or ``seconds`` are over."""
        clock = self._limiter._clock
        until = None if seconds is None else clock() + seconds
        bell = threading.Event()
        while not self._interrupted:
            bell.clear()
            due = self.poll(bell.set)
            left = _nearer(due, None if until is None else until - clock())
            if self.admitted or (until is not None and clock() >= until):
                return
            bell.wait(left)

    async def pause(self, seconds: float | None) -> None:
        """Wait in this task until the turn is admitted, interrupted, or ``seconds`` are over."""
        import anyio

        from ..transports.httpx.event_loop import EventLoop

        clock, loop = self._limiter._clock, EventLoop.current()
        until = None if seconds is None else clock() + seconds
        while not self._interrupted:
            bell = anyio.Event()
            due = self.poll(partial(loop.call_soon, bell.set))
            left = _nearer(due, None if until is None else until - clock())
            if self.admitted or (until is not None and clock() >= until):
                return
            with anyio.move_on_after(left):
                await bell.wait()

    def end(
        self, outcome: Outcome, *, tokens: int | None = None, retry_after: float | None = None
    ) -> None:
        """End the turn, whether it was admitted or still waits; a second call does nothing.

        Args:
            outcome: what came of the request.
            tokens: the tokens that the service counted; ``None`` keeps the estimate.
            retry_after: seconds for which the service wants no request from anyone.
        """
        if self._ended:
            return
        self._ended = True
        self._wake = None
        self._limiter._post(_END, self, (outcome, tokens, retry_after))


def _nearer(one: float | None, other: float | None) -> float | None:
    return min((each for each in (one, other) if each is not None), default=None)


_POLL, _JOIN, _END = "poll", "join", "end"
_Entry: TypeAlias = "tuple[str, Turn, tuple[Outcome, int | None, float | None] | None]"


class Limiter:
    """Bounds on what is sent, shared by any number of clients, threads, tasks and event loops.

    Requests are admitted first come, first served. A refusal for rate with ``Retry-After`` closes the limiter for
    everyone until that time.

    Args:
        concurrency: requests under way at once, or ``"auto"`` to find the number that the service allows.
        requests_per_minute: requests that may begin in a minute; ``None`` for no bound.
        tokens_per_minute: tokens of prompts and answers in a minute; ``None`` for no bound. The tokens are
            estimated before a request and corrected from the answer's usage.

    Raises:
        ConfigurationError: a number is out of range.

    Example:
        >>> limiter = Limiter(concurrency=8, requests_per_minute=300)
        >>> limiter.window
        8
    """

    def __init__(
        self,
        concurrency: int | Literal["auto"] = "auto",
        requests_per_minute: float | None = None,
        tokens_per_minute: float | None = None,
    ) -> None:
        fixed = None if concurrency == "auto" else _whole("concurrency", concurrency)
        self._clock: Callable[[], float] = time.monotonic
        self._window = Window(fixed)
        self._requests = self._bucket("requests_per_minute", requests_per_minute)
        self._tokens = self._bucket("tokens_per_minute", tokens_per_minute)
        self._waiting: deque[Turn] = deque()
        self._under_way = 0
        self._closed_until: float | None = None
        self._inbox: deque[_Entry] = deque()
        self._lock = threading.Lock()

    def _bucket(self, name: str, per_minute: float | None) -> Bucket | None:
        if per_minute is None:
            return None
        number = isinstance(per_minute, (int, float)) and not isinstance(per_minute, bool)
        if not number or not 0 < per_minute < float("inf"):
            raise ConfigurationError(f"{name} must be a number above 0, not {per_minute!r}.")
        return Bucket(float(per_minute), self._clock)

    @property
    def window(self) -> int:
        """The requests that may be under way at once, now."""
        return self._window.size

    @property
    def under_way(self) -> int:
        """The requests that are admitted and have not ended."""
        return self._under_way

    @property
    def waiting(self) -> int:
        """The requests that wait to be admitted."""
        return sum(not turn.left for turn in list(self._waiting))

    def turn(self, tokens: int = 0) -> Turn:
        """Return a turn at the end of the queue.

        Args:
            tokens: the estimate of the request's tokens.
        """
        turn = Turn(self, tokens)
        self._post(_JOIN, turn, None)
        return turn

    @complete_repr
    def __repr__(self) -> str:
        return f"Limiter(window={self.window}, under_way={self.under_way}, waiting={self.waiting})"

    # -- the inbox ---------------------------------------------------------------------------------

    def _post(
        self, kind: str, turn: Turn, detail: tuple[Outcome, int | None, float | None] | None
    ) -> None:
        self._inbox.append((kind, turn, detail))
        while self._inbox and self._lock.acquire(blocking=False):
            try:
                woken = self._work()
            finally:
                self._lock.release()
            # Outside the lock: a wake-up may run code of an event loop.
            for each in woken:
                each.wake()

    def _work(self) -> list[Turn]:
        """Work the inbox off, admit what fits, and return the turns to wake."""
        while self._inbox:
            kind, turn, detail = self._inbox.popleft()
            if kind == _JOIN:
                self._waiting.append(turn)
            elif detail is not None:
                self._end(turn, *detail)
        return self._admit()

    def _end(
        self, turn: Turn, outcome: Outcome, tokens: int | None, retry_after: float | None
    ) -> None:
        if not turn.admitted:
            turn.left = True
            return
        self._under_way -= 1
        if self._tokens is not None and tokens is not None:
            self._tokens.take(tokens - turn.tokens)
        if outcome == "answered":
            self._window.succeeded()
        elif outcome == "refused":
            self._window.refused(turn.epoch)
            if retry_after is not None:
                until = self._clock() + retry_after
                self._closed_until = max(until, self._closed_until or until)

    def _admit(self) -> list[Turn]:
        woken: list[Turn] = []
        while self._waiting:
            head = self._waiting[0]
            if head.left:
                self._waiting.popleft()
                continue
            seconds = self._seconds_until(head)
            if seconds is None or seconds > 0:
                due = None if seconds is None else self._clock() + seconds
                if due is not None and (head.due is None or due < head.due):
                    woken.append(head)  # it waits without a time, or for a later one
                head.due = due
                break
            self._waiting.popleft()
            self._take(head)
            woken.append(head)
        return woken

    def _seconds_until(self, turn: Turn) -> float | None:
        """Return the seconds until ``turn`` may begin; ``None`` if another turn must end first."""
        if self._under_way >= self._window.size:
            return None
        waits = [0.0]
        if self._closed_until is not None:
            waits.append(self._closed_until - self._clock())
        if self._requests is not None:
            waits.append(self._requests.wait(1))
        if self._tokens is not None:
            waits.append(self._tokens.wait(turn.tokens))
        return max(waits)

    def _take(self, turn: Turn) -> None:
        turn.admitted = True
        turn.epoch = self._window.epoch
        self._under_way += 1
        if self._requests is not None:
            self._requests.take(1)
        if self._tokens is not None:
            self._tokens.take(turn.tokens)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(
            f'{name} must be a whole number of 1 or more, or "auto", not {value!r}.'
        )
    return value
