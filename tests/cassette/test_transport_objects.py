"""Record and replay are transports: `record=` and `replay=` are shorthands for objects that `transport=` takes."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import anyio
import pytest

import glmclient.cassette
from glmclient import AsyncClient, CassetteError, ConfigurationError, Replay, SyncClient
from glmclient.cassette import (
    AsyncRecordingTransport,
    AsyncReplayTransport,
    SyncRecordingTransport,
    SyncReplayTransport,
)
from glmclient.cassette.entries import parsed
from glmclient.clients.base import BaseClient
from glmclient.simulator import Script, Simulator
from glmclient.transports import AttachedTransport, Attachment

BACKENDS = ("asyncio", "trio")


def options(simulator: Simulator) -> dict[str, Any]:
    return {"api_key": "sk-test", "base_url": simulator.url, "trust_env": False}


def test_a_recording_transport_records_and_a_replaying_one_needs_no_key(tmp_path: Path) -> None:
    path = tmp_path / "chat.cassette"
    with Simulator(Script("One."), provider="zai") as simulator:
        recording = SyncRecordingTransport(path)
        with SyncClient("zai", transport=recording, **options(simulator)) as client:
            assert client.chat("Hi", temperature=0.5).text == "One."
    (question,) = parsed(path.read_bytes(), "chat").questions
    assert (question.messages, question.options) == ("Hi", {"temperature": 0.5})
    with SyncClient("zai", transport=SyncReplayTransport(path), trust_env=False) as client:
        assert client.chat("Hi", temperature=0.5).text == "One."
        with pytest.raises(CassetteError, match="exchanges were played"):
            client.chat("Hi", temperature=0.5)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_asynchronous_mirrors(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "chat.cassette"

    async def main() -> None:
        with Simulator(Script("One."), provider="zai") as simulator:
            recording = AsyncRecordingTransport(path)
            async with AsyncClient("zai", transport=recording, **options(simulator)) as client:
                assert (await client.chat("Hi")).text == "One."
        replaying = AsyncReplayTransport(Replay(path, speed=1000))
        async with AsyncClient("zai", transport=replaying, trust_env=False) as client:
            assert (await client.chat("Hi")).text == "One."

    anyio.run(main, backend=backend)


def test_clients_that_share_a_recording_transport_write_one_file(tmp_path: Path) -> None:
    path = tmp_path / "chat.cassette"
    recording = SyncRecordingTransport(path)
    with Simulator(Script("One.", "Two."), provider="zai") as simulator:
        for _ in range(2):
            with SyncClient("zai", transport=recording, **options(simulator)) as client:
                client.chat("Hi")
    assert len(parsed(path.read_bytes(), "chat").exchanges) == 2


def test_a_recording_transport_performs_by_the_transport_that_it_is_given(tmp_path: Path) -> None:
    first, second = tmp_path / "first.cassette", tmp_path / "second.cassette"
    with Simulator(Script("One."), provider="zai") as simulator:
        with SyncClient("zai", record=first, **options(simulator)) as client:
            client.chat("Hi")
        again = SyncRecordingTransport(second, SyncReplayTransport(first, simulator.url))
        with SyncClient("zai", transport=again, **options(simulator)) as client:
            assert client.chat("Hi").text == "One."
        with SyncClient(
            "zai", record=second, transport=SyncReplayTransport(first), **options(simulator)
        ) as client:
            assert client.chat("Hi").text == "One."
    assert len(parsed(second.read_bytes(), "second").exchanges) == 1


def test_a_recording_transport_without_a_client_cannot_be_opened(tmp_path: Path) -> None:
    transport = SyncRecordingTransport(tmp_path / "chat.cassette", SyncClient()._transport)
    with pytest.raises(ConfigurationError, match="give it to one as transport="):
        transport.open()


def test_a_transport_of_the_other_client_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "chat.cassette"
    with pytest.raises(ConfigurationError, match="AsyncRecordingTransport lacks close"):
        SyncClient(transport=AsyncRecordingTransport(path))
    with pytest.raises(ConfigurationError, match="SyncRecordingTransport lacks aclose"):
        AsyncClient(transport=SyncRecordingTransport(path))


def test_copies_in_another_process_do_not_record(tmp_path: Path) -> None:
    recording = SyncRecordingTransport(tmp_path / "chat.cassette")
    assert pickle.loads(pickle.dumps(recording)) is None
    inner = pickle.loads(pickle.dumps(SyncRecordingTransport(tmp_path / "chat.cassette", "inner")))
    assert inner == "inner"


class Minimal(AttachedTransport):
    """A transport of a third party that overrides nothing and cannot be opened."""

    def open(self) -> Any:
        raise RuntimeError("it cannot be opened")

    def close(self) -> None:
        """Nothing is open."""


def test_an_attached_transport_need_not_override_anything() -> None:
    transport = Minimal()
    with SyncClient(transport=transport) as client:
        assert client._transport is transport
        with pytest.raises(RuntimeError, match="it cannot be opened"):
            client.stream("Hi")
    assert transport.clock is None
    assert transport.stand_ins("zai", "key", None) == ("key", None)
    assert transport.attach(Attachment("zai", "http://service.test", float, object)) is transport


def test_the_base_of_both_clients_has_no_transport() -> None:
    with pytest.raises(TypeError, match="use SyncClient or AsyncClient"):
        BaseClient()
    with pytest.raises(TypeError, match="use SyncClient or AsyncClient"):
        BaseClient(record="chat.cassette")
    with pytest.raises(TypeError, match="use SyncClient or AsyncClient"):
        BaseClient(replay="chat.cassette")


def test_the_package_has_these_names_and_no_others() -> None:
    assert {name for name in glmclient.cassette.__all__ if getattr(glmclient.cassette, name)}
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        glmclient.cassette.Nothing  # noqa: B018
