"""The arguments of a question, typed; each provider takes some of the options and refuses the others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from .providers.chat_completions.parameters import PlatformOptions

if TYPE_CHECKING:
    from .core.limits import Timeout
    from .core.retry import RetryPolicy
    from .events import Finish
    from .reply import Reply

__all__ = ["ChatOptions", "QuestionArguments", "TurnArguments"]


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
    # Gradio apps
    function: str | int | None
    inputs: Mapping[str, Any] | None
    fn_index: int | None
    trigger_id: int | None


class TurnArguments(ChatOptions, total=False):
    """The keyword arguments of one turn of a conversation: how it is sent, and the options of the provider.

    An argument that is left out is the conversation's or the client's own; ``None`` is a value of its own.
    """

    model: str | None
    timeout: Timeout | float | None
    retry: RetryPolicy | None


class QuestionArguments(TurnArguments, total=False):
    """The keyword arguments of one question to a client."""

    continue_from: Reply | Finish | None
