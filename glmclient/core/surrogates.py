r"""Characters beyond U+FFFF that a relay cut in two, put together again.

Relays that count in UTF-16 units cut between the two halves of a surrogate pair: ``"x\ud83d"`` in one frame and
``"\ude00y"`` in the next. Neither half is a character: printing one raises `UnicodeEncodeError`. A half is therefore
held until the next piece of the same field.
"""

from __future__ import annotations

__all__ = ["Halves"]

_FIRST, _LAST = "\ud800", "\udbff"
"""The first halves of pairs; a second half is never held."""


class Halves:
    """The pieces of one text field, with the halves of characters joined."""

    __slots__ = ("_held",)

    def __init__(self) -> None:
        self._held = ""

    def needed(self, piece: str) -> bool:
        """Tell whether `join` would change or hold any of ``piece``, which is not empty."""
        return bool(self._held) or _FIRST <= piece[-1] <= _LAST

    def join(self, piece: str) -> str:
        """Return what can be handed out of ``piece``; a half at its end is held."""
        text = self._held + piece
        self._held = ""
        if text and _FIRST <= text[-1] <= _LAST:
            self._held, text = text[-1], text[:-1]
        # Two halves that stand beside each other become one character by UTF-16; a lone half stays as it is.
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "surrogatepass")

    def end(self) -> str:
        """Return the half that nothing completed."""
        held, self._held = self._held, ""
        return held
