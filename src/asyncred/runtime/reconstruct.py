"""One image: the algorithm that was asked for, on this rank, until something ends it."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from asyncred.grid import region_shape
from asyncred.history import Ending, Reason, Sample, Times
from asyncred.operators import Image
from asyncred.red.async_red import async_red
from asyncred.red.guard import Guard
from asyncred.red.operator import RedOperator
from asyncred.red.pace import DONE, Pace
from asyncred.red.serial_red import bc_red, gm_red
from asyncred.red.stepsize import Step
from asyncred.red.sync_red import sync_red
from asyncred.runtime import windows
from asyncred.runtime.budget import CLAIM
from asyncred.runtime.fit import fit_of
from asyncred.runtime.job import Job
from asyncred.runtime.judge import Judge, Tolerance
from asyncred.runtime.keeper import Best, LookingStop
from asyncred.runtime.monitor import RECORD, SUMS, Reference, Reporting, RunMonitor
from asyncred.runtime.state import State, keeper_of
from asyncred.runtime.steps import choices, choose_step
from asyncred.runtime.stopping import AsyncStop, SyncStop

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyCounters, AnyImage

ALGORITHMS: Mapping[str, Callable[..., None]] = {
    "async": async_red,
    "sync": sync_red,
    "bc": bc_red,
    "gm": gm_red,
}


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


def reconstruct(job: Job, signalled: Callable[[], bool], show: Callable[[Sample], None]) -> Outcome:
    """Run the algorithm. Collective over the ranks of the job; rank 0 shows samples of it."""
    times, past = Times(), job.past
    blocks = len(job.plan.problem.grid)
    with ExitStack() as stack:
        counters = windows.counters(stack, job.team.comm, sums=SUMS)
        share = windows.sharing(job.team.node, stack)
        pace = share(_pace(job))
        velocity = share(_velocity(job))

        def epoch() -> float:
            return (past.updates + counters.updates()) / blocks

        G = job.timed_operator(times, pace, velocity, epoch)
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
        reference = _reference(job, x)
        monitor = RunMonitor(
            counters,
            reference,
            truth=share(dict(job.truth)),
            records=share({i: np.zeros(RECORD) for i in job.own}),
            fit=fit_of(G.A, job.term.coupling, job.own, minibatch=job.minibatch),
            reporting=Reporting(
                job.config.machine.report,
                show,
                _judge(job),
            ),
            counts={i: int(past.per_block[i]) for i in job.own if past.per_block[i]},
            history=past.history,
        )
        state = State(
            job,
            x,
            counters,
            monitor,
            times,
            pace,
            velocity,
            stack.enter_context(windows.claims(job.team.node, job.updates_before)),
            list(past.drifts),
        )
        best = Best(counters, state.blocks)
        reason, relaxation = _iterate(state, G, best, signalled)
        kept = replace(times)  # the last distance is no part of the loop
        _close_history(state, reason)
        if job.team.comm.rank == 0:
            show(monitor.history[-1])
        final = best.blocks if reason is Reason.DIVERGED else state.blocks()
        judge = monitor.judge
        return Outcome(
            final,
            monitor,
            kept,
            {i: pace[i].copy() for i in job.own},
            state.drifts,
            relaxation,
            Ending(reason, judge.distance_left(), judge.kept),
        )


def _judge(job: Job) -> Judge:
    """What ends the run, besides budget, time and signals."""
    stopping, update = job.config.stopping, job.config.update
    near = stopping.tol is None and job.plan.proximal is not None
    tolerance = Tolerance(job.plan.tol, stopping.tol_distance, near=near)
    first = job.config.denoiser.continuation
    return Judge(tolerance, first=first, noisy=update.minibatch is not None)


def _pace(job: Job) -> dict[int, NDArray[np.float64]]:
    """That of the own blocks to begin with."""
    pace = {i: job.past.pace[i].copy() for i in job.own}
    if job.denoisers.draft is None:
        for found in pace.values():
            found[DONE] = 1
    return pace


def _velocity(job: Job) -> dict[int, Image]:
    """The momentum of the own blocks to begin with; {} where there is none."""
    if not job.momentum:
        return {}
    if job.velocity:
        return dict(job.velocity)
    grid, dtype = job.plan.problem.grid, job.plan.problem.data.dtype
    return {i: np.zeros(region_shape(grid.block(i)), dtype) for i in job.own}


def legs(budget: int, refresh: float, blocks: int, *, coupled: bool) -> list[int]:
    """Updates after which A x - y is computed anew, every so many epochs; the budget last."""
    if not coupled or refresh == 0:
        return [budget]
    every = max(1, round(refresh * blocks))
    return [*range(every, budget, every), budget]


def _reference(job: Job, x: AnyImage) -> Reference:
    """||G(x0)||^2, where directions do not tell it, and ||truth||^2. Collective."""
    truth = sum(float(np.sum(np.square(np.abs(block)))) for block in job.truth.values())
    total = job.team.comm.allreduce(truth)
    problem, past = job.plan.problem, job.past
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
        job.term.y_square,
    )


def _G_square(job: Job, x: AnyImage) -> float:
    """||G(x)||^2 with all measurements. Collective: nobody writes meanwhile."""
    G = job.operator(job.term.A, job.dressed(job.denoisers.main))  # never slowed, no draft
    own = 0.0
    for i in job.own:
        own += float(np.sum(np.square(np.abs(G.block(i, x.fresh(i))))))
    return float(job.team.comm.allreduce(own))


def _iterate(
    state: State, G: RedOperator, best: Best, signalled: Callable[[], bool]
) -> tuple[Reason, float]:
    """Run the algorithm on this rank; why all ranks stopped, and the relaxation. Collective."""
    job, monitor = state.job, state.monitor
    config, coupling = job.config, job.term.coupling
    keeper, step = keeper_of(state), choose_step(job, state.updates)
    guard = _guard(state, step)
    at_once = len(G.grid) if config.update.method == "gm" else 1  # updates between two questions
    job.team.comm.Barrier()  # all clocks start together
    stop = _stop(job, state.counters, signalled, job.past.updates // at_once)
    asked = LookingStop(stop, [best.look, *([keeper.look] if keeper else [])])
    state.times.reset()
    monitor.begin()
    loop, reason = 0.0, Reason.BUDGET
    coupled = coupling is not None
    everything = legs(job.plan.budget, config.update.refresh, len(G.grid), coupled=coupled)
    for leg in [leg for leg in everything if leg > job.past.updates]:
        stop.until(-(-leg // at_once))
        order, minibatch = choices(job, state.claims, sum(monitor.counts.values()))
        start = time.perf_counter()
        ALGORITHMS[config.update.method](
            G,
            state.x,
            order=order,
            minibatch=minibatch,
            step=guard or step,
            stop=asked,
            monitor=guard or monitor,
        )
        loop += time.perf_counter() - start
        reason = _agreed(state, stop.reason or Reason.BUDGET)
        if keeper and (reason is not Reason.BUDGET or leg == everything[-1]):
            # with the residual that the next update would have read
            keeper.finish(wanted=reason is not Reason.DIVERGED)
        if coupling:
            state.drifts.append(coupling.refresh(state.blocks()))
        if reason is not Reason.BUDGET:
            break
    state.times.loop = loop
    return reason, guard.relaxation if guard else 1.0


def _guard(state: State, step: Step) -> Guard | None:
    """The guard of step and monitor, where the update is the proximal one."""
    job, counters, past = state.job, state.counters, state.job.past
    if job.plan.proximal is None or job.config.update.minibatch is not None:
        return None
    end = job.config.denoiser.continuation * len(job.plan.problem.grid)

    def begun() -> bool:
        return past.updates + counters.updates() >= end

    def give_up() -> None:
        counters.raise_stop(Reason.DIVERGED)

    blocks = len(job.own)
    return Guard(step, state.monitor, blocks=blocks, begun=begun, give_up=give_up)


def _agreed(state: State, mine: Reason) -> Reason:
    """Why all ranks stopped, which is that x diverged where any of it is not finite. Collective."""
    if not state.finite():
        mine = Reason.DIVERGED
    return Reason(max(state.job.team.comm.allgather(int(mine))))


def _stop(
    job: Job, counters: AnyCounters, signalled: Callable[[], bool], done: int
) -> AsyncStop | SyncStop:
    """What stops this rank; its budget is told later."""
    seconds = job.seconds
    if job.config.update.method == "sync":
        return SyncStop(
            job.team.comm, counters, updates=0, seconds=seconds, signalled=signalled, done=done
        )
    return AsyncStop(
        counters,
        updates=0,
        most=_most(job),
        seconds=seconds,
        signalled=signalled,
        done=done,
    )


def _most(job: Job) -> int:
    """How much of the budget this rank claims at once.

    What a slow rank has claimed of it nobody steals: one update at a time, but not over a network.
    """
    return 1 if job.team.node and not job.placement.far else max(CLAIM, len(job.own))


def _close_history(state: State, reason: Reason) -> None:
    """End the history. Collective.

    With G at the final x, which minibatches have not told, unless the run ended in haste.
    """
    minibatch = state.job.config.update.minibatch is not None
    state.job.team.comm.Barrier()
    state.monitor.end()
    exact = minibatch and reason in (Reason.BUDGET, Reason.TOLERANCE)
    G_square = _G_square(state.job, state.x) if exact else None
    if state.job.team.comm.rank == 0:
        state.monitor.close(G_square)
