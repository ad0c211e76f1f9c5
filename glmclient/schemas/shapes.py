"""A type as a JSON schema, and plain data as a value of the type, by the library that the type belongs to.

msgspec handles its own structs, dataclasses, ``TypedDict`` and the standard containers. pydantic handles every type
that contains a pydantic model. jsonschema handles mappings, and lists all problems where msgspec stops at the first.
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
import typing
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import ConfigurationError, SchemaProblem
from .libraries import library
from .references import inlined

__all__ = ["Misfit", "Shape", "shape_of"]


class Misfit(Exception):
    """Plain data is not a value of the type."""

    def __init__(self, problems: tuple[SchemaProblem, ...]) -> None:
        super().__init__(problems)
        self.problems = problems


class Shape:
    """A type of answers.

    Args:
        schema: its JSON schema, with references inlined.
    """

    exact: bool = False
    """The caller wrote the schema; it is sent as it is."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self.schema: dict[str, Any] = inlined(schema)

    def convert(self, data: Any) -> Any:
        """Return the value of the type for plain data.

        Raises:
            Misfit: the data does not fit.
        """
        raise TypeError("use shape_of")


def shape_of(kind: Any) -> Shape:
    """Return the shape of a type or of a JSON Schema mapping.

    Raises:
        ConfigurationError: no schema can be made of it, or a library is missing.
    """
    if isinstance(kind, Shape):
        return kind
    if isinstance(kind, Mapping):
        return _Mapping(kind)
    if kind is None or isinstance(kind, (str, bytes, int, float, list, tuple, set)):
        raise ConfigurationError(
            f"schema must be a type or a JSON Schema mapping, not {kind!r:.80}. Use, for example, schema=list[str]."
        )
    return _Pydantic(kind) if _contains_pydantic(kind, set()) else _Msgspec(kind)


def _unfit(kind: Any, error: BaseException) -> ConfigurationError:
    name = getattr(kind, "__name__", repr(kind))
    return ConfigurationError(
        f"no JSON schema can be made of {name:.80}: {error}. Use a dataclass, TypedDict, list, msgspec Struct, "
        "pydantic model or a JSON Schema mapping."
    )


class _Mapping(Shape):
    exact = True

    def __init__(self, schema: Mapping[str, Any]) -> None:
        jsonschema = library("jsonschema")
        plain = _plain(schema)
        checker = jsonschema.validators.validator_for(
            plain, default=jsonschema.Draft202012Validator
        )
        try:
            checker.check_schema(plain)
        except jsonschema.SchemaError as error:
            raise ConfigurationError(
                f"the schema is not a valid JSON Schema: {error.message}, at {_path(error.absolute_path)}."
            ) from None
        super().__init__(plain)
        self._validator = checker(self.schema)

    def convert(self, data: Any) -> Any:
        if problems := _problems(self._validator, data):
            raise Misfit(problems)
        return data


def _plain(schema: Mapping[str, Any]) -> dict[str, Any]:
    try:
        copy: dict[str, Any] = json.loads(json.dumps(dict(schema), allow_nan=False, default=dict))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(f"the schema cannot be written as JSON: {error}.") from None
    return copy


class _Msgspec(Shape):
    def __init__(self, kind: Any) -> None:
        self._msgspec = library("msgspec")
        self._kind = kind
        try:
            schema = self._msgspec.json.schema(kind)
            self._msgspec.json.Decoder(kind)
        except (TypeError, NameError, RuntimeError, AttributeError) as error:
            raise _unfit(kind, error) from None
        super().__init__(schema)
        self._validator = library("jsonschema").Draft202012Validator(self.schema)

    def convert(self, data: Any) -> Any:
        try:
            return self._msgspec.convert(data, self._kind)
        except (self._msgspec.ValidationError, ValueError, TypeError) as error:
            message, _, path = str(error).partition(" - at `")
            first = SchemaProblem(path.removesuffix("`") or "$", message)
        # msgspec stops at the first problem. One repair round has to name all of them.
        raise Misfit(_problems(self._validator, data) or (first,))


class _Pydantic(Shape):
    def __init__(self, kind: Any) -> None:
        self._pydantic = library("pydantic")
        try:
            self._adapter = self._pydantic.TypeAdapter(kind)
            schema = self._adapter.json_schema()
        except (self._pydantic.errors.PydanticUserError, TypeError, NameError) as error:
            raise _unfit(kind, error) from None
        super().__init__(schema)

    def convert(self, data: Any) -> Any:
        try:
            # JSON rules: text becomes a date, a list becomes a tuple.
            return self._adapter.validate_json(json.dumps(data))
        except self._pydantic.ValidationError as error:
            raise Misfit(
                tuple(
                    SchemaProblem(_path(each["loc"]), each["msg"])
                    for each in error.errors(include_url=False, include_context=False)
                )
            ) from None


def _problems(validator: Any, data: Any) -> tuple[SchemaProblem, ...]:
    errors = sorted(
        validator.iter_errors(data), key=lambda error: [str(p) for p in error.absolute_path]
    )
    return tuple(SchemaProblem(_path(each.absolute_path), each.message[:500]) for each in errors)


_NAME = re.compile(r"[A-Za-z_]\w*")


def _path(parts: Iterable[Any]) -> str:
    path = "$"
    for part in parts:
        if isinstance(part, int):
            path += f"[{part}]"
        else:
            path += f".{part}" if _NAME.fullmatch(str(part)) else f"[{json.dumps(str(part))}]"
    return path


def _contains_pydantic(kind: Any, seen: set[int]) -> bool:
    """Return whether a type contains a pydantic model anywhere. A type of a library that is not loaded cannot."""
    pydantic = sys.modules.get("pydantic")
    if pydantic is None or id(kind) in seen:
        return False
    seen.add(id(kind))
    if isinstance(kind, type) and (
        issubclass(kind, pydantic.BaseModel) or hasattr(kind, "__pydantic_validator__")
    ):
        return True
    if type(kind).__module__.partition(".")[0] == "pydantic":  # Field(...) in Annotated
        return True
    parts = [*typing.get_args(kind), *getattr(kind, "__metadata__", ())]
    if isinstance(kind, type) and (
        dataclasses.is_dataclass(kind) or hasattr(kind, "__annotations__")
    ):
        parts += _members(kind)
    if hasattr(kind, "__value__"):  # type X = ...
        parts.append(kind.__value__)
    return any(_contains_pydantic(part, seen) for part in parts)


def _members(kind: type) -> list[Any]:
    try:
        return list(typing.get_type_hints(kind, include_extras=True).values())
    except (NameError, TypeError) as error:
        raise _unfit(kind, error) from None
