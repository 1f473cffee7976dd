"""One image: the algorithm that was asked for, on this rank, until something ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mpi4py import MPI

from asyncred.async_red import async_red
from asyncred.checkpoint import Head, Past, lay_out, write_part
from asyncred.config import RunConfig
from asyncred.denoiser import Denoiser
from asyncred.instrument import SlowedRed, TimedDenoiser, TimedOperator, Times
from asyncred.keeper import Keeper, KeptStop
from asyncred.monitor import SUMS, Reference, RunMonitor, Sample, Tolerance
from asyncred.operators import Image
from asyncred.placement import Placement
from asyncred.plan import Plan
from asyncred.proximal import ProximalRed
from asyncred.red import RedOperator
from asyncred.result import SAMPLES, thinned
from asyncred.sampling import EpochOrder, FullBatch, Minibatch, Order, RandomRows, UniformOrder
from asyncred.serial_red import LocalImage, bc_red, gm_red
from asyncred.shared import Counters, SharedImage
from asyncred.stepsize import FixedStep, Step
from asyncred.stopping import AsyncStop, Reason, SyncStop
from asyncred.sync_red import sync_red
from asyncred.terms import ImageTerm, choose_step

AnyImage = SharedImage | LocalImage

ALGORITHMS: Mapping[str, Callable[..., None]] = {
    "async": async_red,
    "sync": sync_red,
    "bc": bc_red,
    "gm": gm_red,
}
CLAIM = 32
"""Updates of the budget that a rank claims at once, at least."""


@dataclass(frozen=True)
class Job:
    """What one rank works with for one image."""

    config: RunConfig
    comm: MPI.Intracomm
    plan: Plan
    placement: Placement
    index: int
    """Which image of the problem."""
    term: ImageTerm
    D: Denoiser
    truth: Mapping[int, Image]
    shades: tuple[float, float]
    """The image's values for black and white."""
    seconds: float
    """The time limit."""
    past: Past
    """What was done before the run was cut."""
    resumed: Mapping[int, Image] | None = None
    """The own blocks where it was cut."""
    checkpoint: Path | None = None
    """Where to put it down."""

    @property
    def own(self) -> list[int]:
        """The blocks of this rank."""
        return self.placement.own

    @property
    def budget(self) -> int:
        """Block updates of the whole run."""
        return self.config.budget(len(self.plan.problem.grid))

    def red(self, times: Times) -> RedOperator:
        """G on this rank, slowed where that was asked for, and where its time is counted."""
        grid, tau = self.plan.problem.grid, self.plan.tau
        A, D = TimedOperator(self.term.A, times), TimedDenoiser(self.D, times)
        G = RedOperator(grid, A, D, tau=tau)
        if self.plan.mu is not None:
            G = ProximalRed(grid, A, D, tau=tau, mu=self.plan.mu, steps=self.config.inner)
        factor = dict(self.config.slow).get(self.comm.rank, 1.0)
        return SlowedRed(G, factor=factor, times=times) if factor > 1 else G


@dataclass(frozen=True)
class Outcome:
    """What came of it on this rank."""

    final: Mapping[int, Image]
    """The own blocks."""
    monitor: RunMonitor
    times: Times
    drifts: list[float]
    """Of the residual, at each of its renewals."""
    reason: Reason
    """Why all ranks stopped."""


def reconstruct(job: Job, signalled: Callable[[], bool], show: Callable[[Sample], None]) -> Outcome:
    """Run the algorithm. Collective over the ranks of the job; rank 0 shows samples of it."""
    times = Times()
    G = job.red(times)
    with ExitStack() as stack:
        counters = stack.enter_context(Counters(job.comm, sums=SUMS))
        x = stack.enter_context(_image(job, G, counters))
        reference = _reference(job, x)
        past = job.past
        monitor = RunMonitor(
            counters,
            reference,
            truth=job.truth,
            tolerance=Tolerance(job.config.tol, job.config.tol_distance),
            interval=job.config.report,
            on_sample=show,
            counts={i: int(past.per_block[i]) for i in job.own if past.per_block[i]},
            history=past.history,
        )
        drifts = list(past.drifts)
        keeper = _keeper(job, x, counters, monitor, reference, drifts)
        reason = _iterate(job, G, x, counters, monitor, signalled, times, keeper, drifts)
        kept = replace(times)  # the last distance is no part of the loop
        _close_history(job, x, monitor, reference, reason)
        if job.comm.rank == 0:
            show(monitor.history[-1])
        return Outcome({i: x.block(i) for i in job.own}, monitor, kept, drifts, reason)


def legs(config: RunConfig, blocks: int, *, coupled: bool) -> list[int]:
    """Updates after which A x - y is computed anew; the budget is the last of them."""
    budget, every = config.budget(blocks), round(config.refresh * blocks)
    if not coupled or config.refresh == 0:
        return [budget]
    every = max(1, every)
    return [*range(every, budget, every), budget]


@contextmanager
def _image(job: Job, G: RedOperator, counters: Counters) -> Iterator[AnyImage]:
    """x in the form that the method works on. Collective."""
    grid, dtype = G.grid, job.plan.problem.data.dtype
    x0 = job.term.x0 if job.resumed is None else job.resumed
    if job.config.method in ("gm", "bc"):
        whole = np.zeros(grid.shape, dtype)
        for i, block in x0.items():
            whole[grid.block(i)] = block
        yield LocalImage(grid, whole, halo=G.halo, align=G.align)
        return
    with SharedImage(
        job.comm,
        grid,
        job.placement.owner,
        halo=G.halo,
        align=G.align,
        x0=x0.__getitem__,
        dtype=dtype,
        counters=counters,
        far=job.placement.far,
    ) as shared:
        yield shared


def _reference(job: Job, x: AnyImage) -> Reference:
    """||G(x0)||^2 and ||truth||^2. Collective."""
    truth = sum(float(np.sum(np.square(np.abs(block)))) for block in job.truth.values())
    total = job.comm.allreduce(truth)
    problem, past = job.plan.problem, job.past
    delays = int(past.delays @ np.arange(past.delays.size))
    return Reference(
        len(problem.grid),
        _G_square(job, x) if past.G0_square is None else past.G0_square,
        total if problem.has_truth else None,
        past.updates,
        past.seconds,
        delays,
    )


def _G_square(job: Job, x: AnyImage) -> float:
    """||G(x)||^2 with all measurements. Collective: nobody writes meanwhile."""
    own, grid, tau, mu = 0.0, job.plan.problem.grid, job.plan.tau, job.plan.mu
    G = RedOperator(grid, job.term.A, job.D, tau=tau)  # never slowed
    if mu is not None:
        G = ProximalRed(grid, job.term.A, job.D, tau=tau, mu=mu, steps=job.config.inner)
    for i in job.own:
        own += float(np.sum(np.square(np.abs(G.block(i, x.fresh(i))))))
    return float(job.comm.allreduce(own))


def _iterate(
    job: Job,
    G: RedOperator,
    x: AnyImage,
    counters: Counters,
    monitor: RunMonitor,
    signalled: Callable[[], bool],
    times: Times,
    keeper: Keeper | None,
    drifts: list[float],
) -> Reason:
    """Run the algorithm on this rank; why all ranks stopped. Collective.

    The drift of the residual at each renewal goes into ``drifts``.
    """
    config, comm, own, coupling = job.config, job.comm, job.own, job.term.coupling
    step: Step = FixedStep(1.0)
    if job.plan.mu is None or config.step != "adaptive":
        A, placement = job.term.A, job.placement
        step = choose_step(config, A, G.grid, placement, tau=job.plan.tau, past=job.past)
    at_once = len(G.grid) if config.method == "gm" else 1  # updates between two questions
    comm.Barrier()  # all clocks start together
    stop = _stop(job, counters, signalled, job.past.updates // at_once)
    asked = KeptStop(stop, keeper) if keeper else stop
    times.reset()
    monitor.begin()
    loop, reason = 0.0, Reason.BUDGET
    everything = legs(config, len(G.grid), coupled=coupling is not None)
    for leg in [leg for leg in everything if leg > job.past.updates]:
        stop.until(-(-leg // at_once))
        order, minibatch = _choices(job, sum(monitor.counts.values()))
        start = time.perf_counter()
        ALGORITHMS[config.method](
            G, x, order=order, minibatch=minibatch, step=step, stop=asked, monitor=monitor
        )
        loop += time.perf_counter() - start
        mine = stop.reason or Reason.BUDGET
        if not all(np.isfinite(x.block(i)).all() for i in own):
            mine = Reason.DIVERGED
        reason = Reason(comm.allreduce(int(mine), MPI.MAX))
        if keeper and (reason is not Reason.BUDGET or leg == everything[-1]):
            # with the residual that the next update would have read
            keeper.finish(wanted=reason is not Reason.DIVERGED)
        if coupling:
            drifts.append(coupling.refresh({i: x.block(i) for i in own}))
        if reason is not Reason.BUDGET:
            break
    times.loop = loop
    return reason


def _choices(job: Job, done: int) -> tuple[Order, Minibatch]:
    """Which block comes next on this rank, and which measurements, after so many updates of it."""
    config, own = job.config, job.own
    seeds = [[config.seed, job.comm.rank, purpose] for purpose in (0, 1)]
    order = (EpochOrder if config.order == "epoch" else UniformOrder)(own, seeds[0], done)
    if config.minibatch is None:
        return order, FullBatch()
    return order, RandomRows(config.minibatch, seeds[1], done)


def _stop(
    job: Job, counters: Counters, signalled: Callable[[], bool], done: int
) -> AsyncStop | SyncStop:
    """What stops this rank; its budget is told later."""
    seconds = job.seconds
    if job.config.method == "sync":
        return SyncStop(
            job.comm, counters, updates=0, seconds=seconds, signalled=signalled, done=done
        )
    return AsyncStop(
        counters,
        updates=0,
        most=max(CLAIM, len(job.own)),
        seconds=seconds,
        signalled=signalled,
        done=done,
    )


def _keeper(
    job: Job,
    x: AnyImage,
    counters: Counters,
    monitor: RunMonitor,
    reference: Reference,
    drifts: list[float],
) -> Keeper | None:
    """What writes checkpoints, if any are wanted. Collective."""
    if job.checkpoint is None:
        return None
    problem, comm, coupling = job.plan.problem, job.comm, job.term.coupling
    head = Head(
        problem.grid,
        problem.data.dtype,
        coupling.shape if coupling else None,
        comm.size,
        job.config.as_json(),
        job.plan.sha256,
        job.index,
        reference.G0_square,
    )
    before = job.past.delays if comm.rank == 0 else 0

    def lay_out_file(path: Path) -> None:
        kept = thinned(len(monitor.history), SAMPLES)
        history = [monitor.history[k] for k in kept]
        past = replace(job.past, history=history, drifts=drifts, seconds=monitor.seconds)
        lay_out(path, head, past)

    def add_part(path: Path) -> bool:
        blocks = {i: x.block(i) for i in job.own}
        if not all(np.isfinite(block).all() for block in blocks.values()):
            counters.raise_stop(Reason.DIVERGED)
            return False
        residual = coupling.residual() if coupling else None
        delays = monitor.delays + before
        write_part(path, comm.rank, problem.grid, blocks, monitor.counts, delays, residual)
        return True

    seconds = 60 * job.config.checkpoint_every
    return Keeper(counters, job.checkpoint, seconds, lay_out=lay_out_file, add_part=add_part)


def _close_history(
    job: Job, x: AnyImage, monitor: RunMonitor, reference: Reference, reason: Reason
) -> None:
    """End with the exact distance of the final x, unless the run ended in haste. Collective."""
    job.comm.Barrier()
    monitor.end()
    distance = None
    if reason in (Reason.BUDGET, Reason.TOLERANCE) and reference.G0_square:
        distance = _G_square(job, x) / reference.G0_square
    if job.comm.rank == 0:
        monitor.close(distance)
