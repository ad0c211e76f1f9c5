"""`AskRows` on a real local Ray, and in this process where the parts of one actor are concerned."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow as pa
import pytest
import ray
import ray.data
from ray.data.checkpoint import CheckpointConfig

from glmclient import ConfigurationError
from glmclient.integrations.ray import AskRows, SharedRate
from glmclient.simulator import Simulator
from tests.batch.service import Service
from tests.integrations.documents import blocks_of

ROOT = Path(__file__).resolve().parents[3]
COLUMNS = {
    *("text", "reasoning", "parsed", "error", "finish_reason", "prompt_tokens"),
    *("completion_tokens", "model"),
}


def refusal(prompt: str) -> Any:
    return (400, {"error": {"message": "bad words"}}) if "bad" in prompt else None


@pytest.fixture
def service() -> Iterator[Service]:
    with Service(refuse=refusal) as service:
        yield service


def ask_rows(service: Service, **more: Any) -> AskRows:
    return AskRows("openai", base_url=service.url, model="m", retry=None, trust_env=False, **more)


def arguments(service: Service, **more: Any) -> dict[str, Any]:
    base = {"provider": "openai", "base_url": service.url, "model": "m", "retry": None}
    return {**base, "trust_env": False, **more}


# -- one actor -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "batch",
    [
        {"prompt": numpy.array(["q0", "bad", None], dtype=object), "id": numpy.arange(3)},
        pandas.DataFrame({"prompt": ["q0", "bad", None], "id": [0, 1, 2]}),
        pa.table({"prompt": ["q0", "bad", None], "id": [0, 1, 2]}),
    ],
    ids=["numpy", "pandas", "pyarrow"],
)
def test_a_batch_of_every_format_keeps_its_columns(service: Service, batch: Any) -> None:
    rows = ask_rows(service)(batch).to_pylist()
    assert set(rows[0]) == COLUMNS | {"prompt", "id"}
    assert [row["id"] for row in rows] == [0, 1, 2]
    assert [row["text"] for row in rows] == ["echo: q0", None, None]
    assert rows[0]["error"] is None
    assert (rows[0]["finish_reason"], rows[0]["model"]) == ("stop", "m")
    assert (rows[0]["prompt_tokens"], rows[0]["completion_tokens"]) == (5, 5)
    assert rows[1]["error"].startswith("BadRequestError: ")
    assert rows[2]["error"].startswith("ConfigurationError: ")


def test_messages_a_system_message_and_options(service: Service) -> None:
    bodies: list[Any] = []
    service.spy = bodies.append
    messages = [
        [{"role": "user", "content": "one"}],
        [{"role": "system", "content": "own"}, {"role": "user", "content": "two", "name": "n"}],
    ]
    batch = pa.table({"messages": messages, "prompt": ["unused", "unused"]})
    answers = ask_rows(service, system="Be brief.", temperature=0.5)(batch).to_pylist()
    assert [row["text"] for row in answers] == ["echo: one", "echo: two"]
    sent = sorted(body["messages"][0]["content"] for body in bodies)
    assert sent == ["Be brief.", "own"]
    # Arrow gives each message the keys of all; what a message does not have is not sent.
    assert sorted(len(body["messages"][-1]) for body in bodies) == [2, 3]
    assert {body["temperature"] for body in bodies} == {0.5}


def test_rows_of_mappings_carry_their_own_options(service: Service) -> None:
    bodies: list[Any] = []
    service.spy = bodies.append
    batch = pa.table({"row": [{"prompt": "one", "temperature": 0.25}]})
    assert ask_rows(service, column="row")(batch).to_pylist()[0]["text"] == "echo: one"
    assert bodies[0]["temperature"] == 0.25


def test_answers_are_replaced_when_rows_are_asked_again(service: Service) -> None:
    ask = ask_rows(service, column="question")
    first = ask(pa.table({"question": ["bad"]}))
    service.refuse = lambda prompt: None
    again = ask(first).to_pylist()
    assert (again[0]["text"], again[0]["error"]) == ("echo: bad", None)


def test_wrong_columns_are_refused(service: Service) -> None:
    with pytest.raises(ConfigurationError, match="'text'"):
        ask_rows(service, column="text")
    with pytest.raises(ConfigurationError, match="'q'; they have a, b"):
        ask_rows(service, column="q")(pa.table({"a": [1], "b": [2]}))
    with pytest.raises(ConfigurationError, match="'messages' or 'prompt'"):
        ask_rows(service)(pa.table({"a": [1]}))


def test_an_empty_batch_has_the_columns(service: Service) -> None:
    empty = ask_rows(service)(pa.table({"prompt": pa.array([], pa.string())}))
    assert set(empty.column_names) == COLUMNS | {"prompt"}


def test_an_empty_answer_and_text_that_arrow_cannot_hold(service: Service) -> None:
    service.text = lambda prompt: "" if prompt == "empty" else "\ud800!"
    rows = ask_rows(service)(pa.table({"prompt": ["empty", "odd"]})).to_pylist()
    assert rows[0]["error"].startswith("EmptyAnswer: ")
    assert rows[1]["text"] == "\ufffd!"


@dataclass
class Part:
    name: str
    weight: float | None


@dataclass
class Thing:
    title: str
    count: int
    good: bool
    tags: list[str]
    parts: list[Part]


THING = {
    "title": "x",
    "count": 3,
    "good": True,
    "tags": ["a"],
    "parts": [{"name": "p", "weight": 1}],
}


def test_typed_answers_are_columns(service: Service) -> None:
    service.text = lambda prompt: json.dumps(THING) if prompt == "good" else '{"title": 1}'
    table = ask_rows(service, schema=Thing, repair=0)(pa.table({"prompt": ["good", "wrong"]}))
    assert table.schema.field("parsed").type == pa.struct(
        [
            ("title", pa.string()),
            ("count", pa.int64()),
            ("good", pa.bool_()),
            ("tags", pa.list_(pa.string())),
            ("parts", pa.list_(pa.struct([("name", pa.string()), ("weight", pa.float64())]))),
        ]
    )
    good, wrong = table.to_pylist()
    assert good["parsed"] == THING
    assert (wrong["parsed"], wrong["text"]) == (None, '{"title": 1}')
    assert wrong["error"].startswith("SchemaError: ")


def test_what_has_no_fixed_columns_is_json_text(service: Service) -> None:
    schema = {
        "type": "object",
        "properties": {
            "free": {"type": "object"},
            "union": {"anyOf": [{"type": "integer"}, {"type": "string"}]},
            "maybe": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
            "either": {"type": ["string", "integer"]},
            "nullable": {"type": ["string", "null"]},
            "anything": True,
            "tree": {"$ref": "#/$defs/node"},
            "list": {"type": "array"},
        },
        "$defs": {
            "node": {
                "type": "object",
                "properties": {
                    "value": {"type": "integer"},
                    "next": {"$ref": "#/$defs/node"},
                },
            }
        },
    }
    value = {
        "free": {"a": [1]},
        "union": 5,
        "maybe": 6,
        "either": "s",
        "nullable": "",
        "anything": None,
        "tree": {"value": 1, "next": {"value": 2, "next": {"value": 3, "next": {"value": 4}}}},
        "list": [1, "x"],
    }
    service.text = lambda prompt: json.dumps(value)
    row = ask_rows(service, schema=schema)(pa.table({"prompt": ["q"]})).to_pylist()[0]
    assert row["error"] is None
    parsed = row["parsed"]
    assert (parsed["maybe"], parsed["nullable"], parsed["anything"]) == (6, "", None)
    for name in ("free", "union", "either", "list"):
        assert json.loads(parsed[name]) == value[name]
    # A recursion is columns as far as the schema has no repetition, and JSON text below.
    node, values = parsed["tree"], []
    while node is not None:
        node = json.loads(node) if isinstance(node, str) else node
        values.append(node["value"])
        node = node.get("next")
    assert values == [1, 2, 3, 4]


def test_an_integer_that_no_column_holds_is_an_error_of_its_row(service: Service) -> None:
    schema = {"type": "array", "items": {"type": "integer"}}
    service.text = lambda prompt: f"[{1 << 70 if prompt == 'large' else 1}]"
    rows = ask_rows(service, schema=schema)(pa.table({"prompt": ["large", "small"]})).to_pylist()
    assert rows[0]["error"].startswith("ValueError: ")
    assert rows[0]["text"]
    assert (rows[1]["error"], rows[1]["parsed"]) == (None, [1])


def test_references_that_lead_nowhere_are_json_text() -> None:
    from glmclient.integrations.columns import _shape

    for reference in ("#/$defs/missing", "#/$defs/missing/further", "https://elsewhere"):
        schema = {"$defs": {}, "$ref": reference}
        assert _shape(schema, schema, ()).type == pa.string()


def test_rows_of_a_batch_are_asked_at_once_and_the_window_lasts(service: Service) -> None:
    service.seconds = 0.2
    ask = ask_rows(service, concurrency=8)
    ask(pa.table({"prompt": [f"q{n}" for n in range(8)]}))
    assert service.most_at_once == 8
    service.most_at_once = 0
    automatic = ask_rows(service)
    automatic(pa.table({"prompt": [f"q{n}" for n in range(14)]}))
    service.most_at_once = 0
    automatic(pa.table({"prompt": [f"q{n}" for n in range(8)]}))
    assert service.most_at_once == 8  # found in the first batch: not searched for again


# -- real workers ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    # The workers import the tests' service, and must not inherit a coverage file of this process alone.
    os.environ["PYTHONPATH"] = str(ROOT)
    ray.init(
        num_cpus=4,
        include_dashboard=False,
        logging_level="error",
        log_to_driver=False,
        object_store_memory=100 * 1024 * 1024,
    )
    ray.data.DataContext.get_current().enable_progress_bars = False
    yield
    ray.shutdown()


@pytest.mark.usefixtures("cluster")
def test_a_dataset_in_several_actors(service: Service) -> None:
    rows = [{"id": n, "prompt": "bad" if n % 10 == 3 else f"q{n}"} for n in range(40)]
    answered = (
        ray.data.from_items(rows)
        .map_batches(
            AskRows,
            fn_constructor_kwargs=arguments(service),
            batch_size=8,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        .take_all()
    )
    assert sorted(row["id"] for row in answered) == list(range(40))
    bad = [row["id"] for row in answered if row["error"] is not None]
    assert sorted(bad) == [3, 13, 23, 33]
    assert all(row["text"] == f"echo: q{row['id']}" for row in answered if row["error"] is None)


@pytest.mark.usefixtures("cluster")
def test_the_key_comes_from_the_environment_of_the_workers(service: Service) -> None:
    keys: list[Any] = []
    service.headers_spy = lambda headers: keys.append(headers.get("authorization"))
    given = {"provider": "zai", "model": "m", "retry": None, "trust_env": False}
    environment = {"ZAI_API_KEY": "key.of.the.workers", "ZAI_BASE_URL": service.url}
    answered = (
        ray.data.from_items([{"prompt": "q"}])
        .map_batches(
            AskRows,
            fn_constructor_kwargs=given,
            compute=ray.data.ActorPoolStrategy(size=1),
            runtime_env={"env_vars": environment},
        )
        .take_all()
    )
    assert answered[0]["error"] is None
    assert keys == ["Bearer key.of.the.workers"]


@pytest.mark.usefixtures("cluster")
def test_a_rate_that_all_actors_share(service: Service) -> None:
    shared = arguments(service, rate_actor="test-rate", requests_per_minute=300)
    began = time.monotonic()
    answered = (
        ray.data.from_items([{"prompt": f"q{n}"} for n in range(20)])
        .map_batches(
            AskRows,
            fn_constructor_kwargs=shared,
            batch_size=5,
            compute=ray.data.ActorPoolStrategy(size=2),
        )
        .take_all()
    )
    assert len(answered) == 20
    # Five a second with a burst of five: the other 15 take 3 s, however many actors there are.
    assert time.monotonic() - began >= 2.8


@pytest.mark.usefixtures("cluster")
def test_a_shared_rate_survives_its_actor() -> None:
    rate = SharedRate("test-survives", requests_per_minute=6000)
    rate.wait(1)
    ray.kill(ray.get_actor("test-survives"))
    rate.wait(1)
    rate.correct(0, 0)
    rate.correct(10, 0)
    # A new actor, which knows of the further requests: 100 a second, with a burst of as many.
    assert ray.get(ray.get_actor("test-survives").take.remote(1)) == 0
    rate.correct(200, 0)
    assert ray.get(ray.get_actor("test-survives").take.remote(1)) > 0.5


@pytest.mark.usefixtures("cluster")
def test_a_shared_rate_that_cannot_be_reached_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = SharedRate("test-gone", tokens_per_minute=6000)
    actor = rate._actor
    ray.kill(actor)
    monkeypatch.setattr(SharedRate, "_made", lambda self: actor)
    with pytest.raises(ray.exceptions.RayActorError):
        rate.wait(1)


@pytest.mark.usefixtures("cluster")
def test_tokens_are_corrected_from_the_usage(service: Service) -> None:
    ask = ask_rows(service, rate_actor="test-tokens", tokens_per_minute=60_000)
    told: list[tuple[int, int]] = []
    assert ask._rate is not None
    original = ask._rate.correct

    def correct(requests: int, tokens: int) -> None:
        told.append((requests, tokens))
        original(requests, tokens)

    ask._rate.correct = correct  # type: ignore[method-assign]
    ask(pa.table({"prompt": ["a question", None]}))
    # Ten tokens of usage against an estimate of the prompt and 256 of the answer; nothing for a row without question.
    assert sorted(told) == [(0, 10 - 3 - 256), (0, 0)]


@pytest.mark.parametrize("rates", [{}, {"requests_per_minute": 0}, {"tokens_per_minute": -1}])
def test_wrong_rates_are_refused(service: Service, rates: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ask_rows(service, rate_actor="test-wrong", **rates)


def test_the_rate_itself() -> None:
    from glmclient.integrations.ray import _Rate

    rate = _Rate(600, 6000)  # ten requests and a hundred tokens a second
    assert rate.take(50) == 0
    assert rate.take(50) == 0
    assert 0.3 < rate.take(50) < 0.6
    rate.correct(0, -150)
    rate.correct(20, 0)
    assert rate.take(1) > 1


# -- resume ----------------------------------------------------------------------------------------


@pytest.mark.usefixtures("cluster")
def test_a_checkpoint_skips_what_was_written(service: Service, tmp_path: Path) -> None:
    context = ray.data.DataContext.get_current()
    context.checkpoint_config = CheckpointConfig(
        id_column="id",
        checkpoint_path=str(tmp_path / "checkpoint"),
        delete_checkpoint_on_success=False,
    )
    try:
        for count in (10, 25):
            source = tmp_path / f"in{count}.parquet"
            pandas.DataFrame(
                {"id": [f"r{n}" for n in range(count)], "prompt": [f"q{n}" for n in range(count)]}
            ).to_parquet(source)
            ray.data.read_parquet(str(source)).map_batches(
                AskRows,
                fn_constructor_kwargs=arguments(service),
                batch_size=5,
                compute=ray.data.ActorPoolStrategy(size=1),
            ).write_parquet(str(tmp_path / "out"))
    finally:
        context.checkpoint_config = None
    assert sorted(service.prompts) == sorted(f"q{n}" for n in range(25))
    written = pandas.read_parquet(tmp_path / "out")
    assert sorted(written["id"]) == sorted(f"r{n}" for n in range(25))


# -- the page, and the extra -----------------------------------------------------------------------


@pytest.mark.usefixtures("cluster")
def test_the_page_is_true(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    with Simulator(provider="zai") as zai:
        # The workers' environment: AskRows reads it where it is made.
        environment = {"ZAI_API_KEY": "documents.key", "ZAI_BASE_URL": zai.url}
        original = ray.data.Dataset.map_batches

        def map_batches(self: Any, function: Any, **options: Any) -> Any:
            return original(self, function, runtime_env={"env_vars": environment}, **options)

        monkeypatch.setattr(ray.data.Dataset, "map_batches", map_batches)
        blocks = blocks_of("ray.md", "python")
        # A relative path is one of the worker, whose folder is another.
        paths = ("questions", "answers", "checkpoint")
        namespace: dict[str, Any] = {}
        for block in blocks:
            for name in paths:
                block = block.replace(f'"{name}"', f'"{tmp_path / name}"')
            exec(compile(block, "ray.md", "exec"), namespace)
        assert len(blocks) == 4
        asked = [str(question) for question in zai.questions]
    # take(3) may stop early; the second run of the checkpoint asks nothing.
    assert 43 <= len(asked) <= 60


def test_without_pyarrow_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ray", "columns"):
        monkeypatch.delitem(sys.modules, f"glmclient.integrations.{name}")
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'glmclient\[ray\]'"):
        importlib.import_module("glmclient.integrations.ray")
