"""LangChain's own suites, unit and integration, against simulated services."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import httpx
import pytest
from langchain_core.messages import AIMessage
from langchain_tests.integration_tests import ChatModelIntegrationTests
from langchain_tests.unit_tests import ChatModelUnitTests

from glmclient.integrations.langchain import ChatGLMClient
from glmclient.simulator import Simulator

from .standard import answer, files_from_nowhere

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class _Unit(ChatModelUnitTests):
    provider = ""
    further: ClassVar[dict[str, Any]] = {}

    @property
    def chat_model_class(self) -> type[ChatGLMClient]:
        return ChatGLMClient

    @property
    def chat_model_params(self) -> dict[str, Any]:
        return {"provider": self.provider, **self.further}

    @property
    def init_from_env_params(self) -> tuple[dict[str, str], dict[str, Any], dict[str, Any]]:
        # glmclient reads its variables itself, so the model has no attribute with the key.
        return {"ZAI_API_KEY": "k"}, self.chat_model_params, {"provider": self.provider}


class TestUnitPlatform(_Unit):
    provider = "zai"


class TestUnitCompatible(_Unit):
    provider = "openai"
    further: ClassVar[dict[str, Any]] = {"base_url": "http://localhost:8000/v1", "model": "m"}


class _Integration(ChatModelIntegrationTests):
    provider = ""
    simulator: Simulator

    @pytest.fixture(autouse=True)
    def _simulated(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.setattr(httpx, "get", files_from_nowhere(httpx.get))
        with Simulator(answer, provider=self.provider) as simulator:
            type(self).simulator = simulator
            yield

    @property
    def chat_model_class(self) -> type[ChatGLMClient]:
        return ChatGLMClient

    @property
    def chat_model_params(self) -> dict[str, Any]:
        parameters = {"provider": self.provider, "base_url": self.simulator.url, "api_key": "k.s"}
        return {**parameters, "model": "glm-4.6v"}

    model_override_value = "glm-4.5v"
    supports_json_mode = True
    supports_image_inputs = True
    supports_image_urls = True
    supports_image_tool_message = True
    supports_pdf_inputs = True
    supports_pdf_tool_message = True
    supports_audio_inputs = True
    supports_anthropic_inputs = True
    supported_usage_metadata_details: ClassVar[dict[str, Any]] = {
        way: ["reasoning_output", "cache_read_input"] for way in ("invoke", "stream")
    }

    def invoke_with_reasoning_output(self, *, stream: bool = False) -> AIMessage:
        model = self.chat_model_class(**self.chat_model_params)
        if not stream:
            return model.invoke("Think")
        first, *rest = model.stream("Think")
        return sum(rest, first)

    invoke_with_cache_read_input = invoke_with_reasoning_output


class TestIntegrationPlatform(_Integration):
    provider = "zai"


class TestIntegrationCompatible(_Integration):
    provider = "openai"
