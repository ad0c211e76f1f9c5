"""The chat in a page: every common shape on three major versions, and pages that hypothesis makes up."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.errors import ConfigurationError, GLMError, NotFoundError
from glmclient.providers.gradio.page import Page
from glmclient.providers.gradio.shapes import ChatFunction, chats, choose, needs_names

from .pages import VERSIONS, described, page_of, shapes_of

CHATS: dict[str, dict[str, Any]] = {
    # shape: what is found on every version; the types of the components stand for their ids
    "chat": {"name": "chat", "remembers": True, "answer": "text"},
    "chat_whole": {"name": "chat", "remembers": True, "answer": "text"},
    "chat_tuples": {"name": "chat", "remembers": True, "answer": "text"},
    "chat_settings": {
        "name": "chat",
        "remembers": True,
        "answer": "text",
        "system": True,
        "settings": ["System prompt", "Temperature", "Model", "Shout"],
    },
    "chat_multimodal": {"name": "chat", "remembers": True, "answer": "text", "multimodal": True},
    "interface": {"name": "predict", "answer": "text"},
    "interface_settings": {"name": "predict", "answer": "text", "settings": ["Temperature"]},
    "blocks_respond": {"name": "respond", "history": True},
    "blocks_settings": {
        "name": "respond_with_settings",
        "history": True,
        "system": True,
        "settings": ["System message", "Max new tokens", "Top-p (nucleus sampling)"],
    },
    "blocks_chain": {"name": "user", "history": True, "steps": 2},
    "blocks_state": {"name": "with_state", "remembers": True},
    "chatglm": {
        "name": "predict",
        "history": True,
        "remembers": True,
        "settings": ["Maximum length", "Top P", "Temperature"],
    },
    "qwen": {
        "name": "model_chat",
        "history": True,
        "system": True,
        "settings": ["system", "param_3"],
    },
    "qwen_slider": {
        "name": "model_chat",
        "history": True,
        "system": True,
        "settings": ["system", "param_3", "Temperature"],
    },
    "qwen_bare": {"name": "model_chat", "history": True, "system": True, "settings": ["system"]},
    "qwen_multimodal": {
        "name": "model_chat",
        "history": True,
        "system": True,
        "multimodal": True,
        "settings": ["system", "param_3"],
    },
}
NAMES_6 = {
    # Gradio 6 names these functions after those of the app.
    "chat": "plain",
    "chat_whole": "whole",
    "chat_settings": "with_settings",
    "chat_multimodal": "multimodal",
    "interface": "reply",
    "interface_settings": "reply_in_pieces",
}
FORMATS = {"4.44.1": "pairs", "5.50.0": "messages", "6.31.0": "parts"}
SHAPES = [
    (version, shape) for version in VERSIONS for shape in shapes_of(version) if shape in CHATS
]


def summary(chat: ChatFunction) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": chat.name,
        "history": chat.history is not None,
        "remembers": chat.remembers,
        "system": chat.system is not None,
        "multimodal": chat.multimodal,
        "answer": "text" if chat.format is None else "chatbot",
        "steps": len(chat.steps),
        "settings": [each.name for each in chat.settings],
    }
    return found


@pytest.mark.parametrize(("version", "shape"), SHAPES)
def test_every_shape_on_every_version(version: str, shape: str) -> None:
    chat = choose(page_of(version, shape, named=True))
    usual = {
        "history": False,
        "remembers": False,
        "system": False,
        "multimodal": False,
        "answer": "chatbot",
        "steps": 1,
        "settings": [],
    }
    expected = {**usual, **CHATS[shape]}
    if version.startswith("6"):
        expected["name"] = NAMES_6.get(shape, expected["name"])
    assert summary(chat) == expected
    assert chat.format == (None if expected["answer"] == "text" else FORMATS[version])
    if chat.history is not None:
        assert chat.history == chat.answer and chat.history_format == FORMATS[version]
    assert chat.has_memory is (expected["history"] or expected["remembers"])


@pytest.mark.parametrize(("version", "shape"), SHAPES)
def test_the_page_alone_decides_without_the_names_of_parameters(version: str, shape: str) -> None:
    page = page_of(version, shape)
    named = choose(page_of(version, shape, named=True))
    assert not needs_names(page)
    assert summary(choose(page)) == {
        **summary(named),
        "settings": [each.label or f"component {each.id}" for each in named.settings],
    }


@pytest.mark.parametrize("version", VERSIONS)
def test_an_app_that_takes_audio_is_refused_with_each_function_and_its_reason(version: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        choose(page_of(version, "audio"))
    words = str(caught.value)
    assert "(audio) -> (textbox): it takes audio" in words and "nothing was sent" in words
    assert "function=" not in words, "no advice that cannot work"
    for function in page_of(version, "audio").functions:
        assert function.signature() in words


@pytest.mark.parametrize("version", VERSIONS)
def test_two_functions_that_fit_are_ambiguous(version: str) -> None:
    page = page_of(version, "two_chats")
    with pytest.raises(ConfigurationError, match="several functions") as caught:
        choose(page)
    assert "first (fn_index 0)" in str(caught.value) and "second (fn_index 1)" in str(caught.value)
    assert choose(page, "second").index == 1
    assert choose(page, index=0).name == "first"


def test_a_function_that_is_not_there() -> None:
    page = page_of("5.50.0", "two_chats")
    with pytest.raises(NotFoundError, match="no function named 'third'") as caught:
        choose(page, "third")
    assert "'first', 'second'" in str(caught.value)
    with pytest.raises(NotFoundError, match="no function with fn_index 9"):
        choose(page, index=9)
    with pytest.raises(NotFoundError, match=r"It has: none\. None of them is a chat"):
        choose(Page.parse({"protocol": "sse_v3", "components": [], "dependencies": []}, {}), "x")


def test_a_function_that_is_not_a_chat_is_refused_with_its_reason() -> None:
    with pytest.raises(ConfigurationError, match="it takes audio") as caught:
        choose(page_of("5.50.0", "audio"), "predict")
    assert "No other function is one" in str(caught.value)
    with pytest.raises(ConfigurationError, match="it has no text box") as caught:
        choose(page_of("5.50.0", "blocks_chain"), "reply_to_last")
    assert "Use function= with one of: 'user'" in str(caught.value)


def test_a_system_box_may_be_required() -> None:
    with pytest.raises(ConfigurationError, match="it has no box for a system message"):
        choose(page_of("5.50.0", "blocks_respond"), required_system=True)
    assert choose(page_of("5.50.0", "qwen"), required_system=True).system is not None


# -- pages of our own ----------------------------------------------------------------------------------------


def box(id: int, **props: Any) -> dict[str, Any]:
    return {"id": id, "type": "textbox", "props": props}


def part(id: int, kind: str, **props: Any) -> dict[str, Any]:
    return {"id": id, "type": kind, "props": props}


def function(
    id: int, inputs: list[Any], outputs: list[Any], start: Any = None, **more: Any
) -> dict[str, Any]:
    targets = [] if start is None else [[start, "submit"]]
    return {
        "id": id,
        "api_name": f"f{id}",
        "inputs": inputs,
        "outputs": outputs,
        "targets": targets,
        **more,
    }


def page(components: list[Any], *functions: Any, info: dict[int, list[str]] | None = None) -> Page:
    read = Page.parse(
        {
            "version": "5.50.0",
            "protocol": "sse_v3",
            "components": components,
            "dependencies": list(functions),
        },
        {},
    )
    if info is None:
        return read
    endpoints = {
        f"/f{id}": {"parameters": [{"parameter_name": name} for name in names]}
        for id, names in info.items()
    }
    return read.with_names({"named_endpoints": endpoints})


BOT = part(9, "chatbot", type="messages")


@pytest.mark.parametrize("label", ["System prompt", "SYSTEM", "Instructions", "系统提示"])
@pytest.mark.parametrize("start", [None, 1, 2])
def test_a_label_tells_the_system_box(label: str, start: int | None) -> None:
    for number, other in ((1, 2), (2, 1)):
        components = [box(number, label=label), box(other, label="Message"), BOT]
        chat = choose(page(components, function(0, [1, 9, 2], [9], start)))
        assert (chat.prompt, chat.system) == (other, number)
        components = [box(number, elem_id=label), box(other), BOT]
        chat = choose(page(components, function(0, [1, 9, 2], [9], start)))
        assert (chat.prompt, chat.system) == (other, number)


def test_the_name_of_a_parameter_tells_the_system_box() -> None:
    for outputs, shown in (([3], part(3, "markdown")), ([9], BOT)):
        components = [box(1), box(2), shown]
        plain = page(components, function(0, [1, 2], outputs))
        assert needs_names(plain)
        named = plain.with_names(
            {
                "named_endpoints": {
                    "/f0": {
                        "parameters": [
                            {"parameter_name": "instruction"},
                            {"parameter_name": "text"},
                        ]
                    }
                }
            }
        )
        chat = choose(named)
        assert (chat.prompt, chat.system) == (2, 1)


def test_a_box_without_a_label_before_the_question_may_be_the_system_box() -> None:
    components = [box(1), box(2, label="Message"), part(5, "button"), part(3, "markdown")]
    plain = page(components, function(0, [1, 2], [3], 5))
    assert needs_names(plain)
    named = page(components, function(0, [1, 2], [3], 5), info={0: ["system_message", "message"]})
    assert (choose(named).prompt, choose(named).system) == (2, 1)


def test_without_a_system_box_the_box_that_starts_the_function_is_the_question() -> None:
    components = [box(1, label="A"), box(2, label="B"), BOT]
    for start, expected in ((2, 2), (1, 1), (99, 1), (None, 1)):
        chat = choose(page(components, function(0, [1, 9, 2], [9], start)))
        assert (chat.prompt, chat.system) == (expected, None)
        assert [each.label for each in chat.settings] == ["B" if expected == 1 else "A"]


def test_a_box_without_any_name_beside_the_question_of_a_chatbot_is_the_system_box() -> None:
    chat = choose(page([box(1), box(2), BOT], function(0, [1, 9, 2], [9], 1)))
    assert (chat.prompt, chat.system) == (1, 2)
    named = page(
        [box(1), box(2), BOT], function(0, [1, 9, 2], [9], 1), info={0: ["q", "h", "name"]}
    )
    assert choose(named).system is None
    three = page([box(1), box(2), box(3), BOT], function(0, [1, 9, 2, 3], [9], 1))
    assert choose(three).system is None
    text = page([box(1), box(2), part(3, "markdown")], function(0, [1, 2], [3], 1))
    assert choose(text).system is None


def test_of_two_labels_the_one_that_says_system_counts() -> None:
    components = [box(1, label="Instruction"), box(2, label="System"), box(3, label="Text"), BOT]
    chat = choose(page(components, function(0, [1, 2, 3, 9], [9])))
    assert (chat.prompt, chat.system) == (3, 2)


@pytest.mark.parametrize(
    ("components", "inputs", "outputs", "reason"),
    [
        ([BOT], [9], [9], "no text box"),
        ([box(1), part(2, "video"), BOT], [1, 2], [9], "takes video"),
        ([box(1), BOT], [1, 77], [9], "does not describe"),
        ([box(1)], [1], [1], "neither a chatbot nor a text"),
        ([box(1), part(2, "image")], [1], [2], "neither a chatbot nor a text"),
        ([box(1), BOT, part(8, "chatbot")], [1], [8, 9], "several chatbots"),
        ([box(1), BOT, part(8, "chatbot")], [1, 8, 9], [9], "several chatbots"),
        ([box(1, label="System"), BOT], [1], [9], "only text box is for the system"),
        (
            [box(1, label="System"), box(2, label="Instruction"), BOT],
            [1, 2],
            [9],
            "all of its text",
        ),
    ],
)
def test_what_is_not_a_chat_has_a_reason(
    components: list[Any], inputs: list[Any], outputs: list[Any], reason: str
) -> None:
    fits, misfits = chats(page(components, function(0, inputs, outputs)))
    assert not fits and reason in misfits[0].reason


def test_what_a_later_function_takes_counts_too() -> None:
    found = page(
        [box(1), BOT, part(2, "audio")],
        function(0, [1, 9], [9]),
        function(1, [9, 2], [9], trigger_after=0),
    )
    assert "takes audio" in chats(found)[1][0].reason


def test_a_function_that_runs_in_the_browser_is_not_one() -> None:
    fits, misfits = chats(page([box(1), BOT], function(0, [1], [9], backend_fn=False)))
    assert not fits and "in the browser" in misfits[0].reason


def test_of_several_chatbots_the_one_that_is_also_an_input_answers() -> None:
    components = [box(1), BOT, part(8, "chatbot")]
    assert choose(page(components, function(0, [1, 9], [8, 9]))).answer == 9


def test_a_public_function_comes_before_one_that_serves_the_page_itself() -> None:
    hidden = function(0, [1, 9], [9], 1, show_api=False)
    shown = function(1, [1], [3])
    components = [box(1), BOT, part(3, "markdown")]
    assert choose(page(components, hidden, shown)).index == 1
    assert choose(page(components, hidden)).index == 0
    assert choose(page(components, {**hidden, "api_name": False})).name == ""


def test_a_function_with_memory_comes_before_one_without() -> None:
    components = [box(1), box(2), BOT, part(3, "markdown")]
    found = page(components, function(0, [2], [3], 2), function(1, [1, 9], [9]))
    assert choose(found).index == 1


def test_the_function_that_the_questions_box_submits_to_comes_first() -> None:
    components = [box(1), box(2), BOT, part(8, "chatbot")]
    found = page(components, function(0, [1, 9], [9]), function(1, [2, 8], [8], 2))
    assert choose(found).index == 1


def test_the_name_of_the_qwen_demonstration_decides_last() -> None:
    components = [box(1), BOT, part(8, "chatbot")]
    functions = [function(0, [1, 9], [9]), {**function(1, [1, 8], [8]), "api_name": "model_chat"}]
    assert choose(page(components, *functions)).index == 1


def test_two_triggers_of_one_function_are_one_function() -> None:
    components = [box(1), BOT, part(5, "button")]
    found = page(components, function(0, [1, 9], [9], 5), function(1, [1, 9], [9], 5))
    assert choose(found).index == 0


def test_a_chain_ends_where_nothing_more_is_said() -> None:
    components = [box(1), BOT, part(4, "state"), part(5, "button"), part(6, "textbox")]
    found = page(
        components,
        function(0, [1], [1, 4], 1),
        function(1, [4, 9], [9], after=0, trigger_after=0),
        function(2, [9], [6], trigger_after=1),
        function(3, [], [5], trigger_after=1),
        function(4, [], [9], trigger_after=1, backend_fn=False),
        function(5, [4, 9], [9], trigger_after=5),
    )
    chat = choose(found)
    assert [step.index for step in chat.steps] == [0, 1]
    assert chat.history == 9 and not chat.remembers, "the state is written before it is read"
    assert chat.submits


def test_a_page_of_any_size_is_read_in_bounded_time() -> None:
    boxes = [box(number, label=str(number)) for number in range(180)]
    ids = list(range(180))
    chained = [
        function(number, ids, [199], trigger_after=number - 1 if number else None)
        for number in range(3000)
    ]
    fits, misfits = chats(page([*boxes, part(199, "markdown")], *chained))
    assert 1 <= len(fits) <= 600 and len(fits) + len(misfits) == 3000
    assert "too many functions" in misfits[-1].reason
    assert max(len(each.steps) for each in fits) <= 21
    many = function(0, [*ids, *ids], [199])
    assert "more than 200 inputs" in chats(page(boxes, many))[1][0].reason
    wide = [
        function(number, ids[:3], [9], 1, trigger_after=0 if number else None)
        for number in range(90)
    ]
    assert len(choose(page([*boxes[:3], BOT], *wide), "f0").steps) == 21
    assert not needs_names(page([box(id) for id in ids], many))


def test_functions_that_run_after_each_other_in_a_circle_end() -> None:
    components = [box(1), BOT]
    found = page(
        components,
        function(0, [1, 9], [9], trigger_after=1),
        function(1, [9], [9], trigger_after=0),
    )
    assert [step.index for step in choose(found).steps] == [0, 1]


def test_files_go_to_an_image_beside_the_question() -> None:
    chat = choose(page([box(1), part(2, "image"), part(3, "markdown")], function(0, [1, 2], [3])))
    assert (chat.files, chat.multimodal, chat.takes_files) == (2, False, True)
    assert not choose(page([box(1), part(3, "markdown")], function(0, [1], [3]))).takes_files


@pytest.mark.parametrize(
    ("chatbot", "version", "format"),
    [
        ("chatbot", "4.12.0", "pairs"),
        ("chatbot", "6.31.0", "parts"),
        ("chatbot", "10.0.0", "parts"),
        ("chatbot", "five", "pairs"),
        ("modelscopechatbot", "4.44.1", "objects"),
    ],
)
def test_the_format_of_each_generation(chatbot: str, version: str, format: str) -> None:
    told = copy.deepcopy(described("6.31.0", "blocks_respond")["config"])
    for each in told["components"]:
        each["type"] = each["type"].replace("chatbot", chatbot)
    chat = choose(Page.parse({**told, "version": version}, {}))
    assert chat.format == chat.history_format == format


# -- any page ------------------------------------------------------------------------------------------------

KINDS = (
    *(
        "textbox",
        "textbox",
        "textbox",
        "multimodaltextbox",
        "chatbot",
        "chatbot",
        "state",
        "slider",
    ),
    *("markdown", "json", "button", "audio", "image", "radio", "browserstate", "file"),
)
LABELS = st.sampled_from(["", "System", "Instruction", "Message", "Temperature"])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
)


@st.composite
def pages(draw: st.DrawFn) -> Page:
    kinds = draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=8))
    components = [part(id, kind, label=draw(LABELS)) for id, kind in enumerate(kinds)]
    ids = st.integers(0, len(kinds))
    functions = [
        function(
            number,
            draw(st.lists(ids, max_size=5)),
            draw(st.lists(ids, max_size=4)),
            draw(st.none() | ids),
            trigger_after=draw(st.none() | st.integers(0, 4)),
            show_api=draw(st.booleans()),
        )
        for number in range(draw(st.integers(0, 5)))
    ]
    return page(components, *functions)


@given(pages())
def test_every_function_fits_or_has_a_reason(found: Page) -> None:
    fits, misfits = chats(found)
    assert sorted([each.index for each in fits] + [each.function.index for each in misfits]) == [
        each.index for each in found.functions
    ]
    assert all(each.reason for each in misfits)
    for chat in fits:
        inputs = {id for step in chat.steps for id in step.inputs}
        outputs = {id for step in chat.steps for id in step.outputs}
        assert chat.prompt in chat.steps[0].inputs and chat.prompt != chat.system
        assert chat.answer in outputs and chat.answer != chat.prompt
        assert set(chat.values) == inputs
        assert chat.system is None or chat.system in inputs
        assert chat.history is None or chat.history in inputs
        free = {each.id for each in chat.settings}
        assert not free & {chat.prompt, chat.history}
        assert any(chat.answer_position(step) is not None for step in chat.steps)
    chosen: ChatFunction | None = None
    words = ""
    try:
        chosen = choose(found)
    except ConfigurationError as error:
        words = str(error)
    assert chosen in fits or not fits or "several functions" in words


@given(pages(), st.randoms())
def test_the_numbers_of_components_do_not_matter(found: Page, random: Any) -> None:
    ids = list(range(100, 109))
    random.shuffle(ids)

    def renumbered(id: Any) -> int:
        return ids[int(id)]

    def described_again(each: Any) -> dict[str, Any]:
        return {
            "id": each.index,
            "api_name": each.name,
            "inputs": [renumbered(one.id) for one in each.inputs],
            "outputs": [renumbered(one.id) for one in each.outputs],
            "targets": [[renumbered(id), event] for id, event in each.triggers],
            "trigger_after": each.after,
            "show_api": each.public,
        }

    components = {one.id: one for each in found.functions for one in (*each.inputs, *each.outputs)}
    again = page(
        [
            part(renumbered(one.id), one.type, **one.props)
            for one in components.values()
            if one.type != "missing"
        ],
        *(described_again(each) for each in found.functions),
    )
    before, after = chats(found)[0], chats(again)[0]
    assert [(each.index, renumbered(each.prompt), renumbered(each.answer)) for each in before] == [
        (each.index, each.prompt, each.answer) for each in after
    ]


@given(JSON, JSON, JSON, JSON, JSON)
def test_any_page_is_read_or_refused(
    drawn: Any, part: Any, version: Any, prefix: Any, info: Any
) -> None:
    told = described("5.50.0", "blocks_chain")["config"]
    changed = {
        **told,
        "dependencies": [drawn, *told["dependencies"]],
        "components": [part, *told["components"]],
        "version": version,
        "api_prefix": prefix,
    }
    with contextlib.suppress(GLMError):  # any other error fails the test
        read = Page.parse(changed, {}).with_names(info if isinstance(info, dict) else None)
        assert choose(read).steps


@given(
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("id", "api_name", "inputs", "outputs", "targets", "trigger_after"), JSON
        ),
    )
)
def test_any_function_is_read_or_refused(changed: dict[str, Any]) -> None:
    told = described("5.50.0", "blocks_respond")["config"]
    functions = [{**told["dependencies"][1], **changed}]
    with contextlib.suppress(GLMError):  # any other error fails the test
        assert choose(Page.parse({**told, "dependencies": functions}, {})).steps
