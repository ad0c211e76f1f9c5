"""Files that are no cassette, or a damaged one: a `CassetteError`, and nothing that waits or fills the memory."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from glmclient import CassetteError, Replay, SyncClient
from glmclient.simulator import Simulator


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "strange.cassette"


def record(path: Path) -> None:
    with Simulator("One.", provider="zai") as simulator:
        with SyncClient(
            "zai", api_key="sk-test", base_url=simulator.url, record=path, trust_env=False
        ) as client:
            client.chat("Hi")


def recorded(path: Path) -> list[dict[str, Any]]:
    record(path)
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_and_a_device_are_refused(path: Path) -> None:
    os.mkfifo(path)
    for name in (path, Path("/dev/zero")):
        with pytest.raises(CassetteError, match="it is not a regular file"):
            Replay(name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_not_recorded_to(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(CassetteError, match="cannot be recorded to: it is a named pipe"):
        SyncClient(record=path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such device")
def test_a_device_keeps_its_mode(monkeypatch: pytest.MonkeyPatch) -> None:
    modes: list[int] = []
    monkeypatch.setattr(os, "fchmod", lambda _, mode: modes.append(mode))
    record(Path(os.devnull))
    assert modes == []


def test_a_file_beyond_the_bound_is_refused(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glmclient.cassette.replaying.LARGEST", 100)
    path.write_bytes(b" " * 101)
    with pytest.raises(CassetteError, match="larger than 100 bytes"):
        Replay(path)


@pytest.mark.parametrize(
    ("key", "value"), [("method", 5), ("url", 7), ("headers", {"a": 1}), ("headers", 3)]
)
def test_a_request_of_other_types_is_damage(path: Path, key: str, value: object) -> None:
    lines = recorded(path)
    (request,) = (line for line in lines if "request" in line)
    request["request"][key] = value
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(CassetteError, match="is damaged"):
        Replay(path)


def test_a_time_beyond_every_float_is_damage(path: Path) -> None:
    lines = recorded(path)
    timed = next(line for line in lines if "at" in line)
    timed["at"] = 10**400
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    with pytest.raises(CassetteError, match="is damaged"):
        Replay(path)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes")
def test_a_cassette_that_others_could_read_is_closed_to_them(path: Path) -> None:
    recorded(path)
    path.chmod(0o644)
    recorded(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
