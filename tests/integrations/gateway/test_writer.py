"""The response to one request, message by message."""

from __future__ import annotations

import json
from typing import Any

import anyio
import anyio.lowlevel

from glmclient.gateway.refusals import Refused
from glmclient.gateway.writer import Writer
from glmclient.testing import Simulator

from .serving import QUESTION, app_of
from .test_application import scope_of


class Sent:
    """What a writer sends; fails from message number ``fails`` on."""

    def __init__(self, fails: int = 99) -> None:
        self.messages: list[Any] = []
        self.fails = fails

    async def __call__(self, message: Any) -> None:
        await anyio.lowlevel.checkpoint()
        if len(self.messages) >= self.fails:
            raise BrokenPipeError
        self.messages.append(message)

    @property
    def kinds(self) -> list[str]:
        return [message["type"].rpartition(".")[2] for message in self.messages]


def test_the_head_of_a_stream_is_written_once_whoever_comes_first() -> None:
    sent = Sent()

    async def run() -> None:
        writer = Writer(sent, 10)
        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(writer.frames, b"x")
        await writer.begin()
        await writer.end()

    anyio.run(run)
    assert sent.kinds == ["start", "body", "body", "body", "body"]


def test_a_comment_that_cannot_be_written_ends_the_keep_alive_alone() -> None:
    async def run() -> None:
        with anyio.fail_after(20):
            await Writer(Sent(fails=1), 0.01).keep_alive()

    anyio.run(run)
    assert Sent().kinds == []


def test_no_comment_is_written_between_frames_that_follow_each_other() -> None:
    sent = Sent()

    async def run() -> None:
        writer = Writer(sent, 0.2)
        async with anyio.create_task_group() as group:
            group.start_soon(writer.keep_alive)
            for _ in range(20):
                await writer.frames(b"x")
                await anyio.sleep(0.02)
            group.cancel_scope.cancel()

    anyio.run(run)
    bodies = [message["body"] for message in sent.messages[1:]]
    assert bodies.count(b"x") == 20


def test_an_error_after_the_end_is_not_written() -> None:
    sent = Sent()

    async def run() -> None:
        writer = Writer(sent, 10)
        await writer.json({})
        await writer.refuse(Refused(500, "late"))

    anyio.run(run)
    assert sent.kinds == ["start", "body"]


def test_an_error_for_a_caller_that_left_is_not_an_error() -> None:
    async def run() -> None:
        await Writer(Sent(fails=0), 10).refuse(Refused(500, "m"))

    anyio.run(run)
    assert Refused(500, "m").body()["error"]["message"] == "m"


def test_messages_after_the_body_do_not_end_a_request() -> None:
    sent = Sent()

    async def run() -> None:
        body = json.dumps(QUESTION).encode()
        messages = [{"type": "http.request", "body": body}, {"type": "http.request", "body": b""}]

        async def receive() -> Any:
            if messages:
                return messages.pop(0)
            return await anyio.sleep_forever()

        await app(scope_of("/v1/chat/completions", "POST"), receive, sent)

    with Simulator("Hi", provider="zai") as simulator:
        app = app_of(simulator)
        anyio.run(run)
    assert sent.messages[0]["status"] == 200
