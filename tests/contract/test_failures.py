"""Connections that fail, limits that pass, attempts that are counted: one class for each, with all it promises."""

from __future__ import annotations

import gzip
import pickle
import socket
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from email.utils import format_datetime
from typing import Any

import pytest

from glmclient import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    Finish,
    GLMError,
    LimitExceeded,
    Limits,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    RetryPolicy,
    ServerError,
    StreamInterrupted,
    TextDelta,
    Timeout,
)

from .flavours import Flavour
from .frames import HI, chunk, data, glm, said, snapshots, text
from .loopback import PATIENCE, Answering, Server, answer, closed_stream, stream

Serve = Callable[..., Server]

ONCE = RetryPolicy(attempts=1)
QUICK = RetryPolicy(attempts=3, base_delay=0.01, max_delay=0.05)
WORD = glm("init", text("some text"))


def silent(answering: Answering) -> None:
    answering.gone()


def cut(answering: Answering) -> None:
    """The head came, an event came, and the connection breaks inside a chunk."""
    answering.head()
    answering.chunk(WORD)
    answering.send(b"400\r\ndata: {")
    answering.close()


def reset(answering: Answering) -> None:
    answering.reset()


def trickle(answering: Answering, piece: bytes) -> None:
    """Send a piece every now and then, until the peer leaves."""
    stop = threading.Event()

    def send() -> None:
        while not stop.wait(0.02):
            try:
                answering.send(piece)
            except OSError:
                return

    thread = threading.Thread(target=send, daemon=True)
    thread.start()
    answering.gone()
    stop.set()
    thread.join(PATIENCE)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# -- connecting ------------------------------------------------------------------------------------


def test_nobody_listens(client: Flavour) -> None:
    port = free_port()
    with pytest.raises(APIConnectionError) as caught:
        client(base_url=f"http://127.0.0.1:{port}", retry=QUICK).chat()
    error = caught.value
    assert not isinstance(error, APITimeoutError)
    assert (error.partial.text, error.attempts, error.retryable) == ("", 3, True)
    assert f"127.0.0.1:{port}" in str(error)


def test_no_such_host(client: Flavour) -> None:
    with pytest.raises(APIConnectionError) as caught:
        client(base_url="http://nobody.invalid", retry=ONCE).chat()
    assert caught.value.attempts == 1


def test_tls_against_a_plain_server(client: Flavour, serve: Serve) -> None:
    # A TLS greeting is no request: the server answers it by leaving.
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def hang_up() -> None:
            for _ in range(1):
                connection, _address = listener.accept()
                connection.recv(1)
                connection.close()

        thread = threading.Thread(target=hang_up, daemon=True)
        thread.start()
        port = listener.getsockname()[1]
        with pytest.raises(APIConnectionError) as caught:
            client(base_url=f"https://127.0.0.1:{port}", retry=ONCE).chat()
        thread.join(PATIENCE)
    assert caught.value.partial.text == ""


def test_reset_before_the_head(client: Flavour, serve: Serve) -> None:
    server = serve(reset)
    with pytest.raises(APIConnectionError) as caught:
        client(base_url=server.url, retry=QUICK).chat()
    assert (caught.value.attempts, len(server.requests)) == (3, 3)


def test_closed_before_the_head(client: Flavour, serve: Serve) -> None:
    server = serve(lambda answering: answering.close())
    with pytest.raises(APIConnectionError) as caught:
        client(base_url=server.url, retry=QUICK).chat()
    assert (caught.value.attempts, len(server.requests)) == (3, 3)
    assert caught.value.partial.text == ""


def test_a_connection_that_works_the_second_time(client: Flavour, serve: Serve) -> None:
    server = serve(reset, answer(503, "down", kind="text/plain"), stream(*HI))
    reading = client(base_url=server.url, retry=QUICK).stream()
    assert [type(each) for each in reading.collect()] == [TextDelta, Finish]
    assert len(server.requests) == 3
    bodies = {each.body for each in server.requests}
    assert len(bodies) == 1


# -- breaking --------------------------------------------------------------------------------------


def test_broken_after_events(client: Flavour, serve: Serve) -> None:
    server = serve(cut)
    events: list[Any] = []
    reading = client(base_url=server.url, retry=QUICK).stream()
    with pytest.raises(StreamInterrupted) as caught:
        reading.collect(events)
    error = caught.value
    assert events == [TextDelta("some text")]
    assert error.partial.text == reading.text == "some text"
    assert error.__cause__ is not None
    assert (error.attempts, len(server.requests)) == (1, 1)


def test_reset_after_events(client: Flavour, serve: Serve) -> None:
    taken = threading.Event()

    def script(answering: Answering) -> None:
        answering.head()
        answering.chunk(WORD)
        assert taken.wait(PATIENCE)
        answering.reset()

    server = serve(script)
    reading = client(base_url=server.url, retry=QUICK).stream()
    assert reading.next() == TextDelta("some text")
    taken.set()
    with pytest.raises(StreamInterrupted) as caught:
        reading.collect()
    assert caught.value.__cause__ is not None
    assert len(server.requests) == 1


@pytest.mark.parametrize("service", ["chatglm", "openai"])
def test_cut_at_every_byte_is_never_a_success(client: Flavour, serve: Serve, service: str) -> None:
    frames = {"chatglm": snapshots("你好👋", 1), "openai": [chunk(said("你好👋"))] * 3}[service]
    whole = b"".join(frames)
    step = 1 if client.name == "sync" else 7
    cuts = list(range(len(frames[0]), len(whole) - 2 if service == "chatglm" else len(whole), step))
    server = serve(*[closed_stream(whole[:at]) for at in cuts])
    asking = client(service, base_url=server.url, model="glm-4", retry=ONCE)
    for at in cuts:
        reading = asking.stream()
        events: list[Any] = []
        with pytest.raises(StreamInterrupted) as caught:
            reading.collect(events)
        told = "".join(each.text for each in events)
        assert caught.value.partial.text == reading.text == told
        assert "你好👋".startswith(told) or told in ("你好👋" * 2, "你好👋" * 3), at
    assert len(server.requests) == len(cuts)


def test_a_break_before_any_event_is_a_connection_error_and_tried_again(
    client: Flavour, serve: Serve
) -> None:
    server = serve(closed_stream(glm("init")), closed_stream(b"data: {"), stream(*HI))
    assert client(base_url=server.url, retry=QUICK).chat().text == "hi"
    assert len(server.requests) == 3


def test_the_class_of_a_break_before_any_event(client: Flavour, serve: Serve) -> None:
    server = serve(closed_stream(glm("init"), b"data: {"))
    with pytest.raises(APIConnectionError) as caught:
        client(base_url=server.url, retry=ONCE).chat()
    assert not isinstance(caught.value, APITimeoutError)
    assert caught.value.partial.text == ""


# -- limits ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", ["request", "head", "comments", "empty"])
def test_first_event(client: Flavour, serve: Serve, after: str) -> None:
    def script(answering: Answering) -> None:
        if after != "request":
            answering.head()
        if after == "empty":
            answering.chunk(glm("init"))
        stop = threading.Event()
        if after == "comments":

            def trickle() -> None:
                while not stop.wait(0.02):
                    try:
                        answering.chunk(b": still there\n\n")
                    except OSError:
                        return

            thread = threading.Thread(target=trickle, daemon=True)
            thread.start()
        answering.gone()
        stop.set()

    server = serve(script)
    asking = client(base_url=server.url, timeout=Timeout(first_event=0.2), retry=ONCE)
    with pytest.raises(APITimeoutError) as caught:
        asking.chat()
    error = caught.value
    assert isinstance(error, APIConnectionError)
    assert error.limit == "first_event"
    assert "first_event" in str(error)
    assert (error.partial.text, error.attempts) == ("", 1)


def test_idle(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        answering.chunk(WORD)
        answering.gone()

    server = serve(script)
    asking = client(base_url=server.url, timeout=Timeout(idle=0.2), retry=QUICK)
    events: list[Any] = []
    with pytest.raises(APITimeoutError) as caught:
        asking.stream().collect(events)
    assert caught.value.limit == "idle"
    assert events == [TextDelta("some text")]
    assert caught.value.partial.text == "some text"
    assert (caught.value.attempts, len(server.requests)) == (1, 1)


@pytest.mark.parametrize("what", ["bytes", "frames"])
@pytest.mark.parametrize("given", [Timeout(total=0.4), 0.4])
def test_total_under_a_trickle(client: Flavour, serve: Serve, given: Any, what: str) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        answering.chunk(WORD)
        stop = threading.Event()

        def trickle() -> None:
            said = "some text"
            while not stop.wait(0.02):
                said += "."
                try:
                    answering.chunk(b":" if what == "bytes" else glm("init", text(said)))
                except OSError:
                    return

        thread = threading.Thread(target=trickle, daemon=True)
        thread.start()
        answering.gone()
        stop.set()
        thread.join(PATIENCE)

    server = serve(script)
    reading = client(base_url=server.url, timeout=given).stream()
    with pytest.raises(APITimeoutError) as caught:
        reading.collect()
    assert caught.value.limit == "total"
    assert caught.value.partial.text == reading.text
    assert reading.text.startswith("some text")
    assert len(server.requests) == 1


def test_total_of_one_question(client: Flavour, serve: Serve) -> None:
    server = serve(silent)
    with pytest.raises(APITimeoutError) as caught:
        client(base_url=server.url).chat(timeout=0.2)
    assert caught.value.limit == "total"
    assert caught.value.retryable is False


def test_total_holds_while_waiting_to_try_again(client: Flavour, serve: Serve) -> None:
    server = serve(answer(503, "down", kind="text/plain"))
    retry = RetryPolicy(attempts=50, base_delay=0.05, max_delay=0.1)
    with pytest.raises(GLMError) as caught:
        client(base_url=server.url, timeout=Timeout(total=0.4), retry=retry).chat()
    assert isinstance(caught.value, (APITimeoutError, ServerError))
    # The last attempt may end before its request goes out.
    assert 0 <= caught.value.attempts - len(server.requests) <= 1
    assert caught.value.attempts < 50


def test_a_first_event_that_is_late_is_tried_again(client: Flavour, serve: Serve) -> None:
    server = serve(silent, stream(*HI))
    timeout = Timeout(first_event=0.2)
    assert client(base_url=server.url, timeout=timeout, retry=QUICK).chat().text == "hi"
    assert len(server.requests) == 2


def test_connect(client: Flavour, stack: ExitStack) -> None:
    # A listener that accepts nothing and whose queue is full lets nobody connect.
    listener = stack.enter_context(socket.socket())
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    address = listener.getsockname()
    for _ in range(3):
        waiting = stack.enter_context(socket.socket())
        waiting.setblocking(False)
        waiting.connect_ex(address)
    asking = client(
        base_url=f"http://127.0.0.1:{address[1]}", timeout=Timeout(connect=0.3), retry=ONCE
    )
    with pytest.raises(APITimeoutError) as caught:
        asking.chat()
    assert caught.value.limit == "connect"
    assert caught.value.attempts == 1


@pytest.mark.parametrize("limit", ["first_event", "total"])
def test_a_head_that_trickles(client: Flavour, serve: Serve, limit: str) -> None:
    def script(answering: Answering) -> None:
        answering.send(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        trickle(answering, b"x")

    server = serve(script)
    asking = client(base_url=server.url, timeout=Timeout(**{limit: 0.3}), retry=ONCE)
    with pytest.raises(APITimeoutError) as caught:
        asking.chat()
    assert caught.value.limit == limit


def test_the_size_of_a_chunk_that_trickles(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        answering.chunk(WORD)
        answering.send(b"1;")
        trickle(answering, b"x")

    server = serve(script)
    with pytest.raises(APITimeoutError) as caught:
        client(base_url=server.url, timeout=Timeout(total=0.3), retry=ONCE).chat()
    assert caught.value.limit == "total"
    assert caught.value.partial.text == "some text"


def test_the_body_of_a_refusal_that_trickles(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head(401, "application/json", length=1000)
        trickle(answering, b" ")

    server = serve(script)
    with pytest.raises(GLMError) as caught:
        client(base_url=server.url, timeout=Timeout(total=0.3), retry=ONCE).chat()
    assert isinstance(caught.value, (APITimeoutError, AuthenticationError))


def test_tls_that_does_not_answer(client: Flavour, stack: ExitStack) -> None:
    listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    for limit in ("connect", "total"):
        with pytest.raises(APITimeoutError) as caught:
            client(base_url=url, timeout=Timeout(**{limit: 0.3}), retry=ONCE).chat()
        assert caught.value.limit == limit


def test_each_step_of_a_space_is_limited(client: Flavour, serve: Serve) -> None:
    from .space import Space, turn

    for step in ("config", "join", "stream"):
        space = Space(turn("hi"))
        setattr(space, step, silent)
        asking = client(
            "qwen", base_url=serve(space).url, timeout=Timeout(first_event=0.2), retry=ONCE
        )
        with pytest.raises(APITimeoutError) as caught:
            asking.chat()
        assert caught.value.limit == "first_event", step


def test_news_of_the_queue_is_no_first_event(client: Flavour, serve: Serve) -> None:
    from .space import Space, message

    def waiting(answering: Answering) -> None:
        answering.head()
        estimation = message("estimation", rank=3, queue_size=5, rank_eta=9.0)
        trickle(answering, b"%x\r\n%s\r\n" % (len(estimation), estimation))

    timeout = Timeout(first_event=0.3)
    asking = client("qwen", base_url=serve(Space(waiting)).url, timeout=timeout, retry=ONCE)
    for status in (False, True):
        with pytest.raises(APITimeoutError) as caught:
            asking.stream("hi", include_status=status).collect()
        assert caught.value.limit == "first_event"


def test_no_limit(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*HI))
    none = Timeout(connect=None, first_event=None, idle=None, total=None)
    assert client(base_url=server.url, timeout=none).chat().text == "hi"
    assert client(base_url=server.url, timeout=None).chat().text == "hi"


def test_the_defaults_are_the_documented_ones() -> None:
    limits = Timeout()
    assert (limits.connect, limits.first_event, limits.idle, limits.total) == (10, 120, 300, None)
    policy = RetryPolicy()
    assert (policy.attempts, policy.base_delay, policy.max_delay) == (3, 0.5, 30.0)


# -- attempts --------------------------------------------------------------------------------------


@pytest.mark.parametrize("attempts", [1, 2, 4])
def test_attempts_count_the_first(client: Flavour, serve: Serve, attempts: int) -> None:
    server = serve(answer(503, {"message": "down"}))
    retry = RetryPolicy(attempts=attempts, base_delay=0.01)
    with pytest.raises(ServerError) as caught:
        client(base_url=server.url, retry=retry).chat()
    assert caught.value.attempts == len(server.requests) == attempts
    assert caught.value.retryable is True


@pytest.mark.parametrize("status", [400, 401, 403, 404, 422])
def test_what_is_wrong_stays_wrong(client: Flavour, serve: Serve, status: int) -> None:
    server = serve(answer(status, {"message": "no"}))
    with pytest.raises(APIStatusError) as caught:
        client(base_url=server.url, retry=QUICK).chat()
    assert (caught.value.attempts, len(server.requests)) == (1, 1)
    assert (caught.value.status_code, caught.value.retryable) == (status, False)


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504, 529])
@pytest.mark.parametrize("service", ["chatglm", "openai"])
def test_what_may_get_better_is_tried_again(
    client: Flavour, serve: Serve, status: int, service: str
) -> None:
    good = (
        stream(*HI)
        if service == "chatglm"
        else stream(chunk(said("hi"), "stop"), b"data: [DONE]\n\n")
    )
    server = serve(answer(status, {"message": "later"}), good)
    asking = client(service, base_url=server.url, model="glm-4", retry=QUICK)
    assert asking.chat().text == "hi"
    assert len(server.requests) == 2


def test_no_policy_is_one_attempt(client: Flavour, serve: Serve) -> None:
    server = serve(answer(503, {"message": "down"}))
    with pytest.raises(ServerError):
        client(base_url=server.url, retry=None).chat()
    assert len(server.requests) == 1


def test_a_policy_of_one_question(client: Flavour, serve: Serve) -> None:
    server = serve(answer(503, {"message": "down"}))
    with pytest.raises(ServerError):
        client(base_url=server.url).chat(retry=ONCE)
    assert len(server.requests) == 1


@pytest.mark.parametrize("when", ["0", "0.01", "date"])
def test_retry_after_is_honoured(client: Flavour, serve: Serve, when: str) -> None:
    from datetime import datetime, timezone

    if when == "date":
        when = format_datetime(datetime(2001, 1, 1, tzinfo=timezone.utc), usegmt=True)
    server = serve(answer(429, {"message": "slow"}, f"Retry-After: {when}"), stream(*HI))
    # Without it, the wait would be much longer than our patience.
    retry = RetryPolicy(attempts=2, base_delay=0.0, max_delay=0.02)
    assert client(base_url=server.url, retry=retry).chat().text == "hi"
    assert len(server.requests) == 2


def test_retry_after_is_waited_for(client: Flavour, serve: Serve) -> None:
    server = serve(answer(429, {"message": "slow"}, "Retry-After: 1"), stream(*HI))
    began = time.monotonic()
    assert client(base_url=server.url, retry=QUICK).chat().text == "hi"
    assert time.monotonic() - began >= 0.99
    assert len(server.requests) == 2


def test_retry_after_is_on_the_error(client: Flavour, serve: Serve) -> None:
    server = serve(answer(429, {"message": "slow"}, "Retry-After: 17"))
    with pytest.raises(RateLimitError) as caught:
        client(base_url=server.url, retry=ONCE).chat()
    assert caught.value.retry_after == 17
    server = serve(answer(400, {"message": "bad"}))
    with pytest.raises(BadRequestError) as other:
        client(base_url=server.url, retry=ONCE).chat()
    assert other.value.retry_after is None


def test_a_retry_after_beyond_the_total_limit_fails_now(client: Flavour, serve: Serve) -> None:
    server = serve(answer(429, {"message": "slow"}, "Retry-After: 20"))
    with pytest.raises(GLMError) as caught:
        client(base_url=server.url, timeout=Timeout(total=5)).chat()
    assert isinstance(caught.value, (RateLimitError, APITimeoutError))
    assert len(server.requests) == 1


def test_quota_is_never_tried_again(client: Flavour, serve: Serve) -> None:
    body = {"error": {"code": "1113", "message": "Insufficient balance or no resource package."}}
    server = serve(answer(429, body))
    with pytest.raises(QuotaExceededError) as caught:
        client("zai", api_key="k", base_url=server.url, retry=QUICK).chat()
    assert (caught.value.attempts, len(server.requests)) == (1, 1)
    assert caught.value.retryable is False


def test_nothing_is_tried_again_once_an_event_was_handed_over(
    client: Flavour, serve: Serve
) -> None:
    error = data({"error": {"code": "1302", "message": "Rate limit reached for requests"}})
    server = serve(stream(chunk(said("some text")), error))
    events: list[Any] = []
    with pytest.raises(RateLimitError) as caught:
        client("zai", api_key="k", base_url=server.url, retry=QUICK).stream().collect(events)
    assert events == [TextDelta("some text")]
    assert caught.value.partial.text == "some text"
    assert (caught.value.attempts, len(server.requests)) == (1, 1)


def test_thinking_is_an_event_too(client: Flavour, serve: Serve) -> None:
    from .frames import thought

    server = serve(closed_stream(chunk(thought("Hmm"))))
    with pytest.raises(StreamInterrupted) as caught:
        client("zai", api_key="k", base_url=server.url, retry=QUICK).chat()
    assert (caught.value.partial.text, caught.value.partial.reasoning) == ("", "Hmm")
    assert len(server.requests) == 1


# -- bounds and garbage ----------------------------------------------------------------------------


def test_a_line_that_does_not_end(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        answering.chunk(WORD + b"data: ")
        for _ in range(64):
            answering.chunk(b"x" * 4096)
        answering.gone()

    server = serve(script)
    asking = client(base_url=server.url, limits=Limits(line=65536), retry=ONCE)
    with pytest.raises(LimitExceeded) as caught:
        asking.chat()
    error = caught.value
    assert isinstance(error, ProtocolError)
    assert error.maximum == 65536 < error.actual
    assert "65536" in str(error)
    assert str(error.actual) in str(error)
    assert error.partial.text == "some text"


def test_a_frame_that_does_not_end(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        for _ in range(64):
            answering.chunk(b"data: " + b"x" * 4000 + b"\n")
        answering.gone()

    asking = client(base_url=serve(script).url, limits=Limits(frame=65536), retry=ONCE)
    with pytest.raises(LimitExceeded) as caught:
        asking.chat()
    assert caught.value.maximum == 65536 < caught.value.actual


@pytest.mark.parametrize("what", ["long", "many"])
def test_a_head_that_does_not_end(client: Flavour, serve: Serve, what: str) -> None:
    def script(answering: Answering) -> None:
        answering.send(b"HTTP/1.1 200 OK\r\n")
        for number in range(100_000):
            answering.send(b"X" * 4096 if what == "long" else b"X-%d: y\r\n" % number)

    asking = client(base_url=serve(script).url, retry=ONCE)
    with pytest.raises(LimitExceeded) as caught:
        asking.chat()
    assert 0 < caught.value.maximum < caught.value.actual
    assert str(caught.value.maximum) in str(caught.value)


def test_an_encoding_that_nobody_asked_for(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head(200, "text/event-stream", "Content-Encoding: brotli-9000", length=4)
        answering.send(b"\x8b\x01\x02\x03")

    with pytest.raises(ProtocolError, match="brotli-9000"):
        client(base_url=serve(script).url, retry=ONCE).chat()


def test_gzip_that_is_none(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head(200, "text/event-stream", "Content-Encoding: gzip", length=len(WORD))
        answering.send(WORD)

    with pytest.raises(ProtocolError):
        client(base_url=serve(script).url, retry=ONCE).chat()


def test_hints_before_the_answer(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n")
        stream(*HI)(answering)

    assert client(base_url=serve(script).url).chat().text == "hi"


def test_an_answer_of_http_1_0(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.send(b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        answering.send(b"".join(HI))
        answering.close()

    assert client(base_url=serve(script).url).chat().text == "hi"


def test_gzip_is_read_as_it_comes(client: Flavour, serve: Serve) -> None:
    import zlib

    turns: list[threading.Event] = [threading.Event(), threading.Event()]

    def script(answering: Answering) -> None:
        packer = zlib.compressobj(wbits=31)
        answering.head(200, "text/event-stream", "Content-Encoding: gzip")
        for turn, frames in zip(turns, ([WORD], [glm("finish", text("some text."))]), strict=True):
            assert turn.wait(PATIENCE), "the last event was not handed over"
            answering.chunk(packer.compress(b"".join(frames)) + packer.flush(zlib.Z_SYNC_FLUSH))
        answering.chunk(packer.flush())
        answering.end()

    server = serve(script)
    reading = client(base_url=server.url).stream()
    turns[0].set()
    assert reading.next() == TextDelta("some text")
    turns[1].set()
    assert reading.next() == TextDelta(".")
    assert isinstance(reading.next(), Finish)


def test_a_gzip_bomb_is_refused(client: Flavour, serve: Serve) -> None:
    bomb = gzip.compress(b"data: " + b"\0" * 30_000_000, 6)

    def script(answering: Answering) -> None:
        answering.head(200, "text/event-stream", "Content-Encoding: gzip", length=len(bomb))
        answering.send(bomb)

    server = serve(script)
    with pytest.raises(ProtocolError) as caught:
        client(base_url=server.url, retry=ONCE).chat()
    assert isinstance(caught.value, LimitExceeded)


def test_what_is_not_http(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.send(b"\x15\x03\x01\x00\x02\x02\x16 SSH-2.0-whatever\r\n\r\n")
        answering.close()

    server = serve(script)
    with pytest.raises((ProtocolError, APIConnectionError)) as caught:
        client(base_url=server.url, retry=ONCE).chat()
    assert caught.value.partial.text == ""


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("service", ["chatglm", "zai"])
def test_redirects_carry_nothing_away(
    client: Flavour, serve: Serve, status: int, service: str
) -> None:
    elsewhere = serve(stream(*HI))
    server = serve(answer(status, b"", f"Location: {elsewhere.url}/other", kind="text/plain"))
    key = {} if service == "chatglm" else {"api_key": "sk-secret"}
    with pytest.raises(GLMError):
        client(service, base_url=server.url, retry=ONCE, **key).chat()
    assert elsewhere.requests == []


def test_wrong_charset_is_utf8_anyway(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head(200, "text/event-stream; charset=gbk")
        for frame in snapshots("你好👋"):
            answering.chunk(frame)
        answering.end()

    assert client(base_url=serve(script).url).chat().text == "你好👋"


def test_bytes_that_are_no_utf8_break_nothing(client: Flavour, serve: Serve) -> None:
    server = serve(stream(b"data: \xff\xfe\n\n", *HI))
    assert client(base_url=server.url).chat().text == "hi"


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json", "text/html"])
@pytest.mark.parametrize("status", [200, 204])
def test_an_answer_of_nothing_is_an_error(
    client: Flavour, serve: Serve, status: int, kind: str
) -> None:
    server = serve(answer(status, b"", kind=kind))
    with pytest.raises(GLMError):
        client(base_url=server.url, retry=ONCE).chat()
    assert len(server.requests) == 1


# -- errors are plain data -------------------------------------------------------------------------


def test_errors_survive_pickling_with_all_they_know(client: Flavour, serve: Serve) -> None:
    server = serve(
        answer(429, {"error": {"code": "1302", "message": "slow"}}, "Retry-After: 9"),
        closed_stream(chunk(said("half"))),
        closed_stream(b"data: [1]\n\n"),
    )
    asking = client("zai", api_key="k", base_url=server.url, retry=ONCE)
    errors = []
    for _ in range(3):
        with pytest.raises(GLMError) as caught:
            asking.chat()
        errors.append(caught.value)
    with pytest.raises(ConfigurationError) as wrong:
        asking.chat([])
    errors.append(wrong.value)
    for error in errors:
        copy = pickle.loads(pickle.dumps(error))
        assert type(copy) is type(error)
        assert vars(copy) == vars(error)
        assert str(copy) == str(error)
        assert copy.partial == error.partial


def test_the_request_id_is_on_the_error(client: Flavour, serve: Serve) -> None:
    server = serve(answer(500, {"message": "no"}, "X-Request-Id: req-77"))
    with pytest.raises(ServerError) as caught:
        client("zai", api_key="k", base_url=server.url, retry=ONCE).chat()
    assert caught.value.request_id == "req-77"


def test_every_message_says_what_to_do_next(client: Flavour, serve: Serve) -> None:
    server = serve(cut)
    with pytest.raises(StreamInterrupted) as caught:
        client(base_url=server.url, retry=ONCE).chat()
    assert len(str(caught.value)) > 40
    assert "partial" in str(caught.value)


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/2 200 OK\r\n\r\n",
        b"200 OK\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nbad name: x\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n",
    ],
)
def test_heads_that_are_not_http(client: Flavour, serve: Serve, head: bytes) -> None:
    def script(answering: Answering) -> None:
        answering.send(head)
        answering.close()

    server = serve(script)
    with pytest.raises(ProtocolError) as caught:
        client(base_url=server.url, retry=QUICK).chat()
    assert (caught.value.attempts, len(server.requests)) == (1, 1)
    assert caught.value.frame


@pytest.mark.parametrize("first", [True, False])
def test_chunks_that_are_not_http(client: Flavour, serve: Serve, first: bool) -> None:
    def script(answering: Answering) -> None:
        answering.head()
        if first:
            answering.chunk(WORD)
        answering.send(b"what?\r\nhello\r\n")
        answering.close()

    reading = client(base_url=serve(script).url, retry=QUICK).stream()
    with pytest.raises((ProtocolError, StreamInterrupted)) as caught:
        reading.collect()
    assert caught.value.partial.text == reading.text == ("some text" if first else "")
