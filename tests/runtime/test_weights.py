"""Weights of the measurements in runs: every update ends where a serial solver of the box does.

min over low <= x <= high of  c/2 ||A x - y||_W^2 + tau/2 <x, x - S x>,   D = S linear, symmetric
"""

import json

import numpy as np
import pytest

import asyncred
import h5py
from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.files.problem import Asked, read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.operators import LocalResidual
from asyncred.operators.convolution import blur
from asyncred.operators.spectrum import SAFETY
from commands import ASYNCRED, reconstruct, several, simulate
from launch import mpirun
from networks import smoothing
from scans import object_slices, scan, write_data_exchange

SIDE, TAU = 32, 0.2
KINDS = {
    "ct": ("--views", "40", "--photons", "300"),
    "blur": ("--sigma", "1.0", "--noise", "40"),
    "inpaint": ("--share", "0.7", "--noise", "60"),
    "cs": ("--noise-snr", "5"),
}


@pytest.fixture(scope="module")
def D(tmp_path_factory):
    return smoothing(tmp_path_factory.mktemp("network") / "smoothing.onnx")


@pytest.fixture(scope="module", params=KINDS)
def problem(request, tmp_path_factory):
    """With weights in the file, of which a sixth is 0 where y is NaN."""
    path = tmp_path_factory.mktemp(request.param) / "problem.h5"
    flags = ("--size", SIDE, "--block", "16", *KINDS[request.param])
    simulate(request.param, path, *map(str, flags))
    rng = np.random.default_rng(7)
    with h5py.File(path, "r+") as file:
        y = file["measurements/y"]
        w = 5e3 * rng.exponential(1, y.shape)
        w[rng.random(y.shape) < 1 / 6] = 0
        y[...] = np.where(w > 0, y[()], np.nan)
        file["measurements/weights"] = w
    return path


def images():
    """All images of one pixel."""
    return np.eye(SIDE * SIDE, dtype=np.float32).reshape(-1, SIDE, SIDE)


def written_out(path):
    """A [measurements, pixels], y, w of mean 1 and c, from the file as it is."""
    data = read_problem(path, Asked(weights="none")).data
    with h5py.File(path) as file:
        y, w = (np.nan_to_num(file[f"measurements/{name}"][()]) for name in ("y", "weights"))
        kind = file["operator"].attrs["kind"]
        if kind == "convolution":
            rows = [blur(x, file["operator/kernel"][()]) for x in images()]
        elif kind == "mask":
            rows, w = images(), w * file["operator/mask"][()]
        elif kind == "block_random":
            rows = np.zeros((SIDE * SIDE, *y.shape))
            places = np.arange(SIDE * SIDE).reshape(SIDE, SIDE)
            for i in range(len(data.grid)):
                rows[places[data.grid.block(i)].ravel(), i] = data.matrix(i).T
        else:
            model, rows = data.model(list(range(len(data.grid))), threads=1), []
            for x in images():
                r = LocalResidual(model, np.zeros(y.shape, np.float32))
                for i in range(len(data.grid)):
                    r.add(i, model.forward(i, x[data.grid.block(i)].copy(), None))
                rows.append(r.array)
    A = np.array(rows, np.float64).reshape(SIDE * SIDE, -1).T
    w = w.ravel() / w[w > 0].mean()
    norm = np.linalg.norm(np.sqrt(w)[:, None] * A, 2) ** 2
    return A, y.ravel(), w, 1 / (SAFETY * norm) if kind == "parallel_beam" else 1.0


def solution(terms, D, low, high):
    """By projected gradients with momentum that is dropped where it leads uphill."""
    A, y, w, c = terms
    S = OnnxDenoiser(inspect_denoiser(D), threads=1)
    smooth = np.array([S(x).ravel() for x in images()], np.float64)
    H = c * (A.T * w) @ A + TAU * (np.eye(SIDE * SIDE) - (smooth + smooth.T) / 2)
    b, L = c * A.T @ (w * y), np.linalg.norm(H, 2)
    x = z = np.zeros(SIDE * SIDE)
    t = 1.0
    for _ in range(20000):
        new = np.clip(z - (H @ z - b) / L, low, high)
        if np.vdot(z - new, new - x) > 0:
            t = 1.0
        after = (1 + np.sqrt(1 + 4 * t * t)) / 2
        x, z, t = new, new + (t - 1) / after * (new - x), after
        if np.abs(x - np.clip(x - (H @ x - b) / L, low, high)).max() < 1e-9:
            break
    return x.reshape(SIDE, SIDE).astype(np.float32)


@pytest.mark.ranks
def test_every_update_ends_where_the_serial_solver_does(problem, D, tmp_path):
    terms = written_out(problem)
    star = {
        "none": solution(terms, D, -np.inf, np.inf),
        "0.2:0.7": solution(terms, D, 0.2, 0.7),
        "0.2:": solution(terms, D, 0.2, np.inf),
    }
    assert 20 < np.isin(star["0.2:0.7"], np.float32([0.2, 0.7])).sum() < 900
    cases = [(u, bounds) for u in ("gradient", "proximal") for bounds in star]
    for ranks in (1, 2):
        outputs = {(*case, ranks): tmp_path / f"{ranks}-{k}.h5" for k, case in enumerate(cases)}
        common = ("--denoiser", D, "--tau", TAU, "--start", "zero", "--tol", "1e-7")
        commands = [
            ["run", problem, "-o", output, "--update", update, "--bounds", bounds]
            + [*common, "--epochs", "2500", "--threads", "1"]
            for (update, bounds, _), output in outputs.items()
        ]
        done = several(ranks, *commands)
        assert [code for code, _ in done] == [0] * len(cases), done
        for (update, bounds, _), output in outputs.items():
            found = read_result(output)
            error = np.linalg.norm(found.image - star[bounds]) / np.linalg.norm(star[bounds])
            assert error < 2e-3, (ranks, update, bounds, error)
            assert found.provenance["parameters"]["weights"] == "file"
