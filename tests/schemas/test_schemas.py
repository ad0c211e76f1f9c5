"""Schemas without a network: JSON schemas of types, values in texts, and values that grow."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import enum
import json
import random
import time
from typing import Any, TypedDict

import msgspec
import pydantic
import pytest
from typing_extensions import TypeAliasType

from glmclient import ConfigurationError, SchemaProblem
from glmclient.schemas import libraries
from glmclient.schemas.extraction import value_in
from glmclient.schemas.growing import NOTHING, GrowingValue, NotJSON, ValueReader, is_prefix
from glmclient.schemas.references import closed, inlined, is_strict
from glmclient.schemas.shapes import Misfit, Shape, shape_of


class Kind(enum.Enum):
    BIG = "big"
    SMALL = "small"


@dataclasses.dataclass
class City:
    name: str
    population: int
    kind: Kind | None = None


class Row(TypedDict):
    title: str
    day: datetime.date


class Point(msgspec.Struct):
    x: int


class Person(pydantic.BaseModel):
    name: str
    age: int


@dataclasses.dataclass
class Team:
    lead: Person
    cities: list[City]


class Node(pydantic.BaseModel):
    name: str
    children: list[Node] = []


Named = TypeAliasType("Named", list[Person])

CASES: list[tuple[Any, Any, Any]] = [
    (City, {"name": "A", "population": 1}, City("A", 1)),
    (City, {"name": "A", "population": 1, "kind": "big"}, City("A", 1, Kind.BIG)),
    (list[City], [{"name": "A", "population": 1}], [City("A", 1)]),
    (Row, {"title": "t", "day": "2026-01-02"}, {"title": "t", "day": datetime.date(2026, 1, 2)}),
    (Point, {"x": 1}, Point(1)),
    (Person, {"name": "A", "age": 3}, Person(name="A", age=3)),
    (list[Person], [{"name": "A", "age": 3}], [Person(name="A", age=3)]),
    (dict[str, list[Person]], {"a": []}, {"a": []}),
    (
        Team,
        {"lead": {"name": "A", "age": 3}, "cities": []},
        Team(Person(name="A", age=3), []),
    ),
    (Named, [{"name": "A", "age": 3}], [Person(name="A", age=3)]),
    (Node, {"name": "a", "children": [{"name": "b"}]}, Node(name="a", children=[Node(name="b")])),
    (int, 3, 3),
    (Kind, "small", Kind.SMALL),
    ({"type": "object", "required": ["a"]}, {"a": [1]}, {"a": [1]}),
]


@pytest.mark.parametrize(("kind", "data", "value"), CASES)
def test_each_kind_of_type_has_a_schema_and_converts(kind: Any, data: Any, value: Any) -> None:
    shape = shape_of(kind)
    assert shape.convert(data) == value
    assert type(shape.convert(data)) is type(value)
    assert shape_of(shape) is shape


@pytest.mark.parametrize(
    ("kind", "data", "paths"),
    [
        (City, {"name": 1, "population": "x"}, ["$.name", "$.population"]),
        (list[City], [{"name": "A", "population": 1}, {"name": "B"}], ["$[1]"]),
        (Person, {"name": 1, "age": "x"}, ["$.name", "$.age"]),
        ({"type": "object", "properties": {"a b": {"type": "string"}}}, {"a b": 1}, ['$["a b"]']),
        (Row, {"title": "t", "day": "soon"}, ["$.day"]),
    ],
)
def test_all_problems_are_listed_with_their_paths(kind: Any, data: Any, paths: list[str]) -> None:
    with pytest.raises(Misfit) as caught:
        shape_of(kind).convert(data)
    assert [each.path for each in caught.value.problems] == paths
    assert all(each.message for each in caught.value.problems)


class Unknown:
    pass


@dataclasses.dataclass
class Unresolved:
    other: Missing  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    "kind",
    [
        "City",
        3,
        [int],
        Unknown,
        Unresolved,
        {"type": "nonsense"},
        {"$ref": "https://example.org/schema"},
        {"type": "object", "properties": {"a": {"$ref": "#/$defs/none"}}},
        {"type": object()},
        list[Unknown],
        dict[str, Person | Unknown],
    ],
)
def test_what_has_no_schema_is_refused(kind: Any) -> None:
    with pytest.raises(ConfigurationError):
        shape_of(kind)


def test_a_shape_alone_converts_nothing() -> None:
    with pytest.raises(TypeError):
        Shape({}).convert(1)


def test_a_missing_library_names_the_command() -> None:
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[schema\]'"):
        libraries.library("glmclient_has_no_such_module")


def test_references_are_inlined() -> None:
    text = json.dumps(shape_of(Team).schema)
    assert "$ref" not in text
    assert "$defs" not in text
    # The root of a schema, items of a list, and escaped names.
    assert inlined(
        {
            "$defs": {"a/b": {"type": "string"}, "l": {"prefixItems": [{"type": "integer"}, True]}},
            "properties": {
                "x": {"$ref": "#/$defs/a~1b", "description": "d"},
                "y": {"$ref": "#/$defs/l/prefixItems/0"},
                "z": {"$ref": "#/$defs/l/prefixItems/1"},
            },
        }
    ) == {
        "properties": {
            "x": {"type": "string", "description": "d"},
            "y": {"type": "integer"},
            "z": True,
        }
    }


def test_types_that_contain_themselves_keep_a_reference() -> None:
    schema = shape_of(Node).schema
    assert set(schema["$defs"]) == {"Node"}
    same_name = inlined(
        {
            "$defs": {"N": {"properties": {"n": {"$ref": "#/$defs/N"}}}},
            "definitions": {"N": {"properties": {"m": {"$ref": "#/definitions/N"}}}},
            "properties": {
                "a": {"$ref": "#/$defs/N"},
                "b": {"$ref": "#/definitions/N"},
                "c": {"$ref": "#"},
            },
        }
    )
    assert set(same_name["$defs"]) == {"N", "N_", "root"}


def test_the_strict_form_requires_everything_and_allows_no_more() -> None:
    strict = closed(shape_of(City).schema, require_all=True)
    assert strict["required"] == ["name", "population", "kind"]
    assert strict["additionalProperties"] is False
    assert "default" not in json.dumps(strict)
    assert closed({"items": True, "not": {"type": "null"}}, require_all=True) == {
        "items": True,
        "not": {"type": "null"},
    }


@pytest.mark.parametrize(
    ("schema", "strict"),
    [
        ({"type": "integer"}, True),
        ({"type": "object", "additionalProperties": False}, True),
        ({"type": "object"}, False),
        ({"properties": {"a": True}, "additionalProperties": False}, False),
        ({"anyOf": [{"type": "object"}]}, False),
        ({"items": {"type": "object"}}, False),
        ({"$defs": {"A": {"type": "object"}}}, False),
        (closed(shape_of(Team).schema, require_all=True), True),
    ],
)
def test_a_strict_schema(schema: Any, strict: bool) -> None:
    assert is_strict(schema) == strict


JSON = '{"name": "A", "population": 1}'


@pytest.mark.parametrize(
    "text",
    [
        JSON,
        f"```json\n{JSON}\n```",
        f"Here you are: {{as you like}} {JSON} and {{more}}.",
        f'First {{"other": 1}}, then {JSON}',
        f"[note] {JSON}",
        f'{{"value": {JSON}}}',
        f"{JSON} {JSON}",
        "\n\n" + JSON,
        '{"a": "' + JSON,
    ],
)
def test_the_value_is_the_first_that_fits(text: str) -> None:
    assert value_in(text, shape_of(City), wrapper=True)[0] == City("A", 1)


@pytest.mark.parametrize("text", ["42", "It is 42.", '{"value": 42}', "```\n42\n```", '"x" 42'])
def test_scalars_come_with_and_without_the_wrapper(text: str) -> None:
    assert value_in(text, shape_of(int), wrapper=True) == (42, 42)


@pytest.mark.parametrize(
    "text", ["", "no", "{", '{"a"', "[" * 5_000, '{"name": 1}', '"\\x"', "9" * 9_000]
)
def test_a_text_without_a_value_is_a_misfit(text: str) -> None:
    with pytest.raises(Misfit) as caught:
        value_in(text, shape_of(City), wrapper=False)
    assert isinstance(caught.value.problems[0], SchemaProblem)


def test_hostile_texts_take_linear_time() -> None:
    began = time.monotonic()
    for text in ("[" * 100_000, "{" * 100_000, '["' * 50_000, "[1," * 30_000, '[{"a":' * 20_000):
        with pytest.raises(Misfit):
            value_in(text, shape_of(City), wrapper=False)
        ValueReader({}, wrapper=False).feed(text)
    assert time.monotonic() - began < 60


# -- values that grow ------------------------------------------------------------------------------------------

LETTERS = 'ab "\\/\n\t\u00e9\u4e2d\U0001f600\ud800'


def document(chance: random.Random, depth: int = 0) -> Any:
    kind = chance.randrange(7 if depth < 4 else 5)
    if kind == 5:
        return [document(chance, depth + 1) for _ in range(chance.randrange(4))]
    if kind == 6:
        return {text(chance): document(chance, depth + 1) for _ in range(chance.randrange(4))}
    return [None, True, chance.randrange(-99, 99), chance.random() * 1e9, text(chance)][kind]


def text(chance: random.Random) -> str:
    return "".join(chance.choice(LETTERS) for _ in range(chance.randrange(8)))


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"a": [1, "x"]}, {"a": [1, "xy", 2], "b": 1}, True),
        ([1], [1.0], False),
        ("ab", "a", False),
        ([1, 2], [1], False),
        ({"a": 1, "b": 1}, {"a": 1}, False),
        ({"a": 1}, {"b": 1}, False),
        (1, 2, False),
        (None, None, True),
    ],
)
def test_a_prefix_of_a_value(one: Any, other: Any, expected: bool) -> None:
    assert is_prefix(one, other) == expected


@pytest.mark.parametrize("seed", range(200))
def test_every_prefix_of_a_document_gives_a_growing_value(seed: int) -> None:
    chance = random.Random(seed)
    value = {"first": document(chance), "second": document(chance)}
    written = json.dumps(value, ensure_ascii=bool(seed % 2), indent=seed % 3 or None)
    growing, previous = GrowingValue(), NOTHING
    for character in written:
        growing.feed(character)
        assert previous is NOTHING or is_prefix(previous, growing.root)
        previous = copy.deepcopy(growing.root)
    assert growing.complete
    # json joins surrogates that were written apart; so does this parser.
    assert growing.root == json.loads(written)
    whole = GrowingValue()
    assert whole.feed(written + " rest") == len(written)
    assert whole.root == json.loads(written)


@pytest.mark.parametrize(
    "written",
    [
        r'["\ud83d\ud83d\ude00"]',
        r'["\ud83dx"]',
        r'["\ud83d\n"]',
        r'["\ud83d\u0041"]',
        r'["\ud83d"]',
    ],
)
def test_halves_of_surrogate_pairs(written: str) -> None:
    growing = GrowingValue()
    for character in written:
        growing.feed(character)
    assert growing.root == json.loads(written)


@pytest.mark.parametrize(
    "written",
    [
        "x]",
        "[x ",
        "[1 2",
        "{1",
        '{"a" 1',
        '{"a":}',
        '["\\q',
        '["\\u12x',
        '["\\ud83d\\u1x',
        "[1}",
        "[]",
        "[" + "1" * 9_000,
    ],
)
def test_what_is_not_json_is_refused(written: str) -> None:
    growing = GrowingValue()
    if written == "[]":
        assert growing.feed(written + "]") == 2
        return
    with pytest.raises(NotJSON):
        for character in written + " ,":
            growing.feed(character)


def test_long_texts_grow_in_steps() -> None:
    growing = GrowingValue()
    growing.feed('["')
    states = set()
    for _ in range(20_000):
        growing.feed("x")
        states.add(len(growing.root[0]))
    growing.feed('"]')
    assert len(growing.root[0]) == 20_000
    assert 4_096 < len(states) < 4_200
    assert repr(NOTHING) == "NOTHING"


def test_a_root_text_grows() -> None:
    growing = GrowingValue()
    growing.feed('"ab')
    assert growing.root == "ab"
    growing.feed('c"')
    assert growing.root == "abc"
    assert growing.complete


def states_of(reader: ValueReader, written: str) -> list[Any]:
    return [copy.deepcopy(reader.value) for character in written if reader.feed(character)]


CITY = shape_of(City).schema


@pytest.mark.parametrize(
    ("schema", "wrapper", "written", "last"),
    [
        (CITY, False, f"As {{you}} like: [1] ```{JSON}``` {{}}", json.loads(JSON)),
        (CITY, False, f'{{"other": 1}} {JSON} {JSON}', json.loads(JSON)),
        ({"type": "array"}, True, '{"value": [1, 2]}', [1, 2]),
        ({"type": "array"}, True, '[1, 2] {"x": 1}', [1, 2]),
        ({"type": "string"}, True, '{"value": "ab"}', "ab"),
        ({"type": "object"}, False, '{"any": 1}', {"any": 1}),
    ],
)
def test_the_reader_finds_the_value_and_each_state_is_a_prefix(
    schema: Any, wrapper: bool, written: str, last: Any
) -> None:
    states = states_of(ValueReader(schema, wrapper=wrapper), written)
    assert states[-1] == last
    assert all(map(is_prefix, states, states[1:]))
    whole = ValueReader(schema, wrapper=wrapper)
    assert whole.feed(written)
    assert whole.value == last


def test_a_value_that_breaks_stays_as_it_is() -> None:
    reader = ValueReader(CITY, wrapper=False)
    assert reader.feed('{"name": "A", ')
    assert not reader.feed("oh ")
    assert reader.value == {"name": "A"}
    assert not reader.feed('{"name": "B"}')
    assert reader.value == {"name": "A"}


def seconds(items: int) -> float:
    row = '{"name": "a name", "population": 12}, '
    best = []
    for _ in range(3):
        reader = ValueReader({"type": "array"}, wrapper=True)
        began = time.process_time()
        reader.feed('{"value": [')
        for _ in range(items):
            for start in range(0, len(row), 5):
                reader.feed(row[start : start + 5])
        best.append(time.process_time() - began)
        assert len(reader.value) == items
    return min(best)


def test_the_cost_is_linear() -> None:
    assert seconds(10_000) <= 12 * seconds(1_000) + 0.5
