"""ChatGLM's guest stream: the request, its refusals, and one attempt (``docs/wire/chatglm.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.compression import ACCEPT_ENCODING
from ...core.exchange import Exchange, Flow
from ...core.http import Head, Request, checked_header_value, dump_json, load_object, merged_headers
from ...core.identity import Identity
from ...core.refusals import BODY_SHOWN, class_for_status, is_html, refusal, shown_html
from ...errors import (
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    GLMError,
    GuestQuotaError,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
)
from ...messages import Messages, checked_messages, fold_system, text_of
from ..base import Capabilities, Chat, Provider, check_options, hopeless_advice
from .decoder import ChatGLMDecoder

__all__ = ["ChatGLM"]

ASSISTANT_ID = "65940acff94777010aa6b796"
"""The general GLM-4 assistant of chatglm.cn."""

_OPTIONS = (
    "assistant_id",
    "continuation",
    "conversation_id",
    "include_status",
    "include_unknown",
    "mode",
)
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_PLATFORM_ADVICE = (
    "This guest service is somebody's web page and sets its own limits; for a service that you can rely on, use the "
    "open platform: provider='zai' or 'bigmodel' with a key."
)
_LOGIN = ("登录", "login", "log in", "sign in")
_QUOTA = ("多次体验", "次数", "额度", "上限", "quota", "limit reached")
_CHALLENGE = (
    "captcha",
    "challenge",
    "verify you are human",
    "验证码",
    "人机验证",
    "just a moment",
)


class ChatGLM(Provider):
    """The guest stream of chatglm.cn: no key, one assistant, and no promise that it stays.

    Args:
        base_url: stands for ``https://chatglm.cn``.
        headers: sent in place of the browser's headers of the same name.
        assistant_id: another assistant of the service.
        device_id: 32 hexadecimal digits; a new one for each provider otherwise.
        identity: the source of ids; for tests.
    """

    name = "chatglm"
    default_url = "https://chatglm.cn"
    supports: Capabilities = Capabilities(reasoning=True)
    models: tuple[str, ...] = ("glm-4",)
    default_model: str | None = "glm-4"

    def __init__(
        self,
        *,
        base_url: str | None = None,
        headers: Mapping[str, str] | None = None,
        assistant_id: str = ASSISTANT_ID,
        device_id: str | None = None,
        identity: Identity | None = None,
    ) -> None:
        super().__init__(base_url=base_url, headers=headers, identity=identity)
        self.assistant_id = assistant_id
        self.device_id: str = checked_header_value(
            "X-Device-Id",
            device_id if device_id is not None else self.identity.device_id(),
        )

    def prepare(self, messages: Messages, model: str | None, options: Mapping[str, Any]) -> Chat:
        """Check a question; system messages go in front of the first user message.

        Raises:
            ConfigurationError: something in it is wrong, or this service cannot honour it.
        """
        given = check_options("ChatGLM's guest service", options, _OPTIONS)
        if model is not None and model not in self.models:
            raise ConfigurationError(
                f"ChatGLM's guest service offers {', '.join(self.models)}, not {model!r}. Leave model out, or use "
                "provider='zai' for the models of the open platform."
            )
        for name in ("assistant_id", "conversation_id"):
            if not isinstance(given.get(name, ""), str):
                raise ConfigurationError(f"{name} must be a string.")
        ChatGLMDecoder(mode=given.get("mode", "auto"))  # raises for a mode that there is not
        folded = fold_system(checked_messages(messages), "ChatGLM's guest service")
        said = tuple(
            {"role": m["role"], "content": text_of(m, "ChatGLM's guest service")} for m in folded
        )
        return Chat(said, model or self.default_model, given)

    def attempt(self, chat: Chat, exchange: Exchange) -> Flow[None]:
        """Send the question and read the answer."""
        head = yield from exchange.send(self._request(chat))
        if head.status != 200 or head.content_type in _NO_STREAMS:
            body = yield from exchange.refused(head)
            raise self.refusal(head, body, exchange.now())
        decoder = ChatGLMDecoder(
            mode=chat.options.get("mode", "auto"),
            limits=exchange.limits,
            include_unknown=bool(chat.options.get("include_unknown")),
            declared=head.content_type == "text/event-stream",
            refusal=lambda body: self.refusal(head, body, exchange.now()),
        )
        yield from exchange.stream(head, decoder)

    def _request(self, chat: Chat) -> Request:
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": ACCEPT_ENCODING,
            "Accept-Language": "en-US,en;q=0.9",
            "App-Name": "chatglm",
            "Authorization": "undefined",  # literally: what the page sends for a guest
            "Content-Type": "application/json",
            "Origin": "https://chatglm.cn",
            "User-Agent": _BROWSER,
            "X-App-Platform": "pc",
            "X-App-Version": "0.0.1",
            "X-Device-Id": self.device_id,
        }
        body = {
            "assistant_id": chat.options.get("assistant_id", self.assistant_id),
            "conversation_id": chat.options.get("conversation_id", ""),
            "meta_data": {
                "if_plus_model": False,
                "is_test": False,
                "input_question_type": "xxxx",
                "channel": "",
                "draft_id": "",
                "quote_log_id": "",
                "platform": "pc",
            },
            "messages": [
                {"role": m["role"], "content": [{"type": "text", "text": m["content"]}]}
                for m in chat.messages
            ],
        }
        url = f"{self.url}/chatglm/mainchat-api/guest/stream"
        return Request("POST", url, merged_headers(headers, self.headers), dump_json(body))

    def refusal(self, head: Head, body: bytes, now: float) -> GLMError:
        """Return the error for an answer that is no stream, or a frame that is no answer.

        Source: ``docs/wire/chatglm.md`` §1; a numeric ``status`` tells a refusal from a frame.
        """
        text = body.decode("utf-8", "replace")
        code: int | None = None
        if is_html(head.content_type, text):
            shown = shown_html(text)
            words = f"a web page came instead of an answer: {shown or 'without text'}"
            # A page with a 5xx may be a server that is down; any other stands in the way.
            kind = ServiceBlockedError if head.status < 500 else _class_for(None, shown)
        else:
            code, words = _said(load_object(body) or {})
            kind = _class_for(code, words)
        if kind is None and head.status == 200:
            if code == 0:
                kind = NotFoundError
                words = words or "no answer and no reason; the assistant may not exist"
            elif not words:
                return ProtocolError(
                    f"ChatGLM sent an answer of type {head.content_type or 'unknown'!r} instead of a stream; it is in "
                    "`.frame`. The service may have changed, or the address is not ChatGLM's.",
                    frame=text[:BODY_SHOWN],
                )
        by_status = APIStatusError if head.status == 200 else class_for_status(head.status)
        shown_kind = kind or by_status
        return refusal(
            "ChatGLM",
            head,
            reason=words,
            body=text,
            now=now,
            kind=shown_kind,
            code=None if code is None else str(code),
            advice=_advice(shown_kind, head.status),
            retryable=None if kind is None else issubclass(kind, (ServerError, RateLimitError)),
        )


_NO_STREAMS = ("application/json", "application/xhtml+xml", "text/html")
"""What calls itself so is none; any other name, or no name, leaves it to the first frame."""
_WALLS = (ServiceBlockedError, QuotaExceededError)
_ABOUT_KEYS = (AuthenticationError, PermissionDeniedError)


def _advice(kind: type[APIStatusError], status: int) -> str | None:
    """Return what to do where this service differs from others: it has walls, and takes no key."""
    if issubclass(kind, _WALLS):
        return _PLATFORM_ADVICE
    if issubclass(kind, _ABOUT_KEYS):
        return f"It takes no key, so there is none to check. {_PLATFORM_ADVICE}"
    return hopeless_advice(status)


def _said(data: Mapping[str, Any]) -> tuple[int | None, str]:
    """Return the number and the words of a refusal."""
    numbers = (data.get("status"), data.get("code"))
    words = (data.get("message"), data.get("msg"))
    return (
        next((number for number in numbers if _is_number(number)), None),
        next((word for word in words if isinstance(word, str) and word), ""),
    )


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _class_for(number: int | None, words: str) -> type[APIStatusError] | None:
    lower = words.lower()
    login = any(word in lower for word in _LOGIN)
    quota = any(word in lower for word in _QUOTA)
    if login and quota:
        return GuestQuotaError
    if quota:
        return QuotaExceededError
    if login or any(word in lower for word in _CHALLENGE):
        return ServiceBlockedError
    if not number:
        return None
    # Codes such as 40102 begin with the HTTP status that they mean.
    status = int(str(abs(number))[:3])
    if status == 401:
        return AuthenticationError
    if status == 429:
        return RateLimitError
    return ServerError if status >= 500 else BadRequestError
