"""Check a release before it is published: tag, version, changelog and checkout say the same."""

from __future__ import annotations

import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_RELEASE = re.compile(r"^## (\d+\.\d+\.\d+\S*) \((\d{4}-\d{2}-\d{2})\)$", re.MULTILINE)


def version_of(text: str) -> str:
    """Return the version that a ``_version.py`` holds."""
    match = re.search(r'__version__ = "([^"]+)"', text)
    return match.group(1) if match else ""


def problems(version: str, changelog: str, tags: list[str], changes: list[str]) -> list[str]:
    """Return what is wrong, a sentence for each problem.

    Args:
        version: of the package.
        changelog: the text of CHANGELOG.md.
        tags: of the commit that is checked out.
        changes: files that differ from the commit.
    """
    found = []
    if f"v{version}" not in tags:
        found.append(f"the commit has no tag v{version}; its tags: {', '.join(tags) or 'none'}")
    release = _RELEASE.search(changelog)
    if release is None or release.group(1) != version:
        newest = release.group(1) if release else "none"
        found.append(
            f"the newest release in CHANGELOG.md is {newest}, and the version is {version}"
        )
    else:
        try:
            datetime.date.fromisoformat(release.group(2))
        except ValueError:
            found.append(f"CHANGELOG.md has no valid date for {version}: {release.group(2)}")
    if "## Unreleased" not in changelog:
        found.append('CHANGELOG.md has no section "Unreleased" for what comes next')
    if changes:
        found.append(f"files are not committed: {', '.join(changes)}")
    return found


def _git(*arguments: str) -> list[str]:
    command = ["git", *arguments]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return run.stdout.splitlines()


def main() -> int:
    """Print the problems; return 1 if there are any."""
    found = problems(
        version_of((ROOT / "glmclient" / "_version.py").read_text(encoding="utf-8")),
        (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
        _git("tag", "--points-at", "HEAD"),
        [line[3:] for line in _git("status", "--porcelain")],
    )
    for problem in found:
        print(problem, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
