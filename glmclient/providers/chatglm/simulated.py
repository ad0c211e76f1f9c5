"""The serving half of ChatGLM's guest stream: events in, frames out (``docs/wire/chatglm.md`` §1-§5)."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal

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
from ...simulator.http import BodyItem, Cut, Pause, Reset, SimulatedRequest, SimulatedResponse, Wait
from ...simulator.script import (
    Answer,
    Answers,
    EndBody,
    Open,
    Refusal,
    Step,
    script_failure,
    unsupported,
)
from .encoder import Layout, Parts
from .wire import EVENT_STREAM, FAILED, GUEST_WALL, PATH, QUOTA_WORDS, WITHDRAWN

__all__ = ["ChatGLM", "encode"]

_HEADERS = (
    ("Content-Type", f"{EVENT_STREAM};charset=UTF-8"),
    ("Cache-Control", "no-cache"),
)

LOGIN_PAGE = (
    "<!DOCTYPE html><html><head><title>智谱清言</title></head>"
    "<body><p>请登录后继续使用</p></body></html>"
)

_REFUSALS: Mapping[str, tuple[int, int | None, str]] = {
    # kind: HTTP status, the service's code, its words; codes and words as §1 reports them
    "login": (200, 40103, "login required"),
    "quota": (200, 500, "您已多次体验过对话, 请登录后继续使用"),
    "rate_limit": (429, 429, "too many requests"),
    "authentication": (401, 40102, "unauthorized"),
    "permission": (403, None, "forbidden"),
    "bad_request": (400, GUEST_WALL, "bad request"),
    "not_found": (200, 0, ""),  # a wrong assistant: no words, and a result of null
    "server": (500, 500, "internal server error"),
    "blocked": (200, None, LOGIN_PAGE),
}


def encode(steps: Iterable[Step], layout: Layout | None = None) -> list[BodyItem]:
    """Return what the service writes for ``steps``: a frame, or several, for each event.

    Bytes, pauses, waits, cuts and resets stay where they are. A rewrite in delta mode closes the part that it
    touches, because only a finished part tells the whole text there.

    Raises:
        ConfigurationError: the service has no way to say a step.
    """
    return list(encoded(tuple(steps), layout if layout is not None else Layout()))


def encoded(
    steps: tuple[Step, ...], layout: Layout, *, rendered: bool = True
) -> Iterator[BodyItem]:
    """Yield what `encode` returns, one item at a time; frames are empty if they are not rendered."""
    finish = next((step for step in steps if isinstance(step, Finish)), Finish("stop"))
    parts = Parts(layout, finish, rendered=rendered)
    begun = not layout.empty_first
    for step, following in itertools.zip_longest(steps, steps[1:]):
        if isinstance(step, EndBody):
            return
        if isinstance(step, _PASSED):
            yield step
            continue
        if not begun:
            begun = True
            yield parts.frame()
        held_back = layout.last_in_finish and following == finish and finish.reason == "stop"
        frames = _saying(parts, step, layout)
        yield from frames[:-1] if held_back and isinstance(step, TextDelta) else frames


_PASSED = (bytes, Pause, Wait, Cut, Reset)


def _saying(parts: Parts, step: Step, layout: Layout) -> list[bytes]:
    """Return the frames that say one event or refusal."""
    match step:
        case TextDelta(text):
            return parts.grow("text", text)
        case ReasoningDelta(text):
            return parts.grow("think", text)
        case TextReplace(start, text):
            return parts.rewrite("text", start, text)
        case ReasoningReplace(start, text):
            return parts.rewrite("think", start, text)
        case CodeDelta(text, block):
            return parts.grow_code(block, text)
        case CodeReplace(start, text, block):
            return parts.rewrite_code(block, start, text)
        case ExecutionOutput(text):
            return parts.whole({"type": "execution_output", "content": text}, role="tool")
        case Image(url) if url.startswith(("http://", "https://")):
            empty = {"type": "image", "image": [{"image_url": ""}]}
            return parts.whole({"type": "image", "image": [{"image_url": url}]}, placeholder=empty)
        case SearchResults():
            return _sources(parts, step)
        case ToolCallDelta(index, id, name, arguments) if index == parts.calls:
            parts.calls += 1
            call = {"id": id, "name": name, "arguments": arguments}
            return parts.whole({"type": "tool_calls", "tool_calls": call})
        case Unknown(name, _):
            return parts.whole(_unknown_item(step, name))
        case Finish():
            return _ending(parts, step, layout)
        case Refusal():
            return [_refusing(parts, step)]
        case (
            bytes()
            | Pause()
            | Wait()
            | Cut()
            | Reset()
            | Open()
            | EndBody()
            | Image()
            | ToolCallDelta()
            | QueueStatus()
            | Notice()
        ):
            raise unsupported("chatglm", step)
        case _:
            assert_never(step)


def _sources(parts: Parts, step: SearchResults) -> list[bytes]:
    """Tell sources by title and address, or by the mark under which the text cites them, too (§4)."""
    if any(result.content or result.media or result.published for result in step.results):
        raise unsupported("chatglm", step)
    if not any(result.reference for result in step.results):
        listed = [{"title": result.title, "url": result.url} for result in step.results]
        return parts.whole({"type": "quote_result"}, meta={"metadata_list": listed})
    found = [{"match_key": r.reference, "title": r.title, "url": r.url} for r in step.results]
    return parts.whole(
        {"type": "tool_result"}, meta={"tool_result_extra": {"search_results": found}}
    )


def _unknown_item(step: Unknown, name: str) -> dict[str, Any]:
    try:
        item = step.json()
    except ValueError:
        item = None
    if not isinstance(item, dict) or item.get("type") != name:
        raise ConfigurationError(
            f"{step!r:.120} cannot be written as an item: its data must be a JSON object whose 'type' is {name!r}."
        )
    return item


def _ending(parts: Parts, finish: Finish, layout: Layout) -> list[bytes]:
    if finish.usage is not None or finish.request_id is not None:
        raise unsupported("chatglm", finish)
    if finish.reason == "stop":
        return parts.finished()
    if finish.reason == "content_filter":
        words = {"intervene_type": "output_sensitive", "intervene_text": finish.message or ""}
        frame = parts.frame(WITHDRAWN, last_error={**words, "risk_level": "REJECT"})
        return [frame] * (1 + layout.repeat_final)
    raise unsupported("chatglm", finish)


def _refusing(parts: Parts, refusal: Refusal) -> bytes:
    """Return the frame of a refusal in the middle of a stream: an ``error``, or the JSON of a refusal."""
    body = _body_of(refusal)
    if isinstance(body, str):
        raise ConfigurationError(
            f"{refusal!r:.120} is a page, which cannot come in the middle of a stream; make it the first step."
        )
    if refusal.kind == "server" and refusal.body is None:
        error = {"err_code": str(body["status"]), "message": body.get("message", "")}
        return parts.frame(FAILED, last_error=error)
    return b"data: " + dump_json(body) + b"\n\n"


def _body_of(refusal: Refusal) -> Mapping[str, Any] | str:
    """Return the body of a refusal: JSON with a numeric status, or the text of a page (§1)."""
    if refusal.body is not None:
        return refusal.body
    _, code, words = _REFUSALS[refusal.kind]
    message = words if refusal.message is None else refusal.message
    if refusal.kind == "blocked":
        return message
    if (
        refusal.kind == "quota"
        and refusal.code is None
        and not any(word in message for word in QUOTA_WORDS)
    ):
        message = f"{words}: {message}"  # a client has nothing but the words to know it by
    told = refusal.code if refusal.code is not None else code
    status = {} if told is None else {"status": told}
    return status | ({"message": message} if message else {"result": None})


class ChatGLM:
    """ChatGLM's guest stream.

    Args:
        mode: ``snapshot``: each frame tells its part whole, as in 2025; ``delta``: a frame tells what is new,
            and a finished part is told whole, as in 2026.
        key: the field that names a part; ``None`` leaves it to its position, and lists all parts.
        all_parts: every frame lists all parts, not only those that changed.
        empty_first: begin with a frame that has no parts.
        last_in_finish: the last piece of text comes with the end mark alone.
        repeat_final: how many times the last frames are repeated.

    Raises:
        ConfigurationError: an option has a value that it does not take.
    """

    name = "chatglm"

    def __init__(
        self,
        *,
        mode: Literal["snapshot", "delta"] = "snapshot",
        key: Literal["logic_id", "id"] | None = "logic_id",
        all_parts: bool = False,
        empty_first: bool = True,
        last_in_finish: bool = False,
        repeat_final: int = 0,
    ) -> None:
        self._layout = Layout(mode, key, all_parts, empty_first, last_in_finish, repeat_final)
        self._numbers = itertools.count(
            1
        )  # next() of a count is one step of the interpreter: safe for threads

    def check(self, answer: Answer) -> object:
        """Raise a `ConfigurationError` if the service has no way to say ``answer``."""
        if answer.refusal is None:
            # No frame is rendered: snapshots of a long answer would be large, and grow with its square.
            for _ in encoded(answer.said, self._layout, rendered=False):
                pass
        return None

    def prompt(self, request: SimulatedRequest) -> str:
        """Return the text of the last message of a question."""
        content = request.json["messages"][-1]["content"]
        if isinstance(content, str):
            return content
        return "".join(part.get("text", "") for part in content)

    def handles(self, request: SimulatedRequest) -> bool:
        """Tell whether the path is one of ChatGLM's."""
        return request.path.startswith("/chatglm/")

    def respond(self, request: SimulatedRequest, answers: Answers) -> SimulatedResponse:
        """Answer a question with a stream or a refusal, and everything else with the refusal that it earns."""
        if request.path != PATH:
            return refused(Refusal("not_found", "no such page", 404))
        if request.method != "POST":
            return refused(Refusal("bad_request", "method not allowed", 405))
        if not _is_question(request.json):
            return refused(Refusal("bad_request"))
        answer = answers.next(request)
        if answer.refusal is not None:
            return refused(answer.refusal, answer)
        number = next(self._numbers)
        conversation = request.json.get("conversation_id") or f"{number:024x}"
        layout = self._layout.identified(
            conversation, f"{number:032x}", request.json["assistant_id"]
        )
        return SimulatedResponse(
            headers=_HEADERS,
            body=encoded(answer.said, layout),
            before=answer.before,
        )

    def failed(self, words: str) -> SimulatedResponse:
        """Say that the script failed."""
        return refused(script_failure({"message": words}))


def _is_question(body: Any) -> bool:
    if not isinstance(body, dict) or not isinstance(body.get("assistant_id"), str):
        return False
    messages = body.get("messages")
    return (
        isinstance(messages, list) and bool(messages) and all(isinstance(m, dict) for m in messages)
    )


def refused(refusal: Refusal, answer: Answer | None = None) -> SimulatedResponse:
    """Return a refusal in the service's shapes: JSON with a numeric status, or a page of HTML (§1)."""
    status, _, _ = _REFUSALS[refusal.kind]
    body = _body_of(refusal)
    kind = "text/html; charset=utf-8" if isinstance(body, str) else "application/json;charset=UTF-8"
    headers = [("Content-Type", kind)]
    if refusal.retry_after is not None:
        headers.append(("Retry-After", f"{refusal.retry_after:g}"))
    return SimulatedResponse(
        status if refusal.status is None else refusal.status,
        headers,
        [body.encode() if isinstance(body, str) else dump_json(body)],
        "length",
        before=answer.before if answer is not None else (),
    )
