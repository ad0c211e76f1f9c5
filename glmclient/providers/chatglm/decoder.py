"""ChatGLM's frames to events: parts and items, each a snapshot or an increment (``docs/wire/chatglm.md`` §2-§4)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from ...core.answer import Answer, Mode, ModeName
from ...core.held import HeldState, too_many_parts
from ...core.http import Head, is_web_address, load_json, load_object
from ...core.limits import Limits
from ...core.refusals import is_document
from ...core.sse import Frame
from ...core.template import TemplateReader
from ...errors import GLMError, LimitExceeded, ProtocolError
from ...events import (
    CodeDelta,
    CodeReplace,
    Event,
    ExecutionOutput,
    Finish,
    Image,
    ReasoningDelta,
    ReasoningReplace,
    SearchResult,
    SearchResults,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
)
from .refusals import refused
from .wire import (
    EVENT_STREAM,
    FAILED,
    FINISHED,
    IMAGE_KINDS,
    WITHDRAWN,
    Json,
    failure_of,
    is_number,
    is_refusal,
    objects,
    search_results,
    string,
)

__all__ = ["ChatGLMDecoder"]

log: logging.Logger = logging.getLogger("glmclient.chatglm")

_SHOWN = 2000
_BLANK = b"\xef\xbb\xbf \t\r\n"


class ChatGLMDecoder:
    """Read one stream.

    Args:
        mode: what text values are; see :class:`~glmclient.core.answer.Mode`.
        limits: bounds on lines and frames.
        include_unknown: hand out items that no event describes.
        declared: the response calls itself an event stream; one that does not must show a frame.
        refusal: makes the error for a frame, or a body, that is a refusal.
    """

    def __init__(
        self,
        *,
        mode: ModeName = "auto",
        limits: Limits = Limits(),  # noqa: B008 - a frozen value
        include_unknown: bool = False,
        declared: bool = True,
        refusal: Callable[[bytes], GLMError] | None = None,
    ) -> None:
        self.done: bool = False
        self.skipped: int = 0
        """Frames that were not JSON objects."""
        self._reader = TemplateReader(max_line=limits.line, max_frame=limits.frame)
        self._growing: tuple[Answer[Event], Any] | None = None
        """The one item that the frame decoded last was about: what the reader's strings belong to."""
        self._mode = Mode(mode)
        self._text: Answer[Event] = Answer(self._mode, TextDelta, TextReplace, limits.rewrites)
        self._reasoning: Answer[Event] = Answer(
            self._mode, ReasoningDelta, ReasoningReplace, limits.rewrites
        )
        self._code: dict[Any, Answer[Event]] = {}
        self._once: dict[Any, Any] = {}
        self._calls: dict[Any, int] = {}
        self._include_unknown = include_unknown
        self._declared = declared
        self._refusal = refusal if refusal is not None else _refused
        self._understood = 0
        self._beginning = bytearray()
        """What came before the first frame: if none comes, it may be a page or a refusal that calls itself a stream."""
        self._limits = limits
        self._body: bytearray | None = None
        """A body that begins as JSON does: it is not a stream, and read as one frame when it is whole."""
        self._images: set[tuple[Any, str]] = set()
        self._held = HeldState(limits, lambda: (self._pending, self._once))
        self._pending: dict[Any, tuple[str, Json, Json]] = {}
        """Items of parts that are not finished, which are handed out when the answer ends all the same."""
        self._error: Json | None = None
        """The frame whose ``last_error`` told a reason before the end."""
        self._withdrawn: str | None = None
        """The words of a part that moderation took back; empty if it gave none."""
        self._conversation_id: str | None = None
        self._response_id: str | None = None
        self._model: str | None = None

    def feed(self, chunk: bytes, out: list[Event]) -> None:
        """Append the events that ``chunk`` completes to ``out``.

        Raises:
            APIStatusError: a frame is a refusal.
            LimitExceeded: a bound was passed.
        """
        if not (self._understood or self.skipped):
            if self._is_body(chunk):
                return
            self._beginning += chunk[: self._limits.error_body - len(self._beginning)]
        for frame in self._reader.feed(chunk):
            if self.done:
                return
            if type(frame) is list:
                self._repeat(frame, out)
            else:
                self._frame(frame, out)  # type: ignore[arg-type]

    def _is_body(self, chunk: bytes) -> bool:
        """Hold a body that begins with a brace, which no line of a stream does; return whether it is one."""
        if self._body is None:
            if self._beginning.strip(_BLANK) or not chunk.lstrip(_BLANK).startswith(b"{"):
                return False
            self._body = bytearray()
        self._body += chunk
        if len(self._body) > self._limits.body:
            raise LimitExceeded(
                f"the body of the answer is longer than {self._limits.body} bytes ({len(self._body)} received). "
                "Raise Limits.body.",
                limit="body",
                maximum=self._limits.body,
                actual=len(self._body),
            )
        return True

    def end(self, out: list[Event]) -> None:
        """Say that the body ended; without the finish mark the exchange judges what that means.

        Raises:
            APIStatusError: a frame told why there is no answer.
            ProtocolError: frames came, and none was JSON.
            GLMError: no frame came, but a refusal, or something else than a stream.
        """
        if self._body is not None:
            self._whole(bytes(self._body), out)
        if self._error is not None and not self.done:
            raise self._refusal(_dumped(self._error))
        if not (self._understood or self.skipped):
            beginning = bytes(self._beginning)
            if not self._declared or is_document(beginning):
                raise self._refusal(beginning)
        if self.skipped and not self._understood:
            raise ProtocolError(
                f"none of the {self.skipped} frames of the stream was JSON; the last is in `.frame`. The service may "
                "have changed, or the address is not ChatGLM's.",
                frame=self._last_skipped,
            )

    def _repeat(self, values: list[str], out: list[Event]) -> None:
        """Take frames that differ from the last in one string: their strings, or what each added to it."""
        assert self._growing is not None
        answer, key = self._growing
        self._understood += len(values)
        take = answer.extend if self._mode.value == "snapshot" else answer.update
        out.extend(event for value in values if (event := take(key, value)) is not None)

    def _learn(self, data: Json) -> None:
        """Let the reader read the next frames by this one, if it was about a single growing item."""
        parts = list(objects(data.get("parts")))
        content = list(objects(parts[0].get("content"))) if len(parts) == 1 else []
        if (
            len(content) != 1
            or parts[0].get("status") in (FINISHED, WITHDRAWN)
            or self._mode.value == "auto"
        ):
            return
        kind = string(content[0].get("type"))
        answer = {"text": self._text, "think": self._reasoning}.get(kind)
        if answer is None or not isinstance(content[0].get(kind), str):
            return
        path = ("parts", 0, "content", 0, kind)
        if self._reader.learn(data, path, grow=self._mode.value == "snapshot"):
            self._growing = answer, (_part_key(parts[0], 0), kind, 0)

    # -- one frame -----------------------------------------------------------------------------------------

    def _whole(self, body: bytes, out: list[Event]) -> None:
        """Read a body that is one JSON value: an answer without a stream around it, or a refusal."""
        data = load_object(body) or {}
        result = data.get("result")
        if "parts" not in data and isinstance(result, Mapping) and "parts" in result:
            data = dict(result)
        if "parts" not in data or is_number(data.get("status")):
            raise self._refusal(body)
        self._object(data, out)

    def _frame(self, frame: Frame, out: list[Event]) -> None:
        data = load_object(frame.data)
        if data is None:
            self.skipped += 1
            self._last_skipped = frame.data[:500]
            log.info(
                "frame %d is not a JSON object and is skipped",
                self.skipped + self._understood,
            )
            return
        if is_refusal(data):
            self._understood += 1
            raise self._refusal(frame.data.encode())
        self._object(data, out)
        if self._pending or self._once:
            self._held.received(len(frame.data))
        if not self.done:
            self._learn(data)

    def _object(self, data: Json, out: list[Event]) -> None:
        self._understood += 1
        status = data.get("status")
        self._conversation_id = string(data.get("conversation_id")) or self._conversation_id
        self._response_id = string(data.get("id")) or self._response_id
        if status == FAILED:
            raise self._refusal(_dumped(data))
        if any(failure_of(data)):
            self._error = data
        if status != WITHDRAWN:
            self._parts(data, status == FINISHED, out)
        if status == WITHDRAWN or (status == FINISHED and self._withdrawn is not None):
            self._withdraw(data, out)
        elif status == FINISHED:
            if self._error is not None and not self._has_answered():
                raise self._refusal(_dumped(self._error))
            self._flush(out)
            self._finish("stop", FINISHED, out)

    def _has_answered(self) -> bool:
        return bool(self._text.length or self._reasoning.length or self._once or self._images)

    def _parts(self, data: Json, ended: bool, out: list[Event]) -> None:
        for position, part in enumerate(objects(data.get("parts"))):
            self._model = string(part.get("model")) or self._model
            part_key = _part_key(part, position)
            status = part.get("status")
            if status == WITHDRAWN:
                self._withdrawn = _words_of(part) or self._withdrawn or ""
                continue
            final = ended or status == FINISHED
            ordinals: dict[str, int] = {}
            for item in objects(part.get("content")):
                kind = string(item.get("type"))
                ordinal = ordinals[kind] = ordinals.get(kind, -1) + 1
                self._item(kind, (part_key, kind, ordinal), item, part, final, out)
        parts = self._text.tracks + self._reasoning.tracks
        parts += len(self._code) + len(self._once) + len(self._calls) + len(self._pending)
        if parts > self._limits.parts:
            raise too_many_parts(self._limits, parts)

    def _item(
        self,
        kind: str,
        key: tuple[Any, ...],
        item: Json,
        part: Json,
        final: bool,
        out: list[Event],
    ) -> None:
        if kind == "text":
            self._grow(self._text, key, item.get("text"), final, out)
        elif kind == "think":
            value = item.get("think")
            self._grow(
                self._reasoning,
                key,
                value if isinstance(value, str) else item.get("text"),
                final,
                out,
            )
        elif kind == "code":
            self._grow(self._block(key), key, item.get("code"), final, out)
        else:
            # A part that is not finished shows these items piece by piece, or with placeholders. Addresses of images
            # are whole when they are there, and some answers name them in such parts only.
            if kind in IMAGE_KINDS:
                self._hand_out_images(key[0], item, out)
            if final:
                self._pending.pop(key, None)
                self._hand_out(kind, key, item, part, out)
            else:
                self._pending[key] = kind, item, part

    def _hand_out(
        self, kind: str, key: tuple[Any, ...], item: Json, part: Json, out: list[Event]
    ) -> None:
        """Hand out an item that does not grow, unless it was handed out before as it is now."""
        if kind == "tool_calls":
            self._tool_calls(key, item.get("tool_calls"), out)
        elif kind == "execution_output":
            if self._is_news(key, item.get("content")) and isinstance(item.get("content"), str):
                out.append(ExecutionOutput(item["content"]))
        elif kind in ("quote_result", "tool_result"):
            self._sources(kind, key, part, out)
        elif kind not in IMAGE_KINDS and self._include_unknown and self._is_news(key, item):
            out.append(Unknown(kind, json.dumps(item, ensure_ascii=False)))

    def _flush(self, out: list[Event]) -> None:
        """Hand out the items whose parts the end left open: the last frame lists only what it wants to repeat."""
        pending, self._pending = self._pending, {}
        for key, (kind, item, part) in pending.items():
            self._hand_out(kind, key, item, part, out)

    def _grow(
        self, answer: Answer[Event], key: Any, value: Any, final: bool, out: list[Event]
    ) -> None:
        if isinstance(value, str) and (event := answer.update(key, value, final)) is not None:
            out.append(event)

    def _block(self, key: Any) -> Answer[Event]:
        if key not in self._code:
            number = len(self._code)
            self._code[key] = Answer(
                self._mode,
                lambda text: CodeDelta(text, number),
                lambda start, text: CodeReplace(start, text, number),
                self._limits.rewrites,
            )
        return self._code[key]

    def _is_news(self, key: Any, value: Any) -> bool:
        """Tell whether an item differs from what it was: frames repeat what they told."""
        known = self._once.get(key)
        self._once[key] = value
        return bool(value != known)

    def _hand_out_images(self, part_key: Any, item: Json, out: list[Event]) -> None:
        for image in objects(item.get("image")):
            url = string(image.get("image_url"))
            if (part_key, url) not in self._images and is_web_address(url):
                self._images.add((part_key, url))
                out.append(Image(url))

    def _sources(self, kind: str, key: Any, part: Json, out: list[Event]) -> None:
        results = tuple(
            SearchResult(
                title=string(entry.get("title")),
                url=string(entry.get("url")),
                reference=string(entry.get("match_key")),
            )
            for entry in search_results(kind, part.get("meta_data"))
        )
        if results and self._is_news(key, results):
            out.append(SearchResults(results))

    def _tool_calls(self, key: Any, value: Any, out: list[Event]) -> None:
        # Reported as an object, a list or a JSON string; each is handed out once, when its part is finished.
        if isinstance(value, str):
            value = load_json(value)
        calls = objects([value] if isinstance(value, Mapping) else value)
        for place, call in enumerate(calls):
            if (key, place) in self._calls:
                continue
            arguments = call.get("arguments")
            if not isinstance(arguments, str):
                arguments = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
            index = self._calls[key, place] = len(self._calls)
            out.append(
                ToolCallDelta(index, string(call.get("id")), string(call.get("name")), arguments)
            )

    # -- the end -------------------------------------------------------------------------------------------

    def _withdraw(self, data: Json, out: list[Event]) -> None:
        out.extend(e for e in (self._text.withdraw(), self._reasoning.withdraw()) if e is not None)
        error = data.get("last_error")
        words = string(error.get("intervene_text")) if isinstance(error, Mapping) else ""
        words = words or self._withdrawn or next(map(_words_of, objects(data.get("parts"))), "")
        self._finish("content_filter", WITHDRAWN, out, words or None)

    def _finish(self, reason: Any, raw: str, out: list[Event], message: str | None = None) -> None:
        self.done = True
        out.append(
            Finish(
                reason,
                raw_reason=raw,
                model=self._model,
                response_id=self._response_id,
                conversation_id=self._conversation_id,
                message=message,
            )
        )


def _part_key(part: Json, position: int) -> str | int:
    return string(part.get("logic_id")) or string(part.get("id")) or position


def _dumped(frame: Json) -> bytes:
    return json.dumps(frame, ensure_ascii=False).encode("utf-8", "surrogatepass")


def _refused(body: bytes) -> GLMError:
    return refused(Head(200, {"content-type": EVENT_STREAM}), body, 0.0)


def _words_of(part: Json) -> str:
    """Return the text that stands in a part which moderation took back: its words to the reader."""
    return "".join(string(item.get("text")) for item in objects(part.get("content")))
