"""Errors are plain data, and one family."""

from __future__ import annotations

import copy
import inspect
import pickle
from typing import Any

import pytest

import glmclient
from glmclient import (
    APIConnectionError,
    APIStatusError,
    APITimeoutError,
    ConfigurationError,
    GLMError,
    GuestQuotaError,
    LimitExceeded,
    ProtocolError,
    QuotaExceededError,
    Reply,
    ServiceBlockedError,
    StreamCancelled,
    StreamInterrupted,
    StreamMisuse,
    TextDelta,
    TransportFailure,
)

CLASSES: list[type[GLMError]] = [
    value
    for name in glmclient.__all__
    if isinstance(value := getattr(glmclient, name), type) and issubclass(value, GLMError)
]
KNOWN: dict[str, Any] = {
    "partial": Reply("half an answer"),
    "request_id": "r-1",
    "attempts": 2,
    "retryable": True,
}
OWN: dict[type[GLMError], dict[str, Any]] = {
    APITimeoutError: {"limit": "idle", "seconds": 3.0, "elapsed": 4.5},
    APIStatusError: {
        "status_code": 429,
        "code": "1302",
        "body": "{}",
        "retry_after": 9.0,
    },
    ProtocolError: {"frame": "data: ?"},
    LimitExceeded: {"limit": "line", "maximum": 5, "actual": 6},
}


def arguments(kind: type[GLMError]) -> dict[str, Any]:
    given = dict(KNOWN)
    for base in kind.__mro__:
        given.update(OWN.get(base, {}))
    return given


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_is_plain_data(kind: type[GLMError]) -> None:
    given = arguments(kind)
    error = kind("what happened", **given)
    assert str(error) == "what happened"
    for copied in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(copied) is kind
        assert str(copied) == "what happened"
        assert copied.args == error.args
        assert {name: getattr(copied, name) for name in given} == given
        assert vars(copied) == vars(error)


@pytest.mark.parametrize("kind", CLASSES)
def test_every_error_can_be_made_of_nothing(kind: type[GLMError]) -> None:
    error = kind()
    assert error.partial == Reply()
    assert error.partial.text == ""
    assert error.request_id is None
    assert error.attempts == 0
    assert error.retryable is False
    assert pickle.loads(pickle.dumps(error)).partial == Reply()


@pytest.mark.parametrize("kind", CLASSES)
def test_what_is_known_is_given_by_name(kind: type[GLMError]) -> None:
    parameters = list(inspect.signature(kind).parameters.values())
    assert parameters[0].name == "message"
    assert all(p.kind in (p.KEYWORD_ONLY, p.VAR_KEYWORD) for p in parameters[1:])


def test_the_family() -> None:
    assert issubclass(ConfigurationError, ValueError)
    assert issubclass(StreamMisuse, RuntimeError)
    assert issubclass(APITimeoutError, APIConnectionError)
    assert issubclass(LimitExceeded, ProtocolError)
    assert issubclass(StreamCancelled, StreamInterrupted)
    assert issubclass(GuestQuotaError, QuotaExceededError)
    assert issubclass(GuestQuotaError, ServiceBlockedError)
    assert not issubclass(TransportFailure, GLMError)
    assert not issubclass(GLMError, (OSError, EOFError))


def test_the_service_s_words_are_the_message() -> None:
    assert APIStatusError("S refused: slow. Wait.", reason="slow").message == "slow"
    assert APIStatusError("S refused").message == "S refused"


def test_a_partial_answer_survives_pickling() -> None:
    error = StreamInterrupted("cut", partial=Reply("你好", finish=None))
    assert pickle.loads(pickle.dumps(error)).partial.text == "你好"


def test_causes_are_left_behind() -> None:
    error = GLMError("x")
    error.__cause__ = TransportFailure("broken", "why")
    assert pickle.loads(pickle.dumps(error)).__cause__ is None


def test_a_note_survives_pickling() -> None:
    error = GLMError("x")
    error.__notes__ = ["seen on Tuesday"]  # add_note, which Python 3.10 does not have
    assert pickle.loads(pickle.dumps(error)).__notes__ == ["seen on Tuesday"]


def test_a_transport_failure_is_two_words() -> None:
    failure = TransportFailure("broken", "the wire was cut")
    assert (failure.kind, failure.detail) == ("broken", "the wire was cut")
    assert str(failure) == "broken: the wire was cut"
    assert str(TransportFailure("cancelled")) == "cancelled"
    copied = pickle.loads(pickle.dumps(failure))
    assert (copied.kind, copied.detail) == (failure.kind, failure.detail)


def test_a_subclass_of_a_user_is_restored_without_its_constructor() -> None:
    error = Strict("x", 5)
    copied = pickle.loads(pickle.dumps(error))
    assert (type(copied), copied.number, copied.partial) == (Strict, 5, Reply())


class Strict(GLMError):
    """An error of a user, whose constructor takes more than a message."""

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number


def test_events_are_no_errors() -> None:
    assert not isinstance(TextDelta("x"), Exception)
