"""Upper bounds of the Lipschitz constant: above every norm found, near it where they can be."""

import numpy as np
import onnxruntime
import pytest
from onnx.helper import make_node

from asyncred.denoisers.bound import (
    certified_bound,
    convolution_norm,
    layer_bound,
    stated_bound,
    stated_curvature,
)
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.jacobian import jacobian_norm
from asyncred.denoisers.onnx import DenoiserModel
from asyncred.denoisers.receptive import ReceptiveField
from asyncred.denoisers.roles import Roles
from asyncred.denoisers.shipped import find_model
from networks import BINOMIAL, conditional, save, smoothing, u_net


def normal(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def any_model(path, **changes):
    return DenoiserModel(path, Roles("x", "y"), field=ReceptiveField(2, 2), **changes)


def dense_norm(path, channels, side):
    """||W *||_2 of a graph of one convolution, from its matrix."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    n = channels * side * side
    basis = np.eye(n, dtype=np.float32).reshape(n, channels, side, side)
    columns = session.run(None, {"x": basis})[0].reshape(n, -1)
    columns = columns.astype(np.float64)
    return np.sqrt(np.linalg.eigvalsh(columns @ columns.T)[-1])  # faster than singular values


@pytest.mark.parametrize("kernel", [(1, 1), (3, 3), (2, 4), (5, 3)])
@pytest.mark.parametrize("group", [1, 2])
@pytest.mark.parametrize("stride", [1, 2])
def test_convolution_is_bounded_and_not_by_much(kernel, group, stride, tmp_path):
    W = normal(6, 4 // group, *kernel)
    bound = convolution_norm(W, group)
    pads = [kernel[0] - 1, kernel[1] - 1] * 2
    path = tmp_path / "conv.onnx"
    nodes = [make_node("Conv", ["x", "W"], ["y"], group=group, pads=pads, strides=[stride] * 2)]
    save(path, nodes, {"W": W}, shape=("n", 4, "h", "w"))
    found = dense_norm(path, 4, 12)
    assert found <= bound * (1 + 1e-12)
    if stride == 1:
        assert bound < 1.15 * found


def test_between_the_samples(monkeypatch):
    """A coarse grid gives a larger bound, never a smaller one than a fine grid finds."""
    W = normal(3, 2, 5, 5)
    monkeypatch.setattr("asyncred.denoisers.bound.FREQUENCIES", 400)
    fine = convolution_norm(W)
    monkeypatch.setattr("asyncred.denoisers.bound.FREQUENCIES", 1)
    assert fine / 1.001 <= convolution_norm(W) < 1.2 * fine


def test_binomial():
    assert 1 <= convolution_norm(BINOMIAL) < 1.01


CHAIN = [
    make_node("Conv", ["x", "a"], ["t0"], pads=[1] * 4),
    make_node("BatchNormalization", ["t0", "scale", "shift", "shift", "variance"], ["t1"]),
    make_node("LeakyRelu", ["t1"], ["t2"], alpha=0.2),
    make_node("PRelu", ["t2", "slope"], ["t3"]),
    make_node("SpaceToDepth", ["t3"], ["t4"], blocksize=2),
    make_node("DepthToSpace", ["t4"], ["t5"], blocksize=2),
    make_node("Mul", ["t5", "factor"], ["t6"]),
    make_node("Concat", ["t6", "x"], ["t7"], axis=1),
    make_node("Conv", ["t7", "b"], ["r"], pads=[2] * 4, dilations=[2, 2]),
]
WEIGHTS = {
    "a": normal(4, 1, 3, 3),
    "b": normal(1, 5, 3, 3, seed=1),
    "scale": normal(4),
    "shift": normal(4, seed=2),
    "variance": np.abs(normal(4, seed=3)) + 1,
    "slope": 3 * normal(4, 1, 1),
    "factor": np.float32([[[[0.5]]]]),
}


@pytest.mark.parametrize("output", ["image", "noise"])
@pytest.mark.parametrize("end", ["Sub", "Identity"])
def test_layers(end, output, tmp_path):
    ends = {
        "Sub": make_node("Sub", ["x", "r"], ["y"]),
        "Identity": make_node("Identity", ["r"], ["y"]),
    }
    path = save(tmp_path / "network.onnx", [*CHAIN, ends[end]], WEIGHTS)
    bound = layer_bound(any_model(path, output=output))
    scale = np.abs(WEIGHTS["scale"] / np.sqrt(WEIGHTS["variance"] + 1e-5)).max()
    branch = convolution_norm(WEIGHTS["a"]) * scale * np.abs(WEIGHTS["slope"]).max() / 2
    expected = convolution_norm(WEIGHTS["b"]) * np.hypot(branch, 1)
    assert bound == pytest.approx(expected + (end == "Sub") + (output == "noise"))
    x = np.random.default_rng(0).random((16, 16), dtype=np.float32)
    assert jacobian_norm(any_model(path, output=output), x) <= bound


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [
        (smoothing, 1, 1.03),
        (lambda path: smoothing(path, noise=True), 3, 3.06),  # x - (x - S x), term by term
        (lambda path: conditional(path), 1, 1.5),
    ],
)
def test_layers_of_denoisers(make, low, high, tmp_path):
    model = inspect_denoiser(make(tmp_path / "network.onnx"))
    assert low <= certified_bound(model) <= high and stated_bound(model) is None


def test_shipped_denoiser_has_a_bound():
    assert 10 < certified_bound(find_model("fast-s5")) < 1e6


UNKNOWN = {
    "resized": lambda path: u_net(path, resize=True),
    "mean": lambda path: smoothing(path, pooling=True),
    "square": lambda path: save(path, [make_node("Mul", ["x", "x"], ["y"])]),
    "quotient": lambda path: save(
        path, [make_node("Div", ["one", "x"], ["y"])], {"one": np.ones((), np.float32)}
    ),
    "repeated": lambda path: save(
        path, [make_node("Add", ["x", "four"], ["y"])], {"four": np.ones((4, 1, 1), np.float32)}
    ),
    "image of factors": lambda path: save(
        path, [make_node("Mul", ["x", "four"], ["y"])], {"four": np.ones((4, 4), np.float32)}
    ),
    "no rule": lambda path: save(path, [make_node("Einsum", ["x"], ["y"], equation="abcd->abcd")]),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_no_bound(name, tmp_path):
    assert certified_bound(any_model(UNKNOWN[name](tmp_path / "network.onnx"))) is None


def test_stated_bound(tmp_path):
    path = smoothing(tmp_path / "network.onnx", metadata={"asyncred.lipschitz": "1.5"})
    model = inspect_denoiser(path)
    assert certified_bound(model) == stated_bound(model) == 1.5 and layer_bound(model) < 1.1


def test_stated_bound_that_is_none(tmp_path):
    path = smoothing(tmp_path / "network.onnx", metadata={"asyncred.lipschitz": "one"})
    with pytest.raises(ValueError, match=r"network\.onnx: metadata asyncred\.lipschitz is 'one'"):
        certified_bound(inspect_denoiser(path))


def test_stated_curvature(tmp_path):
    """Between the levels that are named, and as at the nearest beyond them."""
    stated = {"asyncred.hessian": "0.05:1.4,0.15:2", "asyncred.sigma": "0.1"}
    path = smoothing(tmp_path / "network.onnx", metadata=stated)
    assert stated_curvature(inspect_denoiser(path)) == pytest.approx(1.7)
    path = smoothing(tmp_path / "without.onnx", metadata={"asyncred.hessian": "0.05:1.4,0.15:2"})
    assert stated_curvature(inspect_denoiser(path)) == 2
    assert stated_curvature(inspect_denoiser(smoothing(tmp_path / "nothing.onnx"))) is None
    for wrong in ("1.4", "0.02:", "a:b", ""):
        path = smoothing(tmp_path / "wrong.onnx", metadata={"asyncred.hessian": wrong})
        with pytest.raises(ValueError, match=r"asyncred\.hessian is '.*', expected LEVEL:VALUE"):
            stated_curvature(inspect_denoiser(path))
