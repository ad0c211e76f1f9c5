"""What LangChain's own suites do not ask: exact answers, errors, options, schemas, copies."""

from __future__ import annotations

import asyncio
import importlib
import json
import pickle
import sys
from collections.abc import Iterator
from typing import Any, TypedDict

import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import (
    AIMessage,
    AIMessageChunk,
    HumanMessage,
    SystemMessage,
    ToolMessage,
)
from pydantic import BaseModel

from glmclient import (
    ConfigurationError,
    Finish,
    Image,
    RateLimitError,
    RewriteError,
    TextDelta,
    TextReplace,
    Timeout,
    ToolCallDelta,
    Usage,
)
from glmclient.integrations.langchain import ChatGLMClient
from glmclient.providers.chatglm.provider import ChatGLM
from glmclient.simulator import Refusal, Simulator

from ..documents import blocks_of
from .standard import answer


@pytest.fixture
def zai() -> Iterator[Simulator]:
    with Simulator(answer, provider="zai") as simulator:
        yield simulator


def model(simulator: Simulator, **arguments: Any) -> ChatGLMClient:
    known = {"provider": simulator.providers[0], "base_url": simulator.url, "api_key": "k.s"}
    if simulator.providers[0] == "chatglm":
        del known["api_key"]
    return ChatGLMClient(**{**known, **arguments})


def asked(simulator: Simulator) -> Any:
    return simulator.questions[-1].json


def whole(runnable: Any, question: Any) -> list[AIMessage]:
    """Return the answer of a runnable: whole, streamed, and both again asynchronously."""

    async def later() -> list[Any]:
        first, *rest = [chunk async for chunk in runnable.astream(question)]
        return [await runnable.ainvoke(question), sum(rest, first)]

    first, *rest = runnable.stream(question)
    return [runnable.invoke(question), sum(rest, first), *asyncio.run(later())]


# -- options and standard parameters -----------------------------------------------------------------------


def test_options_of_the_model_and_of_the_call(zai: Simulator) -> None:
    chat = model(zai, temperature=0.3, max_tokens=9, stop=["X"], thinking=True, top_p=0.4)
    chat.invoke("Hi", model="glm-4.6", temperature=0.5, top_p=0.2)
    question = asked(zai)
    assert (question["model"], question["temperature"], question["top_p"]) == ("glm-4.6", 0.5, 0.2)
    assert (question["max_tokens"], question["stop"]) == (9, ["X"])
    assert question["thinking"] == {"type": "enabled"}
    chat.invoke("Hi", stop=[])
    assert "stop" not in asked(zai)
    with pytest.raises(ConfigurationError, match="cannot honour the option 'topp'"):
        model(zai, topp=0.4).invoke("Hi")


def test_standard_parameters_are_reported(zai: Simulator) -> None:
    chat = model(zai, temperature=0.3, max_tokens=9, stop=["X"])
    assert chat._get_ls_params() == {
        "ls_provider": "zai",
        "ls_model_type": "chat",
        "ls_model_name": "glm-5.3",
        "ls_temperature": 0.3,
        "ls_max_tokens": 9,
        "ls_stop": ["X"],
    }
    own = chat._get_ls_params(stop=["Y"], model="glm-4.6", temperature=0.9)
    assert (own["ls_model_name"], own["ls_stop"], own["ls_temperature"]) == ("glm-4.6", ["Y"], 0.9)
    assert "ls_stop" not in model(zai, stop=[])._get_ls_params()
    assert model(zai, model="glm-4.5")._get_ls_params()["ls_model_name"] == "glm-4.5"
    local = ChatGLMClient(provider="openai", base_url="http://localhost:8000/v1")
    assert local._get_ls_params()["ls_model_name"] == "default"
    guest = ChatGLMClient(provider=ChatGLM())
    assert guest._get_ls_params()["ls_provider"] == "chatglm"
    assert guest._llm_type == "glmclient"
    assert chat._identifying_params["temperature"] == 0.3


def test_retries_timeout_and_arguments_of_the_clients(zai: Simulator) -> None:
    zai.say(Refusal("rate_limit", retry_after=0))
    with pytest.raises(RateLimitError) as caught:
        model(zai, max_retries=1).invoke("Hi")
    assert caught.value.attempts == 2
    chat = model(zai, timeout=Timeout(total=5), client_kwargs={"headers": {"X-Team": "blue"}})
    zai.say("Hi")
    assert chat.invoke("Hi").content == "Hi"
    assert zai.questions[-1].headers["x-team"] == "blue"
    assert chat._client._configuration.timeout.total == 5


def test_a_copy_has_the_key_and_clients_of_its_own(zai: Simulator) -> None:
    chat = model(zai, api_key="the.key")
    assert "the.key" not in repr(chat)
    chat.invoke("Hi")
    copy = pickle.loads(pickle.dumps(chat))
    copy.invoke("Hi")
    assert zai.questions[-1].headers["authorization"] == "Bearer the.key"
    assert copy._client is not chat._client


# -- answers -----------------------------------------------------------------------------------------------


def test_reasoning_usage_and_the_end_are_the_same_on_every_path(zai: Simulator) -> None:
    for message in whole(model(zai), "Hi"):
        assert message.content == "Hello! How are you?"
        assert message.additional_kwargs["reasoning_content"] == "Let me think."
        assert message.content_blocks[0] == {"type": "reasoning", "reasoning": "Let me think."}
        assert message.response_metadata["finish_reason"] == "stop"
        assert message.response_metadata["model_name"] == "glm-5.3"
        assert message.usage_metadata == {
            "input_tokens": 12,
            "output_tokens": 30,
            "total_tokens": 42,
            "input_token_details": {"cache_read": 4},
            "output_token_details": {"reasoning": 20},
        }


def test_usage_without_details(zai: Simulator) -> None:
    zai.say(["Hi", Finish("stop", Usage(1, 2, 3))])
    for message in whole(model(zai), "Hi"):
        assert message.usage_metadata == {"input_tokens": 1, "output_tokens": 2, "total_tokens": 3}


def test_what_langchain_has_no_kind_for_is_metadata() -> None:
    picture = ["See:", Image("https://host/a.png")]
    with Simulator(picture, provider="chatglm") as guest:
        for message in whole(model(guest), "Draw"):
            assert message.content == "See:" and message.usage_metadata is None
            assert message.response_metadata["images"] == ["https://host/a.png"]


def test_an_answer_that_the_service_rewrites() -> None:
    with Simulator([TextDelta("Hello wurld"), TextReplace(7, "orld")], provider="chatglm") as guest:
        chat = model(guest)
        assert chat.invoke("Hi").content == "Hello world"
        with pytest.raises(RewriteError):
            list(chat.stream("Hi"))
        guest.say([TextDelta("Hello"), TextReplace(5, " w"), TextDelta("orld")])
        assert [m.content for m in whole(chat, "Hi")] == ["Hello world"] * 4


def test_a_stream_that_is_left_releases_its_connection(zai: Simulator) -> None:
    with Simulator(["word " * 2000], provider="zai", delay=0.01) as slow:
        for chunk in model(slow).stream("Hi"):
            assert isinstance(chunk, AIMessageChunk)
            break
        assert slow.wait_for_disconnects(1)


def test_arguments_that_are_no_object_are_invalid_calls(zai: Simulator) -> None:
    for text in ('{"a": ', "[1]"):
        zai.say([ToolCallDelta(0, "c1", "f", text), Finish("tool_calls")])
        message = model(zai).invoke("Hi")
        assert message.tool_calls == []
        (call,) = message.invalid_tool_calls
        assert (call["name"], call["args"], call["id"]) == ("f", text, "c1")
        assert "not a JSON object" in call["error"]
    zai.say([ToolCallDelta(0, "c1", "f", ""), Finish("tool_calls")])
    assert model(zai).invoke("Hi").tool_calls[0]["args"] == {}


# -- messages ----------------------------------------------------------------------------------------------


def test_histories_are_sent_as_the_service_wants_them(zai: Simulator) -> None:
    picture = {"type": "image", "base64": "AAAA", "mime_type": "image/png"}
    call = {"name": "f", "args": {"x": "你"}, "id": "c1"}
    broken = {"name": "g", "args": '{"y"', "id": "c2", "error": None, "type": "invalid_tool_call"}
    history = [
        SystemMessage("Be kind"),
        HumanMessage("Hi", name="ada"),
        AIMessage(
            "Look",
            additional_kwargs={"reasoning_content": "Hm."},
            tool_calls=[call],
            invalid_tool_calls=[broken],
        ),
        ToolMessage([{"type": "text", "text": "seen"}, picture], tool_call_id="c1"),
        ToolMessage("broken", tool_call_id="c2"),
        HumanMessage([{"type": "text", "text": "And?"}, picture]),
    ]
    model(zai).invoke(history)
    system, user, reply, first, second, images, last = asked(zai)["messages"]
    assert system == {"role": "system", "content": "Be kind"}
    assert user == {"role": "user", "content": "Hi", "name": "ada"}
    assert reply["reasoning_content"] == "Hm." and reply["content"] == "Look"
    assert [c["function"] for c in reply["tool_calls"]] == [
        {"name": "f", "arguments": '{"x": "你"}'},
        {"name": "g", "arguments": '{"y"'},
    ]
    assert first == {"role": "tool", "content": "seen", "tool_call_id": "c1"}
    assert second == {"role": "tool", "content": "broken", "tool_call_id": "c2"}
    address = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    assert images == {"role": "user", "content": [address]}
    assert last["content"] == [{"type": "text", "text": "And?"}, address]
    model(zai).invoke(history[:4])
    assert [m["role"] for m in asked(zai)["messages"]][-2:] == ["tool", "user"]


# -- tools -------------------------------------------------------------------------------------------------


def add(a: int, b: int) -> int:
    """Add two numbers."""
    return a + b


def double(a: int) -> int:
    """Double a number."""
    return 2 * a


FORCED: list[tuple[Any, Any, str]] = [
    (None, None, ""),
    ("auto", None, ""),
    ("any", "required", "one or more of the tools add, double"),
    (True, "required", "one or more of the tools add, double"),
    ("double", {"type": "function", "function": {"name": "double"}}, "the tool double"),
    (
        {"type": "function", "function": {"name": "add"}},
        {"type": "function", "function": {"name": "add"}},
        "the tool add",
    ),
]


@pytest.mark.parametrize(("choice", "sent", "words"), FORCED)
def test_a_choice_of_tools_is_sent_or_said(choice: Any, sent: Any, words: str) -> None:
    with Simulator(answer, provider=["openai", "zai"]) as both:
        for provider in both.providers:
            chat = ChatGLMClient(
                provider=provider, model="m", base_url=both.url_of(provider), api_key="k.s"
            )
            assert chat.bind_tools([add, double], tool_choice=choice).invoke("1").tool_calls
            question = asked(both)
            forced = provider == "openai" and sent is not None
            assert question.get("tool_choice") == (sent if forced else None)
            said = question["messages"][0]["role"] == "system"
            assert said == (bool(words) and not forced)
            assert not said or words in question["messages"][0]["content"]


def test_one_of_several_services_takes_a_name_alone() -> None:
    with Simulator(answer, provider="dashscope") as qwen:
        chat = model(qwen)
        named = {"type": "function", "function": {"name": "double"}}
        chat.bind_tools([double], tool_choice="any").invoke("1")
        assert asked(qwen)["tool_choice"] == named
        chat.bind_tools([add, double], tool_choice="any").invoke("1")
        assert "tool_choice" not in asked(qwen)
        chat.bind_tools([add], tool_choice="none").invoke("1")
        assert "tools" not in asked(qwen)


def test_a_services_own_tool_passes_through(zai: Simulator) -> None:
    search = {"type": "web_search", "web_search": {"enable": True}}
    zai.say("Found.")
    chat = model(zai).bind_tools([search, {"type": "object", "title": "T", "properties": {}}])
    chat.invoke("Hi")
    first, second = asked(zai)["tools"]
    assert first == search and second["function"]["name"] == "T"


# -- values ------------------------------------------------------------------------------------------------


class Joke(BaseModel):
    setup: str
    punchline: str


class JokeDict(TypedDict):
    setup: str
    punchline: str


def test_values_in_the_strictest_form_that_the_service_enforces(zai: Simulator) -> None:
    assert isinstance(model(zai).with_structured_output(Joke).invoke("A joke"), Joke)
    assert asked(zai)["response_format"] == {"type": "json_object"}
    assert "JSON Schema" in asked(zai)["messages"][-1]["content"]
    with Simulator(answer, provider="openai") as strict:
        value = model(strict).with_structured_output(JokeDict).invoke("A joke")
        assert value == {"setup": "Why do cats purr?", "punchline": "They have no horn."}
        assert asked(strict)["response_format"]["type"] == "json_schema"


def test_prose_around_a_value_and_a_second_round(zai: Simulator) -> None:
    answers = iter(["It is {funny}.", 'Here: {"setup": "a", "punchline": "b"} {ok}'])
    zai.say(lambda request: next(answers))
    assert model(zai).with_structured_output(Joke).invoke("x") == Joke(setup="a", punchline="b")
    assert len(zai.questions) == 2


@pytest.mark.parametrize("schema", [Joke, JokeDict])
def test_a_value_that_does_not_fit(zai: Simulator, schema: Any) -> None:
    zai.say('{"setup": 5}')
    chat = model(zai)
    with pytest.raises(OutputParserException, match="punchline"):
        chat.with_structured_output(schema).invoke("A joke")
    with pytest.raises(OutputParserException):
        asyncio.run(chat.with_structured_output(schema).ainvoke("A joke"))
    with pytest.raises(OutputParserException, match="punchline"):
        list(chat.with_structured_output(schema).stream("A joke"))

    async def streamed() -> list[Any]:
        return [each async for each in chat.with_structured_output(schema).astream("A joke")]

    with pytest.raises(OutputParserException, match="punchline"):
        asyncio.run(streamed())
    result = chat.with_structured_output(schema, include_raw=True).invoke("A joke")
    assert isinstance(result["parsing_error"], OutputParserException) and result["parsed"] is None
    assert json.loads(result["raw"].content) == {"setup": 5}


def test_the_raw_message_beside_the_value(zai: Simulator) -> None:
    for method in ("json_schema", "json_mode"):
        runnable = model(zai).with_structured_output(Joke, method=method, include_raw=True)
        result = runnable.invoke("A joke")
        assert isinstance(result["parsed"], Joke) and result["parsing_error"] is None
        assert isinstance(result["raw"], AIMessage)
    called = model(zai).with_structured_output(Joke, method="function_calling").invoke("A joke")
    assert called == Joke(setup="purple", punchline="purple")


# -- the extra, and the page -------------------------------------------------------------------------------


def test_without_langchain_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "langchain_core.callbacks", None)
    monkeypatch.delitem(sys.modules, "glmclient.integrations.langchain")
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[langchain\]'"):
        importlib.import_module("glmclient.integrations.langchain")


def test_the_page_is_true(zai: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_BASE_URL", zai.url)
    monkeypatch.setenv("ZAI_API_KEY", "documents.key")
    blocks = blocks_of("langchain.md", "python")
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "langchain.md", "exec"), namespace)
    assert len(blocks) > 2 and len(zai.questions) >= len(blocks)
