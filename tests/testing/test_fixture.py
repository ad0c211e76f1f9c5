"""The test kit: names that cost nothing until they are used, and the fixture in a run of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import glmclient.simulator
import glmclient.testing
from glmclient.errors import ConfigurationError, ServerError
from glmclient.simulator import Script
from glmclient.testing import SimulatorFactory


def test_the_names_are_those_of_the_simulator() -> None:
    for name in glmclient.testing.__all__:
        value = getattr(glmclient.testing, name)
        if name != "SimulatorFactory":
            assert value is getattr(glmclient.simulator, name)
    assert set(glmclient.testing.__all__) <= set(dir(glmclient.testing))
    with pytest.raises(AttributeError, match="has no attribute 'Nothing'"):
        glmclient.testing.Nothing  # noqa: B018


def test_the_factory_starts_services_and_ends_them() -> None:
    factory = SimulatorFactory()
    one, two = factory("a"), factory("b", provider="zai")
    with one.client() as client, two.client() as other:
        assert (client.chat("q").text, other.chat("q").text) == ("a", "b")
    factory.close()
    for sim in (one, two):
        with pytest.raises(ConfigurationError, match="not running"):
            assert sim.url


def test_the_factory_raises_what_went_wrong_and_ends_all_the_same() -> None:
    factory = SimulatorFactory()
    wrong, right = factory(Script("a")), factory()
    with wrong.client(retry=None) as client:
        client.chat("1")
        with pytest.raises(ServerError):
            client.chat("2")
    with pytest.raises(ConfigurationError, match="this is question 2"):
        factory.close()
    with pytest.raises(ConfigurationError, match="not running"):
        assert right.url


def run_pytest(folder: Path, test: str) -> tuple[int, str]:
    (folder / "test_application.py").write_text(textwrap.dedent(test), encoding="utf-8")
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "-p",
            "no:glmclient",  # the entry point, where the package is installed
            "-p",
            "no:glmclient",  # the entry point, where the package is installed: it would be there twice
            "-p",
            "glmclient.testing.plugin",
            str(folder),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_fixture_serves_a_test(tmp_path: Path) -> None:
    status, shown = run_pytest(
        tmp_path,
        """
        from glmclient import SyncClient

        def application(base_url):
            with SyncClient(base_url=base_url, trust_env=False) as client:
                return client.chat("Hi").text.upper()

        def test_application(glm_simulator):
            sim = glm_simulator("Hello!")
            assert application(sim.url) == "HELLO!"
            assert sim.prompts == ("Hi",)
        """,
    )
    assert (status, "1 passed" in shown) == (0, True), shown


def test_the_fixture_fails_a_test_whose_script_failed(tmp_path: Path) -> None:
    status, shown = run_pytest(
        tmp_path,
        """
        from glmclient.testing import Script

        def test_application(glm_simulator):
            sim = glm_simulator(Script("one answer"))
            with sim.client(retry=None) as client:
                client.chat("1")
                try:
                    client.chat("2")
                except Exception:
                    pass
        """,
    )
    assert status == 1
    assert "the script has 1 answer, and this is question 2" in shown


def test_the_fixture_in_this_run(glm_simulator: SimulatorFactory) -> None:
    sim = glm_simulator("Hello!")
    with sim.client() as client:
        assert client.chat("Hi").text == "Hello!"


def test_the_plugin_costs_nothing_when_it_is_not_used() -> None:
    program = (
        "import sys, pytest\n"
        "before = set(sys.modules)\n"
        "import glmclient.testing.plugin\n"
        "print(*sorted(set(sys.modules) - before))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == [
        "glmclient",
        "glmclient._version",
        "glmclient.testing",
        "glmclient.testing.plugin",
    ]
