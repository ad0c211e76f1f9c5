"""A whole answer as one value, with everything that its events said."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic

from .events import (
    Finish,
    Image,
    Notice,
    SearchResult,
    ToolCall,
    Unknown,
    Usage,
    in_notebook,
)
from .json_text import parse_json

if TYPE_CHECKING:
    # Only checkers know the default of a type variable before Python 3.13.
    from typing_extensions import TypeVar

    T = TypeVar("T", default=Any)
else:
    from typing import TypeVar

    T = TypeVar("T")

__all__ = ["Reply", "reply_data"]


@dataclass(frozen=True, slots=True, repr=False)
class Reply(Generic[T]):
    """A whole answer, or as much of it as came. ``str(reply)`` is its text.

    Args:
        text: the answer.
        reasoning: the model's thinking.
        tool_calls: the calls that the model asks for.
        finish: the end of the answer; ``None`` if it did not come.
        parsed: the value of the text for a question with ``schema=``, else ``None``.
        code_blocks: the code that the service's interpreter ran, block by block.
        execution_output: what the interpreter printed. Outputs of several runs follow each other, each on a new line.
        images: the images of the answer, by their addresses.
        sources: what the service found on the web for the answer.
        notices: the service's messages to its user that are not part of the answer.
        unknown: what no event describes yet; only with ``include_unknown=True``.
        rounds_usage: the tokens of all rounds, if the answer took several; ``finish`` has those of the last.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: Finish | None = None
    parsed: T | None = field(default=None, kw_only=True)
    code_blocks: tuple[str, ...] = field(default=(), kw_only=True)
    execution_output: str = field(default="", kw_only=True)
    images: tuple[Image, ...] = field(default=(), kw_only=True)
    sources: tuple[SearchResult, ...] = field(default=(), kw_only=True)
    notices: tuple[Notice, ...] = field(default=(), kw_only=True)
    unknown: tuple[Unknown, ...] = field(default=(), kw_only=True)
    rounds_usage: Usage | None = field(default=None, kw_only=True, compare=False)

    def __str__(self) -> str:
        return self.text

    def __repr__(self) -> str:
        # Only what the answer holds: ten empty fields would hide the text.
        values = ((each.name, getattr(self, each.name)) for each in dataclasses.fields(self))
        shown = (f"{name}={value!r}" for name, value in values if value not in (None, "", ()))
        return f"Reply({', '.join(shown)})"

    @property
    def usage(self) -> Usage | None:
        """The tokens, where the service tells them; the sum, if the answer took several rounds."""
        if self.rounds_usage is not None:
            return self.rounds_usage
        return self.finish.usage if self.finish is not None else None

    @property
    def model(self) -> str | None:
        """The model that answered, where the service tells it."""
        return self.finish.model if self.finish is not None else None

    def json(self) -> Any:
        """Return the text parsed from JSON, for answers asked for with ``response_format``.

        The value may stand in one Markdown fence, or have prose around it; the first object or array counts then. Line
        breaks and other control characters inside strings are accepted.

        Raises:
            ProtocolError: it is not JSON; the raw text is in ``.frame`` and on ``.partial.text``.
        """
        return parse_json(self.text, "the answer", self, within=True)

    def _repr_html_(self) -> str:
        return str(in_notebook("reply_html", self))

    def message(self) -> Mapping[str, Any]:
        """Return this answer as the assistant message that continues the conversation.

        Reasoning goes back verbatim, as the platform wants it beside tool calls (``docs/wire/open-platform.md`` §1.4,
        "Messages"), under the name under which it came: some servers refuse any other.
        """
        message: dict[str, Any] = {"role": "assistant", "content": self.text}
        name = self.finish.reasoning_name if self.finish is not None else None
        if self.reasoning and name != "":
            message[name or "reasoning_content"] = self.reasoning
        if self.tool_calls:
            message["tool_calls"] = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": call.arguments},
                }
                for call in self.tool_calls
            ]
        return message


def reply_data(reply: Reply) -> dict[str, Any]:
    """Return everything that a reply holds as plain data, as ``--json`` and batches write it.

    Images are their addresses. The continuation is left out: it may hold the whole conversation, and is for the service
    alone.
    """
    data = {
        each.name: getattr(reply, each.name) for each in dataclasses.fields(reply) if each.compare
    }
    if data["parsed"] is None:
        del data["parsed"]
    finish = None if reply.finish is None else dataclasses.asdict(reply.finish)
    if finish is not None:
        del finish["continuation"], finish["reasoning_name"]
    return {
        **data,
        "tool_calls": [dataclasses.asdict(call) for call in reply.tool_calls],
        "finish": finish,
        "images": [image.url for image in reply.images],
        "sources": [dataclasses.asdict(source) for source in reply.sources],
        "notices": [dataclasses.asdict(notice) for notice in reply.notices],
        "unknown": [dataclasses.asdict(each) for each in reply.unknown],
    }
