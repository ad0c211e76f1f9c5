"""What a simulated service says: a text, a list of steps, several answers, or a function of the request."""

from __future__ import annotations

import itertools
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, get_args

from .._visible import complete_repr
from ..errors import APIStatusError, ConfigurationError
from ..events import Event, Finish, TextDelta, ToolCall, ToolCallDelta
from .history import Requests
from .http import Cut, Pause, Reset, SimulatedRequest, SimulatedResponse, Wait
from .refusal import Refusal, RefusalKind

__all__ = [
    "Answer",
    "AnswerLike",
    "Answers",
    "Dialect",
    "EndBody",
    "Open",
    "Refusal",
    "RefusalKind",
    "Script",
    "ScriptLike",
    "Step",
    "pieces",
    "script_failure",
    "unsupported",
]


@dataclass(frozen=True, slots=True)
class EndBody:
    """End the body here as the framing promises, but without the service's end mark."""


@dataclass(frozen=True, slots=True)
class Open:
    """Send the head of the response here; without it, it goes out with the first event or bytes."""


Step: TypeAlias = Event | Refusal | Open | Pause | Wait | Cut | Reset | EndBody | bytes
"""One step of an answer. An event is written in the service's dialect, ``bytes`` are written as they are.

Pauses, waits, cuts and resets before the first event, bytes or `Open` happen before the head of the response.
"""

AnswerLike: TypeAlias = (
    str | Refusal | APIStatusError | Iterable[str | ToolCall | Step | APIStatusError]
)
"""One answer as users write it.

A string is text that comes in pieces, and a `ToolCall` is a complete call. A ``Finish`` is added if there is no end.
"""

_EVENTS: tuple[type, ...] = get_args(Event)
_ENDS = (Finish, Refusal, Cut, Reset, EndBody)
_STEPS = (*_EVENTS, Refusal, Open, Pause, Wait, Cut, Reset, EndBody, bytes)

# White space, then a word, or one or two characters of a script without spaces: what a model sends at a time.
_CJK = "\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\uff00-\uffef"
_PIECE = re.compile(rf"\s*(?:[{_CJK}]{{1,2}}|[^\s{_CJK}]{{1,8}})|\s+")


def pieces(text: str) -> list[str]:
    """Split ``text`` as a model sends it: words, or one or two characters of a script without spaces."""
    return _PIECE.findall(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """One checked answer: it ends with a ``Finish``, a refusal, a cut, a reset or an ``EndBody``.

    After its end there may only be bytes, pauses, waits, cuts and resets.
    """

    steps: tuple[Step, ...]

    @classmethod
    def of(cls, value: AnswerLike | Answer) -> Answer:
        """Check an answer as users write it.

        Raises:
            ConfigurationError: a step is nothing that a service can say, or follows the end.
        """
        if isinstance(value, Answer):
            return value
        if isinstance(value, (str, Refusal, APIStatusError)):
            value = [value]
        elif isinstance(value, (bytes, Mapping)) or not isinstance(value, Iterable):
            raise ConfigurationError(
                f"an answer is a text, a list of steps, a Refusal or an APIStatusError, not {type(value).__name__}."
            )
        steps: list[Step] = []
        calls = 0
        asks = ended = False
        for index, step in enumerate(value):
            if isinstance(step, APIStatusError):
                step = Refusal.of(step)
            if isinstance(step, str):
                steps.extend(TextDelta(piece) for piece in pieces(step))
            elif isinstance(step, ToolCall):
                steps.append(ToolCallDelta(calls, step.id, step.name, step.arguments))
                calls += 1
                asks = True
            elif isinstance(step, _STEPS):
                steps.append(step)
                if isinstance(step, ToolCallDelta):
                    calls = max(calls, step.index + 1)
            else:
                raise ConfigurationError(
                    f"step {index} of the answer is {step!r:.80}; a step is a text, an event, a ToolCall, bytes, a "
                    "Refusal, an APIStatusError, Open, Pause, Wait, Cut, Reset or EndBody."
                )
            if ended and isinstance(step, (str, *_EVENTS, ToolCall, Refusal, Open)):
                raise ConfigurationError(
                    f"step {index} of the answer, {step!r:.80}, comes after its end; remove it or the end before it."
                )
            ended = ended or isinstance(step, _ENDS)
        if not ended:
            steps.append(Finish("tool_calls" if asks else "stop"))
        return cls(tuple(steps))

    @property
    def before(self) -> tuple[Pause | Wait | Cut | Reset, ...]:
        """What happens before the head of the response."""
        return tuple(itertools.takewhile(_is_held, self.steps))  # type: ignore[arg-type]

    @property
    def said(self) -> tuple[Step, ...]:
        """What comes from the head on; empty if the connection ends before it."""
        if any(isinstance(step, (Cut, Reset)) for step in self.before):
            return ()
        rest = itertools.dropwhile(_is_held, self.steps)
        return tuple(step for step in rest if not isinstance(step, Open))

    @property
    def refusal(self) -> Refusal | None:
        """The refusal that stands in place of a stream, if the head is due with it."""
        first = self.steps[len(self.before) :][:1]
        return first[0] if first and isinstance(first[0], Refusal) else None


def _is_held(step: Step) -> bool:
    return isinstance(step, (Pause, Wait, Cut, Reset))


class Script:
    """Several answers, one for each request, in order.

    Args:
        answers: each a text, a list of steps, a refusal, or a function of the request that returns one of these.
        repeat: begin again after the last; otherwise a further request is an error of the script.
    """

    def __init__(
        self,
        *answers: AnswerLike | Callable[[SimulatedRequest], AnswerLike],
        repeat: bool = False,
    ) -> None:
        if not answers:
            raise ConfigurationError("a Script needs at least one answer.")
        self.answers: tuple[Answer | Callable[[SimulatedRequest], AnswerLike], ...] = tuple(
            each if callable(each) else Answer.of(each) for each in answers
        )
        self.repeat = repeat

    @complete_repr
    def __repr__(self) -> str:
        return f"Script({_counted(self)}, repeat={self.repeat})"


def _counted(script: Script) -> str:
    count = len(script.answers)
    return f"{count} answer" if count == 1 else f"{count} answers"


ScriptLike: TypeAlias = AnswerLike | Script | Callable[[SimulatedRequest], AnswerLike]
"""What a simulator is given: one answer for every request, a `Script`, or a function of the request."""


class Answers:
    """Hands out the answers of a script; safe for threads.

    Args:
        script: what to say.
        check: raises for an answer that the dialect cannot say; what is known ahead is checked at once.

    Raises:
        ConfigurationError: the script is wrong.
    """

    def __init__(
        self,
        script: ScriptLike,
        check: Callable[[Answer], object] | None = None,
    ) -> None:
        self._check = check
        self._questions = Requests()
        self._lock = threading.Lock()
        self.change(script)

    def change(self, script: ScriptLike) -> None:
        """Answer from another script from now on.

        Raises:
            ConfigurationError: the script is wrong; the one before stays.
        """
        whole = script if isinstance(script, Script) else Script(script, repeat=True)
        for answer in whole.answers:
            if isinstance(answer, Answer):
                self._checked(answer)
        with self._lock:
            self._script = whole
            self._given = 0

    @property
    def questions(self) -> tuple[SimulatedRequest, ...]:
        """The newest requests that took an answer, in order."""
        with self._lock:
            return self._questions.newest()

    def next(self, request: SimulatedRequest) -> Answer:
        """Return the answer to the next question.

        Raises:
            ConfigurationError: the script has no further answer, or its function returned none.
        """
        with self._lock:
            script, number = self._script, self._given
            self._given += 1
            self._questions.append(request)
        if number >= len(script.answers) and not script.repeat:
            raise ConfigurationError(
                f"the script has {_counted(script)}, and this is question {number + 1}; each try of a question counts. "
                "Add an answer, or say Script(..., repeat=True)."
            )
        answer = script.answers[number % len(script.answers)]
        return answer if isinstance(answer, Answer) else self._checked(Answer.of(answer(request)))

    def _checked(self, answer: Answer) -> Answer:
        if self._check is not None:
            self._check(answer)
        return answer


class Dialect(Protocol):
    """The serving half of one service's dialect; it is called from several threads at once.

    Its constructor takes its own options as keywords.
    """

    name: str

    def check(self, answer: Answer) -> object:
        """Raise a `ConfigurationError` if this service has no way to say ``answer`` (see `unsupported`)."""

    def prompt(self, request: SimulatedRequest) -> str:
        """Return the text of the last thing that the user said in a question."""

    def handles(self, request: SimulatedRequest) -> bool:
        """Tell by method and path whether ``request`` belongs to this service."""

    def respond(self, request: SimulatedRequest, answers: Answers) -> SimulatedResponse:
        """Answer it; a question takes its answer from ``answers.next(request)``."""

    def failed(self, words: str) -> SimulatedResponse:
        """Say in the service's shape that the script failed; see `script_failure`."""


def script_failure(body: Mapping[str, Any]) -> Refusal:
    """Return what a service says when the script failed, with the service's own ``body``.

    The status says that it is no use to try again (RFC 9110 §15.6.2): a retry would hide the cause behind a wait.
    """
    return Refusal("server", status=501, body=body)


def unsupported(service: str, step: object) -> ConfigurationError:
    """Return the error for a step that a service has no way to say."""
    return ConfigurationError(
        f"the dialect of {service!r} has no way to say {step!r:.120}; take it out of the script."
    )
