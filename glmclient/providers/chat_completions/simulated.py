"""The serving half of the open platform and of compatible servers (``docs/wire/open-platform.md``)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ...core.secrets import Secret
from ...errors import ConfigurationError
from ...simulator.http import Cut, Pause, Reset, SimulatedRequest, SimulatedResponse, Wait
from ...simulator.script import Answer, Answers, Refusal, Step, script_failure
from .encoder import Flavour, Layout
from .frames import encode, encoded, whole_answer
from .simulated_refusals import refused
from .wire import CHAT_PATH, EVENT_STREAM, MODELS, MODELS_PATH, QWEN_MODELS

__all__ = ["DashScope", "OpenAICompatible", "Platform"]

_HEADERS = (
    ("Content-Type", f"{EVENT_STREAM};charset=UTF-8"),
    ("Cache-Control", "no-cache"),
)

_SERVED = {
    "glm": MODELS,
    "vllm": ("zai-org/GLM-4.6",),
    "sglang": ("GLM-4.6",),
    "ollama": ("glm-4.7-flash",),
    "dashscope": QWEN_MODELS,
}
_OWNER = {
    "glm": "z-ai",
    "vllm": "vllm",
    "sglang": "sglang",
    "ollama": "library",
    "dashscope": "system",
}


class Platform:
    """The open platform, or a compatible server, under any path prefix.

    Args:
        flavour: whose habits: ``glm``, ``vllm``, ``sglang``, ``ollama`` or ``dashscope``.
        tool_stream: send tool calls in the script's fragments; ``None`` does what the service does: the platform when
            the request asks for it, vLLM and SGLang always, Ollama never.
        models: the models that are listed.
        key: the only key that is accepted; any is if it is ``None``, but the platform wants one.

    Raises:
        ConfigurationError: an option has a value that it does not take.
    """

    name = "zai"

    def __init__(
        self,
        *,
        flavour: Flavour = "glm",
        tool_stream: bool | None = None,
        models: Sequence[str] | None = None,
        key: str | None = None,
    ) -> None:
        self._layout = Layout(flavour)
        if isinstance(models, str) or not all(isinstance(model, str) for model in models or ()):
            raise ConfigurationError(f"models must be a sequence of names, not {models!r:.80}.")
        self._tool_stream = tool_stream
        self._models = tuple(models) if models is not None else _SERVED[flavour]
        self._key = None if key is None else Secret(key)
        self._numbers = itertools.count(
            1
        )  # next() of a count is one step of the interpreter: safe for threads

    def check(self, answer: Answer) -> object:
        """Raise a `ConfigurationError` if the service has no way to say ``answer``."""
        if answer.refusal is None:
            encode(answer.said, self._layout)
        return None

    def prompt(self, request: SimulatedRequest) -> str:
        """Return the text of the user's last message in a question."""
        said = [message for message in request.json["messages"] if message.get("role") == "user"]
        content = said[-1].get("content") if said else ""
        if isinstance(content, str):
            return content
        return "".join(part.get("text", "") for part in content or ())

    def handles(self, request: SimulatedRequest) -> bool:
        """Tell whether the path is one of the platform's."""
        return request.path.endswith((CHAT_PATH, MODELS_PATH)) or f"{MODELS_PATH}/" in request.path

    def respond(self, request: SimulatedRequest, answers: Answers) -> SimulatedResponse:
        """Answer a question, list the models, or refuse."""
        flavour = self._layout.flavour
        refusal = self._refusal(request)
        if refusal is not None:
            return refused(refusal, flavour)
        if not request.path.endswith(CHAT_PATH):
            return self._list(request.path.partition(f"{MODELS_PATH}/")[2])
        if not _is_question(request.json):
            return refused(Refusal("bad_request"), flavour)
        if request.json.get("n") not in (None, 1):
            words = "n is not supported here: one answer is written for each question."
            return refused(Refusal("bad_request", words), flavour)
        answer = answers.next(request)
        if answer.refusal is not None:
            return refused(answer.refusal, flavour, answer)
        layout = self._layout_for(request.json)
        if not request.json.get("stream"):
            broken = next((step for step in answer.said if isinstance(step, Refusal)), None)
            if broken is not None:
                return refused(broken, flavour, answer)
            return _whole(answer, layout)
        return SimulatedResponse(
            headers=_HEADERS,
            body=encoded(answer.said, layout),
            before=answer.before,
        )

    def missing(self, words: str) -> SimulatedResponse:
        """Say that there is nothing at the path."""
        return refused(Refusal("not_found", words, 404), self._layout.flavour)

    def failed(self, words: str) -> SimulatedResponse:
        """Say that the script failed."""
        return refused(script_failure({"error": {"message": words}}), self._layout.flavour)

    def _refusal(self, request: SimulatedRequest) -> Refusal | None:
        scheme, _, key = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            if self._layout.flavour in ("glm", "dashscope") or self._key is not None:
                return Refusal("login")
        elif self._key is not None and key != self._key.reveal():
            return Refusal("authentication")
        method = "POST" if request.path.endswith(CHAT_PATH) else "GET"
        if request.method != method:
            return Refusal(
                "bad_request", f"Request method '{request.method}' is not supported", 405
            )
        return None

    def _list(self, model_id: str) -> SimulatedResponse:
        """Return the list of models, or the one with an id."""
        flavour, created = self._layout.flavour, self._layout.created
        listed = [
            {"id": model, "object": "model", "created": created, "owned_by": _OWNER[flavour]}
            for model in self._models
        ]
        if not model_id:
            return SimulatedResponse.of_json({"object": "list", "data": listed})
        one = next((each for each in listed if each["id"] == model_id), None)
        if one is None:
            words = f"The model `{model_id}` does not exist."
            return refused(Refusal("not_found", words, 404), flavour)
        return SimulatedResponse.of_json(one)

    def _layout_for(self, body: dict[str, Any]) -> Layout:
        flavour = self._layout.flavour
        asked = bool(body.get("tool_stream")) if flavour == "glm" else flavour != "ollama"
        options = body.get("stream_options")
        return Layout(
            flavour,
            fragments=asked if self._tool_stream is None else self._tool_stream,
            usage=flavour == "glm"
            or (isinstance(options, dict) and bool(options.get("include_usage"))),
            model=body["model"],
            response_id=f"{'chatcmpl-' if flavour != 'glm' else ''}{next(self._numbers):024x}",
        )


class OpenAICompatible(Platform):
    """A server that is compatible with OpenAI's; see `Platform` for the arguments.

    Args:
        flavour: whose habits.
        tool_stream: send tool calls in the script's fragments.
        models: the models that are listed.
        key: the only key that is accepted.
    """

    name = "openai"

    def __init__(
        self,
        *,
        flavour: Flavour = "vllm",
        tool_stream: bool | None = None,
        models: Sequence[str] | None = None,
        key: str | None = None,
    ) -> None:
        super().__init__(flavour=flavour, tool_stream=tool_stream, models=models, key=key)


class DashScope(Platform):
    """Alibaba's endpoint for Qwen; see `Platform` for the arguments.

    Args:
        models: the models that are listed.
        key: the only key that is accepted; any is if it is ``None``, but there must be one.
    """

    name = "dashscope"

    def __init__(self, *, models: Sequence[str] | None = None, key: str | None = None) -> None:
        super().__init__(flavour="dashscope", models=models, key=key)


def _whole(answer: Answer, layout: Layout) -> SimulatedResponse:
    """Return an answer without ``stream``: it waits as long as the stream would, and is cut or reset where that is."""
    steps: list[Step] = []
    before: list[Pause | Wait | Cut | Reset] = [*answer.before]
    end: Cut | Reset | None = None
    for step in answer.said:
        if isinstance(step, (Cut, Reset)):
            end = step
            break
        if isinstance(step, (Pause, Wait)):
            before.append(step)
        else:
            steps.append(step)
    whole = SimulatedResponse.of_json(whole_answer(tuple(steps), layout))
    if end is None:
        return replace(whole, before=before)
    (body,) = whole.body
    assert isinstance(body, bytes)
    # The head promises more than comes, as when a server dies while it writes.
    headers = (*whole.headers, ("Content-Length", str(len(body))))
    half = [body[: len(body) // 2], end]
    return replace(whole, headers=headers, body=half, framing="close", before=before)


def _is_question(body: Any) -> bool:
    if not isinstance(body, dict) or not isinstance(body.get("model"), str):
        return False
    messages = body.get("messages")
    return (
        isinstance(messages, list) and bool(messages) and all(isinstance(m, dict) for m in messages)
    )
