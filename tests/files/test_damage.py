"""Damage of a file is one line that names it; a crash of HDF5 ends a child process alone."""

import os
import signal

import numpy as np
import pytest

import h5py

from asyncred.commands.isolated import isolated
from asyncred.files.problem import read_problem
from asyncred.files.result import create_result, read_result
from commands import simulate
from results import layout


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("damage") / "p.h5"
    return simulate("inpaint", path, "--size", "32", "--block", "16")


WAYS = {
    "nothing": h5py.Empty("f4"),
    "a type": np.dtype("f4"),
    "a loop": h5py.SoftLink("/operator/mask"),
    "a word": "word",
}


@pytest.mark.parametrize("value", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("key", ["operator/mask", "measurements/y", "truth"])
def test_other_things_where_a_dataset_is_expected(key, value, problem, tmp_path):
    path = tmp_path / "p.h5"
    path.write_bytes(problem.read_bytes())
    with h5py.File(path, "r+") as file:
        del file[key]
        if isinstance(value, h5py.Empty):
            file.create_dataset(key, data=value)
        else:
            file[key] = h5py.SoftLink(f"/{key}") if isinstance(value, h5py.SoftLink) else value
    with pytest.raises(ValueError, match=str(path)) as error:
        read_problem(path)
    assert "\n" not in str(error.value)


def test_one_of_our_files_in_place_of_another_is_no_damage(problem, tmp_path):
    create_result(tmp_path / "r.h5", layout())
    with pytest.raises(ValueError, match="is a result of asyncred run, expected a problem"):
        read_problem(tmp_path / "r.h5")
    with pytest.raises(ValueError, match=r"is missing, expected a result of asyncred run$"):
        read_result(problem)


def test_absurd_sizes(problem, tmp_path):
    path = tmp_path / "p.h5"
    path.write_bytes(problem.read_bytes())
    with h5py.File(path, "r+") as file:
        file["image"].attrs["shape"] = [2**40, 2**40]
    with pytest.raises(ValueError, match="expected at most 4194304 blocks"):
        read_problem(path)


def test_a_crash(tmp_path):
    def crash() -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return ""

    assert isolated(tmp_path, lambda: "fine") == "fine"
    with pytest.raises(ValueError, match="was ended by SIGKILL"):
        isolated(tmp_path, crash)
