"""A Gradio service of a few scripted answers, and a driver that performs an exchange's steps on it. No network."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from glmclient.core.exchange import Exchange, Read, Release, Send, Sleep
from glmclient.core.http import Head, Request, dump_json
from glmclient.core.identity import Identity
from glmclient.core.limits import Limits, Timeout
from glmclient.core.retry import RetryPolicy
from glmclient.core.transcript import Transcript
from glmclient.errors import GLMError, TransportFailure
from glmclient.events import Event
from glmclient.providers.gradio.provider import Gradio, Qwen

JSON = "application/json"
SSE = "text/event-stream; charset=utf-8"
HTML = "text/html; charset=utf-8"

URL = "https://space.example"


@dataclass(frozen=True, slots=True)
class Said:
    """One scripted response: its head, and what its reads bring; a failure is thrown where it stands."""

    body: Sequence[bytes | TransportFailure] = ()
    status: int = 200
    kind: str = JSON
    headers: Sequence[tuple[str, str]] = ()

    @property
    def head(self) -> Head:
        return Head.of(self.status, [("Content-Type", self.kind), *self.headers])


def said(value: Any, status: int = 200, *headers: tuple[str, str]) -> Said:
    return Said([json.dumps(value).encode()], status, JSON, headers)


def page(text: str, status: int = 503) -> Said:
    return Said([text.encode()], status, HTML)


def component(id: int, kind: str, **props: Any) -> dict[str, Any]:
    return {"id": id, "type": kind, "props": props}


def config(**changed: Any) -> dict[str, Any]:
    """The page of a Space of the shape of the Qwen2.5 demo on Gradio 4.44."""
    base: dict[str, Any] = {
        "version": "4.44.1",
        "protocol": "sse_v3",
        "root": "https://elsewhere.example/--replicas/ab12",
        "components": [
            component(1, "textbox", value="You are Qwen.", visible=False),
            component(2, "radio", value="72B", choices=[]),
            component(3, "textbox"),
            component(6, "chatbot", type="tuples", value=[]),
            component(7, "button", value="Send"),
        ],
        "dependencies": [
            {"id": 0, "api_name": "clear", "inputs": [], "outputs": [6], "targets": [[7, "click"]]},
            {
                "id": 3,
                "api_name": "model_chat",
                "inputs": [3, 6, 1, 2],
                "outputs": [3, 6, 1],
                "targets": [[25, "submit"]],
            },
        ],
    }
    return {**base, **changed}


def frame(**message: Any) -> bytes:
    return b"data: " + dump_json(message) + b"\n\n"


def generating(*data: Any, event: str = "e1") -> bytes:
    return frame(
        msg="process_generating", event_id=event, output={"data": list(data)}, success=True
    )


def completed(*data: Any, event: str = "e1") -> bytes:
    return frame(msg="process_completed", event_id=event, output={"data": list(data)}, success=True)


def failed(error: Any, event: str = "e1", **more: Any) -> bytes:
    output = {"error": error, **more}
    return frame(msg="process_completed", event_id=event, output=output, success=False)


def stream(*chunks: bytes | TransportFailure) -> Said:
    return Said(chunks, 200, SSE)


def answer(text: str, question: str = "Hi", event: str = "e1") -> Said:
    pairs = [[question, text]]
    return stream(generating("", pairs, "s", event=event), completed("", pairs, "s", event=event))


JOINED = said({"event_id": "e1"})


@dataclass(slots=True)
class Played:
    """What a turn did and what came of it."""

    requests: list[Request] = field(default_factory=list)
    sent: list[Send] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    slept: list[float] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    error: GLMError | None = None
    cleanup: Request | None = None
    attempts: int = 0

    @property
    def text(self) -> str:
        transcript = Transcript()
        transcript.extend(self.events)
        return transcript.text

    @property
    def paths(self) -> list[str]:
        return [f"{r.method} {r.url.removeprefix(URL)}" for r in self.requests]

    def body(self, number: int) -> Any:
        return json.loads(self.requests[number].body or b"null")


def gradio(**known: Any) -> Gradio:
    ids = iter(f"s{number}" for number in range(1, 1000))
    identity = Identity(ids=ids.__next__, chance=lambda: 0.5)
    return Qwen(**{"base_url": URL, "identity": identity, **known})


def exchange_for(
    provider: Gradio, retry: RetryPolicy | None = None, limits: Limits | None = None
) -> Exchange:
    return Exchange(
        timeout=Timeout(),
        retry=retry or RetryPolicy(attempts=1),
        limits=limits or Limits(),
        clock=lambda: 0.0,
        now=lambda: 0.0,
        identity=provider.identity,
    )


def play(
    provider: Gradio,
    script: Iterable[Said | TransportFailure],
    messages: Any = "Hi",
    *,
    retry: RetryPolicy | None = None,
    limits: Limits | None = None,
    leave_after: int | None = None,
    **options: Any,
) -> Played:
    """Ask ``messages`` of ``provider``, answer its requests from ``script`` in order, and say what happened.

    Args:
        leave_after: close the flow once that many events were handed over, as a user does who leaves.
    """
    chat = provider.prepare(messages, None, options)
    exchange = exchange_for(provider, retry, limits)
    flow = exchange.turn(lambda: provider.attempt(chat, exchange))
    played, answers = Played(), iter(script)
    body: list[bytes | TransportFailure] = []
    reply: Any = None
    failure: TransportFailure | None = None
    try:
        while True:
            step = flow.send(reply) if failure is None else flow.throw(failure)
            reply = failure = None
            played.steps.append(type(step).__name__)
            if isinstance(step, Send):
                played.requests.append(step.request)
                played.sent.append(step)
                got = next(answers)
                if isinstance(got, TransportFailure):
                    failure = got
                else:
                    reply, body = got.head, list(got.body)
            elif isinstance(step, Read):
                item = body.pop(0) if body else b""
                failure = item if isinstance(item, TransportFailure) else None
                reply = None if failure else item
            elif isinstance(step, Sleep):
                played.slept.append(step.seconds)
            elif isinstance(step, list):
                exchange.transcript.extend(step)
                played.events.extend(step)
                if leave_after is not None and len(played.events) >= leave_after:
                    flow.close()
                    break
            else:
                assert isinstance(step, Release)
    except StopIteration:
        pass
    except GLMError as error:
        played.error = error
    played.cleanup, played.attempts = exchange.cleanup, exchange.attempts
    assert next(answers, None) is None, "the script has answers that were not asked for"
    return played
