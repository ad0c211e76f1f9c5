"""The serving half of a Gradio Space: its page, its queue and its sessions (``docs/wire/gradio.md`` §1-§3)."""

from __future__ import annotations

import difflib
import itertools
import re
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...core.http import dump_json
from ...core.transcript import Transcript
from ...errors import ConfigurationError
from ...events import Finish, TextDelta, TextReplace
from ...simulator.http import BodyItem, Cut, SimulatedRequest, SimulatedResponse
from ...simulator.script import Answer, Answers, Refusal, script_failure
from .encoder import Layout, encode, encoded, shown
from .simulated_apps import SHAPES, SYSTEM, VERSIONS, App, AppFunction, Shape, app_of
from .wire import (
    APP_ID_PATH,
    CANCEL_PATH,
    CONFIG_PATH,
    EVENT_STREAM,
    INFO_PATH,
    PREFIX,
    UPLOAD_PATH,
    Format,
    Protocol,
)

__all__ = ["SYSTEM", "Gradio", "Qwen"]

EVENT_STREAM_TYPE = ("Content-Type", f"{EVENT_STREAM}; charset=utf-8")

SLEEPING_PAGE = (
    "<!DOCTYPE html><html><head><title>Hugging Face</title></head>"
    "<body><p>This Space is sleeping due to inactivity.</p></body></html>"
)

_REFUSALS: Mapping[str, tuple[int, str]] = {
    # kind: HTTP status and the service's words, as §2 has them
    "login": (401, "Not authenticated"),
    "authentication": (401, "Not authenticated"),
    "permission": (403, "Forbidden"),
    "rate_limit": (503, "Queue is full. Max size is 1 and size is 1."),
    "bad_request": (400, "No function index provided."),
    "not_found": (404, "Not Found"),
    "blocked": (503, SLEEPING_PAGE),
    "quota": (429, "You have exceeded your GPU quota (60s requested vs. 12s left)."),
    "server": (500, "Internal Server Error"),
}
_FILE_NAME = re.compile(rb'filename="([^"\r\n]*)"')
_MOST_STATES = 1000
_WITH_OTHER_WORDS = {"rate_limit": 429, "blocked": 403}
"""A 503 is read by its words: where they say nothing of a full queue or a sleeping Space, the status has to."""


@dataclass(slots=True)
class _Session:
    """A question that waits for its stream, or has it."""

    answer: Answer
    layout: Layout
    function: AppFunction
    cancelled: threading.Event = field(default_factory=threading.Event)


class Gradio:
    """A Gradio app of one of the common shapes.

    Args:
        shape: what its function takes and gives; see ``docs/providers/gradio.md``.
        version: of Gradio: ``4.44.1``, ``5.50.0`` or ``6.31.0``.

    Raises:
        ConfigurationError: an option has a value that it does not take.
    """

    name = "gradio"

    def __init__(self, *, shape: Shape = "chat_interface", version: str = "5.50.0") -> None:
        if shape not in SHAPES:
            near = difflib.get_close_matches(str(shape), SHAPES, 1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise ConfigurationError(
                f"shape must be one of {', '.join(SHAPES)}, not {shape!r}.{hint}"
            )
        if version not in VERSIONS:
            raise ConfigurationError(
                f"version must be one of {', '.join(VERSIONS)}, not {version!r}."
            )
        self._begin(app_of(shape, version), Layout(VERSIONS[version]))

    def _begin(self, app: App, layout: Layout) -> None:
        self._app = app
        self._layout = layout
        self._prefix = app.prefix
        self._numbers = itertools.count(1)  # one step of the interpreter: safe for threads
        self._lock = threading.Lock()
        self._waiting: dict[str, _Session] = {}
        self._running: dict[str, _Session] = {}
        self._states: dict[str, list[Any]] = {}
        """The conversations that apps keep under a session."""

    def check(self, answer: Answer) -> object:
        """Raise a `ConfigurationError` if the service has no way to say ``answer``."""
        if _refuses_the_join(answer) is None:
            encode(answer.said, self._layout)
        return None

    def prompt(self, request: SimulatedRequest) -> str:
        """Return the question that a join asks."""
        body = request.json
        function = self._app.function(body["fn_index"])
        return "" if function is None else _question(function, body["data"])

    def handles(self, request: SimulatedRequest) -> bool:
        """Tell whether the path is one of a Gradio app's."""
        path = request.path
        known = (CONFIG_PATH, INFO_PATH, UPLOAD_PATH, CANCEL_PATH, APP_ID_PATH)
        return path in known or path.startswith(("/queue/", f"{PREFIX}/"))

    def respond(self, request: SimulatedRequest, answers: Answers) -> SimulatedResponse:
        """Answer for the page, the queue or a session; anything else is not found."""
        match request.method, request.path.removeprefix(self._prefix):
            case "GET", "/config":
                return SimulatedResponse.of_json(self._app.config())
            case "GET", "/app_id":
                return SimulatedResponse.of_json({"app_id": self._app.number})
            case "GET", "/info":
                return SimulatedResponse.of_json(self._app.info())
            case "POST", "/upload":
                return SimulatedResponse.of_json(self._uploaded(request.body))
            case "POST", "/queue/join":
                return self._join(request, answers)
            case "GET", "/queue/data":
                return self._stream(request.query.get("session_hash", ""))
            case "POST", "/cancel":
                return self._cancel(request.json)
        return _refused(Refusal("not_found"))

    def failed(self, words: str) -> SimulatedResponse:
        """Say that the script failed."""
        return _refused(script_failure({"detail": words}))

    # -- the queue -----------------------------------------------------------------------------------------

    def _join(self, request: SimulatedRequest, answers: Answers) -> SimulatedResponse:
        body = request.json
        wrong = self._misjoined(body)
        if wrong is not None:
            return _refused(wrong)
        function = self._app.function(body["fn_index"])
        assert function is not None  # the check before refused it
        # A function that only shows the question asks nothing of the script.
        answer = Answer((Finish("stop"),)) if function.shows else answers.next(request)
        refusal = _refuses_the_join(answer)
        if refusal is not None:
            return _refused(refusal, answer)
        finish = next((step for step in answer.said if isinstance(step, Finish)), Finish("stop"))
        layout = replace(
            self._layout,
            **self._asked(function, body),
            outputs=function.gives(),
            event_id=finish.response_id or f"{next(self._numbers):032x}",
        )
        with self._lock:
            self._waiting[body["session_hash"]] = _Session(answer, layout, function)
        return SimulatedResponse.of_json({"event_id": layout.event_id})

    def _asked(self, function: AppFunction, body: Mapping[str, Any]) -> dict[str, Any]:
        """Return the question, the conversation before it and the system message."""
        data = body["data"]
        history, system = function.position("chatbot"), function.position("hidden", "system")
        before = data[history] if history is not None else self._states.get(body["session_hash"])
        if function.position("question", "multimodal") is None:
            before = _without_last(before)
        return {
            "question": _question(function, data),
            "history": tuple(before or ()),
            "system": data[system] if system is not None else "",
        }

    def _misjoined(self, body: Any) -> Refusal | None:
        """Return what is wrong with the fields of a join, if anything (§2)."""
        if not isinstance(body, dict) or not isinstance(body.get("data"), list):
            return Refusal("bad_request", "Input should be a valid list", 422)
        if body.get("fn_index") is None:
            return Refusal("bad_request", "No function index provided.")
        if not isinstance(body.get("session_hash"), str):
            return Refusal("bad_request", "Session hash not found.")
        function = self._app.function(body["fn_index"])
        if function is None or len(body["data"]) != len(function.inputs):
            return Refusal("server")
        return None

    def _stream(self, session_hash: str) -> SimulatedResponse:
        with self._lock:
            session = self._waiting.pop(session_hash, None)
            if session is not None:
                self._running[session_hash] = session
        if session is None:
            return SimulatedResponse(headers=(EVENT_STREAM_TYPE,), body=(_NO_SESSION, Cut()))
        return SimulatedResponse(
            headers=(EVENT_STREAM_TYPE, ("Cache-Control", "no-store")),
            body=self._told(session_hash, session),
            before=session.answer.before,
        )

    def _told(self, session_hash: str, session: _Session) -> Iterator[BodyItem]:
        if session.function.shows:
            yield shown(session.layout)
            self._ended(session_hash)
            return
        asked = (session.cancelled.is_set() for _ in itertools.repeat(None))
        try:
            yield from encoded(session.answer.said, session.layout, asked)
            transcript = Transcript()
            transcript.extend(
                [each for each in session.answer.said if isinstance(each, (TextDelta, TextReplace))]
            )
            with self._lock:
                self._states[session_hash] = session.layout.value(transcript.text)
                while len(self._states) > _MOST_STATES:
                    self._states.pop(next(iter(self._states)))
        finally:
            self._ended(session_hash)

    def _ended(self, session_hash: str) -> None:
        with self._lock:
            self._running.pop(session_hash, None)

    def _uploaded(self, body: bytes) -> list[str]:
        """Return a path for each file of an upload."""
        number = next(self._numbers)
        return [
            f"/tmp/gradio/{number}/{name.decode('utf-8', 'replace')}"
            for name in _FILE_NAME.findall(body)
        ]

    def _cancel(self, body: Any) -> SimulatedResponse:
        fields = body if isinstance(body, dict) else {}
        if not fields.keys() >= {"session_hash", "fn_index", "event_id"}:
            return _refused(Refusal("bad_request", "Field required", 422))
        with self._lock:
            self._waiting.pop(fields["session_hash"], None)
            running = self._running.get(fields["session_hash"])
        if running is not None:
            running.cancelled.set()
        return SimulatedResponse.of_json({"success": True})  # also for what it does not know (§6)


class Qwen(Gradio):
    """A Gradio Space of the shape of the Qwen2.5 demo.

    Args:
        chatbot: how the chatbot writes a conversation: ``objects`` as the Space itself does (Gradio 4.44 with
            modelscope_studio), ``pairs`` (4.x), ``messages`` (5.x) or ``parts`` (6.x).
        protocol: ``sse_v3``, or an older one: ``sse_v1``, ``sse_v2``, ``sse_v2.1``.

    Raises:
        ConfigurationError: an option has a value that it does not take.
    """

    name = "qwen"

    def __init__(self, *, chatbot: Format = "objects", protocol: Protocol = "sse_v3") -> None:
        layout = Layout(chatbot, protocol)
        self._begin(app_of("qwen", layout.version, chatbot, protocol), layout)


# A real server breaks the connection after it, without the last chunk (§3).
_NO_SESSION = (
    b'data: {"msg":"unexpected_error","event_id":null,"message":"404: Session not found.",'
    b'"session_not_found":true,"success":false}\n\n'
)


def _question(function: AppFunction, data: list[Any]) -> str:
    """Return the question among the values of a join."""
    position = function.position("question", "multimodal")
    if position is None:
        history = function.position("chatbot")
        return "" if history is None else _last_text(data[history])
    value = data[position]
    text = value.get("text") if isinstance(value, dict) else value
    return text if isinstance(text, str) else ""


def _last_text(conversation: Any) -> str:
    """Return the text of a conversation's last item, which is a question that waits for its answer."""
    value = conversation[-1] if isinstance(conversation, list) and conversation else ""
    while not isinstance(value, str):
        if isinstance(value, list) and value:
            value = value[0]
        elif isinstance(value, dict):
            value = value.get("content", value.get("text"))
        else:
            return ""
    return value


def _without_last(conversation: Any) -> list[Any]:
    """Return a conversation before its last question."""
    return list(conversation or [])[:-1]


def _refuses_the_join(answer: Answer) -> Refusal | None:
    """Return the refusal that the join gets; an app's own failures come in the stream."""
    refusal = answer.refusal
    if refusal is None:
        return None
    by_app = refusal.kind in ("server", "quota") and refusal.status is None and refusal.body is None
    return None if by_app else refusal


def _refused(refusal: Refusal, answer: Answer | None = None) -> SimulatedResponse:
    """Return a refusal by HTTP: FastAPI's JSON, plain text for a crash, a page for what the edge says."""
    status, words = _REFUSALS[refusal.kind]
    if refusal.message is not None:
        status = _WITH_OTHER_WORDS.get(refusal.kind, status)
    status = refusal.status if refusal.status is not None else status
    message = words if refusal.message is None else refusal.message
    kind, body = "application/json", dump_json({"detail": message})
    if isinstance(refusal.body, str) or (refusal.body is None and refusal.kind == "blocked"):
        kind, body = "text/html; charset=utf-8", (refusal.body or message).encode()
    elif refusal.body is not None:
        body = dump_json(refusal.body)
    elif refusal.kind == "server" and refusal.message is None:
        kind, body = "text/plain; charset=utf-8", message.encode()
    retry = refusal.retry_after
    headers = [("Retry-After", f"{retry:g}")] if retry is not None else []
    return SimulatedResponse(
        status,
        [("Content-Type", kind), *headers],
        [body],
        "length",
        before=answer.before if answer is not None else (),
    )
