"""What an app tells of itself: read, bounded, or refused in plain words."""

from __future__ import annotations

from typing import Any

import pytest

from glmclient.core.http import Head
from glmclient.errors import ProtocolError
from glmclient.providers.gradio.cookies import cookies_after
from glmclient.providers.gradio.page import Component, Function, Page

from .scripted import component, config


def function(**changed: Any) -> Function:
    described = {**config()["dependencies"][1], **changed}
    return Page.parse(config(dependencies=[described]), {}).functions[0]


def test_the_space_as_it_was_measured() -> None:
    page = Page.parse(config(), {"a": "b"})
    assert (page.version, page.major, page.diffs, page.prefix) == ("4.44.1", 4, True, "")
    assert dict(page.cookies) == {"a": "b"} and not page.named
    found = page.functions[1]
    assert (found.index, found.name, found.trigger, found.after) == (3, "model_chat", 25, None)
    assert found.triggers == ((25, "submit"),)
    assert [each.id for each in found.inputs] == [3, 6, 1, 2]
    assert [each.type for each in found.outputs] == ["textbox", "chatbot", "textbox"]
    assert found.public and found.runs and found.names == () and found.parameter(3) == ""
    assert found.signature() == (
        "model_chat (fn_index 3): (textbox, chatbot, textbox, radio) -> (textbox, chatbot, textbox)"
    )
    assert page.functions[0].trigger == 7 and found.inputs[2].hidden
    assert found.inputs[2].value == "You are Qwen."


def test_before_4_20_the_position_is_the_index() -> None:
    described = config()["dependencies"]
    del described[1]["id"]
    assert Page.parse(config(dependencies=described), {}).functions[1].index == 1


@pytest.mark.parametrize(
    "targets",
    [None, [], [[]], [["x", "submit"]], ["submit"], [[None, "load"]], [[True, "x"]], [[5]]],
)
def test_a_page_may_tell_no_trigger(targets: Any) -> None:
    assert function(targets=targets).trigger is None


@pytest.mark.parametrize(
    ("changed", "public"),
    [
        ({}, True),
        ({"show_api": True}, True),
        ({"show_api": False}, False),
        ({"api_name": False}, False),
        ({"api_visibility": "public"}, True),
        ({"api_visibility": "undocumented"}, False),
        ({"api_visibility": "private"}, False),
    ],
)
def test_which_functions_are_offered_to_programs(changed: dict[str, Any], public: bool) -> None:
    assert function(**changed).public is public


def test_what_is_not_described_is_missing() -> None:
    found = function(inputs=[3, 99, [1]], outputs="x", id="y", api_name=5, trigger_after="0")
    assert [each.type for each in found.inputs] == ["textbox", "missing", "missing"]
    assert (found.outputs, found.index, found.name, found.after) == ((), 0, "", None)
    assert found.signature() == "unnamed (fn_index 0): (textbox, missing, missing) -> ()"


def test_labels_are_words_and_bounded() -> None:
    assert Component(1, "textbox", {"label": " A "}).label == "A"
    assert Component(1, "textbox", {"label": "x" * 500}).label == "x" * 200
    for label in (None, 5, '__i18n__{"key": "x"}'):
        assert Component(1, "textbox", {"label": label}).label == ""
    assert Component(1, "textbox", {"visible": "hidden"}).hidden
    assert not Component(1, "textbox", {}).hidden
    odd = Page.parse(
        config(
            components=[{"id": 3}, {"id": 6, "type": "ChatBot", "props": []}, {"id": []}, 5],
            dependencies=[{"inputs": [3, 6]}, 7],
        ),
        {},
    )
    assert [each.type for each in odd.functions[0].inputs] == ["unknown", "chatbot"]


def test_the_names_of_parameters_leave_states_out() -> None:
    components = [component(1, "textbox"), component(2, "state"), component(3, "slider")]
    dependencies = [
        {"id": 0, "api_name": "f", "inputs": [1, 2, 3], "outputs": []},
        {"id": 1, "api_name": "g", "inputs": [1, 3], "outputs": []},
        {"id": 2, "api_name": False, "inputs": [3], "outputs": []},
    ]
    page = Page.parse(config(components=components, dependencies=dependencies), {})
    info = {
        "named_endpoints": {
            "/f": {"parameters": [{"parameter_name": "text"}, {"parameter_name": "heat"}]},
            "/g": {"parameters": [{"parameter_name": "one"}]},
        },
        "unnamed_endpoints": {"2": {"parameters": [{"parameter_name": "n"}]}},
    }
    named = page.with_names(info)
    assert named.named and [each.names for each in named.functions] == [
        ("text", "", "heat"),
        (),
        ("n",),
    ]
    assert named.functions[0].parameter(3) == "heat" and named.functions[0].parameter(9) == ""
    odd = {"named_endpoints": {"/f": {"parameters": [5, {"parameter_name": 5}]}, "/g": 5}}
    for told in (None, {}, {"named_endpoints": 5, "unnamed_endpoints": 5}):
        assert [each.names for each in page.with_names(told).functions] == [(), (), ()]
    assert page.with_names(odd).functions[0].names == ("", "", "")


@pytest.mark.parametrize(
    "prefix", ["/a@evil.example", "@evil.example", "gradio", "/a?b", "/a b", ":8000", 5, "/a#"]
)
def test_a_prefix_can_only_be_a_path(prefix: Any) -> None:
    with pytest.raises(ProtocolError, match="api_prefix is not a path"):
        Page.parse(config(api_prefix=prefix), {})


@pytest.mark.parametrize(
    ("prefix", "path"),
    [(None, ""), ("", ""), ("/", ""), ("/gradio_api", "/gradio_api"), ("/a/b-1/", "/a/b-1")],
)
def test_a_prefix_that_is_one(prefix: Any, path: str) -> None:
    assert Page.parse(config(api_prefix=prefix), {}).prefix == path


@pytest.mark.parametrize("known", ["sse_v4", 3, ["sse_v3"], "", "sse_v2.2"])
def test_a_protocol_that_is_not_known_is_refused(known: Any) -> None:
    with pytest.raises(ProtocolError, match="speaks Gradio's protocol"):
        Page.parse(config(protocol=known), {})


@pytest.mark.parametrize("missing", [{"dependencies": None}, {"components": {}}])
def test_something_else_in_json_is_not_a_page(missing: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="not a description of a Gradio app"):
        Page.parse(config(**missing), {})


@pytest.mark.parametrize(("version", "major"), [("6.1", 6), ("10.0.0", 10), ("five", 0), (None, 0)])
def test_the_major_version(version: Any, major: int) -> None:
    assert Page.parse(config(version=version), {}).major == major


def test_cookies_go_back_until_they_end() -> None:
    head = Head.of(
        200,
        [
            ("Set-Cookie", "a=1; Path=/"),
            ("Set-Cookie", "b=2; Max-Age=0"),
            ("Set-Cookie", "not a cookie"),
        ],
    )
    assert cookies_after(head, {"b": "1", "c": "3"}, "space.example") == {"c": "3", "a": "1"}
