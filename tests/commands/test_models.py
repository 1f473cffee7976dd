"""The models that are nonexpansive by construction: what their pages prove, of the files."""

import importlib.util
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest

from asyncred.denoisers.bound import convolution_norm
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.denoisers.receptive import ReceptiveField, receptive_field
from asyncred.denoisers.tiles import EXACT
from asyncred.grid import BlockGrid

MODELS = Path(__file__).resolve().parents[2] / "models"
TV = MODELS / "tv.onnx"
NONEXPANSIVE = MODELS / "nonexpansive.onnx"
HALO = 16
SIGMAS = (1 / 255, 5 / 255, 50 / 255)
SHAPES = ((2, 2), (2, 7), (5, 3), (31, 33), (64, 48))


@pytest.fixture(scope="module")
def tv():
    """(y, sigma) -> D(y), both without the package that runs it elsewhere."""
    session = ort.InferenceSession(TV, providers=["CPUExecutionProvider"])

    def D(y, sigma):
        feeds = {"x": y[None, None], "sigma": np.array([sigma], np.float32)}
        return session.run(None, feeds)[0][0, 0]

    return D


def test_tv_is_what_its_recipe_builds():
    spec = importlib.util.spec_from_file_location("tv", MODELS / "tv.py")
    recipe = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(recipe)
    assert recipe.build() == onnx.load(TV)


@pytest.mark.parametrize("sigma", SIGMAS)
def test_tv_in_windows_is_tv_of_the_whole(tv, sigma):
    assert receptive_field(onnx.load(TV)) == ReceptiveField(HALO, 1)
    grid = BlockGrid((75, 98), (24, 20))
    noise = np.random.default_rng(0).standard_normal(grid.shape)
    y = (0.5 + sigma * noise).astype(np.float32)
    whole = tv(y, sigma)
    for i in range(len(grid)):
        window = grid.window(i, HALO, 1)
        tile = tv(np.ascontiguousarray(y[window.region]), sigma)[window.inner]
        assert np.abs(tile - whole[grid.block(i)]).max() <= EXACT


def test_tv_sees_as_far_as_its_halo(tv):
    y = np.zeros((2 * HALO + 3, 2 * HALO + 3), np.float32)
    y[HALO + 1, HALO + 1] = 1e-3
    changed = np.argwhere(tv(y, 0.2) != 0)
    assert changed.min() == 1 and changed.max() == 2 * HALO + 1


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("shape", SHAPES)
def test_tv_is_nonexpansive(tv, shape, sigma):
    rng = np.random.default_rng(0)
    checkerboard = 1 - 2 * (np.indices(shape).sum(0) % 2)
    for contrast in (1, 0.05, 0):
        y = contrast * rng.random(shape, np.float32)
        for u in (rng.standard_normal(shape), np.ones(shape), checkerboard):
            for size in (1e-2, 1):
                z = (y + size * u).astype(np.float32)
                moved = np.linalg.norm(tv(z, sigma) - tv(y, sigma))
                assert moved <= (1 + 1e-4) * np.linalg.norm(z - y)


@pytest.mark.parametrize("shape", SHAPES)
def test_tv_without_noise_is_the_identity(tv, shape):
    y = np.random.default_rng(0).random(shape, np.float32)
    assert np.array_equal(tv(y, 0), y)
    assert np.array_equal(tv(np.zeros(shape, np.float32), 0), np.zeros(shape, np.float32))


def test_tv_takes_noise_away(tv):
    rows, cols = np.mgrid[:96, :96] / 96
    x = (0.5 + 0.3 * np.sin(5 * rows) * np.cos(4 * cols)).astype(np.float32)
    for sigma in SIGMAS:
        e = np.float32(sigma) * np.random.default_rng(0).standard_normal(x.shape, np.float32)
        assert np.linalg.norm(tv(x + e, sigma) - x) < 0.75 * np.linalg.norm(e)


def test_nonexpansive_is_what_its_proof_asks_for():
    graph = onnx.load(NONEXPANSIVE).graph
    weights = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    kinds = [node.op_type for node in graph.node]
    iterations = kinds.count("ConvTranspose")
    for k in range(iterations):
        w = weights[f"w{k}"]
        assert convolution_norm(w) ** 2 <= 2 * (1 + 1e-6)
        np.testing.assert_array_equal(weights[f"adjoint{k}"], -w)
        np.testing.assert_allclose(w.sum((1, 2, 3)), 0, atol=1e-5)
        assert weights[f"mix{k}"] >= 0 and weights[f"mix_power{k}"] > 0
        assert (weights[f"factor{k}"] > 0).all() and weights[f"power{k}"] > 0
    # A group's clip looks at its own channels and at all of them.
    groups, size = weights["sum"].shape[:2]
    assert groups * size == len(weights["spread"]) == weights["w0"].shape[0]
    assert (weights["sum"] == 1).all() and (weights["spread"] == 1).all()
    assert {kind: kinds.count(kind) / iterations for kind in set(kinds)} == {
        "Conv": 3,
        "ConvTranspose": 1,
        "Pow": 2,
        "Mul": 5,
        "Max": 1,
        "Sqrt": 1,
        "Div": 2,
        "Add": 3 - 1 / iterations,
    }


@pytest.mark.parametrize("sigma", SIGMAS)
@pytest.mark.parametrize("shape", [(3, 3), (3, 8), (31, 33), (64, 48)])
def test_nonexpansive_is_nonexpansive(shape, sigma):
    D = OnnxDenoiser(inspect_denoiser(NONEXPANSIVE, sigma=sigma), threads=1)
    rng = np.random.default_rng(0)
    checkerboard = 1 - 2 * (np.indices(shape).sum(0) % 2)
    for contrast in (1, 0.05, 0):
        y = contrast * rng.random(shape, np.float32)
        for u in (rng.standard_normal(shape), np.ones(shape), checkerboard):
            for size in (1e-2, 1):
                z = (y + size * u).astype(np.float32)
                moved = np.linalg.norm(D(z) - D(y))
                assert moved <= (1 + 1e-4) * np.linalg.norm(z - y)
