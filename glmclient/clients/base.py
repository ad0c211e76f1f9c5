"""What both clients are: a checked configuration, and how a question becomes an exchange."""

from __future__ import annotations

import dataclasses
import os
import weakref
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from .._visible import complete_repr
from ..configuration import Configuration, checked_retry, configured
from ..core.exchange import Exchange, Flow
from ..core.http import without_user
from ..core.limits import Limits, Timeout
from ..core.retry import RetryPolicy
from ..core.secrets import hides_arguments, is_credential
from ..errors import ConfigurationError, StreamMisuse
from ..events import Finish
from ..messages import Messages
from ..providers import DEFAULT_SERVICE
from ..providers.base import Provider
from ..reply import Reply
from ..signatures import complete
from ..streams.base import BaseStream
from ..transports.attached import AttachedTransport, Attachment
from .methods import ClientMethods

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..batch.limiter import Limiter
    from ..cassette import Replay
    from ..core.observing import Observations, Observer, Observers
    from ..routes import Cert
    from ..schemas.answer import TypedAnswer
    from ..schemas.rounds import Repairs
    from ..transports.base import AsyncTransport, SyncTransport

__all__ = ["BaseClient"]

_NOT_OPTIONS = frozenset({"model", "timeout", "retry", "continue_from"})
"""The keys of `QuestionArguments` that are not options of the provider."""


class BaseClient(ClientMethods):
    """A client of one service.

    Args:
        provider: the name of a service, such as ``chatglm`` or ``zai``, or a provider object.
        model: the model for every question that does not name one; the provider's own default otherwise.
        api_key: the key or token; from the provider's environment variable otherwise, which goes to the provider's
            own addresses only.
        base_url: replaces scheme, host and path prefix of the service.
        timeout: time limits; a number of seconds limits the whole stream, ``None`` lifts every limit.
        retry: how often to try before the first event; ``None`` for a single attempt.
        proxy: the URL of an HTTP, HTTPS or SOCKS proxy for everything.
        verify: ``True``, a path to CA certificates, or ``False`` to trust anybody.
        cert: the client's own certificate, for servers that ask for one: a PEM file with certificate and private key, a
            pair of files, or ``(certificate, key, password)`` for an encrypted key. A proxy never sees it.
        headers: sent with every request, in place of the provider's own of the same name.
        trust_env: use the proxies and CA certificates that the environment names.
        limits: bounds on what is held in memory.
        http_backend: what carries the asynchronous client's requests; ``aiohttp`` needs the extra of that name.
        record: a file to record every exchange to, without keys and ids.
        replay: a recorded file, or a `Replay`, that answers in place of the service; no key is needed.
        transport: performs the requests in place of an HTTP library: an object with the methods of
            `glmclient.transports.SyncTransport`, or of `AsyncTransport` for the asynchronous client.
        limiter: bounds everything that the client sends; clients, threads and event loops may share one.
        observer: an `Observer`, or a sequence of them, that sees every question, its events and its end.

    Raises:
        ConfigurationError: an argument is wrong or a key is missing; nothing was sent.
        CassetteError: a cassette cannot be read or written.
    """

    _transport: Any
    _TRANSPORT_METHODS: ClassVar[tuple[str, ...]] = ()
    _key_goes_along: bool = False
    """The caller gave a key for this address; a pickled copy may then use the one of its own environment there."""

    def __init_subclass__(cls) -> None:
        complete(cls, ClientMethods)

    @hides_arguments
    def __init__(
        self,
        provider: str | Provider = DEFAULT_SERVICE,
        *,
        model: str | None = None,
        api_key: str | None = None,
        base_url: str | None = None,
        timeout: Timeout | float | None = Timeout(),  # noqa: B008 - a frozen value
        retry: RetryPolicy | None = RetryPolicy(),  # noqa: B008 - a frozen value
        proxy: str | None = None,
        verify: bool | str | os.PathLike[str] = True,
        headers: Mapping[str, str] | None = None,
        trust_env: bool = True,
        limits: Limits | None = None,
        http_backend: Literal["httpx", "aiohttp"] = "httpx",
        record: str | os.PathLike[str] | None = None,
        replay: str | os.PathLike[str] | Replay | None = None,
        cert: Cert | None = None,
        limiter: Limiter | None = None,
        transport: SyncTransport | AsyncTransport | None = None,
        observer: Observer | Sequence[Observer] | None = None,
    ) -> None:
        self._observer = observer
        self._observers = _checked_observers(observer)
        self._limiter = _checked_limiter(limiter)
        key_is_given = api_key is not None
        self._given_transport = transport = self._chosen_transport(record, replay, transport)
        attached = transport if isinstance(transport, AttachedTransport) else None
        if attached is not None:
            api_key, base_url = attached.stand_ins(provider, api_key, base_url)
        self._arguments: dict[str, Any] = {
            "provider": provider,
            "model": model,
            "base_url": base_url,
            "timeout": timeout,
            "retry": retry,
            "proxy": proxy,
            "verify": verify,
            "cert": cert,
            "headers": headers,
            "trust_env": trust_env,
            "limits": limits,
            "http_backend": http_backend,
        }
        self._configuration: Configuration = configured(
            api_key=api_key, key_goes_along=self._key_goes_along, **self._arguments
        )
        self._key_goes_along = self._key_goes_along or key_is_given
        if attached is not None and attached.clock is not None:
            self._configuration = dataclasses.replace(self._configuration, clock=attached.clock)
        self._streams: dict[int, weakref.ref[BaseStream]] = {}
        self._closed = False
        self._schema_forms: dict[str | None, str] = {}
        """The forms in which the service accepts schemas, by model, where it refused its strictest one."""
        self._connect()

    def _chosen_transport(self, record: Any, replay: Any, transport: Any) -> Any:
        """Return the transport that the caller chose, by itself or by a shorthand; ``None`` is the client's own.

        Raises:
            ConfigurationError: the arguments exclude each other.
            CassetteError: the cassette cannot be read.
        """
        for name, value in (("record", record), ("transport", transport)):
            if value is not None and replay is not None:
                raise ConfigurationError(f"{name} and replay exclude each other; give one of them.")
        if replay is not None:
            return self._replaying(replay)
        return transport if record is None else self._recording(record, transport)

    def _recording(self, path: str | os.PathLike[str], inner: Any) -> AttachedTransport:
        """Return the transport that ``record=`` stands for."""
        raise TypeError("use SyncClient or AsyncClient")

    def _replaying(self, replay: Any) -> AttachedTransport:
        """Return the transport that ``replay=`` stands for."""
        raise TypeError("use SyncClient or AsyncClient")

    def _default_transport(self) -> Any:
        """Return a transport of the client's own library; no connection is opened."""
        raise TypeError("use SyncClient or AsyncClient")

    def _connect(self) -> None:
        """Make the transport; no connection is opened."""
        own, transport = self._configuration, self._given_transport
        if transport is None:
            self._transport = self._default_transport()
            return
        if isinstance(transport, AttachedTransport):
            transport = transport.attach(
                Attachment(own.provider.name, own.provider.url, own.clock, self._default_transport)
            )
        self._transport = checked_transport(transport, *self._TRANSPORT_METHODS)

    @property
    def provider(self) -> Provider:
        """The provider: its name, address, models, and what it supports."""
        return self._configuration.provider

    @property
    def default_model(self) -> str | None:
        """The model for every question that does not name one; ``None`` leaves it to the service."""
        own = self._configuration.model
        return own if own is not None else self.provider.default_model

    @complete_repr
    def __repr__(self) -> str:
        return f"{type(self).__name__}(provider={self.provider.name!r}, url={self.provider.url!r})"

    def __copy__(self) -> Self:
        """Return a client of the same configuration, key included, with connections of its own.

        Copies record into the same file and share a transport of the caller's own.
        """
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__dict__)
        twin._streams, twin._closed = {}, False
        twin._schema_forms = dict(self._schema_forms)
        twin._connect()
        return twin

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        # The configuration never changes, and a key cannot be copied member by member, since pickling refuses it.
        return self.__copy__()

    def __getstate__(self) -> dict[str, Any]:
        """Return the configuration alone: no connection, no key, no credential among the headers or in the proxy.

        The copy takes its key from the environment, as any client does. It does not record: two would overwrite each
        other's file.
        """
        given = {**self._arguments, "key_goes_along": self._key_goes_along}
        given["transport"] = self._given_transport
        given["observer"] = self._observer
        headers, proxy, cert = given["headers"], given["proxy"], given["cert"]
        if headers is not None:
            given["headers"] = {k: v for k, v in headers.items() if not is_credential(k)}
        if proxy is not None:
            given["proxy"] = without_user(proxy)
        if isinstance(cert, (tuple, list)):
            given["cert"] = tuple(cert[:2])  # without the password
        return given

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._key_goes_along = state["key_goes_along"]
        self.__init__(**{k: v for k, v in state.items() if k != "key_goes_along"})  # type: ignore[misc]

    # -- a question becomes an exchange --------------------------------------------------------------------

    def _ask(
        self,
        messages: Messages,
        arguments: Mapping[str, Any],
        schema: Any = None,
        limiter: Limiter | None = None,
    ) -> tuple[Exchange, Flow[None], TypedAnswer | None]:
        """Return what performs a question; ``arguments`` are `QuestionArguments`."""
        provider = self.provider
        options = {name: value for name, value in arguments.items() if name not in _NOT_OPTIONS}
        previous = arguments.get("continue_from")
        if previous is not None:
            options.update(_continuing(previous))
        if options.get("tools") is not None:
            options["tools"] = _described(options["tools"])
        model = arguments.get("model")
        if model is None:
            model = self._configuration.model
        typed = None
        if schema is not None:
            from ..schemas.answer import TypedAnswer
            from ..schemas.rounds import Asking, question_of

            question = question_of(schema)
            asking = Asking(provider, question, messages, model, options, self._schema_forms)
            messages, options = asking.asked
            attempt, typed = asking.attempt, TypedAnswer(question)
        else:
            chat = provider.prepare(messages, model, options)

            def attempt(exchange: Exchange) -> Flow[None]:
                return provider.attempt(chat, exchange)

        if isinstance(self._transport, AttachedTransport):
            self._transport.question(messages, model, options)
        exchange = self._exchange(arguments, limiter, lambda: _tokens(messages, options))
        if self._observers is not None:
            exchange.observe = self._observed(messages, model, options)
        return exchange, exchange.turn(lambda: attempt(exchange)), typed

    def _observed(
        self, messages: Messages, model: str | None, options: Mapping[str, Any]
    ) -> Callable[[], Observations]:
        """Return what tells the observers of a question when its exchange begins."""
        from ..core.observing import exchange_info

        observers, provider = self._observers, self.provider
        model = model if model is not None else provider.default_model
        info = exchange_info(provider.name, model, options, provider.url, messages)
        return lambda: observers.started(info)  # type: ignore[union-attr]

    def _repairs(self, rounds: int, messages: Messages, arguments: Mapping[str, Any]) -> Repairs:
        """Return the further rounds of a question with a schema."""
        from ..schemas.rounds import Repairs

        timeout, clock = self._timeout(arguments), self._configuration.clock
        return Repairs(rounds, messages, arguments, timeout, clock)

    def _timeout(self, arguments: Mapping[str, Any]) -> Timeout:
        """Return the time limits of a question: its own, or the client's."""
        own = self._configuration.timeout
        return Timeout.of(arguments["timeout"]) if "timeout" in arguments else own

    def _open_streams(self) -> list[Any]:
        """Return the streams that are open; it is a copy, since other threads may begin and end some."""
        found = [reference() for reference in list(self._streams.values())]
        return [stream for stream in found if stream is not None]

    def _exchange(
        self,
        arguments: Mapping[str, Any],
        limiter: Limiter | None = None,
        tokens: Callable[[], int] = int,
    ) -> Exchange:
        """Return a new exchange.

        Args:
            arguments: of the question; its time limits and its retry policy, if it has its own.
            limiter: of one call of `map`, which waits out refusals for rate.
            tokens: estimates the tokens of the question, for the limiters.
        """
        if self._closed:
            raise StreamMisuse(
                "this client was closed: make another one, or enter it again by `with`."
            )
        own = self._configuration
        limiters = tuple(each for each in (limiter, self._limiter) if each is not None)
        return own.exchange(
            self._timeout(arguments),
            checked_retry(arguments["retry"]) if "retry" in arguments else own.retry,
            limiters=limiters,
            patient=limiter is not None,
            tokens=tokens() if limiters else 0,
        )


def checked_transport(transport: Any, *methods: str) -> Any:
    """Return a transport that the caller made.

    Raises:
        ConfigurationError: it lacks one of the methods.
    """
    missing = [name for name in methods if not callable(getattr(transport, name, None))]
    if missing:
        raise ConfigurationError(
            f"transport must have the methods {' and '.join(methods)}; {type(transport).__name__} lacks "
            f"{' and '.join(missing)}."
        )
    return transport


def _checked_limiter(limiter: Limiter | None) -> Limiter | None:
    if limiter is None:
        return None
    from ..batch.limiter import Limiter

    if not isinstance(limiter, Limiter):
        raise ConfigurationError(
            f"limiter must be a glmclient.Limiter or None, not {type(limiter).__name__}."
        )
    return limiter


def described_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options in which functions are described as services take them."""
    if options.get("tools") is None:
        return dict(options)
    return {**options, "tools": _described(options["tools"])}


OBSERVERS_OF_ALL: list[Observer] = []
"""Observers of every client that is made from now on; instrumentation of a whole program adds its own here."""


def _checked_observers(observer: Any) -> Observers | None:
    """Return the observers of a client; ``None`` if there are none."""
    if observer is None and not OBSERVERS_OF_ALL:
        return None
    from ..core.observing import Observers

    return Observers(() if observer is None else observer, OBSERVERS_OF_ALL) or None


def _described(tools: Any) -> Any:
    """Return tools as mappings; functions are described by their signature and docstring."""
    if isinstance(tools, (str, bytes, Mapping)) or not isinstance(tools, Iterable):
        return tools  # the provider refuses it, and names what it takes
    tools = list(tools)
    if all(isinstance(each, Mapping) for each in tools):
        return tools
    from ..runs.functions import described

    return described(tools)


def _tokens(messages: Messages, options: Mapping[str, Any]) -> int:
    from ..batch.rows import estimated_tokens

    return estimated_tokens(messages, options)


def _continuing(previous: Reply | Finish) -> dict[str, str]:
    finish = previous.finish if isinstance(previous, Reply) else previous
    if not isinstance(finish, Finish):
        raise ConfigurationError(
            "continue_from takes the Reply or Finish of an answer that ended; this one did not."
            if isinstance(previous, Reply)
            else f"continue_from takes a Reply or a Finish, not {type(previous).__name__}."
        )
    known = {
        "continuation": finish.continuation,
        "conversation_id": finish.conversation_id,
    }
    told = {name: value for name, value in known.items() if value is not None}
    if not told:
        raise ConfigurationError(
            "continue_from goes on in a conversation that the service keeps, and this reply names none: give the "
            "whole of it as messages, [*messages, reply.message(), {'role': 'user', 'content': ...}]."
        )
    return told
