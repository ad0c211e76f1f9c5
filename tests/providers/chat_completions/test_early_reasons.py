"""A finish reason beside a tool call may come before further calls: a break after it is not the end of the answer."""

from __future__ import annotations

import pytest

from glmclient.core.retry import RetryPolicy
from glmclient.errors import GLMError, ProtocolError, StreamInterrupted, TransportFailure
from glmclient.providers.chat_completions.provider import Zai
from tests.providers.chat_completions.driving import Answered, ask, frames

CALL = {"index": 0, "id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
EARLY = {"choices": [{"index": 0, "finish_reason": "tool_calls", "delta": {"tool_calls": [CALL]}}]}


@pytest.mark.parametrize(
    ("rest", "expected"),
    [
        ([TransportFailure("broken", "cut")], StreamInterrupted),
        ([b"data: not JSON\n\n"], ProtocolError),
    ],
)
def test_a_break_after_an_early_reason_is_an_error(
    rest: list[bytes | TransportFailure], expected: type[GLMError]
) -> None:
    body = [frames(EARLY, done=False), *rest]
    turn = ask(Zai(api_key="id.secret"), [Answered(body=body)], retry=RetryPolicy(attempts=1))
    assert type(turn.error) is expected
    assert turn.error.partial.tool_calls[0].name == "f"
