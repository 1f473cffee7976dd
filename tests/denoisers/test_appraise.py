"""Cost, PSNR and the largest Jacobian of a denoiser."""

import numpy as np
import pytest
from onnx.helper import make_node

from asyncred.denoisers.appraise import gflop_per_pixel, photograph_quality, worst_norm
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.jacobian import EXACT, SECANTS
from asyncred.denoisers.shipped import find_model
from networks import BINOMIAL, conditional, save, smoothing, u_net

DNCNN7 = 9 * (48 + 5 * 48**2 + 48)


def averaging(path):
    return save(path, [make_node("AveragePool", ["x"], ["y"], kernel_shape=[3, 3], pads=[1] * 4)])


@pytest.mark.parametrize(
    ("make", "products"),
    [
        (smoothing, 2 * 9),
        (lambda path: smoothing(path, shape=(2, 1, "h", "w")), 2 * 9),
        (u_net, 9 / 4 + 1),
        (lambda path: u_net(path, levels=2), 9 / 4 + 9 / 16 + 1 / 4 + 1),
        (lambda path: u_net(path, levels=2, resize=True), 9 / 4 + 9 / 16),
        (averaging, 0),
    ],
)
def test_gflop_per_pixel(make, products, tmp_path):
    model = inspect_denoiser(make(tmp_path / "network.onnx"))
    assert gflop_per_pixel(model) == pytest.approx(2e-9 * products)


def test_shipped_denoiser():
    model = find_model("fast-s5")
    assert gflop_per_pixel(model) == pytest.approx(2e-9 * DNCNN7)
    quality = photograph_quality(model)
    assert quality.sigma == pytest.approx(5 / 255, rel=1e-3)
    assert quality.before == pytest.approx(34.17, abs=0.02) and 38.3 < quality.after < 38.8
    norm = worst_norm(model, steps=8)
    assert 1.5 < norm.value < 2.5 and (norm.points, norm.method) == (9, EXACT)


def test_noise_is_that_of_the_level_in_use(tmp_path):
    path = conditional(tmp_path / "network.onnx")
    low, high = (photograph_quality(inspect_denoiser(path, sigma=s / 255)) for s in (5, 25))
    assert (low.sigma, high.sigma) == (5 / 255, 25 / 255)
    assert low.before - high.before == pytest.approx(20 * np.log10(5), abs=1e-3)
    assert high.after > high.before + 3


def test_nonexpansive_and_how_it_was_found(tmp_path):
    found = worst_norm(inspect_denoiser(smoothing(tmp_path / "network.onnx")), steps=10)
    assert 0.9 < found.value <= 1 and found.method == EXACT
    nodes = [
        make_node("Conv", ["x", "kernel"], ["t0"], pads=[1] * 4),
        make_node("Einsum", ["t0"], ["y"], equation="abcd->abcd"),
    ]
    path = save(tmp_path / "other.onnx", nodes, {"kernel": BINOMIAL})
    found = worst_norm(inspect_denoiser(path, halo=1), steps=3)
    assert 0.7 < found.value <= 1 and found.method == SECANTS
