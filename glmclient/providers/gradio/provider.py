"""Gradio Spaces of the shape of the Qwen2.5 demo: ask the page, join its queue, read the session's stream.

The wire is described in ``docs/wire/gradio.md``; what users see of it in ``docs/providers/qwen.md``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from ...core.exchange import Exchange, Flow, Release
from ...core.http import Head, Request, checked_key, load_object, merged_headers
from ...core.identity import Identity
from ...core.secrets import Secret
from ...errors import (
    APIStatusError,
    BadRequestError,
    ConfigurationError,
    GLMError,
    NotFoundError,
    ProtocolError,
    ServiceBlockedError,
)
from ...messages import Messages, checked_messages
from ..base import Capabilities, Chat, Provider, check_options
from .call import Call, cookies_after
from .decoder import SessionDecoder
from .page import Page
from .question import Question, Service
from .refusals import misanswer, refusal
from .spaces import is_hugging_face, space_address

__all__ = ["Gradio"]

_OPTIONS = ("continuation", "fn_index", "include_status", "include_unknown", "trigger_id")
_OUTDATED = frozenset({404, 422, 500})
"""What a join gets whose prefix, fields or fn_index the service does not have (§2)."""

_NO_STREAMS = ("application/json", "application/xhtml+xml", "text/html")
"""What calls itself so is none; a proxy may have lost the right name, so any other is left to the first message."""

_SHOWN = 2000


class Gradio(Provider):
    """A chat on a Gradio Space, by default the demo of Qwen2.5.

    Args:
        base_url: where the app is: its address without ``/gradio_api``; for a Space also ``owner/name``, its host
            alone, or its page on huggingface.co.
        api_key: a Hugging Face token, for private Spaces and quotas. It goes to ``base_url`` alone.
        function: the ``api_name`` of the chat function.
        fn_index: its index, if the page gives it no name.
        trigger_id: the id of the component that starts it, in place of the page's own.
        headers: sent with every request, in place of the provider's own of the same name.
        identity: the source of ids; for tests.

    Raises:
        ConfigurationError: an argument is not valid.
    """

    name: ClassVar[str] = "qwen"
    default_url: ClassVar[str] = "https://qwen-qwen2-5.hf.space"

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        function: str = "model_chat",
        fn_index: int | None = None,
        trigger_id: int | None = None,
        headers: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        if isinstance(base_url, str):
            base_url = self.address_of(base_url)
        super().__init__(base_url=base_url, headers=headers, identity=identity)
        if not isinstance(function, str) or not function.strip("/"):
            raise ConfigurationError(
                f"function must be the api_name of a function, such as 'model_chat', not {function!r}."
            )
        self.supports: Capabilities = Capabilities(
            system_messages=True, message_history=True, options=frozenset(_OPTIONS)
        )
        self.models: tuple[str, ...] = ("qwen-2.5",)
        self.default_model: str | None = "qwen-2.5"
        self.function: str = function.strip("/")
        self.fn_index: int | None = _checked_index(fn_index, "fn_index")
        self.trigger_id: int | None = _checked_index(trigger_id, "trigger_id")
        self._token = Secret(checked_key(api_key)) if api_key else None
        self._service = Service(self.name, self.url, self.function)
        self._host: str = urlsplit(self.url).hostname or ""
        self._page: Page | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Return what may be pickled: not the page, whose cookies are a session's, as it is asked for anyway."""
        return {**super().__getstate__(), "_page": None}

    @classmethod
    def address_of(cls, base_url: str) -> str:
        """Return the address of the app; a Space may be named as ``owner/name``, by its host or by its page."""
        return space_address(base_url)

    # -- the question --------------------------------------------------------------------------------------

    def prepare(self, messages: Messages, model: str | None, options: Mapping[str, Any]) -> Chat:
        """Check a question.

        Raises:
            ConfigurationError: an option, the model or a message is one that a Space cannot honour.
        """
        given = check_options(self.name, options, _OPTIONS)
        for name in ("fn_index", "trigger_id"):
            _checked_index(given.get(name), name)
        if model is not None and model not in self.models:
            raise ConfigurationError(
                f"{self.name} has no model {model!r}; it has {', '.join(self.models)}. The Space itself decides which "
                "one answers."
            )
        checked = checked_messages(messages)
        question = Question.of(checked, self._service)
        if "continuation" in given:
            question = question.continuing(given["continuation"], self._service)
        return Chat(checked, model or self.default_model, {**given, "question": question})

    # -- one attempt ---------------------------------------------------------------------------------------

    def attempt(self, chat: Chat, exchange: Exchange) -> Flow[None]:
        """Ask the page if it is not known yet, join the queue, and read the session's stream.

        A page that was kept is asked for again, at once and only once, if the service does not fit it any more.

        Raises:
            APIStatusError: the service refused, or its app failed.
            ProtocolError: the page or the stream is not what it should be.
        """
        kept = self._page
        if kept is not None and (yield from self._turn(kept, chat, exchange, kept=True)):
            return
        page = yield from self._discover(exchange)
        yield from self._turn(page, chat, exchange, kept=False)

    def _discover(self, exchange: Exchange) -> Flow[Page]:
        head = yield from exchange.send(self._request("GET", "/config", {}))
        body = yield from self._object(head, exchange, f"{self.url}/config")
        config = load_object(body)
        if config is None:
            raise misanswer(head, body, exchange.now(), f"{self.url}/config")
        if config.get("auth_required") is True:
            # Some versions say with a 200 that a login is needed (§1).
            raise refusal(replace(head, status=401), b"", exchange.now(), f"{self.url}/config")
        try:
            page = Page.parse(config, cookies_after(head, {}, self._host), f"{self.url}/config")
        except ProtocolError as error:
            error.frame = body[:_SHOWN].decode("utf-8", "replace")
            raise
        self._page = page
        return page

    def _turn(self, page: Page, chat: Chat, exchange: Exchange, *, kept: bool) -> Flow[bool]:
        """Ask one function of ``page``; return whether the page fitted."""
        try:
            call = self._call(page, chat)
            call, event_id = yield from self._join(call, exchange)
        except (APIStatusError, ProtocolError) as error:
            self._doubt(page, error)
            outdated = isinstance(error, (NotFoundError, ProtocolError)) or (
                isinstance(error, APIStatusError) and error.status_code in _OUTDATED
            )
            if kept and outdated:
                yield Release()
                return False
            raise
        decoder = self._decoder(call, event_id, chat, exchange)
        exchange.cleanup = self._cancel(call, event_id)
        try:
            yield from self._read(call, decoder, exchange)
        except GLMError as error:
            if decoder.over:
                exchange.cleanup = None
            if decoder.session_lost or decoder.doubtful:
                self._forget(call.page)
            self._doubt(call.page, error)
            if kept and decoder.session_lost and not exchange.handed_over:
                yield Release()
                return False
            raise
        return True

    def _call(self, page: Page, chat: Chat) -> Call:
        fn_index, trigger_id = chat.options.get("fn_index"), chat.options.get("trigger_id")
        function = page.function(
            self.function,
            fn_index if fn_index is not None else self.fn_index,
            trigger_id if trigger_id is not None else self.trigger_id,
        )
        question: Question = chat.options["question"]
        # A new session for each turn: an old one may still have events of its own under way (§6).
        return Call(
            page,
            function,
            question,
            question.history(function.format),
            self.identity.session_hash(),
        )

    def _join(self, call: Call, exchange: Exchange) -> Flow[tuple[Call, str]]:
        path = f"{call.page.prefix}/queue/join"
        head = yield from exchange.send(self._request("POST", path, call.page.cookies, call.join()))
        body = yield from self._object(head, exchange, f"{self.url}{path}")
        answer = load_object(body)
        event_id = answer.get("event_id") if answer is not None else None
        if not isinstance(event_id, str):
            raise misanswer(head, body, exchange.now(), f"{self.url}{path}")
        cookies = cookies_after(head, call.page.cookies, self._host)
        if cookies != call.page.cookies:
            page = replace(call.page, cookies=cookies)
            if self._page is call.page:
                self._page = page
            call = replace(call, page=page)
        return call, event_id

    def _read(self, call: Call, decoder: SessionDecoder, exchange: Exchange) -> Flow[None]:
        path = f"{call.page.prefix}/queue/data"
        request = self._request(
            "GET",
            f"{path}?session_hash={quote(call.session, safe='')}",
            call.page.cookies,
            accept="text/event-stream",
        )
        head = yield from exchange.send(request)
        if head.status != 200 or head.content_type in _NO_STREAMS:
            body = yield from exchange.refused(head)
            error = refusal if head.status != 200 else misanswer
            raise error(head, body, exchange.now(), f"{self.url}{path}")
        yield from exchange.stream(head, decoder)

    def _object(self, head: Head, exchange: Exchange, address: str) -> Flow[bytes]:
        """Return the body of an answer with status 200; its content is the caller's to check."""
        if head.status != 200:
            raise refusal(head, (yield from exchange.refused(head)), exchange.now(), address)
        return (yield from exchange.body(head, exchange.limits.body))

    # -- what is kept --------------------------------------------------------------------------------------

    def _forget(self, page: Page) -> None:
        if self._page is page:
            self._page = None

    def _doubt(self, page: Page, error: GLMError) -> None:
        """Ask for the page again next time if the error may come from one that has changed."""
        if isinstance(
            error, (BadRequestError, NotFoundError, ProtocolError, ServiceBlockedError)
        ) or (isinstance(error, APIStatusError) and error.status_code in _OUTDATED):
            self._forget(page)

    # -- requests ------------------------------------------------------------------------------------------

    def _decoder(self, call: Call, event_id: str, chat: Chat, exchange: Exchange) -> SessionDecoder:
        return SessionDecoder(
            event_id=event_id,
            answer=call.function.answer,
            diffs=call.page.diffs,
            sent=call.history,
            prompt=call.question.prompt,
            continuation=lambda value: call.question.continuation(value, self._service),
            include_status=bool(chat.options.get("include_status")),
            include_unknown=bool(chat.options.get("include_unknown")),
            limits=exchange.limits,
            files_at=f"{self.url}{call.page.prefix}/file=",
        )

    def _cancel(self, call: Call, event_id: str) -> Request:
        path = f"{call.page.prefix}/cancel"
        return self._request("POST", path, call.page.cookies, call.cancel(event_id))

    def _request(
        self,
        method: str,
        path: str,
        cookies: Mapping[str, str],
        body: bytes | None = None,
        accept: str = "application/json",
    ) -> Request:
        """Return a request to the configured host; what the page says of its ``root`` is never followed."""
        own = {"Accept": accept}
        if body is not None:
            own["Content-Type"] = "application/json"
        if cookies:
            own["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if self._token is not None:
            # Hugging Face takes the token under its own name too, which leaves an app's own Authorization free (§2).
            taken = any(name.lower() == "authorization" for name in self.headers)
            name = "X-HF-Authorization" if taken or is_hugging_face(self.url) else "Authorization"
            own[name] = f"Bearer {self._token.reveal()}"
        return Request(method, f"{self.url}{path}", merged_headers(own, self.headers), body)


def _checked_index(value: Any, what: str) -> int | None:
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ConfigurationError(f"{what} must be a whole number, 0 or more, not {value!r}.")
    return value
