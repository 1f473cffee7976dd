"""The shared residual, and the algorithms on a forward model that couples all blocks."""

import numpy as np
import pytest

from asyncred.denoisers.inspection import inspect_denoiser
from asyncred.denoisers.onnx import OnnxDenoiser
from asyncred.grid import BlockGrid, BlockWindows
from asyncred.operators import Coupled, LocalResidual
from asyncred.red.anchored import AnchoredRed, Anchors, Pull
from asyncred.red.anchored_red import anchored_red
from asyncred.red.async_red import async_red
from asyncred.red.operator import RedOperator
from asyncred.red.pace import DONE, beginning
from asyncred.red.sampling import EpochOrder, FullBatch, OwnTurn, RandomRows
from asyncred.red.serial_red import LocalImage, bc_red, gm_red
from asyncred.red.solver import AfterUpdates, Silent
from asyncred.red.stepsize import FixedStep, ProximalStep
from asyncred.red.sync_red import sync_red
from asyncred.runtime.placement import owners
from asyncred.runtime.stopping import AsyncStop, SyncStop
from asyncred.shared import Counters, SharedImage, SharedResidual
from forward import Dense
from networks import smoothing

GRID = BlockGrid((20, 22), (10, 8))  # 6 blocks, ragged at the right
MODEL = Dense(GRID, groups=30, length=40, width=30)
GAMMA, TAU = 0.25, 0.5


def truth():
    rows, cols = np.mgrid[: GRID.shape[0], : GRID.shape[1]]
    return (0.5 + 0.4 * np.sin(rows / 5) * np.cos(cols / 7)).astype(np.float32)


Y = MODEL.whole(GRID, truth())


@pytest.fixture
def D(folder, comm):
    if comm.rank == 0:
        smoothing(folder / "smoothing.onnx")
    comm.Barrier()
    return OnnxDenoiser(inspect_denoiser(folder / "smoothing.onnx"), threads=1)


def whole(residual):
    """r on every rank."""
    return np.concatenate(residual.comm.allgather(residual.local()))


@pytest.mark.parametrize("far", [False, True])
def test_reads_what_was_filled_in_and_added(comm, far):
    with SharedResidual(comm, MODEL, far=range(comm.size) if far else ()) as r:
        r.fill(lambda groups: Y[groups.start : groups.stop])
        np.testing.assert_array_equal(whole(r), Y)
        local = LocalResidual(MODEL, Y)
        rows = np.array([1, 2, 16])
        for i in range(len(GRID)):
            r.request(i, None)
            r.request(i, rows)
            np.testing.assert_array_equal(r.read(i, None), local.read(i, None))
            np.testing.assert_array_equal(r.read(i, rows), local.read(i, rows))
        r.request(0, rows)  # and never read
        comm.Barrier()
        change = np.ones((MODEL.groups, MODEL.footprint(3).width), np.float32)
        for _ in range(100):  # all at once: no sum is lost
            r.add(3, change)
        comm.Barrier()
        local.add(3, 100 * comm.size * change)
        np.testing.assert_allclose(whole(r), local.array, rtol=1e-5)


def test_what_was_requested_is_of_that_moment(comm):
    """Far parts are read at the request, near ones at the read."""
    for far in (True, False):
        with SharedResidual(comm, MODEL, far=range(comm.size) if far else ()) as r:
            r.request(2, None)
            r.request(1, None)  # what was asked for before has arrived now
            comm.Barrier()
            if comm.rank == 0:
                r.add(2, np.ones((MODEL.groups, MODEL.footprint(2).width), np.float32))
            comm.Barrier()
            assert (r.read(2, None) == (0 if far else 1)).all()
            comm.Barrier()


def coupled(residual):
    return Coupled(MODEL, residual, weight=1.0, norms={}, norm=1.0)


def serial(D, algorithm, *, updates, minibatch=None):
    x = LocalImage(BlockWindows(GRID, D.halo, D.align), np.zeros(GRID.shape, np.float32))
    seeds = [[7, 0, k] for k in (0, 1)]
    residual = LocalResidual(MODEL, -Y)
    algorithm(
        RedOperator(GRID, coupled(residual), D, tau=TAU),
        x,
        order=EpochOrder(range(len(GRID)), seeds[0]),
        minibatch=FullBatch() if minibatch is None else RandomRows(minibatch, seeds[1]),
        step=FixedStep(GAMMA),
        stop=AfterUpdates(updates),
        monitor=Silent(),
    )
    return x.array, residual.array


def run(comm, D, algorithm, *, updates, minibatch=None, far=()):
    owner = owners(len(GRID), comm.size)
    own = [i for i in range(len(GRID)) if owner[i] == comm.rank]
    seeds = [[7, comm.rank, k] for k in (0, 1)]
    with (
        Counters(comm, sums=7) as counters,
        SharedResidual(comm, MODEL, far=far) as residual,
        SharedImage(
            comm,
            BlockWindows(GRID, D.halo, D.align),
            owner,
            x0=lambda i: np.zeros(GRID.window(i, 0).shape, np.float32),
            counters=counters,
            far=far,
        ) as x,
    ):
        residual.fill(lambda groups: -Y[groups.start : groups.stop])
        limits = {"updates": updates, "seconds": np.inf, "signalled": lambda: 0}
        stop = (
            SyncStop(comm, counters, **limits)
            if algorithm is sync_red
            else AsyncStop(counters, most=len(own), **limits)
        )
        algorithm(
            RedOperator(GRID, coupled(residual), D, tau=TAU),
            x,
            order=EpochOrder(own, seeds[0]),
            minibatch=FullBatch() if minibatch is None else RandomRows(minibatch, seeds[1]),
            step=FixedStep(GAMMA),
            stop=stop,
            monitor=Silent(),
        )
        x.barrier()
        image = np.empty(GRID.shape, np.float32)
        for i in range(len(GRID)):
            image[GRID.block(i)] = x.block(i)
        r = whole(residual)
        x.barrier()
    return image, r


@pytest.mark.parametrize("minibatch", [None, 10])
def test_one_rank_equals_bc_red_bit_for_bit(comm, D, minibatch):
    if comm.size != 1:
        pytest.skip("of one rank")
    found, r = run(comm, D, async_red, updates=100, minibatch=minibatch)
    expected, r_expected = serial(D, bc_red, updates=100, minibatch=minibatch)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(r, r_expected)


@pytest.mark.parametrize("far", [False, True])
@pytest.mark.parametrize("algorithm", [async_red, sync_red])
def test_reaches_the_fixed_point_of_gm_red(comm, D, algorithm, far):
    if comm.size > len(GRID):
        pytest.skip("of at most as many ranks as blocks")
    x_star, _ = serial(D, gm_red, updates=200)
    far_ranks = range(comm.size) if far else ()
    found, r = run(comm, D, algorithm, updates=150 * len(GRID), far=far_ranks)
    assert np.linalg.norm(found - x_star) <= 2e-3 * np.linalg.norm(x_star)
    drift = np.linalg.norm(r - (MODEL.whole(GRID, found) - Y))
    assert drift <= 1e-4 * np.linalg.norm(Y)


def anchored(residual, D, blocks):
    """The anchored update of some blocks, from 0."""
    pace = beginning(len(GRID))
    pace[:, DONE] = 1

    def still():
        return {i: np.zeros(GRID.window(i, 0).shape, np.float32) for i in blocks}

    return AnchoredRed(
        RedOperator(GRID, coupled(residual), D, tau=TAU),
        None,
        Anchors(still(), still(), still()),
        dict(enumerate(pace)),
        Pull(mu=TAU, beta=0.3, steps=2),
    )


@pytest.mark.parametrize("far", [False, True])
def test_anchors_reach_the_fixed_point_of_gm_red(comm, D, far):
    if comm.size > len(GRID):
        pytest.skip("of at most as many ranks as blocks")
    x_star, _ = serial(D, gm_red, updates=200)
    owner = owners(len(GRID), comm.size)
    own = [i for i in range(len(GRID)) if owner[i] == comm.rank]
    others = range(comm.size) if far else ()
    b = len(GRID)
    with (
        Counters(comm, sums=7) as counters,
        SharedResidual(comm, MODEL, far=others) as residual,
        SharedImage(
            comm,
            BlockWindows(GRID, D.halo, D.align),
            owner,
            x0=lambda i: np.zeros(GRID.window(i, 0).shape, np.float32),
            counters=counters,
            far=others,
        ) as x,
    ):
        residual.fill(lambda groups: -Y[groups.start : groups.stop])
        anchored_red(
            anchored(residual, D, own),
            x,
            order=EpochOrder(own, [7, comm.rank]),
            turn=OwnTurn(own, 2),
            step=ProximalStep(spread=b**0.5, b=b),
            relaxed=lambda: 1.0,
            stop=AsyncStop(
                counters, most=len(own), updates=60 * b, seconds=np.inf, signalled=lambda: 0
            ),
            monitor=Silent(),
        )
        x.barrier()
        found = np.empty(GRID.shape, np.float32)
        for i in range(b):
            found[GRID.block(i)] = x.block(i)
        r = whole(residual)
        x.barrier()
    assert np.linalg.norm(found - x_star) <= 2e-3 * np.linalg.norm(x_star)
    drift = np.linalg.norm(r - (MODEL.whole(GRID, found) - Y))
    assert drift <= 1e-4 * np.linalg.norm(Y)
