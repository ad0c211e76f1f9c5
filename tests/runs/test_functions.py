"""Functions as tools: what the model sees of them, and how they are called."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import functools
import json
from collections.abc import Callable
from typing import Annotated, Any, Literal, TypedDict

import msgspec
import pydantic
import pytest

import glmclient
from glmclient import ConfigurationError, ToolCall
from glmclient.runs import functions
from glmclient.runs.functions import BadArguments, Tool, content_of, described, tools_of


def parameters(function: Callable[..., Any]) -> dict[str, Any]:
    return dict(glmclient.tool(function).parameters)


def called(function: Any, arguments: Any) -> Any:
    tool = function if isinstance(function, Tool) else glmclient.tool(function)
    text = arguments if isinstance(arguments, str) else json.dumps(arguments)
    return tool.bound(ToolCall("c", tool.name, text))()


class Unit(enum.Enum):
    CELSIUS = "c"
    FAHRENHEIT = "f"


@dataclasses.dataclass
class Place:
    city: str
    country: str = "NO"


class Person(pydantic.BaseModel):
    name: str
    age: int = pydantic.Field(ge=0)


class Row(TypedDict):
    day: datetime.date


class Point(msgspec.Struct):
    x: int


def google(city: str, days: int = 3) -> str:
    """Return the forecast.

    It is made twice a day.

    Args:
        city: where, such as "Oslo".
        days: how many.

    Returns:
        Words.
    """
    return f"{city} {days}"


def numpy(city: str, days: int = 3) -> str:
    """Return the forecast.

    It is made twice a day.

    Parameters
    ----------
    city : str
        where, such as "Oslo".
    days : int
        how many.

    Returns
    -------
    str
        Words.
    """
    return f"{city} {days}"


def rest(city: str, days: int = 3) -> str:
    """Return the forecast.

    It is made twice a day.

    :param city: where, such as "Oslo".
    :param days: how many.
    :returns: Words.
    """
    return f"{city} {days}"


@pytest.mark.parametrize("function", [google, numpy, rest])
def test_docstrings_in_three_styles(function: Callable[..., Any]) -> None:
    tool = glmclient.tool(function)
    assert tool.name == function.__name__
    assert tool.description == "Return the forecast.\n\nIt is made twice a day."
    assert tool.parameters == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "description": 'where, such as "Oslo".'},
            "days": {"type": "integer", "description": "how many.", "default": 3},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert called(function, {"city": "Oslo"}) == "Oslo 3"
    assert called(function, {"city": "Oslo", "days": 1}) == "Oslo 1"


def test_a_function_without_docstring_or_annotations() -> None:
    def plain(a, b=None):  # type: ignore[no-untyped-def]
        return [a, b]

    tool = glmclient.tool(plain)
    assert tool.description == ""
    assert "description" not in tool.description_mapping()["function"]
    assert set(tool.parameters["properties"]) == {"a", "b"}
    assert called(plain, {"a": {"any": [1]}}) == [{"any": [1]}, None]


@pytest.mark.parametrize(
    ("annotation", "data", "value"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (str | None, None, None),
        (Literal["a", "b"], "b", "b"),
        (Unit, "f", Unit.FAHRENHEIT),
        (list[Place], [{"city": "Oslo"}], [Place("Oslo")]),
        (dict[str, Point], {"a": {"x": 1}}, {"a": Point(1)}),
        (Row, {"day": "2026-01-02"}, {"day": datetime.date(2026, 1, 2)}),
        (Person, {"name": "A", "age": 1}, Person(name="A", age=1)),
        (list[Person], [{"name": "A", "age": 1}], [Person(name="A", age=1)]),
        (
            datetime.datetime,
            "2026-01-02T03:04:05Z",
            datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
        ),
        (Annotated[int, msgspec.Meta(ge=1)], 1, 1),
        (Annotated[int, pydantic.Field(ge=1)], 1, 1),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 1], {1}),
        (Any, {"x": 1}, {"x": 1}),
    ],
)
def test_arguments_are_converted_to_the_annotations(annotation: Any, data: Any, value: Any) -> None:
    def function(argument):  # type: ignore[no-untyped-def]
        return argument

    function.__annotations__["argument"] = annotation
    assert called(function, {"argument": data}) == value


@pytest.mark.parametrize(
    ("annotation", "data", "place"),
    [
        (int, "three", "$.argument"),
        (list[Place], [{"city": 1}], "$.argument[0].city"),
        (list[Person], [{"name": "A", "age": -1}], "$.argument[0].age"),
        (Unit, "kelvin", "$.argument"),
        (Annotated[int, msgspec.Meta(ge=1)], 0, "$.argument"),
    ],
)
def test_arguments_that_do_not_fit_name_their_place(annotation: Any, data: Any, place: str) -> None:
    def function(argument):  # type: ignore[no-untyped-def]
        return argument

    function.__annotations__["argument"] = annotation
    with pytest.raises(BadArguments) as caught:
        called(function, {"argument": data})
    assert f"{place}: " in str(caught.value)


def test_defaults_and_notes_are_told() -> None:
    def function(
        a: Annotated[str, "the city"],
        b: Place = Place("Oslo"),  # noqa: B008 - told to the model
        c: Any = object,
        d: Annotated[int, pydantic.Field(description="days")] = 1,
    ) -> None:
        """Do it.

        Args:
            b: a place.
        """

    properties = parameters(function)["properties"]
    assert properties["a"]["description"] == "the city"
    assert properties["b"]["description"] == "a place."
    assert properties["b"]["default"] == {"city": "Oslo", "country": "NO"}
    assert "default" not in properties["c"]
    assert properties["d"] == {"type": "integer", "description": "days", "default": 1}


def test_references_of_arguments_are_inlined() -> None:
    def move(person: Person, place: Place, others: list[Person]) -> None:
        """Move."""

    assert "$ref" not in json.dumps(parameters(move))
    assert "$defs" not in parameters(move)


class Tree(pydantic.BaseModel):
    children: list[Tree] = []


def test_a_type_that_contains_itself_keeps_its_definition() -> None:
    def grow(tree: Tree) -> int:
        return len(tree.children)

    assert set(parameters(grow)["$defs"]) == {"Tree"}
    assert called(grow, {"tree": {"children": [{"children": []}]}}) == 1


def test_positional_and_keyword_arguments() -> None:
    def function(first: int, /, second: int = 2, *, third: int = 3) -> list[int]:
        return [first, second, third]

    assert called(function, {"first": 1}) == [1, 2, 3]
    assert called(function, {"third": 9, "first": 1, "second": 8}) == [1, 8, 9]


class Service:
    """A class with methods as tools."""

    def method(self, city: str) -> str:
        """Say."""
        return city

    @classmethod
    def of_class(cls, city: str) -> str:
        """Say."""
        return city

    @staticmethod
    def static(city: str) -> str:
        """Say."""
        return city

    def __call__(self, city: str) -> str:
        """Call it."""
        return city


def test_methods_objects_and_partials_are_tools() -> None:
    service = Service()
    for function in (service.method, service.of_class, service.static):
        tool = glmclient.tool(function)
        assert list(tool.parameters["properties"]) == ["city"]
        assert called(tool, {"city": "Oslo"}) == "Oslo"
    thing = glmclient.tool(service)
    assert (thing.name, thing.description) == ("Service", "Call it.")
    assert called(thing, {"city": "Oslo"}) == "Oslo"
    partial = glmclient.tool(functools.partial(google, days=9))
    assert (partial.name, partial.description[:6]) == ("google", "Return")
    assert called(partial, {"city": "Oslo"}) == "Oslo 9"


def test_what_the_model_sees_is_set_by_hand() -> None:
    schema = {"type": "object", "properties": {"q": {"type": "string"}}, "required": ["q"]}

    @glmclient.tool(name="search", description="Search the archive.", parameters=schema)
    def find(**anything: Any) -> Any:
        return anything

    assert isinstance(find, Tool)
    assert find.description_mapping() == {
        "type": "function",
        "function": {"name": "search", "description": "Search the archive.", "parameters": schema},
    }
    assert called(find, {"q": "x", "more": 1}) == {"q": "x", "more": 1}
    with pytest.raises(BadArguments, match="required"):
        called(find, {})
    assert find(q=1) == {"q": 1}
    renamed = glmclient.tool(find, name="other")
    assert renamed.name == "other"
    assert renamed.function is find.function
    assert called(renamed, {"q": "x"}) == {"q": "x"}
    narrow = glmclient.tool(find, parameters={"type": "object"}, description="d")
    assert (narrow.name, narrow.description) == ("search", "d")
    assert called(narrow, {}) == {}


@pytest.mark.parametrize(
    "text", ["{", "[1]", "3", '"x"', '{"city": "Oslo"} {"city": "Rome"}', "[" * 9_999]
)
def test_arguments_that_are_not_an_object(text: str) -> None:
    with pytest.raises(BadArguments):
        called(google, text)


@pytest.mark.parametrize("text", ["", "  ", "{}"])
def test_no_arguments(text: str) -> None:
    def now() -> str:
        """Return the time."""
        return "noon"

    assert called(now, text) == "noon"
    assert parameters(now)["properties"] == {}


def test_arguments_with_line_breaks_inside_texts() -> None:
    assert called(google, '{"city": "O\nslo"}') == "O\nslo 3"


def several(*cities: str) -> None:
    """Take any number."""


def more(**options: str) -> None:
    """Take anything."""


def unresolved(a: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
    """Use a name that does not exist."""


def impossible(a: Callable[[], int]) -> None:
    """Use a type without a schema."""


@pytest.mark.parametrize("function", [several, more, unresolved, impossible, 3, "f", None, dict])
def test_what_cannot_be_described_is_refused(function: Any) -> None:
    with pytest.raises(ConfigurationError):
        described([function])
    if function is not None:  # without a function, tool makes a decorator
        with pytest.raises(ConfigurationError):
            glmclient.tool(function)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "é", 3])
def test_names_that_services_do_not_take(name: Any) -> None:
    with pytest.raises(ConfigurationError, match="name"):
        glmclient.tool(google, name=name)
    with pytest.raises(ConfigurationError, match="name"):
        glmclient.tool(lambda: 1)


def test_two_tools_with_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="two tools"):
        tools_of([google, glmclient.tool(numpy, name="google")])
    sent, by_name = tools_of([{"type": "web_search"}, google])
    assert sent[0] == {"type": "web_search"}
    assert list(by_name) == ["google"]


def test_generators_are_refused() -> None:
    def numbers() -> Any:
        yield 1

    async def later() -> Any:
        yield 1

    for function in (numbers, later):
        with pytest.raises(ConfigurationError, match="generator"):
            glmclient.tool(function)


def test_a_docstring_that_no_style_explains_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    import docstring_parser

    def fail(text: str) -> Any:
        raise docstring_parser.ParseError("no style")

    monkeypatch.setattr(docstring_parser, "parse", fail)
    assert glmclient.tool(google).description.startswith("Return the forecast.")


class Words(str):
    """A text with a class of its own."""


class Level(str, enum.Enum):
    HIGH = "high"


@pytest.mark.parametrize(
    ("value", "content"),
    [
        ("as it is", "as it is"),
        (Words("w"), "w"),
        (Level.HIGH, "high"),
        (Unit.CELSIUS, '"c"'),
        (Place("Oslo"), '{"city":"Oslo","country":"NO"}'),
        (Person(name="A", age=1), '{"name":"A","age":1}'),
        ([Person(name="A", age=1)], '[{"name":"A","age":1}]'),
        (Point(1), '{"x":1}'),
        ({1: "é"}, '{"1":"é"}'),
        (datetime.date(2026, 1, 2), '"2026-01-02"'),
        (b"ab", '"YWI="'),
        (True, "true"),
    ],
)
def test_results_are_text_or_json(value: Any, content: str) -> None:
    assert content_of(value) == content
    assert type(content_of(value)) is str


def test_a_result_without_json_is_an_error() -> None:
    with pytest.raises(TypeError, match="cannot be written as JSON"):
        content_of(object())
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises((TypeError, RecursionError, ValueError)):
        content_of(circle)


def test_is_async() -> None:
    async def later() -> None:
        """Wait."""

    class Later:
        async def __call__(self) -> None:
            """Wait."""

    assert glmclient.tool(later).is_async
    assert glmclient.tool(functools.partial(later), name="p").is_async
    assert glmclient.tool(Later()).is_async
    assert not glmclient.tool(google).is_async
    assert functions.__all__
