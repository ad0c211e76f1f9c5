"""ChatGLM's frames to events: parts and items, each a snapshot or an increment (``docs/wire/chatglm.md`` §2-§4)."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ...core.answer import Answer, Mode, ModeName
from ...core.http import load_json, load_object
from ...core.limits import Limits
from ...core.refusals import is_document
from ...core.sse import Frame
from ...core.template import TemplateReader
from ...errors import GLMError, ProtocolError, ServerError
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

__all__ = ["ChatGLMDecoder"]

log: logging.Logger = logging.getLogger("glmclient.chatglm")

Json = Mapping[str, Any]

_SHOWN = 2000


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
        self._text: Answer[Event] = Answer(self._mode, TextDelta, TextReplace)
        self._reasoning: Answer[Event] = Answer(self._mode, ReasoningDelta, ReasoningReplace)
        self._code: dict[Any, Answer[Event]] = {}
        self._once: dict[Any, Any] = {}
        self._calls: dict[Any, int] = {}
        self._include_unknown = include_unknown
        self._declared = declared
        self._refusal = refusal if refusal is not None else _refused
        self._understood = 0
        self._beginning = bytearray()
        """What came before the first frame: if none comes, it may be a page or a refusal that calls itself a stream."""
        self._room = limits.error_body
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
            self._beginning += chunk[: self._room - len(self._beginning)]
        for frame in self._reader.feed(chunk):
            if self.done:
                return
            if type(frame) is list:
                self._repeat(frame, out)
            else:
                self._frame(frame, out)  # type: ignore[arg-type]

    def end(self, out: list[Event]) -> None:
        """Say that the body ended; without the finish mark that is for the exchange to judge.

        Raises:
            ProtocolError: frames came, and none was JSON.
            GLMError: no frame came, but a refusal, or what is no stream.
        """
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
        parts = list(_objects(data.get("parts")))
        content = list(_objects(parts[0].get("content"))) if len(parts) == 1 else []
        if len(content) != 1 or parts[0].get("status") == "finish" or self._mode.value == "auto":
            return
        kind = _text(content[0].get("type"))
        answer = {"text": self._text, "think": self._reasoning}.get(kind)
        if answer is None or not isinstance(content[0].get(kind), str):
            return
        path = ("parts", 0, "content", 0, kind)
        if self._reader.learn(data, path, grow=self._mode.value == "snapshot"):
            self._growing = answer, (_part_key(parts[0], 0), kind, 0)

    # -- one frame -----------------------------------------------------------------------------------------

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
        self._understood += 1
        status = data.get("status")
        if _is_number(status) or ("parts" not in data and _is_number(data.get("code"))):
            # A frame's status is a string; a number is the status, or the code, of a refusal.
            raise self._refusal(frame.data.encode())
        self._conversation_id = _text(data.get("conversation_id")) or self._conversation_id
        self._response_id = _text(data.get("id")) or self._response_id
        if status == "error":
            raise _failed(data)
        if status != "intervene":
            self._parts(data, status == "finish", out)
        if status == "finish":
            self._finish("stop", status, out)
        elif status == "intervene":
            self._withdraw(data, out)
        else:
            self._learn(data)

    def _parts(self, data: Json, ended: bool, out: list[Event]) -> None:
        for position, part in enumerate(_objects(data.get("parts"))):
            self._model = _text(part.get("model")) or self._model
            part_key = _part_key(part, position)
            final = ended or part.get("status") == "finish"
            ordinals: dict[str, int] = {}
            for item in _objects(part.get("content")):
                kind = _text(item.get("type"))
                ordinal = ordinals[kind] = ordinals.get(kind, -1) + 1
                self._item(kind, (part_key, kind, ordinal), item, part, final, out)

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
        elif kind == "tool_calls":
            self._tool_calls(key, item.get("tool_calls"), final, out)
        elif not final:
            return  # what follows is told piece by piece or with placeholders until its part is finished
        elif kind == "execution_output":
            if self._is_news(key, item.get("content")) and isinstance(item.get("content"), str):
                out.append(ExecutionOutput(item["content"]))
        elif kind == "image":
            self._images(key, item, out)
        elif kind in ("quote_result", "tool_result"):
            self._sources(kind, key, part, out)
        elif self._include_unknown and self._is_news(key, item):
            out.append(Unknown(kind, json.dumps(item, ensure_ascii=False)))

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
            )
        return self._code[key]

    def _is_news(self, key: Any, value: Any) -> bool:
        """Tell whether an item differs from what it was: frames repeat what they told."""
        known = self._once.get(key)
        self._once[key] = value
        return bool(value != known)

    def _images(self, key: Any, item: Json, out: list[Event]) -> None:
        for image in _objects(item.get("image")):
            url = _text(image.get("image_url"))
            if url.startswith(("https://", "http://")) and self._is_news((key, url), True):
                out.append(Image(url))

    def _sources(self, kind: str, key: Any, part: Json, out: list[Event]) -> None:
        meta = part.get("meta_data")
        found = meta if isinstance(meta, Mapping) else {}
        if kind == "quote_result":
            entries = found.get("metadata_list")
        else:
            extra = found.get("tool_result_extra")
            entries = extra.get("search_results") if isinstance(extra, Mapping) else None
        results = tuple(
            SearchResult(
                title=_text(entry.get("title")),
                url=_text(entry.get("url")),
                reference=_text(entry.get("match_key")),
            )
            for entry in _objects(entries)
        )
        if results and self._is_news(key, results):
            out.append(SearchResults(results))

    def _tool_calls(self, key: Any, value: Any, final: bool, out: list[Event]) -> None:
        # Reported as an object, a list or a JSON string; each is handed out once, when its part is finished.
        if isinstance(value, str):
            value = load_json(value)
        calls = _objects([value] if isinstance(value, Mapping) else value)
        for place, call in enumerate(calls if final else ()):
            if (key, place) in self._calls:
                continue
            arguments = call.get("arguments")
            if not isinstance(arguments, str):
                arguments = "" if arguments is None else json.dumps(arguments, ensure_ascii=False)
            index = self._calls[key, place] = len(self._calls)
            out.append(
                ToolCallDelta(index, _text(call.get("id")), _text(call.get("name")), arguments)
            )

    # -- the end -------------------------------------------------------------------------------------------

    def _withdraw(self, data: Json, out: list[Event]) -> None:
        out.extend(e for e in (self._text.withdraw(), self._reasoning.withdraw()) if e is not None)
        error = data.get("last_error")
        said = _text(error.get("intervene_text")) if isinstance(error, Mapping) else ""
        self._finish("content_filter", "intervene", out, said or None)

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
    return _text(part.get("logic_id")) or _text(part.get("id")) or position


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _refused(body: bytes) -> GLMError:
    return ProtocolError(
        "a refusal came where an answer should be; it is in `.frame`.",
        frame=body[:_SHOWN].decode("utf-8", "replace"),
    )


def _failed(data: Json) -> ServerError:
    error = data.get("last_error")
    details = error if isinstance(error, Mapping) else {}
    said = next(
        (w for w in map(_text, (details.get("message"), details.get("intervene_text"))) if w),
        "no reason told",
    )
    return ServerError(
        f"ChatGLM ended the answer with an error: {said}. Ask again.",
        status_code=200,
        code=_text(details.get("err_code")) or None,
        reason=said,
        body=json.dumps(data, ensure_ascii=False)[:2000],
        retryable=True,
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _objects(value: object) -> Iterator[Json]:
    return (
        (entry for entry in value if isinstance(entry, Mapping))
        if isinstance(value, list)
        else iter(())
    )
