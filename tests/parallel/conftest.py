"""Runs the same tests on every rank: `mpirun -n N python -m mpi4py -m pytest tests/parallel`."""

import shutil
import sys
import tempfile
from pathlib import Path

import pytest

from mpi4py import MPI


def pytest_addoption(parser, pluginmanager):
    if MPI.COMM_WORLD.rank > 0:  # one progress report is enough
        pluginmanager.set_blocked("terminalreporter")


@pytest.fixture
def comm():
    """All ranks of the job."""
    return MPI.COMM_WORLD


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report():
    report = yield
    end_job_if_failed(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport():
    report = yield
    end_job_if_failed(report)
    return report


def end_job_if_failed(report):
    """Ends all ranks at the first failure of one: the others may be waiting for it."""
    comm = MPI.COMM_WORLD
    if report.failed and comm.size > 1:
        print(f"rank {comm.rank} of {comm.size}: {report.nodeid}", file=sys.stderr)
        print(report.longreprtext, *map("\n".join, report.sections), sep="\n", file=sys.stderr)
        sys.stderr.flush()
        comm.Abort(1)


@pytest.fixture
def folder(comm):
    """One empty folder for all ranks; not tmp_path, whose old ones each rank would clear away."""
    path = Path(comm.bcast(tempfile.mkdtemp() if comm.rank == 0 else None))
    yield path
    comm.Barrier()
    if comm.rank == 0:
        shutil.rmtree(path)
