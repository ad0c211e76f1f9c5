"""Driving a provider and its decoder with no network: responses are scripted, time is counted."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from glmclient.core.exchange import Exchange, Flow, Read, Release, Send, Sleep
from glmclient.core.http import Head, Request
from glmclient.core.identity import Identity
from glmclient.core.limits import Limits, Timeout
from glmclient.core.retry import RetryPolicy
from glmclient.errors import GLMError, TransportFailure
from glmclient.events import Event
from glmclient.providers.base import Model
from glmclient.providers.chat_completions.answer import AnswerReader
from glmclient.providers.chat_completions.base import Platform
from glmclient.providers.chat_completions.decoder import PlatformDecoder
from glmclient.providers.chat_completions.refusals import Refusals

NOW = 1_763_000_000.0
STREAM = {"content-type": "text/event-stream;charset=UTF-8"}
JSON = {"content-type": "application/json; charset=UTF-8"}


def frames(*chunks: Any, done: bool = True) -> bytes:
    """Return a stream of these chunks: objects as JSON, text as it is."""
    datas = [
        chunk if isinstance(chunk, str) else json.dumps(chunk, ensure_ascii=False)
        for chunk in chunks
    ]
    return "".join(f"data: {data}\n\n" for data in [*datas, *(["[DONE]"] if done else [])]).encode()


def decoder(
    status: int = 200,
    headers: dict[str, str] | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> PlatformDecoder:
    """Return a decoder of one response."""
    head = Head(status, STREAM if headers is None else headers)
    refusals = Refusals("the test service", head, lambda: NOW)
    return PlatformDecoder(
        AnswerReader("the test service", **options), refusals, limits or Limits()
    )


def decoded(
    chunks: Iterable[bytes], made: PlatformDecoder | None = None, **options: Any
) -> tuple[list[Event], GLMError | None, bool]:
    """Return the events of a body, the error that it ended with, and whether it ended as it should."""
    reader = made if made is not None else decoder(**options)
    out: list[Event] = []
    try:
        for chunk in chunks:
            reader.feed(chunk, out)
            if reader.done:
                return out, None, True
        reader.end(out)
    except GLMError as error:
        return out, error, reader.done
    return out, None, reader.done


@dataclass
class Answered:
    """One scripted response: its head and body; a failure in the body is thrown."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=lambda: dict(STREAM))
    body: Sequence[bytes | TransportFailure] = ()


def of_json(value: Any, status: int = 200, **headers: str) -> Answered:
    """Return a JSON response."""
    return Answered(status, {**JSON, **headers}, [json.dumps(value).encode()])


@dataclass
class Turn:
    """What became of one chat turn."""

    events: list[Event] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)
    sleeps: list[float] = field(default_factory=list)
    error: GLMError | None = None
    models: tuple[Model, ...] = ()

    @property
    def bodies(self) -> list[Any]:
        return [json.loads(request.body or b"null") for request in self.requests]


def exchange(**arguments: Any) -> Exchange:
    """Return an exchange whose time stands still."""
    return Exchange(
        timeout=Timeout(),
        retry=arguments.pop("retry", RetryPolicy(attempts=3)),
        limits=arguments.pop("limits", Limits()),
        clock=lambda: 0.0,
        now=lambda: NOW,
        identity=Identity(chance=lambda: 0.5),
    )


def ask(
    provider: Platform,
    responses: Sequence[Answered | TransportFailure],
    messages: Any = "hi",
    model: str | None = None,
    retry: RetryPolicy | None = None,
    limits: Limits | None = None,
    **options: Any,
) -> Turn:
    """Ask a question and drive it to its end."""
    chat = provider.prepare(messages, model, options)
    given = exchange(retry=retry or RetryPolicy(attempts=3), limits=limits or Limits())
    return drive(given, given.turn(lambda: provider.attempt(chat, given)), responses)


def ask_for_models(provider: Platform, responses: Sequence[Answered | TransportFailure]) -> Turn:
    """List the models."""
    given = exchange()
    found: list[tuple[Model, ...]] = []

    def attempt() -> Flow[None]:
        found.append((yield from provider.list_models(given)))

    turn = drive(given, given.turn(attempt), responses)
    turn.models = found[-1] if found else ()
    return turn


def drive(
    given: Exchange, flow: Flow[Any], responses: Sequence[Answered | TransportFailure]
) -> Turn:
    """Perform the steps of ``flow`` with scripted responses."""
    turn = Turn()
    waiting = list(responses)
    body: list[bytes | TransportFailure] = []
    reply: Any = None
    failure: TransportFailure | None = None
    try:
        while True:
            step = flow.send(reply) if failure is None else flow.throw(failure)
            reply = failure = None
            if isinstance(step, list):
                turn.events.extend(step)
                given.transcript.extend(step)
            elif isinstance(step, Send):
                turn.requests.append(step.request)
                answer = waiting.pop(0)
                if isinstance(answer, TransportFailure):
                    failure = answer
                else:
                    body = list(answer.body)
                    reply = Head(answer.status, answer.headers)
            elif isinstance(step, Read):
                item = body.pop(0) if body else b""
                failure, reply = (
                    (item, None) if isinstance(item, TransportFailure) else (None, item)
                )
            elif isinstance(step, Sleep):
                turn.sleeps.append(step.seconds)
            else:
                assert isinstance(step, Release)
    except StopIteration:
        assert not waiting, "not every response was asked for"
    except GLMError as error:
        turn.error = error
    return turn
