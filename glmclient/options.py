"""The options of a question, typed; each provider takes some of them and refuses the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

__all__ = ["ChatOptions"]


class ChatOptions(TypedDict, total=False):
    """What ``stream`` and ``chat`` take beside the question; the providers' pages say who takes what."""

    # every provider
    include_unknown: bool
    include_status: bool
    # services that keep the conversation
    conversation_id: str | None
    continuation: str | None
    # ChatGLM
    assistant_id: str | None
    mode: Literal["auto", "snapshot", "delta"] | None
    # Gradio Spaces
    fn_index: int | None
    trigger_id: int | None
    # the open platform and compatible servers
    temperature: float | None
    top_p: float | None
    do_sample: bool | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    thinking: bool | str | Mapping[str, Any] | None
    reasoning_effort: str | None
    tools: Sequence[Mapping[str, Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    tool_stream: bool | None
    response_format: str | Mapping[str, Any] | None
    user_id: str | None
    request_id: str | None
    think_tags: bool | None
    extra_body: Mapping[str, Any] | None
