"""``doctor``: what is installed, how the services are reached, which key fits which door, and who answers."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import click

from ...configuration import environment_key_fits
from ...errors import APIStatusError, ConfigurationError, GLMError
from ...providers import DEFAULT_SERVICE, ServiceInfo, service, service_names, services
from .. import exit_codes
from ..display.answering import told
from ..display.cells import json_text, visible, wrapped
from ..display.failures import paragraph
from ..display.screen import terminal_size
from ..parameters import Choices, choices_of, service_options
from ..store.settings import Settings, Stored, key_variables, stored_keys
from .checks import BAD, GOOD, SKIPPED, WORTH_A_LOOK, Finding, installed, kept, meaning, ways

if TYPE_CHECKING:
    from typing import TypeGuard

__all__ = ["doctor"]

SECONDS = 30.0
"""How long a service may take to answer, unless --timeout says otherwise."""
QUESTION = "Reply with the single word OK."


@click.command()
@service_options
@click.option(
    "--ask", "ask", is_flag=True, help="Ask the platforms a question too; it costs a few tokens."
)
@click.option("--offline", is_flag=True, help="Touch no network.")
@click.option(
    "--doors",
    is_flag=True,
    help="Try each platform key at every door of the platform; each door sees every key.",
)
@click.option("--json", "as_json", is_flag=True, help="The findings as a JSON list.")
def doctor(ask: bool, offline: bool, doors: bool, as_json: bool, **given: Any) -> int:
    """Find out why something does not work.

    Tells versions, proxies, where settings are kept, which keys there are, and whether each service answers and what
    its answer means. No key, no password and no answer is shown, so that the output can be sent to others.

    Without -p it looks at every service; -m, --base-url and --key are for the one that a question would go to, and
    the others never see them.
    """
    choices, wrong = _choices(_readable_settings(), given)
    with told(given["verbose"]):
        findings = _findings(choices, wrong, ask=ask, offline=offline, doors=doors)
        worst = _told_as_json(findings) if as_json else _told_as_text(findings)
    return exit_codes.OTHER if worst else exit_codes.OK


def _readable_settings() -> Settings:
    """Return the settings without files that are damaged; the findings tell of those.

    A single setting that is wrong stays: what it was for is not done without it, such as a proxy.
    """
    stored, keys = Stored({}), dict[str, str]()
    with contextlib.suppress(ConfigurationError):
        stored = Stored.unchecked()
    with contextlib.suppress(ConfigurationError):
        keys = stored_keys()
    return Settings(stored, keys=keys)


_OF_ONE_SERVICE: Mapping[str, None] = {"model": None, "base_url": None, "key": None}
"""Arguments that mean one service: a key must not reach the address of another."""


def _choices(
    settings: Settings, given: Mapping[str, Any]
) -> tuple[dict[str, Choices], dict[str, ConfigurationError]]:
    """Return how to reach each service, and why some cannot be asked."""
    meant = given["provider"] or _default_service(settings)
    choices: dict[str, Choices] = {}
    wrong: dict[str, ConfigurationError] = {}
    for name in [given["provider"]] if given["provider"] else service_names():
        own = {} if name == meant else _OF_ONE_SERVICE
        try:
            choices[name] = choices_of(settings, {**given, **own, "provider": name})
        except ConfigurationError as error:
            wrong[name] = error
    return choices, wrong


def _default_service(settings: Settings) -> str | None:
    """Return the service that a question would go to; ``None`` if the setting for it is wrong."""
    try:
        name: str = settings.get("provider") or DEFAULT_SERVICE
    except ConfigurationError:  # the findings tell of it
        return None
    return name


def _findings(
    choices: Mapping[str, Choices],
    wrong: Mapping[str, ConfigurationError],
    *,
    ask: bool,
    offline: bool,
    doors: bool,
) -> Iterator[Finding]:
    yield from installed()
    yield from kept()
    yield from ways(choices)
    if offline:
        return
    for name, error in wrong.items():
        yield Finding("services", name, BAD, f"not asked: {paragraph(str(error))}")
    for name, choice in choices.items():
        yield _service(choice, question=ask or service(name).check == "question")
    if doors:
        yield from _doors(choices)


def _told_as_text(findings: Iterable[Finding]) -> bool:
    section, worst = "", False
    for finding in findings:
        if finding.section != section:
            click.echo(f"{'' if not section else chr(10)}{finding.section}")
            section = finding.section
        click.echo(f"  {finding.mark:<4}{finding.subject:<20}{_in_columns(finding.text)}")
        worst = worst or finding.verdict == BAD
    return worst


_COLUMN = 26


def _in_columns(text: str) -> str:
    """Return a text wrapped under itself on a terminal, and on its own lines elsewhere."""
    text = visible(text)
    if not sys.stdout.isatty():
        return text
    return wrapped(text, terminal_size()[0] - _COLUMN).replace("\n", f"\n{' ' * _COLUMN}")


def _told_as_json(findings: Iterable[Finding]) -> bool:
    found = list(findings)
    text = json.dumps([asdict(finding) for finding in found], ensure_ascii=False)
    click.echo(json_text(text, sys.stdout.encoding))
    return any(finding.verdict == BAD for finding in found)


# -- the services ------------------------------------------------------------------------------------------


def _service(choices: Choices, *, question: bool) -> Finding:
    """Ask one service, and say what its answer means."""
    name = choices.provider
    info = service(name)
    if info.needs_url and choices.base_url is None:
        return Finding("services", name, SKIPPED, "not asked: no address (--base-url)")
    if not question and not _has_key(choices):
        variables = " or ".join(key_variables(name))
        return Finding(
            "services",
            name,
            SKIPPED,
            f"not asked: no key ({variables}, or glmclient keys set {name})",
        )
    try:
        began = time.monotonic()
        found = _tried(choices, question=question)
        return Finding(
            "services", name, GOOD, f"answers in {time.monotonic() - began:.1f} s: {found}"
        )
    except ConfigurationError as error:
        return Finding("services", name, BAD, f"not asked: {paragraph(str(error))}")
    except GLMError as error:
        if not info.promises_models and _lists_nothing(error):
            return Finding(
                "services",
                name,
                WORTH_A_LOOK,
                f"{_no_list(error)} (--ask). Check the address, if it is not the platform's own",
            )
        return Finding("services", name, BAD, meaning(error))


def _lists_nothing(error: GLMError) -> TypeGuard[APIStatusError]:
    """Tell whether there is no list of models; the platform does not promise one."""
    return isinstance(error, APIStatusError) and error.status_code in (404, 405)


def _no_list(error: APIStatusError) -> str:
    return f"no list of models there ({error.status_code}); the key was not tried"


def _has_key(choices: Choices) -> bool:
    info = service(choices.provider)
    in_environment = any(os.environ.get(name, "").strip() for name in info.key_variables)
    return choices.key is not None or in_environment or info.key != "required"


def _tried(choices: Choices, *, question: bool) -> str:
    choices = replace(choices, timeout=choices.timeout or SECONDS)
    with choices.client(retry=None) as client:
        if question:
            reply = client.chat(QUESTION)
            model = reply.finish.model if reply.finish is not None else None
            return f"{len(reply.text)} characters{f' by {model}' if model else ''}"
        # The platform's models are known here, and would stand in for a list that is not there.
        client.provider.models = ()
        count = len(client.models())
    return f"{count} models" + (
        "; the key fits" if service(choices.provider).key == "required" else ""
    )


# -- the doors ---------------------------------------------------------------------------------------------


def _doors(choices: Mapping[str, Choices]) -> Iterator[Finding]:
    """Try every key of a family of services at every endpoint of that family."""
    keys = {
        info.name: (info, key)
        for info in services()
        if info.family and info.name in choices and (key := _key(choices[info.name]))
    }
    if not keys:
        yield Finding("doors", "no key", SKIPPED, "there is no platform key to try")
    for owner, (info, key) in keys.items():
        for door, (provider, url) in _endpoints(info.family, choices).items():
            at_door = replace(choices[owner], provider=provider, base_url=url, key=key)
            subject = f"key of {owner}"
            try:
                _tried(at_door, question=False)
            except GLMError as error:
                why = _no_list(error) if _lists_nothing(error) else meaning(error)
                yield Finding("doors", subject, SKIPPED, f"at {door}: {why}")
            else:
                yield Finding("doors", subject, GOOD, f"fits {door} ({url})")


def _endpoints(family: str, choices: Mapping[str, Choices]) -> dict[str, tuple[str, str]]:
    """Return the service and the address of each endpoint of a family, by its label."""
    endpoints: dict[str, tuple[str, str]] = {}
    for info in services():
        if info.family == family:
            for label, attribute in info.endpoints.items():
                url: str = getattr(info.provider_class(), attribute)
                if label == info.name:
                    url = _configured_address(info, choices.get(info.name)) or url
                endpoints[label] = info.name, url
    return endpoints


def _configured_address(info: ServiceInfo, choices: Choices | None) -> str | None:
    """Return the address that is set up for a service; not one that was typed without a key for it."""
    if (
        choices is not None
        and choices.base_url is not None
        and (choices.key is not None or environment_key_fits(info, choices.base_url))
    ):
        return choices.base_url
    variables = (os.environ.get(name, "").strip() for name in info.url_variables)
    return next((value for value in variables if value), None)


def _key(choices: Choices) -> str | None:
    said = (os.environ.get(name, "").strip() for name in key_variables(choices.provider))
    return choices.key or next((value for value in said if value), None)
