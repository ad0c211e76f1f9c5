"""Events in one form for comparing: what they say, not how it was cut.

The canonical form of a stream:

* texts that change one after the other, with nothing between, are one change from what the text read before to what
  it read after: a delta if it only grew, a replacement from the first character that differs otherwise, nothing if it
  reads the same (the same for thinking and for each block of code);
* search results without a source say nothing;
* an answer that is withheld (``content_filter``) withdraws its text and thinking before its `Finish`;
* the data of `Unknown` is compared as JSON values; a `Finish` by its reason, message, and ids that are told.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace

from glmclient.core.answer import rewrite
from glmclient.events import (
    CodeDelta,
    CodeReplace,
    Event,
    Finish,
    ReasoningDelta,
    ReasoningReplace,
    SearchResults,
    TextDelta,
    TextReplace,
    Unknown,
)

Track = tuple[str, int]


def _change(event: Event) -> tuple[Track, int | None, str] | None:
    match event:
        case TextDelta(text):
            return ("text", 0), None, text
        case TextReplace(start, text):
            return ("text", 0), start, text
        case ReasoningDelta(text):
            return ("reasoning", 0), None, text
        case ReasoningReplace(start, text):
            return ("reasoning", 0), start, text
        case CodeDelta(text, block):
            return ("code", block), None, text
        case CodeReplace(start, text, block):
            return ("code", block), start, text
    return None


def _event(track: Track, old: str, new: str) -> Event | None:
    changed = rewrite(old, new)
    kind, block = track
    if changed is None or kind == "text":
        return changed
    if isinstance(changed, TextDelta):
        return (
            ReasoningDelta(changed.text) if kind == "reasoning" else CodeDelta(changed.text, block)
        )
    if kind == "reasoning":
        return ReasoningReplace(changed.start, changed.text)
    return CodeReplace(changed.start, changed.text, block)


class _Canon:
    def __init__(self) -> None:
        self.out: list[Event] = []
        self.now: dict[Track, str] = {}
        self.open: Track | None = None
        self.before = ""

    def change(self, track: Track, start: int | None, text: str) -> None:
        old = self.now.get(track, "")
        new = old + text if start is None else old[:start] + text
        if new == old:
            return
        if track != self.open:
            self.settle()
            self.open, self.before = track, old
        self.now[track] = new

    def settle(self) -> None:
        if self.open is not None:
            event = _event(self.open, self.before, self.now[self.open])
            if event is not None:
                self.out.append(event)
            self.open = None


def canonical(events: Iterable[Event]) -> list[Event]:
    """Return ``events`` in the canonical form of this page."""
    canon = _Canon()
    for event in events:
        change = _change(event)
        if change is not None:
            canon.change(*change)
            continue
        if event == SearchResults(()):
            continue
        if isinstance(event, Finish):
            if event.reason == "content_filter":
                canon.change(("text", 0), 0, "")
                canon.change(("reasoning", 0), 0, "")
            event = replace(event, raw_reason=None)
        if isinstance(event, Unknown):
            event = Unknown(event.name, json.dumps(event.json(), sort_keys=True))
        canon.settle()
        canon.out.append(event)
    canon.settle()
    return canon.out
