"""Snapshots of an answer, or its increments followed by the whole, as deltas and replacements.

One service repeats its answer so far with every frame, another sends the next piece and the whole
at the end, and the same service may do either (``docs/wire/chatglm.md`` §3). Whichever it is, the
events that come out obey one law: in order they add up to the answer as the service last told it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Generic, Literal, TypeAlias, TypeVar

from ..errors import ConfigurationError, LimitExceeded
from ..events import TextDelta, TextReplace
from .limits import Limits

__all__ = ["Answer", "Mode", "ModeName", "Track", "common_prefix", "rewrite"]

ModeName: TypeAlias = Literal["auto", "snapshot", "delta"]
Change: TypeAlias = tuple[int, str, str]
"""From that character on, the first text now reads as the second."""
E = TypeVar("E")

_SURE = 8
"""Characters that must come again before a repetition is taken for a snapshot, not for chance."""
_SHARED = 4
"""Characters in common from which a value that goes on in another way is taken for a rewritten snapshot."""


class Mode:
    """What the values of one stream are, decided once for all of its tracks.

    Args:
        value: ``snapshot`` if each value is the whole so far, ``delta`` if it is the next piece,
            ``auto`` to find out.

    Raises:
        ConfigurationError: it is none of these.
    """

    __slots__ = ("value",)

    def __init__(self, value: ModeName = "auto") -> None:
        if value not in ("auto", "snapshot", "delta"):
            raise ConfigurationError(f"mode must be auto, snapshot or delta, not {value!r}.")
        self.value: ModeName = value

    def decide(self, shown: str, value: str, repeated: bool = False) -> None:
        """Learn from ``value``, which came after ``shown`` (``docs/wire/chatglm.md`` §3).

        Args:
            shown: the text if the values are snapshots.
            value: the next one.
            repeated: values before it repeated the text already, so that snapshots are likely. Then a value that
                shares a long beginning with the text, such as "Hello world" after "Hello wrold", is a rewrite.
        """
        if not value.startswith(shown):
            shared = common_prefix(shown, value) if repeated else 0
            rewritten = shared >= _SHARED and 2 * shared >= len(shown)
            self.value = "snapshot" if rewritten else "delta"
        elif len(shown) >= _SURE:
            self.value = "snapshot"


class Track:
    """The text of one item of an answer."""

    __slots__ = ("_increments", "_mode", "_pieces", "length")

    def __init__(self, mode: Mode) -> None:
        self.length: int = 0
        """Characters in the text."""
        self._mode = mode
        self._pieces: list[str] = []
        # What the text is if the values turn out to be increments; needed only until that is known.
        self._increments: list[str] = []

    @property
    def text(self) -> str:
        """The text so far."""
        if len(self._pieces) != 1:
            self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def update(self, value: str, final: bool = False) -> Change | None:
        """Take the next value and return what it changes.

        Args:
            value: as the service sent it.
            final: it is the whole text, whatever the values before it were.
        """
        mode = self._mode
        if final:
            self._increments = [value]
            return self._become(value)
        if mode.value == "auto":
            mode.decide(self.text, value, len(self._increments) > 1)
        if mode.value == "delta":
            return self._add(value)
        if mode.value == "auto":
            self._increments.append(value)
        return self._become(value)

    def append(self, added: str) -> Change | None:
        """Add ``added`` to the text."""
        if not added:
            return None
        keep = self.length
        self._pieces.append(added)
        self.length = keep + len(added)
        return keep, "", added

    def _add(self, increment: str) -> Change | None:
        if len(self._increments) < 2:
            return self.append(increment)
        # "1", "12" could have been either; it was shown as "12" where "112" was meant: mend it now.
        whole = "".join(self._increments) + increment
        self._increments = []
        return self._become(whole)

    def _become(self, value: str) -> Change | None:
        old = self.text
        keep = len(old) if value.startswith(old) else common_prefix(old, value)
        removed, added = old[keep:], value[keep:]
        self._pieces = [value]
        self.length = len(value)
        return (keep, removed, added) if removed or added else None


class Answer(Generic[E]):
    """One text of many tracks, in the order in which the tracks first came.

    Args:
        mode: shared by all texts of a stream.
        delta: makes the event for text that is appended, such as ``TextDelta``.
        replace: makes the event for text that reads otherwise from a character on.
        rewrites: characters behind changed ones that may come again in all: each change of an early track repeats
            the tracks after it, so a few bytes could cost as much as the whole answer, again and again.
    """

    __slots__ = (
        "_delta",
        "_last",
        "_mode",
        "_replace",
        "_rewrites",
        "_sent_again",
        "_tracks",
        "length",
    )

    def __init__(
        self,
        mode: Mode,
        delta: Callable[[str], E],
        replace: Callable[[int, str], E],
        rewrites: int = Limits().rewrites,
    ) -> None:
        self._rewrites = rewrites
        self._sent_again = 0
        self.length: int = 0
        """Characters in the text."""
        self._mode = mode
        self._delta = delta
        self._replace = replace
        self._tracks: dict[Hashable, Track] = {}
        self._last: Track | None = None

    @property
    def text(self) -> str:
        """The text so far: the tracks' texts, joined."""
        return "".join([track.text for track in self._tracks.values()])

    @property
    def tracks(self) -> int:
        """The number of tracks."""
        return len(self._tracks)

    def update(self, key: Hashable, value: str, final: bool = False) -> E | None:
        """Take the next value of the track ``key`` and return the event that it makes, if any.

        Args:
            key: names the track; an unknown one opens a track at the end.
            value: as the service sent it.
            final: it is the whole text of the track, whatever the values before it were.
        """
        track = self._tracks.get(key)
        if track is None:
            track = self._last = self._tracks[key] = Track(self._mode)
        return self._event(track, track.update(value, final))

    def extend(self, key: Hashable, added: str) -> E | None:
        """Add ``added`` to the track ``key`` and return the event that it makes, if any.

        It is what `update` does with a snapshot that is longer by ``added``, at a cost that does
        not grow with the text.
        """
        track = self._tracks[key]
        return self._event(track, track.append(added))

    def withdraw(self) -> E | None:
        """Forget every track, as moderation wants; return the event that empties the text."""
        shown = self.length
        self.length = 0
        self._tracks.clear()
        self._last = None
        return self._replace(0, "") if shown else None

    def _event(self, track: Track, change: Change | None) -> E | None:
        if change is None:
            return None
        keep, removed, added = change
        self.length += len(added) - len(removed)
        if track is self._last and not removed:
            return self._delta(added)
        tracks = list(self._tracks.values())
        place = tracks.index(track)
        offset = sum(other.length for other in tracks[:place]) + keep
        later = "".join([other.text for other in tracks[place + 1 :]])
        self._sent_again += len(later) + len(tracks)
        if self._sent_again > self._rewrites:
            raise LimitExceeded(
                f"changes of earlier parts of the answer repeated more than {self._rewrites} characters "
                f"({self._sent_again}). Raise Limits.rewrites.",
                limit="rewrites",
                maximum=self._rewrites,
                actual=self._sent_again,
            )
        return _rewritten(removed + later, added + later, offset, self._delta, self._replace)


def rewrite(old: str, new: str) -> TextDelta | TextReplace | None:
    """Return the event that turns the shown text ``old`` into ``new``; ``None`` if they agree."""
    delta: Callable[[str], TextDelta | TextReplace] = TextDelta
    return _rewritten(old, new, 0, delta, TextReplace)


def _rewritten(
    old: str, new: str, offset: int, delta: Callable[[str], E], replace: Callable[[int, str], E]
) -> E | None:
    if new.startswith(old):
        return delta(new[len(old) :]) if len(new) > len(old) else None
    start = common_prefix(old, new)
    return replace(offset + start, new[start:])


def common_prefix(a: str, b: str) -> int:
    """Return how many characters ``a`` and ``b`` begin with in common."""
    low, high = 0, min(len(a), len(b))
    while low < high:
        # Each turn compares half of what is left, at the speed of memcmp: linear in all.
        middle = (low + high + 1) // 2
        if a[low:middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low
