"""The exchange under any network: hypothesis plays it, and the laws of the exchange are checked at each step."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from glmclient import (
    APIConnectionError,
    APITimeoutError,
    Event,
    Finish,
    GLMError,
    Limits,
    RetryPolicy,
    StreamCancelled,
    Timeout,
    TransportFailure,
)
from glmclient.core.exchange import Flow, Read, Release, Send, Sleep, Step
from glmclient.core.http import Head, Request
from glmclient.core.transcript import Transcript

from .flow import OK, REQUEST, Clock, Lines, exchange

FAREWELL = Request("POST", "https://service.example/leave")
KINDS = ["connect", "tls", "proxy", "proxy_refused", "timeout", "connect_timeout", "broken", "stale",
         "garbage", "limit", "headers", "cancelled"]  # fmt: skip
LINES = [
    b"one\n",
    b"two\n",
    b"tw",
    b"QUEUE3\n",
    b"NOTICE\n",
    b"\n",
    b"BAD\n",
    b"END\n",
    b"LAST",
    b"WRONG",
    b"one\nEND\nthree\n",
]
HEADS = [
    OK,
    Head(200),
    Head(429, {"retry-after": "7"}),
    Head(500),
    Head(400),
    Head(407),
    Head(200, {"content-encoding": "br"}),
]


class Turn(RuleBasedStateMachine):
    """One chat turn; each rule is something that the network, the clock or the user may do next."""

    @initialize(
        attempts=st.integers(1, 4),
        first=st.sampled_from([None, 5.0, 50.0]),
        total=st.sampled_from([None, 8.0, 80.0]),
        events=st.sampled_from([1, 2, 1000]),
    )
    def begin(self, attempts: int, first: float | None, total: float | None, events: int) -> None:
        self.clock = Clock()
        self.total = total
        self.began = self.clock.now
        self.policy = RetryPolicy(attempts=attempts, base_delay=1.0, max_delay=4.0)
        self.turn = exchange(
            self.clock,
            timeout=Timeout(first_event=first, total=total),
            retry=self.policy,
            limits=Limits(events=events, error_body=8),
        )
        self.flow: Flow[None] = self.turn.turn(self.attempt)
        self.events: list[Event] = []
        self.asked = 0
        self.asked_when_handed: int | None = None
        self.error: BaseException | None = None
        self.over = False
        self.left = False
        self.step: Step | None = None
        self.advance(None)

    def attempt(self) -> Flow[None]:
        turn = self.turn
        head = yield from turn.send(REQUEST)
        turn.cleanup = FAREWELL
        if head.status != 200:
            body = yield from turn.refused(head)
            from glmclient.core.refusals import refusal

            raise refusal("Service", head, reason="", body=body.decode(), now=0.0)
        yield from turn.stream(head, Lines())

    # -- driving -------------------------------------------------------------------------------------------

    def advance(self, reply: Any) -> None:
        """Send a reply, hand over what comes, and stop at the next step."""
        try:
            while True:
                failing = isinstance(reply, TransportFailure)
                step = self.flow.throw(reply) if failing else self.flow.send(reply)
                reply = None
                if isinstance(step, list):
                    self.hand_over(step)
                    continue
                self.step = step
                if isinstance(step, Send) and step.request is REQUEST:
                    self.asked += 1
                return
        except StopIteration:
            self.over, self.step = True, None
        except GLMError as error:
            self.over, self.step, self.error = True, None, error

    def hand_over(self, batch: list[Event]) -> None:
        assert not any(isinstance(event, Finish) for event in self.events), (
            "events after the Finish"
        )
        self.events += batch
        self.turn.transcript.extend(batch)
        if batch and self.asked_when_handed is None:
            self.asked_when_handed = self.asked

    def waits_for(self, kind: type) -> bool:
        return isinstance(self.step, kind) and not self.left

    # -- what may happen -----------------------------------------------------------------------------------

    @precondition(lambda self: self.waits_for(Send))
    @rule(head=st.sampled_from(HEADS))
    def a_head_comes(self, head: Head) -> None:
        self.advance(head)

    @precondition(lambda self: self.waits_for(Read))
    @rule(piece=st.sampled_from([*LINES, b""]))
    def bytes_come(self, piece: bytes) -> None:
        self.advance(piece)

    @precondition(lambda self: self.waits_for(Read) or self.waits_for(Send))
    @rule(kind=st.sampled_from(KINDS))
    def a_step_fails(self, kind: str) -> None:
        if kind == "timeout":
            self.pass_a_limit()
        self.advance(TransportFailure(kind, "the network said so"))

    def pass_a_limit(self) -> None:
        deadline = self.step.deadline  # type: ignore[union-attr]
        if deadline is not None:
            self.clock.now = max(self.clock.now, deadline)

    @precondition(lambda self: self.waits_for(Sleep) or self.waits_for(Release))
    @rule()
    def a_wait_is_over(self) -> None:
        if isinstance(self.step, Sleep):
            self.clock.now += self.step.seconds
        self.advance(None)

    @precondition(lambda self: self.waits_for(Sleep))
    @rule()
    def a_wait_is_cancelled(self) -> None:
        self.advance(TransportFailure("cancelled"))
        assert isinstance(self.error, StreamCancelled)

    @rule(seconds=st.sampled_from([0.5, 3.0, 30.0]))
    def time_passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @precondition(lambda self: not self.over and not self.left)
    @rule()
    def the_user_leaves(self) -> None:
        self.left = True
        self.flow.close()
        request = self.turn.left()
        assert request in (None, FAREWELL)
        assert self.turn.left() is None

    # -- what always holds ---------------------------------------------------------------------------------

    @invariant()
    def nothing_is_asked_after_an_event(self) -> None:
        if self.asked_when_handed is not None:
            assert self.asked == self.asked_when_handed

    @invariant()
    def attempts_are_counted_and_bounded(self) -> None:
        assert 1 <= self.turn.attempts <= self.policy.attempts
        assert self.asked >= self.turn.attempts  # one more for each stale connection

    @invariant()
    def an_end_is_a_finish_or_an_error(self) -> None:
        finished = bool(self.events) and isinstance(self.events[-1], Finish)
        if self.over:
            # An error beside a Finish would be one too many, and neither would be a silent end.
            assert finished is (self.error is None) or self.cut_at_the_bound()
            if self.error is None:
                assert self.turn.cleanup is None
        if self.error is not None:
            self.check_error(self.error)

    def cut_at_the_bound(self) -> bool:
        return type(self.error).__name__ == "LimitExceeded"

    def check_error(self, error: Any) -> None:
        folded = Transcript()
        folded.extend(self.events)
        assert error.partial == folded.reply()
        assert error.attempts == self.turn.attempts
        assert str(error)
        assert not (isinstance(error, APIConnectionError) and not isinstance(error, APITimeoutError)
                    and self.handed_over_before(error))  # fmt: skip
        if isinstance(error, APITimeoutError):
            assert error.limit in ("connect", "first_event", "idle", "total")
        cause = error.__cause__
        assert cause is None or isinstance(cause, TransportFailure)

    def handed_over_before(self, error: Any) -> bool:
        """A connection that broke after an event is a `StreamInterrupted`; only connecting anew could not be."""
        kind = getattr(error.__cause__, "kind", "")
        return bool(self.events) and kind in ("broken", "ended", "stale")

    @invariant()
    def waits_stay_within_the_policy_and_the_total_limit(self) -> None:
        if isinstance(self.step, Sleep):
            assert 0 <= self.step.seconds <= 7.0
            if self.total is not None and not self.left:
                # It was begun only because the total limit would outlast it, by the clock of that moment.
                assert self.step.seconds < self.total

    @invariant()
    def deadlines_never_lie_beyond_the_total_limit(self) -> None:
        if self.total is not None and isinstance(self.step, Read) and not self.left:
            assert self.step.deadline is not None
            assert self.step.deadline <= self.began + self.total


TestTurn = Turn.TestCase
TestTurn.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
