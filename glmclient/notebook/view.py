"""What an answer looks like in a notebook: a value of HTML and plain text for each part of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from ..cli.display.extras import lines_of, tool_call
from ..core.transcript import Transcript, events_of
from ..errors import GLMError
from ..events import (
    Event,
    Finish,
    Notice,
    QueueStatus,
    SearchResult,
    TextReplace,
    ToolCall,
    Unknown,
)
from ..reply import Reply
from .parts import BOX, MUTED, Part, error_part, page
from .values import plain_data, value_html, value_text

if TYPE_CHECKING:
    from ..schemas.answer import TypedAnswer

__all__ = ["AnswerView", "extras", "reply_html"]

_NOT_STOPPED = {
    "length": "The answer is cut off: it reached its limit of tokens.",
    "content_filter": "The service withheld the rest of the answer.",
    "tool_calls": "The model asks for tools to be called.",
    "other": "The service ended the answer.",
}


class AnswerView:
    """An answer as far as it came, with what belongs to it beside its text.

    Args:
        typed: follows the value of an answer with a schema. It belongs to this view alone: a view is painted in a
            thread of its own, where the value that the reader of the stream sees would change in the middle.
    """

    def __init__(self, typed: TypedAnswer | None = None) -> None:
        self.transcript: Transcript = Transcript()
        self._typed = typed
        self._value: tuple[Any] | None = None
        self._ended = False
        self._failure: GLMError | None = None
        self._note = ""
        self._status = "…"

    @classmethod
    def of(cls, reply: Reply, typed: TypedAnswer | None = None) -> AnswerView:
        """Return the view of an answer, or of as much of it as came."""
        view = cls(typed)
        view.add(events_of(reply))
        if reply.parsed is not None:
            view._value = (plain_data(reply.parsed),)
        return view

    def add(self, events: Iterable[Event]) -> None:
        """Apply events, in order."""
        events = list(events)
        if self._typed is None:
            self.transcript.extend(events)
        for event in events:
            if isinstance(event, QueueStatus):
                self._status = _place(event)
            if self._typed is not None:
                self._follow(self._typed, event)

    def _follow(self, typed: TypedAnswer, event: Event) -> None:
        """Apply one event to the answer and to its value."""
        self.transcript.extend([event])
        text = self.transcript.text if isinstance(event, (TextReplace, Finish)) else ""
        if typed.changed_by(event, text):
            self._value = (typed.value,)

    def end(self, error: BaseException | None = None) -> None:
        """Say that nothing more comes, and why, if that is not the service's own end."""
        self._ended = True
        if isinstance(error, GLMError):
            self._failure = error
        elif error is not None:
            self._note = "The answer was ended here."

    # -- what is shown -------------------------------------------------------------------------------------

    def parts(self) -> list[Part]:
        """Return the outputs of a cell, in order: the thinking folded away, if there is any, and the answer."""
        thought = self.transcript.reasoning
        parts = [Part(page(self._reasoning(thought)), "")] if thought else []
        return [*parts, Part(page(self._answer()), self._plain())]

    def whole(self) -> Part:
        """Return all of it as one output, with the error that ended it, if one did."""
        parts = self.parts()
        if self._failure is not None:
            parts.append(error_part(self._failure))
        return Part(*("\n".join(filter(None, each)) for each in zip(*parts, strict=True)))

    def _reasoning(self, thought: str) -> str:
        done = self.transcript.text or self.transcript.finish or self._ended
        what = "Reasoning" if done else "Thinking …"
        return (
            f'<details><summary style="{MUTED};cursor:pointer">{what} ({len(thought):,} characters)</summary>'
            f'<div style="{BOX}">{_rendered(thought)}</div></details>'
        )

    def _answer(self) -> str:
        reply = self.transcript.reply()
        pieces = [_rendered(reply.text)] if reply.text and self._value is None else []
        pieces += [value_html(self._value[0])] if self._value is not None else []
        pieces += [_code(block) for block in reply.code_blocks]
        pieces += [_code(reply.execution_output)] if reply.execution_output else []
        pieces += [_image(image.url) for image in reply.images]
        pieces += [_sources(reply.sources)] if reply.sources else []
        pieces += [_muted(_notice(notice)) for notice in reply.notices]
        pieces += [_unknown(each) for each in reply.unknown]
        pieces += [_tool_call(call) for call in reply.tool_calls]
        return "\n".join([*pieces, *map(_muted, self._notes(bool(pieces)))])

    def _notes(self, said: bool) -> Iterable[str]:
        """Yield what is to be said about the answer; ``said`` tells whether anything of it came."""
        finish = self.transcript.finish
        if finish is not None:
            if finish.reason != "stop":
                yield " ".join(filter(None, (_NOT_STOPPED[finish.reason], finish.message)))
            elif not said:
                yield "The answer is empty."
        elif self._note:
            yield self._note
        elif self._ended and said:
            yield "The answer broke off here."
        elif not self._ended and not said:
            yield self._status

    def _plain(self) -> str:
        reply = self.transcript.reply()
        pieces = [reply.text] if reply.text and self._value is None else []
        pieces += [value_text(self._value[0])] if self._value is not None else []
        pieces += extras(reply)
        return "\n\n".join([*pieces, *self._notes(bool(pieces))])


def extras(reply: Reply) -> list[str]:
    """Return what an answer holds beside its text and the model's thinking, as paragraphs of plain text."""
    pieces = [f"[code]\n{block}" for block in reply.code_blocks]
    for event in events_of(dataclasses.replace(reply, code_blocks=())):
        pieces += ["\n".join(lines)] if (lines := lines_of(event)) else []
    return [*pieces, *(tool_call(call) for call in reply.tool_calls)]


def reply_html(reply: Reply) -> str:
    """Return a whole answer as HTML."""
    view = AnswerView.of(reply)
    view.end()
    return view.whole().html


def _rendered(markdown: str) -> str:
    try:
        from .markdown import rendered
    except ImportError:  # the extra is not installed, and showing a value is no place to ask for it
        return f'<div style="white-space:pre-wrap">{escape(markdown)}</div>'
    return rendered(markdown)


def _muted(text: str) -> str:
    return f'<p style="{MUTED}">{escape(text)}</p>'


def _code(text: str) -> str:
    return f'<pre style="{BOX}"><code>{escape(text)}</code></pre>'


def _notice(notice: Notice) -> str:
    return f"{notice.title}: {notice.message}" if notice.title else notice.message


def _unknown(value: Unknown) -> str:
    return _code(f"{value.name}: {value.data}")


def _place(status: QueueStatus) -> str:
    ahead = "next in the queue" if status.position < 1 else f"{status.position} ahead in the queue"
    return ahead if status.eta is None else f"{ahead}, about {status.eta:.0f} s"


def _is_web(url: str) -> bool:
    return url.lower().startswith(("http://", "https://"))


def _image(url: str) -> str:
    # Unlike an image in the text, this one is the service's own.
    if not _is_web(url):
        return _muted(f"image: {url}")
    return f'<img src="{escape(url)}" alt="an image of the answer" style="max-width:100%">'


def _sources(results: tuple[SearchResult, ...]) -> str:
    items = "".join(f"<li>{_source(result)}</li>" for result in results)
    return (
        f'<details><summary style="{MUTED};cursor:pointer">Sources ({len(results)})</summary>'
        f"<ol>{items}</ol></details>"
    )


def _source(result: SearchResult) -> str:
    title = escape(result.title or result.url)
    if not _is_web(result.url):
        return title
    return f'<a href="{escape(result.url)}" target="_blank" rel="noopener noreferrer nofollow">{title}</a>'


def _tool_call(call: ToolCall) -> str:
    return _code(f"{call.name}({call.arguments})")
