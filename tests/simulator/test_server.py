"""The loopback server: framings, pauses, ends of every kind, and what it tells of its clients."""

from __future__ import annotations

import gc
import socket
import subprocess
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
import requests

from glmclient.simulator import (
    BodyItem,
    Cut,
    Framing,
    LoopbackServer,
    Pause,
    Reset,
    SimulatedRequest,
    SimulatedResponse,
    Wait,
)
from glmclient.simulator.server import _shut_down

from .peer import SECONDS, Peer

Respond = Callable[[SimulatedRequest], SimulatedResponse]


class Calling:
    """A service that is a function."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond


@contextmanager
def serving(respond: Respond | SimulatedResponse) -> Iterator[LoopbackServer]:
    fixed = respond
    server = LoopbackServer(
        Calling(respond if callable(respond) else lambda request: fixed)  # type: ignore[arg-type, return-value]
    )
    server.start()
    try:
        yield server
    finally:
        server.stop()


FRAMINGS: tuple[Framing, ...] = ("chunked", "close", "length")


# -- framings ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("framing", FRAMINGS)
@pytest.mark.parametrize("gzip", [False, True])
def test_every_framing_brings_the_whole_body(framing: Framing, gzip: bool) -> None:
    items: list[BodyItem] = ["你好".encode(), b"", b" world"]
    response = SimulatedResponse(201, [("X-A", "1"), ("X-A", "2")], items, framing, gzip)
    with serving(response) as server, requests.Session() as session:
        for _ in range(2):
            got = session.get(server.url)
            assert got.status_code == 201
            assert got.content == "你好 world".encode()
            assert got.headers["X-A"] == "1, 2"
            assert got.headers.get("Content-Encoding") == ("gzip" if gzip else None)
        used_again = [request.connection for request in server.requests] == [0, 0]
        assert used_again == (framing != "close")


def test_each_item_is_one_chunk_on_the_wire_before_the_next_is_made() -> None:
    first, second = threading.Event(), threading.Event()
    body: list[BodyItem] = [b"a", Wait(first), b"bc", Wait(second), b"d"]
    with serving(SimulatedResponse(body=body)) as server, Peer(server.url) as peer:
        peer.ask()
        assert b"Transfer-Encoding: chunked" in peer.head()
        assert peer.until(b"a\r\n") == b"1\r\na\r\n"
        first.set()
        assert peer.until(b"bc\r\n") == b"2\r\nbc\r\n"
        second.set()
        assert peer.until(b"0\r\n\r\n") == b"1\r\nd\r\n0\r\n\r\n"


def test_a_compressed_item_can_be_read_when_it_arrives() -> None:
    go = threading.Event()
    response = SimulatedResponse(body=[b"first", Wait(go), b"second"], framing="close", gzip=True)
    with serving(response) as server, Peer(server.url) as peer:
        peer.ask()
        peer.head()
        decompressor = zlib.decompressobj(wbits=31)
        text = b""
        while text != b"first":
            text += decompressor.decompress(peer.read())
        go.set()
        assert decompressor.decompress(peer.rest()) == b"second"
        assert decompressor.eof


def test_a_client_of_http_1_0_gets_no_chunks() -> None:
    with serving(SimulatedResponse(body=[b"a", b"b"])) as server, Peer(server.url) as peer:
        peer.send(b"GET / HTTP/1.0\r\n\r\n")
        assert b"chunked" not in peer.head()
        assert peer.rest() == b"ab"


def test_head_has_no_body() -> None:
    with (
        serving(SimulatedResponse(body=[b"a"], framing="length")) as server,
        Peer(server.url) as peer,
    ):
        peer.ask(method="HEAD")
        assert b"Content-Length: 1" in peer.head()
        peer.ask(method="GET")
        assert b"200" in peer.head()
        assert peer.read() == b"a"


def test_json_and_text_answers() -> None:
    def respond(request: SimulatedRequest) -> SimulatedResponse:
        if request.path == "/json":
            return SimulatedResponse.of_json({"a": "你"}, 418, [("X-B", "c")])
        return SimulatedResponse.of_text("<p>你</p>", content_type="text/html")

    with serving(respond) as server:
        got = requests.get(server.url + "/json")
        assert (got.status_code, got.headers["X-B"], got.content) == (
            418,
            "c",
            '{"a":"你"}'.encode(),
        )
        assert got.headers["Content-Type"] == "application/json"
        got = requests.get(server.url + "/text")
        assert (got.headers["Content-Type"], got.content) == ("text/html", "<p>你</p>".encode())


# -- requests ----------------------------------------------------------------------------------------------


def test_requests_are_recorded_whole_and_in_order() -> None:
    with serving(SimulatedResponse(framing="length")) as server, requests.Session() as session:
        session.post(f"{server.url}/a/b?c=1&c=2&d=", json={"x": ["你"]}, headers={"X-Y": "Z"})
        session.put(f"{server.url}/", data=b"\xff")
        session.get(f"{server.url}/last")
        one, two, three = server.requests
    assert (one.method, one.path, one.query) == ("POST", "/a/b", {"c": "2", "d": ""})
    assert one.json == {"x": ["你"]}
    assert one.headers["x-y"] == "Z"
    assert (two.method, two.body, two.json) == ("PUT", b"\xff", None)
    assert (three.method, three.path, three.body, three.json) == ("GET", "/last", b"", None)
    assert [each.connection for each in server.requests] == [0, 0, 0]


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"])
def test_every_method_reaches_the_service(method: str) -> None:
    with serving(SimulatedResponse.of_text("here")) as server:
        assert requests.request(method, server.url).text == "here"
        assert server.requests[0].method == method


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n", b"411"),
        (b"POST / HTTP/1.1\r\nContent-Length: 999999999999\r\n\r\n", b"413"),
        (b"GET http://[ HTTP/1.1\r\n\r\n", b"400"),
        (b"nonsense\r\n\r\n", b"400"),
    ],
)
def test_a_request_that_cannot_be_served_is_refused_and_not_recorded(
    request_bytes: bytes, status: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with serving(SimulatedResponse()) as server:
        with Peer(server.url) as peer:
            peer.send(request_bytes)
            assert status in peer.rest()
        assert server.requests == ()
    assert capfd.readouterr() == ("", "")


def test_a_client_that_leaves_in_its_request_is_no_request() -> None:
    with serving(SimulatedResponse()) as server, Peer(server.url) as peer:
        peer.send(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nabc")
        peer.socket.shutdown(socket.SHUT_WR)
        assert peer.rest() == b""
        assert (server.requests, server.disconnects, server.failures) == ((), (), ())


def test_a_client_that_resets_in_its_request_is_no_failure(
    capfd: pytest.CaptureFixture[str],
) -> None:
    with serving(SimulatedResponse()) as server:
        with Peer(server.url) as peer:
            peer.send(b"POST / HTTP/1.1\r\n")
            assert server.wait_for(lambda: server.open_connections == 1, SECONDS)
            peer.reset()
        assert server.wait_for(lambda: server.open_connections == 0, SECONDS)
        assert (server.requests, server.failures) == ((), ())
    assert capfd.readouterr() == ("", "")


# -- ends --------------------------------------------------------------------------------------------------


def test_a_cut_closes_without_the_last_chunk() -> None:
    with (
        serving(SimulatedResponse(body=[b"a", Cut(), b"never"])) as server,
        Peer(server.url) as peer,
    ):
        peer.ask()
        peer.head()
        assert peer.rest() == b"1\r\na\r\n"
        assert server.disconnects == ()


def test_a_cut_comes_short_of_the_promised_length() -> None:
    response = SimulatedResponse(body=[b"a", Cut(), b"never"], framing="length")
    with serving(response) as server, Peer(server.url) as peer:
        peer.ask()
        assert b"Content-Length: 6" in peer.head()
        assert peer.rest() == b"a"


def test_a_reset_is_one() -> None:
    with serving(SimulatedResponse(body=[b"a", Reset()])) as server, Peer(server.url) as peer:
        peer.ask()
        with pytest.raises(ConnectionResetError):
            peer.rest()


@pytest.mark.parametrize("end", [Cut(), Reset()])
def test_the_connection_can_end_before_the_head(end: Cut | Reset) -> None:
    with (
        serving(SimulatedResponse(body=[b"a"], before=[Pause(0), end])) as server,
        Peer(server.url) as peer,
    ):
        peer.ask()
        if isinstance(end, Cut):
            assert peer.rest() == b""
        else:
            with pytest.raises(ConnectionResetError):
                peer.rest()
        assert len(server.requests) == 1


# -- pauses and waits --------------------------------------------------------------------------------------


def test_a_pause_ends_by_itself_or_by_its_signal() -> None:
    go = threading.Event()
    body: list[BodyItem] = [
        b"a",
        Pause(0.01),
        b"b",
        Pause(3600, go),
        b"c",
        Pause(0.01, threading.Event()),
        b"d",
    ]
    with serving(SimulatedResponse(body=body, framing="close")) as server, Peer(server.url) as peer:
        peer.ask()
        peer.head()
        peer.until(b"ab")
        go.set()
        assert peer.rest() == b"cd"


@pytest.mark.parametrize("last", [Pause(0.01), Pause(0.01, threading.Event())])
def test_a_pause_lasts_and_the_connection_serves_on_after_it(last: Pause) -> None:
    body: list[BodyItem] = [b"a", Pause(0.05), last]
    with serving(SimulatedResponse(body=body)) as server, Peer(server.url) as peer:
        for _ in range(2):
            began = time.monotonic()
            peer.ask()
            peer.head()
            peer.until(b"0\r\n\r\n")
            assert time.monotonic() - began >= 0.06
            # Longer than the pause was: a limit that it left behind would end the connection.
            assert not server.wait_for(lambda: server.open_connections == 0, 0.1)
        assert [request.connection for request in server.requests] == [0, 0]


def test_a_wait_that_lasts_too_long_is_a_cut() -> None:
    response = SimulatedResponse(body=[b"a", Wait(threading.Event(), 0.01), b"never"])
    with serving(response) as server, Peer(server.url) as peer:
        peer.ask()
        peer.head()
        assert peer.rest() == b"1\r\na\r\n"


HELD = [Pause(3600), Pause(3600, threading.Event()), Wait(threading.Event(), 3600)]


@pytest.mark.parametrize("held", HELD)
@pytest.mark.parametrize("reset", [False, True])
def test_a_client_that_leaves_is_noticed_while_nothing_is_sent(
    held: Pause | Wait, reset: bool
) -> None:
    closed = threading.Event()

    def body() -> Iterator[BodyItem]:
        try:
            yield b"a"
            yield held
        finally:
            closed.set()

    kept = body()  # so that only its close ends it, not the collection of garbage
    with serving(lambda request: SimulatedResponse(body=kept, gzip=reset)) as server:
        with Peer(server.url) as peer:
            peer.ask("/left")
            peer.head()
            peer.read()
            if reset:
                peer.reset()
        assert server.wait_for(lambda: len(server.disconnects) == 1, SECONDS)
        assert server.disconnects[0].path == "/left"
        assert closed.wait(SECONDS)
        assert server.failures == ()


def test_a_client_that_leaves_is_noticed_while_much_is_sent() -> None:
    def body() -> Iterator[BodyItem]:
        while True:
            yield b"x" * 65536

    with serving(lambda request: SimulatedResponse(body=body())) as server:
        with Peer(server.url) as peer:
            peer.ask()
            peer.read()
        assert server.wait_for(lambda: len(server.disconnects) == 1, SECONDS)


def test_a_client_that_leaves_before_the_head_is_noticed() -> None:
    asked, go = threading.Event(), threading.Event()

    def respond(request: SimulatedRequest) -> SimulatedResponse:
        asked.set()
        assert go.wait(SECONDS)
        # More than any buffer holds: whatever the kernel took before it knew, the rest fails.
        return SimulatedResponse(headers=[("X-Long", "x" * 4096)] * 4096)

    with serving(respond) as server:
        with Peer(server.url) as peer:
            peer.ask()
            assert asked.wait(SECONDS)
            peer.reset()
        go.set()
        assert server.wait_for(lambda: len(server.disconnects) == 1, SECONDS)


def test_the_next_request_already_here_is_no_departure() -> None:
    go = threading.Event()
    body: list[BodyItem] = [b"a", Wait(go), Pause(0.01), Pause(0.01, threading.Event()), b"b"]
    with serving(SimulatedResponse(body=body)) as server, Peer(server.url) as peer:
        peer.ask("/1")
        assert b"200" in peer.head()
        peer.ask("/2")
        go.set()
        assert peer.until(b"0\r\n\r\n") == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
        assert b"200" in peer.head()
        assert peer.until(b"0\r\n\r\n") == b"1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
        assert [request.path for request in server.requests] == ["/1", "/2"]
        assert server.disconnects == ()


# -- failures of the script --------------------------------------------------------------------------------


def test_what_a_service_raises_is_a_500_and_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    def respond(request: SimulatedRequest) -> SimulatedResponse:
        raise ValueError("no such answer")

    with serving(respond) as server:
        got = requests.get(server.url)
        assert got.status_code == 500
        assert got.text == "the simulator's script failed: no such answer"
        assert [str(each) for each in server.failures] == ["no such answer"]
    assert capfd.readouterr() == ("", "")


def test_what_a_body_raises_is_a_cut_and_is_kept(capfd: pytest.CaptureFixture[str]) -> None:
    def body() -> Iterator[BodyItem]:
        yield b"a"
        raise KeyError("b")

    with (
        serving(lambda request: SimulatedResponse(body=body())) as server,
        Peer(server.url) as peer,
    ):
        peer.ask()
        peer.head()
        assert peer.rest() == b"1\r\na\r\n"
        assert [type(each) for each in server.failures] == [KeyError]
    assert capfd.readouterr() == ("", "")


# -- life --------------------------------------------------------------------------------------------------


def own_threads() -> list[str]:
    return [
        thread.name
        for thread in threading.enumerate()
        if thread.name.startswith("glmclient-simulator")
    ]


@pytest.mark.parametrize("held", HELD)
def test_a_stop_ends_what_is_held_and_joins_every_thread(held: Pause | Wait) -> None:
    with serving(SimulatedResponse(body=[b"a", held])) as server:
        with Peer(server.url) as idle, Peer(server.url) as busy:
            busy.ask()
            busy.head()
            busy.until(b"a")
            assert len(own_threads()) == 3
            server.stop()
            assert own_threads() == []
            assert idle.rest() == b""
            assert busy.rest() == b"\r\n"
        assert server.disconnects == ()
        assert not server.running
        server.stop()


def test_a_stop_ends_a_pause_with_a_request_behind_it() -> None:
    go = threading.Event()
    body: list[BodyItem] = [b"a", Wait(go), Pause(3600)]
    with serving(SimulatedResponse(body=body)) as server, Peer(server.url) as peer:
        peer.ask()
        peer.head()
        peer.until(b"a")
        peer.ask()
        go.set()
        server.stop()
        assert own_threads() == []


def test_a_stopped_server_starts_again_at_its_address() -> None:
    with serving(SimulatedResponse.of_text("here")) as server:
        url = server.url
        server.start()
        assert server.url == url
        server.stop()
        with pytest.raises(requests.ConnectionError):
            requests.get(url)
        server.start()
        assert server.url == url
        assert requests.get(url).text == "here"


def test_many_clients_at_once() -> None:
    everyone = threading.Barrier(32)

    def respond(request: SimulatedRequest) -> SimulatedResponse:
        everyone.wait(SECONDS)
        return SimulatedResponse.of_text(request.path)

    answers: list[str] = []
    with serving(respond) as server:
        threads = [
            threading.Thread(
                target=lambda n=n: answers.append(requests.get(f"{server.url}/{n}").text)
            )
            for n in range(32)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(SECONDS)
        assert sorted(answers) == sorted(f"/{n}" for n in range(32))
        assert len({request.connection for request in server.requests}) == 32
    assert own_threads() == []


def test_a_shutdown_after_the_peer_is_no_failure() -> None:
    one, other = socket.socketpair()
    other.close()
    one.close()
    _shut_down(one)
    assert one.fileno() == -1


@pytest.mark.filterwarnings("error")
def test_nothing_is_left_open() -> None:
    with serving(SimulatedResponse(body=[b"a", Wait(threading.Event(), 3600)])) as server:
        for _ in range(5):
            with Peer(server.url) as peer:
                peer.ask()
                peer.head()
    del server
    gc.collect()
    assert own_threads() == []


def test_a_server_that_is_forgotten_ends_with_the_interpreter() -> None:
    program = (
        "from glmclient.simulator import Simulator, Pause\n"
        "import socket\n"
        "sim = Simulator(['a', Pause(3600)]).start()\n"
        "peer = socket.create_connection(('127.0.0.1', int(sim.url.rsplit(':', 1)[1])))\n"
        'body = b\'{"assistant_id":"a","messages":[{}]}\'\n'
        "peer.sendall(b'POST /chatglm/mainchat-api/guest/stream HTTP/1.1\\r\\n')\n"
        "peer.sendall(b'Content-Length: %d\\r\\n\\r\\n%b' % (len(body), body))\n"
        "assert b' 200 ' in peer.recv(65536)\n"
        "import atexit\n"
        "atexit.register(peer.close)\n"
        "print('end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", program],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert (done.stdout, done.stderr) == ("end\n", "")
