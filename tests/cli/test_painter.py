"""Painting: soon after a change, not for each one, and never after it has failed."""

from __future__ import annotations

import threading

import pytest

from glmclient.cli.display.painter import PAINTER, Painter

PATIENCE = 20.0


def nothing() -> None:
    """Do nothing."""


def test_a_change_is_painted_soon() -> None:
    painted = threading.Event()
    painter = Painter(painted.set, nothing, every=0.001, tick=60.0)
    painter.touch()
    assert painted.wait(PATIENCE)
    painter.stop()


def test_changes_in_a_row_are_painted_together() -> None:
    states: list[int] = []
    state, told = [0], threading.Event()

    def paint() -> None:
        states.append(state[0])
        told.set()

    painter = Painter(paint, nothing, every=0.3, tick=60.0)
    for number in range(1, 6):
        state[0] = number
        painter.touch()
    assert told.wait(PATIENCE)
    painter.stop()
    assert states[0] == 5


def test_it_paints_without_a_change_after_a_while() -> None:
    painted = threading.Event()
    painter = Painter(painted.set, nothing, every=0.001, tick=0.001)
    assert painted.wait(PATIENCE)
    painter.stop()


def test_a_stopped_painter_paints_no_more() -> None:
    painted: list[int] = []
    painter = Painter(lambda: painted.append(1), nothing, every=60.0, tick=60.0)
    painter.touch()
    painter.stop()
    assert painted == []
    assert PAINTER not in [thread.name for thread in threading.enumerate()]


def test_a_failure_is_told_and_raised_by_stop() -> None:
    failed = threading.Event()
    count: list[int] = []

    def paint() -> None:
        count.append(1)
        raise BrokenPipeError

    painter = Painter(paint, failed.set, every=0.001, tick=0.001)
    assert failed.wait(PATIENCE)
    with pytest.raises(BrokenPipeError):
        painter.stop()
    painter.stop()
    assert count == [1]
