"""Blocks that the ranks of a node update in turn: never two at once, nothing lost or twice."""

import time

import numpy as np
import pytest

from asyncred.red.sampling import LeastUpdated
from asyncred.runtime.placement import neighbours, owners, place
from asyncred.shared import Claims, NodeArrays, check_room

BLOCKS = 6


def own_blocks(comm):
    return [i for i, rank in enumerate(owners(BLOCKS, comm.size)) if rank == comm.rank]


def test_never_two_ranks_on_a_block(comm):
    """Each changes plain memory of its block while it holds it, slowly, and finds it as it left it.

    Without claims updates would be lost: a value is read, and put back later.
    """
    turns, before = 300, {i: 10 * i for i in range(BLOCKS)}
    own = own_blocks(comm)
    with (
        Claims(comm, before) as claims,
        NodeArrays(comm, {i: np.array([-1, 0]) for i in own}) as seen,
    ):
        order = LeastUpdated(claims, own, [1, comm.rank])
        mine = np.zeros(BLOCKS, np.int64)
        for _ in range(turns):
            i = order.next()
            holder, updates = seen[i]
            assert holder == -1
            seen[i][0] = comm.rank
            time.sleep(1e-5)
            assert seen[i][0] == comm.rank
            seen[i][:] = -1, updates + 1
            order.done(i)
            mine[i] += 1
        comm.Barrier()
        total = comm.allreduce(mine)
        assert total.sum() == turns * comm.size
        assert [seen[i][1] for i in range(BLOCKS)] == total.tolist()
        expected = [before[i] + n for i, n in enumerate(total)]
        assert claims.look()[0].tolist() == expected
        assert [claims.updates(i) for i in range(BLOCKS)] == expected
        comm.Barrier()


def test_a_block_is_claimed_as_it_was_seen_or_not_at_all(comm):
    with Claims(comm, dict.fromkeys(range(BLOCKS), 4)) as claims:
        got = comm.allgather(claims.claim(2, 4))
        assert sum(got) == 1
        updates, free = claims.look()
        assert (updates == 4).all() and np.flatnonzero(~free).tolist() == [2]
        assert claims.updates(2) == 4
        comm.Barrier()
        if got[comm.rank]:
            claims.done(2)
        comm.Barrier()
        updates, free = claims.look()
        assert updates.tolist() == [4, 4, 5, 4, 4, 4] and free.all()
        assert not claims.claim(2, 4)
        comm.Barrier()


def test_arrays_of_all_ranks_are_the_same_memory(comm):
    own = own_blocks(comm)
    brought = {i: np.full((i + 1, 3), i, np.float32) for i in own}
    with NodeArrays(comm, brought) as arrays:
        assert not brought
        assert sorted(arrays) == list(range(BLOCKS)) and len(arrays) == BLOCKS
        for i, array in arrays.items():
            assert array.dtype == np.float32 and array.flags.aligned
            np.testing.assert_array_equal(array, np.full((i + 1, 3), i))
        comm.Barrier()
        for i in own:
            arrays[i][...] += 1
        comm.Barrier()
        for i, array in arrays.items():
            np.testing.assert_array_equal(array, np.full((i + 1, 3), i + 1))
        comm.Barrier()


def test_arrays_of_ranks_that_have_none(comm):
    some = {7: np.arange(5)} if comm.rank == comm.size - 1 else {}
    with NodeArrays(comm, some) as arrays:
        assert {i: a.tolist() for i, a in arrays.items()} == {7: [0, 1, 2, 3, 4]}
        comm.Barrier()
    with NodeArrays(comm, {}) as arrays:
        assert not arrays


def test_more_memory_than_the_node_has_is_refused(comm):
    check_room(comm, 1 << 10)
    check_room(None, 1 << 60)
    with pytest.raises(ValueError, match=r"^/dev/shm has \d+ MiB left, expected \d{12,} MiB"):
        check_room(comm, 1 << 60)


def test_blocks_within_reach(comm):
    assert place(comm, 9, threads=1).reach == place(comm, 9, threads=1).own
    assert place(comm, 9, threads=1, steal=True).reach == list(range(9))  # all on one node
    node = neighbours(comm)
    if comm.size == 1:
        assert node is None
    else:
        assert node.size == comm.size
        node.Free()
