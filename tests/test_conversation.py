"""Conversations against simulated services: what is sent, what is remembered, and what a failure leaves."""

from __future__ import annotations

import errno
import json
import os
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from glmclient import (
    AsyncConversation,
    ConfigurationError,
    Conversation,
    Finish,
    ReasoningDelta,
    Reply,
    StreamCancelled,
    StreamInterrupted,
    StreamMisuse,
    SyncClient,
    TextDelta,
    TextReplace,
    ToolCallDelta,
)
from glmclient.conversations.conversation import BaseConversation
from glmclient.simulator import Cut, Script, Simulator, Wait

KEY = "canary-key-0123456789"


@pytest.fixture
def service() -> Iterator[Callable[..., Simulator]]:
    running: list[Simulator] = []

    def start(*answers: Any, provider: str = "zai", **options: Any) -> Simulator:
        script = Script(*answers, repeat=True)
        running.append(Simulator(script, provider=provider, **options).start())
        return running[-1]

    yield start
    for simulator in running:
        simulator.stop()
        simulator.raise_for_failures()


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, str]:
    return {"role": "assistant", "content": text}


def sent(simulator: Simulator) -> list[Any]:
    """The messages of each question, in the plain shape of the platform."""
    return [request.json["messages"] for request in simulator.questions]


# -- what each service needs -----------------------------------------------------------------------


def test_a_platform_is_told_everything(service: Callable[..., Simulator]) -> None:
    simulator = service("One.", "Two.")
    with simulator.client() as client:
        conversation = client.conversation(system="Be brief.", temperature=0.5)
        assert conversation.chat("First?").text == "One."
        assert conversation.chat("Second?", temperature=0.25).text == "Two."
    system = {"role": "system", "content": "Be brief."}
    assert sent(simulator) == [
        [system, user("First?")],
        [system, user("First?"), assistant("One."), user("Second?")],
    ]
    assert [q.json["temperature"] for q in simulator.questions] == [0.5, 0.25]
    assert conversation.messages == (
        system,
        user("First?"),
        assistant("One."),
        user("Second?"),
        assistant("Two."),
    )


def test_reasoning_and_tool_calls_go_back_as_they_came(service: Callable[..., Simulator]) -> None:
    call = ToolCallDelta(0, "call_1", "weather", '{"city": "Hangzhou"}')
    simulator = service(
        [ReasoningDelta("I need the weather."), call, Finish("tool_calls")], "Sunny."
    )
    with simulator.client() as client:
        conversation = client.conversation(model="glm-4.6")
        asked = conversation.chat("Weather?")
        assert asked.tool_calls[0].name == "weather"
        result = {"role": "tool", "tool_call_id": "call_1", "content": "sunny"}
        assert conversation.chat([result]).text == "Sunny."
    again = sent(simulator)[1]
    assert again[0] == user("Weather?")
    assert again[1]["reasoning_content"] == "I need the weather."
    assert again[1]["tool_calls"][0]["function"]["arguments"] == '{"city": "Hangzhou"}'
    assert again[2] == result
    assert {q.json["model"] for q in simulator.questions} == {"glm-4.6"}


def test_chatglm_remembers_by_its_conversation_id(service: Callable[..., Simulator]) -> None:
    first = ["One.", Finish("stop", conversation_id="65f0c0ffee65f0c0ffee65f0")]
    second = ["Two.", Finish("stop", conversation_id="65f0c0ffee65f0c0ffee65f0")]
    simulator = service(first, second, provider="chatglm")
    with simulator.client() as client:
        conversation = client.conversation(system="Be brief.")
        conversation.chat("First?")
        conversation.chat("Second?")
    one, two = (request.json for request in simulator.questions)
    assert one["conversation_id"] == ""
    assert one["messages"][0]["content"][0]["text"] == "Be brief.\n\nFirst?"
    assert two["conversation_id"] == "65f0c0ffee65f0c0ffee65f0"
    assert [m["content"][0]["text"] for m in two["messages"]] == ["Second?"]


def test_a_space_gets_its_chatbot_back(service: Callable[..., Simulator]) -> None:
    simulator = service("One.", "Two.", provider="qwen")
    with simulator.client() as client:
        conversation = client.conversation(system="Be brief.")
        conversation.chat("First?")
        conversation.chat("Second?")
    joined = [r.json["data"] for r in simulator.requests if r.path.endswith("/queue/join")]
    assert joined[0][0] == "First?"
    assert joined[1][0] == "Second?"
    assert "First?" in json.dumps(joined[1][1])
    assert "One." in json.dumps(joined[1][1])
    assert "Be brief." in joined[1]


def test_the_final_text_counts_after_a_rewrite(service: Callable[..., Simulator]) -> None:
    simulator = service([TextDelta("Helo"), TextReplace(3, "lo!")], provider="chatglm")
    with simulator.client() as client:
        conversation = client.conversation()
        assert conversation.chat("Hi").text == "Hello!"
    assert conversation.messages[-1] == assistant("Hello!")


# -- turns that do not end -------------------------------------------------------------------------


def test_a_failure_leaves_the_conversation_as_it_was(service: Callable[..., Simulator]) -> None:
    simulator = service("One.", [TextDelta("Tw"), Cut()], "Again two.")
    with simulator.client(retry=None) as client:
        conversation = client.conversation()
        conversation.chat("First?")
        before = conversation.messages
        with pytest.raises(StreamInterrupted) as failure:
            conversation.chat("Second?")
        assert failure.value.partial.text == "Tw"
        assert conversation.messages == before
        assert conversation.chat("Third?").text == "Again two."
    assert sent(simulator)[2] == [user("First?"), assistant("One."), user("Third?")]


def test_a_turn_that_was_left_does_not_count(service: Callable[..., Simulator]) -> None:
    simulator = service("One two three.", "Four.")
    with simulator.client() as client:
        conversation = client.conversation()
        for event in conversation.stream("First?"):
            assert event == TextDelta("One")
            break
        assert conversation.messages == ()
        conversation.chat("Second?")
    assert sent(simulator)[1] == [user("Second?")]


def test_leaving_at_the_finish_counts(service: Callable[..., Simulator]) -> None:
    simulator = service("One.")
    with simulator.client() as client:
        conversation = client.conversation()
        for event in conversation.stream("First?"):
            if isinstance(event, Finish):
                break
    assert conversation.messages == (user("First?"), assistant("One."))


def test_a_partial_turn_is_kept_when_asked(service: Callable[..., Simulator]) -> None:
    simulator = service([ReasoningDelta("Hm."), TextDelta("One"), TextDelta(" two")], "Three.")
    with simulator.client() as client:
        conversation = client.conversation()
        with conversation.stream("First?") as stream:
            for event in stream:
                if isinstance(event, TextDelta):
                    break
        assert conversation.keep_partial() is True
        assert conversation.keep_partial() is False
        conversation.chat("Second?")
    kept = {**assistant("One"), "reasoning_content": "Hm."}
    assert sent(simulator)[1] == [user("First?"), kept, user("Second?")]


def test_nothing_is_kept_of_a_turn_without_text(service: Callable[..., Simulator]) -> None:
    simulator = service([ReasoningDelta("Hm."), TextDelta("One")])
    with simulator.client() as client:
        conversation = client.conversation()
        assert conversation.keep_partial() is False
        for _ in conversation.stream("First?"):
            break
        assert conversation.keep_partial() is False
    assert conversation.messages == ()


def test_what_ended_needs_no_keeping(service: Callable[..., Simulator]) -> None:
    with service("One.").client() as client:
        conversation = client.conversation()
        conversation.chat("First?")
        assert conversation.keep_partial() is False
    assert len(conversation.messages) == 2


def test_a_space_is_told_the_kept_piece(service: Callable[..., Simulator]) -> None:
    simulator = service("One.", "Two three.", "Four.", provider="qwen")
    with simulator.client() as client:
        conversation = client.conversation()
        conversation.chat("First?")
        for event in conversation.stream("Second?"):
            if isinstance(event, TextDelta):
                break
        assert conversation.keep_partial()
        conversation.chat("Third?")
    joined = [r.json["data"] for r in simulator.requests if r.path.endswith("/queue/join")]
    history = json.dumps(joined[2][1])
    assert "Second?" in history
    assert '"Two' in history


def test_chatglm_keeps_its_own_memory(service: Callable[..., Simulator]) -> None:
    told = Finish("stop", conversation_id="65f0c0ffee65f0c0ffee65f0")
    simulator = service(["One.", told], "Two three.", "Four.", provider="chatglm")
    with simulator.client() as client:
        conversation = client.conversation()
        conversation.chat("First?")
        for _ in conversation.stream("Second?"):
            break
        assert conversation.keep_partial()
        conversation.chat("Third?")
    third = simulator.questions[2].json
    assert third["conversation_id"] == "65f0c0ffee65f0c0ffee65f0"
    assert len(third["messages"]) == 1
    assert conversation.messages[-3] == assistant("Two")


def test_an_answer_that_is_being_read_is_not_pushed_aside(
    service: Callable[..., Simulator],
) -> None:
    with service("One two.").client() as client:
        conversation = client.conversation()
        stream = conversation.stream("First?")
        for _ in stream:
            with pytest.raises(StreamMisuse, match="still being read"):
                conversation.stream("Second?")
            break
        assert conversation.stream("Second?").reply().text == "One two."


def test_an_answer_that_nobody_reads_is_closed_by_the_next(
    service: Callable[..., Simulator],
) -> None:
    with service("One two.").client() as client:
        conversation = client.conversation()
        first = conversation.stream("First?")
        assert next(first) == TextDelta("One")
        conversation.chat("Second?")
        with pytest.raises(StreamMisuse, match="read after close"):
            next(first)
    assert [m["content"] for m in conversation.messages] == ["Second?", "One two."]


def test_a_wrong_question_changes_nothing(service: Callable[..., Simulator]) -> None:
    with service("One.").client() as client:
        conversation = client.conversation()
        conversation.chat("First?")
        before = conversation.messages
        for wrong in ("", [], [{"role": "nobody", "content": "x"}]):
            with pytest.raises(ConfigurationError):
                conversation.stream(wrong)
        with pytest.raises(ConfigurationError, match="temperatur"):
            conversation.stream("Hi", temperatur=1)  # type: ignore[call-arg]
        assert conversation.messages == before
    for system in ("", " ", 3):
        with pytest.raises(ConfigurationError, match="system"):
            client.conversation(system=system)  # type: ignore[arg-type]


def test_messages_are_copies(service: Callable[..., Simulator]) -> None:
    with service("One.").client() as client:
        conversation = client.conversation()
        conversation.chat("First?")
        conversation.messages[0]["content"] = "changed"
        assert conversation.messages[0] == user("First?")
        assert repr(conversation) == "<Conversation with zai, 1 turns>"


def test_the_base_alone_cannot_end_an_answer(service: Callable[..., Simulator]) -> None:
    with service("One.").client() as client:
        with pytest.raises(TypeError, match="use Conversation"):
            BaseConversation(client)._abandon(client.stream("Hi"))  # type: ignore[var-annotated]


# -- forks -----------------------------------------------------------------------------------------


def test_forks_do_not_hear_each_other(service: Callable[..., Simulator]) -> None:
    simulator = service("One.", "Left.", "Right.")
    with simulator.client() as client:
        left = client.conversation(system="S.")
        left.chat("First?")
        right = left.fork()
        left.chat("To the left?")
        right.chat("To the right?")
    start = [{"role": "system", "content": "S."}, user("First?"), assistant("One.")]
    assert sent(simulator)[1:] == [
        [*start, user("To the left?")],
        [*start, user("To the right?")],
    ]
    assert left.messages[-1] == assistant("Left.")
    assert right.messages[-1] == assistant("Right.")


def test_a_fork_leaves_the_memory_of_chatglm_to_the_original(
    service: Callable[..., Simulator],
) -> None:
    told = Finish("stop", conversation_id="65f0c0ffee65f0c0ffee65f0")
    simulator = service(["One.", told], provider="chatglm")
    with simulator.client() as client:
        conversation = client.conversation()
        conversation.chat("First?")
        conversation.fork().chat("Aside?")
        conversation.chat("Second?")
    aside, second = (request.json for request in simulator.questions[1:])
    assert aside["conversation_id"] == ""
    assert "First?" in json.dumps(aside["messages"])
    assert second["conversation_id"] == "65f0c0ffee65f0c0ffee65f0"


def test_a_fork_of_a_space_goes_on_from_the_chatbot(service: Callable[..., Simulator]) -> None:
    simulator = service("One.", provider="qwen")
    with simulator.client() as client:
        conversation = client.conversation()
        conversation.chat("First?")
        fork = conversation.fork()
        assert fork._memory is not None
        assert fork.chat("Second?").text == "One."
    assert len(conversation.messages) == 2
    assert len(fork.messages) == 4


# -- files -----------------------------------------------------------------------------------------


def test_a_saved_conversation_goes_on(service: Callable[..., Simulator], tmp_path: Path) -> None:
    simulator = service("One — 你好 \ud83d.", "Two.")
    path = tmp_path / "talk.json"
    with simulator.client(api_key=KEY) as client:
        conversation = client.conversation(system="S.", model="glm-4.6", temperature=0.5)
        conversation.chat("First?")
        path.write_text("old")
        conversation.save(path)
        again = Conversation.load(path, client)
        assert again.messages == conversation.messages
        assert (again.system, again.model, again.options) == ("S.", "glm-4.6", {"temperature": 0.5})
        assert again.chat("Second?").text == "Two."
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert KEY not in path.read_text(encoding="utf-8")
    assert "你好" in path.read_text(encoding="utf-8")
    assert [each.name for each in tmp_path.iterdir()] == ["talk.json"]


@pytest.mark.parametrize("provider", ["chatglm", "qwen"])
def test_memory_survives_the_file(
    service: Callable[..., Simulator], tmp_path: Path, provider: str
) -> None:
    told = Finish("stop", conversation_id="65f0c0ffee65f0c0ffee65f0")
    simulator = service(["One.", told] if provider == "chatglm" else "One.", provider=provider)
    path = tmp_path / "talk.json"
    with simulator.client() as client:
        client_conversation = client.conversation()
        client_conversation.chat("First?")
        client_conversation.save(path)
    with simulator.client() as client:
        Conversation.load(path, client).chat("Second?")
    if provider == "chatglm":
        assert simulator.questions[1].json["conversation_id"] == "65f0c0ffee65f0c0ffee65f0"
    else:
        joined = [r for r in simulator.requests if r.path.endswith("/queue/join")]
        assert "First?" in json.dumps(joined[1].json["data"][1])


def test_another_service_takes_over_the_words_alone(
    service: Callable[..., Simulator], tmp_path: Path
) -> None:
    told = Finish("stop", conversation_id="65f0c0ffee65f0c0ffee65f0")
    guest, platform = service(["One.", told], provider="chatglm"), service("Two.")
    path = tmp_path / "talk.json"
    with guest.client() as client:
        conversation = client.conversation(system="S.", mode="snapshot")
        conversation.chat("First?")
        conversation.save(path)
    with platform.client() as client:
        moved = Conversation.load(path, client)
        moved.chat("Second?")
    assert sent(platform) == [
        [{"role": "system", "content": "S."}, user("First?"), assistant("One."), user("Second?")]
    ]
    assert moved.options == {}


def test_an_empty_conversation_can_be_saved(
    service: Callable[..., Simulator], tmp_path: Path
) -> None:
    with service("One.").client() as client:
        client.conversation().save(tmp_path / "empty.json")
        again = Conversation.load(tmp_path / "empty.json", client)
        assert again.messages == ()
        assert again.chat("Hi").text == "One."


def test_what_cannot_be_saved_leaves_the_old_file(
    service: Callable[..., Simulator], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "talk.json"
    path.write_text("old")
    with service("One.").client() as client:
        wrong = client.conversation()
        wrong.options["extra_body"] = {"when": object()}
        with pytest.raises(ConfigurationError, match="cannot be written as JSON"):
            wrong.save(path)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device", "a temporary name")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(OSError, match="No space left on device; give another path") as caught:
            client.conversation().save(path)
        assert caught.value.filename == str(path)
    assert path.read_text() == "old"
    assert [each.name for each in tmp_path.iterdir()] == ["talk.json"]


def test_a_path_that_leads_nowhere_is_named_as_it_was_given(
    service: Callable[..., Simulator], tmp_path: Path
) -> None:
    path = tmp_path / "missing" / "talk.json"
    with service("One.").client() as client:
        with pytest.raises(FileNotFoundError, match="make its folder first") as caught:
            client.conversation().save(path)
        assert (caught.value.filename, caught.value.errno) == (str(path), errno.ENOENT)
        assert caught.value.__suppress_context__  # it names a file that nobody knows
        with pytest.raises(FileNotFoundError, match=r"a conversation's save\(\) wrote") as caught:
            Conversation.load(path, client)
        assert caught.value.filename == str(path)


@pytest.mark.parametrize("provider", ["chatglm", "qwen", "zai", "openai"])
def test_options_are_checked_when_a_conversation_is_made(
    service: Callable[..., Simulator], provider: str
) -> None:
    with service("One.", provider=provider).client() as client:
        with pytest.raises(ConfigurationError, match="cannot honour the option 'sytem'"):
            client.conversation(sytem="Be brief.")  # type: ignore[call-arg]
        with pytest.raises(ConfigurationError):
            client.conversation(model="")
        assert client.conversation(include_unknown=True).options == {"include_unknown": True}


def test_a_link_is_followed(service: Callable[..., Simulator], tmp_path: Path) -> None:
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    with service("One.").client() as client:
        client.conversation().save(tmp_path / "link.json")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "real.json").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("not JSON", "is not a conversation"),
        ('{"messages": []}', "is not a conversation"),
        ('{"glmclient_conversation": 2}', "format 2"),
        (
            '{"glmclient_conversation": 1, "provider": "zai", "url": "u", "options": {}}',
            "its 'messages' is no list",
        ),
        (
            '{"glmclient_conversation": 1, "provider": "zai", "url": "u", "options": {}, "messages": [1]}',
            r"messages\[0\]",
        ),
    ],
)
def test_another_file_is_refused(tmp_path: Path, content: str, words: str) -> None:
    path = tmp_path / "talk.json"
    path.write_text(content)
    with SyncClient() as client, pytest.raises(ConfigurationError, match=words):
        Conversation.load(path, client)


# -- asynchronously --------------------------------------------------------------------------------

BACKENDS = pytest.mark.parametrize("backend", ["asyncio", "trio"])


@BACKENDS
def test_the_asynchronous_half_is_the_same(
    service: Callable[..., Simulator], tmp_path: Path, backend: str
) -> None:
    simulator = service("One two.")

    async def talk() -> None:
        async with simulator.async_client() as client:
            conversation = client.conversation(system="S.", temperature=0.5)
            assert isinstance(await conversation.chat("First?"), Reply)
            async for event in conversation.stream("Left?"):
                assert event == TextDelta("One")
                break
            assert conversation.keep_partial()
            fork = conversation.fork()
            assert isinstance(fork, AsyncConversation)
            async with fork.stream("Second?", model="glm-4.6") as stream:
                assert (await stream.reply()).text == "One two."
            fork.save(tmp_path / "talk.json")
            loaded = AsyncConversation.load(tmp_path / "talk.json", client)
            assert loaded.messages == fork.messages
            assert len(conversation.messages) == 5

    anyio.run(talk, backend=backend)
    assert sent(simulator)[2] == [
        {"role": "system", "content": "S."},
        user("First?"),
        assistant("One two."),
        user("Left?"),
        assistant("One"),
        user("Second?"),
    ]


@BACKENDS
def test_an_answer_that_no_task_reads_is_cancelled_by_the_next(
    service: Callable[..., Simulator], backend: str
) -> None:
    simulator = service([TextDelta("One"), Wait(threading.Event())], "One two.")

    async def talk() -> None:
        async with simulator.async_client() as client:
            conversation = client.conversation()
            first = conversation.stream("First?")
            assert await anext(first) == TextDelta("One")
            assert (await conversation.chat("Second?")).text == "One two."
            with pytest.raises(StreamCancelled):
                await first.until_done()
            await first.aclose()

    anyio.run(talk, backend=backend)
    assert len(simulator.questions) == 2


def test_both_halves_have_one_shape() -> None:
    import inspect

    for name in ("stream", "chat"):
        one, other = (
            inspect.signature(getattr(kind, name)) for kind in (Conversation, AsyncConversation)
        )
        assert one.parameters == other.parameters
    assert {n for n in dir(Conversation) if not n.startswith("_")} == {
        n for n in dir(AsyncConversation) if not n.startswith("_")
    }
