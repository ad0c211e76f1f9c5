"""The options that several commands share, and what they amount to with the settings."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints

import click
from click.shell_completion import CompletionItem

from ..core.limits import Timeout
from ..errors import ConfigurationError
from ..options import ChatOptions
from ..providers import BUILT_IN, DEFAULT_SERVICE, service, service_names
from .display.answer_display import Look
from .store.settings import Settings

if TYPE_CHECKING:
    from ..clients.async_client import AsyncClient
    from ..clients.sync_client import SyncClient

__all__ = [
    "Choices",
    "ServiceName",
    "answer_options",
    "choices_of",
    "is_terminal",
    "known_models",
    "look_of",
    "options_of",
    "output_options",
    "question_options",
    "service_options",
    "services_options",
    "verbose_option",
]

F = TypeVar("F", bound=Callable[..., Any])

CONNECT_SECONDS = 10.0


if TYPE_CHECKING:
    _TextType = click.ParamType[str]
else:
    _TextType = click.ParamType  # generic for checkers alone


class ServiceName(_TextType):
    """The name of a service; those of other distributions are looked up only when they are needed.

    `click.Choice` wants all names when the commands are defined, and the lookup takes longer than the other imports.

    Args:
        further: names beside those of services.
    """

    name = "service"

    def __init__(self, *further: str) -> None:
        self._further = further

    def names(self) -> tuple[str, ...]:
        """Return every name."""
        return (*service_names(), *self._further)

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return the names for the help, within brackets."""
        names = "|".join(self.names())
        # As click writes choices: an argument that must be given stands in braces.
        needed = param.required and param.param_type_name == "argument"
        return f"{{{names}}}" if needed else f"[{names}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Return the name.

        Raises:
            click.BadParameter: there is no such service.
        """
        name = str(value)
        if name not in BUILT_IN and name not in self.names():
            listed = ", ".join(repr(each) for each in self.names())
            self.fail(f"{name!r} is not one of {listed}.", param, ctx)
        return name

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the names that begin with ``incomplete``."""
        return [CompletionItem(name) for name in self.names() if name.startswith(incomplete)]


def _complete_model(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    names = [ctx.params["provider"]] if ctx.params.get("provider") else service_names()
    return [
        CompletionItem(model)
        for model in dict.fromkeys(m for name in names for m in known_models(name))
        if model.startswith(incomplete)
    ]


def known_models(provider: str) -> tuple[str, ...]:
    """Return the models that are known here; the service may offer more.

    Raises:
        ConfigurationError: the provider cannot be loaded.
    """
    kind: Any = service(provider).provider_class()
    try:
        models: tuple[str, ...] = kind().models
    except ConfigurationError:  # it wants a key, or an address
        models = kind.models
    return models


def _complete_option(
    ctx: click.Context, parameter: click.Parameter, incomplete: str
) -> list[CompletionItem]:
    return [CompletionItem(n) for n in ChatOptions.__annotations__ if n.startswith(incomplete)]


_VERBOSE = click.option("-v", "--verbose", count=True, help="Tell what happens; twice, tell more.")

_SERVICE = (
    click.option(
        "-p",
        "--provider",
        type=ServiceName(),
        help=f"The service to ask.  [default: {DEFAULT_SERVICE}]",
    ),
    click.option(
        "-m", "--model", metavar="NAME", shell_complete=_complete_model, help="The model to ask."
    ),
    click.option("--base-url", metavar="URL", help="The address of the one service."),
    click.option(
        "--key",
        metavar="KEY",
        help="Its key or token; others on this machine may see it, `glmclient keys` hides it.",
    ),
    click.option("--proxy", metavar="URL", help="An HTTP, HTTPS or SOCKS proxy for everything."),
    click.option(
        "--cert",
        metavar="FILE",
        type=click.Path(),
        help="A PEM file with your certificate and its private key, for servers that ask for one.",
    ),
    click.option(
        "--timeout",
        type=click.FloatRange(min=0, min_open=True),
        metavar="SECONDS",
        help="For the whole answer.",
    ),
    _VERBOSE,
)


def _apart(
    ctx: click.Context, parameter: click.Parameter, pairs: tuple[tuple[str, str], ...]
) -> tuple[tuple[str, str], ...]:
    """Refuse ``KEY=VALUE``: the word behind it, mostly the question, would be its value."""
    for name, _ in pairs:
        key, equals, value = name.partition("=")
        if equals:
            raise click.UsageError(
                f"KEY and VALUE are two words: write `-o {key} {shlex.quote(value)}`."
            )
    return pairs


_QUESTION = (
    click.option("-s", "--system", metavar="TEXT", help="The system message."),
    click.option(
        "-o",
        "--option",
        "options",
        nargs=2,
        multiple=True,
        metavar="KEY VALUE",
        callback=_apart,
        shell_complete=_complete_option,
        help="An option of the service, such as `-o temperature 0.2`; the value is JSON or text.",
    ),
)

_ANSWER = (
    click.option("--no-stream", is_flag=True, help="Show the answer when it is whole."),
    click.option("--plain", is_flag=True, default=None, help="No Markdown on a terminal."),
    click.option(
        "-u", "--usage", is_flag=True, default=None, help="Tell tokens and timing at the end."
    ),
    click.option(
        "-R",
        "--hide-reasoning",
        is_flag=True,
        default=None,
        help="Do not show the model's thinking.",
    ),
    click.option(
        "-q", "--quiet", is_flag=True, help="Nothing on standard error but what went wrong."
    ),
)


def _not_both(ctx: click.Context, parameter: click.Parameter, value: bool) -> bool:
    if value and ctx.params.get("as_json"):
        raise click.UsageError("--json and --jsonl exclude each other.")
    return value


_OUTPUT = (
    click.option(
        "--json",
        "as_json",
        is_flag=True,
        is_eager=True,
        help="One JSON object when the answer is whole; errors as JSON on standard error.",
    ),
    click.option(
        "--jsonl",
        "as_lines",
        is_flag=True,
        callback=_not_both,
        help="A line of JSON for each event; errors as JSON on standard error.",
    ),
)


def service_options(command: F) -> F:
    """Give a command the options that say which service, and how to reach it."""
    for option in reversed(_SERVICE):
        command = option(command)
    return command


def services_options(command: F) -> F:
    """Give a command the options of `service_options` for several services: ``-p`` may be repeated."""
    for option in reversed(_SERVICE[1:]):
        command = option(command)
    return click.option(
        "-p",
        "--provider",
        type=ServiceName(),
        multiple=True,
        help=f"A service to ask; may be repeated.  [default: {DEFAULT_SERVICE}]",
    )(command)


def question_options(command: F) -> F:
    """Give a command the options that say what to ask for."""
    for option in reversed(_QUESTION):
        command = option(command)
    return command


def verbose_option(command: F) -> F:
    """Give a command ``-v`` alone of `service_options`."""
    return _VERBOSE(command)


def answer_options(command: F) -> F:
    """Give a command the options that say how to show an answer."""
    for option in reversed(_ANSWER):
        command = option(command)
    return command


def output_options(command: F) -> F:
    """Give a command the options that make its output one for programs."""
    for option in reversed(_OUTPUT):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Choices:
    """Which service, and how to reach it; arguments, environment and settings are one here."""

    provider: str
    model: str | None
    base_url: str | None
    key: str | None = field(repr=False)
    proxy: str | None = field(repr=False)
    timeout: float | None
    verbose: int = 0
    cert: str | None = None

    def client(self, **further: Any) -> SyncClient:
        """Return a client.

        Raises:
            ConfigurationError: a key is missing, or a choice is wrong.
        """
        from ..clients.sync_client import SyncClient

        return SyncClient(self.provider, **self._arguments(further))

    def async_client(self, **further: Any) -> AsyncClient:
        """Return an asynchronous client.

        Raises:
            ConfigurationError: a key is missing, or a choice is wrong.
        """
        from ..clients.async_client import AsyncClient

        return AsyncClient(self.provider, **self._arguments(further))

    def _arguments(self, further: Mapping[str, Any]) -> dict[str, Any]:
        arguments = {
            "model": self.model,
            "base_url": self.base_url,
            "api_key": self.key,
            "proxy": self.proxy,
            "cert": self.cert,
            **further,
        }
        if self.timeout is not None:
            # One number for everything: no other limit may end what it allows.
            arguments["timeout"] = Timeout(
                min(CONNECT_SECONDS, self.timeout), None, None, self.timeout
            )
        return arguments


def choices_of(
    settings: Settings, given: Mapping[str, Any], provider: str | None = None
) -> Choices:
    """Return what the arguments and the settings amount to.

    Args:
        settings: what holds where an argument was not given.
        given: the arguments of `service_options`.
        provider: the service, if something else has decided that already.

    Raises:
        ConfigurationError: a setting is wrong.
    """
    name = settings.get("provider", given["provider"] or provider) or DEFAULT_SERVICE
    return Choices(
        provider=name,
        model=settings.model(name, given["model"]),
        base_url=settings.base_url(name, given["base_url"]),
        key=settings.key(name, given["key"], given["base_url"]),
        proxy=settings.get("proxy", given["proxy"]),
        timeout=settings.get("timeout", given["timeout"]),
        verbose=given["verbose"],
        cert=settings.get("cert", given["cert"]),
    )


def look_of(settings: Settings, given: Mapping[str, Any]) -> Look:
    """Return how an answer is to be shown, by the arguments of `answer_options` and the settings."""
    return Look(
        sys.stdout,
        sys.stderr,
        markdown=not settings.get("plain", given["plain"]),
        stream=not given["no_stream"],
        reasoning=not settings.get("hide_reasoning", given["hide_reasoning"]),
        usage=bool(settings.get("usage", given["usage"])),
        quiet=given["quiet"] or bool(given.get("as_json") or given.get("as_lines")),
        out_is_terminal=is_terminal(sys.stdout),
        err_is_terminal=is_terminal(sys.stderr),
    )


def is_terminal(stream: Any) -> bool:
    """Tell whether lines on ``stream`` can be changed in place."""
    return bool(stream.isatty()) and os.environ.get("TERM") != "dumb"


def options_of(pairs: tuple[tuple[str, str], ...]) -> dict[str, Any]:
    """Return the options of a question; a value that is JSON is taken as that, any other as text."""
    return {(known := name.replace("-", "_")): _value(known, text) for name, text in pairs}


def _value(name: str, text: str) -> Any:
    if get_type_hints(ChatOptions).get(name) in (str, str | None):
        return text  # an id of digits is no number
    try:
        return json.loads(text)
    except ValueError:
        return text
