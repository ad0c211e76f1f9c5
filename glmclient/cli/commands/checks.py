"""What ``doctor`` can tell without asking anybody, and what an error of a service means."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

from ..._version import __version__
from ...core.http import origin
from ...errors import (
    APIConnectionError,
    APITimeoutError,
    AuthenticationError,
    ConfigurationError,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from ...providers import ServiceInfo, services
from ...transports.base import scrubbed
from ..display.failures import paragraph
from ..parameters import Choices
from ..store.places import HOME, INSTALL, folder, is_private
from ..store.settings import (
    KEYS_FILE,
    SETTINGS_FILE,
    Stored,
    stored_keys,
    wrong_variables,
)

__all__ = [
    "BAD",
    "GOOD",
    "SKIPPED",
    "WORTH_A_LOOK",
    "Finding",
    "installed",
    "kept",
    "meaning",
    "ways",
]

GOOD = "good"
WORTH_A_LOOK = "worth a look"
BAD = "bad"
SKIPPED = "skipped"
_MARKS = {GOOD: "ok", WORTH_A_LOOK: "!", BAD: "!!", SKIPPED: "-"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found out; nothing secret is in it.

    Args:
        section: what it is about.
        subject: what was looked at.
        verdict: ``good``, ``worth a look``, ``bad`` or ``skipped``.
        text: what was found, and what to do.
    """

    section: str
    subject: str
    verdict: str
    text: str

    @property
    def mark(self) -> str:
        """The verdict in two characters."""
        return _MARKS[self.verdict]


# -- what is installed -------------------------------------------------------------------------------------

_LIBRARIES = ("requests", "urllib3", "httpx", "anyio", "click")
_FOR_THE_TERMINAL = {
    "rich": "Markdown on a terminal",
    "prompt_toolkit": "chat at a terminal",
    "platformdirs": "settings, keys and --continue",
}


def installed() -> Iterator[Finding]:
    """Yield the versions of what matters."""
    yield Finding("versions", "glmclient", GOOD, __version__)
    yield Finding(
        "versions",
        "Python",
        GOOD,
        f"{platform.python_version()} on {platform.platform(terse=True)}",
    )
    for name in _LIBRARIES:
        yield Finding("versions", name, GOOD, version(name))
    for name, what in _FOR_THE_TERMINAL.items():
        try:
            yield Finding("versions", name, GOOD, version(name))
        except PackageNotFoundError:
            yield Finding("versions", name, WORTH_A_LOOK, f"not there, for {what}: {INSTALL}")


# -- what is kept ------------------------------------------------------------------------------------------


def kept() -> Iterator[Finding]:
    """Yield where settings and keys are, and which keys there are."""
    place = folder("config")
    if place is None:
        yield Finding("settings", "place", WORTH_A_LOOK, f"none: {INSTALL}, or set {HOME}")
    else:
        yield from _settings(place / SETTINGS_FILE)
        if not is_private(place / KEYS_FILE):
            yield Finding(
                "settings",
                KEYS_FILE,
                BAD,
                f"others can read it: chmod 600 {_without_user(place / KEYS_FILE)}",
            )
    for variable, problem in wrong_variables(os.environ).items():
        yield Finding("settings", variable, BAD, paragraph(problem))
    try:
        stored = stored_keys()
    except GLMError as error:
        stored = {}
        yield Finding("keys", KEYS_FILE, BAD, paragraph(str(error)))
    for info in services():
        for source, key in _keys(info, stored):
            problem = info.key_problem(key)
            verdict = WORTH_A_LOOK if problem else GOOD
            yield Finding(
                "keys", info.name, verdict, f"{source}{f'; {problem}' if problem else ''}"
            )


def _settings(path: os.PathLike[str]) -> Iterator[Finding]:
    try:
        stored = Stored.unchecked()
    except ConfigurationError as error:
        yield Finding("settings", SETTINGS_FILE, BAD, paragraph(str(error)))
        return
    names = ", ".join(sorted(stored.values)) or "nothing is set"
    yield Finding("settings", SETTINGS_FILE, GOOD, f"{_without_user(path)}: {names}")
    for name in stored.values:
        try:
            stored.get(name)
        except ConfigurationError as error:
            yield Finding("settings", name, BAD, paragraph(str(error)))


def _without_user(path: os.PathLike[str]) -> str:
    """Return a path without the user's name in it."""
    home, shown = os.path.expanduser("~"), os.fspath(path)
    return shown.replace(home, "~", 1) if home != "/" and shown.startswith(home) else shown


def _keys(info: ServiceInfo, stored: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for variable in info.key_variables:
        if os.environ.get(variable):
            yield f"{variable} in the environment", os.environ[variable]
    if info.name in stored:
        yield "kept by glmclient keys", stored[info.name]


# -- how services are reached ------------------------------------------------------------------------------

_CERTIFICATES = ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def ways(choices: Mapping[str, Choices]) -> Iterator[Finding]:
    """Yield address and proxy of each service, without credentials, and whose certificates are trusted."""
    for name, choice in choices.items():
        try:
            with choice.client() as client:
                url = client.provider.url
                proxy = client._configuration.route().proxy(url)
        except GLMError:
            continue  # without a key or an address there is no way; the services' section says so
        through = f" through the proxy {_shown(proxy)}" if proxy else ""
        yield Finding("ways", name, GOOD, f"{url}{through}")
    for variable in _CERTIFICATES:
        path = os.environ.get(variable)
        if path:
            there = any(map(os.path.exists, path.split(os.pathsep)))
            text = (
                f"{path}{'' if there else ', which does not exist: correct or remove the variable'}"
            )
            yield Finding("ways", variable, GOOD if there else WORTH_A_LOOK, text)


def _shown(proxy: str) -> str:
    shown = origin(proxy)
    return f"{shown} (with credentials)" if scrubbed(proxy) != proxy else shown


# -- what an answer means ----------------------------------------------------------------------------------

_MEANINGS: tuple[tuple[type[GLMError], str], ...] = (
    (QuotaExceededError, "it answers, but the allowance is used up"),
    (ServiceBlockedError, "a wall stands in the way"),
    (RateLimitError, "it answers, but not so many at once"),
    (AuthenticationError, "it answers, but the key does not fit this door"),
    (PermissionDeniedError, "it answers, and the key is good, but not for this"),
    (NotFoundError, "something answers, but not what was asked for"),
    (ServerError, "it is there, and fails"),
    (APITimeoutError, "no answer in time"),
    (APIConnectionError, "it cannot be reached"),
)


def meaning(error: GLMError) -> str:
    """Return what an error says about the service, and its own words."""
    short = next(
        (words for kind, words in _MEANINGS if isinstance(error, kind)), "it does not answer"
    )
    return f"{short}. {paragraph(str(error))}"
