"""The block-proximal update: the prox it is, the zeros of G it keeps, the Hessians it asks for."""

import numpy as np
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.grid import BlockGrid
from asyncred.operators import (
    BlockRandom,
    Convolution,
    Coupled,
    LocalResidual,
    Mask,
    Superresolution,
)
from asyncred.operators.block_random import draw_matrix
from asyncred.operators.convolution import gaussian_kernel, measured_region
from asyncred.red.operator import RedOperator
from asyncred.red.proximal import ProximalRed, conjugate_gradients
from forward import Dense
from networks import smoothing

GRID = BlockGrid((20, 22), (10, 8))  # 6 blocks, ragged at the right
TAU, MU = 0.7, 0.3


def normal(seed, *shape):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


def block_random():
    shapes = {i: GRID.window(i, 0).shape for i in range(len(GRID))}
    matrices = {i: draw_matrix(3, i, 50, h * w) for i, (h, w) in shapes.items()}
    y = {i: normal(i, 50) for i in shapes}
    return BlockRandom(matrices, y, shapes=shapes, threads=1)


def mask():
    measured = np.random.default_rng(1).random(GRID.shape) < 0.4
    y = normal(2, *GRID.shape)
    return Mask(GRID, *({i: v[GRID.block(i)] for i in range(len(GRID))} for v in (measured, y)))


def blurred(factor):
    kernel = gaussian_kernel(1.0, 3)
    y = normal(3, *(-(-side // factor) for side in GRID.shape))
    parts = {i: y[measured_region(GRID, i, 3, factor)] for i in range(len(GRID))}
    if factor == 1:
        return Convolution(GRID, kernel, parts)
    return Superresolution(GRID, kernel, factor, parts)


def coupled():
    model = Dense(GRID, groups=30, length=40, width=30)
    y = model.whole(GRID, normal(4, *GRID.shape))
    return Coupled(model, LocalResidual(model, -y), weight=0.5, norms={}, norm=1.0)


OPERATORS = {
    "block_random": block_random,
    "mask": mask,
    "convolution": lambda: blurred(1),
    "superresolution": lambda: blurred(2),
    "coupled": coupled,
}


@pytest.fixture(params=OPERATORS)
def A(request):
    return OPERATORS[request.param]()


@pytest.fixture(scope="module")
def D(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "smoothing.onnx"
    smoothing(path)
    return OnnxDenoiser(inspect_denoiser(path), threads=1)


def gradient(A, i, x):
    return A.gradient(i, x[GRID.window(i, A.halo).region], None)


@pytest.mark.parametrize("i", [0, 4, 5])
def test_normal_is_the_hessian_of_a_block(A, i):
    """grad_i g(x + U_i v) - grad_i g(x) = A_i^T A_i v, for the quadratic g."""
    x, v = normal(5, *GRID.shape), normal(6, *GRID.window(i, 0).shape)
    before = gradient(A, i, x)
    x[GRID.block(i)] += v
    A.moved(i, v)
    found = A.normal(i, v)
    assert found.dtype == np.float32 and found.shape == v.shape
    np.testing.assert_allclose(found, gradient(A, i, x) - before, atol=2e-5)


def test_direction_is_that_of_the_prox(D):
    """x_i - direction minimises 1/2 ||A_i u - y_i||^2 + mu/2 ||u - z_i||^2."""
    A = block_random()
    G = ProximalRed(GRID, A, D, tau=TAU, mu=MU, steps=200)
    x = normal(7, *GRID.shape)
    for i in (0, 5):
        window = G.windows[i]
        x_tilde = x[window.region]
        u = x[GRID.block(i)] - G.block(i, x_tilde)
        clean = D(x_tilde)[window.inner]
        z = x[GRID.block(i)] - TAU / MU * (x[GRID.block(i)] - clean)
        a, y = A._matrices[i].astype(np.float64), A._y[i]
        n = z.size
        expected = np.linalg.solve(a.T @ a + MU * np.eye(n), a.T @ y + MU * z.ravel())
        np.testing.assert_allclose(u.ravel(), expected, atol=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
def test_zeros_of_G_are_fixed_points_however_rough_the_solution(A, D, steps):
    """Where G_i is 0 nothing moves; elsewhere the direction goes down: <G_i, d_i> > 0."""
    G = RedOperator(GRID, A, D, tau=TAU)
    P = ProximalRed(GRID, A, D, tau=TAU, mu=MU, steps=steps)
    x = normal(8, *GRID.shape)
    x_tilde = x[G.windows[1].region]
    G_i, d_i = G.block(1, x_tilde), P.block(1, x_tilde)
    assert np.vdot(G_i, d_i) > 0.1 * np.linalg.norm(G_i) * np.linalg.norm(d_i)
    zero = np.zeros_like(G_i)
    np.testing.assert_array_equal(conjugate_gradients(lambda v: A.normal(1, v), zero, steps), zero)


def test_conjugate_gradients_solve_real_and_complex_systems():
    rng = np.random.default_rng(0)
    for complex_part in (0, 1j):
        half = rng.standard_normal((12, 12)) + complex_part * rng.standard_normal((12, 12))
        H = half @ half.conj().T + np.eye(12)
        dtype = np.complex64 if complex_part else np.float32
        b = (H @ np.arange(12)).astype(dtype)
        H = H.astype(dtype)
        found = conjugate_gradients(lambda v, H=H: H @ v, b, 60)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, np.arange(12), atol=2e-3)
