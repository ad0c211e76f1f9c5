"""A plugin of the command ``llm``: the models of every service as ``glmclient/<provider>/<model>``.

llm finds this module by its entry point. It asks for the models on every start, so listing them opens no connection and
loads no HTTP library.
"""

from __future__ import annotations

import functools
import json
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, get_type_hints

from ..clients.async_client import AsyncClient
from ..clients.sync_client import SyncClient
from ..configuration import environment_key_fits
from ..errors import ConfigurationError, GLMError
from ..events import Event, ReasoningDelta, TextDelta, ToolCall, ToolCallDelta
from ..options import ChatOptions
from ..providers import ServiceInfo, service, services
from ..providers.base import Provider
from ..reply import Reply, reply_data
from . import missing_extra

try:
    import click
    import llm
    from llm.models import ServerSideTool
    from llm.parts import (
        AttachmentPart,
        Message,
        ReasoningPart,
        StreamEvent,
        TextPart,
        ToolCallPart,
        ToolResultPart,
    )
    from pydantic import BeforeValidator, Field, create_model
except ImportError as error:
    raise missing_extra("llm", error) from None

__all__ = ["AsyncGLMClient", "GLMClient", "register_commands", "register_models"]

log: logging.Logger = logging.getLogger("glmclient.llm")

_IMAGES = frozenset({"image/gif", "image/jpeg", "image/png", "image/webp"})
_OF_CLIENTS = ("base_url", "timeout")
_ANSWERED_BY_LLM = {"continuation", "include_status", "include_unknown", "tools"}
"""Options that llm has its own means for, or that ask for events that llm has no place for."""


@llm.hookimpl
def register_models(register: Callable[..., None]) -> None:
    """Register the models of all services; llm calls this."""
    listed = _listed()
    for info in services():
        try:
            provider = _offline(info)
        except ConfigurationError as error:
            # A service of another distribution that cannot be used must not keep llm from all other models.
            log.warning("the models of the service %r are not available: %s", info.name, error)
            continue
        own = listed.get(info.name, {})
        names = dict.fromkeys((*provider.models, *own.get("models", ())))
        for name in names or (None,):
            is_default = name is not None and name == provider.default_model
            arguments = (info, provider, name, own.get("base_url"))
            register(
                GLMClient(*arguments),
                AsyncGLMClient(*arguments),
                aliases=[f"glmclient/{info.name}"] if is_default else [],
            )


@llm.hookimpl
def register_commands(cli: Any) -> None:
    """Add the command ``llm glmclient``; llm calls this."""

    @cli.command(name="glmclient")
    @click.argument("provider")
    @click.option("--base-url", help="The address of the service, if it is not the provider's own.")
    @click.option("--key", help="The key to send, or the name of one in `llm keys`.")
    def list_models(provider: str, base_url: str | None, key: str | None) -> None:
        """Ask a service for its models, so that llm has them as glmclient/PROVIDER/MODEL.

        The list and the address are stored; another call replaces them.
        """
        try:
            info = service(provider)
            model = GLMClient(info, _offline(info), None, base_url)
            with SyncClient(
                **model.client_arguments(None, None, model.get_key(key), key)
            ) as client:
                names = [each.id for each in client.models()]
        except (GLMError, llm.ModelError) as error:
            raise click.ClickException(str(error)) from None
        _list_path().write_text(
            json.dumps({**_listed(), provider: {"base_url": base_url, "models": names}}, indent=2),
            encoding="utf-8",
        )
        for name in names:
            click.echo(f"glmclient/{provider}/{name}")


def _list_path() -> Path:
    path: Path = llm.user_dir() / "glmclient-models.json"
    return path


def _listed() -> dict[str, dict[str, Any]]:
    """Return the models that the command stored, by provider."""
    try:
        listed = json.loads(_list_path().read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except ValueError as error:
        log.warning("%s is not JSON and is left out: %s", _list_path(), error)
        return {}
    return listed if isinstance(listed, dict) else {}


def _offline(info: ServiceInfo) -> Provider:
    """Return a provider that is only asked what it supports; its key and address are never used."""
    make: Callable[..., Provider] = info.provider_class()
    key = {"api_key": "unused"} if info.key == "required" else {}
    return make(**key, **({"base_url": "http://localhost"} if info.needs_url else {}))


class _Model:
    """What the blocking and the asynchronous model have in common.

    Args:
        info: the service.
        provider: says what the service supports.
        name: the model; ``None`` leaves it to the service.
        base_url: the address of the service, if it is not the provider's own.
    """

    can_stream = True
    supports_schema = True

    def __init__(
        self, info: ServiceInfo, provider: Provider, name: str | None, base_url: str | None = None
    ) -> None:
        supports = provider.supports
        self.model_id = "/".join(("glmclient", info.name, *(() if name is None else (name,))))
        self.supports_tools = supports.tools
        self.attachment_types = _IMAGES if supports.images else frozenset()
        self.Options = _options(supports.options or frozenset())
        # A service for any address may not get the key that llm has for the company of the same name.
        own_name = f"glmclient-{info.name}" if info.needs_url else info.name
        self.needs_key = own_name if info.takes_key else None
        self.key_env_var = next(iter(info.key_variables), None)
        self._info, self._name, self._base_url = info, name, base_url

    @property
    def supported_server_side_tools(self) -> tuple[type, ...]:
        """A service's own tools pass through as their specification."""
        return (ServerSideTool,) if self.supports_tools else ()

    def get_key(self, explicit_key: str | None = None) -> str | None:
        """Return the key of the argument, of ``llm keys`` or of the environment; ``None`` if the service needs none.

        Raises:
            NeedsKeyException: the service requires a key, and no key was found.
        """
        try:
            key: str | None = super().get_key(explicit_key)  # type: ignore[misc]
        except llm.NeedsKeyException:
            if self._info.key == "required":
                raise
            return None
        return key

    def client_arguments(
        self,
        base_url: str | None,
        timeout: float | None,
        key: str | None,
        explicit_key: str | None,
    ) -> dict[str, Any]:
        """Return the arguments of the client.

        Args:
            base_url: in place of the address of the model.
            timeout: seconds for the whole answer.
            key: what `get_key` returned.
            explicit_key: what the user gave as ``--key``.

        Raises:
            ModelError: the service requires a key, and the user did not name one for this address.
        """
        base_url = base_url or self._base_url
        # An address can come from a template of another author: only a key that the user names follows it there.
        if not explicit_key and not environment_key_fits(self._info, base_url):
            if self._info.key == "required":
                raise llm.ModelError(
                    f"the key {self.needs_key!r} goes to {' and '.join(self._info.key_hosts)} only. To send a key to "
                    f"{base_url}, name it: llm --key {self.needs_key}"
                )
            key = None
        arguments = {"api_key": key, "base_url": base_url, "timeout": timeout}
        return {
            "provider": self._info.name,
            **{name: value for name, value in arguments.items() if value is not None},
        }

    def _client(self, prompt: Any, key: str | None, response: Any) -> dict[str, Any]:
        options = prompt.options
        return self.client_arguments(options.base_url, options.timeout, key, response._key)

    def _question(self, prompt: Any) -> dict[str, Any]:
        """Return the arguments of ``stream`` and ``chat``."""
        options = {name: value for name, value in prompt.options if value is not None}
        for name in _OF_CLIENTS:
            options.pop(name, None)
        model = options.pop("model", self._name)
        if prompt.tools:
            options["tools"] = [_tool(self, each) for each in prompt.tools]
        return {"messages": _messages(prompt.messages), "model": model, **options}


class GLMClient(_Model, llm.KeyModel):  # type: ignore[misc]
    """A model for ``llm``; see `_Model`."""

    def execute(
        self, prompt: Any, stream: bool, response: Any, conversation: Any, key: str | None
    ) -> Iterator[StreamEvent]:
        """Ask, and yield the answer."""
        writer = _Writer(response)
        with SyncClient(**self._client(prompt, key, response)) as client:
            question = self._question(prompt)
            if prompt.schema is not None:
                yield from writer.typed(client.chat(schema=prompt.schema, **question))
                return
            with client.stream(**question) as answer:
                for event in answer.appending(hold=not stream):
                    yield from writer.events(event)
                writer.end(answer.reply())


class AsyncGLMClient(_Model, llm.AsyncKeyModel):  # type: ignore[misc]
    """An asynchronous model for ``llm``; see `_Model`."""

    async def execute(
        self, prompt: Any, stream: bool, response: Any, conversation: Any, key: str | None
    ) -> AsyncIterator[StreamEvent]:
        """Ask, and yield the answer."""
        writer = _Writer(response)
        async with AsyncClient(**self._client(prompt, key, response)) as client:
            question = self._question(prompt)
            if prompt.schema is not None:
                for part in writer.typed(await client.chat(schema=prompt.schema, **question)):
                    yield part
                return
            async with client.stream(**question) as answer:
                async for event in answer.appending(hold=not stream):
                    for part in writer.events(event):
                        yield part
                writer.end(await answer.reply())


class _Writer:
    """Writes one answer as llm reads it.

    Args:
        response: llm's response, which gets tool calls, usage and everything that is not text.
    """

    def __init__(self, response: Any) -> None:
        self._response = response
        self._ids: dict[int, str] = {}

    def events(self, event: Event) -> Iterator[StreamEvent]:
        """Yield what llm reads for an event; what it has no kind for is in `end`."""
        if isinstance(event, TextDelta):
            yield StreamEvent(type="text", chunk=event.text)
        elif isinstance(event, ReasoningDelta):
            yield StreamEvent(type="reasoning", chunk=event.text)
        elif isinstance(event, ToolCallDelta):
            number = self._ids.setdefault(event.index, event.id or _own_id(event.index))
            for kind, chunk in (("name", event.name), ("args", event.arguments)):
                if chunk:
                    yield StreamEvent(type=f"tool_call_{kind}", chunk=chunk, tool_call_id=number)

    def typed(self, reply: Reply[Any]) -> Iterator[StreamEvent]:
        """Yield an answer to a question with a schema: its value as JSON, or the tool calls that come before it."""
        parsed = json.dumps(reply.parsed, ensure_ascii=False)
        text = reply.text if reply.tool_calls else parsed
        deltas: list[Event] = [ReasoningDelta(reply.reasoning), TextDelta(text)]
        deltas += [
            ToolCallDelta(index, call.id, call.name, call.arguments)
            for index, call in enumerate(reply.tool_calls)
        ]
        for delta in deltas:
            yield from self.events(delta)
        self.end(reply)

    def end(self, reply: Reply[Any]) -> None:
        """Hand over what llm keeps beside the text.

        Raises:
            ProtocolError: the arguments of a tool call are not JSON.
        """
        response = self._response
        for index, call in enumerate(reply.tool_calls):
            number, arguments = call.id or _own_id(index), call.parse_arguments()
            response.add_tool_call(llm.ToolCall(call.name, arguments, number))
        if reply.model is not None:
            response.set_resolved_model(reply.model)
        if (usage := reply.usage) is not None:
            counts = {"cached": usage.cached_tokens, "reasoning": usage.reasoning_tokens}
            details = {f"{name}_tokens": count for name, count in counts.items() if count}
            response.set_usage(
                input=usage.prompt_tokens, output=usage.completion_tokens, details=details or None
            )
        kept_by_llm = ("text", "reasoning", "tool_calls", "parsed")
        response.response_json = {
            name: value
            for name, value in reply_data(reply).items()
            if value and name not in kept_by_llm
        }


def _own_id(index: int) -> str:
    """Return the id of a tool call for a service that gives it none."""
    return f"call_{index}"


@functools.cache
def _options(names: frozenset[str]) -> Any:
    """Return the class of the options of a model, as llm checks and lists them.

    The models of a service share one: pydantic takes some 10 ms for each class, and there are dozens of models.
    """
    types = get_type_hints(ChatOptions)
    fields: dict[str, Any] = {
        "base_url": (str | None, Field(None, description="Another address of the service.")),
        "model": (str | None, Field(None, description="A model that is not listed.")),
        "timeout": (float | None, Field(None, description="Seconds for the whole answer.")),
    }
    for name in sorted(names - _ANSWERED_BY_LLM):
        kind: Any = Annotated[types.get(name, Any) | None, BeforeValidator(_decoded)]
        fields[name] = (kind, None)
    return create_model("Options", __base__=llm.Options, **fields)


def _decoded(value: Any) -> Any:
    """Return the object or list that an option of the command line is in JSON; any other text as it is."""
    if isinstance(value, str) and value.lstrip().startswith(("{", "[")):
        try:
            return json.loads(value)
        except ValueError:
            return value
    return value


def _tool(model: _Model, tool: Any) -> dict[str, Any]:
    if isinstance(tool, ServerSideTool):
        specification: dict[str, Any] = tool.tool_spec(model)
        return specification
    function = {"name": tool.name, "description": tool.description, "parameters": tool.input_schema}
    return {
        "type": "function",
        "function": {name: value for name, value in function.items() if value},
    }


def _messages(messages: list[Message]) -> list[dict[str, Any]]:
    """Return llm's messages as the clients take them."""
    converted: list[dict[str, Any]] = []
    for message in messages:
        if message.role == "assistant":
            converted.append(dict(_answer(message.parts).message()))
        elif message.role == "tool":
            converted += _results(message.parts)
        else:
            converted.append({"role": message.role, "content": _content(message.parts)})
    return converted


def _answer(parts: list[Any]) -> Reply[Any]:
    calls = tuple(
        ToolCall(each.tool_call_id or "", each.name, json.dumps(each.arguments, ensure_ascii=False))
        for each in parts
        if isinstance(each, ToolCallPart) and not each.server_executed
    )
    return Reply(_joined(parts, TextPart), _joined(parts, ReasoningPart), calls)


def _results(parts: list[Any]) -> Iterator[dict[str, Any]]:
    """Yield the results of tools; services take images from users only, so those follow as a user's message."""
    results = [each for each in parts if isinstance(each, ToolResultPart)]
    for each in results:
        yield {"role": "tool", "tool_call_id": each.tool_call_id, "content": each.output}
    images = [AttachmentPart(image) for each in results for image in each.attachments]
    if images:
        yield {"role": "user", "content": _content(images)}


def _joined(parts: list[Any], kind: Any) -> str:
    return "".join(each.text for each in parts if isinstance(each, kind))


def _content(parts: list[Any]) -> str | list[dict[str, Any]]:
    images = [each.attachment for each in parts if isinstance(each, AttachmentPart)]
    text = _joined(parts, TextPart)
    if not images:
        return text
    content = [{"type": "text", "text": text}] if text else []
    return content + [
        {"type": "image_url", "image_url": {"url": _address(each)}} for each in images
    ]


def _address(image: Any) -> str:
    """Return the address of an image; what is on this machine goes along as a data URL."""
    if image.url:
        return str(image.url)
    return f"data:{image.resolve_type()};base64,{image.base64_content()}"
