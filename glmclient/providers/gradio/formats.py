"""A chatbot's value: the conversation in each of the formats that Gradio has had, and the text that grows in it."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from ...core.answer import Answer, Mode
from ...core.held import HeldState, size_of
from ...core.http import dump_json
from ...core.limits import Limits
from ...errors import ConfigurationError, LimitExceeded, ProtocolError
from ...events import Event, ReasoningDelta, ReasoningReplace, TextDelta, TextReplace
from .edits import Work, apply_edits, is_append_to
from .wire import Format, Turn, encode_history

__all__ = ["Chatbot", "Shown", "TextAnswer", "converted", "last_answer", "shown_in", "turns_in"]

log: logging.Logger = logging.getLogger("glmclient.gradio")

Path: TypeAlias = list[int | str]

_TEXT = "text"


def converted(value: list[Any], format: Format) -> list[Any]:
    """Return a conversation that a service wrote, in the format of its page today.

    A value of the page's own format is returned as it is. Another one comes from another major version of Gradio,
    which a page may have been upgraded from.

    Raises:
        ConfigurationError: it holds something other than text, which cannot be converted.
    """
    if not value or _family(format) == _family_of(value):
        return value
    return encode_history(turns_in(value), format)


def turns_in(value: list[Any]) -> list[Turn]:
    """Return the turns of a conversation that a service wrote, without the thoughts.

    Raises:
        ConfigurationError: it holds something other than text.
    """
    turns: list[Turn] = []
    for item in value:
        if isinstance(item, list) and len(item) == 2:
            sides = [("user", item[0]), ("assistant", item[1])]
        elif is_thought(item):
            continue
        else:
            known = isinstance(item, dict) and isinstance(item.get("role"), str)
            sides = [(item["role"], item.get("content")) if known else ("", item)]
        for role, content in sides:
            path, text = _text(content)
            if role == "" or (
                content is not None and (path is None or next(_files(content), None))
            ):
                raise ConfigurationError(
                    "the answer to continue came from another version of Gradio, and its conversation holds something "
                    "other than text, which cannot be converted. Give the conversation as messages instead."
                )
            turns += [(role, text)] if path is not None else []
    return turns


def _family(format: Format) -> str:
    return "pairs" if format == "objects" else format


def _family_of(value: list[Any]) -> str:
    """Return the format of a conversation; pairs are one family, whatever stands in them."""
    messages = [item for item in value if isinstance(item, dict) and "role" in item]
    if not messages:
        return "pairs"
    in_parts = any(isinstance(message.get("content"), list) for message in messages)
    return "parts" if in_parts else "messages"


@dataclass(frozen=True, slots=True)
class Shown:
    """What a chatbot's value says after the last question.

    Args:
        text: the assistant's messages, joined by a blank line.
        grows_at: the path of the string at whose end the text grows, if there is one.
        thoughts: the messages that have a title: thoughts and calls of tools, joined by a blank line.
        thoughts_grow_at: the path of the string at whose end the thoughts grow, if there is one.
        files: descriptions of files in these messages, as the service wrote them.
    """

    text: str = ""
    grows_at: Path | None = None
    thoughts: str = ""
    thoughts_grow_at: Path | None = None
    files: tuple[Mapping[str, Any], ...] = ()


def shown_in(value: Any) -> Shown:
    """Return what the assistant says in a chatbot's value after the last question.

    Raises:
        ProtocolError: the value is not that of a chatbot.
    """
    if value is None:
        return Shown()
    if not isinstance(value, list):
        raise ProtocolError(
            f"the chatbot's value is a {type(value).__name__}, not a conversation. The page may have changed."
        )
    contents: list[tuple[Path, Any]] = []
    thoughts: list[tuple[Path, Any]] = []
    for index in range(len(value) - 1, -1, -1):
        item = value[index]
        if isinstance(item, list) and len(item) == 2:
            contents.append(([index, 1], item[1]))
            if item[0] is not None:
                break
        elif isinstance(item, dict) and item.get("role") == "assistant":
            (thoughts if is_thought(item) else contents).append(
                ([index, "content"], item.get("content"))
            )
        else:
            break
    text, grows_at = _joined(contents[::-1])
    thought, thought_grows_at = _joined(thoughts[::-1])
    files = [file for _, content in contents[::-1] for file in _files(content)]
    return Shown(text, grows_at, thought, thought_grows_at, tuple(files))


def shown_as_text(value: Any) -> Shown:
    """Return the answer in the value of a component that is not a chatbot.

    It is text; or, in a ``json`` component, what a `ChatInterface` answered: text, a message, or a list of these. Any
    other value is shown as JSON.
    """
    if isinstance(value, str):
        return Shown(value, [])
    if value is None:
        return Shown()
    items = value if isinstance(value, list) else [value]
    if items and all(isinstance(each, dict) and "content" in each for each in items):
        messages = [{"role": "assistant", **each} for each in items]
        shown = shown_in([each for each in messages if each["role"] == "assistant"])
        return replace(shown, grows_at=None, thoughts_grow_at=None)
    files = tuple(_files(value))
    path, text = _text(value)
    if path is None and not files:
        strings = items and all(isinstance(each, str) for each in items)
        text = "\n\n".join(items) if strings else dump_json(value).decode("utf-8", "replace")
    return Shown(text, files=files)


def last_answer(value: Any) -> tuple[Path | None, str]:
    """Return where the text of the last answer grows, and the text; ``None`` if nothing can grow.

    Raises:
        ProtocolError: the value is not that of a chatbot.
    """
    shown = shown_in(value)
    return shown.grows_at, shown.text


def is_thought(item: Any) -> bool:
    """Tell whether an item of a chatbot is a thought or a call of a tool: Gradio shows these under a title."""
    metadata = item.get("metadata") if isinstance(item, dict) else None
    return isinstance(metadata, dict) and bool(metadata.get("title"))


def _joined(contents: Sequence[tuple[Path, Any]]) -> tuple[str, Path | None]:
    """Return the text of messages in a row, and the path at whose end it grows."""
    texts: list[str] = []
    last: tuple[Path, str] | None = None
    for place, content in contents:
        path, text = _text(content)
        if path is not None:
            last = [*place, *path], text
            texts += [text] if text else []
    if last is None:
        return "", None
    # The first words of a further message bring a blank line along: they are not an addition to one string.
    grows = bool(last[1]) or not texts
    return "\n\n".join(texts), last[0] if grows else None


def _text(content: Any) -> tuple[Path | None, str]:
    """Return the text of a message's content, and the path of the piece of it that would grow."""
    if isinstance(content, str):
        return [], content
    if isinstance(content, dict):
        if isinstance(content.get("text"), str) and content.get("type", "text") == "text":
            return ["text"], content["text"]
        return None, ""
    if not isinstance(content, list):
        return None, ""
    pieces: list[tuple[Path, str]] = []
    for index, part in enumerate(content):
        # A bare string in a list is a file's name, not text of the message.
        path, text = _text(part) if isinstance(part, dict) else (None, "")
        if path is not None:
            pieces.append(([index, *path], text))
    return (pieces[-1][0], "\n".join(text for _, text in pieces)) if pieces else (None, "")


def _files(content: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the descriptions of files in a message's content, in their order.

    A file is an object with a ``path`` or ``url``. It stands in a ``file``, in the ``value`` of a component, or in
    lists of these, such as the ``files`` beside a text and the ``image`` of a gallery's entries.
    """
    waiting: list[tuple[Any, Any]] = [(content, None)]
    while waiting:  # no recursion: a server's value may be nested deeper than Python's stack
        each, component = waiting.pop()
        if isinstance(each, list):
            waiting.extend((part, component) for part in reversed(each))
        elif isinstance(each, dict):
            if isinstance(each.get("path"), str) or isinstance(each.get("url"), str):
                yield {**each, "component": component}
                continue
            kind = each.get("component", component)
            keys = ("file", "value", "files", "image", "video")
            waiting.extend((each[key], kind) for key in reversed(keys) if key in each)


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


def _searched(value: Any) -> int:
    """Return how many objects `shown_in` looks at, about."""
    if isinstance(value, dict):
        value = value.get("value")
    searched = 0
    for item in reversed(value) if isinstance(value, list) else ():
        searched += 1
        if isinstance(item, list) and len(item) == 2:
            searched += _breadth(item[1])
            if item[0] is not None:
                break
        elif isinstance(item, dict) and item.get("role") == "assistant":
            searched += _breadth(item.get("content"))
        else:
            break
    return searched


def _breadth(content: Any) -> int:
    return size_of(content, characters=False) if isinstance(content, (list, dict)) else 1


class Chatbot:
    """The chatbot's value as the server tells it, and the events that its last answer makes.

    A piece of text at the end of the answer, which is nearly every update, costs the same however long the answer
    is: it is written into the value only when something else changes.

    A value may be an update of the component, ``{"__type__": "update", "value": [...]}``. Edits then have paths below
    ``"value"``; an update without a value leaves the conversation as it was.

    Args:
        sent: the conversation that was sent; while the value says no more than it, there is no answer yet.
        prompt: the question. An app without memory may answer with the same conversation again; if that is its final
            value, and the last user item is the question, what follows it is the answer.
        limits: bounds on the size of the value, and on what its edits move.
    """

    def __init__(self, sent: list[Any], prompt: str = "", limits: Limits | None = None) -> None:
        limits = limits if limits is not None else Limits()
        self._work = Work(limits.rewrites)
        self._held = HeldState(limits, lambda: (self._raw, self._grown))
        self._prompt = prompt.strip()
        self._raw: Any = None
        self._value: Any = None
        self._sent = _words(sent) if sent else None
        self._sent_value = sent
        self._answer: Answer[Event] = Answer(Mode("snapshot"), TextDelta, TextReplace)
        self._thoughts: Answer[Event] = Answer(Mode("snapshot"), ReasoningDelta, ReasoningReplace)
        self._growing: list[tuple[Path, Answer[Event]]] = []
        self._grown: list[str] = []
        self._grown_at: Path = []
        self.misfit: ProtocolError | None = None
        """Why updates are passed over until the next whole value."""
        self.files: tuple[Mapping[str, Any], ...] = ()
        """The files of the answer, as the service describes them."""

    @property
    def text(self) -> str:
        """The answer as it is now."""
        return self._answer.text

    @property
    def value(self) -> Any:
        """The conversation as it is now; what was sent, while the service has not told any."""
        self._write()
        return self._sent_value if self._value is None else self._value

    def become(self, value: Any, out: list[Event], final: bool = False) -> None:
        """Take a whole value; append the events that it makes.

        Args:
            final: no further value follows.

        Raises:
            ProtocolError: it is not that of a chatbot.
        """
        self._raw = value
        self._held.reset()
        self.misfit = None
        self._grown.clear()
        self._show(out, final)

    def change(self, edits: Any, out: list[Event], size: int = 0) -> None:
        """Apply the edits of one update, in order; append the events that they make.

        Edits that do not fit are passed over with all that follow, until the next whole value. Gradio below 5.29.1
        counts the indices of several deletions wrongly, and newer versions those in lists inside lists (§4); the
        final value is always right.

        Args:
            edits: as the server sent them.
            out: takes the events.
            size: characters of the update.

        Raises:
            LimitExceeded: the value became too large, or the edits moved too much.
        """
        self._held.received(size)
        if self.misfit is not None or edits == []:
            return
        if isinstance(edits, list):
            for path, answer in self._growing:
                if all(is_append_to(edit, path) for edit in edits):
                    self._extend(path, answer, edits, out)
                    return
        self._write()
        try:
            self._raw = apply_edits(self._raw, edits, self._work)
        except LimitExceeded:
            raise
        except ProtocolError as error:
            self.misfit = error.with_traceback(None)
            self._growing = []
            log.info("an update is passed over until the next whole value: %s", error)
            return
        # What is shown is compared with what was shown; the update is not charged for its own length.
        shown = self._answer.length + self._thoughts.length
        self._work.add(characters=max(0, shown - size), objects=_searched(self._raw))
        if isinstance(self._raw, list) and len(self._raw) == len(self._sent_value):
            self._work.add(
                characters=size_of(self._raw), objects=size_of(self._raw, characters=False)
            )
        self._show(out)

    def _extend(
        self, path: Path, answer: Answer[Event], edits: list[Any], out: list[Event]
    ) -> None:
        if path != self._grown_at:
            self._write()
            self._grown_at = path
        for _, _, added in edits:
            self._grown.append(added)
            event = answer.extend(_TEXT, added)
            if event is not None:
                out.append(event)

    def _write(self) -> None:
        """Write what has grown into the value."""
        if not self._grown:
            return
        if not self._grown_at:
            self._work.add(characters=len(self._raw))
            self._raw += "".join(self._grown)
            self._grown.clear()
            return
        *way, last = self._grown_at
        holder = self._raw
        for key in way:
            holder = holder[key]
        self._work.add(characters=len(holder[last]))
        holder[last] += "".join(self._grown)
        self._grown.clear()

    def _shown(self, value: Any) -> Shown:
        return shown_in(value)

    def _show(self, out: list[Event], final: bool = False) -> None:
        below: Path = []
        value = self._raw
        if isinstance(value, dict) and value.get("__type__") == "update":
            below, value = ["value"], value.get("value", self._value)
        shown = self._shown(value)
        self._value = value
        if self._says_nothing_new(final):
            shown = Shown()
        self.files = shown.files
        self._growing = []
        for answer, text, path in (
            (self._thoughts, shown.thoughts, shown.thoughts_grow_at),
            (self._answer, shown.text, shown.grows_at),
        ):
            event = answer.update(_TEXT, text)
            if event is not None:
                out.append(event)
            if path is not None:
                self._growing.append(([*below, *path], answer))

    def _says_nothing_new(self, final: bool) -> bool:
        """Tell whether the value is the conversation that was sent, so that its last answer is an older one.

        An app without memory may answer the question of the conversation that was sent with the same words again.
        While nothing else was shown, that is certain only at the end: an app with memory that is asked the same
        question twice may begin with the conversation as it was.
        """
        value = self._value
        if not value or self._sent is None or len(value) != len(self._sent_value):
            return False
        if _words(value) != self._sent:
            return False
        question = last_question(value)
        if question is not None and question != self._prompt:
            return True
        return not (final or self._answer.length or self._thoughts.length)


class TextAnswer(Chatbot):
    """The value of a component that shows the answer and nothing else, such as a text box; see `Chatbot`."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__([], limits=limits)

    def _shown(self, value: Any) -> Shown:
        return shown_as_text(value)


def last_question(value: list[Any]) -> str | None:
    """Return the text of the last user item without the white space around it; ``None`` if there is none."""
    for item in reversed(value):
        if isinstance(item, list) and len(item) == 2 and item[0] is not None:
            return _text(item[0])[1].strip()
        if isinstance(item, dict) and item.get("role") == "user":
            return _text(item.get("content"))[1].strip()
    return None
