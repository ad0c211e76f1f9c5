"""Tool calls that arrive in fragments, put to their calls by what the fragments tell.

Source: the accumulator rule of ``docs/wire/open-platform.md`` §2.3.
"""

from __future__ import annotations

import json
import re
from typing import Any

from ...core.surrogates import Halves
from ...events import ToolCallDelta

__all__ = ["ToolFragments"]


class _Call:
    """One call as far as it came."""

    __slots__ = ("_end", "_is_object", "halves", "id", "index", "length", "name", "pieces", "told")

    def __init__(self, index: int) -> None:
        self.index = index
        self.halves = Halves()
        self.id = ""
        self.name = ""
        self.pieces: list[str] = []
        self.length = 0
        self.told = False
        self._end = _ObjectEnd()
        self._is_object: bool | None = None

    def repeats(self, arguments: str) -> bool:
        """Tell whether ``arguments`` are these arguments whole once more, as some relays send them.

        Lengths are compared first, so that a long call is joined at most where it may be one.
        """
        return (
            len(arguments) == self.length > 0
            and "".join(self.pieces) == arguments
            and _is_object(arguments)
        )

    @property
    def whole(self) -> bool:
        """The arguments are a whole JSON object: nothing can follow them."""
        if not self._end.reached(self.pieces):
            return False
        if self._is_object is None:  # white space behind the closing brace does not change it
            self._is_object = _is_object("".join(self.pieces))
        return self._is_object


_STRUCTURE = re.compile(r'["{}]|\\.?', re.DOTALL)


class _ObjectEnd:
    """Finds the brace that closes the first object of a text that comes in pieces, reading each piece once.

    Parsing the whole text for each fragment takes time that grows with the square of the text: servers that number no
    fragment make that a question for every one of them.
    """

    __slots__ = ("_after", "_depth", "_escaped", "_in_string", "_read")

    def __init__(self) -> None:
        self._read = 0
        self._depth = 0
        self._in_string = False
        self._escaped = False
        self._after: list[str] | None = None
        """What follows the closing brace; ``None`` before it."""

    def reached(self, pieces: list[str]) -> bool:
        """Tell whether the object is closed and nothing but white space follows.

        Args:
            pieces: all pieces so far.
        """
        for piece in pieces[self._read :]:
            if self._after is None:
                self._scan(piece)
            else:
                self._after.append(piece)
        self._read = len(pieces)
        if self._after is None:
            return False
        self._after = [text for text in self._after if text.strip()][:1]
        return not self._after

    def _scan(self, piece: str) -> None:
        start, self._escaped = int(self._escaped), False
        for match in _STRUCTURE.finditer(piece, start):
            token = match[0]
            if token[0] == "\\":
                self._escaped = (
                    len(token) == 1
                )  # the character that it escapes is in the next piece
            elif token == '"':
                self._in_string = not self._in_string
            elif not self._in_string:
                self._depth += 1 if token == "{" else -1
                if not self._depth:
                    self._after = [piece[match.end() :]]
                    return


class ToolFragments:
    """Gives each fragment the index of its call; ids and names are told once, with the first that is not empty."""

    __slots__ = ("_by_id", "_current", "_free", "_halved", "_indexes", "_last")

    def __init__(self) -> None:
        self._last: _Call | None = None
        self._by_id: dict[str, _Call] = {}
        # The service's index -> the newest call that it numbered so.
        self._current: dict[int, _Call] = {}
        self._indexes: set[int] = set()
        self._free = 0
        self._halved: _Call | None = None

    def add(self, fragment: dict[str, Any]) -> ToolCallDelta | None:
        """Return the event for one element of ``tool_calls``; ``None`` if it tells nothing new."""
        function = fragment.get("function")
        if not isinstance(function, dict):
            function = {}
        call_id = _text(fragment.get("id"))
        name = _text(function.get("name"))
        arguments = _text(function.get("arguments"))
        index = fragment.get("index")
        call = self._call(index if type(index) is int else None, call_id, name)
        new = not call.told
        call.told = True
        if call.repeats(arguments):
            arguments = ""
        if arguments and call.halves.needed(arguments):
            self._halved = call
            arguments = call.halves.join(arguments)
        call_id = "" if call.id else call_id
        name = "" if call.name else name
        if not (new or call_id or name or arguments):
            return None
        if call_id:
            call.id = call_id
            self._by_id.setdefault(call_id, call)
        call.name = call.name or name
        if arguments:
            call.pieces.append(arguments)
            call.length += len(arguments)
        return ToolCallDelta(call.index, call_id, name, arguments)

    def end(self) -> ToolCallDelta | None:
        """Return the half of a character that no further fragment completed."""
        half = self._halved.halves.end() if self._halved is not None else ""
        if self._halved is None or not half:
            return None
        return ToolCallDelta(self._halved.index, "", "", half)

    def _call(self, index: int | None, call_id: str, name: str) -> _Call:
        """Return the call that a fragment belongs to, a new one if it begins one."""
        if index is None:
            call = self._without_index(call_id, name)
        else:
            known = self._current.get(index)
            if known is not None and _is_other_call(known, call_id, name):
                known = self._by_id.get(call_id)
            call = known if known is not None else self._begin(index)
            self._current[index] = call
        self._last = call
        return call

    def _without_index(self, call_id: str, name: str) -> _Call:
        if call_id in self._by_id:
            return self._by_id[call_id]
        last = self._last
        other_name = bool(name and last is not None and last.name and name != last.name)
        if (
            last is None
            or (call_id and last.id)
            or other_name
            or (name and last.name and last.whole)
        ):
            return self._begin(self._free)
        return last

    def _begin(self, index: int) -> _Call:
        if index in self._indexes:
            index = self._free
        self._indexes.add(index)
        self._free = max(self._free, index + 1)
        return _Call(index)


def _is_other_call(known: _Call, call_id: str, name: str) -> bool:
    """Tell whether a fragment with the index of ``known`` begins another call.

    Some gateways number every call 0. Another id with another name is always another call, also when the first one
    has no arguments. Another id with the same name is one only after a whole call, because some relays make up a new
    id for each fragment.
    """
    if not (call_id and name and known.id) or call_id == known.id:
        return False
    return bool(known.name and name != known.name) or known.whole


def _text(value: Any) -> str:
    """Return a field of a fragment as text: ``null`` is nothing, and some relays send the arguments parsed."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _is_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        return False
