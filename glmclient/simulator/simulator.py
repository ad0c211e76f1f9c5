"""The services' other half on this machine: a server that answers from a script."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, get_args

from .._visible import complete_repr
from ..errors import ConfigurationError
from ..providers import BUILT_IN, DEFAULT_SERVICE, ServiceInfo, service_names
from .http import BodyItem, Framing, Pause, SimulatedRequest, SimulatedResponse, close_body
from .script import Answers, ScriptLike
from .server import LoopbackServer
from .services import Services

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..clients.async_client import AsyncClient
    from ..clients.sync_client import SyncClient

__all__ = ["HELLO", "Simulator"]

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
        provider: the service to be, as clients name it; a `ServiceInfo` that is not registered; several of these; or
            ``"all"`` services at one address.
        delay: seconds before each event.
        framing: how the end of a stream is told: ``chunked``, ``close`` or ``length``; the service's own if ``None``.
        gzip: compress the streams.
        host: the address to listen on.
        port: 0 for any free port.
        own_names_only: refuse requests whose ``Host`` is neither an address, nor ``localhost``, nor ``host``; for a
            service that runs beside a browser.
        options: of the dialects, such as ``mode="delta"`` for ChatGLM.

    Raises:
        ConfigurationError: an argument is wrong, or the script says something that the service cannot.
    """

    def __init__(
        self,
        script: ScriptLike = HELLO,
        *,
        provider: str | ServiceInfo | Sequence[str | ServiceInfo] = DEFAULT_SERVICE,
        delay: float = 0.0,
        framing: Framing | None = None,
        gzip: bool = False,
        host: str = "127.0.0.1",
        port: int = 0,
        own_names_only: bool = False,
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
        if isinstance(port, bool) or not isinstance(port, int) or not 0 <= port <= 65535:
            raise ConfigurationError(f"port must be a number from 0 to 65535, not {port!r}.")
        self._services = Services(provider, options)
        self._delay = delay
        self._framing = framing
        self._gzip = gzip
        only = self._services.only
        # What one of several services cannot say is known only when it is asked.
        self._answers = Answers(script, only.check if only is not None else None)
        self._server = LoopbackServer(self, host=host, port=port, own_names_only=own_names_only)

    # -- life ----------------------------------------------------------------------------------------------

    def start(self) -> Self:
        """Begin to serve; ``with`` does it.

        Raises:
            ConfigurationError: the address cannot be listened on.
        """
        try:
            self._server.start()
        except OSError as error:
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

    @complete_repr
    def __repr__(self) -> str:
        names = ", ".join(self.providers)
        return f"Simulator({names} at {self.url if self._server.running else 'no address yet'})"

    # -- what clients need ---------------------------------------------------------------------------------

    @property
    def providers(self) -> tuple[str, ...]:
        """The simulated services, as clients name them."""
        return self._services.names

    @property
    def url(self) -> str:
        """What a client takes as its ``base_url``.

        Raises:
            ConfigurationError: it is not running, so that there is no address.
        """
        return self.url_of(None)

    def url_of(self, provider: str | None) -> str:
        """Return the ``base_url`` of one of several services; a single one is at `url`.

        Raises:
            ConfigurationError: it is not running, or there is no such service.
        """
        path = self._services.path(provider)
        if not self._server.running:
            raise ConfigurationError(
                "the simulator is not running; use it in a `with` block, or call start()."
            )
        return self._server.url + path

    def client(self, **arguments: Any) -> SyncClient:
        """Return a `SyncClient` of the first simulated service, or of ``provider=``.

        The arguments are the client's own.

        It does not look at the environment's proxies, which would not find this machine's loopback interface.
        """
        from ..clients.sync_client import SyncClient

        return SyncClient(**self._arguments(arguments))

    def async_client(self, **arguments: Any) -> AsyncClient:
        """Return an `AsyncClient` of the first simulated service; see `client`."""
        from ..clients.async_client import AsyncClient

        return AsyncClient(**self._arguments(arguments))

    def _arguments(self, arguments: dict[str, Any]) -> dict[str, Any]:
        name = arguments.get("provider", self.providers[0])
        info = self._services.info(name)
        key = {"api_key": KEY} if info.key == "required" else {}
        if name in BUILT_IN or info.name in service_names():
            own = {"base_url": self.url_of(name), "provider": name, "trust_env": False, **key}
            return own | arguments
        # A service that is not registered has no name that a client knows.
        make: Callable[..., Any] = info.provider_class()
        provider = make(base_url=self.url_of(name), **key)
        return {"trust_env": False, **arguments, "provider": provider}

    def say(self, script: ScriptLike) -> None:
        """Answer from another script from now on.

        Raises:
            ConfigurationError: the script is wrong; the one before stays.
        """
        self._answers.change(script)

    # -- what was asked ------------------------------------------------------------------------------------

    @property
    def requests(self) -> tuple[SimulatedRequest, ...]:
        """The newest 10,000 requests, in the order in which they came; the newest 64 MiB of bodies stay with them."""
        return tuple(self._services.readable(each) for each in self._server.requests)

    @property
    def received(self) -> int:
        """How many requests came in all."""
        return self._server.received

    @property
    def questions(self) -> tuple[SimulatedRequest, ...]:
        """The requests that took an answer from the script."""
        return self._answers.questions

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the user said last in each question."""
        return tuple(request.prompt for request in self.questions)

    @property
    def disconnects(self) -> tuple[SimulatedRequest, ...]:
        """The requests whose client left before the end of its answer."""
        return self._server.disconnects

    @property
    def failures(self) -> tuple[Exception, ...]:
        """What went wrong in the script while it served; the client got a 501 or a cut."""
        return self._server.failures

    def raise_for_failures(self) -> None:
        """Raise the first of `failures`, if there is one."""
        for failure in self.failures:
            raise failure

    def wait_for_requests(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until ``count`` requests came; return whether they did within ``timeout`` seconds."""
        return self._server.wait_for(lambda: self.received >= count, timeout)

    def wait_for_disconnects(self, count: int = 1, timeout: float = 10.0) -> bool:
        """Wait until ``count`` clients left early; return whether they did within ``timeout`` seconds."""
        return self._server.wait_for(lambda: self._server.departures >= count, timeout)

    def wait_until_idle(self, timeout: float = 10.0) -> bool:
        """Wait until no connection is open; return whether that was so within ``timeout`` seconds."""
        return self._server.wait_for(lambda: self._server.open_connections == 0, timeout)

    # -- serving -------------------------------------------------------------------------------------------

    def respond(self, request: SimulatedRequest) -> SimulatedResponse:
        """Answer a request; the server calls this."""
        dialect, seen = self._services.route(request)
        if dialect is None:
            names = ", ".join(self.providers)
            detail = f"{request.method} {request.path} is no address of {names}"
            only = self._services.addressed(request)
            missing: Callable[[str], SimulatedResponse] | None = getattr(only, "missing", None)
            if missing is not None:
                return missing(detail)
            return SimulatedResponse.of_json({"detail": detail}, 404)
        try:
            response = dialect.respond(seen, self._answers)
        except Exception as error:  # noqa: BLE001 - a script may raise anything
            self._server.failed(error)
            return dialect.failed(_words_of(error))
        if not _is_stream(response):
            return response
        return replace(
            response,
            body=_delayed(response.body, self._delay) if self._delay else response.body,
            framing=self._framing if self._framing is not None else response.framing,
            gzip=self._gzip or response.gzip,
        )


def _words_of(error: Exception) -> str:
    """Say what failed in a script; errors of other people's code mean little without their class."""
    said = (
        str(error) if isinstance(error, ConfigurationError) else f"{type(error).__name__}: {error}"
    )
    return f"the simulator's script failed: {said}"


def _is_stream(response: SimulatedResponse) -> bool:
    return any(
        name.lower() == "content-type" and value.startswith("text/event-stream")
        for name, value in response.headers
    )


def _delayed(body: Iterable[BodyItem], delay: float) -> Generator[BodyItem, None, None]:
    try:
        for item in body:
            if isinstance(item, bytes):
                yield Pause(delay)
            yield item
    finally:
        close_body(body)
