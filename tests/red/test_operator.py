"""G by blocks is G of the whole image."""

import numpy as np
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.shipped import model_path
from asyncred.grid import BlockGrid, region_shape
from asyncred.operators import BlockRandom, Convolution
from asyncred.operators.block_random import draw_matrix
from asyncred.operators.convolution import blur
from asyncred.red.operator import RedOperator
from networks import smoothing, u_net

GRID = BlockGrid((44, 34), (16, 12))
TAU = 0.7


def operator(grid, seed=0):
    shapes = {i: region_shape(grid.block(i)) for i in range(len(grid))}
    matrices = {i: draw_matrix(seed, i, 20, h * w) for i, (h, w) in shapes.items()}
    rng = np.random.default_rng(seed)
    y = {i: rng.standard_normal(20, dtype=np.float32) for i in shapes}
    return BlockRandom(matrices, y, shapes=shapes, threads=1)


@pytest.fixture(params=["fast-s5", "smoothing", "u_net"])
def G(request, tmp_path):
    path = {
        "fast-s5": lambda: model_path("fast-s5"),
        "smoothing": lambda: smoothing(tmp_path / "network.onnx"),
        "u_net": lambda: u_net(tmp_path / "network.onnx"),
    }[request.param]()
    D = OnnxDenoiser(inspect_denoiser(path), threads=1)
    return RedOperator(GRID, operator(GRID), D, tau=TAU)


def image(seed=3):
    return np.random.default_rng(seed).random(GRID.shape, dtype=np.float32)


def window(G, x, i):
    return x[GRID.window(i, G.D.halo, G.D.align).region]


def test_block_is_block_of_full(G):
    x = image()
    full = G.full(x)
    assert full.dtype == np.float32 and full.shape == x.shape
    for i in range(len(GRID)):
        np.testing.assert_allclose(G.block(i, window(G, x, i)), full[GRID.block(i)], atol=2e-5)


def test_formula(G):
    x = image()
    data = np.empty_like(x)
    for i in range(len(GRID)):
        data[GRID.block(i)] = G.A.gradient(i, x[GRID.block(i)], None)
    np.testing.assert_allclose(G.full(x), data + TAU * (x - G.D(x)), atol=1e-5)


def test_minibatch_goes_to_the_data_term_alone(G):
    x, rows = image(), np.array([1, 4, 11])
    x_i = x[GRID.block(5)]
    changed = G.block(5, window(G, x, 5), rows) - G.block(5, window(G, x, 5))
    expected = G.A.gradient(5, x_i, rows) - G.A.gradient(5, x_i, None)
    np.testing.assert_allclose(changed, expected, atol=1e-4)


@pytest.mark.parametrize("network", [smoothing, u_net])
@pytest.mark.parametrize("side", [3, 9])
def test_A_that_looks_into_other_blocks(tmp_path, network, side):
    """Farther than D or not as far, through windows that D wants aligned or not."""
    kernel = np.random.default_rng(1).random((side, side), np.float32) / side**2
    radius, whole = side // 2, image(4)
    y = {i: whole[GRID.window(i, radius).region] for i in range(len(GRID))}
    D = OnnxDenoiser(inspect_denoiser(network(tmp_path / "network.onnx")), threads=1)
    G, x = RedOperator(GRID, Convolution(GRID, kernel, y), D, tau=TAU), image()
    data = adjoint(blur(x, kernel) - whole, kernel)
    np.testing.assert_allclose(G.full(x), data + TAU * (x - D(x)), atol=1e-5)
    for i in range(len(GRID)):
        x_tilde = x[G.windows[i].region]
        expected = (data + TAU * (x - D(x)))[GRID.block(i)]
        np.testing.assert_allclose(G.block(i, x_tilde), expected, atol=2e-5)


def adjoint(r, kernel):
    return blur(r, np.ascontiguousarray(kernel[::-1, ::-1]))


def test_arguments_stay_as_they_are(G):
    x = image()
    before = x.copy()
    G.full(x)
    G.block(0, window(G, x, 0))
    np.testing.assert_array_equal(x, before)
