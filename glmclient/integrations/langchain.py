"""A chat model of LangChain in front of any provider."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any, Literal

from ..clients.async_client import AsyncClient
from ..clients.sync_client import SyncClient
from ..core.limits import Timeout
from ..core.retry import RetryPolicy
from ..errors import SchemaError
from ..events import Event, Finish, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta, Usage
from ..providers import DEFAULT_SERVICE, service
from ..providers.base import Provider
from ..reply import Reply, reply_data
from ..schemas.extraction import value_in
from ..schemas.shapes import Misfit, shape_of
from . import missing_extra
from .tool_choice import with_tool_choice

try:
    from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
    from langchain_core.exceptions import OutputParserException
    from langchain_core.language_models import BaseChatModel, LangSmithParams
    from langchain_core.messages import (
        AIMessage,
        AIMessageChunk,
        BaseMessage,
        ToolMessage,
        convert_to_openai_messages,
    )
    from langchain_core.messages.ai import InputTokenDetails, OutputTokenDetails, UsageMetadata
    from langchain_core.messages.tool import invalid_tool_call, tool_call, tool_call_chunk
    from langchain_core.output_parsers import JsonOutputParser, PydanticOutputParser
    from langchain_core.outputs import ChatGeneration, ChatGenerationChunk, ChatResult
    from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
    from langchain_core.utils.function_calling import (
        convert_to_json_schema,
        convert_to_openai_tool,
    )
    from langchain_core.utils.pydantic import is_basemodel_subclass
    from pydantic import Field, SecretStr, model_validator
except ImportError as error:
    raise missing_extra("langchain", error) from None

__all__ = ["ChatGLMClient"]


class ChatGLMClient(BaseChatModel):
    """A chat model that asks any provider of glmclient.

    An argument that is not listed here is an option of every question, such as ``thinking`` or ``top_p``. Options that
    the provider cannot honour are refused when a question is asked.

    Args:
        provider: the name of a service, or a provider object.
        model: the model; the provider's default otherwise. ``invoke(..., model=...)`` wins.
        api_key: the key; from the provider's environment variable otherwise.
        base_url: replaces the address of the service.
        temperature: randomness of the answer.
        max_tokens: the longest answer.
        stop: texts at which the answer ends; an empty list means none.
        timeout: seconds for a whole answer, or a `glmclient.Timeout`.
        max_retries: attempts after the first one.
        streaming: stream even where the whole answer is asked for.
        client_kwargs: further arguments of `SyncClient` and `AsyncClient`, such as ``proxy``.
        model_kwargs: further options of every question.
    """

    provider: Any = DEFAULT_SERVICE
    model: str | None = None
    api_key: SecretStr | None = None
    base_url: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: list[str] | None = None
    timeout: float | Timeout | None = None
    max_retries: int | None = None
    streaming: bool = False
    client_kwargs: dict[str, Any] = Field(default_factory=dict)
    model_kwargs: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _gather_options(cls, values: dict[str, Any]) -> dict[str, Any]:
        further = {name: value for name, value in values.items() if name not in cls.model_fields}
        named = {name: value for name, value in values.items() if name in cls.model_fields}
        return {**named, "model_kwargs": {**further, **named.get("model_kwargs", {})}}

    def __getstate__(self) -> dict[str, Any]:
        """Return the arguments alone: a copy makes clients of its own."""
        state: dict[str, Any] = super().__getstate__()
        clients = ("_client", "_async_client")
        return {**state, "__dict__": {k: v for k, v in self.__dict__.items() if k not in clients}}

    @cached_property
    def _client(self) -> SyncClient:
        return SyncClient(**self._client_arguments())

    @cached_property
    def _async_client(self) -> AsyncClient:
        return AsyncClient(**self._client_arguments())

    def _client_arguments(self) -> dict[str, Any]:
        arguments: dict[str, Any] = {
            "model": self.model,
            "base_url": self.base_url,
            "timeout": self.timeout,
        }
        if self.api_key is not None:
            arguments["api_key"] = self.api_key.get_secret_value()
        if self.max_retries is not None:
            arguments["retry"] = RetryPolicy(attempts=self.max_retries + 1)
        named = {name: value for name, value in arguments.items() if value is not None}
        return {"provider": self.provider, **named, **self.client_kwargs}

    @property
    def _llm_type(self) -> str:
        return "glmclient"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {"provider": self._provider_name, "model": self.model, **self._options(None, {})}

    @property
    def _provider_name(self) -> str:
        return self.provider.name if isinstance(self.provider, Provider) else str(self.provider)

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        """Return the standard parameters for tracing; those of the call win."""
        options = self._options(stop, kwargs)
        own = self.provider if isinstance(self.provider, Provider) else None
        default = getattr(own or service(self.provider).provider_class(), "default_model", None)
        params = LangSmithParams(
            ls_provider=self._provider_name,
            ls_model_type="chat",
            ls_model_name=options.get("model") or self.model or default or "default",
        )
        for name in ("temperature", "max_tokens", "stop"):
            if options.get(name) is not None:
                params[f"ls_{name}"] = options[name]  # type: ignore[literal-required]
        return params

    # -- asking --------------------------------------------------------------------------------------------

    def _options(self, stop: list[str] | None, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a question: those of the call win over those of the model."""
        own = {"temperature": self.temperature, "max_tokens": self.max_tokens, "stop": self.stop}
        chosen = {**own, **self.model_kwargs, **options}
        if stop is not None:
            chosen["stop"] = stop
        chosen.pop("stream", None)  # LangChain's switch of streaming, which chose this method
        return {
            name: v for name, v in chosen.items() if v is not None and (name, v) != ("stop", [])
        }

    def _question(
        self, provider: Provider, messages: list[BaseMessage], stop: Any, options: dict[str, Any]
    ) -> dict[str, Any]:
        asked, chosen = with_tool_choice(
            provider, [*_converted(messages)], self._options(stop, options)
        )
        return {"messages": asked, **chosen}

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        try:
            reply = self._client.chat(
                **self._question(self._client.provider, messages, stop, kwargs)
            )
        except SchemaError as error:
            reply = error.partial  # the parser behind this model raises what fits LangChain
        return _result(reply)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        client = self._async_client
        try:
            reply = await client.chat(**self._question(client.provider, messages, stop, kwargs))
        except SchemaError as error:
            reply = error.partial
        return _result(reply)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        client = self._client
        question = self._question(client.provider, messages, stop, kwargs)
        with client.stream(**question) as answer:
            for event in answer.appending():
                yield from _chunks(event, answer, self.output_version)
            try:
                answer.reply()
            except SchemaError as error:
                raise _misfit(error) from error

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        client = self._async_client
        question = self._question(client.provider, messages, stop, kwargs)
        async with client.stream(**question) as answer:
            async for event in answer.appending():
                for chunk in _chunks(event, answer, self.output_version):
                    yield chunk  # LangChain itself tells the callbacks
            try:
                await answer.reply()
            except SchemaError as error:
                raise _misfit(error) from error

    # -- tools and values ----------------------------------------------------------------------------------

    def bind_tools(
        self,
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | Any],
        *,
        tool_choice: str | bool | dict[str, Any] | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, AIMessage]:
        """Return this model with tools.

        Args:
            tools: functions, tools and schemas as LangChain takes them, or a service's own tools as mappings.
            tool_choice: ``auto``, ``none``, ``any`` (also ``required`` and ``True``), the name of a tool, or a mapping.
                Where the service cannot be told, a system message asks for the choice.
            strict: have the arguments follow the schema, where the service knows that.
            kwargs: further options of the questions.
        """
        if tool_choice:
            kwargs["tool_choice"] = _choice(tool_choice)
        return self.bind(tools=[_tool(each, strict) for each in tools], **kwargs)

    def with_structured_output(
        self,
        schema: dict[str, Any] | type,
        *,
        method: Literal["json_schema", "function_calling", "json_mode"] = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[Any, Any]:
        """Return a runnable that answers with values of a schema.

        Args:
            schema: a pydantic model, a ``TypedDict`` or a JSON schema. Values of the last two are dictionaries.
            method: ``json_schema`` asks in the strictest form that the service enforces, and once more if the answer
                does not fit; ``function_calling`` asks for a call of a tool; ``json_mode`` asks for any JSON object.
            include_raw: answer with ``{"raw", "parsed", "parsing_error"}``.
            strict: for ``function_calling``.
            kwargs: further options of the questions.
        """
        if method == "function_calling":
            return super().with_structured_output(schema, include_raw=include_raw, **kwargs)
        json_schema = convert_to_json_schema(schema)
        about = {"kwargs": {"method": method}, "schema": schema}
        asked: dict[str, Any] = (
            {"response_format": {"type": "json_object"}}
            if method == "json_mode"
            else {"schema": json_schema}
        )
        model = self.bind(**asked, ls_structured_output_format=about, **kwargs)
        parser: Runnable[Any, Any] = (
            PydanticOutputParser(pydantic_object=schema)
            if isinstance(schema, type) and is_basemodel_subclass(schema)
            else _ValueParser(shape=shape_of(json_schema))
        )
        if not include_raw:
            return model | parser
        parsed = RunnablePassthrough.assign(
            parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
        )
        failed = RunnablePassthrough.assign(parsed=lambda _: None)
        return RunnableMap(raw=model) | parsed.with_fallbacks(
            [failed], exception_key="parsing_error"
        )


_FIRST_CALL = 1_000_000


class _ValueParser(JsonOutputParser):
    """Parses the value of a JSON schema, and checks it when it is whole."""

    shape: Any

    def parse_result(self, result: list[Any], *, partial: bool = False) -> Any:
        """Return the value of an answer; a part of it while the answer is incomplete."""
        if partial:
            return super().parse_result(result, partial=True)
        text = result[0].text
        try:
            return value_in(text, self.shape, wrapper=False)[1]
        except Misfit as misfit:
            problems = "; ".join(f"{each.path}: {each.message}" for each in misfit.problems)
            raise OutputParserException(
                f"the answer does not fit the schema: {problems}", llm_output=text
            ) from None


def _misfit(error: SchemaError) -> OutputParserException:
    """Return the error for a stream: LangChain's parsers do not check a value that comes in pieces."""
    return OutputParserException(str(error), llm_output=error.partial.text)


# -- from glmclient to LangChain ---------------------------------------------------------------------------


def _result(reply: Reply[Any]) -> ChatResult:
    calls, invalid = [], []
    for call in reply.tool_calls:
        try:
            arguments = json.loads(call.arguments) if call.arguments.strip() else {}
        except ValueError as error:
            arguments = error
        if isinstance(arguments, dict):
            calls.append(tool_call(name=call.name, args=arguments, id=call.id))
        else:
            problem = f"the arguments are not a JSON object: {arguments}"
            invalid.append(
                invalid_tool_call(name=call.name, args=call.arguments, id=call.id, error=problem)
            )
    content = reply.text if reply.parsed is None else json.dumps(reply.parsed, ensure_ascii=False)
    message = AIMessage(
        content=content,
        tool_calls=calls,
        invalid_tool_calls=invalid,
        additional_kwargs={"reasoning_content": reply.reasoning} if reply.reasoning else {},
        response_metadata=_metadata(reply),
        usage_metadata=_usage(reply.usage),
    )
    return ChatResult(generations=[ChatGeneration(message=message)])


def _chunks(event: Event, answer: Any, version: str | None) -> Iterator[ChatGenerationChunk]:
    """Yield what LangChain takes for an event; what it has no kind for is in the metadata of the last chunk."""
    known: dict[str, Any]
    if isinstance(event, TextDelta):
        known = {"content": event.text}
    elif isinstance(event, ReasoningDelta):
        known = {"additional_kwargs": {"reasoning_content": event.text}}
    elif isinstance(event, ToolCallDelta):
        # With "v1", LangChain itself numbers the other blocks from 0, and joins blocks of the same number.
        index = event.index + (_FIRST_CALL if version == "v1" else 0)
        piece = tool_call_chunk(
            name=event.name or None, args=event.arguments, id=event.id or None, index=index
        )
        known = {"tool_call_chunks": [piece]}
    elif isinstance(event, Finish):
        known = {
            "response_metadata": _metadata(answer.partial),
            "usage_metadata": _usage(event.usage),
            "chunk_position": "last",
        }
    else:
        return
    yield ChatGenerationChunk(message=AIMessageChunk(**{"content": "", **known}))


def _metadata(reply: Reply[Any]) -> dict[str, Any]:
    """Return what LangChain has no place for: how the answer ended, images, sources and the like."""
    elsewhere = ("text", "reasoning", "tool_calls", "finish", "parsed")
    metadata = {k: v for k, v in reply_data(reply).items() if v and k not in elsewhere}
    ends = {
        "finish_reason": "reason",
        "model_name": "model",
        "id": "response_id",
        "conversation_id": "conversation_id",
        "request_id": "request_id",
    }
    metadata |= {name: getattr(reply.finish, member, None) for name, member in ends.items()}
    return {name: value for name, value in metadata.items() if value is not None}


def _usage(usage: Usage | None) -> UsageMetadata | None:
    if usage is None:
        return None
    metadata = UsageMetadata(
        input_tokens=usage.prompt_tokens,
        output_tokens=usage.completion_tokens,
        total_tokens=usage.total_tokens,
    )
    if usage.cached_tokens is not None:
        metadata["input_token_details"] = InputTokenDetails(cache_read=usage.cached_tokens)
    if usage.reasoning_tokens is not None:
        metadata["output_token_details"] = OutputTokenDetails(reasoning=usage.reasoning_tokens)
    return metadata


# -- from LangChain to glmclient ---------------------------------------------------------------------------


def _converted(messages: list[BaseMessage]) -> Iterator[dict[str, Any]]:
    """Yield LangChain's messages as the clients take them.

    Services take images and files from users only. Those of tools therefore follow the results as a user's message.
    """
    attached: list[dict[str, Any]] = []
    for message in messages:
        if attached and not isinstance(message, ToolMessage):
            yield {"role": "user", "content": attached}
            attached = []
        if isinstance(message, AIMessage):
            yield dict(_answer(message).message())
        elif isinstance(message, ToolMessage):
            attached += [part for part in _parts(message) if part["type"] != "text"]
            yield {
                "role": "tool",
                "content": str(message.text),
                "tool_call_id": message.tool_call_id,
            }
        else:
            (converted,) = convert_to_openai_messages([message])
            yield converted
    if attached:
        yield {"role": "user", "content": attached}


def _parts(message: BaseMessage) -> list[dict[str, Any]]:
    (converted,) = convert_to_openai_messages([message], text_format="block")
    parts: list[dict[str, Any]] = converted["content"]
    return parts


def _answer(message: AIMessage) -> Reply[Any]:
    reasoning = [b.get("reasoning", "") for b in message.content_blocks if b["type"] == "reasoning"]
    calls = [
        ToolCall(call["id"] or "", call["name"], json.dumps(call["args"], ensure_ascii=False))
        for call in message.tool_calls
    ]
    calls += [
        ToolCall(call["id"] or "", call["name"] or "", call["args"] or "")
        for call in message.invalid_tool_calls
    ]
    return Reply(str(message.text), "".join(reasoning), tuple(calls))


def _tool(tool: Any, strict: bool | None) -> dict[str, Any]:
    if isinstance(tool, dict) and tool.get("type") not in (None, "function", "object"):
        return tool  # the service's own, such as web_search
    converted: dict[str, Any] = convert_to_openai_tool(tool, strict=strict)
    return converted


def _choice(choice: str | bool | dict[str, Any]) -> str | dict[str, Any]:
    if choice in (True, "any", "required"):
        return "required"
    if isinstance(choice, dict) or choice in ("auto", "none"):
        return choice  # type: ignore[return-value]
    return {"type": "function", "function": {"name": choice}}
