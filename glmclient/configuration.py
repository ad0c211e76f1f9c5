"""What both clients are told: arguments, then the environment, then defaults.

This module and `glmclient.routes` are the only ones that read the environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .core.exchange import Exchange
from .core.http import checked_key
from .core.limits import Limits, Timeout
from .core.retry import RetryPolicy
from .core.steps import Admission
from .errors import ConfigurationError
from .providers import ServiceInfo, service
from .providers.base import Provider, checked_model
from .routes import (
    Cert,
    authorities,
    checked_cert,
    checked_proxy,
    checked_verify,
    environment_proxies,
)
from .transports.base import ClientCertificate, Route

__all__ = ["Configuration", "captured_content", "configured", "environment_key_fits"]


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
    cert: ClientCertificate | None = None
    clock: Callable[[], float] = time.monotonic
    """Seconds that only grow; a replayed cassette has a clock of its own."""

    def route(self) -> Route:
        """Return how to reach hosts."""
        verify, name = self.verify, "verify"
        if verify is True and self.trust_env:
            verify, name = authorities()
        return Route(self._proxies(), verify, self.clock, name, self.cert)

    def _proxies(self) -> Callable[[str], str | None]:
        proxy = self.proxy
        if proxy is not None or not self.trust_env:
            return lambda url: proxy
        return environment_proxies().proxy

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
    cert: Cert | None = None,
    key_goes_along: bool = False,
) -> Configuration:
    """Return the checked configuration of a client.

    The arguments are the client's, and ``key_goes_along`` that of `environment_key_fits`.

    Raises:
        ConfigurationError: an argument is wrong, or a key is missing.
    """
    return Configuration(
        provider=_provider(provider, api_key, base_url, headers, key_goes_along),
        model=checked_model(model),
        timeout=Timeout.of(timeout),
        retry=checked_retry(retry),
        limits=_checked_limits(limits),
        proxy=checked_proxy(proxy),
        verify=checked_verify(verify),
        trust_env=bool(trust_env),
        http_backend=_checked_backend(http_backend),
        cert=checked_cert(cert),
    )


def _provider(
    provider: str | Provider,
    api_key: str | None,
    base_url: str | None,
    headers: Mapping[str, str] | None,
    key_goes_along: bool,
) -> Provider:
    if api_key == "":
        api_key = None  # what an unset variable gives
    if isinstance(provider, Provider):
        if api_key is not None or base_url is not None or headers is not None:
            raise ConfigurationError(
                "a provider object already knows its key, address and headers: give api_key, base_url and headers to "
                f"{type(provider).__name__}(...) instead of the client."
            )
        return provider
    info = service(provider)
    if api_key is not None and (not isinstance(api_key, str) or not api_key.strip()):
        raise ConfigurationError(
            "api_key must be a string that is not blank; leave it out to use the environment."
        )
    if api_key is not None and not info.takes_key:
        raise ConfigurationError(info.key_advice or f"{info.name} takes no api_key; leave it out.")
    # An empty address is a mistake: the question would go to the public service instead.
    arguments: dict[str, Any] = {"base_url": base_url, "headers": headers}
    if base_url is None:
        arguments["base_url"] = _from_environment(info.url_variables)
    if info.takes_key:
        arguments["api_key"] = _key(info, api_key, base_url, headers, key_goes_along)
    made = info.provider_class()(**arguments)
    if info.needs_url and arguments["base_url"] is None:
        # The class has a default of its own, which is a service of another name.
        variables = f", or set {' or '.join(info.url_variables)}" if info.url_variables else ""
        raise ConfigurationError(
            f"provider {info.name!r} needs base_url, because it has no address of its own: give it{variables}."
        )
    return made


def _from_environment(names: tuple[str, ...]) -> str | None:
    return next((value for name in names if (value := os.environ.get(name, "").strip())), None)


def _key(
    info: ServiceInfo,
    api_key: str | None,
    base_url: str | None,
    headers: Mapping[str, str] | None,
    key_goes_along: bool,
) -> str | None:
    """Return the argument, or the first key in the environment if it may be sent to the address.

    Raises:
        ConfigurationError: the key is not valid, or the only key is for another address.
    """
    if api_key is not None:
        return checked_key(api_key.strip())
    if not environment_key_fits(info, base_url, key_goes_along=key_goes_along):
        if info.key == "required" and not _has_authorization(headers):
            raise ConfigurationError(
                f"provider {info.name!r} needs api_key= for another address than its own: "
                f"{' or '.join(info.key_variables) or 'a stored key'} goes to {' and '.join(info.key_hosts)} only."
            )
        return None
    keys = ((name, os.environ.get(name, "").strip()) for name in info.key_variables)
    return next((checked_key(value, name) for name, value in keys if value), None)


def environment_key_fits(
    info: ServiceInfo, base_url: str | None, *, key_goes_along: bool = False
) -> bool:
    """Tell whether a key from the environment may be sent to the address that a client would use.

    A key in the environment is meant for the service, and an address in an argument may be anyone's. An address from
    the environment has the same owner as the key, unless the key serves other purposes as well.

    Args:
        info: the service.
        base_url: the argument; ``None`` if the environment or the default decides.
        key_goes_along: the caller gave this address a key before, as a pickled client did.
    """
    if base_url is None:
        address = _from_environment(info.url_variables)
        return address is None or info.key_follows_address or info.is_own_address(address)
    # An address that is not a string is refused by the provider.
    own = isinstance(base_url, str) and info.is_own_address(
        info.provider_class().address_of(base_url)
    )
    return own or (key_goes_along and info.key_follows_address)


def _has_authorization(headers: Mapping[str, str] | None) -> bool:
    return headers is not None and any(str(name).lower() == "authorization" for name in headers)


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


def _checked_backend(name: str) -> str:
    if name not in ("httpx", "aiohttp"):
        raise ConfigurationError(f"http_backend must be 'httpx' or 'aiohttp', not {name!r}.")
    if name == "aiohttp":
        import importlib.util

        if importlib.util.find_spec("aiohttp") is None:
            raise ConfigurationError(
                "http_backend='aiohttp' needs one more package: pip install 'glmclient[aiohttp]'."
            )
    return name


_CAPTURED = {
    "event_only": frozenset({"event"}),
    "span_and_event": frozenset({"event", "span"}),
    "span_only": frozenset({"span"}),
    # The value of instrumentations that know attributes of spans alone.
    "true": frozenset({"span"}),
}


def captured_content() -> frozenset[str]:
    """Return where OpenTelemetry's own variable wants messages and answers to be recorded: ``span``, ``event``."""
    value = os.environ.get("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "")
    return _CAPTURED.get(value.strip().lower(), frozenset())
