"""Requests are checked as OpenAI's API checks them; nothing is sent to the service for a wrong one."""

from __future__ import annotations

import json
from typing import Any

import anyio
import pytest

from glmclient.gateway.question import question_of
from glmclient.gateway.refusals import Refused
from glmclient.testing import Simulator

from .serving import QUESTION, app_of, asking

CALL = {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
USER = {"role": "user", "content": "Hello"}


def wrong_message(message: Any) -> dict[str, Any]:
    return {"messages": [USER, message]}


WRONG: list[tuple[dict[str, Any], str | None]] = [
    ({"messages": "Hello"}, "messages"),
    ({"messages": []}, "messages"),
    ({"messages": None}, "messages"),
    ({"messages": {"role": "user", "content": "x"}}, "messages"),
    ({"model": None}, "model"),
    ({"model": " "}, "model"),
    ({"model": 4}, "model"),
    ({"stream": "yes"}, "stream"),
    ({"n": 2}, "n"),
    ({"n": True}, "n"),
    ({"stream_options": {"include_usage": True}}, "stream_options"),
    ({"stream": True, "stream_options": "usage"}, "stream_options"),
    ({"stream": True, "stream_options": {"include_usage": 1}}, "stream_options.include_usage"),
    (wrong_message("Hello"), "messages[1]"),
    (wrong_message({"content": "x"}), "messages[1].role"),
    (wrong_message({"role": "boss", "content": "x"}), "messages[1].role"),
    (wrong_message({"role": "user"}), "messages[1].content"),
    (wrong_message({"role": "user", "content": 3}), "messages[1].content"),
    (wrong_message({"role": "user", "content": []}), "messages[1].content"),
    (wrong_message({"role": "user", "content": ["x"]}), "messages[1].content[0]"),
    (wrong_message({"role": "user", "content": [{"type": "smell"}]}), "messages[1].content[0]"),
    (
        wrong_message({"role": "user", "content": [{"type": "text", "text": 1}]}),
        "messages[1].content[0].text",
    ),
    (
        wrong_message({"role": "user", "content": [{"type": "image_url", "image_url": "u"}]}),
        "messages[1].content[0].image_url",
    ),
    (
        wrong_message({"role": "user", "content": [{"type": "image_url", "image_url": {}}]}),
        "messages[1].content[0].image_url.url",
    ),
    (wrong_message({"role": "assistant"}), "messages[1].content"),
    (wrong_message({"role": "assistant", "tool_calls": "f"}), "messages[1].tool_calls"),
    (wrong_message({"role": "assistant", "tool_calls": ["f"]}), "messages[1].tool_calls[0]"),
    (
        wrong_message({"role": "assistant", "tool_calls": [{**CALL, "id": 1}]}),
        "messages[1].tool_calls[0]",
    ),
    (
        wrong_message({"role": "assistant", "tool_calls": [{"id": "c", "function": {}}]}),
        "messages[1].tool_calls[0].function",
    ),
    (
        wrong_message(
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f"}}]}
        ),
        "messages[1].tool_calls[0].function.arguments",
    ),
    (wrong_message({"role": "tool", "content": "4"}), "messages[1].tool_call_id"),
    ({"temperature": "hot"}, "temperature"),
    ({"temperature": True}, "temperature"),
    ({"temperature": 3}, "temperature"),
    ({"top_p": -1}, "top_p"),
    ({"max_tokens": 0}, "max_tokens"),
    ({"max_completion_tokens": 1.5}, "max_completion_tokens"),
    ({"stop": 3}, "stop"),
    ({"stop": [3]}, "stop"),
    ({"tools": "f"}, "tools"),
    ({"tools": ["f"]}, "tools[0]"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    ({"tool_choice": "perhaps"}, "tool_choice"),
    ({"response_format": "json"}, "response_format"),
    ({"response_format": {}}, "response_format"),
]


@pytest.mark.parametrize(("changes", "param"), WRONG, ids=[str(each[0])[:60] for each in WRONG])
def test_a_wrong_member_is_named(changes: dict[str, Any], param: str) -> None:
    with pytest.raises(Refused) as caught:
        question_of(json.dumps({**QUESTION, **changes}).encode())
    error = caught.value.body()["error"]
    assert caught.value.status == 400
    assert error["param"] == param
    assert error["type"] == "invalid_request_error"
    assert param.split("[")[0].split(".")[0] in error["message"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{", b"[]", b"3", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"temperature": 1e}'],
)
def test_what_is_no_json_object_is_refused_without_quoting_it(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        question_of(body)
    assert caught.value.status == 400
    assert caught.value.param is None


def test_nothing_is_sent_for_a_wrong_request() -> None:
    async def run() -> list[int]:
        responses = [await asking(app, json={**QUESTION, **each}) for each, _ in WRONG]
        responses.append(await asking(app, content=b"{"))
        return [response.status_code for response in responses]

    with Simulator("Hi", provider="zai") as simulator:
        app = app_of(simulator)
        assert set(anyio.run(run)) == {400}
        assert simulator.received == 0


def test_a_conversation_is_taken_as_clients_write_it() -> None:
    question = question_of(
        json.dumps(
            {
                "model": " glm-4.6 ",
                "messages": [
                    {"role": "developer", "content": "Be brief."},
                    {"role": "user", "name": "Ann", "content": [{"type": "text", "text": "Hi"}]},
                    {
                        "role": "assistant",
                        "content": None,
                        "refusal": None,
                        "audio": None,
                        "annotations": [],
                        "reasoning_content": "Hm.",
                        "tool_calls": [CALL],
                    },
                    {"role": "tool", "tool_call_id": "c", "content": "4"},
                    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
                    {
                        "role": "user",
                        "content": [{"type": "image_url", "image_url": {"url": "https://x/y.png"}}],
                    },
                ],
                "stream": True,
                "stream_options": {"include_usage": True},
                "n": 1,
                "temperature": 0.5,
                "seed": None,
            }
        ).encode()
    )
    assert question.model == "glm-4.6"
    assert question.messages[0] == {"role": "system", "content": "Be brief."}
    assert question.messages[1]["name"] == "Ann"
    assert question.messages[2] == {
        "role": "assistant",
        "reasoning_content": "Hm.",
        "tool_calls": [CALL],
    }
    assert question.messages[4]["content"] == [{"type": "text", "text": "No."}]
    assert question.options == {"temperature": 0.5}
    assert (question.stream, question.with_usage) == (True, True)
    assert "Be brief." not in repr(question)


@pytest.mark.parametrize("value", [None, {}, {"include_usage": None}, {"include_usage": False}])
def test_usage_is_written_only_if_it_is_asked_for(value: Any) -> None:
    body = {**QUESTION, "stream": True, "stream_options": value}
    assert question_of(json.dumps(body).encode()).with_usage is False


@pytest.mark.parametrize(
    "options",
    [
        {"stop": "a", "tool_choice": "none", "tools": [], "response_format": {"type": "text"}},
        {"stop": ["a"], "tool_choice": {"type": "function"}, "tools": [{"type": "web_search"}]},
        {"tools": [{"type": "function", "function": {"name": "f"}}], "max_tokens": 1},
        {"something": "else"},
    ],
)
def test_options_are_passed_on_as_they_are(options: dict[str, Any]) -> None:
    assert question_of(json.dumps({**QUESTION, **options}).encode()).options == options
