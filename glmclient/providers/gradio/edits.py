"""The edits by which a Gradio server says how an output changed (``docs/wire/gradio.md`` §4)."""

from __future__ import annotations

from typing import Any

from ...errors import ProtocolError

__all__ = ["apply_edit", "apply_edits", "is_append_to"]


def is_append_to(edit: Any, path: list[int | str]) -> bool:
    """Tell whether an edit adds text at the end of what is at ``path``."""
    return (
        type(edit) is list
        and len(edit) == 3
        and edit[0] == "append"
        and edit[1] == path
        and type(edit[2]) is str
    )


def apply_edits(value: Any, edits: Any) -> Any:
    """Return ``value`` after the edits of one update.

    Raises:
        ProtocolError: they are not a list of edits, or one of them does not fit.
    """
    if not isinstance(edits, list):
        raise ProtocolError(
            "an update of the answer is not a list of edits. The stream is damaged, or the service has changed."
        )
    for edit in edits:
        value = apply_edit(value, edit)
    return value


def apply_edit(value: Any, edit: Any) -> Any:
    """Return ``value`` after one edit ``[action, path, operand]``; it is changed in place where it can be.

    Args:
        value: what the output is now, from JSON.
        edit: ``append`` text, ``replace``, ``add`` to a list or object, or ``delete``.

    Raises:
        ProtocolError: the edit is none, or does not fit the value.
    """
    if not isinstance(edit, list) or len(edit) != 3 or not isinstance(edit[1], list):
        raise _misfit("is not [action, path, value]")
    action, path, operand = edit
    if not path:
        return _at_root(value, action, operand)
    holder = value
    for key in path[:-1]:
        holder = _within(holder, key)
    key = path[-1]
    if action == "replace":
        _within(holder, key)
        holder[key] = operand
    elif action == "append":
        holder[key] = _appended(_within(holder, key), operand)
    elif action == "add":
        _add(holder, key, operand)
    elif action == "delete":
        _within(holder, key)
        del holder[key]
    else:
        raise _misfit("has an action that does not exist")
    return value


def _at_root(value: Any, action: Any, operand: Any) -> Any:
    if action == "replace":
        return operand
    if action == "append":
        return _appended(value, operand)
    raise _misfit("has no path")


def _within(holder: Any, key: Any) -> Any:
    if isinstance(holder, list) and _is_index(key) and key < len(holder):
        return holder[key]
    if isinstance(holder, dict) and isinstance(key, str) and key in holder:
        return holder[key]
    raise _misfit("names a place that is not there")


def _is_index(key: Any) -> bool:
    return isinstance(key, int) and not isinstance(key, bool) and key >= 0


def _appended(text: Any, operand: Any) -> str:
    if not isinstance(text, str) or not isinstance(operand, str):
        raise _misfit("appends to or with something that is not text")
    return text + operand


def _add(holder: Any, key: Any, operand: Any) -> None:
    if isinstance(holder, list) and _is_index(key) and key <= len(holder):
        holder.insert(key, operand)
    elif isinstance(holder, dict) and isinstance(key, str):
        holder[key] = operand
    else:
        raise _misfit("adds to a place that is not there")


def _misfit(what: str) -> ProtocolError:
    return ProtocolError(
        f"an edit of the answer {what}. The stream is damaged, or the service has changed; try again."
    )
