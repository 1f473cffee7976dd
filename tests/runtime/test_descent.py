"""Denoisers with a potential: the objective falls, too long a step is shortened, x is bounded."""

import numpy as np
import pytest
from onnx.helper import make_node

import asyncred
from asyncred.denoisers.potential import write_potential
from asyncred.denoisers.shipped import find_model
from asyncred.files.result import read_result
from commands import ASYNCRED, simulate
from launch import mpirun
from networks import BINOMIAL, save

pytestmark = pytest.mark.ranks
FACTOR = 1.35
"""Squared: the largest eigenvalue of the Hessian, 1.8."""


@pytest.fixture(scope="module")
def D(tmp_path_factory):
    """With p(x) = |FACTOR (x - S x)|^2 / 2, S a binomial smoothing."""
    folder = tmp_path_factory.mktemp("network")
    nodes = [
        make_node("Conv", ["x", "kernel"], ["smooth"], pads=[1] * 4),
        make_node("Sub", ["x", "smooth"], ["noise"]),
        make_node("Mul", ["noise", "factor"], ["more"]),
        make_node("Sub", ["x", "more"], ["y"]),
    ]
    constants = {"kernel": BINOMIAL, "factor": np.array(FACTOR, np.float32)}
    found = save(folder / "N.onnx", nodes, constants)
    write_potential(find_model(str(found), output="image"), folder / "D.onnx", name="D")
    return folder / "D.onnx"


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("blur") / "blur.h5"
    return simulate("blur", path, "--size", "64", "--block", "16")


def solved(ranks, problem, D, output, *flags):
    """The result of the command, and what it said."""
    run = ["run", problem, "-o", output, "--denoiser", D, "--tau", "0.1", "--report", "0.01"]
    done = mpirun(ranks, *ASYNCRED, *run, "--threads", "1", *flags, timeout=120)
    assert done.returncode == 0, done.stderr
    return read_result(output), done.stdout


@pytest.fixture(scope="module")
def least(problem, D, tmp_path_factory):
    """The result of a run to the least of the objective."""
    output = tmp_path_factory.mktemp("least") / "least.h5"
    return solved(1, problem, D, output, "--tol", "1e-6")[0]


@pytest.mark.parametrize("update", ["gradient", "proximal"])
def test_the_objective_falls(update, problem, D, tmp_path):
    """On one rank; what is told of it has a block's share as of its last update."""
    flags = ("--update", update, "--epochs", "40", "--bounds", "none")
    found, _ = solved(1, problem, D, tmp_path / "r.h5", *flags)
    F = found.column("objective")
    assert len(F) > 5 and F[-1] < 0.99 * F[0] and np.diff(F).max() < 2e-3 * (F[0] - F[-1])
    assert found.provenance["relaxation"] == 1


@pytest.mark.parametrize(
    ("ranks", "flags"),
    [
        (2, ("--mu", "0.02")),
        (1, ("--step", "3", "--epochs", "1000")),
        (2, ("--step", "3", "--epochs", "1000")),
    ],
)
def test_too_long_a_step_is_shortened(ranks, flags, problem, D, least, tmp_path):
    """By the objective, or by the guard of the proximal update before; all end at its least."""
    found, said = solved(ranks, problem, D, tmp_path / "r.h5", *flags)
    F, best = found.column("objective"), least.column("objective")[-1]
    assert max(F) > 1.05 * F[-1] and F[-1] < 1.02 * best
    assert found.provenance["relaxation"] < 1 and "steps too long" in said
    error = np.linalg.norm(found.image - least.image) / np.linalg.norm(least.image)
    assert error < 0.05


def test_a_bound_that_nobody_set_is_a_doubt(problem, D, tmp_path):
    """A range that is far too narrow: x cannot be what the data ask for."""
    found, said = solved(1, problem, D, tmp_path / "r.h5", "--range", "0:0.05", "--start", "zero")
    assert found.provenance["at_bounds"] > 0.2
    assert found.provenance["verdict"] == "not converged"
    assert "!! " in said and "of the pixels lie on the bounds of x" in said
    assert "not converged: steps are small" in said and "--range or --bounds" in said


def test_bounds_that_were_set(problem, D, tmp_path):
    found, said = solved(2, problem, D, tmp_path / "r.h5", "--bounds", "0.2:0.6")
    assert found.image.min() == pytest.approx(0.2, abs=1e-6)
    assert found.image.max() == pytest.approx(0.6, abs=1e-6)
    assert found.provenance["verdict"] == "converged" and "bounds of x" not in said


def test_an_open_bound(problem, D, tmp_path):
    found, _ = solved(2, problem, D, tmp_path / "r.h5", "--bounds", ":0.6")
    assert found.image.max() == pytest.approx(0.6, abs=1e-6) and found.image.min() < 0.2
    assert found.provenance["parameters"]["bounds"] == [None, 0.6]


def test_bounds_that_cannot_be_kept():
    kernel = np.ones((3, 3), np.float32) / 9
    problem = asyncred.convolution(kernel, shape=(32, 32))
    y = np.ones((32, 32), np.float32)
    settings = {"update": "gradient", "tau": 0, "bounds": (0, 1), "epochs": 1, "block": 16}
    with pytest.raises(ValueError, match="--bounds with --tau 0"):
        asyncred.solve(y, problem, "tv", **settings)


def test_mu_is_that_of_the_curvature(problem, tmp_path):
    """tau times half the largest eigenvalue that the file states for the level."""
    for sigma, curvature in ((10, 1.46), (25, 2.8)):
        flags = ("--sigma", str(sigma), "--epochs", "1")
        found, _ = solved(1, problem, "potential", tmp_path / f"{sigma}.h5", *flags)
        assert found.provenance["parameters"]["mu"] == pytest.approx(0.05 * curvature, rel=0.02)


def test_a_denoiser_that_nobody_named(problem, tmp_path):
    """That of the kind of problem; its weight is less where it is told to remove more."""
    weights = {}
    for sigma in (5, 10):
        run = ["run", problem, "-o", tmp_path / f"{sigma}.h5", "--sigma", sigma, "--epochs", "1"]
        done = mpirun(1, *ASYNCRED, *map(str, run), timeout=60)
        assert done.returncode == 0, done.stderr
        parameters = read_result(tmp_path / f"{sigma}.h5").provenance["parameters"]
        assert parameters["denoiser"] == "potential" and parameters["sigma"] == sigma
        weights[sigma] = parameters["tau"]
    assert weights[5] == pytest.approx(2**1.5 * weights[10], rel=0.01)
