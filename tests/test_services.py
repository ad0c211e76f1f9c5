"""The table of services: its rows, the lookup, and where keys that nobody typed may go."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import anyio
import pytest

from glmclient import AsyncClient, ChatGLM, ConfigurationError, SyncClient
from glmclient.cli import main
from glmclient.cli.store.settings import Settings, Stored
from glmclient.configuration import captured_content, environment_key_fits
from glmclient.providers import BUILT_IN, ServiceInfo, service, service_names, services
from glmclient.providers.base import Provider
from glmclient.simulator import Simulator

CLIENTS = pytest.mark.parametrize("kind", [SyncClient, AsyncClient])
KEYED = [info for info in BUILT_IN.values() if info.key_variables]


# -- rows ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("info", BUILT_IN.values(), ids=lambda info: info.name)
def test_a_row_names_what_exists(info: ServiceInfo) -> None:
    kind = info.provider_class()
    assert issubclass(kind, Provider)
    assert kind.name == info.name
    assert info.simulated_class().__module__.endswith(".simulated")
    for attribute in info.endpoints.values():
        assert getattr(kind, attribute).startswith("https://")
    assert info.needs_url or info.key == "none" or info.is_own_address(kind.default_url)
    assert all(info.is_own_address(getattr(kind, name)) for name in info.endpoints.values())


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ({"name": "Ünicode"}, "needs a name of lower-case letters"),
        ({"name": ""}, "needs a name"),
        ({"name": "all"}, "other than 'all'"),
        ({"name": 5}, "not 5"),
        ({"name": "mine", "key": "perhaps"}, "use one of none, optional, required, unknown"),
    ],
)
def test_a_row_is_checked(arguments: dict[str, Any], why: str) -> None:
    with pytest.raises(ConfigurationError, match=why):
        ServiceInfo(**{"provider": "nowhere:Nothing", **arguments})


@pytest.mark.parametrize("reference", ["nowhere.at_all:Provider", "glmclient.errors:Missing"])
def test_a_reference_to_nothing_is_explained(reference: str) -> None:
    info = ServiceInfo("mine", reference)
    with pytest.raises(ConfigurationError, match=r"'mine' cannot be loaded: .* does not exist"):
        info.provider_class()
    with pytest.raises(ConfigurationError, match="has no server half"):
        info.simulated_class()


def test_names_are_looked_up() -> None:
    assert service_names()[: len(BUILT_IN)] == tuple(BUILT_IN)
    assert [info.name for info in services()] == list(service_names())
    assert service("zai") is BUILT_IN["zai"]
    wrong: Any
    for wrong in ("zay", 5, None):
        with pytest.raises(ConfigurationError, match="there is no provider"):
            service(wrong)
    with pytest.raises(ConfigurationError, match="Did you mean 'zai'"):
        service("zay")


@pytest.mark.parametrize(
    ("name", "key", "problem"),
    [
        ("zai", "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp", ""),
        ("zai", "0123456789abcdef0123456789abcdef.AbCdEfGhIjKlMnOp\n", "spaces or line ends"),
        ("zai", "hf_abcdef", "key of another service"),
        ("bigmodel", "sk-abcdef", "key of another service"),
        ("zai", "short", "32 hexadecimal digits"),
        ("qwen", "hf_abcdef", ""),
        ("qwen", "abc", "begin with hf_"),
        ("openai", "anything", ""),
    ],
)
def test_what_the_shape_of_a_key_shows(name: str, key: str, problem: str) -> None:
    found = service(name).key_problem(key)
    assert problem in found if problem else found == ""
    assert (
        ServiceInfo("x", "y:z", key_pattern="a+").key_problem("b") == "it has not the usual shape"
    )


# -- where a key may go ----------------------------------------------------------------------------

STRANGERS = [
    "http://127.0.0.1:9",
    "https://stranger.example",
    "https://api.z.ai.stranger.example/api",
    "https://stranger.example/api.z.ai",
    "https://api.z.ai@stranger.example/",
    "https://xhf.space",
    "https://hf.space.example",
    "http://api.z.ai/api/paas/v4",
    "https://api.z.ai:8443/api/paas/v4",
    "https://[::1/broken",
]


@pytest.mark.parametrize("url", STRANGERS)
def test_a_stranger_is_no_own_address(url: str) -> None:
    for info in BUILT_IN.values():
        assert info.is_own_address(url) is ("*" in info.key_hosts), info.name


@CLIENTS
@pytest.mark.parametrize("url", [url for url in STRANGERS if "[" not in url and "@" not in url])
@pytest.mark.parametrize("info", KEYED, ids=lambda info: info.name)
def test_a_key_of_the_environment_stays_away_from_strangers(
    kind: Any, info: ServiceInfo, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(info.key_variables[0], "canary-0123456789")
    if info.key == "required":
        with pytest.raises(
            ConfigurationError, match=r"needs api_key= for another address"
        ) as caught:
            kind(info.name, base_url=url)
        assert "canary" not in str(caught.value)
        assert info.key_variables[0] in str(caught.value)
        assert kind(info.name, base_url=url, headers={"Authorization": "Bearer own"})
    else:
        assert "canary" not in secrets_of(kind(info.name, base_url=url).provider)
    own = {"base_url": f"https://{info.key_hosts[0].replace('*', 'x')}"} if info.needs_url else {}
    assert "canary" in secrets_of(kind(info.name, **own).provider)
    assert "given" in secrets_of(kind(info.name, base_url=url, api_key="given").provider)


def secrets_of(provider: Any) -> str:
    held = [getattr(provider, name, None) for name in ("_key", "_token")]
    return " ".join(each.reveal() for each in held if each is not None)


@pytest.mark.parametrize("info", KEYED, ids=lambda info: info.name)
def test_an_address_of_the_environment_belongs_to_its_key(
    info: ServiceInfo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(info.url_variables[0], "http://127.0.0.1:9")
    assert environment_key_fits(info, None) is info.key_follows_address
    monkeypatch.setenv(info.url_variables[0], info.provider_class().default_url)
    assert environment_key_fits(info, None)


def test_a_key_of_the_environment_on_the_wire(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_canary")

    async def ask(url: str) -> None:
        for backend in ("httpx", "aiohttp"):
            async with AsyncClient("qwen", base_url=url, http_backend=backend) as client:  # type: ignore[arg-type]
                await client.chat("Hi")

    with Simulator("Hello", provider="qwen") as sim:
        with SyncClient("qwen", base_url=sim.url, trust_env=False) as client:
            client.chat("Hi")
        anyio.run(ask, sim.url)
        assert sim.requests
        assert "canary" not in str([request.headers for request in sim.requests])


@pytest.mark.parametrize(
    ("service", "stored_url", "argument", "environment", "expected"),
    [
        ("zai", None, None, {}, "stored"),
        ("zai", None, "http://stranger", {}, None),
        ("zai", None, "https://api.z.ai/api/paas/v4", {}, "stored"),
        ("zai", "http://mine", None, {}, "stored"),
        ("zai", "http://mine", "http://stranger", {}, None),
        ("zai", "http://mine", None, {"ZAI_API_KEY": "k"}, "stored"),
        ("zai", None, None, {"ZAI_API_KEY": "k"}, None),
        ("zai", None, None, {"ZAI_BASE_URL": "http://mine"}, "stored"),
        ("qwen", "http://mine", None, {}, None),
        ("qwen", None, None, {"GLMCLIENT_QWEN_BASE_URL": "http://mine"}, None),
        ("qwen", None, None, {}, "stored"),
        ("openai", "http://mine", None, {}, "stored"),
        ("openai", None, "http://any", {}, "stored"),
    ],
)
def test_a_stored_key_stays_away_from_strangers(
    service: str,
    stored_url: str | None,
    argument: str | None,
    environment: dict[str, str],
    expected: str | None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    stored = Stored({} if stored_url is None else {f"{service}.base_url": stored_url})
    settings = Settings(stored, environment, {service: "stored"})
    assert settings.key(service, None, argument) == expected
    assert settings.key(service, "typed", argument) == "typed"


# -- the other readers of the table ----------------------------------------------------------------


def test_a_provider_object_replays_without_the_table(tmp_path: Path) -> None:
    tape = tmp_path / "chat.cassette"
    with Simulator("Hello") as sim, SyncClient(ChatGLM(base_url=sim.url), record=tape) as client:
        client.chat("Hi")
    with SyncClient(ChatGLM(), replay=tape) as client:
        assert client.chat("Hi").text == "Hello"


def test_a_key_is_not_kept_for_a_service_that_takes_none(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["keys", "set", "chatglm"]) == 2
    assert "'chatglm' is not one of 'qwen', 'zai'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("value", "where"),
    [
        (None, set()),
        ("", set()),
        ("NO_CONTENT", set()),
        ("true", {"span"}),
        (" Span_Only ", {"span"}),
        ("EVENT_ONLY", {"event"}),
        ("SPAN_AND_EVENT", {"event", "span"}),
    ],
)
def test_content_is_captured_only_where_the_variable_of_opentelemetry_says(
    value: str | None, where: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
    monkeypatch.delenv(name, raising=False)
    if value is not None:
        monkeypatch.setenv(name, value)
    assert captured_content() == where
