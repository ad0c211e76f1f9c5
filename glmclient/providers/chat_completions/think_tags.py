"""Thinking that a server left in the text: ``<think>`` tags split off, wherever the stream cuts them.

A server without a reasoning parser sends what the model wrote (``docs/wire/open-platform.md`` §5, client rules).
"""

from __future__ import annotations

from ...events import Event, ReasoningDelta, TextDelta, TextReplace

__all__ = ["ThinkTags"]

_OPEN = "<think>"
_CLOSE = "</think>"


class ThinkTags:
    """Splits one answer's text into answer and thinking; the tags themselves belong to neither.

    Some chat templates open the thinking in the prompt, so that the model writes the closing tag alone: then what
    came before it was thinking, and is taken back from the text with a `TextReplace`.
    """

    __slots__ = ("_before", "_held", "_thinking", "split")

    def __init__(self) -> None:
        self.split: bool = False
        """A tag was found: the server writes its thinking into the text."""
        self._thinking = False
        self._held = ""
        # The text so far, as long as a closing tag may still say that it was thinking; then None.
        self._before: list[str] | None = []

    def reasoning_came(self) -> None:
        """The service sent thinking in a field of its own: a closing tag alone is text from now on."""
        self._before = None

    def feed(self, text: str, out: list[Event]) -> None:
        """Append the events for a piece of text; what may be the start of a tag is held back."""
        text = self._held + text
        self._held = ""
        start = 0  # the text is not cut at each tag: that would copy the rest of it each time
        while start < len(text):
            tag, at = self._next_tag(text, start)
            if at < 0:
                kept = min(_held_length(text, self._tags()), len(text) - start)
                self._put(text[start : len(text) - kept], out)
                self._held = text[len(text) - kept :]
                return
            self._put(text[start:at], out)
            if tag == _CLOSE and not self._thinking:
                self._take_back(out)
            self._thinking = tag == _OPEN
            self._before = None
            self.split = True
            start = at + len(tag)

    def end(self, out: list[Event]) -> None:
        """The answer ended: what was held back was no tag."""
        self._put(self._held, out)
        self._held = ""

    def _tags(self) -> tuple[str, ...]:
        if self._thinking:
            return (_CLOSE,)
        return (_OPEN,) if self._before is None else (_OPEN, _CLOSE)

    def _next_tag(self, text: str, start: int) -> tuple[str, int]:
        found = [(at, tag) for tag in self._tags() if (at := text.find(tag, start)) >= 0]
        at, tag = min(found, default=(-1, ""))
        return tag, at

    def _put(self, text: str, out: list[Event]) -> None:
        if not text:
            return
        if self._thinking:
            out.append(ReasoningDelta(text))
            return
        out.append(TextDelta(text))
        if self._before is not None:
            self._before.append(text)

    def _take_back(self, out: list[Event]) -> None:
        thought = "".join(self._before or ())
        if thought:
            out.append(TextReplace(0, ""))
            out.append(ReasoningDelta(thought))


def _held_length(text: str, tags: tuple[str, ...]) -> int:
    """Return how many characters at the end of ``text`` may be the start of a tag."""
    start = text.rfind("<", max(0, len(text) - len(_CLOSE) + 1))
    if start >= 0 and any(tag.startswith(text[start:]) for tag in tags):
        return len(text) - start
    return 0
