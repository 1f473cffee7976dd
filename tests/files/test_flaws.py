"""Flaws of a detector: counted where they are, bridged where nothing was measured."""

import numpy as np
import pytest
import scipy

from asyncred.files.problem.flaws import (
    NARROW,
    bridged,
    bridged_pixels,
    narrow,
    scatter_of,
    stuck,
    without_zingers,
    zingers,
)
from scans import object_slices, projected, scan


def transmissions(gain, seed=0):
    """A slice [views, columns]."""
    found = scan(gain=gain, seed=seed, truth=object_slices(slices=1))
    dark, white = found.dark[:, 0].mean(0), found.white[:, 0].mean(0)
    return ((found.data[:, 0] - dark) / (white - dark)).astype(np.float32)


def counted(values):
    light = np.full(values.shape[1], 1000, np.float32)
    return int(zingers(values, light, scatter_of(values, light)).sum())


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


def test_zingers_give_way_to_their_neighbours():
    clean, light = transmissions(4000), np.full(64, 4000, np.float32)
    broken, marked = clean.copy(), np.zeros(clean.shape, bool)
    marked[20, 30:33] = marked[[5, 44], [10, 50]] = True  # three side by side, and single ones
    broken[marked] *= 6
    found, where = without_zingers(broken, light, scatter_of(broken, light))
    np.testing.assert_array_equal(where, marked)
    np.testing.assert_array_equal(found[~marked], clean[~marked])
    np.testing.assert_allclose(found[marked], clean[marked], rtol=0.4)


def test_some_views_with_two_on_either_side_tell_the_same():
    broken, light = transmissions(4000), np.full(64, 4000, np.float32)
    broken[np.random.default_rng(1).random(broken.shape) < 0.01] *= 5
    scatter = scatter_of(broken, light)
    whole = without_zingers(broken, light, scatter)[0]
    part = without_zingers(broken[8:34], light, scatter)[0]
    np.testing.assert_array_equal(part[2:-2], whole[10:32])


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


def test_single_pixels_are_bridged_along_their_view():
    y = np.arange(12, dtype=np.float32) * np.array([[1], [3]], np.float32)
    missing = np.zeros(y.shape, bool)
    assert bridged_pixels(y, missing) is y
    missing[1, [0, 5, 6]] = True
    found = bridged_pixels(np.where(missing, np.float32(-1), y), missing)
    np.testing.assert_array_equal(found[0], y[0])
    np.testing.assert_allclose(found[1], [3, *y[1, 1:]])


def test_wide_runs_are_told_from_narrow_ones():
    marked = np.zeros((2, 20), bool)
    marked[0, 2 : 3 + NARROW] = marked[0, 19] = marked[1, 0:NARROW] = True
    found = narrow(marked)
    assert np.flatnonzero(found[0]).tolist() == [19]
    assert np.flatnonzero(found[1]).tolist() == list(range(NARROW))


@pytest.mark.parametrize("shape", [(40, 50), (2, 30), (1, 20)])
def test_the_second_look_is_at_all_that_can_have_changed(shape):
    """Two looks at all values find the same."""
    rng = np.random.default_rng(3)
    values, light = rng.uniform(0.3, 1, shape).astype(np.float32), np.full(shape[1], 1e4)
    values[rng.random(shape) < 0.15] *= 6
    expected, marked = values, np.zeros(shape, bool)
    for _ in range(2):
        bright = zingers(expected, light, 1.0)
        median = scipy.ndimage.median_filter(expected, size=3, mode="mirror")
        expected, marked = np.where(bright, median, expected), marked | bright
    found, where = without_zingers(values, light, 1.0)
    np.testing.assert_array_equal(where, marked)
    np.testing.assert_array_equal(found, expected)
    assert marked.any() or shape[0] == 1
