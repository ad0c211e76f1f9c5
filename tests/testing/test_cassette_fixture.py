"""The fixture `glm_cassette`, as a user's test run sees it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from glmclient.simulator import Simulator
from glmclient.testing.cassettes import arguments

ROOT = Path(__file__).resolve().parents[2]
TEST = """
import pytest
from glmclient import SyncClient

@pytest.mark.parametrize("question", ["Hi", "a/b c?"])
def test_greeting(glm_cassette, question):
    with SyncClient(**glm_cassette) as client:
        assert client.chat(question).text == "Hello!"
"""


def pytest_run(folder: Path, *options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", os.devnull),
            *("-p", "glmclient.testing.plugin", "-p", "no:glmclient", *options, str(folder)),
        ],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), "NO_PROXY": "*", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_tests_record_and_then_replay(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(TEST)
    missing = pytest_run(tmp_path)
    assert missing.returncode == 1
    assert "record it: pytest --glm-record" in missing.stdout
    with Simulator("Hello!") as simulator:
        recorded = pytest_run(tmp_path, "--glm-record", GLMCLIENT_CHATGLM_BASE_URL=simulator.url)
        assert recorded.returncode == 0, recorded.stdout
        assert len(simulator.questions) == 2
    assert sorted(path.name for path in (tmp_path / "cassettes").iterdir()) == [
        "test_it.test_greeting-Hi.cassette",
        "test_it.test_greeting-a-b-c.cassette",
    ]
    replayed = pytest_run(tmp_path)
    assert replayed.returncode == 0, replayed.stdout


def test_a_cassette_has_the_name_of_its_test(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request.node, "path", tmp_path / "test_here.py")
    path = tmp_path / "cassettes" / f"test_here.{request.node.name}.cassette"
    with pytest.raises(pytest.fail.Exception, match="there is no cassette"):
        arguments(request.node, record=False)
    assert arguments(request.node, record=True) == {"record": path}
    assert arguments(request.node, record=True) == {"record": path}
    path.touch()
    assert arguments(request.node, record=False) == {"replay": path}


def test_the_fixture_replays_unless_it_is_told_to_record(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request.node, "path", tmp_path / "test_here.py")
    path = tmp_path / "cassettes" / f"test_here.{request.node.name}.cassette"
    path.parent.mkdir()
    path.touch()
    assert request.getfixturevalue("glm_cassette") == {"replay": path}
