"""`help()` shows the full signatures and docstrings of both clients, although each is written once."""

from __future__ import annotations

import inspect

import pytest

from glmclient import AsyncClient, AsyncConversation, Conversation, SyncClient
from glmclient.clients.base import _NOT_OPTIONS
from glmclient.options import ChatOptions, QuestionArguments, TurnArguments

CLIENTS = (SyncClient, AsyncClient)
CONVERSATIONS = (Conversation, AsyncConversation)


def parameters(function: object) -> dict[str, inspect.Parameter]:
    assert callable(function)
    return dict(inspect.signature(function).parameters)


@pytest.mark.parametrize(
    "method", ["stream", "chat", "run", "conversation", "map", "batch", "models"]
)
def test_both_clients_show_the_same_arguments_and_text(method: str) -> None:
    blocking, asynchronous = (getattr(client, method) for client in CLIENTS)
    assert parameters(blocking) == parameters(asynchronous)
    assert blocking.__doc__ == asynchronous.__doc__
    assert blocking.__doc__


@pytest.mark.parametrize("method", ["stream", "chat", "run"])
def test_both_conversations_show_the_same_arguments_and_text(method: str) -> None:
    blocking, asynchronous = (getattr(kind, method) for kind in CONVERSATIONS)
    assert parameters(blocking) == parameters(asynchronous)
    assert blocking.__doc__ == asynchronous.__doc__
    assert blocking.__doc__


@pytest.mark.parametrize("client", CLIENTS)
def test_the_arguments_of_a_question_are_shown_one_by_one(client: type) -> None:
    shown = parameters(client.chat)  # type: ignore[attr-defined]
    assert shown.keys() >= {"messages", "schema", "repair", *_NOT_OPTIONS}
    assert shown["model"].default is None
    assert shown["repair"].default == 1
    assert repr(shown["timeout"].default) == repr(shown["retry"].default) == "<the client's own>"


def test_the_arguments_that_are_shown_are_those_that_type_checkers_know() -> None:
    assert (
        QuestionArguments.__annotations__.keys() - ChatOptions.__annotations__.keys()
        == _NOT_OPTIONS
    )
    own = parameters(Conversation.stream).keys() - {"self", "said", "schema", "options"}
    assert own == TurnArguments.__annotations__.keys() - ChatOptions.__annotations__.keys()


def test_the_return_annotation_is_the_clients_own() -> None:
    shown = [inspect.signature(client.stream).return_annotation for client in CLIENTS]
    assert shown == ["Stream", "AsyncStream"]
