"""Fan beams from the command line: simulate, run, and the same image on every number of ranks."""

import numpy as np
import pytest

import h5py

from asyncred.files.problem import read_problem
from asyncred.files.result import read_result
from asyncred.metrics import snr
from commands import ASYNCRED, THREADS, several, simulate
from launch import mpirun

SMALL = ["--size", "64", "--block", "32", "--seed", "2", "--photons", "2e4"]
RANKS = (1, 2, 4)
KINDS = {
    "flat": ["--views", "80"],
    "short, curved": ["--views", "60", "--short", "--detector", "curved", "--source", "1"],
}


@pytest.fixture(scope="module")
def problems(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fan")
    paths = {kind: folder / f"{k}.h5" for k, kind in enumerate(KINDS)}
    return {kind: simulate("fan", path, *SMALL, *KINDS[kind]) for kind, path in paths.items()}


@pytest.fixture(params=KINDS)
def problem(request, problems):
    return problems[request.param]


def test_simulated_measurements_are_line_integrals(problem):
    found = read_problem(problem)
    assert found.kind == "fan_beam" and found.doubts(found.shades) == ()
    data, x = found.data, found.truth(np.s_[0:64, 0:64], 0)
    rays = data.y(range(data.groups)) / data.pixel
    # Rays of a view are this far apart at the axis; the image is near it, on the average.
    apart = np.gradient(np.arctan(data.fan.tangents(data.bins))) * data.fan.source
    np.testing.assert_allclose((rays @ apart).mean(), x.sum(), rtol=0.1)


@pytest.mark.ranks
def test_every_number_of_ranks_has_the_same_image(problems, tmp_path):
    flags = ["--denoiser", "tv", "--sigma", "5", "--tau", "0.2", "--tol", "1e-4", *THREADS]
    outputs = {(kind, n): tmp_path / f"{n}-{problems[kind].name}" for kind in KINDS for n in RANKS}
    for n in RANKS:
        commands = (["run", problems[kind], "-o", outputs[kind, n], *flags] for kind in KINDS)
        ends = several(n, *commands)
        assert [code for code, _ in ends] == [0, 0], ends
    for kind in KINDS:
        one, *others = (read_result(outputs[kind, n]) for n in RANKS)
        assert snr(one.truth, one.image) > snr(one.truth, one.start) + 1
        for other in others:
            assert np.linalg.norm(other.image - one.image) < 5e-3 * np.linalg.norm(one.image), kind


def test_a_wrong_geometry_is_one_line(problem):
    path = problem.with_name("wrong.h5")
    path.write_bytes(problem.read_bytes())
    with h5py.File(path, "r+") as file:
        file["operator"].attrs["pixel"] *= 10
    command = ["run", path, "-o", problem.with_name("none.h5"), "--denoiser", "tv"]
    done = mpirun(1, *ASYNCRED, *command, timeout=60)
    assert done.returncode == 2 and "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1 and "one unit of length" in done.stderr
