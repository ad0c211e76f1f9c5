"""The habits of the project: what a release needs, and what the files for strangers promise."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "scripts"))

from verify_release import problems, version_of  # noqa: E402

CHANGELOG = "# Changelog\n\n## Unreleased\n\n## 1.2.0 (2030-01-31)\n\n- A change.\n\n## 1.1.0 (2029-12-01)\n"


def test_a_release_whose_parts_agree_has_no_problems() -> None:
    assert problems("1.2.0", CHANGELOG, ["v1.2.0"], []) == []


@pytest.mark.parametrize(
    ("version", "changelog", "tags", "changes", "expected"),
    [
        ("1.2.0", CHANGELOG, [], [], "no tag v1.2.0; its tags: none"),
        ("1.2.0", CHANGELOG, ["v1.1.0"], [], "its tags: v1.1.0"),
        ("1.3.0", CHANGELOG, ["v1.3.0"], [], "newest release in CHANGELOG.md is 1.2.0"),
        ("1.2.0", "# Changelog\n\n## Unreleased\n", ["v1.2.0"], [], "is none"),
        ("1.2.0", CHANGELOG.replace("01-31", "02-31"), ["v1.2.0"], [], "no valid date for 1.2.0"),
        (
            "1.2.0",
            CHANGELOG.replace("## Unreleased", ""),
            ["v1.2.0"],
            [],
            'no section "Unreleased"',
        ),
        ("1.2.0", CHANGELOG, ["v1.2.0"], ["README.md"], "not committed: README.md"),
    ],
)
def test_a_release_whose_parts_differ_has_a_problem(
    version: str, changelog: str, tags: list[str], changes: list[str], expected: str
) -> None:
    (problem,) = problems(version, changelog, tags, changes)
    assert expected in problem


def test_the_version_of_the_package_is_read() -> None:
    text = (ROOT / "glmclient" / "_version.py").read_text(encoding="utf-8")
    assert re.fullmatch(r"\d+\.\d+\.\d+\S*", version_of(text))
    assert version_of("nothing") == ""


def test_the_command_prints_the_problems_of_this_checkout() -> None:
    script = ROOT / "scripts" / "verify_release.py"
    run = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert run.returncode in (0, 1)
    assert bool(run.stderr) == bool(run.returncode), run.stderr
    assert "Traceback" not in run.stderr


def test_a_fault_report_asks_for_a_cassette() -> None:
    form = (ROOT / ".github" / "ISSUE_TEMPLATE" / "fault.yml").read_text(encoding="utf-8")
    assert "glmclient record" in form


def test_the_package_says_where_the_project_is() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    urls = setup["metadata"]["project_urls"]
    assert {line.partition(" = ")[0] for line in urls.split("\n") if line} == {
        "Documentation",
        "Source",
        "Changelog",
        "Faults",
    }


@pytest.mark.parametrize("target", ["check", "test", "test-real", "bench-quick"])
def test_the_commands_that_the_guide_names_exist(target: str) -> None:
    assert f"`make {target}`" in (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
