"""``serve``: what the gateway is made of by the arguments; the gateway itself is a stand-in here."""

from __future__ import annotations

import signal
import sys
from types import ModuleType, SimpleNamespace
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from glmclient.cli.application import application

KEY = "0123456789abcdef0123456789abcdef.0123456789abcdef"


class Gateway:
    """Notes what the command does with the gateway."""

    def __init__(self) -> None:
        self.clients: tuple[Any, ...] = ()
        self.known: dict[str, Any] = {}
        self.listens: list[Any] = []
        self.address: tuple[Any, ...] = ("127.0.0.1", 8123)
        self.application = SimpleNamespace(state=SimpleNamespace(gateway=SimpleNamespace()))
        self.raises: BaseException | None = None

    def create_app(self, *clients: Any, **known: Any) -> Any:
        self.clients, self.known = clients, known
        return self.application

    def listening(self, *arguments: Any, **known: Any) -> Any:
        self.listens = [*arguments, known["has_key"]]
        return SimpleNamespace(getsockname=lambda: self.address)

    def run(self, application: Any, opened: Any) -> None:
        assert application is self.application
        signal.raise_signal(signal.SIGTERM)  # as uvicorn does when it was ended by one
        if self.raises is not None:
            raise self.raises


@pytest.fixture
def gateway(monkeypatch: pytest.MonkeyPatch) -> Gateway:
    made = Gateway()
    package, server = ModuleType("glmclient.gateway"), ModuleType("glmclient.gateway.server")
    package.create_app = made.create_app  # type: ignore[attr-defined]
    server.listening, server.run = made.listening, made.run  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "glmclient.gateway", package)
    monkeypatch.setitem(sys.modules, "glmclient.gateway.server", server)
    return made


def serve(*arguments: str) -> Result:
    return CliRunner().invoke(application, ["serve", *arguments], standalone_mode=False)


def test_the_default_is_one_service_on_this_machine(gateway: Gateway) -> None:
    run = serve()
    assert run.stdout == "http://127.0.0.1:8123/v1\n"
    assert run.return_value == 0
    assert gateway.listens == ["127.0.0.1", 8000, False]
    (client,) = gateway.clients
    assert client.provider.name == "chatglm"
    assert client._limiter is not None
    assert gateway.application.state.gateway.local_only is True
    assert gateway.known == {
        "api_key": None,
        "rewrites": "append",
        "drop_unsupported": False,
        "max_requests": 1000,
    }


def test_arguments_reach_the_clients_and_the_gateway(gateway: Gateway) -> None:
    gateway.address = ("::", 9, 0, 0)
    run = serve(
        *("-p", "zai", "--key", KEY, "--model", "glm-4.5", "--base-url", "http://127.0.0.1:1"),
        *("--api-key", "callers", "--host", "::", "--port", "9", "--rewrites", "hold"),
        *("--drop-unsupported", "--concurrency", "3", "--max-requests", "5", "--timeout", "7"),
    )
    assert run.stdout == "http://[::]:9/v1\n"
    (client,) = gateway.clients
    assert (client.default_model, client.provider.url) == ("glm-4.5", "http://127.0.0.1:1")
    assert client._configuration.timeout.total == 7
    assert gateway.listens == ["::", 9, True]
    assert gateway.application.state.gateway.local_only is False
    assert gateway.known == {
        "api_key": "callers",
        "rewrites": "hold",
        "drop_unsupported": True,
        "max_requests": 5,
    }


def test_each_service_has_a_limiter_of_its_own(gateway: Gateway) -> None:
    serve("-p", "chatglm", "-p", "qwen", "-p", "chatglm")
    one, other = gateway.clients
    assert [one.provider.name, other.provider.name] == ["chatglm", "qwen"]
    assert one._limiter is not other._limiter


@pytest.mark.parametrize("option", ["--key", "--base-url", "--model"])
def test_options_of_one_service_do_not_fit_several(gateway: Gateway, option: str) -> None:
    run = serve("-p", "chatglm", "-p", "qwen", option, "x")
    assert f"{option} is for one service" in str(run.exception)
    assert gateway.clients == ()


@pytest.mark.parametrize("concurrency", ["0", "many"])
def test_a_wrong_number_of_questions(gateway: Gateway, concurrency: str) -> None:
    assert isinstance(serve("--concurrency", concurrency).exception, click.BadParameter)
    assert gateway.clients == ()


def test_ctrl_c_is_a_regular_end(gateway: Gateway) -> None:
    gateway.raises = KeyboardInterrupt()
    assert serve().return_value == 0
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("found", "backend"), [(object(), "aiohttp"), (None, "httpx")])
def test_the_cheaper_library_is_used_where_it_is_installed(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, found: object, backend: str
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found)
    assert serve().return_value == 0
    (client,) = gateway.clients
    assert client._configuration.http_backend == backend
