"""One answer with every kind of event, through every way that shows answers: nothing of it is lost."""

from __future__ import annotations

import ast
import copy
import html
import io
import json
import pickle
import sys
import typing
from pathlib import Path
from typing import Any

import pytest

import glmclient
from glmclient import (
    APIConnectionError,
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    Reply,
    SearchResult,
    SearchResults,
    StreamInterrupted,
    TextDelta,
    TextReplace,
    ToolCall,
    ToolCallDelta,
    Unknown,
    Usage,
)
from glmclient._exhaustive import assert_never
from glmclient.cli import main
from glmclient.cli.display.structured import reply_json
from glmclient.core.transcript import Transcript, events_of
from glmclient.errors import TransportFailure
from glmclient.notebook.view import AnswerView, reply_html
from glmclient.reply import reply_data
from glmclient.simulator import Cut, Script, Simulator
from tests.core.flow import exchange

SOURCE = SearchResult("A title", "https://source.example/1", "words", "[1]", "paper", "2026")
FINISH = Finish("stop", Usage(3, 4, 7), model="glm-x", continuation="secret history")
EVENTS: list[Event] = [
    QueueStatus(1, 2, 3.0),
    ReasoningDelta("Thinking"),
    ReasoningReplace(5, " it over"),
    TextDelta("The answr"),
    TextReplace(7, "wer"),
    CodeDelta("print(1", 0),
    CodeReplace(6, "2)", 0),
    CodeDelta("second block", 1),
    ExecutionOutput("first output"),
    ExecutionOutput("second output\n"),
    ExecutionOutput("third output"),
    Image("https://image.example/a.png"),
    SearchResults((SOURCE,)),
    Notice("a warning of the service", "warning", "Careful"),
    ToolCallDelta(0, "call-1", "lookup", '{"q":'),
    ToolCallDelta(0, "", "", '"x"}'),
    Unknown("novelty", '{"what": "is this"}'),
    FINISH,
]
REPLY = Reply(
    "The answer",
    "Think it over",
    (ToolCall("call-1", "lookup", '{"q":"x"}'),),
    FINISH,
    code_blocks=("print(2)", "second block"),
    execution_output="first output\nsecond output\nthird output",
    images=(Image("https://image.example/a.png"),),
    sources=(SOURCE,),
    notices=(Notice("a warning of the service", "warning", "Careful"),),
    unknown=(Unknown("novelty", '{"what": "is this"}'),),
)
WORDS = (
    *("The answer", "print(2)", "second block", "first output", "second output", "third output"),
    *("https://image.example/a.png", "A title", "https://source.example/1"),
    *("a warning of the service", "Careful", "lookup", '{"q":"x"}', '{"what": "is this"}'),
)
"""What each way must show; the reasoning is folded away in some."""


def folded() -> Transcript:
    transcript = Transcript()
    transcript.extend(EVENTS)
    return transcript


def test_every_kind_of_event_is_tried_here() -> None:
    assert {type(event) for event in EVENTS} == set(typing.get_args(glmclient.Event))


def test_the_transcript_folds_every_event() -> None:
    assert folded().reply() == REPLY
    one_by_one = Transcript()
    for event in EVENTS:
        one_by_one.extend([event])
    assert one_by_one.reply() == REPLY


def test_a_reply_makes_events_that_make_the_reply() -> None:
    assert Transcript.of(REPLY).reply() == REPLY
    assert events_of(Reply()) == []
    assert Transcript.of(Reply()).reply() == Reply()


def test_an_error_carries_all_of_it() -> None:
    of = exchange()
    of.transcript.extend(EVENTS[:-1])
    error = of.failed(TransportFailure("broken", "gone"))
    assert isinstance(error, APIConnectionError)
    assert error.partial == Reply(
        REPLY.text,
        REPLY.reasoning,
        REPLY.tool_calls,
        None,
        code_blocks=REPLY.code_blocks,
        execution_output=REPLY.execution_output,
        images=REPLY.images,
        sources=REPLY.sources,
        notices=REPLY.notices,
        unknown=REPLY.unknown,
    )
    assert pickle.loads(pickle.dumps(error)).partial == error.partial


def test_a_reply_is_a_value_with_shortcuts() -> None:
    assert str(REPLY) == f"{REPLY}" == "The answer"
    assert (REPLY.usage, REPLY.model) == (Usage(3, 4, 7), "glm-x")
    assert (Reply().usage, Reply().model, str(Reply())) == (None, None, "")
    for copied in (copy.copy(REPLY), copy.deepcopy(REPLY), pickle.loads(pickle.dumps(REPLY))):
        assert copied == REPLY
    with pytest.raises(TypeError):
        Reply("t", "r", (), None, None)  # type: ignore[misc]


def test_usage_adds_up() -> None:
    one, other = Usage(1, 2, 3, cached_tokens=4), Usage(10, 20, 30, reasoning_tokens=5)
    assert one + other == Usage(11, 22, 33, 4, 5)
    assert sum([one, other, one]) == Usage(12, 24, 36, 8, 5)
    assert one + one == Usage(2, 4, 6, 8, None)
    with pytest.raises(TypeError):
        one + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        1 + one  # type: ignore[operator]


def test_plain_data_and_json_hold_all_of_it() -> None:
    for data in (reply_data(REPLY), reply_json(REPLY)):
        text = json.dumps(data, ensure_ascii=False)
        told = json.loads(text)
        for word in (*WORDS, "Think it over", "glm-x"):
            assert json.dumps(word, ensure_ascii=False)[1:-1] in text, word
        assert told["images"] == ["https://image.example/a.png"]
        assert told["sources"][0]["title"] == "A title"
        assert told["notices"] == [
            {"message": "a warning of the service", "level": "warning", "title": "Careful"}
        ]
        assert "secret history" not in text
        assert "parsed" not in told
    assert reply_data(Reply(parsed={"a": 1}))["parsed"] == {"a": 1}  # type: ignore[var-annotated]


def test_a_notebook_shows_all_of_it() -> None:
    page = html.unescape(reply_html(REPLY))
    for word in (*WORDS, "Think it over"):
        assert word in page, word
    view = AnswerView()
    view.add(EVENTS)
    view.end()
    assert view.whole().html == AnswerView.of(REPLY).whole().html
    for word in WORDS:
        assert word in view.whole().plain, word


@pytest.mark.parametrize("client_class", ["sync", "asyncio"])
def test_chat_and_a_cut_stream_hold_all_that_came(client_class: str) -> None:
    import asyncio

    script: list[Any] = [
        ReasoningDelta("Hm"),
        "text",
        CodeDelta("print(1)"),
        ExecutionOutput("1"),
        Image("https://image.example/a.png"),
    ]
    with Simulator(Script(script, [*script, Cut()]), provider="chatglm") as simulator:

        def ask() -> Any:
            if client_class == "sync":
                with glmclient.SyncClient(base_url=simulator.url, trust_env=False) as client:
                    return client.chat("q")

            async def main() -> Any:
                async with glmclient.AsyncClient(base_url=simulator.url, trust_env=False) as client:
                    return await client.chat("q")

            return asyncio.run(main())

        reply = ask()
        with pytest.raises(StreamInterrupted) as caught:
            ask()
    for answer in (reply, caught.value.partial):
        assert (answer.text, answer.reasoning) == ("text", "Hm")
        assert (answer.code_blocks, answer.execution_output) == (("print(1)",), "1")
        assert answer.images == (Image("https://image.example/a.png"),)


@pytest.mark.parametrize("mode", [(), ("--json",), ("--jsonl",)])
def test_the_terminal_shows_all_of_it(
    mode: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("GLMCLIENT_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    script: list[Any] = [
        ReasoningDelta("Think it over"),
        "The answer",
        CodeDelta("print(2)"),
        ExecutionOutput("an output"),
        Image("https://image.example/a.png"),
        SearchResults((SearchResult("A title", "https://source.example/1"),)),
        ToolCallDelta(0, "call-1", "lookup", '{"q": 1}'),
        Unknown("novelty", '{"type": "novelty"}'),
    ]
    with Simulator(script, provider="chatglm") as simulator:
        options = ("--base-url", simulator.url, "-o", "include_unknown", "true")
        assert main(["ask", *options, *mode, "q"]) == 0
    out, err = capsys.readouterr()
    for word in (
        *("Think it over", "answer", "print(2)", "an output", "https://image.example/a.png"),
        *("A title", "https://source.example/1", "lookup", "novelty"),
    ):
        assert word in out + (err if not mode else ""), word


# -- every match ends with assert_never ------------------------------------------------------------

NAMES = {kind.__name__ for kind in typing.get_args(glmclient.Event)}
PACKAGE = Path(glmclient.__file__).parent


def matches_over_events() -> list[tuple[str, ast.Match]]:
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Match):
                classes = {
                    each.cls.id
                    for case in node.cases
                    for each in ast.walk(case.pattern)
                    if isinstance(each, ast.MatchClass) and isinstance(each.cls, ast.Name)
                }
                if len(classes & NAMES) > 1:
                    found.append((f"{path.relative_to(PACKAGE)}:{node.lineno}", node))
    return found


def test_every_match_over_events_is_exhaustive() -> None:
    found = matches_over_events()
    assert len(found) >= 6
    assert [
        where
        for where, node in found
        if "assert_never" not in "".join(map(ast.unparse, node.cases[-1].body))
    ] == []


def test_a_kind_that_a_match_forgot_is_an_error() -> None:
    with pytest.raises(AssertionError, match="not handled: 5"):
        assert_never(5)  # type: ignore[arg-type]
