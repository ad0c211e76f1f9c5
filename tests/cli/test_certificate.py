"""``--cert``: the client's own certificate, from the command line and from the settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.clients.certificates import PASSWORD, Authority
from tests.faults.server import FaultServer, Peer
from tests.providers.chatglm.wire import HELLO, HELLO_TEXT

from .conftest import Run


def hello(peer: Peer) -> None:
    peer.stream(*HELLO)


def test_a_certificate_on_the_command_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = Authority(tmp_path)
    files = authority.client(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", authority.bundle)
    with FaultServer(hello, tls=authority.asking()) as server:
        asked = ("Hello", "--base-url", server.url)
        refused = run(*asked)
        assert refused.code == 3 and "--cert client.pem" in " ".join(refused.err.split())
        assert run(*asked, "--cert", str(files.both)).out.strip() == HELLO_TEXT
        assert run("settings", "set", "cert", str(files.both)).code == 0
        assert run(*asked).out.strip() == HELLO_TEXT
        encrypted = tmp_path / "one.pem"
        encrypted.write_bytes(files.encrypted.read_bytes() + files.certificate.read_bytes())
        refused = run(*asked, "--cert", str(encrypted))
        assert refused.code == 2 and "openssl pkey" in refused.err
        assert PASSWORD not in refused.err
        assert "is not a file" in run(*asked, "--cert", str(tmp_path / "gone")).err
