"""The apps that the simulator plays: one of each common shape, as their pages describe them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from .wire import DIFFS, PREFIX, Format

__all__ = ["SHAPES", "SYSTEM", "VERSIONS", "App", "AppFunction", "Part", "Shape", "app_of"]

Shape: TypeAlias = Literal[
    "chat_interface",
    "chat_interface_settings",
    "chat_interface_multimodal",
    "interface",
    "interface_settings",
    "respond",
    "respond_settings",
    "chain",
    "state",
    "chatglm",
    "qwen",
    "qwen_multimodal",
    "audio",
]
"""A common shape of a chat app (``docs/providers/gradio.md``); ``audio`` is an app that is not a chat."""

VERSIONS: Mapping[str, Format] = {"4.44.1": "pairs", "5.50.0": "messages", "6.31.0": "parts"}
"""The versions of Gradio that are simulated, and how their chatbots write a conversation."""

SYSTEM = "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
_ASSISTANT = "You are a helpful assistant."

Output: TypeAlias = Literal["cleared", "chatbot", "system", "text", "nothing"]
"""What a function gives: an emptied box, the conversation, the system message, the answer, or nothing to see."""


@dataclass(frozen=True, slots=True)
class Part:
    """One component of a page.

    Args:
        id: its number.
        type: its kind.
        role: what it is for in the app.
        parameter: the name of the parameter that takes it.
        props: its properties.
    """

    id: int
    type: str
    role: str
    parameter: str = ""
    props: Mapping[str, Any] = field(default_factory=dict)

    def described(self) -> dict[str, Any]:
        """Return it as ``/config`` lists it."""
        props = {"name": self.type, "visible": True, **self.props}
        return {
            "id": self.id,
            "type": self.type,
            "props": props,
            "skip_api": self.type in ("state", "button"),
            "component_class_id": f"glmclient.{self.type}",
            "api_info": {"type": "string"},
        }


@dataclass(frozen=True, slots=True)
class AppFunction:
    """One function of an app.

    Args:
        id: its ``fn_index``.
        name: its ``api_name``.
        inputs: what it takes.
        outputs: what it gives.
        trigger: the component that starts it, and the event.
        after: the function that it runs after.
        shows: it only shows the question, and a function after it answers.
    """

    id: int
    name: str
    inputs: tuple[Part, ...]
    outputs: tuple[Part, ...]
    trigger: tuple[int, str] | None = None
    after: int | None = None
    shows: bool = False

    def described(self) -> dict[str, Any]:
        """Return it as ``/config`` lists it."""
        return {
            "id": self.id,
            "targets": [list(self.trigger) if self.trigger is not None else [None, "then"]],
            "inputs": [part.id for part in self.inputs],
            "outputs": [part.id for part in self.outputs],
            "api_name": self.name,
            "backend_fn": True,
            "queue": not self.shows,
            "trigger_after": self.after,
            "show_api": True,
            "types": {"generator": not self.shows, "cancel": False},
            "cancels": [],
        }

    def parameters(self) -> dict[str, Any]:
        """Return it as ``/info`` lists it."""

        def shown(part: Part) -> dict[str, Any]:
            value = part.props.get("value")
            return {
                "label": part.props.get("label") or f"parameter_{part.id}",
                "parameter_name": part.parameter,
                "parameter_has_default": value is not None,
                "parameter_default": value,
                "type": {},
                "python_type": {"type": "Any", "description": ""},
                "component": part.type.capitalize(),
                "example_input": value,
            }

        parameters = [part for part in self.inputs if part.type != "state"]
        returns = [part for part in self.outputs if part.type != "state"]
        return {
            "parameters": [shown(part) for part in parameters],
            "returns": [shown(part) for part in returns],
            "show_api": True,
        }

    def position(self, *roles: str) -> int | None:
        """Return the position of the first input with one of the roles."""
        return next((n for n, part in enumerate(self.inputs) if part.role in roles), None)

    def gives(self) -> tuple[Output, ...]:
        """Return what each output holds."""
        kinds: Mapping[str, Output] = {
            "question": "cleared",
            "multimodal": "cleared",
            "chatbot": "chatbot",
            "answer": "text",
            "system_shown": "system",
        }
        return tuple(kinds.get(part.role, "nothing") for part in self.outputs)


@dataclass(frozen=True, slots=True)
class App:
    """An app: its version, its components and its functions, and the number that it drew when it started."""

    version: str
    protocol: str
    functions: tuple[AppFunction, ...]
    number: int = 1

    @property
    def prefix(self) -> str:
        """The path below which its queue is."""
        return "" if self.version.startswith("4.") else PREFIX

    def function(self, index: Any) -> AppFunction | None:
        """Return the function with that number, if there is one."""
        return next((each for each in self.functions if each.id == index), None)

    def config(self) -> dict[str, Any]:
        """Return its description, as ``/config`` answers it."""
        parts = {
            part.id: part
            for function in self.functions
            for part in (*function.inputs, *function.outputs)
        }
        prefix = {"api_prefix": self.prefix} if self.prefix else {}
        return {
            "version": self.version,
            "protocol": self.protocol,
            **prefix,
            "mode": "blocks",
            "app_id": self.number,
            "connect_heartbeat": False,
            "show_error": False,
            "components": [parts[id].described() for id in sorted(parts)],
            "dependencies": [each.described() for each in self.functions],
        }

    def info(self) -> dict[str, Any]:
        """Return the names of its parameters, as ``/info`` answers them."""
        named = {f"/{each.name}": each.parameters() for each in self.functions}
        return {"named_endpoints": named, "unnamed_endpoints": {}}


_INPUTS: Mapping[Shape, tuple[str, str, str]] = {
    # shape: the function's name, the roles of its inputs, those of its outputs
    "chat_interface": ("chat", "question state", "answer state"),
    "chat_interface_settings": (
        "chat",
        "question state system temperature model shout",
        "answer state",
    ),
    "chat_interface_multimodal": ("chat", "multimodal state", "answer state"),
    "interface": ("predict", "question", "answer"),
    "interface_settings": ("predict", "question temperature", "answer"),
    "respond": ("respond", "question chatbot", "question chatbot"),
    "respond_settings": (
        "respond",
        "question chatbot system temperature model",
        "question chatbot",
    ),
    "chain": ("user", "question chatbot", "question chatbot"),
    "state": ("respond", "question state", "chatbot state"),
    "chatglm": (
        "predict",
        "question chatbot length top_p temperature state past",
        "chatbot state past",
    ),
    "qwen": ("model_chat", "question chatbot hidden choice", "question chatbot system_shown"),
    "qwen_multimodal": (
        "model_chat",
        "multimodal chatbot hidden choice",
        "multimodal chatbot system_shown",
    ),
    "audio": ("predict", "sound", "answer"),
}
SHAPES: tuple[Shape, ...] = tuple(_INPUTS)


def _slider(id: int, label: str, parameter: str, low: float, high: float, value: float) -> Part:
    props = {"label": label, "minimum": low, "maximum": high, "step": 0.01, "value": value}
    return Part(id, "slider", parameter, parameter, props)


def app_of(
    shape: Shape, version: str, chatbot: Format | None = None, protocol: str = DIFFS[-1]
) -> App:
    """Return an app of one shape.

    Args:
        shape: what it takes and gives.
        version: the version of Gradio.
        chatbot: how its chatbot writes a conversation, if not as the version does by itself.
        protocol: how the queue tells updates.
    """
    kind = VERSIONS.get(version) if chatbot is None else chatbot
    types: Mapping[Any, tuple[str, dict[str, Any]]] = {
        "pairs": ("chatbot", {"type": "tuples"}),
        "objects": ("modelscopechatbot", {}),
        "messages": ("chatbot", {"type": "messages"}),
        "parts": ("chatbot", {}),
    }
    type_of_chatbot, props = types[kind]
    system = {"label": "System prompt", "value": _ASSISTANT}
    models = {
        "label": "Model",
        "value": "small",
        "choices": [["small", "small"], ["large", "large"]],
    }
    in_interface = shape.startswith("interface") or shape == "audio" or version.startswith("4.")
    parts = {
        part.role: part
        for part in (
            Part(17, "radio", "choice", "radio", {"value": "72B", "choices": [], "visible": False}),
            Part(18, "textbox", "hidden", "system", {"value": SYSTEM, "visible": False}),
            Part(19, type_of_chatbot, "chatbot", "history", {"value": [], **props}),
            Part(20, "textbox", "system_shown", "system", {"value": SYSTEM}),
            Part(21, "textbox", "system", "system_prompt", system),
            _slider(22, "Temperature", "temperature", 0, 2, 0.7),
            Part(23, "dropdown", "model", "model", models),
            Part(24, "checkbox", "shout", "shout", {"label": "Shout", "value": False}),
            Part(25, "textbox", "question", "message", {"value": None}),
            Part(26, "multimodaltextbox", "multimodal", "message", {"value": None}),
            Part(27, "state", "state"),
            Part(28, "state", "past"),
            Part(29, "textbox" if in_interface else "json", "answer", "", {"label": "Response"}),
            _slider(30, "Maximum length", "length", 0, 32768, 8192),
            _slider(31, "Top P", "top_p", 0, 1, 0.8),
            Part(32, "audio", "sound", "sound", {"label": "Sound"}),
        )
    }
    name, inputs, outputs = _INPUTS[shape]
    takes = tuple(parts[role] for role in inputs.split())
    gives = tuple(parts[role] for role in outputs.split())
    first = AppFunction(3, name, takes, gives, (takes[0].id, "submit"), shows=shape == "chain")
    if shape != "chain":
        return App(version, protocol, (first,))
    bot = (parts["chatbot"],)
    return App(version, protocol, (first, AppFunction(4, "bot", bot, bot, after=3)))
