"""One answer on both streams: what goes where, in which order, and what a terminal shows of it."""

from __future__ import annotations

import io
import json
import threading
from typing import Any

import pytest

from glmclient import (
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
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
    Usage,
)
from glmclient.cli.display.answer_display import LiveDisplay, Look
from glmclient.cli.display.progress import Progress
from glmclient.cli.display.structured import EventLines, WholeAnswer, event_json, reply_json

from .emulator import Emulator

PATIENCE = 20.0


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def shown(*events: Event, whole: bool = True, **look: Any) -> tuple[str, str]:
    """Return what pipes take of an answer: standard output, and standard error."""
    out, err = io.StringIO(), io.StringIO()
    display = LiveDisplay(Look(out, err, clock=Clock(), **look), "zai")
    for event in events:
        display.add(event)
    display.end(whole=whole)
    return out.getvalue(), err.getvalue()


def on_one_terminal(*events: Event, **look: Any) -> Emulator:
    """Show an answer on a terminal that is both streams."""
    terminal = Emulator(columns=60, lines=30)
    display = LiveDisplay(
        Look(
            terminal,
            terminal,
            out_is_terminal=True,
            err_is_terminal=True,
            size=terminal.size,
            clock=Clock(),
            **look,
        ),
        "zai",
    )
    for event in events:
        display.add(event)
    display.end(whole=True)
    terminal.write("$")
    return terminal


END = Finish("stop")


# -- pipes -----------------------------------------------------------------------------------------


def test_the_text_alone_goes_to_standard_output() -> None:
    assert shown(TextDelta("Hello "), TextDelta("世界"), END) == ("Hello 世界\n", "")


def test_reasoning_goes_to_standard_error() -> None:
    events = (
        ReasoningDelta("Hm"),
        ReasoningDelta(", well."),
        TextDelta("Yes."),
        ReasoningDelta(" More."),
        TextDelta(" No."),
        END,
    )
    assert shown(*events) == ("Yes. No.\n", "Hm, well.\n More.\n")
    assert shown(*events, reasoning=False) == ("Yes. No.\n", "")
    assert shown(*events, Image("https://x"), quiet=True) == ("Yes. No.\n", "")


def test_reasoning_can_be_rewritten() -> None:
    said = shown(ReasoningDelta("Hm"), ReasoningReplace(0, "Well"), TextDelta("Yes."), END)
    assert said == ("Yes.\n", "Well\n")


def test_everything_else_goes_to_standard_error() -> None:
    out, err = shown(
        Notice("Busy.", "warning", "Queue"),
        Notice("Just so."),
        CodeDelta("print("),
        CodeDelta("1)\nx = 2"),
        CodeReplace(0, "print(2)"),
        ExecutionOutput("2\nok\n"),
        SearchResults(
            (SearchResult("A fox", "https://a"), SearchResult("B", "https://b", reference="7"))
        ),
        TextDelta("See "),
        Image("https://example.org/x.png"),
        TextDelta("this."),
        Unknown("x", '{"a": 1}'),
        ToolCallDelta(0, "c1", "weather", '{"city": '),
        ToolCallDelta(0, "", "", '"X"}'),
        Finish("tool_calls"),
    )
    assert out == "See this.\n"
    assert err.splitlines() == [
        "[warning] Queue: Busy.",
        "[info] Just so.",
        "[code]",
        "    print(2)",
        "[output]",
        "    2",
        "    ok",
        "[sources]",
        "    1. A fox https://a",
        "    7. B https://b",
        "[image] https://example.org/x.png",
        '[x] {"a": 1}',
        '[tool call] weather({"city": "X"})',
    ]


def test_code_at_the_very_end_is_shown() -> None:
    assert shown(CodeDelta("x"), END) == ("", "[code]\n    x\n")


@pytest.mark.parametrize(
    ("finish", "remark"),
    [
        (Finish("length"), "[length] the answer was cut"),
        (Finish("content_filter", message="Sorry."), "part of it. The service said: Sorry."),
        (Finish("other"), "[other] "),
    ],
)
def test_an_end_that_is_none_is_told(finish: Finish, remark: str) -> None:
    out, err = shown(TextDelta("Yes"), finish)
    assert out == "Yes\n"
    assert remark in err


def test_usage() -> None:
    clock = Clock()
    err = io.StringIO()
    display = LiveDisplay(Look(io.StringIO(), err, usage=True, clock=clock), "zai")
    clock.now = 0.5
    display.add(TextDelta("Yes"))
    clock.now = 2.0
    usage = Usage(3, 4, 7, cached_tokens=2, reasoning_tokens=1)
    display.add(Finish("stop", usage, raw_reason="stop", model="glm-4.6", request_id="r1"))
    display.end(whole=True)
    assert err.getvalue() == (
        "[usage] 3 + 4 = 7 tokens, 2 cached, 1 for reasoning; 2.00 s, first text after 0.50 s; end: stop; "
        "model glm-4.6; request r1\n"
    )
    assert shown(usage=True, whole=False)[1] == "[usage] the service counts no tokens; 0.00 s\n"
    told = shown(TextDelta("a"), Finish("stop", Usage(1, 1, 2)), usage=True)[1]
    assert told.startswith("[usage] 1 + 1 = 2 tokens; 0.00 s")


def test_without_streaming_the_text_comes_whole_or_not_at_all() -> None:
    events = (TextDelta("He"), TextReplace(0, "Hello"))
    assert shown(*events, END, stream=False) == ("Hello\n", "")
    assert shown(*events, whole=False, stream=False) == ("", "")
    assert shown(*events, whole=False)[0] == "Hello\n"


def test_a_rewrite_that_follows_at_once_is_never_seen() -> None:
    assert shown(TextDelta("Helo"), TextReplace(3, "lo"), END) == ("Hello\n", "")


# -- terminals -------------------------------------------------------------------------------------


def test_a_terminal_shows_thinking_and_then_the_answer() -> None:
    terminal = on_one_terminal(
        ReasoningDelta("Hm.\n"),
        ReasoningDelta("Well."),
        TextDelta("**Yes**"),
        TextDelta(" sir."),
        END,
    )
    assert terminal.shown == ["Hm.", "Well.", "", "Yes sir.", "$"]
    assert "\x1b[2mHm." in terminal.getvalue()
    assert "\x1b[1mYes" in terminal.getvalue()


def test_what_interrupts_the_answer_on_a_terminal_stands_on_lines_of_its_own() -> None:
    terminal = on_one_terminal(
        TextDelta("One"),
        Image("https://x"),
        TextDelta(" two"),
        ReasoningDelta("Hm"),
        TextDelta(" three"),
        END,
    )
    assert [line.strip() for line in terminal.shown] == [
        "One",
        "[image] https://x",
        "two",
        "Hm",
        "",
        "three",
        "$",
    ]


def test_plain_text_on_a_terminal() -> None:
    terminal = on_one_terminal(TextDelta("**Yes**\x1b[2J"), END, markdown=False)
    assert terminal.shown == ["**Yes**\ufffd[2J", "$"]


def test_a_terminal_without_rich_shows_plain_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmclient.cli.display.answer_display.rich_is_there", lambda: False)
    assert on_one_terminal(TextDelta("**Yes**"), END).shown == ["**Yes**", "$"]


def test_a_long_remark_is_wrapped_on_a_terminal() -> None:
    terminal = on_one_terminal(TextDelta("a"), Finish("length"))
    assert terminal.shown[1:3] == [
        "[length] the answer was cut at its longest; a larger",
        "max_tokens may give the rest.",
    ]


def test_a_rewrite_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Emulator(columns=60, lines=30)
    look = Look(terminal, io.StringIO(), out_is_terminal=True, size=terminal.size, clock=Clock())
    display = LiveDisplay(look, "zai")
    display.add(TextDelta("Hello wrld"))
    display._paint()
    assert terminal.shown == ["Hello wrld"]
    display.add(TextReplace(6, "world"))
    display._paint()
    assert terminal.shown == ["Hello world"]
    display.end(whole=True)


# -- painting --------------------------------------------------------------------------------------


class Told(io.StringIO):
    """A pipe that tells when something was written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def write(self, text: str) -> int:
        self.written.set()
        return super().write(text)


def test_text_is_written_while_the_answer_is_not_at_its_end() -> None:
    out = Told()
    display = LiveDisplay(Look(out, io.StringIO()), "zai")
    display.begin(lambda: None)
    display.add(TextDelta("Hello"))
    assert out.written.wait(PATIENCE)
    assert out.getvalue() == "Hello"
    display.end(whole=True)
    assert out.getvalue() == "Hello\n"


def test_when_nobody_reads_the_reader_is_freed() -> None:
    class Broken(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    freed = threading.Event()
    display = LiveDisplay(Look(Broken(), io.StringIO()), "zai")
    display.begin(freed.set)
    display.add(TextDelta("Hello"))
    assert freed.wait(PATIENCE)
    with pytest.raises(BrokenPipeError):
        display.end(whole=False)


# -- progress --------------------------------------------------------------------------------------


def test_a_wait_is_mentioned_and_goes_before_the_text() -> None:
    terminal, clock = Emulator(columns=60), Clock()
    look = Look(
        terminal,
        terminal,
        out_is_terminal=True,
        err_is_terminal=True,
        size=terminal.size,
        clock=clock,
    )
    display = LiveDisplay(look, "zai")
    display._paint()
    assert terminal.shown == []
    clock.now = 2.0
    display._paint()
    assert terminal.shown == ["waiting for zai … 2 s"]
    display.add(QueueStatus(3, 9, 12.4))
    display._paint()
    assert terminal.shown == ["in the queue: 3 ahead of 9, about 12 s … 2 s"]
    display.add(TextDelta("Hello"))
    display.end(whole=True)
    assert terminal.shown == ["Hello"]


def test_progress() -> None:
    terminal, clock = Emulator(columns=20), Clock()
    progress = Progress(terminal, "a service with a long name", clock, terminal.size)
    clock.now = 1.0
    progress.paint()
    progress.paint()
    assert terminal.shown == ["… 1 s"]
    assert terminal.writes == 1
    progress.queued(QueueStatus(0, 4))
    wide = Emulator(columns=60)
    progress._out, progress._size = wide, wide.size
    progress.paint()
    assert wide.shown == ["in the queue: next of 4 … 1 s"]
    progress.end()
    progress.end()
    progress.paint()
    assert wide.shown == []


def test_without_a_terminal_there_is_no_progress() -> None:
    clock = Clock()
    progress = Progress(None, "zai", clock)
    clock.now = 9.0
    progress.paint()
    progress.end()
    assert shown(QueueStatus(1, 2), TextDelta("a"), END) == ("a\n", "")


# -- for programs ----------------------------------------------------------------------------------


def test_events_as_lines() -> None:
    out = io.StringIO()
    lines = EventLines(out)
    lines.begin(lambda: None)
    lines.add(TextDelta("你\ud83d"))
    lines.add(Finish("stop", Usage(1, 2, 3), continuation="secret"))
    lines.end(whole=True)
    first, second = out.getvalue().splitlines()
    assert first == '{"type": "TextDelta", "text": "你\\ud83d"}'
    assert json.loads(second)["usage"]["total_tokens"] == 3
    assert "continuation" not in json.loads(second)


def test_an_answer_as_an_object() -> None:
    out = io.StringIO()
    whole = WholeAnswer(out, "zai")
    whole.begin(lambda: None)
    for event in (
        ReasoningDelta("Hm"),
        TextDelta("Helo"),
        TextReplace(3, "lo"),
        Image("https://x"),
        SearchResults((SearchResult("A", "https://a"),)),
        ToolCallDelta(0, "c", "f", "{}"),
        END,
    ):
        whole.add(event)
    whole.end(whole=True)
    told = json.loads(out.getvalue())
    assert told["text"] == "Hello"
    assert told["reasoning"] == "Hm"
    assert told["tool_calls"] == [{"id": "c", "name": "f", "arguments": "{}"}]
    assert told["images"] == ["https://x"]
    assert told["sources"][0]["url"] == "https://a"
    assert told["finish"]["reason"] == "stop"
    assert told["provider"] == "zai"


def test_an_answer_that_did_not_end_is_no_object() -> None:
    out = io.StringIO()
    whole = WholeAnswer(out, "zai")
    whole.add(TextDelta("Hel"))
    whole.end(whole=False)
    assert out.getvalue() == ""
    assert reply_json(Reply("Hel"))["finish"] is None
    assert event_json(TextDelta("a")) == {"type": "TextDelta", "text": "a"}
