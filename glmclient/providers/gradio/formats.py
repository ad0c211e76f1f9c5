"""A chatbot's value: the conversation in each of the formats that Gradio has had, and the text that grows in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

from ...core.answer import Answer, Mode
from ...errors import ProtocolError
from ...events import Event, TextDelta, TextReplace
from .edits import apply_edit, is_append_to

__all__ = ["Chatbot", "Format", "encode_history", "last_answer"]

Format: TypeAlias = Literal["pairs", "objects", "messages", "parts"]
"""How a chatbot writes a conversation (``docs/wire/gradio.md`` §6):

``pairs`` of strings, pairs of ``objects`` with text and files (modelscope_studio), ``messages`` with a role and a
string (5.x), and messages whose content is a list of ``parts`` (6.x). They are not interchangeable.
"""

Turn: TypeAlias = tuple[str, str]
"""The role, ``user`` or ``assistant``, and the text."""

Path: TypeAlias = list[int | str]


def encode_history(turns: Sequence[Turn], format: Format) -> list[Any]:
    """Return the conversation as the chatbot itself would send it.

    In pairs, the words of a user who got no answer, and of an assistant who was not asked, stand beside ``None``.
    """
    if format == "messages":
        return [{"role": role, "content": text} for role, text in turns]
    if format == "parts":
        return [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    pairs: list[list[Any]] = []
    for role, text in turns:
        said = {"text": text, "files": []} if format == "objects" else text
        if role == "user":
            pairs.append([said, None])
        elif pairs and pairs[-1][1] is None:
            pairs[-1][1] = said
        else:
            pairs.append([None, said])
    return pairs


def last_answer(value: Any) -> tuple[Path | None, str]:
    """Return where the text of the last assistant item is, and the text; ``None`` if there is no such item.

    The user's own words end the search: an answer before them belongs to an earlier question.

    Raises:
        ProtocolError: the value is not that of a chatbot.
    """
    if value is None:
        return None, ""
    if not isinstance(value, list):
        raise ProtocolError(
            f"the chatbot's value is a {type(value).__name__}, not a conversation. The page may have changed."
        )
    for index in range(len(value) - 1, -1, -1):
        item = value[index]
        place: int | str
        if isinstance(item, list) and len(item) == 2:
            asked, said, place = item[0] is not None, item[1], 1
        elif isinstance(item, dict) and "role" in item:
            asked, said, place = item["role"] != "assistant", item.get("content"), "content"
            if asked:
                break
        else:
            break
        path, text = _text(said)
        if path is not None:
            return [index, place, *path], text
        if asked:
            break
    return None, ""


def _text(said: Any) -> tuple[Path | None, str]:
    """Return the text of what was said, and the path of the piece of it that would grow."""
    if isinstance(said, str):
        return [], said
    if isinstance(said, dict):
        if isinstance(said.get("text"), str) and said.get("type", "text") == "text":
            return ["text"], said["text"]
        return None, ""
    if not isinstance(said, list):
        return None, ""
    found: list[tuple[Path, str]] = []
    for index, part in enumerate(said):
        # A bare string in a list is a file's name, not something that was said.
        path, text = _text(part) if isinstance(part, dict) else (None, "")
        if path is not None:
            found.append(([index, *path], text))
    return (found[-1][0], "\n".join(text for _, text in found)) if found else (None, "")


def _words(value: Any) -> list[str]:
    """Return all that a value says, without the white space that servers trim (§4)."""
    words: list[str] = []
    waiting = [value]
    while waiting:  # no recursion: a server's value may be nested deeper than Python's stack
        each = waiting.pop()
        if isinstance(each, str):
            words.append(each.strip())
        elif isinstance(each, list):
            waiting.extend(each)
        elif isinstance(each, dict):
            waiting.extend(each.get(key) for key in ("role", "content", "text"))
    return words


_TEXT = "text"


class Chatbot:
    """The chatbot's value as the server tells it, and the events that its last answer makes.

    A piece of text at the end of the answer, which is nearly every update, costs the same however long the answer
    is: it is written into the value only when something else changes.

    Args:
        sent: the conversation that was sent; while the value says no more than it, there is no answer yet.
        prompt: the question. An app without memory may answer with the same conversation again; if its last user
            item is the question, what follows is the answer.
    """

    def __init__(self, sent: list[Any], prompt: str = "") -> None:
        self._prompt = prompt.strip()
        self._value: Any = None
        self._sent = _words(sent) if sent else None
        self._sent_items = len(sent)
        self._answer: Answer[Event] = Answer(Mode("snapshot"), TextDelta, TextReplace)
        self._grows_at: Path | None = None
        self._grown: list[str] = []

    @property
    def value(self) -> Any:
        """The value as it is now."""
        self._write()
        return self._value

    def become(self, value: Any, out: list[Event]) -> None:
        """Take a whole value; append the event that it makes, if any.

        Raises:
            ProtocolError: it is not that of a chatbot.
        """
        self._value = value
        self._grown.clear()
        self._show(out)

    def change(self, edits: Any, out: list[Event]) -> None:
        """Apply the edits of one update, in order; append the events that they make.

        Raises:
            ProtocolError: one of them does not fit.
        """
        if not isinstance(edits, list):
            raise ProtocolError(
                "an update of the answer is not a list of edits. The stream is damaged, or the service has changed."
            )
        path = self._grows_at
        if path is not None and all(is_append_to(edit, path) for edit in edits):
            for _, _, added in edits:
                self._grown.append(added)
                event = self._answer.extend(_TEXT, added)
                if event is not None:
                    out.append(event)
            return
        self._write()
        for edit in edits:
            self._value = apply_edit(self._value, edit)
        self._show(out)

    def _write(self) -> None:
        """Write what has grown into the value."""
        if not self._grown or self._grows_at is None:
            return
        *way, last = self._grows_at
        holder = self._value
        for key in way:
            holder = holder[key]
        holder[last] += "".join(self._grown)
        self._grown.clear()

    def _show(self, out: list[Event]) -> None:
        path, text = last_answer(self._value)
        if path is not None and self._says_nothing_new():
            path, text = None, ""
        self._grows_at = path
        event = self._answer.update(_TEXT, text)
        if event is not None:
            out.append(event)

    def _says_nothing_new(self) -> bool:
        return (
            self._sent is not None
            and len(self._value) == self._sent_items
            and _words(self._value) == self._sent
            and last_question(self._value) not in (None, self._prompt)
        )


def last_question(value: list[Any]) -> str | None:
    """Return the text of the last user item without the white space around it; ``None`` if there is none."""
    for item in reversed(value):
        if isinstance(item, list) and len(item) == 2 and item[0] is not None:
            return _text(item[0])[1].strip()
        if isinstance(item, dict) and item.get("role") == "user":
            return _text(item.get("content"))[1].strip()
    return None
