"""A stream that is cut at any byte: what came is exact, and a whole answer is never made up."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient import APIConnectionError, Finish, GLMError, RetryPolicy, StreamInterrupted
from glmclient.core.http import Head
from glmclient.core.transcript import Transcript
from glmclient.errors import TransportFailure
from glmclient.providers import service as named
from tests.clients.driver import Driver
from tests.core.flow import OK, exchange, play
from tests.providers.chatglm.wire import increments
from tests.providers.gradio.scripted import config

from .dialects import DIALECTS, TEXTS, Dialect
from .server import FaultServer, Peer, chunk, head

STREAMS = [
    *(pytest.param(dialect, list(dialect.frames), id=dialect.name) for dialect in DIALECTS),
    pytest.param(
        DIALECTS[0], increments(TEXTS[0], "！", "我是一个模型。"), id="chatglm-increments"
    ),
]


def service(dialect: Dialect) -> Any:
    make: Any = named(dialect.name).provider_class()
    return make(
        base_url="http://127.0.0.1:9", **{k: v for k, v in dialect.options.items() if k != "model"}
    )


def before(dialect: Dialect) -> list[Any]:
    """What the service says before the stream."""
    if dialect.name != "qwen":
        return []
    json_head = Head(200, {"content-type": "application/json"})
    return [json_head, json.dumps(config()).encode(), b"", json_head, b'{"event_id": "e1"}', b""]


@pytest.mark.parametrize("broken", [False, True], ids=["ended", "broken"])
@pytest.mark.parametrize(
    ("dialect", "frames"),
    STREAMS,
    ids=lambda value: str(value) if isinstance(value, Dialect) else "",
)
def test_cut_at_every_byte(dialect: Dialect, frames: list[bytes], broken: bool) -> None:
    raw = b"".join(frames)
    own = service(dialect)
    model = dialect.options.get("model")
    whole = told(dialect, own, model, [raw])
    assert isinstance(whole[-1], Finish)
    seen = set()
    for place in range(len(raw)):
        turn = exchange(retry=RetryPolicy(attempts=1))
        chat = own.prepare("Hello", model, {})
        end = TransportFailure("broken", "cut") if broken else b""
        own._page = None
        replies = [*before(dialect), OK, *([raw[:place]] if place else []), end]
        played = play(
            turn, turn.turn(lambda chat=chat, turn=turn: own.attempt(chat, turn)), replies
        )
        if played.error is None:  # nothing but what follows the end of the answer was cut
            assert text_prefixes(played.events) == text_prefixes(whole)
            assert isinstance(played.events[-1], Finish)
            continue
        assert isinstance(played.error, GLMError), place
        kind = StreamInterrupted if played.events else APIConnectionError
        assert isinstance(played.error, kind), (place, played.error)
        # As much as had come is exactly what is told, and it is the beginning of the whole.
        assert played.events == whole[
            : len(played.events)
        ] or played.error.partial.text in text_prefixes(whole)
        assert played.error.partial.text in text_prefixes(whole)
        assert played.error.partial.finish is None
        seen.add(played.error.partial.text)
    assert seen >= {"", TEXTS[0]}


def told(dialect: Dialect, own: Any, model: str | None, chunks: list[bytes]) -> list[Any]:
    turn = exchange()
    chat = own.prepare("Hello", model, {})
    replies = [*before(dialect), OK, *chunks]
    played = play(turn, turn.turn(lambda: own.attempt(chat, turn)), replies)
    assert played.error is None
    return played.events


def text_prefixes(events: list[Any]) -> set[str]:
    transcript, texts = Transcript(), {""}
    for event in events:
        transcript.extend([event])
        texts.add(transcript.text)
    return texts


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
async def test_cut_on_the_wire(driver: Driver, dialect: Dialect) -> None:
    """The same over a real connection, at the places where something begins or ends, and a few between."""
    raw = b"".join(dialect.frames)
    ends = [sum(map(len, dialect.frames[: i + 1])) for i in range(len(dialect.frames) - 1)]
    places = sorted({*range(0, len(raw), 97), *(e + d for e in ends for d in (-2, -1, 0, 1))})
    left = list(places)

    def cut(peer: Peer) -> None:
        place = left.pop(0)
        peer.send(head(), *([chunk(raw[:place])] if place else []))
        if place % 2:
            peer.send(chunk(b""))
        peer.close()

    with FaultServer(dialect.stage(cut)) as server:
        async with driver.client(
            dialect.name, base_url=server.url, retry=None, **dialect.options
        ) as client:
            for place in places:
                with pytest.raises(GLMError) as caught:
                    await client.chat("Hello")
                # An odd place is followed by the last chunk: that body ends in order.
                enough = place + (dialect.unended if place % 2 else 0)
                expected = ""
                for text, end in zip(TEXTS, [*ends, len(raw)], strict=True):
                    expected = text if enough >= end else expected
                assert caught.value.partial.text == expected, place
                assert isinstance(
                    caught.value, StreamInterrupted if expected else APIConnectionError
                )
        assert left == []
