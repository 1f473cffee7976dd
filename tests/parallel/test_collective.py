"""Errors that one rank finds are raised by all; blocks arrive whole."""

import numpy as np
import pytest

from asyncred.errors import InputError
from asyncred.grid import BlockGrid
from asyncred.runtime.collective import gather_blocks, on_all, on_root
from asyncred.runtime.placement import owners, place, spans_hosts


def fail(message):
    raise ValueError(message)


def test_the_root_answers_for_all(comm):
    assert on_root(comm, lambda: comm.rank) == 0
    with pytest.raises(InputError, match=r"^of the root$"):
        on_root(comm, lambda: fail("of the root"))


def test_one_rank_fails_for_all(comm):
    last = comm.size - 1
    with pytest.raises(InputError, match=f"^rank {last}$"):
        on_all(comm, lambda: fail(f"rank {last}") if comm.rank == last else None)
    assert on_all(comm, lambda: comm.rank) == comm.rank


def test_blocks_are_gathered_in_order(comm):
    grid = BlockGrid((10, 13), (4, 5))
    owner = owners(len(grid), comm.size)
    own = {
        i: np.full(grid.window(i, 0).shape, i, np.float32)
        for i in range(len(grid))
        if owner[i] == comm.rank
    }
    found = list(gather_blocks(comm, grid, owner, own))
    if comm.rank == 0:
        assert [i for i, _ in found] == list(range(len(grid)))
        assert all((block == i).all() for i, block in found)
    else:
        assert found == []


def test_placement_shares_blocks_and_cores(comm):
    found = place(comm, 9, threads=None)
    assert comm.allreduce(len(found.own)) == 9
    assert all(found.owner[i] == comm.rank for i in found.own)
    assert found.threads >= 1
    assert not found.far and not spans_hosts(comm)
    assert place(comm, 9, threads=3).threads == 3
