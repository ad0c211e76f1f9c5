"""The plugin of ``llm``: through the real command, and through llm's own Python interface."""

from __future__ import annotations

import asyncio
import base64
import importlib
import json
import logging
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import llm
import pytest
from click.testing import CliRunner
from llm.cli import cli
from llm.models import ServerSideTool
from llm.parts import ToolResultPart

from glmclient import (
    BadRequestError,
    ConfigurationError,
    Finish,
    Image,
    ProtocolError,
    ReasoningDelta,
    RewriteError,
    SchemaError,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Usage,
)
from glmclient.integrations import llm as plugin
from glmclient.providers import Capabilities, Provider, ServiceInfo, service, service_names
from glmclient.simulator import Refusal, Script, SimulatedRequest, Simulator

from ..documents import blocks_of

KEY = "0123456789abcdef0123456789abcdef.fromllmkeys12345"
MODEL = "glmclient/zai/glm-5.3"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SIMPLE = [ReasoningDelta("Let me see."), "Hello there", Finish("stop", Usage(3, 4, 7, 1, 2))]


@pytest.fixture(autouse=True)
def user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Give llm a folder of its own for keys and logs."""
    folder = tmp_path / "llm"
    monkeypatch.setenv("LLM_USER_PATH", str(folder))
    monkeypatch.delenv("ZAI_API_KEY", raising=False)
    return folder


@pytest.fixture
def zai(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A platform at the address that the environment names, with a key in ``llm keys``."""
    llm.user_dir().joinpath("keys.json").write_text(json.dumps({"zai": KEY}))
    with Simulator(SIMPLE, provider="zai", key=KEY) as simulator:
        monkeypatch.setenv("ZAI_BASE_URL", simulator.url)
        yield simulator


def command(*arguments: str | Path, code: int = 0) -> str:
    """Run ``llm`` in this process and return what it printed; an error's text if it is to fail."""
    run = CliRunner().invoke(cli, [str(each) for each in arguments])
    assert run.exit_code == code, run.output
    return run.stderr if code else run.stdout


def asked(simulator: Simulator) -> Any:
    return simulator.questions[-1].json


def calling(*calls: tuple[str, str], then: Any = "Done.") -> Any:
    """Return a script that asks for tools first, and answers when it has their results."""

    def answer(request: SimulatedRequest) -> Any:
        if request.json["messages"][-1]["role"] != "user":
            return then
        deltas = [ToolCallDelta(i, f"call-{i}", *call) for i, call in enumerate(calls)]
        return [ReasoningDelta("A tool."), *deltas, Finish("tool_calls")]

    return answer


# -- the command -------------------------------------------------------------------------------------------


def test_the_command_finds_the_plugin_by_itself(zai: Simulator) -> None:
    run = subprocess.run(
        [sys.executable, "-m", "llm", "-m", MODEL, "Hi"],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        timeout=120,
        check=False,
    )
    assert (run.returncode, run.stdout) == (0, "Hello there\n"), run.stderr
    assert "Let me see." in run.stderr


def test_every_model_of_every_service_is_listed() -> None:
    listed = command("models")
    for name in service_names():
        models = plugin._offline(service(name)).models
        for model_id in [f"glmclient/{name}/{model}" for model in models] or [f"glmclient/{name}"]:
            assert f": {model_id}" in listed
    assert "glmclient/zai/glm-5.3 (aliases: glmclient/zai)" in listed
    options = command("models", "--options", "-m", "glmclient/zai")
    for line in ("temperature: float", "thinking: boolean, str, dict", "- schemas", "- tools"):
        assert line in options
    assert "image/png" in options and "env_var: ZAI_API_KEY" in options


def test_a_question_with_a_stored_key_a_system_prompt_and_options(zai: Simulator) -> None:
    command("keys", "set", "zai", "--value", KEY)
    thinking = ("-o", "thinking", '{"type": "enabled"}')
    printed = command("-m", MODEL, "Hi", "-s", "Be kind", "-o", "temperature", "0.5", *thinking)
    assert printed == "Hello there\n"
    assert zai.questions[-1].headers["authorization"] == f"Bearer {KEY}"
    question = asked(zai)
    assert (question["model"], question["temperature"]) == ("glm-5.3", 0.5)
    assert question["thinking"] == {"type": "enabled"}
    assert [m["content"] for m in question["messages"]] == ["Be kind", "Hi"]
    (entry,) = json.loads(command("logs", "--json"))
    assert (entry["response"], entry["reasoning"]) == ("Hello there", "Let me see.")
    assert (entry["input_tokens"], entry["output_tokens"]) == (3, 4)
    assert json.loads(entry["token_details"]) == {"cached_tokens": 1, "reasoning_tokens": 2}
    assert entry["resolved_model"] == "glm-5.3"
    assert entry["response_json"]["finish"]["reason"] == "stop"
    assert KEY not in json.dumps(entry)


def test_a_conversation_goes_on_with_its_history(zai: Simulator) -> None:
    command("-m", MODEL, "Hi", "-s", "Be kind")
    command("-c", "And now?")
    roles = [(m["role"], m["content"]) for m in asked(zai)["messages"]]
    assert roles == [
        ("system", "Be kind"),
        ("user", "Hi"),
        ("assistant", "Hello there"),
        ("user", "And now?"),
    ]


def test_a_schema_gives_json(zai: Simulator) -> None:
    zai.say('Here it is:\n```json\n{"name": "Ada", "age": 36}\n```')
    printed = command("-m", MODEL, "Invent one", "--schema", "name, age int")
    assert json.loads(printed) == {"name": "Ada", "age": 36}
    assert asked(zai)["response_format"] == {"type": "json_object"}


def test_tools_run_until_the_answer(zai: Simulator) -> None:
    zai.say(calling(("llm_version", "{}")))
    assert "Done." in command("-m", MODEL, "Which version?", "-T", "llm_version", "--td")
    first, last = zai.questions[0].json, zai.questions[1].json
    assert [tool["function"]["name"] for tool in first["tools"]] == ["llm_version"]
    call, result = last["messages"][1:]
    assert call["tool_calls"][0]["function"] == {"name": "llm_version", "arguments": "{}"}
    assert call["reasoning_content"] == "A tool."
    assert (result["role"], result["tool_call_id"]) == ("tool", "call-0")
    assert result["content"] == importlib.metadata.version("llm")


def test_an_image_goes_along(zai: Simulator, tmp_path: Path) -> None:
    picture = tmp_path / "dot.png"
    picture.write_bytes(PIXEL)
    command("-m", "glmclient/zai/glm-4.6v", "What is it?", "-a", picture)
    text, image = asked(zai)["messages"][0]["content"]
    assert text == {"type": "text", "text": "What is it?"}
    encoded = base64.b64encode(PIXEL).decode()
    assert image == {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}


def test_a_refusal_is_shown(zai: Simulator) -> None:
    zai.say(Refusal("quota", "the balance is used up"))
    assert "the balance is used up" in command("-m", MODEL, "Hi", code=1)


def test_a_missing_key_names_the_command(user: Path) -> None:
    assert "llm keys set zai" in command("-m", MODEL, "Hi", code=1)


def test_an_unknown_option_is_refused() -> None:
    assert "Extra inputs are not permitted" in command("-m", MODEL, "Hi", "-o", "tmp", "1", code=1)


# -- keys and addresses ------------------------------------------------------------------------------------


def test_a_stored_key_follows_no_address_that_an_option_names(zai: Simulator) -> None:
    model = llm.get_model(MODEL)
    with Simulator("elsewhere", provider="zai") as other:
        with pytest.raises(llm.ModelError, match=r"goes to api\.z\.ai only.*--key zai"):
            model.prompt("Hi", base_url=other.url).text()
        assert other.received == 0
        assert model.prompt("Hi", base_url=other.url, key="zai").text() == "elsewhere"
        assert other.questions[-1].headers["authorization"] == f"Bearer {KEY}"


def test_a_service_for_any_address_never_gets_the_key_of_a_company() -> None:
    keys = {"openai": "sk-of-the-company", "glmclient-openai": "sk-of-mine"}
    path = llm.user_dir() / "keys.json"
    model = llm.get_model("glmclient/openai")
    with Simulator("Hi", provider="openai", models=["m1", "m2"]) as server:
        for stored, sent in ((keys, "Bearer sk-of-mine"), ({"openai": "sk-x"}, None)):
            path.write_text(json.dumps(stored))
            assert model.prompt("Hi", base_url=server.url).text() == "Hi"
            assert server.questions[-1].headers.get("authorization") == sent
        assert asked(server)["model"] == "m1"
        model.prompt("Hi", base_url=server.url, options={"model": "m2"}).text()
        assert asked(server)["model"] == "m2"


def test_the_models_of_a_server_are_asked_for_once() -> None:
    with Simulator("Hi", provider="openai", models=["m1", "vendor/m2"]) as server:
        listed = command("glmclient", "openai", "--base-url", server.url)
        assert listed.split() == ["glmclient/openai/m1", "glmclient/openai/vendor/m2"]
        assert command("-m", "glmclient/openai/vendor/m2", "Hi") == "Hi\n"
        assert asked(server)["model"] == "vendor/m2"
        assert llm.get_async_model("glmclient/openai/m1")
        received = server.received
        command("models")
        assert server.received == received
    with Simulator("Hi", provider="zai", models=["glm-5.3", "glm-9"], key="the.key") as platform:
        command("glmclient", "zai", "--base-url", platform.url, "--key", "the.key")
        assert command("-m", "glmclient/zai/glm-9", "Hi", "--key", "the.key") == "Hi\n"
        command("keys", "set", "zai", "--value", "the.key")
        assert "goes to api.z.ai only" in command("-m", "glmclient/zai/glm-9", "Hi", code=1)
        assert llm.get_model("glmclient/openai/m1")
        refused = command("glmclient", "zai", "--base-url", platform.url, code=1)
        assert "goes to api.z.ai only" in refused
        refused = command("glmclient", "zai", "--base-url", platform.url, "--key", "k", code=1)
        assert platform.url in refused


@pytest.mark.parametrize("content", ["{", "[]"])
def test_a_list_of_models_that_cannot_be_read(content: str, caplog: Any) -> None:
    llm.user_dir().joinpath("glmclient-models.json").write_text(content)
    assert llm.get_model(MODEL)
    assert ("is not JSON" in caplog.text) == (content == "{")


def test_a_token_that_may_not_leave_its_hosts_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    llm.user_dir().joinpath("keys.json").write_text('{"qwen": "hf_secret"}')
    with Simulator("Hi", provider="qwen") as space:
        assert llm.get_model("glmclient/qwen").prompt("Hi", base_url=space.url).text() == "Hi"
        assert not any("hf_secret" in str(request.headers) for request in space.requests)


def test_a_service_without_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator("Hi", provider="chatglm") as guest:
        monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", guest.url)
        model = llm.get_model("glmclient/chatglm")
        assert model.needs_key is None and not model.supports_tools
        assert model.supported_server_side_tools == () and not model.attachment_types
        assert model.prompt("Hi", system="Be kind").text() == "Hi"
        assert guest.prompts[-1] == "Be kind\n\nHi"


# -- the Python interface ----------------------------------------------------------------------------------


def both(model_id: str, *arguments: Any, **known: Any) -> Iterator[tuple[str, list[Any]]]:
    """Yield the text and llm's events of a question, from the blocking and from the asynchronous model."""
    response = llm.get_model(model_id).prompt(*arguments, **known)
    yield response.text(), response._stream_events

    async def ask() -> tuple[str, list[Any]]:
        response = llm.get_async_model(model_id).prompt(*arguments, **known)
        return await response.text(), response._stream_events

    yield asyncio.run(ask())


@pytest.mark.parametrize("stream", [True, False])
def test_text_and_reasoning_are_separate(zai: Simulator, stream: bool) -> None:
    zai.say([ReasoningDelta("Let "), ReasoningDelta("me."), TextDelta("One "), TextDelta("two")])
    for text, events in both(MODEL, "Hi", stream=stream):
        assert text == "One two"
        pieces = [(event.type, event.chunk) for event in events]
        if stream:
            assert pieces == [
                ("reasoning", "Let "),
                ("reasoning", "me."),
                ("text", "One "),
                ("text", "two"),
            ]
        else:
            assert pieces == [("reasoning", "Let me."), ("text", "One two")]


def test_a_schema_with_reasoning_and_one_that_the_answer_does_not_fit(zai: Simulator) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    zai.say([ReasoningDelta("Count."), '{"n": "seven"}'])
    for _ in range(2):
        with pytest.raises(SchemaError):
            next(both(MODEL, "Count", schema=schema))
    zai.say([ReasoningDelta("Count."), '{"n": 7}'])
    for text, events in both(MODEL, "Count", schema=schema):
        assert json.loads(text) == {"n": 7}
        assert events[0].type == "reasoning"


def test_a_schema_beside_tools(zai: Simulator) -> None:
    zai.say(calling(("add", '{"a": 1, "b": 2}'), then='{"sum": 3}'))
    schema = {"type": "object", "properties": {"sum": {"type": "integer"}}}

    def add(a: int, b: int) -> int:
        return a + b

    chain = llm.get_model(MODEL).chain("1 + 2?", tools=[add], schema=schema)
    assert json.loads(chain.text()) == {"sum": 3}
    assert zai.questions[-1].json["messages"][-1]["content"] == "3"


def test_what_llm_has_no_kind_for_is_in_its_record(monkeypatch: pytest.MonkeyPatch) -> None:
    with Simulator(["See:", Image("https://host/a.png")], provider="chatglm") as guest:
        monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", guest.url)
        response = llm.get_model("glmclient/chatglm/glm-4").prompt("Draw")
        assert response.text() == "See:"
        assert response.response_json["images"] == ["https://host/a.png"]


def test_an_answer_that_the_service_rewrites(monkeypatch: pytest.MonkeyPatch) -> None:
    rewritten = [TextDelta("Hello wurld"), TextReplace(7, "orld")]
    with Simulator(rewritten, provider="chatglm") as guest:
        monkeypatch.setenv("GLMCLIENT_CHATGLM_BASE_URL", guest.url)
        for text, _ in both("glmclient/chatglm/glm-4", "Hi", stream=False):
            assert text == "Hello world"
        with pytest.raises(RewriteError) as caught:
            next(both("glmclient/chatglm/glm-4", "Hi"))
        assert caught.value.partial.text == "Hello world"
        guest.say([TextDelta("Hello"), TextReplace(5, " w"), TextDelta("orld")])
        for text, _ in both("glmclient/chatglm/glm-4", "Hi"):
            assert text == "Hello world"


def test_a_refusal_keeps_its_class(zai: Simulator) -> None:
    zai.say(Refusal("bad_request"))
    with pytest.raises(BadRequestError):
        llm.get_model(MODEL).prompt("Hi").text()
    with pytest.raises(BadRequestError):
        asyncio.run(llm.get_async_model(MODEL).prompt("Hi").text())


def test_calls_without_an_id_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    response = llm.get_model(MODEL).prompt("Hi")
    writer = plugin._Writer(response)
    events = [
        each
        for delta in (ToolCallDelta(0, "", "f", ""), ToolCallDelta(0, "", "", "{}"))
        for each in writer.events(delta)
    ]
    assert [(e.type, e.tool_call_id) for e in events] == [
        ("tool_call_name", "call_0"),
        ("tool_call_args", "call_0"),
    ]


def test_arguments_that_are_not_json_are_an_error(zai: Simulator) -> None:
    zai.say([ToolCallDelta(0, "c", "f", '{"a": '), Finish("tool_calls")])
    tool = llm.Tool("f", input_schema={"type": "object", "properties": {}})
    with pytest.raises(ProtocolError, match="tool call 'f' is not JSON"):
        next(both(MODEL, "Hi", tools=[tool]))


def test_a_services_own_tool_passes_through(zai: Simulator) -> None:
    search = ServerSideTool({"type": "web_search", "web_search": {"enable": True}})
    for text, _ in both(MODEL, "Hi", tools=[search]):
        assert text == "Hello there"
        assert asked(zai)["tools"] == [{"type": "web_search", "web_search": {"enable": True}}]


def test_images_of_tools_follow_their_results(zai: Simulator) -> None:
    image = llm.Attachment(type="image/png", content=PIXEL)
    results = [
        llm.ToolResult("draw", "a dot", [image], "call-1"),
        llm.ToolResult("count", "1", [], "call-2"),
    ]
    next(both(MODEL, "", tool_results=results, messages=[llm.user("Draw a dot")]))
    messages = asked(zai)["messages"]
    assert [m["role"] for m in messages] == ["user", "tool", "tool", "user"]
    assert messages[-1]["content"][0]["image_url"]["url"].startswith("data:image/png;base64,")


def test_an_image_by_its_address_stays_an_address() -> None:
    image = llm.Attachment(type="image/png", url="https://host/a.png")
    content = plugin._content([plugin.AttachmentPart(image)])
    assert content == [{"type": "image_url", "image_url": {"url": "https://host/a.png"}}]


def test_results_of_the_services_own_tools_are_not_sent_again() -> None:
    part = ToolResultPart(name="f", output="1", tool_call_id="c")
    call = plugin.ToolCallPart("search", {}, "c", server_executed=True)
    assert plugin._answer([plugin.TextPart("Hi"), call]).tool_calls == ()
    assert [*plugin._results([part])] == [{"role": "tool", "tool_call_id": "c", "content": "1"}]


# -- other services ----------------------------------------------------------------------------------------


class Parrot(Provider):
    """A service of another distribution: it only says what it takes."""

    name = "parrot"
    default_url = "https://parrot.example"
    supports = Capabilities(options=frozenset({"volume", "tools"}))
    models = ()
    default_model = None

    def prepare(self, messages: Any, model: Any, options: Any) -> Any:
        raise ConfigurationError("it is never asked")

    def attempt(self, chat: Any, exchange: Any) -> Any:
        raise ConfigurationError("it is never asked")


class Broken(Parrot):
    def __init__(self, **arguments: Any) -> None:
        raise ConfigurationError("no such bird")


def test_a_service_that_cannot_be_made_keeps_llm_from_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [ServiceInfo("broken", Broken), ServiceInfo("parrot", Parrot, key="none")]
    monkeypatch.setattr(plugin, "services", lambda: iter(rows))
    registered: list[Any] = []
    with caplog.at_level(logging.WARNING):
        plugin.register_models(lambda *models, aliases: registered.append((*models, aliases)))
    ((model, asynchronous, aliases),) = registered
    assert model.model_id == asynchronous.model_id == "glmclient/parrot" and aliases == []
    assert "no such bird" in caplog.text
    assert "volume" in model.Options.model_fields and "tools" not in model.Options.model_fields


@pytest.mark.parametrize(
    ("value", "decoded"),
    [('{"a": 1}', {"a": 1}), (" [1]", [1]), ("{name}", "{name}"), ("5", "5"), (5, 5)],
)
def test_values_of_options(value: Any, decoded: Any) -> None:
    assert plugin._decoded(value) == decoded


def test_without_llm_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "llm", None)
    monkeypatch.delitem(sys.modules, "glmclient.integrations.llm")
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[llm\]'"):
        importlib.import_module("glmclient.integrations.llm")


# -- the page ----------------------------------------------------------------------------------------------


def test_the_page_is_true(zai: Simulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "chart.png").write_bytes(PIXEL)
    zai.say(Script(lambda request: page_answer(request), repeat=True))
    ran = 0
    with Simulator("Hi", provider="openai", models=["qwen3"]) as server:
        for block in blocks_of("llm.md", "console"):
            for line in block.replace("http://localhost:8000/v1", server.url).splitlines():
                if line.startswith("$ llm "):
                    command(*shlex.split(line)[2:])
                    ran += 1
        assert asked(server)["model"] == "qwen3"
    assert ran > 6
    for block in blocks_of("llm.md", "python"):
        exec(compile(block, "llm.md", "exec"), {})


def page_answer(request: SimulatedRequest) -> Any:
    if request.json.get("response_format"):
        return '{"name": "Ada", "age": 36}'
    if request.json.get("tools"):
        return calling(("llm_version", "{}"))(request)
    return SIMPLE
