"""The parts of a simulated ChatGLM answer, and the frames that tell them (``docs/wire/chatglm.md`` §2-§4)."""

from __future__ import annotations

import bisect
import itertools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ...core.http import dump_json
from ...errors import ConfigurationError
from ...events import Finish
from .wire import FAILED, FINISHED, OPEN, WITHDRAWN, GrowingKind

__all__ = ["Layout", "Parts"]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the frames of a stream are laid out; see `glmclient.providers.chatglm.simulated.ChatGLM` for its arguments.

    Raises:
        ConfigurationError: an argument has a value that it does not take.
    """

    mode: Literal["snapshot", "delta"] = "snapshot"
    key: Literal["logic_id", "id"] | None = "logic_id"
    all_parts: bool = False
    empty_first: bool = True
    last_in_finish: bool = False
    repeat_final: int = 0
    conversation_id: str = "c1"
    response_id: str = "m1"
    assistant_id: str = ""

    def __post_init__(self) -> None:
        if self.mode not in ("snapshot", "delta"):
            raise ConfigurationError(f"mode must be 'snapshot' or 'delta', not {self.mode!r}.")
        if self.key not in ("logic_id", "id", None):
            raise ConfigurationError(f"key must be 'logic_id', 'id' or None, not {self.key!r}.")
        if (
            isinstance(self.repeat_final, bool)
            or not isinstance(self.repeat_final, int)
            or self.repeat_final < 0
        ):
            raise ConfigurationError(
                f"repeat_final must be a whole number, 0 or more, not {self.repeat_final!r}."
            )

    def identified(self, conversation_id: str, response_id: str, assistant_id: str) -> Layout:
        """Return the layout of a stream with these ids."""
        return replace(
            self,
            conversation_id=conversation_id,
            response_id=response_id,
            assistant_id=assistant_id,
        )

    @property
    def lists_all(self) -> bool:
        """Every frame lists all parts: asked for, or needed because their position names them."""
        return self.all_parts or self.key is None


class _Item:
    """An item that grows, held in pieces so that a long answer is not copied for each."""

    __slots__ = ("_pieces", "kind")

    def __init__(self, kind: GrowingKind) -> None:
        self.kind = kind
        self._pieces: list[str] = []

    @property
    def value(self) -> str:
        self._pieces = ["".join(self._pieces)]
        return self._pieces[0]

    def append(self, text: str) -> None:
        self._pieces.append(text)

    def replace(self, start: int, text: str) -> None:
        self._pieces = [self.value[:start], text]

    def told(self, value: str | None = None) -> dict[str, Any]:
        return {"type": self.kind, self.kind: self.value if value is None else value}


@dataclass(slots=True)
class _Part:
    number: int
    role: str = "assistant"
    items: list[_Item] = field(default_factory=list)
    whole: dict[str, Any] | None = None
    meta: Mapping[str, Any] | None = None
    done: bool = False

    def content(self) -> list[dict[str, Any]]:
        return [self.whole] if self.whole is not None else [item.told() for item in self.items]


class Parts:
    """The answer so far as the service holds it; each change returns the frames that tell it.

    Args:
        layout: how frames are laid out.
        finish: the end to come, whose ids and model every frame carries.
        rendered: write the frames; a check of a script needs only what raises.
    """

    def __init__(self, layout: Layout, finish: Finish, *, rendered: bool = True) -> None:
        self._rendered = rendered
        self._layout = layout
        self._conversation_id = finish.conversation_id or layout.conversation_id
        self._response_id = finish.response_id or layout.response_id
        self._model = finish.model
        self._parts: list[_Part] = []
        self.calls = 0
        """Tool calls told; each is told whole."""

    # -- changes -------------------------------------------------------------------------------------------

    def grow(self, kind: GrowingKind, text: str) -> list[bytes]:
        """Append to the open item of this kind, or begin one."""
        frames, part = self._open_for(kind)
        return [*frames, self._grown(part, part.items[-1], text)]

    def grow_code(self, block: int, text: str) -> list[bytes]:
        """Append to code block number ``block``, or begin it if it is the next."""
        blocks = self._items("code")
        if block == len(blocks):
            frames = self._close()
            part = self._begin()
            part.items.append(_Item("code"))
            return [*frames, self._grown(part, part.items[0], text)]
        part, item = self._block(block)
        return [self._grown(part, item, text)]

    def rewrite(self, kind: GrowingKind, start: int, text: str) -> list[bytes]:
        """Let the whole text of this kind read ``text`` from ``start`` on."""
        items = self._items(kind)
        *begins, length = itertools.accumulate((len(item.value) for _, item in items), initial=0)
        self._check_start(start, length, kind)
        if not items:
            return self.grow(kind, text)
        place = bisect.bisect_right(begins, start) - 1
        items[place][1].replace(start - begins[place], text)
        for _, item in items[place + 1 :]:
            item.replace(0, "")
        return [self._rewritten([part for part, _ in items[place:]])]

    def rewrite_code(self, block: int, start: int, text: str) -> list[bytes]:
        """Let code block number ``block`` read ``text`` from ``start`` on."""
        part, item = self._block(block)
        self._check_start(start, len(item.value), f"code block {block}")
        item.replace(start, text)
        return [self._rewritten([part])]

    def whole(
        self,
        item: dict[str, Any],
        *,
        role: str = "assistant",
        meta: Mapping[str, Any] | None = None,
        placeholder: dict[str, Any] | None = None,
    ) -> list[bytes]:
        """Add a part that is told at once, after a placeholder where the service shows one."""
        frames = self._close()
        part = self._begin(role)
        part.meta = meta
        if placeholder is not None:
            part.whole = placeholder
            frames.append(self.frame(changed=[part]))
        part.whole = item
        part.done = True
        return [*frames, self.frame(changed=[part])]

    def finished(self) -> list[bytes]:
        """Return the last frames: the open part finished, and the end mark."""
        frames = self._close() if self._layout.mode == "delta" else []
        for part in self._parts:
            part.done = True
        frames.append(self.frame(FINISHED, changed=self._parts[-1:]))
        return frames * (1 + self._layout.repeat_final)

    # -- parts ---------------------------------------------------------------------------------------------

    def _begin(self, role: str = "assistant") -> _Part:
        part = _Part(len(self._parts) + 1, role)
        self._parts.append(part)
        return part

    def _close(self) -> list[bytes]:
        """Finish the open part, told whole."""
        if not self._parts or self._parts[-1].done:
            return []
        self._parts[-1].done = True
        return [self.frame(changed=self._parts[-1:])]

    def _open_for(self, kind: GrowingKind) -> tuple[list[bytes], _Part]:
        part = self._parts[-1] if self._parts else None
        kinds = [item.kind for item in part.items] if part is not None and not part.done else []
        if part is not None and kinds[-1:] == [kind]:
            return [], part
        if part is not None and kinds == ["think"] and kind == "text":
            part.items.append(_Item(kind))  # thinking and its answer share a part (§5)
            return [], part
        frames = self._close()
        part = self._begin()
        part.items.append(_Item(kind))
        return frames, part

    def _items(self, kind: GrowingKind) -> list[tuple[_Part, _Item]]:
        return [(part, item) for part in self._parts for item in part.items if item.kind == kind]

    def _block(self, block: int) -> tuple[_Part, _Item]:
        blocks = self._items("code")
        if not 0 <= block < len(blocks):
            raise ConfigurationError(
                f"code block {block} has not begun: blocks are numbered in their order, and the next is {len(blocks)}."
            )
        return blocks[block]

    def _check_start(self, start: int, length: int, what: str) -> None:
        if not 0 <= start <= length:
            raise ConfigurationError(
                f"a rewrite of {what} begins at character {start}, but there are {length} so far."
            )

    # -- frames --------------------------------------------------------------------------------------------

    def _grown(self, part: _Part, item: _Item, text: str) -> bytes:
        item.append(text)
        if self._layout.mode == "snapshot" or part.done:
            return self.frame(changed=[part])
        return self.frame(changed=[part], only=item.told(text))

    def _rewritten(self, changed: list[_Part]) -> bytes:
        if self._layout.mode == "delta":
            for part in changed:
                part.done = True
        return self.frame(changed=changed)

    def frame(
        self,
        status: str = OPEN,
        *,
        changed: Iterable[_Part] = (),
        only: dict[str, Any] | None = None,
        last_error: Mapping[str, Any] | None = None,
    ) -> bytes:
        """Return one frame.

        Args:
            status: of the whole answer.
            changed: the parts to tell.
            only: the one item to tell of the changed part, in place of its whole content.
            last_error: why the service intervened or failed.
        """
        if not self._rendered:
            return b""
        content = {id(part): part.content() if only is None else [only] for part in changed}
        if self._layout.mode == "delta":
            # A part that is not finished has nothing new to tell.
            content |= {id(p): [] for p in self._parts if not p.done and id(p) not in content}
        listed = [part for part in self._parts if self._layout.lists_all or content.get(id(part))]
        if status in (WITHDRAWN, FAILED):
            listed = []
        value = {
            "id": self._response_id,
            "conversation_id": self._conversation_id,
            "assistant_id": self._layout.assistant_id,
            "status": status,
            "last_error": last_error or {},
            "parts": [self._told(part, content.get(id(part), part.content())) for part in listed],
        }
        return b"event: message\ndata: " + dump_json(value) + b"\n\n"

    def _told(self, part: _Part, content: list[dict[str, Any]]) -> dict[str, Any]:
        told: dict[str, Any] = {}
        if self._layout.key is not None:
            told[self._layout.key] = f"part-{part.number}"
        told["role"] = part.role
        told["status"] = FINISHED if part.done else OPEN
        if self._model is not None:
            told["model"] = self._model
        told["content"] = content
        if part.meta is not None:
            told["meta_data"] = part.meta
        return told
