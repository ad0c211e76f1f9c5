"""A service of another distribution, built from the page about it, installed for real and used by its name."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import EntryPoint, EntryPoints
from pathlib import Path
from typing import Any

import pytest

from glmclient import ConfigurationError, Provider, SyncClient
from glmclient.providers import BUILT_IN, ServiceInfo, service, service_names, services
from glmclient.simulator import Cut, EndBody, Pause, Refusal, Simulator

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "extending.md"
Run = Callable[..., subprocess.CompletedProcess[str]]


def blocks(language: str) -> list[str]:
    return re.findall(
        rf"^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE
    )


def module() -> str:
    """Return the page's code without the block that uses it at once."""
    return "\n\n".join(code for code in blocks("python") if "with Simulator" not in code)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the page's distribution into a folder of its own, with pip and without a network."""
    source, target = tmp_path_factory.mktemp("parrot"), tmp_path_factory.mktemp("site")
    (source / "parrot.py").write_text(module(), encoding="utf-8")
    (source / "pyproject.toml").write_text(*blocks("toml"), encoding="utf-8")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "-q", "--no-index", "--no-deps"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", target, source),
        ],
        check=True,
        capture_output=True,
        timeout=120,
    )
    return target


@pytest.fixture
def run(installed: Path, tmp_path: Path) -> Run:
    """Run Python in a process that finds the distribution."""

    def ran(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.lower().endswith("_proxy")}
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=kept
            | {
                "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}",
                "GLMCLIENT_HOME": str(tmp_path),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return ran


CLIENTS = """
import asyncio, sys
from glmclient import AsyncClient, ConfigurationError, SyncClient
from glmclient.simulator import Refusal, Script, SimulatedRequest, Simulator

def echo(request: SimulatedRequest) -> str:
    return f"You said: {request.prompt}"

async def ask(url):
    for backend in ("httpx", "aiohttp"):
        async with AsyncClient("parrot", base_url=url, http_backend=backend) as client:
            assert (await client.chat("Hi")).text == "You said: Hi"
            assert [each.id for each in await client.models()] == ["macaw", "budgie"]

with Simulator(echo, provider="parrot") as sim:
    with SyncClient("parrot", base_url=sim.url, record="chat.cassette") as client:
        assert client.chat("Hello", volume=5).text == "You said: Hello"
        talk = client.conversation()
        assert talk.chat("One").text == "You said: One"
        assert talk.chat("Two").text == "You said: Two"
        try:
            client.chat("Hi", volum=5)
        except ConfigurationError as error:
            assert "Did you mean 'volume'" in str(error)
    with sim.client() as client:
        assert client.provider.name == "parrot"
    asyncio.run(ask(sim.url))
    assert sim.prompts[:3] == ("Hello", "One", "Two")
with SyncClient("parrot", replay="chat.cassette") as client:
    assert client.chat("Hello", volume=5).text == "You said: Hello"
with Simulator(echo, provider="all") as sim, SyncClient("parrot", base_url=sim.url_of("parrot")) as client:
    assert "parrot" in sim.providers
    assert client.chat("Hi").text == "You said: Hi"
try:
    SyncClient("parot")
except ConfigurationError as error:
    assert "Did you mean 'parrot'" in str(error)
print("ok")
"""


def test_clients_simulator_and_cassettes_know_it(run: Run) -> None:
    done = run("-c", CLIENTS)
    assert (done.stdout, done.returncode) == ("ok\n", 0), done.stderr


SERVED = """
import os, subprocess, sys
from glmclient.simulator import Simulator

with Simulator("Hello!", provider="parrot") as sim:
    os.environ["PARROT_BASE_URL"] = sim.url
    command = [sys.executable, "-m", "glmclient", *sys.argv[1:]]
    done = subprocess.run(command, text=True, capture_output=True, stdin=subprocess.DEVNULL)
    sys.stdout.write(done.stdout)
    sys.stderr.write(done.stderr)
    assert sys.argv[1] == "keys" or sim.received
sys.exit(done.returncode)
"""


def test_the_command_line_knows_it(run: Run, tmp_path: Path) -> None:
    def glm(*arguments: str, **environment: str) -> str:
        done = run("-c", SERVED, *arguments, **environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    assert glm("-p", "parrot", "Hi") == "Hello!\n"
    assert glm("models", "-p", "parrot").split() == ["macaw", "budgie"]
    findings = json.loads(glm("doctor", "-p", "parrot", "--json", PARROT_API_KEY="wrong"))
    shown = {(each["section"], each["subject"]): each["text"] for each in findings}
    assert "2 models" in shown["services", "parrot"]
    assert "keys of Parrot begin with parrot-" in shown["keys", "parrot"]
    assert "parrot    from PARROT_API_KEY in the environment" in glm(
        "keys", PARROT_API_KEY="parrot-1"
    )
    assert glm("record", "talk.cassette", "-p", "parrot", "Hi") == "Hello!\n"
    assert run("-m", "glmclient", "replay", "talk.cassette").stdout == "Hello!\n"
    assert "parrot" in run("-m", "glmclient", "ask", "--help").stdout
    completed = run(
        "-m", "glmclient", _GLMCLIENT_COMPLETE="bash_complete", COMP_WORDS="glmclient ask -p par", COMP_CWORD="3"
    )  # fmt: skip
    assert "parrot" in completed.stdout
    assert run("-m", "glmclient", "settings", "set", "parrot.model", "budgie").returncode == 0
    asked = run("-m", "glmclient", "-p", "parrot", "--base-url", "http://127.0.0.1:9", "Hi")
    assert asked.returncode == 3


# -- what other distributions do wrong ---------------------------------------------------------------------


class Mine(Provider):
    name = "mine"
    default_url = "https://mine.example"


def registered(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    found = EntryPoints([EntryPoint(name, value, "glmclient.providers")])
    monkeypatch.setattr("importlib.metadata.entry_points", lambda group: found)


def test_a_provider_class_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, "mine", f"{__name__}:Mine")
    info = service("mine")
    assert (info.name, info.provider_class(), info.key) == ("mine", Mine, "optional")
    assert service_names() == (*BUILT_IN, "mine")


@pytest.mark.parametrize(
    ("value", "why"),
    [
        ("nowhere.at_all:info", "ModuleNotFoundError"),
        (f"{__name__}:missing", "AttributeError"),
        (f"{__name__}:PAGE", "must be a ServiceInfo of that name or a Provider class"),
        ("glmclient.providers:BUILT_IN", "must be a ServiceInfo"),
        (f"{__name__}:OTHER", "not a service called 'other'"),
    ],
)
def test_a_distribution_that_is_wrong_spoils_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, value: str, why: str
) -> None:
    registered(monkeypatch, "mine", value)
    with pytest.raises(ConfigurationError, match="'mine' of the distribution 'unknown'") as caught:
        SyncClient("mine")
    assert why in str(caught.value)
    assert [info.name for info in services()] == list(BUILT_IN)
    assert why in caplog.text


OTHER = ServiceInfo("other", Mine)


def test_no_distribution_replaces_a_service(monkeypatch: pytest.MonkeyPatch) -> None:
    registered(monkeypatch, "zai", f"{__name__}:Mine")
    assert service("zai") is BUILT_IN["zai"]
    assert service_names() == tuple(BUILT_IN)


# -- the page's own service --------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def parrot() -> Any:
    namespace: dict[str, Any] = {"__name__": "parrot"}
    exec(compile(module(), str(PAGE), "exec"), namespace)  # the page is this project's own
    return namespace["parrot"]


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ([Refusal("server", "Tired", 503)], "Parrot refused: Tired"),
        (["Hel", Cut()], "broke before the service's end mark"),
        (["Hel", EndBody()], "without the service's end mark"),
        ([b"data: odd\n\n"], "a frame that is not a JSON object"),
    ],
)
def test_it_fails_as_every_service_does(parrot: Any, script: list[Any], error: str) -> None:
    with Simulator([*script], provider=parrot) as sim, sim.client(retry=None) as client:
        with pytest.raises(Exception, match=re.escape(error)):
            client.chat("Hi")


def test_a_row_that_is_not_registered_is_simulated(parrot: Any) -> None:
    with Simulator(["Hello", Pause(0)], provider=[parrot, "chatglm"]) as sim:
        assert sim.providers == ("parrot", "chatglm")
        with sim.client() as client:
            assert client.chat("Hi").text == "Hello"
        with sim.client(provider="chatglm") as client:
            assert client.chat("Hi").text == "Hello"
    with pytest.raises(ConfigurationError, match="cannot be simulated"):
        Simulator(provider=OTHER)


def test_the_public_names_are_there() -> None:
    import glmclient.providers

    for name in glmclient.providers.__all__:
        assert getattr(glmclient.providers, name) is not None
    assert dir(glmclient.providers) == sorted(glmclient.providers.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        glmclient.providers.Nothing  # noqa: B018 - asked for its error
