"""The long run, shortened: what ten thousand streams would leave, a few hundred leave a part of."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import soak


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with soak.service() as address:
        yield address


@pytest.mark.parametrize("name", soak.CASES)
def test_nothing_is_left(url: str, name: str) -> None:
    before, after = soak.soaked(name, url, count=150, warm=100)
    assert after.descriptors <= before.descriptors
    # A hundred bytes for each stream would be found over ten thousand; a few objects for each are found here.
    assert after.objects <= before.objects + 150


def test_it_is_a_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert soak.main(["--count", "5"]) == 0
    said = capsys.readouterr().out
    assert [line.partition(":")[0] for line in said.splitlines()[::3]] == list(soak.CASES)
