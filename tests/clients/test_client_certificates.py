"""Client certificates: who sees them, which files and passwords are taken, and what goes wrong."""

from __future__ import annotations

import copy
import pickle
import ssl
import traceback
from pathlib import Path
from typing import Any

import pytest

from glmclient import APIConnectionError, AsyncClient, ConfigurationError, SyncClient
from tests.faults.proxy import web_proxy
from tests.faults.server import FaultServer, Peer
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .certificates import PASSWORD, Authority, ClientFiles
from .driver import EVERY_BACKEND, Driver


@pytest.fixture
def files(authority: Authority, tmp_path: Path) -> ClientFiles:
    return authority.client(tmp_path)


class Showing:
    """Plays that note the certificate that the client shows."""

    def __init__(self) -> None:
        self.shown: list[bool] = []

    def note(self, peer: Peer) -> None:
        assert isinstance(peer.socket, ssl.SSLSocket)
        self.shown.append(bool(peer.socket.getpeercert(binary_form=True)))

    def hello(self, peer: Peer) -> None:
        self.note(peer)
        peer.stream(*HELLO)

    def proxy(self, peer: Peer) -> None:
        self.note(peer)
        web_proxy()(peer)


def forms(files: ClientFiles) -> dict[str, Any]:
    return {
        "one file": str(files.both),
        "a path object": files.both,
        "two files": (str(files.certificate), str(files.key)),
        "a list": [files.certificate, files.key],
        "an unneeded password": (files.certificate, files.key, "unneeded"),
        "an encrypted key": (files.certificate, files.encrypted, PASSWORD),
        "one file and a password": (files.both, None, "unneeded"),
    }


@EVERY_BACKEND
async def test_a_server_that_asks_for_a_certificate(
    driver: Driver, authority: Authority, files: ClientFiles
) -> None:
    with FaultServer(Showing().hello, tls=authority.asking()) as server:
        options = {"base_url": server.url, "verify": authority.bundle}
        for name, cert in forms(files).items():
            async with driver.client(**options, cert=cert) as client:
                assert (await client.chat("Hello")).text == HELLO_TEXT, name


@EVERY_BACKEND
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_the_server_refuses_the_certificate(
    driver: Driver, authority: Authority, tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Over TLS 1.3 the refusal comes after the client's handshake, in place of an answer."""
    context = authority.asking()
    context.maximum_version = version
    strange = authority.client(tmp_path, known=False)
    with FaultServer(Showing().hello, tls=context) as server:
        for cert in (None, str(strange.both)):
            async with driver.client(
                base_url=server.url, verify=authority.bundle, cert=cert
            ) as client:
                with pytest.raises(APIConnectionError, match=r"TLS failed.*cert=") as caught:
                    await client.chat("Hello")
                assert not caught.value.retryable
                assert caught.value.attempts == 1
        assert server.requests == []


@EVERY_BACKEND
async def test_a_certificate_is_not_shown_without_being_asked_for(
    driver: Driver, authority: Authority, files: ClientFiles
) -> None:
    plays = Showing()
    with FaultServer(plays.hello, tls=authority.server()) as server:
        async with driver.client(
            base_url=server.url, verify=authority.bundle, cert=str(files.both)
        ) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
    assert plays.shown == [False]


@EVERY_BACKEND
@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("tunnel", [True, False], ids=["tunnel", "forwarding"])
async def test_the_proxy_does_not_see_the_certificate(
    driver: Driver, authority: Authority, files: ClientFiles, tunnel: bool
) -> None:
    service, proxy = Showing(), Showing()
    with (
        FaultServer(
            service.hello if tunnel else lambda peer: peer.stream(*HELLO),
            tls=authority.asking() if tunnel else None,
        ) as server,
        FaultServer(proxy.proxy, tls=authority.asking(required=False)) as between,
    ):
        async with driver.client(
            base_url=server.url, proxy=between.url, verify=authority.bundle, cert=str(files.both)
        ) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
    assert service.shown == ([True] if tunnel else [])
    assert proxy.shown == [False]


@EVERY_BACKEND
async def test_a_key_whose_password_is_missing_or_wrong(
    driver: Driver, authority: Authority, files: ClientFiles
) -> None:
    with FaultServer(Showing().hello, tls=authority.asking()) as server:
        for password, problem in ((), "is encrypted"), (("canary-wrong",), "cannot be used"):
            cert = (files.certificate, files.encrypted, *password)
            async with driver.client(
                base_url=server.url, verify=authority.bundle, cert=cert
            ) as client:
                with pytest.raises(ConfigurationError, match=problem) as caught:
                    await client.chat("Hello")
            assert "canary" not in "".join(traceback.format_exception(caught.value))
        assert server.connections == 0


@pytest.mark.parametrize("client", [SyncClient, AsyncClient])
def test_files_that_cannot_be_a_certificate(
    client: Any, authority: Authority, files: ClientFiles, tmp_path: Path
) -> None:
    gone = str(tmp_path / "gone.pem")
    for cert in (gone, (files.certificate, gone), str(tmp_path), ""):
        with pytest.raises(ConfigurationError, match="which is not a file"):
            client(cert=cert)
    wrong: tuple[Any, ...] = (1, b"c.pem", (), (files.both,), (files.both, 1), True)
    for cert in (*wrong, (None, files.key), ("c.pem", "k.pem", b"p"), (*"abc", "d"), {}):
        with pytest.raises(ConfigurationError, match="cert must be the path"):
            client(cert=cert)


@EVERY_BACKEND
async def test_files_without_a_certificate_or_with_another_key(
    driver: Driver, authority: Authority, files: ClientFiles, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    other = authority.client(tmp_path / "other")
    with FaultServer(Showing().hello, tls=authority.asking()) as server:
        for cert in (str(files.key), str(files.certificate), (files.certificate, other.key)):
            async with driver.client(
                base_url=server.url, verify=authority.bundle, cert=cert
            ) as client:
                with pytest.raises(ConfigurationError, match=r"cert names .*cannot be used"):
                    await client.chat("Hello")
        assert server.connections == 0


@EVERY_BACKEND
async def test_files_that_were_replaced_are_loaded_again(
    driver: Driver, authority: Authority, files: ClientFiles, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    strange = authority.client(tmp_path / "other", known=False)
    with FaultServer(Showing().hello, tls=authority.asking()) as server:
        options = {"base_url": server.url, "verify": authority.bundle, "cert": str(files.both)}
        async with driver.client(**options) as client:
            assert (await client.chat("Hello")).text == HELLO_TEXT
        files.both.write_bytes(strange.both.read_bytes())
        async with driver.client(**options) as client:
            with pytest.raises(APIConnectionError, match="TLS failed"):
                await client.chat("Hello")


@pytest.mark.parametrize("client", [SyncClient, AsyncClient])
def test_the_password_is_not_pickled_and_not_shown(client: Any, files: ClientFiles) -> None:
    made = client(cert=(files.certificate, files.encrypted, PASSWORD))
    assert PASSWORD not in repr((made, made._configuration, made._transport.route))
    pickled = pickle.dumps(made)
    assert b"canary" not in pickled
    assert pickle.loads(pickled)._configuration.cert.key == str(files.encrypted)
    assert copy.copy(made)._configuration.cert.password == PASSWORD
    assert pickle.loads(pickle.dumps(client(cert=str(files.both))))._configuration.cert is not None
