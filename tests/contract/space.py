"""A Gradio Space on this machine: its page, its queue, and whatever its stream is to say (docs/wire/gradio.md)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .frames import data
from .loopback import Answering, Request, Script, answer

SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."


def page(
    version: str = "4.44.1", chatbot: str = "modelscopechatbot", **changed: Any
) -> dict[str, Any]:
    """The page of the Qwen2.5 Space; the event that answers is the fourth, on the component 25."""
    old = tuple(map(int, version.split(".")[:2])) < (4, 20)
    protocol = {"4.7.1": "sse", "4.12.0": "sse_v1", "4.19.2": "sse_v2"}.get(version, "sse_v3")
    kinds = ["radio", "textbox", chatbot, "textbox", "button", "radio"]
    values = [None, SYSTEM, [], "", "Send", "72B"]
    ids = [4, 11, 21, 25, 27, 14]
    clear: dict[str, Any] = {"api_name": "clear_session", "inputs": [], "outputs": [25, 21]}
    chat = {
        "api_name": "model_chat",
        "inputs": [25, 21, 11, 14],
        "outputs": [25, 21, 11],
        "targets": [[25, "submit"]],
        "queue": None,
        "types": {"generator": True, "cancel": False},
    }
    dependencies = [
        dict(clear),
        dict(clear),
        dict(clear),
        chat,
        {**chat, "api_name": "model_chat_1"},
    ]
    if not old:
        dependencies = [{"id": number, **each} for number, each in enumerate(dependencies)]
    whole = {
        "version": version,
        "protocol": protocol,
        "mode": "blocks",
        "root": "https://elsewhere.invalid/--replicas/abcde",
        "components": [
            {"id": id, "type": kind, "props": {"value": value, "name": kind}}
            for id, kind, value in zip(ids, kinds, values, strict=True)
        ],
        "dependencies": dependencies,
        "space_id": "Qwen/Qwen2.5",
    }
    if int(version.partition(".")[0]) >= 5:
        whole["api_prefix"] = "/gradio_api"
    return {**whole, **changed}


class Space:
    """Answer every request of a turn, and remember each kind.

    Args:
        stream: what `/queue/data` answers with; a script, or the chunks of its body.
        config: what `/config` answers with.
        join: what `/queue/join` answers with.
        event: the id of the event that was joined.
    """

    def __init__(
        self,
        stream: Script | Iterable[bytes],
        config: dict[str, Any] | Script | None = None,
        join: Script | None = None,
        event: str = "e1",
    ) -> None:
        found = page() if config is None else config
        self.config: Script = (
            found if callable(found) else answer(200, found, "Set-Cookie: replica=abc; Path=/")
        )
        self.prefix = "" if callable(found) else found.get("api_prefix", "")
        self.join = join if join is not None else answer(200, {"event_id": event})
        self.stream: Script = stream if callable(stream) else said(*stream)
        self.asked: list[tuple[str, Request]] = []

    def __call__(self, answering: Answering) -> None:
        request = answering.request
        path = request.path
        found = path == "/config" or path.startswith(self.prefix)
        name = path.removeprefix(self.prefix) if found else f"not found: {path}"
        self.asked.append((f"{request.method} {name}", request))
        {
            "GET /config": self.config,
            "POST /queue/join": self.join,
            "GET /queue/data": self.stream,
            "POST /cancel": answer(200, {"success": True}),
        }.get(self.asked[-1][0], answer(404, {"detail": "Not Found"}))(answering)

    @property
    def steps(self) -> list[str]:
        return [step for step, _ in self.asked]

    def requests(self, step: str) -> list[Request]:
        return [request for each, request in self.asked if each == step]

    @property
    def joined(self) -> Any:
        """What was sent to join the queue, the last time."""
        return self.requests("POST /queue/join")[-1].json

    @property
    def sessions(self) -> list[str]:
        found = [parse_qs(urlsplit(each.target).query) for each in self.requests("GET /queue/data")]
        return [each["session_hash"][0] for each in found]


def said(*chunks: bytes, end: bool = True) -> Script:
    def script(answering: Answering) -> None:
        answering.head(200, "text/event-stream; charset=utf-8")
        for chunk in chunks:
            answering.chunk(chunk)
        if end:
            answering.end()
        else:
            answering.close()

    return script


def message(msg: str, event: str | None = "e1", **more: Any) -> bytes:
    return data({"msg": msg, "event_id": event, **more})


def pair(question: str, reply: str) -> list[list[dict[str, Any]]]:
    """One turn of a modelscope_studio chatbot."""
    rest = dict.fromkeys(("id", "elem_id", "elem_classes", "name", "flushing", "avatar", "files"))
    return [[{**rest, "text": question}, {**rest, "text": reply}]]


def output(value: Any, **more: Any) -> dict[str, Any]:
    return {"data": ["", value, SYSTEM], "is_generating": True, **more}


def turn(*pieces: str, event: str = "e1") -> list[bytes]:
    """A turn whose answer comes in pieces, as a server of 4.44 sends it."""
    whole = "".join(pieces)
    first, *rest = pieces
    return [
        message("estimation", event, rank=0, queue_size=1, rank_eta=0.3),
        message("process_starts", event, eta=0.3),
        message("process_generating", event, output=output(pair("hi", first)), success=True),
        *(
            message(
                "process_generating",
                event,
                output={"data": [[], [["append", [0, 1, "text"], each]], []]},
                success=True,
            )
            for each in rest
        ),
        message("process_completed", event, output=output(pair("hi", whole)), success=True),
        message("close_stream", None),
    ]


def failed(error: str | None, event: str = "e1", **more: Any) -> bytes:
    return message("process_completed", event, output={"error": error, **more}, success=False)
