"""Observers: what a program may see of every question that its client asks, without touching the answer.

The exchange calls them, so that both clients, every transport, recording and replaying, `map`, `batch` and runs tell
observers the same. The calls happen in the thread or task that reads the stream, between two steps. Without an observer
the exchange makes one check for each batch of events.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from ..errors import ConfigurationError, GLMError
from ..events import Event, Finish
from ..messages import Messages
from .secrets import is_credential

__all__ = ["ExchangeInfo", "Observation", "Observations", "Observer", "Observers", "exchange_info"]

log: logging.Logger = logging.getLogger("glmclient.observer")


@dataclass(frozen=True, slots=True)
class ExchangeInfo:
    """One question, as an `Observer` learns of it. It contains no key.

    Args:
        provider: the name of the service, such as ``zai``.
        model: the model of the question, or the default one; ``None`` if the service chooses.
        options: the options of the question, copied; the values of members that may hold credentials, such as the
            headers of a tool's server, are ``***``.
        address: the URL of the service.
        messages: the messages of the question, copied.
    """

    provider: str
    model: str | None
    options: Mapping[str, Any] = field(repr=False)
    address: str
    messages: tuple[Mapping[str, Any], ...] = field(repr=False)


class Observation(Protocol):
    """One exchange as it is observed. The methods must not wait: they run between two steps of the stream."""

    def attempt_failed(self, error: GLMError, attempt: int) -> object:
        """An attempt failed. The exchange tries again, or ends with this error.

        Args:
            error: what went wrong.
            attempt: the number of the attempt, from 1 on.
        """

    def events(self, batch: Sequence[Event]) -> object:
        """Events arrived together, and are about to be handed to the reader; a reader that leaves may not take all."""

    def finished(self, outcome: Finish | BaseException | None) -> object:
        """The exchange ended; called exactly once, also by garbage collection, and then in any thread.

        Args:
            outcome: the `Finish` of the answer, the exception that ended the stream, or ``None`` if the reader left
                early: by a break, by closing the stream, or because its task was cancelled.
        """


class Observer(Protocol):
    """Sees the exchanges of clients that have it as ``observer=``.

    Clients, threads and tasks may share one. An exception of an observer is logged once and changes no stream.
    """

    def started(self, exchange: ExchangeInfo) -> Observation | None:
        """An exchange begins; nothing was sent yet.

        Returns:
            What observes it; ``None`` if this exchange is of no interest.
        """


class Observers:
    """The observers of one client.

    Args:
        observer: the argument of the client.
        more: observers of the whole program.

    Raises:
        ConfigurationError: ``observer`` is neither an observer nor a sequence of observers.
    """

    def __init__(self, observer: Any, more: Sequence[Observer] = ()) -> None:
        single = callable(getattr(observer, "started", None))
        if not single and (
            isinstance(observer, (str, bytes)) or not isinstance(observer, Iterable)
        ):
            raise ConfigurationError(
                f"observer must have a method started(exchange), or be a sequence of such objects, not "
                f"{type(observer).__name__}."
            )
        own = (observer,) if single else tuple(observer)
        for each in own:
            if not callable(getattr(each, "started", None)):
                raise ConfigurationError(
                    f"observer must consist of objects with a method started(exchange); {type(each).__name__} has none."
                )
        self._observers: tuple[Observer, ...] = (*own, *more)
        self._reported: set[int] = set()

    def __bool__(self) -> bool:
        return bool(self._observers)

    def started(self, info: ExchangeInfo) -> Observations:
        """Tell all observers of an exchange and return their observations."""
        observations: list[tuple[Observer, Observation]] = []
        for observer in self._observers:
            try:
                observation = observer.started(info)
            except Exception as error:  # noqa: BLE001 - an observer never touches the stream
                self.report(observer, error)
            else:
                if observation is not None:
                    observations.append((observer, observation))
        return Observations(self, observations)

    def report(self, observer: Observer, error: Exception) -> None:
        """Log that an observer raised, the first time that it does."""
        if id(observer) not in self._reported:
            self._reported.add(id(observer))
            log.error(
                "the observer %s raised %s; the stream goes on. Further exceptions of this observer are not logged.",
                type(observer).__name__,
                type(error).__name__,
                exc_info=error,
            )


class Observations:
    """The observations of one exchange."""

    __slots__ = ("_observations", "_observers", "_process", "ended")

    def __init__(
        self, observers: Observers, observations: Iterable[tuple[Observer, Observation]]
    ) -> None:
        self._observers = observers
        self._observations = tuple(observations)
        self._process = os.getpid()
        self.ended: bool = False

    def attempt_failed(self, error: GLMError, attempt: int) -> None:
        """Pass on that an attempt failed."""
        for observer, observation in self._observations:
            try:
                observation.attempt_failed(error, attempt)
            except Exception as failure:  # noqa: BLE001 - an observer never touches the stream
                self._observers.report(observer, failure)

    def events(self, batch: Iterable[Event]) -> None:
        """Pass on a batch of events; observers get a copy, since the reader's batch is consumed later."""
        copy = tuple(batch)
        for observer, observation in self._observations:
            try:
                observation.events(copy)
            except Exception as failure:  # noqa: BLE001 - an observer never touches the stream
                self._observers.report(observer, failure)

    def finished(self, outcome: Finish | BaseException | None) -> None:
        """Pass on the end, once. The copy of an exchange in a forked process belongs to the parent."""
        if self.ended or self._process != os.getpid():
            return
        self.ended = True
        for observer, observation in self._observations:
            try:
                observation.finished(outcome)
            except Exception as failure:  # noqa: BLE001 - an observer never touches the stream
                self._observers.report(observer, failure)


def exchange_info(
    provider: str,
    model: str | None,
    options: Mapping[str, Any],
    address: str,
    messages: Messages,
) -> ExchangeInfo:
    """Return the description of a question, as copies without credentials.

    The continuation is left out: it is opaque, may contain a whole conversation, and is for the service alone.
    """
    if isinstance(messages, str):
        messages = ({"role": "user", "content": messages},)
    known = {
        name: value
        for name, value in options.items()
        if value is not None and name != "continuation"
    }
    return ExchangeInfo(
        provider, model, _copy(known), address, tuple(_copy(message) for message in messages)
    )


def _copy(value: Any) -> Any:
    """Return a copy of plain data, with ``***`` in place of strings whose name says that they are credentials."""
    if isinstance(value, Mapping):
        return {name: _member(name, each) for name, each in value.items()}
    return [_copy(each) for each in value] if isinstance(value, (list, tuple)) else value


def _member(name: Any, value: Any) -> Any:
    hidden = isinstance(value, str) and isinstance(name, str) and is_credential(name)
    return "***" if hidden else _copy(value)
