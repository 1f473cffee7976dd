"""||J_D(x)||_2: equal to that of a dense matrix where D is linear, above 1 where D expands."""

import numpy as np
import pytest
from onnx.helper import make_node

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.jacobian import (
    EXACT,
    SECANTS,
    DenoiserJacobian,
    jacobian_norm,
    krylov_norm,
)
from asyncred.denoisers.onnx import DenoiserModel, OnnxDenoiser
from asyncred.denoisers.receptive import ReceptiveField
from asyncred.denoisers.roles import Roles
from asyncred.denoisers.shipped import find_model
from asyncred.files.pictures import load_image
from networks import BINOMIAL, conditional, save, smoothing, u_net

SHAPE = (9, 11)


def picture(shape=SHAPE, seed=0):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def any_model(path, *, output="image", field=(2, 1)):
    """A model as inspect_denoiser makes it, of a network that need not denoise."""
    return DenoiserModel(path, Roles("x", "y"), output, field=ReceptiveField(*field))


def dense(D, shape=SHAPE):
    """The matrix of a D that is affine, by columns."""
    at_0 = D(np.zeros(shape, np.float32)).astype(np.float64)
    pixels = np.eye(np.prod(shape), dtype=np.float32).reshape(-1, *shape)
    return np.stack([(D(pixel) - at_0).ravel() for pixel in pixels], axis=1)


def expansive(path):
    """x + (x - S x), which sharpens: its norm is up to 2."""
    nodes = [
        make_node("Conv", ["x", "kernel"], ["smooth"], pads=[1] * 4),
        make_node("Sub", ["x", "smooth"], ["rest"]),
        make_node("Add", ["x", "rest"], ["y"]),
    ]
    return save(path, nodes, {"kernel": BINOMIAL})


LINEAR = {
    "smoothing": (smoothing, {}),
    "noise": (lambda path: smoothing(path, noise=True), {}),
    "bytes": (lambda path: smoothing(path, centre=127.5), {"value_range": (0.0, 255.0)}),
    "noise of bytes": (
        lambda path: smoothing(path, centre=127.5, noise=True),
        {"value_range": (0.0, 255.0)},
    ),
    "batch": (lambda path: smoothing(path, shape=(3, 1, "h", "w")), {}),
    "means": (lambda path: smoothing(path, pooling=True), {"halo": 11}),
    "told the level": (conditional, {"sigma": 0.07}),
    "strides": (u_net, {}),
    "strides, levels": (lambda path: u_net(path, levels=2), {}),
    "strides, resized": (lambda path: u_net(path, resize=True), {}),
}


@pytest.mark.parametrize("name", LINEAR)
def test_norm_and_products_of_linear_denoisers(name, tmp_path):
    make, options = LINEAR[name]
    model = inspect_denoiser(make(tmp_path / "network.onnx"), **options)
    A = dense(OnnxDenoiser(model, threads=1))
    J, adjoint = DenoiserJacobian(model).products(picture())
    u, v = picture(seed=1), picture(seed=2)
    assert J(u).shape == SHAPE and J(u).dtype == np.float32
    np.testing.assert_allclose(J(u).ravel(), A @ u.ravel(), atol=1e-5)
    np.testing.assert_allclose(adjoint(v).ravel(), A.T @ v.ravel(), atol=1e-5)
    found = DenoiserJacobian(model).norm(picture(), steps=60)
    assert found.method == EXACT
    assert found.value == pytest.approx(np.linalg.norm(A, 2), rel=1e-5)


def test_nonexpansive_and_expansive(tmp_path):
    smooth = inspect_denoiser(smoothing(tmp_path / "smoothing.onnx"))
    assert 0.8 < jacobian_norm(smooth, picture()) <= 1
    sharp = any_model(expansive(tmp_path / "expansive.onnx"))
    assert 1.9 < jacobian_norm(sharp, picture((32, 32))) <= 2


def test_bound_rises_with_the_steps(tmp_path):
    model = inspect_denoiser(smoothing(tmp_path / "network.onnx"))
    norm = np.linalg.norm(dense(OnnxDenoiser(model, threads=1)), 2)
    found = [jacobian_norm(model, picture(), steps=k) for k in (1, 3, 6, 12, 20)]
    assert found == sorted(found) and found[0] < 0.7 * norm < 0.999 * norm < found[-1] <= 1


def test_number_of_products():
    counts = {"J": 0, "back": 0}
    M = np.random.default_rng(0).standard_normal((30, 30)).astype(np.float32)

    def product(name, matrix):
        def multiply(u):
            counts[name] += 1
            return matrix @ u

        return multiply

    u = np.ones(30, np.float32)
    value, best = krylov_norm(product("J", M), product("back", M.T), u, 12)
    assert counts == {"J": 12, "back": 11}
    assert np.linalg.norm(M @ best) == pytest.approx(value) and value <= np.linalg.norm(M, 2)
    assert krylov_norm(lambda u: M @ u, lambda v: M.T @ v, u, 30)[0] == pytest.approx(
        np.linalg.norm(M, 2), rel=1e-5
    )


@pytest.mark.parametrize("matrix", [np.zeros((4, 4)), np.eye(4), np.diag([3.0, 0, 0, 0])])
def test_krylov_space_that_ends_early(matrix):
    value, _ = krylov_norm(lambda u: matrix @ u, lambda v: matrix.T @ v, np.ones(4), 4)
    assert value == pytest.approx(np.linalg.norm(matrix, 2))


def test_finite_differences_where_a_node_has_no_rule(tmp_path):
    """S is symmetric, so the Krylov space of J alone finds its norm, and says how."""
    nodes = [
        make_node("Conv", ["x", "kernel"], ["t0"], pads=[1] * 4),
        make_node("Einsum", ["t0"], ["y"], "same", equation="abcd->abcd"),
    ]
    model = any_model(save(tmp_path / "network.onnx", nodes, {"kernel": BINOMIAL}))
    J = DenoiserJacobian(model)
    assert "node Einsum 'same' has no derivative rule" in J.why
    found = J.norm(picture(), steps=30)
    norm = np.linalg.norm(dense(OnnxDenoiser(model, threads=1)), 2)
    assert found.method == SECANTS and found.value == pytest.approx(norm, rel=2e-3)


def test_finite_differences_where_a_rule_does_not_fit_the_point(tmp_path):
    nodes = [make_node("Relu", ["x"], ["r"]), make_node("Sqrt", ["r"], ["y"])]
    J = DenoiserJacobian(any_model(save(tmp_path / "network.onnx", nodes)))
    assert J.norm(picture() + 0.5).method == EXACT
    assert J.norm(np.zeros(SHAPE, np.float32)).method == SECANTS and "no finite" in J.why


def test_seed():
    model = find_model("fast-s5")
    x = load_image("camera")[208:240, 208:240]
    values = {jacobian_norm(model, x, steps=5, seed=seed) for seed in (0, 0, 1)}
    assert len(values) == 2


def test_shipped_denoiser_expands_on_the_photograph():
    """The derivative agrees with secants, and its norm is above 1: the card says so."""
    model = find_model("fast-s5")
    x = load_image("camera")[208:272, 208:272]
    J = DenoiserJacobian(model)
    apply, adjoint = J.products(x)
    value, d = krylov_norm(apply, adjoint, picture(x.shape), 20)
    assert J.norm(x).value == pytest.approx(value, rel=1e-4) and 1.3 < value < 3
    D, e = OnnxDenoiser(model, threads=1), np.float32(2e-3) * d
    secant = np.linalg.norm(D(x + e) - D(x - e)) / np.linalg.norm(2 * e)
    assert secant == pytest.approx(value, rel=0.02)
