"""The edits by which a Gradio server says how an output changed (``docs/wire/gradio.md`` §4)."""

from __future__ import annotations

from typing import Any

from ...core.limits import Limits
from ...errors import LimitExceeded, ProtocolError

__all__ = ["Work", "apply_edit", "apply_edits", "is_append_to"]


class Work:
    """What edits moved although they did not bring it, bounded by ``Limits.rewrites``.

    A few bytes can move a whole value: an item that is added in front of a list moves every other item, and text that
    is appended to a string copies the string. Without a bound, 8 MB of such edits take half a minute in which no time
    limit is checked. The time of edits that bring what they change is linear in their length, and is not counted.

    The unit is what moves in about the same time: one item of a list, or 16 characters. Looking at an object takes as
    long as moving 32 items.

    Args:
        maximum: the bound.
    """

    def __init__(self, maximum: int = Limits().rewrites) -> None:
        self._maximum = maximum
        self._moved = 0

    def add(self, *, items: int = 0, characters: int = 0, objects: int = 0) -> None:
        """Count what was moved or looked at.

        Raises:
            LimitExceeded: the bound is passed.
        """
        self._moved += items + characters // 16 + 32 * objects
        if self._moved > self._maximum:
            raise LimitExceeded(
                f"edits of the answer moved or compared more than {self._maximum} items ({self._moved}). "
                "Raise Limits.rewrites.",
                limit="rewrites",
                maximum=self._maximum,
                actual=self._moved,
            )


def is_append_to(edit: Any, path: list[int | str]) -> bool:
    """Tell whether an edit adds text at the end of what is at ``path``."""
    return (
        type(edit) is list
        and len(edit) == 3
        and edit[0] == "append"
        and edit[1] == path
        and type(edit[2]) is str
    )


def apply_edits(value: Any, edits: Any, work: Work | None = None) -> Any:
    """Return ``value`` after the edits of one update.

    Raises:
        LimitExceeded: the edits moved too much.
        ProtocolError: they are not a list of edits, or one of them does not fit.
    """
    if not isinstance(edits, list):
        raise ProtocolError(
            "an update of the answer is not a list of edits. The stream is damaged, or the service has changed."
        )
    work = work if work is not None else Work()
    for edit in edits:
        value = apply_edit(value, edit, work)
    return value


def apply_edit(value: Any, edit: Any, work: Work | None = None) -> Any:
    """Return ``value`` after one edit ``[action, path, operand]``; it is changed in place where it can be.

    Args:
        value: what the output is now, from JSON.
        edit: ``append`` text, ``replace``, ``add`` to a list or object, or ``delete``.
        work: counts what the edits move.

    Raises:
        LimitExceeded: the edits moved too much.
        ProtocolError: the edit is none, or does not fit the value.
    """
    if not isinstance(edit, list) or len(edit) != 3 or not isinstance(edit[1], list):
        raise _misfit("is not [action, path, value]")
    action, path, operand = edit
    work = work if work is not None else Work()
    if not path:
        return _at_root(value, action, operand, work)
    holder = value
    for key in path[:-1]:
        holder = _within(holder, key)
    key = path[-1]
    if action == "replace":
        _within(holder, key)
        holder[key] = operand
    elif action == "append":
        holder[key] = _appended(_within(holder, key), operand, work)
    elif action == "add":
        _add(holder, key, operand, work)
    elif action == "delete":
        _within(holder, key)
        if isinstance(holder, list):
            work.add(items=len(holder) - key)
        del holder[key]
    else:
        raise _misfit("has an action that does not exist")
    return value


def _at_root(value: Any, action: Any, operand: Any, work: Work) -> Any:
    if action == "replace":
        return operand
    if action == "append":
        return _appended(value, operand, work)
    raise _misfit("has no path")


def _within(holder: Any, key: Any) -> Any:
    if isinstance(holder, list) and _is_index(key) and key < len(holder):
        return holder[key]
    if isinstance(holder, dict) and isinstance(key, str) and key in holder:
        return holder[key]
    raise _misfit("names a place that is not there")


def _is_index(key: Any) -> bool:
    return isinstance(key, int) and not isinstance(key, bool) and key >= 0


def _appended(text: Any, operand: Any, work: Work) -> str:
    if not isinstance(text, str) or not isinstance(operand, str):
        raise _misfit("appends to or with something that is not text")
    work.add(characters=len(text))
    return text + operand


def _add(holder: Any, key: Any, operand: Any, work: Work) -> None:
    if isinstance(holder, list) and _is_index(key) and key <= len(holder):
        work.add(items=len(holder) - key)
        holder.insert(key, operand)
    elif isinstance(holder, dict) and isinstance(key, str):
        holder[key] = operand
    else:
        raise _misfit("adds to a place that is not there")


def _misfit(what: str) -> ProtocolError:
    return ProtocolError(
        f"an edit of the answer {what}. The stream is damaged, or the service has changed; try again."
    )
