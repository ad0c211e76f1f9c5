"""Snapshots, increments and rewrites: the events must always add up to the service's text."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.answer import Answer, Mode, ModeName, Track, common_prefix, rewrite
from glmclient.errors import ConfigurationError
from glmclient.events import (
    CodeDelta,
    CodeReplace,
    ReasoningDelta,
    ReasoningReplace,
    TextDelta,
    TextReplace,
)

TextEvent = TextDelta | TextReplace


def text_answer(mode: ModeName = "auto") -> Answer[TextEvent]:
    return Answer[TextEvent](Mode(mode), TextDelta, TextReplace)


def applied(text: str, event: TextEvent | None) -> str:
    match event:
        case None:
            return text
        case TextDelta(added):
            return text + added
        case TextReplace(start, added):
            return text[:start] + added


def events_of(
    answer: Answer[TextEvent], values: Iterable[str], final: str | None = None
) -> list[TextEvent]:
    """Return the events of one track's values, and of a last one that is final."""
    events = [answer.update("part", value) for value in values]
    if final is not None:
        events.append(answer.update("part", final, final=True))
    return [event for event in events if event is not None]


# -- one track ------------------------------------------------------------------------------------


def test_snapshots_give_what_was_added() -> None:
    answer = text_answer()
    assert events_of(
        answer, ["你好", "你好！我是智谱清言", "你好！我是智谱清言"], "你好！我是智谱清言。"
    ) == [
        TextDelta("你好"),
        TextDelta("！我是智谱清言"),
        TextDelta("。"),
    ]
    assert answer.text == "你好！我是智谱清言。"
    assert answer.length == len(answer.text)


def test_increments_give_themselves_and_the_whole_at_the_end_nothing() -> None:
    values = ["1", ",", " ", "2", ",", " ", "3", ",", " ", "4, 5"]
    answer = text_answer()
    assert events_of(answer, values, "1, 2, 3, 4, 5") == [TextDelta(value) for value in values]
    assert answer.update("part", "1, 2, 3, 4, 5", final=True) is None


def test_increments_that_look_like_a_snapshot_are_mended_as_soon_as_that_shows() -> None:
    assert events_of(text_answer(), ["1", "12", "3"]) == [
        TextDelta("1"),
        TextDelta("2"),
        TextReplace(1, "123"),
    ]


def test_increments_that_look_like_a_snapshot_to_the_end_are_mended_there() -> None:
    assert events_of(text_answer(), ["1", "12"], "112") == [
        TextDelta("1"),
        TextDelta("2"),
        TextReplace(1, "12"),
    ]


def test_a_repeated_token_is_not_lost() -> None:
    answer = text_answer()
    assert events_of(answer, ["谢", "谢", "你"]) == [TextDelta("谢"), TextDelta("谢你")]
    assert answer.text == "谢谢你"


def test_the_ambiguity_of_one_track_is_mended_after_another_decided() -> None:
    answer = text_answer()
    updates = [("a", "哈"), ("a", "哈"), ("b", "x"), ("b", "y"), ("a", "!")]
    events = [answer.update(key, value) for key, value in updates]
    assert events[-1] == TextReplace(1, "哈!xy")
    assert answer.text == "哈哈!xy"


def test_seven_characters_are_no_proof_of_a_snapshot_and_eight_are() -> None:
    for shown, mode in (("1234567", "auto"), ("12345678", "snapshot")):
        shared = Mode()
        track = Track(shared)
        track.update(shown)
        track.update(shown + "9")
        assert shared.value == mode
        assert track.text == shown + "9"


def test_a_snapshot_that_was_rewritten_is_replaced_from_where_it_differs() -> None:
    answer = text_answer("snapshot")
    assert events_of(answer, ["The answer is 4.", "The answer is 5.", "The", "", "x"]) == [
        TextDelta("The answer is 4."),
        TextReplace(14, "5."),
        TextReplace(3, ""),
        TextReplace(0, ""),
        TextDelta("x"),
    ]


def test_a_mode_set_by_hand_does_not_change() -> None:
    assert events_of(text_answer("snapshot"), ["ab", "cd"]) == [
        TextDelta("ab"),
        TextReplace(0, "cd"),
    ]
    long = "a long enough text"
    assert events_of(text_answer("delta"), [long, long]) == [TextDelta(long), TextDelta(long)]


def test_a_final_value_is_the_whole_in_every_mode() -> None:
    for mode in ("auto", "snapshot", "delta"):
        answer = text_answer(mode)
        assert events_of(answer, ["ab"], "abc") == [TextDelta("ab"), TextDelta("c")]
        assert events_of(answer, [], "abd") == [TextReplace(2, "d")]
        assert answer.text == "abd"


def test_a_final_value_decides_nothing_and_values_may_follow_it() -> None:
    mode = Mode()
    track = Track(mode)
    track.update("ab", final=True)
    track.update("cd", final=True)
    assert mode.value == "auto"
    track.update("cde")
    track.update("f")
    assert str(mode.value) == "delta"
    assert track.text == "cdcdef"


def test_empty_values_give_nothing() -> None:
    for mode in ("auto", "snapshot", "delta"):
        assert events_of(text_answer(mode), ["", ""], "") == []
    assert events_of(text_answer("delta"), ["a", "", "b"]) == [TextDelta("a"), TextDelta("b")]


def test_an_unknown_mode_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="auto, snapshot or delta, not 'both'"):
        Mode("both")  # type: ignore[arg-type]


# -- many tracks ----------------------------------------------------------------------------------


def test_tracks_are_joined_in_the_order_in_which_they_came() -> None:
    answer = text_answer("snapshot")
    updates = [("a", "one "), ("b", "three"), ("a", "one two "), ("b", "three!"), ("c", "?")]
    assert [answer.update(key, value) for key, value in updates] == [
        TextDelta("one "),
        TextDelta("three"),
        TextReplace(5, "wo three"),  # "t" stands there already
        TextDelta("!"),
        TextDelta("?"),
    ]
    assert answer.text == "one two three!?"


def test_an_earlier_track_may_grow_while_the_later_ones_are_empty() -> None:
    answer = text_answer("snapshot")
    updates = [("a", "x"), ("b", ""), ("a", "xy"), ("b", "z")]
    assert [answer.update(key, value) for key, value in updates] == [
        TextDelta("x"),
        None,
        TextDelta("y"),
        TextDelta("z"),
    ]


def test_a_change_that_reads_as_growth_of_the_whole_is_a_delta() -> None:
    answer = text_answer("snapshot")
    answer.update("a", "x")
    answer.update("b", "x")
    assert answer.update("a", "xx") == TextDelta("x")


def test_one_mode_serves_all_texts_of_a_stream() -> None:
    mode = Mode()
    text = Answer[TextEvent](mode, TextDelta, TextReplace)
    thinking = Answer[ReasoningDelta | ReasoningReplace](mode, ReasoningDelta, ReasoningReplace)
    assert [thinking.update(0, "a"), thinking.update(0, "b")] == [
        ReasoningDelta("a"),
        ReasoningDelta("b"),
    ]
    assert [text.update(0, "1"), text.update(0, "12")] == [TextDelta("1"), TextDelta("12")]
    assert thinking.update(0, "b", final=True) == ReasoningReplace(0, "b")


def test_code_blocks_keep_their_number() -> None:
    block = Answer[CodeDelta | CodeReplace](
        Mode("snapshot"), partial(CodeDelta, block=2), partial(CodeReplace, block=2)
    )
    assert [block.update(0, "print("), block.update(0, "print(1)"), block.update(0, "pass")] == [
        CodeDelta("print(", 2),
        CodeDelta("1)", 2),
        CodeReplace(1, "ass", 2),
    ]


def test_withdrawing_empties_the_text_once() -> None:
    answer = text_answer("delta")
    assert answer.withdraw() is None
    answer.update("a", "secret")
    answer.update("b", " more")
    assert answer.withdraw() == TextReplace(0, "")
    assert (answer.text, answer.length) == ("", 0)
    assert answer.withdraw() is None
    assert answer.update("a", "sorry") == TextDelta("sorry")


def test_extending_is_a_longer_snapshot() -> None:
    answer = text_answer("snapshot")
    answer.update("a", "x")
    assert answer.extend("a", "y") == TextDelta("y")
    assert answer.extend("a", "") is None
    answer.update("b", "z")
    assert answer.extend("a", "!") == TextReplace(2, "!z")
    assert answer.update("a", "xy!") is None


# -- the law --------------------------------------------------------------------------------------

alphabet = st.sampled_from(["a", "b", "谢", "😀", "\n", "\ud83d", "1"])
pieces = st.text(alphabet, max_size=6)
modes = st.sampled_from(["auto", "snapshot", "delta"])
updates = st.tuples(st.sampled_from("xyz"), pieces, st.booleans())


@given(modes, st.lists(updates, max_size=25))
def test_events_always_add_up_and_change_no_more_than_they_must(
    mode: ModeName, steps: list[tuple[str, str, bool]]
) -> None:
    answer = text_answer(mode)
    finals: dict[str, str | None] = {}
    text = ""
    for key, value, final in steps:
        event = answer.update(key, value, final)
        before, text = text, applied(text, event)
        assert text == answer.text
        assert answer.length == len(text)
        if isinstance(event, TextReplace):
            assert not text.startswith(before)
            assert event.start == common_prefix(before, text)
        else:
            assert event is None or event.text
        finals[key] = value if final else None
        if all(whole is not None for whole in finals.values()):
            assert text == "".join(whole or "" for whole in finals.values())


@given(modes.filter(lambda mode: mode != "delta"), st.lists(pieces, max_size=12))
def test_a_stream_of_snapshots_is_exact_and_never_rewritten(
    mode: ModeName, parts: list[str]
) -> None:
    answer = text_answer(mode)
    snapshots = ["".join(parts[: i + 1]) for i in range(len(parts))]
    events = events_of(answer, snapshots, "".join(parts))
    assert "".join(event.text for event in events if isinstance(event, TextDelta)) == "".join(parts)
    assert all(isinstance(event, TextDelta) for event in events)


@given(modes.filter(lambda mode: mode != "snapshot"), st.lists(pieces, max_size=12))
def test_a_stream_of_increments_is_exact(mode: ModeName, parts: list[str]) -> None:
    answer = text_answer(mode)
    text = ""
    for event in events_of(answer, parts, "".join(parts)):
        text = applied(text, event)
    assert text == "".join(parts) == answer.text


@given(st.lists(st.text(alphabet, min_size=1, max_size=6), max_size=12))
def test_increments_are_exact_without_a_whole_as_soon_as_the_mode_is_decided(
    parts: list[str],
) -> None:
    mode = Mode()
    track = Track(mode)
    for i, part in enumerate(parts):
        track.update(part)
        if mode.value == "delta":
            assert track.text == "".join(parts[: i + 1])


@given(st.lists(pieces, max_size=6), pieces, pieces)
def test_extending_gives_what_the_longer_snapshot_gives(
    snapshots: list[str], added: str, other: str
) -> None:
    fast, plain = text_answer("snapshot"), text_answer("snapshot")
    for answer in (fast, plain):
        events_of(answer, ["", *snapshots])
        answer.update("other", other)
    whole = (snapshots[-1] if snapshots else "") + added
    assert fast.extend("part", added) == plain.update("part", whole)
    assert fast.text == plain.text
    assert fast.update("part", whole + "!") == plain.update("part", whole + "!")


@given(pieces, pieces)
def test_rewriting_turns_the_old_text_into_the_new(old: str, new: str) -> None:
    event = rewrite(old, new)
    assert applied(old, event) == new
    assert (event is None) == (old == new)
    assert isinstance(event, TextReplace) == (not new.startswith(old))
    if isinstance(event, TextReplace):
        assert event.start == common_prefix(old, new)


@given(st.text(alphabet), st.text(alphabet), st.text(alphabet))
def test_common_prefix_is_the_longest(start: str, a: str, b: str) -> None:
    a, b = start + a, start + b
    n = common_prefix(a, b)
    assert a[:n] == b[:n]
    assert n == min(len(a), len(b)) or a[n] != b[n]


def test_half_a_million_increments_cost_linear_time() -> None:
    answer = text_answer("delta")
    began = time.monotonic()
    for _ in range(500_000):
        answer.update("part", "0123456789")
    assert answer.update("part", "0123456789" * 500_000, final=True) is None
    assert time.monotonic() - began < 60


def test_half_a_million_extensions_cost_linear_time() -> None:
    answer = text_answer("snapshot")
    answer.update("part", "")
    began = time.monotonic()
    for _ in range(500_000):
        answer.extend("part", "0123456789")
    assert time.monotonic() - began < 60
    assert answer.text == "0123456789" * 500_000
