"""The simulator as users meet it: scripts in, both clients out, and what can be asserted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Generator
from typing import Any

import anyio
import pytest

from glmclient import AsyncClient, SyncClient
from glmclient.errors import (
    APIConnectionError,
    APIStatusError,
    AuthenticationError,
    BadRequestError,
    ConfigurationError,
    GuestQuotaError,
    NotFoundError,
    PermissionDeniedError,
    QuotaExceededError,
    RateLimitError,
    ServerError,
    ServiceBlockedError,
    StreamInterrupted,
)
from glmclient.events import Finish, ReasoningDelta, TextDelta, TextReplace
from glmclient.providers.chatglm.simulated import PATH
from glmclient.simulator import (
    PROVIDERS,
    BodyItem,
    Cut,
    EndBody,
    Open,
    Pause,
    Refusal,
    Reset,
    Script,
    SimulatedRequest,
    Simulator,
    Step,
    Wait,
)
from glmclient.simulator.simulator import _delayed

from .peer import SECONDS, Peer

BACKENDS = ["asyncio", "trio"]
TEXT = "你好！👩‍💻 x = {'a': 1}\n\u2028"


# -- answers reach both clients ----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["snapshot", "delta"])
@pytest.mark.parametrize("framing", [None, "chunked", "close", "length"])
@pytest.mark.parametrize("gzip", [False, True])
def test_a_text_reaches_the_blocking_client(mode: str, framing: Any, gzip: bool) -> None:
    with Simulator(TEXT, mode=mode, framing=framing, gzip=gzip) as sim, sim.client() as client:
        assert client.chat("q").text == TEXT


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("mode", ["snapshot", "delta"])
def test_a_text_reaches_the_asynchronous_client(backend: str, mode: str) -> None:
    async def ask() -> None:
        async with Simulator(TEXT, mode=mode, delay=0.0001) as sim, sim.async_client() as client:
            assert (await client.chat("q")).text == TEXT
            assert sim.prompts == ("q",)

    anyio.run(ask, backend=backend)


def test_the_address_is_all_that_a_client_needs() -> None:
    with Simulator(TEXT) as sim, SyncClient(base_url=sim.url, trust_env=False) as client:
        assert client.chat("q").text == TEXT


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_address_is_all_that_an_asynchronous_client_needs(backend: str) -> None:
    async def ask() -> None:
        async with (
            Simulator(TEXT) as sim,
            AsyncClient(base_url=sim.url, trust_env=False) as client,
        ):
            assert (await client.chat("q")).text == TEXT

    anyio.run(ask, backend=backend)


def test_events_come_as_they_are_scripted() -> None:
    steps: list[Step] = [
        ReasoningDelta("hm"),
        TextDelta("Hello there"),
        TextReplace(6, "you"),
        Finish("stop"),
    ]
    with Simulator(steps) as sim, sim.client() as client:
        *events, finish = client.stream("q", mode="snapshot")
        assert events == steps[:-1]
        assert isinstance(finish, Finish)
        assert finish.reason == "stop"


def test_each_event_is_sent_when_it_is_due() -> None:
    go = threading.Event()
    with Simulator(["a", Wait(go), "b"]) as sim, sim.client() as client:
        stream = iter(client.stream("q"))
        assert next(stream) == TextDelta("a")
        go.set()
        assert next(stream) == TextDelta("b")


def test_the_default_script_says_something() -> None:
    with Simulator() as sim, sim.client() as client:
        assert "simulated" in client.chat("q").text


def test_a_function_sees_the_question() -> None:
    def script(request: SimulatedRequest) -> str:
        return str(request.json["messages"][0]["content"][0]["text"])[::-1]

    with Simulator(script) as sim, sim.client() as client:
        assert client.chat("abc").text == "cba"


def test_the_conversation_goes_on() -> None:
    with Simulator(Script("a", "b", "c")) as sim, sim.client() as client:
        first = client.chat("1")
        second = client.chat("2", continue_from=first)
        other = client.chat("3")
    ids = [reply.finish.conversation_id for reply in (first, second, other) if reply.finish]
    assert ids[0] == ids[1] != ids[2]
    assert [request.json["conversation_id"] for request in sim.questions] == ["", ids[0], ""]


def test_another_script_can_take_over() -> None:
    with Simulator("a") as sim, sim.client() as client:
        assert client.chat("1").text == "a"
        sim.say("b")
        assert client.chat("2").text == "b"
        assert sim.prompts == ("1", "2")


# -- refusals and faults -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("login", ServiceBlockedError),
        ("quota", GuestQuotaError),
        ("rate_limit", RateLimitError),
        ("authentication", AuthenticationError),
        ("permission", PermissionDeniedError),
        ("bad_request", BadRequestError),
        ("not_found", NotFoundError),
        ("blocked", ServiceBlockedError),
        ("server", ServerError),
    ],
)
def test_every_refusal_is_the_error_that_it_means(kind: Any, error: type[APIStatusError]) -> None:
    with Simulator(Refusal(kind)) as sim, sim.client(retry=None) as client:
        with pytest.raises(error) as caught:
            client.chat("q")
        assert type(caught.value) is error


@pytest.mark.parametrize("provider", ["chatglm", "qwen", "zai"])
@pytest.mark.parametrize(
    ("kind", "error"),
    [
        ("quota", QuotaExceededError),
        ("rate_limit", RateLimitError),
        ("authentication", AuthenticationError),
        ("permission", PermissionDeniedError),
        ("bad_request", BadRequestError),
        ("not_found", NotFoundError),
        ("blocked", ServiceBlockedError),
        ("server", ServerError),
    ],
)
def test_words_of_one_s_own_change_no_error(
    provider: str, kind: Any, error: type[APIStatusError]
) -> None:
    with Simulator(Refusal(kind, "in words of my own"), provider=provider) as sim:
        with sim.client(retry=None) as client, pytest.raises(error) as caught:
            client.chat("q")
    assert "in words of my own" in str(caught.value)


def test_a_refusal_can_be_set_by_hand() -> None:
    by_hand = Refusal("rate_limit", "slow down", 503, 42901, 1.5)
    with Simulator(by_hand) as sim, sim.client(retry=None) as client:
        with pytest.raises(APIStatusError) as caught:
            client.chat("q")
        error = caught.value
        assert (error.status_code, error.code, error.retry_after) == (503, "42901", 1.5)
        assert error.message == "slow down"
    with Simulator(Refusal(body={"status": 40004, "message": "m"}, status=200)) as sim:
        with sim.client(retry=None) as client, pytest.raises(APIStatusError) as caught:
            client.chat("q")
        assert caught.value.code == "40004"
    with Simulator(Refusal("blocked", "<html>Sleeping</html>", 403)) as sim:
        with sim.client(retry=None) as client, pytest.raises(ServiceBlockedError) as caught2:
            client.chat("q")
        assert "Sleeping" in caught2.value.body


def test_an_error_of_the_package_is_a_script_too() -> None:
    script = Script(RateLimitError("wait", status_code=429, retry_after=0), "then")
    with Simulator(script) as sim, sim.client() as client:
        assert client.chat("q").text == "then"
        assert len(sim.requests) == 2


@pytest.mark.parametrize("end", [Cut(), Reset(), EndBody()])
def test_an_answer_can_break(end: Any) -> None:
    with Simulator(["ab", end]) as sim, sim.client() as client:
        with pytest.raises(StreamInterrupted) as caught:
            client.chat("q")
        assert caught.value.partial.text == "ab"
        assert len(sim.requests) == 1


@pytest.mark.parametrize("steps", [[Cut()], [Reset()], [Open(), Cut()], [Open(), Reset()]])
def test_an_answer_can_break_before_any_event(steps: Any) -> None:
    with Simulator(steps) as sim, sim.client(retry=None) as client:
        with pytest.raises(APIConnectionError):
            client.chat("q")


def test_a_delay_comes_before_each_event_and_stands_beside_pauses() -> None:
    def body() -> Generator[BodyItem, None, None]:
        try:
            yield b"a"
            yield Pause(7)
            yield b"b"
        finally:
            closed.append(True)

    closed: list[bool] = []
    delayed = _delayed(body(), 0.5)
    assert list(delayed) == [Pause(0.5), b"a", Pause(7), Pause(0.5), b"b"]
    assert closed == [True]
    assert list(_delayed([b"a"], 0.5)) == [Pause(0.5), b"a"]
    leaving = _delayed(body(), 0.5)
    next(leaving)
    next(leaving)
    leaving.close()
    assert closed == [True, True]


def test_the_head_can_be_sent_ahead() -> None:
    go = threading.Event()
    with Simulator([Open(), Wait(go), "a"]) as sim, sim.client() as client:
        with client.stream("q") as stream:
            go.set()
            assert stream.reply().text == "a"


# -- what was asked ----------------------------------------------------------------------------------------


def test_what_was_asked_is_there_to_assert() -> None:
    with Simulator("a") as sim, sim.client(headers={"X-Tag": "7"}) as client:
        client.chat(
            [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "你好"}]
        )
        client.chat("again")
        assert sim.wait_for_requests(2)
        assert not sim.wait_for_requests(3, timeout=0)
    assert sim.prompts == ("Be kind.\n\n你好", "again")
    first, second = sim.questions
    assert (first.method, first.path) == ("POST", PATH)
    assert first.headers["x-tag"] == "7"
    assert first.json["conversation_id"] == ""
    assert first.connection == second.connection
    assert sim.requests == sim.questions


def test_a_client_that_leaves_is_seen() -> None:
    with Simulator(["a", Pause(3600)]) as sim, sim.client() as client:
        for _ in client.stream("q"):
            break
        assert sim.wait_for_disconnects(1, SECONDS)
        assert sim.wait_until_idle(SECONDS)
        assert [request.path for request in sim.disconnects] == [PATH]


def test_other_requests_are_refused_as_the_service_would() -> None:
    with Simulator("a") as sim, Peer(sim.url) as peer:
        for method, path, body, status, said in (
            ("GET", "/nowhere", b"", b"404", b"GET /nowhere is no address of chatglm"),
            ("POST", "/chatglm/other", b"{}", b"404", b"no such page"),
            ("GET", PATH, b"", b"405", b"method not allowed"),
            ("POST", PATH, b"no json", b"400", b"40012"),
            ("POST", PATH, b'{"assistant_id":"a"}', b"400", b"40012"),
            ("POST", PATH, b'{"assistant_id":"a","messages":[]}', b"400", b"40012"),
            ("POST", PATH, b'{"assistant_id":"a","messages":[1]}', b"400", b"40012"),
            ("POST", PATH, b'{"messages":[{}]}', b"400", b"40012"),
        ):
            peer.ask(path, body, method)
            assert status in peer.head().partition(b"\r\n")[0]
            assert said in peer.until(b"}")
        assert len(sim.requests) == 8
        assert sim.questions == ()


def test_a_prompt_may_be_plain_text() -> None:
    body = b'{"assistant_id":"a","messages":[{"role":"user","content":"plain"}]}'
    with Simulator("a") as sim, Peer(sim.url) as peer:
        peer.ask(PATH, body)
        peer.until(b"0\r\n\r\n")
        assert sim.prompts == ("plain",)


# -- wrong scripts -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("script", "arguments", "words"),
    [
        (3, {}, "not int"),
        ([3], {}, "step 0 of the answer is 3"),
        ([Finish("length")], {}, "'chatglm' has no way to say Finish"),
        (Script("a", [Finish("length")]), {}, "'chatglm' has no way to say Finish"),
        (
            "a",
            {"provider": "claude"},
            "no service 'claude' can be simulated; there are chatglm, qwen",
        ),
        ("a", {"provider": []}, "at least one service"),
        ("a", {"provider": ["chatglm", "claude"]}, "no service 'claude'"),
        ("a", {"mod": "snapshot"}, "the option 'mod'. Did you mean 'mode'?"),
        ("a", {"xyz": 1}, "the option 'xyz'. There are: all_parts"),
        ("a", {"mode": "other"}, "'snapshot' or 'delta'"),
        ("a", {"framing": "http"}, "'chunked', 'close' or 'length', not 'http'"),
        ("a", {"delay": -1}, "0 or more, not -1"),
        ("a", {"delay": float("inf")}, "not inf"),
        ("a", {"delay": "1"}, "not '1'"),
        ("a", {"delay": True}, "not True"),
        ("a", {"port": 99999}, "from 0 to 65535, not 99999"),
        ("a", {"port": -1}, "not -1"),
        ("a", {"port": "80"}, "not '80'"),
        ("a", {"port": True}, "not True"),
    ],
)
def test_a_wrong_script_is_told_at_once(script: Any, arguments: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        Simulator(script, **arguments)
    assert words in str(caught.value)


def test_what_goes_wrong_while_serving_is_raised_at_the_end() -> None:
    with pytest.raises(ConfigurationError, match="this is question 2"):
        with Simulator(Script("a")) as sim, sim.client() as client:
            client.chat("1")
            with pytest.raises(
                ServerError, match="the script has 1 answer, and this is question 2"
            ):
                client.chat("2")


def _broken(request: SimulatedRequest) -> str:
    raise KeyError("x")


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_client_says_at_once_why_the_script_failed(provider: str) -> None:
    sim = Simulator(_broken, provider=provider).start()
    try:
        with sim.client() as client, pytest.raises(ServerError) as caught:
            client.chat("q", **({"model": "m"} if provider == "openai" else {}))
    finally:
        sim.stop()
    error = caught.value
    assert "the simulator's script failed: KeyError: 'x' (HTTP 501)" in str(error)
    assert str(error).endswith("Trying again does not help.")
    assert (error.status_code, error.retryable, error.attempts) == (501, False, 1)
    assert [type(failure) for failure in sim.failures] == [KeyError]


def test_what_the_test_itself_raises_goes_first() -> None:
    with pytest.raises(ServerError), Simulator(lambda request: 3) as sim:  # type: ignore[arg-type, return-value]
        with sim.client(retry=None) as client:
            client.chat("1")
    assert [type(failure) for failure in sim.failures] == [ConfigurationError]


def test_a_function_is_checked_when_it_answers() -> None:
    sim = Simulator(lambda request: [Finish("length")]).start()
    try:
        with sim.client(retry=None) as client, pytest.raises(ServerError):
            client.chat("q")
    finally:
        sim.stop()
    with pytest.raises(ConfigurationError, match="no way to say"):
        sim.raise_for_failures()


def test_an_address_that_is_taken_is_told() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"cannot listen on http://127.0.0.1:{port}"):
            Simulator("a", port=port).start()


def test_the_address_is_known_only_while_it_runs() -> None:
    sim = Simulator("a")
    assert repr(sim) == "Simulator(chatglm at no address yet)"
    with pytest.raises(ConfigurationError, match="not running"):
        assert sim.url
    with sim:
        assert repr(sim) == f"Simulator(chatglm at {sim.url})"
    with pytest.raises(ConfigurationError, match="not running"):
        assert sim.url


# -- several services --------------------------------------------------------------------------------------


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_service_says_a_text(provider: str) -> None:
    with Simulator(TEXT, provider=provider) as sim, sim.client() as client:
        assert client.provider.name == provider
        assert client.chat("q").text == TEXT
        assert sim.prompts == ("q",)


def test_all_services_stand_at_one_address() -> None:
    with Simulator("a", provider="all", delay=0.0001) as sim:
        assert sim.providers == PROVIDERS
        for provider in PROVIDERS:
            assert sim.url_of(provider) == f"{sim.url}/services/{provider}"
            with sim.client(provider=provider) as client:
                assert client.chat(f"to {provider}").text == "a"
        assert sim.prompts == tuple(f"to {provider}" for provider in PROVIDERS)
        with SyncClient(base_url=sim.url, trust_env=False) as client:
            assert client.chat("at the root").text == "a"


def test_a_service_that_is_not_there_is_told() -> None:
    with Simulator("a", provider=["chatglm", "zai"]) as sim:
        with pytest.raises(ConfigurationError, match="'openai' is not simulated here; there are"):
            sim.url_of("openai")
        with Peer(sim.url) as peer:
            for path in ("/services/openai/models", "/services/zai", "/services/zai/nowhere"):
                peer.ask(path, method="GET")
                assert b"404" in peer.head()
                peer.until(b"}")
    with Simulator("a") as sim, pytest.raises(ConfigurationError, match="not simulated here"):
        sim.client(provider="zai")


def test_options_go_to_the_services_that_know_them() -> None:
    with Simulator("a b", provider=["zai", "chatglm"], mode="delta", flavour="vllm") as sim:
        with Peer(sim.url) as peer:
            body = b'{"assistant_id":"a","messages":[{"role":"user","content":"plain"}]}'
            peer.ask(PATH, body)
            assert b'"text":" b"' in peer.until(b"0\r\n\r\n")
