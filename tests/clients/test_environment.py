"""Which proxy and which certificate authorities the environment names, for every client."""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from glmclient import ConfigurationError, SyncClient, routes
from glmclient.routes import checked_proxy, environment_proxies
from glmclient.transports.tls import tls_context
from tests.faults.proxy import web_proxy
from tests.faults.server import FaultServer, Peer
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .certificates import Authority
from .driver import Driver
from .test_routes import hashed

PROXY = "http://proxy.example.test:3128"


def hello(peer: Peer) -> None:
    peer.stream(*HELLO)


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for scheme in ("http", "https", "all", "no"):
        for name in (f"{scheme}_proxy", f"{scheme}_PROXY".upper()):
            monkeypatch.delenv(name, raising=False)
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


# -- NO_PROXY ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("entries", "url", "excepted"),
    [
        ("*", "http://example.test", True),
        ("example.test", "http://example.test", True),
        ("EXAMPLE.test", "http://Example.TEST./x", True),
        ("example.test", "http://a.b.example.test", True),
        ("example.test", "http://myexample.test", False),
        (".example.test", "http://a.example.test", True),
        (".example.test", "http://myexample.test", False),
        ("*.example.test", "https://a.example.test", True),
        ("*.example.test", "https://other.test", False),
        ("other.test, example.test", "http://example.test", True),
        ("other.test example.test", "http://example.test", True),
        (",,", "http://example.test", False),
        (".", "http://example.test", False),
        ("example.test:80", "http://example.test", True),
        ("example.test:443", "https://a.example.test", True),
        ("example.test:443", "http://example.test", False),
        ("example.test:8080", "http://example.test:8080", True),
        ("example.test:8080", "http://example.test", False),
        ("127.0.0.1", "http://127.0.0.1:9", True),
        ("127.0.0.1:9", "http://127.0.0.1:9", True),
        ("127.0.0.1:8", "http://127.0.0.1:9", False),
        ("0.0.1", "http://127.0.0.1:9", False),
        ("127.0.0.0/8", "http://127.1.2.3", True),
        ("10.1.2.3/8", "http://10.255.0.1", True),
        ("10.0.0.0/8", "http://11.0.0.1", False),
        ("10.0.0.0/8", "http://ten.example.test", False),
        ("10.0.0.0/99", "http://10.0.0.1", False),
        ("::1", "http://[::1]:9", True),
        ("[::1]", "http://[::1]:9", True),
        ("[::1]:9", "http://[::1]:9", True),
        ("[::1]:8", "http://[::1]:9", False),
        ("0:0:0::1", "http://[::1]", True),
        ("fd00::/8", "http://[fd12::5]", True),
        ("[fd00::]/8", "http://[fd12::5]", True),
        ("fd00::/8", "http://[fe80::5]", False),
        ("fd00::/8", "http://10.0.0.1", False),
        ("example.test", "http://[::1]", False),
    ],
)
def test_hosts_without_a_proxy(
    monkeypatch: pytest.MonkeyPatch, entries: str, url: str, excepted: bool
) -> None:
    monkeypatch.setenv("ALL_PROXY", PROXY)
    monkeypatch.setenv("NO_PROXY", entries)
    assert environment_proxies().proxy(url) == (None if excepted else PROXY)


@pytest.mark.parametrize("entry", ["127.0.0.0/8", "127.0.0.1", "127.0.0.1:{port}", "*"])
async def test_the_key_goes_past_the_proxy(
    driver: Driver, monkeypatch: pytest.MonkeyPatch, entry: str
) -> None:
    with FaultServer(hello) as server, FaultServer(web_proxy()) as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        monkeypatch.setenv("NO_PROXY", entry.format(port=server.port))
        async with driver.client(base_url=server.url, trust_env=True) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        assert proxy.connections == 0


# -- variables ---------------------------------------------------------------------------------------------


def test_lower_case_wins_also_if_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://capitals.example.test")
    monkeypatch.setenv("https_proxy", "lower.example.test:1")
    assert environment_proxies().proxy("https://a.test") == "http://lower.example.test:1"
    monkeypatch.setenv("https_proxy", "")
    assert environment_proxies().proxy("https://a.test") is None


def test_a_header_of_a_cgi_request_is_not_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", PROXY)
    assert environment_proxies().proxy("http://a.test") == PROXY
    monkeypatch.setenv("REQUEST_METHOD", "GET")
    assert environment_proxies().proxy("http://a.test") is None


def test_settings_of_the_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_SYSTEM_SETTINGS", True)
    monkeypatch.setattr(urllib.request, "getproxies", lambda: {"https": PROXY})
    monkeypatch.setattr(urllib.request, "proxy_bypass", lambda host: host == "inner.test")
    proxies = environment_proxies()
    assert proxies.proxy("https://a.test") == PROXY
    assert proxies.proxy("https://inner.test") is None


async def test_the_environment_is_read_once_for_a_client(
    driver: Driver, monkeypatch: pytest.MonkeyPatch
) -> None:
    with FaultServer(hello) as server:
        async with driver.client(base_url=server.url, trust_env=True) as client:
            read: list[str] = []

            class Watched(dict[str, str]):
                def get(self, name: str, default: Any = None) -> Any:
                    read.append(name)
                    return super().get(name, default)

                def items(self) -> Any:
                    read.append("all of it")
                    return super().items()

            with monkeypatch.context() as patched:
                patched.setattr(os, "environ", Watched(os.environ))
                assert (await client.chat("Hello")).text == HELLO_TEXT
    assert [name for name in read if "proxy" in name.lower() or name == "all of it"] == []


# -- the URL of a proxy ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "http://[::1",
        "http://user:sec#ret@h:3128",
        "http://user:sec?ret@h:3128",
        "http://user:sec/ret@h:3128",
        "http://user:sec ret@h:3128",
        "http://user:secret@h:port",
        "http://user:secret@h:99999",
        "http://user:secret@",
        "http://",
    ],
)
def test_an_invalid_proxy(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^proxy is not a valid proxy URL") as caught:
        SyncClient(proxy=url)
    assert "sec" not in str(caught.value) and "ret@" not in str(caught.value)
    assert caught.value.__cause__ is None
    for name in ("https_proxy", "ALL_PROXY"):
        with monkeypatch.context() as patched:
            patched.setenv(name, url)
            with SyncClient(retry=None) as client:
                with pytest.raises(ConfigurationError, match=f"^{name} is not a valid") as caught:
                    client.chat("Hello")
        assert "sec" not in str(caught.value)


def test_a_scheme_that_is_not_a_proxy_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "ftp://user:secret@127.0.0.1:9")
    with pytest.raises(
        ConfigurationError, match=r"^HTTPS_PROXY: the proxy must be a URL"
    ) as caught:
        environment_proxies().proxy("https://a.test")
    assert "secret" not in str(caught.value)


def test_an_upper_case_scheme() -> None:
    assert checked_proxy("HTTP://127.0.0.1:9") == "HTTP://127.0.0.1:9"


@pytest.mark.parametrize("password", ["p%C3%A4ss-%E5%AF%86", "päss-密"])
async def test_a_proxy_password_is_utf_8(driver: Driver, password: str) -> None:
    with FaultServer(hello) as server, FaultServer(web_proxy("usér:päss-密")) as proxy:
        at = f"http://us%C3%A9r:{password}@127.0.0.1:{proxy.port}"
        async with driver.client(base_url=server.url, proxy=at) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT


# -- certificate authorities -------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["SSL_CERT_DIR", "CURL_CA_BUNDLE"])
async def test_more_variables_name_authorities(
    driver: Driver,
    authority: Authority,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    name: str,
) -> None:
    value = authority.bundle
    if name == "SSL_CERT_DIR":
        (tmp_path / "empty").mkdir()
        (tmp_path / "hashed").mkdir()
        value = f"{tmp_path / 'empty'}{os.pathsep}{hashed(authority.bundle, tmp_path / 'hashed')}"
    monkeypatch.setenv(name, value)
    with FaultServer(hello, tls=authority.server()) as server:
        async with driver.client(base_url=server.url, trust_env=True) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT


@pytest.mark.parametrize(
    "name", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"]
)
async def test_authorities_that_do_not_exist(
    driver: Driver, authority: Authority, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv("CURL_CA_BUNDLE", authority.bundle)
    monkeypatch.setenv(name, "/missing/ca.pem")
    with FaultServer(hello, tls=authority.server()) as server:
        async with driver.client(base_url=server.url, trust_env=True) as client:
            with pytest.raises(ConfigurationError, match=f"^{name} names '/missing/ca.pem'"):
                await client.chat("Hello")
        assert server.requests == []


def test_a_bundle_that_is_replaced(authority: Authority, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.write_bytes(Path(authority.bundle).read_bytes())
    first = tls_context(str(path))
    assert tls_context(str(path)) is first
    path.write_bytes(path.read_bytes() + b"\n")
    assert tls_context(str(path)) is not first


def test_the_same_relative_path_in_two_folders(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contexts = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "ca.pem").write_bytes(Path(authority.bundle).read_bytes())
        monkeypatch.chdir(tmp_path / name)
        contexts.append(tls_context("ca.pem"))
    assert contexts[0] is not contexts[1]
