"""The services' other half on this machine: a server that answers from a script."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from ..errors import ConfigurationError
from .http import BodyItem, Framing, Pause, SimulatedRequest, SimulatedResponse
from .script import Answers, Dialect, ScriptLike
from .server import LoopbackServer

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..async_client import AsyncClient
    from ..sync_client import SyncClient

__all__ = ["PROVIDERS", "Simulator"]

_DIALECTS: dict[str, tuple[str, str, dict[str, Any]]] = {
    "chatglm": ("chatglm", "ChatGLM", {}),
}

PROVIDERS = tuple(_DIALECTS)
"""The services that can be simulated, by the names by which clients know them."""

SHOWN = tuple(name for name in ("chatglm", "qwen", "zai") if name in _DIALECTS)
"""One service for each dialect, for demonstrations."""

KEY = "simulated.key"
"""A key for the services that want one; the simulator takes any."""

HELLO = "你好！I am a simulated service. 👋"


class Simulator:
    """A service on this machine that answers from a script, for tests without a network.

    >>> with Simulator("Hello!") as sim, SyncClient(base_url=sim.url) as client:
    ...     assert client.chat("Hi").text == "Hello!"
    ...     assert sim.prompts == ("Hi",)

    ``async with`` works as well. Leaving the ``with`` stops the server, and raises what went wrong in the script while
    it served, unless the block raises itself.

    Args:
        script: a text, a list of steps, a `Refusal` or an `APIStatusError`; a `Script` of several such answers, one
            for each question; or a function that returns one for a request.
        provider: the service to be, as clients name it; several names; or ``"all"`` of them at one address.
        delay: seconds before each event.
        framing: how the end of a stream is told: ``chunked``, ``close`` or ``length``; the service's own if ``None``.
        gzip: compress the streams.
        host: the address to listen on.
        port: 0 for any free port.
        options: of the dialects, such as ``mode="increments"`` for ChatGLM.

    Raises:
        ConfigurationError: an argument is wrong, or the script says something that the service cannot.
    """

    def __init__(
        self,
        script: ScriptLike = HELLO,
        *,
        provider: str | Sequence[str] = "chatglm",
        delay: float = 0.0,
        framing: Framing | None = None,
        gzip: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        **options: Any,
    ) -> None:
        if framing is not None and framing not in get_args(Framing):
            raise ConfigurationError(
                f"framing must be 'chunked', 'close' or 'length', not {framing!r}."
            )
        if (
            isinstance(delay, bool)
            or not isinstance(delay, (int, float))
            or not 0 <= delay < float("inf")
        ):
            raise ConfigurationError(f"delay must be seconds, 0 or more, not {delay!r}.")
        names = _names(provider)
        self.provider = names[0]
        """The first of the simulated services, as clients name it."""
        self._dialects = _dialects(names, options)
        self._delay = delay
        self._framing = framing
        self._gzip = gzip
        # What one of several services cannot say is known only when it is asked.
        self._answers = Answers(
            script, self._dialects[0].check if len(self._dialects) == 1 else None
        )
        self._server = LoopbackServer(self, host=host, port=port)

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to serve; ``with`` does it.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        try:
            self._server.start()
        except (OSError, OverflowError) as error:
            raise ConfigurationError(
                f"cannot listen on {self._server.url}: {error}. Choose another port, or 0 for a free one."
            ) from error
        return self

    def stop(self) -> None:
        """Close every connection and end every thread; a second call does nothing."""
        self._server.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()
        if error is None:
            self.raise_for_failures()

    async def __aenter__(self) -> Self:
        return self.start()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.__exit__(kind, error, traceback)

    def __repr__(self) -> str:
        names = ", ".join(dialect.name for dialect in self._dialects)
        return f"Simulator({names} at {self.url if self._server.running else 'no address yet'})"

    # -- what clients need ---------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """What a client takes as its ``base_url``.

        Raises:
            ConfigurationError: it was not started, so that there is no address yet.
        """
        if not self._server.running:
            raise ConfigurationError(
                "the simulator is not running; use it in a `with` block, or call start()."
            )
        return self._server.url

    def client(self, **arguments: Any) -> SyncClient:
        """Return a `SyncClient` of the first simulated service; ``arguments`` are the client's own.

        It does not look at the environment's proxies, which would not find this machine's loopback interface.
        """
        from ..sync_client import SyncClient

        return SyncClient(**self._arguments(arguments))

    def async_client(self, **arguments: Any) -> AsyncClient:
        """Return an `AsyncClient` of the first simulated service; see `client`."""
        from ..async_client import AsyncClient

        return AsyncClient(**self._arguments(arguments))

    def _arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        own: dict[str, Any] = {"provider": self.provider, "base_url": self.url, "trust_env": False}
        if self.provider in ("zai", "bigmodel"):
            own["api_key"] = KEY
        return own | arguments

    def say(self, script: ScriptLike) -> None:
        """Answer from another script from now on.

        Raises:
            ConfigurationError: the script is wrong; the one before stays.
        """
        self._answers.change(script)

    # -- what was asked ------------------------------------------------------------------------------------

    @property
    def requests(self) -> tuple[SimulatedRequest, ...]:
        """Every request, in the order in which they came."""
        return self._server.requests

    @property
    def questions(self) -> tuple[SimulatedRequest, ...]:
        """The requests that took an answer from the script."""
        return self._answers.questions

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the user said last in each question."""
        asked = ((self._dialect(request), request) for request in self.questions)
        return tuple(dialect.prompt(request) for dialect, request in asked if dialect is not None)

    @property
    def disconnects(self) -> tuple[SimulatedRequest, ...]:
        """The requests whose client left before the end of its answer."""
        return self._server.disconnects

    @property
    def failures(self) -> tuple[Exception, ...]:
        """What went wrong in the script while it served; the client got a 500 or a cut."""
        return self._server.failures

    def raise_for_failures(self) -> None:
        """Raise the first of `failures`, if there is one."""
        for failure in self.failures:
            raise failure

    def wait_for_requests(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until ``count`` requests came; return whether they did within ``timeout`` seconds."""
        return self._server.wait_for(lambda: len(self.requests) >= count, timeout)

    def wait_for_disconnects(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until ``count`` clients left early; return whether they did within ``timeout`` seconds."""
        return self._server.wait_for(lambda: len(self.disconnects) >= count, timeout)

    def wait_until_idle(self, timeout: float = 10.0) -> bool:
        """Wait until no connection is open; return whether that was so within ``timeout`` seconds."""
        return self._server.wait_for(lambda: self._server.open_connections == 0, timeout)

    # -- serving -------------------------------------------------------------------------------------------

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer a request; the server calls this."""
        dialect = self._dialect(request)
        if dialect is None:
            names = ", ".join(dialect.name for dialect in self._dialects)
            detail = f"{request.method} {request.path} is no address of {names}"
            return SimulatedResponse.of_json({"detail": detail}, 404)
        response = dialect.respond(request, self._answers)
        if not _is_stream(response):
            return response
        return replace(
            response,
            body=_delayed(response.body, self._delay) if self._delay else response.body,
            framing=self._framing if self._framing is not None else response.framing,
            gzip=self._gzip or response.gzip,
        )

    def _dialect(self, request: SimulatedRequest) -> Dialect | None:
        return next((dialect for dialect in self._dialects if dialect.handles(request)), None)


def _is_stream(response: SimulatedResponse) -> bool:
    return any(
        name.lower() == "content-type" and value.startswith("text/event-stream")
        for name, value in response.headers
    )


def _delayed(body: Iterable[BodyItem], delay: float) -> Iterator[BodyItem]:
    try:
        for item in body:
            if isinstance(item, bytes):
                yield Pause(delay)
            yield item
    finally:
        close = getattr(body, "close", None)
        if close is not None:
            close()


def _names(provider: str | Sequence[str]) -> tuple[str, ...]:
    names = (
        PROVIDERS
        if provider == "all"
        else (provider,)
        if isinstance(provider, str)
        else tuple(provider)
    )
    for name in names:
        if name not in _DIALECTS:
            raise ConfigurationError(
                f"no service {name!r} can be simulated; there are {', '.join(PROVIDERS)}, and 'all'."
            )
    if not names:
        raise ConfigurationError("name at least one service to simulate.")
    return names


def _dialects(names: Iterable[str], options: dict[str, Any]) -> list[Dialect]:
    """Make the dialects, each with the options that it takes.

    Raises:
        ConfigurationError: an option is one that none of them takes.
    """
    made: dict[tuple[str, str], Dialect] = {}
    known: set[str] = set()
    for name in names:
        module, class_name, own = _DIALECTS[name]
        if (module, class_name) in made:
            continue  # one server speaks for all names of a dialect
        dialect: Callable[..., Dialect] = getattr(
            import_module(f".{module}", __package__), class_name
        )
        takes = set(inspect.signature(dialect).parameters) - set(own)
        known |= takes
        given = {option: value for option, value in options.items() if option in takes}
        made[module, class_name] = dialect(**own, **given)
    for option in options:
        if option not in known:
            near = difflib.get_close_matches(option, sorted(known), 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(
                f"{', '.join(names)} cannot be simulated with the option {option!r}.{hint} "
                f"There are: {', '.join(sorted(known))}."
            )
    return list(made.values())
