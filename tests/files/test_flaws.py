"""Flaws of a detector: counted where they are, bridged where nothing was measured."""

import numpy as np
import pytest

from asyncred.files.problem.flaws import bridged, stuck, zingers
from scans import object_slices, projected, scan


def transmissions(gain, seed=0):
    """A slice [views, columns]."""
    found = scan(gain=gain, seed=seed, truth=object_slices(slices=1))
    dark, white = found.dark[:, 0].mean(0), found.white[:, 0].mean(0)
    return ((found.data[:, 0] - dark) / (white - dark)).astype(np.float32)


@pytest.mark.parametrize("gain", [1000, 4000, 50000])
@pytest.mark.parametrize("seed", range(3))
def test_zingers_are_counted_and_noise_and_edges_are_not(gain, seed):
    clean = transmissions(gain, seed)
    assert counted(clean) == 0
    for view, column in ((3, 20), (17, 32), (40, 50), (41, 10), (0, 0), (59, 63)):
        clean[view, column] = 3
    assert counted(clean) == 6


def test_exact_transmissions_have_none():
    assert counted(np.exp(-projected(object_slices(slices=1), np.arange(60) * 3, 31.5)[0])) == 0


def test_stuck_columns():
    clean = transmissions(4000)
    assert not stuck(clean).any()
    clean[:, 5], clean[:, 40], clean[:, 50] = 0, 2.5, 1  # the last sees the free beam
    assert np.flatnonzero(stuck(clean)).tolist() == [5, 40]
    assert not stuck(clean[:1]).any()


def test_dead_columns_are_bridged():
    y = np.arange(10, dtype=np.float32) ** 2 * np.ones((2, 1), np.float32)
    dead = np.zeros(10, bool)
    assert bridged(y, dead) is y
    dead[[0, 4, 5, 9]] = True
    found = bridged(np.where(dead, np.float32(np.nan), y), dead)
    np.testing.assert_array_equal(found[:, ~dead], y[:, ~dead])
    np.testing.assert_allclose(found[1, dead], [1, 9 + 27 / 3, 9 + 54 / 3, 64])
    assert found.dtype == np.float32
