"""What users ask, checked, and how it reaches the inputs of the page."""

from __future__ import annotations

import json
import pickle
from typing import Any

import pytest

from glmclient.errors import ConfigurationError
from glmclient.events import Finish
from glmclient.providers.gradio.page import Page
from glmclient.providers.gradio.provider import Gradio

from .scripted import JOINED, answer, completed, component, config, gradio, play, said, stream

PAGE = said(config())


def user(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


def joined(messages: Any, **changed: Any) -> list[Any]:
    """Return the ``data`` of the join that asks ``messages``."""
    played = play(gradio(), [said(config(**changed)), JOINED, answer("x")], messages)
    assert played.error is None
    data: list[Any] = played.body(1)["data"]
    return data


def of_chatbot(kind: str, **props: Any) -> list[dict[str, Any]]:
    components = config()["components"]
    return [c for c in components if c["id"] != 6] + [component(6, kind, **props)]


def test_one_string_is_the_question() -> None:
    assert joined("Hello") == ["Hello", [], "You are Qwen.", "72B"]


def test_system_messages_are_joined_by_newlines_wherever_they_stand() -> None:
    data = joined([system("A"), user("q"), system("B")])
    assert data == ["q", [], "A\nB", "72B"]
    assert joined([system(""), user("q")])[2] == "", "what was said is sent, even if it is nothing"


def test_history_is_written_in_the_pages_own_format() -> None:
    turns = [user("q1"), assistant("a1"), user("q2"), assistant("a2"), user("now")]
    assert joined(turns)[:2] == ["now", [["q1", "a1"], ["q2", "a2"]]]
    objects = joined(turns, components=of_chatbot("modelscopechatbot"))
    assert objects[1][0] == [{"text": "q1", "files": []}, {"text": "a1", "files": []}]
    messages = joined(turns, components=of_chatbot("chatbot", type="messages"))
    assert messages[1][:2] == [
        {"role": "user", "content": "q1"},
        {"role": "assistant", "content": "a1"},
    ]
    parts = joined(turns, components=of_chatbot("chatbot"), version="6.0.0")
    assert parts[1][3] == {"role": "assistant", "content": [{"type": "text", "text": "a2"}]}


def test_messages_of_one_role_in_a_row_are_joined_by_a_blank_line() -> None:
    data = joined([user("a"), user("b"), assistant("c"), assistant("d"), user("e"), user("f")])
    assert data[:2] == ["e\n\nf", [["a\n\nb", "c\n\nd"]]]


def test_a_conversation_may_begin_with_the_assistant() -> None:
    assert joined([assistant("Welcome!"), user("q")])[1] == [[None, "Welcome!"]]


def test_text_parts_are_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    assert joined([{"role": "user", "content": parts}])[0] == "a\nb"


@pytest.mark.parametrize(
    ("messages", "words"),
    [
        ([], "messages is empty"),
        ([assistant("a")], "the last message must be the user's"),
        ([user("q"), assistant("a")], "the last message must be the user's"),
        ([system("only")], "the last message must be the user's"),
        (
            [user("q"), {"role": "tool", "content": "r"}, user("p")],
            r"messages\[1\]: qwen has no tools",
        ),
        (
            [user("q"), {"role": "assistant", "content": None, "tool_calls": [{}]}, user("p")],
            r"messages\[1\]: qwen has no tools",
        ),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "takes text alone"),
    ],
)
def test_what_cannot_be_asked_is_refused_before_anything_is_sent(messages: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        gradio().prepare(messages, None, {})


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"temperature": 1}, "cannot honour the option 'temperature'"),
        ({"system": "Be brief."}, "'system': give it as a message"),
        ({"stream": True}, "'stream': answers are always streamed"),
        ({"fn_indx": 1}, "Did you mean 'fn_index'"),
        ({"fn_index": -1}, "fn_index must be a whole number"),
        ({"fn_index": True}, "fn_index must be a whole number"),
        ({"trigger_id": "25"}, "trigger_id must be a whole number"),
        ({"conversation_id": "c"}, "cannot honour the option 'conversation_id'"),
    ],
)
def test_options_are_checked(options: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        gradio().prepare("Hi", None, options)


def test_options_without_a_value_count_as_not_given() -> None:
    chat = gradio().prepare("Hi", None, {"fn_index": None, "continuation": None})
    assert "fn_index" not in chat.options and chat.model == "qwen-2.5"


@pytest.mark.parametrize(
    ("known", "words"),
    [
        ({"function": ""}, "function must be"),
        ({"function": "/"}, "function must be"),
        ({"function": 3.5}, "function must be"),
        ({"function": -3}, "function must be"),
        ({"function": True}, "function must be"),
        ({"inputs": {1: 2}}, "inputs must be a mapping"),
        ({"fn_index": 1.5}, "fn_index must be"),
        ({"trigger_id": -3}, "trigger_id must be"),
        ({"api_key": "a\nb"}, "api_key"),
        ({"base_url": "ftp://x"}, "base_url"),
    ],
)
def test_arguments_are_checked(known: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        gradio(**known)


def test_the_model_is_the_spaces_own_choice() -> None:
    provider = gradio()
    assert provider.prepare("Hi", "qwen-2.5", {}).model == "qwen-2.5"
    assert provider.models == ("qwen-2.5",) and provider.default_model == "qwen-2.5"
    with pytest.raises(ConfigurationError, match="has no model 'glm-4'; it has qwen-2"):
        provider.prepare("Hi", "glm-4", {})
    assert (provider.name, provider.supports.system_messages) == ("qwen", True)
    assert provider.supports.message_history and not provider.supports.tools
    assert "continuation" in (provider.supports.options or ())


def test_the_default_address_is_the_spaces() -> None:
    assert gradio(base_url=None).url == "https://qwen-qwen2-5.hf.space"


def test_a_copy_asks_for_the_page_itself_and_a_token_is_never_pickled() -> None:
    provider = Gradio(base_url="https://space.example", function="talk", fn_index=3)
    provider._page = Page.parse(config(), {"session": "secret"})
    copied = pickle.dumps(provider)
    assert b"secret" not in copied
    copy = pickle.loads(copied)
    assert (copy.url, copy.function, copy.fn_index) == (provider.url, "talk", 3)
    assert copy._page is None and provider._page is not None
    with pytest.raises(TypeError, match="never pickled"):
        pickle.dumps(Gradio(api_key="hf_secret"))


# -- going on ------------------------------------------------------------------------------------------------


def first_turn(provider: Any, value: Any, messages: Any = "first") -> Finish:
    played = play(provider, [PAGE, JOINED, stream(completed("", value, "S"))], messages)
    finish = played.events[-1]
    assert isinstance(finish, Finish) and finish.continuation is not None
    return finish


VALUE = [
    [
        {"id": None, "text": "first", "files": None},
        {"id": 7, "text": "回答\u2028\ud800", "files": None},
    ]
]


def test_the_chatbots_value_goes_back_unchanged() -> None:
    provider = gradio()
    finish = first_turn(provider, VALUE)
    played = play(provider, [JOINED, answer("x", "next")], "next", continuation=finish.continuation)
    assert played.body(0)["data"] == ["next", VALUE, "You are Qwen.", "72B"]
    assert "回答" not in repr(finish)


def test_a_system_message_holds_on_until_another_is_given() -> None:
    provider = gradio()
    kept = first_turn(provider, VALUE, [system("Be brief."), user("first")]).continuation
    asked = play(provider, [JOINED, answer("x", "next")], "next", continuation=kept)
    assert asked.body(0)["data"][2] == "Be brief."
    other = [system("Be long."), user("next")]
    asked = play(provider, [JOINED, answer("x", "next")], other, continuation=kept)
    assert asked.body(0)["data"][2] == "Be long."


def test_the_old_answer_is_not_told_again() -> None:
    """A page may show the conversation as it was before it adds the new turn."""
    provider = gradio()
    kept = first_turn(provider, [["first", "one"]]).continuation
    body = stream(
        *(
            b"data: " + json.dumps(message).encode() + b"\n\n"
            for message in [
                update([["first", "one"]]),
                update([["add", [1], ["next", None]]]),
                update([["replace", [1, 1], "tw"]]),
                update([["append", [1, 1], "o"]]),
                {**update([["first", "one"], ["next", "two"]]), "msg": "process_completed"},
            ]
        )
    )
    played = play(provider, [JOINED, body], "next", continuation=kept)
    assert [getattr(e, "text", None) for e in played.events[:-1]] == ["tw", "o"]
    assert played.text == "two"


def update(value: Any) -> dict[str, Any]:
    data = {"data": ["", value, "S"]}
    return {"msg": "process_generating", "event_id": "e1", "output": data, "success": True}


@pytest.mark.parametrize(
    ("continuation", "words"),
    [
        ("not json", "is not one of a Gradio service"),
        ("[]", "is not one of a Gradio service"),
        (5, "is not one of a Gradio service"),
        ('{"value": "text"}', "is not one of a Gradio service"),
        (
            '{"value": [], "url": "https://other.example", "function": "talk"}',
            "came from https://other.example",
        ),
        ('{"value": [], "url": 5}', "came from another service"),
    ],
)
def test_a_continuation_of_something_else_is_refused(continuation: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        gradio().prepare("Hi", None, {"continuation": continuation})


def test_a_continuation_of_another_function_is_refused() -> None:
    kept = first_turn(gradio(), VALUE).continuation
    with pytest.raises(ConfigurationError, match=r"this client asks .*, function talk"):
        gradio(function="talk").prepare("Hi", None, {"continuation": kept})


def test_history_is_not_given_twice() -> None:
    provider = gradio()
    kept = first_turn(provider, VALUE).continuation
    with pytest.raises(ConfigurationError, match="already holds the conversation"):
        provider.prepare([user("a"), assistant("b"), user("c")], None, {"continuation": kept})
