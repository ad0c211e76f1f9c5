"""One question on its way through the calls of one chat: the values of the page's components, and the session.

A web page holds a value for each of its components, sends those that a function takes, and takes over those that it
gives. A `Turn` does the same for the few components that matter.

Where the server keeps the conversation, it does so under the session's hash. `Sessions` knows which turn each session
of this client is at: a question that goes on from just that turn uses the session, and any other one (a fork, a
conversation from a file, a turn that failed half-way) begins a new session and tells the conversation in the question.
Otherwise a fork would be answered out of the memory of the other branch, and nothing would show it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...core.http import dump_json
from ...errors import ConfigurationError
from .attachments import Attachment
from .formats import converted, turns_in
from .question import Held, Question, Service, folded
from .shapes import ChatFunction, Step
from .wire import Turn as Words
from .wire import encode_history

__all__ = ["Sessions", "Turn", "begun"]

_MOST_SESSIONS = 1000


class Sessions:
    """The sessions in which servers keep conversations, each with the number of its last turn.

    A session ends with the app that keeps it, so each is stored with the number that the app drew when it started.

    A dictionary's own operations are the only ones that are used: each is a single step for other threads.
    """

    def __init__(self) -> None:
        self._apps: dict[tuple[str, int], str] = {}

    def take(self, session: str, turn: int, app: str = "") -> bool:
        """Take a session for the turn after ``turn``; tell whether it is at that turn, and was not taken before."""
        return self._apps.pop((session, turn), None) == app

    def put(self, session: str, turn: int, app: str = "") -> None:
        """Remember that a session of ``app`` is at ``turn``."""
        self._apps[(session, turn)] = app
        for oldest in list(self._apps)[:-_MOST_SESSIONS]:
            self._apps.pop(oldest, None)


@dataclass(frozen=True, slots=True)
class Turn:
    """A question on its way to one chat.

    Args:
        chat: the function and those after it.
        session: the session's hash.
        number: of this turn in the session, from 1.
        prompt: the text of the question as the app receives it.
        sent: the chatbot's value that is sent.
        values: the value of each component; it changes from call to call.
        turns: the conversation as text, with this question, for apps that learn it from the question.
        system: the system message that holds for the conversation.
        went_on: the session held the turns before.
    """

    chat: ChatFunction
    session: str
    number: int
    prompt: str = field(repr=False)
    sent: list[Any] = field(repr=False)
    values: dict[int | str, Any] = field(repr=False)
    turns: tuple[Words, ...] = field(repr=False)
    system: str | None = field(repr=False)
    went_on: bool = False

    def join(self, step: Step, trigger: int | None) -> bytes:
        """Return the body of a join: one value for each input (``docs/wire/gradio.md`` §2)."""
        return dump_json(
            {
                "data": [self.values[id] for id in step.inputs],
                "event_data": None,
                "fn_index": step.index,
                "trigger_id": trigger if trigger is not None else step.trigger,
                "session_hash": self.session,
            }
        )

    def cancel(self, step: Step, event_id: str) -> bytes:
        """Return the body that cancels a call; the service wants all three fields (§6)."""
        return dump_json(
            {"session_hash": self.session, "fn_index": step.index, "event_id": event_id}
        )

    def take_over(self, step: Step, data: Sequence[Any]) -> None:
        """Take over the values that a call gave, as the page does before the next call."""
        for id, value in zip(step.outputs, data, strict=False):
            if isinstance(value, dict) and value.get("__type__") == "update":
                if "value" not in value:
                    continue
                value = value["value"]
            if id in self.values:
                self.values[id] = value

    def attach(self, files: Sequence[Attachment], paths: Sequence[str | None]) -> None:
        """Put uploaded files where the app takes them."""
        described = [each.described(path) for each, path in zip(files, paths, strict=True)]
        chat = self.chat
        if chat.multimodal:
            self.values[chat.prompt] = {"text": self.prompt, "files": described}
        elif chat.files is not None:
            self.values[chat.files] = described if chat.many_files else described[0]

    def continuation(self, service: Service, value: Any, answer: str) -> str:
        """Return what continues the conversation after the answer.

        Raises:
            ConfigurationError: the chatbot's value cannot be written as JSON.
        """
        chat = self.chat
        held: dict[str, Any] = {
            "url": service.url,
            "function": service.function if service.function is not None else chat.title,
            "system": self.system,
        }
        if chat.history is not None:
            held["value"] = value
        if chat.remembers or chat.history is None:
            held["turns"] = [*self.turns, ("assistant", answer)]
        if chat.remembers:
            held |= {"session": self.session, "turn": self.number}
        return dump_json(held).decode()


def begun(
    chat: ChatFunction,
    question: Question,
    inputs: Mapping[int | str, Any],
    sessions: Sessions,
    new_session: str,
    app: str = "",
) -> Turn:
    """Return the turn that asks ``question``.

    Args:
        chat: the function that is asked.
        question: what is asked.
        inputs: the values of settings that the caller gave.
        sessions: those in which servers keep conversations.
        new_session: the hash of a new session.
        app: the number that the app drew when it started.

    Raises:
        ConfigurationError: the app cannot be asked this.
    """
    held = question.held
    files = [*question.earlier_files, *question.files]
    _check_files(chat, question, files)
    system, to_fold = _system(chat, question, inputs)
    went_on = bool(
        chat.remembers
        and held is not None
        and held.session is not None
        and sessions.take(held.session, held.turn, app)
    )
    earlier = question.turns if held is None else _earlier(held)
    if (chat.remembers and not went_on) or not chat.has_memory:
        tell: Sequence[Words] = earlier
        if held is not None and not to_fold and chat.system is None and system:
            to_fold = (system,)  # the session that holds it is not used any more
        sent: list[Any] = []
    else:
        tell = ()
        sent = _sent(chat, question)
    if to_fold and chat.history is not None and not chat.remembers and question.turns:
        sent, to_fold = _with_system(chat, question, to_fold), ()
    prompt = folded(to_fold, tell, question.prompt)
    values = {**chat.values, **inputs}
    if chat.history is not None:
        values[chat.history] = sent
    if chat.system is not None and system is not None:
        values[chat.system] = system
    values[chat.prompt] = {"text": prompt, "files": []} if chat.multimodal else prompt
    return Turn(
        chat,
        held.session if went_on and held is not None and held.session is not None else new_session,
        held.turn + 1 if went_on and held is not None else 1,
        prompt,
        sent,
        values,
        (*earlier, ("user", _with_names(question.prompt, files))),
        system,
        went_on,
    )


def _with_names(prompt: str, files: Sequence[Attachment]) -> str:
    """Return a question as it is repeated later, when its files are not sent again."""
    return "\n\n".join([prompt, *(f"[file: {each.name}]" for each in files)])


def _check_files(chat: ChatFunction, question: Question, files: Sequence[Attachment]) -> None:
    if not files:
        return
    if not chat.takes_files:
        raise ConfigurationError(
            f"the app takes no files: {chat.signature}. Ask in text alone. Nothing was sent."
        )
    if question.earlier_files and chat.has_memory:
        raise ConfigurationError(
            "files of earlier messages cannot be sent to an app that keeps the conversation: go on by continue_from=, "
            "which holds them, or leave them out. Nothing was sent."
        )
    if not chat.multimodal and not chat.many_files and len(files) > 1:
        raise ConfigurationError(
            f"the app takes one file beside the question, not {len(files)}. Nothing was sent."
        )
    if chat.images_only and not all(each.is_image for each in files):
        raise ConfigurationError("the app takes an image beside the question. Nothing was sent.")


def _system(
    chat: ChatFunction, question: Question, inputs: Mapping[int | str, Any]
) -> tuple[str | None, tuple[str, ...]]:
    """Return the system message that holds for the conversation, and what of it the question has to tell.

    Raises:
        ConfigurationError: it is given as a message and as an input too.
    """
    held, own = question.held, question.own_system
    if own is None:
        system = held.system if held is not None else None
        return (None if chat.system in inputs else system), ()
    if chat.system is not None:
        if chat.system in inputs:
            raise ConfigurationError(
                "the system message is given twice: as a message, and by inputs=. Give one of them."
            )
        return own, ()
    known = held is not None and held.system == own
    return own, () if known else question.system


def _earlier(held: Held) -> tuple[Words, ...]:
    """Return the conversation that a continuation holds, as text."""
    return held.turns if held.turns is not None else tuple(turns_in(held.value or []))


def _sent(chat: ChatFunction, question: Question) -> list[Any]:
    """Return the conversation so far as the page's chatbot holds it.

    Raises:
        ConfigurationError: it came from another version of Gradio, and cannot be converted.
    """
    if chat.history is None:
        return []
    held = question.held
    if held is None:
        return encode_history(question.turns, chat.history_format)
    if held.value is None:
        return encode_history(held.turns or (), chat.history_format)
    return converted(held.value, chat.history_format)


def _with_system(chat: ChatFunction, question: Question, system: tuple[str, ...]) -> list[Any]:
    """Return the conversation with the system message in front of its first question."""
    turns = list(question.turns)
    for number, (role, text) in enumerate(turns):
        if role == "user":
            turns[number] = (role, folded(system, (), text))
            return encode_history(turns, chat.history_format)
    first = ("user", folded(system, (), "").rstrip())
    return encode_history([first, *turns], chat.history_format)
