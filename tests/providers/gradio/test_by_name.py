"""The service by its name: in clients, with keys and addresses."""

from __future__ import annotations

import pytest

from glmclient import AsyncClient, ConfigurationError, Gradio, SyncClient


@pytest.fixture(autouse=True)
def no_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    for name in ("HF_TOKEN", "GLMCLIENT_GRADIO_BASE_URL", "GLMCLIENT_PROVIDER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("GLMCLIENT_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.mark.parametrize("client", [SyncClient, AsyncClient])
def test_it_needs_an_address(client: type[SyncClient], monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        ConfigurationError, match=r"'gradio' needs base_url.*GLMCLIENT_GRADIO_BASE_URL"
    ):
        client("gradio")
    monkeypatch.setenv("GLMCLIENT_GRADIO_BASE_URL", "Some/app")
    provider = client("gradio").provider
    assert isinstance(provider, Gradio)
    assert (provider.name, provider.url) == ("gradio", "https://some-app.hf.space")


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("Qwen/Qwen2.5", True),
        ("qwen-qwen2-5.hf.space", True),
        ("https://huggingface.co/spaces/Qwen/Qwen2.5", True),
        ("http://qwen-qwen2-5.hf.space", False),
        ("https://hf.space.example.org", False),
        ("http://127.0.0.1:7860", False),
    ],
)
@pytest.mark.parametrize("name", ["gradio", "qwen"])
def test_a_token_of_the_environment_goes_to_hugging_face_only(
    name: str, address: str, sent: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    provider = SyncClient(name, base_url=address).provider
    assert isinstance(provider, Gradio)
    headers = dict(provider._request("GET", "/config", {}).headers)
    assert headers.get("X-HF-Authorization") == ("Bearer hf_secret" if sent else None)
    assert "Authorization" not in headers


def test_a_key_that_is_given_goes_to_any_host() -> None:
    provider = SyncClient("gradio", base_url="http://127.0.0.1:7860", api_key="hf_x").provider
    assert isinstance(provider, Gradio)
    assert provider._request("GET", "/config", {}).headers["Authorization"] == "Bearer hf_x"
