"""A page of any shape: the chat found in it, or a plain word about what was found instead."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.errors import NotFoundError, ProtocolError
from glmclient.providers.gradio.page import ChatFunction, Page

from .scripted import component, config

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
)


def chat_of(**changed: Any) -> ChatFunction:
    return Page.parse(config(**changed), {}).function("model_chat")


def of_dependency(**changed: Any) -> ChatFunction:
    described = {**config()["dependencies"][1], **changed}
    return chat_of(dependencies=[described])


def test_the_space_as_it_was_measured() -> None:
    assert chat_of() == ChatFunction(
        index=3,
        trigger=25,
        values=(None, [], "You are Qwen.", "72B"),
        prompt=0,
        history=1,
        system=2,
        answer=1,
        format="pairs",
    )


def test_before_4_20_the_position_is_the_index() -> None:
    described = config()["dependencies"]
    del described[1]["id"]
    assert chat_of(dependencies=described).index == 1


@pytest.mark.parametrize(
    "targets", [None, [], [[]], [["x", "submit"]], ["submit"], [[None, "load"]]]
)
def test_a_page_may_tell_no_trigger(targets: Any) -> None:
    assert of_dependency(targets=targets).trigger is None


@pytest.mark.parametrize(
    ("chatbot", "version", "format"),
    [
        (component(6, "chatbot"), "4.12.0", "pairs"),
        (component(6, "chatbot", type="tuples"), "5.50.0", "pairs"),
        (component(6, "chatbot", type="messages"), "5.50.0", "messages"),
        (component(6, "chatbot"), "6.31.0", "parts"),
        (component(6, "chatbot"), "10.0.0", "parts"),
        (component(6, "chatbot"), "five", "pairs"),
        (component(6, "modelscopechatbot"), "4.44.1", "objects"),
    ],
)
def test_the_format_of_each_generation(chatbot: dict[str, Any], version: str, format: str) -> None:
    components = [*config()["components"], chatbot]
    assert chat_of(components=components, version=version).format == format


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([3, 6, 1], [3, 6, 1]),
        ([3, 6, 1, 2, 2], [3, 6, 1]),
        ([3, 3, 1, 2], [3, 6, 1]),
        ([3, 6, 6, 2], [3, 6, 1]),
        ([3, 6, 2, 2], [3, 6, 1]),
        ([3, 6, 1, 2], [3, 1]),
        ([3, 6, 1, 2], [6, 6]),
        ([], []),
        (None, "x"),
        ([3, 6, 99, [1]], [6]),
    ],
)
def test_another_signature_is_refused_with_what_was_found(inputs: Any, outputs: Any) -> None:
    with pytest.raises(ProtocolError, match="another signature") as caught:
        of_dependency(inputs=inputs, outputs=outputs)
    assert "Found: model_chat (fn_index 3): (" in str(caught.value)
    assert caught.value.frame.startswith("model_chat (fn_index 3): (")


def test_inputs_that_the_page_does_not_describe_are_named_missing() -> None:
    with pytest.raises(ProtocolError, match=r"\(textbox, chatbot, missing, missing\)"):
        of_dependency(inputs=[3, 6, 99, [1]])


def test_a_function_that_is_not_there() -> None:
    page = Page.parse(config(), {})
    with pytest.raises(NotFoundError, match="no function named 'talk'") as caught:
        page.function("talk")
    assert "clear (fn_index 0): () -> (chatbot)" in caught.value.body
    with pytest.raises(NotFoundError, match="no function with fn_index 7"):
        page.function("model_chat", 7)
    with pytest.raises(NotFoundError, match="It has: none"):
        Page.parse(config(dependencies=[]), {}).function("model_chat")


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
def test_a_protocol_that_nobody_knows_is_refused(known: Any) -> None:
    with pytest.raises(ProtocolError, match="speaks Gradio's protocol"):
        Page.parse(config(protocol=known), {})


@pytest.mark.parametrize("missing", [{"dependencies": None}, {"components": {}}])
def test_something_else_in_json_is_no_page(missing: dict[str, Any]) -> None:
    with pytest.raises(ProtocolError, match="not a description of a Gradio app"):
        Page.parse(config(**missing), {})


@given(JSON, JSON, JSON, JSON)
def test_any_page_is_read_or_refused(described: Any, drawn: Any, version: Any, prefix: Any) -> None:
    page = config(dependencies=[described], components=[drawn], version=version, api_prefix=prefix)
    with contextlib.suppress(NotFoundError, ProtocolError):  # any other error fails the test
        function = Page.parse(page, {}).function("model_chat")
        assert len(function.values) == 4


@given(
    st.fixed_dictionaries(
        {}, optional=dict.fromkeys(("id", "api_name", "inputs", "outputs", "targets"), JSON)
    )
)
def test_any_function_is_read_or_refused(changed: dict[str, Any]) -> None:
    with contextlib.suppress(NotFoundError, ProtocolError):  # any other error fails the test
        function = of_dependency(**changed)
        assert function.values[function.system] == "You are Qwen."


# -- which text box is the question ----------------------------------------------------------------


def boxes(first: dict[str, Any], second: dict[str, Any], trigger: int | None) -> tuple[int, int]:
    """Return the positions of the question and of the system message among (box, chatbot, box, radio)."""
    function = chat_of(
        components=[
            component(11, "textbox", **first),
            component(12, "textbox", **second),
            *config()["components"],
        ],
        dependencies=[
            {
                "id": 3,
                "api_name": "model_chat",
                "inputs": [11, 6, 12, 2],
                "outputs": [6],
                "targets": [[trigger, "submit"]],
            }
        ],
    )
    return function.prompt, function.system


@pytest.mark.parametrize("label", ["System prompt", "SYSTEM", "Instructions", "系统提示"])
@pytest.mark.parametrize("trigger", [None, 11, 12])
def test_a_label_tells_the_system_box(label: str, trigger: int | None) -> None:
    assert boxes({"label": label}, {"label": "Message"}, trigger) == (2, 0)
    assert boxes({"label": "Message"}, {"label": label}, trigger) == (0, 2)
    assert boxes({"elem_id": label}, {}, trigger) == (2, 0)


def test_without_a_label_the_box_that_starts_the_function_is_the_question() -> None:
    assert boxes({"label": "A"}, {"label": "B"}, 12) == (2, 0)
    assert boxes({"label": "A"}, {"label": "B"}, 11) == (0, 2)
    assert boxes({"label": "A"}, {"label": "B"}, 99) == (0, 2)


def test_two_boxes_for_the_system_message_are_refused() -> None:
    with pytest.raises(ProtocolError, match="both labelled"):
        boxes({"label": "System"}, {"label": "Instruction"}, 11)
