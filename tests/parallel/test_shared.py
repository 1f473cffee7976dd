"""The RMA contract: nothing is lost, nothing waits, windows are read where they belong."""

import time

import numpy as np
import pytest

from mpi4py import MPI

from asyncred.grid import BlockGrid, BlockWindows
from asyncred.runtime.placement import owners
from asyncred.shared import Counters, ProgressThread, SharedImage

GRID = BlockGrid((37, 50), (8, 12))


def picture(seed=0, shape=GRID.shape):
    return np.random.default_rng(seed).random(shape, dtype=np.float32)


def shared(comm, counters, x0, *, grid=GRID, halo=5, align=1, far=()):
    return SharedImage(
        comm,
        BlockWindows(grid, halo, align),
        owners(len(grid), comm.size),
        x0=lambda i: x0[grid.block(i)],
        counters=counters,
        far=far,
    )


@pytest.mark.parametrize("everything_far", [False, True])
@pytest.mark.parametrize(("halo", "align"), [(0, 1), (5, 1), (13, 4)])
def test_windows_hold_the_image(comm, halo, align, everything_far):
    far = [rank for rank in range(comm.size) if rank != comm.rank] if everything_far else []
    x0 = picture()
    with (
        Counters(comm, sums=1) as counters,
        shared(comm, counters, x0, halo=halo, align=align, far=far) as x,
    ):
        for i in range(len(GRID)):
            x.request(i)
            expected = x0[GRID.window(i, halo, align).region]
            np.testing.assert_array_equal(x.read(i), expected)
            np.testing.assert_array_equal(x.block(i), x0[GRID.block(i)])


def test_a_far_window_may_be_requested_before_another_is_read(comm):
    far = [rank for rank in range(comm.size) if rank != comm.rank]
    x0 = picture(1)
    with Counters(comm, sums=1) as counters, shared(comm, counters, x0, far=far) as x:
        x.request(0)
        for i in range(len(GRID) - 1):
            x_tilde = x.read(i)
            x.request(i + 1)
            np.testing.assert_array_equal(x_tilde, x0[GRID.window(i, 5).region])


def test_a_request_that_is_never_read_does_no_harm(comm):
    far = [rank for rank in range(comm.size) if rank != comm.rank]
    x0 = picture(2)
    with Counters(comm, sums=1) as counters, shared(comm, counters, x0, far=far) as x:
        for i in range(len(GRID) - 1):
            x.request(i)
            np.testing.assert_array_equal(x.fresh(i + 1), x0[GRID.window(i + 1, 5).region])
        x.request(0)


def test_sums_at_one_block_lose_nothing(comm):
    rounds = 300
    with Counters(comm, sums=1) as counters, shared(comm, counters, np.zeros(GRID.shape)) as x:
        ones = np.ones(x.block(0).shape, np.float32)
        for _ in range(rounds):
            x.add(0, ones)  # every rank at the same block
            seen = x.block(0)
            assert (seen == np.round(seen)).all()  # never a torn number
        x.barrier()
        assert (x.block(0) == rounds * comm.size).all()


def test_delay_counts_the_updates_of_others(comm):
    with Counters(comm, sums=1) as counters, shared(comm, counters, picture()) as x:
        i = owners(len(GRID), comm.size).index(comm.rank)
        x.fresh(i)
        comm.Barrier()
        x.add(i, np.zeros(x.block(i).shape))
        x.add(i, np.zeros(x.block(i).shape))
        counters.win.Flush_all()
        comm.Barrier()
        assert x.delay(i) == 2 * (comm.size - 1)
        x.fresh(i)
        assert x.delay(i) == 0
        comm.Barrier()


def test_claims_add_up_to_the_budget(comm):
    budget = 1003
    with Counters(comm, sums=1) as counters:
        claimed = 0
        while mine := counters.claim(budget, lambda taken: 7):
            assert 1 <= mine <= 7
            claimed += mine
        assert comm.allreduce(claimed) == budget
        assert counters.claim(budget, lambda taken: 7) == 0


def test_sums_and_stop_reach_everybody(comm):
    with Counters(comm, sums=3) as counters:
        counters.publish(np.array([comm.rank, 1.0, 0.5]))
        comm.Barrier()
        found = counters.collect()
        np.testing.assert_array_equal(found[:, 0], np.arange(comm.size))
        assert counters.stop_reason() == 0
        comm.Barrier()
        if comm.rank == comm.size - 1:
            counters.raise_stop(3)
        comm.Barrier()
        assert counters.stop_reason() == 3


def test_reads_do_not_wait_for_a_rank_that_computes(comm):
    with Counters(comm, sums=1) as counters, shared(comm, counters, picture()) as x:
        x.barrier()
        if comm.rank == comm.size - 1 and comm.size > 1:
            time.sleep(1.0)  # makes no MPI call, as inside a denoiser
        else:
            start = time.perf_counter()
            for i in range(len(GRID)):
                x.fresh(i)
            assert time.perf_counter() - start < 0.5
        x.barrier()


def test_a_window_past_two_gibibytes(comm):
    if comm.size != 1:
        pytest.skip("one rank is enough for 2.4 GB")
    side = 24_576
    grid = BlockGrid((side, side), (side, 256))  # 600 million pixels, 96 blocks
    zero = np.zeros((side, 256), np.float32)
    with (
        Counters(comm, sums=1) as counters,
        SharedImage(
            comm,
            BlockWindows(grid, 3),
            [0] * len(grid),
            x0=lambda i: zero[:, : 256 if i in (0, 95) else 0],  # most pages stay untouched
            counters=counters,
            far=(),
        ) as x,
    ):
        last = len(grid) - 1
        x.add(last, np.full(zero.shape, 2, np.float32))
        x_tilde = x.fresh(last)
        assert x_tilde.shape == (side, 259)
        assert (x_tilde[:, 3:] == 2).all() and (x_tilde[:, :3] == 0).all()


def test_progress_thread_starts_and_ends(comm):
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        pytest.skip("the MPI library has no THREAD_MULTIPLE")
    with ProgressThread(comm), Counters(comm, sums=1) as counters:
        counters.publish(np.array([1.0]))
        comm.Barrier()
        assert counters.collect().sum() == comm.size
