"""The start by total variation: the transpose, the prox against its optimality, less noise."""

import numpy as np
import pytest

from asyncred.grid import BlockGrid
from asyncred.metrics import snr
from asyncred.operators import BlockRandom, Mask
from asyncred.operators.block_random import draw_matrix
from asyncred.operators.total_variation import divergence, gradient, prox, total_variation_start


def picture(h=30, w=24):
    rows, cols = np.mgrid[:h, :w]
    return (0.3 + 0.4 * (rows + cols > 25) + 0.2 * (cols > 12)).astype(np.float32)


def test_divergence_is_the_transpose():
    rng = np.random.default_rng(0)
    u, p = rng.standard_normal((7, 9)).astype("f4"), rng.standard_normal((2, 7, 9)).astype("f4")
    assert np.vdot(gradient(u), p) == pytest.approx(np.vdot(u, divergence(p)), rel=1e-4)


def total(u):
    return float(np.sqrt(np.square(gradient(u)).sum(axis=0)).sum())


def test_prox_minimises():
    """No step in any of many directions is lower; the dual is feasible."""
    rng = np.random.default_rng(1)
    v = picture() + 0.1 * rng.standard_normal(picture().shape).astype("f4")
    u, dual = prox(v, 0.1, np.zeros((2, *v.shape), np.float32), steps=300)

    def objective(x):
        return 0.5 * float(np.square(x - v).sum()) + 0.1 * total(x)

    assert np.sqrt(np.square(dual).sum(axis=0)).max() <= 1 + 1e-5
    for scale in (1e-3, 1e-2, 1e-1):
        step = scale * rng.standard_normal(u.shape).astype("f4")
        assert objective(u + step) > objective(u) - 1e-5
    assert objective(u) < min(objective(v), objective(picture()))


def test_start_of_compressed_measurements():
    x, n = picture(), picture().size
    m = 2 * n // 3
    a = draw_matrix(5, 0, m, n)
    y = a @ x.ravel() + 1e-3 * np.random.default_rng(2).standard_normal(m).astype("f4")
    A = BlockRandom({0: a}, {0: y.astype("f4")}, shapes={0: x.shape}, threads=1)
    found = total_variation_start(A, 0, A.centered(0), steps=A.start_steps)
    assert found.dtype == np.float32
    assert snr(x, A.centered(0)) < 12 and snr(x, found) > 25


def test_start_of_missing_pixels():
    x = picture()
    grid = BlockGrid(x.shape, x.shape)
    measured = np.random.default_rng(3).random(x.shape) < 0.4
    A = Mask(grid, {0: measured}, {0: x})
    start = A.interpolated(0)
    assert snr(x, total_variation_start(A, 0, start, steps=20)) > snr(x, start)
