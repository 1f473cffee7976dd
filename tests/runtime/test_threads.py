"""BLAS has one thread in every rank of every command, whatever imports what.

That of the demo is looked for where it is run, in test_run.py, and the doctor's in test_doctor.py.
"""

from __future__ import annotations

import pytest

from commands import simulate
from spy import one_thread, spied

COMMANDS = {
    "run": (2, ("run", "{problem}", "-o", "result.h5", "--epochs", "2")),
    "check": (1, ("check", "{problem}", "-n", "2")),
    "simulate": (1, ("simulate", "ct", "other.h5", "--size", "96", "--views", "8")),
    "models": (1, ("models", "tv")),
}


@pytest.fixture(scope="module")
def problem(tmp_path_factory):
    path = tmp_path_factory.mktemp("blur") / "blur.h5"
    return simulate("blur", path, "--size", "64", "--block", "32")


@pytest.mark.ranks
@pytest.mark.parametrize("name", COMMANDS)
def test_one_blas_thread_in_every_rank(name, problem, tmp_path):
    ranks, words = COMMANDS[name]
    done, found = spied(ranks, [word.format(problem=problem) for word in words], tmp_path / "spy")
    assert done.returncode == 0, done.stdout + done.stderr
    assert one_thread(found), found


def test_a_number_of_threads_that_the_user_set_stays(tmp_path):
    env = {"OPENBLAS_NUM_THREADS": "2"}
    done, found = spied(1, COMMANDS["simulate"][1], tmp_path / "spy", env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert found and all(2 in pools for pools in found), found
