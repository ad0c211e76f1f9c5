"""How much of an answer is held, and the bounds on it."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from glmclient import (
    CodeDelta,
    CodeReplace,
    ExecutionOutput,
    Finish,
    Image,
    LimitExceeded,
    Limits,
    Notice,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
)
from glmclient.core.held import AnswerSize, HeldState, size_of

ERRORS = Path(__file__).parents[2] / "docs" / "errors.md"

GROWING: list[Any] = [
    TextDelta("x" * 10),
    ReasoningDelta("x" * 10),
    ToolCallDelta(0, "", "", "x" * 10),
    ToolCallDelta(0, "x" * 10, "", ""),
    ToolCallDelta(0, "", "x" * 10, ""),
    CodeDelta("x" * 10),
    ExecutionOutput("x" * 10),
    Image("x" * 10),
    SearchResults((SearchResult("x" * 5, "x" * 5),)),
    SearchResults((SearchResult("", "", content="x" * 10),)),
    Notice("x" * 6),
    Unknown("x" * 5, "x" * 5),
]


@pytest.mark.parametrize("event", GROWING, ids=repr)
def test_everything_that_is_held_counts(event: Any) -> None:
    size = AnswerSize(Limits(answer=95))
    batch = [event] * 12
    error = size.cut(batch)
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.maximum, error.actual) == ("answer", 95, 100)
    assert batch == [event] * 9


@pytest.mark.parametrize(
    "events",
    [
        [TextDelta("x" * 50), TextReplace(0, "x" * 50)],
        [ReasoningDelta("x" * 50), ReasoningReplace(10, "x" * 20)],
        [CodeDelta("x" * 50), CodeReplace(0, "x" * 50)],
        [QueueStatus(1, 2), Finish("stop", message="x" * 200)],
    ],
    ids=repr,
)
def test_what_is_replaced_does_not_count(events: list[Any]) -> None:
    size = AnswerSize(Limits(answer=60))
    assert size.cut(list(events[:1])) is None
    for _ in range(5):
        assert size.cut(list(events[1:])) is None


def test_text_behind_a_replacement_counts_from_there() -> None:
    size = AnswerSize(Limits(answer=60))
    assert size.cut([TextDelta("x" * 50), TextReplace(10, ""), TextDelta("x" * 50)]) is None
    assert size.cut([TextDelta("x")]) is not None


@pytest.mark.parametrize(
    "events",
    [
        [ToolCallDelta(number, "", "", "") for number in range(20)],
        [CodeDelta("", number) for number in range(20)],
        [Image("") for _ in range(20)],
        [SearchResults((SearchResult("", ""),) * 4) for _ in range(5)],
        [Notice("", "") for _ in range(20)],
        [Unknown("", "") for _ in range(20)],
        [ExecutionOutput("") for _ in range(20)],
    ],
    ids=lambda events: type(events[0]).__name__,
)
def test_parts_without_characters_count(events: list[Any]) -> None:
    size = AnswerSize(Limits(parts=10))
    error = size.cut(events)
    assert error is not None and (error.limit, error.maximum) == ("parts", 10)
    assert error.actual > 10 and len(events) <= 10


def test_what_is_held_is_measured_when_it_may_be_too_large() -> None:
    measured = []

    def value() -> Any:
        measured.append(1)
        return ["x" * 50, {"k": ("y" * 20, 1)}]

    held = HeldState(Limits(answer=100), value)
    for _ in range(10):
        held.received(50)  # measured after each 150 characters
    assert len(measured) == 3
    held.reset()
    held.received(100)
    assert len(measured) == 3
    small = HeldState(Limits(answer=50), value)
    with pytest.raises(LimitExceeded) as caught:
        small.received(51)
    assert caught.value.limit == "answer" and caught.value.actual == size_of(value())


def test_an_object_at_many_places_counts_once() -> None:
    part = ["x" * 100]
    assert size_of([part] * 100) < 400
    assert size_of(["x" * 100], characters=False) == 2


def test_the_table_of_bounds_names_each_field_with_its_default() -> None:
    rows = re.findall(
        r"^\| (`\w+`(?:, `\w+`)*) \| [^|]* \| ([^|]*) \|$", ERRORS.read_text("utf-8"), re.MULTILINE
    )
    table: dict[str, int] = {}
    units = {"": 1, "KiB": 1024, "MiB": 1024**2, "Mi": 1024**2}
    for names, shown in rows:
        words = [name.strip("`") for name in names.split(", ")]
        if words[0] not in {field.name for field in fields(Limits)}:
            continue
        values = re.findall(r"([\d,]*\d)(?: (\w+))?", shown)
        for number, name in enumerate(words):
            value, unit = values[min(number, len(values) - 1)]
            table[name] = int(value.replace(",", "")) * units[unit]
    assert table == {field.name: getattr(Limits(), field.name) for field in fields(Limits)}
