"""Which functions of a page are a chat, and what each of their inputs and outputs is for.

`chats` is a pure function: the description of a page goes in, and for every function comes out either a `ChatFunction`
or the reason why it is not one. `choose` then picks the function to ask. Nothing here sends anything.

A chat takes a question from a text box and gives its answer in a chatbot, or as text. Apps remember the conversation in
two ways: the chatbot is among the inputs, so that the page sends the whole conversation with each question; or a
``State`` is, whose value the server keeps under the session. Some pages split the work: ``user`` shows the question,
and ``bot``, which runs after it, answers. A `ChatFunction` is therefore a chain of one or more calls.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import ConfigurationError, NotFoundError
from .page import Component, Function, Page
from .settings import Setting
from .wire import Format

__all__ = ["QWEN_FUNCTION", "ChatFunction", "Misfit", "Step", "chats", "choose", "needs_names"]

_SYSTEM = re.compile(r"system|instruction|系统", re.IGNORECASE)
"""How pages label the box of the system message, or name its parameter."""

_SURELY_SYSTEM = re.compile(r"system|系统", re.IGNORECASE)

_TEXTS = ("textbox", "markdown", "json", "html", "code")
"""Components that can show an answer where there is no chatbot."""

_FILES = ("image", "file")
"""Inputs that take the files of a message."""

_STATES = ("state", "browserstate")

_UNSUPPORTED = (
    *("audio", "video", "microphone", "model3d", "imageeditor", "sketchpad", "webcam"),
    *("missing", "unknown"),
)
"""Inputs that a question in text cannot fill, or that the page does not describe."""

QWEN_FUNCTION = "model_chat"
"""The name of the chat of the demonstration of Qwen2.5."""

_LISTED = 20

_MOST_PARTS = 200
_LONGEST_CHAIN = 20
_MOST_LOOKS = 100_000
"""A page comes from a server: these bounds keep the search for the chat linear in its length. The largest apps have a
thousand functions with a hundred inputs, and chains of five."""


@dataclass(frozen=True, slots=True)
class Step:
    """One call of a chat.

    Args:
        index: the ``fn_index``.
        trigger: the id of the component that starts it, if the page tells one.
        inputs: the ids of the components whose values it takes.
        outputs: the ids of the components whose values it gives.
    """

    index: int
    trigger: int | None
    inputs: tuple[int | str, ...]
    outputs: tuple[int | str, ...]


@dataclass(frozen=True, slots=True)
class ChatFunction:
    """A function of the page, with those that run after it, that is a chat; components are named by their ids.

    Args:
        name: its ``api_name``.
        steps: the calls, in their order.
        prompt: the text box of the question.
        multimodal: that box takes text and files together.
        files: an input that takes the files of a message, if that box does not.
        many_files: that input takes several files.
        images_only: that input takes an image and no other file.
        history: the chatbot whose value is sent with each question, if one is.
        system: the text box of the system message, if there is one.
        answer: what holds the answer.
        format: how the chatbot that answers writes a conversation; ``None`` if the answer is text.
        history_format: how the chatbot that is sent writes it.
        remembers: the server keeps the conversation in a state, under the session.
        settings: the other inputs, the box of the system message included.
        values: what the page itself would send for each input.
        filled: the names of the inputs that the question fills, each with the words that say so.
        signature: its name, number and types, for messages.
        public: the page offers it to programs.
        submits: the question's own box starts it.
    """

    name: str
    steps: tuple[Step, ...]
    prompt: int | str
    multimodal: bool
    files: int | str | None
    many_files: bool
    images_only: bool
    history: int | str | None
    system: int | str | None
    answer: int | str
    format: Format | None
    history_format: Format
    remembers: bool
    settings: tuple[Setting, ...]
    values: Mapping[int | str, Any] = field(repr=False)
    filled: Mapping[str, str] = field(repr=False)
    signature: str
    public: bool = True
    submits: bool = False

    @property
    def title(self) -> str:
        """Its name, or its number if the page gives it none."""
        return self.name or str(self.index)

    @property
    def index(self) -> int:
        """The ``fn_index`` of its first call."""
        return self.steps[0].index

    @property
    def has_memory(self) -> bool:
        """The app knows the earlier turns of a conversation."""
        return self.history is not None or self.remembers

    @property
    def takes_files(self) -> bool:
        """A message may hold images and files."""
        return self.multimodal or self.files is not None

    def answer_position(self, step: Step) -> int | None:
        """Return where the answer is among the outputs of a step, if it is."""
        return step.outputs.index(self.answer) if self.answer in step.outputs else None

    def same_call(self) -> tuple[Any, ...]:
        """Return what two functions share that only differ in what starts them."""
        return tuple((step.inputs, step.outputs) for step in self.steps)


@dataclass(frozen=True, slots=True)
class Misfit:
    """A function that is not a chat.

    Args:
        function: the function.
        reason: why it is not one.
    """

    function: Function
    reason: str


def chats(page: Page) -> tuple[tuple[ChatFunction, ...], tuple[Misfit, ...]]:
    """Return the functions of a page that are a chat, and the others with the reasons why they are not."""
    fits: list[ChatFunction] = []
    misfits: list[Misfit] = []
    order = _Order(page)
    for function in page.functions:
        result = _chat(page, order, function)
        if isinstance(result, ChatFunction):
            fits.append(result)
        else:
            misfits.append(Misfit(function, result))
    return tuple(fits), tuple(misfits)


def choose(
    page: Page,
    name: str | None = None,
    index: int | None = None,
    *,
    required_system: bool = False,
) -> ChatFunction:
    """Return the chat of a page.

    Args:
        name: its ``api_name``, if the caller named one.
        index: its ``fn_index``, which then counts instead of the name.
        required_system: only a function with a box for the system message counts.

    Raises:
        NotFoundError: the page has no function of that name or number.
        ConfigurationError: that function is not a chat, or none is, or several are; the error says why.
    """
    fits, misfits = chats(page)
    if required_system:
        without = [each for each in fits if each.system is None]
        fits = tuple(each for each in fits if each.system is not None)
        functions = {each.index: each for each in page.functions}
        misfits = (
            *misfits,
            *(
                Misfit(functions[each.index], "it has no box for a system message")
                for each in without
            ),
        )
    if name is not None or index is not None:
        return _named(page, fits, misfits, name, index)
    if not fits:
        raise ConfigurationError(
            f"the app (Gradio {page.version}) has no function that answers a question in text, so nothing was sent. "
            f"Its functions: {_reasons(misfits)}. Use another app."
        )
    best = _best(fits)
    if len(best) > 1:
        raise ConfigurationError(
            f"several functions of the app answer questions, and nothing on its page decides between them: "
            f"{'; '.join(each.signature for each in best[:_LISTED])}. Nothing was sent. Choose one by function=, such "
            f"as function={best[0].title!r}."
        )
    return best[0]


def needs_names(page: Page, name: str | None = None, index: int | None = None) -> bool:
    """Tell whether the names of parameters, which are not part of the page, may change what `choose` finds.

    They do where a function has several text boxes of which none is labelled as the system message, and one that the
    page shows is not labelled at all.
    """
    for function in page.functions:
        if (index is not None and function.index != index) or (
            index is None and name is not None and function.name != name
        ):
            continue
        boxes = _unique(each for each in function.inputs if _is_box(each))
        if (
            not _is_small(function)
            or len(boxes) < 2
            or any(_SYSTEM.search(_words(each, ())) for each in boxes)
        ):
            continue
        starts = {id for id, _ in function.triggers}
        # The box that starts the function is the question, and so is the only one that the page shows.
        visible = [each for each in boxes if not each.hidden]
        others = [each for each in visible if each.id not in starts]
        if len(visible) > 1 and any(not each.label for each in others):
            return True
    return False


def _named(
    page: Page,
    fits: Sequence[ChatFunction],
    misfits: Sequence[Misfit],
    name: str | None,
    index: int | None,
) -> ChatFunction:
    for function in page.functions:
        if function.name == name if index is None else function.index == index:
            break
    else:
        which = f"named {name!r}" if index is None else f"with fn_index {index}"
        functions = "; ".join(each.signature() for each in page.functions[:_LISTED]) or "none"
        usable = ", ".join(repr(each.title) for each in fits if each.public)
        raise NotFoundError(
            f"the page (Gradio {page.version}) has no function {which}. It has: {functions}. "
            + (f"Those that answer questions: {usable}." if usable else "None of them is a chat."),
            status_code=200,
            reason=f"no function {which}",
            body=functions,
        )
    for fit in fits:
        if fit.index == function.index:
            return fit
    reason = next(each.reason for each in misfits if each.function.index == function.index)
    usable = ", ".join(repr(each.title) for each in fits if each.public)
    raise ConfigurationError(
        f"the function {function.signature()} of the app (Gradio {page.version}) is not a chat: {reason}. "
        "Nothing was sent. "
        + (f"Use function= with one of: {usable}." if usable else "No other function is one.")
    )


def _reasons(misfits: Sequence[Misfit]) -> str:
    lines = [f"{each.function.signature()}: {each.reason}" for each in misfits[:_LISTED]]
    more = len(misfits) - len(lines)
    return "; ".join([*lines, *([f"and {more} more"] if more > 0 else [])]) or "none"


_PREFERENCES: tuple[Callable[[ChatFunction], bool], ...] = (
    lambda chat: chat.public,
    lambda chat: chat.has_memory,
    lambda chat: chat.submits,
    lambda chat: chat.name == QWEN_FUNCTION,
)
"""What distinguishes the chat from other functions that fit, the strongest first."""


def _best(fits: Sequence[ChatFunction]) -> list[ChatFunction]:
    """Return the functions that fit best; more than one if nothing decides."""
    followers = {step.index for each in fits for step in each.steps[1:]}
    best = [each for each in fits if each.index not in followers] or list(fits)
    for preferred in _PREFERENCES:
        best = [each for each in best if preferred(each)] or best
    # A button and the Enter key may start the same call: then either does.
    calls = {each.same_call(): each for each in reversed(best)}
    return list(reversed(calls.values()))


# -- one function ------------------------------------------------------------------------------------------


class _Order:
    """Which functions of a page run after which."""

    def __init__(self, page: Page) -> None:
        self.looks = 0
        """Inputs and outputs that were looked at."""
        self.by_index: dict[int, Function] = {each.index: each for each in page.functions}
        self._after: dict[int, list[Function]] = {}
        for each in page.functions:
            if each.after is not None:
                self._after.setdefault(each.after, []).append(each)

    def after(self, head: Function) -> list[Function]:
        """Return the functions that run after ``head``, directly or after another one, in their order."""
        followers: list[Function] = []
        waiting = [head.index]
        indices = {head.index}
        while waiting and len(followers) < _LONGEST_CHAIN:
            for function in self._after.get(waiting.pop(0), [])[:_LONGEST_CHAIN]:
                if function.index not in indices:
                    indices.add(function.index)
                    followers.append(function)
                    waiting.append(function.index)
        return followers

    def origins(self, function: Function) -> tuple[tuple[int, str], ...]:
        """Return what starts a function, or the chain that it is in."""
        for _ in range(_LONGEST_CHAIN):
            before = None if function.after is None else self.by_index.get(function.after)
            if before is None:
                break
            function = before
        return function.triggers


def _chat(page: Page, order: _Order, head: Function) -> ChatFunction | str:
    """Return the chat that begins with ``head``, or the reason why it is not a chat."""
    if not head.runs:
        return "it runs in the browser, not on the server"
    if not _is_small(head):
        return f"it has more than {_MOST_PARTS} inputs or outputs"
    # The function itself is looked at first: that is cheap, and most functions are not chats.
    if wrong := _unsupported(head.inputs):
        return wrong
    if not any(_is_box(each) for each in head.inputs):
        return "it has no text box for a question"
    if order.looks > _MOST_LOOKS:
        return "the page has too many functions to look at this one"
    chain = _chain(order, head)
    order.looks += sum(len(each.inputs) + len(each.outputs) for each in chain)
    inputs = _unique(each for function in chain for each in function.inputs)
    if wrong := _unsupported(inputs):
        return f"{wrong} in a function that runs after it"
    boxes = [each for each in inputs if _is_box(each)]
    answer = _answer(chain, inputs)
    if isinstance(answer, str):
        return answer
    roles = _prompt_and_system(chain, boxes, answer)
    if isinstance(roles, str):
        return roles
    prompt, system = roles
    histories = [each for each in _read_before_written(chain) if _is_chatbot(each)]
    if len(histories) > 1:
        return "it takes several chatbots"
    history = histories[0] if histories else None
    attached = [each for each in inputs if each.type in _FILES and not _is_multimodal(prompt)]
    files = attached[0] if attached else None
    own = {each.id for each in (prompt, history, files) if each is not None}
    return ChatFunction(
        head.name,
        tuple(_step(function) for function in chain),
        prompt.id,
        _is_multimodal(prompt),
        files.id if files is not None else None,
        files is not None and files.props.get("file_count") in ("multiple", "directory"),
        files is not None and files.type == "image",
        history.id if history is not None else None,
        system.id if system is not None else None,
        answer.id,
        _format(answer, page) if _is_chatbot(answer) else None,
        _format(history, page) if history is not None else "pairs",
        _server_remembers(chain),
        tuple(
            Setting.of(each, _parameter(chain, each))
            for each in inputs
            if each.id not in own and each.type not in _STATES and not _is_chatbot(each)
        ),
        {each.id: None if each.type == "state" else each.value for each in inputs},
        _filled(chain, prompt, history),
        head.signature(),
        head.public,
        (prompt.id, "submit") in order.origins(head),
    )


def _filled(
    chain: Sequence[Function], prompt: Component, history: Component | None
) -> dict[str, str]:
    """Return the names of the inputs that the question fills, each with the words that say so."""
    return {
        name: f"it holds the {what}"
        for each, what in ((prompt, "question"), (history, "conversation"))
        if each is not None
        for name in (each.label, _parameter(chain, each))
        if name
    }


def _unsupported(inputs: Iterable[Component]) -> str:
    """Return why a question in text cannot fill the inputs; empty if it can."""
    wrong = next((each.type for each in inputs if each.type in _UNSUPPORTED), "")
    if wrong in ("missing", "unknown"):
        return "the page does not describe all of its inputs"
    return wrong and f"it takes {wrong}, which a question in text is not"


def _chain(order: _Order, head: Function) -> tuple[Function, ...]:
    """Return ``head`` and the functions after it that take part in the answer.

    A function that only clears a box, or makes it usable again, does not: the page needs it, and a program does not.
    """
    chain = [head]
    candidates = [each for each in order.after(head) if each.runs and _is_small(each)]
    read = {each.id for each in head.inputs}
    for function in candidates:
        read |= {each.id for each in function.inputs}
    boxes = {each.id for each in head.inputs if _is_box(each)}
    for function in candidates:
        gives = {each.id for each in function.outputs}
        if gives & (read - boxes) or any(_is_chatbot(each) for each in function.outputs):
            chain.append(function)
    return tuple(chain)


def _is_small(function: Function) -> bool:
    return max(len(function.inputs), len(function.outputs)) <= _MOST_PARTS


def _step(function: Function) -> Step:
    return Step(
        function.index,
        function.trigger,
        tuple(each.id for each in function.inputs),
        tuple(each.id for each in function.outputs),
    )


def _read_before_written(chain: Sequence[Function]) -> list[Component]:
    """Return the components whose value comes from outside of the chain."""
    written: set[int | str] = set()
    read: list[Component] = []
    for function in chain:
        read.extend(each for each in function.inputs if each.id not in written)
        written |= {each.id for each in function.outputs}
    return _unique(read)


def _server_remembers(chain: Sequence[Function]) -> bool:
    written = {each.id for function in chain for each in function.outputs}
    return any(each.type == "state" and each.id in written for each in _read_before_written(chain))


def _answer(chain: Sequence[Function], inputs: Sequence[Component]) -> Component | str:
    """Return what holds the answer: a chatbot, else the first text that is not an input."""
    outputs = _unique(each for function in chain for each in function.outputs)
    input_ids = {each.id for each in inputs}
    chatbots = [each for each in outputs if _is_chatbot(each)]
    if len(chatbots) > 1:
        chatbots = [each for each in chatbots if each.id in input_ids]
        if len(chatbots) != 1:
            return "it answers in several chatbots"
    if chatbots:
        return chatbots[0]
    texts = [each for each in outputs if each.type in _TEXTS and each.id not in input_ids]
    if texts:
        return texts[0]
    return "it gives neither a chatbot nor a text that is not one of its inputs"


def _prompt_and_system(
    chain: Sequence[Function], boxes: Sequence[Component], answer: Component
) -> tuple[Component, Component | None] | str:
    """Return the box of the question, and that of the system message if there is one.

    Labels and names of parameters decide which box is the system message. Of the others, the box that starts the
    function is the question, because that is how a reader of the page asks; otherwise the first one.
    """
    head = chain[0]
    named = [each for each in boxes if _SYSTEM.search(_words(each, chain))]
    if len(boxes) == 1:
        box = boxes[0]
        takes_chat = any(_is_chatbot(each) for each in head.inputs)
        if _is_chatbot(answer) and not takes_chat and _SURELY_SYSTEM.search(_words(box, chain)):
            return "its only text box is for the system message"
        return box, None
    others = {each.id for each in head.inputs} - {each.id for each in named}
    rest = [each for each in boxes if each.id in others]
    if not rest:
        return "all of its text boxes are labelled as the system message"
    starts = {id for id, _ in head.triggers}
    prompt = min(
        rest,
        key=lambda each: (not _is_multimodal(each), each.id not in starts, each.hidden),
    )
    if named:
        sure = [each for each in named if _SURELY_SYSTEM.search(_words(each, chain))]
        return prompt, (sure or named)[0]
    # The demonstration of Qwen2.5 keeps the system message in a box that has neither a label nor a place on the page.
    further = [each for each in boxes if each is not prompt]
    nameless = not _words(further[0], chain).strip()
    return prompt, further[0] if _is_chatbot(answer) and len(further) == 1 and nameless else None


def _words(component: Component, chain: Iterable[Function]) -> str:
    """Return the words by which the page tells what a box is for."""
    own = component.props.get("elem_id")
    names = [function.parameter(component.id) for function in chain]
    return " ".join([component.label, own[:200] if isinstance(own, str) else "", *names])


def _parameter(chain: Iterable[Function], component: Component) -> str:
    return next(filter(None, (each.parameter(component.id) for each in chain)), "")


def _unique(components: Iterable[Component]) -> list[Component]:
    return list({each.id: each for each in components}.values())


def _is_chatbot(component: Component) -> bool:
    return "chatbot" in component.type


def _is_box(component: Component) -> bool:
    return component.type == "textbox" or _is_multimodal(component)


def _is_multimodal(component: Component) -> bool:
    return "multimodal" in component.type


def _format(chatbot: Component, page: Page) -> Format:
    """Return how this chatbot writes a conversation (``docs/wire/gradio.md`` §6, last line)."""
    if chatbot.type != "chatbot":
        return "objects"  # modelscope_studio's
    kind = chatbot.props.get("type")
    if kind == "messages":
        return "messages"
    return "parts" if kind is None and page.major >= 6 else "pairs"
