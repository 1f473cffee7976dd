"""Decibels, and the seams of blocks."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid
from asyncred.metrics import psnr, seam_ratio, snr, snr_from_squares


def test_decibels():
    truth = np.full((10, 10), 0.5, np.float32)
    x = truth + np.float32(0.05)
    assert snr(truth, x) == pytest.approx(20, abs=1e-4)
    assert snr_from_squares(4.0, 0.04) == pytest.approx(20)
    assert psnr(truth, x) == pytest.approx(20 * np.log10(20), abs=1e-4)


def test_decibels_at_the_ends():
    one = np.ones((2, 2), np.float32)
    assert snr(one, one) == np.inf
    assert snr(0 * one, one) == -np.inf


@pytest.mark.parametrize("shape", [(40, 40), (37, 45)])
def test_seams(shape):
    grid = BlockGrid(shape, (10, 10))
    x = np.random.default_rng(0).random(shape, dtype=np.float32)
    assert seam_ratio(x, grid) == pytest.approx(1, abs=0.15)
    slope = np.add.outer(np.arange(shape[0]), np.arange(shape[1])).astype(np.float32)
    assert seam_ratio(slope, grid) == 1
    for i in range(len(grid)):
        slope[grid.block(i)] += 2 * i
    assert seam_ratio(slope, grid) > 2
