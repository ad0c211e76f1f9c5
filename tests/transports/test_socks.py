"""SOCKS 5, byte for byte (RFC 1928, RFC 1929), however the replies are cut."""

from __future__ import annotations

import pytest

from glmclient.transports.socks import SocksError, SocksProxy, negotiate

PLAIN = SocksProxy("127.0.0.1", 1080)
KNOWN = SocksProxy("127.0.0.1", 1080, "user", "pass")


class Line:
    """A proxy that says what it is told to say, in pieces of one size."""

    def __init__(self, said: bytes, size: int = 1000) -> None:
        self.said = said
        self.size = size
        self.heard = b""

    def sendall(self, data: bytes) -> None:
        self.heard += data

    def recv_into(self, buffer: memoryview) -> int:
        piece = self.said[: min(len(buffer), self.size)]
        self.said = self.said[len(piece) :]
        buffer[: len(piece)] = piece
        return len(piece)


BOUND = b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50"


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", b"\x01\x7f\x00\x00\x01"),
        ("::1", b"\x04" + bytes(15) + b"\x01"),
        ("host.example", b"\x03\x0chost.example"),
        ("bücher.example", b"\x03\x15xn--bcher-kva.example"),
    ],
)
@pytest.mark.parametrize("size", [1, 2, 1000])
def test_a_connection(host: str, address: bytes, size: int) -> None:
    line = Line(b"\x05\x00" + BOUND + b"HTTP", size)
    negotiate(line, PLAIN, host, 443)
    assert line.heard == b"\x05\x01\x00" + b"\x05\x01\x00" + address + b"\x01\xbb"
    assert line.said == b"HTTP"  # what follows belongs to the connection


@pytest.mark.parametrize(
    "bound",
    [BOUND, b"\x05\x00\x00\x03\x02ab\x00\x50", b"\x05\x00\x00\x04" + bytes(16) + b"\x00\x50"],
)
def test_an_address_of_each_kind_comes_back(bound: bytes) -> None:
    line = Line(b"\x05\x00" + bound + b"rest", 1)
    negotiate(line, PLAIN, "host.example", 80)
    assert line.said == b"rest"


def test_a_password() -> None:
    line = Line(b"\x05\x02\x01\x00" + BOUND)
    negotiate(line, KNOWN, "h", 80)
    assert line.heard.startswith(b"\x05\x01\x02\x01\x04user\x04pass\x05\x01")


@pytest.mark.parametrize(
    ("proxy", "said", "why"),
    [
        (PLAIN, b"HTTP/1.1 400", "does not speak SOCKS 5"),
        (PLAIN, b"\x05\xff", "does not accept a client without a password"),
        (KNOWN, b"\x05\xff", "does not accept user and password"),
        (KNOWN, b"\x05\x02\x01\x01", "refuses this user and password"),
        (PLAIN, b"\x05\x00\x05\x05\x00\x01", "could not connect: connection refused"),
        (PLAIN, b"\x05\x00\x05\x63\x00\x01", "could not connect: reply 99"),
        (PLAIN, b"", "closed the connection"),
        (PLAIN, b"\x05\x00" + BOUND[:-1], "closed the connection"),
    ],
)
def test_refusals(proxy: SocksProxy, said: bytes, why: str) -> None:
    with pytest.raises(SocksError, match=why) as caught:
        negotiate(Line(said), proxy, "host.example", 80)
    assert "pass" not in str(caught.value).replace("password", "")


def test_names_and_words_that_are_too_long() -> None:
    with pytest.raises(SocksError, match="longer than 255"):
        negotiate(Line(b"\x05\x02"), SocksProxy("h", 1, "u" * 256, "p"), "h", 80)


@pytest.mark.parametrize(
    ("url", "proxy"),
    [
        ("socks5://proxy.example:9", SocksProxy("proxy.example", 9)),
        ("socks5h://proxy.example", SocksProxy("proxy.example", 1080)),
        ("socks5://us%40er:p%3Ass@[::1]:9", SocksProxy("::1", 9, "us@er", "p:ss")),
    ],
)
def test_the_url_of_a_proxy(url: str, proxy: SocksProxy) -> None:
    assert SocksProxy.of(url) == proxy
    assert "p:ss" not in repr(proxy)
