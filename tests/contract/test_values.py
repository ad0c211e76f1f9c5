"""Events, errors, replies and usage are plain values; importing them costs nothing."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import json
import pickle
import re
import subprocess
import sys
import typing
from typing import Any

import pytest

import glmclient
from glmclient import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    Finish,
    GLMError,
    LimitExceeded,
    NotFoundError,
    PermissionDeniedError,
    ProtocolError,
    QuotaExceededError,
    RateLimitError,
    ReasoningDelta,
    Reply,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
    StreamMisuse,
    TextDelta,
    TextReplace,
    ToolCallDelta,
    Unknown,
    Usage,
)

EVENTS = [
    TextDelta("a"),
    ReasoningDelta("b"),
    TextReplace(3, "c"),
    ToolCallDelta(0, "call_1", "weather", '{"a":1}'),
    Finish("stop"),
    Finish("length", Usage(1, 2, 3)),
    Unknown("hologram", "{}"),
]

HIERARCHY = {
    GLMError: Exception,
    ConfigurationError: ValueError,
    APIConnectionError: GLMError,
    APITimeoutError: APIConnectionError,
    APIStatusError: GLMError,
    BadRequestError: APIStatusError,
    AuthenticationError: APIStatusError,
    PermissionDeniedError: APIStatusError,
    NotFoundError: APIStatusError,
    RateLimitError: APIStatusError,
    QuotaExceededError: APIStatusError,
    ServiceBlockedError: APIStatusError,
    ServerError: APIStatusError,
    ProtocolError: GLMError,
    LimitExceeded: ProtocolError,
    StreamInterrupted: GLMError,
    StreamMisuse: RuntimeError,
}


@pytest.mark.parametrize("event", EVENTS, ids=repr)
def test_events_are_frozen_slotted_comparable_and_picklable(event: Any) -> None:
    assert dataclasses.is_dataclass(event)
    name = dataclasses.fields(event)[0].name
    with pytest.raises((dataclasses.FrozenInstanceError, AttributeError)):
        setattr(event, name, "x")
    with pytest.raises((AttributeError, TypeError)):
        event.other = 1
    assert not hasattr(event, "__dict__")
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        assert pickle.loads(pickle.dumps(event, protocol)) == event
    assert copy.copy(event) == copy.deepcopy(event) == event
    assert hash(event) == hash(copy.copy(event))
    assert event != "a"
    assert repr(event).startswith(type(event).__name__ + "(")


def test_events_of_different_kinds_differ() -> None:
    assert TextDelta("a") == TextDelta("a")
    assert TextDelta("a") != TextDelta("b")
    assert TextDelta("a") != ReasoningDelta("a")
    assert Finish("stop") == Finish("stop")
    assert Finish("stop") != Finish("length")
    assert len({*EVENTS, *EVENTS}) == len(EVENTS)


def test_events_match_by_position() -> None:
    def told(event: Any) -> Any:
        match event:
            case TextDelta(text):
                return text
            case ReasoningDelta(text):
                return text
            case TextReplace(start, text):
                return start, text
            case ToolCallDelta(index, id, name, arguments):
                return index, id, name, arguments
            case Finish(reason, usage):
                return reason, usage
            case Unknown(name, data):
                return name, data

    assert [told(event) for event in EVENTS] == [
        "a",
        "b",
        (3, "c"),
        (0, "call_1", "weather", '{"a":1}'),
        ("stop", None),
        ("length", Usage(1, 2, 3)),
        ("hologram", "{}"),
    ]


def test_finish_usage_and_reply_hold_what_is_documented() -> None:
    finish = Finish("stop")
    assert finish.usage is None
    for name in ("raw_reason", "model", "response_id", "conversation_id", "request_id"):
        assert getattr(finish, name) is None
    usage = Usage(1, 2, 3)
    assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (1, 2, 3)
    reply = Reply("a", "b", (), finish)
    assert (reply.text, reply.reasoning, reply.tool_calls, reply.finish) == ("a", "b", (), finish)
    assert pickle.loads(pickle.dumps(reply)) == reply


def test_the_reasons_are_the_documented_ones() -> None:
    assert set(typing.get_args(glmclient.FinishReason)) == {
        *("stop", "length", "tool_calls", "content_filter", "other"),
    }


@pytest.mark.parametrize("kind", HIERARCHY, ids=lambda kind: kind.__name__)
def test_the_hierarchy_of_errors(kind: type[GLMError]) -> None:
    assert issubclass(kind, HIERARCHY[kind])
    assert issubclass(kind, GLMError)
    error = kind("what happened")
    assert str(error) == "what happened"
    assert error.partial.text == ""
    assert (error.request_id, error.attempts, error.retryable) == (None, 0, False)


def test_errors_of_a_refusal_hold_what_is_documented() -> None:
    for name in ("status_code", "code", "message", "body", "retry_after"):
        assert hasattr(APIStatusError("x"), name)
    assert APITimeoutError("x", limit="idle").limit == "idle"
    assert ProtocolError("x", frame="y").frame == "y"


@pytest.mark.parametrize("kind", HIERARCHY, ids=lambda kind: kind.__name__)
def test_errors_are_picklable(kind: type[GLMError]) -> None:
    reply = Reply("so far", "", (), None)
    error = kind("what happened", partial=reply, request_id="r", attempts=2, retryable=True)
    back = pickle.loads(pickle.dumps(error))
    assert type(back) is kind
    assert vars(back) == vars(error)
    assert back.args == error.args
    assert copy.copy(error).partial == reply


def test_a_refusal_is_not_a_connection_error() -> None:
    assert not issubclass(APIStatusError, APIConnectionError)
    assert not issubclass(QuotaExceededError, RateLimitError)
    assert not issubclass(StreamInterrupted, APIConnectionError)


# -- what importing costs --------------------------------------------------------------------------


def loaded(code: str) -> set[str]:
    program = f"{code}\nimport sys, json; print(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(run.stdout)}


def test_importing_loads_no_library() -> None:
    heavy = {"requests", "urllib3", "httpx", "httpcore", "anyio", "trio", "asyncio", "ssl"}
    assert loaded("import glmclient") & heavy == set()
    errors = (
        "from glmclient import TextDelta, Finish, GLMError, APITimeoutError, Timeout, RetryPolicy"
    )
    assert loaded(errors) & heavy == set()


def test_each_client_loads_its_own_library_alone() -> None:
    assert loaded("from glmclient import SyncClient; SyncClient()") & {"httpx", "anyio"} == set()
    assert "requests" not in loaded("from glmclient import AsyncClient; AsyncClient()")


def test_nothing_public_is_a_librarys() -> None:
    foreign = re.compile(r"\b(requests|urllib3|httpx|httpcore|anyio|trio)\b")
    for name in glmclient.__all__:
        value = getattr(glmclient, name)
        module = getattr(value, "__module__", "") or ""
        assert not foreign.match(module), name
        if isinstance(value, type):
            for attribute, member in inspect.getmembers(value):
                if not attribute.startswith("_") and callable(member):
                    try:
                        signature = str(inspect.signature(member))
                    except ValueError:
                        continue
                    assert not foreign.search(signature), f"{name}.{attribute}{signature}"


def test_the_package_is_typed_and_has_a_version() -> None:
    from importlib.resources import files

    assert (files("glmclient") / "py.typed").is_file()
    assert re.fullmatch(r"\d+\.\d+.*", glmclient.__version__)
