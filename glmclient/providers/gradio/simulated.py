"""The serving half of a Gradio Space: its page, its queue and its sessions (``docs/wire/gradio.md`` §1-§3)."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ...core.http import dump_json
from ...events import Finish
from ...simulator.http import BodyItem, Cut, SimulatedRequest, SimulatedResponse
from ...simulator.script import Answer, Answers, Refusal, script_failure
from .encoder import Layout, Protocol, encode, encoded
from .wire import Format

__all__ = ["Gradio", "Qwen"]

FN_INDEX = 3
TRIGGER_ID = 25
SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
CHOICE = "72B"
EVENT_STREAM = ("Content-Type", "text/event-stream; charset=utf-8")

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
_WITH_OTHER_WORDS = {"rate_limit": 429, "blocked": 403}
"""A 503 is read by its words: where they say nothing of a full queue or a sleeping Space, the status has to."""


@dataclass(slots=True)
class _Session:
    """A question that waits for its stream, or has it."""

    answer: Answer
    layout: Layout
    cancelled: threading.Event = field(default_factory=threading.Event)


class Qwen:
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
        self._layout = Layout(chatbot, protocol)
        self._prefix = "/gradio_api" if self._layout.modern else ""
        self._numbers = itertools.count(1)  # one step of the interpreter: safe for threads
        self._lock = threading.Lock()
        self._waiting: dict[str, _Session] = {}
        self._running: dict[str, _Session] = {}

    def check(self, answer: Answer) -> object:
        """Raise a `ConfigurationError` if the service has no way to say ``answer``."""
        if _refuses_the_join(answer) is None:
            encode(answer.said, self._layout)
        return None

    def prompt(self, request: SimulatedRequest) -> str:
        """Return the question that a join asks."""
        prompt: str = request.json["data"][0]
        return prompt

    def handles(self, request: SimulatedRequest) -> bool:
        """Tell whether the path is one of a Gradio app's."""
        path = request.path
        return path in ("/config", "/cancel") or path.startswith(("/queue/", "/gradio_api/"))

    def respond(self, request: SimulatedRequest, answers: Answers) -> SimulatedResponse:
        """Answer for the page, the queue or a session; anything else is not found."""
        match request.method, request.path.removeprefix(self._prefix):
            case "GET", "/config":
                return SimulatedResponse.of_json(self._page())
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

    # -- the page ------------------------------------------------------------------------------------------

    def _page(self) -> dict[str, Any]:
        layout = self._layout
        known: dict[str, Any] = {"api_prefix": self._prefix} if layout.modern else {}
        return {
            "version": layout.version,
            "protocol": layout.protocol,
            **known,
            "mode": "blocks",
            "connect_heartbeat": False,
            "show_error": False,
            "components": [self._component(*described) for described in self._components()],
            "dependencies": [
                {
                    "id": FN_INDEX,
                    "targets": [[TRIGGER_ID, "submit"]],
                    "inputs": [TRIGGER_ID, 19, 18, 17],
                    "outputs": [TRIGGER_ID, 19, 20],
                    "api_name": "model_chat",
                    "queue": True,
                    "types": {"generator": True, "cancel": False},
                }
            ],
        }

    def _components(self) -> list[tuple[int, str, dict[str, Any]]]:
        kinds: dict[Format, tuple[str, dict[str, Any]]] = {
            "pairs": ("chatbot", {"type": "tuples"}),
            "objects": ("modelscopechatbot", {}),
            "messages": ("chatbot", {"type": "messages"}),
            "parts": ("chatbot", {}),
        }
        kind, props = kinds[self._layout.chatbot]
        return [
            (17, "radio", {"value": CHOICE, "choices": [], "visible": False}),
            (18, "textbox", {"value": SYSTEM, "visible": False}),
            (19, kind, {"value": [], **props}),
            (20, "textbox", {"value": SYSTEM}),
            (TRIGGER_ID, "textbox", {"value": None}),
        ]

    def _component(self, id: int, kind: str, props: dict[str, Any]) -> dict[str, Any]:
        return {"id": id, "type": kind, "props": {"name": kind, **props}}

    # -- the queue -----------------------------------------------------------------------------------------

    def _join(self, request: SimulatedRequest, answers: Answers) -> SimulatedResponse:
        body = request.json
        wrong = _misjoined(body)
        if wrong is not None:
            return _refused(wrong)
        answer = answers.next(request)
        refusal = _refuses_the_join(answer)
        if refusal is not None:
            return _refused(refusal, answer)
        finish = next((step for step in answer.said if isinstance(step, Finish)), Finish("stop"))
        question, history, system = body["data"][:3]
        layout = replace(
            self._layout,
            question=question,
            history=tuple(history or ()),
            system=system,
            event_id=finish.response_id or f"{next(self._numbers):032x}",
        )
        with self._lock:
            self._waiting[body["session_hash"]] = _Session(answer, layout)
        return SimulatedResponse.of_json({"event_id": layout.event_id})

    def _stream(self, session_hash: str) -> SimulatedResponse:
        with self._lock:
            session = self._waiting.pop(session_hash, None)
            if session is not None:
                self._running[session_hash] = session
        if session is None:
            return SimulatedResponse(headers=(EVENT_STREAM,), body=(_NO_SESSION, Cut()))
        return SimulatedResponse(
            headers=(EVENT_STREAM, ("Cache-Control", "no-store")),
            body=self._told(session_hash, session),
            before=session.answer.before,
        )

    def _told(self, session_hash: str, session: _Session) -> Iterator[BodyItem]:
        asked = (session.cancelled.is_set() for _ in itertools.repeat(None))
        try:
            yield from encoded(session.answer.said, session.layout, asked)
        finally:
            with self._lock:
                self._running.pop(session_hash, None)

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


# A real server breaks the connection after it, without the last chunk (§3).
_NO_SESSION = (
    b'data: {"msg":"unexpected_error","event_id":null,"message":"404: Session not found.",'
    b'"session_not_found":true,"success":false}\n\n'
)


def _misjoined(body: Any) -> Refusal | None:
    """Return what is wrong with the fields of a join, if anything (§2)."""
    if not isinstance(body, dict) or not isinstance(body.get("data"), list):
        return Refusal("bad_request", "Input should be a valid list", 422)
    if body.get("fn_index") is None:
        return Refusal("bad_request", "No function index provided.")
    if not isinstance(body.get("session_hash"), str):
        return Refusal("bad_request", "Session hash not found.")
    if body["fn_index"] != FN_INDEX or len(body["data"]) != 4:
        return Refusal("server")
    return None


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


class Gradio(Qwen):
    """A Gradio app."""

    name = "gradio"
