"""Runs by the proximal update: the same fixed point as the gradient's, guarded, and told so."""

import numpy as np
import pytest
from onnx.helper import make_node

from asyncred.denoisers.provider import fast_at_int8
from asyncred.files.result import read_result
from asyncred.metrics import snr
from asyncred.runtime.exit_codes import DIVERGED
from commands import ASYNCRED, reconstruct, reconstruct_all, refused, simulate
from launch import mpirun
from networks import BINOMIAL, save

pytestmark = pytest.mark.ranks
GRADIENT = ("--method", "gm", "--epochs", "3000", "--tol", "1e-6", "--threads", "1")


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("cs") / "problem.h5"
    return simulate("cs", path, "--size", "48", "--block", "16")


def overshooting(path, factor):
    """x - factor (x - S x), S a binomial smoothing: I - D has eigenvalues from 0 to ``factor``."""
    nodes = [
        make_node("Conv", ["x", "kernel"], ["smooth"], pads=[1] * 4),
        make_node("Sub", ["x", "smooth"], ["noise"]),
        make_node("Mul", ["noise", "factor"], ["more"]),
        make_node("Sub", ["x", "more"], ["y"]),
    ]
    return save(path, nodes, {"kernel": BINOMIAL, "factor": np.array(factor, np.float32)})


def distance(found, star):
    return np.linalg.norm(found.image - star.image) / np.linalg.norm(star.image)


@pytest.fixture(scope="module")
def star(problem):
    """Of a denoiser that is nonexpansive by proof."""
    return reconstruct(problem, 1, "--denoiser", "tv", "--sigma", "5", *GRADIENT)


@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_it_is_the_default_and_ends_where_the_gradient_does(problem, star, ranks):
    found = reconstruct(problem, ranks, "--denoiser", "tv", "--sigma", "5", "--epochs", "40")
    said = found.provenance["parameters"]
    assert (said["update"], said["start"], said["mu"], said["momentum"]) == (
        "proximal",
        "tv",
        0.8,
        0,
    )
    assert found.provenance["relaxation"] == 1 and said["draft"] == "none"
    assert distance(found, star) < 2e-3
    assert abs(snr(found.truth, found.image) - snr(star.truth, star.image)) < 0.05


def test_every_way_there_ends_there(problem, star):
    ways = (
        ("--start", "zero", "--continuation", "4"),
        ("--start", "centered", "--momentum", "0.3", "--mu", "0.5"),
        ("--inner", "1"),
        ("--method", "sync"),
    )
    flags = ("--update", "proximal", "--denoiser", "tv", "--sigma", "5", "--epochs", "120")
    results = reconstruct_all(problem, 2, *((*flags, *way) for way in ways))
    for way, found in zip(ways, results, strict=True):
        assert distance(found, star) < 2e-3, way


def test_drafts_are_counted_and_forgotten(problem):
    """The 8-bit twin makes the first updates of every block, and no other."""
    star = reconstruct(problem, 1, *GRADIENT)
    drafted = ("--draft", "fast-s5-int8", "--epochs", "60")
    found, auto = reconstruct_all(problem, 2, drafted, ("--updates", "9"))
    assert (found.drafts > 0).all() and (found.drafts < 20).all()
    assert distance(found, star) < 3e-3
    expected = "fast-s5-int8" if fast_at_int8() else "none"
    assert auto.provenance["parameters"]["draft"] == expected


def test_an_expansive_denoiser_is_relaxed(problem, tmp_path):
    """mu = tau / 4 is stable up to r = 0.65, this one has 1.6: a step of 1 is too long."""
    path = overshooting(tmp_path / "over.onnx", 1.6)
    flags = ("--denoiser", path, "--start", "centered")
    star = reconstruct(problem, 1, *flags, "--method", "gm", "--tol", "1e-6", "--epochs", "3000")
    found = reconstruct(problem, 2, *flags, "--mu", "0.2", "--epochs", "200")
    assert 1 / 64 <= found.provenance["relaxation"] < 1
    assert distance(found, star) < 2e-3
    done = mpirun(1, *ASYNCRED, "show", found.path, "--overwrite", timeout=60)
    assert f"steps relaxed to {found.provenance['relaxation']:g}" in done.stdout


def test_steps_that_stay_too_long_end_the_run(problem, tmp_path):
    """64 times too long when relaxed as far as it goes; no checkpoint of it, no complete result."""
    output, flags = tmp_path / "r.h5", ("--step", "300", "--update", "proximal", "--epochs", "1000")
    command = ("run", problem, "-o", output, "--threads", "1", *flags)
    done = mpirun(2, *ASYNCRED, *command, timeout=120)
    assert done.returncode == DIVERGED and "diverged" in done.stdout
    assert not read_result(output).complete


def test_what_does_not_fit_is_refused(problem, tmp_path):
    output = tmp_path / "r.h5"
    expected = {
        "--method gm": ("--update", "proximal", "--method", "gm"),
        "expected no --step safe": ("--update", "proximal", "--step", "safe"),
        "of --update proximal, found gradient": ("--update", "gradient", "--mu", "1"),
        "--momentum is '1', expected": ("--momentum", "1"),
        "nothing: no such file, nor a shipped denoiser": ("--draft", "nothing"),
        "expected those of": ("--draft", "fast-s10"),
        "--rounds: of --update anchored, found proximal": ("--rounds", "2"),
        "anchored has its own order and step, found --minibatch": (
            "--update",
            "anchored",
            "--minibatch",
            "9",
        ),
        "anchored with --tau 0": ("--update", "anchored", "--tau", "0"),
        "--factors: of --update proximal, found anchored": (
            "--update",
            "anchored",
            "--factors",
            tmp_path / "f.h5",
        ),
    }
    commands = (("run", problem, "-o", output, *flags) for flags in expected.values())
    for message, line in zip(expected, refused(2, *commands), strict=True):
        assert message in line
    assert not output.exists()
