"""Text from outside on one visible line, for messages that go to logs and terminals."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import Any

__all__ = ["CONTROLS", "HIDDEN", "complete_repr", "escaped", "one_line"]

CONTROLS: re.Pattern[str] = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but tab and line feed."""
HIDDEN: re.Pattern[str] = re.compile(
    # Line and paragraph separators, and the overrides, embeddings and isolates that reorder a whole line. The marks
    # U+200E, U+200F and U+061C and the joiners U+200C and U+200D stay: right-to-left text and emoji need them.
    "[\u2028\u2029\u202a-\u202e\u2066-\u206f"
    # Annotations and tag characters, which carry text that no terminal shows; halves of pairs have no UTF-8.
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)
_NOT_ON_A_LINE = re.compile(rf"{CONTROLS.pattern}|[\t\n]|{HIDDEN.pattern}")
_NAMED = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def one_line(text: str) -> str:
    r"""Return ``text`` on one line: what would end it, control a terminal or hide text is escaped as ``\n`` is."""
    if text.isprintable():
        return text
    return _NOT_ON_A_LINE.sub(lambda match: _NAMED.get(match[0]) or escaped(match[0]), text)


def escaped(character: str) -> str:
    """Return the escape of a character as Python writes it."""
    code = ord(character)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def complete_repr(function: Callable[[Any], str]) -> Callable[[Any], str]:
    """Make a ``__repr__`` describe an object whose constructor failed, too: tracebacks with locals show them."""

    @functools.wraps(function)
    def representation(self: Any) -> str:
        try:
            return function(self)
        except AttributeError:
            return f"<{type(self).__name__}, not completely made>"

    return representation
