"""A model of pydantic-ai in front of any provider."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from ..clients.async_client import AsyncClient
from ..core.retry import RetryPolicy
from ..errors import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    GLMError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    SchemaError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
)
from ..events import Event, Finish, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta, Usage
from ..providers import DEFAULT_SERVICE
from ..providers.base import Provider
from ..reply import Reply, reply_data
from ..streams.async_stream import AsyncStream
from . import missing_extra
from .tool_choice import with_tool_choice

try:
    from pydantic_ai import exceptions
    from pydantic_ai.messages import (
        BinaryContent,
        CachePoint,
        ImageUrl,
        ModelMessage,
        ModelRequest,
        ModelResponse,
        ModelResponseStreamEvent,
        SystemPromptPart,
        TextContent,
        TextPart,
        ThinkingPart,
        ToolCallPart,
        ToolReturnPart,
        UserPromptPart,
    )
    from pydantic_ai.models import (
        Model,
        ModelRequestParameters,
        StreamedResponse,
        check_allow_model_requests,
    )
    from pydantic_ai.profiles import ModelProfile
    from pydantic_ai.settings import ModelSettings, ToolOrOutput
    from pydantic_ai.usage import RequestUsage
except ImportError as error:
    raise missing_extra("pydantic-ai", error) from None

__all__ = ["GLMModel", "GLMModelSettings"]

_REASONS = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_call",
    "content_filter": "content_filter",
}
_SETTINGS = {"stop_sequences": "stop"}
"""Settings that have another name in glmclient."""
_HANDLED = ("glmclient_options", "max_retries", "timeout", "tool_choice")
_HANDLED_BY_PYDANTIC_AI = (
    "cache",
    "first_event_timeout",
    "framing_announcement",
    "request_timeout",
)

_CATEGORIES: tuple[tuple[type[APIStatusError], Any, int], ...] = (
    (QuotaExceededError, exceptions.ModelQuotaExceededError, 402),
    (RateLimitError, exceptions.ModelRateLimitError, 429),
    (AuthenticationError, exceptions.ModelAuthenticationError, 401),
    (PermissionDeniedError, exceptions.ModelAuthenticationError, 403),
    (NotFoundError, exceptions.ModelNotFoundError, 404),
    (BadRequestError, exceptions.ModelRequestRejectedError, 400),
    (ServiceBlockedError, exceptions.ModelUnavailableError, 503),
    (ServerError, exceptions.ModelServerError, 500),
    (APIStatusError, exceptions.ModelServerError, 500),
)
"""What pydantic-ai calls a refusal, and the status for one that came inside a stream."""


class GLMModelSettings(ModelSettings, total=False):  # type: ignore[call-arg]
    """The settings of a request.

    Args:
        glmclient_options: further options of the provider, such as ``{"do_sample": False}``.
    """

    glmclient_options: dict[str, Any]


class GLMModel(Model):
    """A model that asks any provider of glmclient.

    Args:
        model_name: the model; the provider's default otherwise.
        provider: the name of a service, or a provider object.
        client: asks in place of a client of its own; ``provider`` and ``arguments`` are then left out.
        settings: for every request. A setting that the provider cannot honour is an error.
        profile: in place of what the provider supports.
        arguments: of `AsyncClient`, such as ``api_key`` and ``base_url``.

    Raises:
        ConfigurationError: an argument is wrong, or a key is missing.
    """

    def __init__(
        self,
        model_name: str | None = None,
        *,
        provider: str | Provider = DEFAULT_SERVICE,
        client: AsyncClient | None = None,
        settings: ModelSettings | None = None,
        profile: Any = None,
        **arguments: Any,
    ) -> None:
        if client is not None and (arguments or provider != DEFAULT_SERVICE):
            raise ConfigurationError(
                "client and the arguments of a client exclude each other; give one of them."
            )
        self.client = client if client is not None else AsyncClient(provider, **arguments)
        self._named = model_name
        supports = self.client.provider.supports
        own = ModelProfile(
            supports_tools=supports.tools,
            supports_json_schema_output=True,
            supports_json_object_output="response_format" in (supports.options or ()),
            supports_thinking=supports.reasoning,
            supports_image_input=supports.images,
            supports_document_input=False,
            supports_audio_file_input=False,
            supports_video_input=False,
            supports_inline_system_prompts=supports.system_messages,
            default_structured_output_mode="tool" if supports.tools else "native",
        )
        super().__init__(settings=settings, profile=own if profile is None else profile)

    @property
    def model_name(self) -> str:
        """The name of the model."""
        return self._named or self.client.default_model or "default"

    @property
    def system(self) -> str:
        """The name of the provider."""
        return self.client.provider.name

    @property
    def base_url(self) -> str:
        """The address of the service."""
        return self.client.provider.url

    async def __aenter__(self) -> GLMModel:
        await self.client.__aenter__()
        return self

    async def __aexit__(self, *error: Any) -> None:
        await self.client.aclose()

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Ask, and return the whole answer."""
        check_allow_model_requests()
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        with _errors(self.model_name):
            question = self._question(messages, settings, parameters)
            if "schema" in question:
                question["repair"] = 0  # pydantic-ai itself sends the problems back
            try:
                reply = await self.client.chat(**question)
            except SchemaError as error:
                reply = error.partial
        finish = reply.finish
        return ModelResponse(
            parts=[*_parts(reply)],
            usage=_usage(reply.usage),
            model_name=reply.model or self.model_name,
            provider_name=self.system,
            provider_url=self.base_url,
            provider_response_id=getattr(finish, "response_id", None),
            provider_details=_details(reply),
            finish_reason=_REASONS.get(getattr(finish, "reason", "")),
        )

    @asynccontextmanager
    async def request_stream(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
        run_context: Any = None,
    ) -> AsyncIterator[StreamedResponse]:
        """Ask, and yield the answer as a stream. A refusal is raised when it is opened."""
        check_allow_model_requests()
        settings, parameters = self.prepare_request(model_settings, model_request_parameters)
        with _errors(self.model_name):
            stream = self.client.stream(**self._question(messages, settings, parameters))
            await stream
        async with stream:
            yield _Streamed(
                model_request_parameters=parameters,
                _stream=stream,
                _model=self.model_name,
                _provider=self.system,
                _url=self.base_url,
            )

    def _question(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        parameters: ModelRequestParameters,
    ) -> dict[str, Any]:
        """Return the arguments of ``chat`` and ``stream``."""
        settings: dict[str, Any] = {**(model_settings or {})}
        options = {
            _SETTINGS.get(name, name): value
            for name, value in settings.items()
            if name not in (*_HANDLED, *_HANDLED_BY_PYDANTIC_AI)
        }
        provider = self.client.provider
        options |= _thinking(parameters.thinking, provider.supports.options or frozenset())
        options |= _tools(parameters, settings.get("tool_choice"))
        if parameters.output_mode == "native" and parameters.output_object is not None:
            options["schema"] = parameters.output_object.json_schema
        elif parameters.output_mode == "prompted" and self._has_json_mode(options):
            options["response_format"] = {"type": "json_object"}
        options |= settings.get("glmclient_options", {})
        if "timeout" in settings:
            options["timeout"] = settings["timeout"]
        if "max_retries" in settings:
            options["retry"] = RetryPolicy(attempts=settings["max_retries"] + 1)
        converted = [each for message in messages for each in _converted(message)]
        instructions = self._get_instruction_parts(messages, parameters) or []
        first = next((i for i, m in enumerate(converted) if m["role"] != "system"), len(converted))
        converted[first:first] = [
            {"role": "system", "content": part.content} for part in instructions
        ]
        asked, chosen = with_tool_choice(provider, converted, options)
        return {"messages": asked, "model": self._named, **chosen}

    def _has_json_mode(self, options: dict[str, Any]) -> bool:
        """Return whether the service can be kept to JSON, which it could not call a tool in."""
        return "tools" not in options and bool(self.profile.get("supports_json_object_output"))


@dataclass
class _Streamed(StreamedResponse):
    """An answer that is being read."""

    _stream: AsyncStream = field(repr=False)
    _model: str
    _provider: str
    _url: str
    _began: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    _usage_received: bool | None = field(default=False, init=False)

    async def _get_event_iterator(self) -> AsyncIterator[ModelResponseStreamEvent]:
        with _errors(self._model):
            async for event in self._stream.appending():
                for part in self._events(event):
                    yield part

    def _events(self, event: Event) -> Iterator[ModelResponseStreamEvent]:
        parts = self._parts_manager
        if isinstance(event, TextDelta):
            yield from parts.handle_text_delta(vendor_part_id="text", content=event.text)
        elif isinstance(event, ReasoningDelta):
            yield from parts.handle_thinking_delta(
                vendor_part_id="thinking", content=event.text, provider_name=self._provider
            )
        elif isinstance(event, ToolCallDelta):
            yield from parts.handle_tool_call_delta_events(
                vendor_part_id=event.index,
                tool_name=event.name or None,
                args=event.arguments,
                tool_call_id=event.id or None,
            )
        elif isinstance(event, Finish):
            self._add_usage(_usage(event.usage), reported=event.usage is not None)
            self._model = event.model or self._model
            self.provider_response_id = event.response_id
            self.provider_details = _details(self._stream.partial)
            self.finish_reason = _REASONS.get(event.reason)

    async def close_stream(self) -> None:
        """Release the connection; a reader ends with an error that pydantic-ai knows how to take."""
        self._stream.cancel()

    def get_stream_cancel_errors(self) -> tuple[type[BaseException], ...]:
        """Return the errors that a reader gets when the stream is cancelled."""
        return (StreamInterrupted,)

    @property
    def model_name(self) -> str:
        """The model that answers."""
        return self._model

    @property
    def provider_name(self) -> str:
        """The name of the provider."""
        return self._provider

    @property
    def provider_url(self) -> str:
        """The address of the service."""
        return self._url

    @property
    def timestamp(self) -> datetime:
        """When the answer began."""
        return self._began


# -- from glmclient to pydantic-ai -------------------------------------------------------------------------


@contextmanager
def _errors(model: str) -> Iterator[None]:
    """Raise errors as those of pydantic-ai; the cause stays glmclient's."""
    try:
        yield
    except GLMError as error:
        raise _error(error, model) from error


def _error(error: GLMError, model: str) -> Any:
    if isinstance(error, ConfigurationError):
        return exceptions.UserError(str(error))
    if isinstance(error, APITimeoutError):
        return exceptions.ModelTimeoutError(model, str(error))
    if isinstance(error, (APIConnectionError, StreamInterrupted)):
        return exceptions.ModelConnectionError(model, str(error))
    if isinstance(error, APIStatusError):
        category, status = next((c, s) for kind, c, s in _CATEGORIES if isinstance(error, kind))
        in_stream = error.status_code < 400
        return exceptions.ModelHTTPError.for_category(
            category,
            status_code=status if in_stream else error.status_code,
            model_name=model,
            body=error.body or error.message,
            hint=str(error),
            provider_error_code=error.code,
            retry_after=error.retry_after,
            in_stream=in_stream,
        )
    return exceptions.UnexpectedModelBehavior(str(error), getattr(error, "frame", None) or None)


def _parts(reply: Reply[Any]) -> Iterator[Any]:
    if reply.reasoning:
        yield ThinkingPart(reply.reasoning)
    text = reply.text if reply.parsed is None else json.dumps(reply.parsed, ensure_ascii=False)
    if text:
        yield TextPart(text)
    for call in reply.tool_calls:
        known = {"tool_call_id": call.id} if call.id else {}
        yield ToolCallPart(call.name, call.arguments, **known)


def _details(reply: Reply[Any]) -> dict[str, Any]:
    """Return what pydantic-ai has no part for: images, sources, how the answer ended."""
    elsewhere = ("text", "reasoning", "tool_calls", "finish", "parsed")
    details = {k: v for k, v in reply_data(reply).items() if v and k not in elsewhere}
    for name in ("raw_reason", "conversation_id", "request_id"):
        if value := getattr(reply.finish, name, None):
            details["finish_reason" if name == "raw_reason" else name] = value
    return details


def _usage(usage: Usage | None) -> RequestUsage:
    if usage is None:
        return RequestUsage(unmeasured_requests=1)
    details = {"reasoning_tokens": usage.reasoning_tokens} if usage.reasoning_tokens else {}
    return RequestUsage(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        cache_read_tokens=usage.cached_tokens or 0,
        details=details,
    )


# -- from pydantic-ai to glmclient -------------------------------------------------------------------------


def _thinking(level: Any, takes: frozenset[str]) -> dict[str, Any]:
    """Return the options for pydantic-ai's one setting of thinking."""
    if level is None:
        return {}
    effort = {"reasoning_effort": level} if isinstance(level, str) else {}
    for switch in ("thinking", "enable_thinking"):
        if switch in takes:
            return {switch: level is not False, **effort}
    if level is False:
        return {"reasoning_effort": "none"}
    return effort


def _tools(parameters: ModelRequestParameters, choice: Any) -> dict[str, Any]:
    """Return the tools that may be called, and whether one must be."""
    functions, outputs = parameters.function_tools, parameters.output_tools
    if isinstance(choice, ToolOrOutput):
        functions = [tool for tool in functions if tool.name in choice.function_tools]
    elif isinstance(choice, list) and choice:
        functions = [tool for tool in functions if tool.name in choice]
        outputs = [tool for tool in outputs if tool.name in choice]
    elif choice in ("none", []):
        functions = []
    elif choice == "required":
        outputs = []
    tools = [*functions, *outputs]
    if not tools:
        return {}
    must = choice == "required" or (isinstance(choice, list) and bool(choice))
    forced = must or not parameters.allow_text_output
    return {
        "tools": [_tool(tool) for tool in tools],
        "tool_choice": "required" if forced else "auto",
    }


def _tool(tool: Any) -> dict[str, Any]:
    function = {
        "name": tool.name,
        "description": tool.description,
        "parameters": tool.parameters_json_schema,
        "strict": tool.strict,
    }
    return {"type": "function", "function": {k: v for k, v in function.items() if v is not None}}


def _converted(message: ModelMessage) -> Iterator[dict[str, Any]]:
    """Yield a message of pydantic-ai as the clients take it."""
    if isinstance(message, ModelResponse):
        yield dict(_answer(message).message())
        return
    assert isinstance(message, ModelRequest)
    files: list[Any] = []
    for part in message.parts:
        if isinstance(part, SystemPromptPart):
            yield {"role": "system", "content": part.content}
        elif isinstance(part, UserPromptPart):
            yield {"role": "user", "content": _content(part.content)}
        elif isinstance(part, ToolReturnPart):
            text, attached = part.model_response_str_and_user_content()
            files += attached
            yield {"role": "tool", "tool_call_id": part.tool_call_id, "content": text}
        else:
            raise exceptions.UserError(
                f"a {type(part).__name__} cannot be sent as it is: call model.prepare_messages first, as an agent does."
            )
    if files:
        yield {"role": "user", "content": _content(files)}


def _answer(message: ModelResponse) -> Reply[Any]:
    texts = [part.content for part in message.parts if isinstance(part, TextPart)]
    thoughts = [part.content for part in message.parts if isinstance(part, ThinkingPart)]
    calls = [
        ToolCall(part.tool_call_id, part.tool_name, part.args_as_json_str())
        for part in message.parts
        if isinstance(part, ToolCallPart)
    ]
    return Reply("\n\n".join(texts), "\n\n".join(thoughts), tuple(calls))


def _content(content: Any) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    return [_content_part(item) for item in content if not isinstance(item, CachePoint)]


def _content_part(item: Any) -> dict[str, Any]:
    if isinstance(item, str):
        return {"type": "text", "text": item}
    if isinstance(item, TextContent):
        return {"type": "text", "text": item.content}
    if isinstance(item, ImageUrl):
        return {"type": "image_url", "image_url": {"url": item.url}}
    if isinstance(item, BinaryContent) and item.is_image:
        return {"type": "image_url", "image_url": {"url": item.data_uri}}
    raise exceptions.UserError(
        f"{type(item).__name__}: images are the only files that can be sent."
    )
