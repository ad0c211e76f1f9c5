"""What users say is checked before anything is sent, and never changed."""

from __future__ import annotations

import copy
from types import MappingProxyType
from typing import Any

import pytest

from glmclient import ConfigurationError
from glmclient.messages import checked_messages, fold_system, text_of


def user(content: Any) -> dict[str, Any]:
    return {"role": "user", "content": content}


def test_a_string_is_one_user_message() -> None:
    assert checked_messages("你好") == (user("你好"),)


def test_messages_are_copied() -> None:
    given = [{"role": "system", "content": "Be brief."}, user("Hi")]
    before = copy.deepcopy(given)
    checked = checked_messages(given)
    assert list(checked) == given == before
    assert checked[0] is not given[0]


def test_any_mapping_and_any_sequence_will_do() -> None:
    assert checked_messages((MappingProxyType(user("Hi")),)) == (user("Hi"),)


@pytest.mark.parametrize(
    ("messages", "why"),
    [
        (b"Hi", "messages must be a string or a sequence"),
        (user("Hi"), "messages must be a string or a sequence"),
        (None, "not NoneType"),
        (5, "not int"),
        ({"Hi"}, "not set"),
        ([], "messages is empty"),
        ("", "user message without text"),
        (" \n", "user message without text"),
        (["Hi"], r"messages\[0\] must be a mapping"),
        ([user("Hi"), {"content": "x"}], r"messages\[1\] has no 'role'; give one of system"),
        ([{"role": None, "content": "x"}], r"messages\[0\] has the role None"),
        ([{"role": "robot", "content": "x"}], "'robot'; it must be one of system, user"),
        ([{"role": "user"}], r"messages\[0\] has no 'content'; give text"),
        ([user(None)], r"must be text or a sequence of content parts, not None\."),
        ([user(5)], "not int"),
        ([user([])], "not an empty sequence"),
        ([user(())], "not an empty sequence"),
        ([user(b"x")], "not bytes"),
        ([user(["x"])], r"messages\[0\]\['content'\]\[0\] must be a content part"),
        ([user([{"text": "x"}])], "must be a content part"),
        ([user([{"type": "text", "text": "x"}, {"type": 5}])], r"\[1\] must be a content part"),
        ([{"role": "assistant", "content": None}], "not None"),
    ],
)
def test_what_is_no_message(messages: Any, why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        checked_messages(messages)


def test_an_assistant_s_call_needs_no_words() -> None:
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c"}]}
    assert checked_messages([user("Hi"), call])[1] == call
    assert checked_messages([user("Hi"), {"role": "assistant", "content": ""}])


def test_the_text_of_a_message() -> None:
    assert text_of(user("Hi"), "S") == "Hi"
    assert text_of({"role": "assistant", "content": None}, "S") == ""
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert text_of(user(parts), "S") == "a\nb"


@pytest.mark.parametrize("part", [{"type": "image_url", "image_url": {}}, {"type": "text"}])
def test_a_service_that_takes_text_alone_says_so(part: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="The Service takes text alone"):
        text_of(user([part]), "The Service")


def system(content: Any) -> dict[str, Any]:
    return {"role": "system", "content": content}


@pytest.mark.parametrize(
    ("messages", "folded"),
    [
        ([user("Hi")], [user("Hi")]),
        ([system("A"), user("Hi")], [user("A\n\nHi")]),
        ([system("A"), user("Hi"), system("B"), user("So?")], [user("A\n\nB\n\nHi"), user("So?")]),
        ([system(" "), user("Hi")], [user("Hi")]),
        ([system("A")], [user("A")]),
        (
            [system("A"), {"role": "assistant", "content": "Yes?"}],
            [user("A"), {"role": "assistant", "content": "Yes?"}],
        ),
        (
            [system([{"type": "text", "text": "A"}]), user([{"type": "text", "text": "Hi"}])],
            [user("A\n\nHi")],
        ),
        (
            [{"role": "assistant", "content": "Yes?"}, system("A"), user("Hi")],
            [{"role": "assistant", "content": "Yes?"}, user("A\n\nHi")],
        ),
    ],
)
def test_system_messages_go_in_front_of_the_first_user_message(
    messages: list[dict[str, Any]], folded: list[dict[str, Any]]
) -> None:
    before = copy.deepcopy(messages)
    assert fold_system(messages, "S") == folded
    assert messages == before
