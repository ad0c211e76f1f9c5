"""Keys, tokens, cookies and prompts show nowhere; and the log says what happened, never what was said."""

from __future__ import annotations

import contextlib
import copy
import json
import logging
import pickle
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Iterator
from typing import Any

import pytest

from glmclient import ChatGLM, Gradio, Zai
from tests.faults.server import FaultServer, Peer, head
from tests.providers.chatglm.wire import HELLO, frame, part, snapshot, text

from .certificates import Authority
from .driver import Driver

KEY = "canary-key-0123456789.abcdef"
COOKIE = "canary-cookie-0123456789"
PROMPT = "canary prompt 你好"
ANSWER = "canary answer"
PROXY = "canary-proxy-password"


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    """Everything that any logger says, at any level."""
    kept: list[logging.LogRecord] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            kept.append(record)

    handler, root = Keeper(level=0), logging.getLogger()
    names = ["glmclient", "urllib3", "httpx", "httpcore", "requests", "asyncio", "trio", "h11"]
    levels = {name: logging.getLogger(name).level for name in [*names, "root"]}
    before = root.level
    for name in names:
        logging.getLogger(name).setLevel(1)
    root.setLevel(1)
    root.addHandler(handler)
    yield kept
    root.removeHandler(handler)
    root.setLevel(before)
    for name in names:
        logging.getLogger(name).setLevel(levels[name])


def said(record: logging.LogRecord) -> str:
    return f"{record.getMessage()} {record.args!r} {record.exc_info!r} {record.exc_text!r}"


def channels(error: BaseException | None) -> str:
    """Everything by which an error could tell."""
    if error is None:
        return ""
    shown = [str(error), repr(error), repr(error.args), repr(vars(error))]
    shown += traceback.format_exception(type(error), error, error.__traceback__)
    shown += traceback.TracebackException.from_exception(error, capture_locals=False).format()
    shown.append(repr(pickle.dumps(error)))
    shown.append(repr(vars(copy.copy(error))))
    seen = {id(error)}
    for other in (error.__cause__, error.__context__):
        if other is not None and id(other) not in seen:
            shown.append(channels(other))
    return "\n".join(shown)


def locals_of_ours(error: BaseException) -> str:
    """What the frames of this package, and of the libraries under it, hold and would show."""
    shown = []
    for step, _ in traceback.walk_tb(error.__traceback__):
        if "/tests/" not in step.f_code.co_filename:
            for name, value in step.f_locals.items():
                shown.append(f"{name}={value!r}")
    return "\n".join(shown)


def betray(peer: Peer) -> None:
    """Refuse with everything that was sent."""
    told = {**peer.request.headers, "prompt": "…"}
    peer.reply(
        401, json.dumps({"status": 401, "message": f"who is {told}?"}).encode(), "Set-Cookie: a=b"
    )


def break_off(peer: Peer) -> None:
    peer.reset()


def cut(peer: Peer) -> None:
    peer.stream(snapshot(ANSWER))


def garbage(peer: Peer) -> None:
    peer.send(b"what is this?\r\n\r\n")


def redirect(peer: Peer) -> None:
    peer.reply(307, b"", f"Location: http://127.0.0.1:9/?token={KEY}")


FAULTS = {
    "refused": betray,
    "reset": break_off,
    "cut": cut,
    "garbage": garbage,
    "redirected": redirect,
}


@pytest.mark.parametrize("fault", FAULTS)
async def test_no_error_tells_a_secret(
    driver: Driver, fault: str, records: list[logging.LogRecord]
) -> None:
    headers = {"Authorization": f"Bearer {KEY}", "Cookie": f"session={COOKIE}", "X-API-Key": KEY}
    with FaultServer(FAULTS[fault]) as server:
        async with driver.client(base_url=server.url, headers=headers, retry=None) as client:
            stream = client.stream(PROMPT)
            caught: BaseException | None = None
            try:
                await stream.until_done()
            except Exception as error:  # noqa: BLE001 - looked at below
                caught = error
            assert caught is not None
            sent = server.requests[0]
            assert sent.headers["authorization"] == f"Bearer {KEY}"  # it was there to be told
            assert PROMPT in json.dumps(sent.json(), ensure_ascii=False)
            shown = "\n".join(
                [
                    channels(caught),
                    locals_of_ours(caught),
                    repr(client),
                    repr(stream),
                    repr(client.provider),
                ]
            )
            for secret in (KEY, COOKIE, PROMPT):
                assert secret not in shown
            if fault != "cut":
                assert "canary" not in shown
    assert any(record.name.startswith("glmclient") for record in records)
    for record in records:
        # httpcore tells the heads of responses to who asks for its debugging; this one repeats the key in its own.
        of_the_service = record.name.startswith("httpcore") and fault == "redirected"
        for secret in (PROMPT, ANSWER) if of_the_service else (KEY, COOKIE, PROMPT, ANSWER):
            assert secret not in said(record)


async def test_a_good_answer_is_not_logged(
    driver: Driver, records: list[logging.LogRecord]
) -> None:
    frames = [frame("init", part(text(ANSWER))), frame("finish", part(text(f"{ANSWER}.")))]
    with FaultServer(
        lambda peer: peer.stream(*frames, fields=(f"Set-Cookie: c={COOKIE}",))
    ) as server:
        async with driver.client(base_url=server.url, headers={"Cookie": f"x={COOKIE}"}) as client:
            assert (await client.chat(PROMPT)).text == f"{ANSWER}."
    ours = [record for record in records if record.name.startswith("glmclient")]
    assert [record.levelname for record in ours] == ["DEBUG", "DEBUG", "INFO"]
    messages = [record.getMessage() for record in ours]
    assert messages[0].startswith(f"{server.url} answered 200 after 0.")
    assert messages[1].startswith("the answer began after 0.")
    assert messages[2].startswith("ended after 0.")
    for record in records:
        for secret in (PROMPT, ANSWER):
            assert secret not in said(record)
    # httpcore tells the heads of responses, cookies and all, to who asks for its debugging; ours never.
    assert not [record for record in ours if COOKIE in said(record)]


async def test_attempts_and_leaving_are_logged(
    driver: Driver, records: list[logging.LogRecord]
) -> None:
    def busy(peer: Peer) -> None:
        peer.reply(503, b"")

    with FaultServer(busy, lambda peer: peer.stream(*HELLO)) as server:
        async with driver.client(base_url=server.url) as client:
            async with client.stream(PROMPT) as stream:
                await anext(stream)
    messages = [r.getMessage() for r in records if r.name.startswith("glmclient")]
    assert messages[1] == "ServerError in attempt 1; again in 0.000 s"
    assert messages[-1].startswith("left after 0.")
    assert messages[-1].endswith(", attempt 2")


async def test_the_password_of_a_proxy(
    driver: Driver, records: list[logging.LogRecord], authority: Authority
) -> None:
    def refuse(peer: Peer) -> None:
        peer.send(head(407, kind=None, length=0))
        peer.close()

    with FaultServer(refuse) as proxy:
        at = f"http://user:{PROXY}@127.0.0.1:{proxy.port}"
        for scheme in ("http", "https"):
            url = f"{scheme}://service.invalid"
            async with driver.client(base_url=url, proxy=at, verify=authority.bundle) as client:
                caught: BaseException | None = None
                try:
                    await client.chat("Hello")
                except Exception as error:  # noqa: BLE001 - looked at below
                    caught = error
                assert caught is not None
                assert PROXY not in channels(caught) + repr(client)
    assert not [record for record in records if PROXY in said(record)]


async def test_nothing_goes_where_a_redirect_leads(driver: Driver) -> None:
    with FaultServer(lambda peer: peer.stream(*HELLO)) as elsewhere:

        def lead_away(peer: Peer) -> None:
            peer.reply(peer_status.pop(), b"", f"Location: {elsewhere.url}/next?token={KEY}")

        peer_status = [308, 307, 303, 302, 301]
        with FaultServer(lead_away) as server:
            async with driver.client(
                base_url=server.url, headers={"Authorization": f"Bearer {KEY}"}
            ) as client:
                for status in (301, 302, 303, 307, 308):
                    caught: Any = None
                    with contextlib.suppress(LookupError):
                        try:
                            await client.chat(PROMPT)
                        except Exception as error:  # noqa: BLE001 - looked at below
                            caught = error
                    assert caught.status_code == status
                    assert f"It points to {elsewhere.url}/next." in str(caught)
                    assert KEY not in channels(caught)
        assert elsewhere.connections == 0


@pytest.mark.parametrize(
    "provider",
    [
        Zai(api_key=KEY, base_url="http://127.0.0.1:9"),
        Gradio(api_key=KEY, base_url="http://127.0.0.1:9"),
        ChatGLM(headers={"Authorization": KEY}, base_url="http://127.0.0.1:9"),
    ],
    ids=lambda provider: provider.name,
)
def test_a_provider_does_not_show_its_key(provider: Any) -> None:
    assert KEY not in f"{provider!r} {provider}"
    shown = repr({k: v for k, v in vars(provider).items() if k != "headers"})
    assert KEY not in shown
    with contextlib.suppress(TypeError):
        assert KEY.encode() not in pickle.dumps(provider)
    chat = provider.prepare(PROMPT, None, {})
    assert PROMPT not in repr(chat)


QUIET = """
    import logging, sys
    from glmclient import SyncClient
    logger = logging.getLogger("glmclient")
    assert logger.handlers == [], logger.handlers
    assert logger.level == logging.NOTSET and logger.propagate
    client = SyncClient(base_url=sys.argv[1], retry=None)
    client.chat("Hello")
    for _ in client.stream("Hello"):
        break
    try:
        client.chat("Hello")
    except Exception:
        pass
    assert logging.getLogger("glmclient.exchange").handlers == []
"""


def test_without_any_handler_nothing_is_printed() -> None:
    """Python shows warnings of loggers without handlers on stderr; there are none."""
    good = [*HELLO[:1], b"data: no json\n\n", *HELLO[1:]]
    with FaultServer(
        lambda peer: peer.stream(*good), lambda peer: peer.stream(*good), break_off
    ) as server:
        run = subprocess.run(
            [sys.executable, "-X", "dev", "-X", "utf8", "-c", textwrap.dedent(QUIET), server.url],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
