"""How hosts are reached: TLS, proxies of every kind, and what the environment says."""

from __future__ import annotations

import contextlib
import os
import resource
from pathlib import Path
from typing import Any

import pytest

from glmclient import APIConnectionError, ConfigurationError
from tests.faults.proxy import refusing, socks_proxy, web_proxy
from tests.faults.server import FaultServer, Peer, at_accept
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .certificates import Authority
from .driver import EVERY_BACKEND, Driver


def hello(peer: Peer) -> None:
    peer.stream(*HELLO)


# -- TLS ---------------------------------------------------------------------------------------------------


async def test_a_certificate_of_an_authority_of_one_s_own(
    driver: Driver, authority: Authority
) -> None:
    with FaultServer(hello, tls=authority.server()) as server:
        async with driver.client(base_url=server.url, verify=authority.bundle) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT


async def test_authorities_in_a_folder(
    driver: Driver, authority: Authority, tmp_path: Path
) -> None:
    folder = hashed(authority.bundle, tmp_path)
    with FaultServer(hello, tls=authority.server()) as server:
        async with driver.client(base_url=server.url, verify=str(folder)) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT


def hashed(bundle: str, folder: Path) -> Path:
    """Name a certificate as OpenSSL looks for it, by the hash of its subject."""
    import hashlib

    from cryptography import x509

    certificate = x509.load_pem_x509_certificate(Path(bundle).read_bytes())
    names = b""
    for name in certificate.subject.rdns:
        names += canonical(name)
    digest = hashlib.sha1(names).digest()[:4]
    target = folder / f"{int.from_bytes(digest, 'little'):08x}.0"
    target.write_bytes(Path(bundle).read_bytes())
    return folder


def canonical(name: Any) -> bytes:
    """Encode one part of a name in OpenSSL's canonical form: lower case UTF-8, in DER."""

    def der(tag: int, data: bytes) -> bytes:
        assert len(data) < 128
        return bytes((tag, len(data))) + data

    (attribute,) = list(name)
    arcs = [int(arc) for arc in attribute.oid.dotted_string.split(".")]
    oid = bytes((40 * arcs[0] + arcs[1], *arcs[2:]))
    value = " ".join(attribute.value.lower().split()).encode()
    return der(0x31, der(0x30, der(0x06, oid) + der(0x0C, value)))


async def test_nobody_is_trusted_who_was_not_named(driver: Driver, authority: Authority) -> None:
    with FaultServer(hello, tls=authority.server()) as server:
        for verify in (True, authority.other_bundle):
            async with driver.client(base_url=server.url, verify=verify) as client:
                with pytest.raises(APIConnectionError, match="TLS failed") as caught:
                    await client.chat("Hello")
                assert caught.value.attempts == 1
                assert not caught.value.retryable
        assert server.requests == []


async def test_a_certificate_for_another_name(driver: Driver, authority: Authority) -> None:
    with FaultServer(hello, tls=authority.server("other.example")) as server:
        async with driver.client(base_url=server.url, verify=authority.bundle) as client:
            with pytest.raises(APIConnectionError, match="TLS failed"):
                await client.chat("Hello")


async def test_anybody_is_trusted_on_request(driver: Driver, authority: Authority) -> None:
    with FaultServer(hello, tls=authority.server("other.example")) as server:
        async with driver.client(base_url=server.url, verify=False) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT


async def test_a_file_without_certificates(driver: Driver, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with FaultServer(hello) as server:
        url = server.url.replace("http://", "https://")
        async with driver.client(base_url=url, verify=str(empty)) as client:
            with pytest.raises(ConfigurationError, match="cannot be used"):
                await client.chat("Hello")
        assert server.connections == 0


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
async def test_the_environment_names_authorities(
    driver: Driver, authority: Authority, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    monkeypatch.setenv(variable, authority.bundle)
    with FaultServer(hello, tls=authority.server()) as server:
        async with driver.client(base_url=server.url, trust_env=True) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        async with driver.client(base_url=server.url, trust_env=False) as client:
            with pytest.raises(APIConnectionError, match="TLS failed"):
                await client.chat("Hello")


# -- reasons -----------------------------------------------------------------------------------------------


@EVERY_BACKEND
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_why_nothing_could_be_connected(driver: Driver, host: str) -> None:
    with FaultServer(hello) as gone:
        pass
    async with driver.client(base_url=f"http://{host}:{gone.port}", retry=None) as client:
        with pytest.raises(APIConnectionError, match=r"could not connect: .*(refused|call failed)"):
            await client.chat("Hello")


@EVERY_BACKEND
async def test_no_descriptor_is_left(driver: Driver) -> None:
    with FaultServer(hello) as server:
        with FaultServer(hello) as gone:
            pass
        async with driver.client(base_url=gone.url, retry=None) as client:
            with pytest.raises(APIConnectionError):
                await client.chat("Hello")  # everything is imported now
        async with driver.client(base_url=server.url, retry=None) as client:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            held: list[int] = []
            resource.setrlimit(
                resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/dev/fd"))) + 8, hard)
            )
            try:
                with contextlib.suppress(OSError):
                    while True:
                        held.append(os.open(os.devnull, os.O_RDONLY))
                with pytest.raises(
                    APIConnectionError, match=r"could not connect.*Too many open files"
                ):
                    await client.chat("Hello")
            finally:
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                for descriptor in held:
                    os.close(descriptor)


# -- proxies -----------------------------------------------------------------------------------------------


async def test_a_web_proxy_forwards_http(driver: Driver) -> None:
    with FaultServer(hello) as server, FaultServer(web_proxy()) as proxy:
        async with driver.client(
            base_url=server.url, proxy=f"http://127.0.0.1:{proxy.port}"
        ) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert [request.method for request in proxy.requests] == ["POST"]
        assert proxy.requests[0].target == f"{server.url}/chatglm/mainchat-api/guest/stream"
        assert len(server.requests) == 1


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("secure", [False, True], ids=["http proxy", "https proxy"])
async def test_a_web_proxy_tunnels_https(
    driver: Driver, authority: Authority, secure: bool
) -> None:
    """The proxy resolves the name, and sees nothing of what is said."""
    tls = authority.server()
    with (
        FaultServer(hello, tls=tls) as server,
        FaultServer(web_proxy(), tls=tls if secure else None) as proxy,
    ):
        url = f"https://service.invalid:{server.port}"
        async with driver.client(base_url=url, proxy=proxy.url, verify=authority.bundle) as client:
            for _ in range(2):
                assert (await client.chat("Hello")).text == HELLO_TEXT
        assert [(r.method, r.target) for r in proxy.requests] == [
            ("CONNECT", f"service.invalid:{server.port}")
        ]
        assert server.connections == 1  # the tunnel was kept


async def test_a_proxy_s_password_goes_to_the_proxy_alone(
    driver: Driver, authority: Authority
) -> None:
    tls = authority.server()
    with FaultServer(hello, tls=tls) as server, FaultServer(web_proxy("user:pass word")) as proxy:
        at = f"http://user:pass%20word@127.0.0.1:{proxy.port}"
        async with driver.client(base_url=server.url, proxy=at, verify=authority.bundle) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert "proxy-authorization" in proxy.requests[0].headers
        assert "proxy-authorization" not in server.requests[0].headers


@pytest.mark.parametrize("https", [False, True])
async def test_a_proxy_that_wants_a_password(
    driver: Driver, authority: Authority, https: bool
) -> None:
    tls = authority.server() if https else None
    with FaultServer(hello, tls=tls) as server, FaultServer(web_proxy("user:canary")) as proxy:
        at = f"http://user:canary-wrong@127.0.0.1:{proxy.port}"
        async with driver.client(base_url=server.url, proxy=at, verify=authority.bundle) as client:
            with pytest.raises(APIConnectionError, match="the proxy refused") as caught:
                await client.chat("Hello")
        assert "canary" not in repr([caught.value, caught.value.__cause__])
        assert caught.value.attempts == 1
        assert server.connections == 0


async def test_a_proxy_that_cannot_reach_the_service(driver: Driver, authority: Authority) -> None:
    with FaultServer(refusing(502)) as proxy:
        options = {"proxy": proxy.url, "verify": authority.bundle}
        async with driver.client(base_url="https://service.invalid", **options) as client:
            with pytest.raises(APIConnectionError, match="the proxy failed") as caught:
                await client.chat("Hello")
        assert caught.value.attempts == 3
        assert len(proxy.requests) == 3


async def test_a_proxy_that_is_not_there(driver: Driver) -> None:
    with FaultServer(hello) as gone:
        pass
    for url in ("http://service.invalid", "https://service.invalid"):
        async with driver.client(base_url=url, proxy=gone.url) as client:
            with pytest.raises(APIConnectionError, match="the proxy failed") as caught:
                await client.chat("Hello")
            assert caught.value.attempts == 3


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
@pytest.mark.parametrize("https", [False, True])
async def test_a_socks_proxy(
    driver: Driver, authority: Authority, scheme: str, https: bool
) -> None:
    tls = authority.server() if https else None
    with FaultServer(hello, tls=tls) as server, FaultServer(socks_proxy()) as proxy:
        url = f"{'https' if https else 'http'}://service.invalid:{server.port}"
        options = {"proxy": f"{scheme}://127.0.0.1:{proxy.port}", "verify": authority.bundle}
        async with driver.client(base_url=url, **options) as client:
            for _ in range(2):
                assert (await client.chat("Hello")).text == HELLO_TEXT
        assert proxy.asked == [f"service.invalid:{server.port}"]


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]"])
async def test_a_socks_proxy_and_an_address(driver: Driver, host: str) -> None:
    with FaultServer(hello) as server, FaultServer(socks_proxy()) as proxy:
        if host == "127.0.0.1":
            async with driver.client(
                base_url=server.url, proxy=f"socks5://127.0.0.1:{proxy.port}"
            ) as client:
                assert (await client.chat("Hello")).text == HELLO_TEXT
        else:
            async with driver.client(
                base_url="http://[::1]:9", proxy=f"socks5://127.0.0.1:{proxy.port}", retry=None
            ) as client:
                with pytest.raises(APIConnectionError):
                    await client.chat("Hello")
        assert proxy.asked[0].rpartition(":")[0] == host.strip("[]")


async def test_a_socks_proxy_with_a_password(driver: Driver) -> None:
    with FaultServer(hello) as server, FaultServer(socks_proxy(b"user", b"pass word")) as proxy:
        at = f"socks5://user:pass%20word@127.0.0.1:{proxy.port}"
        async with driver.client(base_url=server.url, proxy=at) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT


@pytest.mark.parametrize("who", ["user:canary-wrong@", ""])
async def test_a_socks_proxy_that_refuses_who_asks(driver: Driver, who: str) -> None:
    with FaultServer(hello) as server, FaultServer(socks_proxy(b"user", b"password")) as proxy:
        at = f"socks5://{who}127.0.0.1:{proxy.port}"
        async with driver.client(base_url=server.url, proxy=at) as client:
            with pytest.raises(APIConnectionError, match="the proxy refused") as caught:
                await client.chat("Hello")
        assert "canary" not in repr([caught.value, caught.value.__cause__])
        assert caught.value.attempts == 1 and not caught.value.retryable
        assert proxy.connections == 1


@pytest.mark.parametrize("reply", [2, 7, 8])
async def test_a_socks_proxy_that_refuses_the_service(driver: Driver, reply: int) -> None:
    """By its rules, by the command, or by the kind of address: the next attempt would be refused as well."""
    with FaultServer(socks_proxy(reply=reply)) as proxy:
        at = f"socks5://127.0.0.1:{proxy.port}"
        async with driver.client(base_url="http://service.invalid", proxy=at) as client:
            with pytest.raises(APIConnectionError, match=r"the proxy refused.*not ") as caught:
                await client.chat("Hello")
        assert caught.value.attempts == 1 and not caught.value.retryable


@pytest.mark.parametrize(
    "said", [b"", b"\x05", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\x05\x00\x05"]
)
async def test_a_proxy_that_does_not_speak_socks(driver: Driver, said: bytes) -> None:
    @at_accept
    def play(peer: Peer) -> None:
        peer.send(said)
        peer.close()

    with FaultServer(play) as proxy:
        at = f"socks5://127.0.0.1:{proxy.port}"
        async with driver.client(base_url="http://service.invalid", proxy=at, retry=None) as client:
            with pytest.raises(APIConnectionError, match="the proxy failed"):
                await client.chat("Hello")


@pytest.mark.parametrize("reply", [1, 3, 4, 5, 6, 99])
async def test_a_socks_proxy_that_cannot_reach_the_service(driver: Driver, reply: int) -> None:
    with FaultServer(socks_proxy(reply=reply)) as proxy:
        at = f"socks5://127.0.0.1:{proxy.port}"
        async with driver.client(base_url="http://service.invalid", proxy=at) as client:
            with pytest.raises(APIConnectionError, match="the proxy failed") as caught:
                await client.chat("Hello")
        assert caught.value.attempts == 3


async def test_a_socks_proxy_that_is_not_there(driver: Driver) -> None:
    with FaultServer(hello) as gone:
        pass
    at = f"socks5://127.0.0.1:{gone.port}"
    async with driver.client(base_url="http://service.invalid", proxy=at, retry=None) as client:
        with pytest.raises(APIConnectionError, match="the proxy failed"):
            await client.chat("Hello")


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
@pytest.mark.parametrize("scheme", ["http://", ""])
async def test_the_environment_names_a_proxy(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, variable: str, scheme: str
) -> None:
    with FaultServer(hello) as server, FaultServer(web_proxy()) as proxy:
        monkeypatch.setenv(variable, f"{scheme}127.0.0.1:{proxy.port}")
        async with driver.client(base_url=server.url, trust_env=True) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert len(proxy.requests) == 1
        async with driver.client(base_url=server.url, trust_env=False) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        monkeypatch.setenv("NO_PROXY", "127.0.0.1,other.example")
        async with driver.client(base_url=server.url, trust_env=True) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert len(proxy.requests) == 1
        assert len(server.requests) == 3


async def test_a_proxy_of_the_environment_that_is_none(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", "ftp://127.0.0.1:9")
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url, trust_env=True) as client:
            with pytest.raises(ConfigurationError, match="proxy must be a URL"):
                await client.chat("Hello")
        assert server.connections == 0
    assert os.environ["ALL_PROXY"]


# -- what stands on the wire -------------------------------------------------------------------------------


async def test_both_clients_send_the_same_headers(driver: Driver) -> None:
    with FaultServer(hello) as server:
        headers = {"X-More": "1", "user-agent": "mine"}
        async with driver.client(base_url=server.url, headers=headers) as client:
            await client.chat("Hello")
        (request,) = server.requests
        sent = dict(request.headers)
        assert sent.pop("x-device-id")
        assert sent == {
            "host": f"127.0.0.1:{server.port}",
            "content-length": str(len(request.body)),
            "accept": "text/event-stream",
            "accept-encoding": "identity",
            "accept-language": "en-US,en;q=0.9",
            "app-name": "chatglm",
            "authorization": "undefined",
            "content-type": "application/json",
            "origin": "https://chatglm.cn",
            "user-agent": "mine",
            "x-app-platform": "pc",
            "x-app-version": "0.0.1",
            "x-more": "1",
        }
