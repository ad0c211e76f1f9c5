"""Functions as tools: described by their signature and docstring, called with the arguments that a model wrote."""

from __future__ import annotations

import dataclasses
import functools
import inspect
import json
import re
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ConfigurationError
from ..events import ToolCall
from ..schemas.libraries import library
from ..schemas.shapes import Misfit, Shape, shape_of

__all__ = ["BadArguments", "Tool", "content_of", "described", "tool", "tools_of"]

_NAME = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class BadArguments(ValueError):
    """The arguments of a call do not fit the function; the text is for the model."""


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a model may call; `tool` makes one.

    Args:
        function: what is called.
        name: the name that the model sees.
        description: what the model reads about it.
        parameters: the JSON schema of its arguments, an object.
    """

    function: Callable[..., Any]
    name: str
    description: str
    parameters: Mapping[str, Any]
    _shapes: Mapping[str, Shape] | None = field(default=None, repr=False, compare=False)
    """The shapes of the arguments by name; ``None`` if the caller wrote the schema."""
    _whole: Shape | None = field(default=None, repr=False, compare=False)

    @property
    def is_async(self) -> bool:
        """The function has to be awaited."""
        function = self.function
        return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(
            getattr(function, "__call__", None)  # noqa: B004 - an object with an async __call__
        )

    def __call__(self, *args: Any, **known: Any) -> Any:
        """Call the function, as the code beside the model does with a function that `tool` decorates."""
        return self.function(*args, **known)

    def description_mapping(self) -> dict[str, Any]:
        """Return the tool as services take it."""
        function = {
            "name": self.name,
            "description": self.description,
            "parameters": self.parameters,
        }
        return {"type": "function", "function": {k: v for k, v in function.items() if v != ""}}

    def bound(self, call: ToolCall) -> Callable[[], Any]:
        """Return the call of the function with the arguments of ``call``, checked and converted.

        Raises:
            BadArguments: they are not a JSON object, or do not fit the signature.
        """
        try:
            arguments = json.loads(call.arguments, strict=False) if call.arguments.strip() else {}
        except (ValueError, RecursionError) as error:
            raise BadArguments(f"the arguments are not JSON: {error}") from None
        if not isinstance(arguments, dict):
            raise BadArguments("the arguments must be a JSON object")
        if self._shapes is None:
            return self._checked_by_schema(arguments)
        problems = [f"$.{name}: no such argument" for name in arguments if name not in self._shapes]
        required = self.parameters.get("required", ())
        problems += [
            f"$.{name}: this argument is required" for name in required if name not in arguments
        ]
        values: dict[str, Any] = {}
        for name, value in arguments.items():
            if name not in self._shapes:
                continue
            try:
                values[name] = self._shapes[name].convert(value)
            except Misfit as misfit:
                problems += [f"$.{name}{p.path[1:]}: {p.message}" for p in misfit.problems]
        if problems:
            raise BadArguments("the arguments do not fit: " + "; ".join(problems))
        return self._call(values)

    def _checked_by_schema(self, arguments: dict[str, Any]) -> Callable[[], Any]:
        try:
            (self._whole or shape_of(self.parameters)).convert(arguments)
        except Misfit as misfit:
            problems = "; ".join(f"{p.path}: {p.message}" for p in misfit.problems)
            raise BadArguments(f"the arguments do not fit: {problems}") from None
        return lambda: self.function(**arguments)

    def _call(self, values: dict[str, Any]) -> Callable[[], Any]:
        """Return the call; positional-only parameters are given by position."""
        signature = inspect.signature(self.function)
        bound = inspect.BoundArguments(signature, dict(values))
        names = list(signature.parameters)
        bound.arguments = {name: values[name] for name in names if name in values}
        return lambda: self.function(*bound.args, **bound.kwargs)


def tool(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    description: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Any:
    """Return a function as a tool, with control of what the model sees; also a decorator.

    Args:
        function: a plain or ``async def`` function.
        name: in place of the function's own name.
        description: in place of the docstring's.
        parameters: a JSON schema of an object, in place of the signature's. The arguments then are plain data.

    Returns:
        A `Tool`, or a decorator that makes one if ``function`` is left out.

    Raises:
        ConfigurationError: the function cannot be described.
    """
    if function is None:
        return lambda decorated: tool(
            decorated, name=name, description=description, parameters=parameters
        )
    if not callable(function):
        raise ConfigurationError(f"a tool must be a function, not {type(function).__name__}.")
    if isinstance(function, Tool):
        return _changed(function, name, description, parameters)
    source = _source(function)
    if inspect.isgeneratorfunction(source) or inspect.isasyncgenfunction(source):
        raise ConfigurationError(
            "a generator cannot be a tool: its result is not one value. Return a list, or text."
        )
    own_name = _own_name(function, source) if name is None else name
    _check_name(own_name)
    text, arguments = _documented(source)
    about = text if description is None else description
    if parameters is not None:
        shape = shape_of(parameters)
        return Tool(function, own_name, about, shape.schema, None, shape)
    shapes, schema = _signature(function, source, own_name, arguments)
    return Tool(function, own_name, about, schema, shapes)


def _own_name(function: Any, source: Any) -> Any:
    """Return the name of a function; an object with a call has that of its class."""
    is_object = source.__name__ == "__call__" and not hasattr(function, "__name__")
    return type(function).__name__ if is_object else source.__name__


def _changed(
    known: Tool, name: str | None, description: str | None, parameters: Mapping[str, Any] | None
) -> Tool:
    """Return a tool with other properties; those that are ``None`` stay."""
    own_name = known.name if name is None else name
    _check_name(own_name)
    about = known.description if description is None else description
    if parameters is None:
        return dataclasses.replace(known, name=own_name, description=about)
    shape = shape_of(parameters)
    return Tool(known.function, own_name, about, shape.schema, None, shape)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"the tool's name is {name!r:.80}; services take 1 to 64 of the characters a-z, A-Z, 0-9, _ and -. "
            "Give one: glmclient.tool(function, name=...)."
        )


def _source(function: Any) -> Any:
    """Return what has the docstring and the annotations of a function, of a partial, or of an object with a call."""
    while isinstance(function, functools.partial):
        function = function.func
    return function if hasattr(function, "__name__") else type(function).__call__


def _documented(source: Any) -> tuple[str, dict[str, str]]:
    """Return the description of a function and of its arguments, from a docstring in any usual style."""
    text = inspect.getdoc(source)
    if not text:
        return "", {}
    parser = library("docstring_parser")
    try:
        parsed = parser.parse(text)
    except parser.ParseError:
        return text, {}
    about = (parsed.description or "").strip()
    return about, {each.arg_name: each.description or "" for each in parsed.params}


def _signature(
    function: Callable[..., Any], source: Any, name: str, documented: Mapping[str, str]
) -> tuple[dict[str, Shape], dict[str, Any]]:
    try:
        signature = inspect.signature(function)
        hints = typing.get_type_hints(source, include_extras=True)
    except (NameError, TypeError, ValueError) as error:
        raise ConfigurationError(
            f"tool {name!r} cannot be described: {error}. Give its schema: glmclient.tool(function, parameters=...)."
        ) from None
    shapes: dict[str, Shape] = {}
    properties: dict[str, Any] = {}
    required: list[str] = []
    definitions: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        if parameter.kind not in (*_POSITIONAL, inspect.Parameter.KEYWORD_ONLY):
            raise ConfigurationError(
                f"tool {name!r} takes {parameter}: a model cannot know which arguments that are. Name them, or give "
                "glmclient.tool(function, parameters=...)."
            )
        hint = hints.get(parameter.name, Any)
        shape = shape_of(hint)
        schema = dict(shape.schema)
        definitions.update(schema.pop("$defs", {}))
        if about := documented.get(parameter.name) or _note_of(hint):
            schema = {**schema, "description": about}
        if parameter.default is inspect.Parameter.empty:
            required.append(parameter.name)
        else:
            schema.update(_default(parameter.default))
        shapes[parameter.name] = shape
        properties[parameter.name] = schema
    whole: dict[str, Any] = {"type": "object", "properties": properties, "required": required}
    whole["additionalProperties"] = False
    return shapes, {**whole, "$defs": definitions} if definitions else whole


def _note_of(hint: Any) -> str:
    """Return the text in ``Annotated[str, "the city"]``."""
    return next((note for note in getattr(hint, "__metadata__", ()) if isinstance(note, str)), "")


def _default(value: Any) -> dict[str, Any]:
    """Return the member of a schema that tells a default, if JSON can write it."""
    try:
        return {"default": json.loads(json_of(value))}
    except (TypeError, ValueError, RecursionError):
        return {}


def tools_of(values: Iterable[Any]) -> tuple[list[dict[str, Any]], dict[str, Tool]]:
    """Return tools as services take them, and those that can be called, by name.

    Args:
        values: functions, `Tool` objects, and mappings, which are a service's own tools.

    Raises:
        ConfigurationError: a value has another type, or two tools have the same name.
    """
    sent: list[dict[str, Any]] = []
    callable_ones: dict[str, Tool] = {}
    for index, value in enumerate(values):
        if isinstance(value, Mapping):
            sent.append(dict(value))
            continue
        if not isinstance(value, Tool) and not callable(value):
            raise ConfigurationError(
                f"tools[{index}] must be a function, a glmclient.tool or a mapping, not {type(value).__name__}."
            )
        each = value if isinstance(value, Tool) else tool(value)
        if each.name in callable_ones:
            raise ConfigurationError(
                f"tools[{index}]: two tools have the name {each.name!r}. Give one another: glmclient.tool(f, name=...)."
            )
        callable_ones[each.name] = each
        sent.append(each.description_mapping())
    return sent, callable_ones


def described(values: Iterable[Any]) -> list[dict[str, Any]]:
    """Return tools as services take them."""
    return tools_of(values)[0]


def content_of(value: Any) -> str:
    """Return the result of a tool as the text that the model reads: text as it is, anything else as JSON.

    Raises:
        TypeError: the value cannot be written as JSON.
    """
    if isinstance(value, str):
        # Of a subclass, such as an enumeration, only the text.
        return str.__str__(value)
    return json_of(value)


def json_of(value: Any) -> str:
    """Return a value as JSON.

    Raises:
        TypeError: JSON cannot write it.
    """
    if callable(dump := getattr(value, "model_dump", None)):
        value = dump(mode="json")
    return str(library("msgspec").json.encode(value, enc_hook=_plain), "utf-8")


def _plain(value: Any) -> Any:
    dump = getattr(value, "model_dump", None)
    if callable(dump):
        return dump(mode="json")
    raise TypeError(f"a {type(value).__name__} cannot be written as JSON")
