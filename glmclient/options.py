"""The options of a question, typed; each provider takes some of them and refuses the others."""

from __future__ import annotations

from typing import Literal

from .providers.chat_completions.parameters import PlatformOptions

__all__ = ["ChatOptions"]


class ChatOptions(PlatformOptions, total=False):
    """What ``stream`` and ``chat`` take beside the question; the providers' pages say who takes what.

    The parameters of the open platform and of compatible servers are inherited.
    """

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
