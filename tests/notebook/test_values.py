"""The value of an answer with a schema, as a notebook shows it."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest

from glmclient import Finish, Reply, TextDelta, TextReplace
from glmclient.notebook import live, show
from glmclient.notebook.values import plain_data, value_html, value_text
from glmclient.notebook.view import AnswerView
from glmclient.schemas.answer import TypedAnswer
from glmclient.schemas.rounds import question_of
from glmclient.testing import Simulator


@dataclasses.dataclass
class City:
    name: str
    population: int


ROWS = '[{"name": "<b>Oslo</b>", "population": 1}, {"name": "Bergen", "population": 2}]'


def test_a_list_of_objects_is_a_table() -> None:
    html = value_html([{"a": "<b>", "b": [1]}, {"c": None}])
    assert html.count("<tr>") == 3
    assert html.count("<th ") == 3
    assert html.count("<td ") == 6
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "600 rows, 500 shown" in value_html([{"a": 1}] * 600)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ({"a": {"b": 1}}, ["<table>", "{&quot;b&quot;: 1}"]),
        ([1, "<i>"], ["<pre", "&lt;i&gt;"]),
        ({}, ["<pre", "{}"]),
        ([], ["<pre", "[]"]),
        ("text", ["<pre", "text"]),
    ],
)
def test_other_values(value: Any, words: list[str]) -> None:
    assert all(word in value_html(value) for word in words)
    assert json.loads(value_text(value)) == value


def test_typed_values_become_plain_data() -> None:
    assert plain_data([City("A", 1)]) == [{"name": "A", "population": 1}]
    assert "object" in plain_data(object())


def test_a_reply_shows_its_value() -> None:
    reply = Reply(f"Here: {ROWS}", finish=Finish("stop"), parsed=json.loads(ROWS))
    html = reply._repr_html_()
    assert "<table>" in html
    assert "Here" not in html
    assert "Here" in Reply("Here", finish=Finish("stop"))._repr_html_()


def test_a_view_follows_the_value() -> None:
    view = AnswerView(TypedAnswer(question_of(list[City])))
    view.add([TextDelta("Here: ")])
    assert "Here" in view.whole().html
    view.add([TextDelta(ROWS[:20])])
    assert "<table>" in view.whole().html
    assert "Bergen" not in view.whole().html
    view.add([TextReplace(0, ROWS[:40]), TextDelta(ROWS[40:]), Finish("stop")])
    view.end()
    assert "Bergen" in view.whole().html
    assert json.loads(view.whole().plain) == json.loads(ROWS)


def test_a_stream_with_a_schema_is_shown_as_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    painted: list[Any] = []
    monkeypatch.setattr(live, "draws", lambda: True)
    monkeypatch.setattr(live, "_publish", lambda part, *_, **__: painted.append(part))
    with Simulator(f"Here:\n{ROWS}", provider="zai") as simulator, simulator.client() as client:
        reply = show(client.stream("?", schema=list[City]))
    assert reply.parsed == [City("<b>Oslo</b>", 1), City("Bergen", 2)]
    assert "<table>" in painted[-1].html
    assert "&lt;b&gt;Oslo" in painted[-1].html
