"""Let a model of the open platform call Python functions until it has its answer.

ZAI_API_KEY=... python examples/tool_loop.py Which of Beijing and Shanghai is warmer now?
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from glmclient import Conversation, GLMError, Reply, SyncClient, ToolCall

ROUNDS = 8
"""How often the model may ask for tools before it is stopped."""


def temperature(city: str) -> dict[str, Any]:
    """Return the temperature in a city; a real program would ask a weather service."""
    known = {"Beijing": 21, "Shanghai": 26}
    return {"city": city, "celsius": known[city]}


TOOLS: dict[str, Callable[..., Any]] = {"temperature": temperature}
DESCRIPTIONS = [
    {
        "type": "function",
        "function": {
            "name": "temperature",
            "description": "The temperature in a city, in degrees Celsius.",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


def result_of(call: ToolCall) -> dict[str, Any]:
    """Call the function that the model asks for, and return the message that tells it the result.

    What the model got wrong is told to it as well: most often it then does better.
    """
    try:
        result = TOOLS[call.name](**call.parse_arguments())
    except (GLMError, KeyError, TypeError) as error:
        result = {"error": f"{type(error).__name__}: {error}"}
    print(f"{call.name}({call.arguments}) -> {result}", file=sys.stderr)
    return {"role": "tool", "tool_call_id": call.id, "content": json.dumps(result)}


def answered(conversation: Conversation, question: str) -> Reply:
    """Ask, and go on with the results of tools until the model has no more wishes."""
    reply = conversation.chat(question)
    for _ in range(ROUNDS):
        if not reply.tool_calls:
            break
        reply = conversation.chat([result_of(call) for call in reply.tool_calls])
    return reply


def main(question: str) -> int:
    try:
        with SyncClient("zai") as client:
            print(answered(client.conversation(tools=DESCRIPTIONS), question).text)
    except GLMError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(" ".join(sys.argv[1:]) or "Which of Beijing and Shanghai is warmer now?"))
