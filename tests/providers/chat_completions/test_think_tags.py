"""Thinking split off the text at its tags, wherever the stream cuts them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.transcript import Transcript
from glmclient.events import Event, ReasoningDelta, TextDelta, TextReplace
from glmclient.providers.chat_completions.think_tags import ThinkTags
from tests.core.wire import cut_at


def split(pieces: list[str], reasoning_first: bool = False) -> list[Event]:
    tags = ThinkTags()
    out: list[Event] = []
    if reasoning_first:
        tags.reasoning_came()
    for piece in pieces:
        tags.feed(piece, out)
    tags.end(out)
    return out


def said(events: list[Event]) -> tuple[str, str]:
    transcript = Transcript()
    transcript.extend(events)
    return transcript.text, transcript.reasoning


@pytest.mark.parametrize(
    ("written", "text", "reasoning"),
    [
        ("plain", "plain", ""),
        ("", "", ""),
        ("<think>hm</think>Hi", "Hi", "hm"),
        ("\n<think>\nhm\n</think>\n\nHi", "\n\n\nHi", "\nhm\n"),
        ("a<think>b</think>c<think>d</think>e", "ace", "bd"),
        ("<think></think>Hi", "Hi", ""),
        ("<think>never closed", "", "never closed"),
        ("hm</think>Hi", "Hi", "hm"),
        ("</think>Hi", "Hi", ""),
        ("a < b <thin <thinking> <", "a < b <thin <thinking> <", ""),
        ("<think>a</think>b</think>c", "b</think>c", "a"),
        ("<think>a<think>b</think>c", "c", "a<think>b"),
        ("<<think>a<</think>b", "<b", "a<"),
        ("a</think>b</think>c", "b</think>c", "a"),
        ("a</think>b<think>c", "b", "ac"),
        ("x</thin", "x</thin", ""),
    ],
)
def test_tags_split_at_every_cut(written: str, text: str, reasoning: str) -> None:
    assert said(split([written])) == (text, reasoning)
    assert said(split(list(written))) == (text, reasoning)
    for place in range(len(written) + 1):
        assert said(split([written[:place], written[place:]])) == (text, reasoning)


def test_thinking_in_a_field_of_its_own_makes_a_closing_tag_text() -> None:
    assert split(["say </think>"], reasoning_first=True) == [TextDelta("say </think>")]
    assert split(["<think>a</think>b"], reasoning_first=True) == [
        ReasoningDelta("a"),
        TextDelta("b"),
    ]


def test_text_before_a_closing_tag_alone_is_taken_back() -> None:
    assert split(["h", "m</think>Hi"]) == [
        TextDelta("h"),
        TextDelta("m"),
        TextReplace(0, ""),
        ReasoningDelta("hm"),
        TextDelta("Hi"),
    ]


def test_only_what_may_be_a_tag_is_held_back() -> None:
    tags = ThinkTags()
    out: list[Event] = []
    tags.feed("a <th", out)
    assert out == [TextDelta("a ")]
    tags.feed("e", out)
    assert out == [TextDelta("a "), TextDelta("<the")]
    tags.feed("<think>x</think", out)
    assert out[2:] == [ReasoningDelta("x")]


@given(
    parts=st.lists(
        st.sampled_from(["<think>", "</think>", "<", "think>", "/", "a", "雪"]), max_size=12
    ),
    cuts=st.lists(st.integers(0, 60)),
)
def test_any_cut_says_the_same(parts: list[str], cuts: list[int]) -> None:
    written = "".join(parts)
    # cut_at cuts bytes; one character a byte is enough here
    pieces = [
        piece.decode("latin-1")
        for piece in cut_at(written.replace("雪", "x").encode("latin-1"), cuts)
    ]
    assert said(split(pieces)) == said(split([written.replace("雪", "x")]))
