"""What a Gradio service says of itself, and which of its functions is the chat."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ...errors import NotFoundError, ProtocolError
from .formats import Format

__all__ = ["ChatFunction", "Page"]

_FULL_VALUES = ("sse_v1",)
_DIFFS = ("sse_v2", "sse_v2.1", "sse_v3")

_PREFIX = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~-]+)*/?")
"""Only a path below the base URL: anything else behind the configured host could name another host, and the segments
``.`` and ``..`` lead to another application of the same host."""
_LONGEST_PREFIX = 200

_SHOWN_FUNCTIONS = 20
_SHOWN_WORD = 200
_SHOWN_SIGNATURE = 500


@dataclass(frozen=True, slots=True)
class ChatFunction:
    """A function of the page that has the shape of a chat; positions count from 0.

    Args:
        index: its ``fn_index``.
        trigger: the id of the component that starts it, if the page tells one.
        values: the page's own value of each input.
        prompt: the position of the question among the inputs.
        history: the position of the chatbot among the inputs.
        system: the position of the system message among the inputs.
        answer: the position of the chatbot among the outputs.
        format: how the chatbot writes a conversation.
    """

    index: int
    trigger: int | None
    values: tuple[Any, ...]
    prompt: int
    history: int
    system: int
    answer: int
    format: Format


@dataclass(frozen=True, slots=True)
class _Component:
    type: str
    props: Mapping[str, Any]
    id: int | str | None = None


@dataclass(frozen=True, slots=True)
class _Dependency:
    index: int
    name: str
    trigger: int | None
    inputs: tuple[_Component, ...]
    outputs: tuple[_Component, ...]

    def signature(self) -> str:
        inputs = ", ".join(component.type for component in self.inputs)
        outputs = ", ".join(component.type for component in self.outputs)
        shown = f"{self.name or 'unnamed'} (fn_index {self.index}): ({inputs}) -> ({outputs})"
        return shown[:_SHOWN_SIGNATURE]


@dataclass(frozen=True, slots=True)
class Page:
    """The answer of ``GET /config`` (``docs/wire/gradio.md`` §1).

    Args:
        version: of Gradio, as text.
        diffs: updates come as edits of the value before; otherwise each is the whole value.
        prefix: the path below the base URL under which the queue is.
        cookies: what to send back, so that a replicated service keeps the session in one place.
    """

    version: str
    diffs: bool
    prefix: str
    dependencies: tuple[_Dependency, ...]
    cookies: Mapping[str, str]

    @classmethod
    def parse(
        cls, config: Mapping[str, Any], cookies: Mapping[str, str], address: str = "/config"
    ) -> Page:
        """Read a page, which came from ``address``.

        Raises:
            ProtocolError: it is no Gradio page, or one whose protocol is not supported.
        """
        dependencies, components = config.get("dependencies"), config.get("components")
        if not isinstance(dependencies, list) or not isinstance(components, list):
            raise ProtocolError(
                f"the answer of {address} is not a description of a Gradio app (no lists `dependencies` and "
                "`components`). Check base_url."
            )
        version = _word(config.get("version")) or "unknown"
        known = {
            each["id"]: _component(each)
            for each in components
            if isinstance(each, dict) and isinstance(each.get("id"), (int, str))
        }
        return cls(
            version,
            _sends_diffs(config.get("protocol"), version),
            _prefix(config.get("api_prefix")),
            tuple(
                _dependency(number, each, known)
                for number, each in enumerate(dependencies)
                if isinstance(each, dict)
            ),
            dict(cookies),
        )

    def function(
        self, name: str, fn_index: int | None = None, trigger_id: int | None = None
    ) -> ChatFunction:
        """Return the chat function.

        Args:
            name: its ``api_name``.
            fn_index: its index, which then counts instead of the name.
            trigger_id: the id of the component that starts it, in place of the page's own.

        Raises:
            NotFoundError: the page has no such function.
            ProtocolError: it does not take and give what a chat takes and gives.
        """
        for dependency in self.dependencies:
            found = dependency.name == name if fn_index is None else dependency.index == fn_index
            if found:
                return _chat_function(dependency, trigger_id, self.version)
        asked = f"named {name!r}" if fn_index is None else f"with fn_index {fn_index}"
        found_here = "; ".join(each.signature() for each in self.dependencies[:_SHOWN_FUNCTIONS])
        raise NotFoundError(
            f"the page (Gradio {self.version}) has no function {asked}. It has: {found_here or 'none'}. "
            "Give Gradio(function=...) or fn_index= if one of these is the chat.",
            status_code=200,
            reason=f"no function {asked}",
            body=found_here,
        )


def _sends_diffs(protocol: Any, version: str) -> bool:
    if protocol in _DIFFS:
        return True
    if protocol in _FULL_VALUES:
        return False
    named = _word(protocol) or "ws"  # 3.x names none (§1)
    raise ProtocolError(
        f"the service speaks Gradio's protocol {named!r} (Gradio {version}); supported are "
        f"{', '.join((*_FULL_VALUES, *_DIFFS))}, which Gradio speaks from 4.9 on. "
        "Ask its owner for a newer Gradio, or use another service."
    )


def _prefix(prefix: Any) -> str:
    if prefix is None:
        return ""  # 4.x has none
    if (
        not isinstance(prefix, str)
        or len(prefix) > _LONGEST_PREFIX
        or not _PREFIX.fullmatch(prefix)
    ):
        raise ProtocolError(
            f"the page's api_prefix is not a path below base_url: {_word(prefix)!r}. Check base_url."
        )
    return prefix.rstrip("/")


def _component(described: Mapping[str, Any]) -> _Component:
    props = described.get("props")
    return _Component(
        _word(described.get("type")) or "unknown",
        props if isinstance(props, dict) else {},
        described.get("id"),
    )


_NOT_THERE = _Component("missing", {})


def _dependency(
    number: int, described: Mapping[str, Any], known: Mapping[Any, _Component]
) -> _Dependency:
    index, name = described.get("id"), described.get("api_name")
    return _Dependency(
        # Up to 4.19 the position in the list is the id (§1).
        index if isinstance(index, int) else number,
        _word(name),
        _trigger(described.get("targets")),
        _components(described.get("inputs"), known),
        _components(described.get("outputs"), known),
    )


def _components(ids: Any, known: Mapping[Any, _Component]) -> tuple[_Component, ...]:
    if not isinstance(ids, list):
        return ()
    return tuple(
        known.get(each, _NOT_THERE) if isinstance(each, (int, str)) else _NOT_THERE for each in ids
    )


def _trigger(targets: Any) -> int | None:
    """Return the component of the first target: ``[[id, event], ...]``."""
    if isinstance(targets, list) and targets and isinstance(targets[0], list) and targets[0]:
        first = targets[0][0]
        return first if isinstance(first, int) else None
    return None


def _chat_function(dependency: _Dependency, trigger_id: int | None, version: str) -> ChatFunction:
    inputs, outputs = dependency.inputs, dependency.outputs
    chatbots, answers = _positions(inputs, _is_chatbot), _positions(outputs, _is_chatbot)
    texts = _positions(inputs, _is_textbox)
    if (len(inputs), len(chatbots), len(texts), len(answers)) != (4, 1, 2, 1):
        raise ProtocolError(
            "the page's chat function has another signature than a chat of this shape, which takes the question, "
            "a chatbot, the system message (two textboxes) and one choice, and gives one chatbot. "
            f"Found: {dependency.signature()}, Gradio {version}. The page may have changed: name the right "
            "function by Gradio(function=...) or fn_index=, or use another service.",
            frame=dependency.signature(),
        )
    prompt, system = _prompt_and_system(inputs, texts, dependency.trigger)
    return ChatFunction(
        dependency.index,
        trigger_id if trigger_id is not None else dependency.trigger,
        tuple(component.props.get("value") for component in inputs),
        prompt=prompt,
        history=chatbots[0],
        system=system,
        answer=answers[0],
        format=_format(inputs[chatbots[0]], version),
    )


_SYSTEM = re.compile(r"system|instruction|系统", re.IGNORECASE)
"""How pages label the box of the system message."""


def _prompt_and_system(
    inputs: Sequence[_Component], texts: Sequence[int], trigger: int | None
) -> tuple[int, int]:
    """Return the positions of the question and of the system message among two text boxes.

    The labels decide first, then the box that starts the function: a user starts it from the question. Without
    either, the first box is the question.

    Raises:
        ProtocolError: both boxes are labelled as system messages.
    """
    labelled = [place for place in texts if _SYSTEM.search(_label(inputs[place]))]
    if len(labelled) > 1:
        raise ProtocolError(
            "the page's chat function has two text boxes that are both labelled as system message: "
            f"{_label(inputs[texts[0]])!r} and {_label(inputs[texts[1]])!r}. Use another service."
        )
    starting = [place for place in texts if trigger is not None and inputs[place].id == trigger]
    if labelled:
        system = labelled[0]
        return next(place for place in texts if place != system), system
    prompt = starting[0] if starting else texts[0]
    return prompt, next(place for place in texts if place != prompt)


def _label(component: _Component) -> str:
    return f"{_word(component.props.get('label'))} {_word(component.props.get('elem_id'))}".strip()


def _positions(components: Sequence[_Component], wanted: Any) -> list[int]:
    return [place for place, component in enumerate(components) if wanted(component)]


def _is_chatbot(component: _Component) -> bool:
    return "chatbot" in component.type


def _is_textbox(component: _Component) -> bool:
    return component.type == "textbox"


def _format(chatbot: _Component, version: str) -> Format:
    """Return how this chatbot writes a conversation (``docs/wire/gradio.md`` §6, last line)."""
    if chatbot.type != "chatbot":
        return "objects"  # modelscope_studio's
    kind = chatbot.props.get("type")
    if kind == "messages":
        return "messages"
    major = version.partition(".")[0]
    if kind is None and major.isascii() and major.isdigit() and int(major) >= 6:
        return "parts"
    return "pairs"


def _word(value: Any) -> str:
    """Return a string of the page, bounded; anything else is no word."""
    return value[:_SHOWN_WORD] if isinstance(value, str) else ""
