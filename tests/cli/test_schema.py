"""``--schema FILE``: the value of an answer as JSON, alone on standard output."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from glmclient.cli.commands import ask as asking
from glmclient.testing import Refusal

from .conftest import Run, Serve

SCHEMA = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "people": {"type": "integer"}},
    "required": ["name", "people"],
}
CITY = {"name": "Köln", "people": 1}


@pytest.fixture
def schema(tmp_path: Path) -> str:
    file = tmp_path / "city.json"
    file.write_text(json.dumps(SCHEMA), encoding="utf-8")
    return str(file)


def test_the_json_alone_is_printed(run: Run, serve: Serve, schema: str) -> None:
    serve(f"Here it is:\n```json\n{json.dumps(CITY)}\n```\nBye.")
    ran = run("--schema", schema, "A city?")
    assert (ran.code, json.loads(ran.out), ran.err) == (0, CITY, "")
    assert ran.out.count("\n") == 1


def test_a_list_is_printed_too(run: Run, serve: Serve, tmp_path: Path) -> None:
    serve("[1, 2]")
    file = tmp_path / "list.json"
    file.write_text('{"type": "array", "items": {"type": "integer"}}')
    assert run("ask", "--schema", str(file), "Numbers?").out == "[1, 2]\n"


def test_the_value_is_part_of_the_whole_answer(run: Run, serve: Serve, schema: str) -> None:
    serve(f"Here: {json.dumps(CITY)}")
    whole = json.loads(run("--json", "--schema", schema, "A city?").out)
    assert whole["parsed"] == CITY
    assert whole["text"].startswith("Here: ")
    assert whole["provider"] == "chatglm"


def test_an_answer_that_does_not_fit_has_an_exit_code(run: Run, serve: Serve, schema: str) -> None:
    simulator = serve('{"name": 1}')
    ran = run("--schema", schema, "A city?")
    assert (ran.code, ran.out) == (1, "")
    assert "does not fit the schema" in ran.err
    assert len(simulator.requests) == 2
    ran = run("--json", "--schema", schema, "A city?")
    error = json.loads(ran.err)["error"]
    assert error["exit_code"] == 1
    assert {problem["path"] for problem in error["problems"]} == {"$", "$.name"}
    assert error["partial"]["text"] == '{"name": 1}'


def test_a_refusal_has_its_own_exit_code(run: Run, serve: Serve, schema: str) -> None:
    serve(Refusal("bad_request"))
    ran = run("--schema", schema, "A city?")
    assert (ran.code, ran.out) == (9, "")


@pytest.mark.parametrize(
    "content", [None, "", "[1]", "{", "3", '{"type": "nonsense"}', "[" * 99_999]
)
def test_a_file_that_is_not_a_schema_is_refused(
    run: Run, serve: Serve, tmp_path: Path, content: str | None
) -> None:
    simulator = serve()
    file = tmp_path / "file.json"
    if content is not None:
        file.write_text(content)
    ran = run("--schema", str(file), "A city?")
    assert (ran.code, ran.out) == (2, "")
    assert not simulator.requests


def test_lines_of_events_exclude_a_schema(run: Run, schema: str) -> None:
    ran = run("--jsonl", "--schema", schema, "A city?")
    assert (ran.code, ran.out) == (2, "")


@pytest.mark.parametrize("as_json", [False, True])
def test_an_interrupt_ends_the_answer(
    run: Run, serve: Serve, schema: str, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    from glmclient.conversations.conversation import Conversation

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    serve()
    monkeypatch.setattr(Conversation, "chat", interrupted)
    ran = run(*(["--json"] if as_json else []), "--schema", schema, "A city?")
    assert (ran.code, ran.out) == (130, "")
    assert ("KeyboardInterrupt" in ran.err) == as_json
    assert ("[interrupted]" in ran.err) != as_json


def test_a_conversation_goes_on_after_a_value(run: Run, serve: Serve, schema: str) -> None:
    simulator = serve(json.dumps(CITY), provider="zai")
    assert run("-p", "zai", "--key", "k.k", "--schema", schema, "A city?").code == 0
    assert run("-p", "zai", "--key", "k.k", "-c", "More?").code == 0
    messages = simulator.requests[-1].json["messages"]
    assert [each["content"] for each in messages[:2]] == ["A city?", json.dumps(CITY)]
    assert asking.schema_of(schema) == SCHEMA
