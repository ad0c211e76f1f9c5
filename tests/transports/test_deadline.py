"""A socket that obeys a deadline, on a clock of the test's own."""

from __future__ import annotations

import io
import socket
from collections.abc import Iterator

import pytest

from glmclient.transports.requests.deadline import DeadlineSocket, TooMuch


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Line:
    """One end of a pair, with its timeouts noted; the other end is `far`."""

    def __init__(self) -> None:
        self.near, self.far = socket.socketpair()
        self.clock = Clock()
        self.timeouts: list[float | None] = []
        self.socket = DeadlineSocket(self, self.clock)
        self.closed = 0

    def settimeout(self, timeout: float | None) -> None:
        self.timeouts.append(timeout)

    def recv_into(self, buffer: memoryview) -> int:
        return self.near.recv_into(buffer)

    def sendall(self, data: bytes, flags: int = 0) -> None:
        self.near.sendall(data, flags)

    def fileno(self) -> int:
        return self.near.fileno()

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def line() -> Iterator[Line]:
    made = Line()
    yield made
    made.near.close()
    made.far.close()


def received(line: Line, size: int = 100) -> bytes:
    buffer = bytearray(size)
    count = line.socket.recv_into(memoryview(buffer))
    return bytes(buffer[:count])


def test_without_limits_it_waits_for_ever(line: Line) -> None:
    line.far.send(b"abc")
    assert received(line) == b"abc"
    assert line.timeouts == [None]


def test_the_idle_limit_is_each_call_s(line: Line) -> None:
    line.socket.idle = 7
    for _ in range(2):
        line.far.send(b"abc")
        assert received(line) == b"abc"
    assert line.timeouts == [7]  # set once: each setting is a system call


def test_what_is_left_of_a_deadline_shrinks(line: Line) -> None:
    line.socket.idle, line.socket.deadline = 7, 110.0
    for passed in (0, 2, 5):
        line.clock.now = 100.0 + passed
        line.far.send(b"abc")
        received(line)
    assert line.timeouts == [7, 5.0]  # 7 of 10, 7 of 8, and then the 5 that are left
    line.clock.now = 110.0
    with pytest.raises(TimeoutError, match="deadline passed"):
        received(line)
    with pytest.raises(TimeoutError):
        line.socket.sendall(b"x")


def test_a_deadline_without_an_idle_limit(line: Line) -> None:
    line.socket.deadline = 103.0
    line.socket.sendall(b"abc")
    assert line.far.recv(9) == b"abc"
    assert line.timeouts == [3.0]
    assert line.socket.gettimeout() == 3.0


def test_the_http_library_s_own_timeouts_are_ignored(line: Line) -> None:
    line.socket.idle = 7
    line.socket.settimeout(1)
    assert line.timeouts == []
    assert line.socket.gettimeout() == 7


def test_an_allowance_is_used_up(line: Line) -> None:
    line.socket.allowance = 5
    line.far.send(b"abcdefgh")
    assert received(line, 3) == b"abc"
    assert received(line) == b"de"
    assert line.socket.allowance == 0
    with pytest.raises(TooMuch):
        received(line)
    line.socket.allowance = None
    assert received(line) == b"fgh"


def test_a_reader_keeps_the_socket_open(line: Line) -> None:
    reader = line.socket.makefile("rb")
    assert isinstance(reader, io.BufferedReader)
    line.socket.close()
    assert line.closed == 0
    line.far.send(b"abc\n")
    assert reader.readline() == b"abc\n"
    raw = reader.raw
    reader.close()
    raw.close()
    assert line.closed == 1


def test_without_a_reader_it_closes_at_once(line: Line) -> None:
    reader = line.socket.makefile("rb")
    reader.close()
    assert line.closed == 0
    line.socket.close()
    assert line.closed == 1


def test_everything_else_is_the_socket_s_own(line: Line) -> None:
    assert line.socket.fileno() == line.near.fileno()
    with pytest.raises(AttributeError):
        line.socket.no_such_thing  # noqa: B018 - asked for its error


def test_the_plain_socket_is_found_below_tls_within_tls() -> None:
    near, far = socket.socketpair()
    with near, far:

        class Wrapping:
            socket = near

        assert DeadlineSocket(near, Clock()).plain is near
        assert DeadlineSocket(Wrapping(), Clock()).plain is near
