"""The algorithm that was asked for, run on this rank until something ends it on all of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from asyncred.history import Reason
from asyncred.red.anchored import AnchoredRed
from asyncred.red.anchored_red import anchored_red
from asyncred.red.async_red import async_red
from asyncred.red.guard import Guard
from asyncred.red.operator import RedOperator
from asyncred.red.serial_red import bc_red, gm_red
from asyncred.red.solver import Stop
from asyncred.red.stepsize import Step
from asyncred.red.sync_red import sync_red
from asyncred.runtime.budget import CLAIM
from asyncred.runtime.job import Job
from asyncred.runtime.keeper import Best, Keeper, LookingStop
from asyncred.runtime.state import State, keeper_of
from asyncred.runtime.steps import choices, choose_step, choose_turn
from asyncred.runtime.stopping import AsyncStop, SyncStop
from asyncred.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyCounters

ALGORITHMS: Mapping[str, Callable[..., None]] = {
    "async": async_red,
    "sync": sync_red,
    "bc": bc_red,
    "gm": gm_red,
}


def legs(budget: int, refresh: float, blocks: int, *, coupled: bool) -> list[int]:
    """Updates after which A x - y is computed anew, every so many epochs; the budget last."""
    if not coupled or refresh == 0:
        return [budget]
    every = max(1, round(refresh * blocks))
    return [*range(every, budget, every), budget]


def iterate(
    state: State, G: RedOperator, best: Best, signalled: Callable[[], int]
) -> tuple[Reason, float, bool]:
    """Run the algorithm; why all ranks stopped, the relaxation, whether x is in a checkpoint."""
    job, monitor = state.job, state.monitor
    config, coupling = job.config, job.term.coupling
    keeper = keeper_of(state)
    step = choose_step(job, state.updates, state.counters.asked_to_relax)
    guard = _guard(state, step)

    def relaxed() -> float:
        """How much shorter than meant the steps of this rank are."""
        return (guard.relaxation if guard else 1.0) * 0.5 ** state.counters.asked_to_relax()

    at_once = len(G.grid) if config.update.method == "gm" else 1  # updates between two questions
    job.team.comm.Barrier()  # all clocks start together
    stop = _stop(job, state.counters, signalled, job.past.updates // at_once)
    asked = _asked(stop, best, keeper, state.watchdog)
    state.times.reset()
    monitor.begin()
    loop, reason, kept = 0.0, Reason.BUDGET, False
    coupled = coupling is not None
    everything = legs(job.plan.budget, config.update.refresh, len(G.grid), coupled=coupled)
    for leg in [leg for leg in everything if leg > job.past.updates]:
        stop.until(-(-leg // at_once))
        order, minibatch = choices(job, state.claims, sum(monitor.counts.values()))
        start = time.perf_counter()
        common: dict[str, Any] = {"order": order, "stop": asked, "monitor": guard or monitor}
        if isinstance(G, AnchoredRed):
            turn = choose_turn(job, state.claims, sum(monitor.counts.values()))
            anchored_red(G, state.x, turn=turn, step=step, relaxed=relaxed, **common)
        else:
            algorithm = ALGORITHMS[config.update.method]
            algorithm(G, state.x, minibatch=minibatch, step=guard or step, **common)
        loop += time.perf_counter() - start
        reason = _agreed(state, stop.reason or Reason.BUDGET)
        if keeper and (reason is not Reason.BUDGET or leg == everything[-1]):
            # with the residual that the next update would have read
            state.watchdog.pause()
            kept = keeper.finish(wanted=reason is not Reason.DIVERGED)
        state.watchdog.beat()
        if coupling:
            state.drifts.append(coupling.refresh(state.blocks()))
        if reason is not Reason.BUDGET:
            break
    state.times.loop = loop
    return reason, relaxed(), kept


def _asked(stop: Stop, best: Best, keeper: Keeper | None, dog: Watchdog) -> LookingStop:
    """The same stop, before which is done what is due between two updates."""
    written = [dog.pause, keeper.look] if keeper else []
    return LookingStop(stop, [best.look, *written, dog.beat])


def updates_of(job: Job, counters: AnyCounters) -> int:
    """Updates of all ranks: what counters count, less those by the data term alone."""
    rounds = 0 if job.anchored is None else job.anchored.rounds or 0
    return counters.updates() // (1 + rounds)


def _guard(state: State, step: Step) -> Guard | None:
    """The guard of step and monitor, where the update is the proximal one."""
    job, counters, past = state.job, state.counters, state.job.past
    if job.plan.proximal is None or job.config.update.minibatch is not None:
        return None
    end = job.config.denoiser.continuation * len(job.plan.problem.grid)

    def begun() -> bool:
        return past.updates + updates_of(job, counters) >= end

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
    job: Job, counters: AnyCounters, signalled: Callable[[], int], done: int
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
