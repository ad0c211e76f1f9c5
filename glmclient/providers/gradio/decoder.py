"""The messages of a Gradio session, for the one event that is ours (``docs/wire/gradio.md`` §3-§6)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ...core.http import load_object
from ...core.limits import Limits
from ...core.sse import Frame, SSEParser
from ...errors import ConfigurationError, ProtocolError, ServerError, StreamInterrupted
from ...events import Event, Finish, Notice, QueueStatus, Unknown
from .files import file_event
from .formats import Chatbot
from .refusals import app_failure, plain_words, session_failure

__all__ = ["SessionDecoder"]

_SHOWN = 2000
"""Characters of a frame that an error holds."""

_LARGEST = 1e15
"""Seconds, steps or shares beyond it are not shown."""

_SILENT = frozenset({"heartbeat", "process_starts", "close_stream"})
"""Messages that say nothing about the answer. The end is our own ``process_completed``: ``close_stream`` comes only
when every event of the session is done, or never (§5, §6)."""


class SessionDecoder:
    """Reads the stream of a session: the answer of one event, and what is told of its way through the queue.

    Args:
        event_id: ours; those of others in the same session are passed over.
        view: reads the answer in the value of the component that holds it.
        answer: the position of that component among the outputs; ``None`` if this call does not give it.
        diffs: updates after the first are edits; otherwise each is the whole value.
        continuation: makes of the final value and the answer's text what continues the conversation; ``None`` if
            further calls follow, so that this one does not end the answer.
        include_status: put out `QueueStatus` and `Notice`.
        include_unknown: put out `Unknown` for messages that no event describes.
        limits: bounds on lines and frames.
        files_at: the beginning of the addresses at which the app serves its files.
    """

    def __init__(
        self,
        *,
        event_id: str,
        view: Chatbot,
        answer: int | None,
        diffs: bool,
        continuation: Callable[[Any, str], str] | None,
        include_status: bool = False,
        include_unknown: bool = False,
        limits: Limits,
        files_at: str = "",
    ) -> None:
        self.done: bool = False
        self.over: bool = False
        """The service has ended the event, whatever the end was: there is nothing left to cancel."""
        self.session_lost: bool = False
        """The service does not know the session, so that nothing can have run in it."""
        self.data: list[Any] = []
        """The value of each output as the last message has it; at the end, the final one."""
        self.doubtful: bool = False
        """The service failed before its first update: the page may have changed."""
        self._event_id = event_id
        self._position = answer
        self._diffs = diffs
        self._view = view
        self._continuation = continuation
        self._include_status = include_status
        self._include_unknown = include_unknown
        self._parser = SSEParser(max_line=limits.line, max_frame=limits.frame)
        self._updated = False
        self._files_at = files_at

    def feed(self, chunk: bytes, out: list[Event]) -> None:
        """Append the events that ``chunk`` completes.

        Raises:
            APIStatusError: the service reports a failure.
            StreamInterrupted: the service cancelled the event.
            ProtocolError: a frame is not what the service promises.
        """
        for frame in self._parser.feed(chunk):
            try:
                self._message(frame, out)
            except ProtocolError as error:
                error.frame = error.frame or frame.data[:_SHOWN]
                raise
            if self.done:
                return

    def end(self, out: list[Event]) -> None:
        """The body ended before our event did; the exchange says what that means.

        Raises:
            ProtocolError: an update did not fit, and no whole value followed.
        """
        self._hand_out_files(out)
        if self._view.misfit is not None:
            raise self._view.misfit

    def _message(self, frame: Frame, out: list[Event]) -> None:
        message = load_object(frame.data)
        if message is None or not isinstance(message.get("msg"), str):
            raise ProtocolError(
                "a message of the stream is not a JSON object with `msg`. The stream is damaged, or base_url is not a "
                "Gradio service."
            )
        event_id = message.get("event_id")
        if event_id is not None and event_id != self._event_id:
            return
        match message["msg"]:
            case "process_generating" | "process_streaming":
                self._generating(message, frame, out)
            case "process_completed":
                self._completed(message, frame, out)
            case "unexpected_error":
                self._hand_out_files(out)
                self._broke_down(message, frame)
            case "estimation" | "log" | "progress":
                if self._include_status:
                    out.extend(_status(message))
            case name:
                if self._include_unknown and name not in _SILENT:
                    out.append(Unknown(name, frame.data))

    def _generating(self, message: Mapping[str, Any], frame: Frame, out: list[Event]) -> None:
        if message.get("success") is False:
            self._failed(message, frame, out)
        value = self._of_answer(message.get("output"))
        if self._position is None:
            self._updated = True
            return
        if self._diffs and self._updated and message["msg"] == "process_generating":
            self._view.change(value, out, len(frame.data))
            if self._view.misfit is not None:
                self._view.misfit.frame = self._view.misfit.frame or frame.data[:_SHOWN]
        else:
            self._view.become(value, out)
        self._updated = True

    def _completed(self, message: Mapping[str, Any], frame: Frame, out: list[Event]) -> None:
        self.over = True
        output = message.get("output")
        if message.get("success") is not True:
            self._failed(message, frame, out)
        if output == {}:
            self._hand_out_files(out)
            raise StreamInterrupted(
                "the service cancelled the answer. What came is on `error.partial`; ask again for a whole answer.",
                retryable=True,
            )
        value = self._of_answer(output)
        last = self._continuation is not None
        if self._position is not None:
            self._view.become(value, out, final=last)
        if self._continuation is not None:
            self._hand_out_files(out)
            try:
                continuation = self._continuation(self._view.value, self._view.text)
            except ConfigurationError as error:
                raise ProtocolError(
                    f"the final conversation cannot be sent back: {error}"
                ) from None
            out.append(Finish("stop", response_id=self._event_id, continuation=continuation))
        self.done = True

    def _of_answer(self, output: Any) -> Any:
        data = output.get("data") if isinstance(output, dict) else None
        self.data = data if isinstance(data, list) else []
        if self._position is None:
            return None
        if len(self.data) <= self._position:
            raise ProtocolError(
                f"an update has no value for output {self._position}, the answer. The page may have changed; it is "
                "asked for again with the next question."
            )
        return self.data[self._position]

    def _failed(self, message: Mapping[str, Any], frame: Frame, out: list[Event]) -> None:
        self.over = True
        self._hand_out_files(out)
        error = app_failure(message.get("output"), message.get("title"), frame.data[:_SHOWN])
        self.doubtful = not self._updated and isinstance(error, ServerError)
        raise error

    def _hand_out_files(self, out: list[Event]) -> None:
        """Hand out the files of the answer when it ends: until then the app may put others in their place."""
        events = (file_event(file, self._files_at) for file in self._view.files)
        out.extend(dict.fromkeys(event for event in events if event is not None))

    def _broke_down(self, message: Mapping[str, Any], frame: Frame) -> None:
        words = message.get("message")
        # 4.x has no such flag, and says "404: Session not found." (§3).
        lost = message.get("session_not_found") is True or (
            isinstance(words, str) and "session not found" in words.lower()
        )
        self.session_lost = lost
        self.over = True
        raise session_failure(words, lost, frame.data[:_SHOWN])


def _status(message: Mapping[str, Any]) -> list[Event]:
    kind = message["msg"]
    if kind == "estimation":
        rank, size = message.get("rank"), message.get("queue_size")
        if not isinstance(rank, int) or not isinstance(size, int):
            return []
        return [QueueStatus(rank, size, _number(message.get("rank_eta")))]
    if kind == "log":
        words = plain_words(_word(message.get("log")))
        level = _word(message.get("level")) or "info"
        return [Notice(words, level, _word(message.get("title")))] if words else []
    items = message.get("progress_data")
    told = (
        [_progress(item) for item in items if isinstance(item, dict)]
        if isinstance(items, list)
        else []
    )
    return [Notice(words, "progress") for words in told if words]


def _progress(item: Mapping[str, Any]) -> str:
    """Return one line of progress: what is being done, and how far it is."""
    share, index, length = (_number(item.get(key)) for key in ("progress", "index", "length"))
    words = [plain_words(_word(item.get("desc")))]
    if index is not None:
        whole = f"/{length:g}" if length is not None else ""
        words.append(f"{index:g}{whole} {_word(item.get('unit'))}".strip())
    elif share is not None:
        words.append(f"{share:.0%}")
    return " ".join(word for word in words if word)


def _number(value: Any) -> float | None:
    """Return a finite number; whole numbers may be larger than any float."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value) if abs(value) < _LARGEST else None


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""
