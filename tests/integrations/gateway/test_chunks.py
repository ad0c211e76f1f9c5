"""Events and replies as OpenAI's API writes them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from glmclient import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
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
from glmclient.gateway.chunks import Chunks, completion, dumped

from .serving import chunks_of


def written(*events: Event, with_usage: bool = False) -> list[Any]:
    chunks = Chunks("m", 7, with_usage=with_usage)
    return chunks_of(b"".join(chunks.frames(event) for event in events).decode())


def deltas(*events: Event) -> list[Any]:
    return [each["choices"][0]["delta"] for each in written(TextDelta(""), *events)[1:]]


def test_each_delta_is_one_chunk_and_the_first_has_the_role() -> None:
    events: list[Event] = [ReasoningDelta("hm"), TextDelta('你\n"'), TextDelta("b"), Finish("stop")]
    *chunks, done = written(*events)
    assert done == "[DONE]"
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "reasoning_content": "hm"},
        {"content": '你\n"'},
        {"content": "b"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert len({chunk["id"] for chunk in chunks}) == 1
    assert all(chunk["model"] == "m" and chunk["created"] == 7 for chunk in chunks)
    assert all("usage" not in chunk for chunk in chunks)
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}


def test_reasoning_after_the_first_chunk() -> None:
    assert deltas(ReasoningDelta("hm")) == [{"reasoning_content": "hm"}]


def test_usage_follows_the_last_chunk() -> None:
    usage = Usage(1, 2, 3, cached_tokens=1, reasoning_tokens=0)
    text, finish, last, done = written(TextDelta("a"), Finish("length", usage), with_usage=True)
    assert (text["usage"], finish["usage"], done) == (None, None, "[DONE]")
    assert finish["choices"][0]["finish_reason"] == "length"
    assert last["choices"] == []
    assert last["usage"] == {
        "prompt_tokens": 1,
        "completion_tokens": 2,
        "total_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 1},
        "completion_tokens_details": {"reasoning_tokens": 0},
    }


def test_usage_that_the_service_does_not_tell_is_null() -> None:
    assert written(Finish("stop"), with_usage=True)[1]["usage"] is None


def test_an_answer_without_events_has_one_chunk() -> None:
    chunk, done = written(Finish("stop"))
    assert chunk["choices"][0]["delta"] == {"role": "assistant"}
    assert done == "[DONE]"


def test_tool_calls_have_an_id_and_a_name_once() -> None:
    first, second, other = deltas(
        ToolCallDelta(0, "c", "f", "{"),
        ToolCallDelta(0, "", "", "}"),
        ToolCallDelta(1, "", "g", ""),
    )
    assert first["tool_calls"] == [
        {"index": 0, "id": "c", "type": "function", "function": {"name": "f", "arguments": "{"}}
    ]
    assert second["tool_calls"] == [{"index": 0, "function": {"arguments": "}"}}]
    assert other["tool_calls"][0]["id"].startswith("call_")


def test_everything_else_that_a_service_sends_has_a_member() -> None:
    source = SearchResult("title", "https://x")
    assert deltas(
        Image("https://i"),
        SearchResults((source,)),
        CodeDelta("1+1", 2),
        ExecutionOutput("2"),
        Notice("note"),
        QueueStatus(1, 2),
        Unknown("name", "{}"),
    ) == [
        {"images": [{"type": "image_url", "image_url": {"url": "https://i"}}]},
        {
            "annotations": [
                {
                    "type": "url_citation",
                    "url_citation": {
                        "url": "https://x",
                        "title": "title",
                        "start_index": 0,
                        "end_index": 0,
                    },
                }
            ]
        },
        {"code": {"index": 2, "content": "1+1"}},
        {"execution_output": "2"},
    ]


@pytest.mark.parametrize("event", [TextReplace(0, ""), ReasoningReplace(0, ""), CodeReplace(0, "")])
def test_replacements_are_a_fault_of_the_program(event: Event) -> None:
    with pytest.raises(TypeError, match="append-only"):
        deltas(event)


@pytest.mark.parametrize(
    ("reason", "written_reason"),
    [
        ("stop", "stop"),
        ("length", "length"),
        ("tool_calls", "tool_calls"),
        ("content_filter", "content_filter"),
        ("other", "stop"),
    ],
)
def test_finish_reasons_are_those_of_openai(reason: Any, written_reason: str) -> None:
    choice = written(Finish(reason))[0]["choices"][0]
    whole = completion(Reply("a", finish=Finish(reason)), "m", 7)["choices"][0]
    assert choice["finish_reason"] == whole["finish_reason"] == written_reason


def test_the_words_of_a_withheld_answer() -> None:
    finish = Finish("content_filter", message="Not this.")
    assert written(finish)[0]["choices"][0]["delta"]["refusal"] == "Not this."
    message = completion(Reply("", finish=finish), "m", 7)["choices"][0]["message"]
    assert message["refusal"] == "Not this."


def test_lone_surrogates_are_escaped() -> None:
    assert written(TextDelta("x"), TextDelta("\ud83d"))[1]["choices"][0]["delta"] == {
        "content": "\ud83d"
    }
    assert dumped(["\ud83d你"]) == b'["\\ud83d\\u4f60"]'


def test_a_whole_answer() -> None:
    reply = Reply(
        "",
        "hm",
        (ToolCall("", "f", "{}"),),
        Finish("tool_calls", Usage(1, 2, 3)),
        code_blocks=("1+1",),
        execution_output="2",
        images=(Image("https://i"),),
        sources=(SearchResult("t", "https://x"),),
    )
    whole = json.loads(dumped(completion(reply, "m", 7)))
    message = whole["choices"][0]["message"]
    assert whole["object"] == "chat.completion"
    assert whole["usage"] == {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3}
    assert message["content"] is None
    assert message["reasoning_content"] == "hm"
    assert message["tool_calls"][0]["function"] == {"name": "f", "arguments": "{}"}
    assert message["tool_calls"][0]["id"].startswith("call_")
    assert message["code"] == [{"index": 0, "content": "1+1"}]
    assert message["execution_output"] == "2"
    assert message["images"][0]["image_url"]["url"] == "https://i"
    assert message["annotations"][0]["url_citation"]["url"] == "https://x"


def test_a_plain_answer_has_no_empty_members() -> None:
    whole = completion(Reply("Hi", finish=Finish("stop")), "m", 7)
    assert whole["usage"] is None
    assert whole["choices"][0]["message"] == {
        "role": "assistant",
        "content": "Hi",
        "refusal": None,
    }
