"""Factors of dense blocks: made once, every rank its share of them, and mapped by all."""

from __future__ import annotations

from pathlib import Path

from asyncred.files import factors
from asyncred.files.problem.block_random import BlockRandomData
from asyncred.files.whole import created, partial, renamed
from asyncred.operators import Factored
from asyncred.runtime.collective import on_all, on_root
from asyncred.runtime.comm import Comm
from asyncred.runtime.placement import Placement


def open_factors(
    comm: Comm,
    path: Path,
    data: BlockRandomData,
    placement: Placement,
    *,
    mu: float,
) -> Factored:
    """The factored data term of the blocks this rank may update; the file is made if missing.

    Collective over comm, whose ranks may own the same blocks. Raises InputError where the file is
    of another A or mu, or cannot be made.
    """
    if not on_root(comm, path.exists):
        make_factors(comm, path, data, mu=mu, threads=placement.threads)

    def read() -> Factored:
        own, reach, threads = placement.own, placement.reach, placement.threads
        return factors.read(path, data, own=own, reach=reach, mu=mu, threads=threads)

    return on_all(comm, read)


def make_factors(comm: Comm, path: Path, data: BlockRandomData, *, mu: float, threads: int) -> None:
    """Factor all blocks, each on one of the ranks of comm. Collective. Raises InputError."""
    temporary = comm.bcast(partial(path))

    def lay_out() -> None:
        created(temporary, path)
        factors.lay_out(temporary, data, mu)

    try:
        on_root(comm, lay_out)
        mine = range(comm.rank, len(data.grid), comm.size)
        on_all(comm, lambda: factors.fill(temporary, data, mine, mu=mu, threads=threads))
        if comm.rank == 0:
            renamed(temporary, path)
        comm.Barrier()
    finally:
        if comm.rank == 0:
            temporary.unlink(missing_ok=True)
