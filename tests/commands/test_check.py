"""What check says of A, from Python."""

import numpy as np
import pytest

import h5py

from asyncred.commands.cli import main
from asyncred.files.problem.parallel_beam import write_parallel_beam
from scans import SIDE, object_slices, projected


@pytest.mark.parametrize(
    ("flags", "stored", "name"),
    [((), False, "A"), ((), True, r"W^(1/2) A"), (("--weights", "counts"), False, r"W^(1/2) A")],
)
def test_the_dot_test_is_that_of_the_weighted_operator(tmp_path, capsys, flags, stored, name):
    truth, angles = object_slices(slices=1), np.arange(20) * 9.0
    y = projected(truth, angles, (SIDE - 1) / 2)[0]
    path = tmp_path / "p.h5"
    write_parallel_beam(path, truth[0], y, block=(32, 32), angles=angles, pixel=1.0)
    if stored:
        with h5py.File(path, "r+") as file:
            file["measurements/weights"] = np.random.default_rng(0).random(y.shape)
    with pytest.raises(SystemExit) as found:
        main(["check", str(path), "--denoiser", "tv", "--sigma", "5", *flags])
    said = capsys.readouterr().out
    assert found.value.code == 0
    line = next(line for line in said.splitlines() if line.startswith("dot test of blocks 0, 1, 3"))
    assert f"<{name} x, z>" in line and float(line.split("differ by ")[1].split()[0]) < 1e-4
