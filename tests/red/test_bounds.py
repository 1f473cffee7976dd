"""x within bounds: no step leaves them, and x ends where no descent is left inside of them."""

import numpy as np
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.grid import BlockGrid, BlockWindows, region_shape
from asyncred.operators import BlockRandom
from asyncred.operators.block_random import draw_matrix
from asyncred.red.bounds import BoundedRed, clipped, count_at
from asyncred.red.operator import RedOperator
from asyncred.red.proximal import ProximalRed
from asyncred.red.sampling import EpochOrder, FullBatch
from asyncred.red.serial_red import LocalImage, bc_red, gm_red
from asyncred.red.solver import AfterUpdates, Silent
from asyncred.red.stepsize import FixedStep
from networks import smoothing

GRID = BlockGrid((20, 26), (8, 10))
B, TAU, LOW, HIGH = len(GRID), 0.4, 0.2, 0.7


@pytest.fixture(scope="module")
def term():
    """Measurements of an image whose values lie far on both sides of the bounds."""
    shapes = {i: region_shape(GRID.block(i)) for i in range(B)}
    draw = np.random.default_rng(1)
    A = {i: draw_matrix(2, i, int(0.8 * h * w), h * w) for i, (h, w) in shapes.items()}
    y = {i: a @ draw.uniform(-1, 2, a.shape[1]).astype(np.float32) for i, a in A.items()}
    return BlockRandom(A, y, shapes=shapes, threads=1)


@pytest.fixture(scope="module")
def D(tmp_path_factory):
    path = smoothing(tmp_path_factory.mktemp("network") / "smoothing.onnx")
    return OnnxDenoiser(inspect_denoiser(path), threads=1)


def run(G, algorithm, gamma, updates):
    """x after so many updates, and all that were on the way."""
    x = LocalImage(BlockWindows(GRID, G.D.halo, G.D.align), np.full(GRID.shape, 0.5, np.float32))
    seen = []

    class Look(Silent):
        def record(self, i, x_i, G_i, step_i, *, delay):
            seen.append(x.block(i))

    algorithm(
        G,
        x,
        order=EpochOrder(list(range(B)), seed=[0]),
        minibatch=FullBatch(),
        step=FixedStep(gamma),
        stop=AfterUpdates(updates),
        monitor=Look(),
    )
    return x.array, seen


@pytest.mark.parametrize("bounds", [(LOW, HIGH), (LOW, np.inf), (-np.inf, HIGH)], ids=str)
@pytest.mark.parametrize(
    ("kind", "algorithm", "gamma"),
    [("gradient", bc_red, 0.15), ("gradient", gm_red, 0.15), ("proximal", bc_red, 1.0)],
)
def test_the_end_is_stationary_on_the_box(term, D, kind, algorithm, gamma, bounds):
    """G is 0 where x is inside, and points outside of the box where x lies on a bound."""
    plain, (low, high) = RedOperator(GRID, term, D, tau=TAU), bounds
    inner = plain
    if kind == "proximal":
        inner = ProximalRed(GRID, term, D, tau=TAU, mu=TAU, steps=3, bounds=bounds)
    longest = 1.0 if kind == "proximal" else 1 / TAU
    G = BoundedRed(inner, low=low, high=high, longest=longest)
    updates = 400 if algorithm is gm_red else 400 * B
    x, seen = run(G, algorithm, gamma, updates)
    assert all(block.min() >= low - 1e-6 and block.max() <= high + 1e-6 for block in seen)
    moves = x - clipped(x - plain.full(x), low, high)
    assert np.abs(moves).max() < 1e-4
    assert 20 < count_at(x, low, high) < x.size - 20


def test_zero_as_the_only_bound(term, D):
    """What counts as on it follows from x, for 0 has no size."""
    plain = RedOperator(GRID, term, D, tau=TAU)
    bounds = 0.0, np.inf
    inner = ProximalRed(GRID, term, D, tau=TAU, mu=TAU, steps=3, bounds=bounds)
    x, _ = run(BoundedRed(inner, low=0.0, high=np.inf, longest=1.0), bc_red, 0.9, 400 * B)
    moves = x - clipped(x - plain.full(x), 0.0, np.inf)
    assert x.min() >= 0 and np.abs(moves).max() < 1e-4 and count_at(x, 0.0, np.inf) > 20


def test_nothing_changes_inside(term, D):
    plain = RedOperator(GRID, term, D, tau=TAU)
    wide = BoundedRed(plain, low=-99, high=99, longest=1 / TAU)
    np.testing.assert_array_equal(run(plain, bc_red, 0.1, 99)[0], run(wide, bc_red, 0.1, 99)[0])


def test_of_complex_values_the_magnitude_is_bounded():
    draw = np.random.default_rng(0)
    x = (draw.standard_normal(99) + 1j * draw.standard_normal(99)).astype(np.complex64)
    found = clipped(x, 0.0, 1.0)
    assert found.dtype == np.complex64 and np.abs(found).max() < 1 + 1e-6
    inside = np.abs(x) <= 1
    np.testing.assert_array_equal(found[inside], x[inside])
    np.testing.assert_allclose(np.angle(found), np.angle(x), atol=1e-6)
    assert count_at(found, 0.0, 1.0) == np.sum(~inside)
    np.testing.assert_array_equal(clipped(x, 0.0, np.inf), x)
