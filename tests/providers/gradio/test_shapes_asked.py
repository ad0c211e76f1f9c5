"""Questions to apps of every shape: what each request holds, and what continues the conversation. No network."""

from __future__ import annotations

import base64
import json
import pickle
from typing import Any

import pytest

from glmclient.core.exchange import Release
from glmclient.core.identity import Identity
from glmclient.core.retry import RetryPolicy
from glmclient.errors import (
    AuthenticationError,
    ConfigurationError,
    GLMError,
    ProtocolError,
    RateLimitError,
    ServerError,
)
from glmclient.events import Finish, TextDelta
from glmclient.providers.base import Model
from glmclient.providers.gradio.provider import Gradio, Qwen
from glmclient.providers.gradio.question import Question
from glmclient.providers.gradio.shapes import choose
from glmclient.providers.gradio.turn import Sessions, begun

from .pages import VERSIONS, described, page_of
from .scripted import (
    JOINED,
    URL,
    Played,
    Said,
    completed,
    exchange_for,
    failed,
    frame,
    generating,
    play,
    said,
    stream,
)

V = "5.50.0"
NO_NAMES = said({"detail": "Not Found"}, 404)


def app(**known: Any) -> Gradio:
    ids = iter(f"s{number}" for number in range(1, 1000))
    identity = Identity(ids=ids.__next__, chance=lambda: 0.5)
    return Gradio(**{"base_url": URL, "identity": identity, **known})


def page(shape: str, version: str = V) -> Said:
    return said(described(version, shape)["config"])


def names(shape: str, version: str = V) -> Said:
    return said(described(version, shape)["info"])


def text_answer(*texts: str) -> Said:
    """The session of a function whose outputs are a text and a state."""
    return stream(*(generating(each, None) for each in texts), completed(texts[-1], None))


def user(text: Any) -> dict[str, Any]:
    return {"role": "user", "content": text}


def assistant(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text}


def system(text: str) -> dict[str, Any]:
    return {"role": "system", "content": text}


TURNS = [user("q1"), assistant("a1"), user("q2")]
TOLD = "User: q1\n\nAssistant: a1\n\nUser: q2"


def kept(played: Played) -> str:
    assert played.error is None, played.error
    finish = played.events[-1]
    assert isinstance(finish, Finish) and finish.continuation
    return finish.continuation


def data(played: Played, number: int = 0) -> Any:
    joins = [json.loads(each.body or b"") for each in played.requests if "join" in each.url]
    return joins[number]["data"]


def session(played: Played, number: int = 0) -> Any:
    joins = [json.loads(each.body or b"") for each in played.requests if "join" in each.url]
    return joins[number]["session_hash"]


# -- the server keeps the conversation ------------------------------------------------------------------------


def test_a_text_that_grows_is_told_piece_by_piece() -> None:
    body = stream(
        generating("Hel", None),
        generating([["append", [], "lo"]], []),
        generating([["append", [], " you"], ["append", [], "!"]], []),
        generating([["replace", [], "Hey"]], []),
        generating([["append", [], "."]], [["replace", [], None]]),
        completed("Hey.", None),
    )
    played = play(app(), [page("chat"), JOINED, body])
    assert [getattr(each, "text", None) for each in played.events[:4]] == ["Hel", "lo", " you", "!"]
    assert played.text == "Hey." and isinstance(played.events[-1], Finish)
    assert data(played) == ["Hi", None]


def test_the_session_is_the_same_from_turn_to_turn() -> None:
    provider = app()
    first = play(provider, [page("chat"), JOINED, text_answer("one")], [system("S"), user("q1")])
    assert (data(first), session(first)) == (["S\n\nq1", None], "s1")
    second = play(provider, [JOINED, text_answer("two")], "q2", continuation=kept(first))
    assert (data(second), session(second)) == (["q2", None], "s1")
    with_system = [system("S"), user("q3")]
    third = play(provider, [JOINED, text_answer("three")], with_system, continuation=kept(second))
    assert (data(third), session(third)) == (["q3", None], "s1"), "the session knows it already"
    other = [system("T"), user("q4")]
    fourth = play(provider, [JOINED, text_answer("four")], other, continuation=kept(third))
    assert (data(fourth), session(fourth)) == (["T\n\nq4", None], "s1")


def test_a_new_conversation_is_a_new_session() -> None:
    provider = app()
    play(provider, [page("chat"), JOINED, text_answer("one")])
    assert session(play(provider, [JOINED, text_answer("two")])) == "s2"


def test_a_fork_is_told_the_conversation_in_a_session_of_its_own() -> None:
    provider = app()
    first = kept(
        play(provider, [page("chat"), JOINED, text_answer("one")], [system("S"), user("q1")])
    )
    assert session(play(provider, [JOINED, text_answer("two")], "q2", continuation=first)) == "s1"
    fork = play(provider, [JOINED, text_answer("other")], "q3", continuation=first)
    assert session(fork) != "s1"
    assert data(fork) == ["S\n\nUser: q1\n\nAssistant: one\n\nUser: q3", None]
    # And from there it goes on in that session.
    again = play(provider, [JOINED, text_answer("more")], "q4", continuation=kept(fork))
    assert (data(again), session(again)) == (["q4", None], session(fork))


def test_another_client_is_told_the_conversation() -> None:
    first = kept(play(app(), [page("chat"), JOINED, text_answer("one")], "q1"))
    other = play(app(), [page("chat"), JOINED, text_answer("two")], "q2", continuation=first)
    assert data(other) == ["User: q1\n\nAssistant: one\n\nUser: q2", None]
    known = app()
    kept(play(known, [page("chat"), JOINED, text_answer("one")], "q1"))
    copy = pickle.loads(pickle.dumps(known_without_ids()))
    assert copy._sessions._apps == {} and copy._page is None


def known_without_ids() -> Gradio:
    provider = Gradio(base_url=URL)
    provider._sessions.put("s", 1)
    return provider


def test_a_turn_that_failed_is_not_part_of_the_session_any_more() -> None:
    provider = app()
    first = kept(play(provider, [page("chat"), JOINED, text_answer("one")], "q1"))
    broken = stream(generating("tw", None), failed("out of order"))
    assert type(play(provider, [JOINED, broken], "q2", continuation=first).error) is ServerError
    again = play(provider, [JOINED, text_answer("two")], "q2", continuation=first)
    assert session(again) != "s1" and data(again)[0].startswith("User: q1\n\nAssistant: one")


def test_a_question_that_was_refused_leaves_the_session_as_it_was() -> None:
    provider = app()
    first = kept(play(provider, [page("chat"), JOINED, text_answer("one")], "q1"))
    full = said({"detail": "Queue is full. Max size is 1 and size is 1."}, 503)
    refused = play(provider, [full], "q2", continuation=first)
    assert type(refused.error) is RateLimitError
    again = play(provider, [JOINED, text_answer("two")], "q2", continuation=first)
    assert (data(again), session(again)) == (["q2", None], "s1")


def test_an_app_that_was_restarted_is_told_the_conversation() -> None:
    def numbered(number: Any) -> Said:
        return said({**described(V, "chat")["config"], "app_id": number})

    provider = app()
    first = kept(play(provider, [numbered(1), JOINED, text_answer("one")], "q1"))
    same = play(
        provider, [said({"app_id": 1}), JOINED, text_answer("two")], "q2", continuation=first
    )
    assert same.paths[0] == "GET /gradio_api/app_id"
    assert (data(same), session(same)) == (["q2", None], "s1")
    script = [said({"app_id": 2}), numbered(2), JOINED, text_answer("three")]
    restarted = play(provider, script, "q3", continuation=kept(same))
    assert session(restarted) != "s1"
    assert data(restarted)[0].endswith("User: q2\n\nAssistant: two\n\nUser: q3")
    for unknown in (said({}, 404), said({}), said([1])):
        again = kept(play(provider, [JOINED, text_answer("new")], "q1"))
        went_on = play(provider, [unknown, JOINED, text_answer("x")], "q2", continuation=again)
        assert data(went_on) == ["q2", None]
    # A page that was read again tells it too.
    again = kept(play(provider, [JOINED, text_answer("new")], "q1"))
    provider._page = None
    other = play(provider, [numbered(3), JOINED, text_answer("x")], "q2", continuation=again)
    assert data(other) == ["User: q1\n\nAssistant: new\n\nUser: q2", None]


def test_another_attempt_begins_a_new_session() -> None:
    provider = app()
    first = kept(play(provider, [page("chat"), JOINED, text_answer("one")], "q1"))
    again = RetryPolicy(attempts=2, base_delay=0.0)
    script = [JOINED, stream(failed(None)), page("chat"), JOINED, text_answer("two")]
    played = play(provider, script, "q2", continuation=first, retry=again)
    assert played.text == "two" and session(played, 0) == "s1" != session(played, 1)
    assert data(played, 1) == ["User: q1\n\nAssistant: one\n\nUser: q2", None]


def test_messages_with_earlier_turns_are_told_in_the_question() -> None:
    played = play(app(), [page("chat"), JOINED, text_answer("x")], [system("S"), *TURNS])
    assert data(played) == [f"S\n\n{TOLD}", None]


def test_the_number_of_sessions_is_bounded() -> None:
    provider = app()
    for number in range(1500):
        provider._sessions.put(f"x{number}", 1)
    assert len(provider._sessions._apps) == 1000
    assert provider._sessions.take("x1499", 1) and not provider._sessions.take("x1499", 1)


# -- nothing keeps it -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_an_app_without_memory_is_told_everything(version: str) -> None:
    provider = app()
    answers = stream(completed("one"))
    first = play(provider, [page("interface", version), JOINED, answers], [system("S"), user("q1")])
    assert data(first) == ["S\n\nq1"]
    second = play(provider, [JOINED, stream(completed("two"))], "q2", continuation=kept(first))
    assert data(second) == ["S\n\nUser: q1\n\nAssistant: one\n\nUser: q2"]
    third = play(provider, [JOINED, stream(completed("3"))], "q3", continuation=kept(second))
    assert data(third)[0].endswith("User: q2\n\nAssistant: two\n\nUser: q3")
    assert data(play(provider, [JOINED, stream(completed("x"))], TURNS)) == [TOLD]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain", "plain"),
        (None, ""),
        ({"role": "assistant", "content": "a message"}, "a message"),
        ([{"role": "assistant", "content": "a"}, {"content": "b"}], "a\n\nb"),
        ({"content": [{"type": "text", "text": "part"}]}, "part"),
        (["a", "b"], "a\n\nb"),
        ({"text": "with", "files": []}, "with"),
        ({"x": 1}, '{"x":1}'),
        (5, "5"),
        ([], "[]"),
        ({"__type__": "update", "value": "inside"}, "inside"),
    ],
)
def test_whatever_a_function_answers_is_text(value: Any, text: str) -> None:
    played = play(app(), [page("chat"), JOINED, stream(completed(value, None))])
    assert played.error is None and played.text == text


# -- the page sends it ----------------------------------------------------------------------------------------


def test_the_system_message_is_folded_where_there_is_no_box_for_it() -> None:
    provider = app()
    value = [user("S\n\nq1"), assistant("one")]
    answers = stream(completed("", value))
    first = play(provider, [page("blocks_respond"), JOINED, answers], [system("S"), user("q1")])
    assert data(first) == ["S\n\nq1", []]
    second = play(
        provider,
        [JOINED, stream(completed("", [*value, user("q2"), assistant("two")]))],
        [system("S"), user("q2")],
        continuation=kept(first),
    )
    assert data(second) == ["q2", value], "the first question told it"
    assert second.text == "two"


def test_with_earlier_turns_it_is_in_front_of_the_first_question() -> None:
    answers = stream(completed("", []))
    played = play(app(), [page("blocks_respond"), JOINED, answers], [system("S"), *TURNS])
    assert data(played) == ["q2", [user("S\n\nq1"), assistant("a1")]]
    begins = [system("S"), assistant("Welcome!"), user("q")]
    played = play(app(), [page("blocks_respond"), JOINED, stream(completed("", []))], begins)
    assert data(played) == ["q", [user("S"), assistant("Welcome!")]]


def test_a_conversation_that_was_told_as_text_is_written_in_the_apps_format() -> None:
    provider = app()
    value = [user("q1"), assistant("one")]
    first = kept(
        play(provider, [page("blocks_respond"), JOINED, stream(completed("", value))], "q1")
    )
    held = json.loads(first)
    del held["value"]
    held["turns"] = [["user", "q1"], ["assistant", "one"], ["tool", "x"], 5]
    answers = stream(completed("", [*value, user("q2"), assistant("two")]))
    played = play(provider, [JOINED, answers], "q2", continuation=json.dumps(held))
    assert data(played) == ["q2", value] and played.text == "two"


def test_a_system_box_gets_it_and_the_page_keeps_its_own_without_one() -> None:
    provider = app()
    answers = stream(completed("", []))
    played = play(provider, [page("blocks_settings"), JOINED, answers], [system("S"), user("q")])
    assert data(played) == ["q", [], "S", 512, 0.95]
    played = play(provider, [JOINED, stream(completed("", []))], "q")
    assert data(played) == ["q", [], "You are a scripted assistant.", 512, 0.95]


# -- chains, and both kinds of memory at once -----------------------------------------------------------------


def test_a_chain_is_one_answer() -> None:
    asked = [user("Hi")]
    grows = [user("Hi"), assistant("He")]
    script = [
        page("blocks_chain"),
        JOINED,
        stream(completed("", asked)),
        said({"event_id": "e2"}),
        stream(
            generating(grows, event="e2"),
            generating([["append", [1, "content"], "llo"]], event="e2"),
            completed([user("Hi"), assistant("Hello")], event="e2"),
        ),
    ]
    provider = app()
    played = play(provider, script)
    assert played.events[:-1] == [TextDelta("He"), TextDelta("llo")]
    assert [json.loads(each.body or b"")["fn_index"] for each in played.requests if each.body] == [
        0,
        1,
    ]
    assert (data(played, 0), data(played, 1)) == (["Hi", []], [asked])
    assert session(played, 0) == session(played, 1) == "s1"
    assert played.cleanup is None
    again = play(
        provider,
        [
            JOINED,
            stream(completed("", [])),
            said({"event_id": "e2"}),
            stream(completed([], event="e2")),
        ],
        "next",
        continuation=kept(played),
    )
    assert data(again, 0) == ["next", [user("Hi"), assistant("Hello")]]


def test_a_value_in_an_update_goes_on_to_the_next_call() -> None:
    update = {"__type__": "update"}
    script = [
        page("blocks_chain"),
        JOINED,
        stream(completed(update, {**update, "value": [user("Hi")]})),
        said({"event_id": "e2"}),
        stream(completed([user("Hi"), assistant("x")], event="e2")),
    ]
    played = play(app(), script)
    assert data(played, 1) == [[user("Hi")]] and played.text == "x"


def test_the_first_call_of_a_chain_need_not_show_anything() -> None:
    told = described(V, "blocks_chain")["config"]
    box, bot = told["dependencies"][0]["inputs"]
    label = {"id": 950, "type": "label", "props": {}}
    memo = {"id": 951, "type": "textbox", "props": {"label": "Memo", "visible": False}}
    config = {
        **told,
        "components": [*told["components"], label, memo],
        "dependencies": [
            {**told["dependencies"][0], "outputs": [box, memo["id"], label["id"]]},
            {**told["dependencies"][1], "inputs": [memo["id"], bot]},
        ],
    }
    script = [
        said(config),
        JOINED,
        stream(generating("", "Hi", "seen"), completed("", "Hi", "seen")),
        said({"event_id": "e2"}),
        stream(completed([user("Hi"), assistant("Hello")], event="e2")),
    ]
    played = play(app(), script)
    assert played.text == "Hello" and len(played.events) == 2
    assert (data(played, 0), data(played, 1)) == (["Hi", []], ["Hi", []])


def test_leaving_in_the_second_call_cancels_that_one() -> None:
    script = [
        page("blocks_chain"),
        JOINED,
        stream(completed("", [user("Hi")])),
        said({"event_id": "e2"}),
        stream(generating([user("Hi"), assistant("a")], event="e2")),
    ]
    played = play(app(), script, leave_after=1)
    assert played.cleanup is not None
    assert json.loads(played.cleanup.body or b"") == {
        "session_hash": "s1",
        "fn_index": 1,
        "event_id": "e2",
    }


def test_a_failure_in_the_first_call_ends_the_answer() -> None:
    played = play(app(), [page("blocks_chain"), JOINED, stream(failed("No."))])
    assert type(played.error) is ServerError and "No." in str(played.error)


def test_a_state_beside_the_chatbot_needs_the_session_too() -> None:
    provider = app()
    value = [user("q1"), assistant("one")]
    first = play(provider, [page("chatglm"), JOINED, stream(completed(value, None, None))], "q1")
    assert data(first) == ["q1", [], 8192, 0.8, 0.6, None, None]
    again = stream(completed([*value, user("q2"), assistant("two")], None, None))
    second = play(provider, [JOINED, again], "q2", continuation=kept(first))
    assert (data(second)[:2], session(second), second.text) == (["q2", value], "s1", "two")
    fork = play(
        provider, [JOINED, stream(completed(value, None, None))], "q3", continuation=kept(first)
    )
    assert data(fork)[:2] == ["User: q1\n\nAssistant: one\n\nUser: q3", []]


def test_a_state_alone_is_read_from_the_chatbot_that_answers() -> None:
    value = [user("Hi"), assistant("Hello")]
    played = play(app(), [page("blocks_state"), JOINED, stream(completed(value, None))])
    assert data(played) == ["Hi", None] and played.text == "Hello"
    assert "value" not in json.loads(kept(played))


# -- which function, and its inputs ---------------------------------------------------------------------------


def test_inputs_by_label_and_by_the_name_of_the_parameter() -> None:
    provider = app(inputs={"Temperature": 1})
    script = [page("chat_settings"), JOINED, text_answer("x")]
    assert data(play(provider, script)) == [
        "Hi",
        None,
        "You are a scripted assistant.",
        1,
        "small",
        False,
    ]
    played = play(
        provider,
        [names("chat_settings"), JOINED, text_answer("x")],
        inputs={"model": "large", "system_prompt": "S", "shout": True},
    )
    assert data(played)[2:] == ["S", 1, "large", True]
    played = play(provider, [JOINED, text_answer("x")], inputs={"temperature": 0})
    assert data(played)[3] == 0, "the names are asked for once"


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"Temperature": 3}, "takes numbers from 0 to 2, not 3"),
        ({"Model": "smal"}, "did you mean 'small'"),
        ({"Shout": "yes"}, "takes True or False"),
    ],
)
def test_a_value_that_does_not_fit_is_refused_before_anything_is_sent(
    inputs: dict[str, Any], words: str
) -> None:
    played = play(app(), [page("chat_settings")], inputs=inputs)
    assert type(played.error) is ConfigurationError and words in str(played.error)
    assert played.paths == ["GET /config"]


def test_an_unknown_input_gets_the_nearest_one() -> None:
    played = play(app(), [page("chat_settings"), names("chat_settings")], inputs={"temprature": 1})
    assert type(played.error) is ConfigurationError
    assert "Did you mean 'Temperature'?" in str(played.error)
    assert played.paths == ["GET /config", "GET /gradio_api/info"]
    hidden = play(app(), [page("chat_settings"), NO_NAMES], inputs={"x": 1})
    assert "the app has no input 'x'" in str(hidden.error)


def test_the_question_is_not_an_input() -> None:
    played = play(app(), [page("blocks_settings")], inputs={"Message": "x"})
    assert "it holds the question" in str(played.error)


def test_a_system_message_and_an_input_for_it_exclude_each_other() -> None:
    played = play(
        app(),
        [page("chat_settings")],
        [system("S"), user("q")],
        inputs={"System prompt": "T"},
    )
    assert type(played.error) is ConfigurationError and "given twice" in str(played.error)


def test_a_page_that_was_kept_is_read_again_before_a_question_is_refused() -> None:
    provider = app()
    play(provider, [page("blocks_respond"), JOINED, stream(completed("", []))])
    played = play(
        provider,
        [NO_NAMES, page("blocks_settings"), JOINED, stream(completed("", []))],
        inputs={"Max new tokens": 5},
    )
    assert played.error is None and data(played)[3] == 5


def test_a_function_by_name_and_by_number() -> None:
    value = [user("Hi"), assistant("x")]
    for option in (
        {"function": "second"},
        {"function": "/second"},
        {"function": 1},
        {"fn_index": 1},
    ):
        for provider, options in ((app(), option), (app(**option), {})):
            script = [page("two_chats"), JOINED, stream(completed("", value))]
            played = play(provider, script, **options)
            assert played.error is None and played.body(1)["fn_index"] == 1
    played = play(app(), [page("two_chats")])
    assert type(played.error) is ConfigurationError and "several functions" in str(played.error)
    assert played.paths == ["GET /config"]


def test_a_conversation_goes_on_with_the_function_that_answered() -> None:
    provider = app()
    value = [user("Hi"), assistant("x")]
    script = [page("two_chats"), JOINED, stream(completed("", value))]
    first = kept(play(provider, script, function="second"))
    played = play(provider, [JOINED, stream(completed("", value))], "q", continuation=first)
    assert played.body(0)["fn_index"] == 1
    with pytest.raises(
        ConfigurationError, match=r"function second; this client asks .*function first"
    ):
        provider.prepare("q", None, {"continuation": first, "function": "first"})
    refused = play(provider, [page("two_chats")], "q", continuation=first, fn_index=0)
    assert type(refused.error) is ConfigurationError
    assert "came from the function 'second', and this question is for 'first'" in str(refused.error)


def test_a_function_without_a_name_is_continued_by_its_number() -> None:
    told = described(V, "blocks_respond")["config"]
    nameless = {**told["dependencies"][1], "api_name": False}
    unnamed = said({**told, "dependencies": [nameless]})
    provider = app()
    value = [user("Hi"), assistant("x")]
    first = kept(play(provider, [unnamed, JOINED, stream(completed("", value))]))
    assert json.loads(first)["function"] == "1"
    played = play(provider, [JOINED, stream(completed("", value))], "q", continuation=first)
    assert played.body(0)["fn_index"] == 1
    other = json.dumps({**json.loads(first), "function": "gone"})
    assert "no function named 'gone'" in str(
        play(provider, [unnamed], "q", continuation=other).error
    )


def test_the_names_of_parameters_are_asked_for_where_labels_do_not_decide() -> None:
    told = described(V, "blocks_settings")["config"]
    components = [
        {**each, "props": {**each["props"], "label": None}} if each["type"] == "textbox" else each
        for each in told["components"]
    ]
    script = [
        said({**told, "components": components}),
        names("blocks_settings"),
        JOINED,
        stream(completed("", [])),
    ]
    played = play(app(), script, [system("S"), user("q")])
    assert data(played)[:3] == ["q", [], "S"]


def test_an_app_without_a_chat_is_refused_and_nothing_is_sent() -> None:
    played = play(app(), [page("audio")])
    assert type(played.error) is ConfigurationError and not played.error.retryable
    assert "it takes audio" in str(played.error) and played.paths == ["GET /config"]


# -- files ----------------------------------------------------------------------------------------------------

PNG = b"\x89PNG\r\n\x1a\n0"
IMAGE = {
    "type": "image_url",
    "image_url": {"url": f"data:image/png;base64,{base64.b64encode(PNG).decode()}"},
}
TEXT = {"type": "text", "text": "see"}


def file(name: str, content: bytes) -> dict[str, Any]:
    encoded = base64.b64encode(content).decode()
    return {"type": "file", "file": {"filename": name, "file_data": encoded}}


def test_files_are_uploaded_and_named_in_the_question() -> None:
    messages = [user([TEXT, IMAGE, file('../a"b.txt', b"words")])]
    uploaded = said(["/tmp/x/file.png", "/tmp/x/a_b.txt"])
    played = play(app(), [page("chat_multimodal"), uploaded, JOINED, text_answer("x")], messages)
    assert played.error is None
    assert played.paths[1] == "POST /gradio_api/upload"
    upload = played.requests[1]
    kind, _, boundary = upload.headers["Content-Type"].partition("; boundary=")
    assert kind == "multipart/form-data" and upload.body is not None
    parts = upload.body.split(f"--{boundary}".encode())
    assert parts[0] == b"" and parts[-1] == b"--\r\n" and len(parts) == 4
    assert b'name="files"; filename="file.png"\r\nContent-Type: image/png\r\n\r\n' + PNG in parts[1]
    assert b'filename="a_b.txt"\r\nContent-Type: text/plain\r\n\r\nwords' in parts[2]
    question, state = data(played)
    assert question["text"] == "see" and state is None
    assert [each["path"] for each in question["files"]] == ["/tmp/x/file.png", "/tmp/x/a_b.txt"]
    assert question["files"][1]["orig_name"] == "a_b.txt"
    assert question["files"][0]["meta"] == {"_type": "gradio.FileData"}
    turns = json.loads(kept(played))["turns"]
    assert turns[0] == ["user", "see\n\n[file: file.png]\n\n[file: a_b.txt]"]


def test_an_address_is_fetched_by_the_server() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.org/a%20cat.webp?x=1"}}
    played = play(app(), [page("chat_multimodal"), JOINED, text_answer("x")], [user([TEXT, part])])
    [described_file] = data(played)[0]["files"]
    assert described_file["path"] == described_file["url"] == "https://example.org/a%20cat.webp?x=1"
    assert (described_file["orig_name"], described_file["mime_type"]) == (
        "a cat.webp",
        "image/webp",
    )


def test_a_question_in_text_alone_is_an_object_there_too() -> None:
    played = play(app(), [page("qwen_multimodal"), JOINED, stream(completed(None, [], "S"))])
    assert data(played)[0] == {"text": "Hi", "files": []}


def test_files_go_to_the_image_beside_the_question() -> None:
    told = described(V, "interface")["config"]
    picture = {"id": 900, "type": "image", "props": {"label": "Picture"}}
    many = {"id": 901, "type": "file", "props": {"file_count": "multiple"}}

    def with_input(component: dict[str, Any]) -> Said:
        chat = told["dependencies"][0]
        function = {**chat, "inputs": [*chat["inputs"], component["id"]]}
        components = [*told["components"], component]
        return said({**told, "components": components, "dependencies": [function]})

    uploaded = said(["/tmp/p.png"])
    messages = [user([TEXT, IMAGE])]
    answer = stream(completed("a cat"))
    played = play(app(), [with_input(picture), uploaded, JOINED, answer], messages)
    assert data(played)[1]["path"] == "/tmp/p.png"
    played = play(app(), [with_input(many), uploaded, JOINED, answer], messages)
    assert [each["path"] for each in data(played)[1]] == ["/tmp/p.png"]
    assert data(play(app(), [with_input(picture), JOINED, answer])) == ["Hi", None]
    for parts, words in (
        ([TEXT, IMAGE, IMAGE], "takes one file beside the question, not 2"),
        ([TEXT, file("a.txt", b"x")], "takes an image beside the question"),
    ):
        refused = play(app(), [with_input(picture)], [user(parts)])
        assert type(refused.error) is ConfigurationError and words in str(refused.error)


def test_files_of_earlier_messages() -> None:
    turns = [user([TEXT, IMAGE]), assistant("a"), user("and now?")]
    refused = play(app(), [page("chat_multimodal")], turns)
    assert type(refused.error) is ConfigurationError and "go on by continue_from=" in str(
        refused.error
    )
    told = described(V, "interface")["config"]
    chat = told["dependencies"][0]
    box = {"id": 902, "type": "multimodaltextbox", "props": {}}
    config = {
        **told,
        "components": [*told["components"], box],
        "dependencies": [{**chat, "inputs": [902]}],
    }
    played = play(
        app(), [said(config), said(["/tmp/p.png"]), JOINED, stream(completed("x"))], turns
    )
    assert data(played)[0]["text"] == "User: see\n\nAssistant: a\n\nUser: and now?"
    assert [each["path"] for each in data(played)[0]["files"]] == ["/tmp/p.png"]


def test_an_upload_that_is_refused_ends_the_question() -> None:
    refused = said({"detail": "File too large"}, 413)
    played = play(app(), [page("chat_multimodal"), refused], [user([TEXT, IMAGE])])
    assert isinstance(played.error, GLMError) and "File too large" in str(played.error)
    chat = choose(page_of(V, "interface"))
    turn = begun(chat, Question("Hi"), {}, Sessions(), "s")
    turn.attach([], [])
    assert turn.values == {chat.prompt: "Hi"}


def test_an_app_that_takes_no_files_is_not_sent_any() -> None:
    played = play(app(), [page("blocks_respond")], [user([TEXT, IMAGE])])
    assert type(played.error) is ConfigurationError and "takes no files" in str(played.error)
    assert played.paths == ["GET /config"]


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"type": "image_url"}, "needs 'image_url': {'url': ...}"),
        ({"type": "image_url", "image_url": {"url": ""}}, "needs 'image_url'"),
        (
            {"type": "file", "file": {"filename": "x"}},
            "needs 'file': {'filename': ..., 'file_data'",
        ),
        ({"type": "image_url", "image_url": "ftp://x"}, "must hold an http or https address"),
        ({"type": "image_url", "image_url": "data:image/png;base64,?"}, "not base64"),
        ({"type": "file", "file": {"file_data": "not base64!"}}, "not base64"),
        ({"type": "input_audio", "input_audio": {}}, "takes text alone"),
    ],
)
def test_a_part_that_is_not_complete_is_refused(part: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        app().prepare([user([TEXT, part])], None, {})
    assert words in str(caught.value)


def test_only_the_users_messages_hold_files() -> None:
    with pytest.raises(ConfigurationError, match="only the user's messages may hold files"):
        app().prepare([{"role": "assistant", "content": [IMAGE]}, user("q")], None, {})
    with pytest.raises(ConfigurationError, match="takes text alone"):
        Qwen().prepare([user([TEXT, IMAGE])], None, {})


@pytest.mark.parametrize(
    ("part", "name", "kind", "content"),
    [
        ({"type": "image_url", "image_url": "data:,a%20b"}, "file.png", "image/png", b"a b"),
        ({"type": "file", "file": "data:text/csv;base64,YQ=="}, "file.csv", "text/csv", b"a"),
        ({"type": "file", "file": "YQ=="}, "file.bin", "application/octet-stream", b"a"),
        (
            {"type": "file_url", "file_url": {"url": "data:text/plain,x"}},
            "file.txt",
            "text/plain",
            b"x",
        ),
    ],
)
def test_files_in_the_spellings_that_people_use(
    part: dict[str, Any], name: str, kind: str, content: bytes
) -> None:
    [found] = app().prepare([user([TEXT, part])], None, {}).options["question"].files
    assert (found.name, found.kind, found.content) == (name, kind, content)
    assert "content" not in repr(found)


@pytest.mark.parametrize("answer", [{"x": 1}, [], ["a", "b"], [5]])
def test_an_upload_that_tells_no_path_is_a_protocol_error(answer: Any) -> None:
    provider = app()
    first = kept(play(provider, [page("chat_multimodal"), JOINED, text_answer("one")], "q1"))
    played = play(
        provider,
        [said(answer), page("chat_multimodal"), said(answer)],
        [user([TEXT, IMAGE])],
        continuation=first,
    )
    assert isinstance(played.error, GLMError)
    again = play(
        provider, [page("chat_multimodal"), JOINED, text_answer("two")], "q2", continuation=first
    )
    assert session(again) == "s1", "nothing reached the session"


# -- what the provider tells ----------------------------------------------------------------------------------


def listed(provider: Gradio, script: list[Said]) -> tuple[Model, ...]:
    flow = provider.list_models(exchange_for(provider))
    answers = iter(script)
    body: list[Any] = []
    reply: Any = None
    try:
        while True:
            step = flow.send(reply)
            reply = None
            if hasattr(step, "request"):
                got = next(answers)
                reply, body = got.head, list(got.body)
            elif not isinstance(step, (list, Release)):
                reply = body.pop(0) if body else b""
    except StopIteration as stop:
        models: tuple[Model, ...] = stop.value
        return models


def test_the_models_of_an_app_are_its_chat_functions() -> None:
    assert listed(app(), [page("two_chats"), names("two_chats")]) == (
        Model("first", description="takes text, keeps the conversation"),
        Model("second", description="takes text, keeps the conversation"),
    )
    [model] = listed(app(), [page("chat_settings"), names("chat_settings")])
    assert model.id == "chat" and "Temperature = 0.7 (from 0 to 2)" in model.description
    [model] = listed(app(), [page("qwen_multimodal"), names("qwen_multimodal")])
    assert model.id == "model_chat" and model.description.startswith("takes text and files")
    with pytest.raises(ConfigurationError, match="it takes audio"):
        listed(app(), [page("audio"), NO_NAMES])
    told = described(V, "blocks_respond")["config"]
    hidden = {**told["dependencies"][1], "api_name": False}
    [model] = listed(app(), [said({**told, "dependencies": [hidden]}), NO_NAMES])
    assert model.id == "1"
    assert listed(Qwen(), []) == (Model("qwen-2.5"),)


def test_a_gradio_object_without_an_address_is_the_demonstration_of_qwen() -> None:
    for provider in (Gradio(), Qwen()):
        assert (provider.name, provider.url) == ("qwen", "https://qwen-qwen2-5.hf.space")
        assert (provider.function, provider.models) == ("model_chat", ("qwen-2.5",))
        assert not provider.supports.images
        copy = pickle.loads(pickle.dumps(provider))
        assert (copy.name, copy.function) == ("qwen", "model_chat")
    provider = Gradio(base_url="Some-One/My.App")
    assert (provider.name, provider.url) == ("gradio", "https://some-one-my-app.hf.space")
    assert (provider.function, provider.models, provider.default_model) == (None, (), None)
    assert provider.supports.images and provider.supports.message_history
    with pytest.raises(ConfigurationError, match=r"gradio has no model 'x'; it has none.*inputs="):
        provider.prepare("Hi", "x", {})


def test_the_qwen_provider_takes_more_and_fewer_settings_and_no_other_shape() -> None:
    for shape in ("qwen", "qwen_slider", "qwen_bare"):
        script = [page(shape), JOINED, stream(completed("", [], "S"))]
        played = play(Qwen(base_url=URL), script)
        assert played.error is None and data(played)[2] == "You are a scripted assistant."
    for shape in ("chat", "blocks_respond"):
        played = play(Qwen(base_url=URL), [page(shape)])
        assert isinstance(played.error, GLMError) and not isinstance(
            played.error, ConfigurationError
        )
    played = play(Qwen(base_url=URL), [page("blocks_respond")], function="respond")
    assert type(played.error) is ConfigurationError and "no box for a system" in str(played.error)
    changed = described(V, "qwen")["config"]
    changed = {**changed, "dependencies": [{**changed["dependencies"][0], "outputs": []}]}
    played = play(Qwen(base_url=URL), [said(changed)])
    assert type(played.error) is ProtocolError and "may have changed" in str(played.error)


def test_a_private_app_says_so() -> None:
    played = play(app(), [said({"detail": "Not authenticated"}, 401)])
    assert type(played.error) is AuthenticationError


def test_heartbeats_of_a_chain_are_no_answer() -> None:
    script = [
        page("blocks_chain"),
        JOINED,
        stream(frame(msg="heartbeat"), generating("", []), completed("", [])),
        said({"event_id": "e2"}),
        stream(completed([user("Hi"), assistant("x")], event="e2")),
    ]
    assert play(app(), script).text == "x"


@pytest.mark.parametrize("version", VERSIONS)
def test_the_golden_pages_decide_alike_on_every_version(version: str) -> None:
    assert choose(page_of(version, "blocks_chain")).steps[0].inputs
