"""Tomography from the command line: simulate, run, and the same image from every method."""

import numpy as np
import pytest

from asyncred.files.problem import read_problem
from asyncred.metrics import snr
from commands import reconstruct, reconstruct_all, refused, simulate

FLAGS = ["--denoiser", "tv", "--sigma", "5", "--tau", "0.1", "--epochs", "60", "--refresh", "25"]


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("ct") / "problem.h5"
    flags = ["--size", "48", "--block", "16", "--views", "30", "--seed", "2"]
    return simulate("ct", path, *flags)


def test_simulated_measurements_are_line_integrals(problem):
    found = read_problem(problem)
    assert found.kind == "parallel_beam" and found.data.groups == 30
    x = found.truth(np.s_[0:48, 0:48], 0)
    y = found.data.y(range(30))
    total = y.sum(axis=1) / found.data.pixel  # every view sees the whole image
    np.testing.assert_allclose(total, x.sum(), rtol=0.02)


@pytest.mark.ranks
def test_all_methods_agree(problem):
    flags = (*FLAGS, "--epochs", "75", "--method")
    whole = (*flags, "gm", "--epochs", "150")
    serial, *one = reconstruct_all(problem, 1, whole, (*flags, "async"), (*flags, "bc"))
    two = reconstruct_all(problem, 2, (*flags, "async"), (*flags, "sync"))
    four = reconstruct_all(problem, 4, (*flags, "async"))
    assert snr(serial.truth, serial.image) > snr(serial.truth, serial.start) + 0.5
    for found in (*one, *two, *four):
        said = (found.provenance["ranks"], found.provenance["parameters"]["method"])
        assert snr(serial.image, found.image) > 45, said
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


@pytest.mark.ranks
def test_wrong_flags(problem):
    output = problem.with_name("none.h5")
    expected = {
        "--start is 'centered', expected fbp, adjoint, zero": ("--start", "centered"),
        "--minibatch is 31, expected at most 30": ("--minibatch", "31"),
    }
    commands = (("run", problem, "-o", output, *FLAGS, *more) for more in expected.values())
    for message, line in zip(expected, refused(1, *commands), strict=True):
        assert message in line
    assert not output.exists()
