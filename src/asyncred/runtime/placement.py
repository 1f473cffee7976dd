"""Where the work is done: which rank owns which blocks, and how many threads it may use."""

from __future__ import annotations

import os
from dataclasses import dataclass

from mpi4py import MPI


@dataclass(frozen=True)
class Placement:
    """What one rank owns and may use."""

    owner: list[int]
    """The rank of each block."""
    own: list[int]
    """The blocks of this rank, ascending."""
    reach: list[int]
    """The blocks it may update: its own or, where work is stolen, all of its node."""
    threads: int
    """Threads of the denoiser and of the kernels on this rank."""
    hosts: list[str]
    """The processor name of each rank."""
    far: frozenset[int]
    """The ranks that share no memory with this one."""
    local_rank: int
    """This rank among those of its node, from 0."""


def owners(blocks: int, ranks: int) -> list[int]:
    """Contiguous runs of blocks, in row-major order, whose lengths differ by at most one."""
    return [i * ranks // blocks for i in range(blocks)]


def place(
    comm: MPI.Intracomm,
    blocks: int,
    *,
    threads: int | None,
    everybody: MPI.Intracomm | None = None,
    steal: bool = False,
) -> Placement:
    """Divide the blocks over the ranks and the cores of a node over its ranks. Collective.

    ``threads`` overrides the share of the cores that this process may run on. ``everybody`` are all
    ranks of the job, where those of ``comm`` are but some. ``steal``: the ranks of a node update
    each other's blocks.
    """
    owner = owners(blocks, comm.size)
    cores = os.sched_getaffinity(0)
    node = (everybody or comm).Split_type(MPI.COMM_TYPE_SHARED)
    sharing = sum(bool(cores & others) for others in node.allgather(cores))
    local_rank = node.rank
    node.Free()
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    far = frozenset(range(comm.size)) - frozenset(node.allgather(comm.rank))
    node.Free()
    own = [i for i in range(blocks) if owner[i] == comm.rank]
    return Placement(
        owner,
        own,
        [i for i in range(blocks) if owner[i] not in far] if steal else own,
        threads or max(1, len(cores) // sharing),
        comm.allgather(MPI.Get_processor_name()),
        far,
        local_rank,
    )


def neighbours(comm: MPI.Intracomm) -> MPI.Intracomm | None:
    """The ranks that share memory with this one; None where there is no other. Collective."""
    node = MPI.Intracomm(comm.Split_type(MPI.COMM_TYPE_SHARED))
    if node.size > 1:
        return node
    node.Free()
    return None


def spans_hosts(comm: MPI.Intracomm) -> bool:
    """Whether any two ranks share no memory. Collective."""
    node = comm.Split_type(MPI.COMM_TYPE_SHARED)
    alone = node.size < comm.size
    node.Free()
    return bool(comm.allreduce(alone, MPI.LOR))
