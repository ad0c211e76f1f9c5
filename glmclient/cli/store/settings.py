"""Settings: an argument, else the environment, else the file, else the default."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import click

from ...configuration import environment_key_fits
from ...core.http import checked_base_url
from ...errors import ConfigurationError
from ...providers import BUILT_IN, DEFAULT_SERVICE, ServiceInfo, service, service_names, services
from ..display.cells import visible_line
from .places import folder, is_private, read_object, write_object

__all__ = [
    "SETTINGS",
    "Settings",
    "Stored",
    "checked",
    "key_variables",
    "stored_keys",
    "variable_of",
    "write_keys",
    "wrong_variables",
]

SETTINGS_FILE = "settings.json"
KEYS_FILE = "keys.json"


def _text(name: str, value: str) -> str:
    if not value.strip():
        raise ConfigurationError(
            f"{name} must not be empty; to be without it: settings unset {name}"
        )
    return value


def _switch(name: str, value: str) -> bool:
    words = {"true": True, "yes": True, "on": True, "1": True}
    words |= {"false": False, "no": False, "off": False, "0": False}
    if value.lower() not in words:
        raise ConfigurationError(f"{name} must be on or off, not {value!r}.")
    return words[value.lower()]


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError(f"{name} must be seconds above 0, not {value!r}.")
    return seconds


_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


def _proxy(name: str, value: str) -> str:
    try:
        parts = urlsplit(value)
        good = parts.scheme in _PROXY_SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        good = False
    if not good:
        shown = value.rpartition("@")[2]  # a password may stand before it
        raise ConfigurationError(
            f"{name} must be a URL such as http://host:3128, with http, https, socks5 or socks5h, not {shown!r}."
        )
    return value


def _address(name: str, value: str) -> str:
    checked_base_url(value, name)
    return value


def _provider(name: str, value: str) -> str:
    if not _is_service(value):
        raise ConfigurationError(
            f"{name} must be one of {', '.join(sorted(service_names()))}, not {value!r}."
        )
    return value


SETTINGS: Mapping[str, tuple[Callable[[str, str], Any], str]] = {
    # name: how it is read, and what holds while it is not set
    "provider": (_provider, f"{DEFAULT_SERVICE} is asked"),
    "system": (_text, "there is no system message"),
    "timeout": (_seconds, "a whole answer may take as long as the library allows"),
    "proxy": (_proxy, "the environment's proxies are used"),
    "cert": (_text, "no client certificate is shown to servers that ask for one"),
    "plain": (_switch, "Markdown is rendered on a terminal; on leaves it as it is"),
    "hide_reasoning": (_switch, "the model's thinking is shown; on hides it"),
    "usage": (_switch, "tokens and timing are not shown; on shows them after an answer"),
    "save": (_switch, "the last conversation is kept for --continue; off keeps none"),
    "history": (_switch, "questions and answers are kept for `glmclient history`; off keeps none"),
    "SERVICE.model": (_text, "the service's own model is asked"),
    "SERVICE.base_url": (_address, "the service's own address is asked"),
}
"""Every setting by its name; ``SERVICE`` stands for the name of one."""

_OF_A_SERVICE = ("model", "base_url")


def _is_service(name: str) -> bool:
    return name in BUILT_IN or name in service_names()


def variable_of(name: str) -> str:
    """Return the environment's variable for a setting."""
    return f"GLMCLIENT_{name.upper()}"


def key_variables(provider: str) -> tuple[str, ...]:
    """Return the environment's variables for the key of a service."""
    return service(provider).key_variables


def checked(name: str, value: str) -> Any:
    """Return the value of a setting as it is kept.

    Raises:
        ConfigurationError: there is no such setting, or it cannot have this value.
    """
    owner, _, rest = name.rpartition(".")
    known = f"SERVICE.{rest}" if owner and _is_service(owner) else name
    if known not in SETTINGS or name.startswith("SERVICE."):
        named = [n for n in SETTINGS if "." not in n]
        named += [f"{p}.{n}" for p in service_names() for n in _OF_A_SERVICE]
        near = difflib.get_close_matches(name, named, 1, 0.4)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ConfigurationError(
            f"there is no setting {name!r}.{hint} `glmclient settings` lists them."
        )
    return SETTINGS[known][0](name, value)


@dataclass(frozen=True, slots=True)
class Stored:
    """The settings file."""

    values: Mapping[str, Any]

    @classmethod
    def read(cls) -> Stored:
        """Read the file; there may be none.

        Raises:
            ConfigurationError: it is damaged, or a setting in it is wrong.
        """
        stored = cls.unchecked()
        for name in stored.values:
            stored.get(name)
        return stored

    @classmethod
    def unchecked(cls) -> Stored:
        """Read the file, to show it or to mend it.

        Raises:
            ConfigurationError: it is damaged.
        """
        return cls(read_object("config", SETTINGS_FILE))

    def get(self, name: str) -> Any:
        """Return the value of a setting, ``None`` if it has none.

        Raises:
            ConfigurationError: it is wrong.
        """
        value = self.values.get(name)
        if name not in self.values:
            return None
        said = str(value).lower() if isinstance(value, bool) else str(value)
        try:
            checked(name, said)
        except ConfigurationError as error:
            raise ConfigurationError(
                f"a kept setting is wrong: {error} To be without it: `glmclient settings unset {name}`."
            ) from None
        return value

    def changed(self, name: str, value: Any) -> Stored:
        """Return the settings with another value; ``None`` takes it away."""
        rest = {known: v for known, v in self.values.items() if known != name}
        return Stored(rest if value is None else {**rest, name: value})

    def write(self) -> None:
        """Write the file.

        Raises:
            ConfigurationError: it cannot be written.
        """
        write_object("config", SETTINGS_FILE, dict(self.values))


class Settings:
    """What holds where an argument was not given.

    Args:
        stored: the settings file.
        environment: the environment's variables.
        keys: the stored keys; read when they are needed otherwise.
    """

    def __init__(
        self,
        stored: Stored | None = None,
        environment: Mapping[str, str] | None = None,
        keys: Mapping[str, str] | None = None,
    ) -> None:
        self.stored: Stored = stored if stored is not None else Stored.read()
        self._environment = environment if environment is not None else os.environ
        self._keys = keys

    def get(self, name: str, argument: Any = None) -> Any:
        """Return the argument if it was given, else the environment's value, else the file's, else ``None``.

        Raises:
            ConfigurationError: the environment's value is not possible.
        """
        if argument is not None:
            return argument
        variable = variable_of(name)
        said = self._environment.get(variable, "").strip()
        if said:
            return SETTINGS[name][0](variable, said)
        return self.stored.get(name)

    def model(self, provider: str, argument: str | None) -> str | None:
        """Return the model for a service."""
        said = argument or self._environment.get(variable_of("model"), "").strip()
        return said or self.stored.get(f"{provider}.model")

    def base_url(self, provider: str, argument: str | None) -> str | None:
        """Return the address of a service; ``None`` lets the environment and the default decide.

        Raises:
            ConfigurationError: the environment's address, or the file's, is none.
        """
        if argument is not None:
            return argument
        for variable in service(provider).url_variables:
            said = self._environment.get(variable, "").strip()
            if said:
                _address(variable, said)
                return None
        kept: str | None = self.stored.get(f"{provider}.base_url")
        return kept

    def address(self, provider: str) -> str:
        """Return the address of a service without an argument: the environment's, the file's, or its own.

        Raises:
            ConfigurationError: there is no such service, or an address is not valid.
        """
        info = service(provider)
        return (
            self._address_variable(info)
            or self.base_url(provider, None)
            or info.provider_class().default_url
        )

    def _address_variable(self, info: ServiceInfo) -> str | None:
        values = (self._environment.get(name, "").strip() for name in info.url_variables)
        return next((value for value in values if value), None)

    def key(self, provider: str, argument: str | None, base_url: str | None = None) -> str | None:
        """Return the key for a service; ``None`` lets the environment decide.

        Args:
            provider: the service.
            argument: a key that was typed, which goes to every address.
            base_url: an address that was typed. A stored key does not go there, unless the address is the service's
                own.
        """
        if argument is not None:
            return argument
        info = service(provider)
        address = self.base_url(provider, base_url)
        in_environment = any(self._environment.get(n, "").strip() for n in info.key_variables)
        if in_environment and environment_key_fits(info, address):
            return None
        if not self._stored_key_fits(info, base_url):
            return None
        kept = self._keys if self._keys is not None else stored_keys()
        if provider in kept and self._keys is None:
            _warn_of_readers()
        return kept.get(provider)

    def _stored_key_fits(self, info: ServiceInfo, argument: str | None) -> bool:
        """Tell whether the keys file's key may go to the address: a stored address has the same owner as the key."""
        if argument is not None:
            return info.is_own_address(info.provider_class().address_of(argument))
        return info.key_follows_address or info.is_own_address(self.address(info.name))


def wrong_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Return the environment's variables that are set to what they cannot be, and what is wrong with each."""
    read = {variable_of(name): how for name, (how, _) in SETTINGS.items() if "." not in name}
    read |= {variable: _address for info in services() for variable in info.url_variables}
    wrong: dict[str, str] = {}
    for variable, how in read.items():
        said = environment.get(variable, "").strip()
        try:
            if said:
                how(variable, said)
        except ConfigurationError as error:
            wrong[variable] = str(error)
    return wrong


def stored_keys() -> dict[str, str]:
    """Return the stored keys by the names of their services.

    Raises:
        ConfigurationError: the file of keys is damaged.
    """
    keys = read_object("config", KEYS_FILE)
    return {name: key for name, key in keys.items() if isinstance(key, str) and _is_service(name)}


def _warn_of_readers() -> None:
    """Write one line to standard error if other users can read the stored keys."""
    place = folder("config")
    if place is not None and not is_private(place / KEYS_FILE):
        line = f"glmclient: other users can read {place / KEYS_FILE}: chmod 600 it."
        click.echo(visible_line(line), err=True)


def write_keys(keys: Mapping[str, str]) -> None:
    """Write the stored keys to their file, of mode 0600.

    Raises:
        ConfigurationError: it cannot be written.
    """
    write_object("config", KEYS_FILE, dict(keys))
