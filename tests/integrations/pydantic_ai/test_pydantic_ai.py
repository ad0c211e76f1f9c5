"""The model of pydantic-ai, through its own ``Agent``."""

from __future__ import annotations

import asyncio
import importlib
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel
from pydantic_ai import (
    Agent,
    BinaryContent,
    ImageUrl,
    NativeOutput,
    PromptedOutput,
    ToolOutput,
    ToolReturn,
    exceptions,
)
from pydantic_ai.direct import model_request
from pydantic_ai.messages import (
    AudioUrl,
    CachePoint,
    ModelRequest,
    ModelResponse,
    RetryPromptPart,
    SystemPromptPart,
    TextContent,
    TextPart,
    ThinkingPart,
    ToolCallPart,
    UserPromptPart,
)
from pydantic_ai.models import ModelRequestParameters
from pydantic_ai.settings import ModelSettings, ToolOrOutput
from pydantic_ai.tools import Tool

from glmclient import (
    APIStatusError,
    AsyncClient,
    ConfigurationError,
    Finish,
    Image,
    ProtocolError,
    ReasoningDelta,
    RewriteError,
    TextDelta,
    TextReplace,
    Timeout,
    ToolCallDelta,
    Usage,
)
from glmclient.integrations.pydantic_ai import GLMModel, GLMModelSettings, _converted, _thinking
from glmclient.simulator import Cut, Pause, Refusal, Script, SimulatedRequest, Simulator

from ..documents import blocks_of

USAGE = Usage(12, 30, 42, 4, 20)


class City(BaseModel):
    name: str
    country: str


HANGZHOU = City(name="Hangzhou", country="China")


def answer(request: SimulatedRequest) -> list[Any]:
    """Call the last tool that is offered, give a city in JSON to those who want JSON, and talk to all others."""
    asked = request.json
    thought = [ReasoningDelta("Let me "), ReasoningDelta("think.")]
    if asked.get("tools") and asked["messages"][-1]["role"] == "user":
        function = asked["tools"][-1]["function"]
        texts = ["{"]
        for name in function["parameters"]["properties"]:
            value = getattr(HANGZHOU, name, "Hangzhou")
            texts.append(f'{"" if len(texts) == 1 else ", "}"{name}": "{value}"')
        first, *rest = [*texts, "}"]
        calls = [ToolCallDelta(0, "c1", function["name"], first)]
        calls += [ToolCallDelta(0, "", "", text) for text in rest]
        return [*thought, *calls, Finish("tool_calls", USAGE)]
    if asked.get("response_format"):
        return [*thought, HANGZHOU.model_dump_json(), Finish("stop", USAGE)]
    return [*thought, TextDelta("Hello "), TextDelta("there"), Finish("stop", USAGE)]


@pytest.fixture
def zai() -> Iterator[Simulator]:
    with Simulator(answer, provider="zai") as simulator:
        yield simulator


def model(simulator: Simulator, **arguments: Any) -> GLMModel:
    name = simulator.providers[0]
    key = {} if name == "chatglm" else {"api_key": "k.s"}
    named = {"model_name": "m"} if name == "openai" else {}
    known = {"provider": name, "base_url": simulator.url, **key, **named}
    return GLMModel(**{**known, **arguments})


def asked(simulator: Simulator) -> Any:
    return simulator.questions[-1].json


async def streamed(agent: Agent[None, Any], question: Any, **arguments: Any) -> Any:
    async with agent.run_stream(question, **arguments) as result:
        pieces = [piece async for piece in result.stream_text(delta=True, debounce_by=None)]
        return pieces, result.response


# -- answers -----------------------------------------------------------------------------------------------


def test_an_answer_with_thinking_usage_and_its_end(zai: Simulator) -> None:
    agent = Agent(model(zai), instructions="Be kind", system_prompt="You are Ada.")
    result = agent.run_sync("Hi")
    assert result.output == "Hello there"
    response = result.response
    assert response.parts == [ThinkingPart("Let me think."), TextPart("Hello there")]
    assert (response.model_name, response.provider_name) == ("glm-5.3", "zai")
    assert response.finish_reason == "stop" and response.provider_url == zai.url
    assert response.provider_response_id and response.provider_details["finish_reason"] == "stop"
    assert (result.usage.input_tokens, result.usage.output_tokens) == (12, 30)
    assert result.usage.cache_read_tokens == 4
    assert result.usage.details == {"reasoning_tokens": 20}
    assert [(m["role"], m["content"]) for m in asked(zai)["messages"]] == [
        ("system", "You are Ada."),
        ("system", "Be kind"),
        ("user", "Hi"),
    ]


def test_a_stream_has_the_same_parts(zai: Simulator) -> None:
    pieces, response = asyncio.run(streamed(Agent(model(zai)), "Hi"))
    assert pieces == ["Hello ", "there"]
    assert [part.content for part in response.parts] == ["Let me think.", "Hello there"]
    assert response.state == "complete" and response.finish_reason == "stop"
    assert (response.model_name, response.provider_name) == ("glm-5.3", "zai")
    assert response.usage.input_tokens == 12 and response.timestamp
    assert response.provider_url == zai.url and response.provider_response_id


def test_usage_that_the_service_does_not_report() -> None:
    with Simulator(["See:", Image("https://host/a.png")], provider="chatglm") as guest:
        result = Agent(model(guest)).run_sync("Draw")
        assert result.usage.unmeasured_requests == 1
        assert result.response.provider_details["images"] == ["https://host/a.png"]
        _, response = asyncio.run(streamed(Agent(model(guest)), "Draw"))
        assert response.usage.unmeasured_requests == 1
        assert response.provider_details["images"] == ["https://host/a.png"]


def test_a_stream_that_is_left_or_cancelled_releases_its_connection() -> None:
    async def leave(agent: Agent[None, str]) -> None:
        async with agent.run_stream("Hi") as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                break

    async def cancel(chat: GLMModel) -> str:
        async with Agent(chat).run_stream("Hi") as result:
            async for _ in result.stream_text(delta=True, debounce_by=None):
                await result.cancel()
            return result.response.state

    with Simulator(["word " * 2000], provider="zai", delay=0.01) as slow:
        asyncio.run(leave(Agent(model(slow))))
        assert slow.wait_for_disconnects(1)
        assert asyncio.run(cancel(model(slow))) == "interrupted"
        assert slow.wait_for_disconnects(2)


def test_an_answer_that_the_service_rewrites() -> None:
    with Simulator([TextDelta("Hello wurld"), TextReplace(7, "orld")], provider="chatglm") as guest:
        assert Agent(model(guest)).run_sync("Hi").output == "Hello world"
        with pytest.raises(exceptions.UnexpectedModelBehavior) as caught:
            asyncio.run(streamed(Agent(model(guest)), "Hi"))
        assert isinstance(caught.value.__cause__, RewriteError)
        guest.say([TextDelta("Hello"), TextReplace(5, " w"), TextDelta("orld")])
        assert "".join(asyncio.run(streamed(Agent(model(guest)), "Hi"))[0]) == "Hello world"


# -- tools and output --------------------------------------------------------------------------------------


@pytest.mark.parametrize("stream", [True, False])
def test_tools_run_until_the_answer(zai: Simulator, stream: bool) -> None:
    agent = Agent(model(zai))

    @agent.tool_plain
    def weather(city: str) -> str:
        """Tell the weather."""
        return f"Sunny in {city}"

    if stream:
        assert asyncio.run(streamed(agent, "And there?"))[0][-1] == "there"
    else:
        assert agent.run_sync("And there?").output == "Hello there"
    question, call, result = asked(zai)["messages"]
    assert question["content"] == "And there?"
    assert call["reasoning_content"] == "Let me think."
    assert call["tool_calls"][0]["id"] == result["tool_call_id"] == "c1"
    assert result["content"] == "Sunny in Hangzhou"
    (tool,) = asked(zai)["tools"]
    assert tool["function"]["description"] == "Tell the weather."


@pytest.mark.parametrize("provider", ["zai", "openai"])
@pytest.mark.parametrize("form", [City, NativeOutput(City), PromptedOutput(City)])
def test_output_by_tool_natively_and_by_prompt(provider: str, form: Any) -> None:
    with Simulator(answer, provider=provider) as service:
        agent = Agent(model(service), output_type=form)
        assert agent.run_sync("Where is West Lake?").output == HANGZHOU
        question = asked(service)
        if form is City:
            assert "response_format" not in question
            forced = question.get("tool_choice") == "required"
            instructed = "a call of the tool final_result" in question["messages"][0]["content"]
            assert (forced, instructed) == (provider == "openai", provider == "zai")
        elif provider == "openai" and isinstance(form, NativeOutput):
            assert question["response_format"]["type"] == "json_schema"
        else:
            assert question["response_format"] == {"type": "json_object"}

        async def ask() -> Any:
            async with agent.run_stream("Where is West Lake?") as result:
                return await result.get_output()

        assert asyncio.run(ask()) == HANGZHOU


def test_a_service_without_tools_gives_values_natively() -> None:
    said = "It is this: " + HANGZHOU.model_dump_json()
    with Simulator(said, provider="chatglm") as guest:
        assert Agent(model(guest), output_type=City).run_sync("Where?").output == HANGZHOU
        assert "JSON Schema" in guest.prompts[-1]
        assert Agent(model(guest), output_type=PromptedOutput(str | City))  # accepted
        guest.say(HANGZHOU.model_dump_json())
        assert (
            Agent(model(guest), output_type=PromptedOutput(City)).run_sync("W").output == HANGZHOU
        )
        with pytest.raises(exceptions.UserError, match="Tool output is not supported"):
            Agent(model(guest), output_type=ToolOutput(City)).run_sync("Where?")


def test_a_value_that_does_not_fit_is_sent_back_by_pydantic_ai(zai: Simulator) -> None:
    zai.say(Script('{"name": 5}', HANGZHOU.model_dump_json()))
    assert Agent(model(zai), output_type=NativeOutput(City)).run_sync("Where?").output == HANGZHOU
    assert len(zai.questions) == 2


CHOICES: list[tuple[Any, Any, list[str]]] = [
    ("auto", None, ["a", "b"]),
    ("none", None, []),
    (["b"], "required", ["b"]),
    (ToolOrOutput(function_tools=["a"]), None, ["a"]),
]


@pytest.mark.parametrize(("choice", "sent", "names"), CHOICES)
def test_choices_of_tools(choice: Any, sent: Any, names: list[str]) -> None:
    def a() -> str:
        return "a"

    def b() -> str:
        return "b"

    with Simulator("Done.", provider="openai") as service:
        parameters = ModelRequestParameters(function_tools=[Tool(a).tool_def, Tool(b).tool_def])
        messages = [ModelRequest([UserPromptPart("Hi")])]
        asyncio.run(model(service).request(messages, {"tool_choice": choice}, parameters))
        question = asked(service)
        assert [tool["function"]["name"] for tool in question.get("tools", [])] == names
        assert question.get("tool_choice") == sent


def test_a_function_must_be_called() -> None:
    def a() -> str:
        return "a"

    async def ask(chat: GLMModel) -> None:
        tool = Tool(a).tool_def
        parameters = ModelRequestParameters(function_tools=[tool], output_tools=[tool])
        messages = [ModelRequest([UserPromptPart("Hi")])]
        await chat.request(messages, {"tool_choice": "required"}, parameters)

    with Simulator("Done.", provider="openai") as service:
        asyncio.run(ask(model(service)))
        assert asked(service)["tool_choice"] == "required"
        assert len(asked(service)["tools"]) == 1


# -- settings ----------------------------------------------------------------------------------------------


def test_settings_become_options(zai: Simulator) -> None:
    settings = GLMModelSettings(
        temperature=0.2,
        max_tokens=9,
        stop_sequences=["X"],
        thinking="high",
        timeout=30,
        max_retries=0,
        glmclient_options={"do_sample": True},
    )
    Agent(model(zai)).run_sync("Hi", model_settings=settings)
    question = asked(zai)
    assert (question["temperature"], question["max_tokens"], question["stop"]) == (0.2, 9, ["X"])
    assert question["thinking"] == {"type": "enabled"} and question["reasoning_effort"] == "high"
    assert question["do_sample"] is True
    zai.say(Refusal("rate_limit", retry_after=0))
    with pytest.raises(exceptions.ModelRateLimitError) as caught:
        Agent(model(zai)).run_sync("Hi", model_settings=settings)
    assert isinstance(caught.value.__cause__, APIStatusError)
    assert caught.value.__cause__.attempts == 1


def test_a_setting_that_the_provider_cannot_honour(zai: Simulator) -> None:
    before = zai.received
    with pytest.raises(exceptions.UserError, match="parallel_tool_calls"):
        Agent(model(zai)).run_sync("Hi", model_settings={"parallel_tool_calls": True})
    assert zai.received == before


@pytest.mark.parametrize(
    ("level", "takes", "options"),
    [
        (None, {"thinking"}, {}),
        (False, {"thinking"}, {"thinking": False}),
        ("low", {"thinking", "reasoning_effort"}, {"thinking": True, "reasoning_effort": "low"}),
        (True, {"enable_thinking"}, {"enable_thinking": True}),
        (False, {"reasoning_effort"}, {"reasoning_effort": "none"}),
        ("high", {"reasoning_effort"}, {"reasoning_effort": "high"}),
        (True, set(), {}),
    ],
)
def test_one_setting_for_thinking(level: Any, takes: set[str], options: dict[str, Any]) -> None:
    assert _thinking(level, frozenset(takes)) == options


def test_a_client_of_the_caller(zai: Simulator) -> None:
    async def ask() -> str:
        async with zai.async_client() as client, GLMModel(client=client) as chat:
            assert (chat.model_name, chat.system, chat.base_url) == ("glm-5.3", "zai", zai.url)
            return (await Agent(chat).run("Hi")).output

    assert asyncio.run(ask()) == "Hello there"
    with pytest.raises(ConfigurationError, match="exclude each other"):
        GLMModel(client=AsyncClient(), api_key="k")
    with Simulator("Hi", provider="openai") as local:
        chat = GLMModel(provider="openai", base_url=local.url)
        assert chat.model_name == "default"
        assert Agent(chat).run_sync("Hi").output == "Hi"
        assert GLMModel(provider="openai", base_url=local.url, model="qwen3").model_name == "qwen3"


# -- messages ----------------------------------------------------------------------------------------------


def test_images_and_text_of_users_and_tools(zai: Simulator) -> None:
    picture = BinaryContent(b"\x89PNG", media_type="image/png")
    agent = Agent(model(zai, model_name="glm-4.6v"))

    @agent.tool_plain
    def photograph(city: str) -> ToolReturn:
        """Take a picture."""
        return ToolReturn(return_value=picture)

    zai.say(Script(answer, "A picture."))
    address = ImageUrl("https://host/a.png")
    agent.run_sync(["What is it?", TextContent("Look."), address, picture, CachePoint()])
    user, _, result, images = asked(zai)["messages"]
    assert user["content"] == [
        {"type": "text", "text": "What is it?"},
        {"type": "text", "text": "Look."},
        {"type": "image_url", "image_url": {"url": "https://host/a.png"}},
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw=="}},
    ]
    assert "See file" in result["content"]
    assert any(part["type"] == "image_url" for part in images["content"])


def test_a_file_that_is_no_image_is_refused(zai: Simulator) -> None:
    for item in (
        AudioUrl("https://host/a.mp3"),
        BinaryContent(b"%PDF", media_type="application/pdf"),
    ):
        with pytest.raises(exceptions.UserError, match="images are the only files"):
            Agent(model(zai)).run_sync(["Hear", item])
    assert zai.received == 0


def test_histories_with_calls(zai: Simulator) -> None:
    history = [
        ModelRequest([SystemPromptPart("Be kind"), UserPromptPart("Hi")]),
        ModelResponse([ThinkingPart("Hm."), TextPart("A"), ToolCallPart("f", {"x": 1}, "c9")]),
    ]
    system, user, reply = [each for message in history for each in _converted(message)]
    assert (system["content"], user["content"]) == ("Be kind", "Hi")
    assert reply["reasoning_content"] == "Hm." and reply["content"] == "A"
    assert reply["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"x":1}'}


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_part_that_pydantic_ai_has_not_prepared(zai: Simulator) -> None:
    with pytest.raises(exceptions.UserError, match="prepare_messages"):
        asyncio.run(
            model(zai).request(
                [ModelRequest([RetryPromptPart("again")])],
                None,
                ModelRequestParameters(),
            )
        )


def test_a_direct_request_without_an_agent(zai: Simulator) -> None:
    response = asyncio.run(model_request(model(zai), [ModelRequest.user_text_prompt("Hi")]))
    assert response.text == "Hello there"


# -- errors ------------------------------------------------------------------------------------------------

REFUSALS: list[tuple[Any, type[Exception], int]] = [
    ("rate_limit", exceptions.ModelRateLimitError, 429),
    ("quota", exceptions.ModelQuotaExceededError, 429),
    ("authentication", exceptions.ModelAuthenticationError, 401),
    ("permission", exceptions.ModelAuthenticationError, 403),
    ("not_found", exceptions.ModelNotFoundError, 404),
    ("bad_request", exceptions.ModelRequestRejectedError, 400),
    ("server", exceptions.ModelServerError, 500),
]


@pytest.mark.parametrize(("kind", "category", "status"), REFUSALS)
@pytest.mark.parametrize("stream", [True, False])
def test_refusals_are_those_of_pydantic_ai(
    kind: Any, category: type[Exception], status: int, stream: bool
) -> None:
    with Simulator(Refusal(kind), provider="openai") as service:
        agent = Agent(model(service, retry=None))
        with pytest.raises(exceptions.ModelHTTPError) as caught:
            asyncio.run(streamed(agent, "Hi")) if stream else agent.run_sync("Hi")
        error = caught.value
        assert isinstance(error, category) and error.status_code == status
        assert isinstance(error.__cause__, APIStatusError)
        assert error.body and not error.in_stream


def test_a_refusal_inside_a_stream_has_the_status_of_its_kind() -> None:
    broken = [TextDelta("Hello"), Refusal("rate_limit")]
    with Simulator(broken, provider="zai") as service:
        with pytest.raises(exceptions.ModelRateLimitError) as caught:
            asyncio.run(streamed(Agent(model(service)), "Hi"))
        assert caught.value.in_stream and caught.value.status_code == 429


def test_connections_limits_and_frames() -> None:
    cases: list[tuple[Any, type[Exception]]] = [
        ([TextDelta("Hel"), Cut()], exceptions.ModelConnectionError),
        ([Cut()], exceptions.ModelConnectionError),
        ([Pause(5)], exceptions.ModelTimeoutError),
        ([b"data: {broken\n\n"], exceptions.UnexpectedModelBehavior),
    ]
    for script, kind in cases:
        with Simulator(script, provider="openai") as service:
            chat = model(service, timeout=Timeout(first_event=0.3), retry=None)
            with pytest.raises(kind) as caught:
                asyncio.run(streamed(Agent(chat), "Hi"))
            if kind is exceptions.UnexpectedModelBehavior:
                assert isinstance(caught.value.__cause__, ProtocolError)
            with pytest.raises(kind):
                Agent(chat).run_sync("Hi")


def test_settings_of_the_model_itself(zai: Simulator) -> None:
    chat = model(zai, settings=ModelSettings(temperature=0.7), profile={"supports_tools": False})
    Agent(chat).run_sync("Hi")
    assert asked(zai)["temperature"] == 0.7
    with pytest.raises(exceptions.UserError):
        Agent(chat, output_type=City).run_sync("Hi")


# -- the extra, and the page -------------------------------------------------------------------------------


def test_without_pydantic_ai_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic_ai", None)
    monkeypatch.delitem(sys.modules, "glmclient.integrations.pydantic_ai")
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[pydantic-ai\]'"):
        importlib.import_module("glmclient.integrations.pydantic_ai")


def test_the_page_is_true(zai: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZAI_BASE_URL", zai.url)
    monkeypatch.setenv("ZAI_API_KEY", "documents.key")
    blocks = blocks_of("pydantic_ai.md", "python")
    namespace: dict[str, Any] = {}
    for block in blocks:
        exec(compile(block, "pydantic_ai.md", "exec"), namespace)
    assert len(blocks) > 2 and len(zai.questions) > 3
