"""Connections are made within a limit, and can be broken off."""

from __future__ import annotations

import errno
import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from glmclient.transports.requests import dial as dialling
from glmclient.transports.requests.dial import Alarm, NameNotFound, dial, wake
from tests.faults.server import idle_port

NODELAY = (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


def dialled(host: str, port: int, seconds: float | None = 20, **changes: Any) -> socket.socket:
    until = None if seconds is None else time.monotonic() + seconds
    arguments: dict[str, Any] = {
        "until": until,
        "clock": time.monotonic,
        "options": [NODELAY],
        "announce": lambda alarm: None,
    }
    return dial(host, port, **{**arguments, **changes})


@pytest.fixture
def listener() -> Any:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
@pytest.mark.parametrize("seconds", [20, None])
def test_a_connection_with_its_options(
    listener: socket.socket, host: str, seconds: float | None
) -> None:
    with dialled(host, listener.getsockname()[1], seconds) as made:
        assert made.getsockopt(*NODELAY[:2])
        peer, address = listener.accept()
        peer.close()
        assert address == made.getsockname()


def test_nobody_is_there(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    listener.close()
    with pytest.raises(ConnectionRefusedError):
        dialled("127.0.0.1", port)


@pytest.mark.parametrize("host", ["nowhere.invalid", "a" * 70 + ".invalid", "\ud800.invalid"])
def test_a_name_without_an_address(host: str) -> None:
    with pytest.raises(NameNotFound, match="invalid"):
        dialled(host, 80)


def test_time_runs_out_while_connecting() -> None:
    with idle_port() as port, pytest.raises(TimeoutError):
        dialled("127.0.0.1", port, 0.1)


def test_time_had_run_out_before(listener: socket.socket) -> None:
    with pytest.raises(TimeoutError, match="not made in time"):
        dialled("127.0.0.1", listener.getsockname()[1], -1)


def stuck(release: threading.Event) -> Callable[..., Any]:
    """A resolver that does not answer."""
    real = socket.getaddrinfo

    def resolve(host: str, *args: Any, **options: Any) -> Any:
        if options.get("flags"):
            return real(host, *args, **options)
        release.wait(20)
        raise socket.gaierror(socket.EAI_AGAIN, "too late")

    return resolve


def test_time_runs_out_while_a_name_is_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(dialling.socket, "getaddrinfo", stuck(release))
    try:
        with pytest.raises(TimeoutError, match="was not looked up in time"):
            dialled("slow.invalid", 80, 0.1)
    finally:
        release.set()


def test_looking_a_name_up_can_be_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    release = threading.Event()
    monkeypatch.setattr(dialling.socket, "getaddrinfo", stuck(release))

    def announce(alarm: Alarm) -> None:
        threading.Thread(target=alarm).start()

    try:
        with pytest.raises(InterruptedError, match="woken"):
            dialled("slow.invalid", 80, announce=announce)
    finally:
        release.set()


def test_connecting_can_be_broken_off() -> None:
    alarms: list[Alarm] = []
    with idle_port() as port:
        thread = threading.Thread(target=lambda: [wait_for(alarms)[0]()])
        thread.start()
        with pytest.raises(OSError, match=r"."):
            dialled("127.0.0.1", port, announce=alarms.append)
        thread.join()


def test_what_is_cancelled_already_does_not_connect() -> None:
    with idle_port() as port, pytest.raises(ConnectionResetError):
        dialled("127.0.0.1", port, None, announce=lambda alarm: alarm())


def wait_for(alarms: list[Alarm]) -> list[Alarm]:
    while not alarms:
        time.sleep(0)
    # Woken before it waits or after: either way the connection is broken off.
    return alarms


def addresses(*found: tuple[str, int]) -> Callable[..., Any]:
    def resolve(host: str, *args: Any, **options: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in found]

    return resolve


def test_the_first_address_that_answers_is_taken(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    """An address that hangs gets its share of the time, and not all of it."""
    with idle_port() as port:
        there = listener.getsockname()
        monkeypatch.setattr(
            dialling.socket, "getaddrinfo", addresses(("127.0.0.1", port), ("127.0.0.1", 1), there)
        )
        with dialled("many.invalid", 80, 1.5) as made:
            assert made.getpeername() == there


def test_when_no_address_answers_the_last_error_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        dialling.socket, "getaddrinfo", addresses(("127.0.0.1", 1), ("127.0.0.1", 1))
    )
    with pytest.raises(ConnectionRefusedError):
        dialled("many.invalid", 80)


def test_what_cannot_be_reached_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that has no route knows without asking the network."""

    def unreachable(self: socket.socket, address: Any) -> int:
        return errno.ENETUNREACH

    class Unreachable(socket.socket):
        connect_ex = unreachable

    monkeypatch.setattr(dialling.socket, "socket", Unreachable)
    with pytest.raises(OSError, match=r".") as caught:
        dialled("127.0.0.1", 9)
    assert caught.value.errno == errno.ENETUNREACH


def test_an_address_of_a_family_that_there_is_not_is_passed_over(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    class Limited(socket.socket):
        def __init__(self, family: int, *args: Any, **options: Any) -> None:
            if family == socket.AF_INET6:
                raise OSError(errno.EAFNOSUPPORT, "Address family not supported by protocol")
            super().__init__(family, *args, **options)

    there = listener.getsockname()
    both = [(socket.AF_INET6, ("::1", 80, 0, 0)), (socket.AF_INET, there)]
    monkeypatch.setattr(dialling, "_resolve", lambda *_: both)
    monkeypatch.setattr(dialling.socket, "socket", Limited)
    with dialled("both.invalid", 80) as made:
        assert made.getpeername() == there


def test_an_interrupt_leaves_no_socket_behind() -> None:
    def announce(alarm: Alarm) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dialled("127.0.0.1", 9, announce=announce)


def test_waking_a_closed_socket_does_nothing() -> None:
    near, far = socket.socketpair()
    far.close()
    near.close()
    wake(near)
    assert near.fileno() == -1
