"""Driving a flow by hand: what the network does is a list, and the clock stands where the test puts it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from glmclient import Event, Limits, RetryPolicy, Timeout, TransportFailure
from glmclient.core.exchange import Exchange, Flow, Read, Release, Send, Sleep, Step
from glmclient.core.http import Head, Request
from glmclient.core.identity import Identity

__all__ = ["BROKEN", "OK", "REQUEST", "Clock", "Lines", "Played", "exchange", "play"]

REQUEST = Request("POST", "https://service.example/chat", {"Accept": "text/event-stream"}, b"{}")
OK = Head(200, {"content-type": "text/event-stream"})
BROKEN = TransportFailure("broken", "the wire was cut")

Reply: TypeAlias = "Head | bytes | TransportFailure | Callable[[], Any] | None"


class Clock:
    """Seconds that grow when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def later(self, seconds: float, reply: Any = None) -> Callable[[], Any]:
        """Return a reply that takes its time."""

        def wait() -> Any:
            self.now += seconds
            return reply

        return wait


def exchange(clock: Clock | None = None, **changes: Any) -> Exchange:
    """Return an exchange without jitter; what a test is about, it names."""
    arguments: dict[str, Any] = {
        "timeout": Timeout(),
        "retry": RetryPolicy(attempts=3, base_delay=1.0),
        "limits": Limits(),
        "clock": clock if clock is not None else Clock(),
        "now": lambda: 1_700_000_000.0,
        "identity": Identity(chance=lambda: 0.5, ids=iter(["id-1", "id-2"]).__next__),
    }
    return Exchange(**{**arguments, **changes})


@dataclass
class Played:
    """What came of a flow."""

    steps: list[Step] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    opened: int = 0
    result: Any = None
    error: BaseException | None = None

    def of(self, kind: type) -> list[Any]:
        """Return the steps of one kind."""
        return [step for step in self.steps if type(step) is kind]

    @property
    def sent(self) -> list[Request]:
        return [step.request for step in self.of(Send)]

    @property
    def slept(self) -> list[float]:
        return [step.seconds for step in self.of(Sleep)]


def play(
    of: Exchange, flow: Flow[Any], replies: Iterable[Reply], *, stop_after: int = -1
) -> Played:
    """Drive ``flow`` with the network's replies; releases and waits succeed unless a reply is kept for them.

    Args:
        replies: one for each `Send` and `Read`, in order; a failure is thrown into the flow, and one that stands where
            a `Sleep` or a `Release` comes is thrown there.
        stop_after: leave the flow after that many batches of events.
    """
    played, left = Played(), list(replies)
    reply: Any = None
    try:
        while True:
            failing = isinstance(reply, TransportFailure)
            step = flow.throw(reply) if failing else flow.send(reply)
            reply = None
            if isinstance(step, list):
                played.opened += not step
                played.events += step
                of.transcript.extend(step)
                stop_after -= bool(step)
                if not stop_after:
                    flow.close()
                    return played
                continue
            played.steps.append(step)
            if isinstance(step, (Send, Read)):
                assert left, f"the network has nothing more to say to {step}"
                reply = left.pop(0)
            elif isinstance(step, (Sleep, Release)) and left and _is_for(left[0], step):
                reply = left.pop(0).failure  # type: ignore[union-attr]
            if callable(reply):
                reply = reply()
    except StopIteration as end:
        played.result = end.value
    except BaseException as error:  # noqa: BLE001 - handed to the test
        played.error = error
    assert not left, f"nobody asked for {left}"
    return played


@dataclass(frozen=True)
class Failing:
    """A failure of a wait, or of giving the connection back."""

    kind: type
    failure: TransportFailure


def _is_for(reply: Any, step: Step) -> bool:
    return isinstance(reply, Failing) and reply.kind is type(step)


class Lines:
    """A dialect for tests of the exchange: each line is an event's text; ``END`` is the end mark."""

    def __init__(self) -> None:
        self.done = False
        self.held = b""

    def feed(self, chunk: bytes, out: list[Event]) -> None:
        from glmclient import Finish, Notice, ProtocolError, QueueStatus, TextDelta

        *lines, self.held = (self.held + chunk).split(b"\n")
        for line in lines:
            word = line.decode()
            if word == "END":
                self.done = True
                out.append(Finish("stop"))
                return
            if word == "BAD":
                raise ProtocolError("a bad line", frame=word)
            if word.startswith("QUEUE"):
                out.append(QueueStatus(int(word.removeprefix("QUEUE")), 9))
            elif word.startswith("NOTICE"):
                out.append(Notice(word))
            elif word:
                out.append(TextDelta(word))

    def end(self, out: list[Event]) -> None:
        from glmclient import Finish, ProtocolError

        if self.held == b"LAST":
            self.done = True
            out.append(Finish("other"))
        elif self.held == b"WRONG":
            raise ProtocolError("it ended wrongly")
