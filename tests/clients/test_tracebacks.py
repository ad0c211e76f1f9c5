"""No key is in a traceback with locals, and no half-made object fails to describe itself."""

from __future__ import annotations

import copy
import pickle
import traceback
from collections.abc import Callable
from typing import Any

import pytest

import glmclient
from glmclient import (
    AsyncClient,
    ChatGLM,
    ConfigurationError,
    Gradio,
    Limiter,
    Provider,
    SyncClient,
    Zai,
)
from glmclient.cassette import Replay
from glmclient.conversations.conversation import Conversation
from glmclient.runs.sync_run import Run
from glmclient.simulator import Script, Simulator
from glmclient.streams.async_stream import AsyncStream
from glmclient.streams.sync_stream import Stream

KEY = "canary-0123456789"
BAD = [f"{KEY}\n", f"{KEY}\u4e2d", f"{KEY}\x00"]
MAKERS: dict[str, Callable[[str], Any]] = {
    "SyncClient": lambda key: SyncClient("zai", api_key=f"a{key}b"),
    "AsyncClient": lambda key: AsyncClient("bigmodel", api_key=f"a{key}b"),
    "a token": lambda key: SyncClient("qwen", api_key=f"a{key}b"),
    "dashscope": lambda key: SyncClient("dashscope", api_key=f"a{key}b"),
    "Zai": lambda key: Zai(api_key=f"a{key}b"),
    "Gradio": lambda key: Gradio(api_key=f"a{key}b"),
    "a guest": lambda key: SyncClient("chatglm", api_key=key),
    "another argument": lambda key: SyncClient("zai", api_key=KEY, base_url="ftp://x"),
    "a model": lambda key: SyncClient("zai", api_key=KEY, model=""),
    "a retry": lambda key: AsyncClient("zai", api_key=KEY, retry=5),  # type: ignore[arg-type]
    "an unknown service": lambda key: SyncClient("zay", api_key=KEY),
    "a provider object": lambda key: SyncClient(ChatGLM(), api_key=KEY),
    "headers": lambda key: SyncClient(headers={"Authorization": key}),
    "headers of a provider": lambda key: ChatGLM(headers={"Cookie": key}),
    "a proxy": lambda key: SyncClient(proxy=f"http://user:{KEY}@"),
    "an address": lambda key: SyncClient(base_url=f"http://user:{KEY}@host"),
    "a certificate": lambda key: SyncClient("zai", api_key=KEY, verify="/does/not/exist"),
}


def with_locals(error: BaseException) -> str:
    """What tools show that report the variables of each frame, except those of this test."""
    shown = [str(error), repr(error), repr(vars(error)), repr(error.args)]
    for frame, _ in traceback.walk_tb(error.__traceback__):
        if frame.f_code.co_filename != __file__:
            shown += [repr(value) for value in frame.f_locals.values()]
    for other in (error.__cause__, error.__context__):
        shown += [with_locals(other)] if other is not None else []
    return "\n".join(shown)


@pytest.mark.parametrize("bad", BAD, ids=["line end", "letter", "NUL"])
@pytest.mark.parametrize("name", MAKERS)
def test_a_refused_argument_is_in_no_frame(name: str, bad: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        MAKERS[name](bad)
    assert KEY not in with_locals(caught.value)


@pytest.mark.parametrize("client", [SyncClient, AsyncClient])
def test_an_argument_that_does_not_exist(client: Any) -> None:
    with pytest.raises(TypeError) as caught:
        client("zai", api_key=KEY, novelty=1)
    assert KEY not in with_locals(caught.value)


@pytest.mark.parametrize("variable", ["ZAI_API_KEY", "HF_TOKEN"])
def test_a_key_of_the_environment(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, f"{KEY}\u00e9")
    with pytest.raises(ConfigurationError, match=variable) as caught:
        SyncClient("zai" if variable == "ZAI_API_KEY" else "qwen")
    assert KEY not in with_locals(caught.value)


def test_a_fault_of_a_third_party_keeps_its_frames() -> None:
    class Faulty(ChatGLM):
        def __init__(self, *, api_key: str) -> None:
            raise KeyError("a fault")

    with pytest.raises(KeyError) as caught:
        Faulty(api_key=KEY)
    names = [frame.f_code.co_name for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    assert names[-2:] == ["hiding", "__init__"]


def test_constructors_keep_their_signatures() -> None:
    import inspect

    assert "api_key" in inspect.signature(SyncClient).parameters
    assert "api_key" in inspect.signature(Zai).parameters
    assert inspect.signature(Provider.__init__).parameters["base_url"].kind.name == "KEYWORD_ONLY"


CLASSES = [
    *(SyncClient, AsyncClient, ChatGLM, Zai, Gradio, Stream, AsyncStream, Run, Conversation),
    *(Limiter, Replay, Simulator, Script),
]


@pytest.mark.parametrize("cls", CLASSES)
def test_an_object_that_was_not_made_describes_itself(cls: Any) -> None:
    made = cls.__new__(cls)
    assert repr(made) == f"<{cls.__name__}, not completely made>"
    del made


def test_a_failing_constructor_leaves_an_object_that_describes_itself() -> None:
    caught: list[Any] = []

    class Mine(SyncClient):
        def __init__(self, **options: Any) -> None:
            caught.append(self)
            super().__init__(**options)

    with pytest.raises(ConfigurationError):
        Mine(provider="zai", api_key=f"{KEY}\n!")
    assert "not completely made" in repr(caught[0])


def test_every_error_still_travels() -> None:
    with pytest.raises(ConfigurationError) as caught:
        SyncClient("zai", api_key=f"{KEY}\n!")
    for twin in (pickle.loads(pickle.dumps(caught.value)), copy.copy(caught.value)):
        assert str(twin) == str(caught.value) and isinstance(twin, glmclient.GLMError)
