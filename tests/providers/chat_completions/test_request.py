"""What is sent: every parameter of the page, checked, nothing rewritten, no null."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.errors import ConfigurationError
from glmclient.options import ChatOptions
from glmclient.providers.chat_completions.parameters import (
    DASHSCOPE,
    DASHSCOPE_REFUSED,
    OPENAI,
    OPENAI_REFUSED,
    PLATFORM,
    PLATFORM_REFUSED,
    PlatformOptions,
)
from glmclient.providers.chat_completions.provider import BigModel, OpenAICompatible, Zai

ZAI = Zai(api_key="id.secret")
LOCAL = OpenAICompatible(base_url="http://localhost:8000/v1")

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {}, "required": []},
    },
}


def sent(
    provider: Any = ZAI, messages: Any = "hi", model: str | None = "m", **options: Any
) -> dict[str, Any]:
    """Return the body that a question becomes."""
    body: dict[str, Any] = json.loads(
        provider.prepare(messages, model, options).options["body"].json
    )
    return body


def refused(provider: Any = ZAI, messages: Any = "hi", **options: Any) -> str:
    """Return why a question is refused before anything is sent."""
    with pytest.raises(ConfigurationError) as caught:
        provider.prepare(messages, "m", options)
    return str(caught.value)


PLAIN = {"model": "m", "messages": [{"role": "user", "content": "hi"}], "stream": True}


def test_a_plain_question() -> None:
    assert sent() == PLAIN
    assert sent(LOCAL) == {**PLAIN, "stream_options": {"include_usage": True}}


def test_the_default_model_is_the_newest_general_one() -> None:
    assert sent(ZAI, model=None)["model"] == "glm-5.3"
    assert sent(BigModel(api_key="k"), model=None)["model"] == "glm-5.3"
    assert "model" not in sent(LOCAL, model=None)


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("temperature", 1.0, 1.0),
        ("temperature", 0, 0),
        ("top_p", 0.01, 0.01),
        ("top_p", 1, 1),
        ("max_tokens", 1, 1),
        ("max_tokens", 131072, 131072),
        ("stop", "END", ["END"]),
        ("stop", ("a", "b", "c", "d"), ["a", "b", "c", "d"]),
        ("seed", -1, -1),
        ("do_sample", False, False),
        ("thinking", True, {"type": "enabled"}),
        ("thinking", False, {"type": "disabled"}),
        ("thinking", "enabled", {"type": "enabled"}),
        ("thinking", "disabled", {"type": "disabled"}),
        (
            "thinking",
            {"type": "enabled", "clear_thinking": False},
            {"type": "enabled", "clear_thinking": False},
        ),
        *(
            ("reasoning_effort", word, word)
            for word in ("max", "xhigh", "high", "medium", "low", "minimal", "none")
        ),
        ("tools", [WEATHER], [WEATHER]),
        ("tools", (WEATHER,) * 128, [WEATHER] * 128),
        (
            "tools",
            [{"type": "web_search", "web_search": {"enable": True}}],
            [{"type": "web_search", "web_search": {"enable": True}}],
        ),
        (
            "tools",
            [{"type": "retrieval", "retrieval": {}}],
            [{"type": "retrieval", "retrieval": {}}],
        ),
        ("tool_choice", "auto", "auto"),
        ("tool_stream", True, True),
        ("response_format", {"type": "json_object"}, {"type": "json_object"}),
        ("response_format", "json_object", {"type": "json_object"}),
        ("response_format", {"type": "text"}, {"type": "text"}),
        ("user_id", "user-1", "user-1"),
        ("user_id", "x" * 128, "x" * 128),
        ("stream_options", {"include_usage": True}, {"include_usage": True}),
        (
            "sensitive_word_check",
            {"type": "ALL", "status": "DISABLE"},
            {"type": "ALL", "status": "DISABLE"},
        ),
        ("watermark_enabled", False, False),
        ("meta", {"user_info": "x"}, {"user_info": "x"}),
        ("extra", {"a": 1}, {"a": 1}),
    ],
)
def test_platform_parameters_are_sent_as_they_are(name: str, value: Any, written: Any) -> None:
    body = sent(**{name: value})
    assert body == {**PLAIN, name: written}
    assert type(body[name]) is type(written)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", 1.01),
        ("temperature", -0.1),
        ("temperature", True),
        ("temperature", "1"),
        ("temperature", float("nan")),
        ("top_p", 0),
        ("top_p", 1.1),
        ("max_tokens", 0),
        ("max_tokens", 131073),
        ("max_tokens", 1.5),
        ("max_tokens", True),
        ("stop", []),
        ("stop", ["a"] * 5),
        ("stop", [""]),
        ("stop", 5),
        ("stop", ""),
        ("seed", "1"),
        ("do_sample", 1),
        ("thinking", "on"),
        ("thinking", {"type": "enabled", 1: 2}),
        ("thinking", {}),
        ("thinking", {"type": "enabled", "clear_thinking": "no"}),
        ("thinking", 5),
        ("reasoning_effort", "huge"),
        ("reasoning_effort", 3),
        ("tools", "get_weather"),
        ("tools", WEATHER),
        ("tools", [WEATHER] * 129),
        ("tools", [{"function": {}}]),
        ("tools", [5]),
        ("tools", [{"type": "function"}]),
        ("tools", [{"type": "function", "function": {"name": "no spaces"}}]),
        ("tools", [{"type": "function", "function": {"name": "x" * 65}}]),
        ("tools", [{"type": "function", "function": {}}]),
        ("tool_choice", "required"),
        ("tool_choice", "none"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}),
        ("tool_stream", "yes"),
        ("response_format", {"type": "json_schema", "json_schema": {}}),
        ("response_format", "xml"),
        ("response_format", 5),
        ("user_id", "short"),
        ("user_id", "x" * 129),
        ("request_id", "short"),
        ("request_id", "x" * 65),
        ("request_id", 123456),
        ("stream_options", True),
        ("meta", {1: 2}),
        ("extra_body", "x"),
        ("think_tags", 1),
        ("include_unknown", "yes"),
    ],
)
def test_documented_limits_are_checked_before_anything_is_sent(name: str, value: Any) -> None:
    assert name in refused(**{name: value})


@pytest.mark.parametrize("name", sorted(PLATFORM_REFUSED))
def test_what_the_platform_does_not_know_is_refused_with_what_to_use(name: str) -> None:
    why = refused(**{name: 1})
    assert name in why and PLATFORM_REFUSED[name] in why
    assert sent(**{name: None}) == PLAIN


@pytest.mark.parametrize("name", ["stream", "system"])
def test_what_people_know_from_elsewhere_is_refused_with_what_to_use(name: str) -> None:
    for kind in (ZAI, LOCAL):
        why = refused(kind, **{name: True})
        assert f"cannot honour the option '{name}': " in why
        assert "temperature" not in why
        assert sent(kind, **{name: None})["model"] == "m"


@pytest.mark.parametrize("value", ["yes", 2, {"type": "yes"}, {1: 2}])
def test_a_switch_of_thinking_that_is_none_is_shown_as_it_was_given(value: Any) -> None:
    why = refused(thinking=value)
    assert why.startswith("thinking must be True, False, 'enabled', 'disabled' or {'type': ")
    assert why.endswith(f"not {value!r}.")


@pytest.mark.parametrize("name", sorted(OPENAI_REFUSED))
def test_what_compatible_servers_do_not_know_is_refused_with_what_to_use(name: str) -> None:
    why = refused(LOCAL, **{name: True})
    assert name in why and OPENAI_REFUSED[name] in why


def test_hints_name_the_way() -> None:
    assert "max_tokens" in refused(max_completion_tokens=5)
    assert "user_id" in refused(user="me")
    assert "chat_template_kwargs" in refused(LOCAL, thinking=False)
    assert "extra_body={'top_k': ...}" in refused(LOCAL, top_k=5)
    assert "reply.message()" in refused(continuation="x")
    assert "temperature" in refused(temperatur=1)
    assert "extra_body" in refused(response_format={"type": "json_schema"})


@pytest.mark.parametrize(
    ("name", "value", "written"),
    [
        ("temperature", 1.7, 1.7),
        ("top_p", 0, 0),
        ("max_tokens", 10**6, 10**6),
        ("max_completion_tokens", 5, 5),
        ("stop", "END", "END"),
        ("stop", ["a"] * 5, ["a"] * 5),
        ("seed", 1, 1),
        ("reasoning_effort", "minimal", "minimal"),
        ("tools", [{"type": "function", "function": {"name": "any name"}}], None),
        ("tool_choice", "required", "required"),
        ("tool_choice", {"type": "function", "function": {"name": "f"}}, None),
        ("parallel_tool_calls", False, False),
        ("response_format", {"type": "json_schema", "json_schema": {"name": "x"}}, None),
        ("response_format", "json_object", {"type": "json_object"}),
        ("frequency_penalty", -2, -2),
        ("presence_penalty", 2, 2),
        ("logit_bias", {"50256": -100}, None),
        ("top_logprobs", 3, 3),
        ("n", 1, 1),
        ("user", "me", "me"),
        ("metadata", {"a": "b"}, None),
        ("service_tier", "auto", "auto"),
        ("store", False, False),
        ("verbosity", "low", "low"),
    ],
)
def test_openai_parameters_are_passed(name: str, value: Any, written: Any) -> None:
    expected = {
        **PLAIN,
        "stream_options": {"include_usage": True},
        name: value if written is None else written,
    }
    assert sent(LOCAL, **{name: value}) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("temperature", float("inf")),
        ("temperature", "1"),
        ("max_tokens", "5"),
        ("stop", 5),
        ("stop", [5]),
        ("n", 2),
        ("n", True),
        ("tool_choice", ""),
        ("response_format", {}),
        ("response_format", {"type": 5}),
        ("user", ""),
        ("logit_bias", []),
        ("logprobs", True),
    ],
)
def test_what_no_server_could_read_is_refused(name: str, value: Any) -> None:
    assert name in refused(LOCAL, **{name: value})


def test_probabilities_are_sent_where_they_can_be_read() -> None:
    assert sent(LOCAL, logprobs=True, include_unknown=True)["logprobs"] is True
    assert sent(LOCAL, logprobs=False)["logprobs"] is False


def test_stream_options_of_the_caller_win() -> None:
    assert sent(LOCAL, stream_options={"include_usage": False})["stream_options"] == {
        "include_usage": False
    }


def test_extra_body_is_merged_last_and_as_it_is() -> None:
    body = sent(
        extra_body={
            "top_k": 5,
            "stream": False,
            "x": None,
            "messages": [{"role": "user", "content": "other"}],
        }
    )
    assert body == {
        "model": "m",
        "messages": [{"role": "user", "content": "other"}],
        "stream": False,
        "top_k": 5,
        "x": None,
    }


def test_options_without_a_value_are_not_sent() -> None:
    nothing = dict.fromkeys(
        (*PLATFORM, "extra_body", "think_tags", "include_unknown", "include_status")
    )
    assert sent(**nothing) == PLAIN


def test_messages_lose_their_nulls_but_for_the_content() -> None:
    messages = [
        {"role": "system", "content": "be short"},
        {
            "role": "user",
            "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
        },
        {
            "role": "assistant",
            "content": None,
            "refusal": None,
            "reasoning_content": " \n",
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "40 C"},
    ]
    expected = copy.deepcopy(messages)
    del expected[2]["refusal"]
    assert sent(messages=messages)["messages"] == expected


def test_the_roles_that_the_platform_wants() -> None:
    assert "user or tool" in refused(messages=[{"role": "system", "content": "x"}])
    assert "tool_call_id" in refused(messages=[{"role": "tool", "content": "x"}])
    system = [{"role": "system", "content": "x"}]
    assert sent(LOCAL, messages=system)["messages"] == system


def test_what_json_cannot_hold_is_refused() -> None:
    assert "JSON" in refused(extra_body={"x": object()})
    assert "JSON" in refused(extra_body={"x": float("nan")})


@given(
    options=st.fixed_dictionaries(
        {},
        optional={
            "temperature": st.floats(0, 1),
            "stop": st.lists(st.text(min_size=1), min_size=1, max_size=4),
            "tools": st.just([copy.deepcopy(WEATHER)]),
            "thinking": st.just({"type": "enabled", "clear_thinking": True}),
            "meta": st.dictionaries(st.text(), st.text()),
            "extra_body": st.dictionaries(st.text(), st.integers()),
        },
    )
)
def test_the_callers_objects_stay_untouched_and_are_not_kept(options: dict[str, Any]) -> None:
    messages = [{"role": "user", "content": [{"type": "text", "text": "hi"}], "name": None}]
    before = copy.deepcopy((messages, options))
    chat = ZAI.prepare(messages, "m", options)
    assert (messages, options) == before
    written = chat.options["body"].json
    messages[0]["content"][0]["text"] = "changed"  # type: ignore[index]
    options.clear()
    assert chat.options["body"].json == written
    assert b"changed" not in written


def test_every_option_is_typed_and_checked() -> None:
    own = {"extra_body", "think_tags"}
    assert set(PlatformOptions.__annotations__) == {*PLATFORM, *OPENAI, *DASHSCOPE, *own}
    assert set(PlatformOptions.__annotations__) <= set(ChatOptions.__annotations__)
    assert not set(PLATFORM) & set(PLATFORM_REFUSED)
    assert not set(OPENAI) & set(OPENAI_REFUSED)
    assert not set(DASHSCOPE) & set(DASHSCOPE_REFUSED)
    for name in set(OPENAI) - set(PLATFORM):
        assert name in PLATFORM_REFUSED or refused(**{name: 1})
