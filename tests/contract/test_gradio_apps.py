"""What apps on real Gradio servers make of a chatbot's value, of failures and of addresses, through every client."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from glmclient import (
    ConfigurationError,
    Finish,
    GLMError,
    Gradio,
    Image,
    NotFoundError,
    Notice,
    RetryPolicy,
    ServerError,
    TextDelta,
)

from .flavours import Asking, Flavour
from .loopback import Server, answer
from .space import Space, failed, message, output, page

Serve = Callable[..., Server]
ONCE = RetryPolicy(attempts=1)


def values(*shown: Any, final: Any = None) -> list[bytes]:
    """Return the messages of an app that tells whole values, or updates as lists of edits, and then its final one."""
    updates = [message("process_generating", output=output(each), success=True) for each in shown]
    last = shown[-1] if final is None else final
    return [*updates, message("process_completed", output=output(last), success=True)]


def edits(*operations: Any) -> bytes:
    return message("process_generating", output={"data": [[], list(operations), []]}, success=True)


def whole(value: Any) -> bytes:
    return message("process_generating", output=output(value), success=True)


def completed(value: Any) -> bytes:
    return message("process_completed", output=output(value), success=True)


def asking(client: Flavour, serve: Serve, frames: list[bytes], **config: Any) -> Asking:
    return client("qwen", base_url=serve(Space(frames, page(**config))).url, retry=ONCE)


def said(role: str, content: Any, title: str | None = None) -> dict[str, Any]:
    return {"role": role, "content": content, "metadata": {"title": title} if title else None}


UPDATE = {"__type__": "update"}
MESSAGES = {"version": "5.50.0", "chatbot": "chatbot"}


# -- updates of the component --------------------------------------------------------------------------------


@pytest.mark.parametrize("more", [{}, {"label": "Chat", "visible": True}])
def test_a_value_in_an_update_of_the_component(
    every_client: Flavour, serve: Serve, more: dict[str, Any]
) -> None:
    frames = [
        whole({**UPDATE, **more, "value": [["hi", "Hel"]]}),
        edits(["append", ["value", 0, 1], "lo"]),
        edits(["replace", ["value", 0, 0], "HI"], ["append", ["value", 0, 1], "!"]),
        completed({**UPDATE, **more, "value": [["HI", "Hello!"]]}),
    ]
    reading = asking(every_client, serve, frames).stream("hi")
    assert reading.collect()[:-1] == [TextDelta("Hel"), TextDelta("lo"), TextDelta("!")]
    assert json.loads(reading.finish.continuation)["value"] == [["HI", "Hello!"]]


def test_an_update_without_a_value_leaves_the_conversation_as_it_was(
    every_client: Flavour, serve: Serve
) -> None:
    frames = [
        whole([["hi", "Hello"]]),
        edits(["replace", [], UPDATE]),
        edits(["add", ["visible"], False]),
        completed(UPDATE),
    ]
    reply = asking(every_client, serve, frames).chat("hi")
    assert reply.text == "Hello"
    assert json.loads(reply.finish.continuation)["value"] == [["hi", "Hello"]]


def test_an_update_that_empties_the_conversation(client: Flavour, serve: Serve) -> None:
    reply = asking(client, serve, values([["hi", "a"]], {**UPDATE, "value": None})).chat("hi")
    assert reply.text == "" and reply.finish.empty


def test_updates_in_the_format_of_messages(every_client: Flavour, serve: Serve) -> None:
    frames = [
        whole({**UPDATE, "value": [said("user", "hi"), said("assistant", "a")]}),
        edits(["append", ["value", 1, "content"], "b"]),
        completed({**UPDATE, "value": [said("user", "hi"), said("assistant", "ab")]}),
    ]
    assert asking(every_client, serve, frames, **MESSAGES).chat("hi").text == "ab"


# -- edits that do not fit -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "operations",
    [
        [["delete", [2], None], ["delete", [3], None]],
        [["delete", [1, "content", -1], None]],
        [["append", [0, 1, 7], "x"]],
        [["add", [9], ["x", "y"]]],
        [["replace", ["value", 0], "x"]],
        [["explode", [0], "x"]],
    ],
)
def test_edits_that_do_not_fit_wait_for_the_final_value(
    every_client: Flavour, serve: Serve, operations: list[Any]
) -> None:
    start = [["a", "b"], ["hi", "Thinking"], ["x", None], ["y", None]]
    frames = [
        whole(start[:2]),
        edits(["add", [2], start[2]], ["add", [3], start[3]]),
        edits(*operations),
        edits(["append", [1, 1], "never applied"]),
        completed([["a", "b"], ["hi", "The answer"]]),
    ]
    reading = asking(every_client, serve, frames).stream("hi")
    events = reading.collect()
    assert reading.text == "The answer" and isinstance(events[-1], Finish)
    assert all("never" not in getattr(event, "text", "") for event in events)


# -- several messages, thoughts, files -----------------------------------------------------------------------


def test_all_messages_after_the_question_are_the_answer(
    every_client: Flavour, serve: Serve
) -> None:
    question = said("user", "hi")
    thought = said("assistant", "I thi", "Thinking")
    frames = [
        whole([question, thought]),
        edits(["append", [1, "content"], "nk."]),
        edits(["add", [2], said("assistant", "")]),
        edits(["append", [2, "content"], "It is 4"]),
        edits(["append", [2, "content"], "2."]),
        edits(["append", [1, "content"], " So."]),
        edits(["append", [2, "content"], "!"], ["append", [1, "content"], "."]),
        edits(["add", [3], said("assistant", "")]),
        edits(["append", [3, "content"], "Sources: "]),
        edits(["append", [3, "content"], "none"]),
        edits(["add", [4], said("assistant", "Searched.", "Used tool search")]),
    ]
    final = [
        question,
        said("assistant", "I think. So..", "Thinking"),
        said("assistant", "It is 42.!"),
        said("assistant", "Sources: none"),
        said("assistant", "Searched.", "Used tool search"),
    ]
    reading = asking(every_client, serve, [*frames, completed(final)], **MESSAGES).stream("hi")
    events = reading.collect()
    assert reading.text == "It is 42.!\n\nSources: none"
    assert reading.reasoning == "I think. So..\n\nSearched."
    assert TextDelta("2.") in events and TextDelta("\n\nSources: ") in events


def test_messages_of_the_newest_format(every_client: Flavour, serve: Serve) -> None:
    def part(text: str) -> list[dict[str, Any]]:
        return [{"type": "text", "text": text}]

    value = [
        said("user", part("old")),
        said("assistant", part("older answer")),
        said("user", part("hi")),
        said("assistant", part("because"), "Thought"),
        said("assistant", part("one")),
        said("assistant", part("two")),
    ]
    config = {"version": "6.31.0", "chatbot": "chatbot"}
    reply = asking(every_client, serve, values(value), **config).chat("hi")
    assert (reply.text, reply.reasoning) == ("one\n\ntwo", "because")


def file(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "meta": {"_type": "gradio.FileData"}, **more}


PICTURE = file("/tmp/a b.png", url="https://app.example/file=/tmp/a%20b.png")
REPORT = file("/tmp/x.pdf", url="https://app.example/file=/tmp/x.pdf", orig_name="x.pdf")


@pytest.mark.parametrize(
    ("items", "config"),
    [
        ([["hi", {"file": PICTURE, "alt_text": None}]], {"chatbot": "chatbot"}),
        ([["hi", "See"], [None, {"file": PICTURE}]], {"chatbot": "chatbot"}),
        ([["hi", {"text": "See", "files": [{"file": PICTURE}]}]], {}),
        ([["hi", {"text": "See", "files": [PICTURE, PICTURE]}]], {}),
        ([said("user", "hi"), said("assistant", {"file": PICTURE})], MESSAGES),
        (
            [
                said("user", "hi"),
                said("assistant", {"component": "image", "value": {**PICTURE, "path": "/tmp/noname"}}),
            ],
            MESSAGES,
        ),
        (
            [
                said("user", "hi"),
                said("assistant", {"component": "gallery", "value": [{"image": PICTURE, "caption": None}]}),
            ],
            MESSAGES,
        ),
        (
            [said("user", [{"type": "text", "text": "hi"}]), said("assistant", [{"type": "file", "file": PICTURE}])],
            {"version": "6.31.0", "chatbot": "chatbot"},
        ),
    ],
)  # fmt: skip
def test_images_in_a_chatbot(
    every_client: Flavour, serve: Serve, items: list[Any], config: dict[str, Any]
) -> None:
    question = items[0]
    first = whole([[question[0], None]] if isinstance(question, list) else [question])
    reply = asking(every_client, serve, [first, completed(items)], **config).chat("hi")
    assert reply.images == (Image(PICTURE["url"]),) and reply.notices == ()
    assert reply.finish.empty is (reply.text == "")


def test_files_of_the_user_and_of_older_turns_are_not_the_answer(
    client: Flavour, serve: Serve
) -> None:
    value = [["old", {"file": PICTURE}], [{"file": PICTURE}, "new"]]
    assert asking(client, serve, values(value), chatbot="chatbot").chat("hi").images == ()


@pytest.mark.parametrize("version", ["4.44.1", "5.50.0"])
def test_a_file_without_an_address_is_at_the_apps_own(
    client: Flavour, serve: Serve, version: str
) -> None:
    value = [["hi", {"file": file("/tmp/a b.PNG", url=None)}]]
    space = Space(values(value), page(version, "chatbot"))
    url = serve(space).url
    reply = client("qwen", base_url=url, retry=ONCE).chat("hi")
    assert reply.images == (Image(f"{url}{space.prefix}/file=/tmp/a%20b.PNG"),)


def test_an_answer_of_another_file_alone_is_told(every_client: Flavour, serve: Serve) -> None:
    value = [["hi", {"file": REPORT}], [None, {"file": file("", url="")}]]
    value.append([None, {"file": file("/t/y", mime_type="audio/wav", url="https://a.example/y")}])
    reply = asking(every_client, serve, values(value), chatbot="chatbot").chat("hi")
    assert reply.notices == (
        Notice(REPORT["url"], "info", "file x.pdf"),
        Notice("https://a.example/y", "info", "file"),
    )
    assert reply.text == "" and reply.finish.empty


@pytest.mark.parametrize("ending", ["failure", "cancel", "breakdown", "cut"])
def test_files_are_not_lost_when_the_answer_fails(
    every_client: Flavour, serve: Serve, ending: str
) -> None:
    frames = [whole([["hi", {"file": PICTURE}]])]
    frames += {
        "failure": [failed("broken")],
        "cancel": [message("process_completed", output={}, success=True)],
        "breakdown": [message("unexpected_error", None, message="gone")],
        "cut": [],
    }[ending]
    with pytest.raises(GLMError) as caught:
        asking(every_client, serve, frames, chatbot="chatbot").chat("hi")
    assert caught.value.partial.images == (Image(PICTURE["url"]),)


# -- memory --------------------------------------------------------------------------------------------------


def test_the_old_answer_is_not_the_partial_one_of_the_same_question_again(
    every_client: Flavour, serve: Serve
) -> None:
    """The app has a memory, shows it unchanged first, and fails before it has said anything new."""
    history = [["hi", "The old answer"]]
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "The old answer"},
        {"role": "user", "content": "hi"},
    ]
    frames = [whole(history), failed("out of memory")]
    with pytest.raises(ServerError) as caught:
        asking(every_client, serve, frames, chatbot="chatbot").chat(messages)
    assert caught.value.partial.text == ""
    frames = [
        whole(history),
        whole([*history, ["hi", "New"]]),
        completed([*history, ["hi", "New"]]),
    ]
    with_memory = asking(every_client, serve, frames, version="4.12.0", chatbot="chatbot")
    assert with_memory.stream(messages).collect()[:-1] == [TextDelta("New")]


def test_an_app_without_memory_that_gives_the_same_answer_again(
    every_client: Flavour, serve: Serve
) -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "Same"},
        {"role": "user", "content": "hi"},
    ]
    frames = [whole([["hi", "Sa"]]), edits(["append", [0, 1], "me"]), completed([["hi", "Same"]])]
    assert asking(every_client, serve, frames, chatbot="chatbot").chat(messages).text == "Same"


# -- going on ------------------------------------------------------------------------------------------------

TEXT_TURNS = [("user", "q1"), ("assistant", "a1"), ("assistant", "more"), ("user", "q2")]
WRITTEN: dict[str, list[Any]] = {
    "4.44.1": [["q1", "a1"], [None, "more"], ["q2", "a2"]],
    "5.50.0": [said("user", "q1"), said("assistant", "a1"), said("assistant", "more"),
               said("assistant", "hm", "Thought"), said("user", "q2"), said("assistant", "a2")],
    "6.31.0": [said(role, [{"type": "text", "text": text}])
               for role, text in [*TEXT_TURNS, ("assistant", "a2")]],
}  # fmt: skip


def bare(value: list[Any]) -> list[Any]:
    """Return a conversation without what Gradio adds to messages, and without thoughts."""
    return [
        {"role": item["role"], "content": item["content"]} if isinstance(item, dict) else item
        for item in value
        if not (isinstance(item, dict) and item.get("metadata"))
    ]


def asked_after_an_upgrade(
    client: Flavour, serve: Serve, old: str, new: str, value: list[Any]
) -> Space:
    """Ask an app of version ``old``, and go on when it has become version ``new``."""

    def config(version: str) -> dict[str, Any]:
        known = page(version, "chatbot")
        if version == "5.50.0":
            known["components"][2]["props"]["type"] = "messages"
        return known

    spaces = [Space(values(value), config(old)), Space(values(WRITTEN[new]), config(new))]
    serving = spaces[:1]
    url = serve(lambda answering: serving[-1](answering)).url
    first = client("qwen", base_url=url, retry=ONCE).chat("q2")
    serving.append(spaces[1])
    client("qwen", base_url=url, retry=ONCE).chat("q3", continue_from=first)
    return spaces[1]


@pytest.mark.parametrize("old", WRITTEN)
@pytest.mark.parametrize("new", WRITTEN)
def test_a_conversation_goes_on_after_an_upgrade_of_the_app(
    client: Flavour, serve: Serve, old: str, new: str
) -> None:
    space = asked_after_an_upgrade(client, serve, old, new, WRITTEN[old])
    sent = space.joined["data"][1]
    assert (sent if old == new else bare(sent)) == (
        WRITTEN[new] if old == new else bare(WRITTEN[new])
    )


@pytest.mark.parametrize(
    "items",
    [
        [["q2", {"file": PICTURE}]],
        [["q2", {"text": "a", "files": [PICTURE]}]],
        [["q2", 5]],
        [["q2", "a"], "odd"],
        [["q2", "a"], {"role": 5}],
    ],
)
def test_a_conversation_of_files_is_not_converted(
    every_client: Flavour, serve: Serve, items: list[Any]
) -> None:
    with pytest.raises(ConfigurationError, match=r"another version of Gradio.*as messages"):
        asked_after_an_upgrade(every_client, serve, "4.44.1", "6.31.0", items)


def test_an_answer_without_a_value_goes_on_with_what_was_sent(
    every_client: Flavour, serve: Serve
) -> None:
    space = Space([message("process_completed", output=output(None), success=True)])
    asking = every_client("qwen", base_url=serve(space).url, retry=ONCE)
    first = asking.chat(
        [
            {"role": "user", "content": "a"},
            {"role": "assistant", "content": "b"},
            {"role": "user", "content": "c"},
        ]
    )
    asking.chat("d", continue_from=first)
    sent = space.joined["data"]
    assert sent[0] == "d"
    assert [[side["text"] for side in pair] for pair in sent[1]] == [["a", "b"]]


def test_a_saved_answer_without_a_value_begins_anew() -> None:
    known = Gradio()
    kept = json.dumps({"url": known.url, "function": known.function, "system": None, "value": None})
    assert known.prepare("d", None, {"continuation": kept}).options["question"].held.value == []


# -- failures ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "title", "words"),
    [
        ("No more credits today", "Out of credits", "Out of credits: No more credits today"),
        ("No more <b>credits</b>", "<i>Stop</i>", "Stop: No more credits"),
        (None, "Maintenance", "Maintenance"),
        ("No more credits", "Error", "No more credits"),
        ("No more credits", None, "No more credits"),
    ],
)
def test_the_title_of_an_error_is_told(
    every_client: Flavour, serve: Serve, error: str | None, title: str | None, words: str
) -> None:
    with pytest.raises(ServerError) as caught:
        asking(every_client, serve, [failed(error, title=title)]).chat("hi")
    assert caught.value.message == words and words in str(caught.value)


@pytest.mark.parametrize("step", ["config", "join", "stream"])
def test_a_refusal_names_the_host(every_client: Flavour, serve: Serve, step: str) -> None:
    missing = answer(404, {"detail": "Not Found"})
    space = Space(values([["hi", "a"]]), **({} if step == "stream" else {step: missing}))
    if step == "stream":
        space.stream = missing
    url = serve(space).url
    with pytest.raises(NotFoundError, match=url.replace(".", r"\.")):
        every_client("qwen", base_url=url, retry=ONCE).chat("hi")


@pytest.mark.parametrize("body", [{"nothing": "useful"}, b"{", {"dependencies": 5}])
def test_what_is_not_a_page_names_the_host(client: Flavour, serve: Serve, body: Any) -> None:
    url = serve(Space([], answer(200, body, kind="application/json"))).url
    with pytest.raises(GLMError, match=url.replace(".", r"\.")):
        client("qwen", base_url=url, retry=ONCE).chat("hi")


# -- addresses -----------------------------------------------------------------------------------------------

SPACE = "https://qwen-qwen2-5.hf.space"


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://huggingface.co/spaces/Qwen/Qwen2.5", SPACE),
        ("https://huggingface.co/spaces/Qwen/Qwen2.5/tree/main?x=1#top", SPACE),
        ("http://hf.co/spaces/Qwen/Qwen2.5/", SPACE),
        ("huggingface.co/spaces/Qwen/Qwen2.5", SPACE),
        ("Qwen/Qwen2.5", SPACE),
        (" Qwen/Qwen2.5 ", SPACE),
        ("qwen-qwen2-5.hf.space", SPACE),
        ("qwen-qwen2-5.hf.space/", SPACE),
        ("Some_One/My.App_2", "https://some-one-my-app-2.hf.space"),
        ("https://qwen-qwen2-5.hf.space", SPACE),
        ("http://127.0.0.1:7860/app", "http://127.0.0.1:7860/app"),
        ("https://huggingface.co", "https://huggingface.co"),
    ],
)
def test_the_address_of_a_space(written: str, address: str) -> None:
    assert Gradio(base_url=written).url == address


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("https://huggingface.co/Qwen/Qwen2.5", "not a Space's.*'owner/name'"),
        ("https://huggingface.co/spaces", "not a Space's"),
        ("https://huggingface.co/spaces/Qwen", "not a Space's"),
        ("localhost/app", "must start with http"),
        ("example.com/app", "must start with http"),
        ("http://[broken", "not a URL"),
        ("spaces/Qwen", "must start with http"),
        (5, "must be a string"),
    ],
)
def test_an_address_that_is_not_one_is_refused(written: Any, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        Gradio(base_url=written)
