"""Gradio chat apps: read the page, join its queue, read the session's stream.

The wire is described in ``docs/wire/gradio.md``; what users see of it in ``docs/providers/gradio.md``. Which function
of a page is the chat is decided in :mod:`glmclient.providers.gradio.shapes`, what its components are sent in
:mod:`glmclient.providers.gradio.turn`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar
from urllib.parse import quote, urlsplit

from ...core.exchange import DRAIN_BYTES, DRAIN_SECONDS, Exchange, Flow, Release
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
from ..base import Capabilities, Chat, Model, Provider, check_options
from .attachments import upload_body, uploaded_paths
from .cookies import cookies_after
from .decoder import SessionDecoder
from .formats import Chatbot, TextAnswer
from .page import Page, app_number
from .question import Question, Service
from .refusals import misanswer, refusal
from .settings import (
    Selection,
    checked_index,
    checked_inputs,
    named_inputs,
    selected,
    settings_text,
    unknown_inputs,
)
from .shapes import QWEN_FUNCTION, ChatFunction, Step, chats, choose, needs_names
from .spaces import is_hugging_face, space_address
from .turn import Sessions, Turn, begun
from .wire import (
    APP_ID_PATH,
    CANCEL_PATH,
    CONFIG_PATH,
    DATA_PATH,
    EVENT_STREAM,
    INFO_PATH,
    JOIN_PATH,
    UPLOAD_PATH,
)

__all__ = ["Gradio", "Qwen"]

_OPTIONS = (
    "continuation",
    "fn_index",
    "function",
    "include_status",
    "include_unknown",
    "inputs",
    "trigger_id",
)
_OUTDATED = frozenset({404, 422, 500})
"""What a join gets whose prefix, fields or fn_index the service does not have (§2)."""

_NO_STREAMS = ("application/json", "application/xhtml+xml", "text/html")
"""Responses with these types are never streams; for any other type the first message decides, because a proxy may have
lost the right name."""

_SHOWN = 2000
_QWEN = "qwen"


class Gradio(Provider):
    """A chat app on Gradio, on a Hugging Face Space or any other host.

    The app's own description tells which function is the chat and what its inputs are. Without ``base_url`` it is the
    demonstration of Qwen2.5, as for `Qwen`.

    Args:
        base_url: where the app is: its address without ``/gradio_api``; for a Space also ``owner/name``, its host
            alone, or its page on huggingface.co.
        api_key: a Hugging Face token, for private Spaces and quotas. It goes to ``base_url`` alone.
        function: the chat function, by its ``api_name`` or number; without it, the page decides.
        inputs: values for the app's further inputs, by their labels or the names of their parameters.
        fn_index: the number of the function.
        trigger_id: the id of the component that starts it, in place of the page's own.
        headers: sent with every request, in place of the provider's own of the same name.
        identity: the source of ids; for tests.

    Raises:
        ConfigurationError: an argument is not valid.
    """

    name: ClassVar[str] = "gradio"
    default_url: ClassVar[str] = "https://qwen-qwen2-5.hf.space"

    def __init__(
        self,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        function: str | int | None = None,
        inputs: Mapping[str, Any] | None = None,
        fn_index: int | None = None,
        trigger_id: int | None = None,
        headers: Mapping[str, str] | None = None,
        identity: Identity | None = None,
    ) -> None:
        if base_url is None:
            # The class variable names the service; an object without an address is the service called qwen.
            self.name = _QWEN  # type: ignore[misc]
        if isinstance(base_url, str):
            base_url = self.address_of(base_url)
        super().__init__(base_url=base_url, headers=headers, identity=identity)
        qwen = self.name == _QWEN
        if function is None and qwen:
            function = QWEN_FUNCTION
        self.supports: Capabilities = Capabilities(
            system_messages=True,
            message_history=True,
            images=not qwen,
            options=frozenset(_OPTIONS),
        )
        self.models: tuple[str, ...] = ("qwen-2.5",) if qwen else ()
        self.default_model: str | None = "qwen-2.5" if qwen else None
        self.function: str | None = None
        self.fn_index: int | None = checked_index(fn_index, "fn_index")
        selection = selected(function, None)
        self.function = selection.name
        if selection.index is not None:
            self.fn_index = selection.index
        self.inputs: dict[str, Any] = named_inputs(inputs)
        self.trigger_id: int | None = checked_index(trigger_id, "trigger_id")
        self._token = Secret(checked_key(api_key)) if api_key else None
        self._service = Service(self.name, self.url, self.function, takes_files=not qwen)
        self._host: str = urlsplit(self.url).hostname or ""
        self._page: Page | None = None
        self._sessions = Sessions()

    def __getstate__(self) -> dict[str, Any]:
        """Return what may be pickled: neither the page, whose cookies are a session's, nor the sessions."""
        return {**super().__getstate__(), "_page": None, "_sessions": Sessions()}

    @classmethod
    def address_of(cls, base_url: str) -> str:
        """Return the address of the app; a Space may be named as ``owner/name``, by its host or by its page."""
        return space_address(base_url)

    # -- the question --------------------------------------------------------------------------------------

    def prepare(self, messages: Messages, model: str | None, options: Mapping[str, Any]) -> Chat:
        """Check a question.

        Raises:
            ConfigurationError: an option, the model or a message is one that an app cannot honour.
        """
        given = check_options(self.name, options, _OPTIONS)
        for name in ("fn_index", "trigger_id"):
            checked_index(given.get(name), name)
        if model is not None and model not in self.models:
            has = f"it has {', '.join(self.models)}" if self.models else "it has none"
            raise ConfigurationError(
                f"{self.name} has no model {model!r}; {has}. The app itself decides which one answers; if its page "
                "lets readers choose, give the choice by inputs=, such as inputs={'Model': ...}."
            )
        selection = self._selection(given)
        # Without a number of its own, the provider's name counts also where a question names the function.
        service = replace(self._service, function=selection.name)
        checked = checked_messages(messages)
        question = Question.of(checked, service)
        if "continuation" in given:
            question = question.continuing(given["continuation"], service)
        # Two names may stand for one input, so that only the page tells which values replace which.
        inputs = (self.inputs, named_inputs(given.get("inputs")))
        options = {
            **given,
            "question": question,
            "selection": selection,
            "service": service,
            "inputs": inputs,
        }
        return Chat(checked, model or self.default_model, options)

    def _selection(self, given: Mapping[str, Any]) -> Selection:
        """Return the function that the options name, or else the provider's own."""
        own = Selection(self.function, self.fn_index)
        if "function" in given:
            own = selected(given["function"], None)
        return replace(own, index=given.get("fn_index", own.index))

    # -- one attempt ---------------------------------------------------------------------------------------

    def attempt(self, chat: Chat, exchange: Exchange) -> Flow[None]:
        """Ask for the page if it is not known yet, join the queue, and read the session's stream.

        A page that was kept is asked for again, at once and only once, if the service does not fit it any more.

        Raises:
            APIStatusError: the service refused, or its app failed.
            ConfigurationError: the app cannot be asked this; nothing was sent to its functions.
            ProtocolError: the page or the stream is not what it should be.
        """
        kept = self._page
        if kept is not None and (yield from self._turn(kept, chat, exchange, kept=True)):
            return
        page = yield from self._discover(exchange)
        yield from self._turn(page, chat, exchange, kept=False)

    def list_models(self, exchange: Exchange) -> Flow[tuple[Model, ...]]:
        """Ask the app for its chat functions; the demonstration of Qwen2.5 offers its model.

        Raises:
            ConfigurationError: the app has no chat function; the error names each function with the reason.
        """
        yield []
        if self.name == _QWEN:
            return tuple(Model(name) for name in self.models)
        page = yield from self._with_names((yield from self._discover(exchange)), exchange)
        fits = [each for each in chats(page)[0] if each.public]
        if not fits:
            fits = [choose(page)]
        # Several triggers may start one call; it is listed once.
        fits = list({each.same_call(): each for each in reversed(fits)}.values())[::-1]
        return tuple(Model(each.title, description=_described(each)) for each in fits)

    def _discover(self, exchange: Exchange) -> Flow[Page]:
        head = yield from exchange.send(self._request("GET", CONFIG_PATH, {}))
        body = yield from self._object(head, exchange, f"{self.url}{CONFIG_PATH}")
        config = load_object(body)
        if config is None:
            raise misanswer(head, body, exchange.now(), f"{self.url}{CONFIG_PATH}")
        if config.get("auth_required") is True:
            # Some versions say with a 200 that a login is needed (§1).
            raise refusal(
                replace(head, status=401), b"", exchange.now(), f"{self.url}{CONFIG_PATH}"
            )
        try:
            cookies = cookies_after(head, {}, self._host)
            page = Page.parse(config, cookies, f"{self.url}{CONFIG_PATH}")
        except ProtocolError as error:
            error.frame = body[:_SHOWN].decode("utf-8", "replace")
            raise
        self._page = page
        return page

    def _with_names(self, page: Page, exchange: Exchange) -> Flow[Page]:
        """Return the page with the names of its parameters, if the app tells them."""
        path = f"{page.prefix}{INFO_PATH}"
        head = yield from exchange.send(self._request("GET", path, page.cookies))
        if head.status == 200:
            info = load_object((yield from exchange.body(head, exchange.limits.body)))
        else:
            # The names are a help: an app that hides its description of functions can be asked all the same.
            yield from exchange.refused(head)
            info = None
        self._page = named = page.with_names(info)
        return named

    def _turn(self, page: Page, chat: Chat, exchange: Exchange, *, kept: bool) -> Flow[bool]:
        """Ask one chat of ``page``; return whether the page fitted."""
        turn: Turn | None = None
        try:
            page, turn = yield from self._begun(page, chat, exchange)
            if kept and turn.went_on and (yield from self._restarted(page, exchange)):
                self._forget(page)
                return False
            first = turn.chat.steps[0]
            page, event_id = yield from self._join(page, turn, first, chat, exchange)
        except (APIStatusError, ConfigurationError, ProtocolError) as error:
            if turn is not None and turn.went_on:
                self._sessions.put(
                    turn.session, turn.number - 1, page.app
                )  # nothing reached the session
            self._doubt(page, error)
            if kept and _may_be_outdated(error):
                yield Release()
                return False
            raise
        limits = exchange.limits
        view = (
            TextAnswer(limits)
            if turn.chat.format is None
            else Chatbot(turn.sent, turn.prompt, limits)
        )
        for step in turn.chat.steps:
            if step is not first:
                page, event_id = yield from self._join(page, turn, step, chat, exchange)
            decoder = self._decoder(page, turn, step, view, event_id, chat, exchange)
            if not (yield from self._answered(page, turn, step, decoder, event_id, exchange, kept)):
                return False
            if step is not turn.chat.steps[-1]:
                turn.take_over(step, decoder.data)
                exchange.cleanup = None
                yield Release(DRAIN_BYTES, DRAIN_SECONDS)
        return True

    def _answered(
        self,
        page: Page,
        turn: Turn,
        step: Step,
        decoder: SessionDecoder,
        event_id: str,
        exchange: Exchange,
        kept: bool,
    ) -> Flow[bool]:
        """Read the stream of one call; return whether the page that was kept fitted."""
        exchange.cleanup = self._request(
            "POST", f"{page.prefix}{CANCEL_PATH}", page.cookies, turn.cancel(step, event_id)
        )
        try:
            yield from self._read(page, turn, decoder, exchange)
        except GLMError as error:
            if decoder.over:
                exchange.cleanup = None
            if decoder.session_lost or decoder.doubtful:
                self._forget(page)
            self._doubt(page, error)
            if kept and decoder.session_lost and not exchange.handed_over:
                yield Release()
                return False
            raise
        return True

    def _restarted(self, page: Page, exchange: Exchange) -> Flow[bool]:
        """Return whether the app restarted after its page was read, so that its sessions are lost.

        Otherwise an app that was restarted would answer without the conversation, and nothing would show it.
        """
        if not page.app:
            return False
        path = f"{page.prefix}{APP_ID_PATH}"
        head = yield from exchange.send(self._request("GET", path, page.cookies))
        if head.status != 200:
            yield from exchange.refused(head)
            return False
        answer = load_object((yield from exchange.body(head, exchange.limits.body)))
        return answer is not None and app_number(answer) not in ("", page.app)

    def _begun(self, page: Page, chat: Chat, exchange: Exchange) -> Flow[tuple[Page, Turn]]:
        """Choose the chat, check the settings, and upload the files.

        Raises:
            ConfigurationError: the app cannot be asked this.
        """
        selection: Selection = chat.options["selection"]
        question: Question = chat.options["question"]
        name, index = selection.name, selection.index
        if name is None and index is None and question.held is not None:
            name, index = _of_continuation(page, question.held.function)
        if self.name != _QWEN and not page.named and needs_names(page, name, index):
            page = yield from self._with_names(page, exchange)
        function = self._chosen(page, name, index, chat)
        values, unknown = _values(chat, function)
        if unknown and not page.named:
            page = yield from self._with_names(page, exchange)
            function = self._chosen(page, name, index, chat)
            values, unknown = _values(chat, function)
        if unknown:
            raise unknown_inputs(unknown, function.settings)
        held = question.held
        if name is None and held is not None and held.function not in (None, function.title):
            raise ConfigurationError(
                f"the answer to continue came from the function {held.function!r}, and this question is for "
                f"{function.title!r}. Give the conversation as messages instead. Nothing was sent."
            )
        session = self.identity.session_hash()
        turn = begun(function, question, values, self._sessions, session, page.app)
        files = [*question.earlier_files, *question.files]
        if files:
            try:
                paths = yield from self._uploaded(page, chat, exchange)
            except GLMError:
                if turn.went_on:
                    self._sessions.put(turn.session, turn.number - 1, page.app)
                raise
            turn.attach(files, paths)
        return page, turn

    def _chosen(self, page: Page, name: str | None, index: int | None, chat: Chat) -> ChatFunction:
        try:
            return choose(page, name, index, required_system=self.name == _QWEN)
        except ConfigurationError as error:
            if self.name != _QWEN or "function" in chat.options or self.function != QWEN_FUNCTION:
                raise
            # The caller named nothing: it is the page that is not what it was.
            signature = next(
                (
                    each.signature()
                    for each in page.functions
                    if (each.name == name if index is None else each.index == index)
                ),
                "",
            )
            raise ProtocolError(
                f"the page may have changed: {error} Found: {signature}, Gradio {page.version}.",
                frame=signature,
            ) from None

    def _uploaded(self, page: Page, chat: Chat, exchange: Exchange) -> Flow[list[str | None]]:
        """Upload the files that have content; return where the server put each of the question's files."""
        question: Question = chat.options["question"]
        files = [*question.earlier_files, *question.files]
        own = [each for each in files if each.content is not None]
        if not own:
            return [None] * len(files)
        path = f"{page.prefix}{UPLOAD_PATH}"
        kind, body = upload_body(own)
        request = self._request("POST", path, page.cookies, body, content_type=kind)
        head = yield from exchange.send(request)
        content = yield from self._object(head, exchange, f"{self.url}{path}")
        paths = uploaded_paths(content, len(own))
        if paths is None:
            raise misanswer(head, content, exchange.now(), f"{self.url}{path}")
        remaining = iter(paths)
        return [None if each.content is None else next(remaining) for each in files]

    def _join(
        self, page: Page, turn: Turn, step: Step, chat: Chat, exchange: Exchange
    ) -> Flow[tuple[Page, str]]:
        path = f"{page.prefix}{JOIN_PATH}"
        trigger = None
        if step is turn.chat.steps[0]:
            trigger = chat.options.get("trigger_id", self.trigger_id)
        body = turn.join(step, trigger)
        head = yield from exchange.send(self._request("POST", path, page.cookies, body))
        content = yield from self._object(head, exchange, f"{self.url}{path}")
        answer = load_object(content)
        event_id = answer.get("event_id") if answer is not None else None
        if not isinstance(event_id, str):
            raise misanswer(head, content, exchange.now(), f"{self.url}{path}")
        return self._with_cookies(page, head), event_id

    def _with_cookies(self, page: Page, head: Head) -> Page:
        """Return the page with the cookies that a response set; the provider keeps it if it kept the page."""
        cookies = cookies_after(head, page.cookies, self._host)
        if cookies == page.cookies:
            return page
        changed = replace(page, cookies=cookies)
        if self._page is page:
            self._page = changed
        return changed

    def _read(
        self, page: Page, turn: Turn, decoder: SessionDecoder, exchange: Exchange
    ) -> Flow[None]:
        path = f"{page.prefix}{DATA_PATH}"
        request = self._request(
            "GET",
            f"{path}?session_hash={quote(turn.session, safe='')}",
            page.cookies,
            accept=EVENT_STREAM,
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
        if _may_be_outdated(error) or isinstance(error, (BadRequestError, ServiceBlockedError)):
            self._forget(page)

    # -- requests ------------------------------------------------------------------------------------------

    def _decoder(
        self,
        page: Page,
        turn: Turn,
        step: Step,
        view: Chatbot,
        event_id: str,
        chat: Chat,
        exchange: Exchange,
    ) -> SessionDecoder:
        def continuation(value: Any, answer: str) -> str:
            if turn.chat.remembers:
                self._sessions.put(turn.session, turn.number, page.app)
            return turn.continuation(chat.options["service"], value, answer)

        return SessionDecoder(
            event_id=event_id,
            view=view,
            answer=turn.chat.answer_position(step),
            diffs=page.diffs,
            continuation=continuation if step is turn.chat.steps[-1] else None,
            include_status=bool(chat.options.get("include_status")),
            include_unknown=bool(chat.options.get("include_unknown")),
            limits=exchange.limits,
            files_at=f"{self.url}{page.prefix}/file=",
        )

    def _request(
        self,
        method: str,
        path: str,
        cookies: Mapping[str, str],
        body: bytes | None = None,
        accept: str = "application/json",
        content_type: str = "application/json",
    ) -> Request:
        """Return a request to the configured host; what the page says of its ``root`` is never followed."""
        own = {"Accept": accept, "Accept-Encoding": "identity"}
        if body is not None:
            own["Content-Type"] = content_type
        if cookies:
            own["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        if self._token is not None:
            # Hugging Face takes the token under its own name too, which leaves an app's own Authorization free (§2).
            taken = any(name.lower() == "authorization" for name in self.headers)
            name = "X-HF-Authorization" if taken or is_hugging_face(self.url) else "Authorization"
            own[name] = f"Bearer {self._token.reveal()}"
        return Request(method, f"{self.url}{path}", merged_headers(own, self.headers), body)


class Qwen(Gradio):
    """The demonstration of Qwen2.5, or another app of its shape: `Gradio` with a default for each argument.

    The app takes text alone, and has a box for the system message.

    Args:
        base_url: another app of the same shape.
        api_key: a Hugging Face token.
        function: the ``api_name`` of the chat function; ``model_chat`` by default.
        inputs: values for the app's further inputs, by their labels or the names of their parameters.
        fn_index: its number, if the page gives it no name.
        trigger_id: the id of the component that starts it, in place of the page's own.
        headers: sent with every request, in place of the provider's own of the same name.
        identity: the source of ids; for tests.

    Raises:
        ConfigurationError: an argument is not valid.
    """

    name: ClassVar[str] = _QWEN


def _may_be_outdated(error: GLMError) -> bool:
    """Tell whether an error may come from a page that has changed since it was read."""
    return isinstance(error, (ConfigurationError, NotFoundError, ProtocolError)) or (
        isinstance(error, APIStatusError) and error.status_code in _OUTDATED
    )


def _of_continuation(page: Page, function: str | None) -> tuple[str | None, int | None]:
    """Return the name or the number of the function that an earlier turn asked."""
    if function is None or any(each.name == function for each in page.functions):
        return function, None
    is_number = function.isascii() and function.isdigit() and len(function) < 9
    return (None, int(function)) if is_number else (function, None)


def _values(chat: Chat, function: ChatFunction) -> tuple[dict[int | str, Any], list[str]]:
    """Return the values that the provider and the question give to inputs, and the names that fit none of them."""
    values: dict[int | str, Any] = {}
    unknown: list[str] = []
    for inputs in chat.options["inputs"]:
        found, names = checked_inputs(inputs, function.settings, function.filled)
        values |= found
        unknown += names
    return values, unknown


def _described(chat: ChatFunction) -> str:
    """Return what ``glmclient models`` shows of a chat: what it takes, and its settings."""
    takes = "text and files" if chat.takes_files else "text"
    memory = "keeps the conversation" if chat.has_memory else "keeps no conversation"
    settings = settings_text(chat.settings)
    return f"takes {takes}, {memory}" + (f"; inputs: {settings}" if settings else "")
