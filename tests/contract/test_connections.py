"""Connections: reused, shared by threads and loops, through proxies, and gone when they are no longer needed."""

from __future__ import annotations

import gc
import os
import pickle
import socket
import ssl
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import anyio
import pytest
import trustme

from glmclient import (
    APIConnectionError,
    APITimeoutError,
    AsyncClient,
    GLMError,
    RetryPolicy,
    SyncClient,
    TextDelta,
    Timeout,
)

from .flavours import Flavour
from .frames import HI, PLATFORM_HI, glm, snapshots, text
from .loopback import PATIENCE, Answering, Server, stream

Serve = Callable[..., Server]
ONCE = RetryPolicy(attempts=1)


# -- reuse -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("service", ["chatglm", "zai"])
def test_streams_one_after_the_other_use_one_connection(
    client: Flavour, serve: Serve, service: str
) -> None:
    server = serve(stream(*(HI if service == "chatglm" else PLATFORM_HI)))
    key = {} if service == "chatglm" else {"api_key": "k"}
    asking = client(service, base_url=server.url, **key)
    for _ in range(30):
        assert asking.chat().text == "hi"
    assert (len(server.requests), server.connections) == (30, 1)


@pytest.mark.usefixtures("patient")
def test_the_same_through_loops(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    asking = client("zai", api_key="k", base_url=server.url)
    for _ in range(10):
        asking.stream().collect()
        asking.stream().pieces()
    assert server.connections == 1


def test_a_connection_that_the_server_closed_meanwhile(client: Flavour, serve: Serve) -> None:
    closed = threading.Event()

    def script(answering: Answering) -> None:
        stream(*HI)(answering)
        answering.connection.shutdown(socket.SHUT_RDWR)
        answering.close()
        closed.set()

    server = serve(script, stream(*HI))
    asking = client(base_url=server.url, retry=RetryPolicy(attempts=2, base_delay=0.01))
    assert asking.chat().text == "hi"
    assert closed.wait(PATIENCE)
    assert asking.chat().text == "hi"


@pytest.mark.usefixtures("patient")
def test_a_stream_that_was_left_is_not_used_again(client: Flavour, serve: Serve) -> None:
    def endless(answering: Answering) -> None:
        answering.head()
        answering.chunk(glm("init", text("first answer")))
        answering.gone()

    server = serve(endless, stream(*HI))
    asking = client(base_url=server.url)
    assert asking.stream().take(1) == [TextDelta("first answer")]
    assert asking.chat().text == "hi"
    assert server.connections == 2


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="there is no list of descriptors")
def test_leaving_early_leaks_nothing(client: Flavour, serve: Serve) -> None:
    def endless(answering: Answering) -> None:
        answering.head()
        for frame in snapshots("x" * 20, 1)[:3]:
            answering.chunk(frame)
        answering.gone()

    server = serve(endless)
    asking = client(base_url=server.url)

    def leave(times: int) -> tuple[int, int]:
        for _ in range(times):
            assert len(asking.stream().take(2)) == 2
        for thread in server._threads:
            if thread is not server._threads[0]:
                thread.join(PATIENCE)
        gc.collect()
        return descriptors(), threading.active_count()

    before = leave(5)
    after = leave(100)
    assert after[0] <= before[0] + 2
    assert after[1] <= before[1] + 2


# -- threads and loops -----------------------------------------------------------------------------


def test_one_blocking_client_is_shared_by_threads(serve: Serve) -> None:
    def echo(answering: Answering) -> None:
        asked = answering.request.json["messages"][-1]["content"][0]["text"]
        stream(*snapshots(f"answer to {asked}", 2))(answering)

    server = serve(echo)
    with SyncClient(base_url=server.url) as client, ThreadPoolExecutor(32) as pool:
        questions = [f"question {number}" for number in range(128)]
        answers = list(pool.map(lambda question: client.chat(question).text, questions))
    assert answers == [f"answer to {question}" for question in questions]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_many_streams_at_once(serve: Serve, backend: str) -> None:
    together = threading.Barrier(40)

    def echo(answering: Answering) -> None:
        asked = answering.request.json["messages"][-1]["content"][0]["text"]
        together.wait(PATIENCE)  # all forty are here at once
        stream(*snapshots(f"answer to {asked}", 2))(answering)

    server = serve(echo)
    answers: dict[int, str] = {}

    async def run() -> None:
        async with AsyncClient(base_url=server.url) as client:

            async def ask(number: int) -> None:
                answers[number] = (await client.chat(f"{number}")).text

            async with anyio.create_task_group() as group:
                for number in range(40):
                    group.start_soon(ask, number)

    anyio.run(run, backend=backend)
    assert answers == {number: f"answer to {number}" for number in range(40)}


def test_one_asynchronous_client_over_several_loops(serve: Serve) -> None:
    server = serve(stream(*HI))
    client = AsyncClient(base_url=server.url)
    texts = []

    async def ask() -> None:
        texts.append((await client.chat("Hello")).text)

    for backend in ("asyncio", "asyncio", "trio", "asyncio"):
        anyio.run(ask, backend=backend)
    anyio.run(client.aclose)
    assert texts == ["hi"] * 4


def test_a_blocking_client_works_inside_a_running_loop(serve: Serve) -> None:
    server = serve(stream(*HI))

    async def run() -> str:
        with SyncClient(base_url=server.url) as client:
            return client.chat("Hello").text

    assert anyio.run(run) == "hi"


@pytest.mark.parametrize("kind", [SyncClient, AsyncClient])
def test_a_pickled_client_is_its_configuration_without_its_key(
    kind: Any, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(stream(*PLATFORM_HI))
    client = kind("zai", api_key="sk-canary", base_url=server.url, model="glm-4.7")
    pickled = pickle.dumps(client)
    assert b"canary" not in pickled
    monkeypatch.setenv("ZAI_API_KEY", "sk-other")
    copied = pickle.loads(pickled)
    if kind is SyncClient:
        copied.chat("hi")
        copied.close()
        client.close()
    else:

        async def ask() -> None:
            async with copied:
                await copied.chat("hi")
            await client.aclose()

        anyio.run(ask)
    assert server.request.headers["authorization"] == "Bearer sk-other"
    assert server.request.json["model"] == "glm-4.7"


FORKED = """
import os, sys
from glmclient import SyncClient

client = SyncClient(base_url=sys.argv[1])
assert client.chat("before").text == "hi"
child = os.fork()
assert client.chat("after").text == "hi"
if child == 0:
    os._exit(0)
_, status = os.waitpid(child, 0)
assert client.chat("at last").text == "hi"
client.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


@pytest.mark.usefixtures("patient")
@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_client_is_used_after_a_fork(serve: Serve) -> None:
    server = serve(stream(*HI))
    run = subprocess.run(
        [sys.executable, "-c", FORKED, server.url], timeout=60, check=False, capture_output=True
    )
    assert (run.returncode, run.stderr) == (0, b"")
    assert len(server.requests) == 4
    assert server.connections == 2, "the child shares no connection with its parent"


CARELESS = {
    "sync": """
client = glmclient.SyncClient(base_url=URL)
stream = client.stream("hi")
next(stream)
for event in client.stream("hi"):
    break
""",
    "async": """
kept = []

async def main():
    client = glmclient.AsyncClient(base_url=URL)
    stream = await client.stream("hi")
    await anext(stream)
    kept.append((client, stream))
    async for event in client.stream("hi"):
        break

anyio.run(main, backend=BACKEND)
""",
}


@pytest.mark.parametrize("backend", [None, "asyncio", "trio"])
def test_a_program_that_leaves_everything_open_ends_quietly(
    serve: Serve, backend: str | None
) -> None:
    def endless(answering: Answering) -> None:
        answering.head()
        answering.chunk(glm("init", text("some text")))
        answering.gone()

    server = serve(endless)
    beginning = f"import glmclient, anyio\nURL, BACKEND = {server.url!r}, {backend!r}\n"
    program = beginning + CARELESS["async" if backend else "sync"]
    run = subprocess.run(
        [sys.executable, "-c", program], timeout=60, check=False, capture_output=True
    )
    assert (run.returncode, run.stderr.decode(), run.stdout) == (0, "", b"")
    assert len(server.requests) == 2


# -- proxies ---------------------------------------------------------------------------------------


def test_a_proxy_by_argument(client: Flavour, serve: Serve) -> None:
    proxy = serve(stream(*HI))
    asking = client(
        base_url="http://service.invalid", proxy=f"http://user:pa%40ss@127.0.0.1:{proxy.port}"
    )
    assert asking.chat().text == "hi"
    request = proxy.request
    assert request.target == "http://service.invalid/chatglm/mainchat-api/guest/stream"
    assert request.headers["host"] == "service.invalid"
    assert request.headers["proxy-authorization"] == "Basic dXNlcjpwYUBzcw=="


@pytest.mark.parametrize("trusted", [True, False])
@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_by_the_environment(
    client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch, name: str, trusted: bool
) -> None:
    proxy = serve(stream(*HI))
    monkeypatch.setenv(name, proxy.url)
    asking = client(base_url="http://service.invalid", trust_env=trusted, retry=ONCE)
    if trusted:
        assert asking.chat().text == "hi"
        assert proxy.request.target.startswith("http://service.invalid/")
    else:
        with pytest.raises(APIConnectionError):
            asking.chat()
        assert proxy.requests == []


def test_no_proxy(client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, server = serve(stream(*HI)), serve(stream(*HI))
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    assert client(base_url=server.url).chat().text == "hi"
    assert (len(proxy.requests), len(server.requests)) == (0, 1)


def test_the_argument_wins_over_the_environment(
    client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    mine, other = serve(stream(*HI)), serve(stream(*HI))
    monkeypatch.setenv("HTTP_PROXY", other.url)
    assert client(base_url="http://service.invalid", proxy=mine.url).chat().text == "hi"
    assert (len(mine.requests), len(other.requests)) == (1, 0)


def test_a_tunnel_that_the_proxy_refuses(client: Flavour, serve: Serve) -> None:
    def refuse(answering: Answering) -> None:
        assert answering.request.method == "CONNECT"
        assert answering.request.target == "service.invalid:443"
        answering.head(403, "text/plain", length=0)
        answering.close()

    proxy = serve(refuse)
    with pytest.raises(APIConnectionError) as caught:
        client(base_url="https://service.invalid", proxy=proxy.url, retry=ONCE).chat()
    assert "proxy" in str(caught.value).lower()


def test_a_proxy_that_is_not_there(client: Flavour) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(APIConnectionError) as caught:
        client(
            base_url="http://service.invalid", proxy=f"http://127.0.0.1:{port}", retry=ONCE
        ).chat()
    assert "proxy" in str(caught.value).lower()


def pump(one: socket.socket, other: socket.socket) -> None:
    try:
        while piece := one.recv(65536):
            other.sendall(piece)
        other.shutdown(socket.SHUT_WR)
    except OSError:
        return


@pytest.mark.parametrize("scheme", ["socks5", "socks5h"])
def test_a_socks_proxy(client: Flavour, serve: Serve, scheme: str) -> None:
    server = serve(stream(*HI))
    asked: list[tuple[int, bytes, int]] = []

    def relay(listener: socket.socket) -> None:
        near, _ = listener.accept()
        with near:
            methods = near.recv(2)[1]
            near.recv(methods)
            near.sendall(b"\x05\x00")
            _, _, _, kind = near.recv(4)
            host = near.recv(4) if kind == 1 else near.recv(near.recv(1)[0])
            (port,) = struct.unpack("!H", near.recv(2))
            asked.append((kind, host, port))
            near.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x00")
            with socket.create_connection(("127.0.0.1", port)) as far:
                ends = [
                    threading.Thread(target=pump, args=each, daemon=True)
                    for each in ((near, far), (far, near))
                ]
                for end in ends:
                    end.start()
                for end in ends:
                    end.join(PATIENCE)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=relay, args=(listener,), daemon=True)
        thread.start()
        proxy = f"{scheme}://127.0.0.1:{listener.getsockname()[1]}"
        asking = client(base_url=f"http://localhost:{server.port}", proxy=proxy)
        assert asking.chat().text == "hi"
        asking.close()
        thread.join(PATIENCE)
    assert [port for _, _, port in asked] == [server.port]


# -- headers ---------------------------------------------------------------------------------------


def test_extra_headers_on_every_request(client: Flavour, serve: Serve) -> None:
    server = serve(stream(*PLATFORM_HI))
    asking = client("zai", api_key="k", base_url=server.url, headers={"X-Team": "blue"})
    asking.chat()
    asking.chat()
    assert [each.headers["x-team"] for each in server.requests] == ["blue", "blue"]


def test_nothing_is_remembered_between_questions(client: Flavour, serve: Serve) -> None:
    def script(answering: Answering) -> None:
        answering.head(200, "text/event-stream", "Set-Cookie: session=canary; Path=/")
        for frame in HI:
            answering.chunk(frame)
        answering.end()

    server = serve(script)
    asking = client(base_url=server.url)
    asking.chat()
    asking.chat()
    assert "canary" not in server.requests[1].raw.decode("latin-1")


def test_a_netrc_file_sends_no_password(
    client: Flavour, serve: Serve, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    file = tmp_path / "netrc"
    file.write_text("machine 127.0.0.1 login me password canary\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    server = serve(stream(*HI))
    client(base_url=server.url).chat()
    assert server.request.headers["authorization"] == "undefined"


def test_the_client_survives_a_failure(client: Flavour, serve: Serve) -> None:
    server = serve(stream(HI[0], end=False), lambda answering: answering.reset(), stream(*HI))
    asking = client(base_url=server.url, retry=ONCE)
    for _ in range(2):
        with pytest.raises(GLMError):
            asking.chat()
    assert asking.chat().text == "hi"


# -- TLS -------------------------------------------------------------------------------------------


class SecureServer(Server):
    """The same over TLS, for `localhost`."""

    def __init__(self, context: ssl.SSLContext, *scripts: Any) -> None:
        self._context = context
        super().__init__(*scripts)
        self.url = f"https://localhost:{self.port}"

    def _serve(self, connection: socket.socket) -> None:
        try:
            secure = self._context.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()  # the client did not like the certificate: it says so itself
            return
        with self._lock:
            self._open.add(secure)
        super()._serve(secure)


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def secure(authority: trustme.CA, stack: ExitStack) -> Callable[..., Server]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(context)
    return lambda *scripts: stack.enter_context(SecureServer(context, *scripts))


def bundle(authority: trustme.CA, folder: Any) -> str:
    path = folder / "ca.pem"
    authority.cert_pem.write_to_path(str(path))
    return str(path)


@pytest.mark.usefixtures("patient")
def test_https(client: Flavour, secure: Serve, authority: trustme.CA, tmp_path: Any) -> None:
    server = secure(stream(*snapshots("你好👋")))
    asking = client(base_url=server.url, verify=bundle(authority, tmp_path))
    for _ in range(5):
        assert asking.chat().text == "你好👋"
    assert server.connections == 1


# Before Python 3.11 a TLS transport of asyncio calls itself unclosed when its connection was lost.
@pytest.mark.filterwarnings(
    *(["ignore:unclosed transport:ResourceWarning"] if sys.version_info < (3, 11) else [])
)
def test_https_left_early_and_cancelled(
    client: Flavour, secure: Serve, authority: trustme.CA, tmp_path: Any
) -> None:
    left = threading.Semaphore(0)

    def endless(answering: Answering) -> None:
        answering.head()
        answering.chunk(glm("init", text("some text")))
        if answering.gone():
            left.release()

    server = secure(endless)
    asking = client(base_url=server.url, verify=bundle(authority, tmp_path))
    assert asking.stream().take(1) == [TextDelta("some text")]
    assert left.acquire(timeout=PATIENCE)
    reading = asking.stream()
    reading.next()
    threading.Thread(target=reading.cancel, daemon=True).start()
    with pytest.raises(GLMError):
        reading.next()
    assert left.acquire(timeout=PATIENCE)
    assert reading.text == "some text"


@pytest.mark.filterwarnings(
    "ignore:Unverified HTTPS request"
)  # requests says so; who asks for it knows
def test_a_certificate_that_nobody_knows(client: Flavour, secure: Serve) -> None:
    server = secure(stream(*HI))
    with pytest.raises(APIConnectionError, match=r"(?i)certificate") as caught:
        client(base_url=server.url).chat()
    assert (caught.value.retryable, server.requests) == (False, [])
    assert client(base_url=server.url, verify=False).chat().text == "hi"


@pytest.mark.parametrize("name", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_authorities_of_the_environment(
    client: Flavour,
    secure: Serve,
    authority: trustme.CA,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    server = secure(stream(*HI))
    monkeypatch.setenv(name, bundle(authority, tmp_path))
    assert client(base_url=server.url).chat().text == "hi"
    with pytest.raises(APIConnectionError):
        client(base_url=server.url, trust_env=False).chat()


def test_https_through_a_proxy(
    client: Flavour, secure: Serve, serve: Serve, authority: trustme.CA, tmp_path: Any
) -> None:
    server = secure(stream(*HI))
    told: list[str] = []

    def tunnel(answering: Answering) -> None:
        told.append(f"{answering.request.method} {answering.request.target}")
        with socket.create_connection(("127.0.0.1", server.port)) as far:
            answering.send(b"HTTP/1.1 200 Connected\r\n\r\n")
            back = threading.Thread(target=pump, args=(far, answering.connection), daemon=True)
            back.start()
            pump(answering.connection, far)
            back.join(PATIENCE)
        answering.close()

    proxy = serve(tunnel)
    verify = bundle(authority, tmp_path)
    asking = client(base_url=server.url, proxy=proxy.url, verify=verify)
    assert asking.chat().text == "hi"
    assert asking.chat().text == "hi"
    assert told == [f"CONNECT localhost:{server.port}"]
    asking.close()


@pytest.mark.filterwarnings("error::ResourceWarning")
def test_a_socks_proxy_that_does_not_answer_is_hung_up_on(client: Flavour) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = f"socks5://127.0.0.1:{listener.getsockname()[1]}"
        timeout = Timeout(connect=0.2)
        asking = client(base_url="http://localhost:1", proxy=proxy, timeout=timeout, retry=ONCE)
        with pytest.raises(APITimeoutError) as caught:
            asking.chat()
        near, _ = listener.accept()
        with near:
            near.settimeout(PATIENCE)
            while near.recv(100):
                continue
    assert caught.value.limit == "connect"
    gc.collect()
