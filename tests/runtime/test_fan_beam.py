"""Fan beams from the command line: simulate, run, and the same image on every number of ranks."""

import numpy as np
import pytest

import h5py

from asyncred.files.problem import read_problem
from asyncred.metrics import snr
from commands import ASYNCRED, reconstruct, simulate
from launch import mpirun

SMALL = ["--size", "96", "--block", "32", "--seed", "2", "--photons", "2e4"]
KINDS = {
    "flat": ["--views", "80"],
    "short, curved": ["--views", "60", "--short", "--detector", "curved", "--source", "1"],
}


@pytest.fixture(scope="module", params=KINDS.values(), ids=list(KINDS))
def problem(request, tmp_path_factory):
    return simulate("fan", tmp_path_factory.mktemp("fan") / "problem.h5", *SMALL, *request.param)


def test_simulated_measurements_are_line_integrals(problem):
    found = read_problem(problem)
    assert found.kind == "fan_beam" and found.doubts(found.shades) == ()
    data, x = found.data, found.truth(np.s_[0:96, 0:96], 0)
    rays = data.y(range(data.groups)) / data.pixel
    # Rays of a view are this far apart at the axis; the image is near it, on the average.
    apart = np.gradient(np.arctan(data.fan.tangents(data.bins))) * data.fan.source
    np.testing.assert_allclose((rays @ apart).mean(), x.sum(), rtol=0.1)


@pytest.mark.ranks
def test_every_number_of_ranks_has_the_same_image(problem):
    flags = ["--denoiser", "nonexpansive", "--sigma", "5"]
    one, two, four = (reconstruct(problem, ranks, *flags) for ranks in (1, 2, 4))
    assert snr(one.truth, one.image) > snr(one.truth, one.start) + 1
    for other in (two, four):
        assert np.linalg.norm(other.image - one.image) < 5e-3 * np.linalg.norm(one.image)


def test_a_wrong_geometry_is_one_line(problem):
    path = problem.with_name("wrong.h5")
    path.write_bytes(problem.read_bytes())
    with h5py.File(path, "r+") as file:
        file["operator"].attrs["pixel"] *= 10
    command = ["run", path, "-o", problem.with_name("none.h5"), "--denoiser", "tv"]
    done = mpirun(1, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "one unit of length" in done.stderr
