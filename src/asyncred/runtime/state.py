"""How far an image is on this rank, and how that is put down in checkpoints."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from asyncred.files.checkpoint import Head, Part, lay_out, write_part
from asyncred.files.result import SAMPLES, thinned
from asyncred.history import Reason, Times
from asyncred.operators import Image
from asyncred.red.anchored import Anchors
from asyncred.red.pace import Pace
from asyncred.runtime.job import Job
from asyncred.runtime.keeper import Keeper
from asyncred.runtime.monitor import RunMonitor
from asyncred.runtime.watchdog import Watchdog

if TYPE_CHECKING:
    from asyncred.runtime.windows import AnyCounters, AnyImage
    from asyncred.shared import Claims


@dataclass(frozen=True)
class State:
    """What changes while a job runs."""

    job: Job
    x: AnyImage
    counters: AnyCounters
    monitor: RunMonitor
    watchdog: Watchdog
    times: Times
    pace: Pace
    moving: Anchors
    claims: Claims | None
    """Where ranks update each other's blocks."""
    drifts: list[float] = field(default_factory=list)
    """Of the residual, at each of its renewals."""

    def blocks(self) -> dict[int, Image]:
        """The own blocks, as they are."""
        return {i: self.x.block(i) for i in self.job.own}

    def updates(self, i: int) -> int:
        """How often an own block was updated so far, or any that may be claimed, by all ranks."""
        return self.claims.updates(i) if self.claims else self.monitor.counts.get(i, 0)

    def finite(self) -> bool:
        """Whether all values of the own blocks are."""
        return all(bool(np.isfinite(block).all()) for block in self.blocks().values())


def keeper_of(state: State) -> Keeper | None:
    """What writes checkpoints, if any are wanted. Collective."""
    job = state.job
    if job.checkpoint is None:
        return None
    problem, comm, coupling = job.plan.problem, job.team.comm, job.term.coupling
    moves = _moves(state)
    before = job.past.delays if comm.rank == 0 else 0

    def lay_out_file(path: Path) -> None:
        known = [*state.monitor.history, *state.monitor.now()]
        history = [known[k] for k in thinned(len(known), SAMPLES)]
        past = replace(
            job.past,
            history=history,
            drifts=state.drifts,
            seconds=state.monitor.seconds,
            G0_square=state.monitor.G0_square(),
        )
        lay_out(path, _head(state), past)

    def add_part(path: Path) -> bool:
        blocks = state.blocks()
        if not state.finite():
            state.counters.raise_stop(Reason.DIVERGED)
            return False
        part = Part(
            comm.rank,
            blocks,
            moves,
            {i: state.updates(i) for i in job.own},
            state.pace,
            state.monitor.delays + before,
            coupling.residual() if coupling else None,
        )
        write_part(path, problem.grid, part)
        return True

    seconds = 60 * job.config.files.checkpoint_every
    return Keeper(state.counters, job.checkpoint, seconds, lay_out=lay_out_file, add_part=add_part)


def _moves(state: State) -> dict[str, Mapping[int, Image]]:
    """What is kept of each block besides x."""
    arrays = {"velocity": state.moving.u, "anchor": state.moving.w}
    return {name: blocks for name, blocks in arrays.items() if blocks}


def _head(state: State) -> Head:
    """What is the same in all checkpoints of the run."""
    job, coupling = state.job, state.job.term.coupling
    problem = job.plan.problem
    return Head(
        problem.grid,
        problem.data.dtype,
        tuple(_moves(state)),
        coupling.shape if coupling else None,
        job.team.comm.size,
        job.config.as_json(),
        job.plan.sha256,
        job.index,
    )
