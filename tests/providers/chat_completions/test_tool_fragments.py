"""Fragments of tool calls find their calls (``docs/wire/open-platform.md`` §2.3)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.core.transcript import Transcript
from glmclient.events import ToolCall, ToolCallDelta
from glmclient.providers.chat_completions import tool_calls
from glmclient.providers.chat_completions.tool_calls import ToolFragments, _Call, _is_object


def fragment(
    index: Any = None, id: Any = None, name: Any = None, arguments: Any = None
) -> dict[str, Any]:
    return {"index": index, "id": id, "function": {"name": name, "arguments": arguments}}


def assembled(
    fragments: list[dict[str, Any]],
) -> tuple[tuple[ToolCall, ...], list[ToolCallDelta | None]]:
    tools = ToolFragments()
    events = [tools.add(each) for each in fragments]
    transcript = Transcript()
    transcript.extend(event for event in events if event is not None)
    return transcript.tool_calls, events


A, B = ToolCall("a", "f", '{"x":1}'), ToolCall("b", "g", "{}")


@pytest.mark.parametrize(
    ("name", "fragments", "calls"),
    [
        ("whole calls", [fragment(0, "a", "f", '{"x":1}'), fragment(1, "b", "g", "{}")], (A, B)),
        (
            "fragments, taking turns",
            [
                fragment(0, "a", "f", ""),
                fragment(1, "b", "g", "{"),
                fragment(0, None, None, '{"x"'),
                fragment(1, "", "", "}"),
                fragment(0, None, None, ":1}"),
            ],
            (A, B),
        ),
        (
            "id and name on every fragment",
            [fragment(0, "a", "f", '{"x"'), fragment(0, "a", "f", ":1}")],
            (A,),
        ),
        (
            "another id on every fragment: the first is kept",
            [fragment(0, "a", "f", '{"x"'), fragment(0, "z", "f", ":1}")],
            (A,),
        ),
        (
            "a name that comes late",
            [fragment(0, "a"), fragment(0, None, "f", '{"x":1}')],
            (A,),
        ),
        (
            "an id that comes late",
            [fragment(0, None, "f", '{"x":1}'), fragment(0, "a")],
            (A,),
        ),
        (
            "arguments as an object",
            [fragment(0, "a", "f", {"x": 1})],
            (ToolCall("a", "f", '{"x": 1}'),),
        ),
        (
            "no index, ids that differ",
            [fragment(None, "a", "f", '{"x":1}'), fragment(None, "b", "g", "{}")],
            (A, B),
        ),
        (
            "no index, the same id again",
            [
                fragment(None, "a", "f", '{"x"'),
                fragment(None, "b", "g", "{}"),
                fragment(None, "a", None, ":1}"),
            ],
            (A, B),
        ),
        (
            "no index, no id: the last call",
            [fragment(None, "a", "f", '{"x"'), fragment(None, None, None, ":1}")],
            (A,),
        ),
        (
            "no index, no ids, whole calls by their names",
            [fragment(None, None, "f", '{"x":1}'), fragment(None, None, "g", "{}")],
            (ToolCall("", "f", '{"x":1}'), ToolCall("", "g", "{}")),
        ),
        (
            "no index, a name repeated in the middle of the arguments",
            [fragment(None, None, "f", '{"x"'), fragment(None, None, "f", ":1}")],
            (ToolCall("", "f", '{"x":1}'),),
        ),
        (
            "no index, an id that comes late",
            [fragment(None, None, "f", '{"x"'), fragment(None, "a", None, ":1}")],
            (A,),
        ),
        (
            "a relay that repeats a whole call",
            [fragment(0, "a", "f", '{"x":1}'), fragment(0, "a", "f", '{"x":1}')],
            (A,),
        ),
        (
            "a relay that repeats fragments whole at the end",
            [
                fragment(0, "a", "f", '{"x"'),
                fragment(0, None, None, ":1}"),
                fragment(0, "a", "f", '{"x":1}'),
            ],
            (A,),
        ),
        (
            "equal pieces that are no whole call are not repetitions",
            [fragment(0, "a", "f", "11"), fragment(0, None, None, "11")],
            (ToolCall("a", "f", "1111"),),
        ),
        (
            "a gateway that numbers every call 0",
            [
                fragment(0, "a", "f", '{"x":1}'),
                fragment(0, "b", "g", "{"),
                fragment(0, None, None, "}"),
            ],
            (A, B),
        ),
        (
            "numbered 0, and the first once more",
            [
                fragment(0, "a", "f", '{"x":1}'),
                fragment(0, "b", "g", "{}"),
                fragment(0, "a", "f", '{"x":1}'),
                fragment(1, "c", "h", "{}"),
            ],
            (A, B, ToolCall("c", "h", "{}")),
        ),
        (
            "an index that is no number",
            [fragment("0", "a", "f", '{"x":1}'), fragment(True, "b", "g", "{}")],
            (A, B),
        ),
        (
            "a call that begins at 3",
            [fragment(3, "a", "f", '{"x":1}'), fragment(None, "b", "g", "{}")],
            (A, B),
        ),
        (
            "no function",
            [{"index": 0, "id": "a"}, {"index": 0, "function": "x"}],
            (ToolCall("a", "", ""),),
        ),
    ],
)
def test_fragments_find_their_calls(
    name: str, fragments: list[dict[str, Any]], calls: tuple[ToolCall, ...]
) -> None:
    assert assembled(fragments)[0] == calls


def test_ids_and_names_are_told_once() -> None:
    _, events = assembled(
        [fragment(0, "a", "f", "{"), fragment(0, "a", "f", "}"), fragment(0, "a", "f", "")]
    )
    assert events == [ToolCallDelta(0, "a", "f", "{"), ToolCallDelta(0, "", "", "}"), None]


def test_a_call_without_anything_is_still_a_call() -> None:
    assert assembled([fragment(0)])[1] == [ToolCallDelta(0, "", "", "")]


def test_indexes_follow_the_service() -> None:
    tools = ToolFragments()
    assert [
        event and event.index
        for event in (tools.add(fragment(n, str(n), "f", "{}")) for n in (2, 0, 5))
    ] == [2, 0, 5]


def test_arguments_too_deep_for_json_are_only_text() -> None:
    deep = "{" + '"a":{' * 100_000 + "}"
    calls, _ = assembled([fragment(0, "a", "f", deep), fragment(0, "b", "f", "{}")])
    assert calls == (ToolCall("a", "f", deep + "{}"),)


def test_another_id_with_another_name_is_another_call_whatever_its_number() -> None:
    for index in (0, None):
        calls, _ = assembled(
            [
                fragment(index, "t1", "now", ""),
                fragment(index, "t2", "get", '{"u":'),
                fragment(index, "", "", '"c"}'),
                fragment(index, "t3", "put", None),
            ]
        )
        assert calls == (
            ToolCall("t1", "now", ""),
            ToolCall("t2", "get", '{"u":"c"}'),
            ToolCall("t3", "put", ""),
        )


def test_another_name_without_an_index_is_another_call() -> None:
    calls, _ = assembled([fragment(None, "", "now", ""), fragment(None, "", "get", "{}")])
    assert calls == (ToolCall("", "now", ""), ToolCall("", "get", "{}"))


pieces = st.fixed_dictionaries(
    {},
    optional={
        "index": st.none() | st.integers(0, 3),
        "id": st.none() | st.sampled_from(["", "a", "b"]),
        "function": st.fixed_dictionaries(
            {},
            optional={
                "name": st.none() | st.sampled_from(["", "f", "g"]),
                "arguments": st.none() | st.sampled_from(["", "{", "}", "{}", '{"x":1}', "1"]),
            },
        ),
    },
)


@given(fragments=st.lists(pieces, max_size=12))
def test_no_argument_is_lost_or_invented(fragments: list[dict[str, Any]]) -> None:
    calls, events = assembled(fragments)
    sent = [(each.get("function") or {}).get("arguments") or "" for each in fragments]
    kept = [event.arguments if event is not None else "" for event in events]
    for told, put in zip(sent, kept, strict=True):
        assert put == told or (put == "" and told in ("{}", '{"x":1}'))
    assert sorted("".join(c.arguments for c in calls)) == sorted("".join(kept))
    assert len({call.id for call in calls if call.id}) <= 2


@pytest.mark.parametrize(
    ("pieces", "whole"),
    [
        (["{}"], True),
        (["{", "}"], True),
        (["{}", " \n"], True),
        (["{}", "x"], False),
        (["{}", " ", "x", " "], False),
        (['{"a": "', "}", '"}'], True),
        (['{"a": "\\', '"}', '"}'], True),
        (['{"a": "\\\\', '"}'], True),
        (['{"a": {"b": "}"}', "}"], True),
        (["{", "{}"], False),
        (["}{"], False),
        (["{a}"], False),
        ([], False),
    ],
)
def test_the_end_of_arguments_is_found_in_pieces(pieces: list[str], whole: bool) -> None:
    call = _Call(0)
    for piece in pieces:
        call.pieces.append(piece)
        asked = call.whole
        expected = _is_object("".join(call.pieces))
        assert asked == expected
    assert call.whole is whole


def test_arguments_are_parsed_once_when_their_braces_close(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of these fragments repeats the name and ends in a brace, so each asks whether the call is whole."""
    parsed: list[str] = []

    def counted(text: str) -> bool:
        parsed.append(text)
        return _is_object(text)

    monkeypatch.setattr(tool_calls, "_is_object", counted)
    fragments = ToolFragments()
    indexes = []
    for piece in ('{"a":{"x":{}', *[',"b":{}'] * 500, "}", "}", '{"next":1}'):
        delta = fragments.add({"function": {"name": "same", "arguments": piece}})
        assert delta is not None
        indexes.append(delta.index)
    assert len(parsed) == 1
    assert set(indexes[:-1]) == {0} and indexes[-1] == 1
