"""Typed answers on every client, against the simulator."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
from typing import Any

import pytest

from glmclient import (
    APIStatusError,
    APITimeoutError,
    BadRequestError,
    ConfigurationError,
    Finish,
    SchemaError,
    StreamInterrupted,
    TextDelta,
    TextReplace,
    Timeout,
    ToolCallDelta,
    Usage,
)
from glmclient.schemas.answer import TypedAnswer
from glmclient.schemas.growing import is_prefix
from glmclient.schemas.refusals import about_format
from glmclient.schemas.rounds import question_of
from glmclient.testing import Cut, Pause, Refusal, Script, Simulator

from .modes import MODES, collected, on_client


@dataclasses.dataclass
class City:
    name: str
    population: int


JSON = '{"name": "A", "population": 1}'
BAD = '{"name": "A"}'
each_mode = pytest.mark.parametrize("mode", MODES)


def bodies(simulator: Simulator) -> list[Any]:
    return [request.json for request in simulator.requests if request.method == "POST"]


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai", "bigmodel", "chatglm"])
def test_an_answer_is_a_value(mode: str, provider: str) -> None:
    with Simulator([f"Here:\n```json\n{JSON}\n```"], provider=provider) as simulator:
        reply = on_client(mode, simulator, lambda c: c.chat("A city?", schema=City))
        sent = json.dumps(bodies(simulator)[0])
    assert reply.parsed == City("A", 1)
    assert ("json_schema" in sent) == (provider == "openai")
    assert ("json_object" in sent) == (provider in ("zai", "bigmodel"))
    assert ("JSON Schema below" in sent) == (provider != "openai")


@each_mode
def test_a_server_is_asked_with_a_strict_schema_and_a_wrapper(mode: str) -> None:
    with Simulator('{"value": [1, 2]}', provider="openai") as simulator:
        reply = on_client(mode, simulator, lambda c: c.chat("?", schema=list[int]))
        asked = bodies(simulator)[0]["response_format"]["json_schema"]
    assert reply.parsed == [1, 2]
    assert asked["strict"] is True
    assert asked["schema"]["properties"] == {
        "value": {"type": "array", "items": {"type": "integer"}}
    }


@each_mode
def test_a_refused_form_is_weakened_and_remembered(mode: str) -> None:
    refusal = Refusal("bad_request", message="response_format json_schema is not supported")

    def twice(client: Any) -> Any:
        if mode == "sync":
            return [client.chat("?", schema=City) for _ in range(2)]

        async def ask() -> list[Any]:
            return [await client.chat("?", schema=City) for _ in range(2)]

        return ask()

    with Simulator(Script(refusal, JSON, JSON), provider="openai") as simulator:
        replies = on_client(mode, simulator, twice)
        forms = [body["response_format"]["type"] for body in bodies(simulator)]
    assert [reply.parsed for reply in replies] == [City("A", 1)] * 2
    assert forms == ["json_schema", "json_object", "json_object"]


@each_mode
@pytest.mark.parametrize(
    ("refusals", "count"),
    [
        (["response_format is not supported"] * 3, 3),
        (["the prompt is too long"], 1),
        (["something"] * 3, 3),
        (["something", "the prompt is too long"], 2),
    ],
)
def test_a_refused_request_is_raised(mode: str, refusals: list[str], count: int) -> None:
    script = Script(*(Refusal("bad_request", message=message) for message in refusals))
    with Simulator(script, provider="openai") as simulator:
        with pytest.raises(BadRequestError, match=refusals[0]):
            on_client(mode, simulator, lambda c: c.chat("?", schema=City))
        assert len(bodies(simulator)) == count


@each_mode
@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("bad_request", message="Bad Request"),
        Refusal("bad_request", message="参数错误"),
        Refusal("bad_request", body={"error": {"message": "wrong", "param": "response_format"}}),
        Refusal("bad_request", status=422, body={"detail": [{"loc": ["body", "response_format"]}]}),
        Refusal("server", message="failed to parse grammar"),
    ],
)
def test_a_refusal_need_not_say_what_it_is_about(mode: str, refusal: Refusal) -> None:
    with Simulator(Script(refusal, JSON), provider="openai") as simulator:
        reply = on_client(mode, simulator, lambda c: c.chat("?", schema=City, retry=None))
        forms = [body["response_format"]["type"] for body in bodies(simulator)]
    assert reply.parsed == City("A", 1)
    assert forms == ["json_schema", "json_object"]


@each_mode
@pytest.mark.parametrize(
    "refusal",
    [
        Refusal("server", message="out of memory"),
        Refusal("bad_request", body={"error": {"message": "wrong", "param": "temperature"}}),
        Refusal("bad_request", body={"error": {"message": "wrong", "code": "1301"}}),
        Refusal("authentication", message="the key is wrong"),
    ],
)
def test_a_refusal_of_something_else_is_raised_at_once(mode: str, refusal: Refusal) -> None:
    with Simulator(refusal, provider="openai") as simulator:
        with pytest.raises(APIStatusError):
            on_client(mode, simulator, lambda c: c.chat("?", schema=City, retry=None))
        assert len(bodies(simulator)) == 1


OPEN = {
    "type": "object",
    "properties": {"a": {"type": "integer", "default": 1}, "b": {"type": "string"}},
    "required": ["a"],
}


@each_mode
def test_a_schema_of_the_caller_is_sent_as_it_is(mode: str) -> None:
    refusal = Refusal("bad_request", message="Invalid schema: additionalProperties is required")
    with Simulator(Script(refusal, '{"a": 1, "c": 2}'), provider="openai") as simulator:
        reply = on_client(mode, simulator, lambda c: c.chat("?", schema=OPEN))
        sent = [body["response_format"]["json_schema"] for body in bodies(simulator)]
    assert reply.parsed == {"a": 1, "c": 2}
    assert [each["schema"] for each in sent] == [OPEN, OPEN]
    assert [each["strict"] for each in sent] == [True, False]
    with Simulator('{"a": 1}', provider="zai") as simulator:
        on_client(mode, simulator, lambda c: c.chat("?", schema=OPEN))
        prompt = bodies(simulator)[0]["messages"][0]["content"]
    assert json.dumps(OPEN) in prompt


def test_a_form_that_one_schema_needs_is_not_used_for_others() -> None:
    refusal = Refusal("bad_request", message="Invalid schema")
    with Simulator(Script(refusal, '{"a": 1}', JSON), provider="openai") as simulator:
        with simulator.client() as client:
            client.chat("?", schema=OPEN)
            client.chat("?", schema=City)
        strict = [body["response_format"]["json_schema"]["strict"] for body in bodies(simulator)]
    assert strict == [True, False, True]


@each_mode
def test_a_repair_has_a_request_id_of_its_own(mode: str) -> None:
    with Simulator(Script(BAD, JSON), provider="zai") as simulator:
        on_client(mode, simulator, lambda c: c.chat("?", schema=City, request_id="x" * 64))
        ids = [body["request_id"] for body in bodies(simulator)]
    assert ids[0] == "x" * 64
    assert len(set(ids)) == 2
    assert all(len(each) <= 64 for each in ids)


USAGE = Usage(1, 2, 3)


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai"])
def test_one_round_repairs_and_usage_is_summed(mode: str, provider: str) -> None:
    script = Script([BAD, Finish("stop", USAGE)], [JSON, Finish("stop", USAGE)])
    with Simulator(script, provider=provider) as simulator:
        reply = on_client(mode, simulator, lambda c: c.chat("?", schema=City))
        second = bodies(simulator)[1]["messages"]
    assert reply.parsed == City("A", 1)
    assert reply.text == JSON
    assert reply.usage == Usage(2, 4, 6)
    assert reply.finish.usage == USAGE
    assert second[-2] == {"role": "assistant", "content": BAD}
    assert "population" in second[-1]["content"]


@each_mode
@pytest.mark.parametrize("repair", [0, 2])
def test_what_does_not_fit_is_an_error(mode: str, repair: int) -> None:
    with Simulator(BAD, provider="openai") as simulator:
        with pytest.raises(SchemaError) as caught:
            on_client(mode, simulator, lambda c: c.chat("?", schema=City, repair=repair))
        assert len(bodies(simulator)) == repair + 1
    assert caught.value.problems[0].path == "$"
    assert caught.value.partial.text == BAD
    assert caught.value.retryable


@each_mode
@pytest.mark.parametrize("reason", ["length", "content_filter"])
def test_a_cut_answer_is_not_repaired(mode: str, reason: Any) -> None:
    with Simulator([JSON, Finish(reason)], provider="openai") as simulator:
        with pytest.raises(SchemaError, match=reason):
            on_client(mode, simulator, lambda c: c.chat("?", schema=City))
        assert len(bodies(simulator)) == 1


@each_mode
def test_a_broken_stream_raises_its_own_error(mode: str) -> None:
    with Simulator([TextDelta(BAD), Cut()], provider="openai") as simulator:
        with pytest.raises(StreamInterrupted):
            on_client(mode, simulator, lambda c: c.chat("?", schema=City))


@each_mode
def test_the_total_limit_covers_the_repair(mode: str) -> None:
    script = Script(BAD, [Pause(5), JSON])
    with Simulator(script, provider="openai") as simulator:
        with pytest.raises(APITimeoutError) as caught:
            on_client(mode, simulator, lambda c: c.chat("?", schema=City, timeout=Timeout(total=1)))
    assert caught.value.limit == "total"


@each_mode
@pytest.mark.parametrize(
    "options",
    [{"response_format": {"type": "json_object"}}, {"repair": -1}, {"repair": True}],
)
def test_wrong_arguments_are_refused(mode: str, options: dict[str, Any]) -> None:
    with Simulator(JSON, provider="openai") as simulator:
        with pytest.raises(ConfigurationError):
            on_client(mode, simulator, lambda c: c.chat("?", schema=City, **options))
        assert not bodies(simulator)


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai", "chatglm"])
def test_a_stream_hands_out_the_growing_value(mode: str, provider: str) -> None:
    states: list[Any] = []

    def read(client: Any) -> Any:
        stream = client.stream("?", schema=City)
        assert stream.parsed is None
        if mode == "sync":
            states.extend((id(value), copy.deepcopy(value)) for value in stream.value_stream)
            return stream.parsed, stream.reply().parsed

        async def ask() -> Any:
            states.extend(
                [(id(value), copy.deepcopy(value)) async for value in stream.value_stream]
            )
            return stream.parsed, (await stream.reply()).parsed

        return ask()

    script = [TextDelta(character) for character in f"Here: {JSON}!"]
    with Simulator(script, provider=provider) as simulator:
        assert on_client(mode, simulator, read) == (City("A", 1), City("A", 1))
    assert states[-1][1] == json.loads(JSON)
    assert len(states) >= 3
    assert len({identity for identity, _ in states}) == 1


@each_mode
def test_without_a_schema_there_is_no_value(mode: str) -> None:
    def read(client: Any) -> Any:
        stream = client.stream("?")
        with pytest.raises(ConfigurationError):
            stream.value_stream  # noqa: B018 - it raises
        return stream.reply()

    with Simulator(JSON, provider="openai") as simulator:
        assert on_client(mode, simulator, read).parsed is None


@each_mode
def test_a_stream_that_does_not_fit_ends_with_its_finish(mode: str) -> None:
    def read(client: Any) -> Any:
        stream = client.stream("?", schema=City)
        events = list(stream) if mode == "sync" else collected(stream)

        def check() -> None:
            with pytest.raises(SchemaError):
                stream.parsed  # noqa: B018 - it raises

        if mode == "sync":
            check()
            return events

        async def ask() -> Any:
            read = await events
            check()
            return read

        return ask()

    with Simulator(BAD, provider="openai") as simulator:
        assert isinstance(on_client(mode, simulator, read)[-1], Finish)


def last_state(script: list[Any], schema: Any) -> Any:
    with Simulator(script, provider="chatglm") as simulator, simulator.client() as client:
        states = [copy.deepcopy(v) for v in client.stream("?", schema=schema).value_stream]
    return states[-1] if states else None


def test_a_rewritten_answer_ends_with_its_own_value() -> None:
    city = [TextDelta('{"name": "B"'), TextReplace(10, f"{JSON[10:]}")]
    assert last_state(city, City) == json.loads(JSON)
    assert last_state([TextDelta('{"value": [1,'), TextReplace(11, "2, 3]}")], list[int]) == [2, 3]
    assert last_state([TextDelta("1"), TextDelta("2")], int) == 12
    assert last_state([TextDelta("no")], int) is None


def all_states(script: list[Any], schema: Any) -> list[Any]:
    """Return copies of the states, after a check that they are one object."""
    with Simulator(script, provider="chatglm") as simulator, simulator.client() as client:
        stream = client.stream("?", schema=schema)
        states = [(id(value), copy.deepcopy(value)) for value in stream.value_stream]
        assert states[-1][1] == stream.reply().parsed
    assert len({identity for identity, _ in states}) == 1
    return [state for _, state in states]


@pytest.mark.parametrize(
    ("script", "schema"),
    [
        # The end of the text is written anew, and goes on.
        (['{"a": [1, {"b": "x', TextReplace(16, '"xy'), 'z"}, 3', "]}"], {"type": "object"}),
        # The text is cut back, and comes again.
        (['{"a": [1, 2, 3', TextReplace(6, "[1, 2"), ", 3", ", 4", "]}"], {"type": "object"}),
        # Inside the wrapper.
        (['{"value": [1, 2', TextReplace(10, "[1, 2, 3"), ", 4", "]}"], list[int]),
        # In front of the value.
        (['As JSON: {"a": 1, ', TextReplace(0, 'JSON: {"a": 1,'), ' "b": 2}'], {"type": "object"}),
        # Before anything was handed out.
        (["no", TextReplace(0, '{"a": 1, '), '"b": 2}'], {"type": "object"}),
        # Nothing but the place of the value changes.
        (['{"a": 1, ', TextReplace(0, '  {"a": 1, '), '"b": 2}'], {"type": "object"}),
    ],
)
def test_a_rewrite_lets_the_value_grow_on(script: list[Any], schema: Any) -> None:
    steps = [TextDelta(step) if isinstance(step, str) else step for step in script]
    states = all_states(steps, schema)
    assert len(states) >= 2
    assert all(map(is_prefix, states, states[1:]))


def test_a_text_value_grows_over_a_rewrite() -> None:
    script = [TextDelta('{"value": "ab'), TextReplace(10, '"abc'), TextDelta('d"}')]
    with Simulator(script, provider="chatglm") as simulator, simulator.client() as client:
        assert list(client.stream("?", schema=str).value_stream) == ["ab", "abc", "abcd"]


@pytest.mark.parametrize(
    ("schema", "before", "text", "after", "expected"),
    [
        # A wrapper around a list, an object, a text and a number.
        (list[int], '{"value": [1, ', '{"value": [1, 2, ', "3]}", [1, 2, 3]),
        (dict[str, int], '{"a": 1, ', ' {"a": 1, "b": 2, ', '"c": 3}', {"a": 1, "b": 2, "c": 3}),
        (str, '{"value": "ab', ' {"value": "abc', 'd"}', "abcd"),
        (list[int], "[1, ", '{"value": [1, 2, ', "3]}", [1, 2, 3]),
        # Members that were not asked for.
        (list[int], '{"value": [1, ', '{"value": [1, 2], "x": [', "3]}", [1, 2]),
    ],
)
def test_the_object_that_was_handed_out_grows_on(
    schema: Any, before: str, text: str, after: str, expected: Any
) -> None:
    answer = TypedAnswer(question_of(schema))
    assert answer.changed_by(TextDelta(before), "")
    handed = answer.value
    assert answer.changed_by(TextReplace(0, text), text)
    assert answer.changed_by(TextDelta(after), "")
    assert answer.value == expected
    assert answer.value is handed or isinstance(handed, str)
    assert not answer.changed_by(Finish("stop"), text + after)


def test_a_rewrite_that_contradicts_waits() -> None:
    answer = TypedAnswer(question_of(list[int]))
    answer.changed_by(TextDelta("[1, 2, "), "")
    assert not answer.changed_by(TextReplace(0, "[9, "), "[9, ")
    for piece in ("8, ", *["7, "] * 40):
        assert not answer.changed_by(TextDelta(piece), "")
    assert answer.value == [1, 2]
    text = "[9, 8, " + "7, " * 40 + "6]"
    assert answer.changed_by(Finish("stop"), text)
    assert answer.value == json.loads(text)


@pytest.mark.parametrize(
    ("message", "body", "expected"),
    [
        ("no", '{"error": {"message": "guided decoding failed"}}', True),
        ("no", "not JSON", None),
        ("no", "[1]", None),
        ("no", '{"error": "text"}', None),
        ("no", '{"detail": [{"loc": ["body", "response_format"]}]}', True),
        ("no", '{"detail": [{"loc": ["body", "seed"]}]}', False),
        ("no", '{"detail": [1]}', None),
        ("no", '{"detail": [{"loc": 1}]}', None),
        ("image too large", "", False),
        ("Invalid value for response_format", "", True),
    ],
)
def test_what_a_refusal_is_about(message: str, body: str, expected: bool | None) -> None:
    assert about_format(BadRequestError("x", reason=message, body=body)) is expected


def test_many_rewrites_take_bounded_time() -> None:
    """Each event rewrites the end; the value at the end is the value of the final text."""
    item = "1, "
    answer = TypedAnswer(question_of(list[int]))
    text = "["
    began = time.monotonic()
    for _ in range(4_000):
        text += item
        answer.changed_by(TextReplace(len(text) - 3, item), text)
    text += "1]"
    answer.changed_by(TextDelta("1]"), "")
    assert answer.changed_by(Finish("stop"), text)
    assert answer.value == [1] * 4_001
    assert time.monotonic() - began < 60


@each_mode
def test_a_conversation_keeps_the_question_and_the_last_answer(mode: str) -> None:
    def talk(client: Any) -> Any:
        conversation = client.conversation(system="s")
        first = conversation.chat("a city", schema=City)
        if mode == "sync":
            return conversation.chat("more"), conversation.messages, first

        async def ask() -> Any:
            typed = await first
            return await conversation.chat("more"), conversation.messages, typed

        return ask()

    with Simulator(Script(BAD, JSON, "plain"), provider="openai") as simulator:
        _, messages, reply = on_client(mode, simulator, talk)
        last = bodies(simulator)[-1]["messages"]
    assert reply.parsed == City("A", 1)
    assert [each["content"] for each in messages] == ["s", "a city", JSON, "more", "plain"]
    assert [each["content"] for each in last] == ["s", "a city", JSON, "more"]


def test_the_question_of_content_parts_and_of_a_history_without_a_user() -> None:
    parts = [{"role": "user", "content": [{"type": "text", "text": "?"}]}]
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    history = [
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "c", "content": "1"},
    ]
    with Simulator(JSON, provider="zai") as simulator, simulator.client() as client:
        client.chat(parts, schema=City)
        client.chat(history, schema=City)
        first, second = bodies(simulator)
    assert first["messages"][0]["content"][1]["type"] == "text"
    assert second["messages"][-1]["role"] == "user"
    assert parts[0]["content"] == [{"type": "text", "text": "?"}]


def test_an_answer_that_asks_for_tools_has_no_value_yet() -> None:
    script = [ToolCallDelta(0, "c", "f", "{}"), Finish("tool_calls")]
    with Simulator(script, provider="openai") as simulator, simulator.client() as client:
        reply = client.chat("?", schema=City, tools=[described])
        tool = bodies(simulator)[0]["tools"][0]["function"]
    assert reply.parsed is None
    assert reply.tool_calls[0].name == "f"
    assert tool["name"] == "described"


def described(city: str) -> str:
    """Say something.

    Args:
        city: its name.
    """
    return city


def test_rows_of_a_map_are_typed_too() -> None:
    with Simulator(JSON, provider="openai") as simulator, simulator.client() as client:
        results = list(client.map(["a", "b"], schema=City))
    assert [result.reply.parsed for result in results if result.reply] == [City("A", 1)] * 2
