"""The parallel algorithms against the serial oracle, on a problem small enough for a test."""

from collections import Counter
from contextlib import ExitStack

import numpy as np
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.grid import BlockGrid, BlockWindows
from asyncred.operators import BlockRandom
from asyncred.operators.block_random import draw_matrix
from asyncred.red.async_red import async_red
from asyncred.red.operator import RedOperator
from asyncred.red.sampling import EpochOrder, FullBatch, LeastUpdated, RandomRows, UniformOrder
from asyncred.red.serial_red import LocalImage, bc_red, gm_red
from asyncred.red.solver import AfterUpdates, Silent
from asyncred.red.stepsize import FixedStep
from asyncred.red.sync_red import sync_red
from asyncred.runtime.placement import owners
from asyncred.runtime.stopping import AsyncStop, SyncStop
from asyncred.shared import Claims, Counters, NodeArrays, SharedImage
from networks import smoothing

GRID = BlockGrid((30, 44), (10, 12))  # 12 blocks, ragged at the right
GAMMA, TAU, RATIO = 0.2, 0.8, 0.8


class Records:
    """A monitor that keeps what it is told."""

    def __init__(self):
        self.updates, self.delays = Counter(), []

    def record(self, i, x_i, G_i, step_i, *, delay):
        self.updates[i] += 1
        self.delays.append(delay)


@pytest.fixture
def D(folder, comm):
    if comm.rank == 0:
        smoothing(folder / "smoothing.onnx")
    comm.Barrier()
    return OnnxDenoiser(inspect_denoiser(folder / "smoothing.onnx"), threads=1)


def truth():
    rows, cols = np.mgrid[: GRID.shape[0], : GRID.shape[1]]
    return (0.5 + 0.4 * np.sin(rows / 5) * np.cos(cols / 7)).astype(np.float32)


def operator(blocks):
    matrices = {i: matrix(i) for i in blocks}
    y = {i: measured(i, a) for i, a in matrices.items()}
    shapes = {i: GRID.window(i, 0).shape for i in range(len(GRID))}
    return BlockRandom(matrices, y, shapes=shapes, threads=1)


def matrix(i):
    n = GRID.window(i, 0).shape[0] * GRID.window(i, 0).shape[1]
    return draw_matrix(3, i, round(RATIO * n), n)


def measured(i, a):
    return a @ truth()[GRID.block(i)].ravel()


def red(D, blocks):
    return RedOperator(GRID, operator(blocks), D, tau=TAU)


def run(
    comm,
    D,
    algorithm,
    *,
    updates,
    minibatch=None,
    order=EpochOrder,
    x0=None,
    gamma=GAMMA,
    reach=None,
):
    """The final image on every rank, and this rank's records."""
    owner = owners(len(GRID), comm.size)
    own = [i for i in range(len(GRID)) if owner[i] == comm.rank]
    x0 = np.zeros(GRID.shape, np.float32) if x0 is None else x0
    seeds = [[7, comm.rank, k] for k in (0, 1)]
    records = Records()
    with (
        Counters(comm, sums=7) as counters,
        SharedImage(
            comm,
            BlockWindows(GRID, D.halo, D.align),
            owner,
            x0=lambda i: x0[GRID.block(i)],
            counters=counters,
            far=(),
        ) as x,
    ):
        limits = {"updates": updates, "seconds": np.inf, "signalled": lambda: 0}
        stop = (
            SyncStop(comm, counters, **limits)
            if algorithm is sync_red
            else AsyncStop(counters, most=len(own), **limits)
        )
        rows = FullBatch() if minibatch is None else RandomRows(minibatch, seeds[1])
        algorithm(
            red(D, reach or own),
            x,
            order=order(own, seeds[0]),
            minibatch=rows,
            step=FixedStep(gamma),
            stop=stop,
            monitor=records,
        )
        x.barrier()
        image = np.empty(GRID.shape, np.float32)
        for i in range(len(GRID)):
            image[GRID.block(i)] = x.block(i)
        x.barrier()
    return image, records


def serial(D, algorithm, *, updates, minibatch=None, order=EpochOrder, x0=None):
    start = np.zeros(GRID.shape, np.float32) if x0 is None else x0
    x = LocalImage(BlockWindows(GRID, D.halo, D.align), start)
    seeds = [[7, 0, k] for k in (0, 1)]
    algorithm(
        red(D, range(len(GRID))),
        x,
        order=order(range(len(GRID)), seeds[0]),
        minibatch=FullBatch() if minibatch is None else RandomRows(minibatch, seeds[1]),
        step=FixedStep(GAMMA),
        stop=AfterUpdates(updates),
        monitor=Silent(),
    )
    return x.array


@pytest.mark.parametrize("order", [EpochOrder, UniformOrder])
@pytest.mark.parametrize("minibatch", [None, 30])
def test_one_rank_equals_bc_red_bit_for_bit(comm, D, order, minibatch):
    if comm.size != 1:
        pytest.skip("of one rank")
    found, records = run(comm, D, async_red, updates=100, minibatch=minibatch, order=order)
    expected = serial(D, bc_red, updates=100, minibatch=minibatch, order=order)
    np.testing.assert_array_equal(found, expected)
    assert set(records.delays) == {0}


@pytest.mark.parametrize("algorithm", [async_red, sync_red])
def test_reaches_the_fixed_point_of_gm_red(comm, D, algorithm):
    x_star = serial(D, gm_red, updates=300)
    G = red(D, range(len(GRID)))
    assert np.linalg.norm(G.full(x_star)) <= 1e-6 * np.linalg.norm(G.full(0 * x_star))
    found, _ = run(comm, D, algorithm, updates=200 * len(GRID))
    assert np.linalg.norm(found - x_star) <= 2e-3 * np.linalg.norm(x_star)


def test_minibatches_come_close_to_the_fixed_point(comm, D):
    x_star = serial(D, gm_red, updates=300)
    found, _ = run(comm, D, async_red, updates=3000, minibatch=60, gamma=0.1)
    assert np.linalg.norm(found - x_star) <= 2e-2 * np.linalg.norm(x_star)


@pytest.mark.parametrize("updates", [1, 50, 401])
def test_every_update_is_counted_once(comm, D, updates):
    _, records = run(comm, D, async_red, updates=updates)
    own = [i for i, rank in enumerate(owners(len(GRID), comm.size)) if rank == comm.rank]
    assert set(records.updates) <= set(own)
    assert comm.allreduce(records.updates.total()) == updates
    assert comm.allreduce(len(records.delays)) == updates
    assert all(delay >= 0 for delay in records.delays)


def test_blocks_taken_from_others(comm, D):
    """Every update is counted once, all blocks alike; the fixed point is the same.

    In two parts, as after a leg or a checkpoint: nobody keeps a block from the others.
    """
    every, half = range(len(GRID)), 1500 * len(GRID) // 4
    image, mine = None, Counter()
    with Claims(comm, dict.fromkeys(every, 0)) as claims:

        def order(own, seed):
            return LeastUpdated(claims, own, seed)

        for k in (1, 2):
            image, records = run(
                comm, D, async_red, updates=half, order=order, x0=image, reach=every
            )
            mine += records.updates
            assert comm.allreduce(records.updates.total()) == half
            updates, free = claims.look()
            assert updates.sum() == k * half and free.all()
        assert comm.allreduce(mine) == Counter(dict(enumerate(updates.tolist())))
        comm.Barrier()
    x_star = serial(D, gm_red, updates=1500)
    assert np.linalg.norm(image - x_star) <= 2e-3 * np.linalg.norm(x_star)


def test_the_matrices_of_a_node_are_those_of_its_ranks(comm):
    owner, every = owners(len(GRID), comm.size), range(len(GRID))
    own = operator([i for i in every if owner[i] == comm.rank])
    expected = operator(every)
    x = np.random.default_rng(0).random(GRID.shape, np.float32)
    size = comm.allreduce(own.bytes_to_share)
    assert size == expected.bytes_to_share > 0
    with ExitStack() as stack:
        G = own.shared(lambda arrays: stack.enter_context(NodeArrays(comm, arrays)))
        assert own.bytes_to_share == 0  # nothing is held twice
        G = G.of({i: measured(i, matrix(i)) for i in every})
        for i in every:
            x_i = x[GRID.block(i)]
            np.testing.assert_array_equal(G.gradient(i, x_i, None), expected.gradient(i, x_i, None))


def test_sync_rounds_are_of_equal_length(comm, D):
    _, records = run(comm, D, sync_red, updates=20 * comm.size)
    assert records.updates.total() == 20
