"""The simulated services at one address, by name, and which of them a request is for."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..errors import ConfigurationError
from ..providers import BUILT_IN, ServiceInfo, service, service_names, services
from .http import SimulatedRequest
from .script import Dialect

__all__ = ["PROVIDERS", "Services", "simulated_names"]

PROVIDERS = tuple(name for name, info in BUILT_IN.items() if info.simulated is not None)
"""The services of this distribution that can be simulated; other distributions may add more."""

_FOLDER = "/services/"


class Services:
    """Some simulated services at one address.

    Each has the path ``/services/<its name>`` there; a path at the root belongs to the first dialect that has it.

    Args:
        provider: a name or a `ServiceInfo`, several, or ``"all"``.
        options: of the dialects; each takes those that it knows.

    Raises:
        ConfigurationError: there is no such service, it cannot be simulated, or there is no such option.
    """

    def __init__(
        self, provider: str | ServiceInfo | Sequence[str | ServiceInfo], options: Mapping[str, Any]
    ) -> None:
        self._infos = {info.name: info for info in _infos(provider)}
        self._dialects = _dialects(self._infos.values(), options)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the services."""
        return tuple(self._dialects)

    def info(self, name: str) -> ServiceInfo:
        """Return the row of a service that is simulated here, else the one of that name in the table."""
        return self._infos[name] if name in self._infos else service(name)

    @property
    def only(self) -> Dialect | None:
        """The dialect of the service if there is but one."""
        return next(iter(self._dialects.values())) if len(self._dialects) == 1 else None

    def path(self, name: str | None) -> str:
        """Return the path prefix of the service ``name``; the root is for the first, and for the only one.

        Raises:
            ConfigurationError: it is not simulated here.
        """
        if name is None or self.names == (name,):
            return ""
        if name not in self._dialects:
            raise ConfigurationError(
                f"{name!r} is not simulated here; there are {', '.join(self.names)}."
            )
        return f"{_FOLDER}{name}"

    def route(self, request: SimulatedRequest) -> tuple[Dialect | None, SimulatedRequest]:
        """Return the dialect that answers ``request``, and the request as that service would see it."""
        candidates, request = self._candidates(request)
        dialect = next((each for each in candidates if each.handles(request)), None)
        return dialect, replace(request, reader=None if dialect is None else dialect.prompt)

    def readable(self, request: SimulatedRequest) -> SimulatedRequest:
        """Return ``request`` with a `prompt`, if it is for a service that is here."""
        dialect, seen = self.route(request)
        # The reader knows the paths of its service, and not the prefix that many services at one address have.
        reader = None if dialect is None else lambda _: dialect.prompt(seen)
        return replace(request, reader=reader)

    def addressed(self, request: SimulatedRequest) -> Dialect | None:
        """Return the one service that the address names, whether it has the path or not; ``None`` for several."""
        candidates, _ = self._candidates(request)
        return candidates[0] if len(candidates) == 1 else None

    def _candidates(self, request: SimulatedRequest) -> tuple[list[Dialect], SimulatedRequest]:
        if not request.path.startswith(_FOLDER):
            return list(self._dialects.values()), request
        name, slash, rest = request.path.removeprefix(_FOLDER).partition("/")
        named = [dialect for own, dialect in self._dialects.items() if own == name]
        return named, replace(request, path=slash + rest)


def simulated_names() -> tuple[str, ...]:
    """Return the names of the services that have a server half, those of other distributions included."""
    return tuple(info.name for info in services() if info.simulated is not None)


def _infos(
    provider: str | ServiceInfo | Sequence[str | ServiceInfo],
) -> tuple[ServiceInfo, ...]:
    chosen = (provider,) if isinstance(provider, (str, ServiceInfo)) else tuple(provider)
    names = simulated_names() if chosen == ("all",) else chosen
    for name in names:
        if not isinstance(name, ServiceInfo) and name not in service_names():
            raise ConfigurationError(
                f"no service {name!r} can be simulated; there are {', '.join(simulated_names())}, and 'all'."
            )
    if not names:
        raise ConfigurationError("name at least one service to simulate.")
    return tuple(name if isinstance(name, ServiceInfo) else service(name) for name in names)


def _dialects(infos: Iterable[ServiceInfo], options: Mapping[str, Any]) -> dict[str, Dialect]:
    """Make the dialects, each with the options that it takes.

    Raises:
        ConfigurationError: an option is one that none of them takes.
    """
    made: dict[str, Dialect] = {}
    known: set[str] = set()
    for info in infos:
        dialect: Callable[..., Dialect] = info.simulated_class()
        takes = set(inspect.signature(dialect).parameters)
        known |= takes
        made[info.name] = dialect(**{o: value for o, value in options.items() if o in takes})
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, sorted(known), 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(
                f"{', '.join(made)} cannot be simulated with the option {option!r}.{hint} "
                f"There are: {', '.join(sorted(known))}."
            )
    return made
