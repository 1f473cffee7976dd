"""Tomography from the command line: simulate, run, and the same image from every method."""

import numpy as np
import pytest

from asyncred.files.problem import read_problem
from asyncred.metrics import snr
from commands import ASYNCRED, reconstruct, simulate
from launch import mpirun

FLAGS = ["--denoiser", "tv", "--sigma", "5", "--tau", "0.1", "--epochs", "60", "--refresh", "25"]


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("ct") / "problem.h5"
    flags = ["--size", "96", "--block", "32", "--views", "40", "--seed", "2"]
    return simulate("ct", path, *flags)


def test_simulated_measurements_are_line_integrals(problem):
    found = read_problem(problem)
    assert found.kind == "parallel_beam" and found.data.groups == 40
    x = found.truth(np.s_[0:96, 0:96], 0)
    y = found.data.y(range(40))
    total = y.sum(axis=1) / found.data.pixel  # every view sees the whole image
    np.testing.assert_allclose(total, x.sum(), rtol=0.02)


@pytest.mark.ranks
def test_all_methods_agree(problem):
    serial = reconstruct(problem, 1, *FLAGS, "--method", "gm", "--epochs", "150")
    assert snr(serial.truth, serial.image) > snr(serial.truth, serial.start) + 0.5
    for ranks, method in ((1, "async"), (2, "async"), (4, "async"), (2, "sync"), (1, "bc")):
        found = reconstruct(problem, ranks, *FLAGS, "--method", method, "--epochs", "75")
        assert snr(serial.image, found.image) > 35, (ranks, method)
        assert found.per_block.sum() >= 75 * 9
        drift = found.provenance["residual_drift"]
        assert len(drift) == 3 and max(drift) < 1e-5, drift


@pytest.mark.ranks
def test_a_start_from_a_result_goes_on(problem):
    first = reconstruct(problem, 2, *FLAGS, "--epochs", "20")
    kept = problem.with_name("first.h5")
    kept.write_bytes(first.path.read_bytes())
    second = reconstruct(problem, 2, *FLAGS, "--epochs", "20", "--start", str(kept))
    np.testing.assert_array_equal(second.start, first.image)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--start", "centered"], "--start is 'centered', expected fbp, adjoint, zero"),
        (["--minibatch", "41"], "--minibatch is 41, expected at most 40"),
    ],
)
def test_wrong_flags(problem, flags, message):
    command = ["run", problem, "-o", problem.with_name("none.h5"), *FLAGS, *flags]
    done = mpirun(1, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 2 and message in done.stderr and "Traceback" not in done.stderr
    assert not problem.with_name("none.h5").exists()
