"""The facts of the open platform's protocol that both halves use (``docs/wire/open-platform.md`` §1)."""

from __future__ import annotations

import re
from typing import Final

__all__ = [
    "CHAT_PATH",
    "EVENT_STREAM",
    "MAINLAND_MODELS",
    "MODELS",
    "MODELS_PATH",
    "QWEN_MODELS",
    "REASONING",
    "TOOL_STREAM",
]

CHAT_PATH: Final = "/chat/completions"
MODELS_PATH: Final = "/models"
EVENT_STREAM: Final = "text/event-stream"
REASONING: Final = "reasoning_content"
"""The platform's name of reasoning, in deltas and in messages; vLLM and Ollama call it ``reasoning`` (§5)."""

MODELS: Final = (
    "glm-5.3",
    "glm-5.2",
    "glm-5.1",
    "glm-5",
    "glm-5-turbo",
    "glm-4.7",
    "glm-4.7-flash",
    "glm-4.7-flashx",
    "glm-4.6",
    "glm-4.5",
    "glm-4.5-air",
    "glm-4.5-x",
    "glm-4.5-airx",
    "glm-4.5-flash",
    "glm-4-32b-0414-128k",
    "glm-5.3-flash",
    "glm-5.3-flashx",
    "glm-5v-turbo",
    "glm-4.6v",
    "glm-4.6v-flash",
    "glm-4.6v-flashx",
    "glm-4.5v",
)
MAINLAND_MODELS: Final = (*MODELS, "glm-4-long", "glm-4-flash-250414", "glm-4-flashx-250414")

TOOL_STREAM: Final = re.compile(r"glm-(?:4\.[67]|5(?:\.\d+)?)(?:-.+)?")
"""The text models that send the arguments of a tool call in fragments with ``tool_stream`` (§2.3)."""

QWEN_MODELS: Final = (
    "qwen-plus",
    "qwen-max",
    "qwen-flash",
    "qwen-turbo",
    "qwen3-max",
    "qwen3-coder-plus",
    "qwq-plus",
    "qwen-vl-max",
    "qwen-vl-plus",
)
"""The Qwen models of Alibaba's endpoint that are known here; the service lists more."""
