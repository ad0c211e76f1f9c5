"""The table of services: what each name stands for, and what the clients and the commands need to know about it.

This table is the only module that names services. Clients, command line, simulator, cassettes and notebook read it, so
that a new service is one row here beside its own package. Other distributions add rows by the entry point group
``glmclient.providers``; `ServiceInfo` describes a row, and ``docs/extending.md`` builds one.

Nothing is imported until it is used: a row holds references such as ``"glmclient.providers.chatglm.provider:ChatGLM"``,
and entry points are looked up only for names that are not in the table.
"""

from __future__ import annotations

import difflib
import logging
import re
import urllib.parse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import reduce
from importlib import import_module
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, get_args

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from ..core.exchange import Exchange as Exchange
    from ..core.exchange import Flow as Flow
    from ..core.exchange import StreamDecoder as StreamDecoder
    from ..core.http import Head as Head
    from ..core.http import Request as Request
    from ..core.http import checked_key as checked_key
    from ..core.http import dump_json as dump_json
    from ..core.http import load_object as load_object
    from ..core.http import merged_headers as merged_headers
    from ..core.identity import Identity as Identity
    from ..core.refusals import refusal as refusal
    from ..core.secrets import Secret as Secret
    from ..core.sse import Frame as Frame
    from ..core.sse import SSEParser as SSEParser
    from ..messages import checked_messages as checked_messages
    from ..messages import fold_system as fold_system
    from ..messages import text_of as text_of
    from .base import Capabilities as Capabilities
    from .base import Chat as Chat
    from .base import Model as Model
    from .base import Provider as Provider
    from .base import check_options as check_options

_PUBLIC = {
    name: module
    for module, names in {
        "glmclient.core.exchange": "Exchange Flow StreamDecoder",
        "glmclient.core.http": "Head Request checked_key dump_json load_object merged_headers",
        "glmclient.core.identity": "Identity",
        "glmclient.core.refusals": "refusal",
        "glmclient.core.secrets": "Secret",
        "glmclient.core.sse": "Frame SSEParser",
        "glmclient.messages": "checked_messages fold_system text_of",
        "glmclient.providers.base": "Capabilities Chat Model Provider check_options",
    }.items()
    for name in names.split()
}
"""What a provider of another distribution is built from, by the module that holds it; imported when it is used."""


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_PUBLIC[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)


__all__ = [
    "BUILT_IN",
    "DEFAULT_SERVICE",
    "ENTRY_POINTS",
    "Capabilities",
    "Chat",
    "Exchange",
    "Flow",
    "Frame",
    "Head",
    "Identity",
    "KeyNeed",
    "Model",
    "Provider",
    "Request",
    "SSEParser",
    "Secret",
    "ServiceInfo",
    "StreamDecoder",
    "check_options",
    "checked_key",
    "checked_messages",
    "dump_json",
    "fold_system",
    "load_object",
    "merged_headers",
    "refusal",
    "service",
    "service_names",
    "services",
    "text_of",
]

log: logging.Logger = logging.getLogger("glmclient.providers")

ENTRY_POINTS = "glmclient.providers"
"""The entry point group by which other distributions add services."""

KeyNeed: TypeAlias = Literal["none", "optional", "required", "unknown"]
"""Whether a service takes a key; ``unknown`` depends on the server that answers at the address."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_RESERVED = "all"
"""The simulator's word for all services at once."""


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """One service that has a name: a row of the table.

    Args:
        name: what ``SyncClient(name)`` and ``glmclient -p name`` take, and ``Provider.name`` of its provider.
        provider: the `Provider` class, or a reference to it, ``"module:Class"``, that is imported when it is used.
        simulated: the server half for `Simulator`, as a class or a reference; ``None`` if there is none.
        key: whether the service takes a key.
        key_variables: environment variables that may hold its key, the first that is set counts.
        url_variables: environment variables that may hold its address.
        key_hosts: the hosts that a key from the environment or from the keys file may be sent to, such as
            ``"api.z.ai"`` or ``"*.hf.space"``; ``("*",)`` is for providers that are meant for any address.
        key_follows_address: a key may also go to an address from the same source: both from the environment, or both
            from the files of the command line. Not for tokens that are made for other purposes as well.
        key_pattern: a regular expression that its usual keys match; ``doctor`` compares, and nothing refuses.
        key_shape: that pattern in words, such as ``"Hugging Face tokens begin with hf_"``.
        foreign_key_prefixes: the beginnings of keys that belong to other services.
        key_advice: what to use instead if ``key`` is ``"none"`` and one was given.
        needs_url: there is no address of its own, so ``base_url`` is required.
        check: how ``doctor`` finds out whether the service answers: by a ``question`` where it costs nothing, else by
            the list of ``models``, which tells whether the key fits.
        promises_models: the service documents its list of models, so that a missing one is a fault.
        family: services whose keys look alike; ``doctor`` can try the keys of a family at all its endpoints.
        endpoints: labels of the endpoints of a family, each with the attribute of the provider class that holds it.
        demo: what the demonstration's simulated service answers; empty if it is not part of the demonstration.
        demo_tokens: the prompt and completion tokens that it reports there.

    Raises:
        ConfigurationError: a value is not possible.
    """

    name: str
    provider: str | type[Provider]
    simulated: str | type[Any] | None = None
    key: KeyNeed = "optional"
    key_variables: tuple[str, ...] = ()
    url_variables: tuple[str, ...] = ()
    key_hosts: tuple[str, ...] = ()
    key_follows_address: bool = True
    key_pattern: str = ""
    key_shape: str = ""
    foreign_key_prefixes: tuple[str, ...] = ()
    key_advice: str = ""
    needs_url: bool = False
    check: Literal["question", "models"] = "models"
    promises_models: bool = True
    family: str = ""
    endpoints: Mapping[str, str] = field(default_factory=dict)
    demo: str = ""
    demo_tokens: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if (
            not isinstance(self.name, str)
            or not _NAME.fullmatch(self.name)
            or self.name == _RESERVED
        ):
            raise ConfigurationError(
                f"a service needs a name of lower-case letters, digits, '-' and '_', other than {_RESERVED!r}, "
                f"not {self.name!r}."
            )
        if self.key not in get_args(KeyNeed):
            raise ConfigurationError(
                f"the service {self.name!r} has key={self.key!r}; use one of {', '.join(get_args(KeyNeed))}."
            )

    @property
    def takes_key(self) -> bool:
        """Whether a key can be given at all."""
        return self.key != "none"

    def provider_class(self) -> type[Provider]:
        """Return the class of the provider.

        Raises:
            ConfigurationError: it cannot be imported.
        """
        loaded: type[Provider] = _loaded(self.name, self.provider)
        return loaded

    def simulated_class(self) -> type[Any]:
        """Return the class of the server half.

        Raises:
            ConfigurationError: there is none, or it cannot be imported.
        """
        if self.simulated is None:
            raise ConfigurationError(
                f"the service {self.name!r} cannot be simulated: it has no server half. "
                "Record it with record=, and replay the cassette."
            )
        loaded: type[Any] = _loaded(self.name, self.simulated)
        return loaded

    def is_own_address(self, url: str) -> bool:
        """Tell whether a key from the environment or a file may be sent to ``url``: HTTPS to one of `key_hosts`."""
        if "*" in self.key_hosts:
            return True
        try:
            parts = urllib.parse.urlsplit(url)
            host, port = (parts.hostname or "").rstrip("."), parts.port
        except ValueError:
            return False
        return (
            parts.scheme.lower() == "https"
            and port in (None, 443)
            and any(_matches(host, pattern) for pattern in self.key_hosts)
        )

    def key_problem(self, key: str) -> str:
        """Return what the shape of ``key`` shows to be wrong with it, or an empty string; the key is not part of it."""
        if key != key.strip() or any(character.isspace() for character in key.strip()):
            return "it has spaces or line ends in it or around it"
        if key.startswith(self.foreign_key_prefixes):
            return "it looks like the key of another service"
        if self.key_pattern and not re.fullmatch(self.key_pattern, key):
            return self.key_shape or "it has not the usual shape"
        return ""


def _matches(host: str, pattern: str) -> bool:
    return host.endswith(pattern[1:]) if pattern.startswith("*.") else host == pattern


def _loaded(name: str, reference: Any) -> Any:
    if not isinstance(reference, str):
        return reference
    module, _, attributes = reference.partition(":")
    try:
        return reduce(getattr, attributes.split("."), import_module(module))
    except (ImportError, AttributeError) as error:
        raise ConfigurationError(
            f"the service {name!r} cannot be loaded: {reference!r} does not exist: {error}."
        ) from error


# -- the table ---------------------------------------------------------------------------------------------

DEFAULT_SERVICE = "chatglm"
"""The service that is used where no other is named."""

_GLM_KEYS = r"[0-9a-f]{32}\.[A-Za-z0-9]{16}"
_GLM_KEY_SHAPE = "it has not the usual shape, 32 hexadecimal digits, a dot and 16 characters"

_ROWS = (
    ServiceInfo(
        "chatglm",
        "glmclient.providers.chatglm.provider:ChatGLM",
        "glmclient.providers.chatglm.simulated:ChatGLM",
        key="none",
        key_advice="the guest service of ChatGLM takes no api_key; use provider='zai' with a key.",
        url_variables=("GLMCLIENT_CHATGLM_BASE_URL",),
        check="question",
        demo="""\
你好！我是这台机器上的模拟服务。👋
Text arrives as the service says it, piece by piece; emoji stay whole: 👩‍💻 🇨🇳 ✨

```python
def fibonacci(n: int) -> int:
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
```

第十个数是 55。完。""",
    ),
    ServiceInfo(
        "qwen",
        "glmclient.providers.gradio.provider:Qwen",
        "glmclient.providers.gradio.simulated:Qwen",
        key_variables=("HF_TOKEN",),
        key_hosts=("*.hf.space", "huggingface.co"),
        key_follows_address=False,
        key_pattern=r"hf_\S*",
        key_shape="Hugging Face tokens begin with hf_",
        url_variables=("GLMCLIENT_QWEN_BASE_URL",),
        check="question",
        demo="""\
这是一个模拟的 Gradio Space。🎈 It was asked for its page, then joined, then listened to:
`print("".join(["通", "义", "千", "问"]))`""",
    ),
    ServiceInfo(
        "zai",
        "glmclient.providers.chat_completions.provider:Zai",
        "glmclient.providers.chat_completions.simulated:Platform",
        key="required",
        key_variables=("ZAI_API_KEY",),
        key_hosts=("api.z.ai",),
        key_pattern=_GLM_KEYS,
        key_shape=_GLM_KEY_SHAPE,
        foreign_key_prefixes=("hf_", "sk-"),
        url_variables=("ZAI_BASE_URL",),
        promises_models=False,
        family="GLM",
        endpoints={"zai": "default_url", "zai coding": "coding_url"},
        demo="""\
这是模拟的开放平台。🚀 Its stream ends with `[DONE]`, and the usage comes with it:
`assert "你好"[::-1] == "好你"`""",
        demo_tokens=(9, 38),
    ),
    ServiceInfo(
        "bigmodel",
        "glmclient.providers.chat_completions.provider:BigModel",
        "glmclient.providers.chat_completions.simulated:Platform",
        key="required",
        key_variables=("ZHIPUAI_API_KEY",),
        key_hosts=("open.bigmodel.cn",),
        key_pattern=_GLM_KEYS,
        key_shape=_GLM_KEY_SHAPE,
        foreign_key_prefixes=("hf_", "sk-"),
        url_variables=("ZHIPUAI_BASE_URL",),
        promises_models=False,
        family="GLM",
        endpoints={"bigmodel": "default_url", "bigmodel coding": "coding_url"},
    ),
    ServiceInfo(
        "dashscope",
        "glmclient.providers.chat_completions.provider:DashScope",
        "glmclient.providers.chat_completions.simulated:DashScope",
        key="required",
        key_variables=("DASHSCOPE_API_KEY",),
        key_hosts=("dashscope.aliyuncs.com",),
        key_pattern=r"sk-\S+",
        key_shape="keys of Alibaba Cloud begin with sk-",
        foreign_key_prefixes=("hf_",),
        url_variables=("DASHSCOPE_BASE_URL",),
    ),
    ServiceInfo(
        "dashscope-intl",
        "glmclient.providers.chat_completions.provider:DashScopeIntl",
        "glmclient.providers.chat_completions.simulated:DashScope",
        key="required",
        key_variables=("DASHSCOPE_API_KEY",),
        key_hosts=("dashscope-intl.aliyuncs.com",),
        key_pattern=r"sk-\S+",
        key_shape="keys of Alibaba Cloud begin with sk-",
        foreign_key_prefixes=("hf_",),
        url_variables=("DASHSCOPE_INTL_BASE_URL",),
    ),
    ServiceInfo(
        "openai",
        "glmclient.providers.chat_completions.provider:OpenAICompatible",
        "glmclient.providers.chat_completions.simulated:OpenAICompatible",
        key="unknown",
        key_hosts=("*",),
        needs_url=True,
    ),
    ServiceInfo(
        "gradio",
        "glmclient.providers.gradio.provider:Gradio",
        "glmclient.providers.gradio.simulated:Gradio",
        key_variables=("HF_TOKEN",),
        key_hosts=("*.hf.space", "huggingface.co"),
        key_follows_address=False,
        key_pattern=r"hf_\S*",
        key_shape="Hugging Face tokens begin with hf_",
        url_variables=("GLMCLIENT_GRADIO_BASE_URL",),
        needs_url=True,
    ),
)

BUILT_IN: Mapping[str, ServiceInfo] = {row.name: row for row in _ROWS}
"""The services of this distribution, by name."""


# -- looking up --------------------------------------------------------------------------------------------


def service_names() -> tuple[str, ...]:
    """Return the names of all services: those of this distribution, then those of other installed ones."""
    return (*BUILT_IN, *sorted(_entry_points()))


def service(name: str) -> ServiceInfo:
    """Return the service called ``name``.

    Raises:
        ConfigurationError: there is no such service, or the distribution that registers it cannot be loaded.
    """
    built_in = BUILT_IN.get(name) if isinstance(name, str) else None
    if built_in is not None:
        return built_in
    registered = _entry_points()
    if not isinstance(name, str) or name not in registered:
        names = sorted((*BUILT_IN, *registered))
        near = difflib.get_close_matches(name, names, 1) if isinstance(name, str) else []
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(
            f"there is no provider {name!r}; use one of {', '.join(names)}, or a provider object.{hint}"
        )
    return _registered(registered[name])


def services() -> Iterator[ServiceInfo]:
    """Yield all services; one that cannot be loaded is logged as a warning and left out."""
    for name in service_names():
        try:
            yield service(name)
        except ConfigurationError as error:
            log.warning("%s", error)


def _entry_points() -> dict[str, EntryPoint]:
    # importlib.metadata takes tens of milliseconds to import, which `import glmclient` must not pay.
    from importlib.metadata import entry_points

    # A built-in name wins: another distribution must not receive the keys of a service that it replaces.
    return {
        each.name: each for each in entry_points(group=ENTRY_POINTS) if each.name not in BUILT_IN
    }


def _registered(entry_point: EntryPoint) -> ServiceInfo:
    from .base import Provider

    name = entry_point.name
    owner = entry_point.dist.name if entry_point.dist is not None else "unknown"
    try:
        loaded = entry_point.load()
    except Exception as error:
        raise ConfigurationError(
            f"the provider {name!r} of the distribution {owner!r} cannot be loaded from {entry_point.value!r}: "
            f"{type(error).__name__}: {error}. Update or remove that distribution."
        ) from error
    if isinstance(loaded, type) and issubclass(loaded, Provider):
        loaded = ServiceInfo(name, loaded)
    if not isinstance(loaded, ServiceInfo) or loaded.name != name:
        what = (
            f"a service called {loaded.name!r}" if isinstance(loaded, ServiceInfo) else repr(loaded)
        )
        raise ConfigurationError(
            f"the provider {name!r} of the distribution {owner!r} cannot be used: {entry_point.value!r} must be a "
            f"ServiceInfo of that name or a Provider class, not {what:.120}. Update or remove that distribution."
        )
    return loaded
