"""Both clients against real Gradio servers: the Space's own series 4.44, 5.x and 6.x."""

from __future__ import annotations

import json
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import anyio
import pytest

from glmclient import AsyncClient, SyncClient
from glmclient.core.retry import RetryPolicy
from glmclient.errors import (
    NotFoundError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
)
from glmclient.events import Event, Finish, Notice, QueueStatus, TextDelta, TextReplace
from glmclient.providers.gradio.formats import last_answer
from glmclient.providers.gradio.provider import Gradio
from glmclient.reply import Reply

from .asking import WAYS, Outcome, Way, ask
from .cases import ANSWER, ANSWERS, FAILURE, QUOTA
from .servers import RealServer

pytestmark = pytest.mark.real

SYSTEM = "You are a scripted assistant."
ONCE = RetryPolicy(attempts=1)
BROKEN = FAILURE.replace("<b>", "").replace("</b>", "")


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Way:
    chosen: Way = request.param
    return chosen


@pytest.fixture
def provider(server: RealServer) -> Gradio:
    return Gradio(base_url=server.url)


def kinds(outcome: Outcome) -> set[type[Event]]:
    return {type(event) for event in outcome.events}


# -- answers -------------------------------------------------------------------------------------------------


REWRITTEN = ("indented", "thinking", "withdrawn")


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_the_servers_own_character_for_character(
    name: str, way: Way, provider: Gradio
) -> None:
    outcome = ask(way, provider, f"case:{name}")
    assert outcome.finish.reason == "stop"
    assert outcome.text == ANSWERS[name][-1]
    held = json.loads(outcome.finish.continuation or "")
    assert last_answer(held["value"])[1] == outcome.text
    # An answer that only grows comes in pieces; a rewrite is told as one.
    assert (TextReplace in kinds(outcome)) is (name in REWRITTEN)
    assert len(outcome.events) > 3 or name == "empty"


def test_text_comes_when_it_is_said_and_not_at_the_end(
    way: Way, provider: Gradio, server: RealServer
) -> None:
    def on_event(event: Event) -> None:
        if event == TextDelta("Held"):
            server.hears("held")
            server.release()

    outcome = ask(way, provider, "case:held", on_event)
    assert outcome.events[:2] == [TextDelta("Held"), TextDelta(" and released.")]
    assert outcome.text == "Held and released."


@pytest.mark.parametrize("name", ["empty", "none"])
def test_an_empty_answer_is_an_answer(name: str, way: Way, provider: Gradio) -> None:
    outcome = ask(way, provider, f"case:{name}")
    assert outcome.events == [outcome.finish] and outcome.text == ""


def test_several_turns_in_one_answer_show_the_last(way: Way, server: RealServer) -> None:
    outcome = ask(way, Gradio(base_url=server.url, function="two_turns"), "Hi")
    assert outcome.text == "Second, and last." and outcome.finish.reason == "stop"


def test_news_of_the_queue_and_notices(way: Way, provider: Gradio) -> None:
    outcome = ask(way, provider, "case:noisy", include_status=True)
    status = [event for event in outcome.events if isinstance(event, QueueStatus)]
    assert status and all(event.position >= 0 and event.size >= 1 for event in status)
    notices = [(n.message, n.level) for n in outcome.events if isinstance(n, Notice)]
    assert notices == [("loading the model", "info"), ("the model is slow today", "warning")]
    assert outcome.text == ANSWER
    assert kinds(ask(way, provider, "case:noisy")) == {TextDelta, Finish}


# -- what was asked ------------------------------------------------------------------------------------------


def echo(query: str, history: list[str], system: str = SYSTEM) -> str:
    return f"query={query!r} history={history!r} system={system!r} choice='72B'"


def test_question_system_and_history_arrive_as_the_page_itself_would_send_them(
    way: Way, provider: Gradio
) -> None:
    assert ask(way, provider, "Hi 你好").text == echo("Hi 你好", [])
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "q1 👋"},
        {"role": "assistant", "content": "a1\nb"},
        {"role": "user", "content": "q2"},
        {"role": "assistant", "content": "a2"},
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "now"},
    ]
    expected = echo("now", ["q1 👋", "a1\nb", "q2", "a2"], "Be brief.\nBe kind.")
    assert ask(way, provider, messages).text == expected


def test_a_conversation_is_continued(way: Way, provider: Gradio) -> None:
    asked = [{"role": "system", "content": "S"}, {"role": "user", "content": "one"}]
    first = ask(way, provider, asked)
    assert first.text == echo("one", [], "S")
    second = ask(way, provider, "two", continue_from=first.finish)
    assert second.text == echo("two", ["one", first.text], "S")
    reply = Reply(text=second.text, finish=second.finish)
    third = ask(way, provider, "three", continue_from=reply)
    assert third.text == echo("three", ["one", first.text, "two", second.text], "S")


def test_the_older_format_of_pairs(way: Way, server: RealServer) -> None:
    provider = Gradio(base_url=server.url, function="in_pairs")
    if server.version.startswith(
        "6"
    ):  # it has no chatbot of pairs, and the application no such function
        assert type(ask(way, provider, "Hi").error) is NotFoundError
        return
    first = ask(way, provider, "case:code")
    assert first.text == ANSWERS["code"][-1]
    assert ask(way, provider, "two", continue_from=first.finish).text == echo(
        "two", ["case:code", first.text]
    )
    turns = [
        {"role": "assistant", "content": "Welcome!"},
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "now"},
    ]
    assert ask(way, provider, turns).text == echo("now", ["Welcome!", "q", "a"])


# -- failures ------------------------------------------------------------------------------------------------


def test_an_error_in_the_middle(way: Way, provider: Gradio) -> None:
    outcome = ask(way, provider, "case:failure")
    assert type(outcome.error) is ServerError
    assert outcome.error.message == BROKEN and outcome.error.attempts == 1
    assert outcome.text == ANSWER == outcome.error.partial.text


def test_a_hidden_error(way: Way, provider: Gradio) -> None:
    outcome = ask(way, provider, "case:hidden")
    assert type(outcome.error) is ServerError and "hides its errors" in str(outcome.error)
    assert outcome.error.partial.text == ANSWER
    early = ask(way, provider, "case:early", retry=RetryPolicy(attempts=2, base_delay=0.0))
    assert type(early.error) is ServerError and early.error.attempts == 2


def test_a_quota(way: Way, provider: Gradio) -> None:
    outcome = ask(way, provider, "case:quota")
    assert type(outcome.error) is QuotaExceededError
    assert outcome.error.retry_after == 588 and not outcome.error.retryable
    assert "<a" not in outcome.error.message and QUOTA[:30] in outcome.error.message


def test_a_function_that_is_not_there(way: Way, server: RealServer) -> None:
    outcome = ask(way, Gradio(base_url=server.url, function="talk"), "Hi")
    assert type(outcome.error) is NotFoundError and "model_chat (fn_index 0)" in str(outcome.error)


def test_an_address_that_is_none(way: Way, server: RealServer) -> None:
    outcome = ask(way, Gradio(base_url=f"{server.url}/nowhere"), "Hi", retry=ONCE)
    assert isinstance(outcome.error, (NotFoundError, ProtocolError, ServerError))


def test_a_page_that_fits_no_more_is_asked_for_again(way: Way, provider: Gradio) -> None:
    ask(way, provider, "Hi")
    page = provider._page
    assert page is not None
    strange = tuple(replace(each, index=999) for each in page.functions)
    for outdated in (replace(page, prefix="/old_api"), replace(page, functions=strange)):
        provider._page = outdated
        outcome = ask(way, provider, "again", retry=ONCE)
        assert outcome.text == echo("again", []), outcome.error
        assert provider._page == page


def test_a_full_queue(way: Way, server: RealServer) -> None:
    narrow = Gradio(base_url=server.url, function="narrow")
    with ExitStack() as stack:
        client = stack.enter_context(SyncClient(narrow, trust_env=False))
        running = stack.enter_context(client.stream("case:held first", retry=ONCE))
        assert next(running) == TextDelta("Held")
        server.hears("held")
        waiting = [
            stack.enter_context(client.stream(f"case:paced {n}", retry=ONCE, include_status=True))
            for n in range(3)
        ]
        assert isinstance(next(waiting[-1]), QueueStatus)
        refused = ask(way, narrow, "case:empty", retry=ONCE)
        assert type(refused.error) is RateLimitError and refused.error.retryable
        assert "Queue is full" in refused.error.message and refused.error.status_code == 503
        server.release()
        assert running.reply().text == "Held and released."
        assert [stream.reply().text for stream in waiting] == [ANSWER] * 3
    assert ask(way, narrow, "case:empty").finish.reason == "stop"


# -- leaving, and two at once --------------------------------------------------------------------------------


def test_leaving_early_stops_the_server(way: Way, provider: Gradio, server: RealServer) -> None:
    outcome = ask(way, provider, "case:slow", lambda event: True)
    assert server.stopped_a_slow_answer()
    assert kinds(outcome) == {TextDelta}
    assert ask(way, provider, "Hi").text == echo("Hi", []), "and the next question is answered"


class Shut(Gradio):
    """Finds the stream shut, once its answer is being made."""

    running: RealServer

    def _read(self, page: Any, turn: Any, decoder: Any, exchange: Any) -> Any:
        self.running.hears("started")
        return super()._read(replace(page, prefix="/nowhere"), turn, decoder, exchange)


def test_an_answer_that_nobody_can_read_is_cancelled(way: Way, server: RealServer) -> None:
    provider = Shut(base_url=server.url)
    provider.running = server
    outcome = ask(way, provider, "case:slow", retry=ONCE)
    assert type(outcome.error) is NotFoundError
    assert server.stopped_a_slow_answer()


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_task_stops_the_server(
    backend: str, provider: Gradio, server: RealServer
) -> None:
    seen: list[Event] = []

    async def read(scope: anyio.CancelScope) -> None:
        async with AsyncClient(provider, trust_env=False) as client:
            with scope:
                async for event in client.stream("case:slow"):
                    seen.append(event)
                    scope.cancel()

    async def main() -> None:
        with anyio.fail_after(60):
            await read(anyio.CancelScope())

    anyio.run(main, backend=backend)
    assert server.stopped_a_slow_answer() and seen


def test_two_blocking_clients_at_once(provider: Gradio, server: RealServer) -> None:
    other = Gradio(base_url=server.url)
    with ExitStack() as stack:
        streams = [
            stack.enter_context(
                stack.enter_context(SyncClient(each, trust_env=False)).stream(f"case:held {n}")
            )
            for n, each in enumerate((provider, provider, other))
        ]
        assert [next(stream) for stream in streams] == [TextDelta("Held")] * 3
        for _ in streams:
            server.hears("held")
        for _ in streams:
            server.release()
        assert {stream.reply().text for stream in streams} == {"Held and released."}


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_two_asynchronous_clients_at_once(
    backend: str, provider: Gradio, server: RealServer
) -> None:
    names = ["chinese", "code", "emoji", "thinking", "long", "held"]
    texts: dict[str, str] = {}

    async def one(name: str, client: AsyncClient) -> None:
        async for event in client.stream(f"case:{name}"):
            if event == TextDelta("Held"):
                server.release()
            texts[name] = Reply(text=texts.get(name, "")).text
        texts[name] = (await client.chat(f"case:{name}")).text if name != "held" else "done"

    async def main() -> None:
        with anyio.fail_after(60):
            async with AsyncClient(provider, trust_env=False) as first:
                async with AsyncClient(Gradio(base_url=server.url), trust_env=False) as second:
                    async with anyio.create_task_group() as tasks:
                        for number, name in enumerate(names):
                            tasks.start_soon(one, name, (first, second)[number % 2])

    anyio.run(main, backend=backend)
    assert texts == {name: ANSWERS[name][-1] for name in names[:-1]} | {"held": "done"}
    server.hears("held")


def test_the_space_itself_is_what_4_44_runs(server: RealServer, provider: Gradio) -> None:
    """With modelscope_studio's chatbot and a radio without choices, as the Space has them."""
    with SyncClient(provider, trust_env=False) as client:
        value: Any = json.loads(client.chat("Hi").finish.continuation or "")["value"]  # type: ignore[union-attr]
    if server.version.startswith("4"):
        assert server.has_studio and value[0][1]["text"] == echo("Hi", [])
        assert server.version == "4.44.1"
    else:
        assert value[1]["role"] == "assistant"
