"""The choice of a tool, for services that cannot be told to call one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..messages import Message
from ..providers.base import Provider

__all__ = ["with_tool_choice"]


def with_tool_choice(
    provider: Provider, messages: Sequence[Message], options: dict[str, Any]
) -> tuple[list[Message], dict[str, Any]]:
    """Return messages and options that ask for the choice in the strictest form that the service takes.

    A choice that the service cannot be given becomes a system message, and ``none`` leaves the tools out. Libraries
    force tools to get structured answers, so refusing the choice would make those impossible.

    Args:
        provider: says what the service takes.
        messages: the question.
        options: ``tool_choice`` is one of ``auto``, ``none``, ``required`` or a mapping that names a function.
    """
    choice, takes = options.get("tool_choice"), provider.supports.tool_choice
    unforced = {name: value for name, value in options.items() if name != "tool_choice"}
    if not options.get("tools") or choice in (None, "auto"):
        return [*messages], unforced
    if takes == "required":
        return [*messages], options
    if choice == "none":
        del unforced["tools"]
        return [*messages], unforced
    names = (
        [choice["function"]["name"]]
        if isinstance(choice, dict)
        else [tool["function"]["name"] for tool in options["tools"] if "function" in tool]
    )
    if takes == "named" and len(names) == 1:
        named = {"type": "function", "function": {"name": names[0]}}
        return [*messages], {**unforced, "tool_choice": named}
    one = "the tool" if len(names) == 1 else "one or more of the tools"
    instruction = f"Answer with a call of {one} {', '.join(names)}, and without any text."
    return [{"role": "system", "content": instruction}, *messages], unforced
