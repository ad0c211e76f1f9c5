"""The frames of a simulated Gradio session (``docs/wire/gradio.md`` §3-§5)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from ..._exhaustive import assert_never
from ...core.http import dump_json
from ...errors import ConfigurationError
from ...events import (
    CodeDelta,
    CodeReplace,
    ExecutionOutput,
    Finish,
    Image,
    Notice,
    QueueStatus,
    ReasoningDelta,
    ReasoningReplace,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
)
from ...simulator.http import BodyItem, Cut, Pause, Reset, Wait
from ...simulator.script import EndBody, Open, Refusal, Step, unsupported
from .simulated_apps import Output
from .wire import Format, Protocol

__all__ = ["Layout", "encode", "encoded", "shown", "words_of"]

_WORDS: Mapping[str, tuple[str, str]] = {
    # kind: what a client knows it by, and the whole sentence
    "server": ("", "The model crashed in the middle."),
    "quota": (
        "You have exceeded your GPU quota",
        "You have exceeded your GPU quota (60s requested vs. 12s left). Try again in 0:09:48",
    ),
    "rate_limit": ("Too many requests", "Too many requests, slow down"),
    "bad_request": (
        "is not in the list of choices",
        "Value: '72B' is not in the list of choices: []",
    ),
}
"""What an app itself can report in the middle of an answer."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a session is written; see `glmclient.providers.gradio.simulated.Gradio` for the first two arguments.

    Args:
        chatbot: the format of the chatbot.
        protocol: the protocol that the page names.
        question: the user's words.
        history: the conversation before them, as the client sent it.
        system: the system message.
        event_id: of the answer.
        outputs: what each output of the function holds; one of them is the chatbot or the text of the answer.

    Raises:
        ConfigurationError: an argument has a value that it does not take.
    """

    chatbot: Format = "objects"
    protocol: Protocol = "sse_v3"
    question: str = ""
    history: tuple[Any, ...] = ()
    system: str = ""
    event_id: str = "e1"
    outputs: tuple[Output, ...] = ("cleared", "chatbot", "system")

    def __post_init__(self) -> None:
        if self.chatbot not in get_args(Format):
            raise ConfigurationError(
                f"chatbot must be one of {', '.join(get_args(Format))}, not {self.chatbot!r}."
            )
        if self.protocol not in get_args(Protocol):
            raise ConfigurationError(
                f"protocol must be one of {', '.join(get_args(Protocol))}, not {self.protocol!r}."
            )
        if self.modern and self.protocol != "sse_v3":
            raise ConfigurationError(
                f"a chatbot of {self.chatbot} came with Gradio 5 and sse_v3, not {self.protocol}."
            )

    @property
    def version(self) -> str:
        """The version of Gradio that is like this."""
        if self.modern:
            return "5.50.0" if self.chatbot == "messages" else "6.31.0"
        older = {"sse_v1": "4.12.0", "sse_v2": "4.19.2", "sse_v2.1": "4.21.0"}
        return older.get(self.protocol, "4.44.1")

    @property
    def modern(self) -> bool:
        """It is Gradio 5 or newer."""
        return self.chatbot in ("messages", "parts")

    @property
    def ascii(self) -> bool:
        """Up to 4.19, messages are written by the standard library's JSON, in ASCII."""
        return self.protocol in ("sse_v1", "sse_v2")

    def whole(self, text: str) -> list[Any]:
        """Return the value of every output with ``text`` as the answer."""
        values = {
            "cleared": "",
            "chatbot": self.value(text) if "chatbot" in self.outputs else None,
            "system": self.system,
            "text": text,
            "nothing": None,
        }
        return [values[kind] for kind in self.outputs]

    def edited(self, edit: list[Any]) -> list[Any]:
        """Return the edits of every output where one edit changes the answer."""
        return [[edit] if kind in ("chatbot", "text") else [] for kind in self.outputs]

    def asked(self) -> list[Any]:
        """Return the whole conversation with the question, and no answer yet."""
        whole = self.value("")
        if self.chatbot in ("pairs", "objects"):
            return [*whole[:-1], [whole[-1][0], None]]
        return whole[:-1]

    def value(self, text: str) -> list[Any]:
        """Return the whole conversation with ``text`` as its last answer."""
        if self.chatbot in ("pairs", "objects"):
            shown = [self._shown(pair) for pair in self.history]
            return [*shown, [self._said(self.question), self._said(text)]]
        turns = [self._turn("user", self.question), self._turn("assistant", text)]
        return [*(self._completed(message) for message in self.history), *turns]

    def path(self) -> list[int | str]:
        """Return where the text of the last answer is in its output."""
        if "chatbot" not in self.outputs:
            return []
        if self.chatbot == "pairs":
            return [len(self.history), 1]
        if self.chatbot == "objects":
            return [len(self.history), 1, "text"]
        place: list[int | str] = [len(self.history) + 1, "content"]
        return place if self.chatbot == "messages" else [*place, 0, "text"]

    def _shown(self, pair: Any) -> Any:
        if self.chatbot == "pairs" or not isinstance(pair, list):
            return pair
        return [self._said(said["text"]) if isinstance(said, dict) else said for said in pair]

    def _said(self, text: str) -> Any:
        if self.chatbot == "pairs":
            return text
        # What modelscope_studio puts around a text.
        around = dict.fromkeys(("id", "elem_id", "elem_classes", "name"))
        return {**around, "text": text, "flushing": None, "avatar": "", "files": None}

    def _turn(self, role: str, text: str) -> dict[str, Any]:
        content = text if self.chatbot == "messages" else [{"text": text, "type": "text"}]
        return self._completed({"role": role, "content": content})

    def _completed(self, message: Mapping[str, Any]) -> dict[str, Any]:
        rest = {key: value for key, value in message.items() if key not in ("role", "metadata")}
        return {"role": message.get("role"), "metadata": None, "options": None, **rest}


class _Session:
    """The answer so far, and the frames that tell what happens to it."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._text: list[str] = []
        self._told = False

    @property
    def text(self) -> str:
        if len(self._text) > 1:
            self._text = ["".join(self._text)]
        return self._text[0] if self._text else ""

    def frame(self, msg: str, **fields: Any) -> bytes:
        message = {"msg": msg, "event_id": self._layout.event_id, **fields}
        if self._layout.ascii:
            return b"data: " + json.dumps(message).encode() + b"\n\n"
        return b"data: " + dump_json(message) + b"\n\n"

    def started(self) -> bytes:
        return self.frame("process_starts", eta=None)

    def grown(self, text: str) -> bytes:
        self._text.append(text)
        return self._update(["append", self._layout.path(), text])

    def rewritten(self, start: int, text: str) -> bytes:
        self._text = [self.text[:start], text]
        return self._update(["replace", self._layout.path(), self.text])

    def _update(self, edit: list[Any]) -> bytes:
        if self._told and self._layout.protocol != "sse_v1":
            return self.frame(
                "process_generating", output=self._output(self._layout.edited(edit)), success=True
            )
        self._told = True
        whole = self._layout.whole(self.text)
        return self.frame("process_generating", output=self._output(whole), success=True)

    def _output(self, data: list[Any], generating: bool = True) -> dict[str, Any]:
        return {
            "data": data,
            "is_generating": generating,
            "duration": 0.004,
            "average_duration": 0.004,
        }

    def finished(self) -> bytes:
        whole = self._layout.whole(self.text)
        output = self._output(whole, generating=False)
        return self.frame("process_completed", output=output, success=True) + self.closed()

    def shown(self) -> bytes:
        data = [self._layout.asked() if kind == "chatbot" else "" for kind in self._layout.outputs]
        output = self._output(data, generating=False)
        return self.frame("process_completed", output=output, success=True) + self.closed()

    def failed(self, refusal: Refusal) -> bytes:
        words = words_of(refusal)
        told: dict[str, Any] = {"error": words if self._layout.modern else repr(words)}
        if self._layout.modern:
            told |= {"duration": 10.0, "visible": True, "title": "Error"}
        return self.frame("process_completed", output=told, success=False) + self.closed()

    def cancelled(self) -> bytes:
        return self.frame("process_completed", output={}, success=True) + self.closed()

    def closed(self) -> bytes:
        if self._layout.protocol != "sse_v3":
            return b""
        return b'data: {"msg":"close_stream","event_id":null}\n\n'


def shown(layout: Layout) -> bytes:
    """Return what the service writes for a function that only shows the question."""
    session = _Session(layout)
    return session.started() + session.shown()


def encode(steps: Iterable[Step], layout: Layout | None = None) -> list[BodyItem]:
    """Return what the service writes for ``steps``.

    Raises:
        ConfigurationError: the service has no way to say a step.
    """
    return list(encoded(tuple(steps), layout if layout is not None else Layout()))


def encoded(
    steps: tuple[Step, ...], layout: Layout, cancelled: Iterable[bool] = ()
) -> Iterator[BodyItem]:
    """Yield what `encode` returns, one item at a time.

    Args:
        cancelled: tells before each step whether the answer was cancelled; that ends it.
    """
    session = _Session(layout)
    asked = iter(cancelled)
    if any(not isinstance(step, _PASSED) for step in steps):
        yield session.started()
    for step in steps:
        if next(asked, False):
            yield session.cancelled()
            return
        if isinstance(step, EndBody):
            return
        yield step if isinstance(step, _PASSED) else _saying(session, step)


_PASSED = (bytes, Pause, Wait, Cut, Reset)
_LEVELS = ("info", "warning", "success", "error")


def _saying(session: _Session, step: Step) -> bytes:
    """Return the frame that says one step."""
    match step:
        case TextDelta(text):
            return session.grown(text)
        case TextReplace(start, text):
            return session.rewritten(start, text)
        case QueueStatus(position, size, eta):
            return session.frame("estimation", rank=position, queue_size=size, rank_eta=eta)
        case Notice(message, "progress", ""):
            bare = {"index": None, "length": None, "unit": "steps", "progress": None}
            return session.frame("progress", progress_data=[{**bare, "desc": message}])
        case Notice(message, level, title) if level in _LEVELS:
            return session.frame("log", log=message, level=level, title=title)
        case Refusal() if step.kind in _WORDS:
            return session.failed(step)
        case Unknown(name, _):
            return b"data: " + dump_json(_unknown_message(step, name)) + b"\n\n"
        case Finish("stop", usage=None, message=None, conversation_id=None, request_id=None):
            return session.finished()
        case (
            bytes()
            | Pause()
            | Wait()
            | Cut()
            | Reset()
            | Open()
            | EndBody()
            | Refusal()
            | ReasoningDelta()
            | ReasoningReplace()
            | CodeDelta()
            | CodeReplace()
            | Image()
            | ExecutionOutput()
            | SearchResults()
            | ToolCallDelta()
            | Notice()
            | Finish()
        ):
            raise unsupported("qwen", step)
        case _:
            assert_never(step)


def _unknown_message(step: Unknown, name: str) -> dict[str, Any]:
    try:
        message = step.json()
    except ValueError:
        message = None
    if not isinstance(message, dict) or message.get("msg") != name:
        raise ConfigurationError(
            f"{step!r:.120} cannot be written as a message: its data must be a JSON object whose 'msg' is {name!r}."
        )
    return message


def words_of(refusal: Refusal) -> str:
    """Return an app's words for a failure, in which its kind can be recognized."""
    mark, sentence = _WORDS[refusal.kind]
    if refusal.message is None:
        return sentence
    return refusal.message if mark in refusal.message else f"{mark}: {refusal.message}"
