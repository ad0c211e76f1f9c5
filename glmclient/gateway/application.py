"""The gateway as an ASGI application: routes, keys, bounds, and how a request becomes an answer.

Up to three tasks handle a request. They end together::

    answer       asks the service and writes what comes
    keep-alive   writes comments while the service is silent (streams only)
    departure    waits until the caller leaves, and then cancels the others, which cancels the question

Nothing that callers send is logged: a line has the method, the path, the status and the seconds.
"""

from __future__ import annotations

import contextlib
import hmac
import ipaddress
import logging
import time
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Literal

import anyio
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..clients.base import BaseClient
from ..core.secrets import Secret
from ..errors import ConfigurationError, GLMError
from ..events import Finish
from .chunks import Chunks, completion
from .question import question_of
from .refusals import Refused, refusal_of
from .services import Asked, Services
from .writer import Receive, Send, Writer

__all__ = ["Gateway", "create_app"]

log: logging.Logger = logging.getLogger("glmclient.gateway")

KEEP_ALIVE_SECONDS = 10.0
BODY_BYTES = 32 * 1024 * 1024
BODY_SECONDS = 60.0
REQUESTS = 1000
CLOSE_SECONDS = 5.0
_FORMS = ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data")
"""What a page of any web site may send to an address of this machine without being allowed to."""


class _Left(Exception):
    """The caller closed its connection."""


class Gateway:
    """An OpenAI-compatible application in front of services; `create_app` makes one and its Starlette application.

    Args:
        services: what answers.
        api_key: the key that callers have to present; ``None`` if there is none.
        hold: hand out text only when no rewrite can contradict it.
        keep_alive: seconds of silence before a comment.
        body_bytes: bytes of a request's body at most.
        requests: requests under way at most.
    """

    def __init__(
        self,
        services: Services,
        *,
        api_key: str | None,
        hold: bool,
        keep_alive: float = KEEP_ALIVE_SECONDS,
        body_bytes: int = BODY_BYTES,
        requests: int = REQUESTS,
    ) -> None:
        self._services = services
        self._key = None if api_key is None else Secret(api_key)
        self._hold = hold
        self._keep_alive = keep_alive
        self._body_bytes = body_bytes
        self._requests = requests
        self._open: set[anyio.CancelScope] = set()
        """What `stop` cancels."""
        self._under_way = 0
        self._stopping = False
        self.local_only: bool = False
        """Answer requests to a name of this machine only. A page of any web site can make a browser on this machine
        send requests to it, under a name of the site's own."""

    @property
    def open_requests(self) -> int:
        """Requests under way."""
        return self._under_way

    def stop(self) -> None:
        """End all answers that are under way, a stream by an error event and others by a 503; refuse new requests."""
        self._stopping = True
        for scope in list(self._open):
            scope.cancel()

    @contextlib.asynccontextmanager
    async def lifespan(self, application: Starlette) -> AsyncIterator[None]:
        """Keep the clients open while the application runs."""
        self._stopping = False
        async with self._services:
            yield
            self.stop()

    # -- requests ------------------------------------------------------------------------------------------

    def check(self, request: Request, method: str, *, keyless: bool) -> None:
        """Check everything but the body of a request.

        Raises:
            Refused: the method or the key is wrong, or a page of a web site sends it.
        """
        if request.method != method and not (request.method == "HEAD" and method == "GET"):
            raise Refused(
                405,
                f"the method {request.method} is not allowed here; use {method}.",
                code="method_not_allowed",
                headers={"allow": method},
            )
        host = request.headers.get("host", "")
        if self.local_only and not is_loopback(_without_port(host)):
            raise Refused(
                403,
                f"the gateway serves this machine only, not as {host[:200]!r}; use 127.0.0.1 or localhost.",
                "permission_error",
                code="wrong_host",
            )
        if self._key is not None and not keyless and not _presents(request, self._key):
            raise Refused(
                401,
                "the API key is missing or wrong; send it as 'Authorization: Bearer KEY'.",
                "authentication_error",
                code="invalid_api_key",
                headers={"www-authenticate": "Bearer"},
            )
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if method == "POST" and content_type in _FORMS:
            raise Refused(
                415, f"send JSON with 'Content-Type: application/json', not {content_type}."
            )

    async def handle(
        self,
        request: Request,
        receive: Receive,
        writer: Writer,
        answer: Callable[[Request, bytes, Writer], Awaitable[None]],
    ) -> None:
        """Answer a request that was checked, or refuse it, or stop when the caller leaves.

        Raises:
            Refused: the body is too long or late, or too many requests are under way.
        """
        with self._admitted():
            body = await self._body(request, receive)
            async with anyio.create_task_group() as group:
                group.start_soon(_departure, receive, group.cancel_scope)
                refused = await self._answered(answer(request, body, writer))
                if refused is not None:
                    await writer.refuse(refused)
                group.cancel_scope.cancel()

    async def _answered(self, answer: Awaitable[None]) -> Refused | None:
        """Wait for an answer to be written; return what went wrong.

        Errors do not leave the task group of the request: it would wrap them.
        """
        try:
            with self._stoppable(anyio.CancelScope()) as scope:
                await answer
        except Refused as refused:
            return refused
        except OSError:
            return None  # as in `_stream`
        except Exception as error:  # noqa: BLE001 - reported, and the gateway goes on
            # Without its message, which may contain what a caller sent.
            log.error(
                "%s in the gateway; this is a bug of it:\n%s",
                type(error).__name__,
                "".join(traceback.format_tb(error.__traceback__)),
            )
            return Refused(500, "the gateway failed.", "server_error", code="internal_error")
        return _stopping() if scope.cancelled_caught else None

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[None]:
        if self._stopping:
            raise _stopping()
        if self._under_way >= self._requests:
            raise Refused(
                429,
                f"{self._requests} requests are under way, which is the limit of the gateway; try again soon.",
                "rate_limit_error",
                code="too_many_requests",
                headers={"retry-after": "1"},
            )
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1

    @contextlib.contextmanager
    def _stoppable(self, scope: anyio.CancelScope) -> Iterator[anyio.CancelScope]:
        """Run the block in a scope that `stop` cancels."""
        self._open.add(scope)
        try:
            with scope:
                yield scope
        finally:
            self._open.discard(scope)

    async def _body(self, request: Request, receive: Receive) -> bytes:
        too_long = Refused(
            413,
            f"the body of the request is longer than {self._body_bytes} bytes.",
            code="request_too_large",
        )
        length = request.headers.get("content-length", "")
        if length.isascii() and length.isdigit() and int(length[:20]) > self._body_bytes:
            raise too_long
        pieces: list[bytes] = []
        size, more = 0, True
        with self._stoppable(anyio.move_on_after(BODY_SECONDS)) as reading:
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise _Left
                pieces.append(message.get("body", b""))
                size += len(pieces[-1])
                if size > self._body_bytes:
                    raise too_long
                more = message.get("more_body", False)
        if reading.cancelled_caught:
            if self._stopping:
                raise _stopping()
            raise Refused(408, f"the body of the request did not arrive in {BODY_SECONDS:g} s.")
        return b"".join(pieces)

    # -- answers -------------------------------------------------------------------------------------------

    async def health(self, request: Request, body: bytes, writer: Writer) -> None:
        """Tell that the gateway runs; no service is asked."""
        await writer.json({"status": "ok"})

    async def models(self, request: Request, body: bytes, writer: Writer) -> None:
        """List the models of all services."""
        await writer.json({"object": "list", "data": await self._services.models()})

    async def model(self, request: Request, body: bytes, writer: Writer) -> None:
        """Describe one model."""
        await writer.json(await self._services.model(request.path_params["model"]))

    async def chat(self, request: Request, body: bytes, writer: Writer) -> None:
        """Answer a question by a stream or as a whole."""
        question = question_of(body)
        asked = self._services.ask(question)
        if asked.dropped:
            writer.headers["x-dropped-options"] = ", ".join(asked.dropped)
        created = int(time.time())
        try:
            if question.stream:
                chunks = Chunks(question.model, created, with_usage=question.with_usage)
                await self._stream(asked, chunks, writer)
            else:
                reply = await asked.stream.reply()
                await writer.json(completion(reply, question.model, created))
        except GLMError as error:
            raise refusal_of(error, asked.provider) from error
        finally:
            # Writing failed or the caller left: the service should know, and the connection be free.
            with anyio.move_on_after(CLOSE_SECONDS, shield=True):
                await asked.stream.aclose()

    async def _stream(self, asked: Asked, chunks: Chunks, writer: Writer) -> None:
        last = b""
        # An error must not leave the task group, which would wrap it.
        async with anyio.create_task_group() as group:
            group.start_soon(writer.keep_alive)
            try:
                async for event in asked.stream.appending(hold=self._hold):
                    frames = chunks.frames(event)
                    if type(event) is Finish:
                        last = frames
                    else:
                        await writer.frames(frames)
                writer.end_keep_alive()  # before the last frames, so that no comment follows them
                await writer.begin()
                await writer.end(last)
            except GLMError as error:
                writer.end_keep_alive()
                await writer.refuse(refusal_of(error, asked.provider))
            except OSError:
                writer.end_keep_alive()  # some servers let writing fail when the caller left


class _Endpoint:
    """One path of the gateway: an ASGI application, so that frames are written without a further layer."""

    def __init__(
        self,
        gateway: Gateway,
        method: str,
        answer: Callable[[Request, bytes, Writer], Awaitable[None]],
        *,
        keyless: bool = False,
    ) -> None:
        self._gateway = gateway
        self._method = method
        self._answer = answer
        self._keyless = keyless

    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        began = time.monotonic()
        request = Request(scope)
        writer = Writer(send, self._gateway._keep_alive)
        try:
            self._gateway.check(request, self._method, keyless=self._keyless)
            if self._keyless:
                await self._answer(
                    request, b"", writer
                )  # says that the gateway runs, however busy it is
            else:
                await self._gateway.handle(request, receive, writer, self._answer)
        except Refused as refused:
            await writer.refuse(refused)
        except _Left:
            pass  # nobody is left to answer
        log.info(
            "%s %.200r: %s after %.3f s",
            request.method,
            scope["path"],
            writer.status or "the caller left",
            time.monotonic() - began,
        )


async def _departure(receive: Receive, group: anyio.CancelScope) -> None:
    """Wait until the caller closes its connection; then cancel the request."""
    while (await receive())["type"] != "http.disconnect":
        continue
    group.cancel()


def _presents(request: Request, key: Secret) -> bool:
    """Tell whether a request has the key; the time that it takes does not depend on how much of it is right."""
    scheme, _, presented = request.headers.get("authorization", "").strip().partition(" ")
    same = hmac.compare_digest(
        presented.strip().encode("latin-1", "replace"), key.reveal().encode("latin-1", "replace")
    )
    return same and scheme.lower() == "bearer"


def _stopping() -> Refused:
    return Refused(
        503,
        "the gateway is shutting down; send the request again.",
        "server_error",
        code="shutting_down",
        headers={"retry-after": "5"},
    )


def _no_route(request: Request, error: Exception) -> Response:
    refused = Refused(
        404,
        "there is nothing at this path; the gateway has POST /v1/chat/completions, GET /v1/models, "
        "GET /v1/models/{id} and GET /healthz.",
        code="not_found",
    )
    return JSONResponse(refused.body(), 404)


def is_loopback(host: str) -> bool:
    """Tell whether an address can be reached from this machine only."""
    if host.rstrip(".").lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def _without_port(host: str) -> str:
    """Return the name in a ``Host`` header; an IPv6 address stands in brackets."""
    return host[: host.find("]") + 1] if host.startswith("[") else host.partition(":")[0]


def checked_caller_key(key: str | None) -> str | None:
    """Return the key that callers present.

    Raises:
        ConfigurationError: it could not be sent in a header.
    """
    if key is None:
        return None
    if not isinstance(key, str) or not key or not all("!" <= each <= "~" for each in key):
        raise ConfigurationError(
            "api_key must consist of printable ASCII characters without spaces, and not be empty; it is not shown here."
        )
    return key


def create_app(
    *clients: BaseClient,
    api_key: str | None = None,
    rewrites: Literal["append", "hold"] = "append",
    drop_unsupported: bool = False,
    keep_alive: float = KEEP_ALIVE_SECONDS,
    max_body: int = BODY_BYTES,
    max_requests: int = REQUESTS,
) -> Starlette:
    """Return an application that speaks OpenAI's API in front of services.

    It has the paths ``/v1/chat/completions``, ``/v1/models``, ``/v1/models/{id}`` and ``/healthz``.

    Args:
        clients: an `AsyncClient` for each service; of a `SyncClient`, the configuration is used. The application
            enters and leaves them as it starts and ends. With several, the model ``provider/model`` chooses.
        api_key: the key that callers have to present; ``None`` answers everybody.
        rewrites: what happens to an answer that its service rewrites while it is streamed. ``"append"`` sends text as
            it comes; from the first rewrite on it waits for the end, and sends the rest if what was sent is the
            beginning of the final answer, else an error event. ``"hold"`` sends text when it is final.
        drop_unsupported: leave out options that a service does not have, and name them in the header
            ``X-Dropped-Options``; otherwise they are refused.
        keep_alive: seconds of silence after which a stream begins, and after which a comment follows.
        max_body: bytes of a request's body at most; a longer one gets 413.
        max_requests: requests under way at most; a further one gets 429.

    Raises:
        ConfigurationError: an argument is wrong.
    """
    if rewrites not in ("append", "hold"):
        raise ConfigurationError(f"rewrites must be 'append' or 'hold', not {rewrites!r:.80}.")
    for name, value in (
        ("keep_alive", keep_alive),
        ("max_body", max_body),
        ("max_requests", max_requests),
    ):
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not value > 0:
            raise ConfigurationError(f"{name} must be a number above 0, not {value!r:.80}.")
    gateway = Gateway(
        Services(clients, drop_unsupported=drop_unsupported),
        api_key=checked_caller_key(api_key),
        hold=rewrites == "hold",
        keep_alive=keep_alive,
        body_bytes=int(max_body),
        requests=int(max_requests),
    )
    application = Starlette(
        routes=[
            Route("/v1/chat/completions", _Endpoint(gateway, "POST", gateway.chat)),
            Route("/v1/models", _Endpoint(gateway, "GET", gateway.models)),
            Route("/v1/models/{model:path}", _Endpoint(gateway, "GET", gateway.model)),
            Route("/healthz", _Endpoint(gateway, "GET", gateway.health, keyless=True)),
        ],
        lifespan=gateway.lifespan,
        exception_handlers={HTTPException: _no_route},
    )
    application.state.gateway = gateway
    return application
