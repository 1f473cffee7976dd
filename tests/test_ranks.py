"""The tests of tests/parallel, at several numbers of ranks."""

import sys
from pathlib import Path

import pytest

from launch import mpirun

PARALLEL = Path(__file__).parent / "parallel"


@pytest.mark.ranks
@pytest.mark.parametrize("n", [1, *(pytest.param(n, marks=pytest.mark.library) for n in (2, 4))])
def test_parallel(n):
    pytest_command = (sys.executable, "-m", "mpi4py", "-m", "pytest", "-p", "no:cacheprovider")
    done = mpirun(n, *pytest_command, PARALLEL, timeout=300, env={"ASYNCRED_TEST_RANKS": str(n)})
    if done.returncode != 0:
        pytest.fail(f"exit status {done.returncode}\n{done.stdout}\n{done.stderr}", pytrace=False)
