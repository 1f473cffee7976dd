"""One image: the algorithm that was asked for, on this rank, until something ends it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncred.history import Ending, Reason, Sample, Times
from asyncred.operators import Image
from asyncred.red.operator import RedOperator
from asyncred.red.pace import DONE, Pace
from asyncred.runtime import windows
from asyncred.runtime.direction import direction, motion
from asyncred.runtime.fit import Fit
from asyncred.runtime.iterate import iterate, updates_of
from asyncred.runtime.job import Job
from asyncred.runtime.judge import Judge, Tolerance
from asyncred.runtime.keeper import Best
from asyncred.runtime.monitor import RECORD, SUMS, Reference, Reporting, RunMonitor
from asyncred.runtime.objective import objective
from asyncred.runtime.state import State
from asyncred.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyCounters, AnyImage


@dataclass(frozen=True)
class Outcome:
    """What came of it on this rank."""

    final: Mapping[int, Image]
    """The own blocks."""
    monitor: RunMonitor
    times: Times
    pace: Pace
    drifts: list[float]
    """Of the residual, at each of its renewals."""
    relaxation: float
    """By which the guard shortened the steps of this rank, 1 where it did not."""
    ending: Ending
    """Why all ranks stopped; the rest of it is known on rank 0."""
    put_down: bool
    """Whether the last state is in the checkpoint."""


def reconstruct(job: Job, signalled: Callable[[], int], show: Callable[[Sample], None]) -> Outcome:
    """Run the algorithm. Collective over the ranks of the job; rank 0 shows samples of it."""
    times, past = Times(), job.past
    blocks = len(job.plan.problem.grid)
    with ExitStack() as stack:
        counters = windows.counters(stack, job.team.comm, sums=SUMS)
        share = windows.sharing(job.team.node, stack)
        pace = share(_pace(job))
        moving = motion(job, share)

        def epoch() -> float:
            return (past.updates + updates_of(job, counters)) / blocks

        G = direction(job, times, pace, moving, epoch)
        x = stack.enter_context(
            windows.image(
                counters,
                G.windows,
                job.placement.owner,
                x0=job.term.x0 if job.resumed is None else job.resumed,
                dtype=job.plan.problem.data.dtype,
                far=job.placement.far,
            )
        )
        monitor = _monitor(job, G, x, counters, share, show)
        state = State(
            job,
            x,
            counters,
            monitor,
            stack.enter_context(_watchdog(job)),
            times,
            pace,
            moving,
            stack.enter_context(windows.claims(job.team.node, job.updates_before)),
            list(past.drifts),
        )
        best = Best(counters, state.blocks)
        reason, relaxation, put_down = iterate(state, G, best, signalled)
        kept = replace(times)  # the last distance is no part of the loop
        _close_history(state, reason)
        if job.team.comm.rank == 0:
            show(monitor.history[-1])
        ending = job.team.comm.bcast(_ending(reason, monitor))
        last = state.blocks()
        if ending.back and objective(job, x, last) <= objective(job, x, best.blocks):
            ending = replace(ending, back=False)
        final = best.blocks if ending.back or reason is Reason.DIVERGED else last
        paces = {i: pace[i].copy() for i in job.own}
        return Outcome(final, monitor, kept, paces, state.drifts, relaxation, ending, put_down)


def _watchdog(job: Job) -> Watchdog:
    return Watchdog(
        job.team.comm.rank,
        patience=job.config.stopping.patience,
        seconds=job.seconds,
        checkpoint=job.checkpoint,
    )


def _monitor(
    job: Job,
    G: RedOperator,
    x: AnyImage,
    counters: AnyCounters,
    share: windows.Share,
    show: Callable[[Sample], None],
) -> RunMonitor:
    """What keeps the records of this rank, from where the run was cut. Collective."""
    monitor = RunMonitor(
        counters,
        _reference(job, x),
        truth=share(dict(job.truth)),
        records=share({i: np.zeros(RECORD) for i in job.own}),
        reporting=Reporting(job.config.machine.report, show, _judge(job)),
        fit=Fit(
            G.A,
            job.term.coupling,
            tau=job.plan.tau,
            potentials=job.potentials,
            minibatch=job.minibatch,
        ),
    )
    per_block = job.past.per_block
    monitor.go_on({i: int(per_block[i]) for i in job.own if per_block[i]}, job.past.history)
    return monitor


def _judge(job: Job) -> Judge:
    """What ends the run, besides budget, time and signals."""
    stopping, update = job.config.stopping, job.config.update
    near = stopping.tol is None and job.plan.proximal is not None
    tolerance = Tolerance(job.plan.tol, stopping.tol_distance, near=near)
    first = job.config.denoiser.continuation
    return Judge(tolerance, first=first, noisy=update.minibatch is not None)


def _ending(reason: Reason, monitor: RunMonitor) -> Ending:
    """How the run ended, as rank 0 knows it."""
    judge, history = monitor.judge, monitor.history
    back = bool(history) and judge.is_behind(history[-1])
    return Ending(reason, judge.distance_left(), judge.kept, back)


def _pace(job: Job) -> dict[int, NDArray[np.float64]]:
    """That of the own blocks to begin with."""
    pace = {i: job.past.pace[i].copy() for i in job.own}
    if job.denoisers.draft is None:
        for found in pace.values():
            found[DONE] = 1
    return pace


def _reference(job: Job, x: AnyImage) -> Reference:
    """||G(x0)||^2, where directions do not tell it, and ||truth||^2. Collective."""
    truth = sum(float(np.sum(np.square(np.abs(block)))) for block in job.truth.values())
    total = job.team.comm.allreduce(truth)
    problem, past, coupling = job.plan.problem, job.past, job.term.coupling
    weight = coupling.weight if coupling else 1.0
    y_square = math.nan if job.minibatch and coupling is None else job.term.y_square
    delays = int(past.delays @ np.arange(past.delays.size))
    G0_square = past.G0_square
    if G0_square is None and job.config.update.minibatch is not None:
        G0_square = _G_square(job, x)
    return Reference(
        len(problem.grid),
        total if problem.has_truth else None,
        G0_square,
        past.updates,
        past.seconds,
        delays,
        job.shades,
        y_square,
        math.nan if job.potentials is None or y_square != y_square else weight,
    )


def _G_square(job: Job, x: AnyImage) -> float:
    """||G(x)||^2 with all measurements. Collective: nobody writes meanwhile."""
    G = job.operator(job.term.A, job.dressed(job.denoisers.main))  # never slowed, no draft
    own = 0.0
    for i in job.own:
        own += float(np.sum(np.square(np.abs(G.block(i, x.fresh(i))))))
    return float(job.team.comm.allreduce(own))


def _close_history(state: State, reason: Reason) -> None:
    """End the history. Collective.

    With G at the final x, which minibatches have not told, unless the run ended in haste.
    """
    minibatch = state.job.config.update.minibatch is not None
    state.job.team.comm.Barrier()
    state.monitor.end()
    exact = minibatch and reason in (Reason.BUDGET, Reason.TOLERANCE)
    G_square = _G_square(state.job, state.x) if exact else None
    own = 0.0
    for i, truth in state.job.truth.items():
        own += float(np.sum(np.square(np.abs(state.x.block(i) - truth), dtype=np.float64)))
    error = float(state.job.team.comm.allreduce(own))
    if state.job.team.comm.rank == 0:
        state.monitor.close(G_square, error)
