"""The line of ``%glm``: options first, then a question that is taken exactly as it is written."""

from __future__ import annotations

import json
import re
import tokenize
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from IPython.core.error import UsageError
from IPython.core.inputtransformer2 import EscapedCommand

__all__ = ["Question", "QuestionLine"]

_WORD = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'[^']*'|\S+)""")
_SHORT = {
    "-m": "--model",
    "-p": "--provider",
    "-o": "--output",
    "-s": "--system",
    "-c": "--continue",
}
_LONG = (*_SHORT.values(), "--client", "--option")
_KNOWN = ", ".join([*(f"{short}/{name}" for short, name in _SHORT.items()), *_LONG[-2:]])


class QuestionLine(EscapedCommand):
    """Lets a line of ``%glm`` end with a question mark: IPython alone would explain its last word.

    ``%glm?`` and ``%glm??`` still ask for help.
    """

    priority = 4  # before IPython's own help, which has 5

    @classmethod
    def find(cls, tokens_by_line: list[list[tokenize.TokenInfo]]) -> QuestionLine | None:
        """Return the first such line of a cell; what stands inside a string is no line."""
        for line in tokens_by_line:
            words = [word for word in line if word.type not in (tokenize.INDENT, tokenize.DEDENT)]
            said = "".join(word.string for word in words[2:]).strip()
            if [word.string for word in words[:2]] == ["%", "glm"] and said.strip("?"):
                return cls(words[0].start)
        return None


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, of whom, and where the answer goes."""

    prompt: str
    model: str | None = None
    provider: str | None = None
    client: str | None = None
    output: str | None = None
    system: str | None = None
    continues: bool = False
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
        if question.continues and question.system is not None:
            raise UsageError(
                "%glm: --system begins a conversation, and --continue goes on with one."
            )
        return question


def _take(flag: str, rest: str, given: dict[str, Any]) -> str:
    """Take the value of an option, and return what follows it."""
    name = _SHORT.get(flag, flag)
    if name not in _LONG:
        raise UsageError(
            f"%glm: there is no option {flag}; there are {_KNOWN}. "
            "Write -- before a question that begins with a dash."
        )
    if name == "--continue":
        given["continues"] = True
        return rest
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
