"""What holds in every test: no network but this machine's own, and nothing of the developer's environment."""

from __future__ import annotations

import ipaddress
import re
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

# What a shell starts in the background ignores interrupts, and so would every test of one.
signal.signal(signal.SIGINT, signal.default_int_handler)

# In place of the entry point (see setup.cfg), so that coverage sees the plugin being imported.
pytest_plugins = ["glmclient.testing.plugin"]

# An example takes as long as the machine lets it; what is slow shows in the durations, not in failures.
hypothesis.settings.register_profile("glmclient", deadline=None, print_blob=True)
hypothesis.settings.load_profile("glmclient")

_REAL = Path(__file__).parent / "real"
_INTEGRATIONS = Path(__file__).parent / "integrations"

_STRAY = re.compile(
    r"(https?|all|no)_proxy|virtual_env|glmclient_.*|zai_.*|zhipuai_.*|hf_token"
    r"|ssl_cert_(file|dir)|(requests|curl)_ca_bundle|no_color|force_color",
    re.IGNORECASE,
)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--integration",
        metavar="NAME",
        help="collect tests/integrations/NAME too; `make test-real` makes the environment that it needs",
    )


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out what needs servers or libraries that this environment does not have."""
    if collection_path == _REAL:
        return True  # `make test-real` names the folder, and a folder that is named is collected
    if collection_path.parent == _INTEGRATIONS and collection_path.is_dir():
        return True if collection_path.name != config.getoption("--integration") else None
    return None


class OutsideConnection(AssertionError):
    """A test tried to leave this machine."""


def _is_inside(host: object) -> bool:
    if isinstance(host, bytes):
        host = host.decode("ascii", "replace")
    if host in (None, "", socket.gethostname()):
        return True
    name = str(host).rstrip(".").lower()
    # RFC 6761: `localhost` is this machine, and `invalid` exists nowhere.
    if name.rpartition(".")[2] in ("localhost", "invalid"):
        return True
    try:
        address = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def _refuse_the_outside(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto"):
        address = arguments[1]
        if isinstance(address, tuple) and not _is_inside(address[0]):
            raise OutsideConnection(f"{event} to {address!r}: tests talk to this machine alone")
    elif event == "socket.getaddrinfo" and not _is_inside(arguments[0]):
        raise OutsideConnection(f"{event} of {arguments[0]!r}: tests know this machine alone")


sys.addaudithook(_refuse_the_outside)


@pytest.fixture(autouse=True, scope="module")
def _clean_environment() -> Iterator[None]:
    """Forget the proxies, keys and addresses that the developer's shell may hold."""
    import os

    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if _STRAY.fullmatch(name)]:
            patch.delenv(name)
        yield


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait as long as it takes for the end of a body, where a test counts the connections that are used again.

    The client itself waits a fraction of a second, which a busy machine may need to send the last chunk.
    """
    monkeypatch.setattr("glmclient.core.exchange.DRAIN_SECONDS", 10.0)
