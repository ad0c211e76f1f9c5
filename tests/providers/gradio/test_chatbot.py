"""A conversation in every format, and the text that grows in it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.transcript import Transcript
from glmclient.errors import ProtocolError
from glmclient.events import Event, TextDelta, TextReplace
from glmclient.providers.gradio.formats import Chatbot, TextAnswer, last_answer
from glmclient.providers.gradio.wire import Format, encode_history

from .test_edits import differ

FORMATS: tuple[Format, ...] = ("pairs", "objects", "messages", "parts")
TURNS = (("user", "q1"), ("assistant", "a1"), ("user", "q2"), ("assistant", "a2"))


def part(text: str, kind: str = "text") -> dict[str, str]:
    return {"type": kind, "text": text}


def message(role: str, content: Any) -> dict[str, Any]:
    return {"role": role, "metadata": None, "content": content}


@pytest.mark.parametrize("format", FORMATS)
def test_the_last_answer_is_found_in_every_format(format: Format) -> None:
    path, text = last_answer(encode_history(TURNS, format))
    assert text == "a2"
    places: dict[Format, list[int | str]] = {
        "pairs": [1, 1],
        "objects": [1, 1, "text"],
        "messages": [3, "content"],
        "parts": [3, "content", 0, "text"],
    }
    assert path == places[format]


@pytest.mark.parametrize("format", FORMATS)
def test_a_question_without_an_answer_hides_the_older_answer(format: Format) -> None:
    assert last_answer(encode_history((*TURNS, ("user", "q3")), format)) == (None, "")


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, ""),
        ([], ""),
        ([["q", None]], ""),
        ([["q", ""]], ""),
        ([["q", "a"], [None, ["file.png"]]], "a"),
        ([["q", "a"], [None, {"file": {"path": "x"}}]], "a"),
        ([["q", "a"], ["q2", {"file": {"path": "x"}}]], ""),
        ([["q", "a"], [None, "b"]], "a\n\nb"),
        ([message("assistant", "a"), message("assistant", {"path": "x"})], "a"),
        ([message("assistant", "a"), message("user", "q")], ""),
        ([message("assistant", [part("a"), part("b")])], "a\nb"),
        ([message("assistant", [part("a"), {"type": "file", "file": {}}])], "a"),
        ([message("assistant", [part("x", "image"), part("a")])], "a"),
        ([message("assistant", ["a.png", part("b")])], "b"),
        ([message("assistant", [["nested"]])], ""),
        ([message("assistant", 5)], ""),
        ([["q", [part("a"), {"text": "b"}]]], "a\nb"),
        ([["one"]], ""),
        (["text"], ""),
        ([{"no role": 1}], ""),
    ],
)
def test_the_text_of_odd_items(value: Any, text: str) -> None:
    assert last_answer(value)[1] == text


@pytest.mark.parametrize("value", ["text", 5, {"role": "assistant"}, True])
def test_what_is_no_conversation_is_refused(value: Any) -> None:
    with pytest.raises(ProtocolError, match="not a conversation"):
        last_answer(value)


def test_pairs_stand_beside_nothing_where_one_side_is_silent() -> None:
    turns = (("assistant", "hello"), ("user", "q"), ("assistant", "a"), ("assistant", "b"))
    assert encode_history(turns, "pairs") == [[None, "hello"], ["q", "a"], [None, "b"]]
    assert encode_history((), "parts") == []


# -- what changes --------------------------------------------------------------------------------------------


def told(*changes: Any, sent: list[Any] | None = None, prompt: str = "") -> list[Event]:
    """Return the events of a whole value and then of lists of edits."""
    out: list[Event] = []
    chatbot = Chatbot(sent or [], prompt)
    for number, change in enumerate(changes):
        if number == 0 or isinstance(change, tuple):
            chatbot.become(list(change), out)
        else:
            chatbot.change(change, out)
    return out


def test_appended_text_is_a_delta() -> None:
    assert told([["q", "a"]], [["append", [0, 1], "b"]], [], [["append", [0, 1], ""]]) == [
        TextDelta("a"),
        TextDelta("b"),
    ]


def test_several_edits_in_one_update() -> None:
    two = [["append", [0, 1], "b"], ["append", [0, 1], "c"]]
    assert told([["q", "a"]], two) == [TextDelta("a"), TextDelta("b"), TextDelta("c")]
    mixed = [["append", [0, 1], "b"], ["replace", [0, 0], "Q"], ["append", [0, 1], "c"]]
    assert told([["q", "a"]], mixed) == [TextDelta("a"), TextDelta("bc")]


def test_a_rewrite_after_growth_counts_what_grew() -> None:
    events = told([["q", "a"]], [["append", [0, 1], "bc"]], [["replace", [0, 1], "abX"]])
    assert events == [TextDelta("a"), TextDelta("bc"), TextReplace(2, "X")]


def test_a_further_message_in_the_same_answer_follows_after_a_blank_line() -> None:
    events = told(
        [["q", "first"]],
        [["append", [0, 1], "!"]],
        [["add", [1], [None, "sec"]]],
        [["append", [1, 1], "ond"]],
    )
    assert events == [TextDelta(text) for text in ("first", "!", "\n\nsec", "ond")]


def test_text_added_to_an_earlier_part_is_put_where_it_belongs() -> None:
    value = [message("assistant", [part("a"), part("b")])]
    early = ["append", [0, "content", 0, "text"], "1"]
    late = ["append", [0, "content", 1, "text"], "2"]
    events = told(value, [late], [early], [late])
    assert events[1] == TextDelta("2") and events[-1] == TextDelta("2")
    assert text_of(events) == "a1\nb22"


def test_the_value_holds_what_grew() -> None:
    chatbot, out = Chatbot([]), []
    chatbot.become([message("assistant", [part("a")])], out)
    for piece in ("b", "c"):
        chatbot.change([["append", [0, "content", 0, "text"], piece]], out)
    assert chatbot.value == [message("assistant", [part("abc")])]
    assert chatbot.value == [message("assistant", [part("abc")])], "reading it changes nothing"


def test_growth_is_forgotten_when_the_whole_value_comes() -> None:
    events = told([["q", "a"]], [["append", [0, 1], "b"]], ([["q", "a"]][0],))
    assert events == [TextDelta("a"), TextDelta("b"), TextReplace(1, "")]


@pytest.mark.parametrize("edits", [None, "x", {"0": 1}, 5])
def test_an_update_that_is_not_a_list_is_passed_over(edits: Any) -> None:
    chatbot, out = Chatbot([]), []
    chatbot.become([["q", "a"]], out)
    chatbot.change(edits, out)
    assert "not a list of edits" in str(chatbot.misfit)
    chatbot.become([["q", "ab"]], out)
    assert chatbot.misfit is None and out == [TextDelta("a"), TextDelta("b")]


def test_while_the_value_says_no_more_than_was_sent_there_is_no_answer() -> None:
    sent = [["q", "a "], [{"text": "x", "files": None}, None]]
    shown = [["q", "a"], [{"text": "x", "files": [], "id": 3}, "new"]]
    assert told([["q", "a"]], sent=[["q", " a"]]) == []
    assert told(shown, sent=sent) == [TextDelta("new")]
    assert told([["q", "a"]], sent=[["q", "a"]], prompt="another") == []
    assert told([["q", "b"]], sent=[["q", "a"]]) == [TextDelta("b")], "one answer rewritten is one"


# -- any change at all ---------------------------------------------------------------------------------------


def text_of(events: list[Event]) -> str:
    transcript = Transcript()
    transcript.extend(events)
    return transcript.text


ANSWERS = st.lists(st.text(max_size=6), min_size=1, max_size=8)


@given(ANSWERS, st.sampled_from(FORMATS))
def test_any_answers_told_by_edits_add_up(answers: list[str], format: Format) -> None:
    values = [encode_history((("user", "q"), ("assistant", text)), format) for text in answers]
    out: list[Event] = []
    chatbot = Chatbot([])
    chatbot.become(values[0], out)
    shown = values[0]
    for value, answer in zip(values[1:], answers[1:], strict=True):
        edits = differ(shown, value)
        chatbot.change(edits, out)
        shown = value
        assert text_of(out) == answer
    assert chatbot.value == values[-1]
    assert all(isinstance(event, (TextDelta, TextReplace)) for event in out)


def test_a_long_answer_costs_the_same_for_each_piece() -> None:
    """Counted, not timed: growing text never touches the value, so nothing grows with the answer."""

    class Watched(list):  # type: ignore[type-arg]
        reads = 0

        def __getitem__(self, key: Any) -> Any:
            Watched.reads += 1
            return super().__getitem__(key)

    out: list[Event] = []
    chatbot = Chatbot([])
    chatbot.become(Watched([["q", "a"]]), out)
    before = Watched.reads
    for number in range(20_000):
        chatbot.change([["append", [0, 1], f"{number} "]], out)
    assert Watched.reads == before and len(out) == 20_001
    assert chatbot.value[0][1] == text_of(out)


@pytest.mark.parametrize(
    "value",
    [
        [["q", "a"]],
        [[{"text": "q", "files": []}, "a"]],
        [message("user", "q"), message("assistant", "a")],
        [message("user", [part(" q ")]), message("assistant", [part("a")])],
        [["p", "b"], ["q", "a"]],
        [[None, "a"]],
        [message("assistant", "a")],
    ],
)
def test_the_same_answer_again_of_an_app_without_memory(value: list[Any]) -> None:
    """The value equals the history that was sent, and its last user item is the question, or it has none."""
    out: list[Event] = []
    chatbot = Chatbot(value, "q")
    chatbot.become(value, out)
    assert out == [], "an app with memory that is asked again may begin so"
    chatbot.become(value, out, final=True)
    assert out == [TextDelta("a")]


def test_the_history_before_the_answer_is_not_the_answer() -> None:
    history = [["p", "a"]]
    assert told(history, [["add", [1], ["q", "b"]]], sent=history, prompt="q") == [TextDelta("b")]


@given(st.lists(st.text(max_size=6), min_size=1, max_size=8), st.booleans())
def test_the_text_of_a_box_is_the_servers_at_every_step(texts: list[str], in_update: bool) -> None:
    """Edits as Gradio makes them: what begins with the value before is appended, anything else replaces it."""

    def whole(text: str) -> Any:
        return {"__type__": "update", "value": text} if in_update else text

    path = ["value"] if in_update else []
    answer, out = TextAnswer(), []
    transcript = Transcript()
    before: str | None = None
    for text in texts:
        if before is None:
            answer.become(whole(text), out)
        elif text.startswith(before):
            answer.change([["append", path, text[len(before) :]]], out)
        else:
            answer.change([["replace", path, text]], out)
        transcript.extend(out)
        out.clear()
        assert transcript.text == answer.text == text
        before = text
    answer.become(whole(texts[-1]), out, final=True)
    assert out == [] and answer.value == texts[-1]
