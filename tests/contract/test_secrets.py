"""Keys, tokens, cookies and what was said appear in no log, no representation, no error and no pickle."""

from __future__ import annotations

import logging
import pickle
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest

import glmclient
from glmclient import ConfigurationError, GLMError, RetryPolicy

from .flavours import Asking, Flavour
from .frames import chunk, data, said, snapshots
from .loopback import Script, Server, answer, stream
from .space import Space, failed, turn

Serve = Callable[..., Server]
ONCE = RetryPolicy(attempts=1)
CANARY = "canary-7Q2xW9"
KEY = f"id.{CANARY}"


def shown(error: BaseException) -> str:
    """Everything that an error report of an application may hold."""
    told = [str(error), repr(error), "".join(traceback.format_exception(error))]
    cause: BaseException | None = error
    while cause is not None:
        told += [str(cause), repr(cause), repr(vars(cause)), repr(cause.args)]
        cause = cause.__cause__ or cause.__context__
    return "\n".join([*told, pickle.dumps(error).decode("latin-1")])


def told(caplog: pytest.LogCaptureFixture, ours: bool = False) -> str:
    """What was logged, by all libraries or by ours alone."""
    return "\n".join(
        each.getMessage()
        for each in caplog.records
        if not ours or each.name.startswith("glmclient")
    )


FAILURES: dict[str, Script] = {
    "echo": answer(401, {"error": {"code": "1002", "message": f"wrong key Bearer {KEY}"}}),
    "plain": answer(400, f"Authorization: Bearer {KEY} is wrong", kind="text/plain"),
    "html": answer(500, f"<html><title>{KEY}</title></html>", kind="text/html"),
    "frame": stream(data({"error": {"code": "1302", "message": f"{KEY} is too fast"}})),
    "garbage": stream(f"data: what {KEY} is this\n\n".encode()),
    "header": answer(429, {"message": "slow"}, f"X-Request-Id: {KEY}"),
    "reset": lambda answering: answering.reset(),
    "cut": stream(chunk(said("half")), end=False),
    "redirect": answer(302, b"", f"Location: http://127.0.0.1:1/?key={KEY}", kind="text/plain"),
}


@pytest.mark.parametrize("name", FAILURES)
@pytest.mark.parametrize("service", ["zai", "bigmodel", "openai"])
def test_no_key_in_any_error_or_log(
    client: Flavour, serve: Serve, caplog: pytest.LogCaptureFixture, service: str, name: str
) -> None:
    server = serve(FAILURES[name])
    with caplog.at_level(logging.DEBUG):
        asking = client(service, api_key=KEY, base_url=server.url, model="m", retry=ONCE)
        with pytest.raises(GLMError) as caught:
            asking.chat("a question")
    assert CANARY in server.request.headers["authorization"]
    assert CANARY not in shown(caught.value)
    # What a server puts into its own headers, httpcore writes down on DEBUG.
    assert CANARY not in told(caplog, name in ("header", "redirect"))


@pytest.mark.parametrize("service", ["zai", "bigmodel", "openai", "qwen"])
def test_no_key_in_any_representation(client: Flavour, serve: Serve, service: str) -> None:
    server = serve(stream(chunk(said("hi"), "stop")))
    asking = client(service, api_key=KEY, base_url=server.url, model="qwen-2.5")
    reading = asking.stream("hi")
    for value in (asking.client, asking.client.provider, reading.stream, vars(asking.client)):
        assert CANARY not in repr(value)
        assert CANARY not in str(value)
    assert CANARY.encode() not in pickle.dumps(asking.client)
    reading.close()


def test_provider_objects_hide_their_keys() -> None:
    for provider in (
        glmclient.Zai(api_key=KEY),
        glmclient.BigModel(api_key=KEY),
        glmclient.Gradio(api_key=KEY),
        glmclient.OpenAICompatible(api_key=KEY, base_url="http://127.0.0.1:1"),
    ):
        assert CANARY not in repr(provider)
        assert CANARY not in repr(vars(provider))
        with pytest.raises(TypeError, match="never pickled"):
            pickle.dumps(provider)


def ask(asking: Asking, question: str) -> None:
    with suppress(GLMError):
        asking.chat(question)


@pytest.mark.parametrize("service", ["chatglm", "zai", "qwen"])
@pytest.mark.parametrize("good", [True, False])
def test_what_was_said_is_in_no_log(
    client: Flavour, serve: Serve, caplog: pytest.LogCaptureFixture, service: str, good: bool
) -> None:
    whole = {
        "chatglm": stream(*snapshots(f"answer {CANARY}")),
        "zai": stream(
            chunk(said(f"answer {CANARY}")), chunk(said(""), "stop"), b"data: [DONE]\n\n"
        ),
        "qwen": Space(turn(f"answer {CANARY}")),
    }[service]
    half = {
        "chatglm": stream(
            *snapshots(f"answer {CANARY}")[:-1], b"data: {" + CANARY.encode() + b"\n\n"
        ),
        "zai": stream(chunk(said(f"answer {CANARY}"))),
        "qwen": Space([*turn(f"answer {CANARY}")[:3], failed(f"no {CANARY}")]),
    }[service]
    server = serve(whole if good else half)
    key = {} if service == "chatglm" else {"api_key": "k"}
    with caplog.at_level(logging.DEBUG):
        ask(client(service, base_url=server.url, retry=ONCE, **key), f"question {CANARY}")
    assert any(each.name.startswith("glmclient") for each in caplog.records), "nothing is logged"
    assert CANARY not in caplog.text


def test_cookies_are_in_no_log_of_ours(
    client: Flavour, serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    space = Space(turn("hi"))
    with caplog.at_level(logging.DEBUG, "glmclient"):
        assert client("qwen", base_url=serve(space).url).chat("hi").text == "hi"
    assert "replica=abc" not in told(caplog)


def test_the_logger_has_no_handler_of_ours() -> None:
    logger = logging.getLogger("glmclient")
    assert [each for each in logger.handlers if not isinstance(each, logging.NullHandler)] == []
    assert logger.level == logging.NOTSET


@pytest.mark.parametrize("reachable", [True, False])
def test_the_proxys_password_is_nowhere(
    client: Flavour, serve: Serve, caplog: pytest.LogCaptureFixture, reachable: bool
) -> None:
    server = serve(answer(407, b"", kind="text/plain"))
    port = server.port if reachable else 9
    proxy = f"http://user:{CANARY}@127.0.0.1:{port}"
    with caplog.at_level(logging.DEBUG):
        asking = client(base_url="http://service.invalid", proxy=proxy, retry=ONCE)
        with pytest.raises(GLMError) as caught:
            asking.chat()
    assert CANARY not in shown(caught.value)
    assert CANARY not in repr(asking.client)
    assert CANARY.encode() not in pickle.dumps(asking.client)
    assert CANARY not in caplog.text


def test_a_base_url_with_a_password_is_refused(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*snapshots("hi")))
    url = server.url.replace("http://", f"http://user:{CANARY}@")
    with pytest.raises(ConfigurationError) as caught:
        client(base_url=url)
    assert CANARY not in str(caught.value)


def test_headers_of_the_caller_are_hidden(client: Flavour, serve: Serve) -> None:
    server = serve(answer(401, {"message": f"no {CANARY}"}))
    headers: dict[str, Any] = {"Authorization": f"Bearer {CANARY}", "Cookie": f"a={CANARY}"}
    asking = client(base_url=server.url, headers=headers, retry=ONCE)
    assert CANARY not in repr(asking.client)
    assert CANARY not in repr(asking.client.provider)
    assert CANARY.encode() not in pickle.dumps(asking.client)
    with pytest.raises(GLMError) as caught:
        asking.chat()
    assert CANARY not in shown(caught.value)
