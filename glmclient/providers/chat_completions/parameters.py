"""The parameters of a chat on the platform and on compatible servers: their types, checks and refusals.

What the platform documents for every model is checked before anything is sent; what depends on the model is the
service's to say (``docs/wire/open-platform.md`` §1.4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal, TypedDict

from .checks import (
    Check,
    flag,
    mapping,
    mappings,
    number,
    one_answer,
    one_of,
    openai_format,
    platform_format,
    platform_tools,
    stop_text,
    stop_words,
    text,
    text_or_mapping,
    thinking,
    whole_number,
)

__all__ = [
    "DASHSCOPE",
    "DASHSCOPE_REFUSED",
    "OPENAI",
    "OPENAI_REFUSED",
    "PLATFORM",
    "PLATFORM_REFUSED",
    "PlatformOptions",
]

MAX_TOKENS = 131_072


class PlatformOptions(TypedDict, total=False):
    """What the platform and compatible servers take beside the question."""

    # the platform and compatible servers
    temperature: float | None
    top_p: float | None
    max_tokens: int | None
    stop: str | Sequence[str] | None
    seed: int | None
    reasoning_effort: str | None
    tools: Iterable[Mapping[str, Any] | Callable[..., Any]] | None
    tool_choice: str | Mapping[str, Any] | None
    response_format: str | Mapping[str, Any] | None
    stream_options: Mapping[str, Any] | None
    extra_body: Mapping[str, Any] | None
    think_tags: bool | None
    # the platform alone
    do_sample: bool | None
    thinking: bool | Literal["enabled", "disabled"] | Mapping[str, Any] | None
    tool_stream: bool | None
    user_id: str | None
    request_id: str | None
    sensitive_word_check: Mapping[str, Any] | None
    watermark_enabled: bool | None
    meta: Mapping[str, Any] | None
    extra: Mapping[str, Any] | None
    # compatible servers alone
    max_completion_tokens: int | None
    frequency_penalty: float | None
    presence_penalty: float | None
    logit_bias: Mapping[str, float] | None
    logprobs: bool | None
    top_logprobs: int | None
    n: int | None
    parallel_tool_calls: bool | None
    user: str | None
    metadata: Mapping[str, Any] | None
    service_tier: str | None
    store: bool | None
    verbosity: str | None
    # Alibaba's endpoint for Qwen alone
    enable_thinking: bool | None
    thinking_budget: int | None
    enable_search: bool | None
    search_options: Mapping[str, Any] | None
    top_k: int | None
    repetition_penalty: float | None


PLATFORM: Mapping[str, Check] = {
    "temperature": number(0, 1),
    "top_p": number(0.01, 1),
    "max_tokens": whole_number(1, MAX_TOKENS),
    "stop": stop_words,
    "seed": whole_number(),
    "reasoning_effort": one_of("max", "xhigh", "high", "medium", "low", "minimal", "none"),
    "tools": platform_tools,
    "tool_choice": one_of(
        "auto",
        instead=(
            "The platform documents no other: to forbid tools leave them out, to force one say so in the prompt. Some "
            "models (glm-4.5-air) follow a forced choice, and others (glm-4.6) never answer: to send it all the same, "
            "give extra_body={'tool_choice': ...}."
        ),
    ),
    "response_format": platform_format,
    "stream_options": mapping,
    "do_sample": flag,
    "thinking": thinking,
    "tool_stream": flag,
    "user_id": text(6, 128),
    "request_id": text(6, 64),
    "sensitive_word_check": mapping,
    "watermark_enabled": flag,
    "meta": mapping,
    "extra": mapping,
}
"""What the platform takes."""

OPENAI: Mapping[str, Check] = {
    "temperature": number(),
    "top_p": number(),
    "max_tokens": whole_number(),
    "max_completion_tokens": whole_number(),
    "stop": stop_text,
    "seed": whole_number(),
    "reasoning_effort": text(),
    "tools": mappings,
    "tool_choice": text_or_mapping,
    "parallel_tool_calls": flag,
    "response_format": openai_format,
    "stream_options": mapping,
    "frequency_penalty": number(),
    "presence_penalty": number(),
    "logit_bias": mapping,
    "logprobs": flag,
    "top_logprobs": whole_number(),
    "n": one_answer,
    "user": text(),
    "metadata": mapping,
    "service_tier": text(),
    "store": flag,
    "verbosity": text(),
}
"""What compatible servers take; their limits are theirs to say."""

_STATELESS = (
    "the service keeps no conversation: give the whole of it as messages, [*messages, reply.message(), "
    "{'role': 'user', 'content': ...}]."
)
_SAMPLING = "the platform has no such parameter; use temperature or top_p."

PLATFORM_REFUSED: Mapping[str, str] = {
    "conversation_id": _STATELESS,
    "continuation": _STATELESS,
    "max_completion_tokens": "use max_tokens, which counts the reasoning too.",
    "n": "a stream has one answer; ask several times.",
    "user": "use user_id, of 6 to 128 characters.",
    "frequency_penalty": _SAMPLING,
    "presence_penalty": _SAMPLING,
    "logit_bias": _SAMPLING,
    "logprobs": "the platform does not tell probabilities.",
    "top_logprobs": "the platform does not tell probabilities.",
    "parallel_tool_calls": "the model decides itself how many tools it calls; say it in the prompt.",
    "functions": "use tools=[{'type': 'function', 'function': ...}].",
    "function_call": "use tools and tool_choice.",
    "enable_thinking": "use thinking=True or False.",
    "chat_template_kwargs": "use thinking=True or False; chat_template_kwargs is for vLLM and SGLang.",
}
"""What people know from elsewhere, and what to use on the platform."""

_IN_EXTRA_BODY = "it is this server's own; give it as extra_body={{{0!r}: ...}}."
_OWN_TO_SERVERS = (
    "top_k",
    "min_p",
    "repetition_penalty",
    "chat_template_kwargs",
    "structured_outputs",
    "separate_reasoning",
)

OPENAI_REFUSED: Mapping[str, str] = {
    "conversation_id": _STATELESS,
    "continuation": _STATELESS,
    "thinking": (
        "compatible servers have no such parameter. vLLM and SGLang take "
        "extra_body={'chat_template_kwargs': {'enable_thinking': False}}; Ollama takes reasoning_effort='none'."
    ),
    "do_sample": "use temperature=0 for answers without chance.",
    "tool_stream": "compatible servers stream tool calls without being asked; leave it out.",
    "user_id": "use user.",
    "request_id": "give headers={'X-Request-Id': ...} to the client.",
    "functions": "use tools=[{'type': 'function', 'function': ...}].",
    "function_call": "use tools and tool_choice.",
    # vLLM 0.12 removed it.
    "guided_json": (
        "use response_format={'type': 'json_schema', 'json_schema': ...}; vLLM also takes "
        "extra_body={'structured_outputs': {'json': ...}}."
    ),
    **{name: _IN_EXTRA_BODY.format(name) for name in _OWN_TO_SERVERS},
}
"""What people know from elsewhere, and what to use on compatible servers."""

DASHSCOPE: Mapping[str, Check] = {
    **{name: check for name, check in OPENAI.items() if name not in ("store", "verbosity")},
    "enable_thinking": flag,
    "thinking_budget": whole_number(1),
    "enable_search": flag,
    "search_options": mapping,
    "top_k": whole_number(0),
    "repetition_penalty": number(),
}
"""What Alibaba's endpoint for Qwen takes."""

DASHSCOPE_REFUSED: Mapping[str, str] = {
    **{
        name: advice
        for name, advice in OPENAI_REFUSED.items()
        if name not in (*DASHSCOPE, "chat_template_kwargs", "guided_json", "structured_outputs")
    },
    "chat_template_kwargs": "use enable_thinking=True or False; chat_template_kwargs is for vLLM and SGLang.",
    "guided_json": "use response_format={'type': 'json_schema', 'json_schema': ...}.",
    "thinking": "use enable_thinking=True or False, and thinking_budget for the number of tokens.",
}
"""What people know from elsewhere, and what to use on Alibaba's endpoint."""
