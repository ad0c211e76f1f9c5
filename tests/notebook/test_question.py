"""The line of ``%glm``."""

from __future__ import annotations

import pytest
from IPython.core.error import UsageError

from glmclient.notebook.question import Question


@pytest.mark.parametrize(
    ("line", "cell", "question"),
    [
        ("Hello", None, Question("Hello")),
        ("  Why don't cats fly?  ", None, Question("Why don't cats fly?")),
        ("", "Two\n  lines\n", Question("Two\n  lines")),
        ("In short:", "why?", Question("In short:\nwhy?")),
        ("-m glm-4 Hello -m x", None, Question("Hello -m x", model="glm-4")),
        ("--model glm-4 --provider zai Hi", None, Question("Hi", model="glm-4", provider="zai")),
        ("-p zai -o answer", "Hi", Question("Hi", provider="zai", output="answer")),
        ("--client client Hi", None, Question("Hi", client="client")),
        ("-c Hi", None, Question("Hi", continues=True)),
        ("--continue -m x Hi", None, Question("Hi", model="x", continues=True)),
        ('-s "Be \\"brief\\"." Hi', None, Question("Hi", system='Be "brief".')),
        ("-s 'Be brief.' Hi", None, Question("Hi", system="Be brief.")),
        ("-s brief Hi", None, Question("Hi", system="brief")),
        ("--option temperature 0.5 Hi", None, Question("Hi", options={"temperature": 0.5})),
        (
            "--option stop END --option tools '[{\"a\": 1}]' Hi",
            None,
            Question("Hi", options={"stop": "END", "tools": [{"a": 1}]}),
        ),
        ("-- -5 + 3?", None, Question("-5 + 3?")),
        ("- a list item", None, Question("- a list item")),
        ("a\u2028b {x} $y", None, Question("a\u2028b {x} $y")),
    ],
)
def test_options_come_first_and_the_rest_is_the_question(
    line: str, cell: str | None, question: Question
) -> None:
    assert Question.of(line, cell) == question


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("", "ask something"),
        ("-m glm-4", "ask something"),
        ("-m", "-m needs a value"),
        ("--option", "--option needs a value"),
        ("--option temperature", "--option temperature needs a value"),
        (
            "-x Hi",
            r"no option -x; there are -m/--model, .*-c/--continue, --client, --option\. Write -- before",
        ),
        ("-5 + 3?", "no option -5"),
        ("-c -s brief Hi", "--system begins a conversation"),
        ("-o 5x Hi", "the name of a variable, not '5x'"),
    ],
)
def test_a_wrong_line_is_a_usage_error_that_says_what_is_wrong(line: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        Question.of(line, None)
