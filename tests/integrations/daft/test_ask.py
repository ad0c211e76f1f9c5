"""`ask` on real Daft."""

from __future__ import annotations

import importlib
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import daft
import pytest

from glmclient import ConfigurationError
from glmclient.integrations.daft import ask
from glmclient.simulator import Simulator
from tests.batch.service import Service
from tests.integrations.documents import blocks_of


def refusal(prompt: str) -> Any:
    return (400, {"error": {"message": "bad words"}}) if "bad" in prompt else None


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(refuse=refusal) as service:
        yield service


def answers(service: Service, questions: list[Any], **more: Any) -> list[dict[str, Any]]:
    frame = daft.from_pydict({"id": list(range(len(questions))), "q": questions})
    options = {"base_url": service.url, "model": "m", "retry": None, "trust_env": False, **more}
    frame = frame.with_column("a", ask("q", "openai", **options))
    return list(frame.sort("id").to_pydict()["a"])


def test_a_bad_row_fails_no_other(service: Service) -> None:
    rows = answers(service, ["q0", "bad", None, "q3"])
    assert [row["text"] for row in rows] == ["echo: q0", None, None, "echo: q3"]
    assert rows[0] == {
        "text": "echo: q0",
        "reasoning": None,
        "parsed": None,
        "error": None,
        "finish_reason": "stop",
        "prompt_tokens": 5,
        "completion_tokens": 5,
        "model": "m",
    }
    assert rows[1]["error"].startswith("BadRequestError: ")
    assert rows[2]["error"].startswith("ConfigurationError: ")


def test_fields_of_the_struct_and_expressions(service: Service) -> None:
    frame = daft.from_pydict({"q": ["one"]})
    options = {"base_url": service.url, "model": "m", "trust_env": False}
    answer = ask(daft.col("q") + " more", "openai", **options)
    frame = frame.with_column("a", answer).select(daft.col("a")["text"])
    assert frame.to_pydict() == {"text": ["echo: one more"]}


def test_messages_with_a_system_message(service: Service) -> None:
    bodies: list[Any] = []
    service.spy = bodies.append
    rows = answers(
        service,
        [
            [{"role": "user", "content": "one"}],
            [{"role": "system", "content": "own"}, {"role": "user", "content": "two"}],
        ],
        system="Be brief.",
    )
    assert [row["text"] for row in rows] == ["echo: one", "echo: two"]
    assert sorted(body["messages"][0]["content"] for body in bodies) == ["Be brief.", "own"]


def test_rows_are_asked_at_once(service: Service) -> None:
    service.seconds = 0.2
    rows = answers(service, [f"q{n}" for n in range(24)], concurrency=8)
    assert [row["text"] for row in rows] == [f"echo: q{n}" for n in range(24)]
    assert service.most_at_once == 8


def test_refusals_for_rate_are_waited_out(service: Service) -> None:
    service.allowed, service.seconds = 3, 0.02
    rows = answers(service, [f"q{n}" for n in range(40)])
    assert all(row["error"] is None for row in rows)


@dataclass
class City:
    name: str
    size: int


def test_typed_answers_are_structs(service: Service) -> None:
    service.text = lambda prompt: (
        json.dumps({"name": "Bonn", "size": 3}) if prompt == "good" else "no value"
    )
    rows = answers(service, ["good", "wrong"], schema=City, repair=0)
    assert rows[0]["parsed"] == {"name": "Bonn", "size": 3}
    assert (rows[1]["parsed"], rows[1]["text"]) == (None, "no value")
    assert rows[1]["error"].startswith("SchemaError: ")


def test_wrong_arguments_are_refused_before_the_query() -> None:
    with pytest.raises(ConfigurationError):
        ask("q", "openai")
    with pytest.raises(ConfigurationError):
        ask("q", "openai", base_url="http://localhost:1", concurrency=0)
    with pytest.raises(ConfigurationError):
        ask("q", "openai", base_url="http://localhost:1", schema="text")


def test_what_arrow_types_cannot_say_is_json_text(service: Service) -> None:
    service.text = lambda prompt: '{"free": {"a": 1}}'
    schema = {"type": "object", "properties": {"free": {"type": "object"}}}
    assert answers(service, ["q"], schema=schema)[0]["parsed"] == {"free": '{"a": 1}'}


def test_the_page_is_true(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with Simulator(provider="zai") as zai:
        monkeypatch.setenv("ZAI_API_KEY", "documents.key")
        monkeypatch.setenv("ZAI_BASE_URL", zai.url)
        blocks = blocks_of("daft.md", "python")
        namespace: dict[str, Any] = {}
        for block in blocks:
            exec(compile(block, "daft.md", "exec"), namespace)
    assert len(blocks) == 2


def test_without_daft_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "glmclient.integrations.daft")
    monkeypatch.setitem(sys.modules, "daft", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[daft\]'"):
        importlib.import_module("glmclient.integrations.daft")
