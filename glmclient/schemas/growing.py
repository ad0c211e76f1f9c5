"""A JSON value that grows in place while its text arrives.

``{"a": [1, "x`` gives ``{"a": [1, "x"]}``: containers and texts appear when they begin, numbers and the words
``true``, ``false`` and ``null`` when they are complete. Each character is read once, so the cost is linear. A parser
that begins anew with each piece (jiter's partial mode, for example) needs quadratic time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Any

from .references import VALUE

__all__ = ["NOTHING", "GrowingValue", "ValueReader", "is_prefix"]


class _Nothing:
    def __repr__(self) -> str:
        return "NOTHING"


NOTHING: Any = _Nothing()
"""There is no value yet; ``None`` is a value."""

_START = re.compile(r"[{\[]")
_SPACE = " \t\r\n"
_PLAIN = re.compile(r'[^"\\]+')
_SCALAR = re.compile(r"[-+.0-9A-Za-z]+")
_ESCAPES = {'"': '"', "\\": "\\", "/": "/", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t"}
_SHORT = 4096
"""Texts up to this length are shown after every piece. Longer ones are shown when they grew by an eighth."""


class NotJSON(Exception):
    """The character at ``position`` cannot continue the value."""

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


class GrowingValue:
    """A parser that is fed with text and updates one object. ``root`` is the value so far, ``complete`` its end."""

    def __init__(self) -> None:
        self.root: Any = NOTHING
        self.complete: bool = False
        self.changes: int = 0
        """Grows with each change of the value."""
        self._stack: list[dict[str, Any] | list[Any]] = []
        self._key: str | None = None
        self._state: Callable[[str, int], int] = self._value
        self._pieces: list[str] = []
        self._length = self._shown = 0
        self._escape = ""
        self._is_key = False
        self._scalar = ""

    def feed(self, text: str, position: int = 0) -> int:
        """Read ``text`` from ``position`` on, and return the position after the value, or the end of the text.

        Raises:
            NotJSON: a character cannot continue the value.
        """
        end = len(text)
        while position < end and not self.complete:
            position = self._state(text, position)
        if self._state == self._string and not self._is_key:
            self._show(at_once=False)
        return position

    def substitute(self, old: Any, new: Any) -> None:
        """Let the value grow in ``new`` in place of ``old``, which has the same content."""
        if self.root is old:
            self.root = new
        else:  # it is a member of the wrapper
            for key, each in self.root.items():
                if each is old:
                    self.root[key] = new
        self._stack = [new if each is old else each for each in self._stack]

    # -- one state each; they return the next position -----------------------------------------------------

    def _value(self, text: str, at: int) -> int:
        character = text[at]
        if character in _SPACE:
            return at + 1
        if character == "{":
            return self._open({}, self._first_key, at)
        if character == "[":
            return self._open([], self._first_item, at)
        if character == '"':
            self._begin_string(is_key=False)
            return at + 1
        if not _SCALAR.match(character):
            raise NotJSON(at)
        self._scalar, self._state = "", self._word
        return at

    def _first_item(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "]" else self._value(text, at)

    def _first_key(self, text: str, at: int) -> int:
        return self._close(at) if text[at] == "}" else self._next_key(text, at)

    def _next_key(self, text: str, at: int) -> int:
        if text[at] == '"':
            self._begin_string(is_key=True)
        elif text[at] not in _SPACE:
            raise NotJSON(at)
        return at + 1

    def _colon(self, text: str, at: int) -> int:
        if text[at] == ":":
            self._state = self._value
        elif text[at] not in _SPACE:
            raise NotJSON(at)
        return at + 1

    def _after(self, text: str, at: int) -> int:
        character, in_list = text[at], isinstance(self._stack[-1], list)
        if character == ",":
            self._state = self._value if in_list else self._next_key
        elif character == ("]" if in_list else "}"):
            return self._close(at)
        elif character not in _SPACE:
            raise NotJSON(at)
        return at + 1

    def _string(self, text: str, at: int) -> int:
        if run := _PLAIN.match(text, at):
            self._add(run[0])
            return run.end()
        if text[at] == "\\":
            self._state = self._escaped
        else:
            self._end_string()
        return at + 1

    def _escaped(self, text: str, at: int) -> int:
        """Read an escape. The two halves of a surrogate pair are one character, so the first half waits."""
        self._escape += text[at]
        pair = self._escape
        if pair[0] != "u":
            if pair not in _ESCAPES:
                raise NotJSON(at)
            return self._unescaped(_ESCAPES[pair], at + 1)
        if len(pair) <= 5:
            if len(pair) > 1 and text[at] not in "0123456789abcdefABCDEF":
                raise NotJSON(at)
            if len(pair) == 5 and not 0xD800 <= int(pair[1:], 16) < 0xDC00:
                return self._unescaped(chr(int(pair[1:], 16)), at + 1)
            return at + 1
        return self._second_half(pair, at)

    def _second_half(self, pair: str, at: int) -> int:
        high, rest = pair[:5], pair[5:]
        alone = chr(int(high[1:], 16))
        if rest == "\\":
            return at + 1
        if rest[0] != "\\":
            return self._unescaped(alone, at)
        if rest[1] != "u":
            self._add(alone)
            self._escape = ""
            return at  # read the new escape on its own
        if len(rest) < 6:
            if len(rest) > 2 and rest[-1] not in "0123456789abcdefABCDEF":
                raise NotJSON(at)
            return at + 1
        low = int(rest[-4:], 16)
        if 0xDC00 <= low < 0xE000:
            both = 0x10000 + (int(high[1:], 16) - 0xD800) * 0x400 + (low - 0xDC00)
            return self._unescaped(chr(both), at + 1)
        self._add(alone)
        self._escape = rest[1:-1]
        return at  # the second escape may be the first half of another pair

    def _word(self, text: str, at: int) -> int:
        if run := _SCALAR.match(text, at):
            self._scalar += run[0]
            if len(self._scalar) > _SHORT:
                raise NotJSON(at)
            return run.end()
        try:
            value = json.loads(self._scalar)
        except ValueError:
            raise NotJSON(at) from None
        self._put(value)
        self._after_value()
        return at

    # -- what the states do --------------------------------------------------------------------------------

    def _open(
        self, container: dict[str, Any] | list[Any], state: Callable[[str, int], int], at: int
    ) -> int:
        self._put(container)
        self._stack.append(container)
        self._state = state
        return at + 1

    def _close(self, at: int) -> int:
        self._stack.pop()
        self._after_value()
        return at + 1

    def _after_value(self) -> None:
        self._key = None
        self._state = self._after
        self.complete = not self._stack

    def _put(self, value: Any) -> None:
        self.changes += 1
        if not self._stack:
            self.root = value
        elif isinstance(container := self._stack[-1], dict):
            container[self._key or ""] = value
        else:
            container.append(value)

    def _begin_string(self, *, is_key: bool) -> None:
        self._is_key = is_key
        self._pieces, self._length, self._shown = [], 0, 0
        self._state = self._string
        if not is_key:
            self._put("")

    def _add(self, piece: str) -> None:
        self._pieces.append(piece)
        self._length += len(piece)

    def _unescaped(self, character: str, at: int) -> int:
        self._add(character)
        self._escape, self._state = "", self._string
        return at

    def _end_string(self) -> None:
        if self._is_key:
            self._key, self._state = "".join(self._pieces), self._colon
            return
        self._show(at_once=True)
        self._after_value()

    def _show(self, *, at_once: bool) -> None:
        grown = self._length - self._shown
        if not grown or not (at_once or self._length <= _SHORT or grown * 8 > self._length):
            return
        text = "".join(self._pieces)
        self._pieces, self._shown = [text], self._length
        self.changes += 1
        if not self._stack:
            self.root = text
        elif isinstance(container := self._stack[-1], dict):
            container[self._key or ""] = text
        else:
            container[-1] = text


class ValueReader:
    """Finds the growing value in the text of an answer.

    A bracket of prose is not the value: an object counts once its first key is one of the schema's properties, and a
    list once the schema allows lists. Whether the value fits is decided at the end, by the whole text.

    Args:
        schema: the JSON schema of the value.
        wrapper: the service was asked for an object around the value.
    """

    def __init__(self, schema: Mapping[str, Any], *, wrapper: bool) -> None:
        properties = schema.get("properties")
        self._keys = set(properties) if isinstance(properties, Mapping) and properties else None
        self._is_object = schema.get("type") == "object"
        self._wrapper = wrapper
        self._growing: GrowingValue | None = None
        self._ended = False
        self._seen = 0
        self._handed: Any = NOTHING

    @property
    def value(self) -> Any:
        """The value so far, or `NOTHING`."""
        return self._handed

    def feed(self, text: str) -> bool:
        """Read more of the answer and return whether the value changed."""
        position, before, previous = 0, self._seen, self._handed
        while not self._ended and position < len(text):
            if self._growing is None:
                match = _START.search(text, position)
                if match is None:
                    break
                position, self._growing, before = match.start(), GrowingValue(), 0
            position = self._grow(self._growing, text, position)
        self._seen = self._growing.changes if self._growing is not None else 0
        if self._handed is NOTHING:
            return False
        return self._seen > before or self._handed is not previous

    def move_into(self, value: Any) -> None:
        """Let the value grow on in ``value``, an earlier state of the same value."""
        latest = self._handed
        if not isinstance(value, (dict, list)) or self._growing is None:
            return  # texts and numbers are replaced as a whole
        if isinstance(value, dict):
            value.clear()
            value.update(latest)
        else:
            value[:] = latest
        self._growing.substitute(latest, value)
        self._handed = value

    def _grow(self, growing: GrowingValue, text: str, position: int) -> int:
        try:
            end = growing.feed(text, position)
        except NotJSON as error:
            # What was handed out stays. The next value would not continue it, so the search ends.
            self._ended = self._handed is not NOTHING
            self._growing = growing if self._ended else None
            return error.position
        self._hand_out(growing.root)
        if growing.complete:
            self._ended = self._handed is not NOTHING
            self._growing = growing if self._ended else None
        return end

    def _hand_out(self, root: Any) -> None:
        if isinstance(root, list):
            if root and not self._is_object:
                self._handed = root
        elif root:
            first = next(iter(root))
            if self._wrapper:
                self._handed = root[VALUE] if first == VALUE else self._handed
            elif self._keys is None or first in self._keys:
                self._handed = root


def is_prefix(before: Any, after: Any) -> bool:
    """Return whether a value may grow into another one: texts and containers at their ends, anything else not."""
    pairs = [(before, after)]
    while pairs:
        one, other = pairs.pop()
        if type(one) is not type(other):
            return False
        if isinstance(one, str):
            if not other.startswith(one):
                return False
        elif isinstance(one, list):
            if len(one) > len(other):
                return False
            pairs += zip(one, other, strict=False)
        elif isinstance(one, dict):
            if len(one) > len(other):
                return False
            for (key, each), (other_key, other_each) in zip(
                one.items(), other.items(), strict=False
            ):
                if key != other_key:
                    return False
                pairs.append((each, other_each))
        elif one != other:
            return False
    return True
