"""One chat turn, with no network: retries, limits, what an end means, and what is told of it."""

from __future__ import annotations

import logging
import pickle
from typing import Any

import pytest

from glmclient import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    Finish,
    GLMError,
    LimitExceeded,
    Limits,
    ProtocolError,
    QueueStatus,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    StreamCancelled,
    StreamInterrupted,
    TextDelta,
    Timeout,
    TransportFailure,
)
from glmclient.core.exchange import (
    DRAIN_BYTES,
    DRAIN_SECONDS,
    FAREWELL_SECONDS,
    REFUSAL_SECONDS,
    Exchange,
    Flow,
    Read,
    Release,
    Send,
    Sleep,
)
from glmclient.core.http import Head, Request

from .flow import BROKEN, OK, REQUEST, Clock, Failing, Lines, Played, exchange, play

DRAINED = Release(DRAIN_BYTES, DRAIN_SECONDS)
CANCELLED = TransportFailure("cancelled")


def asked(of: Exchange, head: Head | None = None) -> Flow[None]:
    """A turn with a service that streams lines."""

    def attempt() -> Flow[None]:
        got = yield from of.send(REQUEST)
        if got.status != 200:
            body = yield from of.refused(got)
            raise APIStatusError(
                body.decode(), status_code=got.status, retryable=got.status != 400, retry_after=None
            )
        yield from of.stream(got, Lines())

    return of.turn(attempt)


def turned(of: Exchange, *replies: Any, **options: Any) -> Played:
    return play(of, asked(of), replies, **options)


# -- a good turn -------------------------------------------------------------------------------------------


def test_a_turn_sends_reads_and_gives_the_connection_back() -> None:
    of = exchange()
    played = turned(of, OK, b"one\ntw", b"o\nEND\n")
    assert played.events == [TextDelta("one"), TextDelta("two"), Finish("stop")]
    assert played.opened == 1
    assert played.sent == [REQUEST]
    assert played.steps[-1] == DRAINED
    assert played.error is None
    assert of.attempts == 1
    assert of.cleanup is None


def test_the_result_of_an_attempt_is_the_result_of_the_turn() -> None:
    of = exchange()

    def attempt() -> Flow[bytes]:
        head = yield from of.send(REQUEST)
        return (yield from of.body(head, 100))

    assert play(of, of.turn(attempt), [OK, b"ab", b"c", b""]).result == b"abc"


def test_an_end_that_completes_the_answer_is_an_end() -> None:
    played = turned(exchange(), OK, b"one\nLAST", b"")
    assert played.events == [TextDelta("one"), Finish("other")]
    assert played.error is None


def test_limits_are_handed_to_the_driver() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(connect=3, first_event=20, idle=7, total=None))
    played = turned(of, OK, b"one\n", b"END\n")
    send, first, second = played.steps[:3]
    assert send == Send(REQUEST, 3, 7, clock.now + 20, Limits().header)
    assert first == Read(clock.now + 20)
    assert second == Read(
        None
    )  # after the first event, only the idle limit is left: the driver has it


# -- what an end means -------------------------------------------------------------------------------------


def test_an_end_without_the_mark_is_never_a_success() -> None:
    of = exchange()
    played = turned(of, OK, b"one\ntw", b"")
    assert isinstance(played.error, StreamInterrupted)
    assert played.error.partial.text == "one"
    assert played.error.attempts == 1
    assert played.error.retryable
    assert "3 characters" in str(played.error)


def test_an_end_before_any_event_is_tried_again() -> None:
    of = exchange()
    played = turned(of, OK, b"", OK, b"tw", b"", OK, b"END\n")
    assert played.events == [Finish("stop", empty=True)]
    assert len(played.sent) == 3
    assert of.attempts == 3


def test_after_the_last_attempt_the_end_is_an_error() -> None:
    played = turned(exchange(retry=RetryPolicy(attempts=1)), OK, b"tw", b"")
    assert type(played.error) is APIConnectionError
    assert "(2 bytes came)" in str(played.error)
    assert played.error.partial.text == ""


def test_bytes_are_counted_for_each_attempt() -> None:
    played = turned(exchange(retry=RetryPolicy(attempts=2)), OK, b"12345", b"", OK, b"1", b"")
    assert "(1 bytes came)" in str(played.error)


def test_what_the_decoder_says_of_the_end_counts() -> None:
    played = turned(exchange(), OK, b"WRONG", b"")
    assert isinstance(played.error, ProtocolError)
    assert "ended wrongly" in str(played.error)


def test_events_before_a_bad_line_are_handed_over() -> None:
    played = turned(exchange(), OK, b"one\ntwo\nBAD\n")
    assert played.events == [TextDelta("one"), TextDelta("two")]
    assert isinstance(played.error, ProtocolError)
    assert played.error.partial.text == "onetwo"
    assert played.error.frame == "BAD"


# -- retries -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["connect", "proxy", "broken", "timeout", "connect_timeout"])
def test_a_failure_before_any_event_is_tried_again(kind: str) -> None:
    of = exchange()
    played = turned(of, TransportFailure(kind, "why"), OK, b"END\n")
    assert played.error is None
    assert played.slept == [0.5]  # half of one second: full jitter, and chance says 0.5
    assert [type(step) for step in played.steps[:4]] == [Send, Release, Sleep, Send]
    assert played.steps[1] == Release()  # nothing of a failed attempt is worth reading


@pytest.mark.parametrize("kind", ["tls", "proxy_refused", "garbage", "limit", "headers"])
def test_a_failure_that_would_come_again_is_not_tried_again(kind: str) -> None:
    played = turned(exchange(), TransportFailure(kind, "why"))
    assert isinstance(played.error, GLMError)
    assert not played.error.retryable
    assert played.error.attempts == 1
    assert played.slept == []


def test_delays_grow_and_the_last_failure_is_told() -> None:
    of = exchange(retry=RetryPolicy(attempts=4, base_delay=2, max_delay=5))
    played = turned(of, BROKEN, BROKEN, BROKEN, TransportFailure("connect", "the last"))
    assert played.slept == [1.0, 2.0, 2.5]
    assert type(played.error) is APIConnectionError
    assert "the last" in str(played.error)
    assert played.error.attempts == 4


@pytest.mark.parametrize("events", [b"one\n", b"QUEUE3\n", b"NOTICE\n"])
def test_nothing_is_tried_again_once_an_event_was_handed_over(events: bytes) -> None:
    played = turned(exchange(), OK, events, BROKEN)
    assert isinstance(played.error, StreamInterrupted)
    assert played.error.retryable  # by the user, who knows what was shown
    assert len(played.sent) == 1


def refusing(of: Exchange, *refusals: GLMError) -> Played:
    """A turn whose attempts are refused, and then succeed."""
    left = list(refusals)

    def attempt() -> Flow[str]:
        yield from of.send(REQUEST)
        if left:
            raise left.pop(0)
        return "done"

    return play(of, of.turn(attempt), [OK] * (len(refusals) + 1))


def test_a_refusal_says_how_long_to_wait() -> None:
    asked_for = RateLimitError("wait", status_code=429, retryable=True, retry_after=7.0)
    played = refusing(exchange(), asked_for)
    assert played.slept == [7.0]
    assert played.result == "done"


def test_a_refusal_that_is_final_is_final() -> None:
    of = exchange()
    left = [QuotaExceededError("no balance", status_code=429)]

    def attempt() -> Flow[None]:
        yield from of.send(REQUEST)
        raise left[0]

    played = play(of, of.turn(attempt), [OK])
    assert played.error is left[0]
    assert left[0].attempts == 1


def test_a_wait_that_would_pass_the_total_limit_is_not_begun() -> None:
    of = exchange(timeout=Timeout(total=5))
    refusal = RateLimitError("busy", status_code=429, retryable=True, retry_after=6.0)

    def attempt() -> Flow[None]:
        yield from of.send(REQUEST)
        raise refusal

    played = play(of, of.turn(attempt), [OK])
    assert played.error is refusal
    assert played.slept == []


def test_waits_count_inside_the_total_limit() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(total=10, first_event=100))
    played = turned(of, clock.later(8.0, BROKEN), clock.later(2.0, TIMEOUT))
    assert [send.deadline for send in played.of(Send)] == [1010.0, 1010.0]
    assert timed_out(played) == ("total", 10, 10.0)
    assert played.slept == [0.5]


def test_a_stale_connection_is_no_attempt() -> None:
    stale = TransportFailure("stale", "nothing came")
    of = exchange()
    played = turned(of, stale, OK, b"END\n")
    assert (played.error, of.attempts, played.slept) == (None, 1, [])
    assert [step.request for step in played.of(Send)] == [REQUEST, REQUEST]


def test_a_connection_that_is_stale_twice_is_broken() -> None:
    stale = TransportFailure("stale", "nothing came")
    played = turned(exchange(retry=ONCE), stale, stale)
    assert type(played.error) is APIConnectionError
    assert "broke before any event: nothing came" in str(played.error)


def test_a_wait_that_is_too_long_is_not_begun() -> None:
    refusal = RateLimitError("busy", status_code=429, retryable=True, retry_after=3600.0)
    of = exchange()

    def attempt() -> Flow[None]:
        yield from of.send(REQUEST)
        raise refusal

    played = play(of, of.turn(attempt), [OK])
    assert played.error is refusal
    assert (played.slept, of.attempts) == ([], 1)


# -- time limits -------------------------------------------------------------------------------------------


def timed_out(played: Played) -> tuple[str, float | None, float | None]:
    assert isinstance(played.error, APITimeoutError)
    return played.error.limit, played.error.seconds, played.error.elapsed


ONCE = RetryPolicy(attempts=1)
TIMEOUT = TransportFailure("timeout", "the deadline passed")


def test_the_connect_limit() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(connect=3), retry=ONCE)
    failure = TransportFailure("connect_timeout", "no connection")
    assert timed_out(turned(of, clock.later(3.0, failure))) == ("connect", 3, 3.0)


def test_the_first_event_limit_is_passed_while_bytes_come() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(first_event=20), retry=ONCE)
    played = turned(of, OK, clock.later(19, b"tw"), clock.later(1, TIMEOUT))
    assert timed_out(played) == ("first_event", 20, 20.0)
    assert "no event had come, in 2 bytes" in str(played.error)


@pytest.mark.parametrize("news", [b"QUEUE3\n", b"NOTICE\n"])
def test_news_from_the_queue_is_no_first_event(news: bytes) -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(first_event=20), retry=ONCE)
    played = turned(of, OK, clock.later(5, news), clock.later(15, TIMEOUT))
    assert played.of(Read)[1].deadline == 1020.0
    assert timed_out(played) == ("first_event", 20, 20.0)


def test_the_first_event_is_due_anew_in_each_attempt() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(first_event=20))
    played = turned(of, clock.later(20, TIMEOUT), OK, b"END\n")
    assert [send.deadline for send in played.of(Send)] == [1020.0, 1040.0]
    assert played.error is None


def test_the_idle_limit() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(first_event=20, idle=30))
    played = turned(of, OK, b"one\n", clock.later(30, TIMEOUT))
    assert timed_out(played) == ("idle", 30, 30.0)
    assert played.error is not None
    assert played.error.partial.text == "one"  # type: ignore[attr-defined]


def test_the_idle_limit_before_the_first_event() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(first_event=None, idle=4), retry=ONCE)
    assert timed_out(turned(of, clock.later(4, TIMEOUT))) == ("idle", 4, 4.0)


def test_the_total_limit_governs_every_step() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(first_event=20, total=50))
    played = turned(of, OK, clock.later(10, b"one\n"), clock.later(40, TIMEOUT))
    assert [read.deadline for read in played.of(Read)] == [1020.0, 1050.0]
    assert timed_out(played) == ("total", 50, 50.0)
    assert not played.error.retryable  # type: ignore[union-attr]


def test_a_timer_that_fires_a_little_early_still_names_its_limit() -> None:
    clock = Clock()
    of = exchange(clock, timeout=Timeout(first_event=20, idle=300), retry=ONCE)
    assert timed_out(turned(of, clock.later(19.99, TIMEOUT)))[0] == "first_event"


def test_no_limits_at_all() -> None:
    of = exchange(timeout=Timeout.of(None))
    played = turned(of, OK, b"END\n")
    assert played.steps[:2] == [Send(REQUEST, None, None, None, Limits().header), Read(None)]


# -- cancelling and leaving --------------------------------------------------------------------------------


def test_a_cancelled_step_is_told_as_such_and_never_tried_again() -> None:
    of = exchange()
    played = turned(of, OK, b"one\n", CANCELLED)
    assert isinstance(played.error, StreamCancelled)
    assert played.error.partial.text == "one"
    assert isinstance(played.error.__cause__, TransportFailure)


def test_a_cancelled_wait_between_attempts_is_told_as_such() -> None:
    played = turned(exchange(), BROKEN, Failing(Sleep, CANCELLED))
    assert isinstance(played.error, StreamCancelled)
    assert played.error.attempts == 1


def test_a_cancel_while_a_refusal_is_read_is_a_cancel() -> None:
    played = turned(exchange(), Head(500), CANCELLED)
    assert isinstance(played.error, StreamCancelled)


def with_cleanup(of: Exchange) -> Flow[None]:
    farewell = Request("POST", "https://service.example/cancel")

    def attempt() -> Flow[None]:
        head = yield from of.send(REQUEST)
        of.cleanup = farewell
        yield from of.stream(head, Lines())

    return of.turn(attempt)


def test_before_another_attempt_the_service_is_told() -> None:
    clock = Clock()
    of = exchange(clock)
    played = play(of, with_cleanup(of), [OK, BROKEN, OK, OK, b"END\n"])
    assert [request.url for request in played.sent] == [
        "https://service.example/chat",
        "https://service.example/cancel",
        "https://service.example/chat",
    ]
    send = played.of(Send)[1]
    assert (send.connect, send.idle) == (FAREWELL_SECONDS, FAREWELL_SECONDS)
    assert send.deadline == clock.now + FAREWELL_SECONDS
    assert played.error is None
    assert of.cleanup is None  # the answer is whole: nobody is left to be told


def test_a_service_that_cannot_be_told_does_not_stop_the_next_attempt() -> None:
    of = exchange()
    played = play(of, with_cleanup(of), [OK, BROKEN, BROKEN, OK, b"END\n"])
    assert played.error is None
    assert len(played.sent) == 3


def test_a_cancel_while_the_service_is_told_is_a_cancel() -> None:
    of = exchange()
    played = play(of, with_cleanup(of), [OK, BROKEN, CANCELLED])
    assert isinstance(played.error, StreamCancelled)


def test_who_leaves_is_given_what_tells_the_service() -> None:
    of = exchange()
    play(of, with_cleanup(of), [OK, b"one\n"], stop_after=1)
    request = of.left()
    assert request is not None
    assert request.url == "https://service.example/cancel"
    assert of.left() is None  # once


# -- refusals and bodies -----------------------------------------------------------------------------------


def test_the_body_of_a_refusal_is_read_within_bounds() -> None:
    clock = Clock()
    of = exchange(clock, limits=Limits(error_body=10), retry=ONCE)
    played = turned(of, Head(503), b"12345", b"6789012345")
    assert str(played.error) == "1234567890"
    assert all(read.deadline == clock.now + REFUSAL_SECONDS for read in played.of(Read))
    assert played.steps[-1] == DRAINED


@pytest.mark.parametrize("end", [BROKEN, TIMEOUT])
def test_a_refusal_that_breaks_off_keeps_what_came(end: TransportFailure) -> None:
    played = turned(exchange(retry=ONCE), Head(503), b"Service Unav", end)
    assert isinstance(played.error, APIStatusError)
    assert str(played.error) == "Service Unav"


def test_a_refusal_whose_coding_is_unknown_is_still_the_refusal() -> None:
    head = Head(503, {"content-encoding": "br"})
    played = turned(exchange(retry=ONCE), head)
    assert isinstance(played.error, APIStatusError)
    assert played.error.status_code == 503


def fetched(of: Exchange, head: Head, bound: int, *replies: Any, **options: Any) -> Played:
    def attempt() -> Flow[bytes]:
        got = yield from of.send(REQUEST)
        return (yield from of.body(got, bound, **options))

    return play(of, of.turn(attempt), [head, *replies])


def test_a_body_beyond_its_bound_is_an_error_with_both_numbers() -> None:
    played = fetched(exchange(), Head(200), 4, b"123", b"45")
    assert isinstance(played.error, LimitExceeded)
    assert (played.error.limit, played.error.maximum, played.error.actual) == ("body", 4, 5)
    assert "4 bytes (5 received)" in str(played.error)


def test_a_body_of_just_its_bound_is_none() -> None:
    assert fetched(exchange(), Head(200), 5, b"123", b"45", b"").result == b"12345"


def test_a_body_may_be_cut_instead() -> None:
    assert fetched(exchange(), Head(200), 4, b"123", b"45", strict=False).result == b"1234"


def test_a_compressed_body_that_is_cut_is_an_error() -> None:
    import gzip

    head = Head(200, {"content-encoding": "gzip"})
    data = gzip.compress(b'{"data": []}')
    assert fetched(exchange(), head, 100, data, b"").result == b'{"data": []}'
    played = fetched(exchange(), head, 100, data[:-4], b"")
    assert isinstance(played.error, ProtocolError)
    played = fetched(exchange(), head, 100, data[:-8] + b"\xff" * 8)
    assert isinstance(played.error, ProtocolError)
    assert "corrupt" in str(played.error)


def test_a_refusal_whose_coding_goes_bad_keeps_what_came() -> None:
    import gzip

    head = Head(503, {"content-encoding": "gzip"})
    data = gzip.compress(b"Service Unavailable")[:-8] + b"\xff" * 8
    played = turned(exchange(retry=ONCE), head, data)
    assert isinstance(played.error, APIStatusError)
    assert str(played.error) == "Service Unavailable"


def test_a_stream_that_goes_bad_after_its_end_mark_is_whole() -> None:
    import gzip

    data = gzip.compress(b"a\nEND\n")[:-8] + b"\xff" * 8
    played = turned(exchange(), Head(200, {"content-encoding": "gzip"}), data)
    assert played.error is None
    assert played.events == [TextDelta("a"), Finish("stop")]


def test_a_stream_in_a_coding_that_was_not_asked_for() -> None:
    played = turned(exchange(), Head(200, {"content-encoding": "br"}))
    assert isinstance(played.error, ProtocolError)
    assert played.opened == 0


# -- bounds ------------------------------------------------------------------------------------------------


def test_a_read_may_not_bring_more_events_than_the_bound() -> None:
    of = exchange(limits=Limits(events=2))
    played = turned(of, OK, b"a\nb\nc\nEND\n")
    assert played.events == [TextDelta("a"), TextDelta("b")]
    assert isinstance(played.error, LimitExceeded)
    assert (played.error.limit, played.error.maximum, played.error.actual) == ("events", 2, 4)
    assert played.error.partial.text == "ab"


def test_a_head_beyond_its_bytes() -> None:
    head = Head.of(200, [("X-Long", "v" * 90)])
    of = exchange(limits=Limits(header=99))
    played = turned(of, head)
    assert isinstance(played.error, LimitExceeded)
    assert (played.error.limit, played.error.maximum, played.error.actual) == ("header", 99, 100)
    assert "99 bytes (100 bytes)" in str(played.error)
    assert turned(exchange(limits=Limits(header=100)), head, b"END\n").error is None


def test_a_head_beyond_its_fields() -> None:
    head = Head.of(200, [("Set-Cookie", f"c{i}=1") for i in range(3)])
    played = turned(exchange(limits=Limits(headers=2)), head)
    assert isinstance(played.error, LimitExceeded)
    assert (played.error.limit, played.error.maximum, played.error.actual) == ("headers", 2, 3)


@pytest.mark.parametrize(
    ("kind", "limit", "maximum"), [("limit", "header", 64 * 1024), ("headers", "headers", 100)]
)
def test_bounds_that_a_library_reports(kind: str, limit: str, maximum: int) -> None:
    played = turned(exchange(), TransportFailure(kind, "it does not end"))
    assert isinstance(played.error, LimitExceeded)
    assert (played.error.limit, played.error.maximum) == (limit, maximum)
    assert played.error.actual > maximum
    assert f"more than {maximum}" in str(played.error)
    assert "the head of the response" in str(played.error)


def test_framing_of_the_body_that_does_not_end() -> None:
    played = turned(exchange(), OK, TransportFailure("limit", "it does not end"))
    assert "the framing of the body" in str(played.error)


# -- what errors say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        ("connect", "could not connect: why"),
        ("tls", "verify='ca.pem'"),
        ("proxy", "Check proxy="),
        ("proxy_refused", "with user and password"),
        ("broken", "broke before any event: why"),
        ("garbage", "not HTTP (why); no answer had come"),
    ],
)
def test_every_failure_says_what_to_do(kind: str, advice: str) -> None:
    played = turned(exchange(retry=ONCE), TransportFailure(kind, "why"))
    assert advice in str(played.error)
    assert isinstance(played.error, ProtocolError if kind == "garbage" else APIConnectionError)


def test_a_proxy_that_wants_a_password_is_no_answer_of_the_service() -> None:
    played = turned(exchange(), Head(407, {"proxy-authenticate": "Basic"}))
    assert type(played.error) is APIConnectionError
    assert not played.error.retryable
    assert "407" in str(played.error)


def test_the_request_id_is_the_service_s_own_of_the_last_attempt() -> None:
    heads = [Head(500, {"x-request-id": name}) for name in ("first", "second")]
    of = exchange(retry=RetryPolicy(attempts=2))
    played = turned(of, heads[0], b"", heads[1], b"")
    assert isinstance(played.error, APIStatusError)
    assert played.error.request_id == "second"


def test_causes_are_plain_and_hold_nothing_of_the_library() -> None:
    failure = TransportFailure("broken", "why")
    try:
        try:
            raise OSError("the library's own")
        except OSError:
            raise failure  # noqa: B904 - what a driver's exception would bring along
    except TransportFailure:
        pass
    assert failure.__context__ is not None
    played = turned(exchange(retry=ONCE), failure)
    assert played.error is not None
    assert played.error.__cause__ is failure
    assert failure.__context__ is None
    assert failure.__cause__ is None
    copy = pickle.loads(pickle.dumps(played.error))
    assert str(copy) == str(played.error)


# -- secrets -----------------------------------------------------------------------------------------------

KEY = "sk-canary-0123456789"


def secretly(of: Exchange, failing: Any) -> Played:
    request = Request(
        "POST",
        "https://service.example/chat",
        {
            "Authorization": f"Bearer {KEY}",
            "Cookie": "a=1; session=cookie-canary-456; b",
            "X-Plain": "not-a-secret-0123",
        },
    )

    def attempt() -> Flow[None]:
        head = yield from of.send(request)
        raise failing(head)

    return play(of, of.turn(attempt), [OK])


def test_a_service_that_repeats_the_key_does_not_betray_it() -> None:
    def refusal(head: Head) -> GLMError:
        return RateLimitError(
            f"Key {KEY} is over its limit",
            status_code=429,
            reason=f"Key {KEY}",
            body=f'{{"key": "{KEY}", "cookie": "cookie-canary-456", "x": "not-a-secret-0123"}}',
            code=KEY,
        )

    error = secretly(exchange(), refusal).error
    assert isinstance(error, RateLimitError)
    shown = repr([str(error), error.args, vars(error)])
    assert "canary" not in shown
    assert "not-a-secret-0123" in shown
    assert str(error) == "Key *** is over its limit"


def test_a_library_that_repeats_the_key_does_not_betray_it() -> None:
    of = exchange(retry=ONCE)
    request = Request("POST", "https://service.example/", {"X-API-Key": KEY})

    def attempt() -> Flow[None]:
        yield from of.send(request)

    failure = TransportFailure("broken", f"illegal header {KEY!r}")
    played = play(of, of.turn(attempt), [failure])
    assert played.error is not None
    assert KEY not in repr([played.error, played.error.__cause__, failure.detail, failure.args])


# -- logging -----------------------------------------------------------------------------------------------


def test_the_log_says_what_happened_and_how_long_it_took(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "glmclient")
    clock = Clock()
    of = exchange(clock)
    turned(
        of,
        clock.later(1, BROKEN),
        clock.later(2, OK),
        clock.later(0.5, b"secret words\n"),
        b"END\n",
    )
    of.left()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        "APIConnectionError in attempt 1; again in 0.500 s",
        "https://service.example answered 200 after 3.000 s",
        "the answer began after 3.500 s",
        "ended after 3.500 s, attempt 2",
        "left after 3.500 s, attempt 2",
    ]
    assert all(record.levelno < logging.WARNING for record in caplog.records)


def test_the_log_tells_of_the_last_failure(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "glmclient")
    turned(exchange(retry=ONCE), BROKEN)
    assert [record.getMessage() for record in caplog.records] == [
        "APIConnectionError after 0.000 s, attempt 1"
    ]


def test_queue_news_alone_does_not_begin_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "glmclient")
    played = turned(exchange(), OK, b"QUEUE1\n", b"one\n", b"END\n")
    assert played.events[0] == QueueStatus(1, 9)
    assert sum("began" in record.getMessage() for record in caplog.records) == 1
