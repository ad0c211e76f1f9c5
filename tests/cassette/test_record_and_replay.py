"""Both clients against simulated services: what was recorded comes back, event for event."""

from __future__ import annotations

import gzip
import json
import pickle
import stat
import threading
import zlib
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from glmclient import (
    APIConnectionError,
    APITimeoutError,
    CassetteError,
    ConfigurationError,
    Conversation,
    Finish,
    ProtocolError,
    ReasoningDelta,
    Replay,
    RetryPolicy,
    ServerError,
    StreamCancelled,
    StreamInterrupted,
    SyncClient,
    TextDelta,
    TextReplace,
    Timeout,
)
from glmclient.cassette.entries import Cassette, parsed
from glmclient.cassette.recorder import Tape
from glmclient.core.http import Head, Request
from glmclient.core.steps import Send
from glmclient.simulator import (
    Cut,
    LoopbackServer,
    Pause,
    Refusal,
    Script,
    SimulatedRequest,
    SimulatedResponse,
    Simulator,
    Wait,
)
from tests.contract.flavours import Flavour

KEY = "0123456789abcdef0123456789abcdef.CanaryCanary1234"
SCRIPT: list[Any] = [
    ReasoningDelta("Hm. "),
    TextDelta("Hello "),
    TextDelta("世界 👋"),
    Finish("stop"),
]


@pytest.fixture
def tape(tmp_path: Path) -> Path:
    return tmp_path / "chat.cassette"


def simulated(stack: ExitStack, *answers: Any, provider: str = "zai", **options: Any) -> Simulator:
    return stack.enter_context(
        Simulator(Script(*answers, repeat=True), provider=provider, **options)
    )


def known(simulator: Simulator, provider: str) -> dict[str, Any]:
    key = {"api_key": KEY} if provider in ("zai", "bigmodel") else {}
    return {"base_url": simulator.url, "trust_env": False, **key}


def read(tape: Path) -> Cassette:
    return parsed(tape.read_bytes(), "tape")


@pytest.mark.parametrize("provider", ["chatglm", "qwen", "zai", "openai"])
def test_what_was_recorded_comes_back(
    client: Flavour, stack: ExitStack, tape: Path, provider: str
) -> None:
    script = SCRIPT if provider != "qwen" else ["Hello 世界 👋"]
    simulator = simulated(stack, script, provider=provider)
    recording = client(provider, record=tape, **known(simulator, provider))
    heard = recording.stream("Hi").collect()
    recording.close()
    simulator.stop()
    replaying = client(provider, replay=tape)
    said = replaying.stream("Hi").collect()
    assert [e for e in said if not isinstance(e, Finish)] == [
        e for e in heard if not isinstance(e, Finish)
    ]
    assert isinstance(said[-1], Finish)
    assert said[-1].reason == "stop"
    assert KEY not in tape.read_text(encoding="utf-8")
    assert stat.S_IMODE(tape.stat().st_mode) == 0o600


def test_chunks_come_as_they_came(stack: ExitStack, tape: Path, client: Flavour) -> None:
    simulator = simulated(stack, SCRIPT)
    asking = client("zai", record=tape, **known(simulator, "zai"))
    asking.chat("Hi")
    cassette = read(tape)
    (exchange,) = cassette.exchanges
    kinds = [h.kind for h in exchange.happenings]
    assert kinds[0] == "head"
    assert set(kinds[1:-1]) == {"chunk"}
    assert kinds[-1] == "released"
    whole = b"".join(h.chunk for h in exchange.happenings)
    assert whole.endswith(b"data: [DONE]\n\n")
    assert (cassette.provider, cassette.url) == ("zai", simulator.url)
    assert cassette.questions[0].messages == "Hi"
    assert simulator.questions[0].headers["accept-encoding"] == "identity"
    assert simulator.questions[0].headers["authorization"] == f"Bearer {KEY}"


def test_a_service_that_compresses_nevertheless_is_written_plainly(
    stack: ExitStack, tape: Path, client: Flavour
) -> None:
    simulator = simulated(stack, SCRIPT, gzip=True)
    heard = client("zai", record=tape, **known(simulator, "zai")).chat("Hi").text
    head = read(tape).exchanges[0].happenings[0].head
    assert head is not None
    assert "content-encoding" not in head.headers
    assert "世界" in tape.read_text(encoding="utf-8")
    assert client("zai", replay=tape).chat("Hi").text == heard


def test_several_turns_and_ids(client: Flavour, stack: ExitStack, tape: Path) -> None:
    told = Finish("stop", conversation_id="65f0c0ffee65f0c0ffee65f0")
    simulator = simulated(stack, ["One.", told], ["Two.", told], provider="chatglm")
    recording = client("chatglm", record=tape, **known(simulator, "chatglm"))
    first = recording.chat("First?")
    recording.chat("Second?", continue_from=first)
    device = simulator.requests[0].headers["x-device-id"]
    text = tape.read_text(encoding="utf-8")
    assert device not in text
    assert "65f0c0ffee65f0c0ffee65f0" not in text
    replaying = client("chatglm", replay=tape)
    first = replaying.chat("First?")
    assert first.finish is not None
    assert first.finish.conversation_id == "000000000000000000000002"
    assert replaying.chat("Second?", continue_from=first).text == "Two."


def test_a_space_is_replayed_with_its_history(stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, "One.", "Two.", provider="qwen")
    with SyncClient("qwen", record=tape, **known(simulator, "qwen")) as client:
        conversation = client.conversation(system="Be brief.")
        conversation.chat("First?")
        conversation.chat("Second?")
    session = next(r.json["session_hash"] for r in simulator.requests if r.path.endswith("/join"))
    assert session not in tape.read_text(encoding="utf-8")
    with SyncClient("qwen", replay=tape, base_url=simulator.url) as client:
        conversation = client.conversation(system="Be brief.")
        assert [conversation.chat(q).text for q in ("First?", "Second?")] == ["One.", "Two."]


# -- failures --------------------------------------------------------------------------------------


def test_a_cut_is_replayed(client: Flavour, stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, [TextDelta("One"), Cut()])
    for arguments in ({"record": tape, **known(simulator, "zai")}, {"replay": tape}):
        with pytest.raises(StreamInterrupted) as failure:
            client("zai", **arguments).chat("Hi")
        assert failure.value.partial.text == "One"
    assert read(tape).exchanges[0].happenings[-1].kind == "failure"


def test_refusals_and_retries_are_replayed(client: Flavour, stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, Refusal("server"), "One.")
    retry = RetryPolicy(attempts=2, base_delay=0.001)
    recording = client("zai", record=tape, retry=retry, **known(simulator, "zai"))
    assert recording.chat("Hi").text == "One."
    assert len(read(tape).exchanges) == 2
    replaying = client("zai", replay=tape, retry=RetryPolicy(attempts=2, base_delay=30.0))
    assert replaying.chat("Hi").text == "One."  # and nobody waited half a minute
    with pytest.raises(ServerError):
        client("zai", replay=tape, retry=None).chat("Hi")


@pytest.mark.parametrize("limit", ["first_event", "idle", "total"])
def test_time_limits_are_replayed_without_waiting(
    client: Flavour, stack: ExitStack, tape: Path, limit: str
) -> None:
    hang = threading.Event()
    script = [TextDelta("One"), Wait(hang)] if limit != "first_event" else [Wait(hang)]
    simulator = simulated(stack, script)
    limits = Timeout(**{limit: 0.2})
    try:
        with pytest.raises(APITimeoutError) as seen:
            client("zai", record=tape, timeout=limits, retry=None, **known(simulator, "zai")).chat(
                "Hi"
            )
    finally:
        hang.set()
    assert seen.value.limit == limit
    far = Timeout(**{limit: 300.0})
    with pytest.raises(APITimeoutError) as replayed:
        client("zai", replay=tape, timeout=far, retry=None).chat("Hi")
    assert replayed.value.limit == limit
    assert replayed.value.partial.text == seen.value.partial.text


def test_no_connection_is_replayed(client: Flavour, stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, "One.")
    address = known(simulator, "zai")
    simulator.stop()
    for arguments in ({"record": tape, **address}, {"replay": tape}):
        with pytest.raises(APIConnectionError, match="could not connect"):
            client("zai", retry=None, **arguments).chat("Hi")


# -- leaving early ---------------------------------------------------------------------------------


def test_who_left_early_is_seen(client: Flavour, stack: ExitStack, tape: Path) -> None:
    hang = threading.Event()
    simulator = simulated(stack, [TextDelta("One"), Wait(hang)], provider="qwen")
    recording = client("qwen", record=tape, **known(simulator, "qwen"))
    try:
        reading = recording.stream("Hi")
        assert reading.next() == TextDelta("One")
        reading.close()
    finally:
        hang.set()
    exchanges = read(tape).exchanges
    assert [e.farewell for e in exchanges].count(True) == 1
    assert next(e for e in exchanges if "/queue/data" in e.url).happenings[-1].kind == "left"
    replaying = client("qwen", replay=tape)
    assert replaying.stream("Hi").take(1) == [TextDelta("One")]
    replaying.close()
    beyond = client("qwen", replay=tape, retry=None).stream("Hi")
    with pytest.raises(StreamInterrupted, match="the client had left"):
        beyond.until_done()


def test_taking_leave_needs_no_recording(client: Flavour, stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, "One two three.", provider="qwen")
    client("qwen", record=tape, **known(simulator, "qwen")).chat("Hi")
    replaying = client("qwen", replay=tape)
    reading = replaying.stream("Hi")
    assert reading.next() == TextDelta("One")
    reading.close()
    assert reading.text == "One"


def test_who_cancels_has_left(client: Flavour, stack: ExitStack, tape: Path) -> None:
    hang = threading.Event()
    simulator = simulated(stack, [TextDelta("One"), Wait(hang)])
    reading = client("zai", record=tape, **known(simulator, "zai")).stream("Hi")
    try:
        assert reading.next() == TextDelta("One")
        threading.Timer(0.1, reading.cancel).start()
        with pytest.raises(StreamCancelled):
            reading.until_done()
    finally:
        hang.set()
    assert read(tape).exchanges[0].happenings[-1].kind == "left"


def test_a_loop_that_is_left_is_recorded(client: Flavour, stack: ExitStack, tape: Path) -> None:
    hang = threading.Event()
    simulator = simulated(stack, [TextDelta("One"), Wait(hang)])
    recording = client("zai", record=tape, **known(simulator, "zai"))
    try:
        assert recording.stream("Hi").take(1) == [TextDelta("One")]
        assert simulator.wait_for_disconnects()
    finally:
        hang.set()
    recording.chat("Again")  # by its end, what was left behind has been written
    assert read(tape).exchanges[0].happenings[-1].kind == "left"
    replaying = client("zai", replay=tape)
    assert replaying.stream("Hi").take(1) == [TextDelta("One")]


def test_a_finalizer_writes_nothing(stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, [TextDelta("One"), Pause(0.01), TextDelta(" two")])
    with SyncClient("zai", record=tape, **known(simulator, "zai")) as client:
        stream = client.stream("Hi")
        next(stream)
        del stream
        assert not tape.exists()
        client.chat("Hi")
    with SyncClient("zai", replay=tape) as client:
        stream = client.stream("Hi")
        next(stream)
        del stream
    assert len(read(tape).exchanges) == 1


def test_what_needs_no_network_leaves_no_cassette(client: Flavour, tape: Path) -> None:
    assert client("chatglm", record=tape).models()
    assert not tape.exists()


def test_a_replayed_stream_can_be_cancelled(client: Flavour, stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, [TextDelta("One"), Pause(0.01), TextDelta(" two")])
    client("zai", record=tape, **known(simulator, "zai")).chat("Hi")
    reading = client("zai", replay=tape).stream("Hi")
    reading.cancel()
    with pytest.raises(StreamCancelled):
        reading.until_done()


def test_a_waiting_replay_wakes_when_it_is_cancelled(
    client: Flavour, stack: ExitStack, tape: Path
) -> None:
    simulator = simulated(stack, [TextDelta("One"), Pause(0.05), TextDelta(" two")])
    client("zai", record=tape, **known(simulator, "zai")).chat("Hi")
    reading = client("zai", replay=Replay(tape, speed=0.001)).stream("Hi")
    threading.Timer(0.2, reading.cancel).start()
    with pytest.raises(StreamCancelled):
        reading.until_done()


# -- pace ------------------------------------------------------------------------------------------


def test_the_recorded_pace_obeys_the_clients_limits(
    client: Flavour, stack: ExitStack, tape: Path
) -> None:
    simulator = simulated(stack, [TextDelta("One"), Pause(0.05), TextDelta(" two")])
    client("zai", record=tape, **known(simulator, "zai")).chat("Hi")
    fast = client("zai", replay=Replay(tape, speed=10.0))
    assert fast.chat("Hi").text == "One two"
    for limit in ("total", "idle"):
        limits = Timeout(**{limit: 0.3})
        slow = client("zai", replay=Replay(tape, speed=0.05), timeout=limits, retry=None)
        with pytest.raises(APITimeoutError) as failure:
            slow.chat("Hi")
        assert failure.value.limit == limit


def test_waits_between_attempts_have_the_pace_too(
    client: Flavour, stack: ExitStack, tape: Path
) -> None:
    simulator = simulated(stack, Refusal("rate_limit", retry_after=0), "One.")
    client("zai", record=tape, **known(simulator, "zai")).chat("Hi")
    retry = RetryPolicy(attempts=2, base_delay=0.01)
    assert client("zai", replay=Replay(tape, speed=5.0), retry=retry).chat("Hi").text == "One."


@pytest.mark.parametrize("speed", [0, -1, float("inf"), float("nan")])
def test_a_speed_that_there_is_not(stack: ExitStack, tape: Path, speed: float) -> None:
    with pytest.raises(CassetteError, match="speed must be above 0"):
        Replay(tape, speed=speed)


# -- what does not fit -----------------------------------------------------------------------------


def test_another_question_is_a_clear_error(client: Flavour, stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, "One.")
    client("zai", record=tape, **known(simulator, "zai")).chat("Hi")
    replaying = client("zai", replay=tape)
    with pytest.raises(CassetteError) as failure:
        replaying.chat("Hello", temperature=0.5, top_p=0.5, max_tokens=3)
    said = str(failure.value)
    assert "body.messages[0].content: recorded 'Hi', asked 'Hello'" in said
    assert "body.temperature: recorded nothing, asked 0.5" in said
    assert "and 1 more" in said
    assert "record=" in said
    assert replaying.chat("Hi").text == "One."
    with pytest.raises(CassetteError, match="all of its 1 exchanges were played"):
        replaying.chat("Hi")


def test_each_recording_answers_once_and_in_order(
    client: Flavour, stack: ExitStack, tape: Path
) -> None:
    simulator = simulated(stack, "One.", "Two.", "Three.")
    recording = client("zai", record=tape, **known(simulator, "zai"))
    for question in ("same", "other", "same"):
        recording.chat(question)
    replay = Replay(tape)
    assert replay.unplayed == 3
    replaying = client("zai", replay=replay)
    assert [replaying.chat(q).text for q in ("same", "same", "other")] == ["One.", "Three.", "Two."]
    assert replay.unplayed == 0


def test_models_are_replayed(client: Flavour, stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, "One.", provider="openai")
    offered = client("openai", record=tape, **known(simulator, "openai")).models()
    assert client("openai", replay=tape).models() == offered


def served(stack: ExitStack, coding: str, *body: bytes) -> str:
    """Serve a body that says of itself how it is compressed."""

    class Service:
        def respond(self, request: SimulatedRequest) -> SimulatedResponse:
            headers = (("Content-Type", "text/event-stream"), ("Content-Encoding", coding))
            return SimulatedResponse(200, headers, body)

    server = LoopbackServer(Service())
    server.start()
    stack.callback(server.stop)
    return server.url


@pytest.mark.parametrize("coding", ["gzip", "mystery"])
def test_a_body_that_cannot_be_read_fails_again(
    client: Flavour, stack: ExitStack, tape: Path, coding: str
) -> None:
    url = served(stack, coding, b"no compressed data at all")
    with pytest.raises(ProtocolError):
        client("openai", record=tape, base_url=url, model="m", trust_env=False).chat("Hi")
    (exchange,) = read(tape).exchanges
    assert "chunk" not in [h.kind for h in exchange.happenings]
    with pytest.raises(ProtocolError):
        client("openai", replay=tape, model="m", retry=None).chat("Hi")


def test_a_body_that_goes_bad_goes_bad_again(client: Flavour, stack: ExitStack, tape: Path) -> None:
    compressor = zlib.compressobj(wbits=31)
    said = b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n'
    packed = compressor.compress(said) + compressor.flush(zlib.Z_SYNC_FLUSH) + b"\xff" * 20
    url = served(stack, "gzip", packed)
    for options in ({"record": tape, "base_url": url, "trust_env": False}, {"replay": tape}):
        with pytest.raises(ProtocolError, match="corrupt") as caught:
            client("openai", model="m", retry=None, **options).chat("Hi")
        assert caught.value.partial.text == "Hi"


def test_compressed_bytes_that_mean_nothing_yet_are_no_chunk(
    client: Flavour, stack: ExitStack, tape: Path
) -> None:
    packed = gzip.compress(
        b'data: {"choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\ndata: [DONE]\n\n'
    )
    url = served(stack, "gzip", packed[:5], packed[5:])
    asking = client("openai", record=tape, base_url=url, model="m", trust_env=False)
    assert asking.chat("Hi").text == "Hi"
    (exchange,) = read(tape).exchanges
    assert [h.kind for h in exchange.happenings] == ["head", "chunk", "released"]
    assert client("openai", replay=tape, model="m").chat("Hi").text == "Hi"


def test_a_read_of_compressed_bytes_that_mean_nothing_yet() -> None:
    step = Send(Request("GET", "https://service.example/"), None, None, None, 1)
    tape = Tape(SimpleNamespace(clock=lambda: 1.0), step, 0.0)  # type: ignore[arg-type]
    tape.head(Head(200, {"content-encoding": "gzip"}))
    packed = gzip.compress(b"Hi")
    tape.chunk(packed[:5])
    assert [h.kind for h in tape.happenings] == ["head"]
    tape.chunk(packed[5:])
    assert [h.chunk for h in tape.happenings[1:]] == [b"Hi"]


# -- files and arguments ---------------------------------------------------------------------------


def test_an_older_cassette_is_replaced_with_the_first_exchange(
    stack: ExitStack, tape: Path
) -> None:
    simulator = simulated(stack, "One.")
    for question in ("first", "second"):
        with SyncClient("zai", record=tape, **known(simulator, "zai")) as client:
            before = tape.read_bytes() if tape.exists() else b""
            client.stream("never read")
            assert (tape.read_bytes() if tape.exists() else b"") == before
            client.chat(question)
            client.chat(f"{question} again")
    assert [q.messages for q in read(tape).questions] == ["never read", "second", "second again"]
    assert len(read(tape).exchanges) == 2


def test_what_is_no_cassette_is_not_overwritten(tmp_path: Path) -> None:
    other = tmp_path / "main.py"
    other.write_text("print(1)")
    with pytest.raises(CassetteError, match="would be overwritten"):
        SyncClient(record=other)
    with pytest.raises(CassetteError, match="no such folder"):
        SyncClient(record=tmp_path / "missing" / "x.cassette")
    with pytest.raises(CassetteError, match="cannot be recorded to"):
        SyncClient(record=tmp_path)
    (tmp_path / "empty").touch()
    SyncClient(record=tmp_path / "empty").close()
    assert other.read_text() == "print(1)"


def test_what_cannot_be_replayed(tmp_path: Path, tape: Path) -> None:
    with pytest.raises(CassetteError, match="No such file"):
        SyncClient(replay=tmp_path / "missing")
    tape.write_text("nothing")
    with pytest.raises(CassetteError, match="is not a cassette"):
        SyncClient(replay=tape)
    with pytest.raises(ConfigurationError, match="exclude each other"):
        SyncClient(replay=tape, record=tape)


def test_copies_replay_and_do_not_record(stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, "One.")
    with SyncClient(
        "openai", record=tape, base_url=simulator.url + "/v1", trust_env=False
    ) as client:
        copy = pickle.loads(pickle.dumps(client))
        assert copy._given_transport is None
    with SyncClient("zai", record=tape, **known(simulator, "zai")) as client:
        client.chat("Hi")
    with SyncClient("zai", replay=Replay(tape, speed=1000.0)) as client:
        copy = pickle.loads(pickle.dumps(client))
        assert copy.chat("Hi").text == client.chat("Hi").text == "One."
        assert repr(copy._given_transport._replay) == f"Replay({str(tape)!r}, speed=1000.0)"


def test_a_question_is_noted_as_it_was_asked(stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, "One.")
    said = [{"role": "user", "content": "Hi"}]
    with SyncClient("zai", record=tape, model="glm-4.6", **known(simulator, "zai")) as client:
        stream = client.stream(said, temperature=0.5)
        said[0]["content"] = "changed"
        stream.until_done()
    (question,) = read(tape).questions
    assert question.messages == [{"role": "user", "content": "Hi"}]
    assert (question.model, question.options) == ("glm-4.6", {"temperature": 0.5})


def test_a_conversation_is_replayed(stack: ExitStack, tape: Path) -> None:
    simulator = simulated(
        stack, [TextDelta("On"), TextReplace(0, "One.")], "Two.", provider="chatglm"
    )
    texts = []
    for arguments in ({"record": tape, **known(simulator, "chatglm")}, {"replay": tape}):
        with SyncClient("chatglm", **arguments) as client:
            conversation: Conversation = client.conversation(system="S.")
            texts.append([conversation.chat(q).text for q in ("First?", "Second?")])
    assert texts == [["One.", "Two."], ["One.", "Two."]]


def test_json_lines_are_json(stack: ExitStack, tape: Path) -> None:
    simulator = simulated(stack, SCRIPT)
    with SyncClient("zai", record=tape, **known(simulator, "zai")) as client:
        client.chat("Hi")
    first, *rest = tape.read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["cassette"] == 1
    assert all(isinstance(json.loads(line), dict) for line in rest)
