"""The laws of the streams on every known input, and on what hypothesis makes of them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .target import check, seeds

SEEDS = [data[:6_000] for data in seeds()]
FOUND = sorted((Path(__file__).parent / "inputs").iterdir())


@pytest.mark.parametrize("data", SEEDS, ids=[f"seed {n}" for n in range(len(SEEDS))])
def test_the_laws_hold_for_what_is_known(data: bytes) -> None:
    check(data)


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.name)
def test_the_laws_hold_for_what_fuzzing_found(path: Path) -> None:
    check(path.read_bytes())


@given(st.binary(max_size=400))
def test_the_laws_hold_for_any_bytes(data: bytes) -> None:
    check(data)


@given(
    st.sampled_from(SEEDS),
    st.integers(0, 2_000),
    st.integers(0, 60),
    st.binary(max_size=30),
    st.data(),
)
def test_the_laws_hold_for_damaged_streams(
    seed: bytes, at: int, removed: int, added: bytes, data: st.DataObject
) -> None:
    short = seed[: data.draw(st.integers(2, 2_500))]
    check(short[:2] + short[2 : 2 + at] + added + short[2 + at + removed :])
