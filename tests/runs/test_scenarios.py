"""What the public tests of pydantic-ai, instructor and openai ask of typed answers and tools, on every client.

The facts are theirs: the types, the answers of the model and what has to come out. The tests are written anew.
"""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import pydantic
import pytest

from glmclient import (
    Finish,
    MaxRoundsExceeded,
    SchemaError,
    ToolCall,
    ToolResult,
    Usage,
)
from glmclient.testing import Script

from ..schemas.modes import MODES
from .modes import run_body

each_mode = pytest.mark.parametrize("mode", MODES)


class Location(pydantic.BaseModel):
    city: str
    temperature: float
    units: Literal["c", "f"]


class Color(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Item(pydantic.BaseModel):
    color: Color
    name: str | None = None


@pydantic.dataclasses.dataclass
class Step:
    explanation: str
    output: str


class Solution(pydantic.BaseModel):
    steps: list[Step]
    final_answer: str


class Search(pydantic.BaseModel):
    kind: Literal["search"]
    query: str


class Lookup(pydantic.BaseModel):
    kind: Literal["lookup"]
    key: int


class Maybe(pydantic.BaseModel):
    result: Location | None = None
    error: bool = False


class Upper(pydantic.BaseModel):
    name: str

    @pydantic.field_validator("name")
    @classmethod
    def is_upper(cls, value: str) -> str:
        if not value.isupper():
            raise ValueError("the name must be in capital letters")
        return value


class Movie(TypedDict):
    title: str
    year: int


@dataclasses.dataclass
class Invoice:
    total: Annotated[float, pydantic.Field(gt=0)]
    due: datetime.date


T = TypeVar("T")


class Envelope(pydantic.BaseModel, Generic[T]):
    content: T


class Folder(pydantic.BaseModel):
    name: str
    folders: list[Folder] = []


LOCATION = '{"city": "San Francisco", "temperature": 65, "units": "f"}'
SF = Location(city="San Francisco", temperature=65, units="f")
STEPS = '{"steps": [{"explanation": "a", "output": "b"}], "final_answer": "x = 2"}'

VALUES: list[Any] = [
    # openai
    pytest.param(Location, [LOCATION], SF, id="a model"),
    pytest.param(Item, ['{"color": "red"}'], Item(color=Color.RED), id="an enumeration"),
    pytest.param(Item, ['{"color": "blue", "name": null}'], Item(color=Color.BLUE), id="a null"),
    pytest.param(
        Solution,
        [STEPS],
        Solution(steps=[Step("a", "b")], final_answer="x = 2"),
        id="a model with pydantic dataclasses",
    ),
    pytest.param(Step, ['{"explanation": "a", "output": "b"}'], Step("a", "b"), id="a dataclass"),
    # instructor
    pytest.param(list[Location], [f"[{LOCATION}, {LOCATION}]"], [SF, SF], id="a list of models"),
    pytest.param(
        Search | Lookup,
        ['{"kind": "lookup", "key": 3}'],
        Lookup(kind="lookup", key=3),
        id="a union of models",
    ),
    pytest.param(
        list[Search | Lookup],
        ['[{"kind": "search", "query": "q"}, {"kind": "lookup", "key": 1}]'],
        [Search(kind="search", query="q"), Lookup(kind="lookup", key=1)],
        id="tasks of several kinds",
    ),
    pytest.param(Maybe, [f'{{"result": {LOCATION}}}'], Maybe(result=SF), id="an optional model"),
    pytest.param(Maybe, ['{"error": true}'], Maybe(error=True), id="nothing was found"),
    pytest.param(
        Upper, ['{"name": "jason"}', '{"name": "JASON"}'], Upper(name="JASON"), id="a validator"
    ),
    pytest.param(
        Location, [f"Sure! Here you are:\n\n```json\n{LOCATION}\n```\n\nBye."], SF, id="a fence"
    ),
    pytest.param(Location, [f"<think>hm {{}}</think>{LOCATION}"], SF, id="thoughts before"),
    pytest.param(Literal["spam", "ham"], ['"spam"'], "spam", id="a class"),
    pytest.param(int, ['{"value": 5}'], 5, id="a number"),
    pytest.param(bool, ["true"], True, id="a truth value"),
    pytest.param(float, ["2.5"], 2.5, id="a fraction"),
    pytest.param(str, ['{"value": "x"}'], "x", id="a text"),
    pytest.param(list[str], ['["a", "b"]'], ["a", "b"], id="a list of texts"),
    pytest.param(dict[str, int], ['{"a": 1}'], {"a": 1}, id="a mapping"),
    pytest.param(Location, [LOCATION[:-5], LOCATION], SF, id="cut JSON is repaired"),
    pytest.param(Location, ["I cannot.", LOCATION], SF, id="prose is repaired"),
    # pydantic-ai
    pytest.param(tuple[str, int], ['["a", 1]'], ("a", 1), id="a tuple"),
    pytest.param(
        Movie, ['{"title": "M", "year": 1931}'], {"title": "M", "year": 1931}, id="a dict"
    ),
    pytest.param(
        Invoice,
        ['{"total": 0, "due": "2026-01-02"}', '{"total": 1, "due": "2026-01-02"}'],
        Invoice(1.0, datetime.date(2026, 1, 2)),
        id="bounds and dates",
    ),
    pytest.param(
        Envelope[Location],
        [f'{{"content": {LOCATION}}}'],
        Envelope[Location](content=SF),
        id="a generic",
    ),
    pytest.param(
        Folder,
        ['{"name": "a", "folders": [{"name": "b", "folders": []}]}'],
        Folder(name="a", folders=[Folder(name="b")]),
        id="a tree",
    ),
]


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai"])
@pytest.mark.parametrize(("kind", "answers", "expected"), VALUES)
def test_typed_answers(
    mode: str, provider: str, kind: Any, answers: list[str], expected: Any
) -> None:
    async def body(client: Any) -> Any:
        return (await client.chat("?", schema=kind)).parsed

    value, sent = run_body(mode, Script(*answers), body, provider)
    assert value == expected
    assert type(value) is type(expected)
    assert len(sent) == len(answers)


@each_mode
def test_problems_are_those_of_the_last_answer(mode: str) -> None:
    async def body(client: Any) -> None:
        with pytest.raises(SchemaError) as caught:
            await client.chat("?", schema=Upper, repair=2)
        assert "capital letters" in caught.value.problems[0].message
        assert caught.value.partial.text == '{"name": "c"}'
        assert caught.value.partial.usage == Usage(3, 3, 6)

    script = Script(*([f'{{"name": "{name}"}}', Finish("stop", Usage(1, 1, 2))] for name in "abc"))
    _, sent = run_body(mode, script, body)
    assert "capital letters" in sent[1]["messages"][-1]["content"]


# -- tools -----------------------------------------------------------------------------------------


def get_weather(city: str, units: Literal["c", "f"] = "c", days: int | None = None) -> str:
    """Return the weather.

    Args:
        city: the city.
        units: of the temperature.
    """
    return f"{city} {units} {days}"


def find_person(person: Location) -> Location:
    """Take and return a model."""
    return person


def total(values: list[int]) -> int:
    """Add numbers."""
    return sum(values)


def nothing() -> None:
    """Do nothing."""


def broken(text: str) -> str:
    """Fail."""
    raise LookupError(f"no {text}")


def call(number: int, name: str, arguments: str) -> ToolCall:
    return ToolCall(f"call_{number}", name, arguments)


CALLS: list[Any] = [
    pytest.param("get_weather", '{"city": "Oslo"}', "Oslo c None", False, id="defaults"),
    pytest.param("get_weather", '{"city": "A", "days": null}', "A c None", False, id="a null"),
    pytest.param("get_weather", '{"city": "A", "units": "f", "days": 2}', "A f 2", False, id="all"),
    pytest.param("get_weather", '{"city": "A", "units": "k"}', "$.units", True, id="not a literal"),
    pytest.param("get_weather", "{}", "$.city", True, id="missing"),
    pytest.param("get_weather", '{"city": "A", "zip": 1}', "$.zip", True, id="too many"),
    pytest.param("get_weather", '{"city": ', "JSON", True, id="cut"),
    pytest.param(
        "find_person", f'{{"person": {LOCATION}}}', '"San Francisco"', False, id="a model"
    ),
    pytest.param("find_person", '{"person": {"city": 1}}', "$.person.", True, id="a wrong model"),
    pytest.param("total", '{"values": [1, 2, 3]}', "6", False, id="a list"),
    pytest.param("total", '{"values": [1, "x"]}', "$.values[1]", True, id="a wrong list"),
    pytest.param("nothing", "", "null", False, id="no arguments"),
    pytest.param("nothing", "{}", "null", False, id="empty arguments"),
    pytest.param("broken", '{"text": "row"}', "no row", True, id="an exception"),
    pytest.param("unknown", "{}", "'unknown'", True, id="an unknown tool"),
]
TOOLS = [get_weather, find_person, total, nothing, broken]


@each_mode
@pytest.mark.parametrize("provider", ["openai", "zai"])
@pytest.mark.parametrize(("name", "arguments", "content", "is_error"), CALLS)
def test_calls(
    mode: str, provider: str, name: str, arguments: str, content: str, is_error: bool
) -> None:
    async def body(client: Any) -> Any:
        run = client.run("?", TOOLS)
        events = [event async for event in run]
        assert (await run.reply()).text == "done"
        return [event for event in events if isinstance(event, ToolResult)]

    script = Script([call(1, name, arguments)], "done")
    (result,), sent = run_body(mode, script, body, provider)
    assert content in result.content
    assert result.is_error == is_error
    assert sent[1]["messages"][-1] == {
        "role": "tool",
        "tool_call_id": "call_1",
        "content": result.content,
    }


@each_mode
def test_the_model_corrects_its_arguments(mode: str) -> None:
    async def body(client: Any) -> Any:
        run = client.run("?", TOOLS)
        await run.reply()
        return [m["content"] for m in run.messages if m["role"] == "tool"]

    script = Script(
        [call(1, "total", '{"values": "1, 2"}')], [call(2, "total", '{"values": [1, 2]}')], "3"
    )
    contents, _ = run_body(mode, script, body)
    assert contents[1] == "3"


@each_mode
def test_several_tools_several_rounds_and_a_typed_answer(mode: str) -> None:
    async def body(client: Any) -> Any:
        run = client.run("?", TOOLS, schema=Location)
        reply = await run.reply()
        assert run.usage == Usage(3, 3, 6)
        return reply.parsed, [message["role"] for message in run.messages]

    usage = Usage(1, 1, 2)
    script = Script(
        [
            call(1, "get_weather", '{"city": "Oslo"}'),
            call(2, "total", '{"values": [1]}'),
            Finish("tool_calls", usage),
        ],
        ["Once more.", call(3, "nothing", ""), Finish("tool_calls", usage)],
        [LOCATION, Finish("stop", usage)],
    )
    (value, roles), _ = run_body(mode, script, body)
    assert value == SF
    assert roles == ["user", "assistant", "tool", "tool", "assistant", "tool", "assistant"]


@each_mode
def test_the_history_of_one_run_begins_the_next(mode: str) -> None:
    async def body(client: Any) -> Any:
        run = client.run("?", TOOLS)
        await run.reply()
        again = client.run([*run.messages, {"role": "user", "content": "more"}], TOOLS)
        await again.reply()
        return again.messages

    script = Script([call(1, "nothing", "")], "one", [call(2, "nothing", "")], "two")
    messages, _ = run_body(mode, script, body)
    assert [message["content"] for message in messages if message["role"] != "tool"] == [
        *("?", "", "one", "more", "", "two"),
    ]


@each_mode
def test_a_model_that_never_answers_is_stopped(mode: str) -> None:
    async def body(client: Any) -> None:
        with pytest.raises(MaxRoundsExceeded):
            await client.run("?", TOOLS).reply()

    _, sent = run_body(mode, [call(1, "nothing", "")], body)
    assert len(sent) == 8


@each_mode
def test_tools_are_described_strictly_enough_for_servers(mode: str) -> None:
    async def body(client: Any) -> None:
        await client.run("?", TOOLS).reply()

    _, sent = run_body(mode, "done", body)
    functions = [tool["function"] for tool in sent[0]["tools"]]
    assert [each["name"] for each in functions] == [tool.__name__ for tool in TOOLS]
    assert all(each["parameters"]["additionalProperties"] is False for each in functions)
    assert "$ref" not in json.dumps(functions)
    weather = functions[0]["parameters"]
    assert weather["required"] == ["city"]
    assert weather["properties"]["units"]["enum"] == ["c", "f"]
    assert weather["properties"]["city"]["description"] == "the city."
