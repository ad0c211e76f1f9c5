"""The facts of ChatGLM's guest stream that both halves use (``docs/wire/chatglm.md``).

The client half reads by these names and the server half writes by them, so that each is written once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal, TypeAlias

__all__ = [
    "ASSISTANT_ID",
    "EVENT_STREAM",
    "FINISHED",
    "GROWING",
    "GUEST_WALL",
    "IMAGE_KINDS",
    "OPEN",
    "PATH",
    "QUOTA_WORDS",
    "WITHDRAWN",
    "GrowingKind",
    "Json",
    "failure_of",
    "is_code",
    "is_frame",
    "is_number",
    "is_refusal",
    "objects",
    "reason_of",
    "search_results",
    "string",
]

Json: TypeAlias = Mapping[str, Any]

PATH: Final = "/chatglm/mainchat-api/guest/stream"
EVENT_STREAM: Final = "text/event-stream"
ASSISTANT_ID: Final = "65940acff94777010aa6b796"
"""The general GLM-4 assistant of chatglm.cn."""

# -- status of frames and parts (§2) -----------------------------------------------------------------------

OPEN: Final = "init"
FINISHED: Final = "finish"
WITHDRAWN: Final = "intervene"
FAILED: Final = "error"

# -- types of items (§4) -----------------------------------------------------------------------------------

GrowingKind: TypeAlias = Literal["text", "think", "code"]
GROWING: Final[tuple[GrowingKind, ...]] = ("text", "think", "code")
"""Items whose text grows from frame to frame; the field of the text is called like the type."""
IMAGE_KINDS: Final = ("image", "one_to_more_finish")
"""Items with a list of addresses; the second marks the end of several images, mostly with an empty list."""

# -- refusals (§1) -----------------------------------------------------------------------------------------

GUEST_WALL: Final = 40012
"""Sent without a reason, it is probably the limit for guests of one device and address."""
QUOTA_WORDS: Final = ("多次体验", "次数", "额度", "上限", "quota", "limit reached")


def failure_of(frame: Json) -> tuple[str, str]:
    """Return the code and the words of the failure that a frame reports; both are empty if nothing failed."""
    last: Any = frame.get("last_error")
    errors = [
        last,
        frame.get("error"),
        *(part.get("error") for part in objects(frame.get("parts"))),
    ]
    told = [reason_of(error) for error in errors if isinstance(error, Mapping)]
    return next((each for each in told if any(each)), ("", ""))


def is_code(status: object) -> bool:
    """Tell whether a ``status`` is a number, which only refusals have; that of a frame is a word."""
    return is_number(status) or string(status).lstrip("-").isdigit()


def is_frame(data: Json) -> bool:
    """Tell whether an object is a frame of a stream: it has parts, a failure, or a status that is a word."""
    return "parts" in data or bool(data.get("last_error")) or string(data.get("status")) == FAILED


def is_refusal(data: Json) -> bool:
    """Tell whether an object that came as a frame is not one: it refuses the question.

    A frame's status is a word; a number is the status, or the code, of a refusal. A refusal may have words alone.
    """
    status = data.get("status")
    if is_code(status):
        return True
    if "parts" in data or string(status):
        return False
    return (
        any(reason_of(data)) or "validation_error" in data or isinstance(data.get("error"), Mapping)
    )


def reason_of(error: Json) -> tuple[str, str]:
    """Return the code, as text, and the words of an error object, wherever it has them (§1)."""
    codes = [error.get(name) for name in ("err_code", "code", "error_code")]
    if is_code(status := error.get("status")):
        codes.append(status)  # otherwise it is the word of a frame
    code = next((str(c) for c in codes if (isinstance(c, str) and c) or is_number(c)), "")
    names = ("message", "msg", "err_msg", "intervene_text", "detail")
    return code, next((words for name in names if (words := string(error.get(name)))), "")


def search_results(kind: str, meta: object) -> Iterator[Json]:
    """Yield the sources that a part's ``meta_data`` lists for an item of type ``kind``."""
    known: Any = meta if isinstance(meta, Mapping) else {}
    if kind == "quote_result":
        return objects(known.get("metadata_list"))
    extra = known.get("tool_result_extra")
    return objects(extra.get("search_results") if isinstance(extra, Mapping) else None)


# -- reading JSON that may be anything ---------------------------------------------------------------------


def is_number(value: object) -> bool:
    """Tell whether ``value`` is a whole number; ``True`` and ``False`` are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def string(value: object) -> str:
    """Return ``value`` if it is a string, else an empty one."""
    return value if isinstance(value, str) else ""


def objects(value: object) -> Iterator[Json]:
    """Yield the objects of a list; anything else has none."""
    if isinstance(value, list):
        yield from (entry for entry in value if isinstance(entry, Mapping))
