"""The automatic window, driven without a clock or a network."""

from __future__ import annotations

import pytest

from glmclient.batch.window import MAXIMUM, Window


def answered(window: Window, windows: int = 1) -> None:
    for _ in range(windows):
        for _ in range(window.size):
            window.succeeded()


def test_it_doubles_after_each_window_of_successes_until_the_first_refusal() -> None:
    window = Window()
    sizes = []
    for _ in range(12):
        sizes.append(window.size)
        answered(window)
    assert sizes == [1, 2, 4, 8, 16, 32, 64, 128, 256, 256, 256, 256]
    assert window.size == MAXIMUM


def test_a_refusal_sets_the_ceiling_one_below_the_window_once_a_round_trip() -> None:
    window = Window()
    answered(window, 2)
    epoch = window.epoch
    for _ in range(4):  # all four requests of one round trip are refused
        window.refused(epoch)
    assert window.size == 3
    answered(window, 10)
    assert window.size == 3


def test_a_probe_comes_after_some_windows_and_later_each_time_that_it_fails() -> None:
    window = Window()
    answered(window, 2)
    window.refused(window.epoch)
    waits: list[int] = []
    for _ in range(3):
        windows = 0
        while window.size == 3:
            answered(window)
            windows += 1
        assert window.size == 4
        waits.append(windows)
        window.refused(window.epoch)
        assert window.size == 3
    assert waits[0] < waits[1] < waits[2]


def test_a_probe_that_succeeds_is_the_new_ceiling() -> None:
    window = Window()
    answered(window, 2)
    window.refused(window.epoch)
    answered(window, 400)
    assert window.size > 10


def test_refusals_in_a_row_halve_it_and_the_way_back_is_one_at_a_time() -> None:
    window = Window()
    answered(window, 4)
    assert window.size == 16
    window.refused(window.epoch)
    assert window.size == 15
    window.refused(window.epoch)
    assert window.size == 7
    window.refused(window.epoch)
    window.refused(window.epoch)
    window.refused(window.epoch)
    assert window.size == 1


def test_a_fixed_window_learns_nothing() -> None:
    window = Window(5)
    window.refused(window.epoch)
    answered(window, 50)
    assert window.size == 5


@pytest.mark.parametrize("allowed", [1, 2, 3, 5, 7, 12, 40, 100])
def test_few_requests_are_refused_whatever_the_service_allows(allowed: int) -> None:
    window, refused, asked = Window(), 0, 0
    while asked < 4000:
        epoch, size = window.epoch, window.size
        for place in range(size):
            asked += 1
            if place < allowed:
                window.succeeded()
            else:
                refused += 1
                window.refused(epoch)
    assert refused / asked < 0.05
    assert allowed * 0.8 - 1 <= window.size <= allowed + 1
