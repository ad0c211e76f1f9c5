"""ChatGLM's guest stream: the request, its refusals, and one attempt (``docs/wire/chatglm.md``)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ...core.exchange import Exchange, Flow
from ...core.http import Request, checked_header_value, dump_json, merged_headers
from ...core.identity import Identity
from ...errors import APIConnectionError, ConfigurationError
from ...messages import Messages, checked_messages, fold_system, text_of
from ..base import Capabilities, Chat, Provider, check_options
from .decoder import ChatGLMDecoder
from .refusals import refused
from .wire import ASSISTANT_ID, EVENT_STREAM, PATH

__all__ = ["ChatGLM"]

_OPTIONS = (
    "assistant_id",
    "continuation",
    "conversation_id",
    "include_status",
    "include_unknown",
    "mode",
)
_BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
_PAGES = ("application/xhtml+xml", "text/html")


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
    supports: Capabilities = Capabilities(reasoning=True, options=frozenset(_OPTIONS))
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
        """Send the question and read the answer.

        Raises:
            APIStatusError: the service refused.
            ProtocolError: the answer is not ChatGLM's.
        """
        head = yield from exchange.send(self._request(chat))
        if head.status != 200 or head.content_type in _PAGES:
            body = yield from exchange.refused(head)
            raise refused(head, body, exchange.now())
        decoder = ChatGLMDecoder(
            mode=chat.options.get("mode", "auto"),
            limits=exchange.limits,
            include_unknown=bool(chat.options.get("include_unknown")),
            declared=head.content_type == EVENT_STREAM,
            refusal=lambda body: refused(head, body, exchange.now()),
        )
        try:
            yield from exchange.stream(head, decoder)
        except APIConnectionError as error:
            if not exchange.received and (known := chat.options.get("conversation_id")):
                # The service answers so for a conversation that it does not know.
                error.args = (
                    f"{error} The conversation_id {known!r:.80} may be unknown to it or too old: ask without it.",
                )
            raise

    def _request(self, chat: Chat) -> Request:
        headers = {
            "Accept": "text/event-stream",
            "Accept-Encoding": "identity",  # some proxies hold compressed streams back or cut them
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
        url = f"{self.url}{PATH}"
        return Request("POST", url, merged_headers(headers, self.headers), dump_json(body))
