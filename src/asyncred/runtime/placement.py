"""Where the work is done: who shares an image, which rank owns which blocks, and its threads."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from asyncred.runtime.comm import Comm, node_of, split


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
    """The name of the host of each rank."""
    far: frozenset[int]
    """The ranks that share no memory with this one."""
    local_rank: int
    """This rank among those of its node, from 0."""


@dataclass(frozen=True)
class Team:
    """The ranks of a job as one of them sees them."""

    everybody: Comm
    comm: Comm
    """Those that share an image with this one."""
    node: Comm | None
    """Those of them that update each other's blocks, where this rank is one of several."""
    placement: Placement
    hosts: list[str]
    """Of all ranks."""

    def free(self) -> None:
        """Free what was split off. Collective over everybody."""
        if self.node:
            self.node.Free()
        self.comm.Free()


def form_team(
    everybody: Comm, together: int, blocks: int, *, threads: int | None, steal: bool
) -> Team:
    """Groups of ``together`` ranks that share an image of so many blocks each. Collective.

    ``threads`` overrides the share of the cores that this process may run on. ``steal``: the ranks
    of a node update each other's blocks.
    """
    comm = split(everybody, everybody.rank // together)
    placement = place(comm, blocks, threads=threads, everybody=everybody, steal=steal)
    node = neighbours(comm) if steal else None
    return Team(everybody, comm, node, placement, everybody.allgather(socket.gethostname()))


def owners(blocks: int, ranks: int) -> list[int]:
    """Contiguous runs of blocks, in row-major order, whose lengths differ by at most one."""
    return [i * ranks // blocks for i in range(blocks)]


def place(
    comm: Comm,
    blocks: int,
    *,
    threads: int | None,
    everybody: Comm | None = None,
    steal: bool = False,
) -> Placement:
    """Divide the blocks over the ranks and the cores of a node over its ranks. Collective.

    ``everybody`` are all ranks of the job, where those of ``comm`` are but some.
    """
    owner = owners(blocks, comm.size)
    cores = os.sched_getaffinity(0)
    node = node_of(everybody or comm)
    sharing = sum(bool(cores & others) for others in node.allgather(cores))
    local_rank = node.rank
    node.Free()
    node = node_of(comm)
    far = frozenset(range(comm.size)) - frozenset(node.allgather(comm.rank))
    node.Free()
    own = [i for i in range(blocks) if owner[i] == comm.rank]
    return Placement(
        owner,
        own,
        [i for i in range(blocks) if owner[i] not in far] if steal else own,
        threads or max(1, len(cores) // sharing),
        comm.allgather(socket.gethostname()),
        far,
        local_rank,
    )


def neighbours(comm: Comm) -> Comm | None:
    """The ranks that share memory with this one; None where there is no other. Collective."""
    node = node_of(comm)
    if node.size > 1:
        return node
    node.Free()
    return None


def spans_hosts(comm: Comm) -> bool:
    """Whether any two ranks share no memory. Collective."""
    node = node_of(comm)
    alone = node.size < comm.size
    node.Free()
    return any(comm.allgather(alone))
