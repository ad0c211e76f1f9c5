"""A turn, step by step: the page, the join, the stream, and what each of them may answer."""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import chain

import pytest

from glmclient.core.exchange import Send
from glmclient.core.http import Head
from glmclient.core.limits import Limits
from glmclient.core.retry import RetryPolicy
from glmclient.errors import (
    APIConnectionError,
    AuthenticationError,
    BadRequestError,
    LimitExceeded,
    NotFoundError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
    TransportFailure,
)
from glmclient.events import Finish, Notice, QueueStatus, TextDelta, Unknown
from glmclient.providers.gradio.cookies import cookies_after

from .scripted import (
    JOINED,
    URL,
    Said,
    answer,
    completed,
    component,
    config,
    exchange_for,
    failed,
    frame,
    generating,
    gradio,
    page,
    play,
    said,
    stream,
)

PAGE = said(config())
LOST = stream(
    frame(msg="unexpected_error", event_id=None, message="404: Session not found.", success=False)
)
THREE = RetryPolicy(attempts=3, base_delay=0.0)


# -- the requests --------------------------------------------------------------------------------------------


def test_a_turn_is_the_page_a_join_and_the_sessions_stream() -> None:
    played = play(gradio(), [PAGE, JOINED, answer("你好")])
    assert played.error is None
    assert played.paths == ["GET /config", "POST /queue/join", "GET /queue/data?session_hash=s1"]
    assert played.body(1) == {
        "data": ["Hi", [], "You are Qwen.", "72B"],
        "event_data": None,
        "fn_index": 3,
        "trigger_id": 25,
        "session_hash": "s1",
    }
    assert played.events == [TextDelta("你好"), Finish("stop", response_id="e1")]
    assert [dict(request.headers) for request in played.requests] == [
        {"Accept": "application/json", "Accept-Encoding": "identity"},
        {
            "Accept": "application/json",
            "Accept-Encoding": "identity",
            "Content-Type": "application/json",
        },
        {"Accept": "text/event-stream", "Accept-Encoding": "identity"},
    ]
    assert played.cleanup is None and played.attempts == 1


def test_the_page_is_kept_and_each_turn_has_a_session_of_its_own() -> None:
    provider = gradio()
    assert play(provider, [PAGE, JOINED, answer("one")]).text == "one"
    second = play(provider, [said({"event_id": "e2"}), answer("two", event="e2")])
    assert second.text == "two"
    assert second.paths == ["POST /queue/join", "GET /queue/data?session_hash=s2"]
    assert second.body(0)["session_hash"] == "s2"


def test_everything_but_the_page_is_under_its_prefix() -> None:
    played = play(
        gradio(),
        [
            said(config(api_prefix="/gradio_api/")),
            JOINED,
            stream(b"", generating("", [["Hi", "a"]])),
        ],
        leave_after=1,
    )
    assert played.paths == [
        "GET /config",
        "POST /gradio_api/queue/join",
        "GET /gradio_api/queue/data?session_hash=s1",
    ]
    assert played.cleanup is not None and played.cleanup.url == f"{URL}/gradio_api/cancel"


def test_the_root_of_the_page_is_never_followed_and_gets_no_token() -> None:
    for root in ("https://elsewhere.example", "http://127.0.0.1:1", "//elsewhere.example/x"):
        played = play(
            gradio(api_key="hf_secret"),
            [said(config(root=root)), JOINED, stream(generating("", [["Hi", "a"]]))],
            leave_after=1,
        )
        requests = [*played.requests, played.cleanup]
        assert len(requests) == 4
        for request in requests:
            assert request is not None and request.url.startswith(f"{URL}/")
            assert request.headers["Authorization"] == "Bearer hf_secret"


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://qwen-qwen2-5.hf.space", "X-HF-Authorization"),
        ("https://Someone-App.HF.Space.", "X-HF-Authorization"),
        ("https://huggingface.co", "X-HF-Authorization"),
        ("https://hf.space.example.org", "Authorization"),
        ("https://nothf.space", "Authorization"),
        ("http://127.0.0.1:7860", "Authorization"),
    ],
)
def test_hugging_face_gets_its_token_under_its_own_name(url: str, name: str) -> None:
    played = play(gradio(api_key="hf_secret", base_url=url), [PAGE, JOINED, answer("a")])
    for request in played.requests:
        named = {key for key, value in request.headers.items() if "hf_secret" in value}
        assert named == {name}


def test_without_a_token_nothing_is_authorized() -> None:
    for key in (None, ""):
        played = play(gradio(api_key=key), [PAGE, JOINED, answer("a")])
        assert all("Authorization" not in request.headers for request in played.requests)


def test_an_authorization_of_the_callers_own_does_not_displace_the_token() -> None:
    provider = gradio(api_key="hf_secret", headers={"authorization": "Basic app", "X-Own": "1"})
    played = play(provider, [PAGE, JOINED, answer("a")])
    for request in played.requests:
        assert request.headers["authorization"] == "Basic app"
        assert request.headers["X-HF-Authorization"] == "Bearer hf_secret"
        assert request.headers["X-Own"] == "1" and "Authorization" not in request.headers


def test_the_token_shows_itself_nowhere() -> None:
    provider = gradio(api_key="hf_secret")
    played = play(provider, [PAGE, JOINED, stream(failed("gone"))])
    for shown in (repr(provider), repr(played.requests), str(played.error), repr(vars(provider))):
        assert "hf_secret" not in shown


def test_cookies_go_back_with_everything_that_follows() -> None:
    provider = gradio()
    set_cookies = [
        ("Set-Cookie", "spaces=abc; Path=/; HttpOnly; SameSite=None; Secure"),
        ("Set-Cookie", 'quoted="q"; Path=/'),
        ("Set-Cookie", "old=1; Max-Age=0; Path=/"),
        ("Set-Cookie", "no pair at all"),
        ("Set-Cookie", "bad=\x07bell"),
    ]
    first = play(
        provider,
        [said(config(), 200, *set_cookies), JOINED, stream(generating("", [["Hi", "a"]]))],
        leave_after=1,
    )
    assert first.cleanup is not None
    sent = [request.headers.get("Cookie") for request in [*first.requests, first.cleanup]]
    assert sent == [None, *['spaces=abc; quoted="q"'] * 3]
    second = play(
        provider,
        [
            said(
                {"event_id": "e1"},
                200,
                ("Set-Cookie", "spaces=def"),
                ("Set-Cookie", "quoted=; max-age=-1"),
            ),
            answer("b"),
        ],
    )
    assert [r.headers["Cookie"] for r in second.requests] == [
        'spaces=abc; quoted="q"',
        "spaces=def",
    ]
    third = play(provider, [JOINED, answer("c")])
    assert [r.headers["Cookie"] for r in third.requests] == ["spaces=def"] * 2


def test_a_session_hash_of_any_characters_is_quoted() -> None:
    provider = gradio()
    provider.identity._ids = iter(["a b&c/ä"]).__next__
    played = play(provider, [PAGE, JOINED, answer("x")])
    assert played.requests[2].url == f"{URL}/queue/data?session_hash=a%20b%26c%2F%C3%A4"
    assert played.body(1)["session_hash"] == "a b&c/ä"


# -- what a page may be --------------------------------------------------------------------------------------


def test_function_and_trigger_can_be_set_by_hand() -> None:
    page_of_two = config()
    page_of_two["dependencies"].append(
        {
            "id": 9,
            "api_name": False,
            "inputs": [6, 3, 2, 1],
            "outputs": [6],
            "targets": [[7, "click"]],
        }
    )
    by_option = play(
        gradio(),
        [said(page_of_two), JOINED, stream(generating([["Hi", "x"]]), completed([["Hi", "x"]]))],
        fn_index=9,
        trigger_id=0,
    )
    assert by_option.error is None and by_option.text == "x"
    assert by_option.body(1)["data"] == [[], "Hi", "72B", "You are Qwen."]
    assert (by_option.body(1)["fn_index"], by_option.body(1)["trigger_id"]) == (9, 0)
    by_argument = play(
        gradio(fn_index=9, trigger_id=0),
        [said(page_of_two), JOINED, stream(completed([["Hi", "x"]]))],
    )
    assert by_argument.body(1)["fn_index"] == 9 and by_argument.body(1)["trigger_id"] == 0
    page_of_two["dependencies"][1]["api_name"] = "talk"
    by_name = play(gradio(function="/talk"), [said(page_of_two), JOINED, answer("x")])
    assert by_name.body(1)["fn_index"] == 3


def test_an_option_counts_before_the_argument() -> None:
    played = play(
        gradio(fn_index=9, trigger_id=7), [PAGE, JOINED, answer("x")], fn_index=3, trigger_id=8
    )
    assert (played.body(1)["fn_index"], played.body(1)["trigger_id"]) == (3, 8)


def test_a_page_without_the_function_says_what_it_has() -> None:
    played = play(gradio(function="talk"), [PAGE])
    assert type(played.error) is NotFoundError and not played.error.retryable
    assert (
        "model_chat (fn_index 3): (textbox, chatbot, textbox, radio) -> (textbox, chatbot, textbox)"
        in str(played.error)
    )
    assert "unnamed" not in str(played.error) and "clear (fn_index 0)" in str(played.error)


def test_a_changed_signature_says_what_was_found() -> None:
    changed = config()
    changed["dependencies"][1]["inputs"] = [3, 6, 2]
    played = play(gradio(), [said(changed)])
    assert type(played.error) is ProtocolError
    assert "model_chat (fn_index 3): (textbox, chatbot, radio)" in str(played.error)
    assert "Gradio 4.44.1" in str(played.error)
    assert played.error.frame.startswith("model_chat (fn_index 3): (textbox, chatbot, radio)")


@pytest.mark.parametrize(("protocol", "named"), [("sse", "'sse'"), ("ws", "'ws'"), (None, "'ws'")])
def test_older_protocols_are_refused_by_name(protocol: str | None, named: str) -> None:
    played = play(gradio(), [said(config(protocol=protocol, version="4.7.1"))])
    assert type(played.error) is ProtocolError
    assert named in str(played.error) and "4.7.1" in str(played.error)
    assert "sse_v1, sse_v2, sse_v2.1, sse_v3" in str(played.error)


def test_a_page_that_is_not_one_is_not_kept() -> None:
    provider = gradio()
    assert type(play(provider, [said({"hello": 1})]).error) is ProtocolError
    assert type(play(provider, [Said([b"plain"], 200, "text/plain")]).error) is ProtocolError
    assert (
        type(play(provider, [page("<html><title>Other</title>", 200)]).error) is ServiceBlockedError
    )
    assert type(play(provider, [said({"auth_required": True})]).error) is AuthenticationError
    assert type(play(provider, [said({"detail": "Not Found"}, 404)]).error) is NotFoundError
    assert play(provider, [PAGE, JOINED, answer("at last")]).text == "at last"


def test_an_endless_page_has_a_bound() -> None:
    played = play(gradio(), [PAGE], limits=Limits(body=100))
    assert type(played.error) is LimitExceeded


# -- a page that fits no more --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "refused",
    [
        said({"detail": "Not Found"}, 404),
        said({"detail": [{"msg": "field required", "loc": ["body"], "type": "missing"}]}, 422),
        Said([b"Internal Server Error"], 500, "text/plain"),
        said({"event": "no id"}),
        LOST,
    ],
)
def test_a_kept_page_is_asked_for_again_and_the_turn_goes_on(refused: Said) -> None:
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    moved = config(api_prefix="/gradio_api")
    moved["dependencies"][1]["id"] = 5
    joined = [JOINED] if refused is LOST else []
    played = play(provider, [*joined, refused, said(moved), JOINED, answer("second")])
    assert played.error is None and played.text == "second" and played.attempts == 1
    assert played.paths[-3:-1] == ["GET /config", "POST /gradio_api/queue/join"]
    assert played.body(-2)["fn_index"] == 5
    assert played.body(-2)["session_hash"] != "s2", "a session that was lost is not used again"
    assert played.cleanup is None


def test_a_connection_that_closed_after_a_refusal_is_not_the_end() -> None:
    """A 500 of Gradio's server is followed by a close that its head does not tell."""
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    crash, gone = (
        Said([b"Internal Server Error"], 500, "text/plain"),
        TransportFailure("stale", "reset"),
    )
    played = play(provider, [crash, gone, PAGE, JOINED, answer("second")])
    assert played.text == "second" and played.attempts == 1


def test_a_new_page_is_not_asked_for_twice_in_one_attempt() -> None:
    played = play(gradio(), [PAGE, said({"detail": "Not Found"}, 404)])
    assert type(played.error) is NotFoundError
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    again = play(
        provider, [said({"detail": "Not Found"}, 404), PAGE, said({"detail": "Not Found"}, 404)]
    )
    assert type(again.error) is NotFoundError and again.attempts == 1


def test_a_session_lost_on_a_new_page_is_tried_again_by_the_policy() -> None:
    played = play(gradio(), [PAGE, JOINED, LOST, PAGE, JOINED, answer("at last")], retry=THREE)
    assert played.text == "at last" and played.attempts == 2 and played.slept == [0.0]
    single = play(gradio(), [PAGE, JOINED, LOST])
    assert type(single.error) is ServerError and single.error.retryable and single.cleanup is None


def test_a_session_lost_after_words_were_shown_is_an_error() -> None:
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    lost = stream(generating("", [["Hi", "Hel"]]), *LOST.body)
    played = play(provider, [JOINED, lost], retry=THREE)
    assert type(played.error) is ServerError and played.error.partial.text == "Hel"
    assert played.attempts == 1


def test_a_function_that_a_kept_page_lacks_is_looked_for_again() -> None:
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    moved = config()
    moved["dependencies"][1]["id"] = 9
    played = play(provider, [said(moved), JOINED, answer("second")], fn_index=9)
    assert played.text == "second" and played.body(1)["fn_index"] == 9


def test_a_hidden_error_before_any_word_makes_the_page_doubtful() -> None:
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    hidden = [JOINED, stream(failed(None))]
    played = play(provider, [*hidden, PAGE, JOINED, answer("second")], retry=THREE)
    assert played.text == "second" and played.attempts == 2


def test_a_cut_a_quota_and_a_full_queue_keep_the_page() -> None:
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    full = said({"detail": "Queue is full. Max size is 1 and size is 1."}, 503)
    cancelled = frame(msg="process_completed", event_id="e1", output={}, success=True)
    play(provider, [full])
    for body in (stream(), stream(cancelled), stream(failed("You have exceeded your GPU quota"))):
        assert play(provider, [JOINED, body]).error is not None
    assert play(provider, [JOINED, answer("next")]).text == "next"


def test_an_apps_own_error_in_the_middle_keeps_the_page() -> None:
    provider = gradio()
    broken = stream(generating("", [["Hi", "Hel"]]), failed("The model crashed."))
    played = play(provider, [PAGE, JOINED, broken], retry=THREE)
    assert type(played.error) is ServerError and played.text == "Hel" == played.error.partial.text
    assert played.attempts == 1 and played.cleanup is None
    assert play(provider, [JOINED, answer("next")]).text == "next"


# -- refusals ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("refused", "kind", "retryable"),
    [
        (
            said({"detail": "Queue is full. Max size is 1 and size is 1."}, 503),
            RateLimitError,
            True,
        ),
        (said({"detail": "Too many requests"}, 429, ("Retry-After", "7")), RateLimitError, True),
        (page("<h1>Too many requests</h1>", 429), RateLimitError, True),
        (said({"detail": "Queue is stopped."}, 503), ServerError, True),
        (page("<html><h1>502 Bad Gateway</h1>", 502), ServerError, True),
        (page('<html>{"stage":"SLEEPING"}'), ServiceBlockedError, True),
    ],
)
def test_what_may_pass_is_tried_again(refused: Said, kind: type, retryable: bool) -> None:
    played = play(gradio(), [PAGE, refused])
    assert type(played.error) is kind and played.error.retryable is retryable
    config_too = [PAGE] if kind is ServiceBlockedError else []
    second = play(gradio(), [PAGE, refused, *config_too, JOINED, answer("at last")], retry=THREE)
    assert second.text == "at last" and second.attempts == 2


def test_a_quota_is_never_tried_again_and_says_when_it_ends() -> None:
    words = (
        "'You have exceeded your GPU quota (46s left vs. 60s requested). Please retry in 0:09:48'"
    )
    played = play(gradio(), [PAGE, JOINED, stream(failed(words))], retry=THREE)
    assert type(played.error) is QuotaExceededError and played.attempts == 1
    assert played.error.retry_after == 588.0 and not played.error.retryable


def test_a_bad_request_on_a_new_page_is_not_tried_again() -> None:
    refused = said({"detail": "No function index provided."}, 400)
    played = play(gradio(), [PAGE, refused], retry=THREE)
    assert type(played.error) is BadRequestError and played.attempts == 1
    assert played.error.message == "No function index provided."


# -- the stream ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("opened", "kind"),
    [
        (said({"detail": "Not Found"}, 404), NotFoundError),
        (page("<html>504</html>", 504), ServerError),
        (page("<html>Log in</html>", 200), ServiceBlockedError),
        (said({"neither": 1}), ProtocolError),
        (TransportFailure("connect", "refused"), APIConnectionError),
        (TransportFailure("broken", "reset"), APIConnectionError),
    ],
)
def test_if_the_stream_cannot_be_opened_the_join_is_cancelled(
    opened: Said | TransportFailure, kind: type
) -> None:
    played = play(gradio(), [PAGE, JOINED, opened])
    assert type(played.error) is kind
    assert played.cleanup is not None and played.cleanup.method == "POST"
    assert played.cleanup.url == f"{URL}/cancel"
    assert json.loads(played.cleanup.body or b"") == {
        "session_hash": "s1",
        "fn_index": 3,
        "event_id": "e1",
    }


def test_before_another_attempt_the_first_join_is_cancelled() -> None:
    script = [PAGE, JOINED, TransportFailure("broken", "reset"), said({"success": True})]
    played = play(
        gradio(), [*script, said({"event_id": "e2"}), answer("b", event="e2")], retry=THREE
    )
    assert played.text == "b" and played.attempts == 2
    assert played.paths[3] == "POST /cancel" and played.body(3)["event_id"] == "e1"
    assert isinstance(played.sent[3], Send) and played.sent[3].idle == 2.0


def test_leaving_early_cancels() -> None:
    cut = stream(generating("", [["Hi", "a"]]), generating("", [[["append", [0, 1], "b"]]]))
    played = play(gradio(), [PAGE, JOINED, cut], leave_after=1)
    assert played.events == [TextDelta("a")]
    assert played.cleanup is not None and json.loads(played.cleanup.body or b"")["event_id"] == "e1"


def test_an_end_without_the_end_mark_is_never_a_success() -> None:
    nothing = play(gradio(), [PAGE, JOINED, stream()])
    assert type(nothing.error) is APIConnectionError and nothing.error.retryable
    half = play(gradio(), [PAGE, JOINED, stream(generating("", [["Hi", "Hel"]]))])
    assert type(half.error) is StreamInterrupted and half.error.partial.text == "Hel"
    closed = stream(generating("", [["Hi", "Hel"]]), frame(msg="close_stream", event_id=None))
    assert type(play(gradio(), [PAGE, JOINED, closed]).error) is StreamInterrupted
    broken = stream(generating("", [["Hi", "Hel"]]), TransportFailure("broken", "reset"))
    assert type(play(gradio(), [PAGE, JOINED, broken]).error) is StreamInterrupted


def test_the_stream_is_left_at_our_own_end() -> None:
    """What stands behind it is not read as part of the answer, and `close_stream` is not waited for."""
    endless = stream(completed("", [["Hi", "a"]], "s") + generating("", [["Hi", "b"]]))
    played = play(gradio(), [PAGE, JOINED, endless])
    assert played.events == [TextDelta("a"), Finish("stop", response_id="e1")]
    assert played.steps.count("Read") == len([*PAGE.body, *JOINED.body]) + 2 + 1


def test_a_cancel_by_the_service_is_no_success() -> None:
    cancelled = frame(msg="process_completed", event_id="e1", output={}, success=True)
    shown = stream(generating("", [["Hi", "Hel"]]), cancelled)
    played = play(gradio(), [PAGE, JOINED, shown])
    assert type(played.error) is StreamInterrupted and "cancelled the answer" in str(played.error)
    assert played.error.partial.text == "Hel" and played.cleanup is None


def test_the_queue_and_notices_are_told_when_asked_for() -> None:
    news = [
        frame(msg="estimation", event_id="e1", rank=2, queue_size=3, rank_eta=1.5),
        frame(msg="heartbeat"),
        frame(msg="process_starts", event_id="e1", eta=1.0),
        frame(msg="log", event_id="e1", log="<b>slow</b> today", level="warning", title="Warning"),
        frame(msg="new_thing", event_id="e1", value=1),
    ]
    script = [PAGE, JOINED, stream(*news, *answer("a").body)]
    assert [type(e) for e in play(gradio(), script).events] == [TextDelta, Finish]
    told = play(gradio(), script, include_status=True, include_unknown=True).events
    assert told[:2] == [QueueStatus(2, 3, 1.5), Notice("slow today", "warning", "Warning")]
    assert isinstance(told[2], Unknown) and told[2].name == "new_thing"
    assert told[2].json()["value"] == 1


def test_heartbeats_do_not_move_the_first_event_limit() -> None:
    provider = gradio()
    chat = provider.prepare("Hi", None, {})
    exchange = exchange_for(provider)
    flow = exchange.turn(lambda: provider.attempt(chat, exchange))
    flow.send(None)
    replies = [PAGE.head, PAGE.body[0], b"", None, JOINED.head, JOINED.body[0], b"", None]
    steps = [
        flow.send(reply) for reply in [*replies, stream().head, None, *[frame(msg="heartbeat")] * 3]
    ]
    assert [getattr(step, "deadline", None) for step in steps[-4:]] == [120.0] * 4
    after = flow.send(generating("", [["Hi", "a"]]))
    assert after == [TextDelta("a")]
    assert getattr(flow.send(None), "deadline", "unset") is None
    flow.close()


def test_a_stream_of_another_type_of_page_is_not_shown_as_an_answer() -> None:
    odd = stream(generating("", "not a conversation"))
    provider = gradio()
    played = play(provider, [PAGE, JOINED, odd])
    assert type(played.error) is ProtocolError and "not a conversation" in played.error.frame
    assert play(provider, [PAGE, JOINED, answer("again")]).text == "again", (
        "the page was asked again"
    )


@pytest.mark.parametrize("kind", ["text/plain", "", "application/octet-stream"])
def test_a_stream_whose_name_was_lost_is_read(kind: str) -> None:
    played = play(gradio(), [PAGE, JOINED, Said(answer("a").body, 200, kind)])
    assert played.error is None and played.text == "a"
    odd = play(gradio(), [PAGE, JOINED, Said([b"data: {}\n\n"], 200, kind)])
    assert type(odd.error) is ProtocolError
    none = play(gradio(), [PAGE, JOINED, Said([b"hello"], 200, kind)])
    assert type(none.error) is APIConnectionError


def test_older_full_values_and_newer_edits() -> None:
    values = [[["Hi", "a"]], [["Hi", "ab"]], [["Hi", "b"]]]
    full = stream(*(generating("", value, "s") for value in values), completed("", values[-1], "s"))
    old = play(gradio(), [said(config(protocol="sse_v1")), JOINED, full])
    assert [getattr(e, "text", "") for e in old.events[:-1]] == ["a", "b", "b"] and old.text == "b"
    for protocol in ("sse_v2", "sse_v2.1", "sse_v3"):
        edits = stream(
            generating("", [["Hi", "a"]], "s"),
            generating([], [["append", [0, 1], "b"]], []),
            completed("", [["Hi", "ab"]], "s"),
        )
        new = play(gradio(), [said(config(protocol=protocol)), JOINED, edits])
        assert new.events[:2] == [TextDelta("a"), TextDelta("b")]


def test_a_page_of_6_gets_and_gives_content_parts() -> None:
    page6 = config(
        version="6.31.0",
        api_prefix="/gradio_api",
        components=[
            component(1, "textbox", value="S"),
            component(2, "radio", value="72B"),
            component(3, "textbox"),
            component(6, "chatbot"),
        ],
    )
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a"},
        {"role": "user", "content": "Hi"},
    ]
    shown = [{"role": "assistant", "content": [{"type": "text", "text": "yes"}]}]
    played = play(gradio(), [said(page6), JOINED, stream(completed("", shown, "S"))], messages)
    assert played.body(1)["data"][1] == [
        {"role": "user", "content": [{"type": "text", "text": "q"}]},
        {"role": "assistant", "content": [{"type": "text", "text": "a"}]},
    ]
    assert played.text == "yes"


# -- two turns at once ---------------------------------------------------------------------------------------


def test_a_page_that_another_turn_asked_for_is_left_alone() -> None:
    """While one turn waits for its join, another one finds the page outdated and asks for the new one."""
    provider = gradio()
    play(provider, [PAGE, JOINED, answer("first")])
    gone = said({"detail": "Not Found"}, 404)
    renewed = said(config(), 200, ("Set-Cookie", "at=new"))

    def meanwhile(late: Said) -> Iterator[Said]:
        assert play(provider, [gone, renewed, JOINED, answer("meanwhile")]).text == "meanwhile"
        yield late

    lagging = said({"event_id": "e1"}, 200, ("Set-Cookie", "at=old"))
    slow = play(provider, chain(meanwhile(lagging), [answer("slow")]))
    assert slow.text == "slow" and slow.requests[-1].headers["Cookie"] == "at=old"
    assert play(provider, [JOINED, answer("x")]).requests[0].headers["Cookie"] == "at=new"
    refused = play(provider, chain(meanwhile(said({"detail": "no"}, 400)), []))
    assert type(refused.error) is BadRequestError
    kept = play(provider, [JOINED, answer("kept")])
    assert kept.text == "kept", "the page of the other turn was not forgotten"


@pytest.mark.parametrize(
    ("host", "domain", "taken"),
    [
        ("app.space.example", "", True),
        ("app.space.example", "app.space.example", True),
        ("App.space.example", ".APP.space.example", True),
        ("app.space.example", "space.example", True),
        ("app.space.example", "other.example", False),
        ("app.space.example", "pp.space.example", False),
        ("app.space.example", "sub.app.space.example", False),
        ("127.0.0.1", "0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_a_cookie_for_a_domain_of_others_is_ignored(host: str, domain: str, taken: bool) -> None:
    header = f"a=b; Path=/; domain = {domain}" if domain else "a=b"
    cookies = cookies_after(Head.of(200, [("Set-Cookie", header)]), {}, host)
    assert cookies == ({"a": "b"} if taken else {})


def test_the_last_domain_of_a_cookie_counts() -> None:
    header = "a=b; Domain=other.example; Domain=space.example"
    assert cookies_after(Head.of(200, [("Set-Cookie", header)]), {}, "space.example") == {"a": "b"}


def test_the_oldest_cookies_are_forgotten() -> None:
    known: dict[str, str] = {}
    for number in range(120):
        head = Head.of(200, [("Set-Cookie", f"n{number}=v")])
        known = cookies_after(head, known, "space.example")
    assert list(known) == [f"n{number}" for number in range(70, 120)]
    longest = f"long={'v' * 4091}"
    assert "long" in cookies_after(Head.of(200, [("Set-Cookie", longest)]), {}, "h")
    assert cookies_after(Head.of(200, [("Set-Cookie", longest + "v")]), {}, "h") == {}
