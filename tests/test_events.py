"""Events are values: frozen, slotted, comparable, picklable, and made for `match`."""

from __future__ import annotations

import copy
import pickle
import typing
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import pytest

import glmclient
from glmclient import (
    CodeDelta,
    CodeReplace,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
    ProtocolError,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    Reply,
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCall,
    ToolCallDelta,
    Unknown,
    Usage,
)

EVENTS: list[Any] = [
    TextDelta("你好 👋🏽"),
    TextReplace(3, "new"),
    ReasoningDelta("hm"),
    ReasoningReplace(0, "well"),
    ToolCallDelta(0, "call-1", "find", '{"q":'),
    CodeDelta("print(", 1),
    CodeReplace(0, "x", 1),
    ExecutionOutput("2\n"),
    Image("https://service.example/i.png"),
    SearchResults((SearchResult("Title", "https://service.example"),)),
    QueueStatus(3, 9, 1.5),
    Notice("busy", "warning", "Queue"),
    Unknown("heartbeat", '{"a": 1}'),
    Finish("stop", Usage(1, 2, 3), continuation="[1]"),
]
OTHERS: list[Any] = [
    Usage(1, 2, 3),
    ToolCall("c", "f", "{}"),
    Reply("a", "b"),
    EVENTS[9].results[0],
]


def test_every_event_is_tried_here() -> None:
    assert {type(event) for event in EVENTS} == set(typing.get_args(glmclient.Event))


@pytest.mark.parametrize("value", EVENTS + OTHERS, ids=lambda value: type(value).__name__)
def test_values(value: Any) -> None:
    assert is_dataclass(value)
    for copied in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value))):
        assert copied == value
        assert hash(copied) == hash(value)
        assert all(getattr(copied, f.name) == getattr(value, f.name) for f in fields(value))
    assert value != object()
    first = fields(value)[0].name
    with pytest.raises(FrozenInstanceError):
        setattr(value, first, None)
    with pytest.raises((AttributeError, TypeError)):
        value.anything_else = 1
    assert not hasattr(value, "__dict__")


@pytest.mark.parametrize("value", EVENTS + OTHERS, ids=lambda value: type(value).__name__)
def test_values_match_by_position(value: Any) -> None:
    names = type(value).__match_args__
    assert names == tuple(field.name for field in fields(value) if not field.kw_only)


def test_in_a_match() -> None:
    said = []
    for event in EVENTS:
        match event:
            case TextDelta(text):
                said.append(text)
            case TextReplace(start, text):
                said.append(f"{start}{text}")
            case Finish(reason, usage=Usage(total_tokens=total)):
                said.append(f"{reason} {total}")
    assert said == ["你好 👋🏽", "3new", "stop 3"]


def test_what_continues_a_conversation_is_neither_shown_nor_compared() -> None:
    one, other = Finish("stop", continuation="canary"), Finish("stop", continuation="another")
    assert one == other
    assert "canary" not in repr(one)
    assert pickle.loads(pickle.dumps(one)).continuation == "canary"


def test_the_payload_of_the_unknown() -> None:
    assert Unknown("x", '{"a": [1]}').json() == {"a": [1]}


def test_arguments_of_a_tool_call() -> None:
    assert ToolCall("c", "f", '{"a": "你"}').parse_arguments() == {"a": "你"}
    assert ToolCall("c", "f", " ").parse_arguments() == {}


@pytest.mark.parametrize("raw", ['{"a": ', "None", "[" * 100_000])
def test_arguments_that_are_no_json(raw: str) -> None:
    with pytest.raises(ProtocolError, match="arguments of tool call 'f'") as caught:
        ToolCall("c", "f", raw).parse_arguments()
    assert caught.value.frame == raw
    assert caught.value.__cause__ is None


def test_a_reply_in_json() -> None:
    assert Reply('{"a": 1}').json() == {"a": 1}
    with pytest.raises(ProtocolError, match="the answer is not JSON") as caught:
        Reply("Sure! {").json()
    assert caught.value.partial == Reply("Sure! {")


def test_a_reply_as_the_message_that_goes_on() -> None:
    assert Reply("hi").message() == {"role": "assistant", "content": "hi"}
    calling = Reply("", "hm", (ToolCall("c", "f", "{}"),))
    assert calling.message() == {
        "role": "assistant",
        "content": "",
        "reasoning_content": "hm",
        "tool_calls": [
            {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
        ],
    }
