"""The edits of an output: a server's own differ in reverse, and everything that does not fit refused."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.errors import ProtocolError
from glmclient.providers.gradio.edits import apply_edit, is_append_to

KEYS = st.text(max_size=3)
LEAVES = st.none() | st.booleans() | st.integers() | st.text(max_size=8)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4)
)


def differ(old: Any, new: Any, path: tuple[Any, ...] = ()) -> list[list[Any]]:
    """A reference: the edits that a server would send, by the rules of the wire page (§4)."""
    if type(old) is not type(new):
        return [["replace", list(path), new]]
    if (
        not isinstance(new, (list, dict)) and old == new
    ):  # [False] == [0], but they are not the same
        return []
    if isinstance(new, str):
        if new.startswith(old):
            return [["append", list(path), new[len(old) :]]]
        return [["replace", list(path), new]]
    edits: list[list[Any]] = []
    if isinstance(new, list):
        shared = min(len(old), len(new))
        for index in range(shared):
            edits += differ(old[index], new[index], (*path, index))
        edits += [["add", [*path, index], new[index]] for index in range(shared, len(new))]
        # Each removal moves what follows it: the indices are those of the list as it is then.
        edits += [["delete", [*path, shared], None] for _ in range(shared, len(old))]
        return edits
    if isinstance(new, dict):
        for key in old:
            if key in new:
                edits += differ(old[key], new[key], (*path, key))
            else:
                edits.append(["delete", [*path, key], None])
        return edits + [["add", [*path, key], new[key]] for key in new if key not in old]
    return [["replace", list(path), new]]


def apply_all(value: Any, edits: list[list[Any]]) -> Any:
    for edit in edits:
        value = apply_edit(value, edit)
    return value


@given(VALUES, VALUES)
def test_what_a_server_says_of_any_change_makes_that_change(old: Any, new: Any) -> None:
    edits = differ(old, new)
    assert repr(apply_all(copy.deepcopy(old), copy.deepcopy(edits))) == repr(sorted_like(new, old))


def sorted_like(new: Any, old: Any) -> Any:
    """Return ``new`` with its keys in the order in which edits leave them: the old ones first."""
    if isinstance(new, dict) and isinstance(old, dict):
        keys = [*(key for key in old if key in new), *(key for key in new if key not in old)]
        return {key: sorted_like(new[key], old.get(key)) for key in keys}
    if isinstance(new, list) and isinstance(old, list):
        old = [*old, *[None] * len(new)]
        return [sorted_like(item, old[index]) for index, item in enumerate(new)]
    return new


@given(VALUES, st.lists(VALUES, max_size=4))
def test_any_edit_is_applied_or_refused(value: Any, edit: list[Any]) -> None:
    before = repr(value)
    with contextlib.suppress(ProtocolError):  # any other error fails the test
        apply_edit(value, edit)
        return
    assert repr(value) == before, "an edit that is refused changes nothing"


@pytest.mark.parametrize(
    ("value", "edit", "after"),
    [
        ("a", ["append", [], "b"], "ab"),
        ("a", ["replace", [], None], None),
        (None, ["replace", [], ["x"]], ["x"]),
        ([["q", "a"]], ["append", [0, 1], "b"], [["q", "ab"]]),
        (
            [{"content": [{"text": "a"}]}],
            ["append", [0, "content", 0, "text"], "b"],
            [{"content": [{"text": "ab"}]}],
        ),
        ([1, 2], ["add", [0], 0], [0, 1, 2]),
        ([1, 2], ["add", [2], 3], [1, 2, 3]),
        ({"a": 1}, ["add", ["b"], 2], {"a": 1, "b": 2}),
        ([1, 2, 3], ["delete", [1], None], [1, 3]),
        ({"a": 1}, ["delete", ["a"], None], {}),
        ({"a": {"0": 1}}, ["replace", ["a", "0"], 2], {"a": {"0": 2}}),
    ],
)
def test_the_four_actions(value: Any, edit: list[Any], after: Any) -> None:
    assert apply_edit(value, edit) == after


@pytest.mark.parametrize(
    ("value", "edit", "words"),
    [
        ([], "append", "is not"),
        ([], ["append", []], "is not"),
        ([], ["append", "0", "x"], "is not"),
        (["a"], ["rename", [0], "x"], "action that does not exist"),
        ("a", ["rename", [], "x"], "no path"),
        ("a", ["add", [], "x"], "no path"),
        ("a", ["delete", [], None], "no path"),
        (["a"], ["append", [1], "x"], "not there"),
        (["a"], ["append", [-1], "x"], "not there"),
        (["a"], ["append", ["0"], "x"], "not there"),
        (["a"], ["append", [False], "x"], "not there"),
        (["a"], ["append", [0, 0], "x"], "not there"),
        (["a"], ["replace", [1], "x"], "not there"),
        ({"a": 1}, ["replace", ["b"], "x"], "not there"),
        ({"a": 1}, ["replace", [0], "x"], "not there"),
        (None, ["append", [0, 1], "x"], "not there"),
        (["a"], ["delete", [1], None], "not there"),
        (["a"], ["add", [2], "x"], "not there"),
        ({"a": 1}, ["add", [0], "x"], "not there"),
        ("a", ["add", [0], "x"], "not there"),
        ([None], ["append", [0], "x"], "not text"),
        (["a"], ["append", [0], 5], "not text"),
        (5, ["append", [], "x"], "not text"),
        ([[1]], ["append", [0], [2]], "not text"),
        ({"a": 1}, ["replace", [["a"]], "x"], "not there"),
    ],
)
def test_an_edit_that_does_not_fit_is_refused(value: Any, edit: Any, words: str) -> None:
    with pytest.raises(ProtocolError, match=words):
        apply_edit(value, edit)


@pytest.mark.parametrize(
    "edit",
    [5, [], ["append"], ["replace", [0], "x"], ["append", [1], "x"], ["append", [0], 5], None],
)
def test_only_text_added_at_the_place_is_an_append_to_it(edit: Any) -> None:
    assert is_append_to(["append", [0], "x"], [0])
    assert not is_append_to(edit, [0])
