"""The line of ``%glm``: options first, then a question that is taken exactly as it is written."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from IPython.core.error import UsageError

__all__ = ["Question"]

_WORD = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|\S+)""")
_SHORT = {"-m": "--model", "-p": "--provider", "-c": "--client", "-o": "--output", "-s": "--system"}
_LONG = (*_SHORT.values(), "--option")
_KNOWN = ", ".join([*(f"{short}/{name}" for short, name in _SHORT.items()), "--option"])


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of whom, and where the answer goes."""

    prompt: str
    model: str | None = None
    provider: str | None = None
    client: str | None = None
    output: str | None = None
    system: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, line: str, cell: str | None) -> Question:
        """Read the line of a magic, and the cell below it.

        Raises:
            UsageError: an option is unknown, has no value or a wrong one, or there is nothing to ask.
        """
        given: dict[str, Any] = {"options": {}}
        rest = line.strip()
        while re.match(r"-\S", rest):
            flag, rest = _word(rest, "")
            if flag == "--":
                break
            rest = _take(flag, rest, given)
        question = cls("\n".join(filter(None, (rest, (cell or "").strip()))), **given)
        if not question.prompt:
            raise UsageError(
                "%glm: ask something: %glm [options] question. %glm? tells the options."
            )
        if question.output is not None and not question.output.isidentifier():
            raise UsageError(
                f"%glm: --output takes the name of a variable, not {question.output!r}."
            )
        return question

    def messages(self) -> list[dict[str, str]]:
        """Return the question as messages."""
        system = [] if self.system is None else [{"role": "system", "content": self.system}]
        return [*system, {"role": "user", "content": self.prompt}]


def _take(flag: str, rest: str, given: dict[str, Any]) -> str:
    """Take the value of an option, and return what follows it."""
    name = _SHORT.get(flag, flag)
    if name not in _LONG:
        raise UsageError(
            f"%glm: there is no option {flag}; there are {_KNOWN}. "
            "Write -- before a question that begins with a dash."
        )
    value, rest = _word(rest, flag)
    if name == "--option":
        text, rest = _word(rest, f"{flag} {value}")
        given["options"][value] = _json_or_text(text)
    else:
        given[name[2:]] = value
    return rest


def _word(text: str, flag: str) -> tuple[str, str]:
    """Return the first word of ``text``, without its quotes, and the rest."""
    match = _WORD.match(text)
    if match is None:
        raise UsageError(f"%glm: {flag} needs a value.")
    word = match[1]
    if len(word) > 1 and word[0] == word[-1] and word[0] in "\"'":
        word = word[1:-1].replace('\\"', '"') if word[0] == '"' else word[1:-1]
    return word, text[match.end() :].lstrip()


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text
