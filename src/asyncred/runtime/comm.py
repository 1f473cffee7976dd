"""The ranks of a job as a communicator: MPI's, or one process alone, for which no MPI is needed."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from mpi4py import MPI

Comm: TypeAlias = "MPI.Intracomm | Alone"

LAUNCHERS = {
    "SLURM_STEP_NUM_TASKS": "SLURM_PROCID",
    "PMI_SIZE": "PMI_RANK",
    "PMIX_SIZE": "PMIX_RANK",
    "OMPI_COMM_WORLD_SIZE": "OMPI_COMM_WORLD_RANK",
}
"""What launchers of MPI jobs tell each process: how many there are, and which one it is."""


class Alone:
    """A communicator of one process, as far as a run asks anything of one."""

    rank, size = 0, 1

    def bcast(self, value: Any, root: int = 0) -> Any:
        """The value."""
        return value

    def gather(self, value: Any, root: int = 0) -> list[Any]:
        """The only value."""
        return [value]

    allgather = gather

    def allreduce(self, value: Any) -> Any:
        """The sum of one."""
        return value

    def Barrier(self) -> None:
        """Nobody is waited for."""

    def Free(self) -> None:
        """Nothing is held."""


def started_ranks() -> int:
    """How many processes a launcher says it started, 1 where there was none."""
    return max(int(os.environ.get(name, "1") or "1") for name in LAUNCHERS)


def world() -> Comm:
    """All ranks that mpirun or srun started; else this process alone, without MPI.

    A script that has imported ``mpi4py.MPI`` gets its COMM_WORLD. Raises ImportError or
    RuntimeError where there are several ranks and no MPI library.
    """
    launched = any(name in os.environ for pair in LAUNCHERS.items() for name in pair)
    if "mpi4py.MPI" not in sys.modules and not launched:
        return Alone()
    from mpi4py import MPI

    return MPI.COMM_WORLD


def split(comm: Comm, color: int) -> Comm:
    """The ranks that gave the same color. Collective over comm."""
    if isinstance(comm, Alone):
        return comm
    from mpi4py import MPI

    return MPI.Intracomm(comm.Split(color))


def node_of(comm: Comm) -> Comm:
    """Those of the ranks that share memory with this one. Collective over comm."""
    if isinstance(comm, Alone):
        return comm
    from mpi4py import MPI

    return MPI.Intracomm(comm.Split_type(MPI.COMM_TYPE_SHARED))


def library_version(comm: Comm) -> str:
    """The MPI library's name and version."""
    if isinstance(comm, Alone):
        return "none: one process"
    from mpi4py import MPI

    return MPI.Get_library_version().split("\n")[0].strip(" \0")


def several_threads(comm: Comm) -> bool:
    """Whether several threads of a rank may call MPI."""
    if isinstance(comm, Alone):
        return True
    from mpi4py import MPI

    return MPI.Query_thread() >= MPI.THREAD_MULTIPLE
