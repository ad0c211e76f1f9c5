"""What both clients are told: arguments, then the environment, then defaults.

This is the one place that reads the environment.
"""

from __future__ import annotations

import os
import time
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .core.exchange import Exchange
from .core.http import checked_key
from .core.limits import Limits, Timeout
from .core.retry import RetryPolicy
from .core.steps import Admission
from .errors import ConfigurationError
from .providers.base import Provider, checked_model
from .transports.base import Route

__all__ = ["Configuration", "configured"]

PROVIDERS: dict[str, tuple[str, str, tuple[str, ...], tuple[str, ...]]] = {
    # name: module, class, variables of the key, variables of the address
    "chatglm": ("chatglm.provider", "ChatGLM", (), ("GLMCLIENT_CHATGLM_BASE_URL",)),
    "qwen": ("gradio.provider", "Gradio", ("HF_TOKEN",), ("GLMCLIENT_QWEN_BASE_URL",)),
    "zai": ("chat_completions.provider", "Zai", ("ZAI_API_KEY",), ("ZAI_BASE_URL",)),
    "bigmodel": (
        "chat_completions.provider",
        "BigModel",
        ("ZHIPUAI_API_KEY",),
        ("ZHIPUAI_BASE_URL",),
    ),
    "openai": ("chat_completions.provider", "OpenAICompatible", (), ()),
}


@dataclass(frozen=True, slots=True)
class Configuration:
    """Everything a client is; what it holds open is not in here."""

    provider: Provider
    model: str | None
    timeout: Timeout
    retry: RetryPolicy
    limits: Limits
    proxy: str | None
    verify: bool | str
    trust_env: bool
    http_backend: str
    clock: Callable[[], float] = time.monotonic
    """Seconds that only grow; a replayed cassette has a clock of its own."""

    def route(self) -> Route:
        """Return how to reach hosts."""
        return Route(self._proxy_for, self._trusted(), self.clock)

    def exchange(
        self,
        timeout: Timeout,
        retry: RetryPolicy,
        *,
        limiters: tuple[Admission, ...] = (),
        patient: bool = False,
        tokens: int = 0,
    ) -> Exchange:
        """Return a new exchange under these limits; the last three are those of `Exchange`."""
        return Exchange(
            timeout=timeout,
            retry=retry,
            limits=self.limits,
            clock=self.clock,
            now=time.time,
            identity=self.provider.identity,
            limiters=limiters,
            patient=patient,
            tokens=tokens,
        )

    def _trusted(self) -> bool | str:
        if self.verify is True and self.trust_env:
            bundle = os.environ.get("SSL_CERT_FILE") or os.environ.get("REQUESTS_CA_BUNDLE")
            return bundle if bundle and os.path.exists(bundle) else True
        return self.verify

    def _proxy_for(self, url: str) -> str | None:
        if self.proxy is not None or not self.trust_env:
            return self.proxy
        from urllib.request import getproxies, proxy_bypass

        parts = urllib.parse.urlsplit(url)
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all")
        if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
            return None
        return _checked_proxy(proxy if "://" in proxy else f"http://{proxy}")


def configured(
    provider: str | Provider,
    *,
    model: str | None,
    api_key: str | None,
    base_url: str | None,
    timeout: Timeout | float | None,
    retry: RetryPolicy | None,
    proxy: str | None,
    verify: bool | str,
    headers: Mapping[str, str] | None,
    trust_env: bool,
    limits: Limits | None,
    http_backend: str,
) -> Configuration:
    """Return the checked configuration of a client.

    Raises:
        ConfigurationError: an argument is wrong, or a key is missing.
    """
    return Configuration(
        provider=_provider(provider, api_key, base_url, headers),
        model=checked_model(model),
        timeout=Timeout.of(timeout),
        retry=checked_retry(retry),
        limits=_checked_limits(limits),
        proxy=_checked_proxy(proxy),
        verify=_checked_verify(verify),
        trust_env=bool(trust_env),
        http_backend=_checked_backend(http_backend),
    )


def _provider(
    provider: str | Provider,
    api_key: str | None,
    base_url: str | None,
    headers: Mapping[str, str] | None,
) -> Provider:
    if isinstance(provider, Provider):
        if api_key is not None or base_url is not None or headers is not None:
            raise ConfigurationError(
                "a provider object already knows its key, address and headers: give api_key, base_url and headers to "
                f"{type(provider).__name__}(...) instead of the client."
            )
        return provider
    if not isinstance(provider, str) or provider not in PROVIDERS:
        raise ConfigurationError(
            f"there is no provider {provider!r}; use one of {', '.join(sorted(PROVIDERS))}, or a provider object."
        )
    module, name, key_variables, url_variables = PROVIDERS[provider]
    import importlib

    make: Callable[..., Provider] = getattr(
        importlib.import_module(f".providers.{module}", __package__), name
    )
    given: dict[str, Any] = {
        # An empty address is a mistake: the question would go to the public service instead.
        "base_url": base_url if base_url is not None else _from_environment(url_variables),
        "headers": headers,
    }
    key = _key(api_key, key_variables)
    if provider == "chatglm":
        if key is not None:
            raise ConfigurationError(
                "the guest service of ChatGLM takes no api_key; use provider='zai' with a key."
            )
    else:
        given["api_key"] = key
    return make(**given)


def _from_environment(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)


def _key(given: str | None, variables: tuple[str, ...]) -> str | None:
    """Return the key that was given, or the first in the environment; the error names where it came from."""
    if given is not None:
        if not isinstance(given, str) or not given.strip():
            raise ConfigurationError(
                "api_key must be a string that is not empty; leave it out to use the environment."
            )
        return checked_key(given.strip())
    found = ((name, os.environ.get(name, "").strip()) for name in variables)
    return next((checked_key(value, name) for name, value in found if value), None)


def checked_retry(retry: RetryPolicy | None) -> RetryPolicy:
    """Return the policy; ``None`` is a single attempt.

    Raises:
        ConfigurationError: it is something else.
    """
    if retry is None:
        return RetryPolicy(attempts=1)
    if not isinstance(retry, RetryPolicy):
        raise ConfigurationError(
            f"retry must be a RetryPolicy or None, not {type(retry).__name__}."
        )
    return retry


def _checked_limits(limits: Limits | None) -> Limits:
    if limits is None:
        return Limits()
    if not isinstance(limits, Limits):
        raise ConfigurationError(
            f"limits must be a Limits or None, such as Limits(line=1000000), not {type(limits).__name__}."
        )
    return limits


def _checked_proxy(proxy: str | None) -> str | None:
    if proxy is None:
        return None
    if not isinstance(proxy, str) or urllib.parse.urlsplit(proxy).scheme not in (
        "http",
        "https",
        "socks5",
        "socks5h",
    ):
        raise ConfigurationError(
            "proxy must be a URL with http://, https://, socks5:// or socks5h:// in front."
        )
    if proxy.startswith("socks"):
        import importlib.util

        if importlib.util.find_spec("socksio") is None:
            raise ConfigurationError(
                "SOCKS proxies need one more package: pip install 'glmclient[socks]'."
            )
    return proxy


def _checked_verify(verify: bool | str) -> bool | str:
    if isinstance(verify, bool):
        return verify
    if not isinstance(verify, (str, os.PathLike)):
        raise ConfigurationError(
            f"verify must be True, False or a path to CA certificates, not {verify!r}."
        )
    path = os.fspath(verify)
    if not os.path.exists(path):
        raise ConfigurationError(
            f"verify names {path!r}, which does not exist; give a file or folder of CA certificates."
        )
    return path


def _checked_backend(name: str) -> str:
    if name not in ("httpx", "aiohttp"):
        raise ConfigurationError(f"http_backend must be 'httpx' or 'aiohttp', not {name!r}.")
    if name == "aiohttp":
        import importlib.util

        if importlib.util.find_spec("httpx_aiohttp") is None:
            raise ConfigurationError(
                "http_backend='aiohttp' needs one more package: pip install 'glmclient[aiohttp]'."
            )
    return name
