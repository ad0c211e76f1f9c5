"""What callers choose of a chat app: its function by name or number, and values for its further inputs.

A choice is checked twice: its form at once, and its content as soon as the app's page is known.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import ConfigurationError
from .page import Component

__all__ = [
    "Selection",
    "Setting",
    "checked_index",
    "checked_inputs",
    "named_inputs",
    "selected",
    "settings_text",
    "unknown_inputs",
]

_SHOWN_CHOICES = 20
_SHOWN = 120


@dataclass(frozen=True, slots=True)
class Setting:
    """One further input of a chat.

    Args:
        id: the component.
        label: what the page calls it; empty if it has no label.
        parameter: the name of the parameter that takes it; empty if it is not known.
        kind: the type of the component, such as ``slider``.
        value: what the page itself sends.
        minimum: the least number that it takes.
        maximum: the greatest number that it takes.
        choices: the values that it takes; empty if any value of its type is possible.
        labels: how the page writes each of them.
        several: it takes a list of choices.
        longest: the characters that it takes at most.
    """

    id: int | str
    label: str
    parameter: str
    kind: str
    value: Any
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[Any, ...] = ()
    labels: tuple[str, ...] = ()
    several: bool = False
    longest: int | None = None

    @classmethod
    def of(cls, component: Component, parameter: str) -> Setting:
        """Return the setting that a component is."""
        props, kind = component.props, component.type
        choices, labels = _choices(props)
        if props.get("allow_custom_value") is True:
            choices, labels = (), ()
        longest = props.get("max_length")
        return cls(
            component.id,
            component.label,
            parameter,
            kind,
            component.value,
            _number(props.get("minimum")),
            _number(props.get("maximum")),
            choices,
            labels,
            kind == "checkboxgroup" or props.get("multiselect") is True,
            longest if isinstance(longest, int) and not isinstance(longest, bool) else None,
        )

    @property
    def name(self) -> str:
        """The name to use for it in ``inputs=``."""
        return self.label or self.parameter or f"component {self.id}"

    def checked(self, value: Any) -> Any:
        """Return what is sent for ``value``.

        Raises:
            ConfigurationError: the component does not take it.
        """
        match self.kind:
            case "slider" | "number":
                return self._checked_number(value)
            case "checkbox":
                if isinstance(value, bool):
                    return value
                raise self._wrong(value, "takes True or False")
            case "dropdown" | "radio" | "checkboxgroup":
                return self._checked_choice(value)
            case "textbox":
                if not isinstance(value, str):
                    raise self._wrong(value, "takes text")
                if self.longest is not None and len(value) > self.longest:
                    raise self._wrong(value, f"takes at most {self.longest} characters")
                return value
            case _:
                return value

    def _checked_number(self, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value != value:
            raise self._wrong(value, "takes a number")
        low, high = self.minimum, self.maximum
        if (low is not None and value < low) or (high is not None and value > high):
            raise self._wrong(value, f"takes numbers {_range(low, high)}")
        return value

    def _checked_choice(self, value: Any) -> Any:
        if self.several:
            if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
                raise self._wrong(value, "takes a list of choices")
            return [self._choice(each) for each in value]
        return self._choice(value)

    def _choice(self, value: Any) -> Any:
        # A page without choices takes anything; the demonstration of Qwen2.5 is such a page.
        if not self.choices or any(
            value == each and type(value) is type(each) for each in self.choices
        ):
            return value
        if isinstance(value, str) and value in self.labels:
            return self.choices[self.labels.index(value)]
        shown = ", ".join(map(repr, self.choices[:_SHOWN_CHOICES]))
        near = difflib.get_close_matches(value, self.labels, 1) if isinstance(value, str) else []
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise self._wrong(value, f"takes one of {shown}{hint}")

    def _wrong(self, value: Any, what: str) -> ConfigurationError:
        return ConfigurationError(
            f"inputs[{self.name!r}] {what}, not {repr(value)[:_SHOWN]}. Nothing was sent."
        )

    def describe(self) -> str:
        """Return its name, the page's value and what else it takes, in words."""
        limits = ""
        if self.choices:
            limits = f" ({', '.join(map(str, self.choices[:_SHOWN_CHOICES]))})"
        elif self.minimum is not None or self.maximum is not None:
            limits = f" ({_range(self.minimum, self.maximum)})"
        value = "" if self.value is None else f" = {repr(self.value)[:_SHOWN]}"
        return f"{self.name}{value}{limits}"


def settings_text(settings: Sequence[Setting]) -> str:
    """Return the settings of a chat, in words."""
    return ", ".join(each.describe() for each in settings)


def checked_inputs(
    inputs: Mapping[str, Any],
    settings: Sequence[Setting],
    taken: Mapping[str, str],
) -> tuple[dict[int | str, Any], list[str]]:
    """Return the values that ``inputs`` gives to components, and the names that fit none of them.

    Args:
        inputs: values by the label of an input or the name of its parameter.
        settings: the inputs that callers may set.
        taken: the names of the other inputs, each with the words that say what fills it.

    Raises:
        ConfigurationError: a value is not one that its component takes, or a name fits several components.
    """
    values: dict[int | str, Any] = {}
    unknown: list[str] = []
    for name, value in inputs.items():
        matches = _matching(name, settings)
        if len(matches) > 1:
            raise ConfigurationError(
                f"inputs[{name!r}] fits several inputs of the app: "
                f"{', '.join(each.parameter or repr(each.id) for each in matches)}. Use the name of the parameter."
            )
        if not matches:
            if filled := taken.get(name):
                raise ConfigurationError(f"inputs[{name!r}] cannot be set: {filled}.")
            unknown.append(name)
            continue
        if matches[0].id in values:
            raise ConfigurationError(f"inputs gives {matches[0].name!r} twice.")
        values[matches[0].id] = matches[0].checked(value)
    return values, unknown


def unknown_inputs(unknown: Sequence[str], settings: Sequence[Setting]) -> ConfigurationError:
    """Return the error for names that no input of the app has."""
    names = [word for each in settings for word in (each.label, each.parameter) if word]
    name = unknown[0]
    near = difflib.get_close_matches(name.casefold(), [each.casefold() for each in names], 1)
    hint = next((f" Did you mean {each!r}?" for each in names if near == [each.casefold()]), "")
    has = f"It has: {settings_text(settings)}." if settings else "It has no settings."
    return ConfigurationError(f"the app has no input {name!r}.{hint} {has} Nothing was sent.")


def _matching(name: str, settings: Sequence[Setting]) -> list[Setting]:
    """Return the settings that a name stands for: exactly, or in other letters of the alphabet's two cases."""
    for same in (
        lambda word: word == name,
        lambda word: word.casefold() == name.strip().casefold(),
    ):
        matches = [
            each for each in settings if any(map(same, filter(None, (each.label, each.parameter))))
        ]
        if matches:
            return matches
    return []


def _choices(props: Mapping[str, Any]) -> tuple[tuple[Any, ...], tuple[str, ...]]:
    """Return the choices and how the page writes them: ``[[label, value], ...]``, or values alone."""
    listed = props.get("choices")
    pairs = [
        each if isinstance(each, list) and len(each) == 2 else [each, each]
        for each in (listed if isinstance(listed, list) else ())
    ]
    return tuple(value for _, value in pairs), tuple(str(label) for label, _ in pairs)


def _number(value: Any) -> float | None:
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _range(low: float | None, high: float | None) -> str:
    if low is None:
        return f"up to {high:g}"
    return f"from {low:g}" if high is None else f"from {low:g} to {high:g}"


# -- the form of what callers give ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Selection:
    """Which function to ask, as the caller named it.

    Args:
        name: its ``api_name``; ``None`` leaves it to the page.
        index: its ``fn_index``, which then counts instead.
    """

    name: str | None
    index: int | None


def selected(function: Any, index: int | None) -> Selection:
    """Return a function that is named by its ``api_name`` or its number.

    Raises:
        ConfigurationError: it is neither.
    """
    if function is None:
        return Selection(None, index)
    if isinstance(function, int) and not isinstance(function, bool) and function >= 0:
        return Selection(None, function)
    if not isinstance(function, str) or not function.strip("/"):
        raise ConfigurationError(
            "function must be the api_name of a function, such as 'model_chat', or its number, "
            f"not {function!r:.80}."
        )
    return Selection(function.strip("/"), index)


def named_inputs(inputs: Any) -> dict[str, Any]:
    """Return values for inputs by their names.

    Raises:
        ConfigurationError: they are not a mapping of names.
    """
    if inputs is None:
        return {}
    if not isinstance(inputs, Mapping) or not all(isinstance(name, str) for name in inputs):
        raise ConfigurationError(
            "inputs must be a mapping from labels or names of parameters to values, such as {'Temperature': 0.2}, "
            f"not {inputs!r:.80}."
        )
    return dict(inputs)


def checked_index(value: Any, what: str) -> int | None:
    """Return a number of the page; ``None`` leaves it to the page.

    Raises:
        ConfigurationError: it is not a whole number, or negative.
    """
    if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 0):
        raise ConfigurationError(f"{what} must be a whole number, 0 or more, not {value!r}.")
    return value
