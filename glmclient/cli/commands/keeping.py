"""``keys`` and ``settings``: what is kept between two runs."""

from __future__ import annotations

import os
import re
import sys
from typing import Any

import click

from ...errors import ConfigurationError
from ...providers import services
from .. import exit_codes
from ..display.cells import visible_line
from ..parameters import ServiceName
from ..store.places import INSTALL, folder, is_private
from ..store.settings import (
    KEYS_FILE,
    SETTINGS,
    SETTINGS_FILE,
    Stored,
    checked,
    stored_keys,
    variable_of,
    write_keys,
)

__all__ = ["keys", "settings"]


class _KeyOwner(ServiceName):
    """The name of a service that takes a key."""

    def names(self) -> tuple[str, ...]:
        return tuple(info.name for info in services() if info.takes_key)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value not in self.names():
            self.fail(f"{value!r} is not one of {', '.join(map(repr, self.names()))}.", param, ctx)
        return str(value)


@click.group(invoke_without_command=True)
@click.pass_context
def keys(ctx: click.Context) -> None:
    """Keep keys, in a file that only you can read; without a command, tell which there are.

    A key is never shown. An argument --key comes first, then the environment, then what is kept here.
    """
    if ctx.invoked_subcommand is not None:
        return
    kept = stored_keys()
    for info in services():
        if not info.takes_key:
            continue
        name = info.name
        variables = [v for v in info.key_variables if os.environ.get(v, "").strip()]
        sources = [
            *(f"from {v} in the environment" for v in variables),
            *(["kept"] * (name in kept)),
        ]
        click.echo(f"{name:<10}{', '.join(sources) or 'none'}")
    place = folder("config")
    if place is not None and not is_private(place / KEYS_FILE):
        click.echo(f"Others can read {place / KEYS_FILE}: chmod 600 it.", err=True)


@keys.command("set")
@click.argument("provider", type=_KeyOwner())
def set_key(provider: str) -> int:
    """Keep a key; it is asked for without being shown, or read from standard input."""
    key = _typed(f"Key for {provider}").strip()
    if not key:
        raise ConfigurationError("nothing was given; no key was kept.")
    if any(character.isspace() for character in key):
        raise ConfigurationError("a key is one word; nothing was kept.")
    write_keys({**stored_keys(), provider: key})
    click.echo(f"The key for {provider} is kept.", err=True)
    return exit_codes.OK


def _typed(question: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.readline()
    typed: str = click.prompt(question, hide_input=True, err=True)
    return typed


@keys.command("remove")
@click.argument("provider", type=_KeyOwner())
def remove_key(provider: str) -> int:
    """Forget a key."""
    kept = stored_keys()
    if provider not in kept:
        raise ConfigurationError(f"no key for {provider} is kept.")
    del kept[provider]
    write_keys(kept)
    click.echo(f"The key for {provider} is forgotten.", err=True)
    return exit_codes.OK


@keys.command("path")
def keys_path() -> int:
    """Tell where the keys are kept."""
    return _tell_path(KEYS_FILE)


@click.group(invoke_without_command=True)
@click.pass_context
def settings(ctx: click.Context) -> None:
    """Keep settings; without a command, show them.

    An argument comes first, then the environment, then what is kept here, then the default.
    """
    if ctx.invoked_subcommand is not None:
        return
    stored = Stored.unchecked()
    kept = stored.values
    for name, (_, what) in SETTINGS.items():
        variable = variable_of(name.removeprefix("SERVICE."))
        said = os.environ.get(variable, "").strip() if name != "SERVICE.base_url" else ""
        if said:
            click.echo(f"{name} = {_shown(said)}   (from {variable} in the environment)")
        elif name in kept:
            click.echo(f"{name} = {_shown(kept[name])}")
        elif not name.startswith("SERVICE."):
            click.echo(f"{name} is not set: {what}")
    for name in sorted(kept):
        if "." in name:
            click.echo(f"{visible_line(name)} = {_shown(kept[name])}")
    unset = [name for name in SETTINGS if name.startswith("SERVICE.")]
    click.echo(f"For each service: {', '.join(unset)}.", err=True)
    for name in kept:
        stored.get(name)  # raises for one that is wrong, when all are shown


def _shown(value: object) -> str:
    """Return a value as it is shown: without the password of an address."""
    if isinstance(value, bool):
        return "on" if value else "off"
    return visible_line(_CREDENTIALS.sub(r"\1***@", str(value)))


# Up to the last "@" before the path: a password may contain that character unescaped.
_CREDENTIALS = re.compile(r"^(\s*(?:[A-Za-z][A-Za-z0-9+.-]*:)?//)[^/?#]*@")


@settings.command("set")
@click.argument("name")
@click.argument("value")
def set_setting(name: str, value: str) -> int:
    """Keep a setting, such as `provider zai` or `zai.model glm-4.6`."""
    Stored.unchecked().changed(name, checked(name, value)).write()
    return exit_codes.OK


@settings.command("unset")
@click.argument("name")
def unset_setting(name: str) -> int:
    """Forget a setting."""
    stored = Stored.unchecked()
    if name not in stored.values:
        raise ConfigurationError(f"{name} is not set.")
    stored.changed(name, None).write()
    return exit_codes.OK


@settings.command("path")
def settings_path() -> int:
    """Tell where the settings are kept."""
    return _tell_path(SETTINGS_FILE)


def _tell_path(name: str) -> int:
    place = folder("config")
    if place is None:
        raise ConfigurationError(f"the platform's folder for settings is not known: {INSTALL}.")
    click.echo(place / name)
    return exit_codes.OK
