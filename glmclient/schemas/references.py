"""JSON schemas as services take them: references inlined, and the stricter form for servers with a grammar."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import ConfigurationError

__all__ = ["closed", "has_object_root", "inlined", "is_strict", "wrapped"]

VALUE = "value"
"""The member that holds a list or scalar where a service wants an object at the root."""

_SCHEMAS = {
    "additionalProperties",
    "contains",
    "else",
    "if",
    "items",
    "not",
    "propertyNames",
    "then",
}
_MAPPINGS = {"$defs", "definitions", "dependentSchemas", "patternProperties", "properties"}
_SEQUENCES = {"allOf", "anyOf", "items", "oneOf", "prefixItems"}


def inlined(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of a schema in which references are replaced by what they refer to.

    A type that contains itself cannot be written without a reference. Its references and their definitions stay.

    Raises:
        ConfigurationError: a reference leads outside the schema, or to nothing.
    """
    return _Inliner(schema).inlined()


class _Inliner:
    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root
        self._recursive: dict[str, str] = {}
        """The references that stay, and the names of their definitions."""

    def inlined(self) -> dict[str, Any]:
        result = self._schema(self._root, ())
        result.pop("$defs", None)
        result.pop("definitions", None)
        definitions: dict[str, Any] = {}
        while missing := [each for each in self._recursive.items() if each[1] not in definitions]:
            for reference, name in missing:
                definitions[name] = self._schema(self._target(reference), (reference,))
                definitions[name].pop("$defs", None)
        return {**result, "$defs": definitions} if definitions else result

    def _schema(self, schema: Any, inside: tuple[str, ...]) -> Any:
        if not isinstance(schema, Mapping):
            return schema
        reference = schema.get("$ref")
        if isinstance(reference, str):
            return self._referred(reference, schema, inside)
        return {name: self._member(name, value, inside) for name, value in schema.items()}

    def _member(self, name: str, value: Any, inside: tuple[str, ...]) -> Any:
        if name in _MAPPINGS and isinstance(value, Mapping):
            if name in ("$defs", "definitions"):
                return {}
            return {key: self._schema(each, inside) for key, each in value.items()}
        if name in _SEQUENCES and isinstance(value, (list, tuple)):
            return [self._schema(each, inside) for each in value]
        return self._schema(value, inside) if name in _SCHEMAS else value

    def _referred(self, reference: str, schema: Mapping[str, Any], inside: tuple[str, ...]) -> Any:
        beside = {name: value for name, value in schema.items() if name != "$ref"}
        target = self._target(reference)
        if reference in inside or (reference == "#"):
            name = self._recursive.setdefault(reference, self._name(reference))
            return {**self._schema(beside, inside), "$ref": f"#/$defs/{name}"}
        resolved = self._schema(target, (*inside, reference))
        if not isinstance(resolved, dict):
            return resolved
        resolved = {
            name: value for name, value in resolved.items() if name not in ("$defs", "definitions")
        }
        return {**resolved, **self._schema(beside, inside)}

    def _name(self, reference: str) -> str:
        plain = "".join(c if c.isalnum() else "_" for c in reference.rpartition("/")[2])
        name = plain.strip("_") or "root"
        while name in self._recursive.values():
            name += "_"
        return name

    def _target(self, reference: str) -> Any:
        if reference != "#" and not reference.startswith("#/"):
            raise ConfigurationError(
                f"the schema refers to {reference!r}, which is not part of it. Put the definition into its '$defs'."
            )
        target: Any = self._root
        for part in reference.split("/")[1:]:
            key = part.replace("~1", "/").replace("~0", "~")
            if isinstance(target, (list, tuple)) and key.isdigit() and int(key) < len(target):
                target = target[int(key)]
            elif isinstance(target, Mapping) and key in target:
                target = target[key]
            else:
                raise ConfigurationError(
                    f"the schema refers to {reference!r}, which does not exist in it. Add the definition."
                )
        return target


def has_object_root(schema: Mapping[str, Any]) -> bool:
    """Return whether every value of the schema is an object, and the schema says so at its root."""
    return schema.get("type") == "object"


def wrapped(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of an object with the one member `VALUE`, which holds a value of ``schema``."""
    inner = dict(schema)
    definitions = inner.pop("$defs", None)
    whole: dict[str, Any] = {
        "type": "object",
        "properties": {VALUE: inner},
        "required": [VALUE],
        "additionalProperties": False,
    }
    return whole if definitions is None else {**whole, "$defs": definitions}


def closed(schema: Any, *, require_all: bool) -> Any:
    """Return a schema as strict services want it: objects without further members and without defaults.

    Args:
        require_all: the answer has to contain every property. Each answer that fits the result fits ``schema`` too.
    """
    if not isinstance(schema, Mapping):
        return schema
    result: dict[str, Any] = {}
    for name, value in schema.items():
        if name in _MAPPINGS and isinstance(value, Mapping):
            result[name] = {k: closed(each, require_all=require_all) for k, each in value.items()}
        elif name in _SEQUENCES and isinstance(value, (list, tuple)):
            result[name] = [closed(each, require_all=require_all) for each in value]
        elif name in _SCHEMAS:
            result[name] = closed(value, require_all=require_all)
        elif name != "default":
            result[name] = value
    properties = result.get("properties")
    if isinstance(properties, dict):
        result.setdefault("additionalProperties", False)
        if require_all:
            result["required"] = list(properties)
    return result


def is_strict(schema: Any) -> bool:
    """Return whether each object in a schema has the members that it requires, and no others."""
    if not isinstance(schema, Mapping):
        return True
    parts: list[Any] = []
    for name, value in schema.items():
        if name in _MAPPINGS and isinstance(value, Mapping):
            parts += value.values()
        elif name in _SEQUENCES and isinstance(value, (list, tuple)):
            parts += value
        elif name in _SCHEMAS:
            parts.append(value)
    if schema.get("type") == "object" or "properties" in schema:
        if schema.get("additionalProperties") is not False:
            return False
        if set(schema.get("properties", ())) != set(schema.get("required", ())):
            return False
    return all(is_strict(part) for part in parts)
