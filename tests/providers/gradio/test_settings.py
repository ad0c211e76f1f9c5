"""The settings of an app: what callers may give for them, and what is refused before anything is sent."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glmclient.errors import ConfigurationError
from glmclient.providers.gradio.page import Component
from glmclient.providers.gradio.settings import (
    Setting,
    checked_inputs,
    settings_text,
    unknown_inputs,
)
from glmclient.providers.gradio.shapes import choose

from .pages import VERSIONS, page_of


def setting(kind: str, label: str = "It", parameter: str = "", **props: Any) -> Setting:
    return Setting.of(Component(5, kind, {"label": label, **props}), parameter)


TEMPERATURE = setting("slider", "Temperature", "temperature", minimum=0, maximum=2.0, value=0.7)


@pytest.mark.parametrize(
    ("made", "value", "sent"),
    [
        (TEMPERATURE, 0, 0),
        (TEMPERATURE, 2, 2),
        (setting("number"), -5.5, -5.5),
        (setting("number", minimum=1), 1e9, 1e9),
        (setting("checkbox"), False, False),
        (setting("textbox"), "", ""),
        (setting("textbox", max_length=3), "abc", "abc"),
        (setting("dropdown", choices=[["Small", "s"], ["Large", "l"]]), "s", "s"),
        (setting("dropdown", choices=[["Small", "s"], ["Large", "l"]]), "Large", "l"),
        (setting("dropdown", choices=["a", "b"]), "b", "b"),
        (setting("dropdown", choices=["a"], allow_custom_value=True), "z", "z"),
        (setting("dropdown", choices=["a", "b"], multiselect=True), ("b",), ["b"]),
        (setting("radio", choices=[]), "72B", "72B"),
        (setting("radio", choices=[1, 2]), 2, 2),
        (setting("checkboxgroup", choices=["a", "b"]), ["a", "b"], ["a", "b"]),
        (setting("dataframe"), {"data": []}, {"data": []}),
    ],
)
def test_values_that_a_component_takes(made: Setting, value: Any, sent: Any) -> None:
    assert made.checked(value) == sent


@pytest.mark.parametrize(
    ("made", "value", "words"),
    [
        (TEMPERATURE, 2.1, "takes numbers from 0 to 2, not 2.1"),
        (TEMPERATURE, -1, "takes numbers from 0 to 2"),
        (TEMPERATURE, "hot", "takes a number, not 'hot'"),
        (TEMPERATURE, True, "takes a number"),
        (TEMPERATURE, float("nan"), "takes a number"),
        (setting("number", minimum=1), 0, "takes numbers from 1, not 0"),
        (setting("number", maximum=1), 2, "takes numbers up to 1"),
        (setting("checkbox"), 1, "takes True or False"),
        (setting("textbox"), 1, "takes text"),
        (setting("textbox", max_length=3), "abcd", "at most 3 characters"),
        (setting("dropdown", choices=["small", "large"]), "smal", "did you mean 'small'"),
        (
            setting("dropdown", choices=["small", "large"]),
            3,
            "takes one of 'small', 'large', not 3",
        ),
        (setting("radio", choices=[1, 2]), True, "takes one of 1, 2"),
        (setting("checkboxgroup", choices=["a"]), "a", "takes a list of choices"),
        (setting("checkboxgroup", choices=["a"]), 5, "takes a list of choices"),
        (setting("checkboxgroup", choices=["a"]), ["b"], "takes one of 'a'"),
    ],
)
def test_values_that_it_does_not_take(made: Setting, value: Any, words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        made.checked(value)
    assert words in str(caught.value) and f"inputs[{made.name!r}]" in str(caught.value)


def test_inputs_are_named_by_label_or_parameter_in_either_case() -> None:
    for name in ("Temperature", "temperature", " TEMPERATURE "):
        assert checked_inputs({name: 1}, [TEMPERATURE], {}) == ({5: 1}, [])


def test_a_name_that_fits_several_inputs_is_refused() -> None:
    other = Setting.of(Component(6, "slider", {"label": "Temperature"}), "")
    with pytest.raises(ConfigurationError, match="fits several inputs of the app: temperature, 6"):
        checked_inputs({"Temperature": 1}, [TEMPERATURE, other], {})
    assert checked_inputs({"temperature": 1}, [TEMPERATURE, other], {})[0] == {5: 1}


def test_an_input_that_is_given_twice_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="gives 'Temperature' twice"):
        checked_inputs({"Temperature": 1, "temperature": 1}, [TEMPERATURE], {})


def test_what_is_filled_by_the_question_cannot_be_set() -> None:
    with pytest.raises(ConfigurationError, match="cannot be set: it holds the question"):
        checked_inputs({"Message": "x"}, [TEMPERATURE], {"Message": "it holds the question"})


def test_an_unknown_name_gets_the_nearest_one_and_the_whole_list() -> None:
    assert checked_inputs({"Temprature": 1}, [TEMPERATURE], {}) == ({}, ["Temprature"])
    words = str(unknown_inputs(["Temprature"], [TEMPERATURE]))
    assert "Did you mean 'Temperature'?" in words
    assert "It has: Temperature = 0.7 (from 0 to 2)." in words
    words = str(unknown_inputs(["x"], []))
    assert "It has no settings." in words and "Did you mean" not in words


@pytest.mark.parametrize("version", VERSIONS)
def test_the_settings_of_a_real_app_in_words(version: str) -> None:
    chat = choose(page_of(version, "chat_settings"))
    assert settings_text(chat.settings) == (
        "System prompt = 'You are a scripted assistant.', Temperature = 0.7 (from 0 to 2), "
        "Model = 'small' (small, large), Shout = False"
    )
    assert settings_text([setting("number", "", "n"), setting("number", "")]) == "n, component 5"


@given(st.floats(allow_nan=True) | st.integers())
def test_a_number_is_in_the_range_or_refused(value: float) -> None:
    try:
        assert 0 <= TEMPERATURE.checked(value) <= 2
    except ConfigurationError:
        assert not 0 <= value <= 2
