"""GM-RED and BC-RED reach the zero of G: for a linear D the solution of a linear system."""

import numpy as np
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.files.pictures import load_image
from asyncred.grid import BlockGrid, BlockWindows, region_shape
from asyncred.metrics import seam_ratio, snr
from asyncred.operators import BlockRandom
from asyncred.operators.block_random import draw_matrix
from asyncred.red.operator import RedOperator
from asyncred.red.sampling import EpochOrder, FullBatch, RandomRows, UniformOrder
from asyncred.red.serial_red import LocalImage, bc_red, gm_red
from asyncred.red.solver import AfterUpdates
from asyncred.red.stepsize import AdaptiveStep, FixedStep, SafeStep
from networks import smoothing

GRID = BlockGrid((20, 26), (8, 10))
B, TAU, RATIO = len(GRID), 0.8, 0.8
TRUTH = load_image("camera", size=26)[:20]


class Records:
    """A monitor that keeps what it is told."""

    def __init__(self):
        self.blocks, self.steps = [], []

    def record(self, i, x_i, G_i, step_i, *, delay):
        self.blocks.append(i)
        self.steps.append(np.linalg.norm(step_i))
        assert delay == 0 and x_i.shape == G_i.shape


@pytest.fixture(scope="module")
def matrices():
    sizes = [np.prod(region_shape(GRID.block(i))) for i in range(B)]
    return {i: draw_matrix(2, i, round(RATIO * n), n) for i, n in enumerate(sizes)}


@pytest.fixture(scope="module")
def G(matrices, tmp_path_factory):
    noise = np.random.default_rng(0)
    y = {}
    for i, a in matrices.items():
        exact = a @ TRUTH[GRID.block(i)].ravel()
        y[i] = exact + 0.01 * noise.standard_normal(exact.shape, dtype=np.float32)
    shapes = {i: region_shape(GRID.block(i)) for i in range(B)}
    D = OnnxDenoiser(
        inspect_denoiser(smoothing(tmp_path_factory.mktemp("network") / "smoothing.onnx")),
        threads=1,
    )
    return RedOperator(GRID, BlockRandom(matrices, y, shapes=shapes, threads=1), D, tau=TAU)


@pytest.fixture(scope="module")
def solution(G, matrices):
    """The zero of G in double precision: (A^T A + tau (I - D)) x = A^T y."""
    pixels = np.arange(TRUTH.size).reshape(TRUTH.shape)
    unit = np.eye(TRUTH.size, dtype=np.float32).reshape(-1, *TRUTH.shape)
    M = np.array([TAU * (e - G.D(e)).ravel() for e in unit], np.float64).T
    right = np.empty(TRUTH.shape)
    for i, a in matrices.items():
        own = pixels[GRID.block(i)].ravel()
        M[np.ix_(own, own)] += a.T.astype(np.float64) @ a
        right[GRID.block(i)] = G.A.adjoint(i)
    return np.linalg.solve(M, right.ravel()).reshape(TRUTH.shape)


def steps(G):
    return AdaptiveStep({i: G.A.lipschitz(i, None) for i in range(B)}, tau=TAU, b=B)


def solve(algorithm, G, *, questions, order=EpochOrder, minibatch=None, step=None, x0=None):
    start = np.zeros(GRID.shape, np.float32) if x0 is None else x0
    x = LocalImage(BlockWindows(GRID, G.D.halo, G.D.align), start)
    monitor = Records()
    algorithm(
        G,
        x,
        order=order(range(B), [1]),
        minibatch=minibatch or FullBatch(),
        step=step or steps(G),
        stop=AfterUpdates(questions),
        monitor=monitor,
    )
    return x.array, monitor


@pytest.fixture(scope="module")
def gm(G):
    return solve(gm_red, G, questions=800)


@pytest.fixture(scope="module")
def bc(G):
    return solve(bc_red, G, questions=800 * B)


def relative(x, reference):
    return np.linalg.norm(x - reference) / np.linalg.norm(reference)


@pytest.mark.parametrize("name", ["gm", "bc"])
def test_reaches_the_zero_of_G(name, G, solution, request):
    x, _ = request.getfixturevalue(name)
    assert relative(x, solution) <= 1e-4
    zero = np.zeros_like(x)
    assert np.linalg.norm(G.full(x)) <= 1e-4 * np.linalg.norm(G.full(zero))
    assert snr(TRUTH, x) > snr(TRUTH, np.full_like(x, TRUTH.mean())) + 5


@pytest.mark.parametrize(("order", "step"), [(UniformOrder, None), (EpochOrder, "safe")])
def test_other_orders_and_steps_reach_it_too(order, step, G, solution):
    if step == "safe":
        L = {i: G.A.lipschitz(i, None) for i in range(B)}
        step = SafeStep(L, tau=TAU, b=B, delay_bound=0)
    x, _ = solve(bc_red, G, questions=800 * B, order=order, step=step)
    assert relative(x, solution) <= 1e-3


def test_no_seam(gm, bc):
    assert abs(seam_ratio(bc[0], GRID) - seam_ratio(gm[0], GRID)) <= 0.02


def test_minibatches_stay_close(G, solution):
    rows = RandomRows(40, [4])
    L = {i: G.A.lipschitz(i, 40) for i in range(B)}
    step = SafeStep(L, tau=TAU, b=B, delay_bound=0)
    start = solution.astype(np.float32)
    x, _ = solve(bc_red, G, questions=300 * B, minibatch=rows, step=step, x0=start)
    assert 0 < relative(x, solution) <= 0.05


def test_steps_are_the_formula(G):
    """One iteration of each from a random x, by hand."""
    x0 = np.random.default_rng(5).random(GRID.shape, dtype=np.float32)
    x, monitor = solve(gm_red, G, questions=1, x0=x0, step=FixedStep(0.1))
    np.testing.assert_allclose(x, x0 - 0.1 * G.full(x0), atol=1e-6)
    assert monitor.blocks == list(range(B))

    x, monitor = solve(bc_red, G, questions=2, x0=x0, step=FixedStep(0.1))
    expected = x0.copy()
    for i in monitor.blocks:
        expected[GRID.block(i)] -= 0.1 * G.full(expected)[GRID.block(i)]
    np.testing.assert_allclose(x, expected, atol=1e-5)
    assert len(set(monitor.blocks)) == 2
    np.testing.assert_array_equal(x0, np.random.default_rng(5).random(GRID.shape, np.float32))


def test_distance_falls_at_every_iteration_of_gm(G, solution):
    errors = []
    x = np.zeros(GRID.shape, np.float32)
    for _ in range(30):
        x, _ = solve(gm_red, G, questions=1, x0=x)
        errors.append(relative(x, solution))
    assert (np.diff(errors) < 0).all()


def test_local_image_reads_copies():
    x0 = np.arange(520, dtype=np.float32).reshape(20, 26)
    x = LocalImage(BlockWindows(GRID, 3, 2), x0)
    i = 4
    window = x.read(i)
    np.testing.assert_array_equal(window, x0[GRID.window(i, 3, 2).region])
    window[:] = x.block(i)[:] = -1
    np.testing.assert_array_equal(x.array, x0)
    x.add(i, np.ones((8, 10), np.float32))
    np.testing.assert_array_equal(x.fresh(i), x.read(i))
    assert (x.array - x0).sum() == 80 and (x.block(i) == x0[GRID.block(i)] + 1).all()
