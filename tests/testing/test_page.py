"""What the page on testing promises of refusals holds for every service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest

import glmclient
from glmclient.errors import APIStatusError
from glmclient.simulator import PROVIDERS, Refusal, Simulator
from glmclient.simulator.script import RefusalKind

PAGE = Path(__file__).parents[2] / "docs" / "testing.md"
ROW = re.compile(r"^\| `\"([a-z_]+)\"` \| (.*`\w+Error`.*) \|$", re.MULTILINE)


def promised() -> dict[str, tuple[type[APIStatusError], ...]]:
    """Return the classes that the page names for each kind of refusal."""
    return {
        kind: tuple(getattr(glmclient, name) for name in re.findall(r"`(\w+Error)`", words))
        for kind, words in ROW.findall(PAGE.read_text(encoding="utf-8"))
    }


def test_the_page_names_every_kind() -> None:
    assert sorted(promised()) == sorted(get_args(RefusalKind))


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("kind", get_args(RefusalKind))
def test_the_client_raises_what_the_page_promises(provider: str, kind: Any) -> None:
    with Simulator(Refusal(kind), provider=provider) as sim, sim.client(retry=None) as client:
        with pytest.raises(APIStatusError) as caught:
            client.chat("q")
    assert isinstance(caught.value, promised()[kind])
    if kind != "blocked":  # a Space that sleeps wakes up; a login wall stays
        assert caught.value.retryable == (kind in ("rate_limit", "server"))
