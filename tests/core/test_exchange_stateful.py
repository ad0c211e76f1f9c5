"""An exchange under whatever the network does, step by step: its laws hold after each."""

from __future__ import annotations

from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from glmclient import ChatGLM, Finish, GLMError, StreamInterrupted, TransportFailure
from glmclient.core.exchange import Read, Send, Sleep
from glmclient.core.http import Head

from .flow import OK, exchange

ATTEMPTS = 3
WORD = 'data: {"status":"init","parts":[{"logic_id":"L","content":[{"type":"text","text":"word "}]}]}\n\n'
END = 'data: {"status":"finish","parts":[]}\n\n'
KINDS = ("connect", "broken", "timeout", "connect_timeout", "garbage", "cancelled")


class Network(RuleBasedStateMachine):
    """Plays the network and the user; the flow says what it wants next."""

    def __init__(self) -> None:
        super().__init__()
        self.exchange = exchange()
        provider = ChatGLM(device_id="0" * 32)
        chat = provider.prepare("hi", None, {})
        self.flow = self.exchange.turn(lambda: provider.attempt(chat, self.exchange))
        self.events: list[Any] = []
        self.sent = 0
        self.sent_when_handed_over = 0
        self.error: BaseException | None = None
        self.ended = False
        self.step: Any = None
        self._go(None)

    def _go(self, reply: Any) -> None:
        try:
            failing = isinstance(reply, TransportFailure)
            self.step = self.flow.throw(reply) if failing else self.flow.send(reply)
            while isinstance(self.step, list):
                if self.step and not self.events:
                    self.sent_when_handed_over = self.sent
                self.events += self.step
                self.exchange.transcript.extend(self.step)
                self.step = self.flow.send(None)
            self.sent += isinstance(self.step, Send)
        except StopIteration:
            self.ended = True
        except GLMError as error:
            self.ended, self.error = True, error

    def wants(self, *kinds: type) -> bool:
        return not self.ended and isinstance(self.step, kinds)

    @precondition(lambda self: self.wants(Send))
    @rule(status=st.sampled_from([200, 200, 200, 429, 500, 503, 401]))
    def head(self, status: int) -> None:
        self._go(OK if status == 200 else Head(status, {"content-type": "application/json"}))

    @precondition(lambda self: self.wants(Read))
    @rule(
        data=st.sampled_from(
            [WORD, WORD, END, ": beat\n\n", "data: not JSON\n\n", WORD[:40], "", WORD * 3]
        )
    )
    def bytes_or_the_end(self, data: str) -> None:
        self._go(data.encode())

    @precondition(lambda self: self.wants(Send, Read, Sleep))
    @rule(kind=st.sampled_from(KINDS))
    def failure(self, kind: str) -> None:
        self._go(TransportFailure(kind, "as the test has it"))

    @precondition(lambda self: not self.ended and not isinstance(self.step, (Send, Read)))
    @rule()
    def done(self) -> None:
        self._go(None)

    @precondition(lambda self: self.ended)
    @rule()
    def over(self) -> None:
        assert list(self.flow) == [], "a flow that is over takes no further step"

    @invariant()
    def no_more_attempts_than_allowed(self) -> None:
        assert self.sent <= ATTEMPTS

    @invariant()
    def nothing_is_asked_again_after_an_event(self) -> None:
        assert not self.events or self.sent == self.sent_when_handed_over

    @invariant()
    def an_end_is_a_finish_or_an_error_with_all_that_came(self) -> None:
        finishes = [event for event in self.events if isinstance(event, Finish)]
        if self.ended and self.error is None:
            assert finishes == [self.events[-1]]
        if isinstance(self.error, GLMError):
            assert not finishes
            assert self.error.partial == self.exchange.transcript.reply()
            assert self.error.attempts == self.sent
            if isinstance(self.error, StreamInterrupted) and self.error.__cause__ is None:
                raise AssertionError("an interruption without a cause")


TestNetwork = Network.TestCase
TestNetwork.settings = settings(max_examples=150, stateful_step_count=30, deadline=None)
