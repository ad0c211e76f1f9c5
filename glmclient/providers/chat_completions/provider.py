"""The three doors to one dialect: the open platform's two sites, and every compatible server.

Source: ``docs/wire/open-platform.md`` §1.1 (addresses), §1.5 (models), §5 (compatible servers).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

from ...core.exchange import Exchange, Flow
from ...core.identity import Identity
from ...errors import ConfigurationError, NotFoundError
from ..base import Capabilities, Chat
from .base import Platform
from .request import DASHSCOPE_PARAMETERS, OPENAI_PARAMETERS, PLATFORM_PARAMETERS
from .wire import MAINLAND_MODELS, MODELS, QWEN_MODELS, TOOL_STREAM

__all__ = ["BigModel", "DashScope", "DashScopeIntl", "OpenAICompatible", "Plan", "Platform", "Zai"]

Plan = Literal["standard", "coding"]
"""What pays for the requests: the account's balance, or a coding plan."""

_REQUEST_ID_LENGTH = 64


class _Site(Platform):
    """What the platform's two sites have in common."""

    parameters = PLATFORM_PARAMETERS
    default_model: str | None = "glm-5.3"
    coding_url: ClassVar[str]
    key_variable: ClassVar[str]
    key_page: ClassVar[str]

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        plan: Plan = "standard",
        headers: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        if plan not in get_args(Plan):
            raise ConfigurationError(f"plan must be 'standard' or 'coding', not {plan!r}.")
        if plan == "coding":
            if base_url is not None:
                raise ConfigurationError(
                    "plan='coding' and base_url both say where to ask; give one of them."
                )
            base_url = self.coding_url
        super().__init__(api_key=api_key, base_url=base_url, headers=headers, identity=identity)
        self.plan = plan
        if self._key is None and not any(name.lower() == "authorization" for name in self.headers):
            raise ConfigurationError(
                f"provider {self.name!r} needs a key: give api_key=, or set {self.key_variable}. "
                f"Keys are made at {self.key_page}."
            )

    def run_options(self, model: str | None) -> Mapping[str, Any]:
        """Return ``tool_stream`` for the models that have it.

        Without it a long call sends no byte until it is complete, and some intermediaries close such a connection
        (``docs/wire/open-platform.md`` §2.8).
        """
        streams = model is not None and TOOL_STREAM.fullmatch(model) is not None
        return {"tool_stream": True} if streams else {}

    def _completion(self, chat: Chat, exchange: Exchange) -> Flow[dict[str, str]]:
        yield from ()
        exchange.request_id = _request_id(chat, exchange.attempts, self.identity)
        return {"request_id": exchange.request_id}


class Zai(_Site):
    """The open platform's international site, z.ai.

    Args:
        api_key: the key. The clients read it from ``ZAI_API_KEY``; this class reads no environment.
        base_url: replaces the address.
        plan: ``coding`` asks the endpoint that a coding plan pays for; it is never chosen without being told.
        headers: sent in place of the provider's own of the same name.
        identity: the source of request ids; for tests.

    Raises:
        ConfigurationError: there is no key, no such plan, or both a plan and an address.
    """

    name = "zai"
    default_url = "https://api.z.ai/api/paas/v4"
    coding_url = "https://api.z.ai/api/coding/paas/v4"
    key_variable = "ZAI_API_KEY"
    key_page = "https://z.ai/manage-apikey/apikey-list"
    models: tuple[str, ...] = MODELS
    # Without it the site explains errors in Chinese (docs/wire/open-platform.md §1.2).
    own_headers: ClassVar[Mapping[str, str]] = {"Accept-Language": "en-US,en"}


class BigModel(_Site):
    """The open platform's site for mainland China, bigmodel.cn.

    Args:
        api_key: the key. The clients read it from ``ZHIPUAI_API_KEY``; this class reads no environment.
        base_url: replaces the address.
        plan: ``coding`` asks the endpoint that a coding plan pays for; it is never chosen without being told.
        headers: sent in place of the provider's own of the same name.
        identity: the source of request ids; for tests.

    Raises:
        ConfigurationError: there is no key, no such plan, or both a plan and an address.
    """

    name = "bigmodel"
    default_url = "https://open.bigmodel.cn/api/paas/v4"
    coding_url = "https://open.bigmodel.cn/api/coding/paas/v4"
    key_variable = "ZHIPUAI_API_KEY"
    key_page = "https://bigmodel.cn/usercenter/proj-mgmt/apikeys"
    models: tuple[str, ...] = MAINLAND_MODELS


class DashScope(Platform):
    """Alibaba Cloud's OpenAI-compatible endpoint for Qwen, mainland China.

    Keys of one region are not valid in another.

    Args:
        api_key: the key. The clients read it from ``DASHSCOPE_API_KEY``; this class reads no environment.
        base_url: replaces the address, for other regions.
        headers: sent in place of the provider's own of the same name.
        identity: the source of request ids; for tests.

    Raises:
        ConfigurationError: there is no key.
    """

    name = "dashscope"
    default_url = "https://dashscope.aliyuncs.com/compatible-mode/v1"
    key_page: ClassVar[str] = "https://bailian.console.aliyun.com/?tab=model#/api-key"
    models: tuple[str, ...] = QWEN_MODELS
    default_model: str | None = "qwen-plus"
    parameters = DASHSCOPE_PARAMETERS
    supports: Capabilities = dataclasses.replace(Platform.supports, tool_choice="named")

    def __init__(
        self,
        *,
        api_key: str | None = None,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(api_key=api_key, base_url=base_url, headers=headers, identity=identity)
        if self._key is None and not any(name.lower() == "authorization" for name in self.headers):
            raise ConfigurationError(
                f"provider {self.name!r} needs a key: give api_key=, or set DASHSCOPE_API_KEY. "
                f"Keys are made at {self.key_page}."
            )

    def _completion(self, chat: Chat, exchange: Exchange) -> Flow[dict[str, str]]:
        yield from ()
        return {}


class DashScopeIntl(DashScope):
    """Alibaba Cloud's OpenAI-compatible endpoint for Qwen, international (Singapore); see `DashScope`."""

    name = "dashscope-intl"
    default_url = "https://dashscope-intl.aliyuncs.com/compatible-mode/v1"
    key_page = "https://modelstudio.console.alibabacloud.com/?tab=playground#/api-key"


class OpenAICompatible(Platform):
    """A server that speaks OpenAI's dialect: vLLM, SGLang, Ollama, a gateway.

    Without a model the first that the server lists is used, and kept.

    Args:
        base_url: the address up to and without ``/chat/completions``, mostly ending in ``/v1``; required.
        api_key: optional; no variable of the environment is read for it.
        headers: sent in place of the provider's own of the same name.
        identity: the source of chance; for tests.

    Raises:
        ConfigurationError: there is no ``base_url``.
    """

    name = "openai"
    default_url = ""
    models: tuple[str, ...] = ()
    default_model: str | None = None
    parameters = OPENAI_PARAMETERS
    # vLLM, SGLang, Ollama and llama.cpp compile the schema to a grammar. One that refuses it is asked in a weaker form.
    supports: Capabilities = dataclasses.replace(
        Platform.supports, schemas="json_schema", tool_choice="required"
    )

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        if base_url is None:
            raise ConfigurationError(
                "provider 'openai' needs base_url, such as 'http://localhost:8000/v1' for vLLM or "
                "'http://localhost:11434/v1' for Ollama."
            )
        super().__init__(api_key=api_key, base_url=base_url, headers=headers, identity=identity)
        self._served: str | None = None

    def _completion(self, chat: Chat, exchange: Exchange) -> Flow[dict[str, str]]:
        if chat.model is not None or "model" in chat.options["body"].names:
            return {}
        if self._served is None:
            self._served = yield from self._first_model(exchange)
        return {"model": self._served}

    def _first_model(self, exchange: Exchange) -> Flow[str]:
        listed = yield from self._listed(exchange)
        if not listed:
            raise NotFoundError(
                f"{self._service} lists no models; give model=.",
                status_code=200,
                reason="no models are listed",
            )
        return listed[0].id

    def attempt(self, chat: Chat, exchange: Exchange) -> Flow[None]:
        """Ask once and read the answer; a model that is gone is asked for anew the next time."""
        try:
            yield from super().attempt(chat, exchange)
        except NotFoundError:
            self._served = None
            raise


def _request_id(chat: Chat, attempt: int, identity: Identity) -> str:
    """Return the request's id: the caller's first, and another for every further attempt.

    The platform refuses an id that it has seen (code 1231, ``docs/wire/open-platform.md`` §3.2).
    """
    own: str | None = chat.options.get("request_id")
    if own is None:
        return identity.request_id()
    suffix = f"-{attempt}" if attempt > 1 else ""
    return own[: _REQUEST_ID_LENGTH - len(suffix)] + suffix
